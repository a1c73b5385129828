"""What the hub keeps of what the media plane tells, to pass it on. The facts are the media plane's."""

import asyncio
from collections import Counter, OrderedDict, deque
from typing import Final

from rostra.model import reporting
from rostra.model.effects import Speaking, Vad
from rostra.model.ids import AccountId, SourceId, StreamKey
from rostra.model.incoming import TurnedAway
from rostra.model.media import (
    BindSlot,
    GroupId,
    Inspected,
    Mid,
    ShownLayer,
    SlotLayer,
    SlotVoice,
    Speakers,
    TrackId,
    TrackLayers,
    TransportId,
    TransportReport,
    UnbindSlot,
)
from rostra.model.places import Places

MAX_REFUSALS: Final = 4
"""Kept of one stream."""
MAX_REFUSED_STREAMS: Final = 256
MAX_REFUSED_STREAMS_OF_ACCOUNT: Final = 64
"""Of the streams, those of one account."""
MAX_INSPECTIONS: Final = 256
"""Reports that may be waited for at a time."""
MAX_INSPECTIONS_OF_ACCOUNT: Final = 64
"""Of these, those for one account: two reports of a stream with all its feeds."""


class Reports:
    """What the media plane tells of layers: the latest of each, for as long as those are there whom it is about."""

    def __init__(self) -> None:
        self.tracks: Final[dict[TrackId, TrackLayers]] = {}
        self.shown: Final[dict[TransportId, dict[Mid, ShownLayer | None]]] = {}
        self.owners: Final[dict[TrackId, TransportId]] = {}
        self.news: Final[set[TrackId]] = set()
        """Told since viewers were last told."""
        self.changed: Final[set[TrackId]] = set()
        """Of these, those with something else to choose from."""
        self._owned: Final[dict[TransportId, tuple[TrackId, ...]]] = {}

    def own(self, transport: TransportId, tracks: tuple[TrackId, ...]) -> None:
        """A publisher came."""
        self._owned[transport] = tracks
        self.owners.update(dict.fromkeys(tracks, transport))

    def take(self, event: TrackLayers) -> None:
        """A track's encodings. One that ended meanwhile has none."""
        if event.track in self.owners:
            if reporting.is_change(self.tracks.get(event.track), event):
                self.changed.add(event.track)
            self.news.add(event.track)
            self.tracks[event.track] = event

    def show(self, event: SlotLayer) -> None:
        """A slot forwards something else."""
        self.shown.setdefault(event.transport, {})[event.mid] = event.layer

    def order(self, command: BindSlot | UnbindSlot) -> None:
        """What was told of a slot that showed nothing says nothing of what it is to show now."""
        slots = self.shown.get(command.transport, {})
        if isinstance(command, UnbindSlot) or slots.get(command.mid) is None:
            slots.pop(command.mid, None)

    def forget(self, transport: TransportId) -> None:
        """A publisher or viewer left."""
        self.shown.pop(transport, None)
        for track in self._owned.pop(transport, ()):
            del self.owners[track]
            self.tracks.pop(track, None)


class Voices:
    """Who is heard where, as viewers were told, and who speaks, for as long as those are there whom it is about."""

    def __init__(self) -> None:
        self._sources: Final[dict[TrackId, SourceId | None]] = {}
        self._owned: Final[dict[TransportId, tuple[TrackId, ...]]] = {}
        self._played: Final[dict[TransportId, dict[Mid, SourceId | None]]] = {}
        self._speaking: Final[dict[GroupId, Speaking]] = {}

    def own(self, transport: TransportId, source: SourceId | None, tracks: tuple[TrackId, ...]) -> None:
        """A publisher came."""
        self._owned[transport] = tracks
        self._sources.update(dict.fromkeys(tracks, source))

    def play(self, event: SlotVoice) -> Vad | None:
        """A slot plays another track: what that changes for its viewer, if anything.

        Another feed of the same source changes nothing. Of a track that ended meanwhile there will be more news.
        """
        played = self._played.setdefault(event.transport, {})
        if event.track is None:
            if event.mid not in played:
                return None
            del played[event.mid]
            return Vad(event.mid, None, heard=False)
        if event.track not in self._sources:
            return None
        source = self._sources[event.track]
        if event.mid in played and played[event.mid] == source:
            return None
        played[event.mid] = source
        return Vad(event.mid, source)

    def speak(self, event: Speakers) -> Speaking:
        """Who speaks now. Tracks that ended meanwhile are silent."""
        known = [one for one in event.speakers if one.track in self._sources]
        speaking = Speaking(tuple((self._sources[one.track], -one.level) for one in known))
        self._speaking[event.group] = speaking
        return speaking

    def speaking(self, group: GroupId) -> Speaking | None:
        """Who speaks, if somebody does."""
        latest = self._speaking.get(group)
        return latest if latest is not None and latest.speakers else None

    def forget(self, transport: TransportId) -> None:
        """A publisher or viewer left."""
        self._played.pop(transport, None)
        for track in self._owned.pop(transport, ()):
            del self._sources[track]

    def end(self, group: GroupId) -> None:
        """A stream ended."""
        self._speaking.pop(group, None)


class Refusals:
    """Who was turned away for what it sends, the newest last, of the streams where it happened last."""

    def __init__(self) -> None:
        self._streams: Final[OrderedDict[StreamKey, deque[TurnedAway]]] = OrderedDict()
        self._places: Final[Places[StreamKey]] = Places(MAX_REFUSED_STREAMS, MAX_REFUSED_STREAMS_OF_ACCOUNT)

    def add(self, key: StreamKey, one: TurnedAway) -> None:
        """Somebody was. The oldest are forgotten: at its share those of the account, else of the one with most."""
        self._streams.setdefault(key, deque(maxlen=MAX_REFUSALS)).append(one)
        self._places.leave(key)
        if (forgotten := self._places.take(key, key.account)) is not None:
            del self._streams[forgotten]

    def of(self, key: StreamKey, *, after_s: float) -> tuple[TurnedAway, ...]:
        """Those of a stream since a time."""
        return tuple(one for one in self._streams.get(key, ()) if one.problem.at_s > after_s)


class Inspections:
    """Who waits for the report of a transport."""

    def __init__(self) -> None:
        self._waiting: Final[dict[TransportId, set[asyncio.Future[TransportReport | None]]]] = {}
        self._total = 0
        self._of_account: Final[Counter[AccountId]] = Counter()

    def is_full(self, account: AccountId) -> bool:
        """Whether nobody else may wait for a transport of this account."""
        return self._total >= MAX_INSPECTIONS or self._of_account[account] >= MAX_INSPECTIONS_OF_ACCOUNT

    def is_asked(self, transport: TransportId) -> bool:
        """Whether somebody waits for this transport already."""
        return transport in self._waiting

    def wait(self, transport: TransportId, account: AccountId) -> asyncio.Future[TransportReport | None]:
        """The next report of the transport. Who cancels it waits no longer."""
        answer: asyncio.Future[TransportReport | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(transport, set()).add(answer)
        self._total += 1
        self._of_account[account] += 1
        answer.add_done_callback(lambda done: self._leave(transport, account, done))
        return answer

    def answer(self, event: Inspected) -> None:
        """Tell everybody who waits for it. Who comes from now on waits for the next one."""
        for answer in self._waiting.pop(event.transport, set()):
            if not answer.done():
                answer.set_result(event.report)

    def end(self) -> None:
        """There will be no more reports."""
        for transport in list(self._waiting):
            self.answer(Inspected(transport, None))

    def _leave(
        self, transport: TransportId, account: AccountId, answer: asyncio.Future[TransportReport | None]
    ) -> None:
        self._total -= 1
        self._of_account[account] -= 1
        if not self._of_account[account]:
            del self._of_account[account]
        waiting = self._waiting.get(transport, set())
        waiting.discard(answer)
        if not waiting:
            self._waiting.pop(transport, None)
