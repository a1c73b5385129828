"""A media server that can be watched, the server under test on a real port, and pages by hand."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

TIMEOUT_S = 10


class Rostra:
    """The outside of a media server: a director that can refuse, and sockets that keep what they get."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        """Path, stream and token of each question to the director."""
        self.refusal: tuple[int, str] | None = None
        self.received: asyncio.Queue[Any] = asyncio.Queue()
        """Messages of the gate, and at the end of a socket its close code."""
        self.sockets: list[WebSocket] = []
        self.was_asked = asyncio.Event()
        self.before_answer = asyncio.Event()
        """The director answers when it is set."""
        self.before_answer.set()
        self.http = ""

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/director/{door}", self._director, methods=["POST"]),
                WebSocketRoute("/ws/{door}", self._socket),
            ]
        )

    async def _director(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append((request.path_params["door"], body["streamName"], request.headers["authorization"]))
        self.was_asked.set()
        await self.before_answer.wait()
        if self.refusal is not None:
            status, message = self.refusal
            return JSONResponse({"status": "fail", "data": {"message": message}}, status)
        url = f"{self.http.replace('http', 'ws', 1)}/ws/{request.path_params['door']}"
        return JSONResponse(
            {"status": "success", "data": {"urls": [url], "jwt": f"jwt-{len(self.asked)}", "iceServers": []}}
        )

    async def _socket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.sockets.append(websocket)
        await self.received.put((websocket.path_params["door"], websocket.query_params["token"]))
        try:
            while True:
                message = json.loads(await websocket.receive_text())
                await self.received.put(message)
                await websocket.send_text(json.dumps({"type": "response", "transId": message["transId"]}))
        except WebSocketDisconnect as end:
            await self.received.put(end.code)

    async def next(self) -> Any:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.received.get()


class RefusedError(Exception):
    """An answer that is a refusal."""


@dataclass
class Page:
    """One page's socket: commands by hand, events in order."""

    connection: ClientConnection
    numbers: Iterator[int] = field(default_factory=itertools.count)
    events: list[dict[str, Any]] = field(default_factory=list)
    id: str = ""
    secret: str = ""

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def ask(self, do: str, /, **arguments: object) -> Any:
        number = next(self.numbers)
        await self.connection.send(json.dumps({"id": number, "do": do, **arguments}))
        while "event" in (message := await self.receive()):
            self.events.append(message)
        assert message["answer"] == number
        if "error" in message:
            raise RefusedError(message["error"], message["status"])
        return message["data"]

    async def refused(self, do: str, /, **arguments: object) -> tuple[str, int]:
        with pytest.raises(RefusedError) as caught:
            await self.ask(do, **arguments)
        text, status = caught.value.args
        return text, status

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of this name, without it."""
        while True:
            for index, event in enumerate(self.events):
                if event["event"] == name:
                    del self.events[index]
                    return {key: value for key, value in event.items() if key != "event"}
            self.events.append(await self.receive())

    async def enter(self, username: str) -> dict[str, Any]:
        welcome: dict[str, Any] = await self.ask("authenticate", username=username)
        self.id, self.secret = welcome["user"]["id"], welcome["secret"]
        return welcome

    async def closed(self) -> int | None:
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.connection.recv()
        return self.connection.close_code


@dataclass
class Site:
    """The server under test, and the media server behind it."""

    ws: str
    rostra: Rostra
    stack: contextlib.AsyncExitStack
    clock: list[float]
    """What the gate reads, in seconds."""
    rostra_serves: contextlib.AsyncExitStack
    """Closing it ends the media server."""

    async def open(self) -> Page:
        """A page that nobody is at yet."""
        return Page(await self.stack.enter_async_context(connect(f"{self.ws}/socket", proxy=None)))

    async def enter(self, username: str) -> Page:
        """A page with somebody at it."""
        page = await self.open()
        await page.enter(username)
        return page

    async def through(self, token: dict[str, Any]) -> ClientConnection:
        """What the client of a page does with a token."""
        address = f"{self.ws}/{token['urls'][0]}?token={token['jwt']}"
        return await self.stack.enter_async_context(connect(address, proxy=None))


@contextlib.asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """The application on a free port; its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    listening = asyncio.Event()
    startup = server.startup

    async def started(*arguments: Any, **options: Any) -> None:
        await startup(*arguments, **options)
        listening.set()

    server.startup = started  # type: ignore[method-assign]
    task = asyncio.create_task(server._serve())
    try:
        await listening.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
