"""The media plane itself, behind the port. The only module that knows the compiled extension."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from rostra import _media  # noqa: TID251  (this is the module that may)
from rostra.media.engine import Candidate, Overloaded
from rostra.model.media import (
    CloseReason,
    Codec,
    Command,
    EncodingReport,
    Event,
    Inspected,
    LayerReport,
    MediaStats,
    RefusalCode,
    Rejected,
    ShownLayer,
    SlotBound,
    SlotLayer,
    SlotReport,
    SlotVoice,
    Speaker,
    Speakers,
    Target,
    TrackLayers,
    TrackStarted,
    TransportClosed,
    TransportConnected,
    TransportReport,
    TransportResumed,
    TransportStalled,
    Waiting,
)


def _track_layers(track: Any, encodings: Any) -> TrackLayers:
    return TrackLayers(track, tuple(map(_encoding, encodings)))


def _encoding(fields: Any) -> EncodingReport:
    active, codec, bitrate, total, width, height, fps, reordered, target, packets, size, layers = fields
    known = Codec(codec) if codec is not None else None
    below = tuple(LayerReport(*layer) for layer in layers)
    rates = (bitrate, total, width, height, fps)
    return EncodingReport(active, known, *rates, Target(*target), packets, size, below, reordered)


def _shown(fields: Any) -> ShownLayer | None:
    return ShownLayer(*fields) if fields is not None else None


def _inspected(transport: Any, fields: Any) -> Inspected:
    if fields is None:
        return Inspected(transport, None)
    times, line, tracks, slots, via = fields
    layers = tuple(_track_layers(*track) for track in tracks)
    reports = tuple(
        SlotReport(mid, track, _shown(shown), Waiting(waiting) if waiting is not None else None)
        for mid, track, shown, waiting in slots
    )
    values: tuple[Any, ...] = (*times, *line, layers, reports, via)
    return Inspected(transport, TransportReport(*values))


_EVENTS: Final[dict[str, Callable[..., Event]]] = {
    "TransportConnected": TransportConnected,
    "TransportStalled": TransportStalled,
    "TransportResumed": TransportResumed,
    "TransportClosed": lambda transport, reason: TransportClosed(transport, CloseReason(reason)),
    "TrackStarted": TrackStarted,
    "SlotBound": SlotBound,
    "Rejected": lambda transport, mid, code: Rejected(transport, mid, RefusalCode(code)),
    "TrackLayers": _track_layers,
    "SlotLayer": lambda transport, mid, layer: SlotLayer(transport, mid, _shown(layer)),
    "SlotVoice": SlotVoice,
    "Speakers": lambda group, speakers: Speakers(group, tuple(Speaker(*one) for one in speakers)),
    "Inspected": _inspected,
    "MediaStats": MediaStats,
}
"""How to rebuild each event from the fields behind its name, which come in the order of the dataclass."""


class NativeEngine:
    """``Engine`` on real sockets and media threads. Close it: an open one keeps its port."""

    fingerprint: str
    candidates: tuple[Candidate, ...]

    def __init__(
        self,
        host: str,
        port: int,
        *,
        public_addresses: Sequence[str] = (),
        gso: bool = True,
        shards: int = 1,
        command_capacity: int = 65_536,
        tcp: bool = True,
    ) -> None:
        """Listen on ``host``:``port``, which is an IP literal and 0 for a port of the system's choice.

        Args:
            host: ``0.0.0.0`` or ``::`` (both families) for every interface.
            port: of UDP and TCP.
            public_addresses: ``ip`` or ``ip:port`` behind a NAT, offered before our own.
            gso: use UDP segmentation offload.
            shards: media threads.
            command_capacity: most commands that may wait for a media thread.
            tcp: take media by TCP too, on the same number.

        Raises:
            ValueError: an address that does not parse, or a number of shards that does not work.
            OSError: the address cannot be had.
        """
        self._engine: Final = _media.Engine(host, port, list(public_addresses), gso, shards, command_capacity, tcp)
        self.fingerprint = self._engine.fingerprint
        self.candidates = tuple(Candidate(*candidate) for candidate in self._engine.candidates)

    def submit(self, *commands: Command) -> None:
        """Queue the commands, in order, all or none.

        Raises:
            Overloaded: the queue has no room for all of them, or the engine is closed.
            ValueError: a field of a command does not fit its type; the message names it. Nothing of the call was taken.
        """
        try:
            self._engine.submit(commands)
        except _media.OverloadedError as error:
            raise Overloaded from error

    def drain(self) -> list[Event]:
        """Facts since the last call, in order; totals last."""
        return [_EVENTS[str(name)](*fields) for name, *fields in self._engine.drain()]

    def fileno(self) -> int:
        """Readable while ``drain`` has something."""
        return self._engine.fileno()

    def close(self) -> None:
        """End every transport (DTLS close_notify) and the media threads. Idempotent; the end can still be drained."""
        self._engine.close()
