//! Cipher suites, secrets (RFC 5246 §5, §6.3, §8.1; RFC 7627) and the protection of records (RFC 5288).

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{agreement, digest, tls_prf};

use crate::transport::dtls::wire::{RECORD_HEADER, Record, VERSION, epoch_and_seq, record_header};

/// ECDHE with AES-GCM; nothing else is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Suite {
    /// As the registry of TLS numbers it.
    pub id: u16,
    /// The server's certificate is of RSA, else ECDSA.
    pub rsa: bool,
    /// AES-256 and SHA-384, else AES-128 and SHA-256.
    strong: bool,
}

/// Best first. Records of DTLS are few: that the cheaper cipher comes first matters little.
pub(super) const SUITES: [Suite; 4] = [
    Suite {
        id: 0xc02b,
        rsa: false,
        strong: false,
    },
    Suite {
        id: 0xc02f,
        rsa: true,
        strong: false,
    },
    Suite {
        id: 0xc02c,
        rsa: false,
        strong: true,
    },
    Suite {
        id: 0xc030,
        rsa: true,
        strong: true,
    },
];

/// Curves of the key exchange by their numbers, fastest first.
pub(super) const GROUPS: [u16; 4] = [29, 23, 24, 25];
/// A client's list also says which curves its server's certificate may be on (RFC 8422 §5.1): P-224, on which no server exchanges keys, is last.
pub(super) const OFFERED_GROUPS: [u16; 5] = [29, 23, 24, 25, 21];

/// The curve with this number.
pub(super) fn group(id: u16) -> Option<&'static agreement::Algorithm> {
    match id {
        29 => Some(&agreement::X25519),
        23 => Some(&agreement::ECDH_P256),
        24 => Some(&agreement::ECDH_P384),
        25 => Some(&agreement::ECDH_P521),
        _ => None,
    }
}

const VERIFY_DATA: usize = 12;
const MASTER_SECRET: usize = 48;
/// Part of the nonce that is agreed on; the other is in the record.
const IMPLICIT: usize = 4;
const EXPLICIT: usize = 8;
const TAG: usize = 16;
/// What protection adds to a record.
pub(super) const OVERHEAD: usize = EXPLICIT + TAG;

impl Suite {
    fn key_len(self) -> usize {
        if self.strong { 32 } else { 16 }
    }

    pub(super) fn hash(self, transcript: &[u8]) -> digest::Digest {
        let algorithm = if self.strong { &digest::SHA384 } else { &digest::SHA256 };
        digest::digest(algorithm, transcript)
    }

    fn prf(self, secret: &[u8], label: &[u8], seed: &[u8], len: usize) -> Option<Vec<u8>> {
        let algorithm = if self.strong {
            &tls_prf::P_SHA384
        } else {
            &tls_prf::P_SHA256
        };
        let secret = tls_prf::Secret::new(algorithm, secret).ok()?;
        Some(secret.derive(label, seed, len).ok()?.as_ref().to_vec())
    }

    /// From the shared secret and all messages up to the ClientKeyExchange.
    pub(super) fn master(self, shared: &[u8], transcript: &[u8]) -> Option<Master> {
        let session = self.hash(transcript);
        let secret = self.prf(shared, b"extended master secret", session.as_ref(), MASTER_SECRET)?;
        Some(Master { suite: self, secret })
    }
}

/// The secret that everything else comes from.
pub(super) struct Master {
    suite: Suite,
    secret: Vec<u8>,
}

impl Master {
    /// Keys of what the client sends, then of what the server sends.
    pub(super) fn record_keys(&self, client_random: &[u8], server_random: &[u8]) -> Option<(RecordKey, RecordKey)> {
        let seed = [server_random, client_random].concat();
        let len = self.suite.key_len();
        let block = self
            .suite
            .prf(&self.secret, b"key expansion", &seed, 2 * (len + IMPLICIT))?;
        let (client_key, rest) = block.split_at_checked(len)?;
        let (server_key, rest) = rest.split_at_checked(len)?;
        let (client_iv, server_iv) = rest.split_at_checked(IMPLICIT)?;
        Some((
            RecordKey::new(self.suite, client_key, client_iv)?,
            RecordKey::new(self.suite, server_key, server_iv)?,
        ))
    }

    /// What the Finished of one side must be after these messages.
    pub(super) fn verify_data(&self, of_client: bool, transcript: &[u8]) -> Option<Vec<u8>> {
        let label: &[u8] = if of_client {
            b"client finished"
        } else {
            b"server finished"
        };
        let hash = self.suite.hash(transcript);
        self.suite.prf(&self.secret, label, hash.as_ref(), VERIFY_DATA)
    }

    /// RFC 5764 §4.2, RFC 5705 §4.
    pub(super) fn export(&self, client_random: &[u8], server_random: &[u8], len: usize) -> Option<Vec<u8>> {
        let seed = [client_random, server_random].concat();
        self.suite.prf(&self.secret, b"EXTRACTOR-dtls_srtp", &seed, len)
    }
}

/// Protects the records of one direction.
pub(super) struct RecordKey {
    key: LessSafeKey,
    implicit: [u8; IMPLICIT],
}

impl RecordKey {
    fn new(suite: Suite, key: &[u8], implicit: &[u8]) -> Option<Self> {
        let algorithm = if suite.strong {
            &aead::AES_256_GCM
        } else {
            &aead::AES_128_GCM
        };
        Some(Self {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?),
            implicit: implicit.try_into().ok()?,
        })
    }

    fn nonce(&self, explicit: &[u8]) -> Option<Nonce> {
        let mut nonce = [0; IMPLICIT + EXPLICIT];
        let (front, back) = nonce.split_at_mut(IMPLICIT);
        front.copy_from_slice(&self.implicit);
        if explicit.len() != EXPLICIT {
            return None;
        }
        back.copy_from_slice(explicit);
        Some(Nonce::assume_unique_for_key(nonce))
    }

    /// Appends a record to `out`. The number must be new.
    pub(super) fn seal(&self, out: &mut Vec<u8>, kind: u8, epoch: u16, seq: u64, body: &[u8]) -> Option<()> {
        let explicit = epoch_and_seq(epoch, seq);
        let mut sealed = body.to_vec();
        let aad = additional(explicit, kind, body.len());
        self.key
            .seal_in_place_append_tag(self.nonce(&explicit)?, Aad::from(aad), &mut sealed)
            .ok()?;
        record_header(out, kind, epoch, seq, EXPLICIT + sealed.len());
        out.extend_from_slice(&explicit);
        out.extend_from_slice(&sealed);
        Some(())
    }

    /// What was in the record, if it is the peer's.
    pub(super) fn open(&self, record: &Record<'_>) -> Option<Vec<u8>> {
        let (explicit, sealed) = record.body.split_at_checked(EXPLICIT)?;
        let len = sealed.len().checked_sub(TAG)?;
        let aad = additional(epoch_and_seq(record.epoch, record.seq), record.kind, len);
        let mut body = sealed.to_vec();
        self.key
            .open_in_place(self.nonce(explicit)?, Aad::from(aad), &mut body)
            .ok()?;
        body.truncate(len);
        Some(body)
    }
}

fn additional(epoch_and_seq: [u8; 8], kind: u8, len: usize) -> [u8; RECORD_HEADER] {
    let mut out = [0; RECORD_HEADER];
    let parts = [
        &epoch_and_seq[..],
        &[kind],
        &VERSION.to_be_bytes(),
        &(len as u16).to_be_bytes(),
    ];
    for (place, byte) in out.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *byte;
    }
    out
}

/// Numbers that were seen in the second epoch (RFC 6347 §4.1.2.6).
#[derive(Default)]
pub(in crate::transport::dtls) struct Window {
    /// One above the highest.
    end: u64,
    /// Bit n: `end - 1 - n` was seen.
    seen: u64,
}

impl Window {
    pub(in crate::transport::dtls) fn is_new(&self, seq: u64) -> bool {
        seq >= self.end || (self.end - 1 - seq < 64 && self.seen >> (self.end - 1 - seq) & 1 == 0)
    }

    pub(in crate::transport::dtls) fn insert(&mut self, seq: u64) {
        if seq >= self.end {
            let by = seq + 1 - self.end;
            self.seen = if by < 64 { self.seen << by | 1 } else { 1 };
            self.end = seq + 1;
        } else if self.end - 1 - seq < 64 {
            self.seen |= 1 << (self.end - 1 - seq);
        }
    }
}
