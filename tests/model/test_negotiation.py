"""What is answered to which offer. Offers are texts of real clients, or built here from values.

Long, because every rule of an answer is asked of publishers and viewers, with the same offers.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
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
    Parameters,
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
from rostra.model.media import (
    Codec,
    CodecSpec,
    DtlsRole,
    EncodingSpec,
    Extension,
    ExtensionKind,
    Kind,
    Mid,
    TrackId,
)
from rostra.model.negotiation import (
    MAX_ENCODINGS,
    MAX_FINGERPRINTS,
    Identity,
    NegotiationError,
    PublishAnswer,
    ViewAnswer,
    answer_publish,
    answer_view,
    slot_for,
)
from rostra.protocol.sdp import SdpError, parse, write

OFFERS = Path(__file__).parents[1] / "data" / "offers"
PUBLISHERS = sorted(path.stem for path in OFFERS.glob("*.sdp") if "view" not in path.stem)
VIEWERS = sorted(path.stem for path in OFFERS.glob("*view*.sdp"))
IDENTITY = Identity(
    ufrag="rostraufrag",
    pwd="rostrapasswordrostrapassword",
    fingerprint=":".join(["AB"] * 32),
    candidates=(("192.0.2.1", 8081), ("2001:db8::1", 8081)),
    cname="rostra-cname",
    session_id=1700000000000,
)
ICE = IceCredentials("peerufrag", "peerpasswordpeerpassword")
FINGERPRINT = Fingerprint("sha-256", bytes(range(32)))
PROTOCOL = "UDP/TLS/RTP/SAVPF"
FEEDBACK = [("goog-remb", None), ("transport-cc", None), ("ccm", "fir"), ("nack", None), ("nack", "pli")]


def real(name: str) -> SessionDescription:
    return parse((OFFERS / f"{name}.sdp").read_bytes().decode())


def publish(offer: SessionDescription, codec: Codec = Codec.H264) -> PublishAnswer:
    return answer_publish(offer, codec=codec, identity=IDENTITY, tracks=map(TrackId, itertools.count(1)))


def view(offer: SessionDescription, *, multiopus: bool = False) -> ViewAnswer:
    return answer_view(offer, identity=IDENTITY, ssrcs=itertools.count(1000), multiopus=multiopus)


def video(mid: str = "0", direction: Direction = Direction.SENDONLY, **changes: object) -> MediaDescription:
    """A video line with VP8 as 96 and its RTX as 97."""
    base = line(
        mid,
        direction,
        "video",
        [(96, "VP8/90000", ()), (97, "rtx/90000", (("apt", "96"),))],
        feedback=tuple(RtcpFeedback(96, *pair) for pair in FEEDBACK),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def audio(mid: str = "1", direction: Direction = Direction.SENDONLY, **changes: object) -> MediaDescription:
    return replace(line(mid, direction, "audio", [(111, "opus/48000/2", ())]), **changes)  # type: ignore[arg-type]


def line(
    mid: str,
    direction: Direction,
    kind: str,
    payloads: list[tuple[int, str, Parameters]],
    feedback: tuple[RtcpFeedback, ...] = (),
) -> MediaDescription:
    rtpmaps = []
    for number, encoding, _ in payloads:
        name, clock, *channels = encoding.split("/")
        rtpmaps.append(Rtpmap(number, name, int(clock), int(channels[0]) if channels else None))
    return MediaDescription(
        kind=kind,
        protocol=PROTOCOL,
        formats=tuple(str(number) for number, _, _ in payloads),
        mid=Mid(mid),
        direction=direction,
        rtcp_mux=True,
        rtpmaps=tuple(rtpmaps),
        fmtps=tuple(Fmtp(number, parameters) for number, _, parameters in payloads if parameters),
        feedback=feedback,
    )


def h264(number: int, profile: str, mode: int) -> tuple[int, str, Parameters]:
    return number, "H264/90000", (("packetization-mode", str(mode)), ("profile-level-id", profile))


def offering(*media: MediaDescription, **changes: object) -> SessionDescription:
    base = SessionDescription(
        Origin("-", 1, 1),
        groups=(Group("BUNDLE", tuple(m.mid for m in media if m.mid is not None)),),
        ice=ICE,
        fingerprints=(FINGERPRINT,),
        setup=Setup.ACTPASS,
        media=media,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def viewing(*media: MediaDescription) -> SessionDescription:
    return offering(*(replace(m, direction=Direction.RECVONLY) for m in media))


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(NegotiationError) as refused:
        act()
    assert str(refused.value) == f"{refused.value.code}: {refused.value.message}"
    assert refused.value.message.endswith(".")
    return refused.value.code


def codecs_of(answer: ViewAnswer, slot: int = 0) -> list[Codec]:
    return [spec.codec for spec in answer.slots[slot].codecs]


# --- Every offer --------------------------------------------------------------------------------------------------


def test_all_captured_offers_are_there() -> None:
    assert len(PUBLISHERS) >= 14
    assert len(VIEWERS) >= 7


@pytest.mark.parametrize("name", PUBLISHERS + VIEWERS)
def test_every_answer_keeps_to_the_rules(name: str) -> None:
    offer = real(name)
    answer = publish(offer) if name in PUBLISHERS else view(offer)
    description = answer.description
    assert parse(write(description)) == description
    assert description.ice_lite
    assert [(m.kind, m.mid, m.protocol) for m in description.media] == [
        (m.kind, m.mid, m.protocol) for m in offer.media
    ]
    assert description.groups == (Group("BUNDLE", tuple(m.mid for m in offer.media if m.mid is not None)),)
    wanted = Direction.SENDONLY if isinstance(answer, ViewAnswer) else Direction.RECVONLY
    for offered, answered in zip(offer.media, description.media, strict=True):
        assert answered.port == 9
        assert answered.direction in (wanted, Direction.INACTIVE)
        assert set(answered.formats) <= set(offered.formats)
        assert answered.formats
        assert {(e.id, e.uri) for e in answered.extmaps} <= {(e.id, e.uri) for e in offered.extmaps}
        assert answered.ice == IceCredentials(IDENTITY.ufrag, IDENTITY.pwd)
        assert answered.fingerprints == (Fingerprint("sha-256", b"\xab" * 32),)
        assert answered.candidates
        assert answered.end_of_candidates
        if answered.direction is wanted:
            assert answered.rtcp_mux
            assert answered.rtcp_rsize == offered.rtcp_rsize
            names = {r.name.lower() for r in answered.rtpmaps}
            assert names <= {"vp8", "vp9", "h264", "av1", "rtx", "opus", "multiopus"}
    specs = answer.spec.receive or answer.spec.slots
    assert [spec.mid for spec in specs] == [m.mid for m in description.media if m.direction is wanted]
    assert answer.spec.local_ufrag == IDENTITY.ufrag
    assert answer.spec.cname == IDENTITY.cname


# --- The transport ------------------------------------------------------------------------------------------------


def test_candidates_are_udp_hosts_with_falling_priorities_on_every_line() -> None:
    for media in publish(offering(video(), audio()), Codec.VP8).description.media:
        assert media.candidates == (
            Candidate("1", 1, "udp", 2130706431, "192.0.2.1", 8081, "host"),
            Candidate("2", 1, "udp", 2130706175, "2001:db8::1", 8081, "host"),
        )


def test_tcp_candidates_are_passive_hosts_below_all_of_udp() -> None:
    identity = replace(IDENTITY, tcp_candidates=IDENTITY.candidates)
    tracks = map(TrackId, itertools.count(1))
    answered = answer_publish(offering(video()), codec=Codec.VP8, identity=identity, tracks=tracks).description
    udp, tcp = answered.media[0].candidates[:2], answered.media[0].candidates[2:]
    passive = (("tcptype", "passive"),)
    assert tcp == (
        Candidate("3", 1, "tcp", 1671430143, "192.0.2.1", 8081, "host", passive),
        Candidate("4", 1, "tcp", 1671429887, "2001:db8::1", 8081, "host", passive),
    )
    assert min(one.priority for one in udp) > max(one.priority for one in tcp)
    assert "a=candidate:3 1 tcp 1671430143 192.0.2.1 8081 typ host tcptype passive\r\n" in write(answered)


@pytest.mark.parametrize(
    ("offered", "answered", "role"),
    [
        (Setup.ACTPASS, Setup.PASSIVE, DtlsRole.PASSIVE),
        (Setup.ACTIVE, Setup.PASSIVE, DtlsRole.PASSIVE),
        (Setup.PASSIVE, Setup.ACTIVE, DtlsRole.ACTIVE),
        (None, Setup.PASSIVE, DtlsRole.PASSIVE),
    ],
)
@pytest.mark.parametrize("on_media", [True, False])
def test_we_are_the_dtls_server_unless_the_peer_wants_to_be(
    offered: Setup | None, answered: Setup, role: DtlsRole, on_media: bool
) -> None:
    offer = (
        offering(video(setup=offered), setup=Setup.HOLDCONN if offered else None)
        if on_media
        else offering(video(), setup=offered)
    )
    answer = publish(offer, Codec.VP8)
    assert answer.description.media[0].setup is answered
    assert answer.spec.dtls_role is role


def test_a_role_that_nobody_names_is_the_active_one() -> None:
    """RFC 4145 §4.1: an offer without a=setup means active, so that the answer is passive."""
    assert publish(offering(video(), audio(), setup=None), Codec.VP8).spec.dtls_role is DtlsRole.PASSIVE


def test_the_role_and_the_fingerprints_are_those_of_the_first_line_of_the_bundle() -> None:
    """RFC 8843 §7.1.3: there is one transport, and its attributes are those of one line."""
    first, other = Fingerprint("sha-256", b"\1" * 32), Fingerprint("sha-256", b"\2" * 32)
    lines = (
        video(setup=Setup.ACTPASS, fingerprints=(other,)),
        audio(setup=Setup.PASSIVE, fingerprints=(first, FINGERPRINT)),
    )
    answer = publish(offering(*lines, groups=(Group("BUNDLE", (Mid("1"), Mid("0"))),)), Codec.VP8)
    assert answer.spec.fingerprints == (first, FINGERPRINT)
    assert answer.spec.dtls_role is DtlsRole.ACTIVE
    assert [media.setup for media in answer.description.media] == [Setup.ACTIVE, Setup.ACTIVE]


def test_fingerprints_of_a_line_replace_those_of_the_session() -> None:
    """RFC 8122 §5. So a line that names none but weak ones has none, whatever the session says."""
    weak = Fingerprint("sha-1", bytes(20))
    assert refusal(lambda: publish(offering(video(fingerprints=(weak,))), Codec.VP8)) == "weak_fingerprint"
    strong = (Fingerprint("sha-512", bytes(64)), Fingerprint("sha-384", bytes(48)))
    assert publish(offering(video(fingerprints=(weak, *strong))), Codec.VP8).spec.fingerprints == strong


def test_holdconn_is_refused() -> None:
    assert refusal(lambda: publish(offering(video(), setup=Setup.HOLDCONN), Codec.VP8)) == "bad_setup"


def test_credentials_and_fingerprints_may_stand_on_the_line_or_on_the_session() -> None:
    own_ice = IceCredentials("lineufrag", "linepasswordlinepassword")
    own_print = Fingerprint("sha-512", bytes(64))
    on_session = publish(offering(video()), Codec.VP8).spec
    on_line = publish(offering(video(ice=own_ice, fingerprints=(own_print,))), Codec.VP8).spec
    assert (on_session.remote_ufrag, on_session.remote_pwd) == (ICE.ufrag, ICE.pwd)
    assert on_session.fingerprints == (FINGERPRINT,)
    assert (on_line.remote_ufrag, on_line.remote_pwd) == (own_ice.ufrag, own_ice.pwd)
    assert on_line.fingerprints == (own_print,)


def test_the_transport_is_that_of_the_first_line_of_the_bundle() -> None:
    first = IceCredentials("firstufrag", "firstpasswordfirstpassword")
    offer = offering(video(ice=ICE), audio(ice=first), groups=(Group("BUNDLE", (Mid("1"), Mid("0"))),))
    answer = publish(offer, Codec.VP8)
    assert answer.spec.remote_ufrag == "firstufrag"
    assert answer.description.groups == (Group("BUNDLE", (Mid("1"), Mid("0"))),)


def test_only_strong_fingerprints_count() -> None:
    weak = Fingerprint("sha-1", bytes(20))
    strong = (Fingerprint("sha-384", bytes(48)), Fingerprint("sha-512", bytes(64)))
    answer = publish(offering(video(), fingerprints=(weak, FINGERPRINT, *strong, FINGERPRINT)), Codec.VP8)
    assert answer.spec.fingerprints == (FINGERPRINT, *strong)
    assert refusal(lambda: publish(offering(video(), fingerprints=(weak,)), Codec.VP8)) == "weak_fingerprint"


def test_more_fingerprints_than_the_media_plane_takes_are_left_out() -> None:
    many = tuple(Fingerprint("sha-256", bytes([i]) * 32) for i in range(MAX_FINGERPRINTS + 5))
    answer = publish(offering(video(), fingerprints=many), Codec.VP8)
    assert answer.spec.fingerprints == many[:MAX_FINGERPRINTS]


def test_aiortc_names_three_fingerprints_and_all_count() -> None:
    assert [f.hash for f in publish(real("aiortc-publish")).spec.fingerprints] == ["sha-256", "sha-384", "sha-512"]


@pytest.mark.parametrize(
    ("offer", "code"),
    [
        (offering(), "no_media"),
        (offering(video(), ice=None), "no_ice_credentials"),
        (replace(offering(video()), ice_lite=True), "ice_lite"),
        (offering(video(), fingerprints=()), "no_fingerprint"),
        (offering(replace(video(), mid=None)), "no_mid"),
        (offering(video(), audio(), groups=()), "no_bundle"),
        (offering(video(), audio(), groups=(Group("BUNDLE", (Mid("0"),)),)), "no_bundle"),
        (offering(video(), audio(), groups=(Group("LS", (Mid("0"), Mid("1"))),)), "no_bundle"),
        (offering(video(rtcp_mux=False)), "no_rtcp_mux"),
        (offering(video(), audio(rtcp_mux=False)), "no_rtcp_mux"),
        (offering(video(port=0)), "no_media"),
    ],
)
def test_an_offer_without_what_one_transport_needs_is_refused(offer: SessionDescription, code: str) -> None:
    assert refusal(lambda: publish(offer, Codec.VP8)) == code
    assert refusal(lambda: view(viewing(*offer.media) if code == "no_media" else offer)) == code


def test_a_single_line_needs_no_group() -> None:
    answer = publish(offering(video(), groups=()), Codec.VP8)
    assert answer.description.groups == ()
    assert len(answer.tracks) == 1


def test_a_bundle_only_line_is_muxed_as_the_tagged_one_says() -> None:
    """RFC 9143 §7.1.3: it has no attributes of the transport of its own."""
    answer = publish(offering(video(), audio(rtcp_mux=False, bundle_only=True, port=0)), Codec.VP8)
    assert len(answer.tracks) == 2
    assert all(media.rtcp_mux for media in answer.description.media)


def test_a_bundled_line_without_its_own_port_is_used() -> None:
    answer = publish(real("gstreamer-publish"))
    assert [track.mid for track in answer.tracks] == ["video0", "audio1"]
    assert [media.port for media in answer.description.media] == [9, 9]


def test_a_line_that_the_peer_rejected_stays_rejected() -> None:
    offer = offering(video(), replace(audio(port=0), mid=None), groups=(Group("BUNDLE", (Mid("0"),)),))
    answer = publish(offer, Codec.VP8)
    rejected = answer.description.media[1]
    assert (rejected.port, rejected.direction) == (0, Direction.INACTIVE)
    assert rejected.candidates == ()
    assert len(answer.tracks) == 1


def test_mixed_header_forms_are_allowed_when_the_offer_allows_them() -> None:
    assert publish(offering(video(), extmap_allow_mixed=True), Codec.VP8).description.extmap_allow_mixed
    assert not publish(offering(video()), Codec.VP8).description.extmap_allow_mixed
    per_line = publish(offering(video(extmap_allow_mixed=True)), Codec.VP8).description
    assert per_line.media[0].extmap_allow_mixed


# --- Publishing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.VP9, Codec.H264, Codec.AV1])
def test_exactly_the_requested_codec_and_its_rtx_is_answered(codec: Codec) -> None:
    answer = publish(real("chromium-publish"), codec)
    names = [rtpmap.name.lower() for rtpmap in answer.description.media[1].rtpmaps]
    assert names == [codec.value, "rtx"]
    (spec,) = answer.tracks[1].codecs
    assert spec.codec is codec
    assert answer.description.media[1].formats == (str(spec.payload_type), str(spec.rtx_payload_type))
    assert Fmtp(spec.rtx_payload_type or 0, (("apt", str(spec.payload_type)),)) in answer.description.media[1].fmtps


def test_h264_prefers_fragmentable_constrained_baseline() -> None:
    (spec,) = publish(real("chromium-publish")).tracks[1].codecs
    assert (spec.payload_type, spec.profile, spec.packetization_mode) == (108, 0x42E01F, 1)


@pytest.mark.parametrize(
    ("profiles", "chosen"),
    [
        ([("640c1f", 1), ("4d001f", 1), ("42001f", 1), ("42e01f", 1)], 99),
        ([("640c1f", 1), ("4d001f", 1), ("42001f", 1)], 98),
        ([("640c1f", 1), ("4d001f", 1)], 97),
        ([("42e01f", 0), ("640c1f", 1)], 97),
        ([("42e00b", 1), ("42e01f", 1), ("42c01f", 1)], 97),
        ([("42e01f", 0)], 96),
    ],
)
def test_the_h264_profile_that_most_viewers_decode_wins(profiles: list[tuple[str, int]], chosen: int) -> None:
    payloads = [h264(number, *profile) for number, profile in enumerate(profiles, 96)]
    answer = publish(offering(line("0", Direction.SENDONLY, "video", payloads)))
    assert answer.description.media[0].formats == (str(chosen),)


def test_h264_without_parameters_is_baseline_with_single_units() -> None:
    answer = publish(offering(line("0", Direction.SENDONLY, "video", [(96, "H264/90000", ())])))
    assert answer.tracks[0].codecs == (CodecSpec(96, Codec.H264, profile=0x420010),)


@pytest.mark.parametrize(
    "payload",
    [
        h264(96, "xyz", 1),
        h264(96, "42e01f", 2),
        (96, "H264/48000", ()),
        (96, "H265/90000", ()),
        (96, "VP8/90000", ()),
    ],
)
def test_a_publisher_without_the_requested_codec_is_refused(payload: tuple[int, str, Parameters]) -> None:
    offer = offering(line("0", Direction.SENDONLY, "video", [payload]), audio())
    assert refusal(lambda: publish(offer)) == "no_common_codec"


def test_a_publisher_of_vp9_profile_2_or_av1_profile_1_only_is_refused() -> None:
    vp9 = offering(line("0", Direction.SENDONLY, "video", [(96, "VP9/90000", (("profile-id", "2"),))]))
    av1 = offering(line("0", Direction.SENDONLY, "video", [(96, "AV1/90000", (("profile", "1"),))]))
    assert refusal(lambda: publish(vp9, Codec.VP9)) == "no_common_codec"
    assert refusal(lambda: publish(av1, Codec.AV1)) == "no_common_codec"


def test_a_publisher_with_no_opus_is_refused_rather_than_silent() -> None:
    offer = offering(video(), line("1", Direction.SENDONLY, "audio", [(0, "PCMU/8000", ())]))
    assert refusal(lambda: publish(offer, Codec.VP8)) == "no_common_codec"


def test_red_is_never_answered() -> None:
    payloads: list[tuple[int, str, Parameters]] = [
        (63, "red/48000/2", (("111/111", None),)),
        (111, "opus/48000/2", ()),
        (0, "PCMU/8000", ()),
    ]
    answer = publish(offering(line("0", Direction.SENDONLY, "audio", payloads)))
    assert answer.description.media[0].formats == ("111",)


def test_asking_for_an_audio_codec_as_video_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no video codec"):
        publish(offering(video()), Codec.OPUS)


def test_multiopus_is_chosen_where_a_publisher_offers_it() -> None:
    answer = publish(real("sdk-publish-multiopus"))
    (spec,) = answer.tracks[0].codecs
    assert spec == CodecSpec(121, Codec.MULTIOPUS)
    assert answer.description.media[0].fmtps == (
        Fmtp(
            121,
            (
                ("channel_mapping", "0,4,1,2,3,5"),
                ("coupled_streams", "2"),
                ("minptime", "10"),
                ("num_streams", "4"),
                ("useinbandfec", "1"),
            ),
        ),
    )


def test_multiopus_without_more_than_two_channels_is_not_known() -> None:
    payloads: list[tuple[int, str, Parameters]] = [(97, "multiopus/48000/2", ()), (111, "opus/48000/2", ())]
    answer = publish(offering(line("0", Direction.SENDONLY, "audio", payloads)))
    assert answer.tracks[0].codecs == (CodecSpec(111, Codec.OPUS),)


def test_stereo_and_dtx_are_echoed_when_offered() -> None:
    plain: Parameters = (("minptime", "10"), ("useinbandfec", "1"))
    munged = publish(real("sdk-publish-stereo-dtx")).description.media[0].fmtps
    assert munged == (Fmtp(111, (*plain, ("stereo", "1"), ("usedtx", "1"))),)
    assert publish(real("chromium-publish")).description.media[0].fmtps == (Fmtp(111, plain),)


def test_a_stranger_cannot_put_text_into_an_answer_by_a_parameter() -> None:
    parameters: Parameters = (("profile-id", "0"), ("x", "evil"))
    offer = viewing(
        line("0", Direction.RECVONLY, "video", [(96, "VP9/90000", parameters)]),
        line("1", Direction.RECVONLY, "audio", [(97, "multiopus/48000/6", (("channel_mapping", "<b>"),))]),
    )
    answer = view(offer, multiopus=True)
    assert answer.description.media[0].fmtps == (Fmtp(96, (("profile-id", "0"),)),)
    assert answer.description.media[1].fmtps == ()


def test_a_publisher_is_asked_for_retransmissions_even_without_rtx() -> None:
    answer = publish(real("libdatachannel-publish"))
    feedback = answer.description.media[1].feedback
    assert answer.tracks[1].codecs[0].rtx_payload_type is None
    assert RtcpFeedback(96, "nack") in feedback
    assert RtcpFeedback(96, "nack", "pli") in feedback


def test_feedback_for_all_payload_types_counts() -> None:
    media = video(feedback=(RtcpFeedback(None, "nack", "pli"),))
    answer = publish(offering(media), Codec.VP8)
    assert answer.description.media[0].feedback == (RtcpFeedback(96, "nack", "pli"),)


def test_tracks_take_the_ids_given_in_line_order() -> None:
    answer = answer_publish(
        real("chromium-publish"), codec=Codec.VP8, identity=IDENTITY, tracks=iter([TrackId(41), TrackId(7)])
    )
    assert [(t.track_id, t.kind, t.mid) for t in answer.tracks] == [(41, Kind.AUDIO, "0"), (7, Kind.VIDEO, "1")]
    assert [spec.track for spec in answer.spec.receive] == [41, 7]


def test_inactive_and_receiving_lines_of_a_publisher_are_answered_inactive() -> None:
    offer = offering(video(), audio(direction=Direction.INACTIVE), video("2", Direction.RECVONLY))
    answer = publish(offer, Codec.VP8)
    assert [m.direction for m in answer.description.media] == [
        Direction.RECVONLY,
        Direction.INACTIVE,
        Direction.INACTIVE,
    ]
    assert [m.formats for m in answer.description.media] == [("96", "97"), ("111",), ("96",)]
    assert answer.description.media[2].rtpmaps == (Rtpmap(96, "VP8", 90000),)
    assert [m.port for m in answer.description.media] == [9, 9, 9]


def test_a_second_video_line_without_the_codec_is_answered_inactive() -> None:
    other = line("2", Direction.SENDONLY, "video", [(98, "H265/90000", ())])
    answer = publish(offering(video(), audio(), other), Codec.VP8)
    assert answer.description.media[2].direction is Direction.INACTIVE
    assert answer.description.media[2].formats == ("98",)
    assert len(answer.tracks) == 2


def test_a_data_channel_is_answered_inactive_with_its_format() -> None:
    answer = publish(real("chromium-publish-datachannel"))
    media = answer.description.media[2]
    assert (media.kind, media.port, media.direction) == ("application", 9, Direction.INACTIVE)
    assert (media.formats, media.sctp_port) == (("webrtc-datachannel",), 5000)


def test_an_offer_that_sends_nothing_is_refused() -> None:
    assert refusal(lambda: publish(viewing(video(), audio()), Codec.VP8)) == "no_media"
    assert refusal(lambda: view(offering(video(), audio()))) == "no_media"


def test_plain_rtp_is_not_accepted() -> None:
    assert refusal(lambda: publish(offering(video(protocol="RTP/AVP")), Codec.VP8)) == "no_common_codec"


# --- Encodings ----------------------------------------------------------------------------------------------------


RID_EXTENSION = Extmap(10, ExtensionKind.RID)


def simulcast(*rids: str, restrictions: tuple[Parameters, ...] = ()) -> MediaDescription:
    limits = restrictions or ((),) * len(rids)
    return video(
        extmaps=(RID_EXTENSION,),
        rids=tuple(Rid(rid, RidDirection.SEND, (), limit) for rid, limit in zip(rids, limits, strict=True)),
        simulcast=Simulcast(send=tuple((SimulcastStream(rid),) for rid in rids)),
    )


def rids_of(media: MediaDescription) -> list[str | None]:
    return [encoding.rid for encoding in publish(offering(media), Codec.VP8).spec.receive[0].encodings]


def test_rid_simulcast_is_answered_with_recv() -> None:
    answer = publish(real("chromium-publish-simulcast"), Codec.VP8)
    media = answer.description.media[1]
    assert media.rids == tuple(Rid(rid, RidDirection.RECV) for rid in "lmh")
    assert media.simulcast == Simulcast(recv=tuple((SimulcastStream(rid),) for rid in "lmh"))
    assert answer.spec.receive[1].encodings == tuple(EncodingSpec(rid=rid) for rid in "lmh")


@pytest.mark.parametrize(
    ("offered", "lowest_first"),
    [
        (["a", "b", "c"], ["a", "b", "c"]),
        (["0", "2", "1"], ["0", "2", "1"]),
        (["f", "h", "q"], ["q", "h", "f"]),
        (["h", "m", "l"], ["l", "m", "h"]),
        (["hi", "mid", "lo"], ["lo", "mid", "hi"]),
        (["high", "med", "low"], ["low", "med", "high"]),
    ],
)
def test_rids_go_by_their_place_unless_their_names_are_sizes(offered: list[str], lowest_first: list[str]) -> None:
    assert rids_of(simulcast(*offered)) == lowest_first


def test_stated_sizes_decide_over_names_and_places() -> None:
    sizes: tuple[Parameters, ...] = tuple(
        (("max-width", str(width)), ("max-height", str(width * 9 // 16))) for width in (1280, 320, 640)
    )
    assert rids_of(simulcast("l", "m", "h", restrictions=sizes)) == ["m", "h", "l"]


def test_the_preferred_alternative_of_a_simulcast_stream_counts() -> None:
    media = simulcast("a", "b", "c")
    streams = ((SimulcastStream("a"), SimulcastStream("b")), (SimulcastStream("c", paused=True),))
    assert rids_of(replace(media, simulcast=Simulcast(send=streams))) == ["a", "c"]


def test_rids_without_a_simulcast_line_count_too() -> None:
    assert rids_of(replace(simulcast("a", "b"), simulcast=None)) == ["a", "b"]


def test_rids_that_cannot_be_told_apart_on_the_wire_are_no_simulcast() -> None:
    answer = publish(offering(replace(simulcast("a", "b"), extmaps=())), Codec.VP8)
    assert answer.spec.receive[0].encodings == (EncodingSpec(),)
    assert answer.description.media[0].simulcast is None
    assert answer.description.media[0].rids == ()


def test_more_rids_than_are_looked_at_are_left_out() -> None:
    assert len(rids_of(simulcast(*(f"r{i}" for i in range(MAX_ENCODINGS + 3))))) == MAX_ENCODINGS


@pytest.mark.parametrize("name", ["sdk-publish-sim", "sdk-publish-sim-audio-last"])
def test_a_sim_group_gives_encodings_from_lowest_to_highest(name: str) -> None:
    answer = publish(real(name), Codec.VP8)
    (spec,) = (spec for spec in answer.spec.receive if spec.kind is Kind.VIDEO)
    assert [(e.ssrc, e.rtx_ssrc) for e in spec.encodings][1:] == [(100, 101), (102, 103)]
    assert spec.encodings[0].ssrc == next(m for m in real(name).media if m.kind == "video").ssrc_groups[0].ssrcs[0]
    assert spec.encodings[0].rtx_ssrc is not None
    assert all(media.simulcast is None for media in answer.description.media)


def test_audio_keeps_its_own_ssrc_when_a_sim_group_lands_in_it() -> None:
    offer = real("sdk-publish-sim-audio-last")
    answer = publish(offer, Codec.VP8)
    (spec,) = (spec for spec in answer.spec.receive if spec.kind is Kind.AUDIO)
    assert spec.encodings == (EncodingSpec(ssrc=offer.media[1].ssrcs[0].ssrc),)


def test_a_plain_track_is_its_ssrc_with_its_retransmissions() -> None:
    media = video(
        ssrcs=(SsrcAttribute(6, "cname", "c"), SsrcAttribute(5, "cname", "c")), ssrc_groups=(SsrcGroup("FID", (5, 6)),)
    )
    assert publish(offering(media), Codec.VP8).spec.receive[0].encodings == (EncodingSpec(ssrc=5, rtx_ssrc=6),)


def test_a_track_without_rtx_has_no_retransmission_ssrc() -> None:
    media = line("0", Direction.SENDONLY, "video", [(96, "VP8/90000", ())])
    media = replace(media, ssrcs=(SsrcAttribute(5, "cname", "c"),), ssrc_groups=(SsrcGroup("FID", (5, 6)),))
    assert publish(offering(media), Codec.VP8).spec.receive[0].encodings == (EncodingSpec(ssrc=5),)


def test_a21_missing_ssrcs_leave_one_unnamed_encoding() -> None:
    assert publish(offering(video()), Codec.VP8).spec.receive[0].encodings == (EncodingSpec(),)


def test_a21_one_ssrc_for_two_tracks_is_refused() -> None:
    ssrcs = (SsrcAttribute(5, "cname", "c"),)
    assert refusal(lambda: publish(offering(video(ssrcs=ssrcs), audio(ssrcs=ssrcs)), Codec.VP8)) == "duplicate_ssrc"


def test_a21_an_ssrc_that_retransmits_itself_is_refused() -> None:
    media = video(
        ssrcs=(SsrcAttribute(4, "cname", "c"), SsrcAttribute(5, "cname", "c")),
        ssrc_groups=(SsrcGroup("SIM", (4, 5)), SsrcGroup("FID", (5, 5))),
    )
    assert refusal(lambda: publish(offering(media), Codec.VP8)) == "duplicate_ssrc"


def test_a21_degenerate_ssrc_groups_are_harmless() -> None:
    groups = tuple(SsrcGroup(name, ssrcs) for name in ("FID", "SIM") for ssrcs in ((), (5,), (5, 6, 7, 8)))
    media = video(ssrcs=(SsrcAttribute(5, "cname", "c"),), ssrc_groups=groups)
    encodings = publish(offering(media), Codec.VP8).spec.receive[0].encodings
    assert [encoding.ssrc for encoding in encodings] in ([5], [5, 6, 7, 8])


# --- Extensions ---------------------------------------------------------------------------------------------------


def test_known_extensions_keep_their_offered_ids() -> None:
    answer = publish(real("chromium-publish-simulcast"))
    assert set(answer.spec.extensions) == {
        Extension(1, ExtensionKind.AUDIO_LEVEL),
        Extension(3, ExtensionKind.TRANSPORT_CC),
        Extension(4, ExtensionKind.MID),
        Extension(5, ExtensionKind.PLAYOUT_DELAY),
        Extension(9, ExtensionKind.VIDEO_LAYERS_ALLOCATION),
        Extension(10, ExtensionKind.RID),
        Extension(11, ExtensionKind.REPAIRED_RID),
        Extension(12, ExtensionKind.DEPENDENCY_DESCRIPTOR),
    }


def test_abs_send_time_is_answered_only_where_transport_cc_is_missing() -> None:
    aiortc = publish(real("aiortc-publish"), Codec.VP8)
    chromium = publish(real("chromium-publish"))
    assert ExtensionKind.ABS_SEND_TIME in [extension.kind for extension in aiortc.spec.extensions]
    assert ExtensionKind.ABS_SEND_TIME not in [extension.kind for extension in chromium.spec.extensions]
    assert RtcpFeedback(97, "goog-remb") in aiortc.description.media[1].feedback
    assert "goog-remb" not in [line.type for line in chromium.description.media[1].feedback]


def test_the_first_id_of_an_extension_offered_twice_is_answered() -> None:
    extmaps = (Extmap(20, ExtensionKind.MID), Extmap(4, ExtensionKind.MID))
    answer = publish(offering(video(extmaps=extmaps), audio(extmaps=extmaps)), Codec.VP8)
    assert answer.spec.extensions == (Extension(20, ExtensionKind.MID),)
    assert [m.extmaps for m in answer.description.media] == [(Extmap(20, ExtensionKind.MID),)] * 2


def test_a_dependency_descriptor_offered_twice_is_answered_once_with_its_first_id_on_video() -> None:
    offer = real("sdk-publish-dd-twice")
    ids = [[extmap.id for extmap in media.extmaps if "dependency" in extmap.uri] for media in offer.media]
    assert ids == [[16], [16, 12]]
    answer = publish(offer)
    assert Extension(16, ExtensionKind.DEPENDENCY_DESCRIPTOR) in answer.spec.extensions
    sound, picture = answer.description.media
    assert [extmap.id for extmap in picture.extmaps if "dependency" in extmap.uri] == [16]
    assert [extmap.id for extmap in sound.extmaps if "dependency" in extmap.uri] == []


def test_vp8_is_not_described_by_dependency_descriptors_since_its_payload_would_lose_its_layers() -> None:
    media = video(extmaps=(Extmap(12, ExtensionKind.DEPENDENCY_DESCRIPTOR), Extmap(4, ExtensionKind.MID)))
    assert publish(offering(media), Codec.VP8).spec.extensions == (Extension(4, ExtensionKind.MID),)


def test_a_viewer_is_answered_the_dependency_descriptor_and_not_what_describes_a_publisher() -> None:
    extmaps = (
        Extmap(12, ExtensionKind.DEPENDENCY_DESCRIPTOR),
        Extmap(9, ExtensionKind.VIDEO_LAYERS_ALLOCATION),
        RID_EXTENSION,
    )
    answer = view(viewing(video(extmaps=extmaps)))
    assert answer.spec.extensions == (Extension(12, ExtensionKind.DEPENDENCY_DESCRIPTOR),)
    assert answer.description.media[0].extmaps == extmaps[:1]


def test_capture_times_are_of_pictures_and_of_sound_on_both_sides() -> None:
    extmaps = (Extmap(17, ExtensionKind.ABS_CAPTURE_TIME),)
    for answer in (
        publish(offering(video(extmaps=extmaps), audio(extmaps=extmaps)), Codec.VP8),
        view(viewing(video(extmaps=extmaps), audio(extmaps=extmaps))),
    ):
        assert [media.extmaps for media in answer.description.media] == [extmaps] * 2
        assert answer.spec.extensions == (Extension(17, ExtensionKind.ABS_CAPTURE_TIME),)


def test_a21_a_line_that_gives_an_extension_another_id_does_without() -> None:
    first, second = video(extmaps=(Extmap(4, ExtensionKind.MID),)), audio(extmaps=(Extmap(5, ExtensionKind.MID),))
    answer = publish(offering(first, second), Codec.VP8)
    assert answer.spec.extensions == (Extension(4, ExtensionKind.MID),)
    assert answer.description.media[1].extmaps == ()


def test_a21_a_line_that_gives_an_id_another_meaning_does_without() -> None:
    first, second = (
        video(extmaps=(Extmap(4, ExtensionKind.MID),)),
        audio(extmaps=(Extmap(4, ExtensionKind.AUDIO_LEVEL),)),
    )
    answer = publish(offering(first, second), Codec.VP8)
    assert answer.spec.extensions == (Extension(4, ExtensionKind.MID),)
    assert answer.description.media[1].extmaps == ()


def test_an_extension_is_answered_only_in_the_direction_of_media() -> None:
    towards_us = Extmap(1, ExtensionKind.MID, Direction.SENDONLY)
    away = Extmap(1, ExtensionKind.MID, Direction.RECVONLY)
    assert publish(offering(video(extmaps=(away,))), Codec.VP8).spec.extensions == ()
    assert view(viewing(video(extmaps=(towards_us,)))).spec.extensions == ()
    answered = publish(offering(video(extmaps=(towards_us,))), Codec.VP8).description.media[0].extmaps
    assert answered == (Extmap(1, ExtensionKind.MID, Direction.RECVONLY),)
    answered = view(viewing(video(extmaps=(away,)))).description.media[0].extmaps
    assert answered == (Extmap(1, ExtensionKind.MID, Direction.SENDONLY),)


def test_an_extension_is_answered_only_on_the_kind_of_line_that_uses_it() -> None:
    extmaps = (Extmap(1, ExtensionKind.AUDIO_LEVEL), Extmap(2, ExtensionKind.PLAYOUT_DELAY), RID_EXTENSION)
    picture, sound = publish(offering(video(extmaps=extmaps), audio(extmaps=extmaps)), Codec.VP8).description.media
    assert picture.extmaps == extmaps[1:]
    assert sound.extmaps == extmaps[:1]


def test_a_viewer_is_answered_no_rids() -> None:
    kinds = {extension.kind for extension in view(real("chromium-view")).spec.extensions}
    assert kinds == {
        ExtensionKind.MID,
        ExtensionKind.TRANSPORT_CC,
        ExtensionKind.PLAYOUT_DELAY,
        ExtensionKind.AUDIO_LEVEL,
    }


@pytest.mark.parametrize(
    "name", ["chromium-view", "chromium-view-multiplexed", "firefox-view", "sdk-view", "aiortc-view"]
)
def test_the_mid_extension_is_on_the_first_video_and_audio_line_of_a_viewer(name: str) -> None:
    for media in view(real(name)).description.media[:2]:
        assert ExtensionKind.MID in [extmap.uri for extmap in media.extmaps]


# --- Viewing ------------------------------------------------------------------------------------------------------


def test_a_viewer_gets_every_codec_that_may_be_forwarded_with_rtx() -> None:
    answer = view(real("chromium-view"))
    specs = answer.slots[0].codecs
    assert {spec.codec for spec in specs} == {Codec.VP8, Codec.VP9, Codec.H264, Codec.AV1}
    assert all(spec.rtx_payload_type is not None for spec in specs)
    assert {spec.profile for spec in specs if spec.codec is Codec.H264} == {0x42001F, 0x42E01F, 0x4D001F, 0xF4001F}
    assert {spec.packetization_mode for spec in specs if spec.codec is Codec.H264} == {1}
    assert [spec.profile for spec in specs if spec.codec is Codec.VP9] == [0]
    assert len([spec for spec in specs if spec.codec is Codec.AV1]) == 1
    assert codecs_of(answer, 1) == [Codec.OPUS]


def test_single_unit_h264_is_kept_where_a_viewer_has_nothing_better() -> None:
    payloads = [h264(96, "42e01f", 0), h264(97, "42001f", 0)]
    answer = view(offering(line("0", Direction.RECVONLY, "video", payloads)))
    assert [spec.payload_type for spec in answer.slots[0].codecs] == [96, 97]


def test_a_viewer_accepts_no_more_codecs_than_the_media_plane_takes() -> None:
    payloads = [h264(number, "42e01f", 1) for number in range(35, 125)]
    answer = view(offering(line("0", Direction.RECVONLY, "video", payloads)))
    assert len(answer.slots[0].codecs) == 32


def test_multiopus_is_left_out_unless_it_is_wanted() -> None:
    offer = real("sdk-view")
    assert codecs_of(view(offer), 1) == [Codec.OPUS]
    assert set(codecs_of(view(offer, multiopus=True), 1)) == {Codec.OPUS, Codec.MULTIOPUS}


def test_a_viewer_is_not_promised_retransmissions_without_rtx() -> None:
    media = line(
        "0",
        Direction.RECVONLY,
        "video",
        [(96, "VP8/90000", ())],
        feedback=(RtcpFeedback(96, "nack"), RtcpFeedback(96, "nack", "pli")),
    )
    answer = view(offering(media))
    assert answer.description.media[0].feedback == (RtcpFeedback(96, "nack", "pli"),)
    assert answer.description.media[0].ssrc_groups == ()


def test_main_video_and_audio_share_a_stream_and_the_rest_of_the_audio_another() -> None:
    answer = view(real("chromium-view-multiplexed"))
    msids = [msid for media in answer.description.media for msid in media.msid]
    assert [msid.stream for msid in msids] == ["main", "main", "multiplex", "multiplex"]
    assert len({msid.track for msid in msids}) == 4


def test_a_second_video_line_has_a_stream_of_its_own() -> None:
    answer = view(viewing(video("0"), video("1"), video("2")))
    assert len({media.msid[0].stream for media in answer.description.media}) == 3


def test_msids_do_not_depend_on_the_order_of_audio_and_video() -> None:
    answer = view(viewing(audio("0"), video("1"), audio("2")))
    assert [media.msid for media in answer.description.media] == [
        (Msid("main", "a0"),),
        (Msid("main", "v1"),),
        (Msid("multiplex", "a2"),),
    ]
    assert answer.main == {Kind.AUDIO: "0", Kind.VIDEO: "1"}


def test_slots_have_their_ssrcs_in_the_answer() -> None:
    answer = view(real("chromium-view"))
    picture, sound = answer.description.media
    assert (answer.slots[0].ssrc, answer.slots[0].rtx_ssrc) == (1000, 1001)
    assert picture.ssrc_groups == (SsrcGroup("FID", (1000, 1001)),)
    assert picture.ssrcs == tuple(SsrcAttribute(ssrc, "cname", "rostra-cname") for ssrc in (1000, 1001))
    assert sound.ssrc_groups == ()
    assert sound.ssrcs == (SsrcAttribute(1002, "cname", "rostra-cname"),)


def test_ssrcs_are_never_zero_nor_used_twice_nor_those_of_the_viewer() -> None:
    offered = replace(video(direction=Direction.SENDRECV), ssrcs=(SsrcAttribute(7, "cname", "x"),))
    answer = answer_view(
        offering(offered, audio(direction=Direction.SENDRECV)),
        identity=IDENTITY,
        ssrcs=iter([0, 7, 8, 8, 9, 8, 10, 11]),
    )
    assert [(slot.ssrc, slot.rtx_ssrc) for slot in answer.slots] == [(8, 9), (10, 11)]


def test_slots_are_in_line_order_and_main_is_the_first_of_each_kind() -> None:
    answer = view(real("chromium-view-multiplexed"))
    assert [slot.mid for slot in answer.slots] == ["0", "1", "2", "3"]
    assert answer.main == {Kind.VIDEO: "0", Kind.AUDIO: "1"}
    assert answer.spec.slots == answer.slots
    assert answer.templates == {Kind.VIDEO: answer.slots[0].codecs, Kind.AUDIO: answer.slots[1].codecs}


def test_a_viewer_of_audio_alone_has_no_video_template() -> None:
    answer = view(real("chromium-view-audio-only"))
    assert answer.main == {Kind.AUDIO: "0"}
    assert set(answer.templates) == {Kind.AUDIO}


def test_a_slot_for_a_line_of_no_offer_copies_the_template() -> None:
    template = view(real("chromium-view")).templates[Kind.VIDEO]
    slot = slot_for(template, Mid("7"), Kind.VIDEO, iter([21, 22]))
    assert (slot.mid, slot.kind, slot.ssrc, slot.rtx_ssrc, slot.codecs) == ("7", Kind.VIDEO, 21, 22, template)


def test_sendrecv_of_a_viewer_is_answered_sendonly() -> None:
    answer = view(offering(video(direction=Direction.SENDRECV), audio(direction=Direction.SENDRECV)))
    assert [media.direction for media in answer.description.media] == [Direction.SENDONLY] * 2


def test_a_viewer_without_a_codec_of_ours_is_refused() -> None:
    offer = viewing(line("0", Direction.RECVONLY, "video", [(96, "H265/90000", ())]), audio())
    assert refusal(lambda: view(offer)) == "no_common_codec"


def test_sending_lines_of_a_viewer_are_answered_inactive() -> None:
    answer = view(offering(video(direction=Direction.RECVONLY), audio(direction=Direction.SENDONLY)))
    assert answer.description.media[1].direction is Direction.INACTIVE
    assert answer.description.media[1].msid == ()
    assert len(answer.slots) == 1


# --- attacks, point 21 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "metadata.internal"])
def test_a21_candidates_of_a_peer_reach_neither_answer_nor_media_plane(address: str) -> None:
    sneaky = Candidate("1", 1, "udp", 1, address, 80, "host")
    plain = publish(offering(video()), Codec.VP8)
    assert publish(offering(video(candidates=(sneaky,))), Codec.VP8) == plain


def test_a21_two_hundred_and_fifty_six_lines_are_answered() -> None:
    answer = view(viewing(*(video(str(index)) for index in range(256))))
    assert len(answer.slots) == 256


def test_the_same_offer_gives_the_same_answer() -> None:
    for name in VIEWERS:
        assert view(real(name)) == view(real(name))


@given(st.sampled_from(PUBLISHERS + VIEWERS), st.integers(0, 10_000), st.integers(0, 120), st.text(max_size=5))
@settings(max_examples=200, deadline=None)
def test_a21_a_damaged_offer_is_answered_or_refused(name: str, at: int, length: int, patch: str) -> None:
    text = (OFFERS / f"{name}.sdp").read_bytes().decode()
    at %= len(text)
    try:
        offer = parse(text[:at] + patch + text[at + length :])
        answer = publish(offer).description if name in PUBLISHERS else view(offer).description
    except (SdpError, NegotiationError):
        return
    assert parse(write(answer)) == answer
