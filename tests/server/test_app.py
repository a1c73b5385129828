"""Start and end of the server."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from rostra.app import Ready, serve
from rostra.config import Address, Config, ConfigError, HttpConfig
from rostra.media.fake import FakeEngine
from rostra.store import Store
from tests.server.harness import Server, running

SERVE = """
import asyncio, sys
from pathlib import Path
from rostra.app import serve
from rostra.config import Address, Config, HttpConfig
from rostra.media.fake import FakeEngine
from rostra.store import Store

async def main():
    store = await Store.open(Path(sys.argv[1]) / "rostra.db")
    config = Config(http=HttpConfig(Address("127.0.0.1", 0)), log_level="error")
    await serve(config, engine=FakeEngine(), store=store, on_ready=lambda ready: print(ready.http, flush=True))
    await store.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_process_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{url}/healthz")).json() == {"status": "ok"}
    process.send_signal(number)
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, errors) == (0, b"")


async def test_viewers_and_publishers_hear_that_the_server_stops(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        server.publisher(events=["stopped"]) as publisher,
        server.socket("subscribe") as viewer,
        server.socket("publish", "idle") as idle,
    ):
        await server.viewed(viewer)
        server.stop()
        for one in (publisher.socket, viewer):
            assert await one.event("stopped") == {"streamId": f"{server.account.id}/demo"}
            assert await one.closed() == 1001
        assert await idle.closed() == 1001
        await server.ended()
        assert server.engine.transports() == set()


async def failure(tmp_path: Path, http: HttpConfig) -> str:
    store = await Store.open(tmp_path / "rostra.db")
    try:
        with pytest.raises(ConfigError) as error:
            await serve(Config(http=http), engine=FakeEngine(), store=store, on_ready=_never)
    finally:
        await store.close()
    return str(error.value)


def _never(ready: Ready) -> None:
    raise AssertionError(ready)


async def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = await failure(tmp_path, HttpConfig(Address("127.0.0.1", port)))
    assert text == f"--http: cannot listen on 127.0.0.1:{port}: Address already in use"


async def test_an_address_of_somebody_else_is_said_in_one_line(tmp_path: Path) -> None:
    text = await failure(tmp_path, HttpConfig(Address("192.0.2.1", 8080)))
    assert text == "--http: cannot listen on 192.0.2.1:8080: Cannot assign requested address"


async def test_a_certificate_that_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    text = await failure(tmp_path, HttpConfig(Address("127.0.0.1", 0), tls_cert=bad, tls_key=bad))
    assert text.startswith("--tls-cert, --tls-key: not a PEM certificate with its key")
    assert "\n" not in text


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")])
async def test_the_url_of_every_address_is_one_to_open(tmp_path: Path, host: str, url: str) -> None:
    store = await Store.open(tmp_path / "rostra.db")
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    config = Config(http=HttpConfig(Address(host, 0)), log_level="error")
    serving = asyncio.create_task(serve(config, engine=FakeEngine(), store=store, on_ready=ready.set_result))
    found = await asyncio.wait_for(ready, 30)
    assert found.http.startswith(f"http://{url}:")
    assert found.media == "127.0.0.1:8081"
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{found.http}/healthz")).status_code == 200
    serving.cancel()
    await asyncio.wait({serving})
    await store.close()


async def test_tokens_stay_out_of_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path, log_level="debug") as server, server.publisher(), server.socket("subscribe") as viewer:
        await server.viewed(viewer)
        secret = (await server.url("publish")).partition("token=")[2]
    logged = capfd.readouterr().err
    assert "feed opened" in logged
    assert "socket closed" in logged
    for text in (secret.partition(".")[0], server.publish_token, server.subscribe_token, "a=ice-pwd", "ice-ufrag"):
        assert text not in logged


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_sockets_leave_nothing_behind(server: Server) -> None:
    before = descriptors()
    for _ in range(20):
        async with server.publisher(), server.socket("subscribe") as viewer:
            await server.viewed(viewer)
    await server.until(lambda: server.engine.transports() == set())
    text = (await server.client.get("/metrics")).text
    assert "rostra_streams 0.0" in text
    assert descriptors() <= before + 2
