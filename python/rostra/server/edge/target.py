"""Request targets (RFC 9112 §3.2): a path, or an absolute form whose authority is the host."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]*)(.*)", re.DOTALL)


class BadTarget(Exception):  # noqa: N818 — a reply
    """A request target that no server has to serve."""

    status: Final = 400


@dataclass(frozen=True, slots=True)
class Target:
    """``raw_path``: as sent; ``path``: decoded. ``headers``: the authority of an absolute form is their host."""

    path: str
    raw_path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    is_absolute: bool


def split_target(target: bytes, headers: list[tuple[bytes, bytes]]) -> Target:
    """Take a request target apart.

    Raises:
        BadTarget: neither a path nor an absolute form of http or https.
    """
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        authority, target = absolute.group(1), absolute.group(2) or b"/"
        # RFC 9112 §3.2.2: the Host field is ignored.
        headers = [(b"host", authority), *((name, value) for name, value in headers if name != b"host")]
        if target[:1] == b"?":
            target = b"/" + target
    if not target.startswith(b"/"):
        raise BadTarget
    raw_path, _, query = target.partition(b"?")
    return Target(unquote(raw_path.decode("ascii", "replace")), raw_path, query, headers, absolute is not None)
