"""What strangers send to the HTTP port (attacks 39 to 41 and 44)."""

import asyncio
import gc
import http.client
import json
import resource
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import structlog

from rostra.config import HttpConfig
from rostra.server.edge import connection, stream
from rostra.server.edge import server as edge_server
from rostra.server.edge.caps import HEAD_BYTES, HEAD_S, ConnectionCaps
from tests.server.edge.raw import Raw, frame, raw, upgrade
from tests.server.harness import VIEW_OFFER, Server, configured, running

MEGABYTE = 1 << 20
GET = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(tmp_path) as server:
        yield server


async def metric(server: Server, name: str) -> float:
    text = (await server.client.get("/metrics")).text
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"a: b\r\n" * 1000),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nx: ", b"v" * 6000),
        (b"GET /", b"v" * 6000),
    ],
    ids=["lines", "value", "target"],
)
async def test_a39_a_head_that_never_ends_is_cut_at_64_kib(server: Server, start: bytes, part: bytes) -> None:
    async with raw(server) as client:
        client.send(start)
        assert await client.push(part, limit=100 * MEGABYTE) < 8 * MEGABYTE
        assert (await client.ended()).startswith(b"HTTP/1.1 431 ")


async def test_a39_who_sends_on_after_the_refusal_is_cut(server: Server) -> None:
    async with raw(server) as client:
        client.send("GET / HTTP/1.1\r\nx: ")
        assert await client.push(b"v" * 6000, limit=100 * MEGABYTE, heeds=False) < 32 * MEGABYTE


async def test_a39_trailers_that_never_end_close_the_connection(server: Server) -> None:
    async with raw(server) as client:
        client.send(
            "POST /api/director/subscribe HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
        )
        assert await client.push(b"a: b\r\n" * 1000, limit=100 * MEGABYTE) < 32 * MEGABYTE
        assert b"200 OK" not in await client.ended()


async def test_a39_more_than_100_fields_are_refused(server: Server) -> None:
    for count, status in ((99, 200), (100, 431)):
        async with raw(server) as client:
            client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n" + "x: y\r\n" * count + "\r\n")
            assert await client.status() == status


async def test_a39_a_large_head_that_ends_is_refused_by_its_size(server: Server) -> None:
    async with raw(server) as client:
        client.send("GET /healthz HTTP/1.1\r\nHost: a\r\nx: " + "v" * HEAD_BYTES + "\r\n\r\n")
        assert await client.status() == 431


async def test_a40_silent_and_half_sent_requests_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.05)
    async with raw(server) as silent, raw(server) as half:
        half.send("GET /healthz HTTP/1.1\r\nHost")
        assert (await half.ended()).startswith(b"HTTP/1.1 408 ")
        assert await silent.ended() == b""


async def test_a40_a_connection_without_further_requests_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.05)
    async with raw(server) as client:
        client.send(GET)
        assert (await client.response())[0] == 200
        assert await client.ended() == b""


async def test_a40_an_address_loses_its_oldest_strangers_and_never_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ConnectionCaps(strangers=64, strangers_per_address=8)
    monkeypatch.setattr("rostra.app.connection_caps", lambda _: few)
    async with (
        running(tmp_path) as server,
        server.publisher(),
        server.socket("subscribe") as session,
        AsyncExitStack() as stack,
    ):
        await session.command("unview")
        strangers = [await stack.enter_async_context(raw(server)) for _ in range(40)]
        async with raw(server) as honest:
            honest.send(GET)
            assert (await honest.response())[0] == 200
        await asyncio.gather(*(one.ended() for one in strangers[:30]))
        answer = await session.command("unview")
        assert answer["type"] == "error", "the session still lives, and is answered"


async def test_a40_a45_many_addresses_do_not_keep_another_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ConnectionCaps(strangers=32, strangers_per_address=8)
    monkeypatch.setattr("rostra.app.connection_caps", lambda _: few)
    async with running(tmp_path) as server, AsyncExitStack() as stack, raw(server, source="127.0.0.99") as honest:
        honest.send(GET)
        assert (await honest.response())[0] == 200
        for address in range(2, 12):
            for _ in range(8):
                await stack.enter_async_context(raw(server, source=f"127.0.0.{address}"))
        honest.send(GET)
        assert (await honest.response())[0] == 200, "it holds one place; the flooders close each other's"


async def test_a45_sockets_that_anybody_may_open_keep_no_viewer_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ConnectionCaps(strangers=16, strangers_per_address=8, sessions=4, sessions_per_address=4)
    monkeypatch.setattr("rostra.app.connection_caps", lambda _: few)
    async with running(tmp_path) as server, server.publisher(), AsyncExitStack() as stack:

        async def anonymous(source: str) -> Raw:
            body = {"streamName": "demo", "streamAccountId": server.account.id}
            data = (await server.direct("subscribe", body)).json()["data"]
            client = await stack.enter_async_context(raw(server, source=source))
            client.send(upgrade(f"{data['urls'][0]}?token={data['jwt']}"))
            assert await client.status() == 101
            return client

        watching = await anonymous("127.0.0.99")
        view = {"type": "cmd", "transId": 1, "name": "view", "data": {"sdp": VIEW_OFFER}}
        watching.send(frame(1, json.dumps(view).encode()))
        assert (await watching.reader.readexactly(1)) == b"\x81"
        for address in range(2, 12):
            for _ in range(4):
                await anonymous(f"127.0.0.{address}")
        async with server.socket("subscribe") as honest:
            await server.viewed(honest)
        assert watching.is_open(), "who watches is a session, although anybody may"


async def test_behind_a_trusted_proxy_requests_count_by_the_forwarded_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ConnectionCaps(strangers_per_address=1, requests_per_forwarded_address=2)
    monkeypatch.setattr("rostra.app.connection_caps", lambda _: few)
    config = configured(http=HttpConfig(trusted_proxies=("127.0.0.1",)))
    head = (
        "POST /api/director/subscribe HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {}\r\nContent-Type: application/json\r\n"
        "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    async with running(tmp_path, config) as server, AsyncExitStack() as stack:
        for _ in range(2):
            client = await stack.enter_async_context(raw(server))
            client.send(head.format("203.0.113.7"))
            assert await client.status() == 100, "its body is awaited"
        third = await stack.enter_async_context(raw(server))
        third.send(head.format("203.0.113.7"))
        assert await third.status() == 503
        other = await stack.enter_async_context(raw(server))
        other.send(head.format("203.0.113.8"))
        assert await other.status() == 100, "another client of the same proxy"


async def test_a41_pipelined_requests_are_read_one_at_a_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STALL_S", 0.2)
    async with raw(server) as client:
        client.writer.transport.set_write_buffer_limits(high=0)  # type: ignore[attr-defined]
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # nothing is read

        async def send() -> None:
            for _ in range(64):
                client.send(GET * 1000)
                await client.writer.drain()
            while True:  # until it learns of the end
                client.send(GET)
                await client.writer.drain()
                await asyncio.sleep(0.01)

        with pytest.raises(ConnectionError):  # what waited for us was not taken
            await asyncio.wait_for(send(), 10)
    assert await metric(server, "rostra_http_stalled_total") == 1


async def test_pipelined_requests_that_are_read_are_all_answered(server: Server) -> None:
    async with raw(server) as client:
        client.send(GET * 50)
        assert [(await client.response())[0] for _ in range(50)] == [200] * 50


def _by_http_client(url: str, path: str, body: bytes, headers: dict[str, str]) -> int:
    address = urlsplit(url)
    client = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        client.request("POST", path, body, headers)
        return client.getresponse().status
    finally:
        client.close()


def _by_httpx(url: str, path: str, body: bytes, headers: dict[str, str]) -> int:
    with httpx.Client(trust_env=False) as client:
        return client.post(url + path, content=body, headers=headers).status_code


def _by_node(url: str, path: str, body: bytes, headers: dict[str, str]) -> int:
    script = """
      const [url, size, headers] = JSON.parse(process.argv[1]);
      fetch(url, {method: "POST", body: "x".repeat(size), headers}).then((r) => console.log(r.status));
    """
    arguments = json.dumps([url + path, len(body), headers])
    done = subprocess.run(["node", "-e", script, arguments], capture_output=True, timeout=30, check=True)
    return int(done.stdout)


@pytest.mark.parametrize("client", [_by_http_client, _by_httpx, _by_node])
async def test_a44_a_refusal_arrives_although_the_client_still_writes(server: Server, client: object) -> None:
    assert callable(client)
    body = b"x" * (8 * MEGABYTE)
    json_type = {"Content-Type": "application/json"}
    sdp = {"Content-Type": "application/sdp", "Authorization": "Bearer wrong"}
    large = await asyncio.to_thread(client, server.http, "/api/director/publish", body, json_type)
    assert large == 413
    # Below the cap, so that the token is looked at while the body is on its way.
    refused = await asyncio.to_thread(client, server.http, "/api/whip/demo", body[: 60 * 1024], sdp)
    assert refused == 401


async def test_a_body_that_nobody_reads_does_not_end_the_connection(server: Server) -> None:
    async with raw(server) as client:
        for _ in range(2):
            client.send("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            assert (await client.response())[0] in (404, 405)


async def test_answers_leave_at_once(server: Server) -> None:
    async with raw(server) as client:
        client.send(GET)
        await client.response()
        accepted = [one._socket for one in connections()]
        assert accepted
        assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in accepted if one.fileno() >= 0)


async def test_refused_upgrades_are_counted_and_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path, log_level="debug") as server:
        with structlog.testing.capture_logs() as lines:
            for _ in range(20):
                async with raw(server) as client:
                    client.send(upgrade(f"{server.http}/ws/v2/sub/x?token=nonsense"))
                    assert await client.status() == 401
            async with raw(server) as client:
                client.send(upgrade(f"{server.http}/ws/v2/sub/x").replace("Version: 13", "Version: 12"))
                assert await client.status() == 400
        assert await metric(server, "rostra_http_upgrades_refused_total") == 21
    refusals = [line for line in lines if line["event"] == "upgrade refused"]
    assert len(refusals) == 21
    assert {line["log_level"] for line in refusals} == {"debug"}
    assert "nonsense" not in repr(lines)
    assert not caplog.records


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET http://rostra.example/healthz HTTP/1.1\r\nHost: other\r\n\r\n", 200),
        ("GET http://rostra.example HTTP/1.1\r\nHost: other\r\n\r\n", 200),
        ("GET ftp://rostra.example/ HTTP/1.1\r\nHost: other\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: other\r\n\r\n", 400),
        ("CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n", 400),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
    ],
)
async def test_targets_and_hosts(server: Server, head: str, status: int) -> None:
    async with raw(server) as client:
        client.send(head)
        assert await client.status() == status


async def test_the_absolute_form_names_the_host(server: Server) -> None:
    body = f'{{"streamName": "demo", "streamAccountId": "{server.account.id}"}}'
    async with server.publisher(), raw(server) as client:
        client.send(
            "POST http://rostra.example:1/api/director/subscribe HTTP/1.1\r\nHost: elsewhere\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        status, answer = await client.response()
    assert status == 200
    assert b"ws://rostra.example:1/ws/" in answer


async def test_the_listener_goes_on_when_descriptors_are_gone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_server, "_RETRY_S", 0.01)
    taken: list[socket.socket] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with AsyncExitStack() as stack:
        client: Raw = await stack.enter_async_context(raw(server))
        try:
            highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, hard))
            try:
                while True:
                    taken.append(socket.socket())
            except OSError:
                taken.pop().close()  # one for the client, none for the server
            late = await stack.enter_async_context(raw(server))
            late.send(GET)
            await asyncio.sleep(0)
        finally:
            for one in taken:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert (await late.response())[0] == 200
        client.send(GET)
        assert (await client.response())[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("HEAD /healthz HTTP/1.1\r\nHost: a\r\n" + "x: y\r\n" * 100, b"431"),
        ("HEAD /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n", b"400"),
        ("HEAD ftp://a/ HTTP/1.1\r\nHost: a\r\n", b"400"),
        ("HEAD /ws/v2/sub/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", b"404"),
        ("POST /ws/v2/sub/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", b"40"),
        ("GET /ws/v2/sub/x HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", b"40"),
        ("GET /ws/v2/sub/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", b"400"),
    ],
)
async def test_a47_no_refusal_takes_the_server_down(server: Server, head: str, status: bytes) -> None:
    async with raw(server) as client:
        client.send(head + "Connection: close\r\n\r\n" if "Upgrade" not in head else head + "\r\n")
        client.writer.write_eof()
        assert (await client.ended()).startswith(b"HTTP/1.1 " + status)
    async with raw(server) as honest:
        honest.send(GET)
        assert (await honest.response())[0] == 200
    assert await metric(server, "rostra_http_faults_total") == 0


async def test_a47_a_fault_in_one_connection_closes_that_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    async with raw(server) as other:
        other.send(GET)
        await other.response()
        with monkeypatch.context() as patch:
            patch.setattr(connection, "split_target", broken)
            async with raw(server) as client:
                client.send(GET)
                assert await client.ended() == b""
        other.send(GET)
        assert (await other.response())[0] == 200
    assert await metric(server, "rostra_http_faults_total") == 1


async def test_a_head_has_10_s_from_the_accept_and_no_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the loop's own time: a first byte that comes late gives no more of it."""
    loop, ahead_s = asyncio.get_running_loop(), 0.0
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead_s)
    async with raw(server) as client:
        await server.until(lambda: any(one._stream._transport is not None for one in connections()))
        ahead_s = HEAD_S - 1
        client.send("GET")
        await server.until(lambda: any(one._stream.received == 3 for one in connections()))
        ahead_s = HEAD_S + 1
        assert (await client.ended()).startswith(b"HTTP/1.1 408 ")


def connections() -> list[connection.Connection]:
    """Those of the server, which is in this process."""
    return [one for one in gc.get_objects() if type(one) is connection.Connection]
