"""SDP fragments of trickle ICE (``application/trickle-ice-sdpfrag``, RFC 8840 §9; docs/protocol/whip.md).

A fragment is a description without its first four lines, so that the reader of descriptions reads it, with all its
caps: what of it breaks a cap or the grammar is refused, and a candidate that makes no sense to us is skipped.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rostra.model.description import Candidate, IceCredentials, SessionDescription
from rostra.model.media import Mid
from rostra.protocol import sdp
from rostra.protocol.sdp import SdpError

MEDIA_TYPE: Final = "application/trickle-ice-sdpfrag"
MAX_TEXT: Final = 64 * 1024
"""Characters of a fragment. The most candidates that are read at all, 256, take half of it."""

_PREAMBLE: Final = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
_CREDENTIAL: Final = re.compile(r"^a=ice-(ufrag|pwd)[ \t]*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a peer says about its side of ICE. ``ice``: its credentials, when it repeats or changes them."""

    ice: IceCredentials | None
    candidates: tuple[Candidate, ...] = ()
    is_complete: bool = False
    """No candidate follows."""


@dataclass(frozen=True, slots=True)
class Side:
    """What of an answer a fragment repeats after a restart: the bundle, and the m-line that speaks for all of it."""

    ice_lite: bool
    ice_options: tuple[str, ...]
    bundle: tuple[Mid, ...]
    kind: str
    protocol: str
    formats: tuple[str, ...]
    mid: Mid | None
    candidates: tuple[Candidate, ...]


def parse(text: str) -> Fragment:
    """Read a fragment.

    Raises:
        SdpError: it is none, or says half of the credentials, or different ones for one transport.
    """
    if len(text) > MAX_TEXT:
        raise SdpError("too_large", f"the fragment has {len(text)} characters, {MAX_TEXT} are allowed")
    if not text.strip("\r\n"):
        raise SdpError("empty", "the fragment is empty")
    description = sdp.parse(_PREAMBLE + text)
    found = [one for one in (description.ice, *(media.ice for media in description.media)) if one is not None]
    # A level that has both of its credentials is found; one that has half of them makes the count odd.
    if len(_CREDENTIAL.findall(text)) != 2 * len(found):
        raise SdpError("bad_ice", "a=ice-ufrag and a=ice-pwd go together, once for each m-line")
    if len(set(found)) > 1:
        raise SdpError("bad_ice", "the fragment has several a=ice-ufrag for one transport")
    return Fragment(
        ice=found[0] if found else None,
        candidates=tuple(candidate for media in description.media for candidate in media.candidates),
        is_complete=any(media.end_of_candidates for media in description.media),
    )


def side(answer: SessionDescription) -> Side:
    """Our side as the answer has it."""
    live = [media for media in answer.media if not media.is_rejected]
    bundle = next((group.mids for group in answer.groups if group.semantics == "BUNDLE"), ())
    tagged = next(media for media in live if not bundle or media.mid == bundle[0])
    return Side(
        ice_lite=answer.ice_lite,
        ice_options=answer.ice_options,
        bundle=bundle,
        kind=tagged.kind,
        protocol=tagged.protocol,
        formats=tagged.formats,
        mid=tagged.mid,
        candidates=tagged.candidates,
    )


def write(ours: Side, credentials: IceCredentials) -> str:
    """Our side after a restart: new credentials, the same candidates, all of them."""
    return "".join(f"{line}\r\n" for line in _lines(ours, credentials))


def _lines(ours: Side, credentials: IceCredentials) -> Iterator[str]:
    if ours.ice_lite:
        yield "a=ice-lite"
    if ours.ice_options:
        yield "a=ice-options:" + " ".join(ours.ice_options)
    if ours.bundle:
        yield " ".join(("a=group:BUNDLE", *ours.bundle))
    yield " ".join((f"m={ours.kind} 9 {ours.protocol}", *ours.formats))
    if ours.mid is not None:
        yield f"a=mid:{ours.mid}"
    yield f"a=ice-ufrag:{credentials.ufrag}"
    yield f"a=ice-pwd:{credentials.pwd}"
    yield from map(sdp.candidate_line, ours.candidates)
    yield "a=end-of-candidates"
