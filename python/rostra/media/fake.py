"""A media plane without packets: the port with its rules and its lifecycle, for tests of everything above it.

It refuses what the real one refuses, every command of the seam, which makes it long. What the network would do is said
by the methods below ``close``.
"""

import contextlib
import os
import socket
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from rostra.media.engine import Candidate, Overloaded
from rostra.model.media import (
    AddSlot,
    AddVoice,
    BindSlot,
    CloseReason,
    CloseTransport,
    Codec,
    CodecSpec,
    Command,
    EncodingReport,
    Event,
    GroupId,
    Inspect,
    Inspected,
    Kind,
    LayerChoice,
    Listen,
    LocalFeedSpec,
    MediaStats,
    Mid,
    OpenLocalFeed,
    OpenTransport,
    Priority,
    ReceiveSpec,
    RefusalCode,
    Rejected,
    RemoveVoice,
    RestartIce,
    ShownLayer,
    SlotBound,
    SlotLayer,
    SlotReport,
    SlotSpec,
    SlotVoice,
    SourceKey,
    Speaker,
    Speakers,
    TrackId,
    TrackLayers,
    TrackStarted,
    TransportClosed,
    TransportConnected,
    TransportId,
    TransportReport,
    TransportResumed,
    TransportSpec,
    TransportStalled,
    UnbindSlot,
    Waiting,
)

MAX_MEDIA: Final = 512
MAX_CODECS: Final = 32
MAX_FINGERPRINTS: Final = 16
MAX_ENCODINGS: Final = 8
MAX_CREDENTIAL: Final = 256
AUTOMATIC: Final = LayerChoice()
_AUDIO: Final = frozenset({Codec.OPUS, Codec.MULTIOPUS})


@dataclass(slots=True)
class _Slot:
    spec: SlotSpec
    shows: TrackId | None = None
    staged: TrackId | None = None
    choice: LayerChoice = AUTOMATIC
    priority: Priority = Priority.NORMAL
    layer: ShownLayer | None = None


@dataclass(slots=True)
class _Transport:
    spec: TransportSpec | LocalFeedSpec
    slots: dict[Mid, _Slot]
    started: set[TrackId] = field(default_factory=set)
    is_connected: bool = False
    listens: Listen | None = None
    link: socket.socket | None = None
    """Of a local feed."""
    restart: RestartIce | None = None

    @property
    def ufrags(self) -> set[str]:
        """Our fragments, by which checks find it: two while a restart is under way. A local feed has none."""
        if isinstance(self.spec, LocalFeedSpec):
            return set()
        return {self.spec.local_ufrag, *((self.restart.local_ufrag,) if self.restart is not None else ())}


@dataclass(frozen=True, slots=True)
class _Voice:
    """A candidate."""

    group: GroupId
    source: SourceKey


class FakeEngine:
    """``Engine`` in memory."""

    fingerprint: str
    candidates: tuple[Candidate, ...]

    def __init__(self, *, capacity: int = 65_536, candidates: tuple[Candidate, ...] = ()) -> None:
        """``capacity`` is the most commands that one ``submit`` may bring; it may be changed at any time."""
        self.fingerprint = ":".join(["AB"] * 32)
        self.candidates = candidates or (Candidate("127.0.0.1", 8081),)
        self.capacity = capacity
        self.commands: list[Command] = []
        self._events: deque[Event] = deque()
        self._transports: dict[TransportId, _Transport] = {}
        self._tracks: dict[TrackId, tuple[TransportId, ReceiveSpec]] = {}
        self._layers: dict[TrackId, TrackLayers] = {}
        self._told: dict[TransportId, TransportReport] = {}
        self._voices: dict[TrackId, _Voice] = {}
        self._speakers: dict[GroupId, tuple[Speaker, ...]] = {}
        self.is_silent = False
        """Whether ``Inspect`` goes unanswered, as when the media threads are stuck."""
        self._are_key_frames_late = False
        self._is_closed = False
        self._readable = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def submit(self, *commands: Command) -> None:
        """Obey at once, all or none."""
        if self._is_closed or len(commands) > self.capacity:
            raise Overloaded
        for command in commands:
            if isinstance(command, OpenLocalFeed):
                _duplicate(command.descriptor).close()
        for command in commands:
            self.commands.append(command)
            refusal = self._obey(command)
            if refusal is not None:
                mid = command.slot.mid if isinstance(command, AddSlot) else getattr(command, "mid", None)
                self._tell(Rejected(getattr(command, "transport", None), mid, refusal))

    def drain(self) -> list[Event]:
        """Facts since the last call."""
        if self._events:
            os.eventfd_read(self._readable)
        events = list(self._events)
        self._events.clear()
        return events

    def fileno(self) -> int:
        """Readable while ``drain`` has something."""
        return self._readable

    def close(self) -> None:
        """End every transport."""
        if not self._is_closed:
            for transport in list(self._transports):
                self._end(transport, CloseReason.CLOSED)
            self._is_closed = True

    # --- What the network would do ------------------------------------------------------------------------------

    def connect(self, transport: TransportId) -> None:
        """The peer's handshake is done."""
        if transport in self._transports:
            self._transports[transport].is_connected = True
            self._tell(TransportConnected(transport, "SRTP_AEAD_AES_128_GCM"))

    def check(self, transport: TransportId) -> None:
        """The peer's first check with the credentials of a restart, if there was one."""
        one = self._transports.get(transport)
        if one is not None and (restart := one.restart) is not None and isinstance(one.spec, TransportSpec):
            one.restart = None
            one.spec = replace(
                one.spec,
                local_ufrag=restart.local_ufrag,
                local_pwd=restart.local_pwd,
                remote_ufrag=restart.remote_ufrag,
                remote_pwd=restart.remote_pwd,
            )

    def start(self, track: TrackId) -> None:
        """The first packet of a track comes, if its publisher is still there."""
        if track not in self._tracks:
            return
        owner, _ = self._tracks[track]
        if track in self._transports[owner].started:
            return
        self._transports[owner].started.add(track)
        self._tell(TrackStarted(owner, track))
        for transport, viewer in self._transports.items():
            for mid, slot in viewer.slots.items():
                if slot.staged == track and not self._are_key_frames_late:
                    self._show(transport, mid, slot, track)
        self._fill()

    def delay_key_frames(self) -> None:
        """What is bound from now on stays staged, whether its track has started or not."""
        self._are_key_frames_late = True

    def bring_key_frames(self) -> None:
        """Every track that has started is shown wherever it is staged, from now on at once."""
        self._are_key_frames_late = False
        for transport, viewer in self._transports.items():
            for mid, slot in viewer.slots.items():
                if slot.staged is not None and self.is_live(slot.staged):
                    self._show(transport, mid, slot, slot.staged)

    def stall(self, transport: TransportId) -> None:
        """No packet for 5 s."""
        if transport in self._transports:
            self._tell(TransportStalled(transport))

    def resume(self, transport: TransportId) -> None:
        """Packets again."""
        if transport in self._transports:
            self._tell(TransportResumed(transport))

    def drop(self, transport: TransportId, reason: CloseReason = CloseReason.PEER_CLOSED) -> None:
        """The transport ends for a reason of the network."""
        self._end(transport, reason)

    def refuse(self, transport: TransportId, code: RefusalCode) -> None:
        """The media plane refuses an order for a whole transport that it had taken."""
        self._tell(Rejected(transport, None, code))

    def flow(self, track: TrackId, *encodings: EncodingReport) -> None:
        """The encodings of a track as they are now, if its publisher is still there."""
        if track in self._tracks:
            self._layers[track] = TrackLayers(track, encodings)
            self._tell(self._layers[track])

    def forward(self, transport: TransportId, mid: Mid, layer: ShownLayer | None) -> None:
        """A slot forwards another layer; ``None``: its line carries none."""
        if transport in self._transports and mid in self._transports[transport].slots:
            self._transports[transport].slots[mid].layer = layer
            self._tell(SlotLayer(transport, mid, layer))

    def speak(self, group: GroupId, *speakers: Speaker) -> None:
        """These voices speak from now on, loudest first, and no others."""
        if self._speakers.get(group, ()) != speakers:
            self._speakers[group] = speakers
            self._fill()
            self._tell(Speakers(group, speakers))

    def answer(self, transport: TransportId, report: TransportReport) -> None:
        """What ``Inspect`` is to be told of a transport from now on, instead of what can be known in memory."""
        self._told[transport] = report

    def report(self, stats: MediaStats) -> None:
        """Totals of the media plane."""
        self._tell(stats)

    # --- What can be seen ---------------------------------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether ``drain`` has something."""
        return bool(self._events)

    def transports(self) -> set[TransportId]:
        """Transports that live."""
        return set(self._transports)

    def tracks(self, transport: TransportId) -> list[TrackId]:
        """Tracks of a publisher, in m-line order."""
        return [spec.track for spec in self._transports[transport].spec.receive]

    def transport_spec(self, transport: TransportId) -> TransportSpec:
        """A transport as it was ordered."""
        spec = self._transports[transport].spec
        if isinstance(spec, LocalFeedSpec):
            raise TypeError(f"{transport} is a local feed")
        return spec

    def feed_spec(self, transport: TransportId) -> LocalFeedSpec:
        """A local feed as it was ordered."""
        spec = self._transports[transport].spec
        if isinstance(spec, TransportSpec):
            raise TypeError(f"{transport} is a peer connection")
        return spec

    def read_frame(self, transport: TransportId) -> bytes | None:
        """The next frame that a local feed wrote; ``None``: none is there. A link that was closed ends the feed."""
        owner = self._transports.get(transport)
        if owner is None or owner.link is None:
            return None
        try:
            frame = owner.link.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if not frame:
            self._end(transport, CloseReason.PEER_CLOSED)
        return frame or None

    def is_live(self, track: TrackId) -> bool:
        """Whether the track's publisher is there and has sent."""
        return track in self._tracks and track in self._transports[self._tracks[track][0]].started

    def slots(self, transport: TransportId) -> dict[Mid, TrackId | None]:
        """What each slot of a viewer shows, or will when it starts."""
        return {mid: slot.staged or slot.shows for mid, slot in self._transports[transport].slots.items()}

    def pool(self, transport: TransportId) -> tuple[Mid, ...]:
        """The slots of a viewer that are filled with whoever speaks."""
        listens = self._transports[transport].listens
        return listens.mids if listens is not None else ()

    def voices(self, group: GroupId) -> dict[TrackId, SourceKey]:
        """The candidates of a group."""
        return {track: voice.source for track, voice in self._voices.items() if voice.group == group}

    def choice(self, transport: TransportId, mid: Mid) -> LayerChoice:
        """The layer that a slot was ordered to show last."""
        return self._transports[transport].slots[mid].choice

    def priority(self, transport: TransportId, mid: Mid) -> Priority:
        """How much a slot matters, as it was ordered last."""
        return self._transports[transport].slots[mid].priority

    def slot_spec(self, transport: TransportId, mid: Mid) -> SlotSpec:
        """A slot as it was ordered."""
        return self._transports[transport].slots[mid].spec

    # --- Rules --------------------------------------------------------------------------------------------------

    def _obey(self, command: Command) -> RefusalCode | None:
        match command:
            case OpenTransport(transport, spec):
                return self._open(transport, spec)
            case OpenLocalFeed():
                return self._open_feed(command)
            case CloseTransport(transport):
                self._end(transport, CloseReason.CLOSED)
                return None
            case AddSlot(transport, slot):
                return self._add_slot(transport, slot)
            case BindSlot():
                return self._bind(command)
            case UnbindSlot(transport, mid):
                return self._unbind(transport, mid)
            case AddVoice(group, track, source):
                return self._add_voice(track, _Voice(group, source))
            case RemoveVoice(track):
                self._remove_voices({track})
                return None
            case Listen():
                self._listen(command)
                return None
            case RestartIce():
                return self._restart_ice(command)
            case Inspect(transport):
                if not self.is_silent:
                    self._tell(Inspected(transport, self._inspected(transport)))
                return None
            case _:
                assert_never(command)

    def _open(self, transport: TransportId, spec: TransportSpec) -> RefusalCode | None:
        if (refusal := _refusal(spec)) is not None:
            return refusal
        is_known = any(receive.track in self._tracks for receive in spec.receive)
        if transport in self._transports or self._is_taken(spec.local_ufrag) or is_known:
            return RefusalCode.DUPLICATE
        self._transports[transport] = _Transport(spec, {slot.mid: _Slot(slot) for slot in spec.slots})
        self._tracks.update({receive.track: (transport, receive) for receive in spec.receive})
        return None

    def _open_feed(self, command: OpenLocalFeed) -> RefusalCode | None:
        transport, spec = command.transport, command.spec
        if (refusal := _feed_refusal(spec)) is not None:
            return refusal
        if transport in self._transports or any(receive.track in self._tracks for receive in spec.receive):
            return RefusalCode.DUPLICATE
        link = _duplicate(command.descriptor)
        self._transports[transport] = _Transport(spec, {}, is_connected=True, link=link)
        self._tracks.update({receive.track: (transport, receive) for receive in spec.receive})
        self._tell(TransportConnected(transport, "local"))
        return None

    def _is_taken(self, ufrag: str) -> bool:
        return any(ufrag in one.ufrags for one in self._transports.values())

    def _restart_ice(self, command: RestartIce) -> RefusalCode | None:
        if not _fit((command.local_ufrag, command.local_pwd, command.remote_ufrag, command.remote_pwd)):
            return RefusalCode.INVALID
        if command.transport not in self._transports:
            return RefusalCode.UNKNOWN_TRANSPORT
        if self._is_taken(command.local_ufrag):
            return RefusalCode.DUPLICATE
        if isinstance(self._transports[command.transport].spec, LocalFeedSpec):
            return RefusalCode.INVALID
        self._transports[command.transport].restart = command
        return None

    def _add_slot(self, transport: TransportId, spec: SlotSpec) -> RefusalCode | None:
        if (refusal := _codec_refusal(spec.kind, spec.codecs)) is not None:
            return refusal
        viewer = self._transports.get(transport)
        if viewer is None:
            return RefusalCode.UNKNOWN_TRANSPORT
        if isinstance(viewer.spec, LocalFeedSpec):
            return RefusalCode.INVALID
        if len(viewer.slots) + len(viewer.spec.receive) >= MAX_MEDIA:
            return RefusalCode.TOO_MANY
        taken = {ssrc for slot in viewer.slots.values() for ssrc in (slot.spec.ssrc, slot.spec.rtx_ssrc)}
        if spec.mid in viewer.slots or spec.ssrc == spec.rtx_ssrc or not taken.isdisjoint((spec.ssrc, spec.rtx_ssrc)):
            return RefusalCode.DUPLICATE
        viewer.slots[spec.mid] = _Slot(spec)
        return None

    def _bind(self, command: BindSlot) -> RefusalCode | None:
        transport, mid, track = command.transport, command.mid, command.track
        viewer = self._transports.get(transport)
        if viewer is None:
            return RefusalCode.UNKNOWN_TRANSPORT
        slot = viewer.slots.get(mid)
        if slot is None:
            return RefusalCode.UNKNOWN_SLOT
        if track not in self._tracks:
            return RefusalCode.UNKNOWN_TRACK
        owner, receive = self._tracks[track]
        if receive.kind is not slot.spec.kind:
            return RefusalCode.KIND_MISMATCH
        if {codec.codec for codec in receive.codecs}.isdisjoint(codec.codec for codec in slot.spec.codecs):
            return RefusalCode.CODEC_NOT_NEGOTIATED
        self._leave_pool(viewer, transport, mid)
        slot.choice, slot.priority = command.choice, command.priority
        is_ready = track in self._transports[owner].started and not self._are_key_frames_late
        if is_ready or slot.shows == track:
            self._show(transport, mid, slot, track)
        else:
            slot.staged = track
        return None

    def _unbind(self, transport: TransportId, mid: Mid) -> RefusalCode | None:
        viewer = self._transports.get(transport)
        if viewer is None:
            return RefusalCode.UNKNOWN_TRANSPORT
        slot = viewer.slots.get(mid)
        if slot is None:
            return RefusalCode.UNKNOWN_SLOT
        self._leave_pool(viewer, transport, mid)
        slot.shows = slot.staged = None
        slot.choice, slot.priority, slot.layer = AUTOMATIC, Priority.NORMAL, None
        return None

    def _add_voice(self, track: TrackId, voice: _Voice) -> RefusalCode | None:
        if track not in self._tracks:
            return RefusalCode.UNKNOWN_TRACK
        if self._tracks[track][1].kind is not Kind.AUDIO:
            return RefusalCode.KIND_MISMATCH
        if self._voices.setdefault(track, voice) != voice:
            return RefusalCode.DUPLICATE
        self._fill()
        return None

    def _remove_voices(self, gone: set[TrackId]) -> None:
        for track in gone:
            self._voices.pop(track, None)
        for transport, viewer in self._transports.items():
            for mid in self.pool(transport):
                if viewer.slots[mid].shows in gone:
                    self._play(transport, mid, None)
        self._fill()

    def _listen(self, command: Listen) -> None:
        transport = command.transport
        viewer = self._transports.get(transport)
        if viewer is None:
            self._tell(Rejected(transport, None, RefusalCode.UNKNOWN_TRANSPORT))
            return
        for place, mid in enumerate(command.mids):
            refusal = None
            if mid not in viewer.slots:
                refusal = RefusalCode.UNKNOWN_SLOT
            elif viewer.slots[mid].spec.kind is not Kind.AUDIO:
                refusal = RefusalCode.KIND_MISMATCH
            elif mid in command.mids[:place]:
                refusal = RefusalCode.DUPLICATE
            if refusal is not None:
                self._tell(Rejected(transport, mid, refusal))
                return
        before = self.pool(transport)
        for mid in before:
            if mid not in command.mids:
                self._leave_pool(viewer, transport, mid)
        for mid in command.mids:
            if mid not in before:
                viewer.slots[mid].shows = viewer.slots[mid].staged = None
        viewer.listens = command if command.mids else None
        self._fill()

    def _leave_pool(self, viewer: _Transport, transport: TransportId, mid: Mid) -> None:
        if viewer.listens is not None and mid in viewer.listens.mids:
            self._play(transport, mid, None)
            mids = tuple(other for other in viewer.listens.mids if other != mid)
            viewer.listens = replace(viewer.listens, mids=mids) if mids else None

    def _fill(self) -> None:
        """All candidates where there is room, else who speaks; a voice keeps its slot while nobody else needs it."""
        for transport, viewer in self._transports.items():
            if viewer.listens is not None:
                self._fill_pool(transport, viewer, viewer.listens)

    def _fill_pool(self, transport: TransportId, viewer: _Transport, listens: Listen) -> None:
        slots = {mid: viewer.slots[mid] for mid in listens.mids}
        codecs = {codec.codec for slot in slots.values() for codec in slot.spec.codecs}
        candidates = [
            track
            for track, source in self.voices(listens.group).items()
            if source not in listens.excluded
            and not codecs.isdisjoint(codec.codec for codec in self._tracks[track][1].codecs)
        ]
        for mid, slot in slots.items():
            if slot.shows not in candidates:
                self._play(transport, mid, None)
        wanted = candidates
        if len(candidates) > len(slots):
            speaking = [one.track for one in self._speakers.get(listens.group, ())]
            wanted = [track for track in speaking if track in candidates][: len(slots)]
        for track in wanted:
            if not self.is_live(track) or any(slot.shows == track for slot in slots.values()):
                continue
            free = [mid for mid, slot in slots.items() if slot.shows is None]
            free += [mid for mid, slot in slots.items() if slot.shows not in wanted]
            self._play(transport, free[0], track)

    def _play(self, transport: TransportId, mid: Mid, track: TrackId | None) -> None:
        slot = self._transports[transport].slots[mid]
        if slot.shows != track:
            slot.shows = track
            self._tell(SlotVoice(transport, mid, track))

    def _inspected(self, transport: TransportId) -> TransportReport | None:
        found = self._transports.get(transport)
        if found is None or transport in self._told:
            return self._told.get(transport)
        slots = [(mid, slot, slot.staged or slot.shows) for mid, slot in found.slots.items()]
        return TransportReport(
            age_us=0,
            tracks=tuple(self._layers[one.track] for one in found.spec.receive if one.track in self._layers),
            slots=tuple(
                SlotReport(mid, track, slot.layer, self._waiting(found, slot))
                for mid, slot, track in slots
                if track is not None and slot.spec.kind is Kind.VIDEO
            ),
        )

    def _waiting(self, viewer: _Transport, slot: _Slot) -> Waiting | None:
        if not viewer.is_connected:
            return Waiting.TRANSPORT
        return Waiting.PACKETS if slot.staged is not None else None

    def _show(self, transport: TransportId, mid: Mid, slot: _Slot, track: TrackId) -> None:
        slot.staged = None
        if slot.shows != track:
            slot.shows = track
            self._tell(SlotBound(transport, mid, track))

    def _end(self, transport: TransportId, reason: CloseReason) -> None:
        """A track ends with its transport, and leaves every slot that shows it."""
        ended = self._transports.pop(transport, None)
        if ended is None:
            return
        if ended.link is not None:
            _hang_up(ended.link)
        self._told.pop(transport, None)
        gone = {receive.track for receive in ended.spec.receive}
        self._remove_voices(gone)
        for track in gone:
            del self._tracks[track]
            self._layers.pop(track, None)
        for viewer in self._transports.values():
            for slot in viewer.slots.values():
                slot.shows = None if slot.shows in gone else slot.shows
                slot.staged = None if slot.staged in gone else slot.staged
        self._tell(TransportClosed(transport, reason))

    def _tell(self, event: Event) -> None:
        if not self._events:
            os.eventfd_write(self._readable, 1)
        self._events.append(event)

    def __del__(self) -> None:
        os.close(self._readable)


def _duplicate(descriptor: int) -> socket.socket:
    """A descriptor of our own for one end of a local feed's link.

    Raises:
        ValueError: it is no SOCK_SEQPACKET of AF_UNIX.
    """
    try:
        duplicate = os.dup(descriptor)
    except (OSError, TypeError, OverflowError) as error:
        raise ValueError(f"descriptor: {error}") from error
    try:
        link = socket.socket(fileno=duplicate)
    except OSError as error:
        os.close(duplicate)
        raise ValueError(f"descriptor: {error}") from error
    if (link.family, link.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
        link.close()
        raise ValueError("descriptor: expected an AF_UNIX socket of type SOCK_SEQPACKET")
    return link


def _hang_up(link: socket.socket) -> None:
    """The other end hears of it, whoever else holds a duplicate of this one."""
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()


def _fit(credentials: tuple[str, ...]) -> bool:
    return all(0 < len(text) <= MAX_CREDENTIAL for text in credentials)


def _refusal(spec: TransportSpec) -> RefusalCode | None:
    """What is wrong with a transport on its own."""
    if not _fit((spec.local_ufrag, spec.local_pwd, spec.remote_ufrag, spec.remote_pwd)) or not spec.fingerprints:
        return RefusalCode.INVALID
    if not 0 < len(spec.cname) <= 255 or any(not 0 < extension.id < 256 for extension in spec.extensions):
        return RefusalCode.INVALID
    if len(spec.fingerprints) > MAX_FINGERPRINTS:
        return RefusalCode.TOO_MANY
    return _media_refusal(spec.receive, spec.slots)


def _feed_refusal(spec: LocalFeedSpec) -> RefusalCode | None:
    """What is wrong with a local feed on its own."""
    if not 0 < len(spec.cname) <= 255 or any(not 0 < extension.id < 256 for extension in spec.extensions):
        return RefusalCode.INVALID
    encodings = [encoding for receive in spec.receive for encoding in receive.encodings]
    repeats = [codec.rtx_payload_type for receive in spec.receive for codec in receive.codecs]
    repeats += [encoding.rtx_ssrc for encoding in encodings]
    if any(encoding.ssrc is None for encoding in encodings) or any(one is not None for one in repeats):
        return RefusalCode.INVALID
    return _media_refusal(spec.receive, ())


def _media_refusal(receives: tuple[ReceiveSpec, ...], slots: tuple[SlotSpec, ...]) -> RefusalCode | None:
    if len(receives) + len(slots) > MAX_MEDIA:
        return RefusalCode.TOO_MANY
    medias: list[ReceiveSpec | SlotSpec] = [*receives, *slots]
    for one in medias:
        if (refusal := _codec_refusal(one.kind, one.codecs)) is not None:
            return refusal
    if any(not 0 < len(receive.encodings) <= MAX_ENCODINGS for receive in receives):
        return RefusalCode.INVALID
    encodings = [encoding for receive in receives for encoding in receive.encodings]
    ssrcs = [ssrc for encoding in encodings for ssrc in (encoding.ssrc, encoding.rtx_ssrc) if ssrc is not None]
    ssrcs += [ssrc for slot in slots for ssrc in (slot.ssrc, slot.rtx_ssrc)]
    mids = [*(receive.mid for receive in receives), *(slot.mid for slot in slots)]
    tracks = [receive.track for receive in receives]
    is_unique = all(len(set(ids)) == len(ids) for ids in (ssrcs, mids, tracks))
    return None if is_unique else RefusalCode.DUPLICATE


def _codec_refusal(kind: Kind, codecs: tuple[CodecSpec, ...]) -> RefusalCode | None:
    if len(codecs) > MAX_CODECS:
        return RefusalCode.TOO_MANY
    if any((codec.codec in _AUDIO) is not (kind is Kind.AUDIO) for codec in codecs):
        return RefusalCode.KIND_MISMATCH
    numbers = [number for codec in codecs for number in (codec.payload_type, codec.rtx_payload_type or 0)]
    return RefusalCode.INVALID if any(number > 127 for number in numbers) else None
