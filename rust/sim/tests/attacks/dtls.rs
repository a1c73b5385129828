//! Points 10 to 13: DTLS.

use std::net::SocketAddr;

use rostra_sfu::command::{CloseReason, DtlsRole, Fingerprint, Hash};
use rostra_sfu::reason::DropReason;

use crate::common::peer::Peer;
use crate::common::stage::Stage;
use crate::common::{Bench, ms};

fn elsewhere() -> SocketAddr {
    SocketAddr::from(([172, 16, 0, 1], 1000))
}

/// Where a ClientHello in one datagram has its parts: behind the record header (13), the handshake header (12), the version (2), the
/// random (32) and the session id and cookie with their lengths.
fn cipher_suites_at(hello: &[u8]) -> usize {
    let session = 13 + 12 + 2 + 32;
    let cookie = session + 1 + usize::from(hello[session]);
    cookie + 1 + usize::from(hello[cookie])
}

#[test]
fn a10_a_hello_before_ice_or_from_elsewhere_is_dropped_and_costs_nothing() {
    let mut stage = Stage::new();
    let mut peer = Peer::new(9);
    peer.open(&mut stage.bench);
    let footprint = stage.bench.shard.footprint();
    let hello = peer.start_dtls(&stage.bench).remove(0);
    let before = stage.bench.dropped(DropReason::AddressNotValidated);
    for from in [peer.address, elsewhere()] {
        assert_eq!(stage.bench.answer_to(from, &hello), 0);
    }
    assert_eq!(stage.bench.shard.footprint(), footprint);
    peer.ping(&mut stage.bench);
    assert_eq!(
        stage.bench.answer_to(elsewhere(), &hello),
        0,
        "ICE knows another address"
    );
    let to_the_viewer = stage.viewer.address;
    assert_eq!(stage.bench.dropped(DropReason::AddressNotValidated), before + 3);
    // From the address of somebody connected it is read, and harms nobody.
    stage.bench.raw(to_the_viewer, &hello);
    stage.unharmed();
    stage.bench.raw(peer.address, &hello);
    for _ in 0..8 {
        peer.hear(&mut stage.bench);
    }
    assert!(stage.bench.connected(peer.id), "from the right address it is welcome");
}

#[test]
fn a10_in_the_active_role_the_hello_goes_to_a_validated_address_only() {
    let mut stage = Stage::new();
    let mut peer = Peer::new(9);
    peer.spec.dtls_role = DtlsRole::Active;
    peer.open(&mut stage.bench);
    stage.bench.pass(ms(1_000));
    assert!(stage.bench.take(peer.address).is_empty());
    peer.start_dtls(&stage.bench);
    peer.ping(&mut stage.bench);
    for _ in 0..8 {
        peer.hear(&mut stage.bench);
    }
    assert!(stage.bench.connected(peer.id) && peer.keys.is_some());
    let track = stage.publisher.video_track();
    stage.bench.bind(peer.id, "0", track);
    stage.play(10);
    peer.hear(&mut stage.bench);
    assert!(peer.pictures(0) > 5);
    stage.unharmed();
}

#[test]
fn a10_a_hello_of_ours_that_is_lost_is_sent_again() {
    let mut stage = Stage::new();
    let mut peer = Peer::new(9);
    peer.spec.dtls_role = DtlsRole::Active;
    peer.open(&mut stage.bench);
    peer.ping(&mut stage.bench);
    stage.bench.take(peer.address);
    stage.bench.pass(ms(250));
    peer.start_dtls(&stage.bench);
    for _ in 0..8 {
        peer.hear(&mut stage.bench);
    }
    assert!(stage.bench.connected(peer.id) && peer.keys.is_some());
}

#[test]
fn a11_old_versions_and_weak_ciphers_get_no_handshake() {
    let mut stage = Stage::new();
    type Edit<'a> = &'a dyn Fn(&mut Vec<u8>);
    let edits: [(&str, Edit<'_>); 4] = [
        ("DTLS 1.0", &|hello| {
            hello[1..3].copy_from_slice(&[0xfe, 0xff]);
            hello[25..27].copy_from_slice(&[0xfe, 0xff]);
        }),
        ("SSL 3", &|hello| hello[25..27].copy_from_slice(&[3, 0])),
        ("NULL ciphers", &|hello| {
            let at = cipher_suites_at(hello);
            let len = usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
            for pair in hello[at + 2..at + 2 + len].chunks_exact_mut(2) {
                pair.copy_from_slice(&[0, 2]);
            }
        }),
        ("RC4 and export ciphers", &|hello| {
            let at = cipher_suites_at(hello);
            let len = usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
            for (n, pair) in hello[at + 2..at + 2 + len].chunks_exact_mut(2).enumerate() {
                pair.copy_from_slice(&[0, if n % 2 == 0 { 3 } else { 5 }]);
            }
        }),
    ];
    for (number, (what, edit)) in (20..).zip(edits) {
        let mut peer = Peer::new(number);
        peer.open(&mut stage.bench);
        peer.ping(&mut stage.bench);
        let mut hello = peer.start_dtls(&stage.bench).remove(0);
        edit(&mut hello);
        for _ in 0..3 {
            stage.bench.raw(peer.address, &hello);
            stage.bench.pass(ms(200));
        }
        // An alert at most: nothing that a handshake could go on with.
        for datagram in stage.bench.take(peer.address) {
            assert_eq!(datagram[0], 21, "{what}: {datagram:02x?}");
        }
        stage.unharmed();
        stage.play_for(ms(31_000));
        assert!(!stage.bench.connected(peer.id), "{what}");
        let reason = stage.bench.closed(peer.id);
        assert!(
            matches!(reason, Some(CloseReason::DtlsFailed | CloseReason::NeverConnected)),
            "{what}: {reason:?}"
        );
    }
    stage.unharmed();
}

#[test]
fn a12_a_certificate_that_the_sdp_did_not_announce_gets_no_keys_and_no_media() {
    for role in [DtlsRole::Passive, DtlsRole::Active] {
        let mut stage = Stage::new();
        let mut peer = Peer::new(9);
        peer.spec.dtls_role = role;
        peer.spec.fingerprints = vec![
            Fingerprint {
                hash: Hash::Sha256,
                digest: vec![0xab; 32],
            },
            Fingerprint {
                hash: Hash::Sha256,
                digest: Vec::new(),
            },
            Fingerprint {
                hash: Hash::Sha512,
                digest: Bench::client_print().remove(0).digest,
            },
        ];
        peer.open(&mut stage.bench);
        let track = stage.publisher.video_track();
        stage.bench.bind(peer.id, "0", track);
        stage.bench.bind(stage.attacker.id, "0", peer.video_track());
        let hello = peer.start_dtls(&stage.bench);
        peer.ping(&mut stage.bench);
        for datagram in hello {
            stage.bench.raw(peer.address, &datagram);
        }
        for _ in 0..8 {
            peer.hear(&mut stage.bench);
        }
        assert_eq!(stage.bench.closed(peer.id), Some(CloseReason::FingerprintMismatch));
        assert!(!stage.bench.connected(peer.id));
        stage.bench.take(peer.address);
        stage.unharmed();
        assert!(stage.bench.take(peer.address).is_empty(), "nothing goes there");
        if peer.keys.is_some() {
            let before = stage.bench.dropped(DropReason::AddressNotValidated);
            let frame = peer.frame(stage.bench.now);
            for datagram in &frame {
                stage.bench.raw(peer.address, datagram);
            }
            assert_eq!(
                stage.bench.dropped(DropReason::AddressNotValidated) - before,
                frame.len() as u64,
                "nothing comes from there"
            );
        }
        let check = peer.check(true);
        assert_eq!(stage.bench.answer_to(peer.address, &check), 0, "its name is forgotten");
        assert_eq!(stage.bench.shard.problems(), Vec::<String>::new());
    }
}

#[test]
fn a13_duplicated_and_reordered_flights_are_no_obstacle() {
    let mut stage = Stage::new();
    let mut peer = Peer::new(9);
    peer.open(&mut stage.bench);
    peer.ping(&mut stage.bench);
    let mut flight = peer.start_dtls(&stage.bench);
    for _ in 0..8 {
        for datagram in flight.iter().rev().chain(&flight) {
            stage.bench.raw(peer.address, datagram);
        }
        stage.bench.pass(ms(5));
        let answers = stage.bench.take(peer.address);
        let now = stage.bench.now;
        for datagram in answers.iter().rev().chain(&answers) {
            peer.listen(now, datagram);
        }
        flight = peer.flight();
    }
    assert!(stage.bench.connected(peer.id) && peer.keys.is_some());
    stage.unharmed();
}

#[test]
fn a13_a_flood_of_hellos_is_not_amplified_more_than_three_times() {
    let mut stage = Stage::new();
    let mut peer = Peer::new(9);
    peer.open(&mut stage.bench);
    peer.ping(&mut stage.bench);
    stage.bench.take(peer.address);
    let hello = peer.start_dtls(&stage.bench).remove(0);
    let (mut sent, mut flights) = (0, Vec::new());
    for _ in 0..1000 {
        sent += hello.len();
        stage.bench.raw(peer.address, &hello);
        stage.bench.pass(ms(1));
        flights.extend(stage.bench.take(peer.address));
    }
    let came: usize = flights.iter().map(Vec::len).sum();
    assert!(came > 0 && came <= 3 * sent, "{came} bytes for {sent}");
    // What timers repeat of one unanswered flight is bounded as well.
    stage.play_for(ms(31_000));
    let repeated: usize = stage.bench.take(peer.address).iter().map(Vec::len).sum();
    assert!(repeated < 10 * 2_000, "{repeated} bytes to somebody who never answered");
    assert!(stage.bench.closed(peer.id).is_some());
    stage.unharmed();
}

#[test]
fn a13_records_that_anybody_can_make_up_end_nothing() {
    let mut stage = Stage::new();
    let record = |kind: u8, epoch: u8, seq: u8, body: &[u8]| {
        let mut bytes = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 1, seq, 0, body.len() as u8];
        bytes.extend(body);
        bytes
    };
    for seq in 0..50 {
        for bytes in [
            record(21, 0, seq, &[1, 0]),
            record(21, 0, seq, &[2, 40]),
            record(21, 1, seq, &[0; 26]),
            record(20, 0, seq, &[1]),
            record(22, 0, seq, &[1, 0, 0, 40, 0, seq, 0, 0, 0, 0, 0, 2, 9, 9]),
            record(23, 1, seq, &[9; 40]),
            vec![22; usize::from(seq) + 2],
        ] {
            for address in [stage.viewer.address, stage.publisher.address] {
                stage.bench.raw(address, &bytes);
            }
        }
    }
    stage.unharmed();
}
