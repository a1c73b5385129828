"""``rostra dev`` and its sisters as processes, on the real media plane."""

import asyncio
import json
import signal
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from rostra import __version__

ROSTRA = (sys.executable, "-c", "from rostra.cli import main; main()")
ANYWHERE = ("--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--rtmp", "127.0.0.1:0")
TIMEOUT_S = 30


async def started(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*ROSTRA, *arguments, stdout=pipe, stderr=pipe)


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Exit code, output, errors."""
    out, err = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    return process.returncode, out.decode(), err.decode()


async def run(*arguments: str) -> tuple[int | None, str, str]:
    return await ended(await started(*arguments))


async def serving(
    data: Path, *, level: str = "error", http: str = "127.0.0.1:0", rtmp: str = "127.0.0.1:0"
) -> tuple[asyncio.subprocess.Process, dict[str, str]]:
    """A server that is ready, and its dev.json."""
    settings = data / "dev.json"
    settings.unlink(missing_ok=True)
    addresses = ("--http", http, "--media", "127.0.0.1:0", "--rtmp", rtmp)
    process = await started("dev", *addresses, "--data", str(data), "--log-level", level)
    async with asyncio.timeout(TIMEOUT_S):
        while not settings.exists():
            assert process.returncode is None
            await asyncio.sleep(0.01)
    content: dict[str, str] = json.loads(settings.read_text())
    return process, content


async def stopped(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGINT)
    code, out, err = await ended(process)
    assert (code, err) == (0, "")
    assert "publish and watch at http://127.0.0.1:" in out


async def test_a_server_says_where_it_is_and_keeps_its_account(tmp_path: Path) -> None:
    data = tmp_path / "new" / "folder"
    process, first = await serving(data)
    assert list(first) == ["http", "media", "rtmp", "account_id", "publish_token", "subscribe_token", "api_secret"]
    for name in ("dev.json", "rostra.db"):
        assert (data / name).stat().st_mode & 0o777 == 0o600
    async with httpx.AsyncClient(base_url=first["http"], trust_env=False) as client:
        page = (await client.get("/api/dev/settings")).json()
        assert page["publishToken"] == first["publish_token"]
        headers = {"Authorization": f"Bearer {first['publish_token']}"}
        reply = await client.post("/api/director/publish", json={"streamName": "demo"}, headers=headers)
        assert reply.status_code == 200
    await stopped(process)
    process, second = await serving(data)
    await stopped(process)
    kept = ("account_id", "publish_token", "subscribe_token", "api_secret")
    assert [second[key] for key in kept] == [first[key] for key in kept]


async def test_a_second_server_in_a_data_folder_is_refused_and_a_killed_one_leaves_it(tmp_path: Path) -> None:
    process, first = await serving(tmp_path)
    code, _, err = await run("dev", *ANYWHERE, "--data", str(tmp_path))
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"rostra: --data: another Rostra (process {process.pid}) uses the folder {tmp_path}: stop it")
    assert json.loads((tmp_path / "dev.json").read_text()) == first
    process.kill()
    await ended(process)
    process, second = await serving(tmp_path)
    await stopped(process)
    assert second["account_id"] == first["account_id"]


async def test_a_corrupt_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "rostra.db").write_bytes(b"not a database, but long enough to be one" * 100)
    code, _, err = await run("dev", *ANYWHERE, "--data", str(tmp_path))
    assert (code, err.count("\n")) == (2, 1)
    assert f"{tmp_path}/rostra.db is corrupt (file is not a database): put a backup" in err
    assert not (tmp_path / "dev.json").exists()


async def test_start_addresses_and_end_are_logged(tmp_path: Path) -> None:
    process, settings = await serving(tmp_path, level="info", http="0.0.0.0:0", rtmp="0.0.0.0:0")
    process.send_signal(signal.SIGTERM)
    code, out, err = await ended(process)
    assert code == 0
    started_line, *_, stopping, stopped_line = err.splitlines()
    port = settings["http"].rpartition(":")[2]
    assert f"http=0.0.0.0:{port}" in started_line
    assert f"media=udp:{settings['media']},tcp:{settings['media']}" in started_line
    assert f"rtmp=0.0.0.0:{settings['rtmp'].rpartition(':')[2]}" in started_line
    assert settings["rtmp"].startswith("127.0.0.1:")
    assert ("stopping" in stopping, "stopped" in stopped_line) == (True, True)
    assert "0.0.0.0:" not in out.replace("--media 0.0.0.0:", "")
    for secret in ("publish_token", "subscribe_token", "api_secret"):
        assert settings[secret] not in err + out


async def test_what_a_person_can_mend_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "rostra.db").write_bytes(b"not a database, but long enough to be one" * 100)
    newer = tmp_path / "newer"
    newer.mkdir()
    with closing(sqlite3.connect(newer / "rostra.db")) as database:
        database.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY)")
        database.execute("INSERT INTO schema_version VALUES (1000)")
        database.commit()
    with socket.create_server(("127.0.0.1", 0)) as http, socket.socket(type=socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        data = ("--data", str(tmp_path / "data"))
        cases = [
            ("dev", *data, "--http", f"127.0.0.1:{http.getsockname()[1]}", "--media", "127.0.0.1:0"),
            ("dev", *data, "--http", "127.0.0.1:0", "--media", f"127.0.0.1:{media.getsockname()[1]}"),
            ("dev", *data, *ANYWHERE, "--rtmp", f"127.0.0.1:{http.getsockname()[1]}"),
            ("dev", *data, *ANYWHERE, "--rtmp", "1935"),
            ("dev", *data, "--http", "nonsense"),
            ("dev", *data, "--media", "localhost:70000"),
            ("dev", *data, "--media", "example.org:8081"),
            ("dev", *data, *ANYWHERE, "--public-address", "example.org"),
            ("dev", *data, *ANYWHERE, "--ice-server", "turn:example.org"),
            ("dev", *data, *ANYWHERE, "--ice-server", "https://example.org"),
            ("dev", *data, *ANYWHERE, "--ice-server", "stun:a>,<b"),
            ("dev", *data, *ANYWHERE, "--tls-cert", str(file)),
            ("dev", *data, *ANYWHERE, "--tls-cert", str(file), "--tls-key", str(file)),
            ("dev", *data, *ANYWHERE, "--log-level", "loud"),
            ("dev", *data, *ANYWHERE, "--viewer-max-bitrate", "4"),
            ("dev", *ANYWHERE, "--data", str(file)),
            ("dev", *ANYWHERE, "--data", str(broken)),
            ("dev", *ANYWHERE, "--data", str(newer)),
        ]
        for case in cases:
            code, _, err = await run(*case)
            assert (code, err.count("\n")) == (2, 1), (case, err)
            assert err.startswith("rostra: ")


async def test_the_version_and_help_are_said() -> None:
    assert await run("--version") == (0, f"rostra {__version__}\n", "")
    code, out, _ = await run("dev", "--help")
    assert code == 0
    for option in (
        "--http",
        "--media",
        "--rtmp",
        "--no-rtmp",
        "--rtmp-reencode",
        "--data",
        "--public-address",
        "--tls-cert",
        "--viewer-max-bitrate",
        "--ice-server",
        "--log-level",
    ):
        assert option in out


@pytest.mark.parametrize(("taken", "code"), [(None, 0), ("--http", 1), ("--rtmp", 1)])
async def test_the_doctor_finds_what_will_not_work(taken: str | None, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = dict.fromkeys(("--http", "--media", "--rtmp"), 0)
        if taken is not None:
            ports[taken] = other.getsockname()[1]
        options = [word for option, port in ports.items() for word in (option, f"127.0.0.1:{port}")]
        found, out, err = await run("doctor", *options)
    assert (found, err) == (code, "")
    assert out.count("cannot be had") == (taken is not None)
    assert out.count("stop the program that has it, or choose another port") == (taken is not None)
    assert "RTMP port" in out
    assert "RTMP address" in out
    assert "UDP segmentation offload" in out


async def test_the_doctor_looks_at_no_port_of_encoders_that_are_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        options = ("--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--rtmp", f"127.0.0.1:{port}", "--no-rtmp")
        found, out, _ = await run("doctor", *options)
    assert found == 0
    assert "RTMP" not in out


async def test_the_doctor_says_what_other_machines_reach() -> None:
    _, out, _ = await run("doctor", "--http", "0.0.0.0:0", "--media", "127.0.0.1:0", "--no-rtmp")
    (line,) = [line for line in out.splitlines() if "HTTP address" in line]
    assert line.startswith("note")
    assert "without --tls-cert, tokens pass in clear" in line
    assert "media is for this machine alone: --media 0.0.0.0:0 opens it" in line
    _, out, _ = await run("doctor", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--no-rtmp")
    assert "only browsers on this machine reach it; --http 0.0.0.0:0 lets others in" in out
