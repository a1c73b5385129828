"""The body of WHEP's ``layer`` extension (docs/protocol/whep.md)."""

from typing import Any, Final

from rostra.model.layers import LayerWish
from rostra.model.media import Mid
from rostra.protocol import wishes
from rostra.protocol.json import DecodeError, Decoder

MAX_LAYER_BODY: Final = 4096
"""Bytes of a request for a layer."""
_LAYER: Final[Decoder[dict[str, Any]]] = Decoder(dict[str, Any])


def decode_layer(body: bytes, *, main: Mid | None, place: int | None) -> LayerWish:
    """A LayerInfo, with ``rid`` as another name of ``encodingId``. ``mediaId``: mid or place of the main picture.

    Raises:
        FieldError: ``Invalid layer``, with the key where it is one.
    """
    try:
        given = _LAYER.decode(body)
    except DecodeError as error:
        raise wishes.FieldError(f"Invalid layer: {error.message}") from None
    named = given.get("mediaId")
    if named is not None and named != "" and not _means(named, main, place):
        raise wishes.FieldError("Invalid layer: mediaId is not the first picture")
    if given.get("encodingId") is None and "rid" in given:
        given["encodingId"] = given["rid"]
    return wishes.layer(given)


def _means(named: Any, main: Mid | None, place: int | None) -> bool:
    """Whether this names the picture. Careless clients send numbers for ids, and text for places."""
    if isinstance(named, int) and not isinstance(named, bool) and abs(named) < 2**53:
        named = str(named)
    return main is not None and isinstance(named, str) and named in (main, str(place))
