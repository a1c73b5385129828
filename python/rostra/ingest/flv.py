"""Bodies of FLV tags, as RTMP carries them: pure, and every length is checked before it is believed.

Sources: Adobe FLV 10.1 annex E.4; Enhanced RTMP v2 (Veovera). What is not taken is told apart from what is broken.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_CONFIG: Final = 64
"""Bytes of an AudioSpecificConfig: real ones have 2 to 7."""
MAX_NALS: Final = 512
"""NAL units of one picture. A 1080p picture in the smallest slices that encoders make has some seventy."""

_START_CODES: Final = (b"\0\0\0\1", b"\0\0\1")
MAX_MODIFIERS: Final = 16
"""ModEx packets of one tag. One is known."""


class FlvError(ValueError):
    """The tag is broken. The text says how."""


class Unsupported(Exception):  # noqa: N818 — what the encoder's owner is told
    """The tag is fine, and nothing that we take. ``text`` says what to set, for people."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class VideoCodec(StrEnum):
    """Video that viewers can play."""

    H264 = "h264"
    VP9 = "vp9"
    AV1 = "av1"


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """A sequence header: the decoder's configuration record."""

    codec: VideoCodec
    record: bytes


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """A coded picture. ``offset_ms``: from decoding to presentation, may be negative."""

    codec: VideoCodec
    is_key: bool
    offset_ms: int
    data: bytes


@dataclass(frozen=True, slots=True)
class AudioHeader:
    """An AudioSpecificConfig (ISO 14496-3 §1.6.2.1)."""

    config: bytes


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """One raw AAC frame."""

    data: bytes


_CODECS: Final = {b"avc1": VideoCodec.H264, b"vp09": VideoCodec.VP9, b"av01": VideoCodec.AV1}
_OLD_VIDEO: Final = {
    2: "Sorenson H.263",
    3: "screen video",
    4: "VP6",
    5: "VP6 with alpha",
    6: "screen video 2",
    12: "HEVC",
}
_OLD_AUDIO: Final = {2: "MP3", 14: "MP3", 11: "Speex", 5: "Nellymoser", 6: "Nellymoser", 7: "G.711", 8: "G.711"}


def parse_video(tag: bytes) -> VideoHeader | VideoFrame | None:
    """A video tag; ``None``: one that says nothing to viewers, such as the end of a sequence.

    Raises:
        FlvError: it is broken.
        Unsupported: its codec is none that viewers can play, or it has several tracks.
    """
    if not tag:
        raise FlvError("an empty video tag")
    if tag[0] & 0x80:
        return _enhanced_video(tag)
    frame_type, codec = tag[0] >> 4, tag[0] & 0x0F
    if frame_type == 5:  # a command of the player's seeking
        return None
    if codec != 7:
        raise Unsupported(f"Video is {_OLD_VIDEO.get(codec, f'codec {codec}')}: set the encoder to H264")
    if len(tag) < 2 or tag[1] == 2:  # `27`, and the end of a sequence, `17 02`, which some write without its time
        return None
    if len(tag) < 5:
        raise FlvError("a video tag is cut short")
    match tag[1]:
        case 0:
            # FFmpeg writes an empty header where it does not know the configuration yet; the real one follows.
            return VideoHeader(VideoCodec.H264, tag[5:]) if any(tag[5:]) else None
        case 1:
            return VideoFrame(VideoCodec.H264, frame_type == 1, _signed24(tag, 2), tag[5:])
        case _:
            return None


def _enhanced_video(tag: bytes) -> VideoHeader | VideoFrame | None:
    is_key, kind = (tag[0] >> 4 & 0x07) == 1, tag[0] & 0x0F
    if (tag[0] >> 4 & 0x07) == 5:
        return None
    at, modifiers = 1, 0
    while kind == 7:  # ModEx: nanoseconds and the like, before the packet itself
        modifiers += 1
        if len(tag) < at + 2 or modifiers > MAX_MODIFIERS:
            raise FlvError("a video tag is cut short")
        size = tag[at] + 1
        at += 1
        if size == 256:
            size = int.from_bytes(tag[at : at + 2], "big") + 1
            at += 2
        at += size
        if len(tag) <= at:
            raise FlvError("a video tag is cut short")
        kind = tag[at] & 0x0F
        at += 1
    if kind == 6:
        raise Unsupported("Video has several tracks in one connection: set the encoder to one track")
    fourcc = tag[at : at + 4]
    if len(fourcc) < 4:
        raise FlvError("a video tag is cut short")
    codec = _CODECS.get(fourcc)
    if codec is None:
        name = "HEVC (H265)" if fourcc in (b"hvc1", b"hev1") else fourcc.decode("ascii", "replace")
        raise Unsupported(f"Video is {name}, which browsers cannot be given here: set the encoder to H264, VP9 or AV1")
    body = tag[at + 4 :]
    match kind:
        case 0:
            return VideoHeader(codec, body)
        case 1 if codec is VideoCodec.H264:
            if len(body) < 3:
                raise FlvError("a video tag is cut short")
            return VideoFrame(codec, is_key, _signed24(body, 0), body[3:])
        case 1 | 3:
            return VideoFrame(codec, is_key, 0, body)
        case _:  # end of sequence, colour, headers of MPEG-2 TS
            return None


def parse_audio(tag: bytes) -> AudioHeader | AudioFrame | None:
    """An audio tag.

    Raises:
        FlvError: it is broken.
        Unsupported: it is not AAC.
    """
    if not tag:
        raise FlvError("an empty audio tag")
    sound = tag[0] >> 4
    if sound == 9:
        kind, fourcc = tag[0] & 0x0F, tag[1:5]
        if kind == 5:
            raise Unsupported("Sound has several tracks in one connection: set the encoder to one track")
        if fourcc != b"mp4a":
            raise Unsupported(f"Sound is {fourcc.decode('ascii', 'replace')}: set the encoder to AAC")
        if kind == 0:
            return _audio_header(tag[5:])
        return AudioFrame(tag[5:]) if kind == 1 and len(tag) > 5 else None
    if sound != 10:
        raise Unsupported(f"Sound is {_OLD_AUDIO.get(sound, f'format {sound}')}: set the encoder to AAC")
    if len(tag) < 2:  # `af`
        return None
    if tag[1] == 0:
        return _audio_header(tag[2:])
    return AudioFrame(tag[2:]) if len(tag) > 2 else None


def _audio_header(config: bytes) -> AudioHeader | None:
    """FFmpeg writes an empty header first where ADTS is copied; the real one follows."""
    if not config:
        return None
    if not 2 <= len(config) <= MAX_CONFIG:
        raise FlvError("a configuration of sound has no length that may be")
    return AudioHeader(config)


def _signed24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "big", signed=True)


@dataclass(frozen=True, slots=True)
class AvcConfig:
    """An AVCDecoderConfigurationRecord (ISO 14496-15 §5.3.3.1). ``profile``: profile-level-id as a number."""

    profile: int
    length_size: int
    parameter_sets: tuple[bytes, ...]


def parse_avc_config(record: bytes) -> AvcConfig:
    """The configuration of H264.

    Raises:
        FlvError: it is broken.
    """
    if record.startswith(_START_CODES):
        return _config_of(split_annex_b(record))
    if len(record) < 7 or record[0] != 1:
        raise FlvError("an H264 configuration is cut short")
    sets: list[bytes] = []
    at, count = 6, record[5] & 0x1F
    for _ in range(2):
        for _ in range(count):
            size = int.from_bytes(record[at : at + 2], "big")
            one = record[at + 2 : at + 2 + size]
            if len(one) != size or not size:
                raise FlvError("an H264 configuration is cut short")
            sets.append(one)
            at += 2 + size
        if len(sets) > 0 and at >= len(record):
            break
        count = record[at] if at < len(record) else 0
        at += 1
    return AvcConfig(int.from_bytes(record[1:4], "big"), (record[4] & 3) + 1, tuple(sets))


def _config_of(nals: list[bytes]) -> AvcConfig:
    """Parameter sets that an encoder wrote without a record."""
    sets = tuple(nal for nal in nals if nal[0] & 0x1F in (7, 8))
    sps = next((nal for nal in sets if nal[0] & 0x1F == 7 and len(nal) >= 4), None)
    if sps is None:
        raise FlvError("an H264 configuration has no sequence parameter set")
    return AvcConfig(int.from_bytes(sps[1:4], "big"), 4, sets)


def split_annex_b(data: bytes) -> list[bytes]:
    """The NAL units of a byte stream (H.264 annex B)."""
    parts = data.split(b"\0\0\1")
    return [nal for part in parts[1:] if (nal := part.rstrip(b"\0"))]


def split_avc(data: bytes, length_size: int) -> list[bytes]:
    """The NAL units of a picture, in the format of FLV or, as some encoders write them, as a byte stream (annex B).

    Raises:
        FlvError: a length goes past the end, or there are too many.
    """
    try:
        return _split_by_length(data, length_size)
    except FlvError:
        nals = split_annex_b(data) if data.startswith(_START_CODES) else []
        if not nals or not all(1 <= nal[0] <= 0x7F and nal[0] & 0x1F for nal in nals):
            raise  # no byte stream either (H.264 §7.4.1)
    if len(nals) > MAX_NALS:
        raise FlvError("an H264 picture has too many parts")
    return nals


def _split_by_length(data: bytes, length_size: int) -> list[bytes]:
    nals: list[bytes] = []
    at = count = 0
    while at < len(data):
        count += 1
        if count > MAX_NALS:
            raise FlvError("an H264 picture has too many parts")
        size = int.from_bytes(data[at : at + length_size], "big")
        at += length_size
        nal = data[at : at + size]
        if len(nal) != size:
            raise FlvError("an H264 picture is cut short")
        at += size
        if nal:
            nals.append(nal)
    return nals
