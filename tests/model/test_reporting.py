"""Who hears what of layers."""

from tests.scene import ALL_EVENTS, AUDIO, KEY, VIDEO, Scene, live, show

from rostra.model import reporting
from rostra.model.effects import Layers, Send
from rostra.model.media import (
    EncodingReport,
    EncodingSpec,
    LayerReport,
    Mid,
    ShownLayer,
    TrackId,
    TrackLayers,
    TransportId,
)

LISTENING = ALL_EVENTS | {"layers"}
FLOWING = EncodingReport(active=True, bitrate_bps=1000)


def reports(*tracks: TrackId, encoding: EncodingReport = FLOWING) -> dict[TrackId, TrackLayers]:
    return {track: TrackLayers(track, (encoding,)) for track in tracks}


def heard(sends: tuple[Send, ...], viewer: TransportId) -> dict[str, TrackId] | None:
    """The track of each line that a viewer is told of."""
    events = [send.event for send in sends if viewer in send.to]
    assert len(events) <= 1
    for event in events:
        assert isinstance(event, Layers)
        return {str(media.mid): media.track.track for media in event.medias}
    return None


def test_every_picture_of_a_viewer_is_told_by_its_line() -> None:
    scene = Scene()
    main, cam = live(scene), live(scene, "cam")
    viewer = scene.view(kinds=(VIDEO, AUDIO, VIDEO), events=LISTENING)
    scene.project(viewer, "cam", show("9", VIDEO))
    sends = reporting.layers(scene.stream, reports(main.tracks[0], cam.tracks[0]), {})
    assert heard(sends, viewer) == {"0": main.tracks[0], "9": cam.tracks[0]}
    scene.project(viewer, "cam", show("0", VIDEO))
    sends = reporting.layers(scene.stream, reports(main.tracks[0], cam.tracks[0]), {})
    assert heard(sends, viewer) == {"0": cam.tracks[0], "9": cam.tracks[0]}


def test_who_did_not_ask_or_sees_nothing_is_told_nothing() -> None:
    scene = Scene()
    main = live(scene)
    deaf, blind = scene.view(), scene.view(events=LISTENING)
    scene.unproject(blind, "0")
    assert reporting.layers(scene.stream, reports(main.tracks[0]), {}) == ()
    seeing = scene.view(events=LISTENING)
    assert reporting.layers(scene.stream, {}, {}) == ()
    sends = reporting.layers(scene.stream, reports(main.tracks[0]), {})
    assert [heard(sends, one) is not None for one in (deaf, blind, seeing)] == [False, False, True]


def test_viewers_that_see_the_same_are_told_together() -> None:
    scene = Scene()
    main = live(scene)
    crowd = [scene.view(events=LISTENING) for _ in range(100)]
    shown = {one: {Mid("0"): ShownLayer(0)} for one in crowd[:60]}
    sends = reporting.layers(scene.stream, reports(main.tracks[0]), shown)
    assert [send.to for send in sends] == [tuple(crowd[:60]), tuple(crowd[60:])]


def test_a_change_is_told_to_those_alone_that_see_it() -> None:
    scene = Scene()
    main, cam = live(scene), live(scene, "cam")
    one, both = scene.view(events=LISTENING), scene.view(events=LISTENING)
    scene.project(both, "cam", show("9", VIDEO))
    latest = reports(main.tracks[0], cam.tracks[0])
    sends = reporting.layers(scene.stream, latest, {}, of={cam.tracks[0]})
    assert heard(sends, one) is None
    assert heard(sends, both) == {"0": main.tracks[0], "9": cam.tracks[0]}


def test_a_picture_is_off_when_the_source_sends_and_nothing_of_it_is_forwarded() -> None:
    scene = Scene()
    main = live(scene)
    viewer = scene.view(events=LISTENING)

    def is_off(shown: reporting.Shown, encoding: EncodingReport = FLOWING) -> bool:
        (send,) = reporting.layers(scene.stream, reports(main.tracks[0], encoding=encoding), shown)
        assert isinstance(send.event, Layers)
        return send.event.medias[0].is_off

    assert is_off({viewer: {Mid("0"): None}})
    assert not is_off({viewer: {Mid("0"): None}}, EncodingReport())
    assert not is_off({viewer: {Mid("0"): ShownLayer(0)}})
    assert not is_off({viewer: {}})


def test_encodings_go_by_the_names_of_their_publisher() -> None:
    scene = Scene()
    main = live(scene, encodings=(EncodingSpec(rid="l"), EncodingSpec(rid="h")))
    scene.view(events=LISTENING)
    (send,) = reporting.layers(scene.stream, reports(main.tracks[0]), {})
    assert send.event.stream == KEY
    assert isinstance(send.event, Layers)
    assert send.event.medias[0].encodings == ("l", "h")


def test_what_can_be_chosen_changes_with_encodings_and_layers_and_not_with_bitrates() -> None:
    def report(*encodings: EncodingReport) -> TrackLayers:
        return TrackLayers(TrackId(1), encodings)

    before = report(FLOWING, EncodingReport())
    layered = EncodingReport(active=True, layers=(LayerReport(0, 0), LayerReport(0, 1)))
    assert reporting.is_change(None, before)
    assert not reporting.is_change(
        before, report(EncodingReport(active=True, bitrate_bps=5, width=7), EncodingReport())
    )
    assert reporting.is_change(before, report(FLOWING, FLOWING))
    assert reporting.is_change(before, report(layered, EncodingReport()))
