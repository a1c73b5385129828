"""Signalling messages (docs/protocol/signalling.md): JSON text to typed values and back.

Unknown keys are ignored everywhere: clients send back what they were given, and more than we know.
"""

from functools import lru_cache
from typing import Annotated, Any, Final, Literal, assert_never

import msgspec

from rostra.model.bandwidth import BandwidthWish
from rostra.model.effects import (
    Active,
    Inactive,
    Layers,
    Leading,
    SignalEvent,
    Speaking,
    Stopped,
    Unwatched,
    Vad,
    ViewerCount,
    Watched,
)
from rostra.model.ids import SourceId, TrackName, is_name
from rostra.model.layers import LayerWish
from rostra.model.media import Codec, Kind, Mid, PlayoutDelay
from rostra.model.payloads import VIDEO_CODECS
from rostra.model.viewing import DEFAULT_EVENTS, Projection
from rostra.model.voices import MAX_EXCLUDED
from rostra.protocol import wishes
from rostra.protocol.json import DecodeError, Decoder, Int32, Number
from rostra.protocol.layers import encode_layers
from rostra.protocol.wishes import FieldError as FieldError

MAX_MESSAGE: Final = 512 * 1024
"""Bytes of a message. The largest offer that we read, with its line ends escaped, fits."""
MAX_MAPPING: Final = 512
"""Entries of a ``project`` or ``unproject``: one for each m-line that a viewer can have."""
_MAX_EVENTS: Final = 32
_MID_CHARACTERS: Final = frozenset("!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz{|}~")

_Events = Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=_MAX_EVENTS)]


class SignalError(ValueError):
    """A message that cannot be obeyed. ``message`` goes back as the reason; ``trans_id`` is that of the command."""

    def __init__(self, message: str, trans_id: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.trans_id = trans_id


class Publish(msgspec.Struct, frozen=True, rename="camel"):
    """``publish``. ``name`` is advisory: the token says which stream."""

    sdp: str
    codec: str = Codec.H264.value
    source_id: str | None = None
    priority: Int32 | None = None
    events: _Events | None = None

    def video_codec(self) -> Codec:
        """The codec to answer with. ``FieldError``: none that we forward."""
        codec = next((codec for codec in VIDEO_CODECS if codec.value == self.codec.lower()), None)
        if codec is None:
            raise FieldError("Codec not supported")
        return codec


class View(msgspec.Struct, frozen=True, rename="camel"):
    """``view``. ``streamId`` is advisory: the token says which stream."""

    sdp: str
    events: _Events | None = None
    pinned_source_id: str | None = None
    vad: Any = None
    excluded_source_ids: Annotated[list[str | None], msgspec.Meta(max_length=MAX_EXCLUDED)] | None = None
    layer: Any = None
    max_width: Any = None
    max_height: Any = None
    abr: Any = None
    abr_configuration: Any = None
    force_smooth: Any = None
    max_bitrate: Any = None
    custom_keys: Any = None
    force_playout_delay: Any = None

    def wanted_layer(self) -> LayerWish:
        """The layer of the main picture. Limits may stand beside ``layer``, which goes before them."""
        return wishes.layer(self.layer, {"maxWidth": self.max_width, "maxHeight": self.max_height})

    def wanted_bandwidth(self) -> BandwidthWish:
        """What is said about the line, in the shape of any client's version."""
        keys = self.custom_keys if isinstance(self.custom_keys, dict) else {}
        max_bitrate = self.max_bitrate if self.max_bitrate is not None else keys.get("maxBitrate")
        abr = self.abr if self.abr is not None else self.abr_configuration
        return wishes.bandwidth(abr, force_smooth=self.force_smooth, max_bitrate=max_bitrate)

    def wanted_playout_delay(self) -> PlayoutDelay | None:
        """Bounds of the jitter buffers, if any."""
        return wishes.playout_delay(self.force_playout_delay)

    def wants_voices(self) -> bool:
        """Whether the audio m-lines behind the main one are to play whoever speaks."""
        return wishes.switch(self.vad, "vad")

    def excluded(self) -> frozenset[SourceId | None]:
        """Sources that are never among them."""
        return frozenset(map(source_id, self.excluded_source_ids or ()))

    def wanted_events(self) -> frozenset[str]:
        """The events to send."""
        return DEFAULT_EVENTS if self.events is None else frozenset(self.events)


class Mapping(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of ``project``. Numbers are what careless clients send for ids."""

    media: Literal["audio", "video"] | None = None
    media_id: str | Number | None = None
    track_id: str | Number | None = None
    layer: Any = None
    promote: Any = None


class Project(msgspec.Struct, frozen=True, rename="camel"):
    """``project``."""

    mapping: Annotated[list[Mapping], msgspec.Meta(max_length=MAX_MAPPING)]
    source_id: str | None = None

    def projections(self) -> tuple[Projection, ...]:
        """The entries, checked. ``FieldError`` says what is wrong with one."""
        return tuple(map(_projection, self.mapping))


class Unproject(msgspec.Struct, frozen=True, rename="camel"):
    """``unproject``. Entries may be null."""

    media_ids: Annotated[list[str | Number | None], msgspec.Meta(max_length=MAX_MAPPING)]

    def mids(self) -> tuple[Mid, ...]:
        """The mids that can exist at all; the others show nothing anyway."""
        return tuple(Mid(str(one)) for one in self.media_ids if one is not None)


class Select(msgspec.Struct, frozen=True, rename="camel"):
    """``select``. An empty layer means automatic."""

    layer: Any = None

    def wanted_layer(self) -> LayerWish:
        """The layer of the main picture. ``FieldError`` says what is wrong with it."""
        return wishes.layer(self.layer)


class Unpublish(msgspec.Struct, frozen=True):
    """``unpublish``: stop the feed, keep the socket."""


class Unview(msgspec.Struct, frozen=True):
    """``unview``, or ``unsubscribe``: stop the media, keep the socket."""


Command = Publish | View | Project | Unproject | Select | Unpublish | Unview

_COMMANDS: Final[dict[str, type[Command]]] = {
    "publish": Publish,
    "view": View,
    "project": Project,
    "unproject": Unproject,
    "select": Select,
    "unpublish": Unpublish,
    "unview": Unview,
    "unsubscribe": Unview,
}


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    type: Literal["cmd"]
    trans_id: Number
    name: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _TransId(msgspec.Struct, frozen=True, rename="camel"):
    trans_id: Number


_ENVELOPE: Final = Decoder(_Envelope)
_TRANS_ID: Final = Decoder(_TransId)
_DATA: Final[dict[str, Decoder[Command]]] = {name: Decoder(command) for name, command in _COMMANDS.items()}


def decode(text: str | bytes) -> tuple[int, Command]:
    """A command and its ``transId``.

    Raises:
        SignalError: no command that we know.
    """
    try:
        envelope = _ENVELOPE.decode(text)
    except DecodeError as error:
        raise SignalError(f"Not a command: {error.message}", _trans_id(text)) from error
    decoder = _DATA.get(envelope.name)
    if decoder is None:
        raise SignalError(f"Unknown command: {envelope.name[:64]}", envelope.trans_id)
    data = bytes(envelope.data)
    try:
        return envelope.trans_id, decoder.decode(b"{}" if data == b"null" else data)
    except DecodeError as error:
        raise SignalError(f"Invalid {envelope.name}: {error.message}", envelope.trans_id) from error


def source_id(text: str | None) -> SourceId | None:
    """A source's name; forms that were left empty mean the main source. ``FieldError``: not a name."""
    if not text:
        return None
    if not is_name(text):
        raise FieldError("Invalid sourceId")
    return SourceId(text)


class Published(msgspec.Struct, frozen=True, rename="camel"):
    """Data of the response to ``publish``."""

    sdp: str
    publisher_id: str
    cluster_id: str
    feed_id: str
    stream_id: str


class Viewed(msgspec.Struct, frozen=True, rename="camel"):
    """Data of the response to ``view``."""

    sdp: str
    subscriber_id: str
    cluster_id: str
    stream_view_id: str
    stream_id: str


class _Response(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="response"):
    trans_id: int
    data: Published | Viewed | msgspec.UnsetType = msgspec.UNSET


class _Error(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="error"):
    trans_id: int | None
    data: str


_encoder = msgspec.json.Encoder()


def encode_published(trans_id: int, data: Published) -> str:
    """The response to ``publish``."""
    return _encoder.encode(_Response(trans_id, data)).decode()


def encode_viewed(trans_id: int, data: Viewed) -> str:
    """The response to ``view``."""
    return _encoder.encode(_Response(trans_id, data)).decode()


def encode_done(trans_id: int) -> str:
    """The response to every other command. It has no ``data``: some clients take any for the answer to ``view``."""
    return _encoder.encode(_Response(trans_id)).decode()


def encode_error(trans_id: int | None, reason: str) -> str:
    """The answer to what cannot be obeyed."""
    return _encoder.encode(_Error(trans_id, reason)).decode()


class _TrackData(msgspec.Struct, frozen=True, rename="camel"):
    track_id: str
    media: str


class _ActiveData(msgspec.Struct, frozen=True, rename="camel"):
    stream_id: str
    source_id: str | None
    tracks: list[_TrackData]


class _InactiveData(msgspec.Struct, frozen=True, rename="camel"):
    stream_id: str
    source_id: str | None


class _StreamData(msgspec.Struct, frozen=True, rename="camel"):
    stream_id: str


class _LeadingData(msgspec.Struct, frozen=True, rename="camel"):
    stream_id: str
    source_id: str | None
    leading: bool


class _ViewerCountData(msgspec.Struct, frozen=True):
    viewercount: int


class _VadData(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    media_id: str
    source_id: str | None
    main: bool = False


class _SpeakerData(msgspec.Struct, frozen=True, rename="camel"):
    source_id: str | None
    level: int


class _SpeakersData(msgspec.Struct, frozen=True):
    speakers: list[_SpeakerData]


_EventData = _ActiveData | _InactiveData | _StreamData | _LeadingData | _ViewerCountData | _VadData | _SpeakersData


class _Event(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    name: str
    data: _EventData


@lru_cache(maxsize=1024)
def encode_event(event: SignalEvent) -> str:
    """An event. Encoded once however many hear it."""
    if isinstance(event, Layers):
        return encode_layers(event)
    return _encoder.encode(_Event(event.name, _event_data(event))).decode()


def encode_event_data(
    event: Active | Inactive | Stopped | ViewerCount | Watched | Unwatched | Leading | Vad | Speaking,
) -> bytes:
    """The data of an event alone, for whoever frames it in another way."""
    return _encoder.encode(_event_data(event))


def _event_data(
    event: Active | Inactive | Stopped | ViewerCount | Watched | Unwatched | Leading | Vad | Speaking,
) -> _EventData:
    match event:
        case Active(stream=stream, source=source, tracks=tracks):
            listed = [_TrackData(track.name, track.kind.value) for track in tracks]
            return _ActiveData(str(stream), source, listed)
        case Inactive(stream=stream, source=source):
            return _InactiveData(str(stream), source)
        case Stopped(stream=stream) | Watched(stream=stream) | Unwatched(stream=stream):
            return _StreamData(str(stream))
        case Leading(stream=stream, source=source, leading=leading):
            return _LeadingData(str(stream), source, leading)
        case ViewerCount(viewers=viewers):
            return _ViewerCountData(viewers)
        case Vad(mid=mid, source=source, heard=heard):
            # To every client null means that nobody is there; who knows more learns that it is the main source.
            return _VadData(mid, source, main=heard and source is None)
        case Speaking(speakers=speakers):
            return _SpeakersData([_SpeakerData(source, level) for source, level in speakers])
        case _:
            assert_never(event)


def _projection(entry: Mapping) -> Projection:
    if entry.media is None and entry.track_id is None:
        raise FieldError("A mapping needs media or trackId")
    mid = None
    if entry.media_id is not None:
        text = str(entry.media_id)
        if not 0 < len(text) <= 16 or not _MID_CHARACTERS.issuperset(text):
            raise FieldError("Invalid mediaId")
        mid = Mid(text)
    kind = Kind(entry.media) if entry.media is not None else None
    track = TrackName(str(entry.track_id)) if entry.track_id is not None else None
    layer = wishes.layer(entry.layer)
    return Projection(mid, kind, track, layer, wishes.switch(entry.promote, "promote"))


def _trans_id(text: str | bytes) -> int | None:
    """The ``transId`` of something else than a command, so that its sender can tell which of its messages it was."""
    try:
        return _TRANS_ID.decode(text).trans_id
    except DecodeError:
        return None
