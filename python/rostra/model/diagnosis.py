"""Why there is no picture: the report of a transport as steps, and the first that was not reached, with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from rostra.model.ids import StreamKey
from rostra.model.media import Kind, Mid, TrackId, TransportId, TransportReport, Waiting
from rostra.model.stream import Stream


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


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose report it is.

    ``has_video``: a picture was negotiated. ``pictures``: m-lines of a viewer that are for one. ``encodings``: the ids
    of those of every track that it publishes or may show.
    """

    transport: TransportId
    stream: StreamKey
    publishes: bool
    has_video: bool
    pictures: frozenset[Mid]
    encodings: Mapping[TrackId, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The steps that a transport goes through, and where it stands."""

    steps: tuple[Reached, ...]
    stalled: Stall | None


WAITING: Final = {
    Waiting.TRANSPORT: "The viewer's connection is not up yet.",
    Waiting.PACKETS: "The source has sent nothing yet: its publisher is not connected, muted or gone.",
    Waiting.KEY_FRAME: "The publisher was asked for a key frame, which a picture begins with, and has sent none yet.",
    Waiting.BANDWIDTH: "The viewer's line does not carry even the lowest layer, so that only sound is sent.",
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
        return Subject(transport, stream.key, False, bool(pictures), pictures, encodings)
    return None


def diagnose(report: TransportReport, whose: Subject, address: str) -> Diagnosis:
    """The timeline of a transport. Sound has no key frames, and a publisher has no slots.

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
    if not whose.publishes:
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
    if not report.slots:
        return (
            "nothing_bound",
            "No media line has a source: is its source live, and in a codec that the viewer offered?",
        )
    waiting = [slot.waiting for slot in report.slots if slot.waiting is not None]
    for cause in (Waiting.TRANSPORT, Waiting.KEY_FRAME, Waiting.PACKETS, Waiting.BANDWIDTH):
        if cause in waiting:
            return cause.value, WAITING[cause]
    if step is Step.FIRST_KEY_FRAME and whose.pictures.isdisjoint(slot.mid for slot in report.slots):
        return "no_picture_bound", "Only sound is bound: no media line for video has a source."
    return "about_to_start", "Everything is ready, and the first packet is on its way."
