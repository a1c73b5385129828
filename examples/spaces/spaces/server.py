"""The server: sockets of pages, what they ask for, and what is done about it. Rules are in rooms.py."""

import asyncio
import contextlib
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final, assert_never

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from spaces import messages
from spaces.director import Director
from spaces.gate import Gate, end_socket, received
from spaces.messages import DirectorData, Joined, RoomId, User, UserId, Welcome
from spaces.rooms import GRACE_S, Door, Effect, EndMedia, Refused, Rooms, Tell

STATIC: Final = Path(__file__).with_name("static")
ELSEWHERE: Final = 4000
"""Close code: the person goes on in another tab, and this one is to rest."""
_SLOW: Final = 1013
_MAX_WAITING: Final = 256
"""Messages that may wait for a page that does not read."""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "media-src 'self' blob: mediastream:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """All that lives while the process does. Nothing is kept when it ends."""

    def __init__(self, director: Director, *, static: Path = STATIC, now_s: Callable[[], float] = time.time) -> None:
        self._director: Final = director
        self._static: Final = static
        self._now_s: Final = now_s
        self._rooms: Final = Rooms()
        self._gate: Final = Gate(now_s)
        self._sockets: Final[dict[UserId, _Socket]] = {}

    def app(self) -> Starlette:
        """The application, for any ASGI server."""
        routes = [
            Route("/healthz", _healthy),
            WebSocketRoute("/socket", self._serve),
            WebSocketRoute("/gate/{door}", self._gate.serve),
        ]
        if self._static.is_dir():
            routes.append(Mount("/", _Page(directory=self._static, html=True)))
        return Starlette(routes=routes, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        await self._director.close()

    async def _serve(self, websocket: WebSocket) -> None:
        await websocket.accept()
        socket = _Socket(websocket)
        writing = asyncio.create_task(socket.write())
        try:
            while True:
                await self._on_message(socket, await received(websocket))
        except WebSocketDisconnect:
            pass
        finally:
            writing.cancel()
            # A page that closed while something was sent to it: the server says so by a RuntimeError.
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await writing
            self._gone(socket)

    def _gone(self, socket: "_Socket") -> None:
        user = socket.user
        if user is None or self._sockets.get(user) is not socket:
            return
        del self._sockets[user]
        now = asyncio.get_running_loop().time()
        self._do(self._rooms.lost(user, now))
        # A little later than the rule wants, so that it holds by then.
        asyncio.get_running_loop().call_later(GRACE_S + 0.1, self._expire)

    def _expire(self) -> None:
        self._do(self._rooms.expire(asyncio.get_running_loop().time()))

    async def _on_message(self, socket: "_Socket", text: str) -> None:
        if len(text) > messages.MAX_MESSAGE:
            socket.post(messages.encode_refusal(None, "Message too long"))
            return
        try:
            command = messages.decode(text)
        except messages.WireError as error:
            socket.post(messages.encode_refusal(error.id, error.text))
            return
        try:
            answer = await self._obey(socket, command)
        except Refused as refused:
            socket.post(messages.encode_refusal(command.id, refused.text, refused.status))
        else:
            socket.post(messages.encode_answer(command.id, answer))

    async def _obey(self, socket: "_Socket", command: messages.AnyCommand) -> object:
        match command:
            case messages.Authenticate():
                return self._authenticate(socket, command.username)
            case messages.Resume():
                return self._resume(socket, command.user_id, command.secret)
        user = socket.user
        if user is None:
            raise Refused("Not authenticated", 401)
        rooms = self._rooms
        match command:
            case messages.SignOut():
                self._do(rooms.sign_out(user))
                self._sockets.pop(user, None)
                socket.user = None
            case messages.CreateRoom():
                room_id = RoomId(str(uuid.uuid4()))
                self._do(rooms.create(user, command.name, room_id=room_id, audio_only=command.audio_only))
                return room_id
            case messages.JoinRoom():
                self._do(rooms.join(user, command.room_id))
                return await self._joined(user, command.room_id)
            case messages.LeaveRoom():
                self._do(rooms.leave(user, command.room_id))
            case messages.ViewerToken():
                return await self._token(user, command.room_id, "view")
            case messages.PublisherToken():
                return await self._token(user, command.room_id, "publish")
            case messages.RaiseHand():
                self._do(rooms.raise_hand(user, command.room_id, raised=command.raised))
            case messages.PromoteUser():
                self._do(rooms.promote(user, command.room_id, command.user_id, promoted=command.promoted))
            case messages.KickUser():
                self._do(rooms.kick(user, command.room_id, command.user_id))
            case messages.MuteSpeaker():
                self._do(rooms.mute_speaker(user, command.room_id, command.user_id))
            case messages.Mute():
                self._do(rooms.mute(user, command.room_id, muted=command.muted))
            case _:
                assert_never(command)
        return None

    def _authenticate(self, socket: "_Socket", username: str) -> Welcome:
        if socket.user is not None:
            raise Refused("Already authenticated")
        secret = secrets.token_hex(32)
        user = self._rooms.authenticate(username, user_id=UserId(str(uuid.uuid4())), secret=secret)
        return self._welcome(socket, user, secret)

    def _resume(self, socket: "_Socket", user_id: UserId, secret: str) -> Welcome:
        if socket.user is not None:
            raise Refused("Already authenticated")
        user, effects = self._rooms.resume(user_id, secret)
        before = self._sockets.get(user_id)
        if before is not None:
            before.close(ELSEWHERE)
        welcome = self._welcome(socket, user, secret)
        self._do(effects)
        return welcome

    def _welcome(self, socket: "_Socket", user: User, secret: str) -> Welcome:
        socket.user = user.id
        self._sockets[user.id] = socket
        return Welcome(user, secret, self._rooms.view())

    async def _joined(self, user: UserId, room: RoomId) -> Joined:
        speaks = user in self._rooms.room(room).speakers
        view = publish = None
        # Nobody sends yet, or the media server has trouble: the page asks again, and then it hears of it.
        with contextlib.suppress(Refused):
            view = await self._token(user, room, "view")
        with contextlib.suppress(Refused):
            publish = await self._token(user, room, "publish") if speaks else None
        self._rooms.check_viewer(user, room)
        return Joined(self._rooms.room(room), view, publish)

    async def _token(self, user: UserId, room: RoomId, door: Door) -> DirectorData:
        self._check(user, room, door)
        data = await self._director.ask(door, room)
        # While the director was asked, the person may have become a listener, or left.
        self._check(user, room, door)
        return self._gate.admit(user, room, door, data)

    def _check(self, user: UserId, room: RoomId, door: Door) -> None:
        match door:
            case "view":
                self._rooms.check_viewer(user, room)
            case "publish":
                self._rooms.check_publisher(user, room)
            case _:
                assert_never(door)

    def _do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tell():
                    text = messages.encode_event(effect.event)
                    for user in effect.users:
                        if (socket := self._sockets.get(user)) is not None:
                            socket.post(text)
                case EndMedia():
                    self._gate.end(effect.user, effect.room, effect.door)
                case _:
                    assert_never(effect)


class _Socket:
    """The connection of one page. What waits for it has a limit; who does not read is cut off, and may come back."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket: Final = websocket
        self._waiting: Final[asyncio.Queue[str | int]] = asyncio.Queue()
        self.user: UserId | None = None

    def post(self, text: str) -> None:
        """Send it after what waits already."""
        if self._waiting.qsize() < _MAX_WAITING:
            self._waiting.put_nowait(text)
        elif self._waiting.qsize() == _MAX_WAITING:
            self.close(_SLOW)

    def close(self, code: int) -> None:
        """Close it after what waits already."""
        self._waiting.put_nowait(code)

    async def write(self) -> None:
        """Send what is posted, until it is closed."""
        while isinstance(item := await self._waiting.get(), str):
            await self._websocket.send_text(item)
        await end_socket(self._websocket, item)


class _Page(StaticFiles):
    """The built page. Names under ``assets`` contain a hash of what they hold, so that they never change."""

    async def get_response(self, path: str, scope: "dict[str, object]") -> Response:  # type: ignore[override]
        """The file, with headers."""
        response = await super().get_response(path, scope)
        is_fixed = path.startswith("assets/")
        response.headers["Cache-Control"] = "max-age=31536000, immutable" if is_fixed else "no-cache"
        for name, value in _HEADERS.items():
            response.headers[name] = value
        return response


async def _healthy(_request: Request) -> Response:
    return PlainTextResponse("ok")
