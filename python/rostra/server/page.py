"""The page of ``rostra dev``, and its settings."""

from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import StaticFiles

import rostra
from rostra import __version__
from rostra.model.addresses import is_loopback
from rostra.server.context import Context
from rostra.server.http import fail, host_name, is_absolute_form

SETTINGS: Final = "/api/dev/settings"
DOORS: Final = "/api/doors"
_STATIC: Final = Path(rostra.__file__).parent / "static"
_NOT_BUILT: Final = (
    "<!doctype html><title>Rostra</title><p>The page is not built. <code>make build</code> builds it.</p>"
)
_FORWARDED: Final = ("forwarded", "x-forwarded-", "x-real-ip", "via")
"""Beginnings of header names that proxies add."""


class _Settings(msgspec.Struct, frozen=True, rename="camel"):
    account_id: str
    publish_token: str
    subscribe_token: str
    api_secret: str
    version: str


class _Doors(msgspec.Struct, frozen=True, rename="camel"):
    rtmp_port: int | None
    rtmp_is_local: bool


def settings(context: Context) -> Route:
    """``GET /api/dev/settings``: tokens and API secret, for the page of ``rostra dev`` on this machine alone."""

    async def get(request: Request) -> Response:
        if not context.config.dev:
            return fail(404, "Not Found")
        if not is_own_page(request):
            return fail(403, "Only for the page of this server, opened on the machine that it runs on")
        account = (await context.store.accounts())[0]
        publish = (await context.store.publish_tokens(account.id))[0]
        subscribe = (await context.store.subscribe_tokens(account.id))[0]
        body = msgspec.json.encode(
            _Settings(account.id, publish.value, subscribe.value, account.api_secret, __version__)
        )
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    return Route(SETTINGS, get, methods=["GET"])


def doors(context: Context) -> Route:
    """``GET /api/doors``: where encoders come in beside this port, for everybody's page."""
    rtmp = context.config.rtmp
    body = msgspec.json.encode(_Doors(context.rtmp_port, rtmp is not None and is_loopback(rtmp.listen.host)))

    async def get(_request: Request) -> Response:
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    return Route(DOORS, get, methods=["GET"])


def is_own_page(request: Request) -> bool:
    """Whether the request comes from a page of ours in a browser on this machine.

    A loopback peer alone is not enough: a proxy on this machine is one, and so is a browser that shows somebody else's
    page, under a name that leads to 127.0.0.1. So the host has to be a loopback one, the request must not have been
    forwarded, and where the browser says which page asks, it has to be this one.
    """
    if request.client is None or not is_loopback(request.client.host):
        return False
    host = request.headers.get("host", "")
    name = host_name(host)
    if name is None or not is_loopback(name) or is_absolute_form(request):
        return False
    if any(field.startswith(_FORWARDED) for field in request.headers):
        return False
    own = f"{request.scope['scheme']}://{host}"
    from_origin = request.headers.get("origin", own)
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none") and from_origin == own


def static() -> BaseRoute:
    """The built page at ``/``."""
    if (_STATIC / "index.html").is_file():
        return Route("/{path:path}", StaticFiles(directory=_STATIC, html=True), methods=["GET"])

    async def not_built(request: Request) -> Response:
        return HTMLResponse(_NOT_BUILT) if request.url.path == "/" else fail(404, "Not Found")

    return Route("/{path:path}", not_built, methods=["GET"])
