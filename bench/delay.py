"""How old a picture is when a browser shows it: ffmpeg by RTMP, Chromium by WHEP.

The clock is in the picture: 40 squares in its first rows, black or white, are the milliseconds since 1970 modulo 2**32
and a checksum. The same machine draws and reads it, so the difference is the whole delay: ffmpeg's encoder, the server,
the browser's jitter buffer and decoder. There is no sound: ffmpeg holds pictures back until sound of the same time has
come, which with two inputs that begin by themselves is some 400 ms of its own. With
``PEER_MEDIAMTX=/path/to/mediamtx`` the same input goes through MediaMTX as well, one after the other. Everything is on
127.0.0.1; it refuses to start when that is not the loopback.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin
from urllib.request import urlopen

from playwright.async_api import Browser, async_playwright

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "bench" / "results" / "delay.json"
CHROMIUM: Final = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS_TOO: Final = ["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]
WIDTH, HEIGHT, FPS = 640, 360, 30
SQUARE: Final = 16
WARM_UP_S: Final = 5

WATCH: Final = """async ([url, token, seconds, warm]) => {
  const pc = new RTCPeerConnection();
  pc.addTransceiver("video", { direction: "recvonly" });
  const video = document.createElement("video");
  video.muted = true;
  pc.ontrack = ({ track }) => { video.srcObject = new MediaStream([track]); };
  await pc.setLocalDescription(await pc.createOffer());
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  while (pc.iceGatheringState !== "complete") await pause(20);
  const headers = { "Content-Type": "application/sdp", ...(token && { Authorization: `Bearer ${token}` }) };
  let reply;
  for (let tries = 0; tries < 100 && reply?.status !== 201; tries++) {
    if (reply) await pause(200);  // nobody publishes yet
    reply = await fetch(url, { method: "POST", headers, body: pc.localDescription.sdp });
  }
  if (reply.status !== 201) throw new Error(`${reply.status}: ${await reply.text()}`);
  await pc.setRemoteDescription({ type: "answer", sdp: await reply.text() });
  await video.play();
  const context = new OffscreenCanvas(40, 1).getContext("2d", { willReadFrequently: true });
  const age = () => {
    context.drawImage(video, 0, 0, video.videoWidth, 16, 0, 0, 40, 1);
    const pixels = context.getImageData(0, 0, 40, 1).data;
    let value = 0, check = 0;
    for (let bit = 0; bit < 40; bit++) {
      const one = pixels[bit * 4] > 127 ? 1 : 0;
      if (bit < 32) value = value * 2 + one; else check = check * 2 + one;
    }
    const sum = (value & 255) ^ ((value >>> 8) & 255) ^ ((value >>> 16) & 255) ^ (value >>> 24) ^ 0x5a;
    return sum === check ? (Date.now() % 2 ** 32) - value : null;
  };
  const ages = [], begun = performance.now();
  let torn = 0;
  await new Promise((resolve) => {
    const shown = () => {
      const passed = performance.now() - begun;
      if (passed > (warm + seconds) * 1000) return resolve();
      const one = age();
      if (passed > warm * 1000) one === null ? torn++ : ages.push(one);
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
    setTimeout(resolve, (warm + seconds + 5) * 1000);
  });
  pc.close();
  return { ages, torn };
}"""


@dataclass(frozen=True, slots=True)
class Way:
    """A server that takes RTMP and gives WHEP."""

    name: str
    rtmp: str
    whep: str
    token: str | None


def main() -> int:
    """Measure, print, write."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--seconds", type=int, default=20)
    arguments.add_argument("--server", type=Path, default=ROOT / ".venv" / "bin" / "rostra")
    options = arguments.parse_args()
    refuse_elsewhere()
    report = asyncio.run(compare(options.server, options.seconds))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")
    return 0


def refuse_elsewhere() -> None:
    """Traffic goes to the loopback and nowhere else."""
    route = subprocess.run(["ip", "route", "get", "127.0.0.1"], capture_output=True, text=True, check=False).stdout
    if " dev lo " not in route:
        sys.exit(f"127.0.0.1 is not the loopback here: {route.strip()!r}")


async def compare(program: Path, seconds: int) -> dict[str, Any]:
    """Each server in its turn."""
    peer = os.environ.get("PEER_MEDIAMTX")
    report: dict[str, Any] = {}
    print(f"== ffmpeg by RTMP to Chromium by WHEP, {WIDTH}x{HEIGHT} at {FPS}, {seconds} s: age of the shown picture")
    print(f"{'':<10}{'p50 ms':>8}{'p95 ms':>8}{'pictures':>10}{'unreadable':>12}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=[*FLAGS, *FLAGS_TOO])
        for server in (rostra(program), *([mediamtx(Path(peer))] if peer else [])):
            with server as way:
                report[way.name] = await measure(browser, way, seconds)
        await browser.close()
    if not peer:
        print("MediaMTX beside it: PEER_MEDIAMTX=/path/to/mediamtx")
    return report


async def measure(browser: Browser, way: Way, seconds: int) -> dict[str, float]:
    """One encoder, one viewer."""
    async with encoding(way.rtmp):
        page = await browser.new_page(bypass_csp=True)
        await page.goto(urljoin(way.whep, "/healthz"))  # any page of that origin
        result = await page.evaluate(WATCH, [way.whep, way.token, seconds, WARM_UP_S])
        await page.close()
    ages = sorted(result["ages"])
    if len(ages) < seconds * FPS / 2:
        sys.exit(f"{way.name}: {len(ages)} readable pictures in {seconds} s, {result['torn']} unreadable")
    p50, p95 = statistics.median(ages), ages[len(ages) * 95 // 100]
    print(f"{way.name:<10}{p50:>8.0f}{p95:>8.0f}{len(ages):>10}{result['torn']:>12}", flush=True)
    return {"p50_ms": p50, "p95_ms": p95, "pictures": len(ages), "unreadable": result["torn"]}


@contextlib.asynccontextmanager
async def encoding(url: str) -> AsyncIterator[None]:
    """ffmpeg, to which a clock is drawn."""
    quiet = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-fflags", "nobuffer"]
    picture = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-"]
    live = ["-preset", "veryfast", "-tune", "zerolatency", "-bf", "0", "-g", str(2 * FPS), "-pix_fmt", "yuv420p"]
    encoder = await asyncio.create_subprocess_exec(
        *quiet, *picture, "-c:v", "libx264", *live, "-f", "flv", url, stdin=subprocess.PIPE
    )
    clock = asyncio.create_task(draw(encoder))
    try:
        yield
    finally:
        clock.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await clock
        if encoder.returncode is None:
            encoder.kill()
        await encoder.wait()


async def draw(encoder: asyncio.subprocess.Process) -> None:
    """A picture every 1/30 s, late ones at once."""
    if encoder.stdin is None:
        raise ValueError("the encoder has no input")
    begun, number = time.monotonic(), 0
    grey = bytes([96]) * (WIDTH * (HEIGHT - SQUARE))
    while True:
        await asyncio.sleep(max(0.0, begun + number / FPS - time.monotonic()))
        value = time.time_ns() // 1_000_000 % 2**32
        check = (value ^ value >> 8 ^ value >> 16 ^ value >> 24 ^ 0x5A) & 255
        bits = f"{value:032b}{check:08b}"
        encoder.stdin.write(b"".join((b"\xeb" if bit == "1" else b"\x10") * SQUARE for bit in bits) * SQUARE + grey)
        await encoder.stdin.drain()
        number += 1


@contextlib.contextmanager
def rostra(program: Path) -> Iterator[Way]:
    """``rostra dev`` on free ports."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "dev.json"
        command = [program, "dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--rtmp", "127.0.0.1:0"]
        process = subprocess.Popen([*command, "--data", folder, "--log-level", "warning"])
        try:
            wait_until(process, ready.exists)
            settings = json.loads(ready.read_text())
            whep = f"{settings['http']}/api/whep/{settings['account_id']}/delay"
            rtmp = f"rtmp://{settings['rtmp']}/v2/pub/delay?token={settings['publish_token']}"
            yield Way("Rostra", rtmp, whep, settings["subscribe_token"])
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextlib.contextmanager
def mediamtx(program: Path) -> Iterator[Way]:
    """MediaMTX with what it needs for this and nothing else, on free ports."""
    rtmp, http, media = free_port(), free_port(), free_port()
    config = {
        "logLevel": "error",
        "rtsp": False,
        "hls": False,
        "srt": False,
        "rtmp": True,
        "rtmpAddress": f"127.0.0.1:{rtmp}",
        "webrtc": True,
        "webrtcAddress": f"127.0.0.1:{http}",
        "webrtcLocalUDPAddress": f"127.0.0.1:{media}",
        "webrtcIPsFromInterfaces": False,
        "webrtcAdditionalHosts": ["127.0.0.1"],
        "webrtcICEServers2": [],
        "paths": {"all_others": {}},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mediamtx.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        # It writes a key and a certificate of its own into its working directory.
        process = subprocess.Popen([program.resolve(), path], cwd=folder)
        try:
            wait_until(process, lambda: answers(f"http://127.0.0.1:{http}/"))
            yield Way("MediaMTX", f"rtmp://127.0.0.1:{rtmp}/delay", f"http://127.0.0.1:{http}/delay/whep", None)
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_until(process: subprocess.Popen[bytes], is_ready: Any) -> None:
    """Half a minute at most."""
    deadline = time.monotonic() + 30
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{process.args!r} does not start")
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whatever it says."""
    try:
        urlopen(url, timeout=1).close()
    except HTTPError:
        return True
    except (URLError, OSError):
        return False
    return True


def free_port() -> int:
    """A port that nobody has now, for UDP and TCP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(tcp.getsockname())
        return int(tcp.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
