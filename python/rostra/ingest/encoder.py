"""One encoder's connection: handshake, admission, feed, media, end. What goes wrong here ends this connection alone.

The file is long because an encoder's life is one sequence, and every step of it has its deadline here.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, assert_never

from rostra.ingest import flv, h264, rtmp
from rostra.ingest.link import Clock, Link, LinkClosed
from rostra.ingest.picture import Picture, PictureTrack, fi_epoch_ms
from rostra.ingest.reencode import BrokenPicture, Coded, Reencoder
from rostra.ingest.sound import BrokenSound, Opus, Transcoder
from rostra.ingest.timeline import Timeline, Track
from rostra.protocol.ingest import Authorise, FromWorker, KeyFrames, Open, Opened, Problem, Refused
from rostra.protocol.rtmp import BadTarget, Target, parse_target

CHUNK: Final = 64 * 1024
TURN: Final = 64
"""Events that are dealt with before others have their turn. A read of an encoder has a few."""
COMMANDS_S: Final = 10.0
"""From the connection to ``publish``: who is slower is no encoder, or a half-open connection."""
IDLE_S: Final = 10.0
"""Without a byte while publishing."""
ANSWER_S: Final = 10.0
"""For the server's answers."""
WRITE_S: Final = 5.0
LINGER_S: Final = 1.0
"""For an encoder that was told why to close by itself."""
WORK_S: Final = 10.0
"""For one frame in a codec. What takes longer is stuck, and a thread cannot be stopped: the worker ends."""
OTHER_TRACK_S: Final = 1.0
"""How long the first track waits for the other one's header, unless the metadata says that there is none."""
MAX_HELD: Final = 512
"""Tags that wait meanwhile."""
MAX_HELD_BYTES: Final = 16 << 20
"""And their bytes: a second of 100 Mb/s has 12.5 million."""
FEED_S: Final = 30.0
"""From `publish` to the first feed: who sends nothing that can be shown holds a place for nothing."""
KEY_FRAME_S: Final = 10.0
"""Without a key frame, viewers who come wait as long: the encoder's owner is told."""
KEY_FRAMES_S: Final = 1.0
"""Between two words about their distance."""
PROBLEM_S: Final = 60.0
"""The same problem is told again after this."""
MAX_UNREADABLE: Final = 100
"""Messages in a row that cannot be read. Fewer are skipped: one odd message does not cost the stream."""
MAX_GOP: Final = 300
"""Pictures since the last key frame that are kept for a decoder that may be needed."""
MAX_GOP_BYTES: Final = 16 << 20

REJECTED: Final = "NetStream.Publish.Rejected"
"""RTMP's word for what an encoder was let in for and cannot be taken: its owner is told why."""

_T = TypeVar("_T")


class Stuck(Exception):  # noqa: N818 — it ends the worker
    """A codec does not come back."""


class Control(Protocol):
    """The server, as a connection sees it."""

    def ask(self, message: Authorise | Open) -> Awaitable[tuple[Any, int | None]]:
        """The answer, and its descriptor, which is the caller's."""

    def admit(self, number: int) -> bool:
        """Whether there is a place for a connection whose token is good."""

    def tell(self, message: FromWorker) -> None:
        """Say what need not be answered."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all connections have in common. ``pool``: threads for codecs."""

    control: Control
    pool: ThreadPoolExecutor
    reencode: bool


class Closed(Exception):  # noqa: N818 — the normal end
    """The connection is over. ``code`` is stable, ``text`` is for people; ``status``: what RTMP calls it, if told."""

    def __init__(self, code: str, text: str, status: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status


class Encoder:
    """One connection. ``run`` returns its end's reason."""

    def __init__(self, number: int, connection: socket.socket, peer: str, settings: Settings) -> None:
        self.number: Final = number
        self.is_admitted = False
        """It has shown a good token, and holds a place of encoders."""
        self._socket: Final = connection
        self._peer: Final = peer
        self._settings: Final = settings
        self._session: Final = rtmp.Session()
        self._timeline: Final = Timeline()
        self._clock: Final = Clock()
        self._target: Target | None = None
        self._link: Link | None = None
        self._next: Link | None = None
        """A feed with other tracks, from the next key frame on."""
        self._picture: PictureTrack | None = None
        self._sound: Transcoder | None = None
        self._sound_config = b""
        self._reencoder: Reencoder | None = None
        self._gop: list[tuple[list[bytes], int]] = []
        self._gop_bytes = 0
        self._held: list[rtmp.Audio | rtmp.Video] = []
        self._held_bytes = 0
        self._first_header_s: float | None = None
        self._expected: set[Track] | None = None
        self._last_tag_s = time.monotonic()
        self._last_key_s = time.monotonic()
        self._last_key_ms: int | None = None
        self._key_told_s = 0.0
        self._told: Final[dict[str, float]] = {}
        self._unreadable: Final[Counter[type[rtmp.Event]]] = Counter()
        """Messages in a row, of each kind: good audio does not make up for video that is broken."""
        self._is_refreshed = False
        """Key frames of the encoder are none: it refreshes pictures piece by piece (intra refresh)."""
        self._fi_ms: int | None = None
        self._end_text: str | None = None

    async def run(self) -> str:
        """Serve until the end; its reason."""
        try:
            await self._serve()
        except Closed as closed:
            if closed.status == REJECTED:
                self.problem(closed.code, closed.text)
            await self._say_bye(closed)
            return closed.code
        except rtmp.RtmpError as error:
            self.problem("protocol", str(error))
            await self._say_bye(Closed("protocol", f"What comes is not RTMP: {error}", REJECTED))
            return "protocol"
        except LinkClosed:
            await self._say_bye(
                Closed(
                    "feed_closed", self._end_text or "The stream was ended by the server", "NetStream.Unpublish.Success"
                )
            )
            return "feed_closed"
        except (TimeoutError, OSError) as error:
            return "timeout" if isinstance(error, TimeoutError) else "connection_lost"
        finally:
            for link in (self._link, self._next):
                if link is not None:
                    link.close()
            self._socket.close()
        return "left"

    def end(self, text: str) -> None:
        """The server ended the feed: no more bytes are read."""
        self._end_text = text
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def drop(self) -> None:
        """The place is needed: a connection that has not shown a good token ends without a word."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def problem(self, code: str, text: str) -> None:
        """Tell the server, not too often."""
        now = time.monotonic()
        if now - self._told.get(code, -PROBLEM_S) >= PROBLEM_S:
            self._told[code] = now
            self._settings.control.tell(Problem(self.number, code, text[:500]))

    # --- Before media -------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        async with asyncio.timeout(COMMANDS_S):
            self._target = await self._commands()
        target = self._target
        question = Authorise(self.number, target.stream, target.token, target.source, target.priority, self._peer)
        answer, _ = await self._ask(question)
        if isinstance(answer, Refused):
            raise Closed(answer.code, answer.text, "NetStream.Publish.Unauthorized")
        if not self._settings.control.admit(self.number):
            raise Closed("too_many", "The server has too many encoders, or too many of this address", REJECTED)
        self._session.accept()
        await self._flush()
        began_s = time.monotonic()
        while True:
            async with asyncio.timeout(IDLE_S):
                data = await self._receive()
            if not data:
                if self._end_text is not None:
                    raise Closed("feed_closed", self._end_text, "NetStream.Unpublish.Success")
                return
            events = self._session.receive(data)
            await self._flush()
            for place, event in enumerate(events, 1):
                if isinstance(event, rtmp.Unpublish):
                    return
                await self._media(event)
                if place % TURN == 0:
                    await asyncio.sleep(0)
            if self._link is None and time.monotonic() - began_s >= FEED_S:
                text = "Nothing to show has come: neither sound nor picture that the address asks for"
                raise Closed("no_media", text, REJECTED)

    async def _commands(self) -> Target:
        connect: rtmp.Connect | None = None
        while True:
            data = await self._receive()
            if not data:
                raise ConnectionError
            events = self._session.receive(data)
            await self._flush()
            for event in events:
                if isinstance(event, rtmp.Connect):
                    connect = event
                elif isinstance(event, rtmp.Publish) and connect is not None:
                    try:
                        return parse_target(connect.app, connect.tc_url, event.name)
                    except BadTarget as error:
                        raise Closed("bad_target", str(error), "NetStream.Publish.BadName") from error

    async def _ask(self, question: Authorise | Open) -> tuple[Any, int | None]:
        answer = asyncio.ensure_future(self._settings.control.ask(question))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except BaseException:
            # It may have come in the very moment in which nobody wants it any more.
            if answer.done() and not answer.cancelled() and (descriptor := answer.result()[1]) is not None:
                os.close(descriptor)
            raise

    async def _receive(self) -> bytes:
        """The next bytes. Others have their turn first: where bytes are always there, no read waits for them."""
        await asyncio.sleep(0)
        return await asyncio.get_running_loop().sock_recv(self._socket, CHUNK)

    async def _flush(self) -> None:
        output = self._session.output()
        if output:
            async with asyncio.timeout(WRITE_S):
                await asyncio.get_running_loop().sock_sendall(self._socket, output)

    async def _flush_quietly(self) -> None:
        with contextlib.suppress(TimeoutError, OSError):
            await self._flush()

    async def _say_bye(self, closed: Closed) -> None:
        """What the encoder shows its owner."""
        if closed.status is None:
            return
        try:
            self._session.refuse(closed.status, closed.text)
            self._session.end(closed.status, closed.text)
        except rtmp.RtmpError:
            return
        await self._flush_quietly()
        with contextlib.suppress(TimeoutError, OSError):
            self._socket.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(LINGER_S):
                # With bytes that nobody read, a close would be a reset, and the encoder would not read the reason.
                while await self._receive():
                    pass

    # --- Media --------------------------------------------------------------------------------------------------

    async def _media(self, event: rtmp.Event) -> None:
        try:
            match event:
                case rtmp.Data():
                    self._data(event)
                case rtmp.Video():
                    await self._video(event)
                case rtmp.Audio():
                    await self._audio(event)
                case rtmp.Unreadable():
                    self._skip(event, f"a message that cannot be read: {event.why}")
                    return
                case rtmp.Connect() | rtmp.Publish() | rtmp.Unpublish():
                    pass
                case _:
                    assert_never(event)
        except flv.Unsupported as error:
            if self._link is None:
                raise Closed("unsupported_codec", error.text, REJECTED) from error
            self._skip(event, error.text)
            return
        except flv.FlvError as error:
            self._skip(event, str(error))
            return
        except (BrokenSound, BrokenPicture) as error:
            raise Closed("broken_media", str(error), REJECTED) from error
        self._unreadable[type(event)] = 0
        await self._open_when_known()

    def _skip(self, event: rtmp.Event, why: str) -> None:
        """Go on without one message. Many in a row are no accident."""
        self._unreadable[type(event)] += 1
        self.problem("unreadable", f"Something that the encoder sends cannot be read and is skipped: {why}")
        if self._unreadable[type(event)] > MAX_UNREADABLE:
            raise Closed("broken_media", f"What comes is broken: {why}", REJECTED)

    def _data(self, event: rtmp.Data) -> None:
        match event.name:
            case "onMetaData":
                fields = next((one for one in event.values if isinstance(one, dict)), {})
                expected = {track for track, name in _METADATA.items() if name in fields}
                self._expected = expected or self._expected
            case "onFi":
                self._fi_ms = fi_epoch_ms(event.values)
                if self._fi_ms is not None and self._picture is not None:
                    self._picture.add_message(h264.time_sei(self._fi_ms))
            case "onTextData" if self._picture is not None:
                value = next((one for one in event.values if one is not None), None)
                if value is not None:
                    with contextlib.suppress(ValueError):
                        self._picture.add_message(h264.text_sei(_now_ms(), value))
            case _:
                pass

    async def _video(self, event: rtmp.Video) -> None:
        if self._target is None or not self._target.wants_video:
            return
        tag = flv.parse_video(event.tag)
        if isinstance(tag, flv.VideoHeader):
            self._note_header()
            if self._picture is None or self._picture.codec is not tag.codec:
                self._picture = PictureTrack(tag)
                self._gop.clear()
                self._reencoder = None
                await self._reopen()
            else:
                self._picture.configure(tag)
        elif tag is not None and self._picture is not None and tag.codec is self._picture.codec:
            if self._link is None:
                self._hold(event)
            else:
                for frame, timestamp in self._picture.join(tag, event.timestamp):
                    await self._send_video(self._picture, frame, timestamp)

    async def _audio(self, event: rtmp.Audio) -> None:
        if self._target is None or not self._target.wants_audio:
            return
        tag = flv.parse_audio(event.tag)
        if isinstance(tag, flv.AudioHeader):
            self._note_header()
            is_new = self._sound is None
            if is_new or tag.config != self._sound_config:
                try:
                    self._sound = await self._work(lambda: Transcoder(tag.config))
                except BrokenSound as error:
                    raise flv.FlvError(str(error)) from error
                self._sound_config = tag.config
            if is_new:
                await self._reopen()
        elif tag is not None and self._sound is not None:
            if self._link is None:
                self._hold(event)
            else:
                await self._send_audio(self._sound, tag.data, event.timestamp)

    def _note_header(self) -> None:
        if self._first_header_s is None:
            self._first_header_s = time.monotonic()

    def _hold(self, event: rtmp.Audio | rtmp.Video) -> None:
        self._held_bytes += len(event.tag)
        if len(self._held) >= MAX_HELD or self._held_bytes > MAX_HELD_BYTES:
            raise Closed("broken_media", "Too much came before the headers", REJECTED)
        self._held.append(event)

    # --- The feed -----------------------------------------------------------------------------------------------

    async def _open_when_known(self) -> None:
        """Open the feed as soon as both tracks are known, or the other one is not to be expected."""
        if self._link is not None or self._first_header_s is None or self._target is None:
            return
        known = {track for track, one in ((Track.AUDIO, self._sound), (Track.VIDEO, self._picture)) if one is not None}
        wanted = {
            track
            for track, wants in ((Track.AUDIO, self._target.wants_audio), (Track.VIDEO, self._target.wants_video))
            if wants and (self._expected is None or track in self._expected)
        }
        is_late = time.monotonic() - self._first_header_s >= OTHER_TRACK_S
        if not wanted <= known and not is_late:
            return
        self._link = await self._opened()
        if self._sound is None and self._target.wants_audio:
            self.problem("no_audio", "No sound comes with the picture")
        held, self._held = self._held, []
        self._held_bytes = 0
        self._last_key_s = self._last_tag_s = time.monotonic()
        for event in held:
            await self._media(event)

    async def _reopen(self) -> None:
        """A track came that the feed does not have."""
        if self._link is None:
            return
        former, self._next = self._next, await self._opened()
        if former is not None:
            former.close()  # not before: of the newest feed the server takes the end for its own doing
        if self._link.video is None:
            self._switch()

    async def _opened(self) -> Link:
        picture = self._picture
        video, profile = (picture.codec.value, picture.profile) if picture is not None else (None, 0)
        answer, descriptor = await self._ask(Open(self.number, self._sound is not None, video, profile))
        if isinstance(answer, Opened) and descriptor is not None:
            return Link(answer, descriptor, self._clock, secrets.randbits(96), codec=video)
        if isinstance(answer, Refused):
            raise Closed(answer.code, answer.text, "NetStream.Publish.BadName")
        raise ConnectionError

    def _switch(self) -> None:
        """From the old feed to the new one: the newest of a source takes over with its first packet."""
        if self._next is not None and self._link is not None:
            self._link.close()
            self._link, self._next = self._next, None

    def _media_ms(self, timestamp: int, track: Track) -> int:
        now = time.monotonic()
        elapsed_ms = round((now - self._last_tag_s) * 1000)
        self._last_tag_s = now
        jumps = self._timeline.jumps
        time_ms = self._timeline.media_ms(timestamp, track, elapsed_ms=elapsed_ms)
        if self._timeline.jumps != jumps:
            self.problem("timestamp_jump", "The encoder's timestamps leap; they were put right")
        return time_ms

    async def _send_video(self, track: PictureTrack, frame: flv.VideoFrame, timestamp: int) -> None:
        picture = track.picture(frame, self._media_ms(timestamp, Track.VIDEO))
        # A tag that claims to be a key frame, and no decoder can begin there.
        self._is_refreshed |= frame.is_key and not picture.is_key
        now = time.monotonic()
        if picture.is_key:
            self._last_key_s = now
            self._tell_interval(picture.time_ms, now)
        elif now - self._last_key_s >= KEY_FRAME_S:
            cure = "set the encoder's key frame interval to 2 seconds"
            if self._is_refreshed:
                cure = "the encoder refreshes its pictures piece by piece; switch intra refresh off"
            self.problem("no_key_frame", f"No key frame for 10 seconds: {cure}")
        if picture.is_late:
            self._say_b_frames()
        if track.codec is flv.VideoCodec.H264 and self._settings.reencode:
            for coded in await self._in_order(picture):
                again = Picture(coded.time_ms, h264.is_key(coded.nals), is_late=False, nals=coded.nals)
                await self._send_picture(track, again)
        else:
            await self._send_picture(track, picture)

    def _tell_interval(self, time_ms: int, now: float) -> None:
        """How far apart key frames are, for the encoder's owner; not of each, where all frames are key frames."""
        last_ms, self._last_key_ms = self._last_key_ms, time_ms
        if last_ms is not None and now - self._key_told_s >= KEY_FRAMES_S:
            self._key_told_s = now
            self._settings.control.tell(KeyFrames(self.number, max(0, time_ms - last_ms)))

    def _say_b_frames(self) -> None:
        if self._settings.reencode:
            self.problem(
                "b_frames", "The picture has B-frames and is encoded again, which costs CPU and delay: set bframes=0"
            )
        else:
            text = "The picture has B-frames, which browsers show with jerks: set bframes=0, or start the server with"
            self.problem("b_frames", f"{text} --rtmp-reencode")

    async def _in_order(self, picture: Picture) -> list[Coded]:
        """The picture as it is, until one comes late: from then on everything is encoded again."""
        if self._reencoder is None:
            if picture.is_key:
                self._gop.clear()
                self._gop_bytes = 0
            self._gop.append((picture.nals, picture.time_ms))
            self._gop_bytes += sum(map(len, picture.nals))
            if len(self._gop) > MAX_GOP or self._gop_bytes > MAX_GOP_BYTES:
                self._gop.clear()
                self._gop_bytes = 0
            if not picture.is_late:
                return [Coded(picture.nals, picture.time_ms)]
            reencoder = self._reencoder = Reencoder(
                max(time_ms for _, time_ms in self._gop) if self._gop else picture.time_ms
            )
            gop, self._gop = self._gop, []
            coded: list[Coded] = []
            for nals, time_ms in gop:
                coded += await self._work(lambda nals=nals, time_ms=time_ms: reencoder.feed(nals, time_ms))  # type: ignore[misc]
            return coded
        reencoder = self._reencoder
        self._hear_requests()
        return await self._work(lambda: reencoder.feed(picture.nals, picture.time_ms))

    async def _send_picture(self, track: PictureTrack, picture: Picture) -> None:
        target = self._target
        if target is None or self._link is None or (target.key_frames_only and not picture.is_key):
            return
        if self._next is not None and picture.is_key:
            self._switch()
        if self._link.codec != track.codec.value:
            return  # of another codec, and its key frame has not come
        if track.codec is flv.VideoCodec.H264:
            utc = _now_ms if target.utc and self._fi_ms is None else None
            nals = track.with_metadata(
                picture.nals, is_key=picture.is_key, utc=utc, key_frames_only=target.sei_key_frames_only
            )
            picture = Picture(picture.time_ms, picture.is_key, picture.is_late, nals)
        self._hear_requests()
        await self._link.send_video(track.payloads(picture), picture.time_ms)

    def _hear_requests(self) -> None:
        """An encoder cannot be asked for a key frame, ours can. What is not read takes room."""
        if self._link is not None and self._link.wants_key_frame() and self._reencoder is not None:
            self._reencoder.key_frame_wanted = True

    async def _send_audio(self, sound: Transcoder, data: bytes, timestamp: int) -> None:
        media_ms = self._media_ms(timestamp, Track.AUDIO)
        for packet in await self._work(lambda: sound.feed(data, media_ms)):
            await self._send_opus(packet)

    async def _send_opus(self, packet: Opus) -> None:
        if self._link is not None:
            await self._link.send_audio(packet.data, packet.timestamp, packet.level)

    async def _work(self, call: Callable[[], _T]) -> _T:
        """Run a codec in a thread.

        Raises:
            Stuck: it does not come back.
            Closed: there is no thread for it.
        """
        began_s: list[float] = []

        def work() -> _T:
            began_s.append(time.monotonic())
            return call()

        running = asyncio.get_running_loop().run_in_executor(self._settings.pool, work)
        left_s = WORK_S
        while left_s > 0:
            done, _ = await asyncio.wait({running}, timeout=left_s)
            if done:
                return running.result()
            if not began_s:
                running.cancel()
                text = "The server has too many encoders for its processors"
                raise Closed("overloaded", text, REJECTED)
            left_s = began_s[0] + WORK_S - time.monotonic()  # it may have waited for a thread
        raise Stuck


_METADATA: Final = {Track.AUDIO: "audiocodecid", Track.VIDEO: "videocodecid"}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
