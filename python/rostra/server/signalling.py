"""The signalling sockets ``/ws/v2/pub/…`` and ``/ws/v2/sub/…`` (docs/protocol/signalling.md).

One socket is one publisher or one viewer. What it may do was decided when its token was issued.
"""

import asyncio
import hmac
from typing import Final, Protocol, assert_never

import structlog
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from rostra.media.engine import Overloaded
from rostra.model.addresses import group
from rostra.model.effects import SignalEvent
from rostra.model.media import TransportId
from rostra.model.negotiation import NegotiationError
from rostra.model.refused import InvalidToken, Refused
from rostra.model.token import Grant, PublishGrant, SubscribeGrant
from rostra.model.viewing import Project
from rostra.protocol import jwt, sdp, signal
from rostra.server.clients import Client, log_opened
from rostra.server.context import Context
from rostra.server.edge.gate import TooManySessions
from rostra.server.http import edge_connection, fail
from rostra.server.outbox import Outbox

CLUSTER: Final = "local"
_GOING_AWAY: Final = 1001
_CLEAN: Final = frozenset({1000, 1001, 1005})
"""Close codes of a peer that meant it; 1005 is a close frame without a code."""

log = structlog.get_logger("rostra.signalling")


class Sockets:
    """All signalling sockets of this process."""

    def __init__(self, context: Context) -> None:
        self._context: Final = context
        self._open: Final[set[_Socket]] = set()
        self._none_open: Final = asyncio.Event()
        self._none_open.set()

    def routes(self) -> list[WebSocketRoute]:
        """The paths."""
        return [
            WebSocketRoute("/ws/v2/pub/{server}", self._publisher),
            WebSocketRoute("/ws/v2/sub/{server}", self._viewer),
        ]

    async def close(self, timeout_s: float) -> None:
        """Send what is still to be sent, then close all."""
        for socket in self._open:
            socket.hang_up()
        try:
            async with asyncio.timeout(timeout_s):
                await self._none_open.wait()
        except TimeoutError:
            log.warning("sockets did not close in time", sockets=len(self._open))

    async def _publisher(self, websocket: WebSocket) -> None:
        grant = await self._admitted(websocket)
        if isinstance(grant, PublishGrant):
            await self._run(websocket, grant)
        elif grant is not None:
            await self._forbid(websocket, "a token for viewing")

    async def _viewer(self, websocket: WebSocket) -> None:
        grant = await self._admitted(websocket)
        if isinstance(grant, SubscribeGrant):
            await self._run(websocket, grant)
        elif grant is not None:
            await self._forbid(websocket, "a token for publishing")

    async def _forbid(self, websocket: WebSocket, reason: str) -> None:
        self._context.refused_tokens.log(self._context.client(websocket), "socket", reason)
        await websocket.send_denial_response(fail(403, "Forbidden"))

    async def _admitted(self, websocket: WebSocket) -> Grant | None:
        """What the token in the URL grants; without a good one the upgrade is refused."""
        token = websocket.query_params.get("token", "")
        grace_s = self._context.config.signalling.token_grace_s
        try:
            grant = jwt.verify(token, self._context.key, now_s=self._context.clock(), grace_s=grace_s)
        except InvalidToken as error:
            self._context.refused_tokens.log(self._context.client(websocket), "socket", error.message)
            await websocket.send_denial_response(fail(401, error.message))
            return None
        named: str = websocket.path_params["server"]
        if not hmac.compare_digest(grant.server.encode(), named.encode()):
            await self._forbid(websocket, "a token for another socket")
            return None
        try:
            is_anonymous = _is_anonymous(grant)
            edge_connection(websocket).authenticate(token, is_anonymous=is_anonymous)
        except TooManySessions:
            await websocket.send_denial_response(fail(429, "Too many sockets of this token or address"))
            return None
        return grant

    async def _run(self, websocket: WebSocket, grant: Grant) -> None:
        client = self._context.client(websocket)
        socket = _Socket(self._context, grant, client, edge_connection(websocket))
        self._open.add(socket)
        self._none_open.clear()
        try:
            await websocket.accept()
            await socket.run(websocket)
        finally:
            self._open.discard(socket)
            if not self._open:
                self._none_open.set()


class Protectable(Protocol):
    """A connection whose client may use its token."""

    def protect(self) -> None:
        """It does: the connection is not closed for others."""

    def expose(self) -> None:
        """It does no longer."""


def _is_anonymous(grant: Grant) -> bool:
    """Whether anybody gets such a token."""
    return isinstance(grant, SubscribeGrant) and grant.is_anonymous


class _Ended(Exception):  # noqa: N818 — the normal end of a socket
    """One of the socket's tasks saw its end. ``is_clean``: the peer, or we, meant it."""

    def __init__(self, *, is_clean: bool) -> None:
        super().__init__()
        self.is_clean = is_clean


class _Socket:
    """One signalling socket. It is the ``Peer`` of its transport, of which it has one at a time."""

    def __init__(self, context: Context, grant: Grant, client: Client, connection: Protectable) -> None:
        """``connection``: what carries it."""
        self._connection: Final = connection
        self._hub: Final = context.hub
        self._client: Final = client
        self._grant: Final = grant
        self._outbox: Final = Outbox()
        self._transport: TransportId | None = None

    def tell(self, event: SignalEvent) -> None:
        """Pass an event on."""
        self._outbox.tell(event)

    def hang_up(self) -> None:
        """Close after what is still to be sent."""
        self._outbox.finish()

    async def run(self, websocket: WebSocket) -> None:
        """Serve it until its end. Who said good-bye is gone at once; who did not, when its media stops."""
        is_clean = False
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(websocket))
                tasks.create_task(self._write(websocket))
                tasks.create_task(self._watch())
        except* _Ended as ended:
            is_clean = all(isinstance(error, _Ended) and error.is_clean for error in ended.exceptions)
        finally:
            if self._transport is not None:
                (self._hub.leave if is_clean else self._hub.detach)(self._transport)
            stream, transport = str(self._grant.stream), self._transport
            log.info("socket closed", stream=stream, transport=transport, is_clean=is_clean)

    async def _read(self, websocket: WebSocket) -> None:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                # A close frame has a reason, even an empty one; a broken connection has none.
                raise _Ended(is_clean="reason" in message and message["code"] in _CLEAN)
            text = message.get("text")
            self._on_message(text if text is not None else message["bytes"])

    async def _write(self, websocket: WebSocket) -> None:
        try:
            while (text := await self._outbox.next()) is not None:
                await websocket.send_text(text)
            await websocket.close(_GOING_AWAY)
        except WebSocketDisconnect:
            return  # the reader is about to learn how it ended
        raise _Ended(is_clean=True)

    async def _watch(self) -> None:
        await self._outbox.overflowed.wait()
        log.warning("socket does not read", stream=str(self._grant.stream), transport=self._transport)
        raise _Ended(is_clean=False)

    def _on_message(self, text: str | bytes) -> None:
        """Obey a command and answer it, whatever it is."""
        trans_id: int | None = None
        try:
            trans_id, command = signal.decode(text)
            self._obey(trans_id, command)
        except signal.SignalError as error:
            self._outbox.post(signal.encode_error(error.trans_id, error.message))
        except (Refused, NegotiationError, sdp.SdpError, signal.FieldError) as error:
            self._outbox.post(signal.encode_error(trans_id, error.message))
        except Overloaded:
            self._outbox.post(signal.encode_error(trans_id, "Server overloaded"))

    def _obey(self, trans_id: int, command: signal.Command) -> None:
        match command:
            case signal.Publish():
                self._publish(trans_id, command)
                return
            case signal.View():
                self._view(trans_id, command)
                return
            case signal.Unpublish():
                self._publisher()
                self._left("Not publishing")
            case signal.Unview():
                self._viewer()
                self._left("Not viewing")
            case signal.Project():
                self._viewer()
                transport, source = self._opened("Not viewing"), signal.source_id(command.source_id)
                self._hub.project(Project(transport, source, command.projections()))
            case signal.Unproject():
                self._viewer()
                self._hub.unproject(self._opened("Not viewing"), command.mids())
            case signal.Select():
                self._viewer()
                self._hub.select(self._opened("Not viewing"), command.wanted_layer())
            case _:
                assert_never(command)
        self._outbox.post(signal.encode_done(trans_id))

    def _publish(self, trans_id: int, command: signal.Publish) -> None:
        grant = self._publisher()
        if self._transport is not None:
            raise signal.FieldError("Already publishing")
        opened = self._hub.publish(
            grant,
            sdp.parse(command.sdp),
            self,
            codec=command.video_codec(),
            source=signal.source_id(command.source_id),
            priority=command.priority,
            events=frozenset(command.events or ()),
        )
        self._transport = opened.transport
        log_opened(self._client, "socket", grant.stream, "publisher", opened.transport)
        publisher, feed = opened.names
        answer = signal.Published(sdp.write(opened.answer), publisher, CLUSTER, feed, str(grant.stream))
        self._outbox.post(signal.encode_published(trans_id, answer))
        self._hub.announce(opened.transport)

    def _view(self, trans_id: int, command: signal.View) -> None:
        grant = self._viewer()
        if self._transport is not None:
            raise signal.FieldError("Already viewing")
        opened = self._hub.view(
            grant,
            sdp.parse(command.sdp),
            self,
            pinned=signal.source_id(command.pinned_source_id),
            events=command.wanted_events(),
            layer=command.wanted_layer(),
            vad=command.wants_voices(),
            excluded=command.excluded(),
            bandwidth=command.wanted_bandwidth(),
            playout_delay=command.wanted_playout_delay(),
            address=group(self._client.address),
        )
        self._transport = opened.transport
        self._connection.protect()
        log_opened(self._client, "socket", grant.stream, "viewer", opened.transport)
        subscriber, view = opened.names
        answer = signal.Viewed(sdp.write(opened.answer), subscriber, CLUSTER, view, str(grant.stream))
        self._outbox.post(signal.encode_viewed(trans_id, answer))
        self._hub.announce(opened.transport)

    def _publisher(self) -> PublishGrant:
        if not isinstance(self._grant, PublishGrant):
            raise signal.FieldError("This socket is for viewing")
        return self._grant

    def _viewer(self) -> SubscribeGrant:
        if not isinstance(self._grant, SubscribeGrant):
            raise signal.FieldError("This socket is for publishing")
        return self._grant

    def _left(self, otherwise: str) -> None:
        """End the transport. What was still to be told of it is of no interest to the next one."""
        self._hub.leave(self._opened(otherwise))
        self._transport = None
        self._outbox.forget()
        if _is_anonymous(self._grant):
            self._connection.expose()

    def _opened(self, otherwise: str) -> TransportId:
        if self._transport is None:
            raise signal.FieldError(otherwise)
        return self._transport
