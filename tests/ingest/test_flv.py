"""FLV bodies, from bytes that encoders made and from bytes that nobody should make."""

import contextlib
import functools
import io
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.ingest import flv
from rostra.ingest.flv import FlvError, Unsupported, VideoCodec


def tags(codec: str, options: dict[str, str] | None = None) -> list[tuple[int, int, bytes]]:
    """(type, timestamp, body) of an FLV file that FFmpeg writes, of 20 pictures."""
    return _tags(codec, tuple((options or {}).items()))


@functools.cache
def _tags(codec: str, options: tuple[tuple[str, str], ...]) -> list[tuple[int, int, bytes]]:
    file = io.BytesIO()
    with av.open(file, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as output:
        stream = output.add_stream(codec, rate=30, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame(320, 180, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([(40 + 7 * number) % 256]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 30)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    data = file.getvalue()
    at, found = 13, []
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        time = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        found.append((data[at], time, data[at + 11 : at + 11 + size]))
        at += 15 + size
    return found


def video(codec: str, options: dict[str, str] | None = None) -> list[flv.VideoHeader | flv.VideoFrame]:
    parsed = [flv.parse_video(body) for kind, _, body in tags(codec, options) if kind == 9]
    return [one for one in parsed if one is not None]


def test_h264_of_a_real_muxer_is_headers_and_pictures() -> None:
    header, *frames = video("libx264", {"tune": "zerolatency", "g": "10"})
    assert isinstance(header, flv.VideoHeader)
    config = flv.parse_avc_config(header.record)
    assert [one[0] & 0x1F for one in config.parameter_sets] == [7, 8]
    assert config.profile >> 16 == config.parameter_sets[0][1]
    assert [frame.is_key for frame in frames if isinstance(frame, flv.VideoFrame)] == [n % 10 == 0 for n in range(20)]
    for frame in frames:
        assert isinstance(frame, flv.VideoFrame)
        nals = flv.split_avc(frame.data, config.length_size)
        assert sum(4 + len(nal) for nal in nals) == len(frame.data)


def test_pictures_with_b_frames_have_offsets() -> None:
    _, *frames = video("libx264", {"bf": "2", "preset": "ultrafast", "x264-params": "scenecut=0:bframes=2"})
    assert len({frame.offset_ms for frame in frames if isinstance(frame, flv.VideoFrame)}) > 1


@pytest.mark.parametrize(
    ("encoder", "codec"), [("libvpx-vp9", VideoCodec.VP9), ("libsvtav1", VideoCodec.AV1)], ids=["vp9", "av1"]
)
def test_enhanced_rtmp_is_taken_where_viewers_can_play_it(encoder: str, codec: VideoCodec) -> None:
    header, *frames = video(encoder)
    assert isinstance(header, flv.VideoHeader)
    assert header.codec is codec
    assert isinstance(frames[0], flv.VideoFrame)
    assert frames[0].is_key


def test_hevc_is_refused_in_plain_words() -> None:
    with pytest.raises(Unsupported, match="HEVC"):
        video("libx265", {"x265-params": "log-level=none"})


@pytest.mark.parametrize("tag", [b"\x22\0", b"\x14", b"\x1c\x00\0\0\0"])
def test_old_codecs_are_refused_in_plain_words(tag: bytes) -> None:
    with pytest.raises(Unsupported, match="H264"):
        flv.parse_video(tag)


@pytest.mark.parametrize("tag", [b"\x2f\0", b"\x7f\0", b"\x90Opus\0", b"\xb2\0"])
def test_sound_that_is_not_aac_is_refused_in_plain_words(tag: bytes) -> None:
    with pytest.raises(Unsupported, match="AAC"):
        flv.parse_audio(tag)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_tag_or_refused(data: bytes) -> None:
    for parse in (flv.parse_video, flv.parse_audio):
        with contextlib.suppress(FlvError, Unsupported):
            parse(data)
    for parts in (lambda: flv.parse_avc_config(data), lambda: flv.split_avc(data, 4)):
        with contextlib.suppress(FlvError):
            parts()


def test_a_picture_of_too_many_parts_is_refused() -> None:
    with pytest.raises(FlvError):
        flv.split_avc(b"\0\0\0\1\x41" * 10_000, 4)


def test_parts_of_no_bytes_are_parts() -> None:
    with pytest.raises(FlvError):
        flv.split_avc(bytes(10_000), 4)


def test_a_tag_of_too_many_modifiers_is_refused() -> None:
    with pytest.raises(FlvError):
        flv.parse_video(b"\x97" + b"\0\0\7" * 10_000 + b"\0\0\1avc1\0\0\0")


def test_a_byte_stream_in_flv_is_taken() -> None:
    """Annex B where FLV has lengths: some encoders write it."""
    header, *frames = video("libx264", {"tune": "zerolatency", "g": "10"})
    assert isinstance(header, flv.VideoHeader)
    config = flv.parse_avc_config(header.record)
    record = b"".join(b"\0\0\0\1" + one for one in config.parameter_sets)
    assert flv.parse_avc_config(record) == config
    for frame in frames:
        assert isinstance(frame, flv.VideoFrame)
        nals = flv.split_avc(frame.data, config.length_size)
        for code in (b"\0\0\0\1", b"\0\0\1"):
            assert flv.split_avc(b"".join(code + nal for nal in nals), config.length_size) == nals


@pytest.mark.parametrize("record", [b"\0\0\0\1", b"\0\0\1\x68\xce", b"\0\0\1\x67"])
def test_a_byte_stream_without_a_sequence_parameter_set_is_no_configuration(record: bytes) -> None:
    with pytest.raises(FlvError):
        flv.parse_avc_config(record)


def test_a_byte_stream_has_a_most_of_parts() -> None:
    with pytest.raises(FlvError, match="too many"):
        flv.split_avc(b"\0\0\1\x41" * (flv.MAX_NALS + 1), 4)
