use super::*;
use crate::transport::srtp::{SrtpIn, SrtpOut};

struct Peer {
    dtls: Box<dyn Dtls>,
    keys: Option<SrtpKeys>,
    closed: bool,
    connected: Option<Time>,
    wake: Option<Time>,
    result: Result<(), DtlsError>,
}

impl Peer {
    fn new(role: DtlsRole, own: &Certificate, fingerprints: Vec<Fingerprint>) -> Self {
        Self {
            dtls: new(&config(own), role, fingerprints, Time::ZERO),
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
    vec![Fingerprint {
        hash: Hash::Sha256,
        digest: certificate.sha256().to_vec(),
    }]
}

fn peers() -> (Peer, Peer) {
    let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    (
        Peer::new(DtlsRole::Passive, &ours, print(&theirs)),
        Peer::new(DtlsRole::Active, &theirs, print(&ours)),
    )
}

/// Virtual time with 20 ms each way, until nothing happens any more or 40 s have passed. `lost` judges every datagram by its number.
fn talk(passive: &mut Peer, active: &mut Peer, start: Time, mut lost: impl FnMut(usize) -> bool) -> Time {
    let mut now = start;
    let mut flying: Vec<(Time, bool, Vec<u8>)> = Vec::new();
    let mut number = 0;
    while now < start + Duration::from_secs(40) {
        for (to_passive, peer) in [(false, &mut *passive), (true, &mut *active)] {
            let packets = peer.outputs();
            if peer.keys.is_some() {
                peer.connected.get_or_insert(now);
            }
            for packet in packets {
                number += 1;
                if !lost(number) {
                    flying.push((now + Duration::from_millis(20), to_passive, packet));
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

#[test]
fn both_sides_get_the_same_keys_and_the_cheapest_profile() {
    let (mut passive, mut active) = peers();
    talk(&mut passive, &mut active, Time::ZERO, |_| false);
    assert_eq!((&passive.result, &active.result), (&Ok(()), &Ok(())));
    let (ours, theirs) = (passive.keys.unwrap(), active.keys.unwrap());
    assert_eq!(
        (ours.profile, theirs.profile),
        (SrtpProfile::AeadAes256Gcm, SrtpProfile::AeadAes256Gcm)
    );
    assert!(ours.inbound == theirs.outbound && ours.outbound == theirs.inbound);
    assert!(ours.inbound != ours.outbound);

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

#[test]
fn without_a_cookie_the_handshake_takes_two_round_trips() {
    let (mut passive, mut active) = peers();
    talk(&mut passive, &mut active, Time::ZERO, |_| false);
    assert_eq!(active.connected, Some(Time(4 * 20_000)));
    assert_eq!(passive.connected, Some(Time(3 * 20_000)));
}

#[test]
fn lost_datagrams_are_sent_again_and_both_sides_connect() {
    for seed in 0..20_u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let (mut passive, mut active) = peers();
        let end = talk(&mut passive, &mut active, Time::ZERO, |_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % 10 < 3
        });
        assert_eq!((&passive.result, &active.result), (&Ok(()), &Ok(())), "seed {seed}");
        let (ours, theirs) = (passive.keys.unwrap(), active.keys.unwrap());
        assert!(
            ours.inbound == theirs.outbound && ours.outbound == theirs.inbound,
            "seed {seed}"
        );
        assert!(end < Time::ZERO + Duration::from_secs(30), "seed {seed}");
    }
}

#[test]
fn the_first_lost_flight_is_sent_again_within_200_ms() {
    let (_, mut active) = peers();
    assert_eq!(active.outputs().len(), 1, "the ClientHello");
    let wake = active.wake.unwrap();
    assert!(wake > Time(100_000) && wake < Time(200_000), "{wake:?}");
    active.dtls.timeout(Time(wake.0 - 1)).unwrap();
    assert!(active.outputs().is_empty());
    active.dtls.timeout(wake).unwrap();
    assert_eq!(active.outputs().len(), 1);
}

#[test]
fn a12_a_certificate_that_nobody_announced_gives_an_error_and_no_keys() {
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
        let mut passive = Peer::new(DtlsRole::Passive, &ours, fingerprints_of_active);
        let mut active = Peer::new(DtlsRole::Active, &theirs, fingerprints_of_passive);
        talk(&mut passive, &mut active, Time::ZERO, |_| false);
        let deceived = if deceived_is_passive { &mut passive } else { &mut active };
        assert_eq!(deceived.result, Err(DtlsError::FingerprintMismatch));
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
    let (mut passive, mut active) = peers();
    let now = talk(&mut passive, &mut active, Time::ZERO, |_| false);
    passive.dtls.close(now);
    let packets = passive.outputs();
    assert_eq!(packets.len(), 1);
    active.packet(now, &packets[0]);
    active.outputs();
    assert!(active.closed && active.result.is_ok());
}

#[test]
fn a_close_before_the_handshake_says_nothing() {
    let (mut passive, _) = peers();
    passive.dtls.close(Time(5));
    assert!(passive.outputs().is_empty());
}

/// How many kinds of records `forged` takes turns with.
const KINDS: usize = 9;

/// Records that anybody can make up: in plaintext, or encrypted with no key.
fn forged() -> Vec<Vec<u8>> {
    let record = |kind: u8, epoch: u8, seq: u8, body: &[u8]| {
        let mut bytes = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 1, seq, 0, body.len() as u8];
        bytes.extend(body);
        bytes
    };
    let mut forged = Vec::new();
    for seq in 0..60 {
        forged.push(record(21, 0, seq, &[1, 0]));
        forged.push(record(21, 0, seq, &[2, 40]));
        forged.push(record(21, 1, seq, &[0; 26]));
        forged.push(record(
            22,
            0,
            seq,
            &[
                1, 0, 0, 40, 0, seq, 0, 0, 0, 0, 0, 12, 0xfe, 0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0,
            ],
        ));
        forged.push(record(
            22,
            0,
            seq,
            &[
                20, 0, 0, 12, 0, 9, 0, 0, 0, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
            ],
        ));
        forged.push(record(20, 0, seq, &[1]));
        forged.push(record(23, 0, seq, b"hello"));
        forged.push(record(23, 1, seq, &[9; 40]));
        forged.push(vec![22; usize::from(seq)]);
    }
    forged
}

#[test]
fn a14_forged_records_do_not_end_a_connected_association_nor_get_answers() {
    let (mut passive, mut active) = peers();
    let now = talk(&mut passive, &mut active, Time::ZERO, |_| false);
    for peer in [&mut passive, &mut active] {
        let mut answers = 0;
        for datagram in forged() {
            peer.packet(now, &datagram);
            answers += peer.outputs().len();
        }
        assert_eq!(peer.result, Ok(()));
        assert!(!peer.closed, "a stranger cannot say good-bye");
        assert!(answers < 20, "{answers} answers");
    }
    active.dtls.close(now);
    for packet in active.outputs() {
        passive.packet(now, &packet);
    }
    passive.outputs();
    assert!(passive.closed, "the peer can");
}

#[test]
fn a13_a_flood_of_duplicates_gets_no_flood_of_answers() {
    let (mut passive, mut active) = peers();
    let hello = active.outputs().remove(0);
    passive.packet(Time::ZERO, &hello);
    let flight: usize = passive.outputs().iter().map(Vec::len).sum();
    assert!(flight > 0);
    let mut answers = 0;
    for millisecond in 1..1_000 {
        passive.packet(Time(millisecond * 1_000), &hello);
        answers += passive.outputs().iter().map(Vec::len).sum::<usize>();
    }
    assert_eq!(passive.result, Ok(()));
    assert!(answers <= 3 * flight, "{answers} bytes after a flight of {flight}");
}

#[test]
fn a13_reordered_and_duplicated_datagrams_are_no_obstacle() {
    let (mut passive, mut active) = peers();
    let mut now = Time::ZERO;
    for _ in 0..6 {
        for to_passive in [true, false] {
            let (from, to) = if to_passive {
                (&mut active, &mut passive)
            } else {
                (&mut passive, &mut active)
            };
            now += Duration::from_millis(5);
            let packets = from.outputs();
            for packet in packets.iter().rev().chain(&packets) {
                to.packet(now, packet);
            }
        }
    }
    assert_eq!((&passive.result, &active.result), (&Ok(()), &Ok(())));
    assert!(passive.keys.is_some() && passive.keys.unwrap().inbound == active.keys.unwrap().outbound);
}

#[test]
fn a15_a_datagram_longer_than_any_peer_sends_is_not_read() {
    let (mut passive, mut active) = peers();
    let mut hello = active.outputs().remove(0);
    hello.resize(MAX_DATAGRAM + 1, 0);
    passive.packet(Time(5), &hello);
    assert!(passive.outputs().is_empty() && passive.result.is_ok());
}

#[test]
fn a14_forged_records_in_front_of_a_handshake_do_not_stop_it() {
    for kind in [0, 2, 4, 6, 7, 8] {
        let (mut passive, mut active) = peers();
        for datagram in forged().iter().skip(kind).step_by(KINDS) {
            passive.packet(Time::ZERO, datagram);
            active.packet(Time::ZERO, datagram);
        }
        assert!(passive.outputs().is_empty(), "kind {kind} gets no answer");
        talk(&mut passive, &mut active, Time::ZERO, |_| false);
        assert_eq!((&passive.result, &active.result), (&Ok(()), &Ok(())), "kind {kind}");
        assert!(passive.keys.is_some() && active.keys.is_some(), "kind {kind}");
    }
}

#[test]
fn an_unanswered_client_gives_up_after_the_handshake_timeout() {
    let (mut passive, mut active) = peers();
    let end = talk(&mut passive, &mut active, Time::ZERO, |_| true);
    assert!(
        matches!(active.result, Err(DtlsError::Failed(_))),
        "{:?}",
        active.result
    );
    assert!(
        end >= Time::ZERO + Duration::from_secs(15) && end <= Time::ZERO + Duration::from_secs(31),
        "{end:?}"
    );
}

#[test]
fn the_halves_are_those_of_rfc_5764_for_every_profile_and_role() {
    for (library, profile) in [
        (dimpl::SrtpProfile::AES128_CM_SHA1_80, SrtpProfile::Aes128CmSha1_80),
        (dimpl::SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AeadAes128Gcm),
        (dimpl::SrtpProfile::AEAD_AES_256_GCM, SrtpProfile::AeadAes256Gcm),
    ] {
        let (key, salt) = (profile.key_len(), profile.salt_len());
        let material = [vec![1; key], vec![2; key], vec![3; salt], vec![4; salt]].concat();
        assert_eq!(material.len(), library.keying_material_len());
        let client = KeyingHalf::new(profile, &vec![1; key], &vec![3; salt]).unwrap();
        let server = KeyingHalf::new(profile, &vec![2; key], &vec![4; salt]).unwrap();
        let passive = split(&material, library, DtlsRole::Passive).unwrap();
        assert_eq!(
            (passive.profile, &passive.inbound, &passive.outbound),
            (profile, &client, &server)
        );
        let active = split(&material, library, DtlsRole::Active).unwrap();
        assert_eq!((&active.inbound, &active.outbound), (&server, &client));
        assert!(split(&material[1..], library, DtlsRole::Active).is_err());
        assert!(!format!("{active:?}").contains("[2"), "keys stay out of debug output");
    }
}
