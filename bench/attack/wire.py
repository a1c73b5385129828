"""Connections written by hand from chosen loopback addresses, and what to say on them."""

import asyncio
import hashlib
import hmac
import json
import os
import re
import socket
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
OFFERS: Final = ROOT / "tests" / "data" / "offers"
TEXT, CONTINUATION, CLOSE, PING, PONG = 1, 0, 8, 9, 10
_HOST: Final = "127.0.0.1"
_READ_BYTES: Final = 64 * 1024
_ICE_S: Final = 10.0
_CHECK_S: Final = 0.1
_COOKIE: Final = 0x2112A442
_BINDING_SUCCESS: Final = 0x0101
_INTEGRITY: Final = 0x0008


class WrongAnswer(Exception):  # noqa: N818 — an answer
    """The server said something else than what the client came for."""


@dataclass(frozen=True, slots=True)
class Target:
    """The server under attack. Ports on 127.0.0.1."""

    http: int
    rtmp: int
    account: str
    publish_token: str
    subscribe_token: str
    stream: str

    def encoded(self) -> str:
        """As an argument of a program."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


@dataclass
class Wire:
    """One TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write it, and wait while the server does not take it."""
        self.writer.write(data)
        await self.writer.drain()

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields in lower case, body of the next response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        status = int(head[0].split()[1])
        if status in (101, 204) or "content-length" not in fields:
            return status, fields, b""
        return status, fields, await self.reader.readexactly(int(fields["content-length"]))

    async def message(self) -> Any:
        """The next text message of a WebSocket, as JSON. Events are left out."""
        while True:
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            payload = await self.reader.readexactly(size)
            if first & 15 == CLOSE:
                raise WrongAnswer(f"socket closed: {payload[2:].decode(errors='replace')}")
            if first & 15 == TEXT and (value := json.loads(payload))["type"] != "event":
                return value

    async def discard(self) -> None:
        """Read and forget until the end."""
        while await self.reader.read(_READ_BYTES):
            pass


@asynccontextmanager
async def connected(port: int, source: str, *, reads: bool = True) -> AsyncIterator[Wire]:
    """A connection from that address. ``reads``: or the client takes nothing of what the server sends."""
    reader, writer = await asyncio.open_connection(_HOST, port, local_addr=(source, 0), limit=4 * 1024 * 1024)
    try:
        if not reads:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def request(method: str, path: str, body: bytes = b"", /, **headers: str) -> bytes:
    """A request. In names of header fields ``_`` stands for ``-``."""
    fields = {"Host": "rostra.test", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def upgrade(path: str, **headers: str) -> bytes:
    """A WebSocket handshake."""
    fixed = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    return request("GET", path, b"", Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA==", **fixed, **headers)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame. Its mask is zero, which leaves the payload as it is."""
    size = len(payload)
    head = bytes([0x80 * fin | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0xFE]) + struct.pack("!H", size)
    else:
        head += bytes([0xFF]) + struct.pack("!Q", size)
    return head + bytes(4) + payload


def command(name: str, **data: object) -> bytes:
    """A command of the signalling protocol, as a frame."""
    return frame(TEXT, json.dumps({"type": "cmd", "transId": 1, "name": name, "data": data}).encode())


async def directed(wire: Wire, action: str, body: dict[str, object], **headers: str) -> str:
    """Ask the director; path and query of the socket."""
    data = json.dumps(body).encode()
    path = f"/api/director/{action}"
    await wire.send(request("POST", path, data, Content_Type="application/json", **headers))
    status, _, reply = await wire.response()
    if status != 200:
        raise WrongAnswer(f"director {status}: {reply[:80].decode(errors='replace')}")
    found = json.loads(reply)["data"]
    return f"/{found['urls'][0].split('/', 3)[3]}?token={found['jwt']}"


def offer(name: str) -> str:
    """A real client's offer, out of the tests' data."""
    return (OFFERS / f"{name}.sdp").read_text()


def wide_offer(lines: int) -> str:
    """An offer with so many video m-lines to watch, each like Chromium's but with VP8 alone."""
    head = "\r\n".join(
        ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {' '.join(map(str, range(lines)))}", ""]
    )
    real = dict(re.findall(r"a=(ice-ufrag|ice-pwd|fingerprint):(\S+(?: \S+)?)", offer("chromium-view")))
    media = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n" + "".join(
        f"a={name}:{value}\r\n" for name, value in real.items()
    )
    media += "a=setup:actpass\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n"
    media += "a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    return head + "".join(f"{media}a=mid:{number}\r\n" for number in range(lines))


async def check_ice(answer: str, source: str, offered: str) -> None:
    """Send signed connectivity checks from that address until a signed success comes (RFC 8445 §7.2).

    Raises:
        WrongAnswer: none within 10 s.
    """
    theirs, ours = _credentials(answer), _credentials(offered)
    found = re.search(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answer, re.IGNORECASE)
    if found is None:
        raise WrongAnswer("no UDP candidate")
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.bind((source, 0))
        udp.connect((found[1], int(found[2])))
        end_s = loop.time() + _ICE_S
        while loop.time() < end_s:
            transaction = os.urandom(12)
            udp.send(_check(f"{theirs[0]}:{ours[0]}", theirs[1], transaction))
            try:
                async with asyncio.timeout(_CHECK_S):
                    while not _is_success(await loop.sock_recv(udp, 2048), theirs[1]):
                        pass
                    return
            except TimeoutError:
                pass
    raise WrongAnswer("no answer to ICE")


def _credentials(sdp: str) -> tuple[str, str]:
    found = [re.search(rf"a=ice-{name}:(\S+)", sdp) for name in ("ufrag", "pwd")]
    if found[0] is None or found[1] is None:
        raise WrongAnswer("no ICE credentials")
    return found[0][1], found[1][1]


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _with_length(message: bytes, extra: int) -> bytes:
    """RFC 8489 §14.5: the length already counts the attribute to come."""
    return message[:2] + struct.pack("!H", len(message) - 20 + extra) + message[4:]


def _check(username: str, pwd: str, transaction: bytes) -> bytes:
    message = struct.pack("!HHI", 0x0001, 0, _COOKIE) + transaction
    message += _attribute(0x0006, username.encode()) + _attribute(0x0024, struct.pack("!I", 0x6E7F1EFF))
    message += _attribute(0x802A, b"\1" * 8) + _attribute(0x0025, b"")
    message = _with_length(message, 24)
    message += _attribute(_INTEGRITY, hmac.new(pwd.encode(), message, hashlib.sha1).digest())
    message = _with_length(message, 8)
    return message + _attribute(0x8028, struct.pack("!I", zlib.crc32(message) ^ 0x5354554E))


def _is_success(message: bytes, pwd: str) -> bool:
    """Whether it is a binding success signed with ``pwd``."""
    if len(message) < 20 or struct.unpack_from("!H", message)[0] != _BINDING_SUCCESS:
        return False
    at = 20
    while at + 4 <= len(message):
        kind, size = struct.unpack_from("!HH", message, at)
        if kind == _INTEGRITY:
            signed = hmac.new(pwd.encode(), _with_length(message[:at], 24), hashlib.sha1).digest()
            return hmac.compare_digest(message[at + 4 : at + 4 + size], signed)
        at += 4 + size + (-size % 4)
    return False
