"""Control plane, media plane in memory, and a worker in a process of its own."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rostra.config import Config
from rostra.hub import Hub
from rostra.media.fake import FakeEngine
from rostra.model.ids import AccountId
from rostra.model.media import TransportId
from rostra.model.token import PublishToken, StreamPattern
from rostra.server.context import Context
from rostra.server.rtmp import Rtmp
from rostra.store import Store
from tests.ingest.client import Client
from tests.ingest.test_flv import tags

TOKEN = "p" * 64
TIMEOUT_S = 20


@dataclass
class Place:
    """What a test has."""

    rtmp: Rtmp
    hub: Hub
    engine: FakeEngine
    address: str
    account: AccountId
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        self.clients.append(await Client.open(self.address))
        return self.clients[-1]

    async def publisher(self, name: str = "demo", **parameters: str) -> Client:
        client = await self.client()
        query = "".join(f"&{key}={value}" for key, value in parameters.items())
        assert b"NetStream.Publish.Start" in await client.publish(f"{name}?token={TOKEN}{query}")
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let everybody work until something holds."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():  # noqa: ASYNC110 — another process is awaited, and it has no event
                await asyncio.sleep(0.005)

    async def feed(self, known: set[TransportId] = frozenset()) -> TransportId:  # type: ignore[assignment]
        """The next feed that is none of the known."""
        await self.until(lambda: bool(self.engine.transports() - known))
        return (self.engine.transports() - known).pop()

    async def frames(self, transport: TransportId, count: int) -> list[bytes]:
        """The next frames of a feed."""
        found: list[bytes] = []
        async with asyncio.timeout(TIMEOUT_S):
            while len(found) < count:
                if (frame := self.engine.read_frame(transport)) is not None:
                    found.append(frame)
                else:
                    await asyncio.sleep(0.005)
        return found

    def problems(self) -> list[str]:
        return [code for encoder in self.rtmp.encoders for code, _, _ in encoder.problems]


@asynccontextmanager
async def place(data: Path, *, reencode: bool = False) -> AsyncIterator[Place]:
    store = await Store.open(data / "rostra.db")
    account = await store.add_account()
    await store.add_publish_token(PublishToken(account.id, TOKEN, "test", (StreamPattern("*"),)))
    engine = FakeEngine()
    hub = Hub(engine)
    hub.start()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    rtmp = Rtmp(Context(Config(), hub, store, time.time), listener, reencode=reencode)
    running = asyncio.create_task(rtmp.run())
    one = Place(rtmp, hub, engine, f"127.0.0.1:{listener.getsockname()[1]}", account.id)
    try:
        yield one
    finally:
        for client in one.clients:
            client.vanish()
        running.cancel()
        await asyncio.wait({running})
        hub.stop()
        engine.close()
        listener.close()
        await store.close()


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path) as one:
        yield one


def av_tags(codec: str = "libx264", options: dict[str, str] | None = None) -> Iterator[tuple[int, int, bytes]]:
    """Tags of a short picture."""
    return iter(tags(codec, options or {"tune": "zerolatency", "g": "10"}))


def descriptors(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))
