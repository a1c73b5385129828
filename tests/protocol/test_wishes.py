"""What viewers say about layers and bandwidth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.model.bandwidth import BandwidthWish
from rostra.model.layers import AUTOMATIC, LayerWish
from rostra.model.media import PlayoutDelay, Strategy
from rostra.protocol import wishes
from rostra.protocol.wishes import FieldError

LAYER_KEYS = [
    "encodingId",
    "spatialLayerId",
    "temporalLayerId",
    "maxSpatialLayerId",
    "maxTemporalLayerId",
    "maxWidth",
    "maxHeight",
]


@pytest.mark.parametrize("given", [None, {}, {"encodingId": None}, {"encodingId": "", "maxWidth": 0}, {"other": [1]}])
def test_nothing_said_is_automatic(given: object) -> None:
    assert wishes.layer(given) == AUTOMATIC


def test_every_key_of_a_layer_is_understood() -> None:
    given = dict(zip(LAYER_KEYS, ["h", 1, 2, 3, 4, 640, 360], strict=True))
    assert wishes.layer(given) == LayerWish("h", 1, 2, 3, 4, 640, 360)


def test_numbers_may_be_text_and_an_id_a_number() -> None:
    given = dict(zip(LAYER_KEYS, [2, "1", "2", "0", "4", "640", 360.0], strict=True))
    assert wishes.layer(given) == LayerWish("2", 1, 2, 0, 4, 640, 360)


def test_255_is_not_applicable_and_zero_pixels_are_no_limit() -> None:
    given = dict(zip(LAYER_KEYS, ["0", 255, "255", 255, 255, 0, "0"], strict=True))
    assert wishes.layer(given) == LayerWish("0")


def test_whole_entries_of_the_event_can_be_sent_back() -> None:
    choice = {
        "encodingId": "2",
        "simulcastIdx": 2,
        "spatialLayerId": 255,
        "temporalLayerId": 1,
        "bitrate": 1810000,
        "totalBitrate": 1850000,
        "targetBitrate": 2000000,
        "width": 1280,
        "height": 720,
    }
    assert wishes.layer(choice) == LayerWish("2", temporal=1)
    active = {"id": "2", "simulcastIdx": 2, "bitrate": 1, "layers": []}
    assert wishes.layer(active) == AUTOMATIC


@pytest.mark.parametrize("given", ["high", 1, True, [], ["0"]])
def test_a_layer_that_is_no_object_is_refused(given: object) -> None:
    with pytest.raises(FieldError, match=r"^Invalid layer$"):
        wishes.layer(given)


@pytest.mark.parametrize("key", LAYER_KEYS)
@pytest.mark.parametrize("value", [True, [], {}, -1.5, "x" * 40, 1e300])
def test_a_key_that_cannot_be_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(FieldError, match=rf"^Invalid layer: {key}$"):
        wishes.layer({key: value})


@pytest.mark.parametrize("value", [-1, 256, 1.5, "1.5", "٣"])
def test_a_layer_is_a_small_whole_number(value: object) -> None:
    with pytest.raises(FieldError, match=r"^Invalid layer: spatialLayerId$"):
        wishes.layer({"spatialLayerId": value})


def test_more_pixels_than_any_picture_has_limit_nothing() -> None:
    assert wishes.layer({"maxWidth": 65_536, "maxHeight": 65_535}) == LayerWish(max_height=65_535)


@pytest.mark.parametrize(
    ("abr", "message"),
    [
        ("quality", "Invalid abr"),
        ([], "Invalid abr"),
        ({"initialBitrate": "fast"}, "Invalid abr: initialBitrate"),
        ({"initialBitrate": -1}, "Invalid abr: initialBitrate"),
        ({"metadata": {"bitrate": []}}, "Invalid abr: initialBitrate"),
        ({"strategy": "best"}, "Invalid abr: strategy"),
        ({"strategy": 1}, "Invalid abr: strategy"),
        ({"forceSmooth": "maybe"}, "Invalid abr: forceSmooth"),
        ({"forceSmooth": {}}, "Invalid abr: forceSmooth"),
    ],
)
def test_an_abr_that_cannot_be_is_refused_by_name(abr: object, message: str) -> None:
    with pytest.raises(FieldError, match=rf"^{message}$"):
        wishes.bandwidth(abr)


def test_bandwidth_may_be_text_null_or_zero() -> None:
    assert wishes.bandwidth({"initialBitrate": "1000", "strategy": "Quality", "forceSmooth": 1}) == BandwidthWish(
        1000, None, Strategy.QUALITY, smooth=True
    )
    assert wishes.bandwidth({"initialBitrate": 0, "strategy": None, "metadata": 5}, max_bitrate=0) == BandwidthWish()
    assert wishes.bandwidth({"forceSmooth": False}, force_smooth=True) == BandwidthWish()
    for value in ("fast", -1, True, []):
        with pytest.raises(FieldError, match=r"^Invalid maxBitrate$"):
            wishes.bandwidth(None, max_bitrate=value)
    with pytest.raises(FieldError, match=r"^Invalid forceSmooth$"):
        wishes.bandwidth(None, force_smooth="x")


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        (None, None),
        (False, None),
        ({}, None),
        ({"min": 0, "max": 0}, (0, 0)),
        ({"min": 100, "max": "400"}, (100, 400)),
        ({"min": 500}, (500, 40_950)),
        ({"max": 500}, (0, 500)),
        ({"min": -5, "max": 10**9}, (0, 40_950)),
        ({"min": 10**9, "max": 1}, (40_950, 40_950)),
        ({"min": 300, "max": 200}, (300, 300)),
    ],
)
def test_a_playout_delay_is_brought_within_its_bounds(given: object, bounds: tuple[int, int] | None) -> None:
    assert wishes.playout_delay(given) == (PlayoutDelay(*bounds) if bounds is not None else None)


@pytest.mark.parametrize("given", [True, 5, "100", [1, 2], {"min": "x"}, {"max": None, "min": True}, {"max": []}])
def test_a_playout_delay_that_cannot_be_is_refused(given: object) -> None:
    with pytest.raises(FieldError, match=r"^Invalid forcePlayoutDelay$"):
        wishes.playout_delay(given)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(LAYER_KEYS, _JSON)))
def test_a_layer_is_taken_within_its_bounds_or_refused(keys: dict[str, object]) -> None:
    try:
        wish = wishes.layer(keys)
    except FieldError:
        return
    layers = (wish.spatial, wish.temporal, wish.max_spatial, wish.max_temporal)
    assert all(layer is None or 0 <= layer <= 254 for layer in layers)
    assert all(size is None or 1 <= size <= 65_535 for size in (wish.max_width, wish.max_height))


@given(_JSON, _JSON, _JSON, _JSON)
def test_bandwidth_is_taken_within_its_bounds_or_refused(
    abr: object, smooth: object, most: object, delay: object
) -> None:
    try:
        spec = wishes.bandwidth(abr, force_smooth=smooth, max_bitrate=most).spec(12_000_000)
        bounds = wishes.playout_delay(delay)
    except FieldError:
        return
    assert 0 < spec.max_bps <= 12_000_000
    assert 0 <= spec.initial_bps <= 1_000_000_000
    assert bounds is None or 0 <= bounds.min_ms <= bounds.max_ms <= 40_950
