"""The short-lived token between director and socket."""

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.model.ids import AccountId, ServerId, StreamKey, StreamName
from rostra.model.refused import InvalidToken
from rostra.model.token import Grant, PublishGrant, SubscribeGrant
from rostra.protocol import jwt

KEY = bytes(range(32))
NOW_S = 1_700_000_000.7
STREAM = StreamKey(AccountId("acc123"), StreamName("demo"))
SERVER = ServerId("5f0c7f6f4d9e4b7b8f1c2d3e4f5a6b7c")
VIEWING = SubscribeGrant(STREAM, SERVER)
GRANTS = [
    VIEWING,
    PublishGrant(STREAM, SERVER, multisource=True, subscribe_requires_auth=False),
    PublishGrant(STREAM, SERVER, multisource=False, subscribe_requires_auth=True),
]


def issue(grant: Grant = VIEWING) -> str:
    return jwt.issue(grant, KEY, now_s=NOW_S, lifetime_s=60)


def verify(token: str, *, after_s: float = 0, grace_s: float = 0) -> Grant:
    return jwt.verify(token, KEY, now_s=NOW_S + after_s, grace_s=grace_s)


def forged(**changes: object) -> str:
    """A token with our key and other claims."""
    claims = pyjwt.decode(issue(), options={"verify_signature": False})
    return pyjwt.encode({**claims, **changes}, KEY, algorithm="HS256")


@pytest.mark.parametrize("grant", GRANTS)
def test_a_token_says_what_was_granted(grant: Grant) -> None:
    assert verify(issue(grant)) == grant


@given(st.text(min_size=1, max_size=128))
def test_every_name_survives(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    grant = SubscribeGrant(StreamKey(AccountId("a"), StreamName(name)), SERVER)
    assert verify(issue(grant)) == grant


def test_a25_a_token_ends_with_its_lifetime_and_the_grace() -> None:
    token = issue()
    verify(token, after_s=59)
    verify(token, after_s=65, grace_s=10)
    for after_s, grace_s in ((60.0, 0.0), (70.0, 10.0), (1e9, 10.0)):
        with pytest.raises(InvalidToken):
            verify(token, after_s=after_s, grace_s=grace_s)


def test_a25_a_token_of_the_future_is_not_valid_yet() -> None:
    with pytest.raises(InvalidToken):
        verify(issue(), after_s=-60)


def test_a25_a_clock_that_steps_back_a_little_makes_no_token_invalid() -> None:
    assert verify(issue(), after_s=-0.5) == VIEWING
    assert verify(issue(), after_s=-jwt.LEEWAY_S) == VIEWING
    with pytest.raises(InvalidToken):
        verify(issue(), after_s=-jwt.LEEWAY_S - 1)


def test_a25_no_other_algorithm_is_taken() -> None:
    claims = pyjwt.decode(issue(), options={"verify_signature": False})
    long_key = KEY * 2
    for token, key in (
        (pyjwt.encode(claims, None, algorithm="none"), KEY),
        (pyjwt.encode(claims, long_key, algorithm="HS384"), long_key),
        (pyjwt.encode(claims, long_key, algorithm="HS512"), long_key),
    ):
        with pytest.raises(InvalidToken):
            jwt.verify(token, key, now_s=NOW_S, grace_s=0)


def test_a25_another_key_is_not_ours_whatever_the_header_names() -> None:
    claims = pyjwt.decode(issue(), options={"verify_signature": False})
    for headers in ({}, {"kid": "../../dev/null"}, {"jku": "https://evil.example/keys"}):
        with pytest.raises(InvalidToken):
            verify(pyjwt.encode(claims, bytes(32), algorithm="HS256", headers=headers))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "rostra2"},
        {"aud": "something"},
        {"aud": ["rostra-signalling"]},
        {"exp": "later"},
        {"exp": None},
        {"nbf": None},
        {"millicast": None},
        {"millicast": {}},
        {"millicast": {"type": "Admin", "streamAccountId": "a", "streamName": "b", "serverId": "c"}},
        {"millicast": {"type": "Subscribe", "streamAccountId": 1, "streamName": "b", "serverId": "c"}},
    ],
)
def test_claims_that_are_not_ours_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidToken):
        verify(forged(**changes))


def test_unknown_claims_do_no_harm() -> None:
    assert verify(forged(more=1)) == VIEWING


def test_a_token_over_the_cap_is_not_looked_at() -> None:
    with pytest.raises(InvalidToken):
        verify(issue() + "x" * jwt.MAX_TOKEN)
