"""aiortc publishes and watches by the same protocol, without our SDK."""

import asyncio
import fractions
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack, VideoStreamTrack
from av import VideoFrame

from .conftest import Server
from .rawclient import CommandError, Signalling, direct, signalling


class Colour(VideoStreamTrack):
    """A picture of one colour, 320×180 at 30 fps."""

    def __init__(self, rgb: tuple[int, int, int]) -> None:
        super().__init__()
        picture = VideoFrame(320, 180, "rgb24")
        picture.planes[0].update(bytes(rgb) * (picture.planes[0].buffer_size // 3))
        self._picture = picture

    async def recv(self) -> VideoFrame:
        pts, base = await self.next_timestamp()
        frame = self._picture.reformat(format="yuv420p")
        frame.pts, frame.time_base = pts, fractions.Fraction(base)
        return frame


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiortc leaves loopback out when it gathers; here it is all there is."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.fixture
async def open_things() -> AsyncIterator[AsyncExitStack]:
    """Closed in reverse order at the end."""
    async with AsyncExitStack() as stack:
        yield stack


def peer(things: AsyncExitStack) -> RTCPeerConnection:
    """A connection that asks nobody for its address."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    things.push_async_callback(pc.close)
    return pc


async def publish(
    things: AsyncExitStack, server: Server, stream: str, rgb: tuple[int, int, int], source: str | None = None
) -> Signalling:
    settings = server.settings
    way = await direct(server.http, "publish", settings["publish_token"], streamName=stream)
    socket = await things.enter_async_context(signalling(way))
    pc = peer(things)
    pc.addTrack(AudioStreamTrack())
    pc.addTrack(Colour(rgb))
    await pc.setLocalDescription(await pc.createOffer())
    offer = {"name": stream, "sdp": pc.localDescription.sdp, "codec": "vp8"}
    answer = await socket.command("publish", offer if source is None else {**offer, "sourceId": source})
    await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    return socket


async def colour_of(track: MediaStreamTrack) -> tuple[int, ...]:
    frame = await asyncio.wait_for(track.recv(), 15)
    assert isinstance(frame, VideoFrame)
    plane = frame.reformat(format="rgb24").planes[0]
    middle = 90 * plane.line_size + 160 * 3
    return tuple(bytes(plane)[middle : middle + 3])


async def wait_for_colour(track: MediaStreamTrack, rgb: tuple[int, int, int]) -> None:
    async with asyncio.timeout(20):
        while max(abs(a - b) for a, b in zip(await colour_of(track), rgb, strict=True)) > 40:
            pass


async def test_aiortc_publishes_and_watches(server: Server, open_things: AsyncExitStack) -> None:
    red, blue = (200, 30, 30), (30, 30, 200)
    settings = server.settings
    with pytest.raises(CommandError, match="stream not being published"):
        await direct(
            server.http,
            "subscribe",
            settings["subscribe_token"],
            streamName="aiortc",
            streamAccountId=settings["account_id"],
        )
    await publish(open_things, server, "aiortc", red)
    await publish(open_things, server, "aiortc", blue, "cam")

    async with asyncio.timeout(15):
        while True:
            try:
                way = await direct(server.http, "subscribe", settings["subscribe_token"], streamName="aiortc")
                break
            except CommandError:
                await asyncio.sleep(0.05)
    socket = await open_things.enter_async_context(signalling(way))
    pc = peer(open_things)
    video = pc.addTransceiver("video", direction="recvonly").receiver
    audio = pc.addTransceiver("audio", direction="recvonly").receiver
    await pc.setLocalDescription(await pc.createOffer())
    answer = await socket.command("view", {"streamId": "aiortc", "sdp": pc.localDescription.sdp})
    await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    sink = MediaBlackhole()
    sink.addTrack(audio.track)
    await sink.start()
    open_things.push_async_callback(sink.stop)

    await socket.event("active", sourceId=None)
    await socket.event("active", sourceId="cam")
    await wait_for_colour(video.track, red)
    await socket.command("project", {"sourceId": "cam", "mapping": [{"media": "video", "mediaId": "0"}]})
    await wait_for_colour(video.track, blue)
    with pytest.raises(CommandError):
        await socket.command("project", {"sourceId": "nobody", "mapping": [{"media": "video", "mediaId": "0"}]})
    await wait_for_colour(video.track, blue)
