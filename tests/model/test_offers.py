"""What the HTTP doors add to offers and answers."""

import re
from pathlib import Path

import pytest

from rostra.model import offers
from rostra.model.description import Direction, SessionDescription
from rostra.model.media import Codec, Kind
from rostra.model.negotiation import NegotiationError
from rostra.protocol import sdp

FOLDER = Path(__file__).parent.parent / "data" / "offers"
TEXT = (FOLDER / "chromium-publish.sdp").read_text()


def offer(*names: str) -> SessionDescription:
    """Chromium's, with these video codecs in this order and no others."""
    head, audio, video = re.split(r"(?=^m=)", TEXT, flags=re.MULTILINE)
    known: dict[str, str] = {}
    for number, name in re.findall(r"a=rtpmap:(\d+) (\w+)/90000", video):
        known.setdefault(name, number)
    section = re.sub(r"^(m=video 9 \S+).*", "\\1 " + " ".join(known[name] for name in names), video, flags=re.MULTILINE)
    return sdp.parse(head + audio + section)


@pytest.mark.parametrize(
    ("names", "codec"),
    [
        (("VP8", "H264"), Codec.H264),
        (("VP9", "VP8"), Codec.VP9),
        (("AV1", "VP8"), Codec.AV1),
        (("rtx", "VP8"), Codec.VP8),
        (("rtx",), Codec.H264),
    ],
)
def test_the_codec_is_h264_where_it_is_offered_and_else_the_first(names: tuple[str, ...], codec: Codec) -> None:
    assert offers.codec_for(offer(*names)) is codec


def test_several_pictures_have_to_have_it() -> None:
    one, two = offer("VP8", "H264"), offer("VP9", "VP8")
    both = SessionDescription(one.origin, media=(*one.media, two.media[1]))
    assert offers.codec_for(both) is Codec.VP8
    assert offers.codec_for(SessionDescription(one.origin, media=one.media[:1])) is Codec.H264


def test_a_kind_that_is_left_out_is_inactive() -> None:
    left = offers.without(sdp.parse(TEXT), frozenset({Kind.AUDIO}))
    assert [(media.kind, media.direction.sends) for media in left.media] == [("audio", False), ("video", True)]


def test_an_offer_of_which_a_part_would_be_left_out_is_refused() -> None:
    whole = sdp.parse(TEXT)
    offers.refuse_partial(whole, Codec.VP8)
    offers.refuse_partial(offers.without(offer("VP9"), frozenset({Kind.VIDEO})), Codec.VP8)
    with pytest.raises(NegotiationError, match="no_common_codec") as error:
        offers.refuse_partial(offer("VP9"), Codec.VP8)
    assert "vp8" in error.value.message


def test_an_answer_says_that_candidates_may_follow_and_that_everything_is_muxed() -> None:
    answer = offers.completed(sdp.parse(TEXT))
    assert answer.ice_options == ("trickle", "ice2")
    assert all(media.rtcp_mux_only for media in answer.media)
    assert all(media.direction is not Direction.INACTIVE for media in answer.media)
    assert sdp.parse(sdp.write(answer)).media[0].rtcp_mux_only
