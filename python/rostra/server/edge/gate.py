"""Who may hold a connection. Pure: no clock, no I/O, every operation in constant time.

A *stranger* is a connection that has not shown a good token, or one that anybody gets. A *session* is one that has, or
that views by the other. At a cap of strangers, the oldest stranger of the address that holds most of them is closed; a
session is never closed for somebody else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rostra.model.places import Places
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
    shown: tuple[str, bytes] | None = None
    """Group of the client's address, and digest of the token that it showed."""
    is_session: bool = False
    session_group: str = ""
    """By which its session is counted."""


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
    _strangers: Places[Member] = field(init=False)
    _proxies: int = 0
    _sessions: int = 0
    _sessions_of: dict[str, int] = field(default_factory=dict)
    _sessions_by: dict[tuple[str, bytes], int] = field(default_factory=dict)
    _requests_of: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._strangers = Places(self.caps.strangers, self.caps.strangers_per_address)

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
            self._take_place(member)
        self.stats.accepted += 1
        return member

    def authenticate(self, member: Member, group: str, token: bytes, *, is_anonymous: bool = False) -> None:
        """The connection showed a good token. ``group``: of the client's address, also behind a proxy. Idempotent.

        ``is_anonymous``: one that anybody gets, so that the connection stays a stranger until it is protected.

        Raises:
            TooManySessions: of the token and address, of the address, or of all.
        """
        if member.shown is None:
            if self._sessions_by.get((group, token), 0) >= self.caps.sessions_per_token:
                raise self._refused("token")
            member.shown = (group, token)
            _change(self._sessions_by, member.shown, 1)
        if not is_anonymous:
            self.protect(member)

    def protect(self, member: Member) -> None:
        """The connection has shown a token and uses it: from now on it is a session. Idempotent.

        Raises:
            TooManySessions: of the address, or of all. It stays a stranger.
        """
        if member.shown is None or member.is_session:
            return
        group = member.shown[0]
        if self._sessions_of.get(group, 0) >= self.caps.sessions_per_address:
            raise self._refused("address")
        if self._sessions >= self.caps.sessions:
            raise self._refused("total")
        self._strangers.leave(member)
        member.is_session, member.session_group = True, group
        self._sessions += 1
        _change(self._sessions_of, group, 1)

    def expose(self, member: Member) -> None:
        """The session is over: the connection is the newest of the strangers. Idempotent."""
        if member.is_session:
            self._end_session(member)
            if not member.is_proxy:
                self._take_place(member)

    def end_request(self, member: Member) -> None:
        """The request with the token is over. Idempotent."""
        self._forget_token(member)
        self.expose(member)

    def leave(self, member: Member) -> None:
        """The connection is gone. Idempotent."""
        self._forget_token(member)
        if member.is_proxy:
            self._proxies -= 1
            member.is_proxy = False
        if member.is_session:
            self._end_session(member)
        self._strangers.leave(member)

    def begin_forwarded(self, group: str) -> bool:
        """A request by way of a proxy for a client of this group begins. ``False``: it has too many."""
        if self._requests_of.get(group, 0) >= self.caps.requests_per_forwarded_address:
            self.stats.refused += 1
            return False
        _change(self._requests_of, group, 1)
        return True

    def end_forwarded(self, group: str) -> None:
        """What ``begin_forwarded`` let in has ended."""
        _change(self._requests_of, group, -1)

    def _refused(self, code: str) -> TooManySessions:
        self.stats.sessions_refused += 1
        return TooManySessions(code)

    def _end_session(self, member: Member) -> None:
        member.is_session = False
        self._sessions -= 1
        _change(self._sessions_of, member.session_group, -1)

    def _forget_token(self, member: Member) -> None:
        if member.shown is not None:
            _change(self._sessions_by, member.shown, -1)
            member.shown = None

    def _take_place(self, member: Member) -> None:
        loser = self._strangers.take(member, member.group)
        if loser is not None:
            self.stats.evicted += 1
            loser.close()


def _change(counts: dict[_Key, int], key: _Key, by: int) -> None:
    """Add to a count. A count of nothing is not kept."""
    left = counts.get(key, 0) + by
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
