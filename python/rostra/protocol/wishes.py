"""What viewers say about layers and bandwidth (docs/protocol/signalling.md): loose JSON to typed values.

Clients send back whole entries of what they were told, numbers as text, and null for nothing, so that everything of a
known key is taken that can mean only one thing. What cannot is refused by name, and nothing changes.
"""

from collections.abc import Mapping
from typing import Any, Final

from rostra.model import bandwidth as line
from rostra.model.bandwidth import BandwidthWish
from rostra.model.layers import AUTOMATIC, MAX_LAYER, MAX_SIZE, LayerWish
from rostra.model.media import PlayoutDelay, Strategy

_MOST: Final = 2**53
"""What JavaScript can count."""
_MAX_DIGITS: Final = 17
_MAX_ID: Final = 32
"""Characters of an encoding's id; a rid has at most 16."""
_NOT_APPLICABLE: Final = 255


class FieldError(ValueError):
    """A field of a command has a value that cannot be. ``message`` goes back as the reason."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def layer(given: Any, beside: Mapping[str, Any] | None = None) -> LayerWish:
    """A LayerInfo. Nothing, null or ``{}``: automatic. ``beside``: keys that hold where ``given`` has none.

    Raises:
        FieldError: ``Invalid layer``, with the key where it is one.
    """
    if given is not None and not isinstance(given, dict):
        raise FieldError("Invalid layer")
    keys = {**(beside or {}), **(given or {})}
    if not keys:
        return AUTOMATIC
    return LayerWish(
        encoding=_encoding(keys.get("encodingId")),
        spatial=_layer(keys, "spatialLayerId"),
        temporal=_layer(keys, "temporalLayerId"),
        max_spatial=_layer(keys, "maxSpatialLayerId"),
        max_temporal=_layer(keys, "maxTemporalLayerId"),
        max_width=_size(keys, "maxWidth"),
        max_height=_size(keys, "maxHeight"),
    )


def bandwidth(abr: Any, *, force_smooth: Any = None, max_bitrate: Any = None) -> BandwidthWish:
    """``abr``, and what stood beside it before there was one.

    Raises:
        FieldError: ``Invalid abr``, with the key where it is one, ``Invalid forceSmooth`` or ``Invalid maxBitrate``.
    """
    if abr is not None and not isinstance(abr, dict):
        raise FieldError("Invalid abr")
    keys: dict[str, Any] = abr or {}
    metadata = keys.get("metadata")
    nested = metadata.get("bitrate") if isinstance(metadata, dict) else None
    initial = keys.get("initialBitrate")
    smooth = keys.get("forceSmooth")
    return BandwidthWish(
        initial_bps=_bitrate(initial if initial is not None else nested, "abr: initialBitrate"),
        max_bps=_bitrate(max_bitrate, "maxBitrate"),
        strategy=_strategy(keys.get("strategy")),
        smooth=switch(smooth, "abr: forceSmooth") if smooth is not None else switch(force_smooth, "forceSmooth"),
    )


def playout_delay(given: Any) -> PlayoutDelay | None:
    """``forcePlayoutDelay`` in milliseconds. Nothing, null or false: none; a missing ``max`` is that of the extension.

    Raises:
        FieldError: ``Invalid forcePlayoutDelay``.
    """
    if given is None or given is False:
        return None
    if not isinstance(given, dict):
        raise FieldError("Invalid forcePlayoutDelay")
    least, most = given.get("min"), given.get("max")
    if least is None and most is None:
        return None
    numbers = [_number(least if least is not None else 0), _number(most if most is not None else _MOST)]
    if None in numbers:
        raise FieldError("Invalid forcePlayoutDelay")
    return line.playout_delay(*(int(number or 0) for number in numbers))


def switch(given: Any, name: str) -> bool:
    """A boolean, which careless clients spell in other ways.

    Raises:
        FieldError: ``Invalid`` and the name.
    """
    if given in (None, "", 0, "0", "false"):
        return False
    if given in (1, "1", "true"):
        return True
    raise FieldError(f"Invalid {name}")


def _encoding(given: Any) -> str | None:
    if given is None or given == "":
        return None
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) <= _MOST:
        given = str(given)
    if not isinstance(given, str) or len(given) > _MAX_ID:
        raise FieldError("Invalid layer: encodingId")
    return given


def _layer(keys: Mapping[str, Any], name: str) -> int | None:
    """A layer's number. 255, "not applicable", is what the server says of encodings that have but one."""
    given = keys.get(name)
    if given is None or given == "":
        return None
    number = _number(given)
    if number is None or number != int(number) or not 0 <= number <= _NOT_APPLICABLE:
        raise FieldError(f"Invalid layer: {name}")
    return int(number) if number <= MAX_LAYER else None


def _size(keys: Mapping[str, Any], name: str) -> int | None:
    """Pixels; part of one is none. 0 limits nothing, and so does more than any picture has."""
    given = keys.get(name)
    if given is None or given == "":
        return None
    number = _number(given)
    if number is None or number < 0:
        raise FieldError(f"Invalid layer: {name}")
    return int(number) if 1 <= number <= MAX_SIZE else None


def _bitrate(given: Any, name: str) -> int | None:
    """Bits per second; 0 says nothing."""
    if given is None or given == "":
        return None
    number = _number(given)
    if number is None or number < 0:
        raise FieldError(f"Invalid {name}")
    return int(number) or None


def _strategy(given: Any) -> Strategy | None:
    if given is None or given == "":
        return None
    for strategy in Strategy:
        if isinstance(given, str) and given.lower() == strategy.value:
            return strategy
    raise FieldError("Invalid abr: strategy")


def _number(given: Any) -> int | float | None:
    """A finite number, also as decimal digits in text; ``None``: not one."""
    if isinstance(given, str) and len(given) <= _MAX_DIGITS and given.isascii() and given.isdigit():
        return int(given)
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return given if abs(given) <= _MOST else None  # of NaN nothing is true
