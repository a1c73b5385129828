"""An encoder, as a program of its own: a picture of one colour with a moving bar, and a tone, H264 and Opus, in real time.

``encoder.py VIDEO_PORT AUDIO_PORT`` sends plain RTP to ports of 127.0.0.1: payload types 96 and 111, SSRCs 42 and 43.
It says ``sending`` once, and ends with its input.
"""

import math
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

FPS = 15
RATE = 48_000
WIDTH, HEIGHT = 320, 180
GREEN = (30, 200, 60)
PER_FRAME = RATE // FPS


def pictures() -> Iterator[av.VideoFrame]:
    for number in range(FPS * 600):
        row = bytearray(bytes(GREEN) * WIDTH)
        at = number * 7 % WIDTH
        row[at * 3 : at * 3 + 24] = bytes(len(row[at * 3 : at * 3 + 24]))
        frame = av.VideoFrame(WIDTH, HEIGHT, "rgb24")
        stride = frame.planes[0].line_size
        frame.planes[0].update(bytes(row).ljust(stride, b"\0") * HEIGHT)
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        yield frame


def sounds() -> Iterator[av.AudioFrame]:
    wave = b"".join(
        int(8000 * math.sin(2 * math.pi * 1000 * place / RATE)).to_bytes(2, "little", signed=True) * 2
        for place in range(PER_FRAME)
    )
    for number in range(FPS * 600):
        frame = av.AudioFrame("s16", "stereo", PER_FRAME)
        frame.planes[0].update(wave)
        frame.sample_rate, frame.pts, frame.time_base = RATE, number * PER_FRAME, Fraction(1, RATE)
        yield frame


def add_video(container: OutputContainer) -> VideoStream:
    stream = container.add_stream("libx264", FPS)
    stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 300_000
    stream.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": str(FPS), "bf": "0"}
    return stream


def add_audio(container: OutputContainer) -> AudioStream:
    stream = container.add_stream("libopus", RATE)
    stream.layout = "stereo"
    return stream


def open_rtp(port: str, payload_type: int, ssrc: int) -> OutputContainer:
    options = {"payload_type": str(payload_type), "ssrc": str(ssrc)}
    return av.open(f"rtp://127.0.0.1:{port}?pkt_size=1200", "w", format="rtp", options=options)


def main(video_port: str, audio_port: str) -> None:
    """Encode until standard input ends."""
    video_to, audio_to = open_rtp(video_port, 96, 42), open_rtp(audio_port, 111, 43)
    video, audio = add_video(video_to), add_audio(audio_to)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    began = time.monotonic()
    for number, (picture, sound) in enumerate(zip(pictures(), sounds(), strict=True)):
        for packet in video.encode(picture):
            video_to.mux(packet)
        for packet in audio.encode(sound):
            audio_to.mux(packet)
        if number == 0:
            sys.stdout.write("sending\n")
            sys.stdout.flush()
        if ended.wait(max(0.0, began + (number + 1) / FPS - time.monotonic())):
            break
    video_to.close()
    audio_to.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
