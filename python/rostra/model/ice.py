"""Servers that help peers to reach us."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server for clients (RFC 7064, RFC 7065). ``username`` and ``credential``: both, or none."""

    url: str
    username: str | None = None
    credential: str | None = field(default=None, repr=False)
