"""The worker's process: takes encoders' connections, asks the server about each, and ends when the server does."""

import asyncio
import contextlib
import itertools
import logging
import os
import resource
import socket
from collections import Counter
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from rostra.ingest.channel import Channel
from rostra.ingest.encoder import Encoder, Settings, Stuck
from rostra.model.addresses import group
from rostra.model.places import Places
from rostra.protocol.ingest import (
    ALIVE_S,
    Alive,
    Authorise,
    End,
    Ended,
    FromWorker,
    KeyFrames,
    Open,
    Problem,
    decode_from_server,
    encode,
)

MAX_ENCODERS: Final = 512
"""Encoders that were admitted."""
MAX_ENCODERS_FROM_ONE: Final = 256
"""Of one network (``addresses.group``): a studio behind a NAT, or a proxy, has fewer."""
MAX_STRANGERS: Final = 256
"""Connections that have not been admitted yet. An honest one is for less than a second."""
MAX_STRANGERS_FROM_ONE: Final = 64
MAX_MEMORY: Final = 8 << 30
"""Address space. Threads of codecs reserve much and use little."""
MAX_FILES: Final = 4096
THREADS: Final = 8
_ACCEPT_PAUSE_S: Final = 0.2
"""After an accept that failed for want of descriptors."""

log = logging.getLogger("rostra.ingest")


class Worker:
    """All connections of this process."""

    def __init__(self, listener: socket.socket, link: socket.socket, *, reencode: bool) -> None:
        """Needs a running loop. Both sockets are the worker's."""
        listener.setblocking(False)
        self._listener: Final = listener
        self._channel: Final = Channel(link, self._on_message, self._on_close)
        self._pool: Final = ThreadPoolExecutor(THREADS, "codec")
        self._settings: Final = Settings(self, self._pool, reencode)
        self._encoders: Final[dict[int, Encoder]] = {}
        self._tasks: Final[dict[int, asyncio.Task[None]]] = {}
        self._networks: Final[dict[int, str]] = {}
        self._strangers: Final[Places[int]] = Places(MAX_STRANGERS, MAX_STRANGERS_FROM_ONE)
        self._admitted: Final[Counter[str]] = Counter()
        """Encoders that were admitted, by network."""
        self._questions: Final[dict[int, asyncio.Future[tuple[Any, int | None]]]] = {}
        self._numbers: Final = itertools.count(1)
        self._closed: Final = asyncio.Event()

    async def run(self) -> None:
        """Serve until the server is gone."""
        async with asyncio.TaskGroup() as tasks:
            background = (tasks.create_task(self._accept(tasks)), tasks.create_task(self._say_alive()))
            await self._closed.wait()
            for task in background:
                task.cancel()
            for task in self._tasks.values():
                task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._listener.close()

    def ask(self, message: Authorise | Open) -> Awaitable[tuple[Any, int | None]]:
        """One question of a connection at a time."""
        answer: asyncio.Future[tuple[Any, int | None]] = asyncio.get_running_loop().create_future()
        self._questions[message.connection] = answer
        self._channel.send(encode(message))
        return answer

    def tell(self, message: FromWorker) -> None:
        """What the server need not know is left out when it is busy."""
        if not (isinstance(message, Problem | KeyFrames) and self._channel.is_crowded):
            self._channel.send(encode(message))

    def admit(self, number: int) -> bool:
        """Whether there is a place for a connection whose token is good."""
        network = self._networks[number]
        self._strangers.leave(number)
        if self._admitted.total() >= MAX_ENCODERS or self._admitted[network] >= MAX_ENCODERS_FROM_ONE:
            return False
        self._admitted[network] += 1
        self._encoders[number].is_admitted = True
        return True

    async def _say_alive(self) -> None:
        while True:
            if not self._channel.is_crowded:
                self._channel.send(encode(Alive()))
            await asyncio.sleep(ALIVE_S)

    async def _accept(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError:
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            peer = str(address[0])
            connection.setblocking(False)
            number = next(self._numbers)
            network = self._networks[number] = group(peer)
            if (loser := self._strangers.take(number, network)) is not None:
                self._encoders[loser].drop()
            encoder = self._encoders[number] = Encoder(number, connection, peer, self._settings)
            self._tasks[number] = tasks.create_task(self._serve(encoder))
            await asyncio.sleep(0)  # where the next one waits already, no accept does

    async def _serve(self, encoder: Encoder) -> None:
        try:
            reason = await encoder.run()
        except Stuck:
            log.error("a codec does not come back: the worker ends")
            os._exit(3)
        except Exception:
            log.exception("a connection ended by a bug")
            reason = "bug"
        finally:
            del self._encoders[encoder.number]
            self._tasks.pop(encoder.number, None)
            self._questions.pop(encoder.number, None)
            self._strangers.leave(encoder.number)
            network = self._networks.pop(encoder.number)
            if encoder.is_admitted:
                self._admitted[network] -= 1
                if not self._admitted[network]:
                    del self._admitted[network]
        self.tell(Ended(encoder.number, reason))

    def _on_message(self, data: bytes, descriptor: int | None) -> None:
        message = decode_from_server(data)
        if isinstance(message, End):
            if (encoder := self._encoders.get(message.connection)) is not None:
                encoder.end(message.text)
            return
        question = self._questions.pop(message.connection, None)
        if question is not None and not question.done():
            question.set_result((message, descriptor))
        elif descriptor is not None:
            os.close(descriptor)

    def _on_close(self) -> None:
        self._closed.set()


def limit() -> None:
    """What strangers' bytes may cost this machine at most."""
    for what, most in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (allowed, allowed))
