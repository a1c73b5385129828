"""Streams, publishers and viewers by value, for tests of the model and of the hub."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from rostra.model import lifecycle, publishing, viewing
from rostra.model.effects import Effect, Send, SignalEvent
from rostra.model.ids import AccountId, SourceId, StreamKey, StreamName, TrackName
from rostra.model.layers import AUTOMATIC, LayerWish
from rostra.model.media import (
    BindSlot,
    Codec,
    CodecSpec,
    DtlsRole,
    EncodingSpec,
    Fingerprint,
    GroupId,
    Kind,
    Mid,
    Priority,
    ReceiveSpec,
    SlotSpec,
    TrackId,
    TrackStarted,
    TransportConnected,
    TransportId,
    TransportSpec,
)
from rostra.model.stream import Decision, Stream
from rostra.model.viewing import Project, Projection

KEY = StreamKey(AccountId("acc123"), StreamName("demo"))
ALL_EVENTS = frozenset({"active", "inactive", "stopped", "viewercount"})
VIDEO, AUDIO = Kind.VIDEO, Kind.AUDIO
VIDEO_CODECS = (CodecSpec(96, Codec.VP8, 97), CodecSpec(98, Codec.H264, 99, 0x42E01F, 1))
AUDIO_CODECS = (CodecSpec(111, Codec.OPUS),)


def source(name: str | None) -> SourceId | None:
    return SourceId(name) if name is not None else None


def transport_spec(
    number: int, receive: tuple[ReceiveSpec, ...] = (), slots: tuple[SlotSpec, ...] = ()
) -> TransportSpec:
    return TransportSpec(
        local_ufrag=f"ufrag{number}",
        local_pwd="p" * 24,
        remote_ufrag="remote",
        remote_pwd="r" * 24,
        fingerprints=(Fingerprint("sha-256", bytes(32)),),
        dtls_role=DtlsRole.PASSIVE,
        extensions=(),
        cname="cname",
        receive=receive,
        slots=slots,
    )


def slot_spec(mid: str, kind: Kind, codecs: tuple[CodecSpec, ...] | None = None) -> SlotSpec:
    ssrc = 1000 + 2 * int(mid)
    return SlotSpec(Mid(mid), kind, ssrc, ssrc + 1, codecs or (VIDEO_CODECS if kind is VIDEO else AUDIO_CODECS))


@dataclass
class Scene:
    """A stream that remembers what every decision asked for. Transport ids count up from 1, track ids from 101, source
    keys from 501.
    """

    stream: Stream = field(default_factory=lambda: Stream(KEY, GroupId(7)))
    effects: list[Effect] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    track_ids: Iterator[int] = field(default_factory=lambda: itertools.count(101))
    keys: Iterator[int] = field(default_factory=lambda: itertools.count(501))

    def take(self, decision: Decision) -> list[Effect]:
        """Carry a decision out; the result is its effects."""
        self.stream = decision.stream
        self.effects += decision.effects
        return list(decision.effects)

    def publish(
        self,
        name: str | None = None,
        *,
        kinds: tuple[Kind, ...] = (VIDEO, AUDIO),
        codec: Codec = Codec.VP8,
        priority: int | None = None,
        events: frozenset[str] = frozenset(),
        multisource: bool = True,
        is_public: bool = True,
        encodings: tuple[EncodingSpec, ...] = (EncodingSpec(),),
    ) -> "Publisher":
        """A publisher that nothing was heard of yet."""
        transport = TransportId(next(self.ids))
        receive = tuple(
            ReceiveSpec(
                Mid(str(index)),
                TrackId(next(self.track_ids)),
                kind,
                (CodecSpec(100, codec),) if kind is VIDEO else AUDIO_CODECS,
                encodings if kind is VIDEO else (EncodingSpec(),),
            )
            for index, kind in enumerate(kinds)
        )
        spec = transport_spec(transport, receive=receive)
        cmd = publishing.Publish(transport, spec, source(name), priority, events, multisource, is_public)
        self.take(publishing.publish(self.stream, cmd, self.keys))
        self.take(publishing.announce(self.stream, transport))
        return Publisher(self, transport, tuple(one.track for one in receive))

    def view(
        self,
        *,
        kinds: tuple[Kind, ...] = (VIDEO, AUDIO),
        pinned: str | None = None,
        events: frozenset[str] = ALL_EVENTS,
        video: tuple[CodecSpec, ...] = VIDEO_CODECS,
        layer: LayerWish = AUTOMATIC,
        vad: bool = False,
        excluded: tuple[str | None, ...] = (),
        follows: bool = False,
        is_anonymous: bool = False,
    ) -> TransportId:
        """A viewer that was told what is live. Its mids count up from 0."""
        transport = TransportId(next(self.ids))
        slots = tuple(slot_spec(str(index), kind, video if kind is VIDEO else None) for index, kind in enumerate(kinds))
        main = {slot.kind: slot.mid for slot in reversed(slots)}
        templates = {slot.kind: slot.codecs for slot in reversed(slots)}
        spec = transport_spec(transport, slots=slots)
        silent = frozenset(map(source, excluded))
        cmd = viewing.View(
            transport, spec, main, templates, source(pinned), events, layer, vad, silent, follows, is_anonymous
        )
        self.take(viewing.view(self.stream, cmd, self.keys))
        self.take(viewing.announce(self.stream, transport))
        return transport

    def project(self, viewer: TransportId, name: str | None, *mapping: Projection) -> list[Effect]:
        cmd = Project(viewer, source(name), mapping)
        return self.take(viewing.project(self.stream, cmd, itertools.count(0)))

    def unproject(self, viewer: TransportId, *mids: str) -> list[Effect]:
        return self.take(viewing.unproject(self.stream, viewer, tuple(map(Mid, mids))))

    def select(self, viewer: TransportId, layer: LayerWish = AUTOMATIC) -> list[Effect]:
        return self.take(viewing.select(self.stream, viewer, layer))

    def media(self, event: lifecycle.TransportEvent) -> list[Effect]:
        return self.take(lifecycle.on_media(self.stream, event))

    def leave(self, transport: TransportId) -> list[Effect]:
        return self.take(lifecycle.leave(self.stream, transport))

    def detach(self, transport: TransportId) -> list[Effect]:
        return self.take(lifecycle.detach(self.stream, transport))

    def tick(self) -> list[Effect]:
        return self.take(viewing.tick(self.stream))

    def shows(self, viewer: TransportId) -> dict[str, TrackId | None]:
        """The track that each slot was last bound to."""
        return {str(mid): slot.bound for mid, slot in self.stream.viewers[viewer].slots.items()}

    def heard(self, transport: TransportId) -> list[SignalEvent]:
        """Every event that it was told so far."""
        return [effect.event for effect in self.effects if isinstance(effect, Send) and transport in effect.to]


@dataclass(frozen=True)
class Publisher:
    """A feed of a scene."""

    scene: Scene
    transport: TransportId
    tracks: tuple[TrackId, ...]

    def connect(self) -> list[Effect]:
        return self.scene.media(TransportConnected(self.transport, "GCM"))

    def start(self, *indices: int) -> list[Effect]:
        """First packets of these tracks; of all without indices."""
        tracks = [self.tracks[index] for index in indices] if indices else list(self.tracks)
        return [effect for track in tracks for effect in self.scene.media(TrackStarted(self.transport, track))]


def live(scene: Scene, name: str | None = None, **options: object) -> Publisher:
    """A publisher whose tracks have all started."""
    publisher = scene.publish(name, **options)  # type: ignore[arg-type]
    publisher.start()
    return publisher


def show(
    mid: str | None,
    kind: Kind | None = None,
    track: str | None = None,
    *,
    layer: LayerWish = AUTOMATIC,
    promote: bool = False,
) -> Projection:
    name = TrackName(track) if track is not None else None
    return Projection(Mid(mid) if mid is not None else None, kind, name, layer, promote)


def main_bind(viewer: TransportId, mid: str, track: TrackId) -> BindSlot:
    """The pinned source on a main m-line."""
    return BindSlot(viewer, Mid(mid), track, priority=Priority.MAIN)
