"""The text of session descriptions: what is read, what is refused, and that writing loses nothing."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rostra.model.description import (
    Candidate,
    Direction,
    Extmap,
    Fingerprint,
    Fmtp,
    Group,
    IceCredentials,
    MediaDescription,
    Msid,
    Origin,
    Rid,
    RidDirection,
    RtcpFeedback,
    Rtpmap,
    SessionDescription,
    Setup,
    Simulcast,
    SimulcastStream,
    SsrcAttribute,
    SsrcGroup,
)
from rostra.model.media import Mid
from rostra.protocol import sdp
from rostra.protocol.sdp import SdpError, parse, write

OFFERS = sorted((Path(__file__).parents[1] / "data" / "offers").glob("*.sdp"))
HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"


def code_of(text: str) -> str:
    with pytest.raises(SdpError) as refused:
        parse(text)
    assert str(refused.value) == f"{refused.value.code}: {refused.value.message}"
    return refused.value.code


def section(*attributes: str) -> MediaDescription:
    return parse(HEAD + VIDEO + "".join(f"a={attribute}\r\n" for attribute in attributes)).media[0]


def refusal(*attributes: str) -> str:
    return code_of(HEAD + VIDEO + "".join(f"a={attribute}\r\n" for attribute in attributes))


# --- Real offers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OFFERS, ids=lambda path: path.stem)
def test_an_offer_of_a_real_client_survives_a_round_trip(path: Path) -> None:
    description = parse(path.read_bytes().decode())
    assert description.media
    assert parse(write(description)) == description


def test_a_browser_offer_is_read_whole() -> None:
    description = parse((OFFERS[0].parent / "chromium-publish-simulcast.sdp").read_bytes().decode())
    assert description.origin == Origin("-", 2409937368080754280, 2)
    assert description.groups == (Group("BUNDLE", (Mid("0"), Mid("1"))),)
    assert description.extmap_allow_mixed
    audio, video = description.media
    assert (audio.kind, audio.mid, audio.direction, audio.setup) == ("audio", "0", Direction.SENDONLY, Setup.ACTPASS)
    assert audio.ice == IceCredentials("+D0K", "pMXVumjyYlQAaWE1DB0eYjOQ")
    assert audio.rtpmaps[0] == Rtpmap(111, "opus", 48000, 2)
    assert Fmtp(63, (("111/111", None),)) in audio.fmtps
    assert SsrcAttribute(407657074, "cname", "VpM/yk4ORESSYVYx") in audio.ssrcs
    assert RtcpFeedback(96, "nack", "pli") in video.feedback
    assert Extmap(10, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id") in video.extmaps
    assert [rid.id for rid in video.rids] == ["l", "m", "h"]
    assert video.simulcast == Simulcast(send=tuple((SimulcastStream(rid),) for rid in "lmh"))
    assert video.rtcp_mux
    assert video.rtcp_rsize


# --- Tolerance ----------------------------------------------------------------------------------------------------


def test_lines_may_end_with_a_bare_newline_and_the_last_may_lack_it() -> None:
    text = HEAD + VIDEO + "a=mid:0\r\n"
    assert parse(text.replace("\r\n", "\n")) == parse(text) == parse(text.removesuffix("\r\n"))


def test_empty_lines_are_skipped() -> None:
    assert parse(HEAD + "\r\n" + VIDEO + "\r\n \r\n") == parse(HEAD + VIDEO)


def test_unknown_attributes_and_line_types_are_ignored() -> None:
    noise = "a=x-unheard-of:1\r\na=\r\na=:\r\nb=AS:300\r\ni=title\r\nk=clear:1\r\n"
    assert parse(HEAD + noise + VIDEO + noise) == parse(HEAD + VIDEO)


def test_blanks_after_a_semicolon_of_fmtp_are_dropped() -> None:
    (fmtp,) = section("fmtp:96 minptime=10;useinbandfec=1; stereo=1;; usedtx = 1;").fmtps
    assert fmtp.parameters == (("minptime", "10"), ("useinbandfec", "1"), ("stereo", "1"), ("usedtx", "1"))


def test_an_extension_uri_may_come_twice_with_different_ids() -> None:
    assert section("extmap:3 urn:x", "extmap:16 urn:x").extmaps == (Extmap(3, "urn:x"), Extmap(16, "urn:x"))


def test_an_extension_keeps_its_direction_and_attributes() -> None:
    assert section("extmap:3/recvonly urn:x vad=on y").extmaps == (Extmap(3, "urn:x", Direction.RECVONLY, "vad=on y"),)


def test_a_line_inherits_direction_and_extensions_of_the_session() -> None:
    text = HEAD + "a=recvonly\r\na=extmap:1 urn:a\r\na=extmap:2 urn:b\r\n" + VIDEO + "a=extmap:7 urn:b\r\n" + VIDEO
    first, second = parse(text).media
    assert first.extmaps == (Extmap(1, "urn:a"), Extmap(7, "urn:b"))
    assert second.extmaps == (Extmap(1, "urn:a"), Extmap(2, "urn:b"))
    assert first.direction is second.direction is Direction.RECVONLY


def test_a_line_without_any_direction_sends_and_receives() -> None:
    assert section().direction is Direction.SENDRECV


def test_a_candidate_that_makes_no_sense_is_skipped() -> None:
    good = "candidate:1 1 UDP 2130706431 f3a1c2.local 9 typ host generation 0"
    bad = ["candidate:1", "candidate:1 1 udp x 192.0.2.1 9 typ host", "candidate:1 1 udp 1 192.0.2.1 99999 typ host"]
    assert section(good, *bad).candidates == (
        Candidate("1", 1, "udp", 2130706431, "f3a1c2.local", 9, "host", (("generation", "0"),)),
    )


def test_paused_and_alternative_simulcast_streams_are_read() -> None:
    simulcast = section("simulcast:recv x send a,~b;c").simulcast
    assert simulcast == Simulcast(
        send=((SimulcastStream("a"), SimulcastStream("b", paused=True)), (SimulcastStream("c"),)),
        recv=((SimulcastStream("x"),),),
    )


def test_a_rid_keeps_its_formats_and_restrictions() -> None:
    (rid,) = section("rid:hi send pt=96,97;max-width=1280;max-fps=30").rids
    assert rid == Rid("hi", RidDirection.SEND, (96, 97), (("max-width", "1280"), ("max-fps", "30")))


def test_formats_of_a_data_channel_are_names() -> None:
    (media,) = parse(HEAD + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n").media
    assert (media.formats, media.sctp_port) == (("webrtc-datachannel",), 5000)


def test_port_zero_means_rejected_unless_the_line_is_bundled() -> None:
    text = HEAD + "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n"
    assert parse(text).media[0].is_rejected
    assert not parse(text + "a=bundle-only\r\n").media[0].is_rejected


# --- Refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "missing_origin"),
        ("v=1\r\n", "bad_version"),
        ("o=- 1 1 IN IP4 127.0.0.1\r\nv=0\r\n", "bad_version"),
        ("v=0\r\ns=-\r\n", "missing_origin"),
        ("v=0\r\no=- 1\r\n", "bad_origin"),
        ("v=0\r\no=- -1 1 IN IP4 127.0.0.1\r\n", "bad_origin"),
        (HEAD + "nonsense\r\n", "bad_line"),
        (HEAD + "A=mid:0\r\n", "bad_line"),
        (HEAD + "a=group:BUNDLE " + "m" * 17 + "\r\n", "bad_mid"),
        (HEAD + "m=video 9 UDP/TLS/RTP/SAVPF\r\n", "bad_media"),
        (HEAD + "m=video 65536 UDP/TLS/RTP/SAVPF 96\r\n", "bad_media"),
        (HEAD + "m=video +9 UDP/TLS/RTP/SAVPF 96\r\n", "bad_media"),
        (HEAD + "m=video 9 UDP/TLS/RTP/SAVPF 96 96\r\n", "duplicate_payload_type"),
        (HEAD + "m=video 9 UDP/TLS/RTP/SAVPF 96 096\r\n", "duplicate_payload_type"),
        (HEAD + "m=video 9 UDP/TLS/RTP/SAVPF ٩٦\r\n", "bad_payload_type"),
    ],
)
def test_a_malformed_description_is_refused(text: str, code: str) -> None:
    assert code_of(text) == code


@pytest.mark.parametrize(
    ("attribute", "code"),
    [
        ("mid:", "bad_mid"),
        ("mid:a b", "bad_mid"),
        ("mid:" + "x" * 17, "bad_mid"),
        ("ice-ufrag:abc", "bad_ice"),
        ("ice-ufrag:ab cd", "bad_ice"),
        ("ice-ufrag:ab:cd", "bad_ice"),
        ("ice-pwd:" + "x" * 21, "bad_ice"),
        ("ice-pwd:" + "x" * 257, "bad_ice"),
        ("setup:both", "bad_setup"),
        ("fingerprint:sha-256", "bad_fingerprint"),
        ("fingerprint:sha-256 AB:CD", "bad_fingerprint"),
        ("fingerprint:sha-256 " + ":".join(["AG"] * 32), "bad_fingerprint"),
        ("fingerprint:x " + ":".join(["AB"] * 65), "bad_fingerprint"),
        ("rtpmap:96", "bad_rtpmap"),
        ("rtpmap:96 VP8", "bad_rtpmap"),
        ("rtpmap:96 VP8/0", "bad_rtpmap"),
        ("rtpmap:96 opus/48000/2/2", "bad_rtpmap"),
        ("fmtp:x a=1", "bad_payload_type"),
        ("rtcp-fb:96", "bad_feedback"),
        ("rtcp-fb:200 nack", "bad_payload_type"),
        ("extmap:1", "bad_extension"),
        ("extmap:1/both urn:x", "bad_extension"),
        ("extmap:1/ urn:x", "bad_extension"),
        ("ssrc:-1 cname:x", "bad_ssrc"),
        ("ssrc:4294967296 cname:x", "bad_ssrc"),
        ("ssrc-group:FID 1 x", "bad_ssrc"),
        ("rid:a", "bad_rid"),
        ("rid:a both", "bad_rid"),
        ("rid:a:b send", "bad_rid"),
        ("rid:a send pt=", "bad_payload_type"),
        ("simulcast:", "bad_simulcast"),
        ("simulcast:send", "bad_simulcast"),
        ("simulcast:send a send b", "bad_simulcast"),
        ("simulcast:send a;;b", "bad_simulcast"),
        ("msid:", "bad_msid"),
    ],
)
def test_a_malformed_attribute_is_refused(attribute: str, code: str) -> None:
    assert refusal(attribute) == code


def test_a_message_never_repeats_much_of_the_offender() -> None:
    with pytest.raises(SdpError) as refused:
        parse(HEAD + VIDEO + "a=mid:" + "<script>" * 500)
    assert len(refused.value.message) < 120


def test_a_password_is_not_in_the_message_nor_in_the_repr() -> None:
    with pytest.raises(SdpError) as refused:
        parse(HEAD + VIDEO + "a=ice-pwd:short-secret")
    assert "short-secret" not in str(refused.value)
    assert "secretsecretsecretsecret" not in repr(section("ice-ufrag:abcd", "ice-pwd:secretsecretsecretsecret"))


@pytest.mark.parametrize(
    ("attribute", "count", "code"),
    [
        ("fmtp:96 a={}", sdp.MAX_FMTPS, "too_many_fmtps"),
        ("rtcp-fb:96 x{}", sdp.MAX_FEEDBACK, "too_many_feedbacks"),
        ("ssrc:{} cname:x", sdp.MAX_SSRC_LINES, "too_many_ssrcs"),
        ("ssrc-group:FID {} 1", sdp.MAX_SSRC_GROUPS, "too_many_ssrcs"),
        ("rid:{} send", sdp.MAX_RIDS, "too_many_rids"),
        ("candidate:{} 1 udp 1 192.0.2.1 9 typ host", sdp.MAX_CANDIDATES, "too_many_candidates"),
        ("msid:s t{}", sdp.MAX_MSIDS, "too_many_msids"),
        ("fingerprint:x AA{}", sdp.MAX_FINGERPRINTS, "too_many_fingerprints"),
    ],
)
def test_a_cap_is_the_last_number_that_is_accepted(attribute: str, count: int, code: str) -> None:
    def lines(number: int) -> list[str]:
        filler = (f":{i:02X}" for i in range(number)) if attribute.startswith("fingerprint") else range(number)
        return [attribute.format(i) for i in filler]

    section(*lines(count))
    assert refusal(*lines(count + 1)) == code


def test_a_value_with_a_line_break_cannot_be_written() -> None:
    sneaky = SessionDescription(
        Origin("-", 1, 1), media=(MediaDescription("video", "x", ("y",), msid=(Msid("a\r\na=b"),)),)
    )
    with pytest.raises(SdpError) as refused:
        write(sneaky)
    assert refused.value.code == "control_character"


# --- attacks, point 21 --------------------------------------------------------------------------------------------


def test_a21_a_megabyte_is_refused_by_its_length() -> None:
    assert code_of(HEAD + "a=x:" + "y" * 1_000_000) == "too_large"


def test_a21_ten_thousand_m_lines_are_refused_after_the_first_that_is_too_many() -> None:
    line = "m=a 9 b c\n"
    small, large = (HEAD + line * count for count in (257, 10_000))
    assert len(large) < sdp.MAX_TEXT

    def seconds(text: str) -> float:
        best = 1.0
        for _ in range(5):
            start = time.perf_counter()
            assert code_of(text) == "too_many_media"
            best = min(best, time.perf_counter() - start)
        return best

    # 40 times the lines cost one split more, not 40 times the parsing.
    assert seconds(large) < 10 * seconds(small) + 0.005


def test_a21_two_hundred_and_fifty_six_m_lines_are_read() -> None:
    text = HEAD + "".join(f"m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:{index}\n" for index in range(256))
    assert len(parse(text).media) == 256


def test_a21_ten_thousand_candidates_are_refused() -> None:
    assert code_of(HEAD + VIDEO + "a=candidate:1\n" * 10_000) == "too_many_candidates"


def test_a21_a_long_line_is_refused() -> None:
    assert code_of(HEAD + "a=x:" + "y" * sdp.MAX_LINE) == "line_too_long"


def test_a21_duplicate_mids_are_refused() -> None:
    assert code_of(HEAD + (VIDEO + "a=mid:0\r\n") * 2) == "duplicate_mid"


def test_the_same_extension_twice_is_no_error() -> None:
    line = "a=extmap:1 urn:a\r\n"
    (media,) = sdp.parse(HEAD + VIDEO + line * 2).media
    assert [(one.id, one.uri) for one in media.extmaps] == [(1, "urn:a")]


def test_a21_one_extension_id_for_two_meanings_is_refused() -> None:
    assert refusal("extmap:1 urn:a", "extmap:1 urn:b") == "duplicate_extension"


@pytest.mark.parametrize("number", ["0", "256", "4096", "-1", "1_0", "99999999999999999999999999"])
def test_a21_an_extension_id_outside_1_to_255_is_refused(number: str) -> None:
    assert refusal(f"extmap:{number} urn:a") == "bad_extension"


@pytest.mark.parametrize("number", ["128", "255", "-1", "1e1", "99999999999999999999999999"])
def test_a21_a_payload_type_above_127_is_refused(number: str) -> None:
    assert code_of(HEAD + f"m=video 9 UDP/TLS/RTP/SAVPF {number}\r\n") == "bad_payload_type"
    assert refusal(f"rtpmap:{number} VP8/90000") == "bad_payload_type"


def test_a21_a_payload_type_with_two_meanings_is_refused() -> None:
    assert refusal("rtpmap:96 VP8/90000", "rtpmap:96 H264/90000") == "duplicate_payload_type"


@pytest.mark.parametrize("character", ["\0", "\x01", "\x0b", "\x1b", "\x7f"])
def test_a21_control_characters_are_refused(character: str) -> None:
    assert code_of(HEAD + f"a=x:{character}\r\n") == "control_character"


def test_a21_a_bare_carriage_return_does_not_start_a_line() -> None:
    assert code_of(HEAD + "a=x:1\ra=mid:0\r\n") == "control_character"


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029"])
def test_a21_only_newlines_separate_lines(separator: str) -> None:
    assert section(f"x:1{separator}a=mid:0").mid is None


# --- Properties ---------------------------------------------------------------------------------------------------

ATTRIBUTES = (
    *("mid", "rtpmap", "fmtp", "rtcp-fb", "extmap", "ssrc", "ssrc-group"),
    *("rid", "simulcast", "msid", "candidate", "fingerprint", "group", "setup"),
)
token = st.from_regex(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,12}", fullmatch=True)
visible = st.from_regex(r"[\x21-\x7e]{1,12}", fullmatch=True)
word = st.from_regex(r"[0-9A-Za-z\-]{1,12}", fullmatch=True)
number32 = st.integers(0, 2**32 - 1)
payload_type = st.integers(0, 127)
parameters = st.lists(st.tuples(word, st.none() | word), max_size=3).map(tuple)
rid_name = st.from_regex(r"[0-9A-Za-z_\-]{1,16}", fullmatch=True)
ice = st.builds(
    IceCredentials,
    st.from_regex(r"[0-9A-Za-z+/]{4,8}", fullmatch=True),
    st.from_regex(r"[0-9A-Za-z+/]{22,30}", fullmatch=True),
)
fingerprint = st.builds(Fingerprint, st.just("sha-256"), st.binary(min_size=32, max_size=32)) | st.builds(
    Fingerprint, st.just("sha-512"), st.binary(min_size=64, max_size=64)
)
simulcast_list = st.lists(
    st.lists(st.builds(SimulcastStream, rid_name, st.booleans()), min_size=1, max_size=2).map(tuple), max_size=3
).map(tuple)
candidate = st.builds(
    Candidate,
    word,
    st.integers(1, 256),
    st.sampled_from(["udp", "tcp"]),
    number32,
    st.sampled_from(["192.0.2.1", "2001:db8::1", "a.local"]),
    st.integers(0, 65535),
    st.sampled_from(["host", "srflx"]),
    st.lists(st.tuples(word, visible), max_size=2).map(tuple),
)


@st.composite
def media_descriptions(draw: st.DrawFn, mid: Mid) -> MediaDescription:
    is_rtp = draw(st.booleans())
    formats = draw(st.lists(payload_type, min_size=1, max_size=4, unique=True))
    send, recv = draw(simulcast_list), draw(simulcast_list)
    return MediaDescription(
        kind=draw(st.sampled_from(["audio", "video", "application"])),
        protocol="UDP/TLS/RTP/SAVPF" if is_rtp else "UDP/DTLS/SCTP",
        formats=tuple(map(str, formats)) if is_rtp else ("webrtc-datachannel",),
        port=draw(st.integers(0, 65535)),
        mid=draw(st.none() | st.just(mid)),
        direction=draw(st.sampled_from(Direction)),
        ice=draw(st.none() | ice),
        ice_options=draw(st.lists(word, max_size=2).map(tuple)),
        fingerprints=draw(st.lists(fingerprint, max_size=2).map(tuple)),
        setup=draw(st.none() | st.sampled_from(Setup)),
        candidates=draw(st.lists(candidate, max_size=2).map(tuple)),
        end_of_candidates=draw(st.booleans()),
        bundle_only=draw(st.booleans()),
        rtcp_mux=draw(st.booleans()),
        rtcp_rsize=draw(st.booleans()),
        extmap_allow_mixed=draw(st.booleans()),
        msid=draw(st.lists(st.builds(Msid, visible, st.none() | visible), max_size=2).map(tuple)),
        rtpmaps=tuple(
            draw(st.builds(Rtpmap, st.just(f), token, st.integers(1, 10**7), st.none() | st.integers(1, 255)))
            for f in formats
        ),
        fmtps=draw(st.lists(st.builds(Fmtp, payload_type, parameters), max_size=3).map(tuple)) if is_rtp else (),
        feedback=draw(
            st.lists(st.builds(RtcpFeedback, st.none() | payload_type, token, st.none() | visible), max_size=3).map(
                tuple
            )
        ),
        extmaps=tuple(
            draw(st.builds(Extmap, st.just(i), visible, st.none() | st.sampled_from(Direction), st.none() | visible))
            for i in draw(st.lists(st.integers(1, 255), max_size=3, unique=True))
        ),
        ssrcs=draw(st.lists(st.builds(SsrcAttribute, number32, word, st.none() | visible), max_size=3).map(tuple)),
        ssrc_groups=draw(
            st.lists(st.builds(SsrcGroup, token, st.lists(number32, max_size=3).map(tuple)), max_size=2).map(tuple)
        ),
        rids=tuple(
            draw(
                st.builds(Rid, st.just(r), st.sampled_from(RidDirection), st.lists(payload_type).map(tuple), parameters)
            )
            for r in draw(st.lists(rid_name, max_size=3, unique=True))
        ),
        simulcast=Simulcast(send, recv) if send or recv else None,
        sctp_port=draw(st.none() | st.integers(0, 65535)),
    )


@st.composite
def descriptions(draw: st.DrawFn) -> SessionDescription:
    mids = draw(st.lists(st.from_regex(r"[0-9A-Za-z]{1,16}", fullmatch=True).map(Mid), max_size=3, unique=True))
    return SessionDescription(
        origin=draw(st.builds(Origin, visible, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))),
        name=draw(visible),
        groups=draw(st.lists(st.builds(Group, token, st.just(tuple(mids))), max_size=2).map(tuple)),
        extmap_allow_mixed=draw(st.booleans()),
        msid_semantic=draw(st.lists(visible, max_size=2).map(tuple)),
        ice_lite=draw(st.booleans()),
        ice=draw(st.none() | ice),
        ice_options=draw(st.lists(word, max_size=2).map(tuple)),
        fingerprints=draw(st.lists(fingerprint, max_size=2).map(tuple)),
        setup=draw(st.none() | st.sampled_from(Setup)),
        media=tuple(draw(media_descriptions(mid)) for mid in mids),
    )


@given(descriptions())
@settings(max_examples=60, deadline=None)
def test_what_is_written_reads_back_as_the_same_values(description: SessionDescription) -> None:
    text = write(description)
    assert parse(text) == description
    assert write(parse(text)) == text


@given(st.text(max_size=300) | st.text(max_size=300).map(lambda text: HEAD + VIDEO + text))
@settings(deadline=None)
def test_arbitrary_text_is_read_or_refused(text: str) -> None:
    try:
        description = parse(text)
    except SdpError:
        return
    assert parse(write(description)) == description


@given(
    st.lists(
        st.tuples(
            st.sampled_from(ATTRIBUTES),
            st.text(st.sampled_from(" \t:;,=/~-0123456789abcXYZ*\u00a0é"), max_size=30),
        ),
        max_size=6,
    )
)
@settings(max_examples=300, deadline=None)
def test_mangled_attributes_are_read_or_refused(attributes: list[tuple[str, str]]) -> None:
    try:
        description = parse(HEAD + VIDEO + "".join(f"a={name}:{value}\r\n" for name, value in attributes))
    except SdpError:
        return
    assert parse(write(description)) == description


@given(st.sampled_from(OFFERS), st.integers(0, 10_000), st.integers(0, 200), st.text(max_size=5))
@settings(max_examples=200, deadline=None)
def test_a_damaged_offer_is_read_or_refused(path: Path, at: int, length: int, patch: str) -> None:
    text = path.read_bytes().decode()
    at %= len(text)
    try:
        description = parse(text[:at] + patch + text[at + length :])
    except SdpError:
        return
    assert parse(write(description)) == description
