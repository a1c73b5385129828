"""Names of things. Numbers that cross the seam (``TransportId``, ``TrackId``, ``Mid``) are in ``media.py``."""

from dataclasses import dataclass
from typing import Final, NewType

from rostra.model.media import Kind

AccountId = NewType("AccountId", str)
"""Short opaque string that owns tokens and streams."""

StreamName = NewType("StreamName", str)
"""Chosen by the user, unique in its account, 1 to 128 characters."""

SourceId = NewType("SourceId", str)
"""Names one publication inside a stream. The main source has none: ``None`` wherever a source is named."""

ServerId = NewType("ServerId", str)
"""32 hex digits that bind a signalling URL to its token."""

TrackName = NewType("TrackName", str)
"""A track as viewers know it. It names a role, not a publisher's m-line: a feed that takes a source over brings other
``TrackId``s, while the names that viewers hold stay right without being told again."""

MAX_NAME: Final = 128
"""Characters of a stream name or a source id."""


@dataclass(frozen=True, slots=True)
class StreamKey:
    """One stream of one account. As text it is the stream id of the protocols: ``account/name``."""

    account: AccountId
    name: StreamName

    def __str__(self) -> str:
        return f"{self.account}/{self.name}"


def track_name(kind: Kind, index: int = 0) -> TrackName:
    """The name of a source's first, second … track of a kind: ``video``, ``video-1`` …"""
    return TrackName(f"{kind.value}-{index}" if index else kind.value)


def is_name(text: str) -> bool:
    """Whether the text may name a stream or a source."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()
