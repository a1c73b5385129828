"""H264 with pictures out of order in, the same pictures in order out. Blocks: call it in a thread."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from rostra.ingest.flv import split_annex_b

MAX_BROKEN: Final = 50
"""Pictures in a row that do not decode."""
MAX_PIXELS: Final = 4096 * 2304
KEY_INTERVAL_MS: Final = 2000
_MAX_BIT_RATE: Final = 8_000_000
_USUAL_RATE: Final = 30
_MIN_RATE: Final = 5
_MAX_RATE: Final = 120
_RATE_CHANGE: Final = 1.3
"""A frame rate that differs by this factor gets a new encoder, at the next key frame."""


class BrokenPicture(Exception):  # noqa: N818 — it ends a connection
    """What comes is no H264 that can be decoded here."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A picture to send. ``time_ms``: of presentation."""

    nals: list[bytes]
    time_ms: int


class Reencoder:
    """One track: x264 without pictures that refer to later ones, at the size of what comes."""

    def __init__(self, after_ms: int) -> None:
        """``after_ms``: pictures up to here were shown as they came; they are decoded and not encoded."""
        self._decoder: Final = _decoder()
        self._encoder: VideoCodecContext | None = None
        self._broken = 0
        self._last_ms = after_ms
        self._last_key_ms = after_ms - KEY_INTERVAL_MS
        self._times_ms: Final[deque[int]] = deque(maxlen=60)
        """When the latest pictures are to be shown, in the order of decoding: for the frame rate."""
        self._rate = _USUAL_RATE
        """Frames per second that the encoder was told."""
        self.key_frame_wanted = False
        """Somebody waits for a key frame."""

    def feed(self, nals: Sequence[bytes], time_ms: int) -> list[Coded]:
        """Take one picture in, in the order of decoding.

        Raises:
            BrokenPicture: nothing has decoded for too long, or the picture is too large.
        """
        self._times_ms.append(time_ms)
        packet = av.Packet(b"".join(b"\0\0\0\1" + nal for nal in nals))
        packet.pts = time_ms
        packet.time_base = Fraction(1, 1000)
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError as error:
            self._broken += 1
            if self._broken > MAX_BROKEN:
                raise BrokenPicture(f"The picture cannot be decoded: {error}") from error
            return []
        self._broken = 0
        found: list[Coded] = []
        for frame in frames:
            if frame.pts is not None and frame.pts > self._last_ms:
                self._last_ms = frame.pts
                found.extend(self._encode(frame, frame.pts))
        return found

    def _encode(self, frame: av.VideoFrame, time_ms: int) -> list[Coded]:
        if frame.width * frame.height > MAX_PIXELS:
            raise BrokenPicture(f"A picture of {frame.width} by {frame.height} is too large to be encoded again")
        size = (max(2, frame.width & ~1), max(2, frame.height & ~1))  # colours are shared by four
        is_due = time_ms - self._last_key_ms >= KEY_INTERVAL_MS
        encoder, rate = self._encoder, self._frame_rate()
        is_other_rate = is_due and not 1 / _RATE_CHANGE <= rate / self._rate <= _RATE_CHANGE
        if encoder is None or (encoder.width, encoder.height) != size or is_other_rate:
            encoder = self._encoder = _encoder(*size, rate)
            self._rate = rate
        if frame.format.name != "yuv420p" or (frame.width, frame.height) != size:
            frame = frame.reformat(*size, format="yuv420p")
        frame.pts = time_ms
        frame.time_base = Fraction(1, 1000)
        wants_key = is_due or (self.key_frame_wanted and time_ms - self._last_key_ms >= KEY_INTERVAL_MS // 4)
        frame.pict_type = PictureType.I if wants_key else PictureType.NONE
        if wants_key:
            self._last_key_ms = time_ms
            self.key_frame_wanted = False
        try:
            packets = encoder.encode(frame)
        except av.FFmpegError as error:
            raise BrokenPicture(f"The picture cannot be encoded: {error}") from error
        return [Coded(split_annex_b(bytes(packet)), packet.pts or time_ms) for packet in packets]

    def _frame_rate(self) -> int:
        """Frames per second of the latest pictures."""
        if len(self._times_ms) < 2:
            return _USUAL_RATE
        span_ms = max(self._times_ms) - min(self._times_ms)
        rate = round((len(self._times_ms) - 1) * 1000 / span_ms) if span_ms > 0 else _USUAL_RATE
        return min(_MAX_RATE, max(_MIN_RATE, rate))


def _decoder() -> VideoCodecContext:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)  # noqa: S101 — what the name says
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    decoder.open()
    return decoder


def _encoder(width: int, height: int, rate: int) -> VideoCodecContext:
    """``rate``: frames per second. Without it, x264 takes the time base for it and gives a picture 1/1000 of a second
    of the bitrate.
    """
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)  # noqa: S101 — what the name says
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 1000)
    encoder.framerate = Fraction(rate)
    encoder.thread_count = 2
    rate = min(_MAX_BIT_RATE, max(1_000_000, 4 * width * height))
    encoder.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "crf": "23",
        "maxrate": str(rate),
        "bufsize": str(rate // 2),
        "forced-idr": "1",
        "g": "600",
    }
    try:
        encoder.open()
    except av.FFmpegError as error:
        raise BrokenPicture(f"A picture of {width} by {height} cannot be encoded again: {error}") from error
    return encoder
