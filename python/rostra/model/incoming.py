"""What comes in by a feed, and what is wrong with it: one sentence for each problem, which says how to cure it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from rostra.model import diagnosis
from rostra.model.ids import SourceId
from rostra.model.media import Codec, EncodingReport, Kind, TrackId, TrackLayers, TransportId, TransportReport
from rostra.model.stream import Decision, Door, Feed, Problem, Stream, with_feed

MAX_PROBLEMS: Final = 16
"""Codes that one feed keeps."""
CURRENT_S: Final = 90.0
"""What lasts is told again each minute; what was not told again for as long is over."""
KEY_FRAME_US: Final = 10_000_000
"""How long a picture may flow without a key frame."""
REORDERED: Final = 2
"""Pictures a second out of order that make B-frames; a single one may be a clock that was put back."""
SETTLING_US: Final = 3_000_000
"""How long a connection and each of its tracks may take."""


class State(StrEnum):
    """Where a feed stands."""

    WAITING = "waiting"
    LIVE = "live"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A publisher that was let in and then sent away for what it sends."""

    door: Door
    source: SourceId | None
    problem: Problem


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem as it is shown. ``is_hint``: it may be meant so. ``since_s`` is how long ago it was seen last."""

    code: str
    text: str
    is_hint: bool = False
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """A feed and what flows. ``leads``: its tracks are those of the source. ``best``: the largest active encoding.

    ``codecs``: of the sound, of the picture; ``None``: has none.
    """

    feed: Feed
    state: State
    leads: bool
    sound: Codec | None
    has_video: bool
    best: EncodingReport | None
    bitrate_bps: int
    troubles: tuple[Trouble, ...]


def note(stream: Stream, feed: Feed, problem: Problem) -> Decision:
    """Somebody who looks at a feed says what is wrong with it. The newest of each code counts."""
    others = tuple(one for one in feed.problems if one.code != problem.code)
    return with_feed(stream, replace(feed, problems=(*others, problem)[-MAX_PROBLEMS:]))


def measured(stream: Stream, feed: Feed, key_frame_ms: int) -> Decision:
    """The latest distance between two key frames."""
    return with_feed(stream, replace(feed, key_frame_ms=key_frame_ms))


def incoming(
    stream: Stream,
    layers: Mapping[TrackId, TrackLayers],
    reports: Mapping[TransportId, TransportReport],
    *,
    now_s: float,
    address: str,
) -> list[Incoming]:
    """Every feed of a stream, the main source first. ``reports``: of those transports that answered."""
    found: list[Incoming] = []
    for key in sorted(stream.sources, key=lambda key: key or ""):
        source = stream.sources[key]
        for feed in source.ranked:
            report = reports.get(feed.transport)
            encodings = [
                encoding
                for track in feed.tracks
                if (told := layers.get(track.track)) is not None
                for encoding in told.encodings
                if encoding.active
            ]
            sound = next((track for track in feed.tracks if track.kind is Kind.AUDIO), None)
            found.append(
                Incoming(
                    feed=feed,
                    state=_state(feed),
                    leads=feed is source.leader,
                    sound=next(iter(sorted(sound.codecs)), None) if sound is not None else None,
                    has_video=any(track.kind is Kind.VIDEO for track in feed.tracks),
                    best=max(encodings, key=lambda one: (one.width * one.height, one.bitrate_bps), default=None),
                    bitrate_bps=sum(one.bitrate_bps for one in encodings),
                    troubles=_troubles(stream, feed, encodings, report, now_s, address),
                )
            )
    return found


def _state(feed: Feed) -> State:
    if not feed.live:
        return State.WAITING
    return State.STALLED if feed.stalled else State.LIVE


def _troubles(
    stream: Stream,
    feed: Feed,
    encodings: list[EncodingReport],
    report: TransportReport | None,
    now_s: float,
    address: str,
) -> tuple[Trouble, ...]:
    """What was said of it, and what its report shows; each code once."""
    said = [
        Trouble(one.code, one.text, one.code in _HINTS, max(0.0, now_s - one.at_s))
        for one in feed.problems
        if now_s - one.at_s < CURRENT_S
    ]
    seen = [*_of_flow(feed, encodings), *(_of_report(stream, feed, report, address) if report is not None else ())]
    known = {one.code for one in said}
    return (*said, *(one for one in seen if one.code not in known))


_HINTS: Final = frozenset({"no_audio", "no_video"})


def _of_flow(feed: Feed, encodings: list[EncodingReport]) -> list[Trouble]:
    if feed.stalled:
        return [Trouble("stalled", "Nothing has arrived for 5 seconds: is the encoder running, and is its line up?")]
    found: list[Trouble] = []
    if any(one.reordered >= REORDERED for one in encodings):
        text = (
            "The picture has B-frames, and stutters for all viewers: set bframes=0 (tune zerolatency) in the encoder."
        )
        found.append(Trouble("b_frames", text))
    kinds = {track.kind for track in feed.tracks}
    if feed.live and kinds == {Kind.VIDEO}:
        text = "Only a picture comes: if sound is wanted, add an audio track."
        found.append(Trouble("no_audio", text, is_hint=True))
    return found


def _of_report(stream: Stream, feed: Feed, report: TransportReport, address: str) -> list[Trouble]:
    if report.age_us < SETTLING_US:
        return []
    found: list[Trouble] = []
    started = {track.kind for track in feed.tracks if track.started}
    announced = {track.kind for track in feed.tracks}
    if started == {Kind.VIDEO} and Kind.AUDIO in announced:
        text = "Sound was announced and none arrives: is the microphone or audio source switched off?"
        found.append(Trouble("no_audio", text, is_hint=True))
    if started == {Kind.AUDIO} and Kind.VIDEO in announced:
        text = "A picture was announced and none arrives: is the camera or screen switched off?"
        found.append(Trouble("no_video", text, is_hint=True))
    if Kind.VIDEO in started and report.first_key_frame_us is None and not feed.stalled:
        if report.age_us - (report.first_packet_us or 0) >= KEY_FRAME_US:
            text = "No key frame for 10 seconds: set the encoder's key frame interval to 2 seconds."
            found.append(Trouble("no_key_frame", text))
    elif not feed.live and feed.door is not Door.RTMP:
        whose = diagnosis.subject(stream, feed.transport)
        stall = diagnosis.diagnose(report, whose, address).stalled if whose is not None else None
        if stall is not None:
            found.append(Trouble(stall.reason, stall.text))
    return found
