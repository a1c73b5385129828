"""Places for viewers: strangers that do not connect keep nobody out."""

import asyncio
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

import rostra.hub as hub_module
from rostra.hub import Hub
from rostra.media.fake import FakeEngine
from rostra.model import viewing
from rostra.model.media import TransportId
from rostra.model.places import MAX_PENDING_OF_ADDRESS
from rostra.model.token import SubscribeGrant
from rostra.server.edge import caps
from tests.scene import ALL_EVENTS, KEY
from tests.server.harness import TIMEOUT_S, VIEW_OFFER, Server, Socket, running
from tests.server.test_hub import SERVER, VIEW, Ear, publish, start
from tests.server.whip_client import whep

PUPILS = 500
TOTAL, SHARE, FULL = 40, 20, 200


def join(hub: Hub, address: str, *, is_anonymous: bool = True, peer: Ear | None = None) -> TransportId:
    grant = SubscribeGrant(KEY, SERVER, is_anonymous=is_anonymous)
    opened = hub.view(grant, VIEW, peer or Ear(), pinned=None, events=ALL_EVENTS, address=address)
    hub.announce(opened.transport)
    return opened.transport


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caps of the same proportions that are reached soon."""
    monkeypatch.setattr(hub_module, "MAX_PENDING", TOTAL)
    monkeypatch.setattr(hub_module, "MAX_PENDING_OF_ADDRESS", SHARE)
    monkeypatch.setattr(viewing, "MAX_VIEWERS", FULL)


def hub_with_a_stream() -> tuple[Hub, FakeEngine]:
    engine = FakeEngine()
    hub = Hub(engine)
    start(engine, publish(hub))
    hub.drain()
    return hub, engine


@pytest.mark.usefixtures("small")
def test_viewers_that_never_connect_keep_no_token_holder_out() -> None:
    hub, engine = hub_with_a_stream()
    for number in range(FULL + 100):
        join(hub, f"192.0.2.{number % 16}")
        hub.drain()
    assert hub.totals().viewers == TOTAL
    holder = join(hub, "192.0.2.1", is_anonymous=False)
    for number in range(TOTAL + 100):
        join(hub, f"192.0.2.{number % 16}")
        hub.drain()
    assert holder in engine.transports(), "the holder of a token is not evicted"


@pytest.mark.usefixtures("small")
def test_an_honest_stranger_connects_while_others_flood() -> None:
    hub, engine = hub_with_a_stream()
    ear = Ear()
    honest: TransportId | None = None
    for number in range(3 * TOTAL):
        join(hub, f"192.0.2.{number % 16}")
        if number == 2 * TOTAL:
            honest = join(hub, "198.51.100.1", peer=ear)
        hub.drain()
    assert honest is not None
    assert not ear.hung_up, "its address holds one place"
    engine.connect(honest)
    hub.drain()
    for number in range(TOTAL + 100):
        join(hub, f"198.51.100.{number % 8}")
        hub.drain()
    assert honest in engine.transports(), "who is connected is pending no more"


@pytest.mark.usefixtures("small")
def test_the_evicted_are_told_and_their_transports_close() -> None:
    hub, engine = hub_with_a_stream()
    first = Ear()
    transport = join(hub, "192.0.2.1", peer=first)
    for _ in range(SHARE):
        join(hub, "192.0.2.1")
        hub.drain()
    assert first.hung_up
    assert transport not in engine.transports()
    assert hub.totals().viewers == SHARE


async def test_a_school_behind_one_address_joins_at_once(tmp_path: Path) -> None:
    """500 anonymous viewers, by WHEP and by socket, of whom nobody is connected before the last has its answer."""
    async with running(tmp_path) as server, server.publisher() as publisher:
        server.client.timeout = httpx.Timeout(60)
        others = server.engine.transports()
        sockets: list[ClientConnection] = []
        slots = asyncio.Semaphore(8)

        async def pupil(number: int) -> None:
            async with slots:
                if number % 2:
                    assert (await whep(server)).status_code == 201
                else:
                    sockets.append(await by_socket(server))

        async with asyncio.TaskGroup() as tasks:
            for number in range(PUPILS):
                tasks.create_task(pupil(number))
        pupils = server.engine.transports() - others
        assert len(pupils) == PUPILS
        for transport in pupils:
            server.engine.connect(transport)
        await server.until(lambda: not server.engine.has_news)
        assert server.engine.transports() == {publisher.transport, *pupils}
        for socket in sockets:
            await socket.close()
    assert min(MAX_PENDING_OF_ADDRESS, caps.SESSIONS_PER_ADDRESS) >= PUPILS


async def by_socket(server: Server) -> ClientConnection:
    """An anonymous viewer's open socket."""
    body = {"streamName": "demo", "streamAccountId": server.account.id}
    data = (await server.direct("subscribe", body)).json()["data"]
    connection = await connect(f"{data['urls'][0]}?token={data['jwt']}", proxy=None, open_timeout=TIMEOUT_S)
    answer = await Socket(connection).command("view", sdp=VIEW_OFFER)
    assert answer["type"] == "response", answer
    return connection
