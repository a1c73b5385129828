"""Server-sent events as text."""

import json

import pytest
from tests.scene import KEY

from rostra.model.effects import Active, AnnouncedTrack, Layers, LayersOf, ViewerCount
from rostra.model.ids import SourceId, TrackName
from rostra.model.media import EncodingReport, Kind, Mid, TrackId, TrackLayers
from rostra.protocol import sse

ENCODE = sse.encoder({Mid("snd"): 0, Mid("pic"): 1})


def lines(text: str) -> tuple[str, object]:
    """Name and data of one event in one frame."""
    event, data, *rest = text.split("\n")
    assert rest == ["", ""]
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_an_event_is_a_name_and_one_line_of_data() -> None:
    assert lines(ENCODE(ViewerCount(KEY, 3))) == ("viewercount", {"viewercount": 3})
    active = Active(KEY, SourceId("a\nevent: b"), (AnnouncedTrack(TrackName("video"), Kind.VIDEO),))
    name, data = lines(ENCODE(active))
    assert name == "active"
    assert data == {
        "streamId": str(KEY),
        "sourceId": "a\nevent: b",
        "tracks": [{"trackId": "video", "media": "video"}],
    }


def test_layers_are_told_by_place_and_below_medias() -> None:
    one = LayersOf(Mid("pic"), TrackLayers(TrackId(1), (EncodingReport(True, width=320, height=180),)), ("0",))
    other = LayersOf(Mid("later"), TrackLayers(TrackId(2), ()), ())
    name, data = lines(ENCODE(Layers(KEY, (one, other))))
    assert name == "layers"
    assert isinstance(data, dict)
    assert set(data) == {"medias", "1"}
    assert data["medias"] == {"1": data["1"]}
    assert data["1"]["active"][0]["width"] == 320


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_without_names_all_events_are_wanted(body: bytes) -> None:
    assert sse.decode_names(body) == set(sse.EVENTS)


def test_names_are_an_array() -> None:
    assert sse.decode_names(b'["layers", "active", "active"]') == {"layers", "active"}
    assert sse.decode_names(b"[]") == frozenset()
    for body in (b"{}", b"[1]", b"null", b'["vad"]', b"\xff", b'["a'):
        with pytest.raises(sse.UnknownEventError):
            sse.decode_names(body)
