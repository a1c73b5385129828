"""A line that becomes slow and fast again, with layers of real encoders behind it.

The times are those that a viewer notices: the server's word, by the ``layers`` event, and the size of the decoded picture.
The aims are 1 s for the decision, 4 s for the smaller picture, 10 s for the large one again, and one freeze. The printed
line is held against them (docs/bandwidth.md); the bounds of the test leave room for a machine that is busy with a
browser's encoders and decoders.
"""

from typing import Any

import pytest
from playwright.async_api import Page

from .conftest import Server
from .network import line, replaying
from .test_link import THROUGH

RECORDINGS = ["vp8-simulcast", "h264-simulcast", "vp9-l3t3-key", "av1-l3t3"]

# Through the port; leaves `w` on the window, and waits for the highest layer.
WATCH = """async ([stream, port]) => {
  window.through = port;
  window.w = l.listen(new t.Watcher(settings, stream));
  await t.until(() => w.connect({ events: l.EVENTS }).then(() => true, () => w.view.stop() && false), "the stream to be live");
  await l.untilShown(t, w, 0, (height) => height >= 540, "the highest layer at first", 20000);
}"""

# Just before the line changes: what later figures are measured from.
MARK = """async () => {
  const { framesDecoded, freezeCount, pliCount } = await w.stats(0);
  window.mark = { at: performance.now(), framesDecoded, freezeCount, pliCount };
}"""

# The queue of 200 ms fills before any feedback shows that the line is slow, and takes as long to come back with.
DOWN = """async () => {
  const said = await l.untilSaid(t, w, 0, mark.at, (height) => height < 540, "the server to go down", 8000);
  const shown = await l.untilShown(t, w, 0, (height) => height < 540, "a smaller picture", 12000);
  return { said: said - mark.at, shown: shown - mark.at };
}"""

UP = """async () => {
  const shown = await l.untilShown(t, w, 0, (height) => height >= 540, "the highest layer again", 20000);
  return { shown: shown - mark.at };
}"""

TOTALS = """async (before) => {
  const { framesDecoded, freezeCount, pliCount } = await w.stats(0);
  return { frames: framesDecoded - before.framesDecoded, freezes: freezeCount - before.freezeCount, plis: pliCount - before.pliCount };
}"""


@pytest.mark.parametrize("recording", RECORDINGS)
async def test_the_picture_follows_the_line_down_and_up(page: Page, server: Server, recording: str) -> None:
    await page.evaluate(THROUGH)
    with (
        line(server, "--down-rate", "4M", "--queue-ms", "200") as network,
        replaying(server, recording, f"line-{recording}"),
    ):
        await page.evaluate(WATCH, [f"line-{recording}", network.port])
        await page.evaluate(MARK)
        before: dict[str, Any] = await page.evaluate("() => mark")
        network.now("--down-rate", "600k")
        down = await page.evaluate(DOWN)
        # Long enough to see that it stays there: the low layer is shown on without a break.
        slow = await page.evaluate("() => t.observe(w, 0, 4000)")
        await page.evaluate(MARK)
        network.now("--down-rate", "4M")
        up = await page.evaluate(UP)
        fast = await page.evaluate("() => t.observe(w, 0, 3000)")
        totals = await page.evaluate(TOTALS, before)
        await page.evaluate("() => w.view.stop()")
    print(recording, {"down": down, "up": up, "slow": slow, "fast": fast, "totals": totals})
    assert down["said"] < 3000
    assert down["shown"] < 6000
    assert up["shown"] < 15000
    assert totals["freezes"] <= 5
    # A decoder that cannot go on asks for key frames and shows nothing.
    assert totals["plis"] <= 4
    assert slow["frames"] > 20
    assert slow["standstill"] < 2000
    assert fast["frames"] > 15


# Of smaller pictures than 960 by 540 Chromium sends two encodings only, and not the highest.
LIVE: dict[str, tuple[int, int, dict[str, Any]]] = {
    "vp8": (960, 540, {"codec": "vp8", "simulcast": True}),
    "h264": (960, 540, {"codec": "h264", "simulcast": True}),
    "vp9": (640, 360, {"codec": "vp9", "scalabilityMode": "L3T3_KEY"}),
    "av1": (640, 360, {"codec": "av1", "scalabilityMode": "L3T3"}),
}

# The publisher's way is free, the viewer's is a line. Leaves the sizes that are published on the window, highest first.
LIVE_SET_UP = """async ([stream, port, width, height, options]) => {
  const picture = { colour: "blue", width, height, fps: 15, busy: true };
  window.p = await t.publish(settings, { stream, picture, ...options });
  window.through = port;
  window.w = l.listen(new t.Watcher(settings, stream));
  await t.until(() => w.connect({ events: l.EVENTS }).then(() => true, () => w.view.stop() && false), "the stream to be live");
  await l.untilShown(t, w, 0, (shown) => shown === height, "the highest layer at first", 40000);
  // The rates of a publisher that has just begun still grow.
  await t.observe(w, 0, 3000);
  window.all = l.sizes(w, "0");
  return all.map(({ bitrate }) => bitrate);
}"""


@pytest.mark.parametrize("codec", LIVE)
async def test_live_encoders_are_followed_down_and_up(page: Page, server: Server, codec: str) -> None:
    await page.evaluate(THROUGH)
    with line(server, "--down-rate", "4M", "--queue-ms", "200") as network:
        width, height, options = LIVE[codec]
        high, lower, *_ = await page.evaluate(LIVE_SET_UP, [f"live-{codec}", network.port, width, height, options])
        await page.evaluate(MARK)
        before: dict[str, Any] = await page.evaluate("() => mark")
        # Between the two, with room for headers and the margin before going up.
        rate = max(lower * 13 // 10 + 40_000, (lower + high) // 2)
        network.now("--down-rate", str(rate))
        await page.evaluate(
            "(height) => l.untilShown(t, w, 0, (shown) => shown < height, 'a smaller picture', 30000)", height
        )
        slow = await page.evaluate("() => t.observe(w, 0, 3000)")
        network.now("--down-rate", "4M")
        await page.evaluate(
            "(height) => l.untilShown(t, w, 0, (shown) => shown === height, 'the highest layer again', 40000)", height
        )
        fast = await page.evaluate("() => t.observe(w, 0, 3000)")
        totals = await page.evaluate(TOTALS, before)
        await page.evaluate("() => w.view.stop()")
        await page.evaluate("() => t.leave(p)")
    print(codec, {"rates": [high, lower], "line": rate, "slow": slow, "fast": fast, "totals": totals})
    # The lowest temporal layer alone has a quarter of 15 pictures a second.
    assert slow["frames"] > 6
    assert fast["frames"] > 10
    assert totals["plis"] <= 4


async def test_of_two_projected_sources_the_promoted_one_keeps_the_higher_layer(page: Page, server: Server) -> None:
    await page.evaluate(THROUGH)
    stream = "promoted"
    with (
        line(server, "--down-rate", "6M", "--queue-ms", "200") as network,
        replaying(server, "vp8-simulcast", stream),
        replaying(server, "vp8-simulcast", stream, "cam1"),
        replaying(server, "vp8-simulcast", stream, "cam2"),
    ):
        mids = await page.evaluate(
            """async ([stream, port]) => {
          window.through = port;
          window.w = l.listen(new t.Watcher(settings, stream));
          await t.until(() => w.connect({ events: l.EVENTS }).then(() => true, () => w.view.stop() && false), "the stream to be live");
          await t.until(() => ["cam1", "cam2"].every((id) => w.count("active", id) === 1), "two more sources");
          const [a, b] = await Promise.all([w.add(), w.add()]);
          await w.view.unproject(["0"]);
          await w.view.project("cam1", [{ media: "video", mediaId: a.mid }]);
          await w.view.project("cam2", [{ media: "video", mediaId: b.mid, promote: true }]);
          for (const { mid } of [a, b]) await l.untilShown(t, w, mid, (height) => height >= 540, `the highest layer of ${mid}`, 20000);
          return [a.mid, b.mid];
        }""",
            [stream, network.port],
        )
        # The higher encoding at half its frame rate and the lowest one of the other, with a margin.
        network.now("--down-rate", "1700k")
        heights = await page.evaluate(
            """async ([a, b]) => {
          await l.untilShown(t, w, a, (height) => height < 540, "the other one to go down", 20000);
          const steady = await t.observe(w, b, 5000);
          const [low, high] = [await w.stats(a), await w.stats(b)];
          await w.view.stop();
          return { low: low.frameHeight, high: high.frameHeight, steady };
        }""",
            mids,
        )
    print(heights)
    assert heights["high"] > heights["low"]
    # Fewer temporal layers may be what the line carries of the better picture.
    assert heights["steady"]["frames"] > 25
    assert heights["steady"]["standstill"] < 1000
