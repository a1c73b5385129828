"""RTMP of one connection, typed: the one module of the worker that knows the extension.

The extension is imported without the media plane coming to life: threads begin with an ``Engine``, which the worker
never makes.
"""

from dataclasses import dataclass
from typing import Any, Final

from rostra import _media  # noqa: TID251  (this is the worker's module that may)

RtmpError: Final = _media.RtmpError
"""The connection is to be closed; the text says why."""


@dataclass(frozen=True, slots=True)
class Connect:
    """The encoder named the application: ``v2/pub``, and maybe a query."""

    app: str
    tc_url: str


@dataclass(frozen=True, slots=True)
class Publish:
    """It wants to publish, and waits for an answer."""

    name: str


@dataclass(frozen=True, slots=True)
class Audio:
    """An FLV audio tag. ``timestamp``: milliseconds, wraps at 2**32."""

    timestamp: int
    tag: bytes


@dataclass(frozen=True, slots=True)
class Video:
    """An FLV video tag. ``timestamp``: milliseconds of decoding, wraps at 2**32."""

    timestamp: int
    tag: bytes


@dataclass(frozen=True, slots=True)
class Data:
    """A data message such as ``onMetaData``. ``values``: AMF as Python has it."""

    timestamp: int
    name: str
    values: list[Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that cannot be read was skipped. ``why``: for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Unpublish:
    """It ended its stream."""


Event = Connect | Publish | Audio | Video | Data | Unreadable | Unpublish

_EVENTS: Final[dict[str, type[Any]]] = {
    "connect": Connect,
    "publish": Publish,
    "audio": Audio,
    "video": Video,
    "data": Data,
    "unreadable": Unreadable,
    "unpublish": Unpublish,
}


class Session:
    """The server's side of one connection, sans-IO. Every call may raise ``RtmpError``, which is final."""

    def __init__(self) -> None:
        self._session: Final = _media.RtmpSession()

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes in: what the encoder did, in order."""
        return [_EVENTS[str(name)](*fields) for name, *fields in self._session.receive(data)]

    def output(self) -> bytes:
        """Bytes for the encoder, in order."""
        return self._session.take_output()

    def accept(self) -> None:
        """Let it publish."""
        self._session.accept()

    def refuse(self, code: str, text: str) -> None:
        """Say no to a publisher; close afterwards."""
        self._session.refuse(code, text)

    def end(self, code: str, text: str) -> None:
        """Tell a publisher that it is over; close afterwards."""
        self._session.end(code, text)
