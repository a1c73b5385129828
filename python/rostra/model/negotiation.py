"""Offer in, answer out (docs/protocol/sdp.md): which codecs, extensions and slots a peer connection gets.

Pure: credentials, ids and SSRCs come in as arguments, and the same arguments give the same answer. What the media
plane must know is the ``TransportSpec`` of the answer; nothing else of the description matters afterwards. The file is
long because an answer and its spec are two views of one decision and must not disagree.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from rostra.model.description import (
    Candidate,
    Direction,
    Extmap,
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
from rostra.model.extensions import Extensions
from rostra.model.media import (
    Codec,
    CodecSpec,
    DtlsRole,
    EncodingSpec,
    Extension,
    ExtensionKind,
    Fingerprint,
    Kind,
    Mid,
    ReceiveSpec,
    SlotSpec,
    TrackId,
    TransportSpec,
)
from rostra.model.payloads import VIDEO_CODECS, Payload, forwardable, published, viewable

MAX_FINGERPRINTS: Final = 16
"""Fingerprints of one peer that the media plane takes."""
MAX_ENCODINGS: Final = 8
"""Simulcast encodings of one track that are looked at; browsers send three, RFC 8853 sets no limit."""

_STRONG_HASHES: Final = frozenset({"sha-256", "sha-384", "sha-512"})
_FIRST_PRIORITY: Final = (126 << 24) | (65535 << 8) | 255  # RFC 8445 §5.1.2.1: host, component 1
_FIRST_TCP_PRIORITY: Final = (99 << 24) | (((4 << 13) | 8191) << 8) | 255
"""RFC 6544 §4.2: the type preference of a host below that over UDP, the direction preference of a passive one."""
_PASSIVE: Final = (("tcptype", "passive"),)
_MAIN_STREAM: Final = "main"
_MULTIPLEX_STREAM: Final = "multiplex"
_RID_SCALES: Final = (
    ("q", "h", "f"),
    ("l", "m", "h"),
    ("lo", "mid", "hi"),
    ("low", "mid", "high"),
    ("low", "med", "high"),
)
"""Names that say their size. Everything else goes by its place in the offer."""


class NegotiationError(ValueError):
    """The offer cannot be answered. ``code`` is stable, ``message`` is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Identity:
    """Our side of one peer connection. ``fingerprint`` is SHA-256 as colon-separated hex; candidates best first."""

    ufrag: str
    pwd: str = field(repr=False)
    fingerprint: str
    candidates: tuple[tuple[str, int], ...]  # (ip literal, UDP port)
    cname: str
    session_id: int  # of the o= line, below 2**63
    tcp_candidates: tuple[tuple[str, int], ...] = ()  # likewise, where the peer may connect by TCP


@dataclass(frozen=True, slots=True)
class PublishedTrack:
    """A track that the publisher will send."""

    track_id: TrackId
    kind: Kind
    mid: Mid
    codecs: tuple[CodecSpec, ...]


@dataclass(frozen=True, slots=True)
class PublishAnswer:
    """The answer to a publisher; tracks in m-line order."""

    description: SessionDescription
    spec: TransportSpec
    tracks: tuple[PublishedTrack, ...]


@dataclass(frozen=True, slots=True)
class ViewAnswer:
    """The answer to a viewer.

    ``slots`` are in m-line order. ``main`` is the first slot of each kind, ``templates`` its codecs: an m-line that
    the client adds later on its own copies them, so that ``slot_for`` can make a slot that no offer contained.
    """

    description: SessionDescription
    spec: TransportSpec
    slots: tuple[SlotSpec, ...]
    main: Mapping[Kind, Mid]
    templates: Mapping[Kind, tuple[CodecSpec, ...]]


def answer_publish(
    offer: SessionDescription, *, codec: Codec, identity: Identity, tracks: Iterator[TrackId]
) -> PublishAnswer:
    """Accept every m-line that sends: video with ``codec`` and nothing else, audio with opus or multiopus.

    Args:
        offer: what the publisher offers.
        codec: the video codec that the publisher asked for. A browser sends whatever the answer lists first,
            so the answer lists one.
        identity: our side.
        tracks: fresh ids; one is taken for each accepted m-line.

    Raises:
        NegotiationError: with one of the codes of docs/protocol/sdp.md.
    """
    if codec not in VIDEO_CODECS:
        raise ValueError(f"{codec} is no video codec")
    peer = _peer(offer)
    extensions = Extensions(Direction.SENDONLY, codec)
    groups = [group for media in offer.media for group in media.ssrc_groups]
    sections: list[MediaDescription] = []
    receive: list[ReceiveSpec] = []
    for media in offer.media:
        payload = published(media, codec) if _is_sent(media) else None
        if payload is None:
            sections.append(_inactive(media, codec))
            continue
        extmaps = extensions.accept(media)
        encodings = _encodings(media, groups, payload.spec, _has_rid(extmaps))
        spec = ReceiveSpec(_mid(media), next(tracks), Kind(media.kind), (payload.spec,), encodings)
        receive.append(spec)
        rids = tuple(encoding.rid for encoding in encodings if encoding.rid is not None)
        accepted = _accepted(media, Direction.RECVONLY, [payload], extmaps, retransmits=True)
        sections.append(
            replace(
                accepted,
                rids=tuple(Rid(rid, RidDirection.RECV) for rid in rids),
                simulcast=Simulcast(recv=tuple((SimulcastStream(rid),) for rid in rids)) if rids else None,
            )
        )
    wanted = [media for media in offer.media if _is_sent(media)]
    _refuse_unless_usable(wanted, {spec.kind for spec in receive}, f"{codec} video or opus audio", "sends")
    _refuse_shared_ssrcs(receive)
    return PublishAnswer(
        description=_description(offer, sections, identity, peer),
        spec=_spec(peer, identity, extensions, receive=tuple(receive)),
        tracks=tuple(PublishedTrack(spec.track, spec.kind, spec.mid, spec.codecs) for spec in receive),
    )


def answer_view(
    offer: SessionDescription, *, identity: Identity, ssrcs: Iterator[int], multiopus: bool = False
) -> ViewAnswer:
    """Accept every m-line that receives, with every codec that we may ever forward to it.

    Args:
        offer: what the viewer offers.
        identity: our side.
        ssrcs: random 32-bit numbers; zero, and what the offer or the answer already uses, is skipped.
        multiopus: whether to accept multi-channel opus. Browsers offer it always and play it only where a source
            has more than two channels.

    Raises:
        NegotiationError: with one of the codes of docs/protocol/sdp.md.
    """
    peer = _peer(offer)
    extensions = Extensions(Direction.RECVONLY)
    fresh = _unused(ssrcs, {line.ssrc for media in offer.media for line in media.ssrcs})
    sections: list[MediaDescription] = []
    slots: list[SlotSpec] = []
    main: dict[Kind, Mid] = {}
    templates: dict[Kind, tuple[CodecSpec, ...]] = {}
    for media in offer.media:
        payloads = viewable(media, multiopus=multiopus) if _is_watched(media) else []
        if not payloads:
            sections.append(_inactive(media, None))
            continue
        slot = slot_for(tuple(payload.spec for payload in payloads), _mid(media), Kind(media.kind), fresh)
        slots.append(slot)
        accepted = _accepted(media, Direction.SENDONLY, payloads, extensions.accept(media), retransmits=False)
        sections.append(_with_slot(accepted, slot, identity.cname, first=slot.kind not in main))
        main.setdefault(slot.kind, slot.mid)
        templates.setdefault(slot.kind, slot.codecs)
    wanted = [media for media in offer.media if _is_watched(media)]
    _refuse_unless_usable(wanted, set(main), "a video codec of VP8, VP9, H264 and AV1, or opus audio", "receives")
    return ViewAnswer(
        description=_description(offer, sections, identity, peer),
        spec=_spec(peer, identity, extensions, slots=tuple(slots)),
        slots=tuple(slots),
        main=main,
        templates=templates,
    )


def slot_for(template: tuple[CodecSpec, ...], mid: Mid, kind: Kind, ssrcs: Iterator[int]) -> SlotSpec:
    """A slot with the next two SSRCs, which nothing else of the transport may use.

    ``template`` are the codecs of the first accepted m-line of that kind (``ViewAnswer.templates``).
    """
    ssrc = next(ssrcs)
    return SlotSpec(mid, kind, ssrc, next(ssrcs), template)


# --- The transport ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Peer:
    ice: IceCredentials
    fingerprints: tuple[Fingerprint, ...]
    role: DtlsRole
    bundle: tuple[Mid, ...]  # empty: one m-line that needs no group


def _peer(offer: SessionDescription) -> _Peer:
    """The transport of the bundle: attributes of its first m-line, else of the session (RFC 8843 §7.1.3, §10)."""
    if offer.ice_lite:
        text = "The offer is ICE-lite, as the server is: neither would check a path. Switch ICE-lite off in the client."
        raise NegotiationError("ice_lite", text)
    live = [media for media in offer.media if not media.is_rejected]
    if not live:
        raise NegotiationError("no_media", "The offer has no m-line.")
    if any(media.mid is None for media in live):
        raise NegotiationError("no_mid", "An m-line of the offer has no a=mid.")
    bundle = next((group.mids for group in offer.groups if group.semantics == "BUNDLE"), ())
    mids = {media.mid for media in live}
    if (bundle or len(live) > 1) and not mids <= set(bundle):
        raise NegotiationError("no_bundle", "All m-lines have to be in one BUNDLE group: there is one transport.")
    bundle = tuple(dict.fromkeys(mid for mid in bundle if mid in mids))
    tagged = next(media for media in live if not bundle or media.mid == bundle[0])
    ice = tagged.ice or offer.ice
    if ice is None:
        raise NegotiationError("no_ice_credentials", "The offer has no a=ice-ufrag with a=ice-pwd.")
    fingerprints = tagged.fingerprints or offer.fingerprints
    if not fingerprints:
        raise NegotiationError("no_fingerprint", "The offer has no a=fingerprint, and media is always encrypted.")
    strong = dict.fromkeys(fingerprint for fingerprint in fingerprints if fingerprint.hash in _STRONG_HASHES)
    if not strong:
        raise NegotiationError("weak_fingerprint", "A fingerprint has to be sha-256, sha-384 or sha-512.")
    match tagged.setup or offer.setup:
        case Setup.PASSIVE:
            role = DtlsRole.ACTIVE
        case Setup.ACTPASS | Setup.ACTIVE | None:
            role = DtlsRole.PASSIVE
        case Setup.HOLDCONN:
            raise NegotiationError("bad_setup", "The offer says a=setup:holdconn, so there is nothing to connect.")
    # Of a bundle, the tagged m-line speaks for those that are bundle-only (RFC 9143 §7.1.3).
    muxed = [media for media in live if media.kind in ("audio", "video") and not media.bundle_only]
    if any(not media.rtcp_mux for media in muxed):
        raise NegotiationError("no_rtcp_mux", "An m-line of the offer has no a=rtcp-mux: there is one port.")
    return _Peer(ice, tuple(strong)[:MAX_FINGERPRINTS], role, bundle)


def _spec(
    peer: _Peer,
    identity: Identity,
    extensions: Extensions,
    receive: tuple[ReceiveSpec, ...] = (),
    slots: tuple[SlotSpec, ...] = (),
) -> TransportSpec:
    return TransportSpec(
        local_ufrag=identity.ufrag,
        local_pwd=identity.pwd,
        remote_ufrag=peer.ice.ufrag,
        remote_pwd=peer.ice.pwd,
        fingerprints=peer.fingerprints,
        dtls_role=peer.role,
        extensions=tuple(Extension(ident, kind) for kind, ident in extensions.ids.items()),
        cname=identity.cname,
        receive=receive,
        slots=slots,
    )


def _description(
    offer: SessionDescription, sections: list[MediaDescription], identity: Identity, peer: _Peer
) -> SessionDescription:
    """One ICE and DTLS identity, repeated on every m-line: clients rewrite answers and copy what they find there."""
    udp = [
        Candidate(str(index), 1, "udp", _FIRST_PRIORITY - ((index - 1) << 8), ip, port, "host")
        for index, (ip, port) in enumerate(identity.candidates, 1)
    ]
    tcp = [
        Candidate(str(len(udp) + index), 1, "tcp", _FIRST_TCP_PRIORITY - ((index - 1) << 8), ip, port, "host", _PASSIVE)
        for index, (ip, port) in enumerate(identity.tcp_candidates, 1)
    ]
    candidates = (*udp, *tcp)
    ours = IceCredentials(identity.ufrag, identity.pwd)
    fingerprint = Fingerprint("sha-256", bytes.fromhex(identity.fingerprint.replace(":", "")))
    setup = Setup.PASSIVE if peer.role is DtlsRole.PASSIVE else Setup.ACTIVE

    def with_transport(section: MediaDescription) -> MediaDescription:
        if section.is_rejected:
            return section
        return replace(
            section,
            ice=ours,
            fingerprints=(fingerprint,),
            setup=setup,
            candidates=candidates,
            end_of_candidates=True,
        )

    return SessionDescription(
        origin=Origin("-", identity.session_id, 1),
        groups=(Group("BUNDLE", peer.bundle),) if peer.bundle else (),
        extmap_allow_mixed=offer.extmap_allow_mixed,
        msid_semantic=("WMS", "*"),
        ice_lite=True,
        media=tuple(map(with_transport, sections)),
    )


# --- Sections of the answer -------------------------------------------------------------------------------------


def _is_sent(media: MediaDescription) -> bool:
    return media.direction.sends and not media.is_rejected


def _is_watched(media: MediaDescription) -> bool:
    return media.direction.receives and not media.is_rejected


def _mid(media: MediaDescription) -> Mid:
    """The mid of an m-line that ``_peer`` let pass."""
    if media.mid is None:
        raise NegotiationError("no_mid", "An m-line of the offer has no a=mid.")
    return media.mid


def _inactive(media: MediaDescription, codec: Codec | None) -> MediaDescription:
    """An unused m-line. It keeps a port and a format: clients that rewrite answers lose m-lines with port 0.

    Only what the peer itself rejected stays rejected (RFC 3264 §6).
    """
    payloads = forwardable(media)
    usable = next((p.rtpmap for p in payloads if p.spec.codec is codec), payloads[0].rtpmap if payloads else None)
    named = {str(rtpmap.payload_type): rtpmap for rtpmap in media.rtpmaps}
    rtpmap = usable or next((named[name] for name in media.formats if name in named), None)
    return MediaDescription(
        kind=media.kind,
        protocol=media.protocol,
        formats=(str(rtpmap.payload_type),) if rtpmap is not None else media.formats[:1],
        port=0 if media.is_rejected else 9,
        mid=media.mid,
        direction=Direction.INACTIVE,
        rtcp_mux=media.rtcp_mux,
        rtcp_rsize=media.rtcp_rsize,
        rtpmaps=(rtpmap,) if rtpmap is not None else (),
        fmtps=tuple(Fmtp(p.spec.payload_type, p.parameters) for p in payloads if p.rtpmap is rtpmap and p.parameters),
        sctp_port=media.sctp_port,
    )


def _accepted(
    media: MediaDescription,
    direction: Direction,
    payloads: list[Payload],
    extmaps: tuple[Extmap, ...],
    *,
    retransmits: bool,
) -> MediaDescription:
    """A used m-line. ``retransmits``: the peer answers NACKs even without RTX (RFC 4588 is optional); we do not."""
    rtpmaps: list[Rtpmap] = []
    fmtps: list[Fmtp] = []
    feedback: list[RtcpFeedback] = []
    has_transport_cc = any(extmap.uri == ExtensionKind.TRANSPORT_CC for extmap in extmaps)
    for payload in payloads:
        number, rtx = payload.spec.payload_type, payload.spec.rtx_payload_type
        rtpmaps.append(payload.rtpmap)
        if payload.parameters:
            fmtps.append(Fmtp(number, payload.parameters))
        feedback += _feedback(media, number, has_transport_cc, nack=retransmits or rtx is not None)
        if rtx is not None:
            rtpmaps.append(Rtpmap(rtx, "rtx", payload.rtpmap.clock_hz))
            fmtps.append(Fmtp(rtx, (("apt", str(number)),)))
    return MediaDescription(
        kind=media.kind,
        protocol=media.protocol,
        formats=tuple(str(rtpmap.payload_type) for rtpmap in rtpmaps),
        mid=media.mid,
        direction=direction,
        rtcp_mux=True,
        rtcp_rsize=media.rtcp_rsize,
        extmap_allow_mixed=media.extmap_allow_mixed,
        rtpmaps=tuple(rtpmaps),
        fmtps=tuple(fmtps),
        feedback=tuple(feedback),
        extmaps=extmaps,
    )


def _feedback(media: MediaDescription, number: int, has_transport_cc: bool, *, nack: bool) -> list[RtcpFeedback]:
    """What the offer has of the messages that we send or understand. REMB only where transport-cc is missing."""
    offered = {(line.type, line.parameter) for line in media.feedback if line.payload_type in (None, number)}
    wanted: list[tuple[str, str | None]] = [("transport-cc", None)] if has_transport_cc else [("goog-remb", None)]
    if media.kind == "video":
        wanted += [("ccm", "fir"), *([("nack", None)] if nack else []), ("nack", "pli")]
    return [RtcpFeedback(number, name, parameter) for name, parameter in wanted if (name, parameter) in offered]


def _with_slot(section: MediaDescription, slot: SlotSpec, cname: str, *, first: bool) -> MediaDescription:
    """Name the slot's stream and SSRCs.

    The first video and the first audio share a stream, further audio shares another: clients tell the picture's own
    sound from multiplexed voices by it.
    """
    later = _MULTIPLEX_STREAM if slot.kind is Kind.AUDIO else f"video-{slot.mid}"
    has_rtx = any(codec.rtx_payload_type is not None for codec in slot.codecs)
    ssrcs = (slot.ssrc, slot.rtx_ssrc) if has_rtx else (slot.ssrc,)
    return replace(
        section,
        msid=(Msid(_MAIN_STREAM if first else later, f"{slot.kind[0]}{slot.mid}"),),
        ssrc_groups=(SsrcGroup("FID", ssrcs),) if has_rtx else (),
        ssrcs=tuple(SsrcAttribute(ssrc, "cname", cname) for ssrc in ssrcs),
    )


def _refuse_unless_usable(wanted: list[MediaDescription], usable: set[Kind], codecs: str, verb: str) -> None:
    kinds = {Kind(media.kind) for media in wanted if media.kind in ("audio", "video")}
    if not kinds:
        raise NegotiationError("no_media", f"The offer has no audio or video m-line that {verb}.")
    if kinds - usable:
        missing = " and ".join(sorted(kinds - usable))
        raise NegotiationError(
            "no_common_codec", f"Nothing that is offered for {missing} can be used: wanted is {codecs}."
        )


# --- Encodings, SSRCs -------------------------------------------------------------------------------------------


def _has_rid(extmaps: tuple[Extmap, ...]) -> bool:
    return any(extmap.uri == ExtensionKind.RID for extmap in extmaps)


def _encodings(
    media: MediaDescription, groups: list[SsrcGroup], spec: CodecSpec, has_rid: bool
) -> tuple[EncodingSpec, ...]:
    """The encodings of a track, lowest first: by rid, by a SIM group, else one."""
    if media.kind == "video" and has_rid and (rids := _simulcast_rids(media)):
        return tuple(EncodingSpec(rid=rid) for rid in rids)
    own = dict.fromkeys(line.ssrc for line in media.ssrcs)
    rtx = {group.ssrcs[0]: group.ssrcs[1] for group in groups if group.semantics == "FID" and len(group.ssrcs) == 2}
    retransmitted = set(rtx.values())
    media_ssrcs = [ssrc for ssrc in own if ssrc not in retransmitted]
    # The group may stand in another section: clients append it to the end of the text.
    simulcast = next((g.ssrcs for g in groups if g.semantics == "SIM" and g.ssrcs and g.ssrcs[0] in own), ())
    if media.kind == "video" and len(set(simulcast)) > 1:
        ssrcs = list(dict.fromkeys(simulcast))[:MAX_ENCODINGS]
    else:
        ssrcs = media_ssrcs[:1]
    if not ssrcs:
        return (EncodingSpec(),)
    uses_rtx = spec.rtx_payload_type is not None
    return tuple(EncodingSpec(ssrc=ssrc, rtx_ssrc=rtx.get(ssrc) if uses_rtx else None) for ssrc in ssrcs)


def _simulcast_rids(media: MediaDescription) -> tuple[str, ...]:
    """The rids that the peer sends, lowest first; of alternatives the preferred one.

    RFC 8853 §5.2 orders them by preference, which says nothing about size. Sizes decide where every rid states one,
    then names that are sizes; everything else keeps the order of the offer, which is lowest first where an
    application leaves the scaling to the browser.
    """
    sendable = {rid.id: rid for rid in media.rids if rid.direction is RidDirection.SEND}
    if media.simulcast is not None and media.simulcast.send:
        named = [stream[0].rid for stream in media.simulcast.send if stream]
    else:
        named = list(sendable)
    rids = [rid for rid in dict.fromkeys(named) if rid in sendable][:MAX_ENCODINGS]
    areas = {rid: _area(sendable[rid]) for rid in rids}
    if all(areas.values()):
        rids.sort(key=lambda rid: areas[rid])
    elif scale := next((scale for scale in _RID_SCALES if set(rids) <= set(scale)), None):
        rids.sort(key=scale.index)
    return tuple(rids)


def _area(rid: Rid) -> int:
    """Largest picture in pixels; 0: not stated."""
    sizes = {name: value for name, value in rid.restrictions if value is not None and re.fullmatch("[0-9]{1,5}", value)}
    return int(sizes.get("max-width", "0")) * int(sizes.get("max-height", "0"))


def _refuse_shared_ssrcs(receive: list[ReceiveSpec]) -> None:
    seen: set[int] = set()
    for encoding in (encoding for spec in receive for encoding in spec.encodings):
        for ssrc in (encoding.ssrc, encoding.rtx_ssrc):
            if ssrc in seen:
                raise NegotiationError("duplicate_ssrc", f"The offer uses the SSRC {ssrc} twice.")
            if ssrc is not None:
                seen.add(ssrc)


def _unused(ssrcs: Iterator[int], used: set[int]) -> Iterator[int]:
    for ssrc in ssrcs:
        if ssrc and ssrc not in used:
            used.add(ssrc)
            yield ssrc
