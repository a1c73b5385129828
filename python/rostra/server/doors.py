"""What WHIP and WHEP have in common: paths, failures as text, rules of the resources (docs/protocol/whip.md)."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rostra.media.engine import Overloaded
from rostra.model.ids import StreamName, is_name
from rostra.model.negotiation import NegotiationError
from rostra.model.refused import InvalidToken, MultisourceNotAllowed, NameNotCovered, Refused, TooMany, Unauthorized
from rostra.protocol import sdp, sdpfrag
from rostra.protocol.conditions import Condition, if_match
from rostra.protocol.director import ValidationFailed, bearer
from rostra.protocol.sse import UnknownEventError
from rostra.protocol.wishes import FieldError
from rostra.server.context import Context
from rostra.server.http import address_group, check_body
from rostra.server.reading import RETRY_S
from rostra.server.resources import Kind, Resource, Resources, new_etag

RESOURCE: Final = "resource"
SDP: Final = "application/sdp"
MAX_OFFER: Final = 64 * 1024
"""Bytes of an offer. Browsers need 8 000 for two m-lines, and 3 000 for each further one."""
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "86400",
    "Accept-Post": SDP,
}
_UNAUTHENTICATED: Final = {"WWW-Authenticate": "Bearer"}


def path_of(request: Request) -> list[str]:
    """The parts of the path behind ``/api/whip/``, as the client wrote them: a name may contain an encoded slash.

    Raises:
        HTTPException: 400, a part that is not UTF-8.
    """
    raw: bytes = request.scope["raw_path"]
    try:
        return [unquote_to_bytes(part).decode() for part in raw.split(b"/")[3:]]
    except UnicodeDecodeError:
        raise _invalid({"path": ["Is not UTF-8"]}) from None


def stream_name(text: str) -> StreamName:
    """A part of the path as the name of a stream.

    Raises:
        ValidationFailed: it is none.
    """
    if not is_name(text):
        raise ValidationFailed({"streamName": ["Has to have 1 to 128 printable characters"]})
    return StreamName(text)


def preflight(methods: str, **headers: str) -> Response:
    """The reply to ``OPTIONS``, which needs no token: it tells what anybody may know (RFC 9725 §4.2)."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code=200, headers={**_PREFLIGHT, **extra, "Allow": methods})


def not_allowed(methods: str) -> HTTPException:
    """The method does not exist here."""
    return HTTPException(405, "Method Not Allowed", headers={"Allow": methods})


def overloaded() -> HTTPException:
    """There is no room now."""
    return HTTPException(503, "Server overloaded", headers={"Retry-After": str(RETRY_S)})


def unauthorized(message: str = "Unauthorized") -> HTTPException:
    """Final for clients."""
    return HTTPException(401, message, headers=_UNAUTHENTICATED)


@contextmanager
def refusing() -> Iterator[None]:
    """Everything that says no, as a failure that WHIP and WHEP clients understand."""
    try:
        yield
    except ValidationFailed as error:
        raise _invalid(error.errors) from None
    except (sdp.SdpError, NegotiationError) as error:
        raise _invalid({"sdp": [error.message]}) from None
    except (FieldError, UnknownEventError) as error:
        raise _invalid({"body": [error.message]}) from None
    except (InvalidToken, Unauthorized, NameNotCovered) as error:
        message = error.message if error.message.startswith("Unauthorized") else f"Unauthorized: {error.message}"
        raise unauthorized(message) from None
    except MultisourceNotAllowed as error:
        raise HTTPException(403, error.message) from None
    except TooMany as error:
        raise HTTPException(503, error.message, headers={"Retry-After": str(RETRY_S)}) from None
    except Refused as error:
        raise HTTPException(400, error.message) from None
    except Overloaded:
        raise overloaded() from None


async def read_offer(context: Context, request: Request, owner: bytes | None) -> str:
    """The offer. ``check_body`` has passed. ``owner``: digest of a good token.

    Raises:
        HTTPException: 413, 408, 503; 400, it is not UTF-8.
    """
    return _text(await read(context, request, MAX_OFFER, owner), "sdp")


async def read(context: Context, request: Request, limit: int, owner: bytes | None) -> bytes:
    """A body, in its turn. ``owner``: digest of a good token.

    Raises:
        HTTPException: of ``Readers.read``.
    """
    address = address_group(request, context.config)
    return await context.readers.read(request, limit, address=address, owner=owner)


def created(resource: Resource, answer: str, links: list[str], root: str) -> Response:
    """The reply to a good offer (RFC 9725 §4.2). ``root``: the path below which the client sees this server."""
    headers = {"Location": f"{root}/api/{resource.kind}/{RESOURCE}/{resource.id}", "ETag": resource.etag}
    response = Response(answer, 201, headers=headers, media_type=SDP)
    for link in links:
        response.headers.append("Link", link)
    return response


def found(resources: Resources, name: str, request: Request, *, to_delete: bool = False) -> Resource:
    """The resource, for somebody who may use it.

    ``to_delete``: also one that has just ended and was not deleted yet. Clients close their transport before they
    delete the session, and that is no error of theirs.

    Raises:
        HTTPException: 404; 403, another token made it.
    """
    resource = resources.find(name)
    if resource is None and to_delete:
        resource = resources.find_ended(name)
    if resource is None or resource.is_deleted:
        raise HTTPException(404, "Not Found")
    token = bearer(request.headers.get("authorization")) or request.query_params.get("auth") or None
    if not resource.may_be_used_by(token):
        raise HTTPException(403, "Forbidden: this session was made with another token")
    return resource


Restart = Callable[[Resource, sdpfrag.Fragment], str]
SESSION_METHODS: Final = "GET, HEAD, PATCH, DELETE, OPTIONS"


async def session(context: Context, resources: Resources, name: str, request: Request, restart: Restart) -> Response:
    """A request to a resource itself. ``restart`` gives the fragment that answers a restart of ICE."""
    match request.method:
        case "OPTIONS":
            return preflight(SESSION_METHODS, Accept_Patch=sdpfrag.MEDIA_TYPE)
        case "GET" | "HEAD":
            found(resources, name, request)
            return Response(status_code=204)
        case "DELETE":
            resources.delete(found(resources, name, request, to_delete=True))
            return Response(status_code=200)
        case "PATCH":
            with refusing():
                return await _patch(context, resources, name, request, restart)
        case _:
            raise not_allowed(SESSION_METHODS)


def count_change(resource: Resource) -> None:
    """One change more of this session.

    Raises:
        HTTPException: 429, it has been changed too often (RFC 9725 §5).
    """
    if not resource.changes.take(asyncio.get_running_loop().time()):
        raise HTTPException(429, "Too Many Requests", headers={"Retry-After": "1"})


async def _patch(context: Context, resources: Resources, name: str, request: Request, restart: Restart) -> Response:
    """Candidates, or a restart of ICE (RFC 9725 §4.3). Nothing is awaited between looking at the tag and a change."""
    resource = found(resources, name, request)
    check_body(request, sdpfrag.MAX_TEXT, sdpfrag.MEDIA_TYPE)
    says_which = _check_condition(request, resource)
    count_change(resource)
    body = await read(context, request, sdpfrag.MAX_TEXT, resource.owner)
    resource = found(resources, name, request)
    _check_condition(request, resource)
    fragment = sdpfrag.parse(_text(body, "sdpfrag"))
    if fragment.ice is None or fragment.ice == resource.theirs:
        return Response(status_code=204)  # The peer finds us, not we it: candidates are only checked.
    if not says_which:
        raise HTTPException(428, "Precondition Required")
    answer = restart(resource, fragment)
    resource.theirs = fragment.ice
    resource.etag = new_etag()
    return Response(answer, 200, headers={"ETag": resource.etag}, media_type=sdpfrag.MEDIA_TYPE)


def _check_condition(request: Request, resource: Resource) -> bool:
    """Whether the request says which state it is for. RFC 9725 §4.3.1 demands that of every change.

    Players of WHEP send candidates without it. Those change nothing here, so that nothing is at stake.
    """
    match if_match(request.headers.get("if-match"), resource.etag):
        case Condition.MISSING if resource.kind is Kind.WHEP:
            return False
        case Condition.MISSING:
            raise HTTPException(428, "Precondition Required")
        case Condition.MALFORMED:
            raise _invalid({"If-Match": ["Is not a list of entity tags"]})
        case Condition.FAILED:
            raise HTTPException(412, "Precondition Failed")
        case Condition.HOLDS:
            return True


def _text(body: bytes, name: str) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise _invalid({name: ["Is not UTF-8"]}) from None


def _invalid(errors: dict[str, list[str]]) -> HTTPException:
    lines = [f"{field}: {text}" for field, texts in errors.items() for text in texts]
    return HTTPException(400, "\n".join(("Validation errors:", *lines)))
