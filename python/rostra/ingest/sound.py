"""AAC in, Opus out: stereo, 48 kHz, 20 ms, each packet with its level. Blocks: call it in a thread."""

import array
import math
from dataclasses import dataclass
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler

RATE: Final = 48_000
FRAME: Final = 960
BIT_RATE: Final = 128_000
MAX_DRIFT: Final = RATE * 30 // 1000
"""How far samples may be from the encoder's timestamps, which are whole milliseconds, before they are put right."""
LOOKAHEAD: Final = 312
"""Samples by which libopus is late (OpusHead's pre-skip)."""
MAX_BROKEN: Final = 50
"""Frames in a row that do not decode, about a second."""
_SILENT: Final = 127


class BrokenSound(Exception):  # noqa: N818 — it ends a connection
    """What comes is no AAC."""


@dataclass(frozen=True, slots=True)
class Opus:
    """20 ms of sound. ``timestamp``: samples, not wrapping; ``level``: RFC 6464."""

    timestamp: int
    data: bytes
    level: int


class Transcoder:
    """One track, in order."""

    def __init__(self, config: bytes) -> None:
        """``config``: the AudioSpecificConfig.

        Raises:
            BrokenSound: the decoder cannot be made of it.
        """
        self._decoder: Final = _decoder(config)
        self._encoder: Final = _encoder()
        self._resampler: AudioResampler | None = None
        self._format: tuple[object, ...] = ()
        self._anchor = 0
        """Where the first sample went since the clock was last put right."""
        self._fed = 0
        """Samples since then, at the rate of what comes: 48 000 of another rate are no whole number in a frame."""
        self._out = 0
        """Where the next sample goes that goes out."""
        self._last = -1
        self._broken = 0
        self._levels: list[int] = []
        self._is_anchored = False
        self._rate = RATE

    def feed(self, data: bytes, media_ms: int) -> list[Opus]:
        """Take one AAC frame in.

        Raises:
            BrokenSound: nothing has decoded for too long.
        """
        try:
            found = self._transcode(data, media_ms)
        except av.FFmpegError as error:
            self._broken += 1
            self._resampler = None  # what it held is lost, and so is where we are
            self._is_anchored = False
            if self._broken > MAX_BROKEN:
                raise BrokenSound(f"The sound cannot be decoded: {error}") from error
            return []
        self._broken = 0
        return found

    def _transcode(self, data: bytes, media_ms: int) -> list[Opus]:
        frames = self._decoder.decode(av.Packet(data))
        found: list[Opus] = []
        start = media_ms * RATE // 1000
        for frame in frames:
            self._put(start, frame.sample_rate)
            self._fed += frame.samples
            start += frame.samples * RATE // frame.sample_rate
            shape = (frame.sample_rate, frame.layout.name, frame.format.name)
            if shape != self._format or self._resampler is None:
                self._format = shape
                self._resampler = AudioResampler(format="s16", layout="stereo", rate=RATE, frame_size=FRAME)
            frame.pts = None
            for piece in self._resampler.resample(frame):
                found.extend(self._encode(piece))
        return found

    def _put(self, start: int, rate: int) -> None:
        """Keep the clock of the samples by that of the encoder."""
        drift = start - (self._anchor + self._fed * RATE // rate)
        if self._is_anchored and abs(drift) <= MAX_DRIFT and rate == self._rate:
            return
        self._out = self._out + drift if self._is_anchored else start
        self._is_anchored = True
        self._anchor, self._fed, self._rate = start, 0, rate

    def _encode(self, frame: av.AudioFrame) -> list[Opus]:
        self._levels.append(level(bytes(frame.planes[0])[: frame.samples * 4]))
        frame.pts = None
        found: list[Opus] = []
        for packet in self._encoder.encode(frame):
            loudness = self._levels.pop(0) if self._levels else _SILENT
            timestamp, self._out = self._out - LOOKAHEAD, self._out + FRAME
            if timestamp > self._last:
                self._last = timestamp
                found.append(Opus(timestamp, bytes(packet), loudness))
        return found


def level(samples: bytes) -> int:
    """-dBov of 16-bit stereo samples, 0 … 127 (RFC 6464 §3). Every fourth sample says enough."""
    values = array.array("h", samples)[::4]
    power = sum(value * value for value in values) / max(1, len(values))
    if power < 1:
        return _SILENT
    return min(_SILENT, max(0, round(-10 * math.log10(power / 32768**2))))


def _decoder(config: bytes) -> AudioCodecContext:
    try:
        decoder = av.CodecContext.create("aac", "r")
        decoder.extradata = config
        decoder.open()
    except (av.FFmpegError, ValueError) as error:
        raise BrokenSound(f"The sound cannot be decoded: {error}") from error
    assert isinstance(decoder, AudioCodecContext)  # noqa: S101 — what the name says
    return decoder


def _encoder() -> AudioCodecContext:
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)  # noqa: S101 — what the name says
    encoder.sample_rate = RATE
    encoder.layout = "stereo"
    encoder.format = "s16"
    encoder.bit_rate = BIT_RATE
    encoder.options = {"application": "audio", "frame_duration": "20", "vbr": "on", "compression_level": "5"}
    encoder.open()
    return encoder
