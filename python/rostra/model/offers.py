"""What the HTTP doors add to offer and answer (docs/protocol/whip.md): choices that other clients make themselves."""

from dataclasses import replace
from typing import Final

from rostra.model.description import Direction, MediaDescription, SessionDescription
from rostra.model.media import Codec, Kind
from rostra.model.negotiation import NegotiationError
from rostra.model.payloads import VIDEO_CODECS, forwardable, published

ICE_OPTIONS: Final = ("trickle", "ice2")
"""What an answer says of ICE (RFC 9429 §5.3.1): candidates may follow, and are not needed."""


def without(offer: SessionDescription, kinds: frozenset[Kind]) -> SessionDescription:
    """The offer as if its sender kept media of these kinds to itself."""
    media = (replace(one, direction=Direction.INACTIVE) if one.kind in kinds else one for one in offer.media)
    return replace(offer, media=tuple(media))


def codec_for(offer: SessionDescription) -> Codec:
    """The video codec for a publisher that names none: H264 where it can send that, else what it offers first.

    Of several pictures all have to have it, if any codec is offered for all of them.
    """
    offered = [
        [payload.spec.codec for payload in forwardable(media) if payload.spec.codec in VIDEO_CODECS]
        for media in offer.media
        if media.kind == Kind.VIDEO and _is_sent(media)
    ]
    first = offered[0] if offered else []
    common = [codec for codec in first if all(codec in codecs for codecs in offered)] or first
    return Codec.H264 if Codec.H264 in common or not common else common[0]


def refuse_partial(offer: SessionDescription, codec: Codec) -> None:
    """Refuse an offer of which a part would be left out (RFC 9725 §4.4.3).

    Raises:
        NegotiationError: ``no_common_codec``, for an m-line that sends what we cannot forward.
    """
    for media in offer.media:
        if media.kind in ("audio", "video") and _is_sent(media) and published(media, codec) is None:
            wanted = codec if media.kind == "video" else Codec.OPUS
            raise NegotiationError(
                "no_common_codec", f"The m-line {media.mid} of the offer has no {wanted} that this server takes."
            )


def completed(answer: SessionDescription) -> SessionDescription:
    """The answer with what RFC 9725 wants in it: ICE options, and ``rtcp-mux-only`` in every section (§4.4.1).

    One that is not used is bundled, too, and need not say ``rtcp-mux`` itself where it is bundle-only.
    """
    media = (replace(one, rtcp_mux=True, rtcp_mux_only=True) if _is_muxed(one) else one for one in answer.media)
    return replace(answer, ice_options=ICE_OPTIONS, media=tuple(media))


def _is_muxed(media: MediaDescription) -> bool:
    return media.kind in ("audio", "video") and not media.is_rejected


def _is_sent(media: MediaDescription) -> bool:
    return media.direction.sends and not media.is_rejected
