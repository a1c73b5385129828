"""Why there is no picture."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scene import AUDIO, VIDEO, Scene, live, show

from rostra.model.diagnosis import WAITING, Diagnosis, Step, Subject, diagnose, subject
from rostra.model.media import Codec, Mid, SlotReport, TrackId, TransportId, TransportReport, Waiting

HEARS = TransportReport(age_us=10_000_000, ice_us=10_000, dtls_us=30_000, first_packet_us=50_000)
DONE = TransportReport(
    age_us=10_000_000,
    ice_us=10_000,
    dtls_us=30_000,
    first_packet_us=50_000,
    first_key_frame_us=60_000,
    first_bound_us=40_000,
)


def whose(*, publishes: bool, kinds: tuple[object, ...] = (VIDEO, AUDIO)) -> Subject:
    scene = Scene()
    publisher = scene.publish(kinds=kinds)  # type: ignore[arg-type]
    viewer = scene.view(kinds=kinds)  # type: ignore[arg-type]
    found = subject(scene.stream, publisher.transport if publishes else viewer)
    assert found is not None
    return found


def stalled(report: TransportReport, **of: bool) -> tuple[Step, str] | None:
    stall = diagnose(report, whose(**of), "192.0.2.1:8081").stalled
    if stall is None:
        return None
    assert stall.text[-1] in ".?"
    assert "browser" not in stall.text  # encoders and players of all kinds are told, too
    return stall.step, stall.reason


def slot(waiting: Waiting | None, mid: str = "0") -> SlotReport:
    return SlotReport(Mid(mid), TrackId(1), None, waiting)


def test_a_transport_that_works_stalls_nowhere() -> None:
    assert stalled(DONE, publishes=True) is None
    assert stalled(DONE, publishes=False) is None


def test_steps_come_in_order_and_are_those_of_the_side() -> None:
    def steps(subject: Subject) -> list[Step]:
        return [one.step for one in diagnose(DONE, subject, "").steps]

    assert steps(whose(publishes=False)) == list(Step)
    assert steps(whose(publishes=True)) == list(Step)[:-1]
    assert steps(whose(publishes=True, kinds=(AUDIO,))) == list(Step)[:-2]
    assert steps(whose(publishes=False, kinds=(AUDIO,))) == list(Step)[:-2]


@pytest.mark.parametrize("publishes", [True, False])
def test_the_connection_comes_first(publishes: bool) -> None:
    nothing = TransportReport(age_us=7_000_000)
    assert stalled(nothing, publishes=publishes) == (Step.ICE, "no_ice_check")
    stall = diagnose(nothing, whose(publishes=publishes), "192.0.2.1:8081").stalled
    assert stall is not None
    assert stall.text == "No ICE check arrived: can the client reach UDP 192.0.2.1:8081?"
    assert stall.for_us == 7_000_000
    assert stalled(replace(nothing, ice_us=5), publishes=publishes) == (Step.DTLS, "no_handshake")


def test_a_publisher_sends_nothing_or_no_picture() -> None:
    silent = replace(DONE, first_packet_us=None, first_key_frame_us=None)
    assert stalled(silent, publishes=True) == (Step.FIRST_PACKET, "no_media")
    assert stalled(replace(silent, first_packet_us=5), publishes=True) == (Step.FIRST_KEY_FRAME, "no_key_frame")


def test_a_stall_is_as_old_as_the_last_step() -> None:
    stall = diagnose(replace(DONE, first_key_frame_us=None), whose(publishes=True), "").stalled
    assert stall is not None
    assert stall.for_us == 10_000_000 - 50_000


WAITS = replace(DONE, first_packet_us=None, first_key_frame_us=None, first_bound_us=None)


@pytest.mark.parametrize(
    ("slots", "reason"),
    [
        ((), "offline"),
        ((slot(Waiting.PACKETS),), "packets"),
        ((slot(Waiting.BANDWIDTH),), "bandwidth"),
        ((slot(Waiting.BANDWIDTH), slot(Waiting.PACKETS), slot(Waiting.KEY_FRAME)), "key_frame"),
        ((slot(Waiting.TRANSPORT),), "transport"),
        ((slot(None),), "about_to_start"),
    ],
)
def test_a_viewer_waits_for_what_its_slots_wait_for(slots: tuple[SlotReport, ...], reason: str) -> None:
    assert stalled(replace(WAITS, slots=slots), publishes=False) == (Step.FIRST_PACKET, reason)


def watching(scene: Scene, report: TransportReport = HEARS, **view: object) -> Diagnosis:
    """What a viewer of the scene is told that has received audio alone, and whose m-lines for video have no track."""
    viewer = scene.view(**view)  # type: ignore[arg-type]
    found = subject(scene.stream, viewer)
    assert found is not None
    return diagnose(report, found, "")


def why(found: Diagnosis) -> tuple[str, str]:
    assert found.stalled is not None
    return found.stalled.reason, found.stalled.text


def test_a_viewer_of_a_source_that_has_only_audio_waits_for_no_picture() -> None:
    scene = Scene()
    live(scene, kinds=(AUDIO,))
    found = watching(scene)
    assert found.stalled is None
    assert [one.step for one in found.steps] == [Step.OFFER, Step.ICE, Step.DTLS, Step.FIRST_PACKET]
    assert why(watching(scene, replace(HEARS, first_packet_us=None)))[0] == "packets"


def test_a_viewer_of_an_offline_stream_is_told_so_and_what_to_do() -> None:
    reason, text = why(watching(Scene()))
    assert reason == "offline"
    assert "start its publisher" in text


def test_a_viewer_is_told_which_source_is_missing() -> None:
    scene = Scene()
    live(scene, "cam")
    assert why(watching(scene, pinned="gone")) == (
        "source_offline",
        "The source “gone” is not live: start its publisher, or show another source.",
    )
    assert why(watching(scene))[1].startswith("The main source is not live")


def test_a_viewer_that_did_not_offer_the_codec_is_told_which() -> None:
    scene = Scene()
    live(scene, codec=Codec.VP9)
    reason, text = why(watching(scene))
    assert reason == "codec_not_offered"
    assert "VP9" in text


def test_a_viewer_of_a_publisher_whose_camera_is_off_is_told_so() -> None:
    scene = Scene()
    scene.publish(kinds=(VIDEO, AUDIO)).start(1)
    assert why(watching(scene))[0] == "no_video"


def test_a_viewer_that_projects_nothing_is_told_so() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view()
    scene.unproject(viewer, "0", "1")
    found = subject(scene.stream, viewer)
    assert found is not None
    assert why(diagnose(HEARS, found, ""))[0] == "nothing_bound"


def test_every_reason_to_wait_has_a_sentence() -> None:
    assert set(WAITING) == set(Waiting)


def test_a_stream_knows_the_encodings_of_what_its_transports_publish_and_may_show() -> None:
    scene = Scene()
    main, cam = live(scene), live(scene, "cam")
    viewer = scene.view()
    scene.project(viewer, "cam", show("7", VIDEO))
    publishing, viewing = subject(scene.stream, cam.transport), subject(scene.stream, viewer)
    assert publishing is not None
    assert viewing is not None
    assert set(publishing.encodings) == set(cam.tracks)
    assert set(viewing.encodings) == {*main.tracks, *cam.tracks}
    assert viewing.pictures == {"0", "7"}
    assert subject(scene.stream, TransportId(99)) is None


_TIME = st.none() | st.integers(0, 10**9)


@given(st.builds(TransportReport, st.integers(0, 10**9), _TIME, _TIME, _TIME, _TIME, _TIME), st.booleans())
def test_every_report_has_a_diagnosis(report: TransportReport, publishes: bool) -> None:
    found = diagnose(report, whose(publishes=publishes), "")
    missing = [one.step for one in found.steps if one.at_us is None]
    assert (found.stalled.step if found.stalled is not None else None) == (missing[0] if missing else None)
    assert found.stalled is None or found.stalled.for_us >= 0
