"""The director: a token in, a signalling URL and a short-lived token for it out (docs/protocol/director.md)."""

import secrets
from collections.abc import Awaitable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from rostra.model.ids import ServerId, StreamKey
from rostra.model.refused import Refused, Unauthorized
from rostra.model.token import (
    Grant,
    PublishGrant,
    SubscribeGrant,
    check,
    check_same_account,
    is_public_while_offline,
)
from rostra.protocol import director, jwt
from rostra.server.context import Context
from rostra.server.http import fail, origin, read_json_body


def router(context: Context) -> APIRouter:
    """The director's paths."""
    paths = APIRouter(prefix="/api/director")

    @paths.post("/publish", response_model=None)
    async def publish(request: Request) -> Response:
        return await _answered(_publish(context, request))

    @paths.post("/subscribe", response_model=None)
    async def subscribe(request: Request) -> Response:
        return await _answered(_subscribe(context, request))

    @paths.options("/publish", response_model=None)
    @paths.options("/subscribe", response_model=None)
    async def preflight() -> Response:
        headers = {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Max-Age": "86400",
        }
        return Response(status_code=204, headers=headers)

    return paths


class _Offline(Exception):  # noqa: N818 — a reply, not an error
    def __init__(self, message: str, stream: StreamKey) -> None:
        super().__init__(message)
        self.message = message
        self.stream = stream


async def _answered(reply: Awaitable[bytes]) -> Response:
    try:
        return Response(await reply, media_type="application/json", headers={"Cache-Control": "no-store"})
    except director.ValidationFailed as error:
        return fail(400, "Validation errors", errors=error.errors)
    except _Offline as error:
        return fail(400, error.message, stream=error.stream)
    except Refused as error:
        return fail(director.status_of(error), error.message)


async def _publish(context: Context, request: Request) -> bytes:
    body = director.decode_publish(await read_json_body(request, director.MAX_BODY))
    value = director.bearer(request.headers.get("authorization"))
    if value is None:
        raise Unauthorized("Unauthorized")
    token = check(await context.store.publish_token(value), body.name, now_s=context.clock())
    stream = StreamKey(token.account, body.name)
    grant = PublishGrant(stream, _server(), token.multisource, token.subscribe_requires_auth)
    url, signed = _opened(context, request, grant)
    return director.encode_publish(url, signed, stream, subscribe_requires_auth=token.subscribe_requires_auth)


async def _subscribe(context: Context, request: Request) -> bytes:
    body = director.decode_subscribe(await read_json_body(request, director.MAX_BODY))
    value = director.bearer(request.headers.get("authorization"))
    stream = await (_anonymous(context, body) if value is None else _known(context, body, value))
    is_waiting_allowed = context.config.signalling.allow_offline_subscribe
    if not is_waiting_allowed and not context.hub.stream(stream).is_published:
        raise _Offline("stream not being published", stream)
    return director.encode_subscribe(*_opened(context, request, SubscribeGrant(stream, _server())), stream)


async def _known(context: Context, body: director.SubscribeRequest, value: str) -> StreamKey:
    """The stream of somebody with a token: it says whose."""
    token = check(await context.store.subscribe_token(value), body.name, now_s=context.clock())
    check_same_account(token.account, body.account)
    return StreamKey(token.account, body.name)


async def _anonymous(context: Context, body: director.SubscribeRequest) -> StreamKey:
    """The stream of somebody without a token, if it is for everybody."""
    if body.account is None:
        raise director.ValidationFailed({"streamAccountId": ["Is needed without a token"]})
    key = StreamKey(body.account, body.name)
    if await context.store.account(body.account) is None:
        raise _Offline("stream not found", key)
    stream = context.hub.stream(key)
    is_public = stream.is_public
    if not stream.is_published and context.config.signalling.allow_offline_subscribe:
        tokens = await context.store.publish_tokens(body.account)
        is_public = is_public and is_public_while_offline(tokens, key.name, now_s=context.clock())
    if not is_public:
        raise Unauthorized("Unauthorized")
    return key


def _opened(context: Context, request: Request, grant: Grant) -> tuple[str, str]:
    """The socket's URL and the token for it."""
    is_secure, host = origin(request, context.config)
    kind = "pub" if isinstance(grant, PublishGrant) else "sub"
    url = f"{'wss' if is_secure else 'ws'}://{host}/ws/v2/{kind}/{grant.server}"
    lifetime_s = context.config.signalling.token_lifetime_s
    return url, jwt.issue(grant, context.key, now_s=context.clock(), lifetime_s=lifetime_s)


def _server() -> ServerId:
    return ServerId(secrets.token_hex(16))
