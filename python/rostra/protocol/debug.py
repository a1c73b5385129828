"""``GET /api/debug/transports/{id}`` and ``…/streams/{account}/{stream}`` (docs/protocol/debug.md) as JSON."""

import msgspec

from rostra.model.diagnosis import WAITING, Diagnosis, Subject
from rostra.model.ids import StreamKey
from rostra.model.incoming import Incoming, TurnedAway
from rostra.model.media import (
    EncodingReport,
    LayerReport,
    ShownLayer,
    SlotReport,
    TrackId,
    TrackLayers,
    TransportReport,
)


class _Step(msgspec.Struct, frozen=True):
    step: str
    ms: float | None


class _Stall(msgspec.Struct, frozen=True):
    step: str
    reason: str
    text: str
    for_ms: float


class _Layer(msgspec.Struct, frozen=True):
    spatial: int
    temporal: int
    bitrate_bps: int
    width: int
    height: int


class _Encoding(msgspec.Struct, frozen=True):
    id: str
    active: bool
    codec: str | None
    bitrate_bps: int
    total_bps: int
    target_bps: int
    target_width: int
    target_height: int
    target_fps: int
    width: int
    height: int
    fps: int
    packets: int
    bytes: int
    layers: list[_Layer]


class _Track(msgspec.Struct, frozen=True):
    track: int
    encodings: list[_Encoding]


class _Shown(msgspec.Struct, frozen=True):
    encoding: str
    spatial: int
    temporal: int


class _Slot(msgspec.Struct, frozen=True):
    mid: str
    track: int
    shown: _Shown | None
    waiting: str | None
    text: str | None


class _Report(msgspec.Struct, frozen=True):
    transport: int
    stream_id: str
    role: str
    via: str | None
    age_ms: float
    timeline: list[_Step]
    stalled_at: _Stall | None
    estimate_bps: int
    sent_bps: int
    wanted_bps: int
    loss: float
    rtt_ms: float | None
    tracks: list[_Track]
    slots: list[_Slot]


class _Problem(msgspec.Struct, frozen=True):
    code: str
    text: str
    hint: bool
    since_ms: int


class _Sound(msgspec.Struct, frozen=True):
    codec: str


class _Video(msgspec.Struct, frozen=True):
    codec: str | None
    width: int
    height: int
    fps: int
    bitrate_bps: int
    key_frame_ms: int | None


class _Feed(msgspec.Struct, frozen=True):
    transport: int
    source_id: str | None
    door: str
    state: str
    leads: bool
    audio: _Sound | None
    video: _Video | None
    problems: list[_Problem]


class _TurnedAway(msgspec.Struct, frozen=True):
    door: str
    source_id: str | None
    code: str
    text: str
    since_ms: int


class _Stream(msgspec.Struct, frozen=True):
    stream_id: str
    viewers: int
    feeds: list[_Feed]
    turned_away: list[_TurnedAway]


def encode_stream(
    key: StreamKey, viewers: int, feeds: list[Incoming], turned_away: tuple[TurnedAway, ...], *, now_s: float
) -> bytes:
    """The reply about a stream: what comes in, the main source first."""
    away = [
        _TurnedAway(
            one.door.value,
            one.source,
            one.problem.code,
            one.problem.text,
            max(0, round((now_s - one.problem.at_s) * 1000)),
        )
        for one in turned_away
    ]
    return msgspec.json.encode(_Stream(str(key), viewers, list(map(_feed, feeds)), away))


def _feed(one: Incoming) -> _Feed:
    feed, best = one.feed, one.best
    video = None
    if one.has_video:
        codec = best.codec.value if best is not None and best.codec is not None else None
        size = (best.width, best.height, best.fps) if best is not None else (0, 0, 0)
        video = _Video(codec, *size, one.bitrate_bps, feed.key_frame_ms)
    return _Feed(
        transport=feed.transport,
        source_id=feed.source,
        door=feed.door.value,
        state=one.state.value,
        leads=one.leads,
        audio=_Sound(one.sound.value) if one.sound is not None else None,
        video=video,
        problems=[_Problem(bad.code, bad.text, bad.is_hint, round(bad.since_s * 1000)) for bad in one.troubles],
    )


def encode_report(subject: Subject, report: TransportReport, diagnosis: Diagnosis) -> bytes:
    """The reply. Times are milliseconds after the offer."""
    stall = diagnosis.stalled
    return msgspec.json.encode(
        _Report(
            transport=subject.transport,
            stream_id=str(subject.stream),
            role="publisher" if subject.publishes else "viewer",
            via=report.via,
            age_ms=_ms(report.age_us),
            timeline=[_Step(one.step, _ms(one.at_us) if one.at_us is not None else None) for one in diagnosis.steps],
            stalled_at=_Stall(stall.step, stall.reason, stall.text, _ms(stall.for_us)) if stall is not None else None,
            estimate_bps=report.estimate_bps,
            sent_bps=report.sent_bps,
            wanted_bps=report.wanted_bps,
            loss=round(report.fraction_lost / 256, 4),
            rtt_ms=_ms(report.rtt_us) if report.rtt_us else None,
            tracks=[_track(one, subject) for one in report.tracks],
            slots=[_slot(one, subject) for one in report.slots],
        )
    )


def _track(track: TrackLayers, subject: Subject) -> _Track:
    return _Track(
        track.track,
        [_encoding(_id(subject, track.track, place), one) for place, one in enumerate(track.encodings)],
    )


def _encoding(name: str, one: EncodingReport) -> _Encoding:
    return _Encoding(
        id=name,
        active=one.active,
        codec=one.codec.value if one.codec is not None else None,
        bitrate_bps=one.bitrate_bps,
        total_bps=one.total_bps,
        target_bps=one.target.bps,
        target_width=one.target.width,
        target_height=one.target.height,
        target_fps=one.target.fps,
        width=one.width,
        height=one.height,
        fps=one.fps,
        packets=one.packets,
        bytes=one.bytes,
        layers=list(map(_layer, one.layers)),
    )


def _layer(one: LayerReport) -> _Layer:
    return _Layer(one.spatial, one.temporal, one.bitrate_bps, one.width, one.height)


def _slot(slot: SlotReport, subject: Subject) -> _Slot:
    waiting = slot.waiting
    return _Slot(
        mid=slot.mid,
        track=slot.track,
        shown=_shown(slot.shown, slot.track, subject),
        waiting=waiting.value if waiting is not None else None,
        text=WAITING[waiting] if waiting is not None else None,
    )


def _shown(shown: ShownLayer | None, track: TrackId, subject: Subject) -> _Shown | None:
    if shown is None:
        return None
    return _Shown(_id(subject, track, shown.encoding), shown.spatial, shown.temporal)


def _id(subject: Subject, track: TrackId, place: int) -> str:
    ids = subject.encodings.get(track, ())
    return ids[place] if place < len(ids) else str(place)


def _ms(us: int) -> float:
    return round(us / 1000, 1)
