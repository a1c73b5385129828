"""Payload types of an m-line: which of them we can forward, and which an answer names (docs/protocol/sdp.md)."""

import re
from dataclasses import dataclass, replace
from typing import Final

from rostra.model.description import MediaDescription, Parameters, Rtpmap
from rostra.model.media import Codec, CodecSpec

MAX_CODECS: Final = 32
"""Payload types of one m-line that the media plane takes."""

_RTP_OVER_DTLS: Final = frozenset(
    f"{transport}{profile}" for transport in ("UDP/TLS/", "TCP/TLS/", "") for profile in ("RTP/SAVPF", "RTP/SAVP")
)


@dataclass(frozen=True, slots=True)
class Payload:
    """An offered payload type that we can forward, with its part of the answer."""

    spec: CodecSpec
    rtpmap: Rtpmap
    parameters: Parameters = ()


VIDEO_CODECS: Final = frozenset({Codec.VP8, Codec.VP9, Codec.H264, Codec.AV1})
_CODECS: Final = {codec.value: codec for codec in Codec}  # the values are the names of rtpmap, in lower case
_HEX6: Final = re.compile(r"[0-9A-Fa-f]{6}")
_NUMBERS: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{1,3})*")


def forwardable(media: MediaDescription) -> list[Payload]:
    """What of the m-line we can forward, in the order of the offer. RED, ULPFEC and FlexFEC are not among it."""
    if media.protocol not in _RTP_OVER_DTLS:
        return []
    rtpmaps = {rtpmap.payload_type: rtpmap for rtpmap in media.rtpmaps}
    parameters: dict[int, dict[str, str]] = {}
    for fmtp in media.fmtps:
        known = parameters.setdefault(fmtp.payload_type, {})
        for name, value in fmtp.parameters:
            known.setdefault(name.lower(), value or "")
    numbers = [int(name) for name in media.formats]
    rtx: dict[str, int] = {}
    for number in numbers:
        if number in rtpmaps and rtpmaps[number].name.lower() == "rtx":
            rtx.setdefault(parameters.get(number, {}).get("apt", ""), number)
    found: list[Payload] = []
    for number in numbers:
        rtpmap = rtpmaps.get(number)
        payload = _payload(media.kind, rtpmap, parameters.get(number, {})) if rtpmap is not None else None
        if payload is not None:
            found.append(replace(payload, spec=replace(payload.spec, rtx_payload_type=rtx.get(str(number)))))
    return found


def _payload(kind: str, rtpmap: Rtpmap, offered: dict[str, str]) -> Payload | None:
    codec = _CODECS.get(rtpmap.name.lower())
    number = rtpmap.payload_type
    match codec:
        case None:
            return None
        case Codec.OPUS:
            if (kind, rtpmap.clock_hz, rtpmap.channels) != ("audio", 48000, 2):
                return None
            wanted = tuple((name, "1") for name in ("stereo", "usedtx") if offered.get(name) == "1")
            answer: Parameters = (("minptime", "10"), ("useinbandfec", "1"), *wanted)
            return Payload(CodecSpec(number, codec), rtpmap, answer)
        case Codec.MULTIOPUS:
            if kind != "audio" or rtpmap.clock_hz != 48000 or (rtpmap.channels or 0) < 3:
                return None
            names = ("channel_mapping", "coupled_streams", "minptime", "num_streams", "useinbandfec")
            return Payload(CodecSpec(number, codec), rtpmap, _echo(offered, names))
        case Codec.VP8 | Codec.VP9 | Codec.H264 | Codec.AV1:
            return _video(codec, rtpmap, offered) if kind == "video" and rtpmap.clock_hz == 90000 else None


def _video(codec: Codec, rtpmap: Rtpmap, offered: dict[str, str]) -> Payload | None:
    number = rtpmap.payload_type
    if codec is Codec.H264:
        # RFC 6184 §8.1: without parameters it is baseline, level 1, one NAL unit per packet.
        profile, mode = offered.get("profile-level-id", "420010"), offered.get("packetization-mode", "0")
        if not _HEX6.fullmatch(profile) or mode not in ("0", "1"):
            return None
        spec = CodecSpec(number, codec, profile=int(profile, 16), packetization_mode=int(mode))
        asymmetry = tuple((name, "1") for name in ("level-asymmetry-allowed",) if offered.get(name) == "1")
        return Payload(spec, rtpmap, (*asymmetry, ("packetization-mode", mode), ("profile-level-id", profile)))
    if codec is Codec.VP9:
        # Profile 0 is what every VP9 decoder has (RFC 9628 §6); the others could not be shown to everybody.
        ok = offered.get("profile-id", "0") == "0"
        return Payload(CodecSpec(number, codec), rtpmap, _echo(offered, ("profile-id",))) if ok else None
    if codec is Codec.AV1:
        ok = offered.get("profile", "0") == "0"
        names = ("level-idx", "profile", "tier")
        return Payload(CodecSpec(number, codec), rtpmap, _echo(offered, names)) if ok else None
    return Payload(CodecSpec(number, codec), rtpmap)


def _echo(offered: dict[str, str], names: tuple[str, ...]) -> Parameters:
    """Offered parameters back, as far as they are numbers: nothing else of a stranger's text enters an answer."""
    return tuple((name, offered[name]) for name in names if _NUMBERS.fullmatch(offered.get(name, "")))


def published(media: MediaDescription, codec: Codec) -> Payload | None:
    """The one payload type that a publisher shall send."""
    payloads = forwardable(media)
    if media.kind == "audio":
        multichannel = (payload for payload in payloads if payload.spec.codec is Codec.MULTIOPUS)
        return next(multichannel, payloads[0] if payloads else None)
    fitting = [payload for payload in payloads if payload.spec.codec is codec]
    return max(fitting, key=lambda payload: _suitability(payload.spec), default=None)


def _suitability(spec: CodecSpec) -> tuple[int, int, int]:
    """H264 that most viewers can decode: fragmentable, constrained baseline, level 3.1; the first of equals wins."""
    profile_idc, constraints, level = spec.profile >> 16, spec.profile >> 8 & 0xFF, spec.profile & 0xFF
    is_constrained = profile_idc == 0x42 and constraints & 0x40 != 0  # RFC 6184 §8.1, table 5
    profile = 4 if is_constrained else {0x42: 3, 0x4D: 2, 0x64: 1}.get(profile_idc, 0)
    return spec.packetization_mode, profile, -abs(level - 0x1F)


def viewable(media: MediaDescription, *, multiopus: bool) -> list[Payload]:
    """Everything that we may forward to a viewer. H264 without fragmentation only where nothing better is offered."""
    payloads = [payload for payload in forwardable(media) if multiopus or payload.spec.codec is not Codec.MULTIOPUS]
    if any(payload.spec.packetization_mode == 1 for payload in payloads):
        payloads = [p for p in payloads if p.spec.codec is not Codec.H264 or p.spec.packetization_mode == 1]
    return payloads[:MAX_CODECS]
