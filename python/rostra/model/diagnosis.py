"""Why there is no picture: the report of a transport as steps, and the first that was not reached, with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from rostra.model.ids import StreamKey
from rostra.model.media import Kind, Mid, TrackId, TransportId, TransportReport, Waiting
from rostra.model.stream import FeedTrack, Source, Stream, Viewer


class Step(StrEnum):
    """What happens between an offer and a picture, in this order."""

    OFFER = "offer"
    ICE = "ice"
    DTLS = "dtls"
    FIRST_PACKET = "first_packet"
    FIRST_KEY_FRAME = "first_key_frame"
    FIRST_BOUND_SLOT = "first_bound_slot"


@dataclass(frozen=True, slots=True)
class Reached:
    """When a step was reached, microseconds after the offer; ``None``: not yet."""

    step: Step
    at_us: int | None


@dataclass(frozen=True, slots=True)
class Stall:
    """The step that is not reached. ``reason`` is stable, ``text`` is one sentence for people."""

    step: Step
    reason: str
    text: str
    for_us: int


NOT_PROJECTED: Final = ("nothing_bound", "No media line of this viewer shows a source: project one.")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose report it is.

    ``has_video``: a picture is to come; not so for a viewer whose sources have only audio. ``pictures``: m-lines of a
    viewer that are for one. ``encodings``: the ids of those of every track that it publishes or may show. ``unbound``:
    why m-lines of a viewer have no track, as code and sentence.
    """

    transport: TransportId
    stream: StreamKey
    publishes: bool
    has_video: bool
    pictures: frozenset[Mid]
    encodings: Mapping[TrackId, tuple[str, ...]]
    unbound: tuple[str, str] = NOT_PROJECTED


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The steps that a transport goes through, and where it stands."""

    steps: tuple[Reached, ...]
    stalled: Stall | None


WAITING: Final = {
    Waiting.TRANSPORT: "The viewer's connection is not up yet. If this lasts, a firewall may block the media port.",
    Waiting.PACKETS: (
        "The source has sent nothing yet: its publisher is not connected, muted or gone. Look at the publisher, or"
        " show another source."
    ),
    Waiting.KEY_FRAME: (
        "The publisher was asked for a key frame, which a picture begins with, and has sent none yet. If this lasts,"
        " set the encoder's key frame interval to 2 seconds."
    ),
    Waiting.BANDWIDTH: (
        "The viewer's bandwidth is too low even for the lowest layer, so that only audio is sent. The picture comes"
        " back by itself; a publisher that sends several sizes reaches such viewers."
    ),
}
"""Why a slot that has a track shows nothing, for people."""


def subject(stream: Stream, transport: TransportId) -> Subject | None:
    """What the stream knows of a transport; ``None``: it is not of this stream (any more)."""
    encodings = {track.track: track.encodings for feed in stream.feeds for track in feed.tracks}
    if (feed := stream.feed(transport)) is not None:
        has_video = any(track.kind is Kind.VIDEO for track in feed.tracks)
        own = {track.track: track.encodings for track in feed.tracks}
        return Subject(transport, stream.key, True, has_video, frozenset(), own)
    if (viewer := stream.viewers.get(transport)) is not None:
        pictures = frozenset(mid for mid, slot in viewer.slots.items() if slot.spec.kind is Kind.VIDEO)
        has_video = bool(pictures) and not _wants_audio_alone(stream, viewer)
        return Subject(transport, stream.key, False, has_video, pictures, encodings, _unbound(stream, viewer))
    return None


def _wants_audio_alone(stream: Stream, viewer: Viewer) -> bool:
    """Whether every source that the viewer wants a picture of is live and has none."""
    sources = [
        stream.sources.get(slot.wanted.source)
        for slot in viewer.slots.values()
        if slot.spec.kind is Kind.VIDEO and slot.wanted is not None
    ]
    return bool(sources) and all(source is not None and source.live and not _videos(source) for source in sources)


def _videos(source: Source) -> list[FeedTrack]:
    leader = source.leader
    return [track for track in leader.tracks if track.kind is Kind.VIDEO] if leader is not None else []


def _unbound(stream: Stream, viewer: Viewer) -> tuple[str, str]:
    """Why m-lines for video have no track. With several causes: that of the first m-line."""
    if not stream.live_sources():
        return "offline", "Nobody publishes this stream now: start its publisher. The picture comes by itself."
    for slot in viewer.slots.values():
        if slot.spec.kind is not Kind.VIDEO or slot.wanted is None or slot.bound is not None:
            continue
        source = stream.sources.get(slot.wanted.source)
        name = f"The source “{slot.wanted.source}”" if slot.wanted.source is not None else "The main source"
        if source is None or not source.live:
            return "source_offline", f"{name} is not live: start its publisher, or show another source."
        videos = _videos(source)
        if videos and not any(track.started for track in videos):
            return "no_video", f"{name} announced a picture and sends none: switch its camera or screen on."
        codecs = sorted({codec for track in videos for codec in track.codecs} - slot.codecs)
        if codecs:
            named = " or ".join(codec.upper() for codec in codecs)
            return "codec_not_offered", f"{name} sends {named}, which the viewer did not offer: publish another codec."
    return NOT_PROJECTED


def diagnose(report: TransportReport, whose: Subject, address: str) -> Diagnosis:
    """The timeline of a transport. Audio has no key frames, a publisher has no slots, and slots of audio are not told.

    ``address`` is that of our media port, for the sentence about it.
    """
    steps = [
        Reached(Step.OFFER, 0),
        Reached(Step.ICE, report.ice_us),
        Reached(Step.DTLS, report.dtls_us),
        Reached(Step.FIRST_PACKET, report.first_packet_us),
    ]
    if whose.has_video:
        steps.append(Reached(Step.FIRST_KEY_FRAME, report.first_key_frame_us))
    if whose.has_video and not whose.publishes:
        steps.append(Reached(Step.FIRST_BOUND_SLOT, report.first_bound_us))
    missing = next((one.step for one in steps if one.at_us is None), None)
    if missing is None:
        return Diagnosis(tuple(steps), None)
    reason, text = _reason(missing, report, whose, address)
    last_us = max(one.at_us for one in steps if one.at_us is not None)
    return Diagnosis(tuple(steps), Stall(missing, reason, text, max(0, report.age_us - last_us)))


def _reason(step: Step, report: TransportReport, whose: Subject, address: str) -> tuple[str, str]:
    match step:
        case Step.OFFER:
            return "no_offer", "There was no offer."
        case Step.ICE:
            return "no_ice_check", f"No ICE check arrived: can the client reach UDP {address}?"
        case Step.DTLS:
            return (
                "no_handshake",
                "ICE checks arrive, the DTLS handshake does not end: are larger UDP packets lost on the way?",
            )
        case Step.FIRST_PACKET | Step.FIRST_KEY_FRAME | Step.FIRST_BOUND_SLOT if not whose.publishes:
            return _of_viewer(step, report, whose)
        case Step.FIRST_PACKET:
            return (
                "no_media",
                "Connected, and no media arrived: does the encoder run, and is the camera or microphone switched on?",
            )
        case Step.FIRST_KEY_FRAME:
            return (
                "no_key_frame",
                "Media arrives, and no picture has begun: is the camera or screen switched on?",
            )
        case Step.FIRST_BOUND_SLOT:
            return "nothing_bound", "No media line of this connection shows anything."
        case _:
            assert_never(step)


def _of_viewer(step: Step, report: TransportReport, whose: Subject) -> tuple[str, str]:
    """What its slots wait for, the picture that is nearest to being shown first."""
    if not whose.has_video:
        return Waiting.PACKETS.value, WAITING[Waiting.PACKETS]
    if not report.slots:
        return whose.unbound
    waiting = [slot.waiting for slot in report.slots if slot.waiting is not None]
    for cause in (Waiting.TRANSPORT, Waiting.KEY_FRAME, Waiting.PACKETS, Waiting.BANDWIDTH):
        if cause in waiting:
            return cause.value, WAITING[cause]
    if step is Step.FIRST_KEY_FRAME and whose.pictures.isdisjoint(slot.mid for slot in report.slots):
        return whose.unbound
    return "about_to_start", "Everything is ready, and the first packet is on its way."
