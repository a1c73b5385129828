"""The media plane beside OpenSSL, on loopback: peers that are no browsers, certificates of every kind, either role."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from OpenSSL import SSL

from rostra.media.native import NativeEngine
from rostra.model.media import (
    CloseReason,
    CloseTransport,
    Codec,
    CodecSpec,
    DtlsRole,
    EncodingSpec,
    Fingerprint,
    Kind,
    Mid,
    OpenTransport,
    ReceiveSpec,
    TrackId,
    TrackStarted,
    TransportClosed,
    TransportConnected,
    TransportId,
    TransportSpec,
)

from .dtls_peer import KEYS, PROFILES, DtlsPeer
from .test_native import PWD, wait_for

US = TransportId(1)
SPEC = TransportSpec(
    local_ufrag="local",
    local_pwd=PWD,
    remote_ufrag="peer",
    remote_pwd="another-password-of-22",
    fingerprints=(),
    dtls_role=DtlsRole.PASSIVE,
    extensions=(),
    cname="cname",
    receive=(ReceiveSpec(Mid("0"), TrackId(1), Kind.VIDEO, (CodecSpec(96, Codec.VP8),), (EncodingSpec(ssrc=4321),)),),
)

Announced: TypeAlias = Callable[[DtlsPeer], tuple[Fingerprint, ...]]
Meet: TypeAlias = Callable[..., DtlsPeer]


def true_fingerprint(peer: DtlsPeer) -> tuple[Fingerprint, ...]:
    return (Fingerprint("sha-256", peer.fingerprint()),)


def registered(profile: bytes) -> str:
    """OpenSSL's name as IANA has it."""
    return profile.decode().replace("CM_SHA1", "CM_HMAC_SHA1")


def wrong_fingerprint(_peer: DtlsPeer) -> tuple[Fingerprint, ...]:
    return (Fingerprint("sha-256", bytes(32)),)


@pytest.fixture
def engine() -> Iterator[NativeEngine]:
    engine = NativeEngine("127.0.0.1", 0)
    yield engine
    engine.close()


@pytest.fixture
def meet(engine: NativeEngine) -> Iterator[Meet]:
    """A peer of this kind in this role, known to the server by these fingerprints, that has proved where it is."""
    peers: list[DtlsPeer] = []

    def make(
        kind: str, role: DtlsRole, announced: Announced = true_fingerprint, profiles: bytes = b":".join(PROFILES)
    ) -> DtlsPeer:
        is_client = role is DtlsRole.PASSIVE
        peer = DtlsPeer(KEYS[kind](), is_client=is_client, port=engine.candidates[0].port, profiles=profiles)
        peers.append(peer)
        engine.submit(OpenTransport(US, dataclasses.replace(SPEC, dtls_role=role, fingerprints=announced(peer))))
        peer.check("local", PWD)
        return peer

    yield make
    for peer in peers:
        peer.close()


both_roles = pytest.mark.parametrize("role", DtlsRole)
# OpenSSL 4, the peer here, neither serves P-224 any more (RFC 8422 §5.1.1 deprecates it) nor names it in its hello;
# GnuTLS serves it, in tests/e2e/test_encoders.py.
pairs = pytest.mark.parametrize(
    ("kind", "role"), [(kind, role) for role in DtlsRole for kind in KEYS if kind != "P-224"]
)
rare_pairs = pytest.mark.parametrize(("kind", "role"), [("RSA 2048", DtlsRole.PASSIVE), ("RSA 2048", DtlsRole.ACTIVE)])


@pairs
def test_peers_of_every_kind_connect_and_their_media_arrives(
    engine: NativeEngine, meet: Meet, kind: str, role: DtlsRole
) -> None:
    peer = meet(kind, role)
    peer.handshake()
    assert peer.server_fingerprint() == engine.fingerprint
    assert wait_for(engine, TransportConnected) == TransportConnected(US, "SRTP_AEAD_AES_256_GCM")
    peer.send_video(4321, 96)
    assert wait_for(engine, TrackStarted) == TrackStarted(US, TrackId(1))
    peer.goodbye()
    assert wait_for(engine, TransportClosed) == TransportClosed(US, CloseReason.PEER_CLOSED)


@both_roles
@pytest.mark.parametrize("profile", PROFILES)
def test_a_peer_that_has_one_profile_gets_that_one(
    engine: NativeEngine, meet: Meet, profile: bytes, role: DtlsRole
) -> None:
    peer = meet("RSA 2048", role, profiles=profile)
    peer.handshake()
    assert wait_for(engine, TransportConnected) == TransportConnected(US, registered(profile))
    peer.send_video(4321, 96)
    assert wait_for(engine, TrackStarted) == TrackStarted(US, TrackId(1))


@pytest.mark.parametrize("names", [b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", b":".join(reversed(PROFILES))])
def test_as_the_server_we_take_the_cheapest_profile_whatever_comes_first(
    engine: NativeEngine, meet: Meet, names: bytes
) -> None:
    meet("RSA 2048", DtlsRole.PASSIVE, profiles=names).handshake()
    best = max(names.split(b":"), key=lambda name: (b"GCM" in name, b"256" in name))
    assert wait_for(engine, TransportConnected) == TransportConnected(US, registered(best))


@rare_pairs
@pytest.mark.parametrize("hash_name", ["sha-384", "sha-512"])
def test_one_of_several_fingerprints_is_enough(
    engine: NativeEngine, meet: Meet, kind: str, role: DtlsRole, hash_name: str
) -> None:
    peer = meet(
        kind,
        role,
        announced=lambda peer: (
            Fingerprint("sha-256", bytes(32)),
            Fingerprint(hash_name, peer.fingerprint(hash_name.replace("-", ""))),
        ),
    )
    peer.handshake()
    assert isinstance(wait_for(engine, TransportConnected), TransportConnected)


@rare_pairs
def test_a_certificate_that_nobody_announced_ends_it(
    engine: NativeEngine, meet: Meet, kind: str, role: DtlsRole
) -> None:
    peer = meet(kind, role, announced=wrong_fingerprint)
    with pytest.raises((SSL.Error, TimeoutError)):
        peer.handshake(seconds=1)
    assert wait_for(engine, TransportClosed) == TransportClosed(US, CloseReason.FINGERPRINT_MISMATCH)


@both_roles
def test_a_peer_without_srtp_is_refused(engine: NativeEngine, meet: Meet, role: DtlsRole) -> None:
    peer = meet("P-256", role, profiles=b"SRTP_AES128_CM_SHA1_32")
    with pytest.raises((SSL.Error, TimeoutError)):
        peer.handshake(seconds=1)
    assert wait_for(engine, TransportClosed) == TransportClosed(US, CloseReason.DTLS_FAILED)


def test_a_client_whose_hello_leaves_out_the_curve_of_its_certificate_is_refused(
    engine: NativeEngine, meet: Meet
) -> None:
    peer = meet("P-224", DtlsRole.PASSIVE)
    with pytest.raises((SSL.Error, TimeoutError)):
        peer.handshake(seconds=1)
    assert wait_for(engine, TransportClosed) == TransportClosed(US, CloseReason.DTLS_FAILED)


def test_when_we_are_the_client_the_last_answer_may_be_lost(engine: NativeEngine, meet: Meet) -> None:
    peer = meet("RSA 2048", DtlsRole.ACTIVE)
    peer.handshake(loses_last=True)
    peer.hears_what_is_repeated()
    assert isinstance(wait_for(engine, TransportConnected), TransportConnected)


@both_roles
def test_the_server_says_good_bye(engine: NativeEngine, meet: Meet, role: DtlsRole) -> None:
    peer = meet("RSA 2048", role)
    peer.handshake()
    wait_for(engine, TransportConnected)
    engine.submit(CloseTransport(US))
    assert wait_for(engine, TransportClosed) == TransportClosed(US, CloseReason.CLOSED)
    assert peer.hears_goodbye()
