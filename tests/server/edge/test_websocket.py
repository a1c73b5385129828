"""What strangers and viewers send on a WebSocket (attack 42)."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from rostra.config import HttpConfig
from rostra.protocol.signal import MAX_MESSAGE
from rostra.server.edge import budget, stream, websocket
from rostra.server.edge.caps import SESSIONS_PER_TOKEN
from tests.server.edge.raw import close_frame, frame, raw, raw_socket, upgrade
from tests.server.edge.test_http import metric
from tests.server.harness import LISTEN_OFFER, Server, configured, running

TEXT, PONG, PING, CLOSE = 1, 10, 9, 8


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(tmp_path) as server, server.publisher():
        yield server


async def test_a42_pings_whose_answers_are_not_read_close_the_socket(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STALL_S", 0.2)
    for name in ("SOCKET_FRAMES", "SOCKET_BYTES", "SOCKET_WORK_MS"):
        monkeypatch.setattr(budget, name, 1e12)
    async with raw_socket(server) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        sent = await client.push(frame(PING, b"p" * 125) * 500, limit=200 << 20, heeds=False)
        assert sent < 100 << 20, "the server stopped reading, then closed"
    assert await metric(server, "rostra_http_stalled_total") == 1


FLOODS = {
    "continuations": frame(TEXT, b"{", fin=False) + frame(0, fin=False) * 1000,
    "pongs": frame(PONG) * 1000,
    "projects": b"".join(
        frame(TEXT, json.dumps({"type": "cmd", "transId": n, "name": "project", "data": {
            "sourceId": "x", "mapping": [{"media": "video", "mediaId": str(m)} for m in range(256)]}}).encode())
        for n in range(8)
    ),
    "views": b"".join(
        frame(TEXT, json.dumps({"type": "cmd", "transId": n, "name": name, "data": data}).encode())
        for n in range(4)
        for name, data in (("view", {"sdp": LISTEN_OFFER}), ("unview", {}))
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FLOODS)
async def test_a42_a_flooder_is_closed_with_a_reason_and_others_are_answered(
    server: Server, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "SOCKET_SLOWED_S", 0.3)
    monkeypatch.setattr(budget, "SOCKET_WORK_MS", 50)
    data = FLOODS[kind]
    async with raw_socket(server) as flooder, server.socket("subscribe") as honest:
        flooding = asyncio.create_task(flooder.push(data, limit=64 << 20, heeds=False))
        closing = asyncio.create_task(close_frame(flooder))
        answered = 0
        while not closing.done():
            answer = await honest.command("unview")
            assert answer["type"] == "error"
            answered += 1
            await asyncio.sleep(0.02)  # a client that behaves
        code, reason = await closing
        flooding.cancel()
        assert (code, reason) in ((1008, "Too many messages"), (1002, "expected a continuation frame"))
        if kind != "continuations":
            assert code == 1008
        assert answered > 0


async def test_a_flooder_that_falls_silent_when_it_is_closed_is_gone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "SOCKET_SLOWED_S", 0.0)
    async with raw_socket(server) as flooder:
        sessions = await metric(server, 'rostra_http_connections{kind="session"}')
        flooder.send(frame(PONG) * 680)  # over the budget, and nothing more: no close frame either
        assert (await close_frame(flooder))[0] == 1008
        assert await flooder.ended() == b""
    assert await metric(server, 'rostra_http_connections{kind="session"}') == sessions - 1


async def test_one_token_opens_only_so_many_sockets(server: Server) -> None:
    url = await server.url("subscribe")
    async with AsyncExitStack() as stack:
        for _ in range(SESSIONS_PER_TOKEN):
            client = await stack.enter_async_context(raw(server))
            client.send(upgrade(url))
            assert await client.status() == 101
        late = await stack.enter_async_context(raw(server))
        late.send(upgrade(url))
        assert await late.status() == 429
    async with AsyncExitStack() as stack:
        await server.until(lambda: True)
        async with asyncio.timeout(10):
            while True:
                again = await stack.enter_async_context(raw(server))
                again.send(upgrade(url))
                if await again.status() == 101:
                    break


async def test_messages_in_pieces_come_whole(server: Server) -> None:
    async with raw_socket(server) as client:
        text = json.dumps({"type": "cmd", "transId": 7, "name": "unview", "data": {}}).encode()
        client.send(frame(TEXT, text[:5], fin=False) + frame(PING, b"x") + frame(0, text[5:9], fin=False))
        client.send(frame(0, text[9:]))
        assert await client.reader.readexactly(3) == b"\x8a\x01x"
        first, size = await client.reader.readexactly(2)
        assert (first, json.loads(await client.reader.readexactly(size))["transId"]) == (0x81, 7)


async def test_text_that_is_not_utf_8_is_answered(server: Server) -> None:
    async with raw_socket(server) as client:
        client.send(frame(TEXT, b"\xff\xfe"))
        first, size = await client.reader.readexactly(2)
        assert (first, json.loads(await client.reader.readexactly(size))["type"]) == (0x81, "error")


async def test_a_message_over_the_limit_closes_the_socket(server: Server) -> None:
    async with raw_socket(server) as client:
        client.send(frame(TEXT, b" " * (MAX_MESSAGE + 1)))
        assert (await close_frame(client))[0] == 1009


async def test_a_socket_that_is_silent_is_probed_and_then_lost(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_S", 0.05)
    async with raw_socket(server) as client:
        assert await client.reader.readexactly(2) == b"\x89\x00"
        assert await client.ended() == b""


async def test_a_socket_that_answers_stays(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_S", 0.05)
    async with raw_socket(server) as client:
        for _ in range(4):
            assert await client.reader.readexactly(2) == b"\x89\x00"
            client.send(frame(PONG))
        assert client.is_open()


async def test_sockets_work_over_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "own.crt", tmp_path / "own.pem"
    _make_certificate(certificate, key)
    trusted = ssl.create_default_context(cafile=str(certificate))
    trusted.check_hostname = False
    config = configured(http=HttpConfig(tls_cert=certificate, tls_key=key))
    async with running(tmp_path, config) as server:
        import httpx

        async with httpx.AsyncClient(base_url=server.http, trust_env=False, verify=trusted) as client:
            body = {"streamName": "demo"}
            headers = {"Authorization": f"Bearer {server.publish_token}"}
            data = (await client.post("/api/director/publish", json=body, headers=headers)).json()["data"]
            assert data["urls"][0].startswith("wss://")
            async with connect(f"{data['urls'][0]}?token={data['jwt']}", ssl=trusted, proxy=None) as socket:
                await socket.send(json.dumps({"type": "cmd", "transId": 1, "name": "unpublish", "data": {}}))
                assert json.loads(await socket.recv())["transId"] == 1
            large = await client.post(
                "/api/director/publish", content=b"x" * (2 << 20), headers={"Content-Type": "application/json"}
            )
            assert large.status_code == 413


def _make_certificate(certificate: Path, key: Path) -> None:
    import datetime as dt
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rostra test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    key.write_bytes(secret.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
