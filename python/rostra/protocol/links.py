"""``Link`` header fields (RFC 8288 §3) that nothing in their values can break out of."""

import re
from typing import Final
from urllib.parse import quote

_RESERVED: Final = ":/?#[]@!$&'()*+,;=%~"
"""Characters of a URI that mean themselves (RFC 3986 §2.2); ``<``, ``>``, quotes, blanks and controls are none."""
_TEXT: Final = re.compile(r"[\x20-\x7e]*")


def link(target: str, rel: str, **attributes: str) -> str:
    """``<target>; rel="…"; name="…"``, with ``_`` of an attribute's name as ``-``.

    Raises:
        ValueError: a value that no quoted string can hold (RFC 9110 §5.6.4), as line ends are.
    """
    values = {"rel": rel, **{name.replace("_", "-"): value for name, value in attributes.items()}}
    return "; ".join((f"<{quote(target, safe=_RESERVED)}>", *(f"{name}={_quoted(values[name])}" for name in values)))


def _quoted(value: str) -> str:
    if not _TEXT.fullmatch(value):
        raise ValueError(f"not a text for a header: {value!r}")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
