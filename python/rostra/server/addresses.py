"""IP addresses of clients: one spelling for each, the share that each belongs to, and who stands behind a proxy.

Every address that is compared, counted or logged goes through ``normalise``: a socket that listens on ``[::]`` tells
``::ffff:127.0.0.1`` of a client that another socket knows as ``127.0.0.1``.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from starlette.types import Scope

UNKNOWN: Final = "unknown"
"""Who came through a trusted proxy that does not say for whom, as RFC 7239 §6.2 spells it."""
_IPV6_SHARE_BITS: Final = 64
"""The smallest network that a provider hands to one customer (RFC 6177)."""
_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15}):[0-9]{1,5}")
"""Some proxies write the client's port too."""


def normalise(text: str) -> str:
    """The canonical spelling (RFC 5952) of an address; an IPv4-mapped IPv6 address is the IPv4 address.

    Text that is no address is returned unchanged.
    """
    address = _parse(text)
    return text if address is None else str(address)


def group(text: str) -> str:
    """What shares are counted by: an IPv4 address alone, of IPv6 the /64. Text that is no address is its own group."""
    address = _parse(text)
    if not isinstance(address, IPv6Address):
        return text if address is None else str(address)
    host_bits = 128 - _IPV6_SHARE_BITS
    return f"{IPv6Address(int(address) >> host_bits << host_bits)}/{_IPV6_SHARE_BITS}"


def is_loopback(text: str) -> bool:
    """Whether this is an address of the machine itself."""
    address = _parse(text)
    return address is not None and address.is_loopback


def is_trusted(scope: Scope, trusted: Collection[str]) -> bool:
    """Whether the connection comes from a proxy whose ``X-Forwarded-*`` header fields are believed."""
    return bool(trusted) and _peer(scope) in {normalise(one) for one in trusted}


def client_address(scope: Scope, trusted: Collection[str]) -> str:
    """The normalised address that a request comes from, or ``""`` where the connection has none.

    Each proxy appends the address that it was reached from to ``X-Forwarded-For``, so the last one that is not itself
    of a trusted proxy is the client; what stands before it is the client's own word. ``UNKNOWN``: the trusted proxy
    wrote something else than an address.
    """
    address = _peer(scope)
    proxies = {normalise(one) for one in trusted}
    fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    hops = ",".join(fields).split(",") if fields else []
    while address in proxies and hops:
        hop = hops.pop().strip()
        with_port = _WITH_PORT.fullmatch(hop)
        found = _parse((with_port[1] or with_port[2]) if with_port else hop)
        address = UNKNOWN if found is None else str(found)
    return address


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return normalise(client[0]) if client else ""


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
