"""Publishers come, send, stall, take over and go."""

import pytest
from tests.scene import AUDIO, KEY, VIDEO, Scene, live, main_bind

from rostra.model import publishing
from rostra.model.effects import (
    Active,
    AnnouncedTrack,
    HangUp,
    Inactive,
    Leading,
    SourceEnded,
    SourceStarted,
    ViewerCount,
)
from rostra.model.ids import TrackName
from rostra.model.media import (
    BindSlot,
    CloseReason,
    CloseTransport,
    Codec,
    CodecSpec,
    Mid,
    OpenTransport,
    RefusalCode,
    Rejected,
    SlotBound,
    TrackStarted,
    TransportClosed,
    TransportId,
    TransportResumed,
    TransportStalled,
    UnbindSlot,
)
from rostra.model.refused import MultisourceNotAllowed, TooMany
from rostra.model.stream import MAX_FEEDS, MAX_SOURCES, Source

BOTH = (AnnouncedTrack(TrackName("video"), VIDEO), AnnouncedTrack(TrackName("audio"), AUDIO))


def test_a_publisher_opens_its_transport_and_nobody_hears_of_it_before_its_first_packet() -> None:
    scene = Scene()
    viewer = scene.view()
    publisher = scene.publish()
    assert isinstance(scene.effects[-1], OpenTransport)
    publisher.connect()
    assert Active not in map(type, scene.heard(viewer))


def test_the_first_packet_of_any_track_makes_the_source_active_with_all_negotiated_tracks() -> None:
    scene = Scene()
    viewer = scene.view()
    publisher = scene.publish("cam")
    publisher.start(1)
    assert scene.heard(viewer)[-1] == Active(KEY, publisher.scene.stream.feed(publisher.transport).source, BOTH)
    assert SourceStarted(KEY, "cam") in scene.effects
    before = len(scene.heard(viewer))
    publisher.start(0)
    publisher.start(0)
    assert len(scene.heard(viewer)) == before


def test_tracks_of_one_kind_are_numbered_from_the_second_on() -> None:
    scene = Scene()
    viewer = scene.view()
    live(scene, kinds=(AUDIO, VIDEO, VIDEO, AUDIO))
    (active,) = [event for event in scene.heard(viewer) if isinstance(event, Active)]
    assert [track.name for track in active.tracks] == ["audio", "video", "video-1", "audio-1"]


def test_a_started_track_is_shown_where_it_is_wanted_and_another_one_nowhere() -> None:
    scene = Scene()
    viewer, other = scene.view(), scene.view(pinned="cam")
    publisher = scene.publish()
    assert publisher.start(0)[0] == main_bind(viewer, "0", publisher.tracks[0])
    assert scene.shows(viewer) == {"0": publisher.tracks[0], "1": None}
    publisher.start(1)
    assert scene.shows(viewer) == {"0": publisher.tracks[0], "1": publisher.tracks[1]}
    assert scene.shows(other) == {"0": None, "1": None}


def test_when_the_last_feed_leaves_the_source_is_inactive_at_once_and_no_slot_keeps_it() -> None:
    scene = Scene()
    viewer = scene.view()
    publisher = live(scene)
    effects = scene.leave(publisher.transport)
    assert scene.heard(viewer)[-1] == Inactive(KEY, None)
    assert SourceEnded(KEY, None) in effects
    assert effects[-1] == CloseTransport(publisher.transport)
    # Also what the media plane let go of by itself: it may have waited to replace something that is still there.
    orders = [effect for effect in effects if isinstance(effect, BindSlot | UnbindSlot)]
    assert orders == [UnbindSlot(viewer, Mid("0")), UnbindSlot(viewer, Mid("1"))]
    assert scene.shows(viewer) == {"0": None, "1": None}
    assert scene.stream.sources == {}


def test_a_source_that_returns_is_shown_again_where_it_was() -> None:
    scene = Scene()
    viewer = scene.view()
    scene.leave(live(scene).transport)
    again = live(scene)
    assert scene.shows(viewer) == {"0": again.tracks[0], "1": again.tracks[1]}
    assert [type(event).__name__ for event in scene.heard(viewer) if type(event) in (Active, Inactive)] == [
        "Active",
        "Inactive",
        "Active",
    ]


def test_a_takeover_changes_each_track_when_the_new_one_has_started_and_says_nothing() -> None:
    scene = Scene()
    viewer = scene.view()
    old = live(scene)
    heard = scene.heard(viewer)
    new = scene.publish()
    assert new.connect() == []
    assert scene.shows(viewer) == {"0": old.tracks[0], "1": old.tracks[1]}
    assert new.start(1) == [main_bind(viewer, "1", new.tracks[1])]
    assert scene.shows(viewer) == {"0": old.tracks[0], "1": new.tracks[1]}
    assert new.start(0) == [main_bind(viewer, "0", new.tracks[0])]
    scene.leave(old.transport)
    assert scene.heard(viewer) == heard
    assert scene.shows(viewer) == {"0": new.tracks[0], "1": new.tracks[1]}


def test_the_old_feed_of_a_takeover_is_the_fallback_bound_before_the_new_one_closes() -> None:
    scene = Scene()
    viewer = scene.view()
    old, new = live(scene), live(scene)
    heard = scene.heard(viewer)
    effects = scene.leave(new.transport)
    assert effects == [
        main_bind(viewer, "0", old.tracks[0]),
        main_bind(viewer, "1", old.tracks[1]),
        CloseTransport(new.transport),
    ]
    assert scene.heard(viewer) == heard


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [(None, None, 1), (5, None, 0), (None, -3, 1), (5, 5, 1), (5, 6, 1), (6, 5, 0), (-2, -1, 1)],
)
def test_higher_priority_wins_then_the_newest(first: int | None, second: int | None, winner: int) -> None:
    scene = Scene()
    viewer = scene.view()
    feeds = (live(scene, priority=first), live(scene, priority=second))
    assert scene.shows(viewer)["0"] == feeds[winner].tracks[0]


def test_a_feed_that_stalls_is_replaced_and_takes_its_place_back() -> None:
    scene = Scene()
    viewer = scene.view()
    low, high = live(scene), live(scene, priority=1)
    heard = scene.heard(viewer)
    scene.media(TransportStalled(high.transport))
    assert scene.shows(viewer) == {"0": low.tracks[0], "1": low.tracks[1]}
    scene.media(TransportResumed(high.transport))
    assert scene.shows(viewer) == {"0": high.tracks[0], "1": high.tracks[1]}
    assert scene.heard(viewer) == heard


def test_the_only_feed_stays_when_it_stalls() -> None:
    scene = Scene()
    viewer = scene.view()
    publisher = live(scene)
    assert scene.media(TransportStalled(publisher.transport)) == []
    assert scene.shows(viewer)["0"] == publisher.tracks[0]


def test_a_live_feed_without_the_track_takes_it_away() -> None:
    scene = Scene()
    viewer = scene.view()
    live(scene)
    sound = scene.publish(kinds=(AUDIO,))
    assert set(sound.start()) == {UnbindSlot(viewer, Mid("0")), main_bind(viewer, "1", sound.tracks[0])}
    assert scene.shows(viewer) == {"0": None, "1": sound.tracks[0]}


def test_a_viewer_keeps_the_feed_that_it_can_decode() -> None:
    scene = Scene()
    viewer = scene.view(video=(CodecSpec(96, Codec.VP8),))
    old = live(scene)
    new = live(scene, codec=Codec.AV1)
    assert scene.shows(viewer) == {"0": old.tracks[0], "1": new.tracks[1]}


def test_a_source_moves_to_a_connected_feed_without_inactive() -> None:
    scene = Scene()
    viewer = scene.view()
    old, new = live(scene), scene.publish()
    new.connect()
    heard = scene.heard(viewer)
    scene.leave(old.transport)
    assert scene.shows(viewer) == {"0": None, "1": None}
    new.start()
    assert scene.heard(viewer) == heard
    assert scene.shows(viewer)["0"] == new.tracks[0]


def test_a_feed_that_is_not_connected_holds_nothing() -> None:
    scene = Scene()
    viewer = scene.view()
    old = live(scene)
    scene.publish()
    scene.leave(old.transport)
    assert scene.heard(viewer)[-1] == Inactive(KEY, None)


def test_a_connected_feed_that_never_sends_ends_the_source_when_it_goes() -> None:
    scene = Scene()
    viewer = scene.view()
    old, new = live(scene), scene.publish()
    new.connect()
    scene.leave(old.transport)
    scene.media(TransportClosed(new.transport, CloseReason.CONSENT_LOST))
    assert scene.heard(viewer)[-1] == Inactive(KEY, None)


def test_a_transport_that_ends_takes_its_feed_along_and_hangs_up() -> None:
    scene = Scene()
    viewer = scene.view()
    publisher = live(scene)
    effects = scene.media(TransportClosed(publisher.transport, CloseReason.PEER_CLOSED))
    assert effects[-1] == HangUp(publisher.transport)
    assert scene.heard(viewer)[-1] == Inactive(KEY, None)


def test_a_feed_that_the_media_plane_refuses_is_gone() -> None:
    scene = Scene()
    publisher = scene.publish()
    effects = scene.media(Rejected(publisher.transport, None, RefusalCode.TOO_MANY))
    assert effects == [HangUp(publisher.transport)]
    assert scene.stream.is_empty


def test_a_lost_socket_leaves_media_alive_until_it_stalls() -> None:
    scene = Scene()
    viewer = scene.view()
    publisher = live(scene)
    assert scene.detach(publisher.transport) == []
    assert scene.shows(viewer)["0"] == publisher.tracks[0]
    effects = scene.media(TransportStalled(publisher.transport))
    assert effects[-1] == CloseTransport(publisher.transport)
    assert scene.heard(viewer)[-1] == Inactive(KEY, None)


def test_a_lost_socket_ends_a_feed_whose_media_has_stalled_or_never_came() -> None:
    scene = Scene()
    silent, stalled = scene.publish(), live(scene)
    scene.media(TransportStalled(stalled.transport))
    assert scene.detach(silent.transport) == [CloseTransport(silent.transport)]
    assert scene.detach(stalled.transport)[-1] == CloseTransport(stalled.transport)
    assert scene.stream.is_empty


def test_a_named_source_needs_a_multisource_token() -> None:
    scene = Scene()
    with pytest.raises(MultisourceNotAllowed):
        scene.publish("cam", multisource=False)
    scene.publish(multisource=False)


def test_a_source_has_a_most_of_feeds_and_a_stream_of_sources() -> None:
    scene = Scene()
    for _ in range(MAX_FEEDS):
        scene.publish("cam")
    with pytest.raises(TooMany):
        scene.publish("cam")
    for number in range(MAX_SOURCES - 1):
        scene.publish(f"cam{number}")
    with pytest.raises(TooMany):
        scene.publish("one more")
    scene.publish("cam0")


def test_a_publisher_that_asked_hears_of_the_first_viewer_and_of_the_last() -> None:
    scene = Scene()
    curious = scene.publish(events=frozenset({"active", "inactive", "viewercount"}))
    silent = scene.publish("cam")
    first, second = scene.view(), scene.view()
    scene.tick()
    scene.leave(first)
    scene.leave(second)
    scene.tick()
    names = [event.name for event in scene.heard(curious.transport)]
    assert names == ["active", "viewercount", "viewercount", "inactive", "viewercount"]
    assert scene.heard(silent.transport) == []


def test_a_publisher_that_comes_later_hears_that_somebody_watches() -> None:
    scene = Scene()
    scene.view()
    curious = scene.publish(events=frozenset({"active"}))
    assert [event.name for event in scene.heard(curious.transport)] == ["active"]
    assert publishing.announce(scene.stream, TransportId(99)).effects == ()


def test_facts_about_slots_mean_nothing_to_a_feed() -> None:
    scene = Scene()
    publisher = live(scene)
    assert scene.media(SlotBound(publisher.transport, Mid("0"), publisher.tracks[0])) == []


def test_facts_about_who_left_change_nothing() -> None:
    scene = Scene()
    before = scene.stream
    gone = TransportId(7)
    assert scene.media(TrackStarted(gone, live(Scene()).tracks[0])) == []
    assert scene.leave(gone) == []
    assert scene.detach(gone) == []
    assert scene.stream == before


def test_a_stream_is_public_when_all_its_feeds_are() -> None:
    scene = Scene()
    live(scene)
    assert scene.stream.is_public
    live(scene, "cam", is_public=False)
    assert not scene.stream.is_public


def test_a_stream_is_published_as_soon_as_a_publisher_is_connected() -> None:
    scene = Scene()
    publisher = scene.publish()
    assert not scene.stream.is_published
    publisher.connect()
    assert scene.stream.is_published


def test_a_source_without_feeds_has_no_tracks() -> None:
    assert Source(None).active(KEY).tracks == ()


LEADING = frozenset({"leading"})


def leads(scene: Scene, transport: TransportId) -> list[bool]:
    return [event.leading for event in scene.heard(transport) if isinstance(event, Leading)]


def test_a_publisher_that_is_replaced_is_told_and_told_again_when_it_leads_again() -> None:
    scene = Scene()
    first = live(scene, events=LEADING)
    assert leads(scene, first.transport) == []
    second = scene.publish(events=LEADING)
    assert leads(scene, first.transport) == []
    second.start(0)
    assert scene.heard(first.transport) == [Leading(KEY, None, leading=False)]
    second.start(1)
    scene.leave(second.transport)
    assert leads(scene, first.transport) == [False, True]
    assert leads(scene, second.transport) == []


def test_a_publisher_that_sends_in_reserve_is_told_and_told_when_the_leading_one_stalls() -> None:
    scene = Scene()
    main = live(scene, priority=5, events=LEADING)
    reserve = live(scene, priority=1, events=LEADING)
    silent = live(scene)
    assert leads(scene, reserve.transport) == [False]
    scene.media(TransportStalled(main.transport))
    assert leads(scene, main.transport) == [False]
    assert leads(scene, reserve.transport) == [False, True]
    scene.media(TransportResumed(main.transport))
    assert leads(scene, main.transport) == [False, True]
    assert leads(scene, reserve.transport) == [False, True, False]
    assert scene.heard(silent.transport) == []


def test_a_publisher_that_comes_while_somebody_watches_hears_how_many() -> None:
    scene = Scene()
    scene.view()
    scene.view()
    counting = scene.publish(events=frozenset({"viewercount"}))
    assert scene.heard(counting.transport) == [ViewerCount(KEY, 2)]
