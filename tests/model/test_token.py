"""Tokens and what they allow."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.model.ids import AccountId, StreamName, is_name, track_name
from rostra.model.media import Kind
from rostra.model.refused import InvalidToken, NameNotCovered, Unauthorized
from rostra.model.token import (
    Account,
    PublishToken,
    StreamPattern,
    SubscribeToken,
    check,
    check_same_account,
    is_public_while_offline,
)

ACCOUNT = AccountId("acc123")
TOKEN = PublishToken(ACCOUNT, "secret-value", "test", (StreamPattern("demo"), StreamPattern("show-*")))
DEMO = StreamName("demo")


@pytest.mark.parametrize(
    ("pattern", "name", "covers"),
    [
        ("demo", "demo", True),
        ("demo", "demo2", False),
        ("demo", "Demo", False),
        ("*", "anything", True),
        ("show-*", "show-", True),
        ("show-*", "my-show-1", False),
        ("*-cam", "front-cam", True),
        ("a*a", "a", False),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a*b*b*c", "abc", False),
        ("ab*bc", "abc", False),
        ("**", "x", True),
        ("[a-z]", "b", False),
        ("d.mo", "demo", False),
    ],
)
def test_a_pattern_covers_names(pattern: str, name: str, covers: bool) -> None:
    assert StreamPattern(pattern).covers(StreamName(name)) is covers


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_pattern_means_what_a_regular_expression_would(pattern: str, name: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert StreamPattern(pattern).covers(StreamName(name)) is (re.fullmatch(expression, name) is not None)


def test_a_good_token_opens_the_streams_that_it_covers() -> None:
    assert check(TOKEN, DEMO, now_s=0) is TOKEN
    with pytest.raises(NameNotCovered, match="StreamName is not valid for token"):
        check(TOKEN, StreamName("other"), now_s=0)


@pytest.mark.parametrize("token", [None, replace(TOKEN, is_active=False), replace(TOKEN, expires_at=100)])
def test_an_unknown_a_disabled_and_an_expired_token_look_the_same(token: PublishToken | None) -> None:
    with pytest.raises(InvalidToken, match="Unauthorized: Invalid token"):
        check(token, DEMO, now_s=100)


def test_a_token_is_good_until_it_expires() -> None:
    check(replace(TOKEN, expires_at=100), DEMO, now_s=99.9)


def test_a_request_may_repeat_the_account_of_its_token() -> None:
    check_same_account(ACCOUNT, None)
    check_same_account(ACCOUNT, ACCOUNT)
    with pytest.raises(Unauthorized):
        check_same_account(ACCOUNT, AccountId("other1"))


@pytest.mark.parametrize(
    ("tokens", "is_public"),
    [
        ((), False),
        ((TOKEN,), True),
        ((TOKEN, replace(TOKEN, subscribe_requires_auth=True)), False),
        ((TOKEN, replace(TOKEN, subscribe_requires_auth=True, is_active=False)), True),
        ((TOKEN, replace(TOKEN, subscribe_requires_auth=True, expires_at=5)), True),
        ((replace(TOKEN, expires_at=500),), True),
        ((replace(TOKEN, streams=(StreamPattern("other"),)),), False),
    ],
)
def test_an_offline_stream_is_public_when_whatever_could_publish_it_says_so(
    tokens: tuple[PublishToken, ...], is_public: bool
) -> None:
    assert is_public_while_offline(tokens, DEMO, now_s=100) is is_public


def test_secrets_do_not_show() -> None:
    shown = repr(TOKEN) + repr(SubscribeToken(ACCOUNT, "secret-value", "", ())) + repr(Account(ACCOUNT, "secret-value"))
    assert "secret-value" not in shown


@pytest.mark.parametrize(
    ("text", "good"), [("demo", True), ("x" * 128, True), ("x" * 129, False), ("", False), ("a\nb", False)]
)
def test_names_are_short_and_printable(text: str, good: bool) -> None:
    assert is_name(text) is good


def test_a_track_is_named_by_kind_and_place() -> None:
    assert [track_name(Kind.VIDEO), track_name(Kind.VIDEO, 1)] == ["video", "video-1"]
