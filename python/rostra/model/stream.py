"""A stream as a value: sources with their feeds, viewers with their slots, and which track each slot has to show.

A decision takes a stream and returns the next one together with effects. Nothing here is ever changed in place, so
the hub can throw a decision away when the media plane has no room for its commands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from rostra.model.effects import (
    Active,
    AnnouncedTrack,
    Effect,
    Inactive,
    Leading,
    Send,
    SignalEvent,
    SourceEnded,
    SourceStarted,
)
from rostra.model.ids import SourceId, StreamKey, TrackName
from rostra.model.layers import AUTOMATIC, LayerWish
from rostra.model.media import (
    AddVoice,
    BindSlot,
    Codec,
    CodecSpec,
    GroupId,
    Kind,
    LayerChoice,
    Mid,
    Priority,
    RemoveVoice,
    SlotSpec,
    SourceKey,
    TrackId,
    TransportId,
    UnbindSlot,
)

MAX_SOURCES: Final = 256
"""Sources of one stream: as many m-lines as a viewer may have."""
MAX_FEEDS: Final = 8
"""Feeds of one source. Redundancy needs two or three; the rest is room for publishers that reconnect in a hurry."""
MAX_VIEWERS: Final = 10_000
"""Viewers of one stream on one node, three times what one core serves."""


@dataclass(frozen=True, slots=True)
class FeedTrack:
    """A track of a publisher. ``encodings``: their ids, lowest first. ``started``: its first packet came."""

    track: TrackId
    name: TrackName
    kind: Kind
    codecs: frozenset[Codec]
    encodings: tuple[str, ...] = ("0",)
    started: bool = False


class Door(StrEnum):
    """How a publisher came in."""

    SOCKET = "websocket"
    WHIP = "whip"
    RTMP = "rtmp"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with what a publisher sends. ``code`` is stable, ``text`` says the cure; ``at_s`` since 1970."""

    code: str
    text: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Feed:
    """One publisher connection.

    ``order`` grows with each feed of the stream. ``stalled``: no packet for 5 s. ``detached``: its socket is lost, and
    media alone keeps it alive. ``is_public``: may be watched without a token. ``problems``: as they were told, the
    newest last. ``key_frame_ms``: between the last two key frames, where somebody measures it.
    """

    transport: TransportId
    source: SourceId | None
    tracks: tuple[FeedTrack, ...]
    order: int
    priority: int | None = None
    events: frozenset[str] = frozenset()
    is_public: bool = True
    connected: bool = False
    stalled: bool = False
    detached: bool = False
    door: Door = Door.SOCKET
    problems: tuple[Problem, ...] = ()
    key_frame_ms: int | None = None

    @property
    def live(self) -> bool:
        """Whether anything came from it."""
        return any(track.started for track in self.tracks)

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """The greatest of a source wins: one that sends, then priority (unset is lowest), then the newest."""
        return not self.stalled, self.priority is not None, self.priority or 0, self.order

    def named(self, name: TrackName) -> FeedTrack | None:
        """The track of that name."""
        return next((track for track in self.tracks if track.name == name), None)


@dataclass(frozen=True, slots=True)
class Source:
    """One publication and everybody who feeds it.

    ``live`` is what viewers were told, ``voices`` the tracks that the media plane was told may be heard in its name.
    """

    id: SourceId | None
    feeds: tuple[Feed, ...] = ()
    live: bool = False
    voices: tuple[TrackId, ...] = ()

    @property
    def ranked(self) -> list[Feed]:
        """Feeds, the best first."""
        return sorted(self.feeds, key=lambda feed: feed.rank, reverse=True)

    @property
    def leader(self) -> Feed | None:
        """The feed whose tracks are those of the source: the best live one, else the best."""
        ranked = self.ranked
        return next((feed for feed in ranked if feed.live), ranked[0] if ranked else None)

    def showable(self, name: TrackName, codecs: frozenset[Codec] | None = None) -> FeedTrack | None:
        """The track that a slot with these codecs (``None``: any) has to show.

        A better feed takes over track by track, each when its first packet came: until then the old one stays. Once it
        is live, a track that it does not have is one that the source does not have.
        """
        for feed in self.ranked:
            track = feed.named(name)
            if track is None:
                if feed.live:
                    return None
            elif track.started and (codecs is None or not codecs.isdisjoint(track.codecs)):
                return track
        return None

    @property
    def audible(self) -> tuple[TrackId, ...]:
        """Its sound: of each audio track that of the feed which wins, so that nobody is heard twice."""
        names = dict.fromkeys(track.name for feed in self.feeds for track in feed.tracks if track.kind is Kind.AUDIO)
        return tuple(track.track for name in names if (track := self.showable(name)) is not None)

    def active(self, stream: StreamKey) -> Active:
        """What viewers hear about it."""
        tracks = self.leader.tracks if self.leader is not None else ()
        return Active(stream, self.id, tuple(AnnouncedTrack(track.name, track.kind) for track in tracks))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a slot shall show whenever it can, and how. It outlives the source: a source that returns is shown again."""

    source: SourceId | None
    track: TrackName
    layer: LayerWish = AUTOMATIC
    promote: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """An m-line of a viewer. ``bound`` is the track that was ordered last, always one of the wanted source."""

    spec: SlotSpec
    wanted: Wanted | None = None
    bound: TrackId | None = None

    @property
    def codecs(self) -> frozenset[Codec]:
        """What the viewer can play there."""
        return frozenset(codec.codec for codec in self.spec.codecs)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who watches. ``main`` is the first m-line of each kind, ``templates`` its codecs; ``events`` what it asked for.

    ``pinned``: the source that the main m-lines are for. ``pool``: audio m-lines that play whoever speaks, unless
    something is projected there; ``excluded``: sources that they never play.

    ``follows``: it named no source, and ``pinned`` is one that it is shown until the main one is live.

    ``is_anonymous``: it showed no token. Until it is connected, it leaves for others where the stream is full.

    ``announced``: it knows which sources are live, and hears of every change from then on. ``greeted``: it got an
    ``active``, which clients wait for, so that the first one ignores ``events``.
    """

    transport: TransportId
    slots: Mapping[Mid, Slot]
    main: Mapping[Kind, Mid]
    templates: Mapping[Kind, tuple[CodecSpec, ...]]
    events: frozenset[str]
    pinned: SourceId | None = None
    pool: tuple[Mid, ...] = ()
    excluded: frozenset[SourceId | None] = frozenset()
    announced: bool = False
    greeted: bool = False
    stalled: bool = False
    detached: bool = False
    connected: bool = False
    follows: bool = False
    is_anonymous: bool = False

    def bind(self, mid: Mid, wanted: Wanted, track: FeedTrack) -> BindSlot:
        """The order to show the track there, in the layer and with the priority that are wanted."""
        if self.main.get(track.kind) == mid and wanted.source == self.pinned:
            priority = Priority.MAIN
        else:
            priority = Priority.PROMOTED if wanted.promote else Priority.NORMAL
        choice = wanted.layer.choice(track.encodings) if track.kind is Kind.VIDEO else LayerChoice()
        return BindSlot(self.transport, mid, track.track, choice, priority)


@dataclass(frozen=True, slots=True)
class Stream:
    """Everything that the control plane knows of a stream.

    ``group``: its voices. ``keys``: how the media plane knows sources, those that viewers merely name among them.
    ``voiced``: somebody listened, so that audio tracks are candidates.

    ``order`` is that of the newest feed. ``counting``: a timer for ``viewercount`` runs; ``count_changed``: it has
    something to tell.
    """

    key: StreamKey
    group: GroupId
    sources: Mapping[SourceId | None, Source] = field(default_factory=dict)
    viewers: Mapping[TransportId, Viewer] = field(default_factory=dict)
    keys: Mapping[SourceId | None, SourceKey] = field(default_factory=dict)
    voiced: bool = False
    order: int = 0
    counting: bool = False
    count_changed: bool = False

    @property
    def is_empty(self) -> bool:
        """Nobody publishes and nobody watches."""
        return not self.sources and not self.viewers

    @property
    def feeds(self) -> Iterator[Feed]:
        """All feeds of all sources."""
        return (feed for source in self.sources.values() for feed in source.feeds)

    @property
    def is_published(self) -> bool:
        """Whether there is something to see, now or as soon as a connected publisher sends."""
        return any(source.live for source in self.sources.values()) or any(feed.connected for feed in self.feeds)

    def has_published(self, source: SourceId | None) -> bool:
        """``is_published``, of one source."""
        found = self.sources.get(source)
        return found is not None and (found.live or any(feed.connected for feed in found.feeds))

    @property
    def is_public(self) -> bool:
        """Whether it may be watched without a token: every feed has to allow it."""
        return all(feed.is_public for feed in self.feeds)

    @property
    def audience(self) -> int:
        """How many watch."""
        return sum(viewer.announced for viewer in self.viewers.values())

    def feed(self, transport: TransportId) -> Feed | None:
        """The feed of a transport."""
        return next((feed for feed in self.feeds if feed.transport == transport), None)

    def live_sources(self) -> list[Source]:
        """Live sources, the main one first, then in the order in which they came."""
        live = [source for source in self.sources.values() if source.live]
        return sorted(live, key=lambda source: source.id is not None)


@dataclass(frozen=True, slots=True)
class Decision:
    """The stream as it will be, and what has to happen."""

    stream: Stream
    effects: tuple[Effect, ...] = ()


def with_viewer(stream: Stream, viewer: Viewer) -> Stream:
    """The stream with that viewer in place of its former self."""
    return replace(stream, viewers={**stream.viewers, viewer.transport: viewer})


def with_feeds(stream: Stream, source: SourceId | None, feeds: tuple[Feed, ...]) -> Decision:
    """The stream after the feeds of a source changed: ``active``, ``inactive`` and every slot that wants the source.

    A live source whose last sending feed left stays live while another one is connected: it sends any moment, and two
    connections of one publisher are how it moves from one server or network to another.
    """
    before = stream.sources.get(source, Source(source))
    live = any(feed.live for feed in feeds) or (before.live and any(feed.connected for feed in feeds))
    after = replace(before, feeds=feeds, live=live)
    stream, voices = with_voices(stream, after)
    if not feeds:
        stream = replace(stream, sources={name: one for name, one in stream.sources.items() if name != source})
    if source is None and live:
        stream = _followed(stream, after)
    stream, slots = _rebound(stream, after)
    binds = (*voices, *slots, *_lead_changes(stream.key, before, after))
    if live == before.live:
        return Decision(stream, binds)
    if live:
        told = tell_viewers(stream, after.active(stream.key))
        return Decision(told.stream, (*binds, SourceStarted(stream.key, source), *told.effects))
    told = tell_viewers(stream, Inactive(stream.key, source))
    return Decision(told.stream, (*binds, SourceEnded(stream.key, source), *told.effects))


def _lead_changes(stream: StreamKey, before: Source, after: Source) -> tuple[Send, ...]:
    """Tell publishers that send and asked for ``leading`` whether viewers get their tracks, when that is news.

    A publisher that begins to send expects to lead, so that only the contrary is told.
    """
    led = before.leader.transport if before.leader is not None else None
    sent = {feed.transport for feed in before.feeds if feed.live}
    told: list[Send] = []
    for feed in after.feeds:
        if not feed.live or Leading.name not in feed.events:
            continue
        leads = feed is after.leader
        if leads != (feed.transport not in sent or feed.transport == led):
            told.append(Send((feed.transport,), Leading(stream, after.id, leads)))
    return tuple(told)


def with_feed(stream: Stream, feed: Feed) -> Decision:
    """The stream after something became known of a feed that changes nothing for viewers."""
    source = stream.sources[feed.source]
    feeds = tuple(feed if one.transport == feed.transport else one for one in source.feeds)
    return Decision(replace(stream, sources={**stream.sources, feed.source: replace(source, feeds=feeds)}))


def with_voices(stream: Stream, source: Source) -> tuple[Stream, tuple[Effect, ...]]:
    """The stream with that source, after the media plane was told which of its tracks may be heard.

    Nothing is told in a stream that nobody has listened to: who speaks there is not worth a look at every packet.
    """
    voices = source.audible if stream.voiced else ()
    alive = {track.track for feed in source.feeds for track in feed.tracks}
    gone = [RemoveVoice(track) for track in source.voices if track in alive and track not in voices]
    come = [AddVoice(stream.group, track, stream.keys[source.id]) for track in voices if track not in source.voices]
    sources = {**stream.sources, source.id: replace(source, voices=voices)}
    return replace(stream, sources=sources), (*gone, *come)


def tell_viewers(stream: Stream, event: SignalEvent) -> Decision:
    """Tell all viewers that asked for the event. An ``active`` goes to those, too, that never had one."""
    opens = isinstance(event, Active)
    to: list[TransportId] = []
    greeted: dict[TransportId, Viewer] = {}
    for viewer in stream.viewers.values():
        if viewer.announced and (event.name in viewer.events or (opens and not viewer.greeted)):
            to.append(viewer.transport)
            if opens and not viewer.greeted:
                greeted[viewer.transport] = replace(viewer, greeted=True)
    if greeted:
        stream = replace(stream, viewers={**stream.viewers, **greeted})
    return Decision(stream, (Send(tuple(to), event),) if to else ())


def _followed(stream: Stream, main: Source) -> Stream:
    """Viewers that were shown another source for want of a main one want that now.

    Each m-line when its first packet came: until then the old picture stays. What the main source does not have, or
    the viewer cannot play, is shown no more: sound of one source with the picture of another would be of neither.
    """
    changed: dict[TransportId, Viewer] = {}
    for viewer in stream.viewers.values():
        if not viewer.follows:
            continue
        slots: dict[Mid, Slot] = {}
        waits = False
        for mid in viewer.main.values():
            slot = viewer.slots.get(mid)
            if slot is None or slot.wanted is None or slot.wanted.source is None:
                continue
            name = slot.wanted.track
            if main.showable(name) is None and any(feed.named(name) is not None for feed in main.feeds):
                waits = True
                continue
            slots[mid] = replace(slot, wanted=replace(slot.wanted, source=None))
        changed[viewer.transport] = replace(viewer, slots={**viewer.slots, **slots}, pinned=None, follows=waits)
    return replace(stream, viewers={**stream.viewers, **changed}) if changed else stream


def _rebound(stream: Stream, source: Source) -> tuple[Stream, tuple[Effect, ...]]:
    """Every slot that wants the source shows what it has to."""
    effects: list[Effect] = []
    changed: dict[TransportId, Viewer] = {}
    for viewer in stream.viewers.values():
        slots: dict[Mid, Slot] = {}
        for mid, slot in viewer.slots.items():
            if slot.wanted is None or slot.wanted.source != source.id:
                continue
            track = source.showable(slot.wanted.track, slot.codecs)
            bound = track.track if track is not None else None
            if bound == slot.bound:
                continue
            slots[mid] = replace(slot, bound=bound)
            if track is not None:
                effects.append(viewer.bind(mid, slot.wanted, track))
            else:  # also when the track ended: one that was staged leaves behind what it was to replace
                effects.append(UnbindSlot(viewer.transport, mid))
        if slots:
            changed[viewer.transport] = replace(viewer, slots={**viewer.slots, **slots})
    if changed:
        stream = replace(stream, viewers={**stream.viewers, **changed})
    return stream, tuple(effects)
