"""The client's half of an ICE connectivity check (RFC 8445 §7.2, RFC 8489), enough for a server that is ICE-lite.

As a program it sends checks for a while and writes down what became of them: ``stun_client.py PORT UFRAG PWD SECONDS``.
"""

import hashlib
import hmac
import json
import os
import socket
import struct
import sys
import time
import zlib
from dataclasses import dataclass

COOKIE = 0x2112A442
BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
USE_CANDIDATE = 0x0025
FINGERPRINT = 0x8028
ICE_CONTROLLING = 0x802A


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def _with_length(message: bytes, extra: int) -> bytes:
    """The message with a length field that already counts an attribute to come (RFC 8489 §14.5)."""
    return message[:2] + struct.pack("!H", len(message) - 20 + extra) + message[4:]


def check(*, local_ufrag: str, remote_ufrag: str, pwd: str, transaction: bytes) -> bytes:
    """A nominating check by the controlling side, signed with the password of the server."""
    message = struct.pack("!HHI", BINDING_REQUEST, 0, COOKIE) + transaction
    message += _attribute(USERNAME, f"{local_ufrag}:{remote_ufrag}".encode())
    message += _attribute(PRIORITY, struct.pack("!I", 0x6E7F1EFF))
    message += _attribute(ICE_CONTROLLING, b"\1" * 8)
    message += _attribute(USE_CANDIDATE, b"")
    message = _with_length(message, 24)
    message += _attribute(MESSAGE_INTEGRITY, hmac.new(pwd.encode(), message, hashlib.sha1).digest())
    message = _with_length(message, 8)
    return message + _attribute(FINGERPRINT, struct.pack("!I", zlib.crc32(message) ^ 0x5354554E))


@dataclass(frozen=True, slots=True)
class Success:
    """A binding success response whose integrity holds."""

    transaction: bytes
    mapped: tuple[str, int]


def success(message: bytes, pwd: str) -> Success:
    """Read a binding success response.

    Raises:
        ValueError: it is something else, or not signed with ``pwd``.
    """
    kind, length, cookie = struct.unpack_from("!HHI", message)
    if (kind, length, cookie) != (BINDING_SUCCESS, len(message) - 20, COOKIE):
        raise ValueError(f"no success response: {message.hex()}")
    mapped = None
    at = 20
    while at < len(message):
        attribute, size = struct.unpack_from("!HH", message, at)
        value = message[at + 4 : at + 4 + size]
        if attribute == XOR_MAPPED_ADDRESS:
            port = struct.unpack_from("!H", value, 2)[0] ^ (COOKIE >> 16)
            ip = struct.unpack_from("!I", value, 4)[0] ^ COOKIE
            mapped = (socket.inet_ntoa(struct.pack("!I", ip)), port)
        if attribute == MESSAGE_INTEGRITY:
            signed = _with_length(message[:at], 24)
            if mapped is None or not hmac.compare_digest(value, hmac.new(pwd.encode(), signed, hashlib.sha1).digest()):
                break
            return Success(message[8:20], mapped)
        at += 4 + size + (-size % 4)
    raise ValueError(f"no integrity or no address: {message.hex()}")


def main(port: int, ufrag: str, pwd: str, seconds: float) -> None:
    """Send a check every 10 ms, then write one JSON list of ``[sent, answered]`` to stdout.

    Both are seconds of CLOCK_MONOTONIC; ``answered`` is null when nothing right came within 1 s.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect(("127.0.0.1", port))
        peer.settimeout(1)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        results: list[tuple[float, float | None]] = []
        end = time.monotonic() + seconds
        while (sent := time.monotonic()) < end:
            transaction = os.urandom(12)
            peer.send(check(local_ufrag=ufrag, remote_ufrag="peer", pwd=pwd, transaction=transaction))
            try:
                answered = success(peer.recv(2048), pwd).transaction == transaction
            except TimeoutError:
                answered = False
            results.append((sent, time.monotonic() if answered else None))
            time.sleep(0.01)
        sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
