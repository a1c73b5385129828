"""The director: a token in, a signalling URL and a short-lived token for it out (docs/protocol/director.md)."""

from collections.abc import Awaitable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from rostra.model.refused import Refused
from rostra.model.token import Grant, PublishGrant
from rostra.protocol import director, jwt
from rostra.server.admission import Offline, admit_publisher, admit_viewer
from rostra.server.context import Context
from rostra.server.http import address_group, check_body, fail, origin, root_path
from rostra.server.resources import digest


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


async def _answered(reply: Awaitable[bytes]) -> Response:
    try:
        return Response(await reply, media_type="application/json", headers={"Cache-Control": "no-store"})
    except director.ValidationFailed as error:
        return fail(400, "Validation errors", errors=error.errors, code=error.code)
    except Offline as error:
        return fail(400, error.message, stream=error.stream)
    except Refused as error:
        return fail(director.status_of(error), error.message)


async def _publish(context: Context, request: Request) -> bytes:
    value = director.bearer(request.headers.get("authorization"))
    owner = digest(value) if value is not None and await context.store.publish_token(value) is not None else None
    body = director.decode_publish(await _read(context, request, owner))
    with context.refused_tokens.logged(context.client(request), "director", body.name):
        grant = await admit_publisher(context, value, body.name)
    url, signed = _opened(context, request, grant)
    requires_auth = grant.subscribe_requires_auth
    servers = context.config.signalling.ice_servers
    return director.encode_publish(url, signed, grant.stream, servers, subscribe_requires_auth=requires_auth)


async def _read(context: Context, request: Request, owner: bytes | None) -> bytes:
    check_body(request, director.MAX_BODY, "application/json")
    address = address_group(request, context.config)
    return await context.readers.read(request, director.MAX_BODY, address=address, owner=owner)


async def _subscribe(context: Context, request: Request) -> bytes:
    value = director.bearer(request.headers.get("authorization"))
    owner = digest(value) if value is not None and await context.store.subscribe_token(value) is not None else None
    body = director.decode_subscribe(await _read(context, request, owner))
    if value is None and body.account is None:
        raise director.ValidationFailed({"streamAccountId": ["Is needed without a token"]})
    with context.refused_tokens.logged(context.client(request), "director", body.name):
        grant = await admit_viewer(context, value, body.account, body.name)
    servers = context.config.signalling.ice_servers
    return director.encode_subscribe(*_opened(context, request, grant), grant.stream, servers)


def _opened(context: Context, request: Request, grant: Grant) -> tuple[str, str]:
    """The socket's URL and the token for it."""
    is_secure, host = origin(request, context.config)
    kind = "pub" if isinstance(grant, PublishGrant) else "sub"
    url = f"{'wss' if is_secure else 'ws'}://{host}{root_path(request, context.config)}/ws/v2/{kind}/{grant.server}"
    lifetime_s = context.config.signalling.token_lifetime_s
    return url, jwt.issue(grant, context.key, now_s=context.clock(), lifetime_s=lifetime_s)
