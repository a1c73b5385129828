"""The log says who publishes and watches, and whose token was refused."""

import re
from pathlib import Path

import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rostra.config import HttpConfig
from rostra.server.clients import ALL_REFUSALS, REFUSALS, Client, RefusedTokens
from tests.server.harness import PUBLISH_OFFER, VIEW_OFFER, Server, Socket, configured, running

PROXY = HttpConfig(trusted_proxies=("127.0.0.1",))
HEADERS = {"User-Agent": "Encoder/1.0 (test)", "X-Forwarded-For": "192.0.2.7"}
SDP = {**HEADERS, "Content-Type": "application/sdp"}


def lines(logged: str, event: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", logged)
    return [line for line in plain.splitlines() if event in line]


async def post(server: Server, path: str, token: str, offer: str = PUBLISH_OFFER) -> int:
    headers = {**SDP, "Authorization": f"Bearer {token}"}
    return (await server.client.post(path, content=offer, headers=headers)).status_code


async def test_every_publisher_and_viewer_is_logged_with_address_and_agent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, configured(http=PROXY), log_level="info") as server:
        url = await server.url("publish", "one")
        async with connect(url, proxy=None, additional_headers=HEADERS, user_agent_header=None) as connection:
            await Socket(connection).command("publish", sdp=PUBLISH_OFFER, codec="vp8")
            assert await post(server, "/api/whip/demo", server.publish_token) == 201
            (transport,) = [one for one in server.engine.transports() if server.engine.tracks(one)][-1:]
            await server.start(transport)
            assert await post(server, f"/api/whep/{server.account.id}/demo", server.subscribe_token, VIEW_OFFER) == 201
            url = await server.url("subscribe", "demo")
            async with connect(url, proxy=None, additional_headers=HEADERS, user_agent_header=None) as viewer:
                await Socket(viewer).command("view", sdp=VIEW_OFFER)
    logged = capfd.readouterr().err
    opened = lines(logged, "client opened")
    for entrance, role in (("socket", "publisher"), ("whip", "publisher"), ("whep", "viewer"), ("socket", "viewer")):
        (line,) = [one for one in opened if f"entrance={entrance}" in one and f"role={role}" in one]
        assert "address=192.0.2.7" in line
        assert "Encoder/1.0 (test)" in line
        assert f"stream={server.account.id}/" in line
    for secret in (server.publish_token, server.subscribe_token, server.account.api_secret):
        assert secret not in logged


async def test_a_token_that_is_refused_is_logged_by_every_entrance(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = "wrong" * 10
    async with running(tmp_path, configured(http=PROXY), log_level="info") as server:
        bearer = {"Authorization": f"Bearer {wrong}"}
        for number, path in enumerate(("publish", "subscribe")):
            headers = {**HEADERS, "X-Forwarded-For": f"192.0.2.{number}"}
            assert (await server.direct(path, {"streamName": "demo"}, token=wrong, headers=headers)).status_code == 401
        assert await post(server, "/api/whip/demo", wrong) == 401
        assert await post(server, f"/api/whep/{server.account.id}/demo", wrong, VIEW_OFFER) == 401
        assert (await server.client.get("/api/debug/transports/1", headers={**HEADERS, **bearer})).status_code == 401
        address = server.http.replace("http", "ws")
        with pytest.raises(InvalidStatus):
            async with connect(f"{address}/ws/v2/pub/x?token={wrong}", proxy=None, additional_headers=HEADERS):
                pass
        url = (await server.url("publish")).replace("/pub/", "/sub/")
        with pytest.raises(InvalidStatus):
            async with connect(url, proxy=None, additional_headers={**HEADERS, "X-Forwarded-For": "192.0.2.8"}):
                pass
    logged = capfd.readouterr().err
    refused = lines(logged, "token refused")
    assert [re.search(r"entrance=(\w+)", line)[1] for line in refused] == [  # type: ignore[index]
        "director",
        "director",
        "whip",
        "whep",
        "api",
        "socket",
        "socket",
    ]
    assert all("address=192.0.2." in line and "reason=" in line for line in refused)
    assert wrong not in logged


async def test_a_session_of_another_token_is_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path, log_level="info") as server:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {server.publish_token}"}
        made = await server.client.post("/api/whip/demo", content=PUBLISH_OFFER, headers=headers)
        other = {"Authorization": f"Bearer {server.subscribe_token}"}
        assert (await server.client.delete(made.headers["location"], headers=other)).status_code == 403
    (line,) = lines(capfd.readouterr().err, "token refused")
    assert "entrance=whip" in line


def test_refusals_are_logged_at_a_bounded_rate_and_the_rest_is_counted() -> None:
    now_s = 0.0
    refused = RefusedTokens(lambda: now_s)
    with structlog.testing.capture_logs() as logged:
        for _ in range(100):
            refused.log(Client("192.0.2.1", ""), "director", "Unauthorized")
        assert len(logged) == REFUSALS[0]
        now_s = 10.0
        refused.log(Client("192.0.2.1", ""), "director", "Unauthorized")
        assert logged[-1]["not_logged_before"] == 100 - REFUSALS[0]
        for number in range(200):
            refused.log(Client(f"10.0.0.{number}", ""), "director", "Unauthorized")
        assert len(logged) <= REFUSALS[0] + 1 + ALL_REFUSALS[0]


@pytest.mark.parametrize("agent", ["a\tb", "\x80\xff", "x" * 5000])
async def test_an_agent_is_cut_and_cannot_break_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], agent: str
) -> None:
    async with running(tmp_path, log_level="info") as server:
        headers = {"User-Agent": agent.encode("latin-1"), "Authorization": "Bearer x"}  # type: ignore[dict-item]
        await server.client.get("/api/debug/transports/1", headers=headers)  # type: ignore[arg-type]
    logged = capfd.readouterr().err
    (line,) = lines(logged, "token refused")
    assert line.isascii()
    assert "\t" not in line
    assert len(line) < 500
