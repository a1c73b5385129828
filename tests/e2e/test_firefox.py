"""Firefox ESR as publisher and as viewer, through our SDK. What it does differently from Chromium: docs/interop.md."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from .conftest import HELPERS, Server
from .firefox import OPENH264, Firefox, firefox

H264 = ["h264"] if OPENH264 else []
CODECS = ["vp8", "vp9", "av1", *H264]

LIVE = """async ([stream]) => {
  const { Watcher, until } = t;
  window.w = new Watcher(settings, stream);
  await until(() => w.connect().then(() => true, () => w.view.stop() && false), `${stream} to be live`);
}"""

PUBLISH = """async ([stream, sourceId, colour, options]) => {
  window.pubs ??= {};
  const picture = { colour, width: 960, height: 540, sound: !sourceId };
  pubs[sourceId ?? "main"] = await t.publish(settings, { stream, sourceId: sourceId ?? undefined, picture, ...options });
}"""

# rid, frames and size of every encoding that is sent.
SENT = """async () => {
  const report = await pubs.main.webRTCPeer.peer.getStats();
  return [...report.values()]
    .filter((one) => one.type === "outbound-rtp" && one.kind === "video")
    .map(({ rid, framesSent, frameWidth, codecId }) => ({ rid, framesSent, frameWidth, codec: report.get(codecId)?.mimeType }));
}"""


@pytest.fixture
async def fox(server: Server, tmp_path: Path) -> AsyncIterator[Firefox]:
    """A page of the server in Firefox with ``page.js`` loaded as ``window.t``."""
    async with firefox(tmp_path / "profile") as client:
        print("Firefox", await client.begin())
        await client.serve(f"{server.http}/test", "text/html", "<!doctype html><body>")
        await client.serve(f"{server.http}/t.js", "text/javascript", HELPERS)
        await client.open(f"{server.http}/test")
        await client.evaluate(
            "async (s) => { window.t = await import('/t.js'); window.settings = s; }", server.settings
        )
        yield client


async def until_sent(fox: Firefox, count: int) -> list[dict[str, Any]]:
    """Wait until ``count`` encodings are being sent."""
    await fox.evaluate(
        "async (count) => t.until(async () => (await ("
        + SENT
        + ")()).filter((one) => one.framesSent > 5).length === count"
        ", `${count} encodings`, 20000)",
        count,
    )
    sent: list[dict[str, Any]] = await fox.evaluate(SENT)
    return sent


@pytest.mark.parametrize("codec", ["vp8", *H264])
async def test_firefox_publishes_three_encodings_that_chromium_shows(fox: Firefox, page: Page, codec: str) -> None:
    stream = f"fox-out-{codec}"
    await fox.evaluate(PUBLISH, [stream, None, "green", {"codec": codec, "simulcast": True}])
    sent = await until_sent(fox, 3)
    print(sent)
    assert sorted(one["rid"] for one in sent) == ["f", "h", "q"]
    assert {one["codec"] for one in sent} == {f"video/{codec.upper()}"}
    await page.evaluate(LIVE, [stream])
    await page.evaluate("() => t.untilColour(w, 0, 'green')")
    seen = await page.evaluate("() => t.observe(w, 0, 3000)")
    print(seen)
    assert seen["frames"] > 20


@pytest.mark.parametrize("codec", CODECS)
async def test_firefox_views_projects_and_adds_tracks(fox: Firefox, page: Page, codec: str) -> None:
    stream = f"fox-in-{codec}"
    for source, colour in [(None, "red"), ("cam1", "green"), ("cam2", "blue")]:
        picture = {"colour": colour, "sound": source is None}
        await page.evaluate(
            "([stream, sourceId, codec, picture]) => t.publish(settings, { stream, sourceId: sourceId ?? undefined, codec, picture })",
            [stream, source, codec, picture],
        )
    await fox.evaluate(LIVE, [stream])
    result = await fox.evaluate("""async () => {
      const { until, untilColour, observe } = t;
      const pc = w.pc;
      await untilColour(w, 0, "red");
      await until(() => [null, "cam1", "cam2"].every((id) => w.count("active", id) === 1), "three active events");
      const [a, b] = await Promise.all([w.add(), w.add()]);
      await w.view.project("cam1", [{ media: "video", mediaId: a.mid }]);
      await w.view.project("cam2", [{ media: "video", mediaId: b.mid }]);
      await untilColour(w, a.mid, "green");
      await untilColour(w, b.mid, "blue");
      for (const [source, colour] of [["cam1", "green"], [null, "red"], ["cam2", "blue"]]) {
        await w.view.project(source, [{ media: "video", mediaId: "0" }]);
        await untilColour(w, 0, colour);
      }
      const seen = await observe(w, 0, 3000);
      await w.view.unproject([b.mid]);
      await until(async () => (await observe(w, b.mid, 600)).bytes === 0, "unprojected bytes to stop", 5000);
      return { same: pc === w.pc && pc.connectionState, seen, codec: (await w.stats(0)).codec };
    }""")
    print(result)
    assert result["same"] == "connected"
    assert result["codec"].lower() == f"video/{codec}"
    assert result["seen"]["frames"] > 20


async def test_without_its_h264_plugin_firefox_is_told_so_before_it_connects(fox: Firefox) -> None:
    """The plugin is a download of the vendor, which no test makes. Where one is given, H264 is offered and the tests above have it."""
    offered = await fox.evaluate("async () => RTCRtpSender.getCapabilities('video').codecs.map((one) => one.mimeType)")
    assert ("video/H264" in offered) == bool(OPENH264)
    message = await fox.evaluate("""async () => {
      try {
        await t.leave(await t.publish(settings, { stream: "fox-h264", codec: "h264", picture: { colour: "red" } }));
        return "connected";
      } catch (error) {
        return error.message;
      }
    }""")
    assert message == ("connected" if OPENH264 else "This browser cannot send h264, only vp8, vp9, av1")


async def test_firefox_publishes_each_codec_that_it_has(fox: Firefox, page: Page) -> None:
    for codec in CODECS:
        stream = f"fox-{codec}"
        await fox.evaluate(PUBLISH, [stream, None, "purple", {"codec": codec}])
        await page.evaluate(LIVE, [stream])
        await page.evaluate("() => t.untilColour(w, 0, 'purple')")
        sent = await fox.evaluate(SENT)
        assert [one["codec"].lower() for one in sent] == [f"video/{codec}"]
        await page.evaluate("() => w.view.stop()")
        await fox.evaluate("async () => t.leave(pubs.main)")
