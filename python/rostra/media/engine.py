"""The port to the media plane. ``native.py`` is the real one, ``fake.py`` one without packets."""

from dataclasses import dataclass
from typing import Protocol

from rostra.model.media import Command, Event


class Overloaded(Exception):  # noqa: N818 — the name of the condition (docs/seam.md)
    """The command queue is full. Nothing of the call was taken."""

    code = "overloaded"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address that peers can reach, for ``a=candidate``. ``ip`` is a literal, never a name; ``protocol`` is ``udp``
    or ``tcp``, where the peer connects.
    """

    ip: str
    port: int
    protocol: str = "udp"


class Engine(Protocol):
    """The media plane as the control plane sees it. No call ever waits for a media thread."""

    fingerprint: str
    """SHA-256 of the process's DTLS certificate, upper-case hex pairs joined by colons."""

    candidates: tuple[Candidate, ...]
    """Best first."""

    def submit(self, *commands: Command) -> None:
        """Queue the commands, in order, all or none.

        An ``OpenTransport`` is registered before this returns: a peer's check may arrive at once. The descriptor of an
        ``OpenLocalFeed`` is duplicated before this returns, and no duplicate outlives a refusal.

        Raises:
            Overloaded: the queue has no room for all of them.
            ValueError: a field does not fit, as a descriptor that is no SOCK_SEQPACKET of AF_UNIX. Nothing was taken.
        """

    def drain(self) -> list[Event]:
        """Facts since the last call, in order. Empty when there are none."""

    def fileno(self) -> int:
        """Readable when ``drain`` has something, for ``loop.add_reader``."""

    def close(self) -> None:
        """End every transport (DTLS close_notify) and the media threads. Idempotent."""
