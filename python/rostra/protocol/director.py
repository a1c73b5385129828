"""The director's requests and replies (docs/protocol/director.md): JSON to typed values and back."""

import re
from collections.abc import Iterable
from typing import Final, Literal, TypeVar

import msgspec

from rostra.model.ice import IceServer
from rostra.model.ids import AccountId, StreamKey, StreamName, is_name
from rostra.model.refused import InvalidToken, Refused, Unauthorized
from rostra.protocol.json import DecodeError, Decoder

MAX_BODY: Final = 16 * 1024
"""Bytes of a request. Real ones have a hundred."""


class ValidationFailed(ValueError):  # noqa: N818 — what clients are told
    """The body is not what was asked for. ``errors``: texts by field."""

    code = "validation_failed"

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__(str(errors))
        self.errors = errors


class PublishRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Body of ``publish``. The account is that of the token."""

    stream_name: str
    stream_type: Literal["WebRtc", "Rtmp"] | None = None

    @property
    def name(self) -> StreamName:
        """The stream to publish."""
        return StreamName(self.stream_name)


class SubscribeRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Body of ``subscribe``. Without a token the account has to be named."""

    stream_name: str
    stream_account_id: str | None = None

    @property
    def name(self) -> StreamName:
        """The stream to watch."""
        return StreamName(self.stream_name)

    @property
    def account(self) -> AccountId | None:
        """The account that was named."""
        return AccountId(self.stream_account_id) if self.stream_account_id else None


def decode_publish(body: bytes) -> PublishRequest:
    """Read a body.

    Raises:
        ValidationFailed: it is not one.
    """
    request = _decode(body, _PUBLISH)
    _check_name(request.stream_name)
    if request.stream_type == "Rtmp":
        raise ValidationFailed({"streamType": ["Rtmp is not available on this server"]})
    return request


def decode_subscribe(body: bytes) -> SubscribeRequest:
    """Read a body.

    Raises:
        ValidationFailed: it is not one.
    """
    request = _decode(body, _SUBSCRIBE)
    _check_name(request.stream_name)
    return request


def bearer(header: str | None) -> str | None:
    """The token of an ``Authorization`` header; ``None`` for nobody in particular, which ``NoAuth`` says too."""
    if header is None:
        return None
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        return None if header.strip() in ("", "NoAuth") else header.strip()
    return value.strip() or None


class _IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    urls: list[str]
    username: str | None = None
    credential: str | None = None


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    urls: list[str]
    ws_url: str
    jwt: str
    ice_servers: list[_IceServer]
    stream_account_id: str
    subscribe_requires_auth: bool | msgspec.UnsetType = msgspec.UNSET


class _Success(msgspec.Struct, frozen=True, tag_field="status", tag="success"):
    data: _Data


class _FailData(msgspec.Struct, frozen=True, rename="camel"):
    message: str
    stream_id: str | msgspec.UnsetType = msgspec.UNSET
    errors: dict[str, list[str]] | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET


class _Fail(msgspec.Struct, frozen=True, tag_field="status", tag="fail"):
    data: _FailData


_T = TypeVar("_T")
_PUBLISH: Final = Decoder(PublishRequest)
_SUBSCRIBE: Final = Decoder(SubscribeRequest)
_encoder = msgspec.json.Encoder()


def encode_publish(
    url: str, token: str, stream: StreamKey, ice_servers: Iterable[IceServer] = (), *, subscribe_requires_auth: bool
) -> bytes:
    """The reply to a publisher. Most have no ``iceServers``: peers reach the media port without help."""
    data = _Data([url], url, token, _listed(ice_servers), stream.account, subscribe_requires_auth)
    return _encoder.encode(_Success(data))


def encode_subscribe(url: str, token: str, stream: StreamKey, ice_servers: Iterable[IceServer] = ()) -> bytes:
    """The reply to a viewer."""
    return _encoder.encode(_Success(_Data([url], url, token, _listed(ice_servers), stream.account)))


def _listed(servers: Iterable[IceServer]) -> list[_IceServer]:
    """Some clients read lists of URLs only."""
    return [_IceServer([one.url], one.username, one.credential) for one in servers]


def encode_fail(
    message: str,
    *,
    stream: StreamKey | None = None,
    errors: dict[str, list[str]] | None = None,
    code: str | None = None,
) -> bytes:
    """Every reply that is no success, on every path: clients look at ``status`` and show ``message``."""
    named = str(stream) if stream is not None else msgspec.UNSET
    data = _FailData(message, named, errors or msgspec.UNSET, code or msgspec.UNSET)
    return _encoder.encode(_Fail(data))


def status_of(refused: Refused) -> int:
    """The HTTP status. 401 is final for clients; after any other they try again."""
    return 401 if isinstance(refused, InvalidToken | Unauthorized) else 400


def _decode(body: bytes, decoder: Decoder[_T]) -> _T:
    try:
        return decoder.decode(body)
    except DecodeError as error:
        text = error.message
        found = re.search(r"at `\$\.(\w+)", text) or re.search(r"field `(\w+)`", text)
        raise ValidationFailed({found[1] if found else "body": [text]}) from error


def _check_name(name: str) -> None:
    if not is_name(name):
        raise ValidationFailed({"streamName": ["Has to have 1 to 128 printable characters"]})
