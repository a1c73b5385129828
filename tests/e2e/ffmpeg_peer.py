"""FFmpeg's WHIP muxer as PyAV brings it: ``ffmpeg_peer.py URL TOKEN [OPTION=VALUE …]`` publishes a red picture and a tone until it is ended.

FFmpeg makes a certificate on P-224 and offers to be the server of DTLS; nothing here says otherwise.
"""

import math
import struct
import sys
import time
from fractions import Fraction

import av

RATE = 48_000
SAMPLES = 960


def main(url: str, token: str, *options: str) -> None:
    settings = {"authorization": token, **dict(option.split("=", 1) for option in options)}
    with av.open(url, "w", format="whip", options=settings) as out:
        video = out.add_stream("libx264", rate=30, options={"preset": "ultrafast", "tune": "zerolatency", "g": "30"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.profile = "Baseline"
        audio = out.add_stream("libopus", rate=RATE, layout="stereo")
        picture = av.VideoFrame(320, 180, "rgb24")
        picture.planes[0].update(bytes((200, 30, 30)) * (picture.planes[0].buffer_size // 3))
        red = picture.reformat(format="yuv420p")
        tone = [int(8_000 * math.sin(2 * math.pi * 450 * n / RATE)) for n in range(SAMPLES)]
        sound = struct.pack(f"<{2 * SAMPLES}h", *(value for value in tone for _ in range(2)))
        start = time.monotonic()
        pictures = sounds = 0
        while True:
            red.pts, red.time_base = pictures, Fraction(1, 30)
            out.mux(video.encode(red))
            pictures += 1
            while sounds * SAMPLES / RATE < pictures / 30:
                frame = av.AudioFrame("s16", "stereo", SAMPLES)
                frame.planes[0].update(sound)
                frame.sample_rate, frame.pts, frame.time_base = RATE, sounds * SAMPLES, Fraction(1, RATE)
                out.mux(audio.encode(frame))
                sounds += 1
            time.sleep(max(0, start + pictures / 30 - time.monotonic()))


if __name__ == "__main__":
    main(*sys.argv[1:])
