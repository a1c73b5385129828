//! STUN requests that no well-behaved peer would send. Attributes are laid out by hand; integrity and fingerprint are right unless asked
//! otherwise (RFC 8489 §14.5, §14.7).

use aws_lc_rs::hmac;

pub const USERNAME: u16 = 0x0006;
pub const PRIORITY: u16 = 0x0024;
pub const USE_CANDIDATE: u16 = 0x0025;
pub const CONTROLLED: u16 = 0x8029;
pub const CONTROLLING: u16 = 0x802a;

/// A message under construction.
#[derive(Clone)]
pub struct Stun(pub Vec<u8>);

impl Stun {
    /// Type 1 is a binding request.
    pub fn new(kind: u16, transaction: u64) -> Self {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 0, 0x21, 0x12, 0xa4, 0x42, 9, 9, 9, 9]);
        bytes.extend(transaction.to_be_bytes());
        Self(bytes)
    }

    /// The usual request of `user` in the controlling role.
    pub fn request(transaction: u64, user: &str) -> Self {
        Self::new(1, transaction)
            .put(USERNAME, user.as_bytes())
            .put(PRIORITY, &[0x6e, 0, 1, 0xff])
            .put(CONTROLLING, &[1; 8])
    }

    /// An attribute that says it is `len` bytes long.
    pub fn lie(mut self, kind: u16, len: u16, value: &[u8]) -> Self {
        self.0.extend(kind.to_be_bytes());
        self.0.extend(len.to_be_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.measure(0)
    }

    pub fn put(self, kind: u16, value: &[u8]) -> Self {
        self.lie(kind, value.len() as u16, value)
    }

    /// The length field, as if `more` bytes followed.
    fn measure(mut self, more: usize) -> Self {
        let len = (self.0.len() - 20 + more) as u16;
        self.0[2..4].copy_from_slice(&len.to_be_bytes());
        self
    }

    pub fn signed(self, pwd: &str) -> Self {
        let message = self.measure(24);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, pwd.as_bytes());
        let tag = hmac::sign(&key, &message.0);
        message.put(0x0008, tag.as_ref())
    }

    pub fn done(self) -> Vec<u8> {
        let message = self.measure(8);
        let crc = crc32(&message.0) ^ 0x5354_554e;
        message.put(0x8028, &crc.to_be_bytes()).0
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
