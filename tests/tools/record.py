"""Record what Chromium's encoders send, for ``rostra-load publish --replay``.

``python -m tests.tools.record [NAME ...]`` writes ``tests/data/recordings/NAME.rtp``; needs Chromium and
``cargo build --release -p rostra-load``. On a machine that is busy with other things encoders drop frames and layers.
"""

import argparse
import asyncio
import json
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from tests.e2e.conftest import CHROMIUM, FLAGS

ROOT = Path(__file__).parents[2]
LOAD = ROOT / "target" / "release" / "rostra-load"
RECORDINGS = ROOT / "tests" / "data" / "recordings"
PAGE = "http://127.0.0.1/"


@dataclass(frozen=True, slots=True)
class Kind:
    """A recording: the codec, and the encodings as ``RTCRtpEncodingParameters``."""

    codec: str
    width: int
    height: int
    fps: int
    encodings: list[dict[str, Any]]

    @property
    def rids(self) -> list[str]:
        return [one["rid"] for one in self.encodings if "rid" in one]


def simulcast(codec: str) -> Kind:
    """Three encodings, lowest first."""
    rates = {"0": (150_000, 4), "1": (500_000, 2), "2": (1_500_000, 1)}
    encodings = [
        {"rid": rid, "maxBitrate": rate, "scaleResolutionDownBy": scale} for rid, (rate, scale) in rates.items()
    ]
    return Kind(codec, 960, 540, 25, encodings)


def scalable(codec: str, mode: str) -> Kind:
    """One encoding with layers inside."""
    return Kind(codec, 960, 540, 20, [{"scalabilityMode": mode, "maxBitrate": 2_800_000}])


KINDS = {
    "vp8-simulcast": simulcast("VP8"),
    "h264-simulcast": simulcast("H264"),
    "vp9-l3t3-key": scalable("VP9", "L3T3_KEY"),
    "av1-l3t3": scalable("AV1", "L3T3"),
}

# A picture with enough detail and motion that every encoder reaches its rate; resolves with the offer.
PUBLISH = """async ({ codec, width, height, fps, encodings }) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const noise = new ImageData(width + 64, height + 48);
  for (let n = 0; n < noise.data.length; n += 1) noise.data[n] = n % 4 === 3 ? 255 : 116 + 8 * Math.random();
  const grain = await createImageBitmap(noise);
  let frame = 0;
  const draw = () => {
    frame += 1;
    context.drawImage(grain, -((frame * 3) % 64), -((frame * 2) % 48));
    for (let n = 0; n < 6; n += 1) {
      const angle = frame / 20 + n;
      context.fillStyle = `hsl(${(n * 60 + frame) % 360} 80% 50%)`;
      context.beginPath();
      const [x, y] = [0.5 + 0.35 * Math.cos(angle), 0.5 + 0.35 * Math.sin(angle * 1.3)];
      context.arc(width * x, height * y, height / 9, 0, 7);
      context.fill();
    }
    context.fillStyle = "white";
    context.font = `${height / 5}px sans-serif`;
    context.fillText(String(frame), 20, height - 20);
  };
  draw();
  setInterval(draw, 1000 / fps);
  const [track] = canvas.captureStream(fps).getVideoTracks();
  const pc = new RTCPeerConnection();
  const transceiver = pc.addTransceiver(track, { direction: "sendonly", sendEncodings: encodings });
  const { codecs } = RTCRtpReceiver.getCapabilities("video");
  const of = (name) => codecs.filter((one) => one.mimeType === `video/${name}`);
  const fits = (one) => codec !== "H264" || /packetization-mode=1;profile-level-id=42e01f/.test(one.sdpFmtpLine);
  transceiver.setCodecPreferences([...of(codec).filter(fits), ...of("rtx")]);
  // With dependency descriptors Chromium leaves picture ids and temporal layers out of VP8's own ones.
  const isOld = codec === "VP8" || codec === "H264";
  const extensions = transceiver.getHeaderExtensionsToNegotiate();
  for (const one of extensions) {
    if (/abs-capture-time|video-layers-allocation/.test(one.uri)) one.direction = "sendrecv";
    if (/dependency-descriptor/.test(one.uri)) one.direction = isOld ? "stopped" : "sendrecv";
  }
  transceiver.setHeaderExtensionsToNegotiate(extensions);
  await pc.setLocalDescription(await pc.createOffer());
  await new Promise((resolve) => {
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
  });
  window.pc = pc;
  return pc.localDescription.sdp;
}"""

# The answer, with a rate that the sender trusts from the start, so that a busy machine does not cost the upper layers.
ANSWER = """async ({ sdp, kbps }) => {
  const rate = `x-google-start-bitrate=${kbps};x-google-min-bitrate=${kbps}`;
  const [, pt] = /a=rtpmap:(\\d+) (?!rtx)/.exec(sdp.slice(sdp.indexOf("m=video")));
  const lines = sdp.split("\\r\\n");
  const at = lines.findIndex((line) => line.startsWith(`a=fmtp:${pt} `));
  if (at >= 0) lines[at] += `;${rate}`;
  else lines.splice(lines.findIndex((line) => line.startsWith(`a=rtpmap:${pt} `)) + 1, 0, `a=fmtp:${pt} ${rate}`);
  await pc.setRemoteDescription({ type: "answer", sdp: lines.join("\\r\\n") });
}"""

# What became of the encodings.
STATS = """async () => {
  const keys = ["rid", "frameWidth", "framesPerSecond", "scalabilityMode", "qualityLimitationReason"];
  const sent = [...(await pc.getStats()).values()].filter((one) => one.type === "outbound-rtp");
  return sent.map((one) => Object.fromEntries(keys.map((key) => [key, one[key]])));
}"""


async def record(name: str, seconds: int) -> None:
    """Make one recording and print what came."""
    kind = KINDS[name]
    target = RECORDINGS / f"{name}.rtp"
    command = [str(LOAD), "record", "--file", str(target), "--codec", kind.codec, "--seconds", str(seconds)]
    if kind.rids:
        command += ["--rids", ",".join(kind.rids)]
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = await chromium.new_page()
        await page.route(PAGE, lambda route: route.fulfill(body="<title>record</title>", content_type="text/html"))
        await page.goto(PAGE)
        settings = {one: getattr(kind, one) for one in ("codec", "width", "height", "fps", "encodings")}
        offer = await page.evaluate(PUBLISH, settings)
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"sdp": offer}).encode() + b"\n")
        answer = json.loads(await process.stdout.readline())
        await page.evaluate(ANSWER, {"sdp": answer["sdp"], "kbps": 3000})
        totals = await process.stdout.read()
        print(name, totals.decode().strip())
        for encoding in await page.evaluate(STATS):
            print("  ", json.dumps(encoding))
        await chromium.close()
        if await process.wait() != 0:
            raise SystemExit(f"{name}: no recording")
    print(f"   {target.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """All of them, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(KINDS))
    parser.add_argument("--seconds", type=int, default=9)
    arguments = parser.parse_args()
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or KINDS:
        asyncio.run(record(name, arguments.seconds))


if __name__ == "__main__":
    main()
