"""A connection in this process, with deadlines that a test can wait for, and a server that answers by hand."""

import asyncio
import math
import os
import socket
import threading
import time
import types
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rostra.ingest import encoder as module
from rostra.ingest import flv, h264
from rostra.ingest.encoder import Encoder, Settings
from rostra.ingest.reencode import Coded, Reencoder
from rostra.protocol.ingest import Admitted, Authorise, FromWorker, Open, Opened, Problem, Refused, TrackLine
from tests.ingest.client import Client, fields, number, text
from tests.ingest.conftest import av_tags
from tests.ingest.test_packets import h264_back

TIMEOUT_S = 10


@dataclass
class Server:
    """The server, as a connection sees it."""

    answer: Admitted | Refused = field(default_factory=lambda: Admitted(1))
    asked: list[Authorise | Open] = field(default_factory=list)
    told: list[FromWorker] = field(default_factory=list)
    feeds: list[socket.socket] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    has_room: bool = True

    async def ask(self, message: Authorise | Open) -> tuple[Any, int | None]:
        self.asked.append(message)
        if isinstance(message, Authorise):
            return self.answer, None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.feeds.append(ours)
        self.opened.set()
        audio = TrackLine(0, 111, 1) if message.audio else None
        video = TrackLine(1 if message.audio else 0, 96, 2) if message.video else None
        return Opened(1, "name", audio, video, 1), theirs.detach()

    def admit(self, number: int) -> bool:
        return self.has_room

    def tell(self, message: FromWorker) -> None:
        self.told.append(message)

    @property
    def problems(self) -> list[str]:
        return [one.code for one in self.told if isinstance(one, Problem)]


@dataclass
class Life:
    server: Server
    client: Client
    encoder: Encoder
    running: asyncio.Task[str] | None = None

    def begin(self) -> None:
        """The deadlines are those of now."""
        self.running = asyncio.create_task(self.encoder.run())

    async def ended(self) -> str:
        assert self.running is not None
        async with asyncio.timeout(TIMEOUT_S):
            return await self.running

    async def pictures(self, count: int) -> list[bytes]:
        """The next pictures of the newest feed, in annex B."""
        found: list[bytes] = []
        payloads: list[bytes] = []
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_S):
            await self.server.opened.wait()
            while len(found) < count:
                frame = await loop.sock_recv(self.server.feeds[-1], 2000)
                if frame[0] == 0x11 and frame[17] & 0x7F == 96:
                    payloads.append(frame[28:])
                    if frame[17] & 0x80:
                        found.append(h264_back(payloads))
                        payloads = []
        return found


@pytest.fixture
async def life() -> AsyncIterator[Life]:
    server, pool = Server(), ThreadPoolExecutor(1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        client = await Client.open(f"127.0.0.1:{listener.getsockname()[1]}")
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    encoder = Encoder(1, connection, "127.0.0.1", Settings(server, pool, reencode=False))
    one = Life(server, client, encoder)
    yield one
    if one.running is not None:
        one.running.cancel()
        await asyncio.wait({one.running})
    client.vanish()
    connection.close()
    for feed in server.feeds:
        feed.close()
    pool.shutdown()


async def test_who_never_says_anything_is_closed(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMANDS_S", 0.05)
    life.begin()
    assert await life.ended() == "timeout"
    assert await life.client.closed() == b""


async def test_a_handshake_byte_by_byte_gets_no_more_time(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMANDS_S", 0.1)
    life.begin()

    async def trickle() -> None:
        life.client.writer.write(b"\x03")
        while not (life.running is None or life.running.done()):
            life.client.writer.write(b"\0")
            await asyncio.sleep(0.005)

    _, reason = await asyncio.gather(trickle(), life.ended())
    assert reason == "timeout"


async def test_a_flood_that_says_nothing_gets_no_more_time(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are always there to be read, so that nothing ever waits: others have to get their turn all the same."""
    monkeypatch.setattr(module, "COMMANDS_S", 0.2)
    left = bytearray(b"\3\0\0\0\0\0\0\x14\0\0\0\0" + b"\xc3" * 65_524)  # messages of no bytes
    calls = 0

    async def receive(_socket: socket.socket, _size: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls > 5_000:  # some seconds of work
            raise ConnectionResetError
        data = bytes(left)
        left[:12] = b"\xc3" * 12
        return data

    life.begin()
    await life.client.handshake()
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_recv", receive)
    life.client.writer.write(b"\2\0\0\0\0\0\1\5\0\0\0\0\0")  # for the call that waits
    assert await life.ended() == "timeout"


async def test_commands_without_end_get_no_more_time(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMANDS_S", 0.2)
    life.begin()
    await life.client.handshake()
    life.client.command("connect", fields({"app": text("v2/pub")}))
    life.client.writer.write(b"\x03\0\0\0\0\xff\xff\x14\0\0\0\0")  # 64 KiB of a command, of which nothing comes
    assert await life.ended() == "timeout"


async def test_a_half_open_connection_is_closed(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.1)
    life.begin()
    await life.client.publish("demo?token=t")
    for kind, timestamp, body in list(av_tags())[:5]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    assert await life.ended() == "timeout"


async def test_the_server_is_asked_before_anything_is_answered(life: Life) -> None:
    life.server.answer = Refused(1, "invalid_token", "Unauthorized: Invalid token")
    life.begin()
    status = await life.client.publish("demo?token=t&sourceId=a&priority=3")
    assert b"NetStream.Publish.Unauthorized" in status
    assert life.server.asked == [Authorise(1, "demo", "t", "a", 3, "127.0.0.1")]
    life.client.writer.write_eof()
    assert await life.ended() == "invalid_token"


async def test_an_encoder_without_a_place_hears_why(life: Life) -> None:
    life.server.has_room = False
    life.begin()
    status = await life.client.publish("demo?token=t")
    assert b"NetStream.Publish.Rejected" in status
    assert b"too many encoders" in status
    life.client.writer.write_eof()
    assert await life.ended() == "too_many"


async def test_a_feed_that_ends_ends_the_connection(life: Life) -> None:
    life.begin()
    await life.client.publish("demo?token=t&videoOnly")
    tags = list(av_tags())
    for kind, timestamp, body in tags[:5]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    await life.pictures(2)
    life.server.feeds[-1].close()
    for kind, timestamp, body in tags[5:]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    assert b"ended by the server" in await life.client.closed()
    assert await life.ended() == "feed_closed"


async def test_key_frames_that_do_not_come_are_told(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEY_FRAME_S", 0.0)
    life.begin()
    await life.client.publish("demo?token=t&videoOnly")
    for kind, timestamp, body in list(av_tags())[:6]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    await life.pictures(3)
    assert life.server.problems == ["no_key_frame"]


async def test_tags_before_the_headers_are_not_kept_without_end(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OTHER_TRACK_S", 1000.0)
    life.begin()
    await life.client.publish("demo?token=t")
    header, *frames = [tag for tag in av_tags() if tag[0] == 9]
    life.client.message(9, header[2], chunk_stream=6)
    for at in range(module.MAX_HELD + 10):
        life.client.message(9, frames[1][2], timestamp=at, chunk_stream=6)
    assert b"headers" in await life.client.closed()


async def test_bytes_before_the_headers_are_not_kept_without_end(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OTHER_TRACK_S", 1000.0)
    monkeypatch.setattr(module, "MAX_HELD_BYTES", 10_000)
    life.begin()
    await life.client.publish("demo?token=t")
    header, *_ = [tag for tag in av_tags() if tag[0] == 9]
    life.client.message(9, header[2], chunk_stream=6)
    for at in range(4):
        life.client.message(9, b"\x17\1\0\0\0" + bytes(2600), timestamp=at, chunk_stream=6)
    assert b"headers" in await life.client.closed()


async def test_who_publishes_nothing_that_can_be_shown_is_closed(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEED_S", 0.0)
    life.begin()
    await life.client.publish("demo?token=t&audioOnly")
    life.client.message(18, text("onMetaData"))
    assert b"neither sound nor picture" in await life.client.closed()
    assert await life.ended() == "no_media"
    assert life.server.problems == ["no_media"]


async def test_pictures_get_the_time_when_that_is_asked_for(life: Life) -> None:
    life.begin()
    await life.client.publish("demo?token=t&videoOnly&enableUTCInsertion")
    for kind, timestamp, body in list(av_tags())[:6]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    pictures = await life.pictures(3)
    assert all(picture.count(h264.UUID_TIME) == 1 for picture in pictures)


async def test_text_data_of_the_encoder_is_in_the_next_picture(life: Life) -> None:
    life.begin()
    await life.client.publish("demo?token=t&videoOnly")
    tags = list(av_tags())
    for kind, timestamp, body in tags[:3]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    life.client.message(18, text("@setDataFrame") + text("onTextData") + fields({"text": text("hello")}))
    life.client.message(18, text("onTextData") + fields({"text": number(math.nan)}))  # which JSON does not have
    life.client.message(18, text("onFi") + fields({"sd": text("14-11-2023"), "st": text("22:13:20.123")}))
    for kind, timestamp, body in tags[3:6]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    pictures = await life.pictures(4)
    told = b"".join(pictures)
    assert b'{"text":"hello"}' in told
    assert b"NaN" not in told
    assert h264.time_sei(1_700_000_000_123) in told


async def test_key_frames_alone_pass_when_that_is_asked_for(life: Life) -> None:
    life.begin()
    await life.client.publish("demo?token=t&videoOnly&intraOnlyForwarding")
    for kind, timestamp, body in av_tags():
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    pictures = await life.pictures(2)
    assert all(b"\0\0\0\1\x65" in picture for picture in pictures)


async def test_random_bytes_after_the_handshake_end_the_connection(life: Life) -> None:
    life.begin()
    await life.client.handshake()
    life.client.writer.write(b"\x03" + os.urandom(200_000))
    assert await life.ended() in {"protocol", "connection_lost"}


async def test_a_track_that_comes_later_is_in_a_new_feed_from_the_next_key_frame_on(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OTHER_TRACK_S", 0.0)
    life.begin()
    await life.client.publish("demo?token=t")
    tags = [tag for tag in av_tags() if tag[0] == 9]
    for kind, timestamp, body in tags[:5]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    await life.pictures(4)
    assert life.server.asked[1:] == [Open(1, audio=False, video="h264", profile=life.server.asked[1].profile)]  # type: ignore[union-attr]
    assert life.server.problems == ["no_audio"]
    life.client.message(8, b"\xaf\x00\x12\x10", timestamp=300, chunk_stream=4)
    for kind, timestamp, body in tags[5:15]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    old = life.server.feeds[0]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(TIMEOUT_S):
        while await loop.sock_recv(old, 2000):  # up to its end, when the new one begins
            pass
    first, *_ = await life.pictures(2)
    assert b"\0\0\0\1\x65" in first
    assert [one.audio for one in life.server.asked[1:] if isinstance(one, Open)] == [False, True]


async def test_the_metadata_says_that_no_other_track_will_come(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OTHER_TRACK_S", 1000.0)
    life.begin()
    await life.client.publish("demo?token=t")
    life.client.message(18, text("onMetaData") + fields({"videocodecid": b"\0" + bytes(8)}))
    for kind, timestamp, body in list(av_tags())[:5]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    assert len(await life.pictures(2)) == 2


async def test_a_codec_that_had_to_wait_for_a_thread_has_all_its_time(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codec's own clock stands still, as if it had begun just before the first deadline each time."""
    monkeypatch.setattr(module, "WORK_S", 1.0)
    looked, done = 0, threading.Event()

    def monotonic() -> float:
        nonlocal looked
        looked += 1
        if looked == 2:  # once when it began, once after the first deadline
            done.set()
        return 1000.0

    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=monotonic, time_ns=time.time_ns))
    assert await life.encoder._work(lambda: done.wait(TIMEOUT_S))
    assert looked >= 2


async def test_a_codec_that_does_not_come_back_is_told_from_one_that_had_no_thread(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORK_S", 0.05)
    release = threading.Event()
    try:
        with pytest.raises(module.Stuck):
            await life.encoder._work(lambda: release.wait(TIMEOUT_S))
        with pytest.raises(module.Closed, match="too many encoders"):
            await life.encoder._work(lambda: None)
    finally:
        release.set()


async def test_another_feed_is_there_before_the_one_that_waited_is_given_up(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes the end of an encoder's newest feed for its own doing, and ends the connection."""
    life.begin()
    await life.client.publish("demo?token=t&videoOnly")
    sent = list(av_tags())
    for kind, timestamp, body in sent[:5]:
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    await life.pictures(2)
    ended: list[bool] = []
    ask = life.server.ask

    async def watched(message: Authorise | Open) -> tuple[Any, int | None]:
        try:
            ended.append(life.server.feeds[-1].recv(1, socket.MSG_PEEK) == b"")
        except BlockingIOError:
            ended.append(False)
        return await ask(message)

    monkeypatch.setattr(life.server, "ask", watched)
    for codec in (b"vp09", b"av01", b"vp09"):
        life.client.message(9, b"\x90" + codec + bytes(8), timestamp=300, chunk_stream=6)
    while len(life.server.feeds) < 4:
        life.server.opened.clear()
        await life.server.opened.wait()
    assert ended == [False] * 3


async def test_who_asks_for_a_key_frame_while_a_picture_is_encoded_again_is_heard(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life.encoder, "_settings", replace(life.encoder._settings, reencode=True))
    feed, wanted = Reencoder.feed, []

    def asked(reencoder: Reencoder, nals: Sequence[bytes], time_ms: int) -> list[Coded]:
        wanted.append(reencoder.key_frame_wanted)
        coded = feed(reencoder, nals, time_ms)
        if coded and len(wanted) == 10:
            life.server.feeds[-1].send(b"\x12" + bytes(15) + b"\x81\xce" + bytes(10))  # a PLI
        return coded

    monkeypatch.setattr(Reencoder, "feed", asked)
    life.begin()
    await life.client.publish("demo?token=t&videoOnly")
    for kind, timestamp, body in av_tags(options={"preset": "ultrafast", "x264-params": "bframes=2:b-adapt=0"}):
        life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
    await life.pictures(12)
    assert wanted[:11] == [False] * 10 + [True]


async def test_a_feed_that_comes_in_the_moment_of_the_end_is_closed(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: asyncio.Future[tuple[Any, int | None]] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(life.server, "ask", lambda _: answer)
    asking = asyncio.create_task(life.encoder._ask(Open(1, audio=True)))
    await asyncio.sleep(0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    life.server.feeds.append(ours)
    answer.set_result((Opened(1, "name", None, None, 1), theirs.detach()))
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    assert ours.recv(1) == b""


LATIN_1 = b"\x02\0\x0aonMetaData" + fields({"title": b"\x02\0\x04Caf\xe9"})
ODD = {
    "empty H264 header": (9, b"\x17\0\0\0\0"),
    "H264 header of zeros": (9, b"\x17\0\0\0\0\0"),
    "video tag of one byte": (9, b"\x27"),
    "end of sequence without time": (9, b"\x17\x02"),
    "empty AAC header": (8, b"\xaf\0"),
    "audio tag of one byte": (8, b"\xaf"),
    "video cut short": (9, b"\x27\x01\0"),
    "picture with a wrong length": (9, b"\x27\x01\0\0\0\0\0\x01\0abc"),
    "data of type 18": (18, b"\x00\x01\xa5\xe0"),
    "data of one byte": (18, b"\x02"),
    "Latin-1 metadata": (18, LATIN_1),
    "unknown type": (99, b"whatever"),
    "command that is cut short": (20, b"\x02\0\xff"),
    "Sorenson in mid-stream": (9, b"\x22" + bytes(20)),
    "MP3 in mid-stream": (8, b"\x2f" + bytes(20)),
    "AAC configuration that is none": (8, b"\xaf\0\xff\xff\xff"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("place", [0, 1, 4])
async def test_one_odd_message_does_not_cost_the_stream(life: Life, name: str, place: int) -> None:
    """``place``: before the headers, after them, among pictures."""
    life.begin()
    await life.client.publish("demo?token=t&videoOnly=0")
    kind, body = ODD[name]
    if "mid-stream" in name:
        place = 6
    tags = list(av_tags())
    life.client.message(18, text("onMetaData") + fields({"videocodecid": number(7)}), chunk_stream=4)
    for at, (other, timestamp, tag) in enumerate(tags[:12]):
        if at == place:
            life.client.message(kind, body, timestamp=timestamp, chunk_stream=5)
        life.client.message(other, tag, timestamp=timestamp, chunk_stream=6)
    assert len(await life.pictures(8)) == 8
    is_told = name in ("video cut short", "data of type 18", "data of one byte", "command that is cut short")
    is_told = is_told or (name == "picture with a wrong length" and place > 1)
    is_told = is_told or "mid-stream" in name or "configuration" in name
    assert ("unreadable" in life.server.problems) == is_told


async def test_broken_messages_in_a_row_end_the_connection_with_a_reason(life: Life) -> None:
    life.begin()
    await life.client.publish("demo?token=t")
    for _ in range(module.MAX_UNREADABLE + 1):
        life.client.message(9, b"\x27\x01\0", chunk_stream=6)
        life.client.message(8, b"\xaf", chunk_stream=5)  # good audio does not make up for it
    said = await life.client.until(b"onStatus")
    assert b"NetStream.Publish.Rejected" in said
    assert b"cut short" in said
    life.client.writer.write_eof()
    assert await life.ended() == "broken_media"


async def test_a_broken_chunk_stream_ends_the_connection_with_a_reason(life: Life) -> None:
    life.begin()
    await life.client.publish("demo?token=t")
    life.client.writer.write(b"\xc9" + bytes(64))  # continues a message that never began
    said = await life.client.until(b"onStatus")
    assert b"NetStream.Publish.Rejected" in said
    life.client.writer.write_eof()
    assert await life.ended() == "protocol"


async def test_text_that_is_not_utf_8_is_taken(life: Life) -> None:
    """GBK and Latin-1 in what encoders say of themselves."""
    life.begin()
    await life.client.handshake()
    odd = b"\x02\0\x04\xb2\xe2\xca\xd4"
    life.client.command("connect", fields({"app": text("v2/pub"), "flashVer": odd, "swfUrl": odd, "pageUrl": odd}))
    life.client.command("createStream", b"\x05")
    life.client.command("FCPublish", b"\x05", text("demo?token=t"))
    assert b"onFCPublish" in await life.client.until(b"onFCPublish")
    life.client.command("publish", b"\x05", text(" demo?token=t\n"), text("live"), stream=1)
    assert b"NetStream.Publish.Start" in await life.client.until(b"onStatus")
    assert life.server.asked == [Authorise(1, "demo", "t", None, None, "127.0.0.1")]


async def test_intra_refresh_is_told_as_what_it_is(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags that claim to be key frames, without a picture at which decoding can begin."""
    monkeypatch.setattr(module, "KEY_FRAME_S", 0.0)
    life.begin()
    await life.client.publish("demo?token=t&videoOnly")
    tags = list(av_tags(options={"tune": "zerolatency", "g": "100"}))
    for kind, timestamp, body in tags[:12]:
        claimed = b"\x17" + body[1:] if kind == 9 and body[:2] == b"\x27\x01" else body
        life.client.message(kind, claimed, timestamp=timestamp, chunk_stream=6)
    await life.pictures(8)
    text = next(one.text for one in life.server.told if isinstance(one, Problem) and one.code == "no_key_frame")
    assert "intra refresh off" in text


async def test_slices_in_tags_of_their_own_are_one_picture(life: Life) -> None:
    """The RTP marker stands on the last packet of a picture alone: receivers show nothing before it."""
    life.begin()
    await life.client.publish("demo?token=t&videoOnly")
    header, *tags = list(
        av_tags(options={"tune": "zerolatency", "g": "10", "x264-params": "slices=4:sliced-threads=0"})
    )
    life.client.message(header[0], header[2], timestamp=header[1], chunk_stream=6)
    counts = []
    for kind, timestamp, body in tags:
        if kind != 9 or body[1] != 1:
            life.client.message(kind, body, timestamp=timestamp, chunk_stream=6)
            continue
        nals = flv.split_avc(body[5:], 4)
        first = next(place for place, nal in enumerate(nals) if nal[0] & 0x1F in (1, 5))
        groups = [nals[: first + 1], *([nal] for nal in nals[first + 1 :])]
        counts.append(len(groups))
        for group in groups:
            data = b"".join(len(nal).to_bytes(4, "big") + nal for nal in group)
            life.client.message(9, body[:5] + data, timestamp=timestamp, chunk_stream=6)
    assert min(counts) == 4
    pictures = await life.pictures(12)
    slices = [sum(nal[0] & 0x1F in (1, 5) for nal in flv.split_annex_b(picture)) for picture in pictures]
    assert slices[2:] == [4] * 10, "all but the first, of which nobody knew yet, come whole"
