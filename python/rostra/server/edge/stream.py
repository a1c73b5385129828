"""One accepted connection as a stream of bytes: little is kept of what comes, and of what goes."""

import asyncio
from collections.abc import Callable
from typing import Final

from rostra.server.edge.caps import LINGER_BYTES, LINGER_S, READ_BYTES, STALL_S, WRITE_BYTES

_RECEIVED: Final = memoryview(bytearray(READ_BYTES))
"""All connections receive into this: an idle one keeps no buffer. What came is copied before anything else runs."""


class Stream(asyncio.BufferedProtocol):
    """Bytes in and out. ``on_lost`` is called once, when the connection is gone."""

    def __init__(self, *, is_tls: bool, on_lost: Callable[[], None], on_stalled: Callable[[], None]) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._is_tls: Final = is_tls
        self._on_lost: Final = on_lost
        self._on_stalled: Final = on_stalled
        self._transport: asyncio.Transport | None = None
        self._unread: Final = bytearray()
        self._is_paused = False
        self._is_at_end = False
        self._lost: Final = asyncio.Event()
        self._reader: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._abort: asyncio.TimerHandle | None = None
        self.is_lost = False
        self.received = 0
        """Bytes so far: whoever wants to know whether anything came."""

    # --- What the event loop calls ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream transport")
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive."""
        del sizehint  # one size for all
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        """Something came."""
        self._unread.extend(_RECEIVED[:nbytes])
        self.received += nbytes
        if len(self._unread) >= READ_BYTES and self._transport is not None and not self._is_paused:
            self._transport.pause_reading()
            self._is_paused = True
        self._wake_reader()

    def eof_received(self) -> bool:
        """The client writes no more. It may still read, except over TLS."""
        self._is_at_end = True
        self._wake_reader()
        return not self._is_tls

    def pause_writing(self) -> None:
        """Too much waits."""
        if self._writable is None:
            self._writable = self._loop.create_future()
            self._watch_stall()

    def resume_writing(self) -> None:
        """Enough was taken."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, clean or not."""
        del exc
        self.is_lost = True
        self._lost.set()
        self._is_at_end = True
        self._unread.clear()
        self._wake_reader()
        self.resume_writing()
        if self._abort is not None:
            self._abort.cancel()
        self._on_lost()

    # --- What the server calls ----------------------------------------------------------------------------------

    async def read(self, limit: int) -> bytes:
        """At most ``limit`` bytes, as soon as there are any; none at the end. One reader at a time."""
        if not await self.wait_for_data():
            return b""
        data = bytes(self._unread[:limit])
        del self._unread[:limit]
        if self._is_paused and len(self._unread) < READ_BYTES and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def wait_for_data(self) -> bool:
        """Wait until there is something to read. ``False``: nothing comes any more."""
        while not self._unread:
            if self._is_at_end:
                return False
            await self._more()
        return True

    async def wait_until_lost(self) -> None:
        """Wait until the connection is gone. ``close`` or ``abort`` first."""
        if self._transport is not None:
            await self._lost.wait()

    async def wait_for_end(self) -> None:
        """Wait until the client has gone or writes no more. What it sends meanwhile stays unread."""
        while not self._is_at_end:
            await self._more()

    def write(self, data: bytes) -> None:
        """Send it. ``drain`` afterwards."""
        if not self.is_lost and self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait while too much waits to be sent."""
        while self._writable is not None:
            await asyncio.shield(self._writable)

    def abort(self) -> None:
        """End at once. What waits to be sent is lost."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End after what waits to be sent, or when nothing of that was taken for a while."""
        if self._transport is None or self.is_lost:
            return
        self._transport.close()
        if self._abort is None and not self.is_lost:
            self._abort = self._loop.call_later(STALL_S, self._transport.abort)

    async def linger(self) -> None:
        """Let a client that still writes read our answer: say that no more comes, and throw away what it writes.

        A socket that is closed with bytes unread is reset, and the reset overtakes the answer (RFC 9112 §9.6).
        """
        if self._transport is None or self.is_lost:
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_S):
                while left > 0 and (data := await self.read(READ_BYTES)):
                    left -= len(data)
        except TimeoutError:
            pass

    async def _more(self) -> None:
        if self._reader is None:
            self._reader = self._loop.create_future()
        await asyncio.shield(self._reader)

    def _wake_reader(self) -> None:
        if self._reader is not None:
            if not self._reader.done():
                self._reader.set_result(None)
            self._reader = None

    def _watch_stall(self) -> None:
        waiting = self._transport.get_write_buffer_size() if self._transport is not None else 0
        self._stall = self._loop.call_later(STALL_S, self._check_stall, waiting)

    def _check_stall(self, before: int) -> None:
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() >= before:
            self._on_stalled()
            self._transport.abort()
        else:
            self._watch_stall()
