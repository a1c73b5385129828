"""Rules that said no. ``code`` is stable and for programs, the message is for people.

How a refusal looks on a wire is up to ``protocol/``.
"""

from typing import ClassVar


class Refused(Exception):  # noqa: N818 — the word of the glossary
    """A rule said no, and nothing changed."""

    code: ClassVar[str] = "refused"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidToken(Refused):
    """The token is unknown, switched off, expired or of the other kind."""

    code = "invalid_token"


class Unauthorized(Refused):
    """The stream needs a token, or the token is of another account."""

    code = "unauthorized"


class NameNotCovered(Refused):
    """The token does not cover the stream's name."""

    code = "name_not_covered"


class MultisourceNotAllowed(Refused):
    """The token is good for the main source only."""

    code = "multisource_not_allowed"


class TooMany(Refused):
    """A cap is reached."""

    code = "too_many"


class UnknownViewer(Refused):
    """The command needs a viewer, and there is none (any more)."""

    code = "unknown_viewer"


class UnknownSource(Refused):
    """No live source of the stream has that id."""

    code = "unknown_source"


class UnknownTrack(Refused):
    """The source has no such track."""

    code = "unknown_track"


class UnknownSlot(Refused):
    """There is no m-line of that kind, so no slot for it can exist."""

    code = "unknown_slot"


class KindMismatch(Refused):
    """Audio for a video slot, or the other way round."""

    code = "kind_mismatch"


class CodecNotNegotiated(Refused):
    """The viewer cannot play the track."""

    code = "codec_not_negotiated"


class Unsuitable(Refused):
    """Something that was negotiated does not fit the media plane."""

    code = "unsuitable"
