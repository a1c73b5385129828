"""The addresses of this machine (Linux)."""

import fcntl
import socket
import struct
from array import array
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

_SIOCGIFCONF: Final = 0x8912
_IFREQ: Final = struct.Struct("16sHH4s16x")
"""netdevice(7): name, address family, port, IPv4 address; of 64-bit kernels."""
_MAX_ADDRESSES: Final = 256
_IFA_F_DEPRECATED, _IFA_F_TENTATIVE = 0x20, 0x40
_SCOPE_GLOBAL: Final = 0


def other_addresses() -> list[IPv4Address | IPv6Address]:
    """The addresses by which other machines may reach this one, IPv4 first: no loopback, no link-local ones."""
    found: list[IPv4Address | IPv6Address] = [*_ipv4(), *_ipv6()]
    return [address for address in found if not address.is_loopback and not address.is_link_local]


def _ipv4() -> list[IPv4Address]:
    buffer = array("B", bytes(_IFREQ.size * _MAX_ADDRESSES))
    place, _ = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFCONF, struct.pack("iP", len(buffer), place))
        except OSError:
            return []
    length, _ = struct.unpack("iP", answer)
    entries = _IFREQ.iter_unpack(buffer[: length // _IFREQ.size * _IFREQ.size])
    return [IPv4Address(address) for _, family, _, address in entries if family == socket.AF_INET]


def _ipv6() -> list[IPv6Address]:
    """Lines of /proc/net/if_inet6: address, interface, prefix length, scope, flags (hexadecimal), and a name."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        address, _, _, scope, flags, _ = line.split()
        if int(scope, 16) == _SCOPE_GLOBAL and not int(flags, 16) & (_IFA_F_DEPRECATED | _IFA_F_TENTATIVE):
            found.append(IPv6Address(bytes.fromhex(address)))
    return found
