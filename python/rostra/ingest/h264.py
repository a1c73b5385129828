"""H264 pictures as viewers need them: parameter sets before each key frame, SEI messages put in (millicast §11.2)."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

IDR: Final = 5
SEI: Final = 6
SPS: Final = 7
PPS: Final = 8
DELIMITER: Final = 9
FILLER: Final = 12
_SLICES: Final = range(1, 6)
MAX_PARAMETER_SETS: Final = 16
"""Parameter sets that are kept; encoders have one of each, some have several for pictures."""
MAX_PARAMETER_SET: Final = 2048
"""Bytes of one. All that are kept go before each key frame, and real ones have some thirty."""

UUID_TIME: Final = UUID("9a21f3be-31f0-4b78-b0be-c7f7dbb97250").bytes
"""Epoch in milliseconds and nothing else: what a server puts in."""
UUID_SDK: Final = UUID("d40e38ea-d419-4c62-94ed-20ac37b4e4fa").bytes
"""Epoch in milliseconds, then JSON: what publishers put in."""
_UNREGISTERED: Final = 5


def kind(nal: bytes) -> int:
    """Type of a NAL unit."""
    return nal[0] & 0x1F


def is_key(nals: Iterable[bytes]) -> bool:
    """Whether decoding can begin here."""
    return any(kind(nal) == IDR for nal in nals)


class ParameterSets:
    """The newest parameter sets, as the encoder sent them, in band or ahead of everything."""

    def __init__(self, sets: Sequence[bytes] = ()) -> None:
        self._sets: dict[tuple[int, int], bytes] = {}
        for one in sets:
            self._keep(one)

    def complete(self, nals: list[bytes]) -> list[bytes]:
        """The picture without delimiters and filler; a key frame begins with all parameter sets that it may need."""
        for nal in nals:
            if kind(nal) in (SPS, PPS):
                self._keep(nal)
        kept = [nal for nal in nals if kind(nal) not in (DELIMITER, FILLER)]
        if not is_key(kept) or {SPS, PPS} <= set(map(kind, kept)):
            return kept
        rest = (nal for nal in kept if kind(nal) not in (SPS, PPS))
        return [*(self._sets[key] for key in sorted(self._sets)), *rest]

    def _keep(self, nal: bytes) -> None:
        """By kind and id: an encoder may have several. Ids are a few bits behind what is fixed."""
        if len(nal) > MAX_PARAMETER_SET:
            return
        name = (kind(nal), _id(nal))
        if name in self._sets or len(self._sets) < MAX_PARAMETER_SETS:
            self._sets[name] = nal


def _id(nal: bytes) -> int:
    """seq_parameter_set_id behind profile, constraints and level; pic_parameter_set_id at once (§7.3.2)."""
    payload = nal[4:9] if kind(nal) == SPS else nal[1:6]
    bits = int.from_bytes(payload, "big") << 8 * (5 - len(payload))
    zeros = 0
    while zeros < 16 and not bits >> (39 - zeros) & 1:
        zeros += 1
    return (bits >> (39 - 2 * zeros)) - 1 if zeros < 16 else 0


def time_sei(epoch_ms: int) -> bytes:
    """A SEI NAL unit that says when, in the shortest form: the reader takes all bytes behind the UUID as one number."""
    return unregistered_sei(UUID_TIME, _number(epoch_ms))


def text_sei(epoch_ms: int, value: Any) -> bytes:
    """A SEI NAL unit with a JSON value and its time.

    Raises:
        ValueError: JSON has no such value: AMF's numbers may be infinite or none.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return unregistered_sei(UUID_SDK, _number(epoch_ms) + text)


def _number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def unregistered_sei(uuid: bytes, content: bytes) -> bytes:
    """user_data_unregistered (H.264 §D.1.6): one message in its own NAL unit."""
    size = len(uuid) + len(content)
    body = bytes([_UNREGISTERED, *[255] * (size // 255), size % 255]) + uuid + content + b"\x80"
    return bytes([SEI]) + escape(body)


def escape(payload: bytes) -> bytes:
    """Emulation prevention (H.264 §7.4.1)."""
    if b"\0\0" not in payload:
        return payload
    out = bytearray()
    zeros = 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def has_time(nals: Iterable[bytes]) -> bool:
    """Whether the sender put a time of its own in."""
    return any(kind(nal) == SEI and (UUID_TIME in nal or UUID_SDK in nal) for nal in nals)


def with_sei(nals: list[bytes], messages: Sequence[bytes]) -> list[bytes]:
    """The picture with messages before its first slice, behind parameter sets and messages that it had."""
    at = next((index for index, nal in enumerate(nals) if kind(nal) in _SLICES), len(nals))
    return [*nals[:at], *messages, *nals[at:]]
