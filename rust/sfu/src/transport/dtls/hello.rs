//! A ClientHello (RFC 5246 §7.4.1.2), put together from its fragments, and what it says about who sent it.

use super::wire::{Fragment, HANDSHAKE, Reader, fragments, records};

/// Longest hello that is taken; Chromium's with a post-quantum key share is a quarter of it.
const MAX_HELLO: usize = 8_192;
/// Pieces of it with gaps between them.
const MAX_PIECES: usize = 32;
/// Its kind among handshake messages.
pub(super) const CLIENT_HELLO: u8 = 1;
const ENCRYPT_THEN_MAC: u16 = 22;
const SUPPORTED_VERSIONS: u16 = 43;
const DTLS_1_3: u16 = 0xfefc;

/// What became of a fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Added {
    /// It is of use.
    Kept,
    /// It is of use, and what came before contradicts it: anybody can forge a fragment, and the peer repeats its own.
    Anew,
    /// It is not.
    Dropped,
}

/// A hello that is perhaps not complete.
#[derive(Default)]
pub(super) struct Assembly {
    body: Vec<u8>,
    /// From where to where it is known: sorted, apart from each other.
    pieces: Vec<(usize, usize)>,
}

impl Assembly {
    pub(super) fn add(&mut self, fragment: &Fragment<'_>) -> Added {
        let (mut from, mut to) = (fragment.offset, fragment.offset + fragment.bytes.len());
        if fragment.len > MAX_HELLO {
            return Added::Dropped;
        }
        let is_anew = !self.pieces.is_empty() && self.body.len() != fragment.len;
        if is_anew {
            self.pieces.clear();
        }
        self.body.resize(fragment.len, 0);
        if let Some(place) = self.body.get_mut(from..to) {
            place.copy_from_slice(fragment.bytes);
        }
        self.pieces.retain(|(start, end)| {
            let touches = *start <= to && from <= *end;
            if touches {
                (from, to) = (from.min(*start), to.max(*end));
            }
            !touches
        });
        if self.pieces.len() >= MAX_PIECES {
            self.pieces.clear();
        }
        let at = self.pieces.partition_point(|(start, _)| *start < from);
        self.pieces.insert(at, (from, to));
        if is_anew { Added::Anew } else { Added::Kept }
    }

    /// The message without its header, once it is complete.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        (self.pieces.first() == Some(&(0, self.body.len()))).then_some(self.body.as_slice())
    }
}

/// The fragments of a first ClientHello in this datagram.
pub(super) fn first_hellos(datagram: &[u8]) -> impl Iterator<Item = Fragment<'_>> {
    records(datagram)
        .flatten()
        .filter(|record| record.epoch == 0 && record.kind == HANDSHAKE)
        .flat_map(|record| fragments(record.body).flatten())
        .filter(|fragment| fragment.kind == CLIENT_HELLO && fragment.seq == 0)
}

/// Browsers propose DTLS 1.3, and neither BoringSSL nor NSS knows encrypt-then-MAC (RFC 7366), which OpenSSL, GnuTLS and Mbed TLS propose.
/// The certificates of browsers are P-256. A malformed hello is nobody's.
pub(super) fn is_of_a_browser(hello: &[u8]) -> bool {
    proposals(hello).is_some_and(|(versions, encrypt_then_mac)| {
        !encrypt_then_mac && versions.chunks_exact(2).any(|pair| pair == DTLS_1_3.to_be_bytes())
    })
}

/// The versions in the extension of that name, and whether there is encrypt-then-MAC.
fn proposals(hello: &[u8]) -> Option<(&[u8], bool)> {
    let mut reader = Reader::new(hello);
    reader.take(2 + 32)?; // version, random
    reader.list(1)?; // session
    reader.list(1)?; // cookie
    reader.list(2)?; // cipher suites
    reader.list(1)?; // compression
    let mut extensions = Reader::new(if reader.is_empty() { &[] } else { reader.list(2)? });
    let (mut versions, mut encrypt_then_mac): (&[u8], _) = (&[], false);
    while !extensions.is_empty() {
        let (kind, body) = (extensions.u16()?, extensions.list(2)?);
        match kind {
            SUPPORTED_VERSIONS => versions = Reader::new(body).list(1)?,
            ENCRYPT_THEN_MAC => encrypt_then_mac = true,
            _ => {}
        }
    }
    Some((versions, encrypt_then_mac))
}
