"""What comes in by a feed, and what is wrong with it."""

from dataclasses import replace

import pytest

from rostra.facts import MAX_REFUSALS, MAX_REFUSED_STREAMS_OF_ACCOUNT, Refusals
from rostra.model.ids import AccountId, SourceId, StreamKey, StreamName, TrackName
from rostra.model.incoming import CURRENT_S, MAX_PROBLEMS, State, TurnedAway, incoming, measured, note
from rostra.model.media import Codec, EncodingReport, GroupId, Kind, TrackId, TrackLayers, TransportId, TransportReport
from rostra.model.stream import Door, Feed, FeedTrack, Problem, Source, Stream

KEY = StreamKey(AccountId("a"), StreamName("demo"))
SOUND = FeedTrack(TrackId(1), TrackName("audio"), Kind.AUDIO, frozenset({Codec.OPUS}), started=True)
PICTURE = FeedTrack(TrackId(2), TrackName("video"), Kind.VIDEO, frozenset({Codec.H264}), started=True)
FEED = Feed(TransportId(7), None, (SOUND, PICTURE), 1, connected=True)
FINE = TransportReport(60_000_000, 1, 2, 3, 4)


def stream(*feeds: Feed) -> Stream:
    sources = {feed.source: Source(feed.source, (feed,), live=True) for feed in feeds}
    return Stream(KEY, GroupId(1), sources=sources)


def codes(feed: Feed, report: TransportReport | None = FINE, *, now_s: float = 1000.0) -> list[str]:
    reports = {feed.transport: report} if report is not None else {}
    (found,) = incoming(stream(feed), {}, reports, now_s=now_s, address="127.0.0.1:8081")
    return [one.code for one in found.troubles]


def test_a_feed_that_does_well_has_no_problems() -> None:
    assert codes(FEED) == []
    assert codes(FEED, None) == []


def test_a_picture_that_flows_for_ten_seconds_without_a_key_frame_is_a_problem() -> None:
    late = replace(FINE, first_packet_us=1_000_000, first_key_frame_us=None)
    assert codes(FEED, replace(late, age_us=10_999_999)) == []
    assert codes(FEED, replace(late, age_us=11_000_000)) == ["no_key_frame"]


def test_a_picture_without_sound_is_a_hint_and_no_error() -> None:
    alone = replace(FEED, tracks=(PICTURE,))
    (found,) = incoming(stream(alone), {}, {}, now_s=0.0, address="x")
    assert [(one.code, one.is_hint) for one in found.troubles] == [("no_audio", True)]
    assert codes(replace(FEED, tracks=(SOUND,))) == []


def test_sound_that_was_announced_and_does_not_come_is_a_hint_after_three_seconds() -> None:
    silent = replace(FEED, tracks=(replace(SOUND, started=False), PICTURE))
    assert codes(silent, replace(FINE, age_us=2_999_999)) == []
    assert codes(silent) == ["no_audio"]


def test_a_picture_that_was_announced_and_does_not_come_is_a_hint_after_three_seconds() -> None:
    dark = replace(FEED, tracks=(SOUND, replace(PICTURE, started=False)))
    report = replace(FINE, first_key_frame_us=None)
    assert codes(dark, replace(report, age_us=2_999_999)) == []
    assert codes(dark, report) == ["no_video"]
    (found,) = incoming(stream(dark), {}, {dark.transport: report}, now_s=0.0, address="x")
    assert [one.is_hint for one in found.troubles] == [True]


def test_a_feed_that_never_came_up_says_at_which_step_it_hangs() -> None:
    tracks = tuple(replace(track, started=False) for track in (SOUND, PICTURE))
    waiting = replace(FEED, tracks=tracks, connected=False)
    assert codes(waiting, TransportReport(2_000_000)) == []
    assert codes(waiting, TransportReport(5_000_000)) == ["no_ice_check"]
    assert codes(waiting, TransportReport(5_000_000, ice_us=1)) == ["no_handshake"]
    (found,) = incoming(stream(waiting), {}, {}, now_s=0.0, address="x")
    assert found.state is State.WAITING


def test_a_feed_from_which_nothing_arrives_is_stalled() -> None:
    assert codes(replace(FEED, stalled=True)) == ["stalled"]
    assert codes(replace(FEED, stalled=True), replace(FINE, first_key_frame_us=None)) == ["stalled"]


def test_what_somebody_said_of_a_feed_is_shown_until_it_is_not_said_again() -> None:
    problem = Problem("b_frames", "set bframes=0", 1000.0)
    told = note(stream(FEED), FEED, problem).stream.sources[None].feeds[0]
    assert codes(told) == ["b_frames"]
    assert codes(told, now_s=1000.0 + CURRENT_S) == []


def test_the_newest_word_of_each_code_counts_and_old_codes_make_room() -> None:
    state = stream(FEED)
    for number in range(40):
        for code in ("again", f"code-{number}"):
            feed = state.sources[None].feeds[0]
            state = note(state, feed, Problem(code, "", float(number))).stream
    problems = state.sources[None].feeds[0].problems
    assert len(problems) == MAX_PROBLEMS
    assert [one.at_s for one in problems if one.code == "again"] == [39.0]


def test_a_problem_that_is_said_and_seen_is_shown_once() -> None:
    feed = replace(FEED, tracks=(PICTURE,), problems=(Problem("no_audio", "No sound comes", 1000.0),))
    assert codes(feed) == ["no_audio"]


@pytest.mark.parametrize("interval_ms", [0, 2000])
def test_the_distance_of_key_frames_is_kept_with_the_feed(interval_ms: int) -> None:
    decision = measured(stream(FEED), FEED, interval_ms)
    assert decision.stream.sources[None].feeds[0].key_frame_ms == interval_ms
    assert decision.effects == ()


def test_the_main_source_comes_first_with_its_largest_picture_and_all_of_its_bits() -> None:
    camera = replace(FEED, transport=TransportId(8), source=SourceId("cam"), door=Door.WHIP)
    layers = TrackLayers(
        PICTURE.track,
        (
            EncodingReport(active=True, codec=Codec.H264, bitrate_bps=100, width=320, height=180, fps=30),
            EncodingReport(active=True, codec=Codec.H264, bitrate_bps=900, width=1280, height=720, fps=30),
            EncodingReport(active=False, codec=Codec.H264, bitrate_bps=7, width=1920, height=1080),
        ),
    )
    found = incoming(stream(camera, FEED), {PICTURE.track: layers}, {}, now_s=0.0, address="x")
    assert [(one.feed.source, one.feed.door) for one in found] == [(None, Door.SOCKET), ("cam", Door.WHIP)]
    assert found[0].best is not None
    assert (found[0].best.width, found[0].bitrate_bps, found[0].sound, found[0].leads) == (1280, 1000, Codec.OPUS, True)


@pytest.mark.parametrize(("reordered", "expected"), [(1, []), (20, ["b_frames"])])
def test_pictures_out_of_order_are_b_frames(reordered: int, expected: list[str]) -> None:
    flows = EncodingReport(active=True, codec=Codec.H264, fps=30, reordered=reordered)
    layers = {PICTURE.track: TrackLayers(PICTURE.track, (flows,))}
    (found,) = incoming(stream(FEED), layers, {}, now_s=0.0, address="x")
    assert [one.code for one in found.troubles] == expected


def test_those_who_were_turned_away_are_kept_for_the_streams_where_it_happened_last() -> None:
    refusals = Refusals()
    other = StreamKey(AccountId("b"), StreamName("s"))
    refusals.add(other, TurnedAway(Door.RTMP, None, Problem("unsupported_codec", "", 9.0)))
    for number in range(MAX_REFUSED_STREAMS_OF_ACCOUNT + 1):
        key = StreamKey(AccountId("a"), StreamName(f"s{number}"))
        for second in range(MAX_REFUSALS + 1):
            refusals.add(key, TurnedAway(Door.RTMP, None, Problem("unsupported_codec", "", float(second))))
    assert refusals.of(StreamKey(AccountId("a"), StreamName("s0")), after_s=-1.0) == ()
    assert [one.problem.at_s for one in refusals.of(key, after_s=-1.0)] == [1.0, 2.0, 3.0, 4.0]
    assert [one.problem.at_s for one in refusals.of(key, after_s=3.0)] == [4.0]
    assert len(refusals.of(other, after_s=-1.0)) == 1, "another account pays for nobody"
