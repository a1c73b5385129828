"""Decisions about voices: who may be heard, in which m-lines of a viewer, and who hears of it.

Who is loud enough is up to the media plane. It knows sources by their keys, so that a viewer who excludes a source by
name excludes it before it comes, and through every change of its feeds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from rostra.model.effects import Effect, Send, Speaking, Vad
from rostra.model.ids import SourceId
from rostra.model.media import Kind, Listen, Mid, SourceKey
from rostra.model.stream import Decision, Stream, Viewer, with_voices

MAX_EXCLUDED: Final = 256
"""Sources that one viewer may exclude: as many as a stream has."""
_SPARE_KEYS: Final = 1024
"""Keys of a stream that may lie unused before somebody looks which are."""


def keyed(stream: Stream, names: Iterable[SourceId | None], keys: Iterator[int]) -> Stream:
    """The stream with a key for each of these sources, whether they exist or not.

    A key stays for as long as its source or somebody who does not want to hear it is there. ``keys`` are fresh ones.
    """
    fresh = [name for name in names if name not in stream.keys]
    if not fresh:
        return stream
    known = dict(stream.keys)
    if len(known) > _SPARE_KEYS + 4 * len(stream.viewers):
        used = set(stream.sources).union(*(unheard(one) for one in stream.viewers.values() if one.pool))
        known = {name: key for name, key in known.items() if name in used}
    known.update((name, SourceKey(next(keys))) for name in fresh)
    return replace(stream, keys=known)


def voiced(stream: Stream) -> Decision:
    """Somebody listens: from now on the audio tracks of all sources are candidates."""
    if stream.voiced:
        return Decision(stream)
    stream = replace(stream, voiced=True)
    effects: list[Effect] = []
    for source in stream.sources.values():
        stream, told = with_voices(stream, source)
        effects += told
    return Decision(stream, tuple(effects))


def pooled(viewer: Viewer) -> tuple[Mid, ...]:
    """The m-lines that play whoever speaks: those of the pool where nothing is projected."""
    return tuple(mid for mid in viewer.pool if mid in viewer.slots and viewer.slots[mid].wanted is None)


def unheard(viewer: Viewer) -> set[SourceId | None]:
    """Sources that the pool never plays: those excluded by name, and those with an m-line of their own.

    The pinned source stays out while the main m-line is silent on purpose: it was sent away, and must not come back by
    another door. Where another source was projected there, it may be heard like everybody.
    """
    audio = [slot for slot in viewer.slots.values() if slot.spec.kind is Kind.AUDIO]
    sources = {slot.wanted.source for slot in audio if slot.wanted is not None} | viewer.excluded
    main = viewer.slots.get(viewer.main.get(Kind.AUDIO, Mid("")))
    if main is None or main.wanted is None:
        sources.add(viewer.pinned)
    return sources


def listening(stream: Stream, viewer: Viewer) -> Listen | None:
    """What the media plane has to do for the viewer; ``None``: it has no pool."""
    if not viewer.pool:
        return None
    excluded = frozenset(stream.keys[name] for name in unheard(viewer))
    return Listen(viewer.transport, stream.group, pooled(viewer), excluded)


def retuned(stream: Stream, before: Viewer, after: Viewer) -> tuple[Effect, ...]:
    """What to tell the media plane after the m-lines of a viewer changed."""
    order = listening(stream, after)
    return () if order is None or order == listening(stream, before) else (order,)


def may_play(viewer: Viewer, mid: Mid) -> bool:
    """Whether the viewer wants to hear of who is played there. News of an m-line that was projected are late."""
    return Vad.name in viewer.events and mid in pooled(viewer)


def tell_speaking(stream: Stream, event: Speaking) -> tuple[Effect, ...]:
    """Tell everybody who asked for it."""
    viewers = (one.transport for one in stream.viewers.values() if one.announced and event.name in one.events)
    feeds = (feed.transport for feed in stream.feeds if event.name in feed.events)
    to = (*viewers, *feeds)
    return (Send(to, event),) if to else ()
