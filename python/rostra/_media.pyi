"""The compiled media plane. Only ``rostra.media.native`` imports it."""

from collections.abc import Iterable, Sequence
from typing import Self, final

__all__ = ["Engine", "OverloadedError"]

class OverloadedError(Exception):
    """The command queue is full. Nothing of the call was taken."""

@final
class Engine:
    """The media plane of this process: sockets and threads, alive from construction to ``close``."""

    def __new__(
        cls,
        host: str,
        port: int,
        public_addresses: Sequence[str],
        gso: bool,
        shards: int,
        command_capacity: int = 65_536,
    ) -> Self:
        """Bind the sockets and start the media threads.

        ``host`` is an IP literal; port 0 lets the system choose. A public address is ``ip`` or ``ip:port``.

        Raises:
            ValueError: an address that does not parse, or a number of shards other than 1.
            OSError: the address cannot be had.
        """

    def submit(self, commands: Iterable[object]) -> None:
        """Queue commands of ``rostra.model.media``, in order, all or none.

        The descriptor of an ``OpenLocalFeed`` is duplicated, and the duplicate closed with the feed or a refusal.

        Raises:
            ValueError: one of them does not convert; the message names the attribute.
            OverloadedError: there is no room for all, or the engine is closed.
        """

    def drain(self) -> list[tuple[object, ...]]:
        """Facts since the last call, in order: class name, then the fields in the order of the dataclass."""

    def fileno(self) -> int:
        """Readable while ``drain`` has something."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DTLS certificate, upper-case hex pairs joined by colons."""

    @property
    def candidates(self) -> list[tuple[str, int, str]]:
        """``(ip, port, protocol)``, best first."""

    def close(self) -> None:
        """End every transport and the media threads. Idempotent; events of the end can still be drained."""
