"""All endpoints as one ASGI application."""

from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from rostra import __version__
from rostra.server import debug, director, page, whep, whip
from rostra.server.context import Context
from rostra.server.http import Headers, on_error, on_http_exception
from rostra.server.metrics import Metrics
from rostra.server.owners import Owners
from rostra.server.resources import Resources
from rostra.server.signalling import Sockets

_API: Final = frozenset({"/api/director/publish", "/api/director/subscribe", page.SETTINGS, page.DOORS})
_ALL_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def build(context: Context, sockets: Sockets, metrics: Metrics) -> ASGIApp:
    """The application. Order matters: the page takes every path that is left."""

    owners = Owners(context)

    async def get_metrics(request: Request) -> Response:
        if not page.is_own_page(request):
            await owners.owner(request)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app = FastAPI(
        title="Rostra", version=__version__, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(Exception, on_error)
    app.include_router(director.router(context))
    app.router.routes += [
        *sockets.routes(),
        page.settings(context),
        debug.route(context, owners),
        debug.streams(context, owners),
        page.doors(context),
        whip.route(context, Resources(context.hub)),
        whep.route(context, Resources(context.hub)),
        Route("/healthz", _healthz),
        Route("/metrics", get_metrics),
        Route("/api/{path:path}", _other, methods=_ALL_METHODS),
        page.static(),
    ]
    return Headers(app)


async def _other(request: Request) -> Response:
    path = request.url.path
    raise HTTPException(405 if path in _API or path.startswith((debug.TRANSPORTS, debug.STREAMS)) else 404)


async def _healthz(_request: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")
