"""The listener: it takes connections from the kernel, as far as there are places for them."""

import asyncio
import errno
import socket
import ssl
from typing import Final

import structlog

from rostra.model.addresses import normalise
from rostra.server.edge.caps import ACCEPTS_PER_TURN
from rostra.server.edge.connection import Connection, EdgeContext

log = structlog.get_logger("rostra.http")

_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_S: Final = 0.25
"""How soon a process without descriptors looks for connections again."""
_GRACE_S: Final = 3.0
"""How long requests that are being served may take at the end."""


class Edge:
    """One HTTP port."""

    def __init__(self, context: EdgeContext, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """``listener``: bound, listening and not blocking. It stays the caller's."""
        self._context: Final = context
        self._listener: Final = listener
        self._tls: Final = tls
        self._open: Final[set[Connection]] = set()
        self._stop: Final = asyncio.Event()
        self._none_open: Final = asyncio.Event()
        self._none_open.set()

    def stop(self) -> None:
        """Take no more connections, and let those that serve a request finish. Idempotent."""
        self._context.is_stopping = True
        self._stop.set()

    async def run(self) -> None:
        """Serve until ``stop``, or until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._listen(tasks)
            try:
                await self._stop.wait()
            finally:
                asyncio.get_running_loop().remove_reader(self._listener)
                await self._close_all()

    async def _close_all(self) -> None:
        for connection in list(self._open):
            connection.close_if_idle()
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._none_open.wait()
        except TimeoutError:
            log.warning("requests did not end in time", connections=len(self._open))
        for connection in list(self._open):
            connection.cancel()

    def _listen(self, tasks: asyncio.TaskGroup) -> None:
        if not self._stop.is_set():
            asyncio.get_running_loop().add_reader(self._listener, self._accept, tasks)

    def _accept(self, tasks: asyncio.TaskGroup) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, address = self._listener.accept()
            except OSError as error:
                # Beside a lack of room, it tells what happened to the connection that was to come (accept(2)).
                if error.errno in _NO_ROOM:
                    self._wait_for_room(tasks, error)
                return
            self._begin(tasks, accepted, normalise(address[0]))

    def _wait_for_room(self, tasks: asyncio.TaskGroup, error: OSError) -> None:
        """The caps leave descriptors free, so somebody else in this process took them."""
        log.error("cannot accept connections", reason=error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        loop.call_later(_RETRY_S, self._listen, tasks)

    def _begin(self, tasks: asyncio.TaskGroup, accepted: socket.socket, peer: str) -> None:
        accepted.setblocking(False)
        try:
            # asyncio does so only for sockets that were made with their protocol's number.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # it is gone already
            accepted.close()
            return
        connection = Connection(self._context, accepted, peer)
        if not connection.admit():
            accepted.close()
            return
        self._open.add(connection)
        self._none_open.clear()
        task = tasks.create_task(connection.run(self._tls))
        task.add_done_callback(lambda _: self._end(connection))

    def _end(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._none_open.set()
