"""One WebSocket, between the frames of ``websockets`` and an ASGI application.

Frames are read when the application asks for a message, a little at a time, and only as fast as the budget allows.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import h11
import structlog
from starlette.types import ASGIApp, Message, Scope
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol, Side, State
from websockets.server import ServerProtocol

from rostra.server.edge.budget import SocketBudget, Turns
from rostra.server.edge.caps import SOCKET_READ_BYTES
from rostra.server.edge.exchange import date, plain_response, reason
from rostra.server.edge.stream import Stream

if TYPE_CHECKING:
    from rostra.server.edge.connection import EdgeStats

log = structlog.get_logger("rostra.http")

PING_S: Final = 20.0
"""Silence of a socket before it is probed, and again before it counts as lost."""
CLOSE_S: Final = 2.0
"""How long the client may take to answer our close frame."""
POLICY: Final = 1008
_NO_FRAMES: Final = logging.getLogger("rostra.websocket")
_NO_FRAMES.setLevel(logging.WARNING)


def is_upgrade(request: h11.Request) -> bool:
    """Whether a request wants a WebSocket. Only a GET can (RFC 6455 §4.1); another method ignores the upgrade."""
    if request.method != b"GET" or request.http_version != b"1.1":
        return False
    fields = {name: value.lower() for name, value in request.headers}
    return b"websocket" in fields.get(b"upgrade", b"") and b"upgrade" in fields.get(b"connection", b"")


class WebSocketSession:
    """Runs the application for one WebSocket."""

    def __init__(
        self,
        stream: Stream,
        http: h11.Connection,
        request: h11.Request,
        scope: Scope,
        stats: "EdgeStats",
        max_message: int,
        turns: Turns,
        group: str,
    ) -> None:
        """``turns``: of all sockets. ``group``: of the client's address."""
        self._loop: Final = asyncio.get_running_loop()
        self._stream: Final = stream
        self._http: Final = http
        self._request: Final = request
        self._stats: Final = stats
        self._max_message: Final = max_message
        self._turns: Final = turns
        self._group: Final = group
        scheme = "wss" if scope["scheme"] == "https" else "ws"
        extensions = {**scope["extensions"], "websocket.http.response": {}}
        self._scope: Final = {
            **scope, "type": "websocket", "scheme": scheme, "extensions": extensions, "subprotocols": []
        }  # fmt: skip
        self._handshake: Final[list[tuple[bytes, bytes]]] = []
        self._frames: Protocol | None = None
        self._denial: Message | None = None
        self._is_denied = False
        self._is_connected = False
        self._messages: Final[deque[Message]] = deque()
        self._fragments: Final[list[bytes]] = []
        self._is_text = False
        self._budget: Final = SocketBudget()
        self._worked_from_s: float | None = None
        """Of the thread's CPU time: the application works on a message until it asks for the next."""
        self._wait_s = 0.0
        self._seen = 0
        self._is_pinged = False
        self._probe: asyncio.TimerHandle | None = None

    async def run(self, app: ASGIApp) -> None:
        """Serve it until its end."""
        if not self._check_handshake():
            self._stats.upgrades_refused += 1
            return
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            log.exception("socket failed")
        finally:
            if self._probe is not None:
                self._probe.cancel()
        if self._frames is None:
            if not self._is_denied:
                self._stream.write(plain_response(self._http, 500))
            return
        await self._end(self._frames)

    def _check_handshake(self) -> bool:
        """Whether the request is a good handshake (RFC 6455 §4.2.1). One that is not has its answer."""
        fields = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._request.headers)
        answer = ServerProtocol(logger=_NO_FRAMES).accept(Request(self._scope["path"], fields))
        if answer.status_code != 101:
            log.debug("upgrade refused", status=answer.status_code)
            self._stream.write(plain_response(self._http, answer.status_code))
            return False
        self._handshake.extend((name.encode(), value.encode()) for name, value in answer.headers.raw_items())
        return True

    # --- What the application calls -----------------------------------------------------------------------------

    async def receive(self) -> Message:
        """The next message, or the end."""
        if not self._is_connected:
            self._is_connected = True
            return {"type": "websocket.connect"}
        frames = self._frames
        if frames is None:
            return {"type": "websocket.disconnect", "code": 1006}
        if self._worked_from_s is not None:
            self._spend(0, 0, time.thread_time() - self._worked_from_s)
            self._worked_from_s = None
        if self._messages:
            await self._turns.take(self._group)
        while not self._messages:
            if frames.state is not State.OPEN or self._stream.is_lost:
                return self._disconnected(frames)
            await self._slow_down(frames)
            if frames.state is not State.OPEN:
                return self._disconnected(frames)  # a flooder that is closed may say nothing any more
            if await self._stream.wait_for_data():
                await self._turns.take(self._group)
            self._take(frames, await self._stream.read(SOCKET_READ_BYTES))
            await self._stream.drain()
        self._worked_from_s = time.thread_time()
        return self._messages.popleft()

    async def send(self, message: Message) -> None:
        """Accept, deny, send or close.

        Raises:
            ConnectionResetError: the socket has ended.
        """
        match message["type"]:
            case "websocket.send":
                self._send_message(message)
                await self._stream.drain()
            case "websocket.accept":
                self._accept(message)
            case "websocket.close":
                await self._close(message.get("code", 1000), message.get("reason") or "")
            case "websocket.http.response.start":
                self._denial = message
            case "websocket.http.response.body":
                await self._deny(message)
            case other:
                raise RuntimeError(f"unexpected {other}")

    # --- Inside -------------------------------------------------------------------------------------------------

    def _accept(self, message: Message) -> None:
        fields = [*self._handshake, *message.get("headers", [])]
        self._stream.write(
            self._http.send(h11.InformationalResponse(status_code=101, headers=fields, reason=reason(101))) or b""
        )
        self._frames = Protocol(Side.SERVER, state=State.OPEN, max_size=self._max_message, logger=_NO_FRAMES)
        self._probe = self._loop.call_later(PING_S, self._on_silence)
        rest, _ = self._http.trailing_data
        if rest:
            self._take(self._frames, rest)

    async def _deny(self, message: Message) -> None:
        start = self._denial
        if start is None:
            raise RuntimeError("a body before its head")
        data = b""
        if not self._is_denied:
            self._is_denied = True
            self._stats.upgrades_refused += 1
            log.debug("upgrade refused", status=start["status"])
            fields = [*start.get("headers", []), date(), (b"connection", b"close")]
            data = (
                self._http.send(
                    h11.Response(status_code=start["status"], headers=fields, reason=reason(start["status"]))
                )
                or b""
            )
        if body := message.get("body", b""):
            data += self._http.send(h11.Data(data=body)) or b""
        if not message.get("more_body", False):
            data += self._http.send(h11.EndOfMessage()) or b""
        self._stream.write(data)
        await self._stream.drain()

    def _send_message(self, message: Message) -> None:
        frames = self._frames
        if frames is None or frames.state is not State.OPEN or self._stream.is_lost:
            raise ConnectionResetError("the socket has ended")
        text = message.get("text")
        if text is not None:
            frames.send_text(text.encode())
        else:
            frames.send_binary(message["bytes"])
        self._flush(frames)

    async def _close(self, code: int, reason: str) -> None:
        frames = self._frames
        if frames is None:
            self._is_denied = True
            self._stats.upgrades_refused += 1
            self._stream.write(plain_response(self._http, 403))
        elif frames.state is State.OPEN:
            frames.send_close(code, reason)
            self._flush(frames)

    def _take(self, frames: Protocol, data: bytes) -> None:
        """Parse what came. Pongs and close frames that it asks for are written."""
        began_s = time.thread_time()
        if data:
            frames.receive_data(data)
        else:
            frames.receive_eof()
        events = frames.events_received()
        for event in events:
            if isinstance(event, Frame):
                self._on_frame(event)
        self._flush(frames)
        self._spend(len(events), len(data), time.thread_time() - began_s)

    def _on_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._is_text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return
        if frame.data:
            self._fragments.append(bytes(frame.data))
        if not frame.fin:
            return
        data = b"".join(self._fragments)
        self._fragments.clear()
        # Text that is not UTF-8 comes as bytes, and its reader says so.
        text = _decoded(data) if self._is_text else None
        self._messages.append({"type": "websocket.receive", **({"bytes": data} if text is None else {"text": text})})

    def _flush(self, frames: Protocol) -> None:
        data = b"".join(frames.data_to_send())
        if data:
            self._stream.write(data)

    def _spend(self, frames: int, size: int, work_s: float) -> None:
        self._turns.charge(self._group, work_s)
        self._wait_s = max(self._wait_s, self._budget.spend(frames, size, work_s, self._loop.time()))

    async def _slow_down(self, frames: Protocol) -> None:
        """Wait until the budget allows more. A socket that is slowed for long is closed."""
        wait_s, self._wait_s = self._wait_s, 0.0
        if not wait_s:
            return
        if self._budget.is_spent:
            self._stats.sockets_flooding += 1
            frames.send_close(POLICY, "Too many messages")
            self._flush(frames)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._stream.wait_for_end()

    def _disconnected(self, frames: Protocol) -> Message:
        """The reason is there when a close frame came or went, and missing when the connection broke."""
        close = frames.close_rcvd or frames.close_sent
        if close is None:
            return {"type": "websocket.disconnect", "code": 1006}
        return {"type": "websocket.disconnect", "code": int(close.code), "reason": close.reason}

    def _on_silence(self) -> None:
        frames = self._frames
        if frames is None or self._stream.is_lost:
            return
        if self._stream.received != self._seen:
            self._seen, self._is_pinged = self._stream.received, False
        elif self._is_pinged:
            self._stream.abort()
            return
        elif frames.state is State.OPEN:
            self._is_pinged = True
            frames.send_ping(b"")
            self._flush(frames)
        self._probe = self._loop.call_later(PING_S, self._on_silence)

    async def _end(self, frames: Protocol) -> None:
        """Say good-bye, if nobody has, and let the client answer."""
        if frames.state is State.OPEN and not self._stream.is_lost:
            frames.send_close(1000)
            self._flush(frames)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while frames.close_rcvd is None and (data := await self._stream.read(SOCKET_READ_BYTES)):
                    frames.receive_data(data)
                    frames.events_received()


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
