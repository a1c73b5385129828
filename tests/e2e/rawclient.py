"""The director and socket protocol spoken by hand, for clients that are not our SDK."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import websockets


class CommandError(Exception):
    """The server answered a command with ``error``."""


class Signalling:
    """One socket: commands with their answers, and every event in order."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.events: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()

    async def command(self, name: str, data: Any = None) -> Any:
        """Send a command and wait for its answer's data."""
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send(json.dumps({"type": "cmd", "transId": number, "name": name, "data": data}))
        return await asyncio.wait_for(answer, 10)

    async def event(self, name: str, **data: Any) -> dict[str, Any]:
        """Wait until an event of this name with this data has come."""

        def matching() -> dict[str, Any] | None:
            for event in self.events:
                if event["name"] == name and data.items() <= event["data"].items():
                    return event
            return None

        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(matching), 15)
        found = matching()
        assert found is not None
        return found

    async def read(self) -> None:
        """Take messages in until the socket closes."""
        async for text in self._socket:
            message = json.loads(text)
            if message["type"] == "event":
                async with self._changed:
                    self.events.append(message)
                    self._changed.notify_all()
                continue
            answer = self._answers.pop(message["transId"])
            if message["type"] == "response":
                answer.set_result(message.get("data"))
            else:
                answer.set_exception(CommandError(message["data"]))


async def direct(http: str, action: str, token: str, **body: Any) -> dict[str, Any]:
    """``POST /api/director/{action}``; the reply's data.

    Raises:
        CommandError: the reply says ``fail``.
    """
    async with httpx.AsyncClient(base_url=http) as client:
        reply = await client.post(f"/api/director/{action}", json=body, headers={"Authorization": f"Bearer {token}"})
    content: dict[str, Any] = reply.json()
    if content["status"] != "success":
        raise CommandError(content["data"]["message"])
    data: dict[str, Any] = content["data"]
    return data


@asynccontextmanager
async def signalling(way: dict[str, Any]) -> AsyncIterator[Signalling]:
    """Open the socket that the director named."""
    async with websockets.connect(f"{way['urls'][0]}?token={way['jwt']}") as socket:
        client = Signalling(socket)
        reader = asyncio.create_task(client.read())
        try:
            yield client
        finally:
            reader.cancel()
