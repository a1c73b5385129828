"""Flash and beep of ffmpeg, as far as the feed: measured by the clocks of the reports, faster than real time.

``RTMP_SECONDS``: how much of it; what drifts, drifts in ten minutes (600).
"""

import array
import asyncio
import os
from dataclasses import dataclass, field

import av
from aiortc.rtp import RtcpPacket, RtcpSrPacket, RtpPacket

from tests.ingest.conftest import TOKEN, Place
from tests.ingest.test_packets import h264_back

SECONDS = int(os.environ.get("RTMP_SECONDS", "70"))
PICTURE = "color=c=black:s=64x64:r=25,drawbox=c=white:t=fill:enable='lt(mod(t,1),0.1)'"
SOUND = "aevalsrc=0.8*sin(2*PI*1000*t)*lt(mod(t\\,1)\\,0.1):s=44100:c=stereo"


@dataclass
class Listener:
    """When the flashes and beeps of a feed are, in milliseconds of the reports' clock."""

    video: int
    audio: int
    flashes: list[float] = field(default_factory=list)
    beeps: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clocks: dict[int, tuple[float, int]] = {}
        self.payloads: list[bytes] = []
        self.eye = av.CodecContext.create("h264", "r")
        self.eye.thread_count = 1
        self.ear = av.CodecContext.create("libopus", "r")
        self.ear.sample_rate, self.ear.layout = 48_000, "stereo"
        self.is_lit = self.is_loud = False
        self.quiet = 1000

    def take(self, frame: bytes) -> None:
        if frame[0] == 0x12:
            for report in RtcpPacket.parse(frame[16:]):
                if isinstance(report, RtcpSrPacket):
                    info = report.sender_info
                    self.clocks[report.ssrc] = info.ntp_timestamp * 1000 / 2**32, info.rtp_timestamp
            return
        packet = RtpPacket.parse(frame[16:])
        if packet.ssrc == self.video:
            self.payloads.append(packet.payload)
            if packet.marker:
                self.see(h264_back(self.payloads), self.when(packet, 90))
                self.payloads = []
        else:
            self.hear(packet.payload, self.when(packet, 48))

    def when(self, packet: RtpPacket, clock: int) -> float:
        ntp, rtp = self.clocks[packet.ssrc]
        return ntp + ((packet.timestamp - rtp + 2**31) % 2**32 - 2**31) / clock

    def see(self, picture: bytes, at: float) -> None:
        for frame in self.eye.decode(av.Packet(picture)):
            lit = bytes(frame.planes[0])[32 * frame.planes[0].line_size + 32] > 128
            if lit and not self.is_lit:
                self.flashes.append(at)
            self.is_lit = lit

    def hear(self, packet: bytes, at: float) -> None:
        for frame in self.ear.decode(av.Packet(packet)):
            samples = array.array("h" if frame.format.name.startswith("s16") else "f", bytes(frame.planes[0]))
            most = 3277 if frame.format.name.startswith("s16") else 0.1
            step = len(samples) // frame.samples
            for place in range(0, frame.samples, 48):
                loud = max(map(abs, samples[place * step : (place + 48) * step])) > most
                if loud and not self.is_loud and self.quiet > 100:
                    self.beeps.append(at + place / 48)
                self.is_loud = loud
                self.quiet = 0 if loud else self.quiet + 1


async def test_sound_and_picture_of_ffmpeg_do_not_drift(ingest: Place) -> None:
    encoder = await asyncio.create_subprocess_exec(
        *["ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND],
        *["-t", str(SECONDS), "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "50"],
        *["-c:a", "aac", "-f", "flv", f"rtmp://{ingest.address}/v2/pub/demo?token={TOKEN}"],
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    transport = await ingest.feed()
    audio, video = (receive.encodings[0].ssrc for receive in ingest.engine.feed_spec(transport).receive)
    assert audio is not None
    assert video is not None
    listener = Listener(video, audio)
    while transport in ingest.engine.transports():
        if (frame := ingest.engine.read_frame(transport)) is not None:
            listener.take(frame)
        else:
            await asyncio.sleep(0.001)
    assert await encoder.wait() == 0
    # By the nearest: a reader that is held up for seconds loses packets, and a flash with them.
    offsets = [min((beep - flash for beep in listener.beeps), key=abs) for flash in listener.flashes]
    print(f"beep after flash, ms, of {len(offsets)}: {min(offsets):.1f} to {max(offsets):.1f}, last {offsets[-1]:.1f}")
    assert len(offsets) >= SECONDS * 0.9
    assert all(-25 < offset < 25 for offset in offsets)
    assert not ingest.problems()
