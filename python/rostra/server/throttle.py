"""Shares of addresses in what may happen only so often: wrong secrets, lines of the log."""

from collections import OrderedDict
from typing import Final

from rostra.model.addresses import group
from rostra.model.rate import Allowance

MAX_GROUPS: Final = 4096
"""Addresses (of IPv6 each /64) whose share is remembered. The one that was not seen for longest is forgotten first."""


class Throttle:
    """An allowance for each address: ``burst`` at once, and ``per_s`` more each second up to that."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst: Final = burst
        self._per_s: Final = per_s
        self._allowances: Final[OrderedDict[str, Allowance]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._allowances)

    def take(self, address: str, now_s: float) -> bool:
        """Whether this address has one left; it is used up. ``now_s`` is of any clock that does not go back."""
        key = group(address)
        allowance = self._allowances.setdefault(key, Allowance(self._burst, self._per_s))
        self._allowances.move_to_end(key)
        if len(self._allowances) > MAX_GROUPS:
            self._allowances.popitem(last=False)
        return allowance.take(now_s)
