"""Viewers come, choose what their slots show, and go.

Long, because every choice is told by what came before it, in the same few scenes.
"""

import itertools
from dataclasses import replace

import pytest
from tests.scene import ALL_EVENTS, AUDIO, KEY, VIDEO, VIDEO_CODECS, Scene, live, main_bind, show

from rostra.model import lifecycle, viewing
from rostra.model.effects import Active, HangUp, Inactive, Send, StartTimer, Stopped, ViewerCount
from rostra.model.layers import LayerWish
from rostra.model.media import (
    AddSlot,
    BindSlot,
    CloseReason,
    CloseTransport,
    Codec,
    CodecSpec,
    EncodingSpec,
    LayerChoice,
    Mid,
    OpenTransport,
    Priority,
    RefusalCode,
    Rejected,
    SlotBound,
    TrackId,
    TrackStarted,
    TransportClosed,
    TransportConnected,
    TransportId,
    TransportResumed,
    TransportStalled,
    UnbindSlot,
)
from rostra.model.refused import (
    CodecNotNegotiated,
    KindMismatch,
    TooMany,
    UnknownSlot,
    UnknownSource,
    UnknownTrack,
    UnknownViewer,
)
from rostra.model.stream import MAX_VIEWERS, Viewer


def actives(scene: Scene, viewer: TransportId) -> list[str | None]:
    return [event.source for event in scene.heard(viewer) if isinstance(event, Active)]


def test_a_viewer_sees_the_main_source_from_the_start_and_nothing_else() -> None:
    scene = Scene()
    live(scene, "cam")
    main = live(scene)
    viewer = scene.view(kinds=(VIDEO, AUDIO, AUDIO))
    assert scene.shows(viewer) == {"0": main.tracks[0], "1": main.tracks[1], "2": None}


def test_the_transport_opens_before_its_slots_are_bound() -> None:
    scene = Scene()
    main = live(scene)
    before = len(scene.effects)
    viewer = scene.view()
    first, *rest = scene.effects[before : before + 3]
    assert isinstance(first, OpenTransport)
    assert rest == [main_bind(viewer, "0", main.tracks[0]), main_bind(viewer, "1", main.tracks[1])]


def test_a_pinned_source_feeds_the_main_lines_instead() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view(pinned="cam")
    assert scene.shows(viewer) == {"0": None, "1": None}
    cam = live(scene, "cam")
    assert scene.shows(viewer) == {"0": cam.tracks[0], "1": cam.tracks[1]}


def test_every_live_source_is_announced_the_main_one_first() -> None:
    scene = Scene()
    live(scene, "b")
    live(scene, "a")
    live(scene)
    scene.publish("silent")
    assert actives(scene, scene.view()) == [None, "b", "a"]


def test_the_first_active_comes_even_to_those_who_did_not_ask() -> None:
    scene = Scene()
    early = scene.view(events=frozenset())
    live(scene, "a")
    live(scene)
    late = scene.view(events=frozenset({"stopped"}))
    assert actives(scene, early) == ["a"]
    assert actives(scene, late) == [None]
    scene.leave(next(scene.stream.feeds).transport)
    assert Inactive not in map(type, scene.heard(early))


def test_a_viewer_hears_what_it_asks_for_from_then_on() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view(events=frozenset())
    live(scene, "missed")
    scene.take(viewing.hear(scene.stream, viewer, frozenset({"active"})))
    cam = live(scene, "cam")
    scene.leave(cam.transport)
    scene.take(viewing.hear(scene.stream, viewer, frozenset()))
    live(scene, "late")
    assert actives(scene, viewer) == [None, "cam"]
    assert Inactive not in map(type, scene.heard(viewer))
    assert viewing.hear(scene.stream, TransportId(99), ALL_EVENTS).stream == scene.stream


def test_what_is_there_is_the_live_sources_and_the_count() -> None:
    scene = Scene()
    live(scene, "cam")
    live(scene)
    scene.publish("silent")
    scene.view()
    *told, count = viewing.present(scene.stream)
    assert [event.source for event in told if isinstance(event, Active)] == [None, "cam"]
    assert count == ViewerCount(scene.stream.key, 1)


def test_the_usual_source_is_the_main_one_and_else_the_one_that_is_live_longest() -> None:
    scene = Scene()
    assert viewing.usual_source(scene.stream) is None
    scene.publish("silent")
    first = live(scene, "first")
    live(scene, "second")
    assert viewing.usual_source(scene.stream) == "first"
    scene.leave(first.transport)
    assert viewing.usual_source(scene.stream) == "second"
    main = scene.publish()
    main.connect()
    assert viewing.usual_source(scene.stream) == "second", "until the main one sends"
    main.start()
    assert viewing.usual_source(scene.stream) is None


def test_a_viewer_without_a_name_comes_to_the_main_source_track_by_track() -> None:
    """Each when its first packet came, and for good."""
    scene = Scene()
    cam = live(scene, "cam")
    layer = LayerWish(max_height=360)
    viewer = scene.view(pinned="cam", layer=layer, follows=True)
    main = scene.publish()
    main.connect()
    assert scene.shows(viewer) == {"0": cam.tracks[0], "1": cam.tracks[1]}
    assert main.start(1)[:1] == [main_bind(viewer, "1", main.tracks[1])]
    assert scene.shows(viewer) == {"0": cam.tracks[0], "1": main.tracks[1]}
    choice = LayerChoice(max_height=360)
    assert main.start(0) == [BindSlot(viewer, Mid("0"), main.tracks[0], choice, Priority.MAIN)]
    scene.leave(main.transport)
    assert scene.shows(viewer) == {"0": None, "1": None}
    again = live(scene)
    assert scene.shows(viewer) == {"0": again.tracks[0], "1": again.tracks[1]}


def test_a_viewer_that_named_its_source_stays_with_it() -> None:
    scene = Scene()
    cam = live(scene, "cam")
    viewer = scene.view(pinned="cam")
    live(scene)
    assert scene.shows(viewer) == {"0": cam.tracks[0], "1": cam.tracks[1]}


def test_what_the_main_source_does_not_have_is_shown_no_more() -> None:
    """Sound of one source with the picture of another would be of neither."""
    scene = Scene()
    live(scene, "cam")
    viewer = scene.view(pinned="cam", follows=True)
    deaf = scene.view(pinned="cam", video=(CodecSpec(96, Codec.VP8, 97),), follows=True)
    sound = scene.publish(kinds=(AUDIO,))
    assert UnbindSlot(viewer, Mid("0")) in sound.start()
    assert scene.shows(viewer) == {"0": None, "1": sound.tracks[0]}
    scene.leave(sound.transport)
    other = scene.view(pinned="cam", video=(CodecSpec(96, Codec.VP8, 97),), follows=True)
    picture = scene.publish(codec=Codec.H264)
    assert UnbindSlot(other, Mid("0")) in picture.start()
    assert scene.shows(viewer) == {"0": picture.tracks[0], "1": picture.tracks[1]}
    for one in (deaf, other):
        assert scene.shows(one) == {"0": None, "1": picture.tracks[1]}


def test_the_source_of_before_may_end_while_the_main_one_begins() -> None:
    scene = Scene()
    cam = live(scene, "cam")
    viewer = scene.view(pinned="cam", follows=True)
    main = scene.publish()
    main.start(1)
    scene.leave(cam.transport)
    assert scene.shows(viewer) == {"0": None, "1": main.tracks[1]}
    main.start(0)
    assert scene.shows(viewer) == {"0": main.tracks[0], "1": main.tracks[1]}
    scene.leave(main.transport)
    live(scene, "cam")
    assert scene.shows(viewer) == {"0": None, "1": None}


def test_a_viewer_is_announced_once() -> None:
    scene = Scene()
    viewer = scene.view()
    assert viewing.announce(scene.stream, viewer).effects == ()
    assert viewing.announce(scene.stream, TransportId(99)).effects == ()


def test_project_attaches_the_named_track_to_the_named_line() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view()
    cam = live(scene, "cam", kinds=(VIDEO, VIDEO, AUDIO))
    assert scene.project(viewer, "cam", show("0", track="video-1")) == [BindSlot(viewer, Mid("0"), cam.tracks[1])]


def test_project_without_a_line_takes_the_main_one_of_the_kind() -> None:
    scene = Scene()
    viewer = scene.view()
    cam = live(scene, "cam")
    scene.project(viewer, "cam", show(None, VIDEO), show(None, track="audio"))
    assert scene.shows(viewer) == {"0": cam.tracks[0], "1": cam.tracks[1]}


def test_a_track_that_is_unknown_falls_back_to_its_kind_or_is_refused() -> None:
    scene = Scene()
    viewer = scene.view()
    main = live(scene)
    assert scene.project(viewer, None, show("0", VIDEO, "nonsense")) == [main_bind(viewer, "0", main.tracks[0])]
    with pytest.raises(UnknownTrack):
        scene.project(viewer, None, show("0", None, "nonsense"))
    with pytest.raises(UnknownTrack):
        scene.project(viewer, None, show("0"))


def test_a_valid_track_wins_over_its_kind() -> None:
    scene = Scene()
    viewer = scene.view()
    main = live(scene)
    assert scene.project(viewer, None, show("1", VIDEO, "audio")) == [main_bind(viewer, "1", main.tracks[1])]


def test_a_kind_that_the_source_does_not_have_is_refused() -> None:
    scene = Scene()
    viewer = scene.view()
    live(scene, kinds=(AUDIO,))
    with pytest.raises(UnknownTrack):
        scene.project(viewer, None, show("0", VIDEO))


def test_an_unknown_line_becomes_a_slot_from_the_template() -> None:
    scene = Scene()
    cam = live(scene, "cam")
    viewer = scene.view()
    add, bind = scene.project(viewer, "cam", show("7", VIDEO))
    assert isinstance(add, AddSlot)
    assert add.slot.mid == "7"
    assert add.slot.codecs == VIDEO_CODECS
    assert bind == BindSlot(viewer, Mid("7"), cam.tracks[0])
    assert scene.project(viewer, "cam", show("7", VIDEO)) == [bind]


def test_slots_never_share_an_ssrc() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view()
    for mid in range(2, 22):
        cmd = viewing.Project(viewer, None, (show(str(mid), VIDEO),))
        scene.take(viewing.project(scene.stream, cmd, itertools.chain([0, 1000, 1001], itertools.count(1000))))
    specs = [slot.spec for slot in scene.stream.viewers[viewer].slots.values()]
    ssrcs = [ssrc for spec in specs for ssrc in (spec.ssrc, spec.rtx_ssrc)]
    assert len(set(ssrcs)) == len(ssrcs) == 44
    assert 0 not in ssrcs


def test_a_line_of_the_other_kind_is_refused() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view()
    with pytest.raises(KindMismatch):
        scene.project(viewer, None, show("1", VIDEO))


def test_a_kind_that_was_not_negotiated_has_no_slots() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view(kinds=(AUDIO,))
    with pytest.raises(UnknownSlot):
        scene.project(viewer, None, show(None, VIDEO))
    with pytest.raises(UnknownSlot):
        scene.project(viewer, None, show("5", VIDEO))


def test_a26_a_source_of_another_stream_is_not_there() -> None:
    mine, other = Scene(), Scene()
    live(other, "secret")
    live(mine)
    viewer = mine.view()
    with pytest.raises(UnknownSource):
        mine.project(viewer, "secret", show("0", VIDEO))


def test_a_source_that_has_not_sent_is_not_there() -> None:
    scene = Scene()
    scene.publish("cam").connect()
    viewer = scene.view()
    with pytest.raises(UnknownSource):
        scene.project(viewer, "cam", show("0", VIDEO))


def test_a_codec_that_the_viewer_did_not_negotiate_is_refused() -> None:
    scene = Scene()
    live(scene, codec=Codec.AV1)
    viewer = scene.view(video=(CodecSpec(96, Codec.VP8),))
    assert scene.shows(viewer)["0"] is None
    with pytest.raises(CodecNotNegotiated):
        scene.project(viewer, None, show("0", VIDEO))


def test_a_refused_entry_refuses_the_whole_command() -> None:
    scene = Scene()
    live(scene, "cam")
    viewer = scene.view()
    before = scene.stream
    with pytest.raises(KindMismatch):
        scene.project(viewer, "cam", show("9", VIDEO), show("1", VIDEO))
    assert scene.stream is before


def test_a_viewer_has_a_most_of_slots() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view()
    scene.project(viewer, None, *(show(str(mid), VIDEO) for mid in range(2, viewing.MAX_SLOTS)))
    with pytest.raises(TooMany):
        scene.project(viewer, None, show("999", VIDEO))


def test_a_projected_track_that_has_not_started_is_shown_when_it_does() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view()
    cam = scene.publish("cam")
    cam.start(1)
    assert scene.project(viewer, "cam", show("0", VIDEO)) == [UnbindSlot(viewer, Mid("0"))]
    assert scene.project(viewer, "cam", show("0", VIDEO)) == []
    assert cam.start(0) == [BindSlot(viewer, Mid("0"), cam.tracks[0])]


def test_a_projection_replaces_the_pinned_source_and_resumes_when_its_own_returns() -> None:
    scene = Scene()
    main = live(scene)
    cam = live(scene, "cam")
    viewer = scene.view()
    scene.project(viewer, "cam", show("0", VIDEO))
    scene.leave(cam.transport)
    scene.leave(main.transport)
    live(scene)
    assert scene.shows(viewer)["0"] is None
    again = live(scene, "cam")
    assert scene.shows(viewer)["0"] == again.tracks[0]


def test_unproject_stops_known_lines_and_is_content_with_the_others() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view()
    assert scene.unproject(viewer, "0", "17", "0") == [UnbindSlot(viewer, Mid("0"))]
    assert scene.unproject(viewer, "0") == [UnbindSlot(viewer, Mid("0"))]
    assert scene.unproject(viewer) == []
    live(scene)
    assert scene.shows(viewer)["0"] is None


def test_who_does_not_view_cannot_choose() -> None:
    scene = Scene()
    publisher = live(scene)
    for stranger in (publisher.transport, TransportId(99)):
        with pytest.raises(UnknownViewer):
            scene.project(stranger, None, show("0", VIDEO))
        with pytest.raises(UnknownViewer):
            scene.unproject(stranger, "0")
        with pytest.raises(UnknownViewer):
            scene.select(stranger)


# --- Layers ---------------------------------------------------------------------------------------------------------

RIDS = tuple(EncodingSpec(rid=rid) for rid in ("l", "m", "h"))
PLACES = tuple(EncodingSpec(ssrc=ssrc) for ssrc in (100, 101, 102))
MIDDLE = LayerWish(encoding="m", temporal=1, max_width=640)
CHOICE = LayerChoice(encoding=1, temporal=1, max_width=640)


def test_a_view_may_begin_with_a_layer_of_the_main_picture() -> None:
    scene = Scene()
    viewer = scene.view(layer=MIDDLE)
    main = scene.publish(encodings=RIDS)
    picture, sound = (bind for bind in main.start() if isinstance(bind, BindSlot))
    assert picture == BindSlot(viewer, Mid("0"), main.tracks[0], CHOICE, Priority.MAIN)
    assert sound == main_bind(viewer, "1", main.tracks[1])


def test_the_same_track_again_changes_its_layer() -> None:
    scene = Scene()
    viewer = scene.view()
    cam = live(scene, "cam", encodings=RIDS)
    assert scene.project(viewer, "cam", show("0", VIDEO, layer=MIDDLE)) == [
        BindSlot(viewer, Mid("0"), cam.tracks[0], CHOICE)
    ]
    assert scene.project(viewer, "cam", show("0", VIDEO)) == [BindSlot(viewer, Mid("0"), cam.tracks[0])]


def test_a_layer_of_sound_is_none() -> None:
    scene = Scene()
    viewer = scene.view()
    cam = live(scene, "cam")
    assert scene.project(viewer, "cam", show("1", AUDIO, layer=LayerWish(spatial=2))) == [
        BindSlot(viewer, Mid("1"), cam.tracks[1])
    ]


def test_encodings_without_a_name_go_by_their_place() -> None:
    scene = Scene()
    viewer = scene.view()
    main = live(scene, encodings=PLACES)
    for place in (0, 1, 2):
        (bind,) = scene.select(viewer, LayerWish(encoding=str(place)))
        assert bind == BindSlot(viewer, Mid("0"), main.tracks[0], LayerChoice(encoding=place), Priority.MAIN)


def test_an_encoding_that_the_feed_does_not_have_is_wanted_again_from_the_next_one() -> None:
    scene = Scene()
    viewer = scene.view()
    live(scene, encodings=PLACES)
    (bind,) = scene.select(viewer, MIDDLE)
    assert isinstance(bind, BindSlot)
    assert bind.choice == LayerChoice(temporal=1, max_width=640)
    better = scene.publish(encodings=RIDS)
    assert better.start(0) == [BindSlot(viewer, Mid("0"), better.tracks[0], CHOICE, Priority.MAIN)]


def test_select_is_for_the_main_picture_and_keeps_everything_else_of_it() -> None:
    scene = Scene()
    viewer = scene.view(kinds=(AUDIO, VIDEO, VIDEO))
    cam = live(scene, "cam", encodings=RIDS)
    scene.project(viewer, "cam", show("1", VIDEO, promote=True), show("2", VIDEO))
    assert scene.select(viewer, MIDDLE) == [BindSlot(viewer, Mid("1"), cam.tracks[0], CHOICE, Priority.PROMOTED)]
    (bind,) = scene.select(viewer, LayerWish())
    assert bind == BindSlot(viewer, Mid("1"), cam.tracks[0], LayerChoice(), Priority.PROMOTED)


def test_a_layer_may_be_selected_before_there_is_a_picture() -> None:
    scene = Scene()
    viewer = scene.view()
    assert scene.select(viewer, MIDDLE) == []
    main = scene.publish(encodings=RIDS)
    assert main.start(0)[0] == BindSlot(viewer, Mid("0"), main.tracks[0], CHOICE, Priority.MAIN)
    scene.unproject(viewer, "0")
    before = scene.stream
    assert scene.select(viewer, MIDDLE) == []
    assert scene.stream == before


def test_without_a_picture_there_is_no_layer() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view(kinds=(AUDIO,))
    with pytest.raises(UnknownSlot):
        scene.select(viewer, MIDDLE)


def test_the_pinned_source_on_the_main_lines_matters_most_then_what_is_promoted() -> None:
    scene = Scene()
    viewer = scene.view(pinned="cam")
    live(scene)
    live(scene, "cam")

    def priority(name: str | None, mid: str, *, promote: bool = False) -> Priority:
        (bind,) = (
            one for one in scene.project(viewer, name, show(mid, VIDEO, promote=promote)) if type(one) is BindSlot
        )
        return bind.priority

    assert priority("cam", "0") is Priority.MAIN
    assert priority("cam", "0", promote=True) is Priority.MAIN
    assert priority("cam", "5") is Priority.NORMAL
    assert priority("cam", "5", promote=True) is Priority.PROMOTED
    assert priority(None, "0") is Priority.NORMAL
    assert priority(None, "0", promote=True) is Priority.PROMOTED


def test_what_a_slot_wants_survives_its_publisher() -> None:
    scene = Scene()
    viewer = scene.view()
    cam = live(scene, "cam", encodings=RIDS)
    scene.project(viewer, "cam", show("0", VIDEO, layer=MIDDLE, promote=True))
    scene.leave(cam.transport)
    again = scene.publish("cam", encodings=RIDS)
    assert again.start(0)[0] == BindSlot(viewer, Mid("0"), again.tracks[0], CHOICE, Priority.PROMOTED)


def test_a_refused_binding_is_tried_again_when_its_source_changes() -> None:
    scene = Scene()
    main = live(scene)
    viewer = scene.view()
    refused = Rejected(viewer, Mid("0"), RefusalCode.CODEC_NOT_NEGOTIATED)
    assert scene.media(refused) == [UnbindSlot(viewer, Mid("0"))]  # what it was to replace goes
    assert scene.shows(viewer)["0"] is None
    assert scene.media(TransportStalled(main.transport)) == [main_bind(viewer, "0", main.tracks[0])]


def test_a_binding_to_a_track_that_ended_meanwhile_is_no_news() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view()
    before = scene.stream
    assert scene.media(Rejected(viewer, Mid("0"), RefusalCode.UNKNOWN_TRACK)) == []
    assert scene.stream == before


def test_a_slot_that_the_media_plane_refused_is_not_there() -> None:
    scene = Scene()
    live(scene)
    viewer = scene.view()
    scene.project(viewer, None, show("5", VIDEO))
    scene.media(Rejected(viewer, Mid("5"), RefusalCode.UNKNOWN_SLOT))
    assert "5" not in scene.shows(viewer)
    assert scene.media(Rejected(viewer, Mid("5"), RefusalCode.UNKNOWN_SLOT)) == []


def test_a_viewer_whose_transport_was_refused_is_gone() -> None:
    scene = Scene()
    viewer = scene.view()
    assert HangUp(viewer) in scene.media(Rejected(viewer, None, RefusalCode.TOO_MANY))
    assert scene.stream.is_empty


def test_an_order_that_was_refused_is_not_repeated() -> None:
    scene = Scene()
    viewer = scene.view()
    live(scene)
    refused = Rejected(viewer, Mid("0"), RefusalCode.BUG)
    assert scene.media(refused) == [UnbindSlot(viewer, Mid("0"))]
    assert scene.media(refused) == []


def test_a_viewer_whose_transport_the_media_plane_does_not_know_is_gone() -> None:
    scene = Scene()
    viewer = scene.view()
    live(scene)
    effects = scene.media(Rejected(viewer, Mid("0"), RefusalCode.UNKNOWN_TRANSPORT))
    assert HangUp(viewer) in effects
    assert not scene.stream.viewers


def test_a_viewer_without_media_is_gone() -> None:
    scene = Scene()
    viewer = scene.view()
    assert HangUp(viewer) in scene.media(TransportClosed(viewer, CloseReason.NEVER_CONNECTED))
    assert scene.stream.is_empty


def test_a_viewer_that_says_good_bye_is_gone_at_once() -> None:
    scene = Scene()
    viewer = scene.view()
    assert scene.leave(viewer)[0] == CloseTransport(viewer)
    assert scene.stream.is_empty


def test_a_lost_socket_leaves_the_picture_until_media_stalls() -> None:
    scene = Scene()
    main = live(scene)
    viewer = scene.view()
    scene.media(TransportConnected(viewer, "GCM"))
    assert scene.detach(viewer) == []
    scene.leave(main.transport)
    again = live(scene)
    assert scene.shows(viewer)["0"] == again.tracks[0]
    assert CloseTransport(viewer) in scene.media(TransportStalled(viewer))
    assert viewer not in scene.stream.viewers


def test_a_lost_socket_ends_a_viewer_that_has_stalled_or_never_came() -> None:
    scene = Scene()
    silent, stalled, back = scene.view(), scene.view(), scene.view()
    for viewer in (stalled, back):
        scene.media(TransportConnected(viewer, "GCM"))
        scene.media(TransportStalled(viewer))
    scene.media(TransportResumed(back))
    for viewer in (silent, stalled, back):
        scene.detach(viewer)
    assert list(scene.stream.viewers) == [back]


def test_facts_that_need_no_decision_change_nothing() -> None:
    scene = Scene()
    viewer = scene.view()
    assert scene.media(SlotBound(viewer, Mid("0"), TrackId(101))) == []
    assert scene.media(TrackStarted(viewer, TrackId(101))) == []


def test_the_count_goes_out_at_once_then_once_a_second_and_only_when_it_changed() -> None:
    scene = Scene()
    first = scene.view()
    assert scene.heard(first)[-1] == ViewerCount(KEY, 1)
    assert scene.effects[-1] == StartTimer(KEY, 1000)
    second = scene.view()
    third = scene.view(events=frozenset({"active"}))
    assert scene.heard(first)[-1] == ViewerCount(KEY, 1)
    assert scene.tick() == [Send((first, second), ViewerCount(KEY, 3)), StartTimer(KEY, 1000)]
    assert scene.tick() == []
    assert ViewerCount(KEY, 2) in [effect.event for effect in scene.leave(third) if isinstance(effect, Send)]


def test_who_was_never_announced_was_never_counted() -> None:
    scene = Scene()
    viewer = scene.view()
    scene.tick()
    scene.stream = replace(scene.stream, viewers={viewer: replace(scene.stream.viewers[viewer], announced=False)})
    assert scene.leave(viewer) == [CloseTransport(viewer)]


def test_a_stream_has_a_most_of_viewers() -> None:
    scene = Scene()
    viewer = scene.view()
    crowd: dict[TransportId, Viewer] = {
        TransportId(number): scene.stream.viewers[viewer] for number in range(1, MAX_VIEWERS + 1)
    }
    scene.stream = replace(scene.stream, viewers=crowd)
    with pytest.raises(TooMany):
        scene.view()


def test_a_stream_that_stops_says_so_closes_everything_and_is_empty() -> None:
    scene = Scene()
    publisher = live(scene, events=frozenset({"stopped"}))
    viewer, other = scene.view(), scene.view(events=frozenset({"active"}))
    effects = scene.take(lifecycle.stop(scene.stream))
    assert scene.heard(viewer)[-1] == scene.heard(publisher.transport)[-1] == Stopped(KEY)
    assert Stopped(KEY) not in scene.heard(other)
    for transport in (publisher.transport, viewer, other):
        assert CloseTransport(transport) in effects
        assert HangUp(transport) in effects
    assert scene.stream.is_empty


# --- A full stream ----------------------------------------------------------------------------------------------


def test_in_a_full_stream_the_oldest_anonymous_viewer_that_is_not_connected_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(viewing, "MAX_VIEWERS", 3)
    scene = Scene()
    first, connected, pending = (scene.view(is_anonymous=anonymous) for anonymous in (False, True, True))
    scene.media(TransportConnected(connected, "GCM"))
    newcomer = scene.view()
    assert set(scene.stream.viewers) == {first, connected, newcomer}
    assert {CloseTransport(pending), HangUp(pending)} <= set(scene.effects)
    with pytest.raises(TooMany):
        scene.view()
