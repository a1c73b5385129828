"""The page, its settings, health and metrics."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from rostra import __version__
from rostra.config import Address, RtmpConfig
from rostra.model.media import MediaStats
from tests.server.edge.raw import raw
from tests.server.harness import Server, configured, running

SETTINGS = "/api/dev/settings"


async def test_the_page_of_this_machine_gets_the_tokens(server: Server) -> None:
    for headers in ({}, {"Sec-Fetch-Site": "same-origin", "Origin": server.http}, {"Sec-Fetch-Site": "none"}):
        reply = await server.client.get(SETTINGS, headers=headers)
        assert reply.json() == {
            "accountId": server.account.id,
            "publishToken": server.publish_token,
            "subscribeToken": server.subscribe_token,
            "apiSecret": server.account.api_secret,
            "version": __version__,
        }
        assert reply.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "192.0.2.1:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
        {"X-Forwarded-Prefix": "/live"},
        {"X-Real-IP": "192.0.2.1"},
        {"Via": "1.1 proxy"},
        {"Host": "evil@127.0.0.1"},
        {"Host": "127.0.0.1:80:evil"},
        {"Host": ""},
    ],
)
async def test_nobody_else_gets_the_tokens(server: Server, headers: dict[str, str]) -> None:
    reply = await server.client.get(SETTINGS, headers=headers)
    assert reply.status_code == 403
    assert server.publish_token not in reply.text
    assert server.account.api_secret not in reply.text


async def test_only_a_development_server_gives_tokens(tmp_path: Path) -> None:
    async with running(tmp_path, configured(dev=False)) as server:
        assert (await server.client.get(SETTINGS)).status_code == 404


async def test_the_page_may_load_nothing_from_elsewhere(server: Server) -> None:
    reply = await server.client.get("/")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|script-src[^;]*unsafe", policy)
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/config.py", "/..%2fconfig.py", "//etc/passwd"])
async def test_nothing_outside_the_page_is_served(server: Server, path: str) -> None:
    reply = await server.client.get(server.http + path)
    assert reply.status_code == 404


@pytest.mark.parametrize(
    "head",
    [
        "GET http://127.0.0.1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET {path} HTTP/1.0\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET {path} HTTP/1.1\r\n\r\n",
    ],
)
@pytest.mark.parametrize("path", [SETTINGS, "/metrics"])
async def test_no_browser_asks_so(server: Server, head: str, path: str) -> None:
    async with raw(server) as client:
        client.send(head.format(path=path))
        status, body = await client.response()
    assert status in (400, 401, 403)
    assert server.publish_token.encode() not in body


async def test_metrics_of_a_public_port_need_the_api_secret(server: Server) -> None:
    public = {"Host": "rostra.example"}
    assert (await server.client.get("/metrics", headers=public)).status_code == 401
    wrong = {**public, "Authorization": "Bearer wrong"}
    assert (await server.client.get("/metrics", headers=wrong)).status_code == 401
    right = {**public, "Authorization": f"Bearer {server.account.api_secret}"}
    assert "rostra_streams" in (await server.client.get("/metrics", headers=right)).text


async def test_health_is_said(server: Server) -> None:
    assert (await server.client.get("/healthz")).json() == {"status": "ok"}


async def test_metrics_add_up(server: Server) -> None:
    async with server.publisher(), server.publisher(sourceId="cam"), server.socket("subscribe") as viewer:
        await server.viewed(viewer)
        dropped = (("awaiting_key_frame", 7), ("replayed", 2))
        stats = MediaStats(transports=3, packets_in=10, bytes_out=2000, retransmissions_out=5, dropped=dropped)
        server.engine.report(stats)
        await server.until(lambda: not server.engine.has_news)
        text = (await server.client.get("/metrics")).text
    for line in (
        "rostra_streams 1.0",
        "rostra_sources 2.0",
        "rostra_feeds 2.0",
        "rostra_viewers 1.0",
        "rostra_media_transports 3.0",
        "rostra_media_packets_in_total 10.0",
        "rostra_media_bytes_out_total 2000.0",
        "rostra_media_retransmissions_out_total 5.0",
        "rostra_media_key_frame_requests_out_total 0.0",
        'rostra_media_dropped_total{reason="awaiting_key_frame"} 7.0',
        'rostra_media_dropped_total{reason="replayed"} 2.0',
    ):
        assert line in text.splitlines()
    assert "rostra_build_info{" in text
    assert "rostra_event_loop_lag_seconds_bucket" in text


async def test_the_page_of_everybody_learns_whether_rtmp_encoders_may_come(server: Server) -> None:
    assert (await server.client.get("/api/doors")).json() == {"rtmpPort": None, "rtmpIsLocal": False}


@pytest.mark.parametrize(("host", "is_local"), [("127.0.0.1", True), ("0.0.0.0", False)])
async def test_the_page_learns_whether_rtmp_encoders_of_other_machines_reach_us(
    tmp_path: Path, host: str, is_local: bool
) -> None:
    config = replace(configured(), rtmp=RtmpConfig(Address(host, 0)))
    async with running(tmp_path, config) as server:
        told = (await server.client.get("/api/doors")).json()
        assert told["rtmpPort"] > 0
        assert told["rtmpIsLocal"] is is_local


async def test_pages_of_other_origins_may_load_the_client_library_and_no_tokens(server: Server) -> None:
    allowed = "access-control-allow-origin"
    assert (await server.client.get("/sdk/rostra.js")).headers[allowed] == "*"
    for path in ("/", SETTINGS, "/api/doors", "/api/debug/streams/a/demo"):
        assert allowed not in (await server.client.get(path)).headers
