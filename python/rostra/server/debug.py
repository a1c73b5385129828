"""How one transport does, and what comes in to a stream (docs/protocol/debug.md), for the owner of the stream."""

import asyncio
import contextlib
import itertools
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rostra.media.engine import Overloaded
from rostra.model.diagnosis import diagnose
from rostra.model.ids import StreamKey, StreamName
from rostra.model.incoming import CURRENT_S, incoming
from rostra.model.media import TransportId, TransportReport
from rostra.protocol.debug import encode_report, encode_stream
from rostra.server.context import Context
from rostra.server.http import fail
from rostra.server.owners import Owners

TRANSPORTS: Final = "/api/debug/transports/"
STREAMS: Final = "/api/debug/streams/"
MAX_ASKED: Final = 32
"""Feeds of a stream whose transports are asked; of others what the media plane tells anyway is shown."""
DEADLINE_S = 2.0
"""How long the media plane has. It answers within a millisecond, unless its threads are stuck."""


def route(context: Context, owners: Owners) -> Route:
    """``GET /api/debug/transports/{id}`` with the account's API secret."""

    async def get(request: Request) -> Response:
        account = await owners.owner(request)
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


def streams(context: Context, owners: Owners) -> Route:
    """``GET /api/debug/streams/{account}/{stream}`` with the account's API secret. An offline stream has no feeds."""

    async def get(request: Request) -> Response:
        account = await owners.owner(request)
        if account.id != request.path_params["account"]:
            return fail(404, "No such stream")
        key = StreamKey(account.id, StreamName(request.path_params["stream"]))
        reports = await _reports(context, key)
        hub, now_s = context.hub, context.clock()
        stream = hub.stream(key)
        found = incoming(stream, hub.layers(stream), reports, now_s=now_s, address=hub.media_address)
        away = context.turned_away.of(key, after_s=now_s - CURRENT_S)
        body = encode_stream(key, stream.audience, found, away, now_s=now_s)
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    return Route(f"{STREAMS}{{account}}/{{stream:path}}", get, methods=["GET"])


async def _reports(context: Context, key: StreamKey) -> dict[TransportId, TransportReport]:
    """Those of feeds that answer in time: what is known without them is shown anyway."""
    asked: dict[TransportId, asyncio.Future[TransportReport | None]] = {}
    with contextlib.suppress(Overloaded):
        for feed in itertools.islice(context.hub.stream(key).feeds, MAX_ASKED):
            asked[feed.transport] = context.hub.inspect(feed.transport)
    if asked:
        _, late = await asyncio.wait(asked.values(), timeout=DEADLINE_S)
        for future in late:
            future.cancel()
    answers = {
        transport: future.result() for transport, future in asked.items() if not future.cancelled() and future.done()
    }
    return {transport: report for transport, report in answers.items() if report is not None}
