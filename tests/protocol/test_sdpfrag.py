"""Fragments of trickle ICE."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.harness import OFFERS

from rostra.model.description import Candidate, IceCredentials
from rostra.model.media import Mid
from rostra.protocol import sdp, sdpfrag
from rostra.protocol.sdp import SdpError

CANDIDATE = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host generation 0"
ICE = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
HEAD = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"


def test_a_fragment_has_credentials_and_candidates() -> None:
    found = sdpfrag.parse(f"{HEAD}{ICE}{CANDIDATE}\r\na=end-of-candidates\r\n")
    assert found.ice == IceCredentials("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert [(one.address, one.port) for one in found.candidates] == [("192.0.2.1", 61764)]
    assert found.is_complete


def test_credentials_may_be_of_the_session_or_in_every_section() -> None:
    ice = IceCredentials("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    second = f"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n{ICE}"
    assert sdpfrag.parse(ICE + HEAD).ice == ice
    assert sdpfrag.parse(HEAD + ICE + second).ice == ice
    assert sdpfrag.parse(HEAD + CANDIDATE).ice is None


def test_lines_may_end_with_a_line_feed_alone() -> None:
    assert sdpfrag.parse(f"{HEAD}{ICE}".replace("\r\n", "\n")).ice is not None


def test_a_candidate_that_makes_no_sense_is_skipped() -> None:
    found = sdpfrag.parse(f"{HEAD}a=candidate:what\r\n{CANDIDATE}\r\na=candidate:\r\n")
    assert len(found.candidates) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("\r\n\r\n", "empty"),
        ("nonsense", "bad_line"),
        (HEAD + "a=ice-ufrag:EsAw\r\n", "bad_ice"),
        (HEAD + "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n", "bad_ice"),
        (HEAD + ICE + ICE, "bad_ice"),
        (ICE + HEAD + ICE.replace("EsAw", "Other"), "bad_ice"),
        (HEAD + "a=ice-ufrag:x\r\na=ice-pwd:y\r\n", "bad_ice"),
        (HEAD + "a=mid:\x00\r\n", "control_character"),
        (HEAD + f"{CANDIDATE}\r\n" * 257, "too_many_candidates"),
        ("a=x\r\n" * 20_000, "too_large"),
    ],
)
def test_what_is_no_fragment_is_refused(text: str, code: str) -> None:
    with pytest.raises(SdpError) as error:
        sdpfrag.parse(text)
    assert error.value.code == code


@given(st.text(max_size=300))
def test_any_text_is_a_fragment_or_an_error(text: str) -> None:
    with contextlib.suppress(SdpError):
        sdpfrag.parse(HEAD + text)


def test_what_is_written_can_be_read() -> None:
    candidate = Candidate("1", 1, "udp", 2130706431, "127.0.0.1", 8081, "host")
    ours = sdpfrag.Side(
        True, ("trickle", "ice2"), (Mid("0"),), "audio", "UDP/TLS/RTP/SAVPF", ("111",), Mid("0"), (candidate,)
    )
    ice = IceCredentials("fresh", "p" * 24)
    text = sdpfrag.write(ours, ice)
    assert text.startswith("a=ice-lite\r\na=ice-options:trickle ice2\r\na=group:BUNDLE 0\r\nm=audio 9 ")
    assert sdpfrag.parse(text) == sdpfrag.Fragment(ice, (candidate,), is_complete=True)


def test_our_side_is_that_of_the_m_line_that_speaks_for_the_bundle() -> None:
    description = sdp.parse((OFFERS / "chromium-publish.sdp").read_text())
    ours = sdpfrag.side(description)
    assert (ours.bundle, ours.kind, ours.mid) == (("0", "1"), "audio", "0")
