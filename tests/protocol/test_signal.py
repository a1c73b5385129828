"""Signalling messages as text and as values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scene import KEY, show, source

from rostra.model.bandwidth import BandwidthWish
from rostra.model.effects import (
    Active,
    AnnouncedTrack,
    Inactive,
    Leading,
    Speaking,
    Stopped,
    Unwatched,
    Vad,
    ViewerCount,
    Watched,
)
from rostra.model.ids import TrackName
from rostra.model.layers import AUTOMATIC, LayerWish
from rostra.model.media import Codec, Kind, Mid, PlayoutDelay, Strategy
from rostra.model.viewing import DEFAULT_EVENTS
from rostra.protocol import signal

TRACKS = (AnnouncedTrack(TrackName("video"), Kind.VIDEO), AnnouncedTrack(TrackName("audio"), Kind.AUDIO))


def command(name: str, data: object) -> signal.Command:
    number, decoded = signal.decode(json.dumps({"type": "cmd", "transId": 3, "name": name, "data": data}))
    assert number == 3
    return decoded


def test_the_longest_publish_is_understood() -> None:
    data = {"name": "demo", "sdp": "v=0", "codec": "VP8", "sourceId": "cam1", "priority": 5, "record": True}
    publish = command("publish", {**data, "events": ["active"], "unknown": {}})
    assert publish == signal.Publish("v=0", "VP8", "cam1", 5, ["active"])
    assert publish.video_codec() is Codec.VP8


def test_h264_is_the_default() -> None:
    publish = command("publish", {"sdp": "v=0"})
    assert isinstance(publish, signal.Publish)
    assert publish.video_codec() is Codec.H264


@pytest.mark.parametrize("codec", ["opus", "h265", "", "vp8 "])
def test_other_codecs_are_refused(codec: str) -> None:
    with pytest.raises(signal.FieldError):
        signal.Publish("v=0", codec).video_codec()


def test_a_view_without_events_wants_the_default_ones() -> None:
    old, none = signal.View("v=0"), signal.View("v=0", [])
    assert old.wanted_events() == DEFAULT_EVENTS
    assert none.wanted_events() == frozenset()


def viewed(**data: object) -> signal.View:
    view = command("view", {"sdp": "v=0", **data})
    assert isinstance(view, signal.View)
    return view


def test_a_view_of_an_old_client_says_nothing_of_layers_and_bandwidth() -> None:
    view = viewed(streamId="demo", vad=True, excludedSourceIds=None)
    assert view.wanted_layer() == AUTOMATIC
    assert view.wanted_bandwidth() == BandwidthWish()
    assert view.wanted_playout_delay() is None


def test_the_shapes_of_view_of_all_clients_are_understood() -> None:
    modern = viewed(
        events=["active", "vad"],
        pinnedSourceId="cam",
        layer={"encodingId": "1", "maxHeight": 360},
        abr={"initialBitrate": 2_000_000, "strategy": "quality", "forceSmooth": True},
        customKeys={"maxBitrate": 4_000_000, "theirs": [1]},
        forcePlayoutDelay={"min": 100, "max": 1000},
    )
    assert (modern.wanted_events(), modern.pinned_source_id) == (frozenset({"active", "vad"}), "cam")
    assert modern.wanted_layer() == LayerWish(encoding="1", max_height=360)
    assert modern.wanted_bandwidth() == BandwidthWish(2_000_000, 4_000_000, Strategy.QUALITY, smooth=True)
    assert modern.wanted_playout_delay() == PlayoutDelay(100, 1000)


def test_what_0_5_spread_beside_the_offer_is_understood() -> None:
    view = viewed(forceSmooth=True, maxBitrate=500_000, theirs={"any": "thing"})
    assert view.wanted_bandwidth() == BandwidthWish(max_bps=500_000, smooth=True)


def test_an_initial_bitrate_within_metadata_is_understood() -> None:
    for name in ("abr", "abrConfiguration"):
        view = viewed(**{name: {"metadata": {"bitrate": 700_000}, "strategy": "performance"}})
        assert view.wanted_bandwidth() == BandwidthWish(700_000, None, Strategy.PERFORMANCE)


def test_limits_beside_the_layer_hold_where_the_layer_says_nothing() -> None:
    assert viewed(maxWidth=640, maxHeight=0).wanted_layer() == LayerWish(max_width=640)
    assert viewed(maxWidth=640, layer={"maxWidth": 320}).wanted_layer() == LayerWish(max_width=320)


def test_a_view_says_whose_voices_it_wants() -> None:
    plain = viewed()
    assert (plain.wants_voices(), plain.excluded()) == (False, frozenset())
    assert viewed(vad=None, excludedSourceIds=None).excluded() == frozenset()
    full = viewed(vad=True, excludedSourceIds=["me", "my phone", "me"])
    assert (full.wants_voices(), full.excluded()) == (True, {"me", "my phone"})
    assert viewed(excludedSourceIds=["", None]).excluded() == {None}
    with pytest.raises(signal.FieldError, match="Invalid vad"):
        viewed(vad="perhaps").wants_voices()
    with pytest.raises(signal.FieldError, match="Invalid sourceId"):
        viewed(excludedSourceIds=["x" * 129]).excluded()


@pytest.mark.parametrize("excluded", ["me", [1], ["x"] * 257])
def test_a_view_that_excludes_what_cannot_be_is_refused(excluded: object) -> None:
    with pytest.raises(signal.SignalError, match="Invalid view"):
        viewed(excludedSourceIds=excluded)


def test_project_takes_lines_as_numbers_as_text_and_not_at_all() -> None:
    project = command(
        "project",
        {
            "mapping": [
                {"media": "video", "mediaId": 0, "layer": {}},
                {"trackId": 1, "mediaId": "2", "layer": {"encodingId": 1}, "promote": True},
                {"media": "audio", "mediaId": None, "trackId": None},
            ]
        },
    )
    assert isinstance(project, signal.Project)
    assert project.source_id is None
    assert project.projections() == (
        show("0", Kind.VIDEO),
        show("2", None, "1", layer=LayerWish(encoding="1"), promote=True),
        show(None, Kind.AUDIO),
    )


def test_unproject_skips_what_is_null() -> None:
    unproject = command("unproject", {"mediaIds": ["2", None, 3]})
    assert isinstance(unproject, signal.Unproject)
    assert unproject.mids() == ("2", "3")


def test_commands_without_data_may_have_any_or_none() -> None:
    for name, kind in (("unpublish", signal.Unpublish), ("unview", signal.Unview), ("unsubscribe", signal.Unview)):
        for data in ({}, None, {"more": 1}):
            assert command(name, data) == kind()
    assert signal.decode('{"type":"cmd","transId":0,"name":"unview"}') == (0, signal.Unview())


def test_the_main_source_is_null_or_empty() -> None:
    assert signal.source_id(None) is signal.source_id("") is None
    assert signal.source_id("cam") == "cam"
    for text in ("x" * 129, "a\nb"):
        with pytest.raises(signal.FieldError):
            signal.source_id(text)


@given(st.text() | st.binary())
def test_nothing_but_a_signal_error_comes_of_nonsense(text: str | bytes) -> None:
    with pytest.raises(signal.SignalError):
        signal.decode(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.sampled_from(["publish", "view", "project", "unproject", "select", "unpublish", "other"]),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["sdp", "mapping", "mediaIds", "layer", "events", "codec"], _JSON)
    ),
)
def test_a_command_is_decoded_or_refused_with_its_number(name: str, data: dict[str, object]) -> None:
    refusal = None
    try:
        command(name, data)
    except signal.SignalError as error:
        refusal = (error.trans_id, bool(error.message))
    assert refusal in (None, (3, True))
    assert refusal is not None or name != "other"


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (
            Active(KEY, None, TRACKS),
            "active",
            {
                "streamId": "acc123/demo",
                "sourceId": None,
                "tracks": [{"trackId": "video", "media": "video"}, {"trackId": "audio", "media": "audio"}],
            },
        ),
        (Active(KEY, source("cam"), ()), "active", {"streamId": "acc123/demo", "sourceId": "cam", "tracks": []}),
        (Inactive(KEY, None), "inactive", {"streamId": "acc123/demo", "sourceId": None}),
        (Stopped(KEY), "stopped", {"streamId": "acc123/demo"}),
        (ViewerCount(KEY, 42), "viewercount", {"viewercount": 42}),
        (Watched(KEY), "active", {"streamId": "acc123/demo"}),
        (Unwatched(KEY), "inactive", {"streamId": "acc123/demo"}),
        (
            Leading(KEY, None, leading=False),
            "leading",
            {"streamId": "acc123/demo", "sourceId": None, "leading": False},
        ),
        (Vad(Mid("2"), source("alice")), "vad", {"mediaId": "2", "sourceId": "alice"}),
        (Vad(Mid("2"), None, heard=False), "vad", {"mediaId": "2", "sourceId": None}),
        # Nobody but the main source has no name, and clients of old take null for nobody.
        (Vad(Mid("2"), None), "vad", {"mediaId": "2", "sourceId": None, "main": True}),
        (
            Speaking(((source("alice"), -23), (None, -40))),
            "speakers",
            {"speakers": [{"sourceId": "alice", "level": -23}, {"sourceId": None, "level": -40}]},
        ),
        (Speaking(()), "speakers", {"speakers": []}),
    ],
)
def test_events_have_an_object_for_data(event: signal.SignalEvent, name: str, data: dict[str, object]) -> None:
    assert json.loads(signal.encode_event(event)) == {"type": "event", "name": name, "data": data}


def test_answers_name_their_command() -> None:
    published = signal.Published("v=0", "p", "local", "f", "acc/demo")
    assert json.loads(signal.encode_published(7, published)) == {
        "type": "response",
        "transId": 7,
        "data": {"sdp": "v=0", "publisherId": "p", "clusterId": "local", "feedId": "f", "streamId": "acc/demo"},
    }
    viewed = signal.Viewed("v=0", "s", "local", "v", "acc/demo")
    assert json.loads(signal.encode_viewed(8, viewed))["data"] == {
        "sdp": "v=0",
        "subscriberId": "s",
        "clusterId": "local",
        "streamViewId": "v",
        "streamId": "acc/demo",
    }
    assert json.loads(signal.encode_done(9)) == {"type": "response", "transId": 9}
    assert json.loads(signal.encode_error(None, "no")) == {"type": "error", "transId": None, "data": "no"}
