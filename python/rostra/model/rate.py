"""How often something may happen: a token bucket. Time is in seconds of any clock that does not go back."""

from typing import Final


class Allowance:
    """``burst`` at once, and ``per_s`` a second after that, saved up to ``burst``."""

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst: Final = burst
        self._per_s: Final = per_s
        self._left = float(burst)
        self._at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take one, if there is one."""
        self._fill(now_s)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def spend(self, amount: float, now_s: float) -> float:
        """Spend it, although it may not be there; how many seconds to wait until the debt is paid."""
        self._fill(now_s)
        self._left -= amount
        return max(0.0, -self._left / self._per_s)

    def is_full(self, now_s: float) -> bool:
        """Whether it is as good as a new one."""
        self._fill(now_s)
        return self._left >= self._burst

    def _fill(self, now_s: float) -> None:
        passed_s = max(0.0, now_s - self._at_s) if self._at_s is not None else 0.0
        self._left = min(self._burst, self._left + passed_s * self._per_s)
        self._at_s = now_s
