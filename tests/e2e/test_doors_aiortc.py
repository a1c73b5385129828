"""aiortc publishes by WHIP and watches by WHEP."""

import re
from contextlib import AsyncExitStack

import httpx
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack

from .conftest import Server
from .doors import delete, post, whep_url, whip_url
from .test_aiortc import Colour, loopback_only, open_things, peer, wait_for_colour

__all__ = ["loopback_only", "open_things"]


async def publish(
    things: AsyncExitStack, server: Server, stream: str, rgb: tuple[int, int, int], query: str = ""
) -> httpx.Response:
    """An aiortc publisher: its offer comes with all candidates."""
    pc = peer(things)
    pc.addTrack(AudioStreamTrack())
    pc.addTrack(Colour(rgb))
    await pc.setLocalDescription(await pc.createOffer())
    assert "a=candidate:" in pc.localDescription.sdp
    reply = await post(whip_url(server, stream, query), pc.localDescription.sdp, server.settings["publish_token"])
    await pc.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
    return reply


async def watch(
    things: AsyncExitStack, server: Server, stream: str, query: str = ""
) -> tuple[RTCPeerConnection, MediaStreamTrack, httpx.Response]:
    pc = peer(things)
    audio = pc.addTransceiver("audio", direction="recvonly").receiver
    video = pc.addTransceiver("video", direction="recvonly").receiver
    await pc.setLocalDescription(await pc.createOffer())
    reply = await post(whep_url(server, stream, query), pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
    sink = MediaBlackhole()
    sink.addTrack(audio.track)
    await sink.start()
    things.push_async_callback(sink.stop)
    return pc, video.track, reply


@pytest.mark.parametrize("codec", [None, "h264", "vp8"])
async def test_aiortc_publishes_by_whip_and_watches_by_whep(
    server: Server, open_things: AsyncExitStack, codec: str | None
) -> None:
    stream, token = f"aiortc-{codec}", server.settings["publish_token"]
    made = await publish(open_things, server, stream, (200, 30, 30), f"?codec={codec}" if codec else "")
    answered = set(re.findall(r"^a=rtpmap:\d+ (\w+)/90000", made.text, re.MULTILINE))
    assert answered == {(codec or "h264").upper(), "rtx"}
    _, video, viewed = await watch(open_things, server, stream)
    await wait_for_colour(video, (200, 30, 30))
    assert await delete(server.http, viewed.headers["location"]) == 200
    assert await delete(server.http, made.headers["location"], server.settings["subscribe_token"]) == 403
    assert await delete(server.http, made.headers["location"], token) == 200


async def test_a_viewer_pins_a_source_and_the_newest_publisher_of_it_takes_over(
    server: Server, open_things: AsyncExitStack
) -> None:
    red, blue, green = (200, 30, 30), (30, 30, 200), (30, 200, 30)
    await publish(open_things, server, "aiortc-pin", red, "?codec=vp8")
    await publish(open_things, server, "aiortc-pin", blue, "?codec=vp8&sourceId=cam")
    pc, video, _ = await watch(open_things, server, "aiortc-pin", "?sourceId=cam")
    await wait_for_colour(video, blue)
    await publish(open_things, server, "aiortc-pin", green, "?codec=vp8&sourceId=cam")
    await wait_for_colour(video, green)
    assert pc.connectionState == "connected"
