//! Peers with certificates of every kind, in both roles, on a bad line. The keys of the fixtures protect nothing.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use p224::ecdsa::signature::hazmat::PrehashSigner;

use super::*;

/// Certificate, scheme of its signatures, and who makes them.
type Foreign = (&'static str, &'static [u8], u16, fn(&[u8]) -> Vec<u8>);

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("data/", $name, ".der"))
    };
}

const FOREIGN: [Foreign; 5] = [
    ("P-224", data!("p224.crt"), 0x0403, sign_p224),
    ("P-384", data!("p384.crt"), 0x0503, |message| {
        sign_ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, data!("p384.key"), message)
    }),
    ("P-521", data!("p521.crt"), 0x0603, |message| {
        sign_ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING, data!("p521.key"), message)
    }),
    ("RSA 2048, PKCS#1", data!("rsa2048.crt"), 0x0401, |message| {
        sign_rsa(&RSA_PKCS1_SHA256, message)
    }),
    ("RSA 2048, PSS", data!("rsa2048.crt"), 0x0804, |message| {
        sign_rsa(&RSA_PSS_SHA256, message)
    }),
];

fn sign_ecdsa(algorithm: &'static EcdsaSigningAlgorithm, key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = EcdsaKeyPair::from_pkcs8(algorithm, key).unwrap();
    key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
}

fn sign_rsa(encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let key = RsaKeyPair::from_pkcs8(data!("rsa2048.key")).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signature)
        .unwrap();
    signature
}

/// The scalar of the PKCS#8 file: OpenSSL writes it behind the header of the ECPrivateKey.
fn sign_p224(message: &[u8]) -> Vec<u8> {
    let at = data!("p224.key").windows(2).position(|pair| pair == [4, 28]).unwrap();
    let key = p224::ecdsa::SigningKey::from_slice(&data!("p224.key")[at + 2..at + 30]).unwrap();
    let signature: p224::ecdsa::DerSignature = key
        .sign_prehash(digest::digest(&digest::SHA256, message).as_ref())
        .unwrap();
    signature.as_bytes().to_vec()
}

/// The foreign peer, and ours, which expects its certificate or another.
fn foreign(foreign: &Foreign, ours: DtlsRole, expected: &[u8]) -> (Peer, Peer) {
    let (_, certificate, scheme, sign) = *foreign;
    let own = Certificate::generate().unwrap();
    let theirs = match ours {
        DtlsRole::Passive => DtlsRole::Active,
        DtlsRole::Active => DtlsRole::Passive,
    };
    let identity = SharedIdentity::new(Identity::foreign(certificate, scheme, sign));
    (
        Peer::new(Kind::Own, ours, &own, print_of(expected)),
        Peer::with(Box::new(OwnDtls::new(identity, theirs, print(&own), Time::ZERO))),
    )
}

/// `talk`, whoever is passive.
fn meet(ours: &mut Peer, theirs: &mut Peer, role: DtlsRole, fate: impl FnMut(usize) -> Fate) {
    match role {
        DtlsRole::Passive => talk(ours, theirs, Time::ZERO, fate),
        DtlsRole::Active => talk(theirs, ours, Time::ZERO, fate),
    };
}

#[test]
fn peers_with_certificates_of_every_kind_connect_in_both_roles() {
    for peer in &FOREIGN {
        for role in [DtlsRole::Passive, DtlsRole::Active] {
            let (mut ours, mut theirs) = foreign(peer, role, peer.1);
            meet(&mut ours, &mut theirs, role, all_arrive);
            assert_same_keys(&ours, &theirs, &(peer.0, role));
            assert_eq!(ours.keys.unwrap().profile, SrtpProfile::AeadAes256Gcm);
        }
    }
}

#[test]
fn they_connect_on_a_bad_line() {
    for peer in &FOREIGN {
        for role in [DtlsRole::Passive, DtlsRole::Active] {
            for seed in 100..106 {
                let (mut ours, mut theirs) = foreign(peer, role, peer.1);
                meet(&mut ours, &mut theirs, role, bad_line(seed));
                assert_same_keys(&ours, &theirs, &(peer.0, role, seed));
            }
        }
    }
}

#[test]
fn a12_their_fingerprints_are_compared_before_anything_else() {
    for peer in &FOREIGN {
        for role in [DtlsRole::Passive, DtlsRole::Active] {
            let (mut ours, mut theirs) = foreign(peer, role, b"another certificate");
            meet(&mut ours, &mut theirs, role, all_arrive);
            assert_eq!(ours.result, Err(DtlsError::FingerprintMismatch), "{} {role:?}", peer.0);
            assert!(ours.keys.is_none() && theirs.keys.is_none());
        }
    }
}

#[test]
fn a12_who_shows_the_certificate_of_another_but_has_not_its_key_gets_no_keys() {
    for peer in &FOREIGN {
        for role in [DtlsRole::Passive, DtlsRole::Active] {
            let mut thief = *peer;
            thief.3 = |_| vec![0x30, 6, 2, 1, 1, 2, 1, 1];
            let (mut ours, mut theirs) = foreign(&thief, role, peer.1);
            meet(&mut ours, &mut theirs, role, all_arrive);
            assert_eq!(
                ours.result,
                Err(DtlsError::Failed("a wrong signature".to_owned())),
                "{} {role:?}",
                peer.0
            );
            assert!(ours.keys.is_none() && theirs.keys.is_none());
        }
    }
}

#[test]
fn a_signature_of_another_message_or_scheme_is_none() {
    for (name, certificate, scheme, sign) in FOREIGN {
        let key = own::PeerKey::of(certificate).unwrap();
        let signature = sign(b"message");
        assert!(key.verify(scheme, b"message", &signature), "{name}");
        assert!(!key.verify(scheme, b"massage", &signature), "{name}");
        assert!(!key.verify(scheme ^ 0x0700, b"message", &signature), "{name}");
        assert!(!key.verify(0x0203, b"message", &signature), "{name}: SHA-1");
        assert!(!key.verify(0x0201, b"message", &signature), "{name}: SHA-1");
        assert!(!key.verify(scheme, b"message", &[]), "{name}");
        assert!(!key.verify(scheme, b"message", &signature[1..]), "{name}");
    }
}

#[test]
fn a_library_peer_with_p_384_connects_in_both_roles() {
    for role in [DtlsRole::Passive, DtlsRole::Active] {
        let other = match role {
            DtlsRole::Passive => DtlsRole::Active,
            DtlsRole::Active => DtlsRole::Passive,
        };
        let own = Certificate::generate().unwrap();
        let mut theirs = config(&own);
        theirs.certificate.certificate = data!("p384.crt").to_vec();
        theirs.certificate.private_key = data!("p384.key").to_vec();
        let mut ours = Peer::new(Kind::Own, role, &own, print_of(data!("p384.crt")));
        let mut theirs = Peer::with(Box::new(library::DimplDtls::new(
            &theirs,
            other,
            print(&own),
            Time::ZERO,
        )));
        meet(&mut ours, &mut theirs, role, all_arrive);
        assert_same_keys(&ours, &theirs, &role);
    }
}

#[test]
fn a15_malformed_certificates_have_no_key() {
    for (name, certificate, ..) in FOREIGN {
        assert!(own::PeerKey::of(certificate).is_some(), "{name}");
        for len in 0..certificate.len() {
            assert!(own::PeerKey::of(&certificate[..len]).is_none(), "{name}, {len} bytes");
        }
        for at in 0..certificate.len() {
            let mut forged = certificate.to_vec();
            forged[at] ^= 0x55;
            if let Some(key) = own::PeerKey::of(&forged) {
                assert!(!key.verify(0x0403, b"", &[0x30, 6, 2, 1, 1, 2, 1, 1]), "{name} at {at}");
            }
        }
    }
}
