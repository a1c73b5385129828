"""Several sources of one stream, watched and switched in a real browser, with real encoders."""

import pytest
from playwright.async_api import Page

CODECS = ["vp8", "h264", "vp9", "av1"]

# Three sources of different colour; the viewer shows the main one. Leaves `pubs` and `w` on the window.
SET_UP = """async ([stream, codecs]) => {
  const { publish, Watcher, untilColour, until } = t;
  window.pubs = {};
  const sources = [[undefined, "red", codecs[0]], ["cam1", "green", codecs[1]], ["cam2", "blue", codecs[2]]];
  for (const [sourceId, colour, codec] of sources)
    pubs[sourceId ?? "main"] = await publish(settings, { stream, sourceId, codec, picture: { colour, sound: !sourceId } });
  await until(async () => {
    const reply = await fetch("/api/director/subscribe", {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${settings.subscribe_token}` },
      body: JSON.stringify({ streamName: stream, streamAccountId: settings.account_id }),
    });
    return reply.ok;
  }, "the stream to be live");
  window.w = await new Watcher(settings, stream).connect();
  await until(() => [null, "cam1", "cam2"].every((id) => w.count("active", id) === 1), "three active events");
  await untilColour(w, 0, "red");
}"""


@pytest.mark.parametrize("codec", CODECS)
async def test_sources_move_between_pictures_without_renegotiation(page: Page, codec: str) -> None:
    await page.evaluate(SET_UP, [f"move-{codec}", [codec] * 3])
    result = await page.evaluate("""async () => {
      const { untilColour, observe } = t;
      const pc = w.pc;
      // Two slots at once, then projected.
      const [a, b] = await Promise.all([w.add(), w.add()]);
      await w.view.project("cam1", [{ media: "video", mediaId: a.mid }]);
      await w.view.project("cam2", [{ media: "video", mediaId: b.mid }]);
      await untilColour(w, a.mid, "green");
      await untilColour(w, b.mid, "blue");
      const control = await observe(w, 0, 6000);
      const switching = await observe(w, 0, 6000, async () => {
        for (const [source, colour] of [["cam1", "green"], ["cam2", "blue"], [null, "red"], ["cam2", "blue"]]) {
          await w.view.project(source, [{ media: "video", mediaId: "0" }]);
          await untilColour(w, 0, colour);
        }
      });
      await w.view.unproject([b.mid]);
      await t.until(async () => (await observe(w, b.mid, 600)).bytes === 0, "unprojected bytes to stop", 5000);
      return { same: pc === w.pc && pc.connectionState, control, switching, codec: (await w.stats(0)).codec };
    }""")
    print(codec, result)
    assert result["same"] == "connected"
    assert result["codec"].lower() == f"video/{codec}"
    assert result["switching"]["frames"] > 30
    assert result["switching"]["freezes"] <= result["control"]["freezes"]


async def test_three_codecs_pass_through_one_slot(page: Page) -> None:
    await page.evaluate(SET_UP, ["codecs", ["vp8", "h264", "av1"]])
    codecs = await page.evaluate("""async () => {
      const seen = [];
      for (const [source, colour] of [["cam1", "green"], ["cam2", "blue"], [null, "red"], ["cam2", "blue"], ["cam1", "green"]]) {
        await w.view.project(source, [{ media: "video", mediaId: "0" }]);
        await t.untilColour(w, 0, colour);
        seen.push((await t.observe(w, 0, 1000)).frames > 5 && (await w.stats(0)).codec);
      }
      return seen;
    }""")
    assert codecs == ["video/H264", "video/AV1", "video/VP8", "video/AV1", "video/H264"]


async def test_a_source_that_leaves_and_returns_resumes_where_it_was_shown(page: Page) -> None:
    await page.evaluate(SET_UP, ["return", ["vp8"] * 3])
    await page.evaluate("""async () => {
      const { publish, leave, until, untilColour, observe } = t;
      await w.view.project("cam1", [{ media: "video", mediaId: "0" }]);
      await untilColour(w, 0, "green");
      await leave(pubs.cam1);
      await until(() => w.count("inactive", "cam1") === 1, "inactive");
      const gone = await observe(w, 0, 1000);
      if (gone.frames > 3) throw new Error(`still ${gone.frames} frames after it left`);
      pubs.cam1 = await publish(settings, { stream: "return", sourceId: "cam1", codec: "vp8", picture: { colour: "yellow" } });
      await until(() => w.count("active", "cam1") === 2, "active again");
      await untilColour(w, 0, "yellow");
    }""")


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_publishing_a_source_again_takes_over_without_a_gap(page: Page, codec: str) -> None:
    stream = f"again-{codec}"
    await page.evaluate(SET_UP, [stream, [codec] * 3])
    result = await page.evaluate(
        """async ([stream, codec]) => {
      const { publish, leave, untilColour, observe } = t;
      const before = w.events.length;
      let second;
      const seen = await observe(w, 0, 3000, async () => {
        second = await publish(settings, { stream, codec, picture: { colour: "purple" } });
        await untilColour(w, 0, "purple");
      });
      // The newest leaves: the one before it takes over again.
      await leave(second);
      await untilColour(w, 0, "red");
      return { seen, events: w.events.slice(before).filter((e) => e.name !== "viewercount").map((e) => e.name) };
    }""",
        [stream, codec],
    )
    print(result)
    assert result["events"] == []
    assert result["seen"]["standstill"] < 1000
    assert result["seen"]["frames"] > 20


async def test_twenty_slots_can_be_added(page: Page) -> None:
    await page.evaluate(SET_UP, ["twenty", ["vp8"] * 3])
    shown = await page.evaluate("""async () => {
      const slots = await Promise.all(Array.from({ length: 20 }, () => w.add()));
      const want = slots.map((slot, n) => ({ ...slot, colour: n % 2 ? "green" : "blue" }));
      await Promise.all(want.map(({ mid, colour }) =>
        w.view.project(colour === "green" ? "cam1" : "cam2", [{ media: "video", mediaId: mid }])));
      for (const { mid, colour } of want) await t.untilColour(w, mid, colour, 30000);
      return new Set(slots.map((slot) => slot.mid)).size;
    }""")
    assert shown == 20


async def test_two_streams_play_at_once(page: Page) -> None:
    await page.evaluate("""async () => {
      const { publish, Watcher, untilColour, until } = t;
      await publish(settings, { stream: "one", picture: { colour: "red" } });
      await publish(settings, { stream: "two", picture: { colour: "blue" } });
      const watch = async (stream) => {
        const watcher = new Watcher(settings, stream);
        await until(() => watcher.connect().then(() => true, () => watcher.view.stop() && false), `${stream} to be live`);
        return watcher;
      };
      const [one, two] = [await watch("one"), await watch("two")];
      await untilColour(one, 0, "red");
      await untilColour(two, 0, "blue");
    }""")


async def test_chromium_negotiates_an_aead_cipher(page: Page) -> None:
    await page.evaluate(SET_UP, ["cipher", ["vp8"] * 3])
    ciphers = await page.evaluate("""async () => {
      const report = await w.pc.getStats();
      return [...report.values()].filter((one) => one.type === "transport").map((one) => one.srtpCipher);
    }""")
    print(ciphers)
    assert ciphers
    assert all("AEAD_AES_" in cipher for cipher in ciphers)
