"""Clients that behave: one join a second by each entrance, and ``/healthz``. Writes one line of JSON for each.

As a program: ``python -m bench.attack.honest TARGET``, until standard input ends.
"""

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from bench.attack.wire import (
    Target,
    WrongAnswer,
    check_ice,
    command,
    connected,
    directed,
    frame,
    offer,
    request,
    upgrade,
)

SOURCES: Final = [f"127.0.2.{number}" for number in range(1, 17)]
PROXY: Final = "127.0.3.1"
JOIN_S: Final = 15.0
"""A join that takes longer has failed."""
HEALTH_EVERY_S: Final = 0.25
_SDP: Final = "application/sdp"
_VIEW: Final = offer("chromium-view")
_PUBLISH: Final = offer("chromium-publish")
_CLOSE: Final = frame(8, b"\x03\xe8")


class Client:
    """One who joins: its address, and the one that it connects from, which differ behind the proxy."""

    def __init__(self, target: Target, number: int) -> None:
        self.target: Final = target
        self.number: Final = number
        self.address: Final = SOURCES[number % len(SOURCES)]
        self.is_forwarded: Final = number % 4 == 3
        self.source: Final = PROXY if self.is_forwarded else self.address
        self.fields: Final = {"X_Forwarded_For": self.address} if self.is_forwarded else {}

    async def view(self) -> None:
        """By the director and a socket."""
        body: dict[str, object] = {"streamName": self.target.stream, "streamAccountId": self.target.account}
        await self._signal("subscribe", body, "view", _VIEW, {})

    async def publish(self) -> None:
        """By the director and a socket."""
        body: dict[str, object] = {"streamName": f"by-socket-{self.number % 16}"}
        token = {"Authorization": f"Bearer {self.target.publish_token}"}
        await self._signal("publish", body, "publish", _PUBLISH, token, codec="vp8")

    async def _signal(
        self, action: str, body: dict[str, object], name: str, sdp: str, token: dict[str, str], **data: object
    ) -> None:
        async with connected(self.target.http, self.source) as wire:
            path = await directed(wire, action, body, **token, **self.fields)
        async with connected(self.target.http, self.source) as wire:
            await wire.send(upgrade(path, **self.fields))
            status, _, reply = await wire.response()
            if status != 101:
                raise WrongAnswer(f"upgrade {status}: {reply[:80].decode(errors='replace')}")
            await wire.send(command(name, sdp=sdp, **data))
            answer = await wire.message()
            if answer["type"] != "response":
                raise WrongAnswer(f"{name}: {str(answer.get('data'))[:80]}")
            await check_ice(answer["data"]["sdp"], self.address, sdp)
            await wire.send(_CLOSE)

    async def whip(self) -> None:
        """Publish by WHIP."""
        path = f"/api/whip/by-whip-{self.number % 16}"
        await self._post(path, _PUBLISH, {"Authorization": f"Bearer {self.target.publish_token}"})

    async def whep(self) -> None:
        """Watch by WHEP, half of them with a token."""
        token = {"Authorization": f"Bearer {self.target.subscribe_token}"} if self.number // 4 % 2 else {}
        await self._post(f"/api/whep/{self.target.account}/{self.target.stream}", _VIEW, token)

    async def _post(self, path: str, sdp: str, token: dict[str, str]) -> None:
        async with connected(self.target.http, self.source) as wire:
            await wire.send(request("POST", path, sdp.encode(), Content_Type=_SDP, **token, **self.fields))
            status, fields, reply = await wire.response()
            if status != 201:
                raise WrongAnswer(f"{status}: {reply[:80].decode(errors='replace')}")
            await check_ice(reply.decode(), self.address, sdp)
            await wire.send(request("DELETE", fields["location"], b"", **token, **self.fields))
            await wire.response()

    async def rtmp(self) -> None:
        """Publish as an encoder, up to the answer to ``publish``."""
        async with connected(self.target.rtmp, self.address) as wire:
            await wire.send(b"\x03" + bytes(8) + os.urandom(1528))
            answer = await wire.reader.readexactly(1 + 1536 + 1536)
            connect = _amf("connect") + b"\x03\0\3app" + _text("v2/pub") + b"\0\5tcUrl" + _text("rtmp://h/v2/pub")
            name = f"by-rtmp-{self.number % 16}?token={self.target.publish_token}"
            publish = _amf("publish") + b"\5" + _text(name) + _text("live")
            await wire.send(answer[1:1537] + _chunks(connect + b"\0\0\x09", 0))
            await wire.send(_chunks(_amf("createStream") + b"\5", 0) + _chunks(publish, 1))
            seen = b""
            while b"onStatus" not in seen or not seen.endswith(b"\0\0\x09"):
                data = await wire.reader.read(65536)
                if not data:
                    raise WrongAnswer("closed before onStatus")
                seen += data
            if b"NetStream.Publish.Start" not in seen:
                raise WrongAnswer(f"onStatus: {seen[-160:].decode(errors='replace')}")

    async def page(self) -> None:
        """Load the page."""
        async with connected(self.target.http, self.source) as wire:
            await wire.send(request("GET", "/", b"", **self.fields))
            status, _, body = await wire.response()
            if status != 200 or b"</html>" not in body:
                raise WrongAnswer(f"{status}, {len(body)} bytes")

    async def health(self) -> None:
        """Ask ``/healthz`` on a connection of its own."""
        async with connected(self.target.http, self.source) as wire:
            await wire.send(request("GET", "/healthz", b"", **self.fields))
            status, _, _ = await wire.response()
            if status not in (200, 204):
                raise WrongAnswer(str(status))


def _text(value: str) -> bytes:
    data = value.encode()
    return b"\x02" + len(data).to_bytes(2, "big") + data


def _amf(name: str) -> bytes:
    """The name of a command and transaction 1."""
    return _text(name) + b"\0\x3f\xf0" + bytes(6)


def _chunks(payload: bytes, stream: int) -> bytes:
    """An AMF0 command in chunks of 128 bytes."""
    head = b"\3\0\0\0" + len(payload).to_bytes(3, "big") + b"\x14" + stream.to_bytes(4, "little")
    return head + b"\xc3".join(payload[at : at + 128] for at in range(0, len(payload), 128))


ENTRANCES: Final[dict[str, Callable[[Client], Awaitable[None]]]] = {
    "view": Client.view,
    "publish": Client.publish,
    "whip": Client.whip,
    "whep": Client.whep,
    "rtmp": Client.rtmp,
    "page": Client.page,
}


async def attempt(entrance: str, join: Callable[[Client], Awaitable[None]], client: Client) -> None:
    """Join, and write down what became of it. ``at``: seconds of CLOCK_MONOTONIC at the begin."""
    began_s = time.monotonic()
    error = None
    try:
        async with asyncio.timeout(JOIN_S):
            await join(client)
    except (OSError, EOFError, WrongAnswer, asyncio.LimitOverrunError) as failure:
        error = f"{type(failure).__name__} {failure}".strip()
    record = {
        "at": began_s,
        "entrance": entrance,
        "ms": round((time.monotonic() - began_s) * 1000, 1),
        "error": error,
        "source": client.source,
    }
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


async def repeat(target: Target, entrance: str, every_s: float, first_s: float, stop: asyncio.Event) -> None:
    """Join every so often, however long a join takes, until the stop. Joins that have begun are finished."""
    loop = asyncio.get_running_loop()
    join = Client.health if entrance == "healthz" else ENTRANCES[entrance]
    begin_s = loop.time() + first_s
    async with asyncio.TaskGroup() as tasks:
        for number in itertools.count():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(begin_s + number * every_s):
                    await stop.wait()
            if stop.is_set():
                break
            tasks.create_task(attempt(entrance, join, Client(target, number)))


async def main(target: Target) -> None:
    """All entrances, until standard input ends."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for index, entrance in enumerate(ENTRANCES):
            tasks.create_task(repeat(target, entrance, 1.0, index / len(ENTRANCES), stop))
        tasks.create_task(repeat(target, "healthz", HEALTH_EVERY_S, 0.0, stop))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        stop.set()


if __name__ == "__main__":
    asyncio.run(main(Target(**json.loads(sys.argv[1]))))
