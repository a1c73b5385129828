"""The worker in its own process, with encoders that behave, that do not, and that are not."""

import asyncio
import contextlib
import errno
import itertools
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from aiortc.rtp import RtpPacket

from rostra.ingest.worker import MAX_STRANGERS_FROM_ONE
from rostra.model.media import Codec, Kind
from rostra.server import rtmp as module
from tests.ingest.client import Client, chunks, fields, number, text
from tests.ingest.conftest import TIMEOUT_S, TOKEN, Place, av_tags, descriptors, place
from tests.ingest.test_packets import decoded, h264_back


def send(client: Client, *, offset: int = 0, codec: str = "libx264", options: dict[str, str] | None = None) -> None:
    """A short picture."""
    for kind, timestamp, body in av_tags(codec, options):
        client.message(kind, body, timestamp=(timestamp + offset) % 2**32, chunk_stream=6)


async def test_a_picture_of_an_encoder_is_rtp_in_the_feed(ingest: Place) -> None:
    client = await ingest.publisher(sourceId="cam1")
    client.chunk_size(4096)
    send(client)
    transport = await ingest.feed()
    (receive,) = ingest.engine.feed_spec(transport).receive
    assert (receive.kind, receive.codecs[0].codec) == (Kind.VIDEO, Codec.H264)
    frames = await ingest.frames(transport, 21)
    assert [int.from_bytes(frame[4:8], "big") for frame in frames] == list(range(21))
    assert [frame[0] for frame in frames[:2]] == [0x12, 0x11]  # the report comes first
    packets = [RtpPacket.parse(frame[16:]) for frame in frames if frame[0] == 0x11]
    assert {packet.ssrc for packet in packets} == {receive.encodings[0].ssrc}
    assert all((b.sequence_number - a.sequence_number) % 65536 == 1 for a, b in itertools.pairwise(packets))
    marked = [packet.timestamp for packet in packets if packet.marker]
    assert all(2880 <= b - a <= 3060 for a, b in itertools.pairwise(marked))  # 30 pictures a second
    pictures = [list(group) for _, group in itertools.groupby(packets, key=lambda packet: packet.timestamp)]
    assert decoded("h264", [h264_back([packet.payload for packet in picture]) for picture in pictures]) >= 10
    client.vanish()
    await ingest.until(lambda: not ingest.engine.transports())


async def test_who_may_not_publish_hears_why_and_is_closed(ingest: Place) -> None:
    for name, app, why in [
        ("demo?token=no", "v2/pub", b"Invalid token"),
        ("demo", "v2/pub", b"No token"),
        (f"demo?token={TOKEN}", "live", b"v2/pub"),
        (f"demo?token={TOKEN}&simulcastId", "v2/pub", b"simulcastId"),
    ]:
        client = await ingest.client()
        status = await client.publish(name, app=app)
        assert why in status, status
        assert b"NetStream.Publish.BadName" in status or b"NetStream.Publish.Unauthorized" in status
        client.writer.write_eof()
        assert await client.closed() == b""
    assert not ingest.rtmp.encoders
    assert not ingest.engine.transports()


@pytest.mark.parametrize("character", ["\x01", "\U0001f511"])
async def test_a_token_that_is_none_costs_its_own_connection(ingest: Place, character: str) -> None:
    other = await ingest.publisher("other", videoOnly="1")
    client = await ingest.client()
    assert b"NetStream.Publish.BadName" in await client.publish("demo?token=" + character * 4000)
    send(other)
    await ingest.frames(await ingest.feed(), 5)
    assert ingest.rtmp.starts == 1


async def test_the_newest_encoder_of_a_source_takes_over(ingest: Place) -> None:
    first = await ingest.publisher()
    send(first)
    old = await ingest.feed()
    second = await ingest.publisher()
    send(second)
    new = await ingest.feed({old})
    for transport in (old, new):
        for track in ingest.engine.tracks(transport):
            ingest.engine.start(track)
    await ingest.until(lambda: not ingest.engine.has_news)
    (source,) = next(iter(ingest.hub._streams.values())).sources.values()
    assert source.leader is not None
    assert source.leader.transport == new
    first.vanish()
    await ingest.until(lambda: ingest.engine.transports() == {new})
    second.vanish()
    await ingest.until(lambda: not ingest.engine.transports())


@pytest.mark.parametrize(
    ("options", "problems"),
    [({"preset": "ultrafast", "x264-params": "scenecut=0:bframes=2:b-adapt=0"}, ["b_frames"]), ({"bf": "0"}, [])],
    ids=["b-frames", "none"],
)
async def test_b_frames_are_told(ingest: Place, options: dict[str, str], problems: list[str]) -> None:
    client = await ingest.publisher(videoOnly="1")
    send(client, options=options)
    transport = await ingest.feed()
    await ingest.frames(transport, 15)
    await ingest.until(lambda: ingest.problems() == problems)


async def test_b_frames_are_put_in_order_when_that_is_asked_for(tmp_path: Path) -> None:
    async with place(tmp_path, reencode=True) as ingest:
        client = await ingest.publisher(videoOnly="1")
        send(client, options={"preset": "ultrafast", "x264-params": "scenecut=0:bframes=2:b-adapt=0"})
        transport = await ingest.feed()
        packets = [RtpPacket.parse(frame[16:]) for frame in await ingest.frames(transport, 14) if frame[0] == 0x11]
        times = [packet.timestamp for packet in packets]
        assert times == sorted(times)
        steps = [b - a for a, b in itertools.pairwise(sorted(set(times)))]
        assert all(step <= 3060 for step in steps[1:]), steps  # the first is where it was noticed
        assert "b_frames" in ingest.problems()


async def test_a_leap_of_timestamps_is_told_and_put_right(ingest: Place) -> None:
    client = await ingest.publisher(videoOnly="1")
    send(client)
    transport = await ingest.feed()
    await ingest.frames(transport, 20)
    send(client, offset=7_000_000)
    packets = [RtpPacket.parse(frame[16:]) for frame in await ingest.frames(transport, 15) if frame[0] == 0x11]
    times = [packet.timestamp for packet in packets]
    assert times == sorted(times)
    assert times[-1] - times[0] < 90 * 4000
    await ingest.until(lambda: ingest.problems() == ["timestamp_jump"])


@pytest.mark.parametrize(("codec", "kind"), [("libvpx-vp9", Codec.VP9), ("libsvtav1", Codec.AV1)])
async def test_enhanced_codecs_pass_through(ingest: Place, codec: str, kind: Codec) -> None:
    client = await ingest.publisher(videoOnly="1")
    send(client, codec=codec, options={"g": "10"})
    transport = await ingest.feed()
    assert ingest.engine.feed_spec(transport).receive[0].codecs[0].codec is kind
    await ingest.frames(transport, 10)


async def test_hevc_is_refused_in_words_that_its_owner_reads(ingest: Place) -> None:
    client = await ingest.publisher(videoOnly="1")
    send(client, codec="libx265", options={"x265-params": "log-level=none"})
    assert b"HEVC" in await client.closed()


async def test_a_worker_that_dies_is_started_again_and_encoders_come_back(ingest: Place) -> None:
    client = await ingest.publisher()
    send(client)
    await ingest.feed()
    worker = ingest.rtmp.worker
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    await client.closed()
    await ingest.until(lambda: not ingest.engine.transports())
    again = await ingest.publisher()  # waits in the backlog until there is a worker
    send(again)
    await ingest.feed()
    assert ingest.rtmp.starts == 2


async def test_a_worker_that_is_stopped_is_replaced(ingest: Place) -> None:
    await ingest.publisher()
    worker = ingest.rtmp.worker
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    await ingest.until(lambda: ingest.rtmp.starts == 2)
    assert not Path(f"/proc/{worker}").exists()
    await ingest.publisher()


async def test_half_open_connections_keep_no_encoder_out(ingest: Place) -> None:
    """From one address, renewed for ever: the oldest that has shown no token goes, never an encoder."""
    encoder = await ingest.publisher("first", videoOnly="1")
    send(encoder)
    transport = await ingest.feed()
    for _ in range(5 * MAX_STRANGERS_FROM_ONE):
        await ingest.client()
    await ingest.publisher("second")
    assert len(ingest.rtmp.encoders) == 2
    assert transport in ingest.engine.transports()


async def test_the_end_of_a_feed_is_the_end_of_its_encoder(ingest: Place) -> None:
    client = await ingest.publisher()
    send(client)
    transport = await ingest.feed()
    ingest.engine.drop(transport)
    assert b"ended by the server" in await client.closed()
    await ingest.until(lambda: not ingest.rtmp.encoders)


async def test_two_hundred_encoders_that_vanish_leave_nothing_behind(ingest: Place) -> None:
    async def come_and_go(number: int) -> None:
        client = await ingest.publisher(f"stream{number}", videoOnly="1")
        client.chunk_size(65536)
        for kind, timestamp, body in tags:
            client.message(kind, body, timestamp=timestamp, chunk_stream=6)
        await client.writer.drain()
        client.vanish()

    async def wave(first: int) -> None:
        await asyncio.gather(*(come_and_go(first + number) for number in range(20)))
        await ingest.until(lambda: not ingest.rtmp.encoders and not ingest.engine.transports())

    tags = list(av_tags())
    await wave(0)
    worker = ingest.rtmp.worker
    assert worker is not None
    before = descriptors(worker), descriptors(os.getpid()), memory(worker)
    for first in range(20, 220, 20):
        await wave(first)
    await ingest.until(lambda: descriptors(worker) <= before[0] and descriptors(os.getpid()) <= before[1])
    assert ingest.rtmp.worker == worker
    assert memory(worker) - before[2] < 30 << 20
    assert not ingest.hub._streams
    assert not ingest.hub._peers


def memory(process: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


HOSTILE = {
    "chunk size 0": chunks(1, bytes(4), chunk_stream=2),
    "chunk size 2^31": chunks(1, b"\x80\0\0\0", chunk_stream=2),
    "AMF that nests": chunks(20, text("connect") + number(1) + b"\x03\0\1a" * 9000),
    "metadata without end": chunks(18, b"x", chunk_stream=4)[:4] + b"\xff\xff\xff\x12\1\0\0\0",
    "a picture before its time": chunks(9, b"\x17\0\0\0\0", stream=1),
    "a chunk of nothing": b"\xc5",
    "play": chunks(20, text("connect") + number(1) + fields({"app": text("v2/pub")}))
    + chunks(20, text("play") + number(2) + b"\x05" + text("demo")),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_bytes_cost_their_own_connection(ingest: Place, name: str) -> None:
    other = await ingest.publisher("other", videoOnly="1")
    client = await ingest.client()
    await client.handshake()
    client.writer.write(HOSTILE[name])
    await client.closed()
    send(other)
    await ingest.frames(await ingest.feed(), 5)
    assert ingest.rtmp.starts == 1


@pytest.mark.parametrize(
    "body",
    [
        b"\x17\x00\0\0\0\x01\x42\xc0\x1e\xff\xe1\xff\xff",
        b"\x17\x01\0\0\0\xff\xff\xff\xff\0",
        b"\x27\x01\x80\0\0\0\0\0\2\x41\0",  # 8 388 seconds before its decoding
    ],
    ids=["a header that lies", "a picture that lies", "a time that cannot be"],
)
async def test_broken_pictures_cost_their_own_connection(ingest: Place, body: bytes) -> None:
    client = await ingest.publisher("one", videoOnly="1")
    other = await ingest.publisher("other", videoOnly="1")
    send(client)
    known = {await ingest.feed()}
    client.message(9, body, timestamp=2000, chunk_stream=6)
    send(client, offset=2040)
    send(other)
    await ingest.frames(await ingest.feed(known), 5)
    assert ingest.rtmp.starts == 1


async def test_sound_that_is_none_costs_its_own_connection(ingest: Place) -> None:
    client = await ingest.publisher("one", audioOnly="1")
    client.message(8, b"\xaf\x00\x12\x10", chunk_stream=4)
    for step in range(200):
        client.message(8, b"\xaf\x01" + os.urandom(300), timestamp=23 * step, chunk_stream=4)
    seen = await client.closed()
    assert b"cannot be decoded" in seen or seen == b""
    await ingest.publisher("other")
    assert ingest.rtmp.starts == 1


async def test_a_server_that_ends_takes_its_worker_along(tmp_path: Path) -> None:
    async with place(tmp_path) as ingest:
        await ingest.publisher()
        worker = ingest.rtmp.worker
    assert worker is not None
    assert not Path(f"/proc/{worker}").exists()


async def test_a_worker_that_does_not_end_with_its_channel_is_ended(
    ingest: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_END_S", 0.05)
    await ingest.publisher()
    worker, line = ingest.rtmp.worker, ingest.rtmp._line
    assert worker is not None
    assert line is not None
    os.kill(worker, signal.SIGSTOP)  # it hangs
    line._channel.close()
    await ingest.until(lambda: ingest.rtmp.starts == 2)
    await ingest.publisher()
    assert not Path(f"/proc/{worker}").exists()


async def test_a_worker_whose_codec_hangs_ends_when_its_server_was_killed() -> None:
    """Nobody is left then who would kill it."""
    hangs = """
import asyncio, threading
from rostra.ingest.worker import Encoder

def hang():
    print("hangs", flush=True)
    threading.Event().wait()

async def run(self):
    await asyncio.get_running_loop().run_in_executor(self._settings.pool, hang)

Encoder.run = run
import rostra.ingest.__main__
"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        passed = (listener.fileno(), theirs.fileno())
        worker = await asyncio.create_subprocess_exec(
            *[sys.executable, "-c", hangs, *map(str, passed)], pass_fds=passed, stdout=asyncio.subprocess.PIPE
        )
        try:
            theirs.close()
            assert worker.stdout is not None
            with socket.create_connection(listener.getsockname()):
                async with asyncio.timeout(TIMEOUT_S):
                    assert await worker.stdout.readline() == b"hangs\n"
                    ours.close()
                    assert await worker.wait() == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()


async def test_a_worker_that_cannot_be_started_is_tried_again(ingest: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await ingest.until(lambda: ingest.rtmp.starts == 1)
    real, failures = asyncio.create_subprocess_exec, 0

    async def start(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise OSError(errno.EAGAIN, "no process to be had")
        return await real(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    assert ingest.rtmp.worker is not None
    os.kill(ingest.rtmp.worker, signal.SIGKILL)
    await ingest.until(lambda: ingest.rtmp.starts == 2)
    await ingest.publisher()
    assert failures == 2


async def test_refused_tokens_of_encoders_are_logged_at_a_bounded_rate(ingest: Place) -> None:
    attempts = 20
    for _ in range(attempts):
        client = await ingest.client()
        assert b"Unauthorized" in await client.publish("demo?token=" + "f" * 64)
    unlogged = ingest.rtmp._context.refused_tokens._unlogged
    assert attempts - 10 < unlogged < attempts, "the first are logged, the rest is counted"
