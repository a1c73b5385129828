//! Hellos and messages that a peer should not send, and what only one side of them can show.

use super::*;

fn refusal(result: &Result<(), DtlsError>) -> &str {
    match result {
        Err(DtlsError::Failed(why)) => why,
        Err(DtlsError::FingerprintMismatch) => "fingerprint",
        Ok(()) => "",
    }
}

/// A handshake message in a datagram of its own.
fn datagram(kind: u8, seq: u16, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let fragment = wire::Fragment {
        kind,
        len: body.len(),
        seq,
        offset: 0,
        bytes: body,
    };
    wire::fragment(&mut message, &fragment);
    let mut out = Vec::new();
    wire::record(&mut out, wire::HANDSHAKE, 0, u64::from(seq), &message);
    out
}

/// The client's hello in pieces: up to its suites, the suites, and its extensions.
fn hello(version: [u8; 2], suites: &[u8], extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.extend([0, 0]);
    wire::list(&mut body, 2, |out| out.extend_from_slice(suites));
    body.extend([1, 0]);
    wire::list(&mut body, 2, |out| {
        for (kind, value) in extensions {
            out.extend(kind.to_be_bytes());
            wire::list(out, 2, |out| out.extend_from_slice(value));
        }
    });
    datagram(own::CLIENT_HELLO, 0, &body)
}

const SUITE: &[u8] = &[0xc0, 0x2b];
const GROUPS: (u16, &[u8]) = (10, &[0, 2, 0, 23]);
const SCHEMES: (u16, &[u8]) = (13, &[0, 2, 4, 3]);
const SRTP: (u16, &[u8]) = (14, &[0, 2, 0, 7, 0]);
const EMS: (u16, &[u8]) = (23, &[]);

#[test]
fn a11_hellos_without_anything_in_common_are_refused_with_the_reason() {
    let all: &[(u16, &[u8])] = &[GROUPS, SCHEMES, SRTP, EMS];
    for (hello, why) in [
        (hello([0xfe, 0xfd], SUITE, all), ""),
        (hello([0xfe, 0xff], SUITE, all), "the peer does not speak DTLS 1.2"),
        (hello([0x03, 0x03], SUITE, all), "the peer does not speak DTLS 1.2"),
        // NULL, CBC, and what an RSA certificate of ours would take.
        (
            hello([0xfe, 0xfd], &[0, 1, 0xc0, 0x09, 0xc0, 0x2f], all),
            "no cipher suite in common",
        ),
        (hello([0xfe, 0xfd], SUITE, &[SCHEMES, SRTP, EMS]), "no curve in common"),
        (
            hello([0xfe, 0xfd], SUITE, &[(10, &[0, 2, 0, 21]), SCHEMES, SRTP, EMS]),
            "no curve in common",
        ),
        (
            hello([0xfe, 0xfd], SUITE, &[GROUPS, SCHEMES, EMS]),
            "no SRTP profile in common",
        ),
        (
            hello([0xfe, 0xfd], SUITE, &[GROUPS, SCHEMES, (14, &[0, 2, 0, 2, 0]), EMS]),
            "no SRTP profile in common",
        ),
        (
            hello([0xfe, 0xfd], SUITE, &[GROUPS, SCHEMES, SRTP]),
            "the peer does not know the extended master secret",
        ),
        (
            hello([0xfe, 0xfd], SUITE, &[GROUPS, (13, &[0, 2, 2, 3]), SRTP, EMS]),
            "the peer does not take signatures like ours",
        ),
        (
            hello([0xfe, 0xfd], SUITE, &[GROUPS, SCHEMES, (14, &[0, 9, 0, 7, 0]), EMS]),
            "a malformed handshake message",
        ),
    ] {
        let own = Certificate::generate().unwrap();
        let mut passive = Peer::new(Kind::Own, DtlsRole::Passive, &own, print_of(b""));
        passive.packet(Time::ZERO, &hello);
        assert_eq!(refusal(&passive.result), why);
        assert_eq!(passive.outputs().is_empty(), !why.is_empty());
    }
}

#[test]
fn the_server_prefers_the_cheapest_profile_whatever_the_client_says_first() {
    for (offered, chosen) in [
        (&[0, 6, 0, 1, 0, 7, 0, 8, 0], 8),
        (&[0, 6, 0, 2, 0, 1, 0, 7, 0], 7),
        (&[0, 6, 0, 2, 0, 1, 0, 5, 0], 1_u8),
    ] {
        let own = Certificate::generate().unwrap();
        let mut passive = Peer::new(Kind::Own, DtlsRole::Passive, &own, print_of(b""));
        passive.packet(
            Time::ZERO,
            &hello([0xfe, 0xfd], SUITE, &[GROUPS, SCHEMES, (14, offered), EMS]),
        );
        let answer = passive.outputs().concat();
        let wanted = [0, 14, 0, 5, 0, 2, 0, chosen, 0];
        assert!(answer.windows(wanted.len()).any(|bytes| bytes == wanted), "{chosen}");
    }
}

#[test]
fn a_server_that_wants_to_see_a_cookie_is_shown_it_once() {
    let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    let mut active = Peer::new(Kind::Own, DtlsRole::Active, &ours, print(&theirs));
    let first = active.outputs().concat();
    let request = datagram(3, 0, &[0xfe, 0xff, 4, 1, 2, 3, 4]);
    active.packet(Time::ZERO, &request);
    let second = active.outputs().concat();
    assert!(second.windows(5).any(|bytes| bytes == [4, 1, 2, 3, 4]));
    assert_eq!(first[25..59], second[25..59], "with the same random number");
    active.packet(Time::ZERO, &datagram(3, 1, &[0xfe, 0xff, 4, 1, 2, 3, 5]));
    assert_eq!(refusal(&active.result), "the peer asks for a cookie twice");
}

#[test]
fn a_message_out_of_its_place_ends_the_handshake() {
    let own = Certificate::generate().unwrap();
    for kind in [0, 2, 3, 11, 12, 13, 14, 15, 16] {
        let mut passive = Peer::new(Kind::Own, DtlsRole::Passive, &own, print_of(b""));
        passive.packet(Time::ZERO, &datagram(kind, 0, b""));
        assert!(refusal(&passive.result).contains("where 1 should be"), "{kind}");
        assert!(passive.outputs().is_empty());
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let (mut passive, mut active) = peers((Kind::Own, Kind::Own));
    passive.packet(Time::ZERO, &active.outputs().concat());
    passive.packet(Time::ZERO, &datagram(11, 1, &[0, 0, 0]));
    assert_eq!(refusal(&passive.result), "the peer has no certificate");
}

#[test]
fn a_fatal_alert_in_the_handshake_is_told_with_its_number() {
    let (mut passive, mut active) = peers((Kind::Own, Kind::Own));
    passive.packet(Time::ZERO, &active.outputs().concat());
    let mut alert = Vec::new();
    wire::record(&mut alert, wire::ALERT, 0, 9, &[2, 42]);
    passive.packet(Time::ZERO, &alert);
    assert_eq!(refusal(&passive.result), "the peer refuses with alert 42");
}

#[test]
fn protected_records_count_once_and_in_any_order() {
    let mut window = own::Window::default();
    for seq in [0, 5, 3, 70, 69, 7] {
        assert!(window.is_new(seq), "{seq}");
        window.insert(seq);
        assert!(!window.is_new(seq), "{seq}");
    }
    for (seq, is_new) in [
        (5, false),
        (6, false),
        (8, true),
        (68, true),
        (71, true),
        (u64::MAX >> 16, true),
    ] {
        assert_eq!(window.is_new(seq), is_new, "{seq}");
    }
    window.insert(u64::MAX >> 16);
    assert!(!window.is_new(70) && !window.is_new(u64::MAX >> 16));
}
