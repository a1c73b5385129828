"""Rostra's director, or any that speaks the protocol: a wildcard token in, an address and a short-lived token out."""

from typing import Final

import httpx
import msgspec

from spaces.messages import DirectorData, RoomId
from spaces.rooms import Door, Refused

_PATHS: Final[dict[Door, str]] = {"publish": "publish", "view": "subscribe"}
_TIMEOUT_S: Final = 10.0


class _Failure(msgspec.Struct):
    message: str


class _Reply(msgspec.Struct):
    status: str
    data: DirectorData


class _Refusal(msgspec.Struct):
    data: _Failure


class Director:
    """Keeps the two tokens; nobody else sees them. Both have to cover every stream name (``*``)."""

    def __init__(self, endpoint: str, *, publish_token: str, subscribe_token: str) -> None:
        self._tokens: Final[dict[Door, str]] = {"publish": publish_token, "view": subscribe_token}
        self._client: Final = httpx.AsyncClient(base_url=endpoint, timeout=_TIMEOUT_S, trust_env=False)

    async def ask(self, door: Door, stream: RoomId) -> DirectorData:
        """The right to open one signalling socket.

        Raises:
            Refused: with the director's words, or because it cannot be reached.
        """
        headers = {"Authorization": f"Bearer {self._tokens[door]}"}
        path = f"/api/director/{_PATHS[door]}"
        try:
            reply = await self._client.post(path, json={"streamName": stream}, headers=headers)
        except httpx.HTTPError as error:
            raise Refused("The media server cannot be reached", 503) from error
        if not reply.is_success:
            raise Refused(_words(reply.content), reply.status_code)
        try:
            return msgspec.json.decode(reply.content, type=_Reply).data
        except msgspec.DecodeError as error:
            raise Refused("The media server gave no address", 502) from error

    async def close(self) -> None:
        """Let go of its connections."""
        await self._client.aclose()


def _words(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Refusal).data.message
    except msgspec.DecodeError:
        return "The media server refused"
