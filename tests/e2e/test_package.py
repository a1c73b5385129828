"""What a user gets: the wheel in a fresh environment, started and stopped as people do."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ANYWHERE = ("--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--rtmp", "127.0.0.1:0")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the built wheel; the path of its ``rostra``."""
    folder = tmp_path_factory.mktemp("wheel")
    # With the system's OpenSSL a wheel is for this machine alone, and there is nothing to check.
    audit = "skip" if os.environ.get("OPENSSL_NO_VENDOR") else "check"
    command = [BIN / "maturin", "build", "--release", "--quiet", "--auditwheel", audit, "--out", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([BIN / "uv", "venv", "--quiet", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run([BIN / "uv", "pip", "install", "--quiet", "--system-certs", "--python", python, wheel], check=True)
    return python.with_name("rostra")


def test_the_wheel_tells_its_version(installed: Path) -> None:
    said = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == "rostra"


async def test_the_wheel_serves_its_page_and_ends_cleanly(installed: Path, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(installed, "dev", *ANYWHERE, "--data", tmp_path / "data")
    try:
        ready = tmp_path / "data" / "dev.json"
        async with asyncio.timeout(30):
            while not ready.exists():
                assert process.returncode is None
                await asyncio.sleep(0.05)
        settings = json.loads(ready.read_text())
        assert ready.stat().st_mode & 0o777 == 0o600
        _, writer = await asyncio.open_connection(*settings["rtmp"].split(":"))
        writer.close()
        async with httpx.AsyncClient(base_url=settings["http"]) as client:
            page = await client.get("/")
            assert page.status_code == 200
            assert "<script" in page.text
            assert (await client.get("/sdk/rostra.js")).status_code == 200
            assert (await client.get("/healthz")).status_code == 200
            assert "rostra_" in (await client.get("/metrics")).text
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
