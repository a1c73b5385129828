"""Addresses of clients: one spelling for each, the share that an address belongs to, and who is behind a proxy.

Every address that is compared, counted or logged goes through here.
"""

from collections.abc import Collection
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from starlette.types import Scope

UNKNOWN: Final = "unknown"
"""A client of whom a trusted proxy says nothing (RFC 7239 §6.2). What it claims itself does not count."""
_IPV6_SHARE_BITS: Final = 64
"""One household or server holds that many addresses, so that they count as one."""
_MAX_FORWARDED: Final = 32
"""Entries of ``X-Forwarded-For`` that are looked at: proxies in a row."""


def normalise(text: str) -> str:
    """The usual spelling of an address; IPv4 for an IPv4-mapped IPv6 address. Other text is returned as it is."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def group(text: str) -> str:
    """The share that an address belongs to: of IPv6 its /64, of IPv4 itself."""
    text = normalise(text)
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _IPV6_SHARE_BITS), strict=False))
    return text


def is_loopback(text: str) -> bool:
    """Whether a host, a name or an address, is this machine."""
    if text == "localhost":
        return True
    try:
        return ip_address(normalise(text)).is_loopback
    except ValueError:
        return False


def client_address(scope: Scope, trusted: Collection[str]) -> str:
    """The client of a request, normalised; empty where the server does not know.

    ``trusted``: normalised addresses of proxies. What those say about whom they forward for is believed: each proxy
    adds the address that it saw, so the last one that is no trusted proxy counts.
    """
    client = scope.get("client")
    address = normalise(client[0]) if client else ""
    if address not in trusted:
        return address
    if not any(name == b"x-forwarded-for" for name, _ in scope["headers"]):
        return address
    fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    for entry in reversed(",".join(fields).rsplit(",", _MAX_FORWARDED)[-_MAX_FORWARDED:]):
        address = normalise(_without_port(entry.strip())) or UNKNOWN
        if address not in trusted:
            return address
    return address


def _without_port(text: str) -> str:
    """Some proxies write ``1.2.3.4:5`` and ``[::1]:5``."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, colon, _ = text.partition(":")
    return host if colon and "." in host else text
