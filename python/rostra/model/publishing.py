"""Decisions about publishers: they come, send, stall, lose their socket and go."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rostra.model.effects import Effect, Send, SignalEvent, Speaking, ViewerCount, Watched
from rostra.model.ids import SourceId, track_name
from rostra.model.layers import encoding_ids
from rostra.model.media import (
    CloseTransport,
    Kind,
    LocalFeedSpec,
    OpenLocalFeed,
    OpenTransport,
    TrackId,
    TransportId,
    TransportSpec,
)
from rostra.model.refused import MultisourceNotAllowed, TooMany
from rostra.model.stream import MAX_FEEDS, MAX_SOURCES, Decision, Door, Feed, FeedTrack, Source, Stream, with_feeds
from rostra.model.voices import keyed, voiced


@dataclass(frozen=True, slots=True)
class Publish:
    """A publisher wants to feed a source. ``spec`` is what was negotiated; its receiving m-lines are the tracks.

    ``descriptor``: of a local feed.
    """

    transport: TransportId
    spec: TransportSpec | LocalFeedSpec
    source: SourceId | None
    priority: int | None
    events: frozenset[str]
    multisource: bool
    is_public: bool
    descriptor: int = -1
    door: Door = Door.SOCKET

    @property
    def opening(self) -> OpenTransport | OpenLocalFeed:
        """The order that lets it in."""
        if isinstance(self.spec, LocalFeedSpec):
            return OpenLocalFeed(self.transport, self.spec, self.descriptor)
        return OpenTransport(self.transport, self.spec)


def publish(stream: Stream, cmd: Publish, keys: Iterator[int]) -> Decision:
    """Let the publisher in. The source goes live with the first packet.

    Args:
        stream: the stream.
        cmd: who comes.
        keys: fresh keys, for a source that has none.

    Raises:
        MultisourceNotAllowed: a named source, and the token is good for the main one only.
        TooMany: the stream has too many sources, or the source too many feeds.
    """
    if cmd.source is not None and not cmd.multisource:
        raise MultisourceNotAllowed("This token publishes the main source only")
    source = stream.sources.get(cmd.source, Source(cmd.source))
    if len(source.feeds) >= MAX_FEEDS:
        raise TooMany("Too many publishers of this source")
    if not source.feeds and len(stream.sources) >= MAX_SOURCES:
        raise TooMany("Too many sources in this stream")
    order = stream.order + 1
    tracks = _tracks(cmd.spec)
    feed = Feed(cmd.transport, cmd.source, tracks, order, cmd.priority, cmd.events, cmd.is_public, door=cmd.door)
    stream = keyed(replace(stream, order=order), (cmd.source,), keys)
    decision = with_feeds(stream, cmd.source, (*source.feeds, feed))
    heard = voiced(decision.stream) if Speaking.name in cmd.events else Decision(decision.stream)
    return Decision(heard.stream, (cmd.opening, *decision.effects, *heard.effects))


def announce(stream: Stream, transport: TransportId) -> Decision:
    """Tell a new publisher, once it has its answer, whether somebody watches already, and how many."""
    feed = stream.feed(transport)
    if feed is None or not stream.audience:
        return Decision(stream)
    events = (Watched(stream.key), ViewerCount(stream.key, stream.audience))
    return Decision(stream, tuple(Send((transport,), event) for event in events if event.name in feed.events))


def connected(stream: Stream, feed: Feed) -> Decision:
    """The transport is up."""
    return _changed(stream, replace(feed, connected=True))


def track_started(stream: Stream, feed: Feed, track: TrackId) -> Decision:
    """First packet of a track: the source goes live, or the feed takes the track over from another one."""
    tracks = tuple(replace(one, started=True) if one.track == track else one for one in feed.tracks)
    return _changed(stream, replace(feed, tracks=tracks, connected=True))


def stalled(stream: Stream, feed: Feed) -> Decision:
    """Nothing came for 5 s: another feed takes over. Without its socket the publisher is gone."""
    if feed.detached:
        return leave(stream, feed)
    return _changed(stream, replace(feed, stalled=True))


def resumed(stream: Stream, feed: Feed) -> Decision:
    """Packets again: the feed takes its place back."""
    return _changed(stream, replace(feed, stalled=False))


def detach(stream: Stream, feed: Feed) -> Decision:
    """The socket was lost. Media lives for as long as packets arrive."""
    if feed.stalled or not feed.connected:
        return leave(stream, feed)
    return _changed(stream, replace(feed, detached=True))


def leave(stream: Stream, feed: Feed) -> Decision:
    """The publisher says good-bye. Slots are bound to another feed, if there is one, before its transport closes."""
    decision = ended(stream, feed)
    effects: tuple[Effect, ...] = (*decision.effects, CloseTransport(feed.transport))
    return Decision(decision.stream, effects)


def ended(stream: Stream, feed: Feed) -> Decision:
    """The transport is gone."""
    source = stream.sources[feed.source]
    return with_feeds(stream, feed.source, tuple(one for one in source.feeds if one.transport != feed.transport))


def tell_publishers(stream: Stream, event: SignalEvent) -> tuple[Effect, ...]:
    """Tell all publishers that asked for the event."""
    to = tuple(feed.transport for feed in stream.feeds if event.name in feed.events)
    return (Send(to, event),) if to else ()


def _changed(stream: Stream, feed: Feed) -> Decision:
    feeds = stream.sources[feed.source].feeds
    return with_feeds(stream, feed.source, tuple(feed if one.transport == feed.transport else one for one in feeds))


def _tracks(spec: TransportSpec | LocalFeedSpec) -> tuple[FeedTrack, ...]:
    """The tracks, named by kind and place: two publishers of one source agree about names without knowing it."""
    seen: Counter[Kind] = Counter()
    tracks: list[FeedTrack] = []
    for receive in spec.receive:
        codecs = frozenset(codec.codec for codec in receive.codecs)
        name = track_name(receive.kind, seen[receive.kind])
        tracks.append(FeedTrack(receive.track, name, receive.kind, codecs, encoding_ids(receive.encodings)))
        seen[receive.kind] += 1
    return tuple(tracks)
