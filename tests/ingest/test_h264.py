"""Parameter sets and SEI, byte for byte."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from rostra.ingest import h264
from rostra.ingest.flv import VideoFrame, VideoHeader
from rostra.ingest.picture import PictureTrack, fi_epoch_ms
from tests.ingest.test_flv import video

SPS, PPS, IDR, P = b"\x67\x42\xc0\x1f\xda\x01", b"\x68\xce\x3c\x80", b"\x65\x88\x80", b"\x41\x9a\x02"


def unescaped(nal: bytes) -> bytes:
    """H.264 §7.3.1, as a decoder does it."""
    return re.sub(rb"\0\0\x03", b"\0\0", nal)


def test_a_key_frame_begins_with_the_parameter_sets_that_came_last() -> None:
    sets = h264.ParameterSets((SPS, PPS))
    assert sets.complete([b"\x09\xf0", IDR]) == [SPS, PPS, IDR]
    assert sets.complete([P]) == [P]
    newer = SPS[:-1] + b"\x02"
    assert sets.complete([newer, PPS, IDR]) == [newer, PPS, IDR]
    assert sets.complete([b"\x0c\xff", IDR]) == [newer, PPS, IDR]
    assert sets.complete([newer, IDR]) == [newer, PPS, IDR], "an SPS alone is not enough"


def test_several_picture_parameter_sets_are_kept_by_their_id() -> None:
    second = b"\x68\x4c\x3c\x80"  # id 1: 010
    sets = h264.ParameterSets((SPS, PPS, second))
    assert sets.complete([IDR]) == [SPS, PPS, second, IDR]


def test_the_time_is_the_shortest_number_behind_its_uuid() -> None:
    nal = h264.time_sei(1_700_000_000_123)
    uuid = bytes.fromhex("9a21f3be31f04b78b0bec7f7dbb97250")
    assert unescaped(nal) == b"\x06\x05\x16" + uuid + (1_700_000_000_123).to_bytes(6, "big") + b"\x80"


def test_text_is_json_behind_the_time() -> None:
    nal = unescaped(h264.text_sei(1_700_000_000_123, {"text": "größer", "n": [1.5, None, True]}))
    assert nal[:2] == b"\x06\x05"
    size = nal[2]
    content = nal[3 : 3 + size]
    assert content[:16] == bytes.fromhex("d40e38ead4194c6294ed20ac37b4e4fa")
    assert int.from_bytes(content[16:22], "big") == 1_700_000_000_123
    assert json.loads(content[22:]) == {"text": "größer", "n": [1.5, None, True]}
    assert nal[3 + size :] == b"\x80"


@given(st.binary(max_size=600))
def test_escaped_bytes_hold_no_start_code_and_come_back(content: bytes) -> None:
    nal = h264.unregistered_sei(h264.UUID_TIME, content)
    assert not re.search(rb"\0\0[\0-\2]", nal)
    back = unescaped(nal)
    size, at = 0, 2
    while back[at] == 255:
        size += 255
        at += 1
    size += back[at]
    assert back[at + 1 + 16 : at + 1 + size] == content


def track() -> PictureTrack:
    header, *_ = video("libx264", {"tune": "zerolatency"})
    assert isinstance(header, VideoHeader)
    return PictureTrack(header)


def test_the_time_of_now_stands_before_the_slices_and_never_beside_the_senders_own() -> None:
    one = track()
    put = one.with_metadata([SPS, PPS, IDR], is_key=True, utc=lambda: 5, key_frames_only=False)
    assert put == [SPS, PPS, h264.time_sei(5), IDR]
    for own in (h264.time_sei(9), h264.text_sei(9, "x")):
        nals = [own, P]
        assert one.with_metadata(nals, is_key=False, utc=lambda: 5, key_frames_only=False) == nals
        after = [P, own]  # where the SDK puts it
        assert one.with_metadata(after, is_key=False, utc=lambda: 5, key_frames_only=False) == after
    assert one.with_metadata([P], is_key=False, utc=None, key_frames_only=False) == [P]


def test_messages_wait_for_a_key_frame_when_that_is_asked_for() -> None:
    one = track()
    one.add_message(h264.text_sei(7, "x"))
    assert one.with_metadata([P], is_key=False, utc=lambda: 5, key_frames_only=True) == [P]
    put = one.with_metadata([IDR], is_key=True, utc=None, key_frames_only=True)
    assert put == [h264.text_sei(7, "x"), IDR]
    assert one.with_metadata([IDR], is_key=True, utc=None, key_frames_only=True) == [IDR]


def test_messages_that_no_picture_takes_end_at_the_cap() -> None:
    one = track()
    for number in range(1000):
        one.add_message(h264.time_sei(number + 1))
    put = one.with_metadata([P], is_key=False, utc=None, key_frames_only=False)
    assert put[-2] == h264.time_sei(1000)
    assert len(put) < 20


def test_sei_of_the_encoder_passes_untouched() -> None:
    timing = b"\x06\x01\x04\0\0\x03\0\x04\x80"
    one = track()
    picture = one.picture(VideoFrame(one.codec, False, 0, len(timing).to_bytes(4, "big") + timing + b"\0\0\0\3" + P), 0)
    assert picture.nals == [timing, P]


def test_the_time_of_on_fi_is_utc() -> None:
    assert fi_epoch_ms([{"sd": "14-11-2023", "st": "22:13:20.123"}]) == 1_700_000_000_123
    assert fi_epoch_ms([{"sd": "14-11-2023", "st": "22:13:20"}]) == 1_700_000_000_000
    for values in (
        [],
        [None],
        [{}],
        [{"sd": 1, "st": 2}],
        [{"sd": "x", "st": "y"}],
        [{"sd": "14-11-1800", "st": "1:1:1"}],
    ):
        assert fi_epoch_ms(values) is None
