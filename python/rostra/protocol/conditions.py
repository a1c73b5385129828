"""Preconditions of requests (``If-Match``, RFC 9110 §13.1.1) on resources that have one strong entity tag."""

import re
from enum import Enum, auto
from typing import Final

_TAG: Final = re.compile(r'[ \t]*((?:W/)?"[\x21\x23-\x7e]*")[ \t]*')
MAX_TAGS: Final = 16
"""Tags of one header that are looked at."""


class Condition(Enum):
    """What ``If-Match`` says of the present state."""

    MISSING = auto()
    MALFORMED = auto()
    FAILED = auto()
    HOLDS = auto()


def if_match(header: str | None, etag: str) -> Condition:
    """Whether the resource with this tag (quotes included) is the one that is meant.

    ``"*"`` in quotes is what RFC 9725's own example sends for ``*``; no tag of ours looks like that. Weak tags never
    match: the comparison is the strong one.
    """
    if header is None or not header.strip():
        return Condition.MISSING
    if header.strip() in ("*", '"*"'):
        return Condition.HOLDS
    # No tag of ours has a comma in it, so that what a comma splits could not match either.
    tags = header.split(",", MAX_TAGS)[:MAX_TAGS]
    found = [_TAG.fullmatch(tag) for tag in tags]
    if not all(found):
        return Condition.MALFORMED
    return Condition.HOLDS if any(one is not None and one[1] == etag for one in found) else Condition.FAILED
