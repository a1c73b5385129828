"""Who may hold a connection, and who has to go."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.server.edge.caps import ConnectionCaps, connection_caps
from rostra.server.edge.gate import Gate, Member, TooManySessions

CAPS = ConnectionCaps(
    strangers=6,
    strangers_per_address=4,
    sessions=5,
    sessions_per_address=3,
    sessions_per_token=2,
    proxy_connections=2,
    requests_per_forwarded_address=2,
)


class Crowd:
    """Connections by name, and who was closed."""

    def __init__(self) -> None:
        self.gate = Gate(CAPS)
        self.closed: list[str] = []
        self.members: dict[str, Member] = {}

    def come(self, name: str, group: str, *, is_proxy: bool = False) -> Member | None:
        member = self.gate.admit(group, lambda: self.closed.append(name), is_proxy=is_proxy)
        if member is not None:
            self.members[name] = member
        return member


def test_an_address_with_its_share_loses_its_own_oldest_stranger() -> None:
    crowd = Crowd()
    crowd.come("other", "b")
    for number in range(5):
        assert crowd.come(f"a{number}", "a") is not None
    assert crowd.closed == ["a0"]


def test_a_full_port_closes_the_oldest_of_the_address_with_most() -> None:
    crowd = Crowd()
    for name, group in (("b0", "b"), ("a0", "a"), ("a1", "a"), ("a2", "a"), ("c0", "c"), ("c1", "c")):
        crowd.come(name, group)
    crowd.come("d0", "d")
    assert crowd.closed == ["a0"]
    assert crowd.gate.strangers == CAPS.strangers


def test_a_session_is_never_closed_for_strangers() -> None:
    crowd = Crowd()
    session = crowd.come("session", "a")
    assert session is not None
    crowd.gate.authenticate(session, "a", b"token")
    for number in range(50):
        crowd.come(str(number), "a")
    assert "session" not in crowd.closed
    assert (crowd.gate.sessions, crowd.gate.strangers) == (1, CAPS.strangers_per_address)


@pytest.mark.parametrize(
    ("tokens", "groups", "code"),
    [
        ("xxx", "aaa", "token"),
        ("xyzw", "aaaa", "address"),
        ("stuvwx", "abcdef", "total"),
    ],
)
def test_sessions_are_capped_by_token_address_and_in_total(tokens: str, groups: str, code: str) -> None:
    gate = Gate(CAPS)
    members = [gate.admit(group, lambda: None) for group in groups]
    for member, group, token in zip(members[:-1], groups, tokens, strict=False):
        assert member is not None
        gate.authenticate(member, group, token.encode())
    assert members[-1] is not None
    with pytest.raises(TooManySessions) as refusal:
        gate.authenticate(members[-1], groups[-1], tokens[-1].encode())
    assert refusal.value.code == code
    assert gate.stats.sessions_refused == 1


def test_the_same_token_elsewhere_is_not_the_same_share() -> None:
    gate = Gate(CAPS)
    for group in "abcde":
        member = gate.admit(group, lambda: None)
        assert member is not None
        gate.authenticate(member, group, b"one page's token")
    assert gate.sessions == CAPS.sessions


def test_a_token_that_anybody_gets_makes_no_session_until_it_is_used() -> None:
    crowd = Crowd()
    first = crowd.come("first", "a")
    assert first is not None
    crowd.gate.authenticate(first, "a", b"token", is_anonymous=True)
    assert (crowd.gate.strangers, crowd.gate.sessions) == (1, 0)
    crowd.gate.protect(first)
    assert (crowd.gate.strangers, crowd.gate.sessions) == (0, 1)
    crowd.gate.expose(first)
    assert (crowd.gate.strangers, crowd.gate.sessions) == (1, 0)
    for number in range(CAPS.strangers_per_address):
        crowd.come(str(number), "a")
    assert crowd.closed == ["first"]


def test_sockets_of_a_token_are_counted_used_or_not() -> None:
    gate = Gate(CAPS)
    for _ in range(CAPS.sessions_per_token):
        member = gate.admit("a", lambda: None)
        assert member is not None
        gate.authenticate(member, "a", b"token", is_anonymous=True)
    late = gate.admit("a", lambda: None)
    assert late is not None
    with pytest.raises(TooManySessions, match="token"):
        gate.authenticate(late, "a", b"token", is_anonymous=True)
    gate.leave(member)
    gate.authenticate(late, "a", b"token", is_anonymous=True)


def test_a_trusted_proxy_is_no_stranger() -> None:
    crowd = Crowd()
    crowd.come("proxy", "a", is_proxy=True)
    for number in range(50):
        crowd.come(str(number), "a")
    assert "proxy" not in crowd.closed
    crowd.come("second", "a", is_proxy=True)
    assert crowd.come("third", "a", is_proxy=True) is None


def test_requests_behind_a_proxy_are_counted_by_the_forwarded_address() -> None:
    gate = Gate(CAPS)
    assert [gate.begin_forwarded("far") for _ in range(3)] == [True, True, False]
    assert not gate.begin_forwarded("far")
    assert gate.begin_forwarded("other")
    gate.end_forwarded("far")
    assert gate.begin_forwarded("far")


def test_a_small_descriptor_limit_leaves_most_descriptors_to_others() -> None:
    caps = connection_caps(1024)
    assert caps.strangers + caps.sessions + caps.proxy_connections <= 1024 * 5 // 8
    assert connection_caps(1 << 20) == ConnectionCaps()


NAMES = ["come", "leave", "session", "anonymous", "protect", "expose", "end"]
ACTIONS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from("abcd")), max_size=80)


@given(ACTIONS)
def test_counts_are_those_of_the_members_whatever_happens(actions: list[tuple[str, str]]) -> None:
    gate = Gate(CAPS)
    alive: list[Member] = []

    def close(number: int) -> None:
        alive.remove(next(one for one in known[number : number + 1]))

    known: list[Member] = []
    for action, group in actions:
        mine = [one for one in alive if one.group == group]
        if action == "come":
            number = len(known)
            member = gate.admit(group, lambda number=number: close(number))  # type: ignore[misc]
            assert member is not None
            known.append(member)
            alive.append(member)
        elif mine and action == "leave":
            gate.leave(mine[0])
            gate.leave(mine[0])
            alive.remove(mine[0])
        elif mine and action == "session":
            try:
                gate.authenticate(mine[0], group, b"token")
            except TooManySessions:
                assert not mine[0].is_session
        elif mine and action == "anonymous":
            with contextlib.suppress(TooManySessions):
                gate.authenticate(mine[0], group, group.encode(), is_anonymous=True)
        elif mine and action == "protect":
            with contextlib.suppress(TooManySessions):
                gate.protect(mine[0])
        elif mine and action == "expose":
            gate.expose(mine[0])
        elif mine:
            gate.end_request(mine[0])
        assert gate.sessions == sum(one.is_session for one in alive)
        assert gate.strangers == sum(not one.is_session for one in alive)
        assert gate.strangers <= CAPS.strangers
        assert gate.sessions <= CAPS.sessions
