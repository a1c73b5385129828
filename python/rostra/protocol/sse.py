"""Server-sent events of WHEP (docs/protocol/whep.md): what signalling tells, in the frames that a browser reads."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from rostra.model.effects import Layers, SignalEvent
from rostra.model.media import Mid
from rostra.protocol.json import DecodeError, Decoder
from rostra.protocol.layers import encode_medias
from rostra.protocol.signal import encode_event_data

EVENTS: Final = ("active", "inactive", "layers", "viewercount")
"""What can be heard."""
HEARTBEAT: Final = ": \n\n"
"""A comment: whoever sits between may drop connections on which nothing moves."""
MAX_BODY: Final = 4096
"""Bytes of a request for a stream of events."""


class UnknownEventError(ValueError):
    """An event was asked for that there is none of."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


_NAMES: Final[Decoder[list[str]]] = Decoder(list[str])
_encoder = msgspec.json.Encoder()


def decode_names(body: bytes) -> frozenset[str]:
    """The events that a client wants: a JSON array of names; nothing means all.

    Raises:
        UnknownEventError: no such array, or a name in it that is no event.
    """
    if not body.strip():
        return frozenset(EVENTS)
    try:
        names = _NAMES.decode(body)
    except DecodeError as error:
        raise UnknownEventError(f"Not an array of names: {error.message}") from error
    unknown = [name for name in names if name not in EVENTS]
    if unknown:
        raise UnknownEventError(f"Unknown event: {unknown[0][:64]!a}")
    return frozenset(names)


def encoder(places: Mapping[Mid, int]) -> Callable[[SignalEvent], str]:
    """How to write events to a viewer whose m-lines stand at these places of its answer."""

    def encode(event: SignalEvent) -> str:
        data = _layers(event, places) if isinstance(event, Layers) else encode_event_data(event)
        return f"event: {event.name}\ndata: {data.decode()}\n\n"

    return encode


def _layers(event: Layers, places: Mapping[Mid, int]) -> bytes:
    """By place of the m-line, as the draft has it, and under ``medias``, where its best known client looks."""
    by_place = {str(places[mid]): media for mid, media in encode_medias(event).items() if mid in places}
    return _encoder.encode({"medias": by_place, **by_place})
