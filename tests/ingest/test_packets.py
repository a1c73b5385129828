"""RTP payloads, read back by somebody else's readers: aiortc for H264, dav1d and libvpx behind our own for the rest."""

import contextlib

import av
import pytest
from aiortc.codecs.h264 import H264PayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from rostra.ingest import flv, packets
from rostra.ingest.flv import VideoCodec
from rostra.ingest.picture import PictureTrack
from rostra.ingest.rtp import audio_level, envelope, packet, sender_report
from tests.ingest.test_flv import video


def h264_back(payloads: list[bytes]) -> bytes:
    """Annex B, as aiortc reads it."""
    return b"".join(H264PayloadDescriptor.parse(payload)[1] for payload in payloads)


def nal(kind: int, size: int) -> bytes:
    return bytes([0x60 | kind]) + bytes((7 * at) % 251 + 1 for at in range(size - 1))


@given(st.lists(st.tuples(st.sampled_from([1, 5, 6, 7, 8]), st.integers(2, 4000)), min_size=1, max_size=8))
def test_h264_comes_back_as_it_was(shape: list[tuple[int, int]]) -> None:
    nals = [nal(kind, size) for kind, size in shape]
    payloads = packets.h264(nals)
    assert all(0 < len(payload) <= packets.MAX_PAYLOAD for payload in payloads)
    assert h264_back(payloads) == b"".join(b"\0\0\0\1" + one for one in nals)


def test_parameter_sets_share_a_packet() -> None:
    payloads = packets.h264([nal(7, 30), nal(8, 6), nal(6, 20), nal(5, 3000)])
    assert payloads[0][0] & 0x1F == 24
    assert [payload[0] & 0x1F for payload in payloads[1:]] == [28, 28, 28]


def tracks(encoder: str, options: dict[str, str] | None = None) -> tuple[PictureTrack, list[flv.VideoFrame]]:
    header, *frames = video(encoder, options)
    assert isinstance(header, flv.VideoHeader)
    return PictureTrack(header), [frame for frame in frames if isinstance(frame, flv.VideoFrame)]


def decoded(name: str, units: list[bytes]) -> int:
    decoder = av.CodecContext.create(name, "r")
    count = sum(len(decoder.decode(av.Packet(unit))) for unit in units)
    return count + len(decoder.decode(None))


def test_real_h264_decodes_after_its_way_through_packets() -> None:
    track, frames = tracks("libx264", {"tune": "zerolatency", "g": "10"})
    units = []
    for number, frame in enumerate(frames):
        picture = track.picture(frame, number * 33)
        units.append(h264_back(track.payloads(picture)))
    assert decoded("h264", units) == 20
    assert decoded("h264", units[10:]) == 10  # the second key frame has its parameter sets, too


def vp9_back(payloads: list[bytes]) -> bytes:
    """RFC 9628, as far as we write it: I, P, B, E, V."""
    frame = b""
    for place, payload in enumerate(payloads):
        flags = payload[0]
        assert flags & 0x80
        assert bool(flags & 0x08) == (place == 0)
        assert bool(flags & 0x04) == (place == len(payloads) - 1)
        assert payload[1] & 0x80
        frame += payload[8:] if flags & 0x02 else payload[3:]
    return frame


def test_real_vp9_decodes_after_its_way_through_packets() -> None:
    track, frames = tracks("libvpx-vp9", {"deadline": "realtime", "lag-in-frames": "0"})
    assert track.codec is VideoCodec.VP9
    units = []
    for number, frame in enumerate(frames):
        payloads = track.payloads(track.picture(frame, number * 33))
        if number == 0:
            assert payloads[0][0] & 0x42 == 0x02  # a key frame with its structure
            assert payloads[0][4:8] == (320).to_bytes(2, "big") + (180).to_bytes(2, "big")
        units.append(vp9_back(payloads))
    assert units == [frame.data for frame in frames]
    assert decoded("vp9", units) == 20


def av1_back(payloads: list[bytes]) -> list[bytes]:
    """OBUs of a temporal unit (AV1 RTP §4.4), read as the specification says and not as we write."""
    units: list[bytes] = []
    for payload in payloads:
        header, at, is_first = payload[0], 1, True
        while at < len(payload):
            size = shift = 0
            while True:
                byte = payload[at]
                at += 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
            part = payload[at : at + size]
            at += size
            if is_first and header & 0x80:
                units[-1] += part
            else:
                units.append(part)
            is_first = False
    return units


def with_sizes(units: list[bytes]) -> bytes:
    """A temporal unit again."""
    data = b"\x12\0"
    for unit in units:
        head = 2 if unit[0] & 0x04 else 1
        size, body = len(unit) - head, unit[head:]
        data += (
            bytes([unit[0] | 2])
            + unit[1:head]
            + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
            + body
        )
    return data


def test_real_av1_decodes_after_its_way_through_packets() -> None:
    track, frames = tracks("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1"})
    units = []
    for number, frame in enumerate(frames):
        payloads = track.payloads(track.picture(frame, number * 33))
        assert all(len(payload) <= packets.MAX_PAYLOAD for payload in payloads)
        assert bool(payloads[0][0] & 0x08) == frame.is_key
        units.append(with_sizes(av1_back(payloads)))
    assert decoded("libdav1d", units) == 20


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6))
def test_av1_elements_come_back_as_they_were(sizes: list[int]) -> None:
    units = [bytes([0x30]) + bytes(at % 251 for at in range(size)) for size in sizes]
    payloads = packets.av1(units, is_key=True)
    assert av1_back(payloads) == units
    assert all(len(payload) <= packets.MAX_PAYLOAD for payload in payloads)


@given(st.binary(max_size=80))
def test_any_bytes_are_obus_or_refused(data: bytes) -> None:
    with contextlib.suppress(packets.Av1Error):
        packets.obus(data)
    packets.vp9_key_size(data)


def test_packets_are_those_of_the_rfc() -> None:
    from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
    from aiortc.rtp import HeaderExtensionsMap, RtcpPacket, RtcpSdesPacket, RtcpSrPacket, RtpPacket

    extensions = HeaderExtensionsMap()
    uri = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
    extensions.configure(RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(id=1, uri=uri)]))
    data = packet(111, 65536 + 5, 2**32 + 7, 99, b"abc", marker=True, extension=audio_level(1, 42, voice=True))
    read = RtpPacket.parse(data, extensions)
    assert (read.payload_type, read.sequence_number, read.timestamp, read.ssrc, read.marker) == (111, 5, 7, 99, 1)
    assert read.payload == b"abc"
    assert read.extensions.audio_level == (True, 42)
    report, names = RtcpPacket.parse(
        sender_report(99, "name", epoch_us=1_500_000, timestamp=2**32 + 9, packets=3, octets=4)
    )
    assert isinstance(report, RtcpSrPacket)
    assert isinstance(names, RtcpSdesPacket)
    assert report.sender_info.ntp_timestamp == (2_208_988_801 << 32) + (1 << 31)
    assert (report.ssrc, report.sender_info.rtp_timestamp) == (99, 9)
    assert [(chunk.ssrc, chunk.items) for chunk in names.chunks] == [(99, [(1, b"name")])]
    assert envelope(1, 2, 2**32 + 3) == bytes([0x11, 0, 0, 2, 0, 0, 0, 3]) + bytes(8)


@pytest.mark.parametrize("size", [2, 4095])
def test_the_whole_of_a_slice_of_any_size_is_sent(size: int) -> None:
    assert h264_back(packets.h264([nal(1, size)])) == b"\0\0\0\1" + nal(1, size)


@pytest.mark.parametrize("unit", [b"\x12\0", b"\x7a\0"], ids=["delimiters", "padding"])
def test_av1_parts_that_are_left_out_count(unit: bytes) -> None:
    with pytest.raises(packets.Av1Error):
        packets.obus(unit * 10_000)


def test_the_time_of_a_report_wraps_in_2036() -> None:
    from aiortc.rtp import RtcpPacket, RtcpSrPacket

    later_us = (2**32 - 2_208_988_800 + 7) * 1_000_000
    report, _ = RtcpPacket.parse(sender_report(99, "name", epoch_us=later_us, timestamp=0, packets=0, octets=0))
    assert isinstance(report, RtcpSrPacket)
    assert report.sender_info.ntp_timestamp == 7 << 32
