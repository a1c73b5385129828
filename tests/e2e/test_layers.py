"""Viewers choose layers of live encoders: by encoding, by spatial and temporal layer, by size; and what they are told of them."""

from typing import Any

import pytest
from playwright.async_api import Page

# What is published, and how many sizes that makes.
KINDS: dict[str, dict[str, Any]] = {
    "rid-vp8": {"codec": "vp8", "simulcast": True},
    "rid-h264": {"codec": "h264", "simulcast": True},
    "ssrc-vp8": {"codec": "vp8", "simulcast": "ssrc"},
    "ssrc-h264": {"codec": "h264", "simulcast": "ssrc"},
    "svc-vp9": {"codec": "vp9", "scalabilityMode": "L3T3_KEY"},
    "svc-av1": {"codec": "av1", "scalabilityMode": "L3T3"},
}
HAVE_TEMPORAL = ["rid-vp8", "ssrc-vp8", "svc-vp9", "svc-av1"]

# Leaves `p`, `w` and `all`, the choices by size, on the window.
SET_UP = """async ([stream, options]) => {
  const { publish, Watcher, until } = t;
  window.p = await publish(settings, { stream, picture: { colour: "green", width: 960, height: 540, fps: 20 }, ...options });
  window.w = l.listen(new Watcher(settings, stream));
  await until(() => w.connect({ events: l.EVENTS }).then(() => true, () => w.view.stop() && false), "the stream to be live");
  window.all = await until(() => {
    const found = l.sizes(w, "0");
    return found.length === 3 && found;
  }, "three sizes", 30000);
  return all;
}"""

# Chooses, and waits for the picture of that height.
SELECT = """async ([layer, height]) => {
  await w.view.select(layer);
  await l.untilShown(t, w, 0, (shown) => Math.abs(shown - height) <= 2, `${height} lines by ${JSON.stringify(layer)}`, 10000);
  return (await w.stats(0)).frameWidth;
}"""


@pytest.mark.parametrize("kind", KINDS)
async def test_select_shows_the_size_that_was_chosen(page: Page, kind: str) -> None:
    sizes = await page.evaluate(SET_UP, [f"select-{kind}", KINDS[kind]])
    high, middle, low = (one["height"] for one in sizes)
    print(
        kind, [(one["encodingId"], one["spatialLayerId"], one["width"], one["height"], one["bitrate"]) for one in sizes]
    )
    for one in [*sizes[::-1], sizes[1]]:
        # As the hosted player does it: the whole entry is sent back.
        width = await page.evaluate(SELECT, [one, one["height"]])
        assert abs(width - one["width"]) <= 2
    await page.evaluate(SELECT, [{"maxHeight": high - 1}, middle])
    await page.evaluate(SELECT, [{"maxWidth": sizes[1]["width"] - 1}, low])
    # Below every layer: the lowest. Zero: no limit.
    await page.evaluate(SELECT, [{"maxHeight": 1}, low])
    await page.evaluate(SELECT, [{"maxHeight": 0, "maxWidth": 0}, high])
    if kind.startswith("svc"):
        await page.evaluate(SELECT, [{"maxSpatialLayerId": 1}, middle])
        await page.evaluate(SELECT, [{"spatialLayerId": 0}, low])
    await page.evaluate(SELECT, [{}, high])


@pytest.mark.parametrize("kind", HAVE_TEMPORAL)
async def test_temporal_layers_change_the_rate_of_pictures_and_not_their_size(page: Page, kind: str) -> None:
    await page.evaluate(SET_UP, [f"temporal-{kind}", KINDS[kind]])
    result = await page.evaluate("""async () => {
      const [, middle] = all;
      const { encodingId, spatialLayerId } = middle;
      const measure = async (layer) => {
        await w.view.select(layer);
        await l.untilShown(t, w, 0, (height) => Math.abs(height - middle.height) <= 2, JSON.stringify(layer), 10000);
        // The change takes effect with the next picture; one second settles it.
        await t.observe(w, 0, 1000);
        return l.rate(t, w, 0, 3000);
      };
      const full = await measure({ encodingId, spatialLayerId });
      const base = await measure({ encodingId, spatialLayerId, temporalLayerId: 0 });
      const most = await measure({ encodingId, spatialLayerId, maxTemporalLayerId: 1 });
      const again = await measure({ encodingId, spatialLayerId });
      return { full, base, most, again };
    }""")
    print(kind, result)
    assert result["base"] < 0.5 * result["full"]
    assert result["base"] < result["most"] < 0.8 * result["full"]
    assert result["again"] > 0.8 * result["full"]


@pytest.mark.parametrize("kind", ["rid-vp8", "ssrc-h264", "svc-vp9"])
async def test_a_projection_brings_its_own_choice(page: Page, kind: str) -> None:
    """The same source in two slots and two sizes; another projection of it is how the choice is changed."""
    await page.evaluate(SET_UP, [f"project-{kind}", KINDS[kind]])
    await page.evaluate("""async () => {
      const [high, middle, low] = all;
      const { mid } = await w.add();
      const expect = async (layer, height) => {
        await w.view.project(null, [{ media: "video", mediaId: mid, layer }]);
        await l.untilShown(t, w, mid, (shown) => Math.abs(shown - height) <= 2, `${height} lines in the slot`, 10000);
      };
      await expect(low, low.height);
      await l.untilShown(t, w, 0, (shown) => Math.abs(shown - high.height) <= 2, "the main picture as before", 10000);
      await expect(middle, middle.height);
      await expect({ maxHeight: low.height }, low.height);
      await expect({}, high.height);
    }""")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_layers_event_equals_what_is_published(page: Page, kind: str) -> None:
    await page.evaluate(SET_UP, [f"event-{kind}", KINDS[kind]])
    # What the publisher counts contains its padding; so the rate is that of the layer that arrives, by the viewer's count.
    result = await page.evaluate("""async () => {
      await w.view.select(all[0]);
      await l.untilShown(t, w, 0, (height) => height === all[0].height, "the highest", 10000);
      const begun = performance.now();
      const from = await w.stats(0);
      await t.observe(w, 0, 4000);
      const to = await w.stats(0);
      const rateOf = (key) => (8000 * ((to[key] ?? 0) - (from[key] ?? 0))) / (performance.now() - begun);
      const rate = rateOf("bytesReceived") - rateOf("retransmittedBytesReceived");
      const headers = rateOf("headerBytesReceived");
      // The report speaks of the second before it.
      const keys = ["encodingId", "spatialLayerId", "temporalLayerId"];
      const same = (one) => keys.every((key) => one[key] === all[0][key]);
      // Temporal layers may have been found since: without one, the choice was the highest, which comes first.
      const chosen = ({ layers }) => layers.find(same) ?? layers.find(({ height }) => height === all[0].height);
      const later = w.layers.filter(({ at }) => at >= begun + 1000);
      const own = later.flatMap(({ medias }) => chosen(medias["0"])?.bitrate ?? []);
      const sent = [...(await p.webRTCPeer.peer.getStats()).values()]
        .filter((one) => one.type === "outbound-rtp" && one.kind === "video")
        .map(({ rid, frameWidth }) => ({ rid, frameWidth }));
      // A browser that is short of processor time leaves out its highest encoding for a while.
      await t.until(() => l.latest(w, "0").inactive.length === 0, "all that is published to flow", 15000);
      const { active, inactive, layers } = l.latest(w, "0");
      return { sent, rate, headers, said: own.reduce((sum, one) => sum + one, 0) / own.length, active, inactive, layers };
    }""")
    active, sent = result["active"], result["sent"]
    print(kind, {name: round(result[name]) for name in ("rate", "headers", "said")})
    assert result["inactive"] == []
    assert active == sorted(active, key=lambda one: -one["bitrate"])
    # A flat picture's packets are hardly more than headers.
    assert 0.6 * result["rate"] < result["said"] < 1.4 * (result["rate"] + result["headers"])
    if kind.startswith("svc"):
        assert len(active) == 1
        assert {one["spatialLayerId"] for one in result["layers"]} == {0, 1, 2}
        assert {one["temporalLayerId"] for one in result["layers"]} == {0, 1, 2}
        assert (active[0]["width"], active[0]["height"]) == (960, 540)
    else:
        assert len(active) == 3
        assert sorted(one["simulcastIdx"] for one in active) == [0, 1, 2]
        by_size = sorted(active, key=lambda one: one["simulcastIdx"])
        assert [one["width"] for one in by_size] == sorted(one["frameWidth"] for one in sent)
        assert {one["encodingId"] for one in result["layers"]} == {one["id"] for one in active}
    if kind.startswith("rid"):
        named = {one["rid"]: one["frameWidth"] for one in sent}
        assert {one["id"]: one["width"] for one in active} == named


async def test_a_chosen_encoding_that_stops_falls_to_the_next_lower_and_returns(page: Page) -> None:
    await page.evaluate(SET_UP, ["stops", KINDS["rid-vp8"]])
    await page.evaluate("""async () => {
      const [high, middle] = all;
      const [sender] = p.webRTCPeer.peer.getSenders().filter((one) => one.track?.kind === "video");
      const set = async (active) => {
        const parameters = sender.getParameters();
        parameters.encodings.find(({ rid }) => rid === high.encodingId).active = active;
        await sender.setParameters(parameters);
      };
      await w.view.select(high);
      await l.untilShown(t, w, 0, (height) => height === high.height, "the highest", 10000);
      await set(false);
      await l.untilShown(t, w, 0, (height) => height === middle.height, "the next lower", 10000);
      await t.until(() => l.latest(w, "0").inactive.some(({ id }) => id === high.encodingId), "it among the inactive", 10000);
      await set(true);
      await l.untilShown(t, w, 0, (height) => height === high.height, "the highest again", 15000);
    }""")
