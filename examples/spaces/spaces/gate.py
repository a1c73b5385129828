"""The way of the page's signalling to Rostra: through this server, so that it can bind it and end it.

A director's token opens a socket to publish to a stream under any ``sourceId``, and the protocol has no call that ends
somebody else's feed. But who closes the signalling socket of a feed or a viewer in order ends it at once. So the page
gets an address and a token of ours, and this module opens Rostra's socket for it: it writes the user's id into
``publish``, and closes the socket when the person is no speaker any more, or out of the room. Media does not come this
way; it goes to Rostra directly.
"""

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jwt
import msgspec
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, WebSocketException

from spaces.messages import DirectorData, RoomId, UserId
from spaces.rooms import Door

MAX_MESSAGE: Final = 512 * 1024
"""Bytes of a signalling message: what Rostra takes."""
TICKET_S: Final = 50
"""For how long a token of ours opens the gate: less than Rostra's behind it."""
_ALGORITHM: Final = "HS256"
_ALLOWED: Final = frozenset({"publish", "unpublish"})

_Key = tuple[UserId, RoomId, Door]


class NotAllowed(Exception):  # noqa: N818 — the answer to a command, not a failure
    """A publisher's command that does not pass."""

    def __init__(self, trans_id: object, text: str) -> None:
        super().__init__(text)
        self.answer: Final = msgspec.json.encode({"type": "error", "transId": trans_id, "data": text}).decode()


def bound(text: str | bytes, user: UserId, room: RoomId) -> str:
    """A publisher's command as it may pass: whatever the page says, it publishes as ``user`` into ``room``.

    Raises:
        NotAllowed: anything but ``publish`` and ``unpublish``.
    """
    try:
        command: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        raise NotAllowed(None, "Not a command") from None
    if not isinstance(command, dict):
        raise NotAllowed(None, "Not a command")
    trans_id, name, data = (command.get(key) for key in ("transId", "name", "data"))
    if not isinstance(name, str) or name not in _ALLOWED:
        raise NotAllowed(trans_id, f"Not for speakers: {name}")
    if name == "publish":
        if not isinstance(data, dict):
            raise NotAllowed(trans_id, "Not a command")
        # A priority would decide between feeds of one source, and recording is the operator's business.
        kept = {key: value for key, value in data.items() if key not in {"priority", "record"}}
        command = command | {"data": kept | {"name": room, "sourceId": user}}
    return msgspec.json.encode(command).decode()


async def received(websocket: WebSocket) -> str:
    """The next message; one of bytes is read as text, to be refused as such.

    Raises:
        WebSocketDisconnect: there is none any more.
    """
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text: str | None = message.get("text")
    return text if text is not None else message["bytes"].decode(errors="replace")


async def end_socket(websocket: WebSocket, code: int) -> None:
    """Close a page's socket. One that the page closed at the same moment is closed: the server says so by an error."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(code)


@dataclass(frozen=True, slots=True)
class _Ticket:
    token: str
    url: str
    """Rostra's socket, with its token."""


class Gate:
    """Tickets that were given and not used, and connections that are open."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s: Final = now_s
        self._key: Final = secrets.token_bytes(32)
        self._tickets: Final[dict[_Key, _Ticket]] = {}
        self._open: Final[dict[_Key, asyncio.Event]] = {}

    def admit(self, user: UserId, room: RoomId, door: Door, data: DirectorData) -> DirectorData:
        """A director's answer with our address and token instead of Rostra's. It opens one connection.

        A ticket that was not used is replaced. The address is relative to the page's; the client of the page wants the
        stream's name in the token.
        """
        now = int(self._now_s())
        claims = {
            "sub": user,
            "room": room,
            "door": door,
            "jti": secrets.token_hex(16),
            "iat": now,
            "exp": now + TICKET_S,
            "millicast": {"type": "Publish" if door == "publish" else "Subscribe", "streamName": room},
        }
        token = jwt.encode(claims, self._key, algorithm=_ALGORITHM)
        separator = "&" if "?" in data.urls[0] else "?"
        self._tickets[user, room, door] = _Ticket(token, f"{data.urls[0]}{separator}token={data.jwt}")
        return DirectorData((f"gate/{door}",), token, data.ice_servers)

    def end(self, user: UserId, room: RoomId, door: Door) -> None:
        """Nobody comes through for this person any more, and who is through is out. Idempotent."""
        self._tickets.pop((user, room, door), None)
        ended = self._open.get((user, room, door))
        if ended is not None:
            ended.set()

    async def serve(self, browser: WebSocket) -> None:
        """One connection of a page, until either side ends it or ``end`` does."""
        redeemed = self._redeem(browser.query_params.get("token", ""), browser.path_params["door"])
        if redeemed is None:
            await browser.send_denial_response(PlainTextResponse("Unauthorized", 401))
            return
        key, url = redeemed
        self._replace(key)
        ended = self._open[key] = asyncio.Event()
        try:
            await self._connect(browser, url, key, ended)
        finally:
            if self._open.get(key) is ended:
                del self._open[key]

    def _redeem(self, token: str, door: str) -> tuple[_Key, str] | None:
        try:
            # The time is checked below, against the caller's clock.
            claims = jwt.decode(
                token, self._key, algorithms=[_ALGORITHM], options={"verify_exp": False, "verify_iat": False}
            )
        except jwt.PyJWTError:
            return None
        key: _Key = (claims["sub"], claims["room"], claims["door"])
        ticket = self._tickets.get(key)
        if ticket is None or door != claims["door"] or not hmac.compare_digest(ticket.token, token):
            return None
        del self._tickets[key]
        return (key, ticket.url) if self._now_s() < claims["exp"] else None

    def _replace(self, key: _Key) -> None:
        """The newest connection is the one that counts: a person sends and receives once."""
        previous = self._open.get(key)
        if previous is not None:
            previous.set()

    async def _connect(self, browser: WebSocket, url: str, key: _Key, ended: asyncio.Event) -> None:
        await browser.accept()
        code = None
        with contextlib.suppress(OSError, TimeoutError, WebSocketException):
            rostra = await connect(
                url, max_size=MAX_MESSAGE, compression=None, proxy=None, open_timeout=10, close_timeout=2
            )
            try:
                code = await _relay(browser, rostra, key, ended)
            finally:
                # In order, whatever happened to the page: a feed without its socket could not be ended any more.
                await rostra.close()
        # Without a close frame the page's client sees a broken connection, and makes a new one; that is meant.
        if code is not None:
            await end_socket(browser, code)


async def _relay(browser: WebSocket, rostra: ClientConnection, key: _Key, ended: asyncio.Event) -> int | None:
    """Pass messages on until the end; the code to close the page's socket with, or ``None`` to close it without."""
    if ended.is_set():
        return 1000
    tasks = [asyncio.create_task(one) for one in (_end(ended), _down(rostra, browser), _up(browser, rostra, key))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    codes = [task.result() for task in tasks if task in done]
    return next((code for code in codes if code is not None), None)


async def _end(ended: asyncio.Event) -> int:
    await ended.wait()
    return 1000


async def _down(rostra: ClientConnection, browser: WebSocket) -> int | None:
    try:
        while True:
            await browser.send_text(await rostra.recv(decode=True))
    except ConnectionClosedOK:
        return 1001
    except (ConnectionClosed, WebSocketDisconnect, RuntimeError):  # a page that is just closing takes no more text
        return None


async def _up(browser: WebSocket, rostra: ClientConnection, key: _Key) -> None:
    user, room, door = key
    try:
        while True:
            text = await received(browser)
            if door == "publish":
                try:
                    text = bound(text, user, room)
                except NotAllowed as refusal:
                    await browser.send_text(refusal.answer)
                    continue
            await rostra.send(text)
    except (ConnectionClosed, WebSocketDisconnect, RuntimeError):
        return
