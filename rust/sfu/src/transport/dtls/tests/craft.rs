//! Records, fragments and hellos as a peer may write them.

use std::sync::atomic::{AtomicU16, Ordering};

/// Bytes behind their length, a number of `width` bytes.
fn list(width: usize, bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[4 - width..], bytes].concat()
}

/// A record in the clear, of a number that no other has.
pub(super) fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
    #[allow(clippy::disallowed_types)]
    static NUMBER: AtomicU16 = AtomicU16::new(1_000);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    [
        &[kind, 0xfe, 0xfd],
        epoch.to_be_bytes().as_slice(),
        &[0; 4],
        &number,
        &list(2, body),
    ]
    .concat()
}

/// Part of a handshake message of `len` bytes.
pub(super) fn fragment(kind: u8, seq: u16, len: usize, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let (len, offset) = ((len as u32).to_be_bytes(), (offset as u32).to_be_bytes());
    [
        &[kind],
        &len[1..],
        seq.to_be_bytes().as_slice(),
        &offset[1..],
        &list(3, bytes),
    ]
    .concat()
}

/// A handshake message in a datagram of its own.
pub(super) fn message(kind: u8, seq: u16, body: &[u8]) -> Vec<u8> {
    record(22, 0, &fragment(kind, seq, body.len(), 0, body))
}

/// A ClientHello without its header.
pub(super) fn hello(version: [u8; 2], suites: &[u8], extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, value)| [kind.to_be_bytes().to_vec(), list(2, value)].concat())
        .collect();
    [
        version.as_slice(),
        &[7; 32],
        &[0, 0],
        &list(2, suites),
        &[1, 0],
        &list(2, &extensions),
    ]
    .concat()
}
