"""One connection: request after request, or one WebSocket."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

import h11
import structlog
from starlette.types import ASGIApp, Scope

from rostra.model.addresses import group, normalise
from rostra.server.addresses import client_address
from rostra.server.edge.budget import Turns
from rostra.server.edge.caps import (
    HEAD_BYTES,
    HEAD_FIELDS,
    HEAD_S,
    IDLE_S,
    READ_BYTES,
    REQUESTS_PER_LOOP_TURN,
    SOCKET_TURNS_PER_LOOP_TURN,
    TLS_HANDSHAKE_S,
)
from rostra.server.edge.exchange import Exchange, plain_response
from rostra.server.edge.gate import Gate, Member, TooManySessions
from rostra.server.edge.stream import Stream
from rostra.server.edge.target import BadTarget, split_target
from rostra.server.edge.websocket import WebSocketSession, is_upgrade

log = structlog.get_logger("rostra.http")

CONNECTION: Final = "rostra.connection"
"""ASGI extension under which a request finds its connection."""


@dataclass(slots=True)
class EdgeStats:
    """Counted since the start, beside ``GateStats``."""

    stalled: int = 0
    """Closed, for nothing of what waited for them was read."""
    heads_refused: int = 0
    """Request heads too large, too slow, or malformed."""
    upgrades_refused: int = 0
    faults: int = 0
    """Connections closed by a fault of ours."""
    sockets_flooding: int = 0
    """WebSockets closed for sending more than their budget for too long."""


@dataclass(slots=True)
class EdgeContext:
    """What all connections share. ``max_message``: bytes of one WebSocket message."""

    app: ASGIApp
    gate: Gate
    scheme: str
    trusted_proxies: Collection[str]
    max_message: int
    turns: Turns = field(default_factory=lambda: Turns(REQUESTS_PER_LOOP_TURN))
    socket_turns: Turns = field(default_factory=lambda: Turns(SOCKET_TURNS_PER_LOOP_TURN))
    stats: EdgeStats = field(default_factory=EdgeStats)
    is_stopping: bool = False


class _HeadRefused(Exception):  # noqa: N818 — a reply
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Connection:
    """An accepted connection. Requests find it under ``scope["extensions"][CONNECTION]``."""

    def __init__(self, context: EdgeContext, accepted: socket.socket, peer: str) -> None:
        """``peer``: the normalised address at the other end."""
        self._context: Final = context
        self._socket: Final = accepted
        self._peer: Final = peer
        self._member: Member | None = None
        self._group = ""
        self._task: asyncio.Task[Any] | None = None
        self._has_request = False
        self._is_head = False
        """The latest request is a ``HEAD``."""
        self._is_closed = False
        self._stream: Final = Stream(
            is_tls=context.scheme == "https", on_lost=self._on_lost, on_stalled=self._on_stalled
        )

    # --- For the application ------------------------------------------------------------------------------------

    def authenticate(self, token: str, *, is_anonymous: bool = False) -> None:
        """The client showed a good token: from now on the connection is a session, and nobody evicts it.

        ``is_anonymous``: anybody gets such a token. The connection is a session from ``protect`` to ``expose``.

        Raises:
            TooManySessions: of this token and address, of the address, or of all.
        """
        if self._member is not None:
            digest = hashlib.sha256(token.encode()).digest()
            self._context.gate.authenticate(self._member, self._group, digest, is_anonymous=is_anonymous)

    def protect(self) -> None:
        """The client uses its token. Where there are too many sessions, the connection stays a stranger."""
        if self._member is not None:
            with contextlib.suppress(TooManySessions):
                self._context.gate.protect(self._member)

    def expose(self) -> None:
        """The client uses its token no longer."""
        if self._member is not None:
            self._context.gate.expose(self._member)

    # --- For the server -----------------------------------------------------------------------------------------

    def admit(self) -> bool:
        """Whether there is a place for it."""
        is_proxy = self._peer in self._context.trusted_proxies
        self._group = group(self._peer)
        self._member = self._context.gate.admit(self._group, self.abort, is_proxy=is_proxy)
        return self._member is not None

    def abort(self) -> None:
        """End it at once."""
        self._is_closed = True
        if self._task is not None:
            self._stream.abort()
            if not self._has_request:
                self._task.cancel()

    def cancel(self) -> None:
        """End it at once, and what the application does for its request."""
        self.abort()
        if self._task is not None:
            self._task.cancel()

    def close_if_idle(self) -> None:
        """End it, unless it serves a request."""
        if not self._has_request:
            self.abort()

    async def run(self, tls: ssl.SSLContext | None) -> None:
        """Serve it until its end."""
        self._task = asyncio.current_task()
        try:
            if not self._is_closed:
                await self._serve(tls)
        except asyncio.CancelledError:
            if not self._is_closed:
                raise
        except OSError:  # the client went away, or speaks no TLS
            pass
        except Exception:
            # A fault of ours costs this connection. Passed on, it would end all of them.
            self._context.stats.faults += 1
            log.exception("connection failed")
        finally:
            self._stream.abort()
            self._socket.close()
            if self._member is not None:
                self._context.gate.leave(self._member)

    async def _serve(self, tls: ssl.SSLContext | None) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: self._stream,
            self._socket,
            ssl=tls,
            ssl_handshake_timeout=TLS_HANDSHAKE_S if tls is not None else None,
        )
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        began_s: float | None = asyncio.get_running_loop().time()
        while await self._serve_one(http, began_s):
            began_s = None
        await self._flush()

    async def _flush(self) -> None:
        """Close after what waits to be sent."""
        self._stream.close()
        await self._stream.wait_until_lost()

    async def _serve_one(self, http: h11.Connection, began_s: float | None) -> bool:
        """Serve one request; whether the connection may serve another. ``began_s``: of the first one, the accept."""
        try:
            request = await self._read_head(http, began_s)
            if request is None:
                return False
            scope = self._scope(request)
        except (_HeadRefused, BadTarget) as refusal:
            self._context.stats.heads_refused += 1
            await self._refuse(http, refusal.status, is_head=self._is_head)
            return False
        self._has_request = True
        try:
            return await self._answer(http, request, scope)
        finally:
            self._has_request = False
            if self._member is not None:
                self._context.gate.end_request(self._member)

    async def _read_head(self, http: h11.Connection, began_s: float | None) -> h11.Request | None:
        """The next request. ``None``: there is none.

        Raises:
            _HeadRefused: too large, too slow or malformed.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(IDLE_S if began_s is None else HEAD_S):
                if not http.trailing_data[0] and not await self._stream.wait_for_data():
                    return None
        except TimeoutError:
            return None
        began_s = loop.time() if began_s is None else began_s
        if self._member is not None and not self._member.is_proxy:
            await self._context.turns.take(self._group)
        try:
            async with asyncio.timeout_at(began_s + HEAD_S):
                while (event := http.next_event()) is h11.NEED_DATA:
                    http.receive_data(await self._stream.read(READ_BYTES))
        except TimeoutError:
            raise _HeadRefused(408) from None
        except h11.RemoteProtocolError as error:
            if self._stream.is_lost:
                return None
            raise _HeadRefused(error.error_status_hint) from None
        if not isinstance(event, h11.Request):
            return None
        self._is_head = event.method == b"HEAD"
        size = len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers)
        if len(event.headers) > HEAD_FIELDS or size > HEAD_BYTES:
            raise _HeadRefused(431)
        return event

    async def _refuse(self, http: h11.Connection, status: int, *, is_head: bool) -> None:
        if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._stream.write(plain_response(http, status, is_head=is_head))
            await self._stream.linger()

    def _scope(self, request: h11.Request) -> Scope:
        """The request as ASGI has it, without its type.

        Raises:
            BadTarget: 400.
        """
        target = split_target(request.target, list(request.headers))
        return {
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.http_version.decode(),
            "scheme": self._context.scheme,
            "path": target.path,
            "raw_path": target.raw_path,
            "query_string": target.query,
            "root_path": "",
            "headers": target.headers,
            "client": (self._peer, _port(self._socket.getpeername)),
            "server": (normalise(self._socket.getsockname()[0]), _port(self._socket.getsockname)),
            "extensions": {CONNECTION: {"connection": self, "is_absolute_form": target.is_absolute}},
        }

    async def _answer(self, http: h11.Connection, request: h11.Request, scope: Scope) -> bool:
        if self._member is None or not self._member.is_proxy:
            return await self._run_application(http, request, scope)
        self._group = group(client_address(scope, self._context.trusted_proxies))
        if not self._context.gate.begin_forwarded(self._group):
            await self._refuse(http, 503, is_head=self._is_head)
            return False
        try:
            await self._context.turns.take(self._group)
            return await self._run_application(http, request, scope)
        finally:
            self._context.gate.end_forwarded(self._group)

    async def _run_application(self, http: h11.Connection, request: h11.Request, scope: Scope) -> bool:
        if is_upgrade(request):
            context = self._context
            session = WebSocketSession(
                self._stream,
                http,
                request,
                scope,
                context.stats,
                context.max_message,
                context.socket_turns,
                self._group,
            )
            await session.run(self._context.app)
            return False
        exchange = Exchange(self._stream, http, request, scope, is_last=self._is_last)
        await exchange.run(self._context.app)
        if exchange.may_continue and not self._is_last():
            http.start_next_cycle()
            return True
        if not exchange.is_request_read:
            await self._stream.linger()
        return False

    def _is_last(self) -> bool:
        return self._context.is_stopping

    def _on_lost(self) -> None:
        self._is_closed = True

    def _on_stalled(self) -> None:
        self._context.stats.stalled += 1


def _port(name: Any) -> int:
    port: int = name()[1]
    return port
