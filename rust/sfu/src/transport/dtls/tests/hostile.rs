//! What anybody can send who knows an address that ICE has validated.

use super::*;

/// How many kinds of records `forged` takes turns with.
const KINDS: usize = 9;

/// Records that anybody can make up: in plaintext, or encrypted with no key.
pub(super) fn forged() -> Vec<Vec<u8>> {
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
    for pair in PAIRS {
        let (mut passive, mut active) = peers(pair);
        let now = talk(&mut passive, &mut active, Time::ZERO, all_arrive);
        for (kind, peer) in [(pair.0, &mut passive), (pair.1, &mut active)] {
            let mut answers = 0;
            for datagram in forged() {
                peer.packet(now, &datagram);
                answers += peer.outputs().len();
            }
            assert_eq!(peer.result, Ok(()), "{pair:?}");
            assert!(!peer.closed, "a stranger cannot say good-bye");
            let allowed = if kind == Kind::Openssl { 0 } else { 19 };
            assert!(answers <= allowed, "{pair:?}: {answers} answers");
        }
        active.dtls.close(now);
        for packet in active.outputs() {
            passive.packet(now, &packet);
        }
        passive.outputs();
        assert!(passive.closed, "the peer can");
    }
}

#[test]
fn a13_a_flood_of_duplicates_gets_no_flood_of_answers() {
    for pair in PAIRS {
        let (mut passive, mut active) = peers(pair);
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
        assert!(
            answers <= 3 * flight,
            "{pair:?}: {answers} bytes after a flight of {flight}"
        );
    }
}

#[test]
fn a13_a_flood_of_repeated_last_flights_gets_few_answers() {
    let (mut passive, mut active) = peers((Kind::Openssl, Kind::Openssl));
    let mut last = Vec::new();
    for _ in 0..2 {
        last = active.outputs();
        last.iter().for_each(|packet| passive.packet(Time::ZERO, packet));
        passive
            .outputs()
            .iter()
            .for_each(|packet| active.packet(Time::ZERO, packet));
    }
    assert!(
        passive.keys.is_some() && active.keys.is_none(),
        "its Finished is on the way"
    );
    let mut answers = 0;
    for millisecond in 1..60_000 {
        for packet in &last {
            passive.packet(Time(millisecond * 1_000), packet);
        }
        answers += passive.outputs().len();
    }
    assert_eq!(answers, 0, "the same record twice is a replay");
    assert_eq!(passive.result, Ok(()));
}

#[test]
fn a13_reordered_and_duplicated_datagrams_are_no_obstacle() {
    for pair in PAIRS {
        let (mut passive, mut active) = peers(pair);
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
        assert_same_keys(&passive, &active, &pair);
    }
}

#[test]
fn a15_a_datagram_longer_than_any_peer_sends_is_not_read() {
    for pair in PAIRS {
        let (mut passive, mut active) = peers(pair);
        let mut hello = active.outputs().remove(0);
        hello.resize(MAX_DATAGRAM + 1, 0);
        passive.packet(Time(5), &hello);
        assert!(passive.outputs().is_empty() && passive.result.is_ok());
    }
}

#[test]
fn a14_forged_records_in_front_of_a_handshake_do_not_stop_it() {
    for pair in PAIRS {
        // A fatal alert, a hello of somebody else or new keys before their time end a handshake.
        for kind in [0, 2, 4, 6, 7, 8] {
            let (mut passive, mut active) = peers(pair);
            for datagram in forged().iter().skip(kind).step_by(KINDS) {
                passive.packet(Time::ZERO, datagram);
                active.packet(Time::ZERO, datagram);
            }
            assert!(passive.outputs().is_empty(), "{pair:?}: kind {kind} gets no answer");
            talk(&mut passive, &mut active, Time::ZERO, all_arrive);
            assert_same_keys(&passive, &active, &(pair, kind));
        }
    }
}

#[test]
fn a15_a_handshake_with_any_bit_wrong_gives_no_keys_or_the_right_ones() {
    let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    let mut seed = 1_u64;
    for _ in 0..400 {
        let mut passive = Peer::new(Kind::Openssl, DtlsRole::Passive, &ours, print(&theirs));
        let mut active = Peer::new(Kind::Openssl, DtlsRole::Active, &theirs, print(&ours));
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut countdown = seed >> 33 & 4_095;
        for round in 0..4 {
            let (from, to) = if round % 2 == 0 {
                (&mut active, &mut passive)
            } else {
                (&mut passive, &mut active)
            };
            for mut packet in from.outputs() {
                let len = packet.len() as u64;
                if countdown < len {
                    packet[countdown as usize] ^= 1 << (seed >> 60 & 7);
                    countdown = u64::MAX;
                } else if countdown != u64::MAX {
                    countdown -= len;
                }
                to.packet(Time(round), &packet);
            }
        }
        passive.outputs();
        active.outputs();
        if let (Some(one), Some(other)) = (&passive.keys, &active.keys) {
            assert!(one.inbound == other.outbound && one.outbound == other.inbound);
        }
    }
}

#[test]
fn a13_what_openssl_would_keep_for_strangers_is_bounded() {
    let own = Certificate::generate().unwrap();
    let mut dtls = OpensslDtls::new(&config(&own).openssl, DtlsRole::Passive, print(&own), Time::ZERO);
    let part = |len| craft::record(22, 0, &craft::fragment(11, 3, len, 7, &[1; 3]));
    assert!(dtls.is_bearable(&part(16_384)));
    assert!(!dtls.is_bearable(&part(16_385)), "a message as long as that");
    assert!(!dtls.is_bearable(&part(9)), "a part behind the end");
    assert!(!dtls.is_bearable(&[part(100), vec![0; 13], part(16_385)].concat()));
    assert!(
        !dtls.is_bearable(&craft::record(21, 0, &[1, 0])),
        "a good-bye of anybody"
    );
    assert!(dtls.is_bearable(&craft::record(21, 0, &[2, 42])));
    assert!(!dtls.is_bearable(&craft::record(23, 0, b"data")));
    let early = craft::record(22, 1, &[9; 40]);
    for _ in 0..4 {
        assert!(dtls.is_bearable(&[early.clone(), early.clone()].concat()));
    }
    assert!(!dtls.is_bearable(&early), "records that nobody can read yet");
    assert!(dtls.is_bearable(&part(100)), "the others are read on");
}
