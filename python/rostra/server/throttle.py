"""Shares of addresses in what may happen only so often: wrong secrets, lines of the log."""

from collections import OrderedDict
from typing import Final

from rostra.server.addresses import group

MAX_GROUPS: Final = 4096
"""Addresses (of IPv6 each /64) whose share is remembered. The one that was not seen for longest is forgotten first."""


class Throttle:
    """A token bucket for each address: ``burst`` at once, and ``per_s`` more each second up to that."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst: Final = burst
        self._per_s: Final = per_s
        self._left: Final[OrderedDict[str, tuple[float, float]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, address: str, now_s: float) -> bool:
        """Whether this address has one left; it is used up. ``now_s`` is of any clock that does not go back."""
        key = group(address)
        left, at_s = self._left.pop(key, (float(self._burst), now_s))
        left = min(self._burst, left + max(0.0, now_s - at_s) * self._per_s)
        is_there = left >= 1
        self._left[key] = (left - 1 if is_there else left, now_s)
        if len(self._left) > MAX_GROUPS:
            self._left.popitem(last=False)
        return is_there
