"""One stream by every door at once: its main source by RTMP, others by WHIP and by a socket; viewers by WHEP and the SDK."""

import asyncio
from contextlib import AsyncExitStack

import httpx
from aiortc import RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack
from playwright.async_api import Page

from .conftest import Server
from .test_aiortc import Colour, colour_of, peer
from .test_aiortc import loopback_only as loopback_only
from .test_aiortc import open_things as open_things
from .test_rtmp import encoding, watch

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 60), (40, 60, 220)
"""Of `page.js`: the main source is red, the camera green, the slides blue."""
STREAM = "mixture"


async def posted(things: AsyncExitStack, client: httpx.AsyncClient, url: str, token: str, offer: str) -> str:
    """The answer of a WHIP or WHEP endpoint; its resource is deleted at the end."""
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(20):
        while (  # noqa: ASYNC110 — a stream of another process, and WHEP has no event for who is not let in
            reply := await client.post(url, content=offer, headers={**headers, "Content-Type": "application/sdp"})
        ).status_code == 409:
            await asyncio.sleep(0.1)  # not live yet
    assert reply.status_code == 201, reply.text
    location = reply.headers["location"]

    async def delete() -> None:
        assert (await client.delete(location, headers=headers)).status_code == 200

    things.push_async_callback(delete)
    return reply.text


async def whip(things: AsyncExitStack, client: httpx.AsyncClient, server: Server, source: str) -> None:
    pc = peer(things)
    pc.addTrack(AudioStreamTrack())
    pc.addTrack(Colour(GREEN))
    await pc.setLocalDescription(await pc.createOffer())
    url = f"/api/whip/{STREAM}?sourceId={source}"
    answer = await posted(things, client, url, server.settings["publish_token"], pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))


async def whep(things: AsyncExitStack, client: httpx.AsyncClient, server: Server, source: str = "") -> MediaStreamTrack:
    """The picture of a viewer by WHEP; its sound is decoded, too."""
    pc = peer(things)
    video = pc.addTransceiver("video", direction="recvonly").receiver
    audio = pc.addTransceiver("audio", direction="recvonly").receiver
    await pc.setLocalDescription(await pc.createOffer())
    url = f"/api/whep/{server.settings['account_id']}/{STREAM}{f'?sourceId={source}' if source else ''}"
    answer = await posted(things, client, url, server.settings["subscribe_token"], pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    sink = MediaBlackhole()
    sink.addTrack(audio.track)
    await sink.start()
    things.push_async_callback(sink.stop)
    return video.track


async def by_whep(track: MediaStreamTrack, source: str, colour: tuple[int, int, int]) -> None:
    """Pictures come, and they are those of the source. RTMP encoders cannot be asked for key frames: a loss costs seconds."""
    seen: list[tuple[int, ...]] = []
    try:
        async with asyncio.timeout(60):
            while max(abs(a - b) for a, b in zip((seen or [(0, 0, 0)])[-1], colour, strict=True)) > 40:
                seen.append(await colour_of(track))
    except TimeoutError as error:
        raise AssertionError(f"{source or 'main'}: {len(seen)} pictures, the last ones {seen[-5:]}") from error


async def test_every_door_feeds_one_stream_and_every_viewer_decodes_it(
    page: Page, server: Server, open_things: AsyncExitStack
) -> None:
    things = open_things
    client = await things.enter_async_context(httpx.AsyncClient(base_url=server.http, trust_env=False))
    await things.enter_async_context(encoding(server, STREAM))
    # Main first: a viewer that names no source gets whichever is live when it comes, and keeps it.
    await watch(page, STREAM)
    await whip(things, client, server, "camera")
    await page.evaluate(
        """async ([stream]) => {
      window.slides = await t.publish(settings, { stream, sourceId: "slides", codec: "vp8", picture: { colour: "blue" } });
    }""",
        [STREAM],
    )

    async def by_sdk() -> None:
        await page.evaluate("""async () => {
          const { until, untilColour, observe } = t;
          await until(() => [null, "camera", "slides"].every((one) => w.count("active", one) > 0), "all sources", 20000);
          const [a, b] = await Promise.all([w.add(), w.add()]);
          await w.view.project("camera", [{ media: "video", mediaId: a.mid }]);
          await w.view.project("slides", [{ media: "video", mediaId: b.mid }]);
          await untilColour(w, 0, "red", 20000);
          await untilColour(w, a.mid, "green", 20000);
          await untilColour(w, b.mid, "blue", 20000);
          for (const mid of [0, a.mid, b.mid]) {
            if ((await observe(w, mid, 1000)).frames < 3) throw new Error(`mid ${mid} stands still`);
          }
        }""")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(by_sdk())
        for source, colour in (("", RED), ("camera", GREEN), ("slides", BLUE)):
            track = await whep(things, client, server, source)
            tasks.create_task(by_whep(track, source, colour))

    headers = {"Authorization": f"Bearer {server.settings['api_secret']}"}
    told = (await client.get(f"/api/debug/streams/{server.settings['account_id']}/{STREAM}", headers=headers)).json()
    doors = {feed["source_id"]: (feed["door"], feed["state"]) for feed in told["feeds"]}
    assert doors == {None: ("rtmp", "live"), "camera": ("whip", "live"), "slides": ("websocket", "live")}
    assert told["viewers"] == 4
    await page.evaluate("async () => { w.view.stop(); await t.leave(slides); }")
