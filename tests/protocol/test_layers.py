"""The ``layers`` event as text."""

import json
from typing import Any

from tests.scene import KEY

from rostra.model.effects import Layers, LayersOf
from rostra.model.media import Codec, EncodingReport, LayerReport, Mid, ShownLayer, Target, TrackId, TrackLayers
from rostra.protocol import wishes
from rostra.protocol.signal import encode_event

LOW = EncodingReport()
MIDDLE = EncodingReport(True, None, 640_000, 655_000, 640, 360)
TARGET = Target(2_000_000, 1280, 720, 30)
HIGH = EncodingReport(True, Codec.VP8, 1_810_000, 1_850_000, 1280, 720, 30, TARGET, 4711, 1_234_567)


def told(*medias: LayersOf) -> dict[str, Any]:
    event = json.loads(encode_event(Layers(KEY, medias)))
    assert (event["type"], event["name"]) == ("event", "layers")
    assert event["data"]["streamId"] == str(KEY)
    media: dict[str, Any] = event["data"]["medias"]
    return media


def media(*encodings: EncodingReport, ids: tuple[str, ...] = ("0", "1", "2"), **state: Any) -> LayersOf:
    return LayersOf(Mid("0"), TrackLayers(TrackId(1), encodings), ids, **state)


def test_simulcast_is_told_as_the_reference_has_it() -> None:
    assert told(media(LOW, MIDDLE, HIGH)) == {
        "0": {
            "active": [
                {
                    "id": "2",
                    "simulcastIdx": 2,
                    "bitrate": 1_810_000,
                    "totalBitrate": 1_850_000,
                    "width": 1280,
                    "height": 720,
                    "fps": 30,
                    "targetBitrate": 2_000_000,
                    "targetWidth": 1280,
                    "targetHeight": 720,
                    "targetFps": 30,
                    "codec": "vp8",
                    "numPackets": 4711,
                    "totalBytes": 1_234_567,
                    "layers": [],
                },
                {
                    "id": "1",
                    "simulcastIdx": 1,
                    "bitrate": 640_000,
                    "totalBitrate": 655_000,
                    "width": 640,
                    "height": 360,
                    "layers": [],
                },
            ],
            "inactive": [{"id": "0", "simulcastIdx": -1}],
            "layers": [
                {
                    "encodingId": "2",
                    "simulcastIdx": 2,
                    "spatialLayerId": 255,
                    "temporalLayerId": 255,
                    "bitrate": 1_810_000,
                    "totalBitrate": 1_850_000,
                    "width": 1280,
                    "height": 720,
                    "targetBitrate": 2_000_000,
                    "targetWidth": 1280,
                    "targetHeight": 720,
                    "targetFps": 30,
                },
                {
                    "encodingId": "1",
                    "simulcastIdx": 1,
                    "spatialLayerId": 255,
                    "temporalLayerId": 255,
                    "bitrate": 640_000,
                    "totalBitrate": 655_000,
                    "width": 640,
                    "height": 360,
                },
            ],
            "selected": None,
            "limited": False,
        }
    }


def test_encodings_are_called_by_their_rid_and_go_by_bitrate() -> None:
    low = EncodingReport(active=True, bitrate_bps=900)
    high = EncodingReport(active=True, bitrate_bps=100)
    report = told(media(low, high, ids=("l", "h")))["0"]
    assert [(one["id"], one["simulcastIdx"]) for one in report["active"]] == [("l", 0), ("h", 1)]
    assert [one["encodingId"] for one in report["layers"]] == ["l", "h"]


def test_of_encodings_that_say_nothing_of_themselves_the_highest_comes_first() -> None:
    report = told(media(*[EncodingReport(active=True)] * 3))["0"]
    assert [one["id"] for one in report["active"]] == ["2", "1", "0"]


def test_a_single_encoding_is_one_active_entry() -> None:
    report = told(media(EncodingReport(active=True, bitrate_bps=5), ids=("0",)))["0"]
    assert [one["id"] for one in report["active"]] == ["0"]
    assert report["inactive"] == []
    assert [(one["spatialLayerId"], one["temporalLayerId"]) for one in report["layers"]] == [(255, 255)]


def layered(*layers: tuple[int, int, int]) -> EncodingReport:
    reports = tuple(
        LayerReport(spatial, temporal, bitrate, 320 << spatial, 180 << spatial) for spatial, temporal, bitrate in layers
    )
    return EncodingReport(True, Codec.VP9, reports[-1].bitrate_bps, 2 * reports[-1].bitrate_bps, layers=reports)


def test_layers_of_svc_are_told_highest_first_with_their_share_of_the_whole() -> None:
    report = told(media(layered((0, 0, 100), (0, 1, 150), (1, 0, 400), (1, 1, 600)), ids=("0",)))["0"]
    (active,) = report["active"]
    ids = [(one["spatialLayerId"], one["temporalLayerId"], one["bitrate"]) for one in active["layers"]]
    assert ids == [(1, 1, 600), (1, 0, 400), (0, 1, 150), (0, 0, 100)]
    assert report["layers"][2] == {
        "encodingId": "0",
        "simulcastIdx": 0,
        "spatialLayerId": 0,
        "temporalLayerId": 1,
        "bitrate": 150,
        "totalBitrate": 300,
        "width": 320,
        "height": 180,
    }


def test_a_dimension_with_one_layer_is_not_applicable() -> None:
    temporal = told(media(layered((0, 0, 1), (0, 1, 2)), ids=("0",)))["0"]["layers"]
    assert [(one["spatialLayerId"], one["temporalLayerId"]) for one in temporal] == [(255, 1), (255, 0)]
    spatial = told(media(layered((0, 0, 1), (1, 0, 2)), ids=("0",)))["0"]["layers"]
    assert [(one["spatialLayerId"], one["temporalLayerId"]) for one in spatial] == [(1, 255), (0, 255)]


def test_every_entry_of_layers_can_be_sent_back() -> None:
    report = told(media(layered((0, 0, 100), (0, 1, 150), (1, 0, 400), (1, 1, 600)), MIDDLE))["0"]
    wanted = [wishes.layer(one) for one in report["layers"]]
    assert [(wish.encoding, wish.spatial, wish.temporal) for wish in wanted] == [
        ("1", None, None),
        ("0", 1, 1),
        ("0", 1, 0),
        ("0", 0, 1),
        ("0", 0, 0),
    ]


def test_what_is_forwarded_and_what_is_off_stands_beside() -> None:
    shown = told(media(LOW, HIGH, ids=("l", "h"), shown=ShownLayer(1, 255, 0)))["0"]
    assert shown["selected"] == {"encodingId": "h", "spatialLayerId": 255, "temporalLayerId": 0}
    off = told(media(LOW, HIGH, is_off=True))["0"]
    assert (off["selected"], off["limited"]) == (None, True)
    gone = told(media(LOW, ids=("0",), shown=ShownLayer(7)))["0"]
    assert gone["selected"] is None


def test_every_line_has_its_own_entry() -> None:
    first = media(MIDDLE, ids=("0",))
    second = LayersOf(Mid("7"), TrackLayers(TrackId(2), (HIGH,)), ("f",))
    report = told(first, second)
    assert {mid: one["active"][0]["id"] for mid, one in report.items()} == {"0": "0", "7": "f"}


def test_an_event_is_encoded_once_for_all_who_hear_it() -> None:
    event = Layers(KEY, (media(HIGH),))
    assert encode_event(event) is encode_event(event)
    assert encode_event(Layers(KEY, (media(LOW),))) != encode_event(event)
