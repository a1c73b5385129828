"""WHIP, the door for publishers that speak HTTP (RFC 9725, docs/protocol/whip.md)."""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rostra.model import offers
from rostra.model.stream import Door
from rostra.protocol import sdp, sdpfrag, whip
from rostra.protocol.director import bearer
from rostra.protocol.links import ice_server
from rostra.server import doors
from rostra.server.admission import admit_publisher
from rostra.server.clients import log_opened
from rostra.server.context import Context
from rostra.server.http import check_body, root_path
from rostra.server.resources import Kind, Resource, Resources, credentials, digest

METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_ENDPOINT_METHODS: Final = "GET, HEAD, POST, OPTIONS"


def route(context: Context, resources: Resources) -> Route:
    """``/api/whip/{streamName}`` and ``/api/whip/resource/{id}``."""

    def restart(resource: Resource, fragment: sdpfrag.Fragment) -> str:
        return restarted(context, resource, fragment)

    async def dispatch(request: Request) -> Response:
        match doors.path_of(request):
            case [name]:
                return await _endpoint(context, resources, name, request)
            case [doors.RESOURCE, name]:
                return await doors.session(context, resources, name, request, restart)
            case _:
                raise HTTPException(404, "Not Found")

    async def handle(request: Request) -> Response:
        with context.refused_tokens.forbidden_logged(context.client(request), "whip"):
            return await dispatch(request)

    return Route("/api/whip/{path:path}", handle, methods=METHODS)


def restarted(context: Context, resource: Resource, fragment: sdpfrag.Fragment) -> str:
    """Restart ICE of a resource; the fragment that says so to its client.

    Raises:
        Overloaded: the media plane has no room; nothing happened.
    """
    if fragment.ice is None or resource.ours is None:
        raise ValueError("a restart has credentials, and a resource has a transport")
    return sdpfrag.write(resource.ours, context.hub.restart_ice(resource.transport, fragment.ice))


async def _endpoint(context: Context, resources: Resources, name: str, request: Request) -> Response:
    match request.method:
        case "OPTIONS":
            return doors.preflight(_ENDPOINT_METHODS)
        case "GET" | "HEAD":
            return Response(status_code=204)  # RFC 9725 §4.1: there is nothing to see, and that is no error
        case "POST":
            with doors.refusing():
                return await _publish(context, resources, name, request)
        case _:
            raise doors.not_allowed(_ENDPOINT_METHODS)


async def _publish(context: Context, resources: Resources, name: str, request: Request) -> Response:
    """Headers, then the token, then the body: nothing of a stranger is kept, and nothing of anybody before its turn."""
    check_body(request, doors.MAX_OFFER, doors.SDP)
    stream = doors.stream_name(name)
    token = bearer(request.headers.get("authorization")) or request.query_params.get("auth") or None
    client = context.client(request)
    with context.refused_tokens.logged(client, "whip", stream):
        grant = await admit_publisher(context, token, stream)
    root = root_path(request, context.config)
    wish = whip.publish_wish(stream, request.query_params.multi_items())
    if resources.is_full or (token is not None and not resources.may_publish(token, _now_s())):
        raise doors.overloaded()
    owner = digest(token) if token is not None else None
    offer = sdp.parse(await doors.read_offer(context, request, owner))
    codec = wish.codec or offers.codec_for(offer)
    offer = offers.without(offer, wish.without)
    offers.refuse_partial(offer, codec)
    resource = Resource(Kind.WHIP, owner)
    opened = context.hub.publish(
        grant,
        offer,
        resource,
        codec=codec,
        source=wish.source,
        priority=wish.priority,
        events=frozenset(),
        door=Door.WHIP,
    )
    answer = offers.completed(opened.answer)
    resource.open(opened.transport, answer, credentials(offer))
    resources.add(resource)
    log_opened(client, "whip", grant.stream, "publisher", opened.transport)
    links = [ice_server(one) for one in context.config.signalling.ice_servers]
    return doors.created(resource, sdp.write(answer), links, root)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
