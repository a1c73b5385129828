"""The worker's process: takes encoders' connections, asks the server about each, and ends when the server does."""

import asyncio
import contextlib
import itertools
import logging
import os
import resource
import socket
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from rostra.ingest.channel import Channel
from rostra.ingest.encoder import Encoder, Settings, Stuck
from rostra.protocol.ingest import (
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

MAX_CONNECTIONS: Final = 512
MAX_FROM_ONE: Final = 256
"""Connections of one network (``network_of``): a studio behind a NAT, or a proxy, has fewer."""
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
        self._networks: Final[dict[str, int]] = {}
        self._questions: Final[dict[int, asyncio.Future[tuple[Any, int | None]]]] = {}
        self._numbers: Final = itertools.count(1)
        self._closed: Final = asyncio.Event()

    async def run(self) -> None:
        """Serve until the server is gone."""
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(self._accept(tasks))
            await self._closed.wait()
            accepting.cancel()
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

    async def _accept(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError:
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            peer = str(address[0])
            network = network_of(peer)
            if len(self._encoders) >= MAX_CONNECTIONS or self._networks.get(network, 0) >= MAX_FROM_ONE:
                connection.close()
                await asyncio.sleep(0)  # where the next one waits already, no accept does
                continue
            connection.setblocking(False)
            number = next(self._numbers)
            encoder = self._encoders[number] = Encoder(number, connection, peer, self._settings)
            self._networks[network] = self._networks.get(network, 0) + 1
            self._tasks[number] = tasks.create_task(self._serve(encoder, network))

    async def _serve(self, encoder: Encoder, network: str) -> None:
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
            self._networks[network] -= 1
            if not self._networks[network]:
                del self._networks[network]
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


def network_of(peer: str) -> str:
    """What one customer has of addresses: one of IPv4, 2⁶⁴ of IPv6 (RFC 6177)."""
    address = ip_address(peer)
    if isinstance(address, IPv4Address):
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))


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
