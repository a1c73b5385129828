"""The hub: decisions carried out, and what happens when the media plane has no room."""

import asyncio
from pathlib import Path

import pytest

from rostra.facts import MAX_INSPECTIONS_OF_ACCOUNT
from rostra.hub import Hub
from rostra.media.engine import Overloaded
from rostra.media.fake import FakeEngine
from rostra.model.bandwidth import BandwidthWish
from rostra.model.effects import Active, Inactive, Layers, SignalEvent, Speaking, Stopped, ViewerCount
from rostra.model.ids import AccountId, ServerId, SourceId, StreamKey
from rostra.model.layers import LayerWish
from rostra.model.media import (
    BandwidthSpec,
    Codec,
    Command,
    EncodingReport,
    Inspect,
    LayerChoice,
    Mid,
    PlayoutDelay,
    Priority,
    ShownLayer,
    Speaker,
    Strategy,
    TrackId,
    TransportId,
    TransportReport,
)
from rostra.model.refused import UnknownViewer, Unsuitable
from rostra.model.token import PublishGrant, SubscribeGrant
from rostra.model.viewing import Project
from rostra.protocol import sdp
from tests.scene import ALL_EVENTS, KEY, VIDEO, show

OFFERS = Path(__file__).parent.parent / "data" / "offers"
PUBLISH = sdp.parse((OFFERS / "chromium-publish.sdp").read_text())
VIEW = sdp.parse((OFFERS / "chromium-view.sdp").read_text())
SERVER = ServerId("0" * 32)


class Ear:
    """A socket that remembers."""

    def __init__(self) -> None:
        self.heard: list[SignalEvent] = []
        self.hung_up = False

    def tell(self, event: SignalEvent) -> None:
        self.heard.append(event)

    def hang_up(self) -> None:
        self.hung_up = True


class Picky(FakeEngine):
    """A media plane that finds a field that does not fit."""

    def submit(self, *commands: Command) -> None:
        raise ValueError("spec.local_ufrag: too long")


def publish(hub: Hub, peer: Ear | None = None, *, source: SourceId | None = None) -> TransportId:
    grant = PublishGrant(KEY, SERVER, multisource=True, subscribe_requires_auth=False)
    peer = peer or Ear()
    opened = hub.publish(grant, PUBLISH, peer, codec=Codec.VP8, source=source, priority=None, events=ALL_EVENTS)
    hub.announce(opened.transport)
    return opened.transport


def view(hub: Hub, peer: Ear | None = None) -> TransportId:
    opened = hub.view(SubscribeGrant(KEY, SERVER), VIEW, peer or Ear(), pinned=None, events=ALL_EVENTS)
    hub.announce(opened.transport)
    return opened.transport


def view_layers(hub: Hub, peer: Ear) -> TransportId:
    events = frozenset({"layers"})
    opened = hub.view(SubscribeGrant(KEY, SERVER), VIEW, peer, pinned=None, events=events)
    hub.announce(opened.transport)
    return opened.transport


def picture(engine: FakeEngine, publisher: TransportId) -> TrackId:
    return next(one.track for one in engine.transport_spec(publisher).receive if one.kind is VIDEO)


def start(engine: FakeEngine, transport: TransportId) -> None:
    engine.connect(transport)
    for track in engine.tracks(transport):
        engine.start(track)


async def settled() -> None:
    """Let readers and timers that are due run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_facts_are_taken_in_as_they_come() -> None:
    engine, ear = FakeEngine(), Ear()
    hub = Hub(engine)
    hub.start()
    view(hub, ear)
    start(engine, publish(hub))
    await settled()
    assert Active in map(type, ear.heard)
    hub.stop()


def test_a_request_without_room_leaves_no_trace() -> None:
    engine = FakeEngine(capacity=0)
    hub = Hub(engine)
    with pytest.raises(Overloaded):
        publish(hub)
    with pytest.raises(Overloaded):
        view(hub)
    assert hub.totals().streams == 0
    engine.capacity = 10
    viewer = view(hub)
    before = hub.stream(KEY)
    engine.capacity = 0
    with pytest.raises(Overloaded):
        hub.unproject(viewer, tuple(before.viewers[viewer].slots))
    assert hub.stream(KEY) is before


async def test_a_fact_without_room_is_acted_upon_later_in_order() -> None:
    engine = FakeEngine()
    hub = Hub(engine)
    hub.start()
    viewer, publisher = view(hub), publish(hub)
    engine.capacity = 0
    start(engine, publisher)
    await settled()
    hub.unproject(viewer, ())  # needs no room
    with pytest.raises(Overloaded):
        view(hub)
    assert set(engine.slots(viewer).values()) == {None}
    hub.leave(publisher)
    assert publisher in engine.transports()
    engine.capacity = 1000
    async with asyncio.timeout(10):
        while publisher in engine.transports():  # noqa: ASYNC110 — the hub's timer has no event
            await asyncio.sleep(0.001)
    assert set(engine.slots(viewer).values()) == {None}
    hub.stop()


def test_what_does_not_fit_the_media_plane_is_refused() -> None:
    hub = Hub(Picky())
    with pytest.raises(Unsuitable, match="local_ufrag"):
        publish(hub)
    assert hub.totals().streams == 0


async def test_the_count_of_viewers_follows_once_a_second() -> None:
    engine, ear = FakeEngine(), Ear()
    hub = Hub(engine)
    hub.start()
    view(hub, ear)
    view(hub)
    assert ear.heard[-1] == ViewerCount(KEY, 1)
    async with asyncio.timeout(10):
        while ear.heard[-1] != ViewerCount(KEY, 2):  # noqa: ASYNC110 — the hub's timer has no event
            await asyncio.sleep(0.01)
    hub.stop()


def test_the_end_tells_everybody_and_lets_nobody_in() -> None:
    engine, ears = FakeEngine(), [Ear(), Ear()]
    hub = Hub(engine)
    publish(hub, ears[0])
    view(hub, ears[1])
    hub.stop()
    hub.stop()
    for ear in ears:
        assert ear.heard[-1] == Stopped(KEY)
        assert ear.hung_up
    assert engine.transports() == set()
    with pytest.raises(Overloaded):
        view(hub)


def test_who_left_hears_nothing_and_can_do_nothing() -> None:
    engine, ear = FakeEngine(), Ear()
    hub = Hub(engine)
    viewer, publisher = view(hub, ear), publish(hub)
    start(engine, publisher)
    hub.drain()
    hub.leave(viewer)
    hub.leave(viewer)
    hub.detach(viewer)
    heard = len(ear.heard)
    hub.leave(publisher)
    assert len(ear.heard) == heard
    assert Inactive not in map(type, ear.heard)
    with pytest.raises(UnknownViewer):
        hub.project(Project(viewer, None, (show("0", VIDEO),)))
    assert hub.totals().streams == 0


def test_credentials_are_never_used_twice() -> None:
    engine = FakeEngine()
    hub = Hub(engine)
    specs = [engine.transport_spec(view(hub)) for _ in range(50)]
    assert len({spec.local_ufrag for spec in specs}) == len({spec.local_pwd for spec in specs}) == 50
    ssrcs = [ssrc for spec in specs for slot in spec.slots for ssrc in (slot.ssrc, slot.rtx_ssrc)]
    assert len(set(ssrcs)) > 190


def started(hub: Hub, engine: FakeEngine, source: SourceId | None) -> TransportId:
    publisher = publish(hub, source=source)
    start(engine, publisher)
    hub.drain()
    return publisher


@pytest.mark.parametrize("is_seen", [True, False], ids=["before its key frame", "before the order arrived"])
def test_a_source_that_ends_before_it_was_shown_does_not_leave_the_old_picture(is_seen: bool) -> None:
    """The viewer wants the other source, of which there is nothing to show, and was told that it ended."""
    engine = FakeEngine()
    hub = Hub(engine)
    viewer = view(hub)
    started(hub, engine, None)
    other = started(hub, engine, SourceId("cam"))
    engine.delay_key_frames()
    if not is_seen:
        engine.drop(other)
    hub.project(Project(viewer, SourceId("cam"), (show("0", VIDEO),)))
    if is_seen:
        engine.drop(other)
    hub.drain()
    assert engine.slots(viewer)[Mid("0")] is None
    assert engine.slots(viewer)[Mid("1")] is not None


# --- Voices ---------------------------------------------------------------------------------------------------------


def test_the_voices_of_a_stream_end_with_it_and_are_not_those_of_the_next_one() -> None:
    engine, ears = FakeEngine(), [Ear(), Ear()]
    hub = Hub(engine)
    groups = []
    for ear in ears:
        grant = SubscribeGrant(KEY, SERVER)
        opened = hub.view(grant, VIEW, ear, pinned=None, events=frozenset({"speakers"}))
        hub.announce(opened.transport)
        groups.append(hub.stream(KEY).group)
        publisher = publish(hub)
        start(engine, publisher)
        hub.drain()
        (track,) = engine.voices(groups[-1])
        for group in groups:  # news of the first one come late
            engine.speak(group, Speaker(track, 23))
        hub.drain()
        hub.leave(publisher)
        hub.leave(opened.transport)
    assert groups[0] != groups[1]
    for ear in ears:
        assert [event for event in ear.heard if isinstance(event, Speaking)] == [Speaking(((None, -23),))]


# --- Layers ---------------------------------------------------------------------------------------------------------

FLOWING = EncodingReport(active=True, bitrate_bps=1000)


def layers(ear: Ear) -> list[Layers]:
    return [event for event in ear.heard if isinstance(event, Layers)]


async def test_layers_are_told_at_once_when_they_change_and_else_once_a_second() -> None:
    engine, ear = FakeEngine(), Ear()
    hub = Hub(engine)
    hub.start()
    view_layers(hub, ear)
    publisher = publish(hub)
    start(engine, publisher)
    track = picture(engine, publisher)
    for bitrate in (1, 2, 3):  # the first is news, the others are not
        engine.flow(track, EncodingReport(active=True, bitrate_bps=bitrate))
        hub.drain()
    assert [event.medias[0].track.encodings[0].bitrate_bps for event in layers(ear)] == [1]
    engine.flow(track, FLOWING, FLOWING)
    hub.drain()
    assert len(layers(ear)) == 2
    engine.flow(track, FLOWING, FLOWING)
    hub.drain()
    assert len(layers(ear)) == 2
    async with asyncio.timeout(10):
        while len(layers(ear)) < 3:  # noqa: ASYNC110 — the hub's timer has no event
            await asyncio.sleep(0.01)
    hub.stop()


async def test_the_same_event_is_for_all_viewers_of_the_same_picture() -> None:
    engine = FakeEngine()
    hub = Hub(engine)
    hub.start()
    ears = [Ear() for _ in range(50)]
    for ear in ears:
        view_layers(hub, ear)
    publisher = publish(hub)
    start(engine, publisher)
    engine.flow(picture(engine, publisher), FLOWING)
    hub.drain()
    assert len({id(event) for ear in ears for event in layers(ear)}) == 1
    hub.stop()


async def test_what_a_slot_forwards_is_told_with_the_layers_until_it_shows_something_else() -> None:
    engine, ear = FakeEngine(), Ear()
    hub = Hub(engine)
    hub.start()
    viewer, publisher = view_layers(hub, ear), publish(hub)
    start(engine, publisher)
    (mid,) = (slot.mid for slot in engine.transport_spec(viewer).slots if slot.kind is VIDEO)
    track = picture(engine, publisher)

    def told(*encodings: EncodingReport) -> tuple[ShownLayer | None, bool]:
        """What is heard when this flows. Another encoding each time is a change each time."""
        engine.flow(track, *encodings)
        hub.drain()
        media = layers(ear)[-1].medias[0]
        return media.shown, media.is_off

    assert told(FLOWING) == (None, False)
    engine.forward(viewer, mid, ShownLayer(0, 255, 1))
    assert told(FLOWING, FLOWING) == (ShownLayer(0, 255, 1), False)
    engine.forward(viewer, mid, None)
    assert told(FLOWING) == (None, True)
    hub.unproject(viewer, (mid,))
    hub.project(Project(viewer, None, (show(mid, VIDEO),)))
    assert told(FLOWING, FLOWING) == (None, False)
    hub.stop()


def test_of_who_left_nothing_is_kept() -> None:
    engine = FakeEngine()
    hub = Hub(engine)
    viewer, publisher = view_layers(hub, Ear()), publish(hub)
    start(engine, publisher)
    track = picture(engine, publisher)
    engine.flow(track, FLOWING)
    engine.forward(viewer, Mid("0"), ShownLayer(0))
    hub.drain()
    engine.flow(track, FLOWING)
    engine.forward(viewer, Mid("0"), None)
    hub.leave(publisher)
    hub.leave(viewer)
    hub.drain()
    reports = hub._reports
    assert not any((reports.tracks, reports.shown, reports.owners, reports.news, reports.changed))


def test_a_viewer_says_what_its_line_takes_and_never_more_than_the_server_gives() -> None:
    engine = FakeEngine()
    hub = Hub(engine, viewer_max_bps=4_000_000)

    def spec(wish: BandwidthWish | None) -> BandwidthSpec:
        grant = SubscribeGrant(KEY, SERVER)
        opened = hub.view(grant, VIEW, Ear(), pinned=None, events=ALL_EVENTS, bandwidth=wish)
        return engine.transport_spec(opened.transport).bandwidth

    assert spec(None) == BandwidthSpec(max_bps=4_000_000)
    assert spec(BandwidthWish(max_bps=9_000_000)).max_bps == 4_000_000
    wish = BandwidthWish(1_000_000, 500_000, Strategy.PERFORMANCE, smooth=True)
    assert spec(wish) == BandwidthSpec(1_000_000, 500_000, Strategy.PERFORMANCE, smooth=True)


def test_a_viewer_begins_with_its_layer_and_its_playout_delay() -> None:
    engine = FakeEngine()
    hub = Hub(engine)
    publisher = publish(hub)
    start(engine, publisher)
    hub.drain()
    opened = hub.view(
        SubscribeGrant(KEY, SERVER),
        VIEW,
        Ear(),
        pinned=None,
        events=ALL_EVENTS,
        layer=LayerWish(max_height=360),
        playout_delay=PlayoutDelay(100, 400),
    )
    assert engine.transport_spec(opened.transport).playout_delay == PlayoutDelay(100, 400)
    assert engine.choice(opened.transport, Mid("0")) == LayerChoice(max_height=360)
    assert engine.priority(opened.transport, Mid("0")) is Priority.MAIN
    hub.select(opened.transport, LayerWish())
    assert engine.choice(opened.transport, Mid("0")) == LayerChoice()


# --- Inspection -----------------------------------------------------------------------------------------------------


async def test_who_asks_for_a_report_gets_the_next_one_and_the_media_plane_is_asked_once() -> None:
    engine = FakeEngine()
    hub = Hub(engine)
    viewer = view(hub)
    first, second = hub.inspect(viewer), hub.inspect(viewer)
    assert engine.commands.count(Inspect(viewer)) == 1
    hub.drain()
    third = hub.inspect(viewer)
    assert engine.commands.count(Inspect(viewer)) == 2
    hub.drain()
    assert await first is not None
    assert await first == await second == await third
    assert await asked(hub, TransportId(99)) is None


async def asked(hub: Hub, transport: TransportId) -> TransportReport | None:
    answer = hub.inspect(transport)
    hub.drain()
    return await answer


async def test_a_most_of_reports_is_waited_for_and_who_gives_up_makes_room() -> None:
    engine = FakeEngine()
    hub = Hub(engine)
    viewer = view(hub)
    engine.is_silent = True
    waiting = [hub.inspect(viewer) for _ in range(MAX_INSPECTIONS_OF_ACCOUNT)]
    with pytest.raises(Overloaded):
        hub.inspect(viewer)
    other = StreamKey(AccountId("another"), KEY.name)
    theirs = hub.view(SubscribeGrant(other, SERVER), VIEW, Ear(), pinned=None, events=ALL_EVENTS).transport
    waiting.append(hub.inspect(theirs))
    for answer in waiting:
        answer.cancel()
    await settled()
    engine.is_silent = False
    assert await asked(hub, viewer) is not None
    await settled()
    assert not hub._inspections.is_asked(viewer)


async def test_a_report_that_the_media_plane_has_no_room_for_is_refused() -> None:
    engine = FakeEngine()
    hub = Hub(engine)
    viewer = view(hub)
    engine.capacity = 0
    with pytest.raises(Overloaded):
        hub.inspect(viewer)
    assert not hub._inspections.is_asked(viewer)
    engine.capacity = 10
    hub.stop()


async def test_the_end_answers_who_still_waits() -> None:
    engine = FakeEngine()
    hub = Hub(engine)
    viewer = view(hub)
    engine.is_silent = True
    answer = hub.inspect(viewer)
    hub.stop()
    assert await answer is None


def test_a_transport_is_found_by_its_names_for_its_own_account_and_forgotten_with_it() -> None:
    hub = Hub(FakeEngine())
    opened = hub.view(SubscribeGrant(KEY, SERVER), VIEW, Ear(), pinned=None, events=ALL_EVENTS)
    for name in (str(opened.transport), *opened.names):
        found = hub.find(KEY.account, name)
        assert found is not None
        assert found.transport == opened.transport
        assert hub.find(AccountId("other"), name) is None
    hub.leave(opened.transport)
    assert all(hub.find(KEY.account, name) is None for name in (str(opened.transport), *opened.names))
    assert not hub._names
    assert not hub._named
