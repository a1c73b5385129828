"""If-Match."""

import pytest

from rostra.protocol.conditions import Condition, if_match

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (None, Condition.MISSING),
        ("", Condition.MISSING),
        ("  ", Condition.MISSING),
        ("*", Condition.HOLDS),
        ('"*"', Condition.HOLDS),
        (ETAG, Condition.HOLDS),
        (f'"x" , {ETAG}', Condition.HOLDS),
        ('"ABC"', Condition.FAILED),
        (f"W/{ETAG}", Condition.FAILED),
        ('"x"', Condition.FAILED),
        ('""', Condition.FAILED),
        ("abc", Condition.MALFORMED),
        ('"abc', Condition.MALFORMED),
        (f"{ETAG} {ETAG}", Condition.MALFORMED),
        (f"{ETAG},", Condition.MALFORMED),
        ("'abc'", Condition.MALFORMED),
    ],
)
def test_the_present_state_is_meant_or_not(header: str | None, condition: Condition) -> None:
    assert if_match(header, ETAG) is condition


def test_a_list_is_read_up_to_its_cap() -> None:
    assert if_match(", ".join(['"x"'] * 15 + [ETAG]), ETAG) is Condition.HOLDS
    assert if_match(", ".join(['"x"'] * 16 + [ETAG]), ETAG) is Condition.FAILED
