"""The compiled part: the media plane, for ``rostra.media.native``, and RTMP, for ``rostra.ingest.rtmp``."""

from collections.abc import Iterable, Sequence
from typing import Self, final

__all__ = ["Engine", "OverloadedError", "RtmpError", "RtmpSession"]

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
        tcp: bool = True,
    ) -> Self:
        """Bind the sockets and start the media threads.

        ``host`` is an IP literal; port 0 lets the system choose. A public address is ``ip`` or ``ip:port``. ``tcp``:
        listen for TCP on the same number.

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

class RtmpError(Exception):
    """The connection is to be closed; the text says why."""

@final
class RtmpSession:
    """One connection of an encoder, sans-IO (rust/ingest). Every call may raise ``RtmpError``, which is final."""

    def __new__(cls) -> Self:
        """A connection of which nothing came yet."""

    def receive(self, data: bytes) -> list[tuple[object, ...]]:
        """Take bytes in: what the encoder did, in order.

        ``("connect", app, tc_url)``, ``("publish", name)``, ``("audio" | "video", timestamp, tag)``,
        ``("data", timestamp, name, values)``, ``("unpublish",)``. Timestamps are milliseconds and wrap at 2**32.
        """

    def take_output(self) -> bytes:
        """Bytes for the encoder, in order."""

    def accept(self) -> None:
        """Let it publish. Without a question this does nothing."""

    def refuse(self, code: str, description: str) -> None:
        """Say no to a publisher, with a code of RTMP; then close. Without a question this does nothing."""

    def end(self, code: str, description: str) -> None:
        """Tell a publisher that it is over; then close."""
