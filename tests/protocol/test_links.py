"""Link header fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.protocol.links import link


def test_a_link_has_a_target_a_relation_and_attributes() -> None:
    written = link("turn:turn.example.net?transport=udp", "ice-server", username="u", credential_type="password")
    assert (
        written == '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="u"; credential-type="password"'
    )


def test_quotes_and_backslashes_are_escaped() -> None:
    assert link("x:", "r", credential='a"b\\c').endswith('credential="a\\"b\\\\c"')


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\0", "naïve", "\x7f"])
def test_what_no_header_can_hold_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="not a text for a header"):
        link("x:", "r", username=value)


@given(st.text())
def test_no_target_breaks_out(target: str) -> None:
    try:
        written = link(target, "r")
    except UnicodeEncodeError:
        return
    assert written.isascii()
    assert written.isprintable()
    assert (written.count("<"), written.count(">"), written.count('"')) == (1, 1, 2)
