"""Pictures that are encoded again: as many as came, when they were to be shown, of any size; key frames when asked."""

import itertools
import math
from fractions import Fraction

import av
import pytest

from rostra.ingest import flv, h264
from rostra.ingest.flv import split_annex_b
from rostra.ingest.picture import PictureTrack
from rostra.ingest.reencode import Reencoder
from tests.ingest.test_flv import video
from tests.ingest.test_packets import decoded

B_FRAMES = {"preset": "ultrafast", "x264-params": "scenecut=0:bframes=2:b-adapt=0"}


def pictures(options: dict[str, str]) -> list[tuple[list[bytes], int]]:
    """NAL units and time of presentation, in the order of decoding, at 30 a second."""
    header, *frames = video("libx264", options)
    assert isinstance(header, flv.VideoHeader)
    track = PictureTrack(header)
    found = []
    for number, frame in enumerate(frames):
        assert isinstance(frame, flv.VideoFrame)
        picture = track.picture(frame, 1000 + number * 100 // 3)
        found.append((picture.nals, picture.time_ms))
    return found


def test_every_picture_with_b_frames_comes_out_once_in_order_and_when_it_was_to_be_shown() -> None:
    came = pictures(B_FRAMES)
    shown = [time_ms for _, time_ms in came]
    assert shown != sorted(shown)
    reencoder = Reencoder(0)
    went = [coded for nals, time_ms in came for coded in reencoder.feed(nals, time_ms)]
    delay = len(came) - len(went)  # what the decoder still holds to put in order
    assert delay <= 2
    assert [coded.time_ms for coded in went] == sorted(shown)[: len(went)]
    assert all(30 <= b - a <= 37 for a, b in itertools.pairwise(coded.time_ms for coded in went))
    assert decoded("h264", [b"".join(b"\0\0\0\1" + nal for nal in coded.nals) for coded in went]) == len(went)


def test_each_picture_is_there_as_soon_as_its_order_is_known() -> None:
    """Viewers see them evenly: none comes in a heap with others, once the first is there."""
    reencoder = Reencoder(0)
    counts = [len(reencoder.feed(nals, time_ms)) for nals, time_ms in pictures(B_FRAMES)]
    first = next(place for place, count in enumerate(counts) if count)
    assert first <= 2
    assert counts[first:] == [1] * len(counts[first:])


def test_a_key_frame_comes_when_somebody_asked_and_not_more_often_than_twice_a_second() -> None:
    reencoder = Reencoder(0)
    keys = []
    for nals, time_ms in pictures({"bf": "0", "tune": "zerolatency"}):
        reencoder.key_frame_wanted = True
        keys += [coded.time_ms for coded in reencoder.feed(nals, time_ms) if h264.is_key(coded.nals)]
    assert len(keys) == 2
    assert keys[1] - keys[0] >= 500


@pytest.mark.parametrize("size", [(321, 181), (320, 181), (321, 180)])
def test_pictures_of_odd_size_lose_a_line_and_not_their_connection(size: tuple[int, int]) -> None:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv444p"
    encoder.time_base = Fraction(1, 1000)
    encoder.options = {"tune": "zerolatency", "preset": "ultrafast"}
    reencoder = Reencoder(0)
    went = []
    for number in range(1, 6):
        frame = av.VideoFrame(*size, "yuv444p")
        frame.pts, frame.time_base = number * 33, Fraction(1, 1000)
        for packet in encoder.encode(frame):
            nals = [nal for part in bytes(packet).split(b"\0\0\1")[1:] if (nal := part.rstrip(b"\0"))]
            went += reencoder.feed(nals, number * 33)
    assert len(went) == 5
    assert reencoder._encoder is not None
    assert (reencoder._encoder.width, reencoder._encoder.height) == (320, 180)


def luma_of(frame: av.VideoFrame) -> bytes:
    """Every third sample of the first plane."""
    plane = frame.planes[0]
    data = bytes(plane)
    return b"".join(data[row * plane.line_size :][: frame.width : 3] for row in range(frame.height))


def moving(rate: int, seconds: int = 4) -> tuple[list[bytes], list[tuple[list[bytes], int]]]:
    """Frames of a test picture that moves (luma), and the same as H264 with B-frames in the order of decoding."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 320, 180, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, rate), Fraction(rate)
    encoder.options = {"preset": "ultrafast", "crf": "16", "x264-params": "bframes=2:b-adapt=0:scenecut=0"}
    luma: list[bytes] = []
    packets: list[av.Packet] = []
    with av.open(f"testsrc2=size=320x180:rate={rate}:duration={seconds}", format="lavfi") as source:
        for number, frame in enumerate(source.decode(video=0)):
            frame = frame.reformat(format="yuv420p")
            luma.append(luma_of(frame))
            frame.pts, frame.time_base = number, Fraction(1, rate)
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
    return luma, [(split_annex_b(bytes(one)), 1000 + round((one.pts or 0) * 1000 / rate)) for one in packets]


@pytest.mark.parametrize("rate", [15, 30, 60])
def test_pictures_that_are_encoded_again_look_as_they_came(rate: int) -> None:
    luma, came = moving(rate)
    reencoder = Reencoder(0)
    went = [coded for nals, time_ms in came for coded in reencoder.feed(nals, time_ms)]
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    quality = []
    for coded in went:
        packet = av.Packet(b"".join(b"\0\0\0\1" + nal for nal in coded.nals))
        packet.pts, packet.time_base = coded.time_ms, Fraction(1, 1000)
        for frame in decoder.decode(packet):
            original = luma[round(((frame.pts or 0) - 1000) * rate / 1000)]
            pairs = zip(luma_of(frame), original, strict=True)
            error = sum((one - other) ** 2 for one, other in pairs) / len(original)
            quality.append(((frame.pts or 0) - 1000, 10 * math.log10(255**2 / max(error, 1e-9))))
    settled = [db for time_ms, db in quality if time_ms >= 2000]
    assert settled
    print(f"{rate} fps: {sum(settled) / len(settled):.1f} dB after 2 s, least {min(settled):.1f} dB")
    assert min(settled) > 30
