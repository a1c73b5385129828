//! Who serves whom.

use super::*;

/// Whether the answer to a hello is the library's, which proposes no PSS to whom it asks for a certificate.
fn is_served_by_library(passive: &mut Peer, datagrams: &[Vec<u8>]) -> bool {
    for datagram in datagrams {
        passive.packet(Time::ZERO, datagram);
    }
    let answer = passive.outputs().concat();
    assert!(!answer.is_empty());
    !answer.windows(2).any(|pair| pair == [0x08, 0x04])
}

/// A ClientHello in fragments of at most `size` bytes, one a datagram.
fn hello(extensions: &[(u16, &[u8])], size: usize) -> Vec<Vec<u8>> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([7; 32]);
    body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
    wire::list(&mut body, 2, |out| {
        for (kind, value) in extensions {
            out.extend(kind.to_be_bytes());
            wire::list(out, 2, |out| out.extend_from_slice(value));
        }
    });
    let pieces = body.chunks(size).enumerate();
    pieces
        .map(|(number, bytes)| {
            let mut piece = Vec::new();
            let fragment = wire::Fragment {
                kind: own::CLIENT_HELLO,
                len: body.len(),
                seq: 0,
                offset: number * size,
                bytes,
            };
            wire::fragment(&mut piece, &fragment);
            let mut datagram = Vec::new();
            wire::record(&mut datagram, wire::HANDSHAKE, 0, number as u64, &piece);
            datagram
        })
        .collect()
}

const GROUPS: (u16, &[u8]) = (10, &[0, 4, 0, 23, 0, 29]);
const POINTS: (u16, &[u8]) = (11, &[1, 0]);
const SCHEMES: (u16, &[u8]) = (13, &[0, 4, 4, 3, 8, 4]);
const SRTP: (u16, &[u8]) = (14, &[0, 4, 0, 1, 0, 7, 0]);
const ETM: (u16, &[u8]) = (22, &[]);
const EMS: (u16, &[u8]) = (23, &[]);
/// DTLS 1.3 and 1.2.
const VERSIONS: (u16, &[u8]) = (43, &[4, 0xfe, 0xfc, 0xfe, 0xfd]);

fn passive() -> Peer {
    Peer::chosen(&Certificate::generate().unwrap(), print_of(b""))
}

#[test]
fn browsers_are_served_by_the_library_and_everybody_else_by_our_own() {
    let browser = [GROUPS, POINTS, SCHEMES, SRTP, EMS, VERSIONS];
    assert!(is_served_by_library(&mut passive(), &hello(&browser, 1_100)));
    let old = [GROUPS, POINTS, SCHEMES, SRTP, EMS];
    assert!(!is_served_by_library(&mut passive(), &hello(&old, 1_100)));
    let openssl = [GROUPS, POINTS, SCHEMES, SRTP, EMS, VERSIONS, ETM];
    assert!(!is_served_by_library(&mut passive(), &hello(&openssl, 1_100)));
}

#[test]
fn a_hello_in_pieces_is_chosen_by_when_it_is_whole() {
    let mut datagrams = hello(&[GROUPS, POINTS, SCHEMES, SRTP, EMS, VERSIONS], 30);
    assert!(datagrams.len() > 3 && datagrams.len() < 8);
    let last = datagrams.pop().unwrap();
    datagrams.reverse();
    let mut peer = passive();
    for datagram in datagrams.iter().chain(&datagrams) {
        peer.packet(Time::ZERO, datagram);
        assert!(peer.outputs().is_empty());
    }
    assert!(is_served_by_library(&mut peer, &[last]));
    assert_eq!(peer.result, Ok(()));
}

#[test]
fn who_is_chosen_connects() {
    for kind in [Kind::Library, Kind::Own] {
        for seed in 0..10 {
            let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
            let mut passive = Peer::chosen(&ours, print(&theirs));
            let mut active = Peer::new(kind, DtlsRole::Active, &theirs, print(&ours));
            let now = talk(&mut passive, &mut active, Time::ZERO, bad_line(seed));
            assert_same_keys(&passive, &active, &(kind, seed));
            passive.dtls.close(now);
            for packet in passive.outputs() {
                active.packet(now, &packet);
            }
            active.outputs();
            assert!(active.closed, "{kind:?}");
        }
    }
}

#[test]
fn we_speak_first_ourselves_with_suites_for_both_kinds_of_certificates() {
    let own = Certificate::generate().unwrap();
    let mut active = Peer::with(new(&config(&own), DtlsRole::Active, print(&own), Time::ZERO));
    let hello = active.outputs().concat();
    for suite in [[0xc0, 0x2b], [0xc0, 0x2f], [0xc0, 0x2c], [0xc0, 0x30]] {
        assert!(hello.windows(2).any(|pair| pair == suite));
    }
}

#[test]
fn a13_nothing_but_a_hello_is_kept_before_there_is_one() {
    let mut peer = passive();
    let whole = hello(&[GROUPS, POINTS, SCHEMES, SRTP, EMS, VERSIONS], 30);
    for datagram in hostile::forged()
        .iter()
        .chain(&[vec![22; 1_400], Vec::new(), vec![0; 13]])
    {
        peer.packet(Time::ZERO, datagram);
    }
    for _ in 0..1_000 {
        peer.packet(Time::ZERO, &whole[0]);
    }
    assert!(peer.outputs().is_empty() && peer.result.is_ok());
    assert_eq!(peer.wake, None, "the shard's own timeout ends it");
    assert!(is_served_by_library(&mut peer, &whole), "and it still gets through");
}
