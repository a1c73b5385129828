"""One HTTP/1.1 request and its response, between h11 and an ASGI application."""

import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import h11
import structlog
from starlette.types import ASGIApp, Message, Scope

from rostra.server.edge.caps import READ_BYTES
from rostra.server.edge.stream import Stream

log = structlog.get_logger("rostra.http")

_CLOSE: Final = (b"connection", b"close")


@lru_cache(maxsize=1)
def _date_of(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def date() -> tuple[bytes, bytes]:
    """The ``Date`` field of now."""
    return (b"date", _date_of(int(time.time())))


@lru_cache(maxsize=64)
def reason(status: int) -> bytes:
    """The phrase beside a status code; empty for codes that have none."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def plain_response(http: h11.Connection, status: int, *, is_head: bool = False) -> bytes:
    """A whole response of the server itself, after which the connection ends. ``is_head``: it answers ``HEAD``."""
    text = reason(status) + b"\n"
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        date(),
        _CLOSE,
    ]
    events = (
        h11.Response(status_code=status, headers=fields, reason=reason(status)),
        *((h11.Data(data=text),) if not is_head else ()),
        h11.EndOfMessage(),
    )
    return b"".join(http.send(event) or b"" for event in events)


class Exchange:
    """Runs the application for one request. It reads of the body only what the application asks for."""

    def __init__(
        self, stream: Stream, http: h11.Connection, request: h11.Request, scope: Scope, *, is_last: Callable[[], bool]
    ) -> None:
        self._stream: Final = stream
        self._http: Final = http
        self._is_head: Final = request.method == b"HEAD"
        self._scope: Final = {**scope, "type": "http", "method": request.method.decode("ascii")}
        self._is_last: Final = is_last
        self._start: Message | None = None
        self._body: Final[list[bytes]] = []
        """Parts of the body that came before anybody asked."""
        self._has_started = False
        self._is_complete = False

    @property
    def is_request_read(self) -> bool:
        """Whether nothing of the request is left to read."""
        return self._http.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)

    @property
    def may_continue(self) -> bool:
        """Whether another request may follow."""
        return (
            self._is_complete
            and not self._stream.is_lost
            and self._http.our_state is h11.DONE
            and self._http.their_state is h11.DONE
        )

    async def run(self, app: ASGIApp) -> None:
        """Serve it. A fault of the application is logged, and the client learns only that."""
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            log.exception("request failed", method=self._scope["method"])
        if self._is_complete or self._stream.is_lost:
            return
        if self._has_started:
            self._stream.abort()
        else:
            self._stream.write(plain_response(self._http, 500, is_head=self._is_head))

    async def receive(self) -> Message:
        """The next part of the body; after it, the end of the connection."""
        if self._body:
            body = self._body.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(self._body) or not self.is_request_read}
        if self.is_request_read or self._is_complete:
            if not self._is_complete:
                await self._stream.wait_for_end()
            return {"type": "http.disconnect"}
        try:
            self._continue_if_asked()
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._stream.read(READ_BYTES))
        except h11.RemoteProtocolError:
            return {"type": "http.disconnect"}
        if isinstance(event, h11.Data):
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        if isinstance(event, h11.EndOfMessage):
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """A part of the response. Parts for a client that has gone are dropped."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body" or self._is_complete:
            raise RuntimeError(f"unexpected {message['type']}")
        data = b""
        if not self._has_started:
            data = self._head()
        body = message.get("body", b"")
        if body and not self._is_head:
            data += self._http.send(h11.Data(data=body)) or b""
        if not message.get("more_body", False):
            data += self._http.send(h11.EndOfMessage()) or b""
            self._is_complete = True
        self._stream.write(data)
        await self._stream.drain()

    def _head(self) -> bytes:
        if self._start is None:
            raise RuntimeError("a body before its head")
        self._has_started = True
        self._take_what_came()
        fields = [*self._start.get("headers", []), date()]
        if not self.is_request_read or self._is_last():
            fields.append(_CLOSE)
        status = self._start["status"]
        return self._http.send(h11.Response(status_code=status, headers=fields, reason=reason(status))) or b""

    def _take_what_came(self) -> None:
        """A short body that nobody reads is no reason to close the connection."""
        try:
            while not self.is_request_read:
                event = self._http.next_event()
                if isinstance(event, h11.Data):
                    self._body.append(bytes(event.data))
                elif not isinstance(event, h11.EndOfMessage):
                    return
        except h11.RemoteProtocolError:
            return

    def _continue_if_asked(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            self._stream.write(
                self._http.send(h11.InformationalResponse(status_code=100, headers=[], reason=reason(100))) or b""
            )
