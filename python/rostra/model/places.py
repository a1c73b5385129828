"""Who holds one of a bounded number of places, and who leaves for a newcomer. Pure, constant time per operation.

A newcomer is never refused. At the cap of its group, the oldest of this group leaves; at the total, the oldest of the
group with the most holders. So holders that finish soon are safe from holders that do not finish, although these come
faster, and a group with few holders is safe from a group with many.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

MAX_PENDING: Final = 1024
"""Viewers without a token whose transport is not connected yet, of all streams."""
MAX_PENDING_OF_ADDRESS: Final = 512
"""The same of one address, of IPv6 of one /64: a school whose pupils all press the button at the same moment."""

Holder = TypeVar("Holder", bound=Hashable)


class OldestByGroup(Generic[Holder]):
    """Holders in the order of their arrival, by group, and which group has most."""

    def __init__(self) -> None:
        self._groups: Final[dict[str, OrderedDict[Holder, None]]] = {}
        self._group_of: Final[dict[Holder, str]] = {}
        self._by_count: Final[dict[int, OrderedDict[str, None]]] = {}
        self._largest = 0

    def __len__(self) -> int:
        return len(self._group_of)

    def count(self, group: str) -> int:
        """How many holders a group has."""
        return len(self._groups.get(group, ()))

    def add(self, holder: Holder, group: str) -> None:
        """Add the newest."""
        self.remove(holder)
        holders = self._groups.setdefault(group, OrderedDict())
        self._move(group, len(holders), len(holders) + 1)
        holders[holder] = None
        self._group_of[holder] = group

    def remove(self, holder: Holder) -> bool:
        """Whether it was there."""
        group = self._group_of.pop(holder, None)
        if group is None:
            return False
        holders = self._groups[group]
        self._move(group, len(holders), len(holders) - 1)
        del holders[holder]
        if not holders:
            del self._groups[group]
        return True

    def oldest_of(self, group: str) -> Holder:
        """The oldest of a group that has holders."""
        return next(iter(self._groups[group]))

    def oldest_of_largest(self) -> Holder:
        """The oldest of a group with most holders. There is one."""
        return self.oldest_of(next(iter(self._by_count[self._largest])))

    def _move(self, group: str, before: int, after: int) -> None:
        if before:
            groups = self._by_count[before]
            del groups[group]
            if not groups:
                del self._by_count[before]
        if after:
            self._by_count.setdefault(after, OrderedDict())[group] = None
        if after > self._largest or (before == self._largest and before not in self._by_count):
            self._largest = after


class Places(Generic[Holder]):
    """A bounded number of places, with a share for each group."""

    def __init__(self, total: int, per_group: int) -> None:
        self._total: Final = total
        self._per_group: Final = per_group
        self._holders: Final[OldestByGroup[Holder]] = OldestByGroup()

    def __len__(self) -> int:
        return len(self._holders)

    def take(self, holder: Holder, group: str) -> Holder | None:
        """Give the newcomer a place; who has lost its own for that."""
        loser: Holder | None = None
        if self._holders.count(group) >= self._per_group:
            loser = self._holders.oldest_of(group)
        elif len(self._holders) >= self._total:
            loser = self._holders.oldest_of_largest()
        if loser is not None:
            self._holders.remove(loser)
        self._holders.add(holder, group)
        return loser

    def leave(self, holder: Holder) -> None:
        """The place is free. Idempotent."""
        self._holders.remove(holder)
