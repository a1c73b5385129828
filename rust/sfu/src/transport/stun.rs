//! STUN messages as ICE uses them (RFC 8489, RFC 8445 §7): binding requests and their responses, short-term credentials.
//!
//! Parsing is one pass over at most [`MAX_MESSAGE`] bytes and [`MAX_ATTRIBUTES`] attributes, borrows everything and allocates
//! nothing, because it runs before anybody has authenticated. Every message must carry FINGERPRINT, as RFC 8445 §7.1 demands of
//! connectivity checks. Reader and writers share a long file because each attribute's two sides change together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::{constant_time, hmac};

use crate::reason::DropReason;

/// Longest message that is looked at, bytes.
pub const MAX_MESSAGE: usize = 1500;
/// Most attributes of one message; browsers send fewer than ten.
pub const MAX_ATTRIBUTES: usize = 32;
/// Most unknown comprehension-required attributes that a 420 response lists.
pub const MAX_UNKNOWN: usize = 8;
/// A buffer of this size holds every response of ours.
pub const MAX_RESPONSE: usize = 128;

const COOKIE: u32 = 0x2112_A442;
const HEADER: usize = 20;
const INTEGRITY_LEN: usize = 20;
const FINGERPRINT_XOR: u32 = 0x5354_554E;
/// RFC 8489 §14.3: fewer than 509 bytes.
const MAX_USERNAME: usize = 508;

const MAPPED_ADDRESS: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802A;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_INDICATION: u16 = 0x0011;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

/// RFC 8489 §5: 96 bits, chosen by whoever asks.
pub type TransactionId = [u8; 12];

/// What a message is; only the binding method exists here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MessageClass {
    /// A connectivity check.
    Request,
    /// A keepalive; never authenticated, never answered.
    Indication,
    /// The check succeeded.
    Success,
    /// The check was refused.
    Error,
}

/// Role that a request claims, with its tie-breaker (RFC 8445 §7.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IceRole {
    /// ICE-CONTROLLING
    Controlling(u64),
    /// ICE-CONTROLLED
    Controlled(u64),
}

/// Error responses that a lite agent sends. 400 and 401 are not among them: a request that does not authenticate gets silence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorCode {
    /// 420: the request has comprehension-required attributes that we do not know.
    UnknownAttribute,
    /// 487: the peer claims the role that we have.
    RoleConflict,
}

/// A well-formed message with a right FINGERPRINT. Nothing in it is trustworthy before [`Message::verify`].
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: MessageClass,
    transaction: TransactionId,
    username: Option<&'a str>,
    priority: Option<u32>,
    use_candidate: bool,
    role: Option<IceRole>,
    mapped: Option<SocketAddr>,
    error: Option<u16>,
    integrity: Option<Integrity<'a>>,
    unknown: [u16; MAX_UNKNOWN],
    unknown_len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Integrity<'a> {
    /// Offset of the attribute: what is before it is covered.
    at: usize,
    value: &'a [u8],
}

/// Read one datagram. Trailing bytes, a wrong length, a wrong cookie and another method than binding are [`DropReason::StunMalformed`];
/// a missing or wrong FINGERPRINT is [`DropReason::StunUnauthenticated`].
pub fn parse(datagram: &[u8]) -> Result<Message<'_>, DropReason> {
    parse_inner(datagram).ok_or(DropReason::StunMalformed)?
}

/// `None`: malformed.
fn parse_inner(datagram: &[u8]) -> Option<Result<Message<'_>, DropReason>> {
    let length = usize::from(u16_at(datagram, 2)?);
    if datagram.len() > MAX_MESSAGE || !length.is_multiple_of(4) || HEADER + length != datagram.len() {
        return None;
    }
    let class = match u16_at(datagram, 0)? {
        BINDING_REQUEST => MessageClass::Request,
        BINDING_INDICATION => MessageClass::Indication,
        BINDING_SUCCESS => MessageClass::Success,
        BINDING_ERROR => MessageClass::Error,
        _ => return None,
    };
    if u32_at(datagram, 4)? != COOKIE {
        return None;
    }
    let mut message = Message {
        bytes: datagram,
        class,
        transaction: datagram.get(8..HEADER)?.try_into().ok()?,
        username: None,
        priority: None,
        use_candidate: false,
        role: None,
        mapped: None,
        error: None,
        integrity: None,
        unknown: [0; MAX_UNKNOWN],
        unknown_len: 0,
    };

    let mut at = HEADER;
    for _ in 0..MAX_ATTRIBUTES {
        let kind = u16_at(datagram, at)?;
        let len = usize::from(u16_at(datagram, at + 2)?);
        let start = at + 4;
        let value = datagram.get(start..start + len)?;
        let next = start + len.next_multiple_of(4);
        if next > datagram.len() {
            return None;
        }
        if kind == FINGERPRINT {
            if len != 4 || next != datagram.len() {
                return None;
            }
            let right = u32_at(value, 0)? == fingerprint(datagram.get(..at)?);
            return Some(if right {
                Ok(message)
            } else {
                Err(DropReason::StunUnauthenticated)
            });
        }
        // RFC 8489 §14.5: what follows MESSAGE-INTEGRITY is not covered by it and therefore not looked at.
        if message.integrity.is_none() {
            message.attribute(kind, at, value)?;
        }
        at = next;
        if at == datagram.len() {
            return Some(Err(DropReason::StunUnauthenticated));
        }
    }
    None
}

impl<'a> Message<'a> {
    /// Request, indication or one of the responses.
    pub fn class(&self) -> MessageClass {
        self.class
    }

    /// A connectivity check?
    pub fn is_request(&self) -> bool {
        self.class == MessageClass::Request
    }

    /// Whoever asked finds its own id in the response.
    pub fn transaction(&self) -> &TransactionId {
        &self.transaction
    }

    /// The receiver's half of USERNAME, before the colon: in a request to us, ours.
    pub fn local_ufrag(&self) -> Option<&'a str> {
        self.username?.split_once(':').map(|(local, _)| local)
    }

    /// The sender's half of USERNAME, after the colon.
    pub fn remote_ufrag(&self) -> Option<&'a str> {
        self.username?.split_once(':').map(|(_, remote)| remote)
    }

    /// PRIORITY: of the peer-reflexive candidate that this check would make.
    pub fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// USE-CANDIDATE: the peer nominates this path.
    pub fn use_candidate(&self) -> bool {
        self.use_candidate
    }

    /// The role that the sender claims.
    pub fn role(&self) -> Option<IceRole> {
        self.role
    }

    /// XOR-MAPPED-ADDRESS of a response: where the request seemed to come from.
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        self.mapped
    }

    /// ERROR-CODE of an error response, 300–699.
    pub fn error_code(&self) -> Option<u16> {
        self.error
    }

    /// Comprehension-required attributes that nobody here knows, the first [`MAX_UNKNOWN`] of them.
    pub fn unknown(&self) -> &[u16] {
        self.unknown.get(..self.unknown_len).unwrap_or_default()
    }

    /// Is MESSAGE-INTEGRITY there and made with `pwd`? Compares in constant time.
    pub fn verify(&self, pwd: &[u8]) -> bool {
        let Some(Integrity { at, value }) = self.integrity else {
            return false;
        };
        self.bytes
            .get(..at)
            .and_then(|covered| integrity(covered, pwd))
            .is_some_and(|tag| constant_time::verify_slices_are_equal(tag.as_ref(), value).is_ok())
    }

    /// `None`: malformed. The first of several equal attributes counts (RFC 8489 §14).
    fn attribute(&mut self, kind: u16, at: usize, value: &'a [u8]) -> Option<()> {
        match kind {
            USERNAME => {
                if value.len() > MAX_USERNAME {
                    return None;
                }
                let text = std::str::from_utf8(value).ok()?;
                self.username.get_or_insert(text);
            }
            MESSAGE_INTEGRITY => {
                if value.len() != INTEGRITY_LEN {
                    return None;
                }
                self.integrity = Some(Integrity { at, value });
            }
            PRIORITY => {
                let priority = u32::from_be_bytes(value.try_into().ok()?);
                self.priority.get_or_insert(priority);
            }
            USE_CANDIDATE => {
                if !value.is_empty() {
                    return None;
                }
                self.use_candidate = true;
            }
            ICE_CONTROLLED => {
                let tie_breaker = u64::from_be_bytes(value.try_into().ok()?);
                self.role.get_or_insert(IceRole::Controlled(tie_breaker));
            }
            ICE_CONTROLLING => {
                let tie_breaker = u64::from_be_bytes(value.try_into().ok()?);
                self.role.get_or_insert(IceRole::Controlling(tie_breaker));
            }
            XOR_MAPPED_ADDRESS => {
                let address = read_xor_address(value, &self.transaction)?;
                self.mapped.get_or_insert(address);
            }
            ERROR_CODE => {
                let (class, number) = (*value.get(2)? & 7, *value.get(3)?);
                if !(3..=6).contains(&class) || number > 99 {
                    return None;
                }
                self.error.get_or_insert(u16::from(class) * 100 + u16::from(number));
            }
            MAPPED_ADDRESS | UNKNOWN_ATTRIBUTES | REALM | NONCE => {}
            0x8000.. => {}
            unknown => {
                if let Some(slot) = self.unknown.get_mut(self.unknown_len) {
                    *slot = unknown;
                    self.unknown_len += 1;
                }
            }
        }
        Some(())
    }
}

/// A binding request with short-term credentials, for whoever plays the peer: simulated clients, the load generator, tests.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Random, to recognise the response.
    pub transaction: TransactionId,
    /// The receiver's ufrag: the first half of USERNAME.
    pub to_ufrag: &'a str,
    /// The sender's ufrag: the second half.
    pub from_ufrag: &'a str,
    /// The receiver's password.
    pub pwd: &'a [u8],
    /// PRIORITY.
    pub priority: u32,
    /// The role that the sender claims.
    pub role: IceRole,
    /// Nominate this path?
    pub use_candidate: bool,
}

/// Write a request. Returns its length, `None` when `out` is too small or the ufrags too long.
pub fn write_request(out: &mut [u8], request: &Request<'_>) -> Option<usize> {
    let username_len = request.to_ufrag.len() + 1 + request.from_ufrag.len();
    if username_len > MAX_USERNAME {
        return None;
    }
    let mut writer = Writer::new(out, BINDING_REQUEST, &request.transaction)?;
    let username = writer.attribute(USERNAME, username_len)?;
    let (to, rest) = username.split_at_mut_checked(request.to_ufrag.len())?;
    let (colon, from) = rest.split_first_mut()?;
    to.copy_from_slice(request.to_ufrag.as_bytes());
    *colon = b':';
    from.copy_from_slice(request.from_ufrag.as_bytes());
    writer.put(PRIORITY, &request.priority.to_be_bytes())?;
    match request.role {
        IceRole::Controlling(tie_breaker) => writer.put(ICE_CONTROLLING, &tie_breaker.to_be_bytes())?,
        IceRole::Controlled(tie_breaker) => writer.put(ICE_CONTROLLED, &tie_breaker.to_be_bytes())?,
    }
    if request.use_candidate {
        writer.put(USE_CANDIDATE, &[])?;
    }
    writer.finish(request.pwd)
}

/// Write a success response to a request that came from `mapped`. Returns its length, `None` when `out` is too small.
pub fn write_success(out: &mut [u8], transaction: &TransactionId, mapped: SocketAddr, pwd: &[u8]) -> Option<usize> {
    let mut writer = Writer::new(out, BINDING_SUCCESS, transaction)?;
    writer.xor_address(mapped, transaction)?;
    writer.finish(pwd)
}

/// Write an error response; `unknown` is listed by 420 only. Returns its length, `None` when `out` is too small.
pub fn write_error(
    out: &mut [u8],
    transaction: &TransactionId,
    code: ErrorCode,
    unknown: &[u16],
    pwd: &[u8],
) -> Option<usize> {
    let mut writer = Writer::new(out, BINDING_ERROR, transaction)?;
    match code {
        ErrorCode::UnknownAttribute => {
            writer.put(ERROR_CODE, b"\0\0\x04\x14Unknown Attribute")?;
            let unknown = unknown.get(..unknown.len().min(MAX_UNKNOWN))?;
            let list = writer.attribute(UNKNOWN_ATTRIBUTES, unknown.len() * 2)?;
            for (slot, kind) in list.chunks_exact_mut(2).zip(unknown) {
                slot.copy_from_slice(&kind.to_be_bytes());
            }
        }
        ErrorCode::RoleConflict => writer.put(ERROR_CODE, b"\0\0\x04\x57Role Conflict")?,
    }
    writer.finish(pwd)
}

/// Appends attributes behind a header.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut [u8], kind: u16, transaction: &TransactionId) -> Option<Self> {
        let header = out.get_mut(..HEADER)?;
        let (fixed, id) = header.split_at_mut_checked(8)?;
        fixed.copy_from_slice(&((u64::from(kind) << 48) | u64::from(COOKIE)).to_be_bytes());
        id.copy_from_slice(transaction);
        Some(Self { out, len: HEADER })
    }

    /// Room for a value of `len` bytes, padded with zeros (RFC 8489 §14). The length field of the message follows.
    fn attribute(&mut self, kind: u16, len: usize) -> Option<&mut [u8]> {
        let padded = len.next_multiple_of(4);
        let total = self.len + 4 + padded;
        if total > MAX_MESSAGE {
            return None;
        }
        let (message, _) = self.out.split_at_mut_checked(total)?;
        message
            .get_mut(2..4)?
            .copy_from_slice(&((total - HEADER) as u16).to_be_bytes());
        let (header, value) = message.get_mut(self.len..)?.split_at_mut_checked(4)?;
        header.copy_from_slice(&((u32::from(kind) << 16) | len as u32).to_be_bytes());
        value.fill(0);
        self.len = total;
        value.get_mut(..len)
    }

    fn put(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        self.attribute(kind, value.len())?.copy_from_slice(value);
        Some(())
    }

    fn xor_address(&mut self, address: SocketAddr, transaction: &TransactionId) -> Option<()> {
        let port = (address.port() ^ (COOKIE >> 16) as u16).to_be_bytes();
        // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d; they know themselves by the short form.
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let ip = (ip.to_bits() ^ COOKIE).to_be_bytes();
                let value = self.attribute(XOR_MAPPED_ADDRESS, 8)?;
                value.get_mut(..4)?.copy_from_slice(&[0, 1, port[0], port[1]]);
                value.get_mut(4..)?.copy_from_slice(&ip);
            }
            IpAddr::V6(ip) => {
                let ip = (ip.to_bits() ^ xor_pad(transaction)).to_be_bytes();
                let value = self.attribute(XOR_MAPPED_ADDRESS, 20)?;
                value.get_mut(..4)?.copy_from_slice(&[0, 2, port[0], port[1]]);
                value.get_mut(4..)?.copy_from_slice(&ip);
            }
        }
        Some(())
    }

    /// Append MESSAGE-INTEGRITY and FINGERPRINT. Each covers a header whose length already includes it (RFC 8489 §14.5, §14.7).
    fn finish(mut self, pwd: &[u8]) -> Option<usize> {
        let tag = integrity(self.out.get(..self.len)?, pwd)?;
        self.put(MESSAGE_INTEGRITY, tag.as_ref())?;
        self.finish_without_integrity()
    }

    fn finish_without_integrity(mut self) -> Option<usize> {
        let covered = self.len;
        self.attribute(FINGERPRINT, 4)?;
        let value = fingerprint(self.out.get(..covered)?);
        self.out
            .get_mut(covered + 4..self.len)?
            .copy_from_slice(&value.to_be_bytes());
        Some(self.len)
    }
}

/// HMAC-SHA1 over `covered`, whose header length is taken as if MESSAGE-INTEGRITY were the last attribute (RFC 8489 §14.5).
fn integrity(covered: &[u8], pwd: &[u8]) -> Option<hmac::Tag> {
    let length = (covered.len() + 4 + INTEGRITY_LEN).checked_sub(HEADER)?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, pwd);
    let mut context = hmac::Context::with_key(&key);
    context.update(covered.get(..2)?);
    context.update(&(length as u16).to_be_bytes());
    context.update(covered.get(4..)?);
    Some(context.sign())
}

/// RFC 8489 §14.7. `covered` ends where the attribute begins; its header already counts the attribute.
fn fingerprint(covered: &[u8]) -> u32 {
    crc32(covered) ^ FINGERPRINT_XOR
}

/// ISO 3309, reflected polynomial 0xEDB88320.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xEDB8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        // A byte is always inside a table of 256.
        CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

fn xor_pad(transaction: &TransactionId) -> u128 {
    transaction
        .iter()
        .fold(u128::from(COOKIE), |pad, byte| (pad << 8) | u128::from(*byte))
}

fn read_xor_address(value: &[u8], transaction: &TransactionId) -> Option<SocketAddr> {
    let port = u16_at(value, 2)? ^ (COOKIE >> 16) as u16;
    let ip = match (*value.get(1)?, value.len()) {
        (1, 8) => IpAddr::V4(Ipv4Addr::from_bits(u32_at(value, 4)? ^ COOKIE)),
        (2, 20) => {
            let bits = u128::from_be_bytes(value.get(4..20)?.try_into().ok()?);
            IpAddr::V6(Ipv6Addr::from_bits(bits ^ xor_pad(transaction)))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) mod testing {
    //! Requests that a well-behaved peer would not send, for the tests of this folder.
    use super::*;

    /// A request with `extra` attributes in front of MESSAGE-INTEGRITY; `None` for `pwd` leaves MESSAGE-INTEGRITY out.
    pub fn request_with(username: &str, pwd: Option<&[u8]>, extra: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = vec![0; MAX_MESSAGE];
        let mut writer = Writer::new(&mut out, BINDING_REQUEST, &[7; 12]).unwrap();
        writer.put(USERNAME, username.as_bytes()).unwrap();
        writer.put(PRIORITY, &[0x6e, 0, 1, 0xff]).unwrap();
        for (kind, value) in extra {
            writer.put(*kind, value).unwrap();
        }
        let len = match pwd {
            Some(pwd) => writer.finish(pwd),
            None => writer.finish_without_integrity(),
        };
        out.truncate(len.unwrap());
        out
    }

    /// Make FINGERPRINT right again after a change.
    pub fn refinger(message: &mut [u8]) {
        let at = message.len() - 8;
        let value = fingerprint(&message[..at]).to_be_bytes();
        message[at + 4..].copy_from_slice(&value);
    }
}
