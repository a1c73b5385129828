"""Recordings of real encoders, sent by ``rostra-load publish --replay``, as a browser shows them."""

import pytest
from playwright.async_api import Page

from .conftest import Server
from .network import replaying

RECORDINGS = {
    "vp8-simulcast": "video/VP8",
    "h264-simulcast": "video/H264",
    "vp9-l3t3-key": "video/VP9",
    "av1-l3t3": "video/AV1",
}


@pytest.mark.parametrize("recording", RECORDINGS)
async def test_a_recording_is_decoded_past_its_end(page: Page, server: Server, recording: str) -> None:
    """It is eight seconds long; ten are watched."""
    stream = f"replay-{recording}"
    with replaying(server, recording, stream):
        result = await page.evaluate(
            """async (stream) => {
          const w = new t.Watcher(settings, stream);
          await t.until(() => w.connect().then(() => true, () => w.view.stop() && false), "the stream to be live");
          await t.until(async () => (await w.stats(0)).framesDecoded > 0, "a frame");
          const before = await w.stats(0);
          const seen = await t.observe(w, 0, 10000);
          const { codec, pliCount, frameWidth, packetsLost } = await w.stats(0);
          await w.view.stop();
          return { seen, codec, frameWidth, packetsLost, plis: pliCount - before.pliCount };
        }""",
            stream,
        )
    print(recording, result)
    assert result["codec"] == RECORDINGS[recording]
    assert result["seen"]["frames"] > 100
    assert result["seen"]["standstill"] < 1000
    assert result["plis"] <= 1
