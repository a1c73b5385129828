"""What server and worker tell each other (docs/protocol/rtmp.md, "Worker"): one JSON object in one message of a socket.

``connection`` is the worker's number of an encoder, never used again by that worker. The server takes nothing from the
worker on trust but its number: it may be in the hands of whoever sent it bytes.
"""

from typing import Final

import msgspec

MAX_MESSAGE: Final = 16 * 1024
"""Bytes of one message."""


class Authorise(msgspec.Struct, frozen=True, tag=True):
    """An encoder wants to publish. Answered by ``Admitted`` or ``Refused``."""

    connection: int
    stream: str
    token: str
    source: str | None = None
    priority: int | None = None
    peer: str = ""


class Open(msgspec.Struct, frozen=True, tag=True):
    """An admitted encoder's tracks are known. Answered by ``Opened`` or ``Refused``. Again: other tracks, a new feed.

    ``video``: the codec as the media plane spells it, or none. ``profile``: profile-level-id of H264.
    """

    connection: int
    audio: bool
    video: str | None = None
    profile: int = 0


class Problem(msgspec.Struct, frozen=True, tag=True):
    """Something is wrong with what an encoder sends. ``code`` is stable, ``text`` is for people."""

    connection: int
    code: str
    text: str


class KeyFrames(msgspec.Struct, frozen=True, tag=True):
    """How far apart the last two key frames of an encoder were, milliseconds of its own time."""

    connection: int
    interval_ms: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The encoder is gone."""

    connection: int
    reason: str


class Admitted(msgspec.Struct, frozen=True, tag=True):
    """It may publish."""

    connection: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It may not. ``code`` is stable."""

    connection: int
    code: str
    text: str


class TrackLine(msgspec.Struct, frozen=True):
    """A track of a feed. ``route``: its place among them."""

    route: int
    payload_type: int
    ssrc: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The feed. One descriptor comes with it: where frames go to (docs/seam.md)."""

    connection: int
    cname: str
    audio: TrackLine | None
    video: TrackLine | None
    audio_level: int
    """Id of the header extension."""


class End(msgspec.Struct, frozen=True, tag=True):
    """Its feed is over: close the encoder's connection."""

    connection: int
    text: str


FromWorker = Authorise | Open | Problem | KeyFrames | Ended
FromServer = Admitted | Refused | Opened | End

_encoder: Final = msgspec.json.Encoder()
_from_worker: Final[msgspec.json.Decoder[FromWorker]] = msgspec.json.Decoder(FromWorker)
_from_server: Final[msgspec.json.Decoder[FromServer]] = msgspec.json.Decoder(FromServer)


def encode(message: FromWorker | FromServer) -> bytes:
    """One message of the socket."""
    return _encoder.encode(message)


def decode_from_worker(data: bytes) -> FromWorker:
    """A message of the worker.

    Raises:
        ValueError: it is none.
    """
    return _from_worker.decode(data)


def decode_from_server(data: bytes) -> FromServer:
    """A message of the server.

    Raises:
        ValueError: it is none.
    """
    return _from_server.decode(data)
