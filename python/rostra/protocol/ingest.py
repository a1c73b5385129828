"""What server and worker tell each other (docs/protocol/rtmp.md, "Worker"): one JSON object in one message of a socket.

``connection`` is the worker's number of an encoder, never used again by that worker. The server takes nothing from the
worker on trust but its number: it may be in the hands of whoever sent it bytes.
"""

from typing import Final

import msgspec

from rostra.protocol.json import Decoder, Int32, Number

MAX_MESSAGE: Final = 16 * 1024
"""Bytes of one message."""


class Authorise(msgspec.Struct, frozen=True, tag=True):
    """An encoder wants to publish. Answered by ``Admitted`` or ``Refused``."""

    connection: Number
    stream: str
    token: str
    source: str | None = None
    priority: Int32 | None = None
    peer: str = ""


class Open(msgspec.Struct, frozen=True, tag=True):
    """An admitted encoder's tracks are known. Answered by ``Opened`` or ``Refused``. Again: other tracks, a new feed.

    ``video``: the codec as the media plane spells it, or none. ``profile``: profile-level-id of H264.
    """

    connection: Number
    audio: bool
    video: str | None = None
    profile: Number = 0


class Problem(msgspec.Struct, frozen=True, tag=True):
    """Something is wrong with what an encoder sends. ``code`` is stable, ``text`` is for people."""

    connection: Number
    code: str
    text: str


class KeyFrames(msgspec.Struct, frozen=True, tag=True):
    """How far apart the last two key frames of an encoder were, milliseconds of its own time."""

    connection: Number
    interval_ms: Number


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The encoder is gone."""

    connection: Number
    reason: str


class Admitted(msgspec.Struct, frozen=True, tag=True):
    """It may publish."""

    connection: Number


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It may not. ``code`` is stable."""

    connection: Number
    code: str
    text: str


class TrackLine(msgspec.Struct, frozen=True):
    """A track of a feed. ``route``: its place among them."""

    route: Number
    payload_type: Number
    ssrc: Number


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The feed. One descriptor comes with it: where frames go to (docs/seam.md)."""

    connection: Number
    cname: str
    audio: TrackLine | None
    video: TrackLine | None
    audio_level: Number
    """Id of the header extension."""


class End(msgspec.Struct, frozen=True, tag=True):
    """Its feed is over: close the encoder's connection."""

    connection: Number
    text: str


FromWorker = Authorise | Open | Problem | KeyFrames | Ended
FromServer = Admitted | Refused | Opened | End

_encoder: Final = msgspec.json.Encoder()
# Unions are no types to mypy, and types to msgspec.
_from_worker: Final[Decoder[FromWorker]] = Decoder(FromWorker)  # type: ignore[arg-type]
_from_server: Final[Decoder[FromServer]] = Decoder(FromServer)  # type: ignore[arg-type]


def encode(message: FromWorker | FromServer) -> bytes:
    """One message of the socket."""
    return _encoder.encode(message)


def decode_from_worker(data: bytes) -> FromWorker:
    """A message of the worker.

    Raises:
        DecodeError: it is none.
    """
    return _from_worker.decode(data)


def decode_from_server(data: bytes) -> FromServer:
    """A message of the server.

    Raises:
        DecodeError: it is none.
    """
    return _from_server.decode(data)
