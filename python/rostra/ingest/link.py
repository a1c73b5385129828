"""The worker's end of a local feed: packets out, with their numbers and reports; requests for key frames in."""

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass
from typing import Final

from rostra.ingest import rtp
from rostra.protocol.ingest import Opened, TrackLine

SEND_BUFFER: Final = 2 << 20
"""Asked for; the system may give less, and then large key frames wait."""
MAX_WAIT_S: Final = 2.0
"""The media plane reads all the time: who waits longer talks to nobody."""
REPORT_MS: Final = 1000
PAYLOAD_FORMAT_SPECIFIC: Final = 206
VIDEO_CLOCK: Final = 90
AUDIO_CLOCK: Final = 48


class LinkClosed(Exception):  # noqa: N818 — it ends a connection
    """The media plane closed the feed."""


@dataclass(slots=True)
class _Line:
    """A track. Its RTP numbers begin anywhere (RFC 3550 §5.1); ``clock``: ticks of a millisecond."""

    route: int
    payload_type: int
    ssrc: int
    clock: int
    sequence: int
    offset: int
    packets: int = 0
    octets: int = 0
    reported_ms: int | None = None


@dataclass(slots=True)
class Clock:
    """From media time to wall clock, the same for all feeds of an encoder: the first tag is now."""

    base_us: int = 0

    def epoch_us(self, media_ms: int) -> int:
        """When that was, or will be."""
        if not self.base_us:
            self.base_us = time.time_ns() // 1000 - media_ms * 1000
        return self.base_us + media_ms * 1000


class Link:
    """A feed. Owns the descriptor."""

    def __init__(self, opened: Opened, descriptor: int, clock: Clock, randbits: int, *, codec: str | None) -> None:
        """``randbits``: where the numbers begin, 96 bits of it. ``codec``: of the video."""
        self.codec: Final = codec
        self._socket: Final = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._cname: Final = opened.cname
        self._clock: Final = clock
        self._level: Final = opened.audio_level
        self.audio: Final = _line(opened.audio, AUDIO_CLOCK, randbits)
        self.video: Final = _line(opened.video, VIDEO_CLOCK, randbits >> 48)
        self._sequence = 0
        self.dropped = 0
        """Packets that found no room in time."""

    async def send_video(self, payloads: list[bytes], time_ms: int) -> None:
        """A picture. Without a track for it, nothing.

        Raises:
            LinkClosed: the feed is over.
        """
        if (line := self.video) is None:
            return
        await self._report(line, time_ms)
        last = len(payloads) - 1
        for index, payload in enumerate(payloads):
            await self._send(line, time_ms * VIDEO_CLOCK, payload, marker=index == last)

    async def send_audio(self, data: bytes, timestamp: int, level: int) -> None:
        """20 ms of Opus; ``timestamp`` in samples.

        Raises:
            LinkClosed: the feed is over.
        """
        if (line := self.audio) is None:
            return
        await self._report(line, timestamp // AUDIO_CLOCK)
        extension = rtp.audio_level(self._level, level, voice=level < 60)
        await self._send(line, timestamp, data, marker=line.packets == 0, extension=extension)

    def wants_key_frame(self) -> bool:
        """Whether somebody asked for one since the last call."""
        is_asked = False
        for _ in range(64):
            try:
                data = self._socket.recv(rtp.MAX_FRAME)
            except (BlockingIOError, OSError):
                break
            if not data:
                break
            is_asked = is_asked or (data[0] == 0x10 | rtp.RTCP and data[17:18] == bytes([PAYLOAD_FORMAT_SPECIFIC]))
        return is_asked

    def close(self) -> None:
        """Say good-bye and close. Idempotent."""
        if self._socket.fileno() < 0:
            return
        ssrcs = [line.ssrc for line in (self.audio, self.video) if line is not None and line.packets]
        if ssrcs:
            with contextlib.suppress(OSError):
                self._socket.send(self._frame(rtp.RTCP, 0, rtp.goodbye(ssrcs)))
        self._socket.close()

    async def _report(self, line: _Line, media_ms: int) -> None:
        if line.reported_ms is not None and media_ms - line.reported_ms < REPORT_MS:
            return
        line.reported_ms = media_ms
        report = rtp.sender_report(
            line.ssrc,
            self._cname,
            epoch_us=self._clock.epoch_us(media_ms),
            timestamp=line.offset + media_ms * line.clock,
            packets=line.packets,
            octets=line.octets,
        )
        await self._write(self._frame(rtp.RTCP, 0, report))

    async def _send(self, line: _Line, ticks: int, payload: bytes, *, marker: bool, extension: bytes = b"") -> None:
        packet = rtp.packet(
            line.payload_type,
            line.sequence,
            line.offset + ticks,
            line.ssrc,
            payload,
            marker=marker,
            extension=extension,
        )
        line.sequence += 1
        line.packets += 1
        line.octets += len(payload)
        await self._write(self._frame(rtp.RTP, line.route, packet))

    def _frame(self, kind: int, route: int, body: bytes) -> bytes:
        self._sequence += 1
        return rtp.envelope(kind, route, self._sequence - 1) + body

    async def _write(self, frame: bytes) -> None:
        try:
            self._socket.send(frame)
        except BlockingIOError:
            await self._wait(frame)
        except OSError as error:
            raise LinkClosed from error

    async def _wait(self, frame: bytes) -> None:
        """There is no room: the encoder waits with us, on its own connection."""
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await asyncio.get_running_loop().sock_sendall(self._socket, frame)
        except TimeoutError:
            self.dropped += 1
        except OSError as error:
            raise LinkClosed from error


def _line(line: TrackLine | None, clock: int, randbits: int) -> _Line | None:
    if line is None:
        return None
    sequence, offset = randbits & 0x7FFF, randbits >> 16 & 0x3FFFFFFF
    return _Line(line.route, line.payload_type, line.ssrc, clock, sequence, offset)
