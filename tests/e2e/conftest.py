"""A real server, a real Chromium. The pages load the SDK that the server serves."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest
from playwright.async_api import Browser, Page, Route, async_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream=fps=30",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--allow-loopback-in-peer-connection",
]
HELPERS = Path(__file__).with_name("page.js").read_text()
LAYERS = Path(__file__).with_name("layers.js").read_text()
VOICES = Path(__file__).with_name("voices.js").read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs real clients."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@dataclass(frozen=True, slots=True)
class Server:
    """A running ``rostra dev``."""

    process: Popen[bytes]
    settings: dict[str, str]

    @property
    def http(self) -> str:
        return self.settings["http"]


def start_server(data: Path, *options: str) -> Server:
    """Start ``rostra dev`` on free ports and wait until it says that it is ready."""
    ready = data / "dev.json"
    ready.unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("rostra")), "dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0"]
    command += ["--rtmp", "127.0.0.1:0"]
    with (data / "server.log").open("ab") as log:
        process = Popen([*command, "--data", str(data), *options], stdout=log, stderr=log, env={**os.environ})
    return Server(process, {**asyncio.run(_ready(process, ready)), "log": str(data / "server.log")})


async def _ready(process: Popen[bytes], path: Path) -> dict[str, str]:
    async with asyncio.timeout(30):
        while not path.exists():
            if process.poll() is not None:
                raise RuntimeError(f"rostra dev ended with {process.returncode}")
            await asyncio.sleep(0.02)
    settings: dict[str, str] = json.loads(path.read_text())
    return settings


def stop_server(server: Server) -> int:
    """Ctrl-C, and the exit code."""
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGINT)
    return server.process.wait(timeout=20)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all browser tests; each uses stream names of its own."""
    running = start_server(tmp_path_factory.mktemp("server"))
    yield running
    assert stop_server(running) == 0


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A fresh Chromium."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        await chromium.close()


@pytest.fixture
async def page(browser: Browser, server: Server) -> AsyncIterator[Page]:
    """A page of the server with ``page.js`` loaded as ``window.t``; an unhandled rejection fails the test."""
    async for one in open_page(browser, server):
        yield one


async def open_page(browser: Browser, server: Server) -> AsyncIterator[Page]:
    """See ``page``; for tests that need a server of their own."""
    context = await browser.new_context(bypass_csp=True)
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    async def helpers(route: Route) -> None:
        await route.fulfill(body=HELPERS, content_type="text/javascript")

    async def layers(route: Route) -> None:
        await route.fulfill(body=LAYERS, content_type="text/javascript")

    await page.route("**/t.js", helpers)

    async def voices(route: Route) -> None:
        await route.fulfill(body=VOICES, content_type="text/javascript")

    await page.route("**/layers.js", layers)
    await page.route("**/voices.js", voices)
    # A real answer of the server: Chromium lets a made-up page open no sockets to this machine.
    await page.goto(f"{server.http}/healthz")
    await page.evaluate("document.body.replaceChildren()")
    await page.evaluate(
        "async (s) => { window.t = await import('/t.js'); window.l = await import('/layers.js'); window.settings = s; }",
        server.settings,
    )
    yield page
    await context.close()
    assert errors == []
