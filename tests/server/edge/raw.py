"""Clients that speak HTTP and WebSocket by hand, as strangers do."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.server.harness import TIMEOUT_S, Server


@dataclass
class Raw:
    """One TCP connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    async def push(self, data: bytes, *, limit: int, heeds: bool = True) -> int:
        """Send the same again and again until the server resets, or ``limit`` is reached; bytes sent.

        ``heeds``: or until it answers.
        """
        sent = 0
        try:
            while sent < limit and not (heeds and self.has_answer):
                self.writer.write(data)
                async with asyncio.timeout(TIMEOUT_S):
                    await self.writer.drain()
                sent += len(data)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        return sent

    @property
    def has_answer(self) -> bool:
        return bool(self.reader._buffer) or self.reader._eof  # type: ignore[attr-defined]

    async def status(self) -> int:
        """The status of the next response, whose head is read."""
        async with asyncio.timeout(TIMEOUT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])

    async def response(self) -> tuple[int, bytes]:
        """The next response; its length has to be said."""
        async with asyncio.timeout(TIMEOUT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            return int(head.split()[1]), await self.reader.readexactly(int(length.split(b":")[1]))

    async def ended(self) -> bytes:
        """Wait for the end of the connection; what came before it."""
        data = b""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while part := await self.reader.read(65536):
                    data += part
        except ConnectionError:
            pass
        return data

    def is_open(self) -> bool:
        return not self.reader.at_eof() and self.reader.exception() is None


@asynccontextmanager
async def raw(server: Server, *, source: str | None = None) -> AsyncIterator[Raw]:
    """A connection, from another loopback address if one is given."""
    address = urlsplit(server.http)
    local = (source, 0) if source is not None else None
    reader, writer = await asyncio.open_connection(address.hostname, address.port, local_addr=local)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def upgrade(url: str) -> str:
    """A WebSocket handshake."""
    parts = urlsplit(url)
    return (
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A masked frame of a client."""
    mask = os.urandom(4)
    size = len(payload)
    head = bytes([0x80 * fin | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


@asynccontextmanager
async def raw_socket(server: Server, action: str = "subscribe", *, source: str | None = None) -> AsyncIterator[Raw]:
    """A WebSocket whose frames are written by hand."""
    url = await server.url(action)
    async with raw(server, source=source) as client:
        client.send(upgrade(url))
        assert await client.status() == 101
        yield client


async def close_frame(client: Raw) -> tuple[int, str]:
    """Read frames until the close frame; its code and reason."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            first, second = await client.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", await client.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await client.reader.readexactly(8))
            payload = await client.reader.readexactly(size)
            if first & 0x0F == 8:
                return struct.unpack(">H", payload[:2])[0], payload[2:].decode()
