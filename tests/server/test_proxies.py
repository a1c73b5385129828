"""Behind reverse proxies: whose address counts, and under which URLs clients see the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rostra.config import Address, ConfigError, HttpConfig, parse_ip, parse_root_path
from rostra.model.addresses import group
from rostra.server.addresses import client_address
from tests.server.harness import PUBLISH_OFFER, Server, configured, running
from tests.server.whip_client import WHEP_OFFER, whep, whip

PROXY = ("127.0.0.1",)
SDP_TYPE = {"Content-Type": "application/sdp"}


@given(st.binary(max_size=200), st.sampled_from(["10.0.0.1", "192.0.2.1"]))
def test_no_forwarding_field_breaks_it(value: bytes, peer: str) -> None:
    scope = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", value)]}
    assert isinstance(group(client_address(scope, {"10.0.0.1"})), str)


def test_a_proxy_may_be_given_in_either_family() -> None:
    assert parse_ip("::ffff:10.0.0.1", "--trusted-proxy") == "10.0.0.1"


async def test_a_dual_stack_listener_knows_its_ipv4_proxy(tmp_path: Path) -> None:
    config = configured(http=HttpConfig(trusted_proxies=PROXY))
    async with running(tmp_path, config, host="::") as server:
        port = httpx.URL(server.http).port
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "rostra.example"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            token = {"Authorization": f"Bearer {server.publish_token}", **headers}
            reply = await client.post("/api/director/publish", json={"streamName": "demo"}, headers=token)
        assert reply.json()["data"]["urls"][0].startswith("wss://rostra.example/")


@asynccontextmanager
async def stripping(server: Server, prefix: str, *, says: bool) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a proxy that serves the server below a path. ``says``: by ``X-Forwarded-Prefix``."""

    async def forward(request: Request) -> Response:
        extra = {"X-Forwarded-For": "1.2.3.4", **({"X-Forwarded-Prefix": prefix} if says else {})}
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        path = request.url.path.removeprefix(prefix)
        reply = await server.client.request(
            request.method,
            path,
            content=await request.body(),
            headers={**headers, **extra, "X-Forwarded-For": "1.2.3.4"},
        )
        kept = {name: value for name, value in reply.headers.items() if name not in ("content-length", "date")}
        return Response(reply.content, reply.status_code, headers=kept)

    methods = ["GET", "POST", "PATCH", "DELETE"]
    app = Starlette(routes=[Route(f"{prefix}/{{path:path}}", forward, methods=methods)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy.example") as client:
        yield client


@pytest.mark.parametrize("says", [True, False])
async def test_urls_keep_the_prefix_of_a_proxy(tmp_path: Path, says: bool) -> None:
    http = HttpConfig(trusted_proxies=PROXY, root_path="" if says else "/live")
    async with running(tmp_path, configured(http=http)) as server, stripping(server, "/live", says=says) as client:
        auth = {"Authorization": f"Bearer {server.publish_token}"}
        body = (await client.post("/live/api/director/publish", json={"streamName": "demo"}, headers=auth)).json()
        assert httpx.URL(body["data"]["urls"][0]).path.startswith("/live/ws/v2/pub/")
        published = await client.post("/live/api/whip/demo", content=PUBLISH_OFFER, headers={**auth, **SDP_TYPE})
        assert published.headers["location"].startswith("/live/api/whip/resource/")
        await server.start(next(iter(server.engine.transports())))
        made = await client.post(f"/live/api/whep/{server.account.id}/demo", content=WHEP_OFFER, headers=SDP_TYPE)
        location = made.headers["location"]
        assert location.startswith("/live/api/whep/resource/")
        assert "/live/api/whep/resource/" in made.headers["link"]
        events = await client.post(f"{location}/sse", json=["active"])
        assert events.headers["location"].startswith(f"{location}/sse/")
        assert (await client.delete(location)).status_code == 200


async def test_strangers_choose_no_prefix(server: Server) -> None:
    made = await whip(server, headers={"X-Forwarded-Prefix": "/evil"})
    assert made.headers["location"].startswith("/api/whip/resource/")


@pytest.mark.parametrize("prefix", ["live", "//evil.example", "/a b", '/"><script>', "/\\evil"])
async def test_a_prefix_is_a_path(tmp_path: Path, prefix: str) -> None:
    config = configured(http=HttpConfig(trusted_proxies=PROXY))
    async with running(tmp_path, config) as server:
        made = await whip(server, headers={"X-Forwarded-Prefix": prefix})
        assert made.status_code == 400
        assert (await whep(server)).status_code == 409, "nothing was published"
    with pytest.raises(ConfigError):
        parse_root_path(prefix)


def test_a_root_path_may_end_with_a_slash() -> None:
    assert (parse_root_path("/live/"), parse_root_path("/")) == ("/live", "")
    assert str(Address("::1", 80)) == "[::1]:80"
