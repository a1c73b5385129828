//! Hellos and messages that a peer should not send to OpenSSL, and what only one side of them can show.

use super::*;

const SUITE: &[u8] = &[0xc0, 0x2b];
const GROUPS: (u16, &[u8]) = (10, &[0, 2, 0, 23]);
const SCHEMES: (u16, &[u8]) = (13, &[0, 2, 4, 3]);
const SRTP: (u16, &[u8]) = (14, &[0, 4, 0, 7, 0, 1, 0]);
const EMS: (u16, &[u8]) = (23, &[]);

fn passive() -> Peer {
    let own = Certificate::generate().unwrap();
    Peer::new(Kind::Openssl, DtlsRole::Passive, &own, print_of(b""))
}

fn is_refused(peer: &mut Peer) -> bool {
    let is_silent = peer.outputs().is_empty();
    assert!(peer.result.is_ok() || is_silent);
    matches!(peer.result, Err(DtlsError::Failed(_)))
}

#[test]
fn a11_hellos_without_anything_in_common_are_refused() {
    let all: &[(u16, &[u8])] = &[GROUPS, SCHEMES, SRTP, EMS];
    let good = craft::hello([0xfe, 0xfd], SUITE, all);
    for (what, hello, refused) in [
        ("nothing is wrong", good, false),
        ("DTLS 1.0", craft::hello([0xfe, 0xff], SUITE, all), true),
        (
            "NULL, CBC, anonymous, and what takes a certificate of RSA",
            craft::hello([0xfe, 0xfd], &[0, 1, 0xc0, 0x09, 0xc0, 0x18, 0xc0, 0x2f], all),
            true,
        ),
        (
            "a curve for coins",
            craft::hello([0xfe, 0xfd], SUITE, &[(10, &[0, 2, 0, 22]), SCHEMES, SRTP, EMS]),
            true,
        ),
        (
            "SHA-1",
            craft::hello([0xfe, 0xfd], SUITE, &[GROUPS, (13, &[0, 2, 2, 3]), SRTP, EMS]),
            true,
        ),
        (
            "a list that is too short",
            craft::hello([0xfe, 0xfd], SUITE, &[GROUPS, SCHEMES, (14, &[0, 9, 0, 7, 0]), EMS]),
            true,
        ),
    ] {
        let mut passive = passive();
        passive.packet(Time::ZERO, &craft::message(1, 0, &hello));
        assert_eq!(is_refused(&mut passive), refused, "{what}: {:?}", passive.result);
    }
}

#[test]
fn a11_a_hello_of_tls_gets_no_answer() {
    let mut passive = passive();
    for version in [[3, 0], [3, 3]] {
        let hello = craft::hello(version, SUITE, &[GROUPS, SCHEMES, SRTP, EMS]);
        passive.packet(Time::ZERO, &craft::message(1, 0, &hello));
    }
    assert!(passive.outputs().is_empty() && passive.result.is_ok());
    let hello = craft::hello([0xfe, 0xfd], SUITE, &[GROUPS, SCHEMES, SRTP, EMS]);
    passive.packet(Time::ZERO, &craft::message(1, 0, &hello));
    assert!(!passive.outputs().is_empty(), "that of the peer does");
}

#[test]
fn the_server_prefers_the_cheapest_profile_whatever_the_client_says_first() {
    for (offered, chosen) in [
        (&[0, 6, 0, 1, 0, 7, 0, 8, 0], 8),
        (&[0, 6, 0, 2, 0, 1, 0, 7, 0], 7),
        (&[0, 6, 0, 2, 0, 1, 0, 5, 0], 1_u8),
    ] {
        let mut passive = passive();
        let hello = craft::hello([0xfe, 0xfd], SUITE, &[GROUPS, SCHEMES, (14, offered), EMS]);
        passive.packet(Time::ZERO, &craft::message(1, 0, &hello));
        let answer = passive.outputs().concat();
        let wanted = [0, 14, 0, 5, 0, 2, 0, chosen, 0];
        assert!(answer.windows(wanted.len()).any(|bytes| bytes == wanted), "{chosen}");
    }
}

#[test]
fn a_server_that_wants_to_see_a_cookie_is_shown_it() {
    let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    let mut active = Peer::new(Kind::Openssl, DtlsRole::Active, &ours, print(&theirs));
    let first = active.outputs().concat();
    active.packet(Time::ZERO, &craft::message(3, 0, &[0xfe, 0xff, 4, 1, 2, 3, 4]));
    let second = active.outputs().concat();
    assert!(second.windows(5).any(|bytes| bytes == [4, 1, 2, 3, 4]));
    assert_eq!(first[25..59], second[25..59], "with the same random number");
}

#[test]
fn a_message_out_of_its_place_ends_the_handshake() {
    for kind in [2, 3, 11, 12, 13, 14, 15, 16] {
        let mut passive = passive();
        passive.packet(Time::ZERO, &craft::message(kind, 0, b""));
        assert!(is_refused(&mut passive), "{kind}");
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let (mut passive, mut active) = peers((Kind::Openssl, Kind::Openssl));
    passive.packet(Time::ZERO, &active.outputs().concat());
    passive.outputs();
    passive.packet(Time::ZERO, &craft::message(11, 1, &[0, 0, 0]));
    assert!(is_refused(&mut passive));
}

#[test]
fn a_fatal_alert_in_the_handshake_is_told_by_its_name() {
    let (mut passive, mut active) = peers((Kind::Openssl, Kind::Openssl));
    passive.packet(Time::ZERO, &active.outputs().concat());
    passive.packet(Time::ZERO, &craft::record(21, 0, &[2, 42]));
    let Err(DtlsError::Failed(why)) = passive.result else {
        panic!("{:?}", passive.result);
    };
    assert!(why.contains("bad certificate"), "{why}");
}

#[test]
fn what_failed_names_the_reason_and_nothing_else() {
    let mut passive = passive();
    let hello = craft::hello([0xfe, 0xfd], &[0, 1], &[GROUPS, SCHEMES, SRTP, EMS]);
    passive.packet(Time::ZERO, &craft::message(1, 0, &hello));
    assert_eq!(passive.result, Err(DtlsError::Failed("no shared cipher".to_owned())));
}

#[test]
fn records_in_the_clear_that_are_repeated_have_numbers_of_their_own() {
    let mut datagram = [
        craft::record(22, 0, b"one"),
        craft::record(20, 0, &[1]),
        craft::record(22, 1, b"sealed"),
    ]
    .concat();
    let before = datagram.clone();
    let mut next = 0x1_0203_0405;
    wire::number_anew(&mut datagram, &mut next);
    assert_eq!(datagram[5..11], [0, 1, 2, 3, 4, 5]);
    assert_eq!(datagram[16 + 5..16 + 11], [0, 1, 2, 3, 4, 6]);
    assert_eq!(datagram[30..], before[30..], "what is sealed stays");
    assert_eq!((datagram.len(), next), (before.len(), 0x1_0203_0407));
    for len in 0..datagram.len() {
        wire::number_anew(&mut datagram[..len], &mut next);
    }

    let (_, mut active) = peers((Kind::Openssl, Kind::Openssl));
    let first = active.outputs().remove(0);
    active.dtls.timeout(active.wake.unwrap()).unwrap();
    let second = active.outputs().remove(0);
    assert_eq!(first[11..], second[11..]);
    assert_ne!(first[..11], second[..11]);
}
