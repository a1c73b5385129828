"""A peer whose DTLS is OpenSSL's: any certificate, either role, and a packet of media with the keys that came of it."""

import contextlib
import datetime as dt
import hashlib
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from pylibsrtp import Policy, Session

from . import stun_client

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

KEYS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA 2048": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "RSA 4096": lambda: rsa.generate_private_key(public_exponent=65537, key_size=4096),
}
PROFILES: Final = {
    b"SRTP_AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
    b"SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    b"SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
}
"""By OpenSSL's names: libsrtp's number, bytes of the key, bytes of the salt."""
_RECORD_HEADER: Final = 13


def certify(key: PrivateKey) -> x509.Certificate:
    """A certificate that signs itself, as WebRTC has them."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    now = dt.datetime.now(tz=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
    return builder.not_valid_after(now + dt.timedelta(days=30)).sign(key, hashes.SHA256())


class DtlsPeer:
    """One peer of a media port on loopback."""

    def __init__(self, key: PrivateKey, *, is_client: bool, port: int, profiles: bytes = b":".join(PROFILES)) -> None:
        """``is_client``: it begins the handshake, else the server does. ``profiles`` are OpenSSL's names."""
        self.certificate = certify(key)
        self._is_client = is_client
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(self.certificate)
        context.use_privatekey(key)
        context.set_tlsext_use_srtp(profiles)
        self._connection = SSL.Connection(context)
        self._connection.set_ciphertext_mtu(1200)
        if is_client:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))

    def close(self) -> None:
        """Without a word."""
        self.socket.close()

    def fingerprint(self, name: str = "sha256") -> bytes:
        """Digest of the certificate."""
        return hashlib.new(name, self.certificate.public_bytes(serialization.Encoding.DER)).digest()

    def server_fingerprint(self) -> str:
        """As the engine spells it."""
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        return certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def check(self, ufrag: str, pwd: str) -> None:
        """Prove to ICE that this is the peer. What comes before the answer waits in the socket."""
        transaction = os.urandom(12)
        self.socket.send(stun_client.check(local_ufrag=ufrag, remote_ufrag="peer", pwd=pwd, transaction=transaction))

    def handshake(self, seconds: float = 10, *, loses_last: bool = False) -> None:
        """Until it is done. ``loses_last``: what we say at its end is lost on the way.

        Raises:
            SSL.Error: OpenSSL does not like what it hears.
            TimeoutError: it takes too long.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                self._flush()
            else:
                for record in self._records():
                    if not loses_last:
                        self.socket.send(record)
                return
            left = min(end - time.monotonic(), self._connection.DTLSv1_get_timeout() or 1)
            if time.monotonic() > end:
                raise TimeoutError("no handshake")
            if select.select([self.socket], [], [], max(left, 0))[0]:
                datagram = self.socket.recv(2048)
                if 20 <= datagram[0] < 64:
                    self._connection.bio_write(datagram)
            else:
                self._connection.DTLSv1_handle_timeout()

    def hears_what_is_repeated(self, seconds: float = 10) -> None:
        """As the server, whose last flight was lost: until the client's comes again and ours is repeated.

        Raises:
            TimeoutError: it never comes.
        """
        self.socket.settimeout(seconds)
        while True:
            datagram = self.socket.recv(2048)
            if not 20 <= datagram[0] < 64:
                continue
            self._connection.bio_write(datagram)
            with contextlib.suppress(SSL.WantReadError):
                self._connection.recv(1)
            if records := list(self._records()):
                for record in records:
                    self.socket.send(record)
                return

    def goodbye(self) -> None:
        """A close_notify."""
        self._connection.shutdown()
        self._flush()

    def hears_goodbye(self) -> bool:
        """Is there a close_notify on its way, within five seconds?"""
        self.socket.settimeout(5)
        while True:
            datagram = self.socket.recv(2048)
            if 20 <= datagram[0] < 64:
                self._connection.bio_write(datagram)
                try:
                    self._connection.recv(1)
                except SSL.ZeroReturnError:
                    return True
                except SSL.WantReadError:
                    continue

    def send_video(self, ssrc: int, payload_type: int) -> None:
        """One packet of VP8."""
        profile, key, salt = PROFILES[self._connection.get_selected_srtp_profile()]
        material = self._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        keys, salts = material[: 2 * key], material[2 * key :]
        ours = keys[:key] + salts[:salt] if self._is_client else keys[key:] + salts[salt:]
        session = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        header = struct.pack("!BBHII", 0x80, payload_type, 1, 3000, ssrc)
        self.socket.send(session.protect(header + b"\x10\x00\x9d\x01\x2a\x40\x01\xb4\x00" + bytes(32)))

    def _flush(self) -> None:
        for record in self._records():
            self.socket.send(record)

    def _records(self) -> Iterator[bytes]:
        """OpenSSL writes into a stream; each record becomes a datagram."""
        while True:
            try:
                rest = self._connection.bio_read(65536)
            except SSL.WantReadError:
                return
            while rest:
                size = _RECORD_HEADER + int.from_bytes(rest[11:13])
                yield rest[:size]
                rest = rest[size:]
