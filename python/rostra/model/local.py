"""Feeds of worker processes as the media plane has to know them. Pure: ids and SSRCs come in as arguments."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rostra.model.media import (
    Codec,
    CodecSpec,
    EncodingSpec,
    Extension,
    ExtensionKind,
    Kind,
    LocalFeedSpec,
    Mid,
    ReceiveSpec,
    TrackId,
)

AUDIO_LEVEL: Final = Extension(1, ExtensionKind.AUDIO_LEVEL)
OPUS_PAYLOAD_TYPE: Final = 111
VIDEO_PAYLOAD_TYPE: Final = 96
VIDEO_CODECS: Final = frozenset({Codec.H264, Codec.VP9, Codec.AV1})
"""What a worker may feed in."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The video of a feed. ``profile``: profile-level-id of H264."""

    codec: Codec
    profile: int = 0


def spec(
    *, audio: bool, video: Picture | None, cname: str, tracks: Iterator[TrackId], ssrcs: Iterator[int]
) -> LocalFeedSpec:
    """Sound first, then the picture: Opus with levels, and one encoding of the codec."""
    receive: list[ReceiveSpec] = []
    if audio:
        opus = CodecSpec(OPUS_PAYLOAD_TYPE, Codec.OPUS)
        receive.append(_track(Kind.AUDIO, len(receive), opus, next(tracks), next(ssrcs)))
    if video is not None:
        mode = 1 if video.codec is Codec.H264 else 0
        profile = video.profile if video.codec is Codec.H264 else 0
        codec = CodecSpec(VIDEO_PAYLOAD_TYPE, video.codec, profile=profile, packetization_mode=mode)
        receive.append(_track(Kind.VIDEO, len(receive), codec, next(tracks), next(ssrcs)))
    return LocalFeedSpec(cname, tuple(receive), (AUDIO_LEVEL,) if audio else ())


def _track(kind: Kind, place: int, codec: CodecSpec, track: TrackId, ssrc: int) -> ReceiveSpec:
    return ReceiveSpec(Mid(str(place)), track, kind, (codec,), (EncodingSpec(ssrc=ssrc),))
