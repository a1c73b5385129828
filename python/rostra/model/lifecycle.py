"""Decisions about a transport, whoever it belongs to: what the media plane tells, and how it ends."""

from dataclasses import replace
from typing import assert_never

from rostra.model import publishing, viewing
from rostra.model.effects import Effect, HangUp, Stopped
from rostra.model.media import (
    CloseTransport,
    RefusalCode,
    Rejected,
    SlotBound,
    TrackStarted,
    TransportClosed,
    TransportConnected,
    TransportId,
    TransportResumed,
    TransportStalled,
)
from rostra.model.publishing import tell_publishers
from rostra.model.stream import Decision, Feed, Stream, tell_viewers

TransportEvent = (
    TransportConnected | TransportStalled | TransportResumed | TransportClosed | TrackStarted | SlotBound | Rejected
)


def on_media(stream: Stream, event: TransportEvent) -> Decision:
    """A fact of the media plane. One about a transport that left meanwhile changes nothing."""
    transport = event.transport
    if transport is None:  # an order about a voice was refused: its track has just ended
        return Decision(stream)
    feed = stream.feed(transport)
    if feed is not None:
        return _on_feed(stream, feed, event)
    viewer = stream.viewers.get(transport)
    if viewer is None:
        return Decision(stream)
    match event:
        case TransportConnected():
            return viewing.connected(stream, viewer)
        case TransportStalled():
            return viewing.stalled(stream, viewer)
        case TransportResumed():
            return viewing.resumed(stream, viewer)
        case TransportClosed():
            return _hung_up(viewing.ended(stream, viewer), viewer.transport)
        case Rejected(code=RefusalCode.UNKNOWN_TRANSPORT):
            return _hung_up(viewing.leave(stream, viewer), viewer.transport)
        case Rejected(mid=mid, code=code) if mid is not None:
            return viewing.rejected(stream, viewer, mid, code)
        case Rejected(code=code):
            if _is_still_open(code, connected=viewer.connected):
                return Decision(stream)
            return _hung_up(viewing.leave(stream, viewer), viewer.transport)
        case TrackStarted() | SlotBound():
            return Decision(stream)
        case _:
            assert_never(event)


def _on_feed(stream: Stream, feed: Feed, event: TransportEvent) -> Decision:
    match event:
        case TransportConnected():
            return publishing.connected(stream, feed)
        case TransportStalled():
            return publishing.stalled(stream, feed)
        case TransportResumed():
            return publishing.resumed(stream, feed)
        case TrackStarted(track=track):
            return publishing.track_started(stream, feed, track)
        case Rejected(code=code) if _is_still_open(code, connected=feed.connected):
            return Decision(stream)
        case Rejected():
            return _hung_up(publishing.leave(stream, feed), feed.transport)
        case TransportClosed():
            return _hung_up(publishing.ended(stream, feed), feed.transport)
        case SlotBound():
            return Decision(stream)
        case _:
            assert_never(event)


def _is_still_open(code: RefusalCode, *, connected: bool) -> bool:
    """Whether a refused order for a whole transport was a restart of ICE: the transport goes on as it was.

    The other such order opens the transport, and nothing that was never opened is connected. A transport that the
    media plane does not know is gone.
    """
    return connected and code is not RefusalCode.UNKNOWN_TRANSPORT


def leave(stream: Stream, transport: TransportId) -> Decision:
    """Its owner says good-bye. Idempotent."""
    if (feed := stream.feed(transport)) is not None:
        return publishing.leave(stream, feed)
    if (viewer := stream.viewers.get(transport)) is not None:
        return viewing.leave(stream, viewer)
    return Decision(stream)


def evict(stream: Stream, transport: TransportId) -> Decision:
    """A viewer leaves for somebody else. Idempotent."""
    viewer = stream.viewers.get(transport)
    return viewing.evict(stream, viewer) if viewer is not None else Decision(stream)


def detach(stream: Stream, transport: TransportId) -> Decision:
    """Its owner's socket was lost without a good-bye. Idempotent."""
    if (feed := stream.feed(transport)) is not None:
        return publishing.detach(stream, feed)
    if (viewer := stream.viewers.get(transport)) is not None:
        return viewing.detach(stream, viewer)
    return Decision(stream)


def stop(stream: Stream) -> Decision:
    """End the stream for good."""
    event = Stopped(stream.key)
    told = tell_viewers(stream, event)
    transports = (*(feed.transport for feed in stream.feeds), *stream.viewers)
    closed = tuple(CloseTransport(transport) for transport in transports)
    hung_up = tuple(HangUp(transport) for transport in transports)
    effects: tuple[Effect, ...] = (*told.effects, *tell_publishers(stream, event), *closed, *hung_up)
    return Decision(replace(told.stream, sources={}, viewers={}), effects)


def _hung_up(decision: Decision, transport: TransportId) -> Decision:
    return Decision(decision.stream, (*decision.effects, HangUp(transport)))
