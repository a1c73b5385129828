//! Frames on a stream: the same datagrams come out however the bytes are cut, memory stays below the limit, and what is written reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rostra_sfu::transport::framing::{self, Deframer, Framed, HEADER};

const LIMIT: usize = 600;

/// What comes out when the bytes arrive in pieces whose sizes repeat: datagrams, and lengths of those that are too long.
fn found(stream: &[u8], sizes: &[u8]) -> Vec<Result<Vec<u8>, usize>> {
    let mut deframer = Deframer::new(LIMIT);
    let mut found = Vec::new();
    let mut rest = stream;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| 1 + usize::from(*size));
        let (piece, others) = rest.split_at(size.min(rest.len()));
        rest = others;
        let (mut piece, mut at) = (piece.to_vec(), 0);
        while let Some(next) = deframer.next(&mut piece, &mut at) {
            found.push(match next {
                Framed::Datagram(bytes) => Ok(bytes.to_vec()),
                Framed::TooLong(len) => Err(len),
            });
        }
        assert_eq!(at, piece.len());
        assert!(deframer.held() < HEADER + LIMIT);
    }
    found
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (stream, sizes) = input;
    let whole = found(&stream, &[]);
    assert_eq!(whole, found(&stream, &sizes));
    assert_eq!(whole, found(&stream, &[0]));
    let mut again = Vec::new();
    for datagram in whole.iter().flatten() {
        assert!((1..=LIMIT).contains(&datagram.len()));
        let before = again.len();
        assert!(framing::write(&mut again, datagram));
        assert_eq!(framing::first(&again[before..]), Some(HEADER + datagram.len()));
    }
    let read: Vec<_> = whole.into_iter().filter(Result::is_ok).collect();
    assert_eq!(found(&again, &sizes), read);
});
