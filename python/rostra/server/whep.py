"""WHEP, the door for viewers that speak HTTP (docs/protocol/whep.md), with its events and its choice of layers."""

import asyncio
import contextlib
import secrets
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rostra.model import offers, viewing
from rostra.model.ids import AccountId
from rostra.model.layers import AUTOMATIC, LayerWish
from rostra.model.refused import Unauthorized
from rostra.protocol import sdp, sdpfrag, sse, whep, whip
from rostra.protocol.director import bearer
from rostra.protocol.links import ice_server, link
from rostra.server import doors
from rostra.server.admission import Offline, admit_viewer
from rostra.server.clients import log_opened
from rostra.server.context import Context
from rostra.server.edge.gate import TooManySessions
from rostra.server.http import address_group, check_body, edge_connection, origin, root_path
from rostra.server.outbox import Outbox
from rostra.server.resources import MAX_STREAMS, EventStream, Kind, Resource, Resources, credentials, digest
from rostra.server.whip import METHODS, restarted

_ENDPOINT_METHODS: Final = "GET, HEAD, POST, OPTIONS"
_EXTENSION_METHODS: Final = "POST, OPTIONS"
_LAYER_METHODS: Final = "POST, DELETE, OPTIONS"
_STREAM_METHODS: Final = "GET, DELETE, OPTIONS"
_EXTENSION: Final = "urn:ietf:params:whep:ext:core:"
_SSE: Final = "sse"
_LAYER: Final = "layer"
_STREAM_ID_BYTES: Final = 24
_HEARTBEAT_S: Final = 15.0
"""Proxies drop connections on which nothing moves for 30 s."""
_LAST_WORDS_S: Final = 5.0
"""How long what was written may wait for a reader that does not read."""


def route(context: Context, resources: Resources) -> Route:
    """``/api/whep/{accountId}/{streamName}`` and what is below ``/api/whep/resource/{id}``."""

    def restart(resource: Resource, fragment: sdpfrag.Fragment) -> str:
        return restarted(context, resource, fragment)

    async def dispatch(request: Request) -> Response:
        match doors.path_of(request):
            case [doors.RESOURCE, name]:
                return await doors.session(context, resources, name, request, restart)
            case [doors.RESOURCE, name, "sse"]:
                return await _events(context, resources, name, request)
            case [doors.RESOURCE, name, "sse", stream]:
                return await _event_stream(context, resources, name, stream, request)
            case [doors.RESOURCE, name, "layer"]:
                return await _layer(context, resources, name, request)
            case [account, name]:
                return await _endpoint(context, resources, AccountId(account), name, request)
            case _:
                raise HTTPException(404, "Not Found")

    async def handle(request: Request) -> Response:
        with context.refused_tokens.forbidden_logged(context.client(request), "whep"):
            return await dispatch(request)

    return Route("/api/whep/{path:path}", handle, methods=METHODS)


# --- Sessions ---------------------------------------------------------------------------------------------------


async def _endpoint(
    context: Context, resources: Resources, account: AccountId, name: str, request: Request
) -> Response:
    match request.method:
        case "OPTIONS":
            return doors.preflight(_ENDPOINT_METHODS)
        case "GET" | "HEAD":
            # How a player finds out that a URL is one for WHEP.
            return Response(status_code=200, headers={"Content-Type": doors.SDP})
        case "POST":
            with doors.refusing():
                return await _view(context, resources, account, name, request)
        case _:
            raise doors.not_allowed(_ENDPOINT_METHODS)


async def _view(context: Context, resources: Resources, account: AccountId, name: str, request: Request) -> Response:
    """Headers, then the token, then the body. Links are absolute: players do not resolve them."""
    check_body(request, doors.MAX_OFFER, doors.SDP)
    is_secure, host = origin(request, context.config)
    stream = doors.stream_name(name)
    wish = whip.view_wish(request.query_params.multi_items())
    token = bearer(request.headers.get("authorization"))
    client = context.client(request)
    try:
        with context.refused_tokens.logged(client, "whep", stream):
            grant = await admit_viewer(context, token, account, stream)
    except Offline:
        raise _offline() from None
    if resources.is_full:
        raise doors.overloaded()
    owner = digest(token) if token is not None else None
    offer = sdp.parse(await doors.read_offer(context, request, owner))
    now = context.hub.stream(grant.stream)
    pinned = wish.source if wish.source is not None else viewing.usual_source(now)
    if not context.config.signalling.allow_offline_subscribe and not now.has_published(pinned):
        raise _offline()
    if token is None and not now.is_public:  # it may have changed while the offer came
        raise Unauthorized("Unauthorized")
    resource = Resource(Kind.WHEP, owner)
    follows = wish.source is None and pinned is not None
    address = address_group(request, context.config)
    opened = context.hub.view(
        grant, offer, resource, pinned=pinned, events=frozenset(), follows=follows, address=address
    )
    answer = offers.completed(opened.answer)
    resource.open(opened.transport, answer, credentials(offer))
    resources.add(resource)
    log_opened(client, "whep", grant.stream, "viewer", opened.transport)
    root = root_path(request, context.config)
    base = f"{'https' if is_secure else 'http'}://{host}{root}/api/whep/{doors.RESOURCE}/{resource.id}"
    events = ",".join(sse.EVENTS)
    links = [
        link(f"{base}/{_SSE}", f"{_EXTENSION}server-sent-events", events=events),
        link(f"{base}/{_LAYER}", f"{_EXTENSION}layer"),
        *(ice_server(one) for one in context.config.signalling.ice_servers),
    ]
    response = doors.created(resource, sdp.write(answer), links, root)
    context.hub.announce(opened.transport)
    return response


def _offline() -> HTTPException:
    return HTTPException(409, "Stream not found")


# --- Layers -----------------------------------------------------------------------------------------------------


async def _layer(context: Context, resources: Resources, name: str, request: Request) -> Response:
    match request.method:
        case "OPTIONS":
            return doors.preflight(_LAYER_METHODS, Accept_Post="application/json")
        case "POST":
            resource = doors.found(resources, name, request)
            check_body(request, whep.MAX_LAYER_BODY, "application/json")
            doors.count_change(resource)
            with doors.refusing():
                body = await doors.read(context, request, whep.MAX_LAYER_BODY, resource.owner)
                wish = _wanted_layer(body, resource)
                context.hub.select(doors.found(resources, name, request).transport, wish)
            return Response(status_code=200)
        case "DELETE":
            resource = doors.found(resources, name, request)
            doors.count_change(resource)
            with doors.refusing():
                context.hub.select(resource.transport, AUTOMATIC)
            return Response(status_code=200)
        case _:
            raise doors.not_allowed(_LAYER_METHODS)


def _wanted_layer(body: bytes, resource: Resource) -> LayerWish:
    main = resource.pictures[0] if resource.pictures else None
    return whep.decode_layer(body, main=main, place=resource.places[main] if main is not None else None)


# --- Events -----------------------------------------------------------------------------------------------------


async def _events(context: Context, resources: Resources, name: str, request: Request) -> Response:
    """Make a stream of events. Its URL is all that it takes to read it: a browser's reader sends no header."""
    match request.method:
        case "OPTIONS":
            return doors.preflight(_EXTENSION_METHODS, Accept_Post="application/json")
        case "POST":
            resource = doors.found(resources, name, request)
            check_body(request, sse.MAX_BODY, "application/json")
            doors.count_change(resource)
            with doors.refusing():
                wanted = sse.decode_names(await doors.read(context, request, sse.MAX_BODY, resource.owner))
            resource = doors.found(resources, name, request)
            stream = EventStream(secrets.token_urlsafe(_STREAM_ID_BYTES), wanted, Outbox(sse.encoder(resource.places)))
            if not resource.add(stream):
                raise HTTPException(409, f"{MAX_STREAMS} event streams of this session are being read")
            for event in context.hub.hear(resource.transport, resource.heard):
                stream.tell(event)
            location = (
                f"{root_path(request, context.config)}/api/whep/{doors.RESOURCE}/{resource.id}/{_SSE}/{stream.id}"
            )
            return Response(status_code=201, headers={"Location": location})
        case _:
            raise doors.not_allowed(_EXTENSION_METHODS)


async def _event_stream(context: Context, resources: Resources, name: str, stream: str, request: Request) -> Response:
    match request.method:
        case "OPTIONS":
            return doors.preflight(_STREAM_METHODS)
        case "GET" if resources.find_ended(name) is not None:
            return Response(status_code=204)  # so that a browser's reader does not come back (HTML §9.2.1)
        case "GET":
            found = _found(resources, name, stream)[1]
            try:
                edge_connection(request).authenticate(found.id)
            except TooManySessions:
                raise HTTPException(429, "Too many connections of this session or address") from None
            return Listening(found)
        case "DELETE":
            resource, found = _found(resources, name, stream)
            del resource.streams[found.id]
            found.outbox.finish()
            context.hub.hear(resource.transport, resource.heard)
            return Response(status_code=200)
        case _:
            raise doors.not_allowed(_STREAM_METHODS)


def _found(resources: Resources, name: str, stream: str) -> tuple[Resource, EventStream]:
    resource = resources.find(name)
    found = resource.streams.get(stream) if resource is not None else None
    if resource is None or found is None:
        raise HTTPException(404, "Not Found")
    return resource, found


class Listening(Response):
    """An event stream while somebody reads it. The newest reader takes the place of an older one."""

    media_type = "text/event-stream"

    def __init__(self, stream: EventStream) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._stream = stream

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it until the session, the stream or its reader ends."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        outbox, reader = self._stream.outbox, self._stream.read()
        tasks = [
            asyncio.create_task(_write(outbox, send)),
            asyncio.create_task(_until_disconnected(receive)),
            asyncio.create_task(outbox.overflowed.wait()),
            asyncio.create_task(reader.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stream.leave(reader)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _write(outbox: Outbox, send: Send) -> None:
    await send({"type": "http.response.body", "body": sse.HEARTBEAT.encode(), "more_body": True})
    while True:
        try:
            async with asyncio.timeout(_HEARTBEAT_S):
                text = await outbox.next()
        except TimeoutError:
            text = sse.HEARTBEAT
        if text is None:
            return
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
