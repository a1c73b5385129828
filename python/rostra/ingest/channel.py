"""The control channel between server and worker: messages of an AF_UNIX SOCK_SEQPACKET pair, some with a descriptor."""

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from rostra.protocol.ingest import MAX_MESSAGE

MAX_QUEUED: Final = 4096
"""Messages that the other side has not read: far more than encoders of one worker."""
_BURST: Final = 64
"""Messages taken in at once, so that nothing else waits for long."""


class Channel:
    """One end. Neither call waits; ``on_message(data, descriptor)`` owns the descriptor; ``on_close`` comes once."""

    def __init__(
        self,
        link: socket.socket,
        on_message: Callable[[bytes, int | None], None],
        on_close: Callable[[], None],
    ) -> None:
        """Needs a running loop. The socket is the channel's."""
        link.setblocking(False)
        self._link: Final = link
        self._on_message: Final = on_message
        self._on_close: Final = on_close
        self._queue: Final[deque[tuple[bytes, int | None]]] = deque()
        self._loop: Final = asyncio.get_running_loop()
        self._is_open = True
        self._loop.add_reader(link.fileno(), self._read)

    @property
    def is_crowded(self) -> bool:
        """Whether what need not be said had better not be said."""
        return len(self._queue) > MAX_QUEUED // 4

    def send(self, message: bytes, descriptor: int | None = None) -> None:
        """Send, now or when there is room. The descriptor is duplicated; a closed channel takes nothing.

        Raises:
            ValueError: the message is longer than the other side takes, which would close the channel.
        """
        if len(message) > MAX_MESSAGE:
            raise ValueError(f"a message of {len(message)} bytes")
        if not self._is_open:
            return
        if len(self._queue) >= MAX_QUEUED:
            self.close()
            return
        self._queue.append((message, os.dup(descriptor) if descriptor is not None else None))
        if len(self._queue) == 1:
            self._write()

    def close(self) -> None:
        """Close. Idempotent."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._link.fileno())
        self._loop.remove_writer(self._link.fileno())
        for _, descriptor in self._queue:
            if descriptor is not None:
                os.close(descriptor)
        self._queue.clear()
        self._link.close()
        self._on_close()

    def _write(self) -> None:
        while self._queue:
            message, descriptor = self._queue[0]
            rights = (
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
                if descriptor is not None
                else []
            )
            try:
                self._link.sendmsg([message], rights)
            except BlockingIOError:
                self._loop.add_writer(self._link.fileno(), self._write)
                return
            except OSError:
                self.close()
                return
            self._queue.popleft()
            if descriptor is not None:
                os.close(descriptor)
        self._loop.remove_writer(self._link.fileno())

    def _read(self) -> None:
        for _ in range(_BURST):
            if not self._is_open:
                return
            try:
                data, descriptors, flags, _ = socket.recv_fds(self._link, MAX_MESSAGE, 1)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            descriptor = descriptors[0] if descriptors else None
            if not data or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                if descriptor is not None:
                    os.close(descriptor)
                self.close()
                return
            self._on_message(data, descriptor)
