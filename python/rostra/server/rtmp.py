"""RTMP encoders, the control plane's side (docs/protocol/rtmp.md): a worker process, what it asks, and what it is told.

The worker handles strangers' bytes and may be anybody's: each of its messages is checked as a stranger's request is.
"""

import asyncio
import os
import secrets
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final, assert_never

import structlog

from rostra.ingest.channel import Channel
from rostra.media.engine import Overloaded
from rostra.model import local
from rostra.model.addresses import normalise
from rostra.model.effects import SignalEvent
from rostra.model.ids import ServerId, SourceId, StreamKey, StreamName, is_name
from rostra.model.incoming import TurnedAway
from rostra.model.media import Codec, Kind, LocalFeedSpec, TransportId
from rostra.model.refused import InvalidToken, Refused, Unsuitable
from rostra.model.stream import Door, Problem
from rostra.model.token import PublishGrant, check
from rostra.protocol import ingest
from rostra.server.clients import Client
from rostra.server.context import Context

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_STEADY_S: Final = 10.0
"""A worker that lived as long has not failed at its start."""
_END_S: Final = 2.0
"""For a worker to end by itself when its channel closes."""
_START_S: Final = 20.0
"""For a new worker to say that it runs."""
_SILENCE_S: Final = 2.5
"""A worker that says nothing for as long is stuck or stopped, and is replaced."""
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "PYTHONPATH", "PYTHONHOME")
MAX_PROBLEMS: Final = 16
"""Kept of one encoder, the newest."""
_LONGEST_MS: Final = 3_600_000
_OVERLOADED: Final = ("overloaded", "The server has no room; try again")
MAX_ENCODERS: Final = 1024
"""Of one worker, which takes fewer."""

log = structlog.get_logger("rostra.rtmp")


@dataclass(slots=True)
class Encoder:
    """An encoder that was admitted. ``problems``: code, text and when, seconds since 1970."""

    number: int
    grant: PublishGrant
    source: SourceId | None
    priority: int | None
    peer: str
    transport: TransportId | None = None
    """Its newest feed."""
    transports: set[TransportId] = field(default_factory=set)
    """All that live: an older one goes on until the key frame with which the newest takes over."""
    problems: deque[tuple[str, str, float]] = field(default_factory=lambda: deque(maxlen=MAX_PROBLEMS))


class Rtmp:
    """The worker, its supervision and its encoders."""

    def __init__(self, context: Context, listener: socket.socket, *, reencode: bool = False) -> None:
        """``listener`` stays the caller's: it outlives workers, and connections wait in it meanwhile."""
        self._context: Final = context
        self._listener: Final = listener
        self._reencode: Final = reencode
        self._line: _Line | None = None
        self.worker: int | None = None
        """The worker's process id."""
        self.starts = 0
        """Workers so far."""

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """Who publishes by RTMP now."""
        return tuple(self._line.encoders.values()) if self._line is not None else ()

    async def run(self) -> None:
        """Keep a worker alive until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            began_s = time.monotonic()
            try:
                code = await self._run_worker()
            except OSError as error:  # neither a process nor a descriptor to be had: it passes, or the operator sees it
                log.error("the RTMP worker cannot be started", reason=error.strerror)
                code = None
            pause_s = _FIRST_PAUSE_S if time.monotonic() - began_s >= _STEADY_S else min(2 * pause_s, _LONGEST_PAUSE_S)
            log.error("the RTMP worker ended and is started again", code=code, pause_s=pause_s)
            await asyncio.sleep(pause_s)

    async def _run_worker(self) -> int | None:
        """Until the worker or its channel ends; the process is gone afterwards."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptors = (self._listener.fileno(), theirs.fileno())
        command = [sys.executable, "-m", "rostra.ingest", *map(str, descriptors)]
        if self._reencode:
            command.append("--reencode")
        try:
            process = await asyncio.create_subprocess_exec(
                *command, pass_fds=descriptors, stdin=asyncio.subprocess.DEVNULL, env=_environment()
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.worker = process.pid
        self.starts += 1
        line = self._line = _Line(self._context, ours, process)
        watching = asyncio.create_task(line.watch())
        try:
            await line.closed.wait()
        finally:
            watching.cancel()
            line.close()
            self._line = None
            await _ended(process)
            self.worker = None
        return process.returncode


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for the worker's end, which its channel's end asks for."""
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    except asyncio.CancelledError:
        process.kill()
        raise


def _environment() -> dict[str, str]:
    """What the interpreter needs to find the same packages, and none of our secrets."""
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}


class _Line:
    """What is said with one worker."""

    def __init__(self, context: Context, link: socket.socket, process: asyncio.subprocess.Process) -> None:
        self._context: Final = context
        self._process: Final = process
        self.encoders: Final[dict[int, Encoder]] = {}
        self.closed: Final = asyncio.Event()
        """The channel's end: the worker has ended, as its end of the channel has, or has to."""
        self._asking: Final[dict[int, asyncio.Task[None]]] = {}
        self._messages = 0
        self._channel: Final = Channel(link, self._on_message, self._on_close)

    async def watch(self) -> None:
        """Kill a worker that says nothing. Turns of our own loop are counted: when that is late, nobody is to blame."""
        silent_s, seen = 0.0, 0
        while silent_s < (_SILENCE_S if seen else _START_S):
            await asyncio.sleep(ingest.ALIVE_S)
            silent_s = silent_s + ingest.ALIVE_S if self._messages == seen else 0.0
            seen = self._messages
        self._give_up("it says nothing")

    def close(self) -> None:
        """The worker is gone, or has to go: so have its feeds."""
        self._channel.close()
        for task in self._asking.values():
            task.cancel()
        for number in list(self.encoders):
            self._leave(number)

    def end(self, number: int, transport: TransportId) -> None:
        """The hub hung up on a feed; of an older feed of the same encoder that was to be expected."""
        encoder = self.encoders.get(number)
        if encoder is None:
            return
        encoder.transports.discard(transport)
        if encoder.transport == transport:
            encoder.transport = None
            self._send(ingest.End(number, "The stream was ended by the server"))

    def _send(self, message: ingest.FromServer, descriptor: int | None = None) -> None:
        self._channel.send(ingest.encode(message), descriptor)

    def _on_message(self, data: bytes, descriptor: int | None) -> None:
        if descriptor is not None:
            os.close(descriptor)  # the worker has nothing to give
        self._messages += 1
        try:
            message = ingest.decode_from_worker(data)
        except ValueError:
            self._give_up("a message that cannot be read")
            return
        match message:
            case ingest.Authorise():
                is_known = message.connection in self._asking or message.connection in self.encoders
                if is_known or len(self.encoders) + len(self._asking) >= MAX_ENCODERS:
                    self._give_up("an encoder twice, or too many")
                    return
                task = asyncio.get_running_loop().create_task(self._authorise(message))
                self._asking[message.connection] = task
                task.add_done_callback(lambda _: self._asking.pop(message.connection, None))
            case ingest.Open():
                try:
                    self._open(message)
                except OSError:  # no descriptor to be had; a feed that was opened ends with its socket
                    self._send(ingest.Refused(message.connection, *_OVERLOADED))
            case ingest.Alive():
                pass
            case ingest.Problem():
                self._note(message)
            case ingest.KeyFrames():
                encoder = self.encoders.get(message.connection)
                if encoder is not None and encoder.transport is not None and message.interval_ms >= 0:
                    self._context.hub.measured(encoder.transport, min(message.interval_ms, _LONGEST_MS))
            case ingest.Ended():
                if (task_or_none := self._asking.get(message.connection)) is not None:
                    task_or_none.cancel()
                encoder = self._leave(message.connection)
                if encoder is not None:
                    self._remember(encoder, message.reason)
                    log.info(
                        "encoder left",
                        stream=str(encoder.grant.stream),
                        source=encoder.source,
                        reason=message.reason[:64],
                    )
            case _:
                assert_never(message)

    def _give_up(self, why: str) -> None:
        log.error("the RTMP worker is out of order", why=why)
        self._process.kill()

    def _on_close(self) -> None:
        self.closed.set()

    async def _authorise(self, message: ingest.Authorise) -> None:
        context = self._context
        try:
            if not is_name(message.stream) or not (message.source is None or is_name(message.source)):
                raise Unsuitable("The stream or source has no name that may be")
            if not message.token:
                raise InvalidToken("No token: the key has to be STREAM?token=…")
            name = StreamName(message.stream)
            token = check(await context.store.publish_token(message.token), name, now_s=context.clock())
        except Refused as error:
            client = Client(normalise(message.peer[:64]), "")
            context.refused_tokens.log(client, "rtmp", error.message, StreamName(message.stream[:128]))
            self._send(ingest.Refused(message.connection, error.code, error.message))
            return
        grant = PublishGrant(
            StreamKey(token.account, name),
            ServerId(secrets.token_hex(16)),
            token.multisource,
            token.subscribe_requires_auth,
        )
        source = SourceId(message.source) if message.source is not None else None
        self.encoders[message.connection] = Encoder(
            message.connection, grant, source, message.priority, message.peer[:64]
        )
        log.info("encoder admitted", stream=str(grant.stream), source=source, peer=message.peer[:64])
        self._send(ingest.Admitted(message.connection))

    def _open(self, message: ingest.Open) -> None:
        encoder = self.encoders.get(message.connection)
        if encoder is None:
            self._send(ingest.Refused(message.connection, "not_admitted", "This encoder was not admitted"))
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            peer = _Peer(self, encoder.number)
            try:
                transport, spec = self._context.hub.feed(
                    encoder.grant,
                    ours.fileno(),
                    peer,
                    audio=message.audio,
                    video=_picture(message),
                    source=encoder.source,
                    priority=encoder.priority,
                )
            except Refused as error:
                self._send(ingest.Refused(message.connection, error.code, error.message))
                return
            except Overloaded:
                self._send(ingest.Refused(message.connection, *_OVERLOADED))
                return
            encoder.transport = peer.transport = transport
            encoder.transports.add(transport)
            for problem in encoder.problems:  # of before, and of a feed with other tracks
                self._context.hub.note(transport, Problem(*problem))
            self._send(_opened(message.connection, spec), theirs.fileno())

    def _note(self, message: ingest.Problem) -> None:
        encoder = self.encoders.get(message.connection)
        if encoder is None:
            return
        code, text = message.code[:64], message.text[:500]
        now_s = self._context.clock()
        encoder.problems.append((code, text, now_s))
        for transport in encoder.transports:
            self._context.hub.note(transport, Problem(code, text, now_s))
        log.warning("encoder's problem", stream=str(encoder.grant.stream), source=encoder.source, code=code, text=text)

    def _remember(self, encoder: Encoder, reason: str) -> None:
        """What an encoder was turned away for is all that its owner has: it has no feed (any more)."""
        last = next((one for one in reversed(encoder.problems) if one[0] == reason[:64]), None)
        if last is not None:
            self._context.turned_away.add(encoder.grant.stream, TurnedAway(Door.RTMP, encoder.source, Problem(*last)))

    def _leave(self, number: int) -> Encoder | None:
        encoder = self.encoders.pop(number, None)
        if encoder is not None:
            for transport in encoder.transports:
                self._context.hub.leave(transport)
        return encoder


@dataclass(slots=True)
class _Peer:
    """An encoder's feed, as the hub sees it: it has nothing to be told but its end."""

    line: _Line
    number: int
    transport: TransportId | None = None

    def tell(self, event: SignalEvent) -> None:
        """RTMP has no word for it."""

    def hang_up(self) -> None:
        """The feed is over."""
        if self.transport is not None:
            self.line.end(self.number, self.transport)


def _picture(message: ingest.Open) -> local.Picture | None:
    if message.video is None:
        if not message.audio:
            raise Unsuitable("A feed without tracks")
        return None
    try:
        codec = Codec(message.video)
    except ValueError:
        raise Unsuitable("A codec that nobody knows") from None
    if codec not in local.VIDEO_CODECS:
        raise Unsuitable(f"{codec.value} is none that encoders send by RTMP")
    return local.Picture(codec, message.profile & 0xFFFFFF)


def _opened(connection: int, spec: LocalFeedSpec) -> ingest.Opened:
    lines: dict[Kind, ingest.TrackLine] = {}
    for route, receive in enumerate(spec.receive):
        ssrc = receive.encodings[0].ssrc
        if ssrc is not None:
            lines[receive.kind] = ingest.TrackLine(route, receive.codecs[0].payload_type, ssrc)
    return ingest.Opened(connection, spec.cname, lines.get(Kind.AUDIO), lines.get(Kind.VIDEO), local.AUDIO_LEVEL.id)
