"""Who may hold a connection. Pure: no clock, no I/O, every operation in constant time.

A *stranger* is a connection that has not shown a good token. A *session* is one that has. At a cap of strangers, the
oldest stranger of the address that holds most of them is closed; a session is never closed for somebody else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rostra.model.places import OldestByGroup
from rostra.server.edge.caps import ConnectionCaps

_Key = TypeVar("_Key")


class TooManySessions(Exception):  # noqa: N818 — a refusal
    """One more session is refused. ``code``: ``token``, ``address`` or ``total``, the cap that is reached."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True, eq=False)
class Member:
    """One connection. ``close`` ends it at once."""

    group: str
    close: Callable[[], None]
    is_proxy: bool = False
    session: tuple[str, bytes] | None = None
    """Address group and token digest of a session."""


@dataclass(slots=True)
class GateStats:
    """Counted since the start."""

    accepted: int = 0
    evicted: int = 0
    refused: int = 0
    sessions_refused: int = 0


@dataclass(slots=True)
class Gate:
    """All connections of the HTTP port."""

    caps: ConnectionCaps
    stats: GateStats = field(default_factory=GateStats)
    _strangers: OldestByGroup[Member] = field(default_factory=OldestByGroup)
    _proxies: int = 0
    _sessions: int = 0
    _sessions_of: dict[str, int] = field(default_factory=dict)
    _sessions_by: dict[tuple[str, bytes], int] = field(default_factory=dict)
    _requests_of: dict[str, int] = field(default_factory=dict)

    @property
    def strangers(self) -> int:
        """Connections that have not shown a token."""
        return len(self._strangers)

    @property
    def sessions(self) -> int:
        """Connections that have."""
        return self._sessions

    @property
    def proxies(self) -> int:
        """Connections of trusted proxies."""
        return self._proxies

    def admit(self, group: str, close: Callable[[], None], *, is_proxy: bool = False) -> Member | None:
        """A new connection of this address group. ``None``: it is refused. Others may be closed for it."""
        member = Member(group, close, is_proxy)
        if is_proxy:
            if self._proxies >= self.caps.proxy_connections:
                self.stats.refused += 1
                return None
            self._proxies += 1
        else:
            if self._strangers.count(group) >= self.caps.strangers_per_address:
                self._evict(self._strangers.oldest_of(group))
            elif len(self._strangers) >= self.caps.strangers:
                self._evict(self._strangers.oldest_of_largest())
            self._strangers.add(member, member.group)
        self.stats.accepted += 1
        return member

    def authenticate(self, member: Member, group: str, token: bytes) -> None:
        """The connection showed a good token. ``group``: of the client's address, also behind a proxy. Idempotent.

        Raises:
            TooManySessions: of the token and address, of the address, or of all.
        """
        if member.session is not None:
            return
        code = self._full(group, token)
        if code is not None:
            self.stats.sessions_refused += 1
            raise TooManySessions(code)
        self._strangers.remove(member)
        member.session = (group, token)
        self._sessions += 1
        _change(self._sessions_of, group, 1)
        _change(self._sessions_by, member.session, 1)

    def end_session(self, member: Member) -> None:
        """The connection serves strangers' requests again: it keeps its place as the newest of them. Idempotent."""
        if member.session is None:
            return
        self._forget_session(member)
        if not member.is_proxy:
            self._strangers.add(member, member.group)

    def leave(self, member: Member) -> None:
        """The connection is gone. Idempotent."""
        if member.is_proxy:
            self._proxies -= 1
            member.is_proxy = False
        if member.session is not None:
            self._forget_session(member)
        else:
            self._strangers.remove(member)

    def begin_request(self, group: str) -> bool:
        """A request by way of a proxy for a client of this group begins. ``False``: it has too many."""
        if self._requests_of.get(group, 0) >= self.caps.requests_per_forwarded_address:
            self.stats.refused += 1
            return False
        _change(self._requests_of, group, 1)
        return True

    def end_request(self, group: str) -> None:
        """What ``begin_request`` let in has ended."""
        _change(self._requests_of, group, -1)

    def _full(self, group: str, token: bytes) -> str | None:
        if self._sessions_by.get((group, token), 0) >= self.caps.sessions_per_token:
            return "token"
        if self._sessions_of.get(group, 0) >= self.caps.sessions_per_address:
            return "address"
        return "total" if self._sessions >= self.caps.sessions else None

    def _forget_session(self, member: Member) -> None:
        if member.session is not None:
            _change(self._sessions_of, member.session[0], -1)
            _change(self._sessions_by, member.session, -1)
            self._sessions -= 1
            member.session = None

    def _evict(self, member: Member) -> None:
        self._strangers.remove(member)
        self.stats.evicted += 1
        member.close()


def _change(counts: dict[_Key, int], key: _Key, by: int) -> None:
    """Add to a count. A count of nothing is not kept."""
    left = counts.get(key, 0) + by
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
