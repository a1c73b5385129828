"""RTP, sender reports and the frames of a local feed (docs/seam.md): bytes out. Pure."""

import struct
from typing import Final

MAX_FRAME: Final = 16 + 1400
RTP: Final = 1
RTCP: Final = 2
_ENVELOPE: Final = struct.Struct("!BBHIQ")
_HEADER: Final = struct.Struct("!BBHII")
_NTP_EPOCH_S: Final = 2_208_988_800
"""Seconds between 1900 and 1970."""


def envelope(kind: int, route: int, sequence: int) -> bytes:
    """What stands before a packet of a local feed."""
    return _ENVELOPE.pack(0x10 | kind, 0, route, sequence & 0xFFFFFFFF, 0)


def packet(
    payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, *, marker: bool, extension: bytes = b""
) -> bytes:
    """An RTP packet (RFC 3550 §5.1). ``extension``: elements of one byte headers (RFC 8285 §4.2), unpadded."""
    first = 0x90 if extension else 0x80
    head = _HEADER.pack(first, payload_type | (0x80 if marker else 0), sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    if not extension:
        return head + payload
    padded = extension + bytes(-len(extension) % 4)
    return head + b"\xbe\xde" + (len(padded) // 4).to_bytes(2, "big") + padded + payload


def audio_level(extension_id: int, level: int, *, voice: bool) -> bytes:
    """RFC 6464: ``level`` is 0 (loudest) … 127, -dBov."""
    return bytes([extension_id << 4, (0x80 if voice else 0) | level])


def sender_report(ssrc: int, cname: str, *, epoch_us: int, timestamp: int, packets: int, octets: int) -> bytes:
    """A sender report and its SDES (RFC 3550 §6.4.1, §6.5)."""
    seconds, micros = divmod(epoch_us, 1_000_000)
    ntp = (seconds + _NTP_EPOCH_S & 0xFFFFFFFF) << 32 | (micros << 32) // 1_000_000  # seconds wrap in 2036
    report = struct.pack(
        "!BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp & 0xFFFFFFFF, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF
    )
    name = cname.encode("ascii")
    chunk = struct.pack("!IBB", ssrc, 1, len(name)) + name + b"\0"
    chunk += bytes(-len(chunk) % 4)
    return report + struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk


def goodbye(ssrcs: list[int]) -> bytes:
    """RFC 3550 §6.6."""
    return struct.pack(f"!BBH{len(ssrcs)}I", 0x80 | len(ssrcs), 203, len(ssrcs), *ssrcs)
