"""Random lives of publishers and viewers, on the hub and the media plane in memory.

Facts of the media plane are taken in late, so that commands cross them on their way, and sometimes it has no room.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.scene import ALL_EVENTS, AUDIO, KEY, VIDEO, show

from rostra.hub import Hub
from rostra.media.engine import Overloaded
from rostra.media.fake import FakeEngine
from rostra.model.description import SessionDescription
from rostra.model.effects import SignalEvent, Vad
from rostra.model.ids import ServerId, SourceId
from rostra.model.layers import AUTOMATIC, LayerWish
from rostra.model.media import (
    Codec,
    EncodingReport,
    Kind,
    LayerChoice,
    Listen,
    Mid,
    Priority,
    ShownLayer,
    Speaker,
    TrackId,
    TransportId,
)
from rostra.model.refused import KindMismatch, TooMany, UnknownSource, UnknownTrack
from rostra.model.token import PublishGrant, SubscribeGrant
from rostra.model.viewing import Project
from rostra.protocol import sdp

OFFERS = Path(__file__).parent.parent / "data" / "offers"
PUBLISH = sdp.parse((OFFERS / "chromium-publish.sdp").read_text())
PUBLISH_RIDS = sdp.parse((OFFERS / "chromium-publish-simulcast.sdp").read_text())
PUBLISH_SIM = sdp.parse((OFFERS / "sdk-publish-sim.sdp").read_text())
LISTENING = ALL_EVENTS | {"layers", "vad"}
VIEW = sdp.parse((OFFERS / "chromium-view.sdp").read_text())
VIEW_VOICES = sdp.parse((OFFERS / "chromium-view-multiplexed.sdp").read_text())
POOL = (Mid("2"), Mid("3"))
SOURCES = [None, SourceId("a")]
NAMES = [None, SourceId("a"), SourceId("nobody")]
PUBLISHING = PublishGrant(KEY, ServerId("0" * 32), multisource=True, subscribe_requires_auth=False)
VIEWING = SubscribeGrant(KEY, ServerId("0" * 32))


class Silent:
    """A socket that nobody reads."""

    def tell(self, event: SignalEvent) -> None:
        pass

    def hang_up(self) -> None:
        pass


class Listener(Silent):
    """A socket that remembers whose voice it was told last of each line."""

    def __init__(self) -> None:
        self.voices: dict[Mid, SourceId | None] = {}

    def tell(self, event: SignalEvent) -> None:
        if isinstance(event, Vad):
            assert event.heard or event.mid in self.voices
            self.voices.pop(event.mid, None)
            if event.heard:
                self.voices[event.mid] = event.source


@dataclass
class Feed:
    """What the test remembers of a publisher. Its place in ``feeds`` is its age."""

    source: SourceId | None
    priority: int | None
    tracks: dict[str, TrackId]
    encodings: list[str]
    is_stalled: bool = False


@dataclass(frozen=True)
class Intent:
    """What the test remembers of what a viewer wants to see on one line."""

    source: SourceId | None
    kind: str
    layer: LayerWish = AUTOMATIC
    promote: bool = False


LAYERS = st.builds(
    LayerWish,
    st.sampled_from([None, "l", "m", "h", "0", "2", "else"]),
    st.sampled_from([None, 0, 2]),
    max_height=st.sampled_from([None, 360]),
)


class Slots(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.engine = FakeEngine()
        self.hub = Hub(self.engine)
        self.feeds: dict[TransportId, Feed] = {}
        self.intents: dict[TransportId, dict[str, Intent]] = {}
        self.pinned: dict[TransportId, SourceId | None] = {}
        self.excluded: dict[TransportId, frozenset[SourceId | None]] = {}
        self.ears: dict[TransportId, Listener] = {}
        self.followers: set[TransportId] = set()
        self.has_news = False

    def pick(self, ids: list[TransportId], number: int) -> TransportId:
        return ids[number % len(ids)]

    def news(self, late: bool) -> None:
        """Something happened. Seen at once, or after more has happened."""
        self.has_news = True
        if not late:
            self.drain()

    @initialize(pinned=st.sampled_from(SOURCES))
    def somebody_watches(self, pinned: SourceId | None) -> None:
        self.view(pinned, AUTOMATIC, vad=False, excluded=frozenset())

    # --- Publishers ---------------------------------------------------------------------------------------------

    @rule(
        source=st.sampled_from(SOURCES),
        priority=st.sampled_from([None, 1, 2]),
        sends=st.booleans(),
        late=st.booleans(),
        offer=st.sampled_from([PUBLISH, PUBLISH_RIDS, PUBLISH_SIM]),
    )
    def publish(
        self, source: SourceId | None, priority: int | None, sends: bool, late: bool, offer: SessionDescription
    ) -> None:
        try:
            opened = self.hub.publish(
                PUBLISHING, offer, Silent(), codec=Codec.VP8, source=source, priority=priority, events=frozenset()
            )
        except TooMany:
            return
        transport = opened.transport
        receive = self.engine.transport_spec(transport).receive
        (picture,) = (one for one in receive if one.kind is VIDEO)
        ids = [encoding.rid or str(place) for place, encoding in enumerate(picture.encodings)]
        self.feeds[transport] = Feed(source, priority, {one.kind.value: one.track for one in receive}, ids)
        self.hub.announce(transport)
        if sends:
            for track in self.feeds[transport].tracks.values():
                self.engine.start(track)
            self.news(late)

    @precondition(lambda self: self.feeds)
    @rule(number=st.integers(0, 99), kind=st.sampled_from(["audio", "video"]), late=st.booleans())
    def start(self, number: int, kind: str, late: bool) -> None:
        transport = self.pick(list(self.feeds), number)
        self.engine.connect(transport)
        self.engine.start(self.feeds[transport].tracks[kind])
        self.news(late)

    @precondition(lambda self: self.feeds)
    @rule(number=st.integers(0, 99), late=st.booleans())
    def stall_or_resume(self, number: int, late: bool) -> None:
        feed = self.feeds[transport := self.pick(list(self.feeds), number)]
        feed.is_stalled = not feed.is_stalled
        (self.engine.stall if feed.is_stalled else self.engine.resume)(transport)
        self.news(late)

    # --- Viewers ------------------------------------------------------------------------------------------------

    @rule(
        pinned=st.sampled_from(SOURCES),
        layer=LAYERS,
        vad=st.booleans(),
        excluded=st.frozensets(st.sampled_from(NAMES), max_size=2),
    )
    def view(self, pinned: SourceId | None, layer: LayerWish, vad: bool, excluded: frozenset[SourceId | None]) -> None:
        ear = Listener()
        opened = self.hub.view(
            VIEWING,
            VIEW_VOICES if vad else VIEW,
            ear,
            pinned=pinned,
            events=LISTENING,
            layer=layer,
            vad=vad,
            excluded=excluded,
        )
        self.ears[opened.transport] = ear
        if vad:
            self.excluded[opened.transport] = excluded
        self.hub.announce(opened.transport)
        self.intents[opened.transport] = {"0": Intent(pinned, "video", layer), "1": Intent(pinned, "audio")}
        self.pinned[opened.transport] = pinned

    @rule()
    def follow(self) -> None:
        """Somebody who names no source, and is shown another one until there is a main one."""
        known = set(self.intents)
        source = SOURCES[1]
        self.hub.view(VIEWING, VIEW, Silent(), pinned=source, events=ALL_EVENTS, follows=True)
        (transport,) = set(self.hub.stream(KEY).viewers) - known
        self.hub.announce(transport)
        self.intents[transport] = {"0": Intent(source, "video"), "1": Intent(source, "audio")}
        self.pinned[transport] = source
        self.followers.add(transport)

    def sources_of_followers(self) -> None:
        """They change their minds once, to the main source, and when there is something of it to show."""
        for transport in self.followers & set(self.intents):
            slots = self.hub.stream(KEY).viewers[transport].slots
            for mid, intent in self.intents[transport].items():
                wanted = slots[Mid(mid)].wanted
                assert wanted is not None
                if wanted.source != intent.source:
                    assert (wanted.source, mid in ("0", "1")) == (None, True)
                    assert self.hub.stream(KEY).viewers[transport].pinned is None
                    self.pinned[transport] = None
                    self.intents[transport][mid] = replace(intent, source=None)

    @precondition(lambda self: self.intents)
    @rule(
        number=st.integers(0, 99),
        source=st.sampled_from(SOURCES),
        kind=st.sampled_from([AUDIO, VIDEO]),
        mid=st.sampled_from(["0", "1", "2", "3", "4"]),
        layer=LAYERS,
        promote=st.booleans(),
    )
    def project(
        self, number: int, source: SourceId | None, kind: Kind, mid: str, layer: LayerWish, promote: bool
    ) -> None:
        transport = self.pick(list(self.intents), number)
        try:
            self.hub.project(Project(transport, source, (show(mid, kind, layer=layer, promote=promote),)))
        except (KindMismatch, UnknownSource, UnknownTrack):
            return
        self.intents[transport][mid] = Intent(source, kind.value, layer, promote)

    @precondition(lambda self: self.intents)
    @rule(number=st.integers(0, 99), layer=LAYERS)
    def select(self, number: int, layer: LayerWish) -> None:
        transport = self.pick(list(self.intents), number)
        self.hub.select(transport, layer)
        if (intent := self.intents[transport].get("0")) is not None:
            self.intents[transport]["0"] = replace(intent, layer=layer)

    @precondition(lambda self: self.intents)
    @rule(number=st.integers(0, 99), mid=st.sampled_from(["0", "1", "2", "3", "4"]))
    def unproject(self, number: int, mid: str) -> None:
        transport = self.pick(list(self.intents), number)
        self.hub.unproject(transport, (Mid(mid),))
        self.intents[transport].pop(mid, None)

    @precondition(lambda self: self.feeds)
    @rule(numbers=st.lists(st.integers(0, 99), max_size=3), late=st.booleans())
    def speak(self, numbers: list[int], late: bool) -> None:
        feeds = dict.fromkeys(self.pick(list(self.feeds), number) for number in numbers)
        speakers = [Speaker(self.feeds[feed].tracks["audio"], 20 + place) for place, feed in enumerate(feeds)]
        self.engine.speak(self.hub.stream(KEY).group, *speakers)
        self.news(late)

    # --- Both ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.feeds or self.intents)
    @rule(number=st.integers(0, 99), how=st.sampled_from(["leave", "lose", "drop"]))
    def end(self, number: int, how: str) -> None:
        transport = self.pick([*self.feeds, *self.intents], number)
        if how == "drop":
            self.engine.drop(transport)
            self.has_news = True
            self.drain()  # who ended cannot be asked for anything more
        elif how == "leave":
            self.hub.leave(transport)
        else:
            self.drain()
            self.hub.detach(transport)
            self.engine.stall(transport)
            self.drain()
        assert transport not in self.engine.transports()
        self.feeds.pop(transport, None)
        self.intents.pop(transport, None)
        self.excluded.pop(transport, None)
        self.ears.pop(transport, None)

    @precondition(lambda self: self.feeds)
    @rule(number=st.integers(0, 99), kind=st.sampled_from(["audio", "video"]))
    def end_unseen(self, number: int, kind: str) -> None:
        """The publisher ends while its first packet and orders for its tracks are under way."""
        transport = self.pick(list(self.feeds), number)
        self.engine.start(self.feeds[transport].tracks[kind])
        self.engine.drop(transport)
        del self.feeds[transport]
        self.has_news = True

    @rule(late=st.booleans())
    def key_frames(self, late: bool) -> None:
        """Slots keep what they show while the key frame of what was ordered does not come."""
        (self.engine.delay_key_frames if late else self.engine.bring_key_frames)()

    @precondition(lambda self: self.feeds)
    @rule(number=st.integers(0, 99), active=st.booleans(), late=st.booleans())
    def flow(self, number: int, active: bool, late: bool) -> None:
        feed = self.feeds[self.pick(list(self.feeds), number)]
        reports = [EncodingReport(active=active)] * len(feed.encodings)
        self.engine.flow(feed.tracks["video"], *reports)
        self.news(late)

    @precondition(lambda self: self.intents)
    @rule(number=st.integers(0, 99), encoding=st.sampled_from([None, 0, 2]), late=st.booleans())
    def forward(self, number: int, encoding: int | None, late: bool) -> None:
        layer = ShownLayer(encoding) if encoding is not None else None
        self.engine.forward(self.pick(list(self.intents), number), Mid("0"), layer)
        self.news(late)

    @rule(pinned=st.sampled_from(SOURCES))
    def be_overloaded(self, pinned: SourceId | None) -> None:
        """A request without room leaves no trace; a fact without room is acted upon later."""
        before = self.hub.totals()
        self.engine.capacity = 0
        try:
            self.hub.view(VIEWING, VIEW, Silent(), pinned=pinned, events=ALL_EVENTS)
            raise AssertionError("there was room")
        except Overloaded:
            assert self.hub.totals() == before
        self.hub.drain()
        self.engine.capacity = 65_536
        self.has_news = True

    @rule()
    def drain(self) -> None:
        """Twice: orders that crossed a fact are refused by another one."""
        self.hub.drain()
        self.hub.drain()
        self.has_news = False

    # --- What always holds --------------------------------------------------------------------------------------

    @invariant()
    def no_slot_shows_a_dead_track(self) -> None:
        for viewer in self.intents:
            for track in self.engine.slots(viewer).values():
                assert track is None or self.engine.is_live(track)

    @invariant()
    def model_and_media_plane_agree(self) -> None:
        if self.has_news:
            return
        viewers = self.hub.stream(KEY).viewers
        assert set(viewers) == set(self.intents)
        for transport, viewer in viewers.items():
            pool = self.engine.pool(transport)
            shown = {mid: track for mid, track in self.engine.slots(transport).items() if mid not in pool}
            assert {mid: slot.bound for mid, slot in viewer.slots.items() if mid not in pool} == shown
            assert all(viewer.slots[mid].bound is None for mid in pool)

    @invariant()
    def every_intent_is_met_by_the_best_feed(self) -> None:
        if self.has_news:
            return
        self.sources_of_followers()
        for viewer, intents in self.intents.items():
            pool = self.engine.pool(viewer)
            shown = {mid: track for mid, track in self.engine.slots(viewer).items() if mid not in pool}
            for mid, intent in intents.items():
                candidates = [
                    ((not feed.is_stalled, feed.priority is not None, feed.priority or 0, transport), feed)
                    for transport, feed in self.feeds.items()
                    if feed.source == intent.source and self.engine.is_live(feed.tracks[intent.kind])
                ]
                if not candidates:
                    assert shown[Mid(mid)] is None
                    continue
                best = max(candidates, key=lambda one: one[0])[1]
                assert shown[Mid(mid)] == best.tracks[intent.kind]
                assert self.engine.choice(viewer, Mid(mid)) == self.choice(intent, best)
                if viewer not in self.followers:
                    assert self.engine.priority(viewer, Mid(mid)) is self.priority(viewer, mid, intent)
            assert all(track is None for mid, track in shown.items() if mid not in intents)

    def choice(self, intent: Intent, feed: Feed) -> LayerChoice:
        if intent.kind == "audio":
            return LayerChoice()
        name = intent.layer.encoding
        place = feed.encodings.index(name) if name in feed.encodings else None
        return LayerChoice(encoding=place, spatial=intent.layer.spatial, max_height=intent.layer.max_height)

    def priority(self, viewer: TransportId, mid: str, intent: Intent) -> Priority:
        if {"0": "video", "1": "audio"}.get(mid) == intent.kind and intent.source == self.pinned[viewer]:
            return Priority.MAIN
        return Priority.PROMOTED if intent.promote else Priority.NORMAL

    @invariant()
    def pools_have_the_lines_that_nothing_is_projected_onto(self) -> None:
        if self.has_news:
            return
        for viewer, excluded in self.excluded.items():
            orders = [one for one in self.engine.commands if isinstance(one, Listen) and one.transport == viewer]
            intents = self.intents[viewer]
            assert orders[-1].mids == self.engine.pool(viewer) == tuple(mid for mid in POOL if mid not in intents)
            own = {intent.source for intent in intents.values() if intent.kind == "audio"}
            silent = {self.pinned[viewer]} if "1" not in intents else set()
            keys = self.hub.stream(KEY).keys
            assert orders[-1].excluded == {keys[name] for name in own | silent | excluded}
        for viewer in set(self.intents) - set(self.excluded):
            assert self.engine.pool(viewer) == ()

    @invariant()
    def the_winner_of_each_source_is_a_candidate(self) -> None:
        if self.has_news:
            return
        stream = self.hub.stream(KEY)
        best: dict[SourceId | None, tuple[tuple[bool, bool, int, int], TrackId]] = {}
        for transport, feed in self.feeds.items():
            rank = (not feed.is_stalled, feed.priority is not None, feed.priority or 0, transport)
            if self.engine.is_live(feed.tracks["audio"]):
                best[feed.source] = max(
                    best.get(feed.source, (rank, feed.tracks["audio"])), (rank, feed.tracks["audio"])
                )
        expected = {track: stream.keys[source] for source, (_, track) in best.items()} if stream.voiced else {}
        assert self.engine.voices(stream.group) == expected

    @invariant()
    def what_is_told_is_what_is_played(self) -> None:
        if self.has_news or self.engine.has_news:
            return
        sources = {feed.tracks["audio"]: feed.source for feed in self.feeds.values()}
        for viewer, ear in self.ears.items():
            pool, slots = self.engine.pool(viewer), self.engine.slots(viewer)
            played = {mid: track for mid, track in slots.items() if mid in pool and track is not None}
            assert ear.voices == {mid: sources[track] for mid, track in played.items()}
            # Nobody is heard twice, nor whom the viewer does not want to hear.
            own = {intent.source for intent in self.intents[viewer].values() if intent.kind == "audio"}
            away = own | self.excluded.get(viewer, frozenset())
            assert not away & set(ear.voices.values())
            assert len(set(ear.voices.values())) == len(ear.voices)

    @invariant()
    def reports_are_kept_of_the_living_alone(self) -> None:
        if not self.has_news:
            tracks = {track for feed in self.feeds.values() for track in feed.tracks.values()}
            assert set(self.hub._reports.owners) == tracks
            assert set(self.hub._reports.tracks) <= tracks
            assert set(self.hub._reports.shown) <= set(self.intents)
            assert set(self.hub._voices._sources) == tracks
            assert set(self.hub._voices._played) <= set(self.intents)
            assert set(self.hub._voices._speaking) <= set(self.hub._grouped)
            assert len(self.hub._grouped) == self.hub.totals().streams

    @invariant()
    def nothing_is_left_behind(self) -> None:
        if not self.has_news and not self.feeds and not self.intents:
            assert self.hub.totals().streams == 0
            assert self.engine.transports() == set()

    def teardown(self) -> None:
        self.engine.capacity = 65_536
        self.hub.stop()
        assert self.engine.transports() == set()


# 5 000 steps.
TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
