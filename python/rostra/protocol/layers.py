"""The ``layers`` event (docs/protocol/signalling.md).

The same picture is watched by thousands. What a track has is encoded once per report; what a viewer is told is put
together from that, once for all viewers with the same pictures on the same m-lines in the same layers.
"""

from functools import lru_cache
from typing import Final

import msgspec

from rostra.model.effects import Layers, LayersOf
from rostra.model.media import EncodingReport, LayerReport, Mid, ShownLayer, Target, TrackLayers

_NOT_APPLICABLE: Final = 255
_UNSET: Final = msgspec.UNSET
_Optional = int | msgspec.UnsetType


class _Layer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A layer within an entry of ``active``."""

    spatial_layer_id: int
    temporal_layer_id: int
    simulcast_idx: int
    bitrate: int
    total_bitrate: int
    width: _Optional = _UNSET
    height: _Optional = _UNSET


class _Active(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An encoding that flows."""

    id: str
    simulcast_idx: int
    bitrate: int
    total_bitrate: int
    layers: list[_Layer]
    width: _Optional = _UNSET
    height: _Optional = _UNSET
    fps: _Optional = _UNSET
    target_bitrate: _Optional = _UNSET
    target_width: _Optional = _UNSET
    target_height: _Optional = _UNSET
    target_fps: _Optional = _UNSET
    codec: str | msgspec.UnsetType = _UNSET
    num_packets: _Optional = _UNSET
    total_bytes: _Optional = _UNSET


class _Inactive(msgspec.Struct, frozen=True, rename="camel"):
    """An encoding that does not."""

    id: str
    simulcast_idx: int


class _Choice(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An entry of ``layers``: a LayerInfo that can be sent back as it is."""

    encoding_id: str
    simulcast_idx: int
    spatial_layer_id: int
    temporal_layer_id: int
    bitrate: int
    total_bitrate: int
    width: _Optional = _UNSET
    height: _Optional = _UNSET
    target_bitrate: _Optional = _UNSET
    target_width: _Optional = _UNSET
    target_height: _Optional = _UNSET
    target_fps: _Optional = _UNSET


class _Selected(msgspec.Struct, frozen=True, rename="camel"):
    encoding_id: str
    spatial_layer_id: int
    temporal_layer_id: int


class _Track(msgspec.Struct, frozen=True):
    active: list[_Active]
    inactive: list[_Inactive]
    layers: list[_Choice]


class _State(msgspec.Struct, frozen=True):
    selected: _Selected | None
    limited: bool


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    stream_id: str
    medias: dict[Mid, msgspec.Raw]


class _Event(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    name: str
    data: _Data


_encoder = msgspec.json.Encoder()


def encode_layers(event: Layers) -> str:
    """The event."""
    return _encoder.encode(_Event(event.name, _Data(str(event.stream), encode_medias(event)))).decode()


def encode_medias(event: Layers) -> dict[Mid, msgspec.Raw]:
    """The layers of each m-line, for whoever frames them in another way."""
    return {media.mid: msgspec.Raw(_media(media)) for media in event.medias}


def _media(media: LayersOf) -> bytes:
    """What the track has, and behind it what this m-line does with it."""
    state = _State(_selected(media.shown, media.encodings), media.is_off)
    return _track(media.track, media.encodings)[:-1] + b"," + _encoder.encode(state)[1:]


@lru_cache(maxsize=512)
def _track(track: TrackLayers, ids: tuple[str, ...]) -> bytes:
    named = [(ids[place], place, one) for place, one in enumerate(track.encodings) if place < len(ids)]
    active = [entry for entry in named if entry[2].active]
    actives = [_active(*entry) for entry in active]
    choices = [choice for entry in active for choice in _choices(*entry)]
    # Stable sorts of lowest-first lists, turned round: of equal ones the higher comes first.
    actives = sorted(actives, key=lambda one: one.bitrate)[::-1]
    choices = sorted(choices, key=lambda one: one.bitrate)[::-1]
    inactive = [_Inactive(name, -1) for name, _, one in named if not one.active]
    return _encoder.encode(_Track(actives, inactive, choices))


def _active(name: str, place: int, encoding: EncodingReport) -> _Active:
    return _Active(
        id=name,
        simulcast_idx=place,
        bitrate=encoding.bitrate_bps,
        total_bitrate=encoding.total_bps,
        layers=[_layer(place, encoding, one) for one in reversed(encoding.layers)],
        width=encoding.width or _UNSET,
        height=encoding.height or _UNSET,
        fps=encoding.fps or _UNSET,
        **_targets(encoding.target),
        codec=encoding.codec.value if encoding.codec is not None else _UNSET,
        num_packets=encoding.packets or _UNSET,
        total_bytes=encoding.bytes or _UNSET,
    )


def _targets(target: Target) -> dict[str, _Optional]:
    return {
        "target_bitrate": target.bps or _UNSET,
        "target_width": target.width or _UNSET,
        "target_height": target.height or _UNSET,
        "target_fps": target.fps or _UNSET,
    }


def _layer(place: int, encoding: EncodingReport, layer: LayerReport) -> _Layer:
    return _Layer(
        spatial_layer_id=_spatial(encoding, layer),
        temporal_layer_id=_temporal(encoding, layer),
        simulcast_idx=place,
        bitrate=layer.bitrate_bps,
        total_bitrate=_total(encoding, layer),
        width=layer.width or _UNSET,
        height=layer.height or _UNSET,
    )


def _choices(name: str, place: int, encoding: EncodingReport) -> list[_Choice]:
    """Lowest first. An encoding without layers is one choice."""
    if not encoding.layers:
        return [
            _Choice(
                encoding_id=name,
                simulcast_idx=place,
                spatial_layer_id=_NOT_APPLICABLE,
                temporal_layer_id=_NOT_APPLICABLE,
                bitrate=encoding.bitrate_bps,
                total_bitrate=encoding.total_bps,
                width=encoding.width or _UNSET,
                height=encoding.height or _UNSET,
                **_targets(encoding.target),
            )
        ]
    return [
        _Choice(
            encoding_id=name,
            simulcast_idx=place,
            spatial_layer_id=_spatial(encoding, layer),
            temporal_layer_id=_temporal(encoding, layer),
            bitrate=layer.bitrate_bps,
            total_bitrate=_total(encoding, layer),
            width=layer.width or _UNSET,
            height=layer.height or _UNSET,
        )
        for layer in encoding.layers
    ]


def _spatial(encoding: EncodingReport, layer: LayerReport) -> int:
    """Where there is one spatial layer, there is nothing to choose."""
    return layer.spatial if len({one.spatial for one in encoding.layers}) > 1 else _NOT_APPLICABLE


def _temporal(encoding: EncodingReport, layer: LayerReport) -> int:
    return layer.temporal if len({one.temporal for one in encoding.layers}) > 1 else _NOT_APPLICABLE


def _total(encoding: EncodingReport, layer: LayerReport) -> int:
    """Headers and retransmissions are counted per encoding; a layer has its share."""
    if not encoding.bitrate_bps:
        return layer.bitrate_bps
    return layer.bitrate_bps * encoding.total_bps // encoding.bitrate_bps


def _selected(shown: ShownLayer | None, ids: tuple[str, ...]) -> _Selected | None:
    if shown is None or shown.encoding >= len(ids):
        return None
    return _Selected(ids[shown.encoding], shown.spatial, shown.temporal)
