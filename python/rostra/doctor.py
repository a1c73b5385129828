"""What will and what will not work on this machine: ports, kernel features, addresses. Sends nothing anywhere."""

import errno
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rostra.config import Address
from rostra.model.addresses import is_loopback

_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_WANTED_BUFFER: Final = 8 * 1024 * 1024
_WANTED_DESCRIPTORS: Final = 4096


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact. ``good``: ``True`` works, ``False`` does not, ``None`` works with a limit."""

    subject: str
    good: bool | None
    text: str


def examine(http: Address, media: Address, rtmp: Address | None) -> list[Finding]:
    """Everything that decides whether ``rostra dev`` on these addresses will serve people. ``rtmp``: if at all."""
    encoders = [_port("RTMP port", rtmp, socket.SOCK_STREAM), _reach_of_encoders(rtmp)] if rtmp is not None else []
    return [
        _port("HTTP port", http, socket.SOCK_STREAM),
        _reach_of_http(http, media),
        _port("media port", media, socket.SOCK_DGRAM),
        _port("media port", media, socket.SOCK_STREAM),
        _reach(media),
        *encoders,
        _segmentation(),
        _receive_buffer(),
        _descriptors(),
        _ipv6(),
    ]


def _port(subject: str, address: Address, kind: socket.SocketKind) -> Finding:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    name = "TCP" if kind == socket.SOCK_STREAM else "UDP"
    try:
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
    except OSError as error:
        taken = "; stop the program that has it, or choose another port" if error.errno == errno.EADDRINUSE else ""
        return Finding(subject, False, f"{name} {address} cannot be had: {error.strerror}{taken}")
    return Finding(subject, True, f"{name} {address} is free")


def _reach_of_http(http: Address, media: Address) -> Finding:
    subject = "HTTP address"
    if is_loopback(http.host):
        text = f"only browsers on this machine reach it; --http 0.0.0.0:{http.port} lets others in"
        return Finding(subject, None, f"{http.host} is loopback: {text}")
    text = f"{http.host}; without --tls-cert, tokens pass in clear and browsers of other machines give no camera"
    if is_loopback(media.host):
        return Finding(subject, None, f"{text}; media is for this machine alone: --media 0.0.0.0:{media.port} opens it")
    return Finding(subject, True, text)


def _reach(media: Address) -> Finding:
    if is_loopback(media.host):
        text = "only browsers on this machine reach it; --media 0.0.0.0:8081 lets others in"
        return Finding("media address", None, f"{media.host} is loopback: {text}")
    if media.host in {"0.0.0.0", "::"}:  # noqa: S104 — compared, not bound
        port = _open(media)
        return Finding("media address", True, f"all addresses of this machine; {port}; behind NAT add --public-address")
    return Finding("media address", True, f"{media.host}; {_open(media)}")


def _reach_of_encoders(rtmp: Address) -> Finding:
    subject = "RTMP address"
    if is_loopback(rtmp.host):
        text = f"only encoders on this machine reach it; --rtmp 0.0.0.0:{rtmp.port} lets others in"
        return Finding(subject, None, f"{rtmp.host} is loopback: {text}")
    text = f"TCP port {rtmp.port} must be open in the firewall; tokens pass it without encryption"
    return Finding(subject, True, f"{rtmp.host}; {text}")


def _open(media: Address) -> str:
    port = f"UDP port {media.port} must be open in the firewall"
    return f"{port}, and TCP port {media.port} for those whose networks let no UDP through"


def _segmentation() -> Finding:
    subject = "UDP segmentation offload"
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
        ):
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            two.settimeout(1)
            segment = [(_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", 10))]
            one.sendmsg([b"x" * 20], segment, 0, two.getsockname())
            works = len(two.recv(100)) == 10
    except OSError as error:
        return Finding(subject, None, f"not in this kernel ({error.strerror}); media costs several times the CPU")
    return Finding(subject, works or None, "works" if works else "the kernel ignores it; media costs more CPU")


def _receive_buffer() -> Finding:
    subject = "receive buffer"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WANTED_BUFFER)
        got = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if got >= _WANTED_BUFFER or os.geteuid() == 0:
        return Finding(subject, True, f"{_WANTED_BUFFER >> 20} MiB for the feedback of thousands of viewers")
    advice = f"sysctl net.core.rmem_max={_WANTED_BUFFER} raises it"
    return Finding(subject, None, f"{got >> 10} KiB; enough for hundreds of viewers; {advice}")


def _descriptors() -> Finding:
    soft = os.sysconf("SC_OPEN_MAX")
    if soft >= _WANTED_DESCRIPTORS:
        return Finding("open files", True, f"{soft}: one for each signalling socket, one more for media by TCP")
    return Finding("open files", None, f"{soft}: at most about {soft - 64} clients; ulimit -n raises it")


def _ipv6() -> Finding:
    present = Path("/proc/net/if_inet6")
    try:
        works = bool(present.read_text().strip())
    except OSError:
        works = False
    return Finding("IPv6", works or None, "present" if works else "not on this machine; IPv4 alone is served")
