"""Frames that are encrypted in the page: the server changes layers and sources by headers that stay clear, and reads nothing else.

What has to stay clear, and what Chromium lets a page do, is in docs/interop.md.
"""

from typing import Any

import pytest
from playwright.async_api import Page

KINDS: dict[str, dict[str, Any]] = {
    "vp8": {"codec": "vp8", "simulcast": True},
    "h264": {"codec": "h264", "simulcast": True},
    "vp9": {"codec": "vp9", "scalabilityMode": "L3T3_KEY"},
    "av1": {"codec": "av1", "scalabilityMode": "L3T3", "dependencyDescriptor": True},
}

# `scramble(codec)` changes every byte that may be hidden, and applied twice changes nothing.
SCRAMBLE = """() => {
  // Leaves 0 to 3 alone and makes none of them: no start code comes or goes (H.264 §7.4.1).
  const swap = (byte) => (byte < 4 || (byte ^ 0x5a) < 4 ? byte : byte ^ 0x5a);
  const range = (bytes, from, to, change) => {
    for (let n = from; n < to; n += 1) bytes[n] = change(bytes[n]);
  };
  const xor = (byte) => byte ^ 0x5a;
  const codecs = {
    // The payload header: 10 bytes of a key frame, 3 of others (RFC 6386 §9.1).
    vp8: (bytes, frame) => range(bytes, frame.type === "key" ? 10 : 3, bytes.length, xor),
    // Parameter sets stay clear, and of slices the NAL header.
    h264(bytes) {
      const starts = [];
      for (let n = 0; n + 2 < bytes.length; n += 1) {
        if (bytes[n] === 0 && bytes[n + 1] === 0 && bytes[n + 2] === 1) starts.push(n + 3);
      }
      starts.forEach((start, index) => {
        const end = (starts[index + 1] ?? bytes.length + 3) - 3;
        const type = bytes[start] & 31;
        if (type === 1 || type === 5) range(bytes, start + 1, end, swap);
      });
    },
    // The descriptor in front of the frame says it all.
    vp9: (bytes) => range(bytes, 0, bytes.length, xor),
    // The packetiser reads headers and sizes of the OBUs (AV1 §5.3); their contents are hidden.
    av1(bytes) {
      let at = 0;
      while (at < bytes.length) {
        const header = bytes[at];
        const type = (header >> 3) & 15;
        at += header & 4 ? 2 : 1;
        let size = bytes.length - at;
        if (header & 2) {
          size = 0;
          for (let shift = 0; ; shift += 7) {
            const byte = bytes[at++];
            size |= (byte & 127) << shift;
            if (!(byte & 128)) break;
          }
        }
        if (type === 3 || type === 4 || type === 6) range(bytes, at, at + size, xor);
        at += size;
      }
    },
  };
  window.scramble = (codec) => new TransformStream({
    transform(frame, controller) {
      const bytes = new Uint8Array(frame.data);
      codecs[codec](bytes, frame);
      frame.data = bytes.buffer;
      controller.enqueue(frame);
    },
  });
}"""

SET_UP = """async ([stream, options]) => {
  const { Publish, Director, Watcher, until, testPicture } = t;
  const peerConfig = { encodedInsertableStreams: true };
  const send = async (colour, sourceId) => {
    const mediaStream = testPicture({ colour, width: 960, height: 540, fps: 20 });
    const publisher = new Publish(() => Director.getPublisher({ token: settings.publish_token, streamName: stream }));
    await publisher.connect({ mediaStream, sourceId, peerConfig, ...options });
    for (const sender of publisher.webRTCPeer.peer.getSenders()) {
      const { readable, writable } = sender.createEncodedStreams();
      readable.pipeThrough(scramble(options.codec)).pipeTo(writable);
    }
  };
  await send("green");
  window.w = l.listen(new Watcher(settings, stream));
  w.view.on("track", (event) => {
    const { readable, writable } = event.receiver.createEncodedStreams();
    const restore = event.track.kind === "video" ? scramble(options.codec) : new TransformStream();
    readable.pipeThrough(restore).pipeTo(writable);
  });
  await until(() => w.connect({ peerConfig, events: l.EVENTS }).then(() => true, () => w.view.stop() && false), "the stream to be live");
  await t.untilColour(w, 0, "green", 20000);
  window.all = await until(() => {
    const found = l.sizes(w, "0");
    return found.length === 3 && found;
  }, "three sizes", 30000);
  await send("blue", "cam1");
  await until(() => w.count("active", "cam1") === 1, "the other source");
}"""


@pytest.mark.parametrize("codec", KINDS)
async def test_encrypted_frames_switch_sources_and_change_layers(page: Page, codec: str) -> None:
    await page.evaluate(SCRAMBLE)
    await page.evaluate(SET_UP, [f"encrypted-{codec}", KINDS[codec]])
    result = await page.evaluate("""async () => {
      const shown = [];
      for (const one of [...all].reverse()) {
        await w.view.select(one);
        await l.untilShown(t, w, 0, (height) => Math.abs(height - one.height) <= 2, `${one.height} lines`, 10000);
        await t.untilColour(w, 0, "green");
        shown.push(one.height);
      }
      await w.view.project("cam1", [{ media: "video", mediaId: "0" }]);
      await t.untilColour(w, 0, "blue");
      await w.view.project(null, [{ media: "video", mediaId: "0" }]);
      await t.untilColour(w, 0, "green");
      return { shown, seen: await t.observe(w, 0, 2000) };
    }""")
    print(codec, result)
    assert len(result["shown"]) == 3
    assert result["seen"]["frames"] > 20
