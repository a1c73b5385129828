"""Pictures and sound into RTP payloads: H264 (RFC 6184, mode 1), VP9 (RFC 9628), AV1 (AOM RTP 1.0). Pure."""

from collections.abc import Sequence
from typing import Final

MAX_PAYLOAD: Final = 1160
"""With header, extensions and authentication tag of viewers' packets it fits 1 232 bytes."""

_STAP_A: Final = 24
_FU_A: Final = 28
_SLICES: Final = range(1, 6)


def h264(nals: Sequence[bytes], most: int = MAX_PAYLOAD) -> list[bytes]:
    """The payloads of one picture, in order. What comes before the slices shares a packet where it fits."""
    payloads: list[bytes] = []
    pending: list[bytes] = []
    size = 1

    def flush() -> None:
        nonlocal size
        if len(pending) == 1:
            payloads.append(pending[0])
        elif pending:
            importance = max(nal[0] & 0x60 for nal in pending)
            parts = b"".join(len(nal).to_bytes(2, "big") + nal for nal in pending)
            payloads.append(bytes([importance | _STAP_A]) + parts)
        pending.clear()
        size = 1

    for nal in nals:
        if nal[0] & 0x1F in _SLICES or len(nal) + 3 > most:
            flush()
            payloads.extend([nal] if len(nal) <= most else _fragments(nal, most))
            continue
        if size + 2 + len(nal) > most:
            flush()
        pending.append(nal)
        size += 2 + len(nal)
    flush()
    return payloads


def _fragments(nal: bytes, most: int) -> list[bytes]:
    """FU-A (RFC 6184 §5.8)."""
    indicator, kind, body = nal[0] & 0xE0 | _FU_A, nal[0] & 0x1F, nal[1:]
    starts = range(0, len(body), most - 2)
    last = starts[-1]
    return [
        bytes([indicator, kind | (0x80 if at == 0 else 0) | (0x40 if at == last else 0)]) + body[at : at + most - 2]
        for at in starts
    ]


def vp9(frame: bytes, picture: int, *, is_key: bool, size: tuple[int, int] | None = None) -> list[bytes]:
    """The payloads of one picture of one layer. ``picture``: its 15-bit number; ``size``: said with key frames."""
    first = 0x80 | (0 if is_key else 0x40)  # I, P
    number = (0x8000 | picture & 0x7FFF).to_bytes(2, "big")
    structure = b""
    if is_key and size is not None:
        # One spatial layer, its size, no picture group (RFC 9628 §4.2.1).
        structure = bytes([0x10]) + size[0].to_bytes(2, "big") + size[1].to_bytes(2, "big")
    most = MAX_PAYLOAD - 3 - 5
    starts = range(0, len(frame), most)
    payloads = []
    for at in starts:
        is_first, is_last = at == 0, at == starts[-1]
        flags = first | (0x08 if is_first else 0) | (0x04 if is_last else 0) | (0x02 if is_first and structure else 0)
        payloads.append(bytes([flags]) + number + (structure if is_first else b"") + frame[at : at + most])
    return payloads


def vp9_key_size(frame: bytes) -> tuple[int, int] | None:
    """Size of a key frame of profile 0 (VP9 bitstream §6.2); ``None``: no key frame, or another profile."""
    if len(frame) < 10 or frame[0] & 0xF4 != 0x80 or frame[1:4] != b"\x49\x83\x42":
        return None
    # Behind the sync code: color_space (3), color_range (1) unless RGB, then width and height minus 1 of 16 bits each.
    bits = int.from_bytes(frame[4:10], "big")
    if bits >> 45 == 7:
        return None
    return (bits >> 28 & 0xFFFF) + 1, (bits >> 12 & 0xFFFF) + 1


_TEMPORAL_DELIMITER: Final = 2
_SEQUENCE_HEADER: Final = 1
_TILE_LIST: Final = 8
_PADDING: Final = 15
MAX_OBUS: Final = 512
"""OBUs of a temporal unit, those that are left out included."""


class Av1Error(ValueError):
    """The temporal unit is broken."""


def obus(data: bytes) -> list[bytes]:
    """The OBUs of a temporal unit without size fields, as RTP carries them (AV1 RTP §5). Delimiters are left out.

    Raises:
        Av1Error: a size goes past the end.
    """
    found: list[bytes] = []
    at = count = 0
    while at < len(data):
        count += 1
        if count > MAX_OBUS:
            raise Av1Error("an AV1 picture has too many parts")
        header = data[at]
        start = at
        at += 2 if header & 0x04 else 1
        if header & 0x02:
            size, at = _leb128(data, at)
        else:
            size = len(data) - at
        body = data[at : at + size]
        if len(body) != size or header & 0x80:
            raise Av1Error("an AV1 picture is cut short")
        at += size
        if header >> 3 & 0x0F not in (_TEMPORAL_DELIMITER, _TILE_LIST, _PADDING):
            extension = data[start + 1 : start + 2] if header & 0x04 else b""
            found.append(bytes([header & ~0x02]) + extension + body)
    return found


def is_sequence_header(obu: bytes) -> bool:
    """Whether decoding may begin with it."""
    return obu[0] >> 3 & 0x0F == _SEQUENCE_HEADER


def av1(units: Sequence[bytes], *, is_key: bool) -> list[bytes]:
    """The payloads of a temporal unit: every element behind its length (W = 0), cut wherever a packet is full."""
    payloads: list[bytes] = []
    packet = bytearray([0x08 if is_key else 0])  # N: a new coded video sequence
    for unit in units:
        at = 0
        while at < len(unit):
            room = MAX_PAYLOAD - len(packet) - 2  # lengths below 16 384 take two bytes
            if room <= 0:
                payloads.append(bytes(packet))
                packet = bytearray([0])
                continue
            part = unit[at : at + room]
            packet += (
                len(part).to_bytes(1, "big") if len(part) < 128 else bytes([len(part) & 0x7F | 0x80, len(part) >> 7])
            )
            packet += part
            at += len(part)
            if at < len(unit):
                packet[0] |= 0x40  # Y: its last element goes on in the next packet
                payloads.append(bytes(packet))
                packet = bytearray([0x80])  # Z: its first element goes on from the last one
    if len(packet) > 1:
        payloads.append(bytes(packet))
    return payloads


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at
    raise Av1Error("an AV1 picture is cut short")
