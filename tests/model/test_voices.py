"""Voices: whose tracks may be heard, and in which m-lines of a viewer."""

import itertools
from dataclasses import replace

from tests.scene import AUDIO, KEY, VIDEO, Publisher, Scene, live, show

from rostra.model import lifecycle
from rostra.model.effects import Effect, Send, Speaking
from rostra.model.ids import SourceId
from rostra.model.media import (
    AddVoice,
    BindSlot,
    GroupId,
    Kind,
    Listen,
    Mid,
    OpenTransport,
    RefusalCode,
    Rejected,
    RemoveVoice,
    SourceKey,
    TrackId,
    TransportClosed,
    TransportId,
    TransportResumed,
    TransportStalled,
    UnbindSlot,
)
from rostra.model.media import CloseReason as Reason
from rostra.model.stream import Stream
from rostra.model.voices import keyed, may_play, tell_speaking

LINES = (VIDEO, AUDIO, AUDIO, AUDIO)


def voices(effects: list[Effect]) -> list[Effect]:
    return [one for one in effects if isinstance(one, AddVoice | RemoveVoice)]


def listens(effects: list[Effect]) -> list[Listen]:
    return [one for one in effects if isinstance(one, Listen)]


def listener(
    scene: Scene, *excluded: str | None, kinds: tuple[Kind, ...] = LINES, pinned: str | None = None
) -> TransportId:
    return scene.view(kinds=kinds, vad=True, excluded=excluded, pinned=pinned)


def key(scene: Scene, name: str | None) -> SourceKey:
    return scene.stream.keys[SourceId(name) if name is not None else None]


def pool(scene: Scene, viewer: TransportId) -> tuple[list[str], set[str | None]]:
    """The m-lines that play voices, and who is not heard there, as the media plane was told last."""
    last = next(one for one in reversed(listens(scene.effects)) if one.transport == viewer)
    names = {key: name for name, key in scene.stream.keys.items()}
    return [str(mid) for mid in last.mids], {names[one] for one in last.excluded}


def candidates(scene: Scene) -> dict[TrackId, SourceKey]:
    """Whom the media plane may choose from, by all that it was told."""
    found: dict[TrackId, SourceKey] = {}
    for effect in scene.effects:
        if isinstance(effect, AddVoice):
            assert effect.group == GroupId(7)
            found[effect.track] = effect.source
        elif isinstance(effect, RemoveVoice):
            del found[effect.track]
    alive = {track.track for feed in scene.stream.feeds for track in feed.tracks}
    return {track: source for track, source in found.items() if track in alive}


# --- The pool -------------------------------------------------------------------------------------------------------


def test_the_pool_is_every_audio_line_behind_the_main_one() -> None:
    scene = Scene()
    assert pool(scene, listener(scene)) == (["2", "3"], {None})
    assert pool(scene, listener(scene, kinds=(AUDIO, AUDIO, VIDEO, AUDIO))) == (["1", "3"], {None})


def test_a_viewer_without_such_lines_or_without_the_wish_has_no_pool() -> None:
    scene = Scene()
    live(scene)
    listener(scene, kinds=(VIDEO, AUDIO))
    listener(scene, kinds=(VIDEO,))
    scene.view(kinds=LINES, excluded=("a",))
    assert listens(scene.effects) == []
    assert voices(scene.effects) == []


def test_the_transport_opens_before_it_listens() -> None:
    scene = Scene()
    alice = live(scene, "alice")
    viewer = listener(scene)
    orders = [one for one in scene.effects if isinstance(one, OpenTransport | AddVoice | Listen)]
    opened, added, listen = orders[-3:]
    assert isinstance(opened, OpenTransport)
    assert added == AddVoice(GroupId(7), alice.tracks[1], key(scene, "alice"))
    assert listen == Listen(viewer, GroupId(7), (Mid("2"), Mid("3")), frozenset({key(scene, None)}))


def test_the_main_line_stays_that_of_the_pinned_source() -> None:
    scene = Scene()
    main = live(scene)
    live(scene, "alice")
    viewer = listener(scene)
    assert scene.shows(viewer) == {"0": main.tracks[0], "1": main.tracks[1], "2": None, "3": None}


# --- Candidates -----------------------------------------------------------------------------------------------------


def test_nothing_is_told_of_voices_before_somebody_listens() -> None:
    scene = Scene()
    alice, bob = live(scene, "alice"), live(scene, "bob", kinds=(VIDEO,))
    silent = scene.publish("silent")
    scene.view(kinds=LINES)
    assert voices(scene.effects) == []
    listener(scene)
    assert candidates(scene) == {alice.tracks[1]: key(scene, "alice")}
    silent.start(1)
    assert candidates(scene).keys() == {alice.tracks[1], silent.tracks[1]}
    assert bob.tracks[0] not in candidates(scene)


def test_listening_begins_once() -> None:
    scene = Scene()
    live(scene, "alice")
    first = listener(scene)
    before = len(scene.effects)
    scene.leave(first)
    listener(scene)
    assert voices(scene.effects[before:]) == []


def test_sound_becomes_a_candidate_with_its_first_packet() -> None:
    scene = Scene()
    listener(scene)
    alice = scene.publish("alice")
    assert voices(alice.connect()) == []
    assert voices(alice.start(0)) == []
    assert voices(alice.start(1)) == [AddVoice(GroupId(7), alice.tracks[1], key(scene, "alice"))]


def test_every_audio_track_of_a_source_is_a_candidate_of_its_one_key() -> None:
    scene = Scene()
    listener(scene)
    band = live(scene, "band", kinds=(AUDIO, VIDEO, AUDIO))
    assert candidates(scene) == {band.tracks[0]: key(scene, "band"), band.tracks[2]: key(scene, "band")}


def test_only_the_feed_that_wins_is_heard_and_the_key_is_that_of_the_source() -> None:
    scene = Scene()
    listener(scene)
    first = live(scene, "alice")
    second = scene.publish("alice")
    assert candidates(scene) == {first.tracks[1]: key(scene, "alice")}
    assert voices(second.start(1)) == [
        RemoveVoice(first.tracks[1]),
        AddVoice(GroupId(7), second.tracks[1], key(scene, "alice")),
    ]
    assert voices(scene.leave(second.transport)) == [AddVoice(GroupId(7), first.tracks[1], key(scene, "alice"))]


def test_a_feed_of_lower_priority_is_no_candidate() -> None:
    scene = Scene()
    listener(scene)
    best = live(scene, "alice", priority=2)
    other = live(scene, "alice", priority=1)
    assert set(candidates(scene)) == {best.tracks[1]}
    scene.media(TransportStalled(best.transport))
    assert set(candidates(scene)) == {other.tracks[1]}
    scene.media(TransportResumed(best.transport))
    assert set(candidates(scene)) == {best.tracks[1]}


def test_a_track_that_ended_leaves_by_itself() -> None:
    scene = Scene()
    listener(scene)
    alice = live(scene, "alice")
    assert voices(scene.media(TransportClosed(alice.transport, Reason.PEER_CLOSED))) == []
    bob = live(scene, "bob")
    assert voices(scene.leave(bob.transport)) == []
    assert candidates(scene) == {}


def test_a_source_that_returns_has_the_key_it_had() -> None:
    scene = Scene()
    listener(scene)
    alice = live(scene, "alice")
    before = key(scene, "alice")
    scene.leave(alice.transport)
    again = live(scene, "alice")
    assert candidates(scene) == {again.tracks[1]: before}


def test_a_voice_that_is_refused_ends_nobody() -> None:
    scene = Scene()
    listener(scene)
    live(scene, "alice")
    before = scene.stream
    assert scene.media(Rejected(None, None, RefusalCode.UNKNOWN_TRACK)) == []
    assert scene.stream is before


# --- Who is not heard -----------------------------------------------------------------------------------------------


def test_a_source_that_is_excluded_by_name_has_its_key_before_it_comes() -> None:
    scene = Scene()
    viewer = listener(scene, "me")
    assert pool(scene, viewer)[1] == {None, "me"}
    before = key(scene, "me")
    effects = len(scene.effects)
    me = live(scene, "me")
    assert candidates(scene) == {me.tracks[1]: before}
    assert listens(scene.effects[effects:]) == []


def test_the_pinned_source_is_not_heard_twice_and_the_main_one_is_heard_then() -> None:
    scene = Scene()
    viewer = listener(scene, pinned="host")
    assert pool(scene, viewer)[1] == {"host"}


def test_the_main_source_can_be_excluded_by_name() -> None:
    scene = Scene()
    assert pool(scene, listener(scene, None, "me", pinned="host"))[1] == {None, "host", "me"}


def test_whoever_is_projected_onto_the_main_line_changes_places_with_who_was_there() -> None:
    scene = Scene()
    live(scene)
    bob = live(scene, "bob")
    viewer = listener(scene)
    effects = scene.project(viewer, "bob", show(None, AUDIO))
    # The pool lets go of him before he is bound.
    assert effects == [
        Listen(viewer, GroupId(7), (Mid("2"), Mid("3")), frozenset({key(scene, "bob")})),
        BindSlot(viewer, Mid("1"), bob.tracks[1]),
    ]
    scene.project(viewer, None, show(None, AUDIO))
    assert pool(scene, viewer) == (["2", "3"], {None})


def test_the_pinned_source_stays_away_when_its_own_line_was_silenced() -> None:
    scene = Scene()
    live(scene)
    live(scene, "bob")
    viewer = listener(scene)
    assert listens(scene.unproject(viewer, "1")) == []
    scene.project(viewer, "bob", show("1", AUDIO))
    assert pool(scene, viewer)[1] == {"bob"}
    scene.unproject(viewer, "1")
    assert pool(scene, viewer)[1] == {None}


def test_a_picture_is_no_reason_not_to_be_heard() -> None:
    scene = Scene()
    live(scene)
    live(scene, "bob")
    viewer = listener(scene)
    assert listens(scene.project(viewer, "bob", show("0", VIDEO))) == []


# --- Projections onto the pool --------------------------------------------------------------------------------------


def test_a_projection_takes_its_line_out_of_the_pool_and_its_source_out_of_the_voices() -> None:
    scene = Scene()
    bob = live(scene, "bob")
    viewer = listener(scene)
    effects = scene.project(viewer, "bob", show("2", AUDIO))
    assert effects == [
        Listen(viewer, GroupId(7), (Mid("3"),), frozenset({key(scene, None), key(scene, "bob")})),
        BindSlot(viewer, Mid("2"), bob.tracks[1]),
    ]
    assert listens(scene.project(viewer, "bob", show("2", AUDIO))) == []


def test_an_unprojected_line_is_given_back_and_so_is_its_source() -> None:
    scene = Scene()
    live(scene, "bob")
    viewer = listener(scene)
    scene.project(viewer, "bob", show("2", AUDIO))
    assert scene.unproject(viewer, "2") == [
        UnbindSlot(viewer, Mid("2")),
        Listen(viewer, GroupId(7), (Mid("2"), Mid("3")), frozenset({key(scene, None)})),
    ]


def test_unproject_of_a_line_that_plays_voices_changes_nothing() -> None:
    scene = Scene()
    viewer = listener(scene)
    assert scene.unproject(viewer, "2", "3", "9") == []


def test_a_line_stays_out_of_the_pool_while_its_source_is_away() -> None:
    scene = Scene()
    bob = live(scene, "bob")
    viewer = listener(scene)
    scene.project(viewer, "bob", show("2", AUDIO))
    before = len(scene.effects)
    scene.leave(bob.transport)
    again = live(scene, "bob")
    assert listens(scene.effects[before:]) == []
    assert scene.shows(viewer)["2"] == again.tracks[1]


def test_a_pool_that_is_projected_full_ends() -> None:
    scene = Scene()
    live(scene, "bob")
    viewer = listener(scene)
    scene.project(viewer, "bob", show("2", AUDIO), show("3", AUDIO))
    assert pool(scene, viewer)[0] == []


def test_lines_that_are_added_later_are_not_of_the_pool() -> None:
    scene = Scene()
    live(scene, "bob")
    viewer = listener(scene)
    scene.project(viewer, "bob", show("7", AUDIO))
    assert pool(scene, viewer) == (["2", "3"], {None, "bob"})
    scene.unproject(viewer, "7")
    assert pool(scene, viewer) == (["2", "3"], {None})


def test_news_of_a_line_that_was_projected_meanwhile_are_late() -> None:
    scene = Scene()
    live(scene, "bob")
    viewer = scene.view(kinds=LINES, vad=True, events=frozenset({"vad"}))
    deaf = listener(scene)
    scene.project(viewer, "bob", show("2", AUDIO))
    (one, other) = (scene.stream.viewers[transport] for transport in (viewer, deaf))
    assert [may_play(one, Mid(mid)) for mid in "1239"] == [False, False, True, False]
    assert not may_play(other, Mid("3"))


# --- Keys -----------------------------------------------------------------------------------------------------------


def test_keys_of_names_that_nobody_mentions_any_more_are_forgotten_in_the_end() -> None:
    scene = Scene()
    live(scene, "alice")
    viewer = listener(scene, "me")
    kept = {name: key(scene, name) for name in (None, "alice", "me")}
    for number in range(3000):
        scene.leave(listener(scene, f"guest{number}"))
    assert len(scene.stream.keys) < 1100
    assert {name: key(scene, name) for name in kept} == kept
    assert pool(scene, viewer)[1] == {None, "me"}


def test_no_two_sources_ever_share_a_key() -> None:
    stream = Stream(KEY, GroupId(1))
    names = [SourceId(str(number)) for number in range(50)]
    fresh = itertools.count(1)
    for start in range(0, 50, 5):
        stream = keyed(stream, names[: start + 5], fresh)
    assert sorted(stream.keys.values()) == list(range(1, 51))
    assert keyed(stream, names, fresh) is stream


# --- Who speaks -----------------------------------------------------------------------------------------------------


def test_who_speaks_is_told_to_those_who_ask_viewers_and_publishers() -> None:
    scene = Scene()
    asks = frozenset({"speakers"})
    viewer = scene.view(events=asks)
    scene.view()
    host: Publisher = scene.publish("host", events=asks)
    scene.publish("guest")
    event = Speaking(((SourceId("host"), -20),))
    assert tell_speaking(scene.stream, event) == (Send((viewer, host.transport), event),)
    scene.leave(viewer)
    scene.leave(host.transport)
    assert tell_speaking(scene.stream, event) == ()


def test_whoever_asks_who_speaks_makes_tracks_candidates() -> None:
    for asks in (
        lambda scene: scene.view(events=frozenset({"speakers"})),
        lambda scene: scene.publish("host", events=frozenset({"speakers"})),
    ):
        scene = Scene()
        alice = live(scene, "alice")
        asks(scene)
        assert set(candidates(scene)) == {alice.tracks[1]}


def test_a_viewer_that_has_no_answer_yet_hears_of_nobody() -> None:
    scene = Scene()
    viewer = scene.view(events=frozenset({"speakers"}))
    former = scene.stream.viewers[viewer]
    stream = replace(scene.stream, viewers={viewer: replace(former, announced=False)})
    assert tell_speaking(stream, Speaking(())) == ()
    assert lifecycle.leave(stream, viewer).stream.is_empty
