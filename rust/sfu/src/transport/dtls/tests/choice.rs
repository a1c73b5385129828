//! Who serves whom.

use super::*;

/// Whether the answer to a hello is dimpl's, which proposes no PSS to whom it asks for a certificate.
fn is_served_by_dimpl(passive: &mut Peer, datagrams: &[Vec<u8>]) -> bool {
    for datagram in datagrams {
        passive.packet(Time::ZERO, datagram);
    }
    let answer = passive.outputs().concat();
    assert!(!answer.is_empty());
    !answer.windows(6).any(|schemes| schemes == [8, 4, 8, 5, 8, 6])
}

/// A ClientHello in fragments of at most `size` bytes, one a datagram.
fn hello(extensions: &[(u16, &[u8])], size: usize) -> Vec<Vec<u8>> {
    let body = craft::hello([0xfe, 0xfd], &[0xc0, 0x2b], extensions);
    let pieces = body.chunks(size).enumerate();
    pieces
        .map(|(number, bytes)| craft::record(22, 0, &craft::fragment(1, 0, body.len(), number * size, bytes)))
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
fn browsers_are_served_by_dimpl_and_everybody_else_by_openssl() {
    let browser = [GROUPS, POINTS, SCHEMES, SRTP, EMS, VERSIONS];
    assert!(is_served_by_dimpl(&mut passive(), &hello(&browser, 1_100)));
    let old = [GROUPS, POINTS, SCHEMES, SRTP, EMS];
    assert!(!is_served_by_dimpl(&mut passive(), &hello(&old, 1_100)));
    let openssl = [GROUPS, POINTS, SCHEMES, SRTP, EMS, VERSIONS, ETM];
    assert!(!is_served_by_dimpl(&mut passive(), &hello(&openssl, 1_100)));
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
    assert!(is_served_by_dimpl(&mut peer, &[last]));
    assert_eq!(peer.result, Ok(()));
}

#[test]
fn who_is_chosen_connects() {
    for kind in [Kind::Dimpl, Kind::Openssl] {
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
fn as_the_client_we_propose_suites_for_both_kinds_of_certificates() {
    let own = Certificate::generate().unwrap();
    let mut active = Peer::new(Kind::Openssl, DtlsRole::Active, &own, print(&own));
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
    assert!(is_served_by_dimpl(&mut peer, &whole), "and it still gets through");
}

#[test]
fn a15_a_hello_with_any_byte_wrong_or_missing_is_somebodys_or_nobodys() {
    let hello = craft::hello(
        [0xfe, 0xfd],
        &[0xc0, 0x2b],
        &[GROUPS, POINTS, SCHEMES, SRTP, EMS, VERSIONS],
    );
    assert!(hello::is_of_a_browser(&hello));
    for len in 0..hello.len() {
        assert!(!hello::is_of_a_browser(&hello[..len]), "{len} bytes");
    }
    for at in 0..hello.len() {
        for bit in 0..8 {
            let mut wrong = hello.clone();
            wrong[at] ^= 1 << bit;
            hello::is_of_a_browser(&wrong);
        }
    }
}

#[test]
fn a13_a_hello_of_many_gaps_or_of_great_length_takes_bounded_memory() {
    let mut assembly = hello::Assembly::default();
    let part = |len, offset| craft::fragment(1, 0, len, offset, &[1; 3]);
    for number in 0..60_000_usize {
        let datagram = craft::record(22, 0, &part(8_192, number * 7 % 8_000));
        for fragment in hello::first_hellos(&datagram) {
            assert_ne!(assembly.add(&fragment), hello::Added::Dropped);
        }
    }
    let datagram = craft::record(22, 0, &part(8_193, 0));
    for fragment in hello::first_hellos(&datagram) {
        assert_eq!(assembly.add(&fragment), hello::Added::Dropped);
    }
    assert_eq!(assembly.whole(), None);
    let datagram = craft::record(22, 0, &craft::fragment(1, 0, 3, 0, b"abc"));
    for fragment in hello::first_hellos(&datagram) {
        assert_eq!(assembly.add(&fragment), hello::Added::Anew);
    }
    assert_eq!(assembly.whole(), Some(b"abc".as_slice()));
}
