//! Peers with certificates of every kind, in both roles, on a bad line. The keys of the fixtures protect nothing.

use super::*;

/// Name, certificate and key.
type Foreign = (&'static str, &'static [u8], &'static [u8]);

macro_rules! foreign {
    ($name:literal, $file:literal) => {
        (
            $name,
            include_bytes!(concat!("data/", $file, ".crt.der")),
            include_bytes!(concat!("data/", $file, ".key.der")),
        )
    };
}

const FOREIGN: [Foreign; 4] = [
    foreign!("P-224", "p224"),
    foreign!("P-384", "p384"),
    foreign!("P-521", "p521"),
    foreign!("RSA 2048", "rsa2048"),
];

const BOTH: [DtlsRole; 2] = [DtlsRole::Passive, DtlsRole::Active];

fn other(role: DtlsRole) -> DtlsRole {
    match role {
        DtlsRole::Passive => DtlsRole::Active,
        DtlsRole::Active => DtlsRole::Passive,
    }
}

/// Ours, which expects this certificate, and the foreign peer.
fn meeting(foreign: &Foreign, ours: DtlsRole, expected: &[u8]) -> (Peer, Peer) {
    let own = Certificate::generate().unwrap();
    let theirs = Context::new(foreign.1, foreign.2).unwrap();
    let theirs = OpensslDtls::new(&theirs, other(ours), print(&own), Time::ZERO);
    (
        Peer::new(Kind::Openssl, ours, &own, print_of(expected)),
        Peer::with(Kind::Openssl, Box::new(theirs)),
    )
}

/// Ours, and one of dimpl that shows this certificate and signs with this key.
fn meeting_dimpl(ours: DtlsRole, certificate: &[u8], key: &[u8]) -> (Peer, Peer) {
    let own = Certificate::generate().unwrap();
    let mut theirs = config(&own);
    theirs.certificate.certificate = certificate.to_vec();
    theirs.certificate.private_key = key.to_vec();
    let theirs = by_dimpl::DimplDtls::new(&theirs, other(ours), print(&own), Time::ZERO);
    (
        Peer::new(Kind::Openssl, ours, &own, print_of(certificate)),
        Peer::with(Kind::Dimpl, Box::new(theirs)),
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
        for role in BOTH {
            let (mut ours, mut theirs) = meeting(peer, role, peer.1);
            meet(&mut ours, &mut theirs, role, all_arrive);
            assert_same_keys(&ours, &theirs, &(peer.0, role));
            assert_eq!(ours.keys.unwrap().profile, SrtpProfile::AeadAes256Gcm);
        }
    }
}

#[test]
fn they_connect_on_a_bad_line() {
    for peer in &FOREIGN {
        for role in BOTH {
            for seed in 100..106 {
                let (mut ours, mut theirs) = meeting(peer, role, peer.1);
                meet(&mut ours, &mut theirs, role, bad_line(seed));
                assert_same_keys(&ours, &theirs, &(peer.0, role, seed));
            }
        }
    }
}

#[test]
fn a12_their_fingerprints_count_and_nothing_else_of_them() {
    for peer in &FOREIGN {
        for role in BOTH {
            let (mut ours, mut theirs) = meeting(peer, role, b"another certificate");
            meet(&mut ours, &mut theirs, role, all_arrive);
            assert_eq!(ours.result, Err(DtlsError::FingerprintMismatch), "{} {role:?}", peer.0);
            assert!(ours.keys.is_none() && theirs.keys.is_none());
        }
    }
}

#[test]
fn a12_who_shows_the_certificate_of_another_but_has_not_its_key_gets_no_keys() {
    let (robbed, thief) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    for role in BOTH {
        let (mut ours, mut theirs) = meeting_dimpl(role, &robbed.inner.certificate, &thief.inner.private_key);
        meet(&mut ours, &mut theirs, role, all_arrive);
        assert!(
            matches!(ours.result, Err(DtlsError::Failed(_))),
            "{role:?}: {:?}",
            ours.result
        );
        assert!(ours.keys.is_none() && theirs.keys.is_none());
    }
}

#[test]
fn a_peer_of_dimpl_with_p_384_connects_in_both_roles() {
    for role in BOTH {
        let (mut ours, mut theirs) = meeting_dimpl(role, FOREIGN[1].1, FOREIGN[1].2);
        meet(&mut ours, &mut theirs, role, all_arrive);
        assert_same_keys(&ours, &theirs, &role);
    }
}

#[test]
fn a_key_that_does_not_fit_the_certificate_makes_no_context() {
    assert!(Context::new(FOREIGN[0].1, FOREIGN[1].2).is_err());
    assert!(Context::new(b"no certificate", FOREIGN[1].2).is_err());
    assert!(Context::new(FOREIGN[1].1, b"no key").is_err());
}
