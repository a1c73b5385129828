"""What the HTTP edge costs: joins, requests, and events to a thousand sockets; and what hostile clients make it keep.

Everything runs on loopback. ``--beside DIR`` measures the checkout in another folder, in turns with this one: a
folder with ``python/rostra`` and its extension. Prints a table and writes ``bench/results/edge.json``.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect

ROOT: Final = Path(__file__).parents[1]
OFFER: Final = (ROOT / "tests" / "data" / "offers" / "chromium-view.sdp").read_text()
PUBLISH: Final = (ROOT / "tests" / "data" / "offers" / "chromium-publish.sdp").read_text()
MEGABYTE: Final = 1 << 20
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Server:
    """A running server, and what it has used."""

    def __init__(self, process: subprocess.Popen[bytes], settings: dict[str, str]) -> None:
        self.process = process
        self.settings = settings
        address = urlsplit(settings["http"])
        self.host, self.port = address.hostname or "", address.port or 0

    def rss(self) -> float:
        """Resident memory, MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection."""
        return await asyncio.open_connection(self.host, self.port)


@asynccontextmanager
async def serving(source: Path) -> AsyncIterator[Server]:
    """The server of a checkout, on free ports."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from rostra.cli import main; main()", "dev", "--no-rtmp", "--data", folder]
        command += [
            "--http",
            "127.0.0.1:0",
            "--media",
            "127.0.0.1:0",
            "--log-level",
            "error",
            "--allow-offline-subscribe",
        ]
        environment = {**os.environ, "PYTHONPATH": str(source / "python")}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: ASYNC220
        try:
            ready, deadline = Path(folder) / "dev.json", time.monotonic() + 30
            while not ready.exists():
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"the server of {source} does not start")
                await asyncio.sleep(0.05)
            yield Server(process, json.loads(ready.read_text()))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


async def direct(client: httpx.AsyncClient, action: str, token: str) -> str:
    """The URL of a socket."""
    reply = await client.post(
        f"/api/director/{action}", json={"streamName": "bench"}, headers={"Authorization": f"Bearer {token}"}
    )
    data = reply.raise_for_status().json()["data"]
    return f"{data['urls'][0]}?token={data['jwt']}"


async def command(socket: ClientConnection, name: str, **data: object) -> None:
    """Send a command and wait for its answer."""
    await socket.send(json.dumps({"type": "cmd", "transId": 1, "name": name, "data": data}))
    while (answer := json.loads(await socket.recv()))["type"] == "event":
        pass
    if answer["type"] != "response":
        raise SystemExit(f"{name}: {answer}")


async def joins(server: Server, count: int) -> dict[str, float]:
    """Viewers that ask the director, open a socket, view, and leave, eight at a time."""
    settings = server.settings
    async with httpx.AsyncClient(base_url=settings["http"], trust_env=False) as client:
        began_s, cpu_s = time.monotonic(), server.cpu_s()

        async def one(gate: asyncio.Semaphore) -> None:
            async with gate:
                url = await direct(client, "subscribe", settings["subscribe_token"])
                async with connect(url, proxy=None) as socket:
                    await command(socket, "view", sdp=OFFER)

        async with connect(await direct(client, "publish", settings["publish_token"]), proxy=None) as publisher:
            await command(publisher, "publish", sdp=PUBLISH, codec="vp8")
            gate = asyncio.Semaphore(8)
            await asyncio.gather(*(one(gate) for _ in range(count)))
        passed_s, used_s = time.monotonic() - began_s, server.cpu_s() - cpu_s
    return {"joins per second": count / passed_s, "CPU ms per join": used_s * 1000 / count}


async def requests(server: Server, count: int) -> dict[str, float]:
    """``/healthz`` on 32 connections."""
    cpu_s = server.cpu_s()

    async def one() -> None:
        reader, writer = await server.open()
        for _ in range(count // 32):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(one() for _ in range(32)))
    return {"CPU us per request": (server.cpu_s() - cpu_s) * 1e6 / count}


async def hostile(server: Server) -> dict[str, float]:
    """Memory that an endless head, unread answers and unread pongs leave behind, MB."""
    found: dict[str, float] = {}

    async def push(start: bytes, part: bytes, size: int, seconds: float) -> None:
        reader, writer = await server.open()
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001
        writer.write(start)
        try:
            async with asyncio.timeout(seconds):
                for _ in range(size // len(part)):
                    writer.write(part)
                    await writer.drain()
        except (OSError, TimeoutError):
            pass
        writer.transport.abort()

    before = server.rss()
    await push(b"GET / HTTP/1.1\r\nHost: a\r\n", b"a: b\r\n" * 5000, 100 * MEGABYTE, 20)
    found["MB after an endless head"] = server.rss() - before
    before = server.rss()
    get = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    await asyncio.gather(*(push(b"", get * 100, 3_200_000, 8) for _ in range(8)))
    found["MB after pipelined requests"] = server.rss() - before
    return found


async def measure(source: Path, options: argparse.Namespace) -> dict[str, float]:
    """All figures of one checkout."""
    async with serving(source) as server:
        await joins(server, 20)
        found = {**await joins(server, options.joins), **await requests(server, options.requests)}
    async with serving(source) as server:
        return {**found, **await hostile(server)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beside", type=Path, metavar="DIR")
    parser.add_argument("--joins", type=int, default=300)
    parser.add_argument("--requests", type=int, default=6400)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    places = {"this": ROOT, **({"beside": options.beside.absolute()} if options.beside else {})}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in places}
    for _ in range(options.runs):
        for name, place in places.items():
            runs[name].append(asyncio.run(measure(place, options)))
    medians = {
        name: {figure: sorted(run[figure] for run in found)[len(found) // 2] for figure in found[0]}
        for name, found in runs.items()
    }
    print(f"{'median of ' + str(options.runs):<32}" + "".join(f"{name:>12}" for name in places))
    for figure in medians["this"]:
        print(f"{figure:<32}" + "".join(f"{medians[name][figure]:>12.2f}" for name in places))
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "edge.json").write_text(json.dumps({"runs": runs, "medians": medians}, indent=1) + "\n")


if __name__ == "__main__":
    main()
