"""Why there is no picture (docs/protocol/debug.md): how one transport does, for the owner of its stream."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rostra.media.engine import Overloaded
from rostra.model.diagnosis import diagnose
from rostra.protocol.debug import encode_report
from rostra.protocol.director import bearer
from rostra.server.context import Context
from rostra.server.http import fail

TRANSPORTS: Final = "/api/debug/transports/"
DEADLINE_S = 2.0
"""How long the media plane has. It answers within a millisecond, unless its threads are stuck."""


def route(context: Context) -> Route:
    """``GET /api/debug/transports/{id}`` with the account's API secret."""

    async def get(request: Request) -> Response:
        secret = bearer(request.headers.get("authorization"))
        account = await context.store.account_of_secret(secret) if secret is not None else None
        if account is None:
            return fail(401, "Unauthorized")
        subject = context.hub.find(account.id, request.path_params["id"])
        if subject is None:
            return fail(404, "No such transport")
        try:
            async with asyncio.timeout(DEADLINE_S):
                report = await context.hub.inspect(subject.transport)
        except TimeoutError:
            return fail(503, "timeout")
        except Overloaded:
            return fail(503, "Server overloaded")
        if report is None:
            return fail(404, "No such transport")
        found = diagnose(report, subject, context.hub.media_address)
        body = encode_report(subject, report, found)
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    return Route(f"{TRANSPORTS}{{id}}", get, methods=["GET"])
