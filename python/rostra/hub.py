"""The one owner of live state: it asks the model, gives its commands to the media plane, and carries out the rest.

Everything here runs on the event loop's thread and nothing here awaits, so no decision ever sees half of another one.
The file is long because each request and each fact has one entry here, and no second way in.
A request that the media plane has no room for is refused and leaves no trace. A fact of the media plane cannot be
refused: what it asks for waits until there is room.
"""

import asyncio
import itertools
import secrets
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol, assert_never

import structlog

from rostra.facts import Inspections, Reports, Voices
from rostra.media.engine import Engine, Overloaded
from rostra.model import diagnosis, incoming, lifecycle, local, publishing, reporting, viewing, voices
from rostra.model.bandwidth import DEFAULT_MAX_BPS, BandwidthWish
from rostra.model.description import IceCredentials, SessionDescription
from rostra.model.effects import (
    Effect,
    HangUp,
    Send,
    SignalEvent,
    SourceEnded,
    SourceStarted,
    Speaking,
    StartTimer,
)
from rostra.model.ids import AccountId, SourceId, StreamKey, StreamName
from rostra.model.layers import AUTOMATIC, LayerWish
from rostra.model.media import (
    AddSlot,
    AddVoice,
    BindSlot,
    CloseTransport,
    Codec,
    Command,
    Event,
    GroupId,
    Inspect,
    Inspected,
    Listen,
    LocalFeedSpec,
    MediaStats,
    Mid,
    OpenLocalFeed,
    OpenTransport,
    PlayoutDelay,
    Rejected,
    RemoveVoice,
    RestartIce,
    SlotBound,
    SlotLayer,
    SlotVoice,
    Speakers,
    TrackId,
    TrackLayers,
    TrackStarted,
    TransportClosed,
    TransportConnected,
    TransportId,
    TransportReport,
    TransportResumed,
    TransportStalled,
    UnbindSlot,
)
from rostra.model.negotiation import Identity, answer_publish, answer_view
from rostra.model.places import MAX_PENDING, MAX_PENDING_OF_ADDRESS, Places
from rostra.model.refused import Unsuitable
from rostra.model.stream import Decision, Door, Feed, Problem, Stream
from rostra.model.token import PublishGrant, SubscribeGrant

_RETRY_MS: Final = 20
"""How soon commands that found no room are offered again. A media thread takes thousands in that time."""
_CHUNK: Final = 128
"""Commands of one attempt, far less than the media plane's queue."""
_REPORT_MS: Final = 1000
"""How often viewers hear of layers while nothing starts or stops."""
_NO_GROUP: Final = GroupId(0)
_NOWHERE: Final = Stream(StreamKey(AccountId(""), StreamName("")), _NO_GROUP)
"""The stream of transports that have left, or never were."""

log = structlog.get_logger("rostra.hub")


class Peer(Protocol):
    """Who hears about one transport: an open signalling socket. Neither call waits, neither fails."""

    def tell(self, event: SignalEvent) -> None:
        """Pass the event on."""

    def hang_up(self) -> None:
        """Close the socket: its transport ended."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A transport that was let in, and the answer to its offer. ``announce`` it once the answer is on its way."""

    transport: TransportId
    answer: SessionDescription
    names: tuple[str, str]
    """What people may call it: known to its client, and hard to guess."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What is live now."""

    streams: int
    sources: int
    feeds: int
    viewers: int


class Hub:
    """All streams of this node."""

    def __init__(self, engine: Engine, *, viewer_max_bps: int = DEFAULT_MAX_BPS) -> None:
        """``viewer_max_bps``: what all media of one viewer may take at most."""
        self.media = MediaStats()
        """The latest totals of the media plane."""
        self._engine: Final = engine
        self._viewer_max_bps: Final = viewer_max_bps
        self._streams: Final[dict[StreamKey, Stream]] = {}
        self._places: Final[dict[TransportId, StreamKey]] = {}
        self._peers: Final[dict[TransportId, Peer]] = {}
        self._reports: Final = Reports()
        self._reporting: Final[set[StreamKey]] = set()
        self._unreported: Final[set[StreamKey]] = set()
        self._pending: Final[Places[TransportId]] = Places(MAX_PENDING, MAX_PENDING_OF_ADDRESS)
        """Anonymous viewers that are not connected yet."""
        self._transports: Final = itertools.count(1)
        self._tracks: Final = itertools.count(1)
        self._keys: Final = itertools.count(1)
        self._groups: Final = itertools.count(1)
        self._grouped: Final[dict[GroupId, StreamKey]] = {}
        self._voices: Final = Voices()
        self._names: Final[dict[TransportId, tuple[str, str]]] = {}
        self._named: Final[dict[str, TransportId]] = {}
        self._inspections: Final = Inspections()
        self._backlog: Final[deque[Command]] = deque()
        self._timers: Final[set[asyncio.TimerHandle]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False
        self._is_retrying = False

    # --- Life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen to the media plane. Needs a running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._engine.fileno(), self.drain)

    def stop(self) -> None:
        """End every stream for good: viewers hear ``stopped``, transports close, nobody is let in. Idempotent."""
        self._is_stopped = True
        for key in list(self._streams):
            self._apply(self._backlogged, lifecycle.stop(self._streams[key]))
        if self._loop is not None:
            self._loop.remove_reader(self._engine.fileno())
            self._loop = None
        self._inspections.end()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    @property
    def media_address(self) -> str:
        """Where peers send media to first, ``host:port``."""
        best = self._engine.candidates[0]
        return f"[{best.ip}]:{best.port}" if ":" in best.ip else f"{best.ip}:{best.port}"

    def totals(self) -> Totals:
        """What is live now."""
        streams = self._streams.values()
        return Totals(
            streams=len(streams),
            sources=sum(len(stream.live_sources()) for stream in streams),
            feeds=sum(1 for stream in streams for _ in stream.feeds),
            viewers=sum(stream.audience for stream in streams),
        )

    def stream(self, key: StreamKey) -> Stream:
        """The stream as it is now; an empty one where nobody publishes or watches."""
        return self._streams.get(key, Stream(key, _NO_GROUP))

    def _joined(self, key: StreamKey) -> Stream:
        """The stream that somebody comes to."""
        return self._streams.get(key) or Stream(key, GroupId(next(self._groups)))

    # --- Requests -----------------------------------------------------------------------------------------------

    def publish(
        self,
        grant: PublishGrant,
        offer: SessionDescription,
        peer: Peer,
        *,
        codec: Codec,
        source: SourceId | None,
        priority: int | None,
        events: frozenset[str],
        door: Door = Door.SOCKET,
    ) -> Opened:
        """Let a publisher in.

        Raises:
            Refused: the model said no.
            NegotiationError: the offer cannot be answered.
            Overloaded: the media plane has no room; nothing happened.
        """
        transport = TransportId(next(self._transports))
        tracks = (TrackId(number) for number in self._tracks)
        answer = answer_publish(offer, codec=codec, identity=self._identity(transport), tracks=tracks)
        is_public = not grant.subscribe_requires_auth
        cmd = publishing.Publish(
            transport, answer.spec, source, priority, events, grant.multisource, is_public, door=door
        )
        self._open(transport, peer, publishing.publish(self._joined(grant.stream), cmd, self._keys))
        own = tuple(track.track_id for track in answer.tracks)
        self._reports.own(transport, own)
        self._voices.own(transport, source, own)
        log.info("feed opened", stream=str(grant.stream), source=source, transport=transport, codec=codec.value)
        return Opened(transport, answer.description, self._named_anew(transport))

    def feed(
        self,
        grant: PublishGrant,
        descriptor: int,
        peer: Peer,
        *,
        audio: bool,
        video: local.Picture | None,
        source: SourceId | None,
        priority: int | None,
    ) -> tuple[TransportId, LocalFeedSpec]:
        """Let a worker's feed in. The descriptor stays the caller's.

        Raises:
            Refused: the model said no.
            Overloaded: the media plane has no room; nothing happened.
        """
        transport = TransportId(next(self._transports))
        tracks = (TrackId(number) for number in self._tracks)
        cname = secrets.token_hex(8)
        spec = local.spec(audio=audio, video=video, cname=cname, tracks=tracks, ssrcs=_random_ssrcs())
        is_public = not grant.subscribe_requires_auth
        cmd = publishing.Publish(
            transport, spec, source, priority, frozenset(), grant.multisource, is_public, descriptor, Door.RTMP
        )
        self._open(transport, peer, publishing.publish(self._joined(grant.stream), cmd, self._keys))
        own = tuple(receive.track for receive in spec.receive)
        self._reports.own(transport, own)
        self._voices.own(transport, source, own)
        codec = video.codec.value if video is not None else None
        log.info("feed opened", stream=str(grant.stream), source=source, transport=transport, codec=codec)
        return transport, spec

    def view(
        self,
        grant: SubscribeGrant,
        offer: SessionDescription,
        peer: Peer,
        *,
        pinned: SourceId | None,
        events: frozenset[str],
        layer: LayerWish = AUTOMATIC,
        vad: bool = False,
        excluded: frozenset[SourceId | None] = frozenset(),
        follows: bool = False,
        bandwidth: BandwidthWish | None = None,
        playout_delay: PlayoutDelay | None = None,
        address: str = "",
    ) -> Opened:
        """Let a viewer in. ``layer``: of the main picture. ``vad``, ``excluded``, ``follows``: of ``viewing.View``.

        ``address``: the group of the client's address. Until an anonymous viewer is connected, it holds a place of this
        share, and leaves when newcomers need it.

        Raises:
            Refused: the model said no.
            NegotiationError: the offer cannot be answered.
            Overloaded: the media plane has no room; nothing happened.
        """
        transport = TransportId(next(self._transports))
        answer = answer_view(offer, identity=self._identity(transport), ssrcs=_random_ssrcs())
        share = (bandwidth or BandwidthWish()).spec(self._viewer_max_bps)
        spec = replace(answer.spec, bandwidth=share, playout_delay=playout_delay)
        cmd = viewing.View(
            transport,
            spec,
            answer.main,
            answer.templates,
            pinned,
            events,
            layer,
            vad,
            excluded,
            follows,
            grant.is_anonymous,
        )
        self._open(transport, peer, viewing.view(self._joined(grant.stream), cmd, self._keys))
        if grant.is_anonymous and (loser := self._pending.take(transport, address)) is not None:
            log.debug("viewer evicted before it connected", transport=loser)
            self._event(loser, lambda stream: lifecycle.evict(stream, loser))
        log.info("viewer opened", stream=str(grant.stream), transport=transport, slots=len(answer.slots))
        return Opened(transport, answer.description, self._named_anew(transport))

    def announce(self, transport: TransportId) -> None:
        """Tell a new publisher or viewer what there is to know, after its answer."""
        self._event(transport, lambda stream: viewing.announce(stream, transport))
        self._event(transport, lambda stream: publishing.announce(stream, transport))
        self._tell_speaking(transport)

    def project(self, cmd: viewing.Project) -> None:
        """Attach tracks to slots.

        Raises:
            Refused: the model said no.
            Overloaded: the media plane has no room; nothing happened.
        """
        self._request(cmd.transport, lambda stream: viewing.project(stream, cmd, _random_ssrcs()))

    def unproject(self, transport: TransportId, mids: tuple[Mid, ...]) -> None:
        """Show nothing in these slots.

        Raises:
            Refused: the model said no.
            Overloaded: the media plane has no room; nothing happened.
        """
        self._request(transport, lambda stream: viewing.unproject(stream, transport, mids))

    def select(self, transport: TransportId, layer: LayerWish) -> None:
        """Choose a layer of the main picture.

        Raises:
            Refused: the model said no.
            Overloaded: the media plane has no room; nothing happened.
        """
        self._request(transport, lambda stream: viewing.select(stream, transport, layer))

    def hear(self, transport: TransportId, events: frozenset[str]) -> tuple[SignalEvent, ...]:
        """A viewer listens to these events from now on; what it has missed, whether it asked for it or not."""
        self._event(transport, lambda stream: viewing.hear(stream, transport, events))
        key = self._places.get(transport)
        return viewing.present(self._streams[key]) if key is not None else ()

    def restart_ice(self, transport: TransportId, theirs: IceCredentials) -> IceCredentials:
        """Take new credentials of a peer; ours are returned. The old ones count until the peer uses the new.

        Raises:
            Overloaded: the media plane has no room; nothing happened.
        """
        ours = _credentials(transport)
        self._submitted([RestartIce(transport, ours.ufrag, ours.pwd, theirs.ufrag, theirs.pwd)])
        log.info("ICE restarts", transport=transport)
        return ours

    def leave(self, transport: TransportId) -> None:
        """A publisher or viewer says good-bye. Idempotent."""
        self._peers.pop(transport, None)
        self._event(transport, lambda stream: lifecycle.leave(stream, transport))

    def detach(self, transport: TransportId) -> None:
        """A socket was lost without a good-bye. Idempotent."""
        self._peers.pop(transport, None)
        self._event(transport, lambda stream: lifecycle.detach(stream, transport))

    # --- Inspection ---------------------------------------------------------------------------------------------

    def find(self, account: AccountId, name: str) -> diagnosis.Subject | None:
        """The transport of that name or number, when it is of a stream of the account."""
        number = int(name) if name.isascii() and name.isdigit() and len(name) < 20 else 0
        transport = self._named.get(name, TransportId(number))
        key = self._places.get(transport)
        if key is None or key.account != account:
            return None
        return diagnosis.subject(self._streams[key], transport)

    def inspect(self, transport: TransportId) -> asyncio.Future[TransportReport | None]:
        """How a transport does; ``None``: it is gone. The media plane answers soon, and who waits says how long.

        Raises:
            Overloaded: the media plane has no room, or too many wait, of this account or of all.
        """
        account = self._places.get(transport, _NOWHERE.key).account
        if self._inspections.is_full(account):
            raise Overloaded
        if not self._inspections.is_asked(transport):
            self._submitted([Inspect(transport)])
        return self._inspections.wait(transport, account)

    def note(self, transport: TransportId, problem: Problem) -> None:
        """Something is wrong with a feed. Of one that left meanwhile it is no matter."""
        self._feed_event(transport, lambda stream, feed: incoming.note(stream, feed, problem))

    def measured(self, transport: TransportId, key_frame_ms: int) -> None:
        """How far apart a feed's key frames are."""
        self._feed_event(transport, lambda stream, feed: incoming.measured(stream, feed, key_frame_ms))

    def layers(self, stream: Stream) -> dict[TrackId, TrackLayers]:
        """What the media plane told last of each picture of a stream."""
        own = [track.track for feed in stream.feeds for track in feed.tracks]
        return {track: self._reports.tracks[track] for track in own if track in self._reports.tracks}

    def _feed_event(self, transport: TransportId, decide: Callable[[Stream, Feed], Decision]) -> None:
        key = self._places.get(transport)
        feed = self._streams[key].feed(transport) if key is not None else None
        if feed is not None:
            self._event(transport, lambda stream: decide(stream, feed))

    def _named_anew(self, transport: TransportId) -> tuple[str, str]:
        names = (uuid.uuid4().hex, str(uuid.uuid4()))
        self._names[transport] = names
        self._named.update(dict.fromkeys(names, transport))
        return names

    # --- Facts of the media plane -------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take in what the media plane has to tell. It makes room for commands at the same time."""
        self._flush()
        for event in self._engine.drain():
            self._on_media(event)
        self._tell_layers()

    def _on_media(self, event: Event) -> None:
        match event:
            case MediaStats():
                self.media = event
                return
            case TrackLayers():
                self._reports.take(event)
                return
            case SlotLayer():
                if event.transport in self._places:
                    self._reports.show(event)
                return
            case SlotVoice():
                self._tell_voice(event)
                return
            case Speakers(group=group):
                if (stream := self._streams.get(self._grouped.get(group, _NOWHERE.key))) is not None:
                    self._perform_all(voices.tell_speaking(stream, self._voices.speak(event)))
                return
            case Inspected():
                self._inspections.answer(event)
                return
            case TransportConnected(profile=profile):
                self._pending.leave(event.transport)
                log.info("transport connected", transport=event.transport, profile=profile)
            case TransportClosed(reason=reason):
                log.info("transport closed", transport=event.transport, reason=reason.value)
            case Rejected(mid=mid, code=code):
                log.warning("command rejected", transport=event.transport, mid=mid, code=code.value)
            case SlotBound(mid=mid, track=track):
                log.debug("slot bound", transport=event.transport, mid=mid, track=track)
            case TrackStarted(track=track):
                log.debug("track started", transport=event.transport, track=track)
            case TransportStalled() | TransportResumed():
                log.debug(type(event).__name__, transport=event.transport)
            case _:
                assert_never(event)
        if (transport := event.transport) is not None:
            self._event(transport, lambda stream: lifecycle.on_media(stream, event))

    # --- Layers -------------------------------------------------------------------------------------------------

    def _tell_layers(self) -> None:
        """Changes at once, to those who see them; everything else once a second for each stream."""
        reports = self._reports
        changed: dict[StreamKey, set[TrackId]] = {}
        for track in reports.changed:
            if (key := self._home(track)) is not None:
                changed.setdefault(key, set()).add(track)
        news = {key for track in reports.news if (key := self._home(track)) is not None}
        reports.changed.clear()
        reports.news.clear()
        for key in news - self._reporting:
            self._report(key)
            changed.pop(key, None)
        self._unreported.update(news & self._reporting)
        for key, tracks in changed.items():
            self._send_layers(key, tracks)

    def _home(self, track: TrackId) -> StreamKey | None:
        """The stream of a track whose publisher is still there."""
        owner = self._reports.owners.get(track)
        return self._places.get(owner) if owner is not None else None

    def _report(self, key: StreamKey) -> None:
        """Tell all, and no more for a second."""
        self._send_layers(key, None)
        self._unreported.discard(key)
        self._reporting.add(key)
        self._call_later(_REPORT_MS, lambda: self._report_again(key))

    def _report_again(self, key: StreamKey) -> None:
        self._reporting.discard(key)
        if key in self._unreported:
            self._report(key)

    def _send_layers(self, key: StreamKey, tracks: set[TrackId] | None) -> None:
        if (stream := self._streams.get(key)) is not None:
            self._perform_all(reporting.layers(stream, self._reports.tracks, self._reports.shown, of=tracks))

    # --- Voices -------------------------------------------------------------------------------------------------

    def _tell_voice(self, event: SlotVoice) -> None:
        stream = self._streams.get(self._places.get(event.transport, _NOWHERE.key), _NOWHERE)
        viewer = stream.viewers.get(event.transport)
        if viewer is None or not (event.track is None or voices.may_play(viewer, event.mid)):
            return
        if (news := self._voices.play(event)) is not None:
            self._perform(Send((event.transport,), news))

    def _tell_speaking(self, transport: TransportId) -> None:
        """Who comes while others speak hears of them at once."""
        stream = self._streams.get(self._places.get(transport, _NOWHERE.key), _NOWHERE)
        latest = self._voices.speaking(stream.group)
        party = stream.viewers.get(transport) or stream.feed(transport)
        if latest is not None and party is not None and Speaking.name in party.events:
            self._perform(Send((transport,), latest))

    # --- Carrying out -------------------------------------------------------------------------------------------

    def _open(self, transport: TransportId, peer: Peer, decision: Decision) -> None:
        self._apply(self._submitted, decision)
        self._places[transport] = decision.stream.key
        self._peers[transport] = peer

    def _request(self, transport: TransportId, decide: Callable[[Stream], Decision]) -> None:
        """Decide something that may be refused. Without a stream, the model gets one in which nobody is."""
        key = self._places.get(transport)
        self._apply(self._submitted, decide(self._streams[key] if key is not None else _NOWHERE))

    def _event(self, transport: TransportId, decide: Callable[[Stream], Decision]) -> None:
        """Decide something that happened. Transports that left meanwhile are nowhere."""
        key = self._places.get(transport)
        if key is not None:
            self._apply(self._backlogged, decide(self._streams[key]))

    def _apply(self, submit: Callable[[list[Command]], None], decision: Decision) -> None:
        """Commands first: when they are refused by ``submit``, nothing of the decision has happened."""
        commands = [effect for effect in decision.effects if isinstance(effect, Command)]
        if commands:
            submit(commands)
        key = decision.stream.key
        if decision.stream.is_empty:
            self._streams.pop(key, None)
            self._grouped.pop(decision.stream.group, None)
            self._voices.end(decision.stream.group)
        else:
            self._streams[key] = decision.stream
            self._grouped[decision.stream.group] = key
        self._perform_all(decision.effects)

    def _perform_all(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(to=to, event=event):
                for transport in to:
                    if (peer := self._peers.get(transport)) is not None:
                        peer.tell(event)
            case HangUp(transport=transport):
                self._forget(transport)
                if (peer := self._peers.pop(transport, None)) is not None:
                    peer.hang_up()
            case CloseTransport(transport=transport):
                self._forget(transport)
            case StartTimer(stream=key, delay_ms=delay_ms):
                self._call_later(delay_ms, lambda: self._tick(key))
            case SourceStarted(stream=key, source=source):
                log.info("source started", stream=str(key), source=source)
            case SourceEnded(stream=key, source=source):
                log.info("source ended", stream=str(key), source=source)
            case BindSlot() | UnbindSlot():
                self._reports.order(effect)  # the media plane has it
            case (
                OpenTransport()
                | OpenLocalFeed()
                | AddSlot()
                | Inspect()
                | AddVoice()
                | RemoveVoice()
                | Listen()
                | RestartIce()
            ):
                pass  # the media plane has it
            case _:
                assert_never(effect)

    def _forget(self, transport: TransportId) -> None:
        self._places.pop(transport, None)
        self._pending.leave(transport)
        self._reports.forget(transport)
        self._voices.forget(transport)
        for name in self._names.pop(transport, ()):
            del self._named[name]

    def _tick(self, key: StreamKey) -> None:
        stream = self._streams.get(key)
        if stream is not None:
            self._apply(self._backlogged, viewing.tick(stream))

    def _submitted(self, commands: list[Command]) -> None:
        """Now or never. What waits goes first: order matters."""
        self._flush()
        if self._backlog or self._is_stopped:
            raise Overloaded
        try:
            self._engine.submit(*commands)
        except ValueError as error:
            raise Unsuitable(f"The media plane cannot take this: {error}") from error

    def _backlogged(self, commands: list[Command]) -> None:
        """Now or later."""
        self._backlog.extend(commands)
        self._flush()

    def _flush(self) -> None:
        """A few at a time: a decision about thousands of viewers may be more than ever fits at once."""
        while self._backlog:
            chunk = [self._backlog.popleft() for _ in range(min(_CHUNK, len(self._backlog)))]
            try:
                self._engine.submit(*chunk)
            except Overloaded:
                self._backlog.extendleft(reversed(chunk))
                if not self._is_retrying:
                    self._is_retrying = True
                    self._call_later(_RETRY_MS, self._retry)
                return

    def _retry(self) -> None:
        self._is_retrying = False
        self._flush()

    def _call_later(self, delay_ms: int, call: Callable[[], None]) -> None:
        """Without a loop there is nobody left to tell: the server has stopped."""
        if self._loop is None:
            return

        def fire() -> None:
            self._timers.discard(timer)
            call()

        timer = self._loop.call_later(delay_ms / 1000, fire)
        self._timers.add(timer)

    def _identity(self, transport: TransportId) -> Identity:
        """Our side of a new connection."""
        ice = _credentials(transport)
        return Identity(
            ufrag=ice.ufrag,
            pwd=ice.pwd,
            fingerprint=self._engine.fingerprint,
            candidates=self._candidates("udp"),
            cname=secrets.token_hex(8),
            session_id=secrets.randbits(62),
            tcp_candidates=self._candidates("tcp"),
        )

    def _candidates(self, protocol: str) -> tuple[tuple[str, int], ...]:
        return tuple((one.ip, one.port) for one in self._engine.candidates if one.protocol == protocol)


def _credentials(transport: TransportId) -> IceCredentials:
    """The fragment belongs to no other transport because its random part has a fixed length."""
    return IceCredentials(f"{transport:x}{secrets.token_hex(6)}", secrets.token_hex(16))


def _random_ssrcs() -> Iterator[int]:
    while True:
        yield secrets.randbits(32)
