"""Fail if a tracked file is or contains a private key that ``ALLOWED`` does not name. ``make check`` runs this.

Found are PEM blocks, OpenSSH and PGP keys, DER in the forms of PKCS #1, PKCS #8, RFC 5915 and PKCS #12, and files whose
names say that they are keys.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

DTLS: Final = "rust/sfu/src/transport/dtls/tests/data"
ALLOWED: Final = frozenset(f"{DTLS}/{name}.key.der" for name in ("p224", "p384", "p521", "rsa2048"))
"""Test data: certificates of peers that only the tests make."""

_PEM: Final = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\s*(?:[A-Za-z0-9+/=]{16}|Proc-Type:|Version:|Comment:)"
)
_SEQUENCE: Final = 0x30
_NAMED: Final = re.compile(r"(?:\.(?:key|p12|pfx|jks|ppk)|(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519))(?:\.der)?$")


def is_key(name: str, content: bytes) -> bool:
    """Whether a file of this name and content is or contains a private key."""
    if _NAMED.search(name):
        return True
    return _PEM.search(content) is not None or _is_der_key(content)


def _is_der_key(content: bytes) -> bool:
    """A sequence that begins with the version of a key, and then with what follows only in keys."""
    if len(content) < 16 or content[0] != _SEQUENCE:
        return False
    start = 2 + (content[1] & 0x7F if content[1] & 0x80 else 0)
    version, following = content[start : start + 3], content[start + 3 : start + 4]
    match version, following:
        case b"\x02\x01\x00", b"\x02" | b"\x30":  # PKCS #1; PKCS #8
            return True
        case b"\x02\x01\x01", b"\x04" | b"\x30":  # RFC 5915; PKCS #8 with a public key (RFC 5958)
            return True
        case b"\x02\x01\x03", b"\x30":  # PKCS #12
            return True
    return False


def main() -> None:
    """Look through the files that git tracks in the working directory's repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=False)
    if listed.returncode != 0:
        print("no git repository: no files were searched for private keys", file=sys.stderr)
        return
    names = [name for name in listed.stdout.decode().split("\0") if name and Path(name).is_file()]
    found = [name for name in names if name not in ALLOWED and is_key(name, Path(name).read_bytes())]
    for name in found:
        print(f"{name}: a private key; remove it, or allow it in scripts/check_keys.py", file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
