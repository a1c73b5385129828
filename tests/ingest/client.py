"""An encoder by hand: every byte is the test's own choice."""

import asyncio
import os
import struct
from typing import Self

TIMEOUT_S = 10


def text(value: str) -> bytes:
    data = value.encode()
    return b"\x02" + len(data).to_bytes(2, "big") + data


def number(value: float) -> bytes:
    return b"\0" + struct.pack("!d", value)


def fields(values: dict[str, bytes]) -> bytes:
    body = b"".join(text(name)[1:] + value for name, value in values.items())
    return b"\x03" + body + b"\0\0\x09"


def chunks(
    kind: int, payload: bytes, *, timestamp: int = 0, stream: int = 0, size: int = 128, chunk_stream: int = 3
) -> bytes:
    """A message in chunks, with a full header."""
    short = min(timestamp, 0xFFFFFF)
    extended = timestamp.to_bytes(4, "big") if short == 0xFFFFFF else b""
    head = bytes([chunk_stream]) + short.to_bytes(3, "big") + len(payload).to_bytes(3, "big")
    head += bytes([kind]) + stream.to_bytes(4, "little") + extended
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    return head + (bytes([0xC0 | chunk_stream]) + extended).join(parts)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.size = 128

    @classmethod
    async def open(cls, address: str) -> Self:
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def handshake(self) -> None:
        self.writer.write(b"\x03" + bytes(8) + os.urandom(1528))
        async with asyncio.timeout(TIMEOUT_S):
            answer = await self.reader.readexactly(1 + 1536 + 1536)
        self.writer.write(answer[1:1537])

    def command(self, name: str, *values: bytes, stream: int = 0) -> None:
        self.message(20, text(name) + number(1) + b"".join(values), stream=stream)

    def message(self, kind: int, payload: bytes, *, timestamp: int = 0, stream: int = 1, chunk_stream: int = 3) -> None:
        self.writer.write(
            chunks(kind, payload, timestamp=timestamp, stream=stream, size=self.size, chunk_stream=chunk_stream)
        )

    def chunk_size(self, size: int) -> None:
        self.message(1, size.to_bytes(4, "big"), stream=0, chunk_stream=2)
        self.size = size

    async def publish(self, name: str, *, app: str = "v2/pub") -> bytes:
        """Up to the answer to ``publish``; what came."""
        await self.handshake()
        self.command("connect", fields({"app": text(app), "tcUrl": text(f"rtmp://h/{app}")}))
        self.command("createStream", b"\x05")
        self.command("publish", b"\x05", text(name), text("live"), stream=1)
        return await self.until(b"onStatus")

    async def until(self, what: bytes) -> bytes:
        """Read until something comes, or the end."""
        seen = b""
        async with asyncio.timeout(TIMEOUT_S):
            while what not in seen and (data := await self.reader.read(65536)):
                seen += data
            # A status is one message of one write: the rest of it is here or comes at once.
            if what == b"onStatus" and what in seen:
                while not seen.endswith(b"\0\0\x09") and (data := await self.reader.read(65536)):
                    seen += data
        return seen

    async def closed(self) -> bytes:
        """What came before the end."""
        seen = b""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                while data := await self.reader.read(65536):
                    seen += data
            except ConnectionError:
                pass
        return seen

    def vanish(self) -> None:
        self.writer.transport.abort()
