"""Slow bodies: they end for others, and keep nobody out."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rostra.server import reading
from tests.server.harness import PUBLISH_OFFER, Server, running
from tests.server.whip_client import FRAGMENT, SDP, patch, whep, whip

SLOW, HONEST = 520, 72
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A server that reads four bodies of each kind at a time, two of one address or token."""
    monkeypatch.setattr(reading, "MAX_READING", 4)
    monkeypatch.setattr(reading, "MAX_READING_OF_ONE", 2)
    async with running(tmp_path) as server:
        yield server


class Slow:
    """Clients whose bodies do not come."""

    def __init__(self, server: Server) -> None:
        self._where = urlsplit(server.http)
        self._writers: list[asyncio.StreamWriter] = []

    async def post(self, line: str, content_type: str, host: str, token: str | None = None) -> Streams:
        """Begin a request. ``host``: the client's address."""
        reader, writer = await asyncio.open_connection(
            self._where.hostname, self._where.port, local_addr=(host, 0), family=socket.AF_INET
        )
        self._writers.append(writer)
        shown = f"Authorization: Bearer {token}\r\n" if token is not None else ""
        writer.write(
            f"{line} HTTP/1.1\r\nHost: x\r\n{shown}If-Match: *\r\nContent-Type: {content_type}\r\n"
            "Content-Length: 5000\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n", "the body is being read"
        await reader.readline()
        return reader, writer

    async def close(self) -> None:
        """Give up."""
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def slow_clients(server: Server) -> AsyncIterator[Slow]:
    slow = Slow(server)
    try:
        yield slow
    finally:
        await slow.close()


async def reply(streams: Streams) -> bytes:
    """What the server answers."""
    async with asyncio.timeout(10):
        return await streams[0].readuntil(b"\r\n\r\n")


def watch(server: Server) -> str:
    return f"POST /api/whep/{server.account.id}/demo"


async def test_slow_strangers_keep_no_honest_join_out(server: Server) -> None:
    async with server.publisher(), slow_clients(server) as slow:
        for number in range(SLOW):
            await slow.post(watch(server), SDP, f"127.0.1.{number % 8}")
        for number in range(HONEST):
            token = server.subscribe_token if number % 2 else None
            assert (await whep(server, token=token)).status_code == 201


async def test_the_slowest_of_the_address_with_most_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with small(tmp_path, monkeypatch) as server, server.publisher(), slow_clients(server) as slow:
        other = await slow.post(watch(server), SDP, "127.0.1.1")
        first = await slow.post(watch(server), SDP, "127.0.1.2")
        await slow.post(watch(server), SDP, "127.0.1.2")
        await slow.post(watch(server), SDP, "127.0.1.3")
        await slow.post(watch(server), SDP, "127.0.1.4")
        answer = (await reply(first)).lower()
        assert answer.startswith(b"http/1.1 503 ")
        assert b"retry-after: 5" in answer
        assert b"connection: close" in answer
        assert not other[0]._buffer  # type: ignore[attr-defined]


async def test_strangers_do_not_end_the_reading_of_a_token_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small(tmp_path, monkeypatch) as server, server.publisher(), slow_clients(server) as slow:
        offer = PUBLISH_OFFER.encode()
        holder = await slow.post("POST /api/whip/other", SDP, "127.0.1.1", server.publish_token)
        for _ in range(6):
            await slow.post(watch(server), SDP, "127.0.1.1")
        for host in ("127.0.1.2", "127.0.1.3", "127.0.1.4"):
            await slow.post("POST /api/director/subscribe", "application/json", host)
        holder[1].write(offer[:4999].ljust(5000, b"\n"))
        assert (await reply(holder)).startswith((b"HTTP/1.1 201", b"HTTP/1.1 400")), "it was read to its end"


async def test_fragments_are_among_the_bodies_that_are_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 changes of each of 65 536 sessions at once would otherwise wait in memory, with 64 KiB each."""
    async with small(tmp_path, monkeypatch) as server, slow_clients(server) as slow:
        made = await whip(server)
        first, _, _ = [await slow.post(f"PATCH {made.headers['location']}", FRAGMENT, "127.0.1.1") for _ in range(3)]
        assert (await reply(first)).startswith(b"HTTP/1.1 503 ")
        assert (await patch(server, made.headers["location"], etag=made.headers["etag"])).status_code == 204
