"""What decisions ask for. The hub carries it out: commands to the media plane first, all or none, then the rest."""

from dataclasses import dataclass
from typing import ClassVar

from rostra.model.ids import SourceId, StreamKey, TrackName
from rostra.model.media import Command, Kind, Mid, ShownLayer, TrackLayers, TransportId


@dataclass(frozen=True, slots=True)
class AnnouncedTrack:
    """A track as viewers may project it."""

    name: TrackName
    kind: Kind


@dataclass(frozen=True, slots=True)
class Active:
    """A source is live."""

    name: ClassVar[str] = "active"
    stream: StreamKey
    source: SourceId | None
    tracks: tuple[AnnouncedTrack, ...]


@dataclass(frozen=True, slots=True)
class Inactive:
    """A source is no longer live. Slots that want it resume when it returns."""

    name: ClassVar[str] = "inactive"
    stream: StreamKey
    source: SourceId | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The server ended the stream for good."""

    name: ClassVar[str] = "stopped"
    stream: StreamKey


@dataclass(frozen=True, slots=True)
class ViewerCount:
    """How many watch the stream. Only the latest matters."""

    name: ClassVar[str] = "viewercount"
    stream: StreamKey
    viewers: int


@dataclass(frozen=True, slots=True)
class Watched:
    """To a publisher: the first viewer came."""

    name: ClassVar[str] = "active"
    stream: StreamKey


@dataclass(frozen=True, slots=True)
class Unwatched:
    """To a publisher: the last viewer left."""

    name: ClassVar[str] = "inactive"
    stream: StreamKey


@dataclass(frozen=True, slots=True)
class Leading:
    """To a publisher that sends: whether viewers get its tracks, or those of another feed of the source."""

    name: ClassVar[str] = "leading"
    stream: StreamKey
    source: SourceId | None
    leading: bool


@dataclass(frozen=True, slots=True)
class LayersOf:
    """What one m-line of a viewer can show, and what it does.

    ``encodings`` are the ids of those of ``track``. ``shown``: what is forwarded; ``None``: nothing, or not known yet.
    ``is_off``: nothing is forwarded, though the source sends.
    """

    mid: Mid
    track: TrackLayers
    encodings: tuple[str, ...]
    shown: ShownLayer | None = None
    is_off: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """The layers of every picture of a viewer. Only the latest matters.

    One object for all viewers to whom the same is told: it is encoded once for all of them, and comparing what it
    holds would cost more than that.
    """

    name: ClassVar[str] = "layers"
    stream: StreamKey
    medias: tuple[LayersOf, ...]


@dataclass(frozen=True, slots=True)
class Vad:
    """An m-line of a viewer's pool plays another source; not ``heard``: nobody. Of each m-line the latest matters."""

    name: ClassVar[str] = "vad"
    mid: Mid
    source: SourceId | None
    heard: bool = True


@dataclass(frozen=True, slots=True)
class Speaking:
    """Who speaks in the stream, loudest first: source and level in dBov, -127 … 0. Only the latest matters."""

    name: ClassVar[str] = "speakers"
    speakers: tuple[tuple[SourceId | None, int], ...]


SignalEvent = Active | Inactive | Stopped | ViewerCount | Watched | Unwatched | Leading | Layers | Vad | Speaking


@dataclass(frozen=True, slots=True)
class Send:
    """Tell everybody in ``to`` the same. Who has no open socket misses it."""

    to: tuple[TransportId, ...]
    event: SignalEvent


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the signalling socket of a transport that ended."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Call ``viewing.tick`` for the stream after the delay."""

    stream: StreamKey
    delay_ms: int


@dataclass(frozen=True, slots=True)
class SourceStarted:
    """Fact for operators: the source went live."""

    stream: StreamKey
    source: SourceId | None


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """Fact for operators: the source is no longer live."""

    stream: StreamKey
    source: SourceId | None


Effect = Command | Send | HangUp | StartTimer | SourceStarted | SourceEnded
