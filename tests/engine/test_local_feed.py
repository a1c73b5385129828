"""A local feed into the real media plane: frames of a small synthetic stream on one end of a socket pair.

The frames are built here from docs/seam.md, byte by byte.
"""

import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rostra.media.engine import Engine, Overloaded
from rostra.model.media import (
    CloseReason,
    CloseTransport,
    Codec,
    CodecSpec,
    EncodingSpec,
    Event,
    Extension,
    ExtensionKind,
    Inspect,
    Inspected,
    Kind,
    LocalFeedSpec,
    MediaStats,
    Mid,
    OpenLocalFeed,
    ReceiveSpec,
    TrackId,
    TrackLayers,
    TrackStarted,
    TransportClosed,
    TransportConnected,
    TransportId,
)

from .test_native import wait_for, wait_until

FEED = TransportId(7)
VIDEO, AUDIO = TrackId(71), TrackId(72)
RTP, RTCP = 0x11, 0x12
H264_SPS = bytes.fromhex("6742c01fd900a0b74b0080808081")
LEVEL = Extension(1, ExtensionKind.AUDIO_LEVEL)


def spec(codec: CodecSpec) -> LocalFeedSpec:
    receive = (
        ReceiveSpec(Mid("0"), VIDEO, Kind.VIDEO, (codec,), (EncodingSpec(ssrc=711),)),
        ReceiveSpec(Mid("1"), AUDIO, Kind.AUDIO, (CodecSpec(111, Codec.OPUS),), (EncodingSpec(ssrc=721),)),
    )
    return LocalFeedSpec("encoder", receive, (LEVEL,))


@dataclass
class Encoder:
    """The process that feeds."""

    link: socket.socket
    payload_type: int
    sequence: int = 0
    numbers: dict[int, int] = field(default_factory=lambda: {711: 65_535, 721: 0})

    def frame(self, kind: int, route: int, body: bytes) -> bytes:
        frame = struct.pack("!BBHIQ", kind, 0, route, self.sequence, 0) + body
        self.sequence += 1
        return frame

    def send(self, route: int, timestamp: int, payload: bytes, *, marker: bool = False) -> None:
        ssrc, payload_type = ((711, self.payload_type), (721, 111))[route]
        # RFC 8285: one byte of extension in one word; -30 dBov and a voice.
        extension = bytes.fromhex("bede0001") + bytes([LEVEL.id << 4, 0x80 | 30, 0, 0]) if route == 1 else b""
        first = 0x90 if extension else 0x80
        number = self.numbers[ssrc]
        self.numbers[ssrc] = (number + 1) % 65_536
        packet = struct.pack("!BBHII", first, marker << 7 | payload_type, number, timestamp, ssrc)
        self.link.send(self.frame(RTP, route, packet + extension + payload))

    def report(self, ssrc: int, timestamp: int) -> None:
        ntp = int((time.time() + 2_208_988_800) * 2**32)
        self.link.send(self.frame(RTCP, 0, struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp, 1, 1)))

    def requests(self) -> list[tuple[int, bytes]]:
        """Frames from the media plane, waiting for one: their numbers and the RTCP in them."""
        frame = self.link.recv(2000)
        kind, flags, route, sequence, epoch = struct.unpack("!BBHIQ", frame[:16])
        assert (kind, flags, route, epoch) == (RTCP, 0, 0, 0)
        return [(sequence, frame[at : at + 12]) for at in range(16, len(frame), 12)]


@pytest.fixture
def engine() -> Iterator[Engine]:
    from rostra.media.native import NativeEngine

    engine = NativeEngine("127.0.0.1", 0)
    yield engine
    engine.close()


@pytest.fixture
def link() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(5)
    with ours, theirs:
        yield ours, theirs


Link = tuple[socket.socket, socket.socket]
VP8 = CodecSpec(96, Codec.VP8)
H264 = CodecSpec(102, Codec.H264, None, 0x42E01F, 1)
# A whole key frame: a VP8 descriptor with S and the header of a key frame of 64x48; SPS, PPS and an IDR slice.
KEY_FRAMES = {
    Codec.VP8: (VP8, [b"\x10\x10\0\0\x9d\x01\x2a\x40\0\x30\0" + bytes(50)]),
    Codec.H264: (H264, [H264_SPS, bytes.fromhex("68ce3c80"), b"\x65" + bytes(50)]),
}


def opened(engine: Engine, link: Link, codec: CodecSpec) -> Encoder:
    ours, theirs = link
    engine.submit(OpenLocalFeed(FEED, spec(codec), ours.fileno()))
    ours.close()
    assert wait_for(engine, TransportConnected) == TransportConnected(FEED, "local")
    return Encoder(theirs, codec.payload_type)


def all_of(engine: Engine, wanted: type[Event], count: int) -> list[Event]:
    """The next so many events of a class; whatever comes between them is dropped."""
    found: list[Event] = []
    end = time.monotonic() + 5
    while len(found) < count and (left := end - time.monotonic()) > 0:
        select.select([engine.fileno()], [], [], left)
        found += [event for event in engine.drain() if isinstance(event, wanted)]
    return found


def totals(engine: Engine, packets_in: int) -> MediaStats:
    """Totals of a moment at which everything was taken in that was sent."""
    while True:
        stats = wait_for(engine, MediaStats)
        assert isinstance(stats, MediaStats)
        if stats.packets_in >= packets_in:
            return stats


@pytest.mark.parametrize("codec", KEY_FRAMES)
def test_the_first_packets_of_a_feed_start_its_tracks(engine: Engine, link: Link, codec: Codec) -> None:
    video, payloads = KEY_FRAMES[codec]
    encoder = opened(engine, link, video)
    for payload in payloads:
        encoder.send(0, 90_000, payload, marker=payload is payloads[-1])
    encoder.send(1, 48_000, b"\xfc" + bytes(40))
    encoder.report(711, 90_000)
    encoder.report(721, 48_000)
    assert all_of(engine, TrackStarted, 2) == [TrackStarted(FEED, VIDEO), TrackStarted(FEED, AUDIO)]
    stats = totals(engine, encoder.sequence)
    assert (stats.rtp_in, stats.packets_in) == (len(payloads) + 1, encoder.sequence)
    assert not any(count for _, count in stats.dropped)
    engine.submit(Inspect(FEED))
    inspected = wait_for(engine, Inspected)
    assert isinstance(inspected, Inspected)
    assert inspected.report is not None
    assert inspected.report.first_key_frame_us is not None
    (layers,) = inspected.report.tracks
    assert isinstance(layers, TrackLayers)
    assert [(one.codec, one.packets) for one in layers.encodings] == [(codec, len(payloads))]


def test_a_gap_is_counted_and_a_key_frame_asked_for(engine: Engine, link: Link) -> None:
    encoder = opened(engine, link, VP8)
    delta = b"\x10\x11" + bytes(50)
    for picture in range(3):
        encoder.send(0, picture * 3000, delta, marker=True)
    encoder.sequence += 4
    encoder.numbers[711] += 4
    encoder.send(0, 9 * 3000, delta, marker=True)
    ((sequence, pli),) = encoder.requests()
    first, kind, words, _, asked = struct.unpack("!BBHII", pli)
    assert (sequence, first, kind, words, asked) == (0, 0x81, 206, 2, 711)
    encoder.link.send(b"no frame")
    stats = totals(engine, 5)
    dropped = dict(stats.dropped)
    assert (dropped["link_gap"], dropped["frame_malformed"]) == (4, 1)
    assert stats.key_frame_requests_out >= 1
    assert stats.nacks_out == 0


def test_who_hangs_up_is_closed_once_all_it_sent_was_taken(engine: Engine, link: Link) -> None:
    encoder = opened(engine, link, VP8)
    for picture in range(80):
        encoder.send(0, picture * 3000, b"\x10\x11" + bytes(50), marker=True)
    encoder.link.close()
    assert wait_until(engine, TransportClosed)[-1] == TransportClosed(FEED, CloseReason.PEER_CLOSED)
    stats = totals(engine, 80)
    assert (stats.rtp_in, stats.transports) == (80, 0)


def test_a_queue_without_room_keeps_no_duplicate(link: Link) -> None:
    from rostra.media.native import NativeEngine

    engine = NativeEngine("127.0.0.1", 0, command_capacity=1)
    feeds = [OpenLocalFeed(TransportId(number), spec(VP8), link[0].fileno()) for number in (1, 2)]
    try:
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(Overloaded):
            engine.submit(*feeds)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        engine.close()


def test_an_end_that_was_ordered_is_told_to_the_process_that_feeds(engine: Engine, link: Link) -> None:
    encoder = opened(engine, link, VP8)
    engine.submit(CloseTransport(FEED))
    assert wait_for(engine, TransportClosed) == TransportClosed(FEED, CloseReason.CLOSED)
    assert encoder.link.recv(100) == b""
    with pytest.raises(BrokenPipeError):
        encoder.send(0, 0, b"\x10\x10\0")
