"""Which layer of a picture a viewer wants, in its own words, and what that means for a track.

A viewer names an encoding by its id. The media plane knows places, and another feed of the same source may have other
encodings, so that the words are kept and translated at every binding.
"""

from dataclasses import dataclass
from typing import Final

from rostra.model.media import EncodingSpec, LayerChoice, TrackLayers

MAX_LAYER: Final = 254
"""Highest layer that can be named. 255 stands for "not applicable" on every wire of this family."""
MAX_SIZE: Final = 65_535
"""Most pixels of a limit. A larger limit limits nothing."""


@dataclass(frozen=True, slots=True)
class LayerWish:
    """What a viewer said. Nothing said: automatic. Sizes are pixels."""

    encoding: str | None = None
    spatial: int | None = None
    temporal: int | None = None
    max_spatial: int | None = None
    max_temporal: int | None = None
    max_width: int | None = None
    max_height: int | None = None

    def choice(self, encodings: tuple[str, ...]) -> LayerChoice:
        """The wish for a track with these encodings. An id that none of them has leaves the encoding to the server."""
        return LayerChoice(
            encoding=encodings.index(self.encoding) if self.encoding in encodings else None,
            spatial=self.spatial,
            temporal=self.temporal,
            max_spatial=self.max_spatial,
            max_temporal=self.max_temporal,
            max_width=self.max_width,
            max_height=self.max_height,
        )


AUTOMATIC: Final = LayerWish()
"""The server chooses by the viewer's bandwidth."""


def encoding_ids(encodings: tuple[EncodingSpec, ...]) -> tuple[str, ...]:
    """How viewers call the encodings of a track: by rid, and where there is none by their place, lowest first."""
    return tuple(encoding.rid or str(place) for place, encoding in enumerate(encodings))


def flowing(report: TrackLayers) -> tuple[tuple[bool, tuple[tuple[int, int], ...]], ...]:
    """What there is to choose from. It changes when an encoding or layer starts or stops, and with no bitrate."""
    return tuple(
        (encoding.active, tuple((layer.spatial, layer.temporal) for layer in encoding.layers))
        for encoding in report.encodings
    )
