"""Firefox ESR driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), which it speaks by itself on a WebSocket."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import websockets

FIREFOX = "firefox-esr"

# A folder `gmp-gmpopenh264/<version>` with libgmpopenh264.so and its .info, as the maker of Firefox gives it out or as OpenH264's sources
# make it (`make plugin`). Without one Firefox has no H264, and no test downloads any.
OPENH264 = os.environ.get("FIREFOX_OPENH264")

# A profile that stays on this machine: every service of the vendor is off or points nowhere. The rest is what the tests need.
PREFS: dict[str, bool | int | str] = {
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "app.update.disabledForTesting": True,
    "browser.aboutConfig.showWarning": False,
    "browser.discovery.enabled": False,
    "browser.newtabpage.activity-stream.feeds.system.topstories": False,
    "browser.newtabpage.enabled": False,
    "browser.ping-centre.telemetry": False,
    "browser.region.network.url": "",
    "browser.region.update.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.search.suggest.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.page": 0,
    "browser.topsites.contile.enabled": False,
    "browser.urlbar.suggest.searches": False,
    "captivedetect.canonicalURL": "",
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "dom.push.serverURL": "",
    "extensions.blocklist.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "geo.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-manager.url": "",
    "messaging-system.rsexperimentloader.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disabled": True,
    "network.dns.disablePrefetch": True,
    "network.http.speculative-parallel-limit": 0,
    "network.prefetch-next": False,
    "network.trr.mode": 5,
    "nimbus.rollouts.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "signon.management.page.breach-alerts.enabled": False,
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
    "toolkit.telemetry.unified": False,
    # What is left would fail to resolve: only this machine has a name.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.no_proxies_on": "127.0.0.1, localhost",
    "network.proxy.allow_hijacking_localhost": False,
    # Fake devices, and peer connections within this machine.
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    # A page that may use the camera gets all addresses as candidates; others the one towards the Internet only.
    "permissions.default.camera": 1,
    "permissions.default.microphone": 1,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    # Hidden pages draw and run timers at full speed.
    "dom.min_background_timeout_value": 4,
    "dom.timeout.enable_budget_timer_throttling": False,
    "remote.active-protocols": 1,
}


class ScriptError(Exception):
    """A script of a page threw."""


class Firefox:
    """A running browser with one page."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._context = ""
        self._served: dict[str, tuple[str, bytes]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.console: list[str] = []

    async def read(self) -> None:
        """Take messages in until the socket closes."""
        async for text in self._socket:
            message = json.loads(text)
            if message.get("type") == "event":
                self._hear(message["method"], message["params"])
                continue
            reply = self._replies.pop(message["id"])
            if message["type"] == "success":
                reply.set_result(message["result"])
            else:
                reply.set_exception(ScriptError(f"{message['error']}: {message['message']}"))

    def _hear(self, event: str, params: dict[str, Any]) -> None:
        if event == "log.entryAdded":
            self.console.append(str(params.get("text")))
        elif event == "network.beforeRequestSent" and params["isBlocked"]:
            kind, body = self._served[params["request"]["url"]]
            answer = self.command(
                "network.provideResponse",
                request=params["request"]["request"],
                statusCode=200,
                headers=[{"name": "Content-Type", "value": {"type": "string", "value": kind}}],
                body={"type": "base64", "value": base64.b64encode(body).decode()},
            )
            task = asyncio.create_task(answer)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def serve(self, url: str, kind: str, body: str) -> None:
        """Answer requests for ``url`` with this, whatever the server has there."""
        self._served[url] = (kind, body.encode())
        patterns = [{"type": "string", "pattern": url}]
        await self.command("network.addIntercept", phases=["beforeRequestSent"], urlPatterns=patterns)

    async def command(self, method: str, **params: Any) -> Any:
        """A BiDi command and its result."""
        number = next(self._ids)
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        return await asyncio.wait_for(reply, 120)

    async def begin(self) -> str:
        """Begin the session; the browser's version."""
        session = await self.command("session.new", capabilities={})
        await self.command("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        tree = await self.command("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]
        return str(session["capabilities"]["browserVersion"])

    async def open(self, url: str) -> None:
        """Show ``url``."""
        await self.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, function: str, argument: Any = None) -> Any:
        """Call an async function of the page with a JSON value; what it returns, through JSON.

        Raises:
            ScriptError: it threw.
        """
        wrapped = f"async (text) => JSON.stringify(await ({function})(JSON.parse(text)) ?? null)"
        result = await self.command(
            "script.callFunction",
            functionDeclaration=wrapped,
            arguments=[{"type": "string", "value": json.dumps(argument)}],
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if result["type"] == "exception":
            raise ScriptError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])


@contextlib.asynccontextmanager
async def firefox(profile: Path, **prefs: bool | int | str) -> AsyncIterator[Firefox]:
    """A headless Firefox with a fresh profile in an empty folder."""
    profile.mkdir(parents=True, exist_ok=True)
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in {**PREFS, **prefs}.items()]
    (profile / "user.js").write_text("\n".join(lines))
    options = ["--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", str(profile)]
    # The plugin's sandbox wants what the maker signed.
    plugin = {"MOZ_GMP_PATH": OPENH264, "MOZ_DISABLE_GMP_SANDBOX": "1"} if OPENH264 else {}
    process = await asyncio.create_subprocess_exec(
        FIREFOX, *options, stdout=DEVNULL, stderr=PIPE, env={**os.environ, **plugin}
    )
    try:
        url = await asyncio.wait_for(_listening(process), 60)
        async with websockets.connect(f"{url}/session", max_size=None) as socket:
            client = Firefox(socket)
            reader = asyncio.create_task(client.read())
            drain = asyncio.create_task(_drain(process))
            try:
                yield client
            finally:
                with contextlib.suppress(websockets.ConnectionClosed, TimeoutError):
                    await asyncio.wait_for(client.command("browser.close"), 10)
                reader.cancel()
                drain.cancel()
        await asyncio.wait_for(process.wait(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _listening(process: Process) -> str:
    """The URL that it says on standard error."""
    assert process.stderr is not None
    async for line in process.stderr:
        _, found, url = line.decode().partition("WebDriver BiDi listening on ")
        if found:
            return url.strip()
    raise RuntimeError("Firefox ended before it listened")


async def _drain(process: Process) -> None:
    assert process.stderr is not None
    async for _ in process.stderr:
        pass
