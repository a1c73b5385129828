//! The contract of [`Dtls`], one suite for both libraries in both roles: each talks to itself and to the other.

mod certificates;
mod choice;
mod craft;
mod hostile;
mod messages;

use super::*;
use crate::transport::srtp::{SrtpIn, SrtpOut};

/// Who implements a side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Dimpl,
    Openssl,
}

/// The passive side, then the active one.
const PAIRS: [(Kind, Kind); 4] = [
    (Kind::Dimpl, Kind::Dimpl),
    (Kind::Dimpl, Kind::Openssl),
    (Kind::Openssl, Kind::Dimpl),
    (Kind::Openssl, Kind::Openssl),
];

struct Peer {
    kind: Kind,
    dtls: Box<dyn Dtls>,
    keys: Option<SrtpKeys>,
    closed: bool,
    connected: Option<Time>,
    wake: Option<Time>,
    result: Result<(), DtlsError>,
}

impl Peer {
    fn new(kind: Kind, role: DtlsRole, own: &Certificate, fingerprints: Vec<Fingerprint>) -> Self {
        let config = config(own);
        let dtls: Box<dyn Dtls> = match kind {
            Kind::Dimpl => Box::new(by_dimpl::DimplDtls::new(&config, role, fingerprints, Time::ZERO)),
            Kind::Openssl => Box::new(OpensslDtls::new(&config.openssl, role, fingerprints, Time::ZERO)),
        };
        Self::with(kind, dtls)
    }

    /// As a shard has it.
    fn chosen(own: &Certificate, fingerprints: Vec<Fingerprint>) -> Self {
        let dtls = new(&config(own), DtlsRole::Passive, fingerprints, Time::ZERO);
        Self::with(Kind::Openssl, dtls)
    }

    fn with(kind: Kind, dtls: Box<dyn Dtls>) -> Self {
        Self {
            kind,
            dtls,
            keys: None,
            closed: false,
            connected: None,
            wake: None,
            result: Ok(()),
        }
    }

    fn packet(&mut self, now: Time, datagram: &[u8]) {
        let result = self.dtls.packet(now, datagram);
        self.result = self.result.clone().and(result);
    }

    fn outputs(&mut self) -> Vec<Vec<u8>> {
        let mut buf = [0; MTU];
        let mut packets = Vec::new();
        loop {
            match self.dtls.poll(&mut buf) {
                DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
                DtlsOutput::Connected(keys) => assert!(self.keys.replace(*keys).is_none(), "once"),
                DtlsOutput::PeerClosed => self.closed = true,
                DtlsOutput::Timeout(at) => self.wake = Some(at),
                DtlsOutput::Idle => break,
            }
        }
        packets
    }
}

fn config(own: &Certificate) -> DtlsConfig {
    // Any instant will do; that of the test is the only one to be had.
    #[allow(clippy::disallowed_methods)]
    let base = Instant::now();
    DtlsConfig::new(base, own).unwrap()
}

fn print(certificate: &Certificate) -> Vec<Fingerprint> {
    print_of(&certificate.inner.certificate)
}

fn print_of(certificate: &[u8]) -> Vec<Fingerprint> {
    vec![Fingerprint {
        hash: Hash::Sha256,
        digest: digest::digest(&digest::SHA256, certificate).as_ref().to_vec(),
    }]
}

fn peers((passive, active): (Kind, Kind)) -> (Peer, Peer) {
    let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    (
        Peer::new(passive, DtlsRole::Passive, &ours, print(&theirs)),
        Peer::new(active, DtlsRole::Active, &theirs, print(&ours)),
    )
}

/// What becomes of a datagram, by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    /// Behind what is sent up to 30 ms later.
    Late,
}

/// Virtual time with 20 ms each way, until nothing happens any more or 40 s have passed. What the passive side answers last is not lost on the
/// way to OpenSSL, which would number its own flight anew by the wall clock; a peer of the engine on loopback (`tests/engine`) loses it.
fn talk(passive: &mut Peer, active: &mut Peer, start: Time, mut fate: impl FnMut(usize) -> Fate) -> Time {
    let mut now = start;
    let mut flying: Vec<(Time, bool, Vec<u8>)> = Vec::new();
    let mut number = 0;
    let counts_on_last = active.kind == Kind::Openssl;
    while now < start + Duration::from_secs(40) {
        for (to_passive, peer) in [(false, &mut *passive), (true, &mut *active)] {
            let packets = peer.outputs();
            if peer.keys.is_some() {
                peer.connected.get_or_insert(now);
            }
            let is_last = counts_on_last && !to_passive && peer.keys.is_some();
            for packet in packets {
                number += 1;
                let at = now + Duration::from_millis(20);
                match fate(number) {
                    Fate::Arrives => flying.push((at, to_passive, packet)),
                    Fate::Lost if !is_last => {}
                    Fate::Lost => flying.push((at, to_passive, packet)),
                    Fate::Twice => flying.extend([(at, to_passive, packet.clone()), (at, to_passive, packet)]),
                    Fate::Late => flying.push((at + Duration::from_millis(30), to_passive, packet)),
                }
            }
        }
        let due = flying.iter().map(|(at, ..)| *at);
        let Some(next) = due.chain(passive.wake).chain(active.wake).min() else {
            break;
        };
        now = now.max(next);
        let (arrived, rest) = flying.into_iter().partition(|(at, ..)| *at <= now);
        flying = rest;
        for (_, to_passive, packet) in arrived {
            let peer = if to_passive { &mut *passive } else { &mut *active };
            peer.packet(now, &packet);
        }
        for peer in [&mut *passive, &mut *active] {
            if peer.wake.is_some_and(|at| at <= now) {
                peer.wake = None;
                peer.result = peer.result.clone().and(peer.dtls.timeout(now));
            }
        }
    }
    now
}

fn all_arrive(_: usize) -> Fate {
    Fate::Arrives
}

/// Three of ten are lost, one comes twice, two come late.
fn bad_line(seed: u64) -> impl FnMut(usize) -> Fate {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        match random % 10 {
            0..3 => Fate::Lost,
            3 => Fate::Twice,
            4..6 => Fate::Late,
            _ => Fate::Arrives,
        }
    }
}

#[track_caller]
fn assert_same_keys(passive: &Peer, active: &Peer, what: &dyn std::fmt::Debug) {
    assert_eq!((&passive.result, &active.result), (&Ok(()), &Ok(())), "{what:?}");
    let (Some(ours), Some(theirs)) = (&passive.keys, &active.keys) else {
        panic!("{what:?}: no keys");
    };
    assert!(
        ours.inbound == theirs.outbound && ours.outbound == theirs.inbound && ours.inbound != ours.outbound,
        "{what:?}"
    );
    assert_eq!(ours.profile, theirs.profile, "{what:?}");
}

#[test]
fn both_sides_get_the_same_keys_and_the_cheapest_profile() {
    for pair in PAIRS {
        let (mut passive, mut active) = peers(pair);
        talk(&mut passive, &mut active, Time::ZERO, all_arrive);
        assert_same_keys(&passive, &active, &pair);
        let (ours, theirs) = (passive.keys.unwrap(), active.keys.unwrap());
        assert_eq!(ours.profile, SrtpProfile::AeadAes256Gcm, "{pair:?}");

        let mut packet = vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, b'h', b'i'];
        packet.resize(14 + 16, 0);
        let len = SrtpOut::new(ours.profile, &ours.outbound)
            .seal_rtp(&mut packet, 12, 14, 1)
            .unwrap();
        let len = SrtpIn::new(theirs.profile, &theirs.inbound)
            .open_rtp(&mut packet[..len], 12)
            .unwrap();
        assert_eq!(&packet[12..len], b"hi");
    }
}

#[test]
fn without_a_cookie_the_handshake_takes_two_round_trips() {
    for pair in PAIRS {
        let (mut passive, mut active) = peers(pair);
        talk(&mut passive, &mut active, Time::ZERO, all_arrive);
        assert_eq!(active.connected, Some(Time(4 * 20_000)), "{pair:?}");
        assert_eq!(passive.connected, Some(Time(3 * 20_000)), "{pair:?}");
    }
}

#[test]
fn lost_late_and_doubled_datagrams_are_sent_again_and_both_sides_connect() {
    for pair in PAIRS {
        for seed in 0..20_u64 {
            let (mut passive, mut active) = peers(pair);
            let end = talk(&mut passive, &mut active, Time::ZERO, bad_line(seed));
            assert_same_keys(&passive, &active, &(pair, seed));
            assert!(end < Time::ZERO + Duration::from_secs(31), "{pair:?} {seed}");
        }
    }
}

#[test]
fn each_single_datagram_may_be_lost() {
    for pair in PAIRS {
        for lost in 1..=8 {
            let (mut passive, mut active) = peers(pair);
            talk(&mut passive, &mut active, Time::ZERO, |number| {
                if number == lost { Fate::Lost } else { Fate::Arrives }
            });
            assert_same_keys(&passive, &active, &(pair, lost));
            let last = passive.connected.max(active.connected).unwrap();
            assert!(last < Time(900_000), "{pair:?}, number {lost} lost: {last:?}");
        }
    }
}

#[test]
fn the_first_lost_flight_is_sent_again_within_200_ms() {
    for pair in PAIRS {
        let (_, mut active) = peers(pair);
        assert_eq!(active.outputs().len(), 1, "the ClientHello");
        let wake = active.wake.unwrap();
        assert!(wake > Time(100_000) && wake < Time(200_000), "{wake:?}");
        active.dtls.timeout(Time(wake.0 - 1)).unwrap();
        assert!(active.outputs().is_empty());
        active.dtls.timeout(wake).unwrap();
        assert_eq!(active.outputs().len(), 1);
    }
}

#[test]
fn a12_a_certificate_that_nobody_announced_gives_an_error_and_no_keys() {
    for pair in PAIRS {
        let (ours, theirs, other) = (
            Certificate::generate().unwrap(),
            Certificate::generate().unwrap(),
            Certificate::generate().unwrap(),
        );
        for (fingerprints_of_active, fingerprints_of_passive) in [
            (print(&other), print(&ours)),
            (print(&theirs), print(&other)),
            (Vec::new(), print(&ours)),
        ] {
            let deceived_is_passive = fingerprints_of_passive == print(&ours);
            let mut passive = Peer::new(pair.0, DtlsRole::Passive, &ours, fingerprints_of_active);
            let mut active = Peer::new(pair.1, DtlsRole::Active, &theirs, fingerprints_of_passive);
            talk(&mut passive, &mut active, Time::ZERO, all_arrive);
            let deceived = if deceived_is_passive { &mut passive } else { &mut active };
            assert_eq!(deceived.result, Err(DtlsError::FingerprintMismatch), "{pair:?}");
            assert_eq!(deceived.keys, None);
            let now = Time::ZERO + Duration::from_secs(41);
            assert_eq!(
                deceived.dtls.timeout(now),
                Err(DtlsError::FingerprintMismatch),
                "for ever"
            );
            assert!(deceived.outputs().is_empty());
            assert_eq!(passive.keys.or(active.keys), None, "nor does the other side get any");
        }
    }
}

#[test]
fn one_of_several_fingerprints_is_enough_and_each_hash_is_known() {
    let theirs = Certificate::generate().unwrap();
    let der = &theirs.inner.certificate;
    for (hash, algorithm) in [
        (Hash::Sha256, &digest::SHA256),
        (Hash::Sha384, &digest::SHA384),
        (Hash::Sha512, &digest::SHA512),
    ] {
        let right = Fingerprint {
            hash,
            digest: digest::digest(algorithm, der).as_ref().to_vec(),
        };
        let mut wrong = right.clone();
        wrong.digest[0] ^= 1;
        let mut short = right.clone();
        short.digest.pop();
        assert!(matches_one(&[wrong.clone(), right.clone()], der));
        assert!(!matches_one(&[wrong.clone(), short], der));
        let mut late = vec![wrong; MAX_FINGERPRINTS];
        late.push(right);
        assert!(!matches_one(&late, der), "behind the cap");
    }
    assert!(!matches_one(&[], der));
}

#[test]
fn a_close_reaches_the_peer() {
    for pair in PAIRS {
        let (mut passive, mut active) = peers(pair);
        let now = talk(&mut passive, &mut active, Time::ZERO, all_arrive);
        passive.dtls.close(now);
        let packets = passive.outputs();
        assert_eq!(packets.len(), 1, "{pair:?}");
        active.packet(now, &packets[0]);
        active.outputs();
        assert!(active.closed && active.result.is_ok(), "{pair:?}");

        let (mut passive, mut active) = peers(pair);
        let now = talk(&mut passive, &mut active, Time::ZERO, all_arrive);
        active.dtls.close(now);
        for packet in active.outputs() {
            passive.packet(now, &packet);
        }
        passive.outputs();
        assert!(passive.closed && passive.result.is_ok(), "{pair:?}");
    }
}

#[test]
fn a_close_before_the_handshake_says_nothing() {
    for pair in PAIRS {
        let (mut passive, _) = peers(pair);
        passive.dtls.close(Time(5));
        assert!(passive.outputs().is_empty(), "{pair:?}");
    }
}

#[test]
fn an_unanswered_client_gives_up_after_the_handshake_timeout() {
    for pair in PAIRS {
        let (mut passive, mut active) = peers(pair);
        let mut sent = 0;
        let end = talk(&mut passive, &mut active, Time::ZERO, |number| {
            sent = number;
            Fate::Lost
        });
        assert!(
            matches!(active.result, Err(DtlsError::Failed(_))),
            "{pair:?}: {:?}",
            active.result
        );
        assert!(
            end >= Time::ZERO + Duration::from_secs(15) && end <= Time::ZERO + Duration::from_secs(31),
            "{pair:?}: {end:?}"
        );
        assert_eq!(sent, 1 + RETRANSMISSIONS, "{pair:?}");
    }
}

#[test]
fn the_halves_are_those_of_rfc_5764_for_every_profile_and_role() {
    for (library, profile) in [
        (dimpl::SrtpProfile::AES128_CM_SHA1_80, SrtpProfile::Aes128CmSha1_80),
        (dimpl::SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AeadAes128Gcm),
        (dimpl::SrtpProfile::AEAD_AES_256_GCM, SrtpProfile::AeadAes256Gcm),
    ] {
        assert_eq!(by_dimpl::profile_of(library).unwrap(), profile);
        let (key, salt) = (profile.key_len(), profile.salt_len());
        let material = [vec![1; key], vec![2; key], vec![3; salt], vec![4; salt]].concat();
        assert_eq!(material.len(), library.keying_material_len());
        let client = KeyingHalf::new(profile, &vec![1; key], &vec![3; salt]).unwrap();
        let server = KeyingHalf::new(profile, &vec![2; key], &vec![4; salt]).unwrap();
        let passive = split(&material, profile, DtlsRole::Passive).unwrap();
        assert_eq!(
            (passive.profile, &passive.inbound, &passive.outbound),
            (profile, &client, &server)
        );
        let active = split(&material, profile, DtlsRole::Active).unwrap();
        assert_eq!((&active.inbound, &active.outbound), (&server, &client));
        assert!(split(&material[1..], profile, DtlsRole::Active).is_err());
        assert!(!format!("{active:?}").contains("[2"), "keys stay out of debug output");
    }
}
