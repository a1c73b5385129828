"""What all HTTP endpoints share: bodies with a cap, failures as JSON, headers, and how this server is reached."""

import asyncio
import re
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rostra.config import ROOT_PATH, Config
from rostra.model.addresses import group, normalise
from rostra.model.ids import StreamKey
from rostra.protocol.director import encode_fail
from rostra.server.addresses import client_address
from rostra.server.edge.connection import CONNECTION, Connection

BODY_TIMEOUT_S: Final = 10
_LENGTH: Final = re.compile("[0-9]{1,18}")
_CLOSE: Final = {"Connection": "close"}
"""What is left of the body is not waited for."""
_HOST: Final = re.compile(r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_CORS_PATHS: Final = "/api/director/"
_LIBRARY: Final = "/sdk/"
"""The client library, which pages of other origins import."""
_CORS: Final = [(b"access-control-allow-origin", b"*")]
DOORS: Final = ("/api/whip/", "/api/whep/")
"""Paths of WHIP and WHEP, whose failures are plain text."""
_DOOR_HEADERS: Final = [
    *_CORS,
    (b"access-control-expose-headers", b"Location, Link, ETag, Retry-After, WWW-Authenticate"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
# Lit writes style attributes; nothing else is inline, and nothing comes from elsewhere.
_CSP: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    b"media-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_SECURITY: Final = [
    (b"content-security-policy", _CSP),
    (b"permissions-policy", b"camera=(self), microphone=(self), display-capture=(self), geolocation=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
_LIBRARY_HEADERS: Final = [*_CORS, *_SECURITY]


def fail(
    status: int,
    message: str,
    *,
    stream: StreamKey | None = None,
    errors: dict[str, list[str]] | None = None,
    code: str | None = None,
) -> Response:
    """A failure as every client expects it."""
    body = encode_fail(message, stream=stream, errors=errors, code=code)
    return Response(body, status, media_type="application/json")


def check_body(request: Request, limit: int, media_type: str) -> None:
    """Refuse a body for what its header fields say, before a byte of it is read.

    Raises:
        HTTPException: 415, 413 over ``limit`` bytes.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != media_type:
        raise HTTPException(415, "Unsupported Media Type")
    length = request.headers.get("content-length", "0")
    if not _LENGTH.fullmatch(length) or int(length) > limit:
        raise HTTPException(413, "Content Too Large", headers=_CLOSE)


async def read_body(request: Request, limit: int) -> bytes:
    """The body, of which never more than ``limit`` bytes and one chunk are kept.

    Raises:
        HTTPException: 413 over ``limit`` bytes, 408 when it does not come.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise HTTPException(413, "Content Too Large", headers=_CLOSE)
    except ClientDisconnect:
        raise HTTPException(400, "Bad Request") from None  # which nobody reads; it is no fault of ours
    except TimeoutError:
        raise HTTPException(408, "Request Timeout", headers=_CLOSE) from None
    return bytes(body)


def address_group(connection: HTTPConnection, config: Config) -> str:
    """The share that the client's address belongs to, also behind a trusted proxy."""
    return group(client_address(connection.scope, config.http.trusted_proxies))


def origin(connection: HTTPConnection, config: Config) -> tuple[bool, str]:
    """Whether the client used TLS, and by which host it reached us: what URLs for it have to start with.

    Raises:
        HTTPException: 400, the host is not one.
    """
    is_secure = connection.url.scheme in ("https", "wss")
    host = connection.headers.get("host", "")
    if is_forwarded(connection, config):
        # The nearest proxy writes last.
        host = connection.headers.get("x-forwarded-host", host).rpartition(",")[2].strip()
        protocol = connection.headers.get("x-forwarded-proto", "https" if is_secure else "http")
        is_secure = protocol.rpartition(",")[2].strip().lower() in ("https", "wss")
    if host_name(host) is None:
        raise HTTPException(400, "Invalid Host")
    return is_secure, host


def root_path(connection: HTTPConnection, config: Config) -> str:
    """The path below which clients see this server, without a slash at its end: what URLs of it begin with.

    Raises:
        HTTPException: 400, the prefix that a proxy names is not a path.
    """
    prefix = config.http.root_path
    if is_forwarded(connection, config):
        named = connection.headers.get("x-forwarded-prefix")
        prefix = named.rpartition(",")[2].strip().rstrip("/") if named is not None else prefix
    if not ROOT_PATH.fullmatch(prefix):
        raise HTTPException(400, "Invalid X-Forwarded-Prefix")
    return prefix


def is_forwarded(connection: HTTPConnection, config: Config) -> bool:
    """Whether a trusted proxy made the request, so that its ``X-Forwarded-*`` fields are believed."""
    return connection.client is not None and normalise(connection.client.host) in config.http.trusted_proxies


def host_name(host: str) -> str | None:
    """The name or address of a ``Host`` field, without brackets and port; ``None``: it is not a host."""
    match = _HOST.fullmatch(host)
    return match.group(1).strip("[]") if match is not None else None


def is_absolute_form(connection: HTTPConnection) -> bool:
    """Whether the request line had a whole URL, as for a proxy (RFC 9112 §3.2.2). Browsers ask no server so."""
    return bool(connection.scope["extensions"][CONNECTION]["is_absolute_form"])


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Paths, methods and bodies that are wrong."""
    if not isinstance(error, HTTPException):
        raise error
    response = _failure(request, error.status_code, str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def on_error(request: Request, _error: Exception) -> Response:
    """Our own fault. The server logs it; the client only learns that."""
    return _failure(request, 500, "Internal Server Error")


def _failure(request: Request, status: int, message: str) -> Response:
    """As the clients of this path expect it."""
    return PlainTextResponse(message, status) if request.url.path.startswith(DOORS) else fail(status, message)


def edge_connection(connection: HTTPConnection) -> Connection:
    """The connection that a request came by. It is told of good tokens, and then not closed to make room for others."""
    found: Connection = connection.scope["extensions"][CONNECTION]["connection"]
    return found


class Headers:
    """Adds headers to every response, failures of the framework included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        extra = _SECURITY
        if scope["path"].startswith(_CORS_PATHS):
            extra = _CORS
        elif scope["path"].startswith(DOORS):
            extra = _DOOR_HEADERS
        elif scope["path"].startswith(_LIBRARY):
            extra = _LIBRARY_HEADERS

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        await self._app(scope, receive, with_headers)
