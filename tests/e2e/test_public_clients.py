"""Public clients of WHIP and WHEP from npm, unmodified, in Chromium on a page of another origin.

A test fails for an error in the console, for an exception and for a request that was refused or did not get through.
"""

import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Request, Response, Route

from .conftest import Server
from .doors import door_page, whep_url, whip_url

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def bundle() -> str:
    """The clients as one module."""
    command = ["node", str(HERE / "bundle.mjs"), str(HERE / "public_clients.js")]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parents[1]).stdout


@dataclass(frozen=True, slots=True)
class Clients:
    """A page with the clients as ``window.c`` and ``doors.js`` as ``window.d``."""

    page: Page
    requests: list[tuple[str, int]]
    """Method and status of every answered request to the server, preflights excluded."""


@pytest.fixture
async def clients(browser: Browser, server: Server, bundle: str) -> AsyncIterator[Clients]:
    page = await door_page(browser, server)

    async def script(route: Route) -> None:
        await route.fulfill(body=bundle, content_type="text/javascript")

    await page.route("**/clients.js", script)
    await page.evaluate("async () => { window.c = await import('/clients.js'); }")
    requests: list[tuple[str, int]] = []
    complaints: list[str] = []

    answers: set[Request] = set()

    def answered(response: Response) -> None:
        answers.add(response.request)
        requests.append((response.request.method, response.status))
        if response.status >= 400:
            complaints.append(f"{response.request.method} {response.url}: {response.status}")

    def failed(request: Request) -> None:
        # A body that the client does not read is cancelled by the browser: that is no failure of the request.
        if request not in answers:
            complaints.append(f"{request.method} {request.url}: {request.failure}")

    page.on("response", answered)
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", failed)
    yield Clients(page, requests)
    assert "\n".join(complaints) == ""


async def test_whip_whep_publishes_and_watches_with_trickle_events_layers_and_stop(
    clients: Clients, server: Server
) -> None:
    page = clients.page
    await page.evaluate(
        """async ([url, token]) => {
          window.p = await c.publishWithWhipWhep(d.picture('green', 960, 540), url, token);
          await d.until(async () => (await d.streams(p, 'outbound-rtp')).filter((one) => one.frames > 5).length === 3,
            'all encodings');
        }""",
        [whip_url(server, "whip-whep"), server.settings["publish_token"]],
    )
    assert ("PATCH", 204) in clients.requests
    clients.requests.clear()

    await page.evaluate(
        "async ([url, token]) => { window.v = await c.watchWithWhipWhep(url, token); }",
        [whep_url(server, "whip-whep"), server.settings["subscribe_token"]],
    )
    await page.evaluate("() => d.untilColour(v, 'green')")
    await page.evaluate("() => d.untilMore(v, 'audio')")
    await page.evaluate("() => d.until(() => v.client.iceTrickeTimeout === undefined, 'the candidates to be sent')")
    assert ("PATCH", 204) in clients.requests

    await page.evaluate(
        """async () => {
          await d.until(() => v.client.eventSource, 'the event stream');
          v.layers = [];
          v.client.eventSource.addEventListener('layers', ({ data }) => v.layers.push(JSON.parse(data)));
          await d.until(() => v.layers.at(-1)?.medias[1]?.active.length === 3, 'three encodings');
        }"""
    )
    for rid, width in (("q", 240), ("f", 960), ("h", 480)):
        await page.evaluate("(encodingId) => v.client.selectLayer({ encodingId })", rid)
        await page.evaluate(
            "(width) => d.until(async () => (await d.streams(v, 'inbound-rtp'))[0].width === width, `${width} pixels`)",
            width,
        )
    await page.evaluate("() => v.client.unselectLayer()")

    await page.evaluate("() => v.client.stop()")
    # The client leaves its EventSource open: the browser comes back to the address once more.
    await page.evaluate("() => d.until(() => v.client.eventSource.readyState === EventSource.CLOSED, 'its end')")
    await page.evaluate("() => p.client.stop()")
    assert ("GET", 204) in clients.requests
    assert clients.requests.count(("DELETE", 200)) == 3  # the layer, the viewer, the publisher


async def test_eyevinn_publishes_and_its_player_watches(clients: Clients, server: Server) -> None:
    page = clients.page
    await page.evaluate(
        """async ([url, token]) => {
          window.w = await c.publishWithEyevinn(d.picture('blue', 320, 180), url, token);
          await d.until(() => w.peer.connectionState === 'connected', 'the connection');
        }""",
        [whip_url(server, "eyevinn"), server.settings["publish_token"]],
    )
    await page.evaluate(
        "async (url) => { window.v = await c.watchWithEyevinn(url); }",
        whep_url(server, "eyevinn"),
    )
    await page.evaluate("() => d.untilColour(v, 'blue')")
    await page.evaluate("() => d.until(() => v.video.srcObject.getAudioTracks().length === 1, 'its audio')")
    await page.evaluate("() => v.player.unload()")
    await page.evaluate("() => w.destroy()")
    assert clients.requests.count(("DELETE", 200)) == 2
