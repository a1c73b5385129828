"""Decisions about viewers: they come, choose what their slots show, and go (docs/protocol/signalling.md)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from rostra.model.effects import Active, Effect, HangUp, Send, Speaking, StartTimer, Unwatched, ViewerCount, Watched
from rostra.model.ids import SourceId, TrackName, track_name
from rostra.model.layers import AUTOMATIC, LayerWish
from rostra.model.media import (
    AddSlot,
    CloseTransport,
    CodecSpec,
    Kind,
    Mid,
    OpenTransport,
    RefusalCode,
    TransportId,
    TransportSpec,
    UnbindSlot,
)
from rostra.model.negotiation import slot_for
from rostra.model.publishing import tell_publishers
from rostra.model.refused import (
    CodecNotNegotiated,
    KindMismatch,
    TooMany,
    UnknownSlot,
    UnknownSource,
    UnknownTrack,
    UnknownViewer,
)
from rostra.model.stream import (
    MAX_VIEWERS,
    Decision,
    FeedTrack,
    Slot,
    Source,
    Stream,
    Viewer,
    Wanted,
    tell_viewers,
    with_viewer,
)
from rostra.model.voices import keyed, listening, pooled, retuned, unheard, voiced

MAX_SLOTS: Final = 512
"""m-lines of one transport that the media plane takes."""
COUNT_INTERVAL_MS: Final = 1000
"""Least time between two ``viewercount`` events of a stream: a crowd that arrives would otherwise cost its square."""
DEFAULT_EVENTS: Final = frozenset({"active", "inactive", "stopped"})
"""What viewers hear that do not say what they want."""


@dataclass(frozen=True, slots=True)
class View:
    """Somebody wants to watch. ``main`` and ``templates`` are those of ``negotiation.ViewAnswer``.

    ``layer``: of the main picture. ``vad``: the audio m-lines behind the main one play whoever speaks, except the
    sources that are ``excluded``. ``follows``: named no source, is shown ``pinned`` for want of a main one, and comes
    to that when it is live; not together with ``vad``. ``is_anonymous``: showed no token.
    """

    transport: TransportId
    spec: TransportSpec
    main: Mapping[Kind, Mid]
    templates: Mapping[Kind, tuple[CodecSpec, ...]]
    pinned: SourceId | None
    events: frozenset[str]
    layer: LayerWish = AUTOMATIC
    vad: bool = False
    excluded: frozenset[SourceId | None] = frozenset()
    follows: bool = False
    is_anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Projection:
    """One entry of a ``project``. ``mid``: ``None`` for the main m-line of the kind.

    ``promote``: before other pictures, and without the viewer's cap on bandwidth.
    """

    mid: Mid | None
    kind: Kind | None
    track: TrackName | None
    layer: LayerWish = AUTOMATIC
    promote: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """Show tracks of a source in slots."""

    transport: TransportId
    source: SourceId | None
    mapping: tuple[Projection, ...]


def view(stream: Stream, cmd: View, keys: Iterator[int]) -> Decision:
    """Let the viewer in. The main m-lines follow the pinned source from the start, whenever it is live.

    In a full stream, the oldest anonymous viewer that is not connected leaves.

    Args:
        stream: the stream.
        cmd: who comes, and what for.
        keys: fresh keys, for sources that have none.

    Raises:
        TooMany: the stream has too many viewers.
    """
    room = _room(stream)
    stream = room.stream
    effects: list[Effect] = [*room.effects, OpenTransport(cmd.transport, cmd.spec)]
    main = cmd.main.get(Kind.AUDIO)
    pool = tuple(one.mid for one in cmd.spec.slots if cmd.vad and one.kind is Kind.AUDIO and one.mid != main)
    viewer = Viewer(cmd.transport, {}, cmd.main, cmd.templates, cmd.events, cmd.pinned, pool, cmd.excluded)
    viewer = replace(viewer, follows=cmd.follows, is_anonymous=cmd.is_anonymous)
    slots: dict[Mid, Slot] = {}
    for spec in cmd.spec.slots:
        slots[spec.mid] = Slot(spec)
        if cmd.main.get(spec.kind) == spec.mid:
            wanted = Wanted(cmd.pinned, track_name(spec.kind), cmd.layer if spec.kind is Kind.VIDEO else AUTOMATIC)
            slots[spec.mid], orders = _wanting(stream, viewer, slots[spec.mid], wanted)
            effects += orders
    viewer = replace(viewer, slots=slots)
    if pool or Speaking.name in cmd.events:
        heard = voiced(keyed(stream, unheard(viewer) if pool else (), keys))
        stream = heard.stream
        effects += heard.effects
    if (order := listening(stream, viewer)) is not None:
        effects.append(order)
    return Decision(with_viewer(stream, viewer), tuple(effects))


def announce(stream: Stream, transport: TransportId) -> Decision:
    """Tell a new viewer, once it has its answer, which sources are live: the main one first.

    Clients wait for one ``active`` before they show anything, so that the first goes out whether asked for or not.
    """
    viewer = stream.viewers.get(transport)
    if viewer is None or viewer.announced:
        return Decision(stream)
    wants_all = "active" in viewer.events
    live = stream.live_sources() if wants_all else stream.live_sources()[:1]
    told = tuple(Send((transport,), source.active(stream.key)) for source in live)
    stream = with_viewer(stream, replace(viewer, announced=True, greeted=bool(live)))
    watched = tell_publishers(stream, Watched(stream.key)) if stream.audience == 1 else ()
    counted = _count(stream)
    return Decision(counted.stream, (*told, *watched, *counted.effects))


def hear(stream: Stream, transport: TransportId, events: frozenset[str]) -> Decision:
    """The viewer hears of these events from now on, and of no others. What there is already is ``present``."""
    viewer = stream.viewers.get(transport)
    return Decision(with_viewer(stream, replace(viewer, events=events)) if viewer is not None else stream)


def present(stream: Stream) -> tuple[Active | ViewerCount, ...]:
    """What somebody who begins to listen has missed: the live sources, the main one first, and how many watch."""
    live = [source.active(stream.key) for source in stream.live_sources()]
    return (*live, ViewerCount(stream.key, stream.audience))


def usual_source(stream: Stream) -> SourceId | None:
    """The source for viewers who name none and cannot choose later: the main one if it is live, else the one that is
    live longest.
    """
    live = stream.live_sources()
    return live[0].id if live else None


def project(stream: Stream, cmd: Project, ssrcs: Iterator[int]) -> Decision:
    """Attach tracks to slots, all or none. An intent: pictures change when the new ones can start.

    Args:
        stream: the stream.
        cmd: what to show where.
        ssrcs: random 32-bit numbers, for slots that no offer contained.

    Raises:
        UnknownViewer: it is gone.
        UnknownSource: the source is not live.
        UnknownTrack: neither a track of that name nor one of that kind.
        UnknownSlot: no m-line of that kind was negotiated.
        KindMismatch: the slot is for the other kind.
        CodecNotNegotiated: the viewer did not offer the track's codec.
        TooMany: the viewer has too many slots.
    """
    viewer = _viewer(stream, cmd.transport)
    source = stream.sources.get(cmd.source)
    if source is None or not source.live:
        raise UnknownSource("The source is not live")
    fresh = _unused(ssrcs, viewer)
    slots = dict(viewer.slots)
    effects: list[Effect] = []
    for entry in cmd.mapping:
        track = _track(source, entry)
        mid = entry.mid if entry.mid is not None else viewer.main.get(track.kind)
        if mid is None:
            raise UnknownSlot(f"No {track.kind} was negotiated")
        slot = slots.get(mid)
        if slot is None:
            template = viewer.templates.get(track.kind)
            if template is None:
                raise UnknownSlot(f"No {track.kind} was negotiated")
            if len(slots) >= MAX_SLOTS:
                raise TooMany("Too many media lines")
            slot = Slot(slot_for(template, mid, track.kind, fresh))
            effects.append(AddSlot(viewer.transport, slot.spec))
        if slot.spec.kind is not track.kind:
            raise KindMismatch(f"The media line {mid} is for {slot.spec.kind}")
        if source.showable(track.name, slot.codecs) is None and source.showable(track.name) is not None:
            raise CodecNotNegotiated("The viewer did not negotiate the codec of this track")
        wanted = Wanted(source.id, track.name, entry.layer, entry.promote)
        slots[mid], orders = _wanting(stream, viewer, slot, wanted)
        effects += orders
    after = replace(viewer, slots=slots)
    # Voices leave the m-lines before they are bound, and nobody is in both.
    return Decision(with_viewer(stream, after), (*retuned(stream, viewer, after), *effects))


def unproject(stream: Stream, transport: TransportId, mids: tuple[Mid, ...]) -> Decision:
    """Show nothing there any more; an m-line of the pool plays whoever speaks again.

    Slots that do not exist show nothing already, and those that play voices have nothing to take back.

    Raises:
        UnknownViewer: it is gone.
    """
    viewer = _viewer(stream, transport)
    voices = pooled(viewer)
    known = [mid for mid in dict.fromkeys(mids) if mid in viewer.slots and mid not in voices]
    slots = {mid: replace(viewer.slots[mid], wanted=None, bound=None) for mid in known}
    after = replace(viewer, slots={**viewer.slots, **slots})
    unbound = tuple(UnbindSlot(transport, mid) for mid in known)
    return Decision(with_viewer(stream, after), (*unbound, *retuned(stream, viewer, after)))


def select(stream: Stream, transport: TransportId, layer: LayerWish) -> Decision:
    """Choose a layer of the main picture, whatever it shows. One that shows nothing on purpose has none to choose.

    Raises:
        UnknownViewer: it is gone.
        UnknownSlot: no video was negotiated.
    """
    viewer = _viewer(stream, transport)
    mid = viewer.main.get(Kind.VIDEO)
    slot = viewer.slots.get(mid) if mid is not None else None
    if slot is None:
        raise UnknownSlot("No video was negotiated")
    if slot.wanted is None:
        return Decision(stream)
    slot, orders = _wanting(stream, viewer, slot, replace(slot.wanted, layer=layer))
    viewer = replace(viewer, slots={**viewer.slots, slot.spec.mid: slot})
    return Decision(with_viewer(stream, viewer), tuple(orders))


def rejected(stream: Stream, viewer: Viewer, mid: Mid, code: RefusalCode) -> Decision:
    """The media plane refused an order for a slot. What the slot wants is tried again when its source changes.

    An unknown track is one that ended while the order was under way. The stream heard of its end before, and has
    ordered something else since. After another refusal the slot still shows what it showed, which nobody wants there.
    """
    slot = viewer.slots.get(mid)
    if slot is None or code is RefusalCode.UNKNOWN_TRACK:
        return Decision(stream)
    if code is RefusalCode.UNKNOWN_SLOT:
        slots = {one: kept for one, kept in viewer.slots.items() if one != mid}
        return Decision(with_viewer(stream, replace(viewer, slots=slots)))
    if slot.bound is None:  # the order to show nothing was refused: the same again would be, too
        return Decision(stream)
    slots = {**viewer.slots, mid: replace(slot, bound=None)}
    return Decision(with_viewer(stream, replace(viewer, slots=slots)), (UnbindSlot(viewer.transport, mid),))


def connected(stream: Stream, viewer: Viewer) -> Decision:
    """The transport is up."""
    return Decision(with_viewer(stream, replace(viewer, connected=True)))


def stalled(stream: Stream, viewer: Viewer) -> Decision:
    """Nothing came for 5 s. Without its socket the viewer is gone."""
    if viewer.detached:
        return leave(stream, viewer)
    return Decision(with_viewer(stream, replace(viewer, stalled=True)))


def resumed(stream: Stream, viewer: Viewer) -> Decision:
    """Packets again."""
    return Decision(with_viewer(stream, replace(viewer, stalled=False)))


def detach(stream: Stream, viewer: Viewer) -> Decision:
    """The socket was lost. The pictures stay for as long as packets arrive."""
    if viewer.stalled or not viewer.connected:
        return leave(stream, viewer)
    return Decision(with_viewer(stream, replace(viewer, detached=True)))


def evict(stream: Stream, viewer: Viewer) -> Decision:
    """The viewer leaves for somebody else, and is told."""
    left = leave(stream, viewer)
    return Decision(left.stream, (*left.effects, HangUp(viewer.transport)))


def leave(stream: Stream, viewer: Viewer) -> Decision:
    """The viewer says good-bye."""
    decision = ended(stream, viewer)
    return Decision(decision.stream, (CloseTransport(viewer.transport), *decision.effects))


def ended(stream: Stream, viewer: Viewer) -> Decision:
    """The transport is gone."""
    viewers = {transport: one for transport, one in stream.viewers.items() if transport != viewer.transport}
    stream = replace(stream, viewers=viewers)
    if not viewer.announced:
        return Decision(stream)
    unwatched = () if stream.audience else tell_publishers(stream, Unwatched(stream.key))
    counted = _count(stream)
    return Decision(counted.stream, (*unwatched, *counted.effects))


def tick(stream: Stream) -> Decision:
    """A second since the last ``viewercount``."""
    stream = replace(stream, counting=False)
    return _count(stream) if stream.count_changed else Decision(stream)


def _count(stream: Stream) -> Decision:
    """Tell how many watch, at once or when the timer ends."""
    if stream.counting:
        return Decision(replace(stream, count_changed=True))
    event = ViewerCount(stream.key, stream.audience)
    told = tell_viewers(replace(stream, counting=True, count_changed=False), event)
    timer = StartTimer(stream.key, COUNT_INTERVAL_MS)
    return Decision(told.stream, (*told.effects, *tell_publishers(stream, event), timer))


def _room(stream: Stream) -> Decision:
    """The stream with a place for one more viewer."""
    if len(stream.viewers) < MAX_VIEWERS:
        return Decision(stream)
    pending = (one for one in stream.viewers.values() if one.is_anonymous and not one.connected)
    oldest = next(pending, None)
    if oldest is None:
        raise TooMany("Too many viewers")
    return evict(stream, oldest)


def _viewer(stream: Stream, transport: TransportId) -> Viewer:
    viewer = stream.viewers.get(transport)
    if viewer is None:
        raise UnknownViewer("Not viewing")
    return viewer


def _track(source: Source, entry: Projection) -> FeedTrack:
    """The named track, else the first of the kind."""
    feed = source.leader
    named = feed.named(entry.track) if feed is not None and entry.track is not None else None
    if named is None and feed is not None and entry.kind is not None:
        named = feed.named(track_name(entry.kind))
    if named is None:
        raise UnknownTrack("The source has no such track")
    return named


def _wanting(stream: Stream, viewer: Viewer, slot: Slot, wanted: Wanted) -> tuple[Slot, list[Effect]]:
    """The slot with another intent, and what to order for it.

    The same track again is ordered again: its layer may be another one, and the media plane may have refused or lost
    what was ordered before.
    """
    source = stream.sources.get(wanted.source)
    track = source.showable(wanted.track, slot.codecs) if source is not None else None
    mid = slot.spec.mid
    if track is not None:
        return replace(slot, wanted=wanted, bound=track.track), [viewer.bind(mid, wanted, track)]
    orders: list[Effect] = [UnbindSlot(viewer.transport, mid)] if slot.bound is not None else []
    return replace(slot, wanted=wanted, bound=None), orders


def _unused(ssrcs: Iterator[int], viewer: Viewer) -> Iterator[int]:
    """SSRCs that no slot of the viewer has. A repeated one would seal two packets under one index."""
    used = {ssrc for slot in viewer.slots.values() for ssrc in (slot.spec.ssrc, slot.spec.rtx_ssrc)}
    for ssrc in ssrcs:
        if ssrc and ssrc not in used:
            used.add(ssrc)
            yield ssrc
