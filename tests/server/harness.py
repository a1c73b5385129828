"""A real server in this process, on the media plane in memory, and clients that speak to it by hand."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from rostra.app import Ready, serve
from rostra.config import Address, Config, HttpConfig, SignallingConfig
from rostra.media.fake import FakeEngine
from rostra.model.media import TrackId, TransportId
from rostra.model.token import Account, PublishToken, StreamPattern, SubscribeToken
from rostra.store import Store

OFFERS = Path(__file__).parent.parent / "data" / "offers"
PUBLISH_OFFER = (OFFERS / "chromium-publish.sdp").read_text()
VIEW_OFFER = (OFFERS / "chromium-view.sdp").read_text()
LISTEN_OFFER = (OFFERS / "chromium-view-multiplexed.sdp").read_text()
TIMEOUT_S = 10
ALL = ["active", "inactive", "stopped", "viewercount"]


@dataclass
class Socket:
    """One signalling socket: commands by hand, everything else in order."""

    connection: ClientConnection
    numbers: Iterator[int] = field(default_factory=itertools.count)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def send(self, message: object) -> dict[str, Any]:
        """Send anything; the next message that is no event is the answer."""
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))
        while (answer := await self.receive())["type"] == "event":
            self.events.append((answer["name"], answer["data"]))
        return answer

    async def command(self, name: str, /, **data: object) -> dict[str, Any]:
        number = next(self.numbers)
        answer = await self.send({"type": "cmd", "transId": number, "name": name, "data": data})
        assert answer["transId"] == number
        return answer

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of this name."""
        while True:
            for index, (known, data) in enumerate(self.events):
                if known == name:
                    del self.events[index]
                    return data
            message = await self.receive()
            assert message["type"] == "event"
            self.events.append((message["name"], message["data"]))

    async def closed(self) -> int | None:
        """Wait for its end; the close code."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.connection.wait_closed()
        return self.connection.close_code


@dataclass
class Server:
    """A running server with an account of its own."""

    http: str
    engine: FakeEngine
    store: Store
    account: Account
    publish_token: str
    subscribe_token: str
    client: httpx.AsyncClient
    serving: asyncio.Task[None]
    rtmp: str | None = None

    def stop(self) -> None:
        """Begin to end the server."""
        self.serving.cancel()

    async def ended(self) -> None:
        """Wait until it has."""
        await asyncio.wait({self.serving}, timeout=TIMEOUT_S)
        assert self.serving.done()

    async def direct(
        self, action: str, body: object, *, token: str | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        extra = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return await self.client.post(f"/api/director/{action}", json=body, headers={**extra, **(headers or {})})

    async def url(self, action: str, stream: str = "demo") -> str:
        """A socket's URL with its token."""
        token = self.publish_token if action == "publish" else self.subscribe_token
        reply = await self.direct(action, {"streamName": stream}, token=token)
        data = reply.json()["data"]
        return f"{data['urls'][0]}?token={data['jwt']}"

    @asynccontextmanager
    async def socket(self, action: str, stream: str = "demo") -> AsyncIterator[Socket]:
        async with connect(await self.url(action, stream), proxy=None) as connection:
            yield Socket(connection)

    @asynccontextmanager
    async def publisher(self, stream: str = "demo", **data: object) -> AsyncIterator["Publisher"]:
        """A publisher whose first packets have come."""
        async with self.socket("publish", stream) as socket:
            publisher = Publisher(self, socket, await self.published(socket, **data))
            await self.start(publisher.transport)
            yield publisher

    async def published(self, socket: Socket, **data: object) -> TransportId:
        known = self.engine.transports()
        answer = await socket.command("publish", sdp=PUBLISH_OFFER, codec="vp8", **data)
        assert answer["type"] == "response", answer
        return (self.engine.transports() - known).pop()

    async def viewed(self, socket: Socket, **data: object) -> TransportId:
        known = self.engine.transports()
        answer = await socket.command("view", sdp=VIEW_OFFER, events=ALL, **data)
        assert answer["type"] == "response", answer
        return (self.engine.transports() - known).pop()

    async def start(self, transport: TransportId) -> None:
        """Connect, and send the first packets."""
        self.engine.connect(transport)
        for track in self.engine.tracks(transport):
            self.engine.start(track)
        await self.until(lambda: not self.engine.has_news)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the server work until something holds."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():  # noqa: ASYNC110 — what is awaited is in the same loop and has no event
                await asyncio.sleep(0)


@dataclass
class Publisher:
    server: Server
    socket: Socket
    transport: TransportId

    @property
    def tracks(self) -> list[TrackId]:
        return self.server.engine.tracks(self.transport)


@asynccontextmanager
async def running(
    data: Path, config: Config | None = None, *, log_level: str = "error", host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """Serve until the block ends."""
    store = await Store.open(data / "rostra.db")
    account = await store.add_account()
    everything = (StreamPattern("*"),)
    publish = PublishToken(account.id, "p" * 64, "test", everything)
    subscribe = SubscribeToken(account.id, "s" * 64, "test", everything)
    await store.add_publish_token(publish)
    await store.add_subscribe_token(subscribe)
    engine = FakeEngine()
    config = replace(config or Config(dev=True), data=data, log_level=log_level)
    config = replace(config, http=replace(config.http, listen=Address(host, 0)))
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(config, engine=engine, store=store, on_ready=ready.set_result))
    try:
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        async with httpx.AsyncClient(base_url=ready.result().http, trust_env=False) as client:
            where = ready.result()
            tokens = publish.value, subscribe.value
            yield Server(where.http, engine, store, account, *tokens, client, serving, where.rtmp)
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        engine.close()
        await store.close()


def configured(
    *, http: HttpConfig | None = None, signalling: SignallingConfig | None = None, dev: bool = True
) -> Config:
    return Config(dev=dev, http=http or HttpConfig(), signalling=signalling or SignallingConfig())
