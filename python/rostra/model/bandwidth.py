"""How a viewer's wishes about its line become what the media plane is told."""

from dataclasses import dataclass
from typing import Final

from rostra.model.media import BandwidthSpec, PlayoutDelay, Strategy

DEFAULT_MAX_BPS: Final = 12_000_000
"""All media of one viewer. The hosted original began with 4 Mb/s and has 12 today."""
MAX_BPS: Final = 1_000_000_000
"""Most that can be asked for; no estimate begins higher."""
MAX_PLAYOUT_DELAY_MS: Final = 40_950
"""Twelve bits of 10 ms (the playout-delay header extension)."""


@dataclass(frozen=True, slots=True)
class BandwidthWish:
    """What a viewer said about its line. ``None``: nothing; the server's defaults hold. Bits per second."""

    initial_bps: int | None = None
    max_bps: int | None = None
    strategy: Strategy | None = None
    smooth: bool = False

    def spec(self, cap_bps: int) -> BandwidthSpec:
        """The wish under the server's cap, which a viewer can only lower."""
        return BandwidthSpec(
            initial_bps=min(self.initial_bps or 0, MAX_BPS),
            max_bps=min(self.max_bps or cap_bps, cap_bps),
            strategy=self.strategy or Strategy.BANDWIDTH,
            smooth=self.smooth,
        )


def playout_delay(min_ms: int, max_ms: int) -> PlayoutDelay:
    """Bounds that the extension can say: the nearest ones, and never a least above the most."""
    least = max(0, min(min_ms, MAX_PLAYOUT_DELAY_MS))
    return PlayoutDelay(least, max(least, min(max_ms, MAX_PLAYOUT_DELAY_MS)))
