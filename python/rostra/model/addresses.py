"""Addresses: one spelling for each, and the share that each belongs to.

Every address that is compared, counted or logged goes through here.
"""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

_IPV6_SHARE_BITS: Final = 64
"""One household or server holds that many addresses, so that they count as one."""


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
