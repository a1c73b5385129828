"""The distribution's ffmpeg by RTMP, watched in a real browser. ``RTMP_SECONDS``: how long sound and picture are compared."""

import asyncio
import contextlib
import datetime as dt
import os
import re
import statistics
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from .conftest import Server, open_page, start_server, stop_server

SECONDS = int(os.environ.get("RTMP_SECONDS", "10"))
FLASH = "drawbox=c=white:t=fill:enable='lt(mod(t,1),0.1)'"
BEEP = "aevalsrc=0.8*sin(2*PI*1000*t)*lt(mod(t\\,1)\\,0.1):s=44100:c=stereo"
RED, GREEN = "0xdc1e1e", "0x1ec83c"
LIVE = ["-bf", "0", "-tune", "zerolatency"]
B_FRAMES = ["-bf", "3", "-x264-params", "b-adapt=0:scenecut=0"]


async def encode(
    server: Server, stream: str, *, colour: str = RED, how: list[str] = LIVE
) -> asyncio.subprocess.Process:
    """An encoder: a second of colour that begins with a white tenth and a beep."""
    picture = f"color=c={colour}:s=320x180:r=30,{FLASH}"
    key = f"{stream}?token={server.settings['publish_token']}"
    return await asyncio.create_subprocess_exec(
        *[
            "ffmpeg",
            "-hide_banner",
            "-loglevel",
            "error",
            "-re",
            "-f",
            "lavfi",
            "-i",
            picture,
            "-f",
            "lavfi",
            "-i",
            BEEP,
        ],
        *["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "60", *how, "-c:a", "aac"],
        *["-f", "flv", f"rtmp://{server.settings['rtmp']}/v2/pub/{key}"],
        stdin=asyncio.subprocess.DEVNULL,
    )


@contextlib.asynccontextmanager
async def encoding(server: Server, stream: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await encode(server, stream, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def watch(page: Page, stream: str) -> None:
    """Leaves the viewer as `w` and its sound as `sound` on the window."""
    await page.evaluate(
        """async ([stream]) => {
      const { Watcher, until } = t;
      const sounds = [];
      await until(async () => {
        window.w = new Watcher(settings, stream);
        w.view.on("track", (event) => event.track.kind === "audio" && sounds.push(event.track));
        return w.connect().then(() => true, () => w.view.stop() && false);
      }, "the stream to be live", 20000);
      await until(() => sounds.length > 0, "sound");
      window.sound = sounds.at(-1);
    }""",
        [stream],
    )


async def test_sound_and_picture_of_ffmpeg_stay_together(page: Page, server: Server) -> None:
    async with encoding(server, "rtmp-sync"):
        await watch(page, "rtmp-sync")
        result = await page.evaluate(
            """async ([seconds]) => {
          await t.untilColour(w, 0, "red");
          const both = await t.flashesAndBeeps(w, 0, sound);
          const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
          await wait(8000);  // the browser brings them together first
          both.forget();
          await wait(seconds * 1000);
          both.end();
          return { distances: both.distances(), codec: (await w.stats(0)).codec, frames: (await w.stats(0)).framesDecoded };
        }""",
            [SECONDS],
        )
    offsets = result["distances"]
    tenth = max(1, len(offsets) // 10)
    print(
        "beep after flash, ms: first",
        [round(one) for one in offsets[:10]],
        "last",
        [round(one) for one in offsets[-10:]],
    )
    print(f"{len(offsets)} flashes in {SECONDS} s; median {statistics.median(offsets):.1f} ms")
    assert result["codec"] == "video/H264"
    assert len(offsets) >= SECONDS * 0.8
    assert abs(statistics.median(offsets)) < 80
    assert abs(statistics.median(offsets[-tenth:])) < 80


async def test_an_encoder_that_is_killed_and_started_again_goes_on_for_its_viewers(page: Page, server: Server) -> None:
    async with encoding(server, "rtmp-again") as first:
        await watch(page, "rtmp-again")
        await page.evaluate("async () => { await t.untilColour(w, 0, 'red'); window.pc = w.pc; }")
        first.kill()
        await first.wait()
        async with encoding(server, "rtmp-again", colour=GREEN):
            shown = await page.evaluate("""async () => {
              await t.untilColour(w, 0, "green");
              const at = Date.now();
              if (window.pc !== w.pc || pc.connectionState !== "connected") throw new Error("another connection");
              return at;
            }""")
            opened = last_feed(server, "rtmp-again")
            print(f"killed and started again: green {shown - opened:.0f} ms after the feed was opened")
            assert shown - opened < 1000


async def test_the_newest_encoder_of_a_source_takes_over_without_a_new_connection(page: Page, server: Server) -> None:
    async with encoding(server, "rtmp-newest"):
        await watch(page, "rtmp-newest")
        await page.evaluate("async () => { await t.untilColour(w, 0, 'red'); window.pc = w.pc; }")
        async with encoding(server, "rtmp-newest", colour=GREEN):
            shown = await page.evaluate("""async () => {
              await t.untilColour(w, 0, "green");
              if (window.pc !== w.pc) throw new Error("another connection");
              return Date.now();
            }""")
            print(f"take-over: green {shown - last_feed(server, 'rtmp-newest'):.0f} ms after the feed was opened")
            assert shown - last_feed(server, "rtmp-newest") < 1000


def last_feed(server: Server, stream: str) -> float:
    """When the last feed of a stream was opened, milliseconds since 1970: its first key frame came then or later."""
    lines = [line for line in log(server).splitlines() if "feed opened" in line and f"/{stream}" in line]
    when = re.search(r"(\d{4}-\d\d-\d\dT[\d:.]+)Z", lines[-1])
    assert when is not None
    return dt.datetime.fromisoformat(when[1]).replace(tzinfo=dt.UTC).timestamp() * 1000


def log(server: Server) -> str:
    return Path(server.settings["log"]).read_text()


@pytest.mark.parametrize("reencode", [False, True], ids=["as it comes", "encoded again"])
async def test_b_frames_are_told_and_put_right_when_that_is_asked_for(
    browser: Browser, tmp_path: Path, reencode: bool
) -> None:
    options = ["--rtmp-reencode"] if reencode else []
    server = await asyncio.to_thread(start_server, tmp_path, *options)
    try:
        async for page in open_page(browser, server):
            async with encoding(server, "rtmp-b", how=B_FRAMES):
                await watch(page, "rtmp-b")
                seen = await page.evaluate("""async () => {
                  await t.untilColour(w, 0, "red");
                  await new Promise((resolve) => setTimeout(resolve, 3000));
                  return t.observe(w, 0, 5000);
                }""")
            print("B-frames,", "encoded again:" if reencode else "as they come:", seen)
            assert "b_frames" in log(server)
            assert "bframes=0" in log(server)
            if reencode:
                assert seen["frames"] > 120  # of 150; as they come it is some five, and two seconds of standstill
                assert seen["standstill"] < 1000
    finally:
        await asyncio.to_thread(stop_server, server)
