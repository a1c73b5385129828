"""Encoders and players that are no browsers, by WHIP and WHEP, just as they come: no certificate put in, no option set."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from .conftest import Server, start_server, stop_server
from .namespaces import Namespaces, inside, namespaces
from .test_aiortc import peer, wait_for_colour

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"
RED = (200, 30, 30)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiortc leaves loopback out when it gathers; here it is all there is."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.fixture
async def things() -> AsyncIterator[AsyncExitStack]:
    """Closed in reverse order at the end."""
    async with AsyncExitStack() as stack:
        yield stack


class Program:
    """Another process that says in lines of JSON how it does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def hear(self, key: str, wanted: Any = None) -> Any:
        """The next value of this key, or the next that is wanted.

        Raises:
            EOFError: it ended.
        """
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if key in said and (wanted is None or said[key] == wanted):
                return said[key]
        raise EOFError(f"it never said {key}")


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[Program]:
    """A program that is ended at the end."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Watching:
    """What a viewer gets."""

    video: MediaStreamTrack
    audio: MediaStreamTrack


async def watch(things: AsyncExitStack, server: Server, stream: str) -> Watching:
    """aiortc by WHEP, as soon as the stream is live."""
    pc: RTCPeerConnection = peer(things)
    video = pc.addTransceiver("video", direction="recvonly").receiver
    audio = pc.addTransceiver("audio", direction="recvonly").receiver
    await pc.setLocalDescription(await pc.createOffer())
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {server.settings['subscribe_token']}"}
    async with httpx.AsyncClient(base_url=server.http, headers=headers) as client, asyncio.timeout(20):
        url = f"/api/whep/{server.settings['account_id']}/{stream}"
        while True:
            reply = await client.post(url, content=pc.localDescription.sdp)
            if reply.status_code != 409:
                break
            await asyncio.sleep(0.05)
    assert reply.status_code == 201, reply.text
    await pc.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
    return Watching(video.track, audio.track)


# FFmpeg makes a certificate on P-224 and offers to be the server.
async def test_ffmpeg_publishes_and_its_picture_and_sound_arrive(things: AsyncExitStack, server: Server) -> None:
    url = f"{server.http}/api/whip/ffmpeg"
    program = HERE / "ffmpeg_peer.py"
    await things.enter_async_context(running(sys.executable, str(program), url, server.settings["publish_token"]))
    seen = await watch(things, server, "ffmpeg")
    await wait_for_colour(seen.video, RED)
    for _ in range(10):
        await asyncio.wait_for(seen.audio.recv(), 5)


@pytest.fixture(scope="module")
def far_away() -> Iterator[Namespaces]:
    """Two ends of a cable."""
    with namespaces() as pair:
        yield pair


@pytest.fixture(scope="module")
def near_server(far_away: Namespaces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server at one end."""
    options = ["--http", f"{far_away.address}:0", "--media", f"{far_away.address}:0"]
    running = start_server(tmp_path_factory.mktemp("near"), *options, before=inside(far_away.near))
    yield running
    assert stop_server(running) == 0


# GStreamer makes a certificate of RSA.
async def test_gstreamer_publishes_and_gstreamer_watches(
    things: AsyncExitStack, near_server: Server, far_away: Namespaces
) -> None:
    settings = near_server.settings
    program = [*inside(far_away.far), SYSTEM_PYTHON, str(HERE / "gstreamer_peer.py")]
    whip = f"{near_server.http}/api/whip/gstreamer?codec=vp8"
    async with asyncio.timeout(60):
        publisher = await things.enter_async_context(running(*program, "publish", whip, settings["publish_token"]))
        assert (await publisher.hear("version")).startswith("GStreamer 1.")
        await publisher.hear("state", "connected")
        whep = f"{near_server.http}/api/whep/{settings['account_id']}/gstreamer"
        viewer = await things.enter_async_context(running(*program, "view", whep, settings["subscribe_token"]))
        await viewer.hear("state", "connected")
        while min((await viewer.hear("decoded")).values()) < 30:
            pass
