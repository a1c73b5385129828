"""Requests of WHIP and WHEP by hand."""

import httpx

from tests.server.harness import OFFERS, PUBLISH_OFFER, Server

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
WHEP_OFFER = (OFFERS / "chromium-view.sdp").read_text()
ROLLED = "a=ice-ufrag:fresh\r\na=ice-pwd:a-fresh-password-of-the-peer\r\n"


def fragment(text: str = "", *, mid: str = "0") -> str:
    """A fragment with candidates, and more."""
    candidate = "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 network-id 1"
    return f"a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{mid}\r\n{text}{candidate}\r\n"


async def whip(
    server: Server,
    offer: str | bytes = PUBLISH_OFFER,
    *,
    query: str = "",
    stream: str = "demo",
    token: str | None = "",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """POST an offer. ``token``: that of the server unless another one, or none, is given."""
    value = server.publish_token if token == "" else token
    extra = {"Authorization": f"Bearer {value}"} if value is not None else {}
    url = f"/api/whip/{stream}{query}"
    return await server.client.post(url, content=offer, headers={"Content-Type": SDP, **extra, **(headers or {})})


async def whep(
    server: Server,
    offer: str | bytes = WHEP_OFFER,
    *,
    query: str = "",
    stream: str = "demo",
    account: str | None = None,
    token: str | None = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """POST an offer to watch, without a token unless one is given."""
    extra = {"Authorization": f"Bearer {token}"} if token is not None else {}
    url = f"/api/whep/{account or server.account.id}/{stream}{query}"
    return await server.client.post(url, content=offer, headers={"Content-Type": SDP, **extra, **(headers or {})})


async def patch(
    server: Server,
    location: str,
    body: str | bytes | None = None,
    *,
    etag: str | None = None,
    token: str | None = None,
    content_type: str = FRAGMENT,
) -> httpx.Response:
    headers = {"Content-Type": content_type}
    if etag is not None:
        headers["If-Match"] = etag
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return await server.client.patch(location, content=fragment() if body is None else body, headers=headers)


def validation(reply: httpx.Response) -> list[str]:
    """The lines of a failed validation, which has to look like this."""
    first, *lines = reply.text.split("\n")
    assert (reply.status_code, first) == (400, "Validation errors:"), (reply.status_code, reply.text)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    return lines
