"""What the SDK does to frames and descriptions, against real encoders and decoders."""

import pytest
from playwright.async_api import Page

# A publisher and a viewer of one stream, both with metadata; leaves `p`, `w` and `heard` on the window.
SET_UP = """async ([stream, options]) => {
  const { publish, Watcher, until } = t;
  const picture = { colour: "red", width: 960, height: 540 };
  window.p = await publish(settings, { stream, codec: "h264", metadata: true, picture, ...options });
  await until(() => p.isActive(), "the publisher to be connected");
  window.w = new Watcher(settings, stream);
  window.heard = [];
  w.view.on("metadata", ({ mid, track, uuid, timecode, unregistered }) =>
    heard.push({ mid, kind: track.kind, uuid, late: timecode && Date.now() - timecode.getTime(), unregistered }));
  // The stream is live with its first packet.
  await until(() => w.view.state !== "idle" || w.connect({ metadata: true }).then(() => true, () => false), "a viewer");
  await until(async () => (await w.stats(0)).framesDecoded > 3, "a picture", 30000);
}"""
TIMED_JSON = "d40e38ea-d419-4c62-94ed-20ac37b4e4fa"
VALUE = {"text": "Grüße \0\0\1", "list": [1, None, True]}

WAYS = {
    "script transforms": "undefined",
    "encoded streams": "void delete window.RTCRtpScriptTransform",
}


@pytest.mark.parametrize("way", WAYS)
async def test_metadata_arrives_with_the_pictures(page: Page, way: str) -> None:
    await page.evaluate(WAYS[way])
    await page.evaluate(SET_UP, [f"metadata-{way.split()[0]}", {}])
    heard = await page.evaluate(
        """async (value) => {
          p.sendMetadata(value);
          p.sendMetadata([7], "6e9cfd2a-5907-49ff-b363-8978a6e8340e");
          await t.until(() => heard.length >= 2, "metadata");
          const { framesDecoded } = await w.stats(0);
          await t.until(async () => (await w.stats(0)).framesDecoded > framesDecoded + 5, "pictures after it");
          return heard;
        }""",
        VALUE,
    )
    first, second = heard
    assert (first["mid"], first["kind"], first["uuid"]) == ("0", "video", TIMED_JSON)
    assert first["unregistered"] == VALUE
    assert -1_000 < first["late"] < 5_000
    assert second["unregistered"] == [7]


@pytest.mark.parametrize(("codec", "by"), [("h264", "rid"), ("h264", "ssrc"), ("vp8", "ssrc")])
async def test_simulcast_sends_three_sizes(page: Page, codec: str, by: str) -> None:
    options = {"stream": f"sizes-{codec}-{by}", "codec": codec, "simulcast": by}
    result = await page.evaluate(
        """async (options) => {
      const picture = { colour: "red", width: 960, height: 540 };
      const p = await t.publish(settings, { picture, ...options });
      const encodings = async () =>
        [...(await p.webRTCPeer.getStats()).values()]
          .filter((one) => one.type === "outbound-rtp" && one.kind === "video" && one.framesEncoded > 0);
      await t.until(async () => (await encodings()).length === 3, "three encodings", 30000);
      const sizes = (await encodings()).map(({ frameWidth }) => frameWidth).sort((a, b) => a - b);
      const group = /a=ssrc-group:SIM (.*)/.exec(p.getRTCPeerConnection().localDescription.sdp)?.[1];
      // The order of the group is that of the sizes.
      const bySsrc = new Map((await encodings()).map(({ ssrc, frameWidth }) => [String(ssrc), frameWidth]));
      return { sizes, grouped: group?.trim().split(" ").map((ssrc) => bySsrc.get(ssrc)) };
    }""",
        options,
    )
    assert result["sizes"] == [240, 480, 960]
    assert result.get("grouped") == (result["sizes"] if by == "ssrc" else None)
