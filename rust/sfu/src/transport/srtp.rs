//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714) in place, without allocation per packet.
//!
//! One direction of one transport is one object with one pair of keys; every SSRC of that direction shares them. The keys are expanded
//! once. Failed authentication leaves no trace but a counter: an SSRC gets state with its first authentic packet.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};

use crate::command::SrtpProfile;
use crate::reason::DropReason;

/// Most SSRCs of one direction of one transport.
pub const MAX_SSRCS: usize = 256;
/// More than any profile appends to an RTP packet.
pub const MAX_OVERHEAD: usize = 16;
/// More than any profile appends to an RTCP packet.
pub const MAX_RTCP_OVERHEAD: usize = 20;

const GCM_TAG: usize = 16;
/// RFC 3711 §5.2: the 80 leftmost bits of HMAC-SHA1.
const SHA1_80_TAG: usize = 10;
/// E flag and 31-bit SRTCP index.
const INDEX_LEN: usize = 4;
const ENCRYPTED: u32 = 1 << 31;
const RTP_HEADER: usize = 12;
/// What stays in clear at the front of RTCP: the first header and the sender's SSRC.
const RTCP_HEADER: usize = 8;
const MAX_INDEX: u64 = (1 << 48) - 1;

impl SrtpProfile {
    /// Master (and session) key, bytes.
    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Master (and session) salt, bytes.
    pub fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// Bytes that sealing adds to an RTP packet.
    pub fn overhead(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => SHA1_80_TAG,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => GCM_TAG,
        }
    }

    /// Bytes that sealing adds to an RTCP packet.
    pub fn rtcp_overhead(self) -> usize {
        self.overhead() + INDEX_LEN
    }
}

/// Master key and salt of one direction. Bytes that the profile does not use are zero.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyingHalf {
    key: [u8; 32],
    salt: [u8; 14],
}

impl KeyingHalf {
    /// `None` when the lengths are not those of the profile.
    pub fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Option<Self> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return None;
        }
        let mut half = Self {
            key: [0; 32],
            salt: [0; 14],
        };
        half.key.get_mut(..key.len())?.copy_from_slice(key);
        half.salt.get_mut(..salt.len())?.copy_from_slice(salt);
        Some(half)
    }
}

impl std::fmt::Debug for KeyingHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyingHalf(…)")
    }
}

/// What comes from the peer.
pub struct SrtpIn {
    rtp: SessionKey,
    rtcp: SessionKey,
    rtp_sources: Sources,
    rtcp_sources: Sources,
}

/// What goes to the peer.
pub struct SrtpOut {
    profile: SrtpProfile,
    rtp: SessionKey,
    rtcp: SessionKey,
    /// The index of the next SRTCP packet. One for all SSRCs: each sees an increasing index, and none is used twice.
    rtcp_index: u32,
}

impl std::fmt::Debug for SrtpIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpIn")
            .field("ssrcs", &self.ssrcs())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SrtpOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpOut")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl SrtpIn {
    /// `master` must be of `profile`.
    pub fn new(profile: SrtpProfile, master: &KeyingHalf) -> Self {
        Self {
            rtp: SessionKey::derive(profile, master, Use::Rtp),
            rtcp: SessionKey::derive(profile, master, Use::Rtcp),
            rtp_sources: Sources::default(),
            rtcp_sources: Sources::default(),
        }
    }

    /// Authenticate and decrypt an SRTP packet whose header (with CSRCs and extension) is `header_len` long. Returns the length of the
    /// RTP packet, which is the front of `packet`. After an error the payload may be garbage.
    pub fn open_rtp(&mut self, packet: &mut [u8], header_len: usize) -> Result<usize, DropReason> {
        if header_len < RTP_HEADER {
            return Err(DropReason::RtpMalformed);
        }
        let seq = u16_at(packet, 2).ok_or(DropReason::RtpMalformed)?;
        let ssrc = u32_at(packet, 8).ok_or(DropReason::RtpMalformed)?;
        let place = self.rtp_sources.find(ssrc)?;
        let index = match self.rtp_sources.get(place) {
            Some(window) => window.guess(seq)?,
            None => u64::from(seq),
        };
        self.rtp_sources.admit(place, index)?;
        let len = self
            .rtp
            .open_rtp(packet, header_len, ssrc, index)
            .ok_or(DropReason::RtpMalformed)??;
        self.rtp_sources.accept(place, ssrc, index);
        Ok(len)
    }

    /// Authenticate and decrypt an SRTCP packet, also an unencrypted one (RFC 3711 §3.4: E flag 0). Returns the length of the compound
    /// packet, which is the front of `packet`. After an error its bytes may be garbage.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let word = self.rtcp.index_word(packet).ok_or(DropReason::RtcpMalformed)?;
        let ssrc = u32_at(packet, 4).ok_or(DropReason::RtcpMalformed)?;
        let place = self.rtcp_sources.find(ssrc)?;
        let index = u64::from(word & !ENCRYPTED);
        self.rtcp_sources.admit(place, index)?;
        let len = self
            .rtcp
            .open_rtcp(packet, ssrc, word)
            .ok_or(DropReason::RtcpMalformed)??;
        self.rtcp_sources.accept(place, ssrc, index);
        Ok(len)
    }

    /// SSRCs that have sent authentic RTP.
    pub fn ssrcs(&self) -> usize {
        self.rtp_sources.entries.len()
    }
}

impl SrtpOut {
    /// `master` must be of `profile`.
    pub fn new(profile: SrtpProfile, master: &KeyingHalf) -> Self {
        Self {
            profile,
            rtp: SessionKey::derive(profile, master, Use::Rtp),
            rtcp: SessionKey::derive(profile, master, Use::Rtcp),
            rtcp_index: 0,
        }
    }

    /// Encrypt and authenticate the RTP packet of `len` bytes at the front of `buf`, whose header is `header_len` long. Returns the new
    /// length.
    ///
    /// `index` is the rollover counter ‖ sequence number, 48 bits; the caller never uses one twice for an SSRC, with retransmissions of
    /// the same bytes as the only exception. `None`: no room for [`SrtpOut::overhead`], a header that does not fit, or an index that is
    /// not the header's.
    pub fn seal_rtp(&mut self, buf: &mut [u8], header_len: usize, len: usize, index: u64) -> Option<usize> {
        if header_len < RTP_HEADER || index > MAX_INDEX || u16_at(buf, 2)? != index as u16 {
            return None;
        }
        let ssrc = u32_at(buf, 8)?;
        self.rtp.seal_rtp(buf, header_len, len, ssrc, index)
    }

    /// Encrypt and authenticate the compound RTCP packet of `len` bytes at the front of `buf`. Returns the new length; `None` when there
    /// is no room for [`SrtpOut::rtcp_overhead`] or after 2^31 packets, when the key is used up.
    pub fn seal_rtcp(&mut self, buf: &mut [u8], len: usize) -> Option<usize> {
        let index = self.rtcp_index;
        if index & ENCRYPTED != 0 {
            return None;
        }
        let ssrc = u32_at(buf, 4)?;
        let sealed = self.rtcp.seal_rtcp(buf, len, ssrc, index)?;
        self.rtcp_index += 1;
        Some(sealed)
    }

    /// Bytes that sealing adds to an RTP packet.
    pub fn overhead(&self) -> usize {
        self.profile.overhead()
    }

    /// Bytes that sealing adds to an RTCP packet.
    pub fn rtcp_overhead(&self) -> usize {
        self.profile.rtcp_overhead()
    }
}

#[derive(Clone, Copy)]
enum Use {
    Rtp,
    Rtcp,
}

impl Use {
    /// Labels of encryption key, authentication key and salt (RFC 3711 §4.3.1, §4.3.2).
    fn labels(self) -> (u8, u8, u8) {
        match self {
            Self::Rtp => (0, 1, 2),
            Self::Rtcp => (3, 4, 5),
        }
    }
}

/// One expanded session key: `Gcm` for RFC 7714, `Cm` for RFC 3711.
enum SessionKey {
    Gcm {
        key: LessSafeKey,
        /// As the number that nonces are made from.
        salt: u128,
    },
    Cm {
        key: EncryptingKey,
        /// Shifted left by 16 bits, as RFC 3711 §4.1.1 uses it.
        salt: u128,
        auth: hmac::Key,
    },
}

/// A key made here has the length of its algorithm: by profile, not by input.
const LENGTH_BY_PROFILE: &str = "key length follows from the profile";

impl SessionKey {
    fn derive(profile: SrtpProfile, master: &KeyingHalf, of: Use) -> Self {
        let (key_label, auth_label, salt_label) = of.labels();
        let mut key = [0; 32];
        let key = key.split_at_mut(profile.key_len()).0;
        let mut salt = [0; 14];
        let salt = salt.split_at_mut(profile.salt_len()).0;
        let mut auth = [0; 20];
        derive(profile, master, key_label, key);
        derive(profile, master, salt_label, salt);
        derive(profile, master, auth_label, &mut auth);
        Self::from_session(profile, key, salt, &auth)
    }

    fn from_session(profile: SrtpProfile, key: &[u8], salt: &[u8], auth: &[u8]) -> Self {
        let salt = salt
            .iter()
            .fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
        let gcm = |algorithm| Self::Gcm {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).expect(LENGTH_BY_PROFILE)),
            salt,
        };
        match profile {
            SrtpProfile::AeadAes128Gcm => gcm(&aead::AES_128_GCM),
            SrtpProfile::AeadAes256Gcm => gcm(&aead::AES_256_GCM),
            SrtpProfile::Aes128CmSha1_80 => Self::Cm {
                key: counter_mode(&cipher::AES_128, key),
                salt: salt << 16,
                auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth),
            },
        }
    }

    fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<Result<usize, DropReason>> {
        match self {
            Self::Gcm { key, salt } => {
                let len = packet.len().checked_sub(GCM_TAG).filter(|len| *len >= header_len)?;
                let (body, tag) = packet.split_at_mut_checked(len)?;
                let (header, payload) = body.split_at_mut_checked(header_len)?;
                let opened =
                    key.open_in_place_separate_tag(rtp_nonce(*salt, ssrc, index), Aad::from(&*header), tag, payload);
                Some(opened.map(|_| len).map_err(|_| DropReason::SrtpAuth))
            }
            Self::Cm { key, salt, auth } => {
                let len = packet.len().checked_sub(SHA1_80_TAG).filter(|len| *len >= header_len)?;
                let (body, tag) = packet.split_at_mut_checked(len)?;
                if !is_tag(auth, body, &roc(index), tag) {
                    return Some(Err(DropReason::SrtpAuth));
                }
                let payload = body.get_mut(header_len..)?;
                Some(
                    keystream(key, *salt, ssrc, index, payload)
                        .map(|()| len)
                        .ok_or(DropReason::SrtpAuth),
                )
            }
        }
    }

    fn seal_rtp(&self, buf: &mut [u8], header_len: usize, len: usize, ssrc: u32, index: u64) -> Option<usize> {
        let (body, rest) = buf.split_at_mut_checked(len)?;
        match self {
            Self::Gcm { key, salt } => {
                let tag = rest.get_mut(..GCM_TAG)?;
                let (header, payload) = body.split_at_mut_checked(header_len)?;
                key.seal_in_place_scatter(rtp_nonce(*salt, ssrc, index), Aad::from(&*header), payload, &[], tag)
                    .ok()?;
                Some(len + GCM_TAG)
            }
            Self::Cm { key, salt, auth } => {
                let tag = rest.get_mut(..SHA1_80_TAG)?;
                keystream(key, *salt, ssrc, index, body.get_mut(header_len..)?)?;
                tag.copy_from_slice(tag_of(auth, body, &roc(index)).as_ref().get(..SHA1_80_TAG)?);
                Some(len + SHA1_80_TAG)
            }
        }
    }

    /// E flag and index of an SRTCP packet that is long enough to have a header in front of them.
    fn index_word(&self, packet: &[u8]) -> Option<u32> {
        let behind = match self {
            Self::Gcm { .. } => {
                // RFC 7714 §9: header, ciphertext, tag, index.
                packet.len().checked_sub(RTCP_HEADER + GCM_TAG + INDEX_LEN)?;
                INDEX_LEN
            }
            Self::Cm { .. } => {
                // RFC 3711 §3.4: header, ciphertext, index, tag.
                packet.len().checked_sub(RTCP_HEADER + INDEX_LEN + SHA1_80_TAG)?;
                INDEX_LEN + SHA1_80_TAG
            }
        };
        u32_at(packet, packet.len() - behind)
    }

    fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, word: u32) -> Option<Result<usize, DropReason>> {
        let encrypted = word & ENCRYPTED != 0;
        let index = word & !ENCRYPTED;
        match self {
            Self::Gcm { key, salt } => {
                let len = packet.len().checked_sub(GCM_TAG + INDEX_LEN)?;
                let (body, rest) = packet.split_at_mut_checked(len)?;
                let (tag, _) = rest.split_at_mut_checked(GCM_TAG)?;
                let nonce = rtcp_nonce(*salt, ssrc, index);
                let opened = if encrypted {
                    let (header, payload) = body.split_at_mut_checked(RTCP_HEADER)?;
                    let aad = rtcp_aad(header, word)?;
                    key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, payload)
                        .map(|_| ())
                } else {
                    let (aad, aad_len) = rtcp_clear_aad(body, word)?;
                    key.open_in_place_separate_tag(nonce, Aad::from(aad.get(..aad_len)?), tag, &mut [])
                        .map(|_| ())
                };
                Some(opened.map(|()| len).map_err(|_| DropReason::SrtpAuth))
            }
            Self::Cm { key, salt, auth } => {
                let covered = packet.len().checked_sub(SHA1_80_TAG)?;
                let len = covered.checked_sub(INDEX_LEN)?;
                let (body, tag) = packet.split_at_mut_checked(covered)?;
                if !is_tag(auth, body, &[], tag) {
                    return Some(Err(DropReason::SrtpAuth));
                }
                if encrypted {
                    let payload = body.get_mut(RTCP_HEADER..len)?;
                    keystream(key, *salt, ssrc, index.into(), payload)?;
                }
                Some(Ok(len))
            }
        }
    }

    fn seal_rtcp(&self, buf: &mut [u8], len: usize, ssrc: u32, index: u32) -> Option<usize> {
        let word = index | ENCRYPTED;
        let (body, rest) = buf.split_at_mut_checked(len)?;
        let (header, payload) = body.split_at_mut_checked(RTCP_HEADER)?;
        match self {
            Self::Gcm { key, salt } => {
                let (tag, rest) = rest.split_at_mut_checked(GCM_TAG)?;
                let end = rest.get_mut(..INDEX_LEN)?;
                let aad = rtcp_aad(header, word)?;
                key.seal_in_place_scatter(rtcp_nonce(*salt, ssrc, index), Aad::from(aad), payload, &[], tag)
                    .ok()?;
                end.copy_from_slice(&word.to_be_bytes());
                Some(len + GCM_TAG + INDEX_LEN)
            }
            Self::Cm { key, salt, auth } => {
                let (end, rest) = rest.split_at_mut_checked(INDEX_LEN)?;
                let tag = rest.get_mut(..SHA1_80_TAG)?;
                keystream(key, *salt, ssrc, index.into(), payload)?;
                end.copy_from_slice(&word.to_be_bytes());
                let full = tag_of(auth, body, end);
                tag.copy_from_slice(full.as_ref().get(..SHA1_80_TAG)?);
                Some(len + INDEX_LEN + SHA1_80_TAG)
            }
        }
    }
}

/// RFC 7714 §8.1: 00 00 ‖ SSRC ‖ ROC ‖ SEQ, xor the salt.
fn rtp_nonce(salt: u128, ssrc: u32, index: u64) -> Nonce {
    nonce(salt ^ (u128::from(ssrc) << 48) ^ u128::from(index))
}

/// RFC 7714 §9.1: 00 00 ‖ SSRC ‖ 00 00 ‖ index, xor the salt.
fn rtcp_nonce(salt: u128, ssrc: u32, index: u32) -> Nonce {
    nonce(salt ^ (u128::from(ssrc) << 48) ^ u128::from(index))
}

fn nonce(value: u128) -> Nonce {
    let [_, _, _, _, nonce @ ..] = value.to_be_bytes();
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 §9.2: the clear header and the index word.
fn rtcp_aad(header: &[u8], word: u32) -> Option<[u8; RTCP_HEADER + INDEX_LEN]> {
    let mut aad = [0; RTCP_HEADER + INDEX_LEN];
    let (front, end) = aad.split_at_mut(RTCP_HEADER);
    front.copy_from_slice(header.get(..RTCP_HEADER)?);
    end.copy_from_slice(&word.to_be_bytes());
    Some(aad)
}

/// RFC 7714 §9.3: the whole packet and the index word. The tag stands between the two, so they are brought together here; such packets
/// are rare, and none longer than a datagram of this kind gets (1 500 bytes) is taken.
fn rtcp_clear_aad(body: &[u8], word: u32) -> Option<([u8; 1504], usize)> {
    let mut aad = [0; 1504];
    aad.get_mut(..body.len())?.copy_from_slice(body);
    aad.get_mut(body.len()..body.len() + INDEX_LEN)?
        .copy_from_slice(&word.to_be_bytes());
    Some((aad, body.len() + INDEX_LEN))
}

/// RFC 3711 §4.1.1: IV = salt·2^16 xor SSRC·2^64 xor index·2^16.
fn keystream(key: &EncryptingKey, salt: u128, ssrc: u32, index: u64, bytes: &mut [u8]) -> Option<()> {
    let iv = salt ^ (u128::from(ssrc) << 64) ^ (u128::from(index) << 16);
    counter(key, iv, bytes)
}

fn counter(key: &EncryptingKey, iv: u128, bytes: &mut [u8]) -> Option<()> {
    let context = EncryptionContext::Iv128(FixedLength::from(iv.to_be_bytes()));
    key.less_safe_encrypt(bytes, context).ok().map(|_| ())
}

fn counter_mode(algorithm: &'static cipher::Algorithm, key: &[u8]) -> EncryptingKey {
    UnboundCipherKey::new(algorithm, key)
        .and_then(EncryptingKey::ctr)
        .expect(LENGTH_BY_PROFILE)
}

/// RFC 3711 §4.2: the rollover counter is covered by the tag, but not sent.
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn tag_of(auth: &hmac::Key, body: &[u8], end: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(auth);
    context.update(body);
    context.update(end);
    context.sign()
}

fn is_tag(auth: &hmac::Key, body: &[u8], end: &[u8], tag: &[u8]) -> bool {
    tag_of(auth, body, end)
        .as_ref()
        .get(..SHA1_80_TAG)
        .is_some_and(|expected| constant_time::verify_slices_are_equal(expected, tag).is_ok())
}

/// RFC 3711 §4.3 with a key derivation rate of 0; AES-256 by RFC 6188. A salt of 96 bits is taken as one of 112 bits whose last two
/// bytes are zero (RFC 7714 §11).
fn derive(profile: SrtpProfile, master: &KeyingHalf, label: u8, out: &mut [u8]) {
    let algorithm = match profile {
        SrtpProfile::Aes128CmSha1_80 | SrtpProfile::AeadAes128Gcm => &cipher::AES_128,
        SrtpProfile::AeadAes256Gcm => &cipher::AES_256,
    };
    let key = counter_mode(algorithm, master.key.split_at(profile.key_len()).0);
    let salt = master
        .salt
        .iter()
        .fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    out.fill(0);
    // The label stands in front of a 48-bit index that is always zero.
    counter(&key, (salt ^ (u128::from(label) << 48)) << 16, out).expect("counter mode takes any length");
}

/// Replay protection per SSRC, ordered by SSRC.
#[derive(Default)]
struct Sources {
    entries: Vec<(u32, Window)>,
}

/// Where an SSRC is, or where it would be.
#[derive(Clone, Copy)]
enum Place {
    Known(usize),
    New(usize),
}

impl Sources {
    /// A new SSRC in a full table is refused before it costs a decryption.
    fn find(&self, ssrc: u32) -> Result<Place, DropReason> {
        match self.entries.binary_search_by_key(&ssrc, |(known, _)| *known) {
            Ok(at) => Ok(Place::Known(at)),
            Err(_) if self.entries.len() >= MAX_SSRCS => Err(DropReason::TooManySsrcs),
            Err(at) => Ok(Place::New(at)),
        }
    }

    fn get(&self, place: Place) -> Option<&Window> {
        match place {
            Place::Known(at) => self.entries.get(at).map(|(_, window)| window),
            Place::New(_) => None,
        }
    }

    /// Neither seen nor too old to know.
    fn admit(&self, place: Place, index: u64) -> Result<(), DropReason> {
        match self.get(place) {
            Some(window) if !window.is_fresh(index) => Err(DropReason::SrtpReplay),
            Some(_) | None => Ok(()),
        }
    }

    /// The packet was authentic.
    fn accept(&mut self, place: Place, ssrc: u32, index: u64) {
        match place {
            Place::Known(at) => {
                if let Some((_, window)) = self.entries.get_mut(at) {
                    window.accept(index);
                }
            }
            Place::New(at) => self.entries.insert(
                at,
                (
                    ssrc,
                    Window {
                        highest: index,
                        seen: 1,
                    },
                ),
            ),
        }
    }
}

/// The 128 indices up to the highest one (RFC 3711 §3.3.2).
struct Window {
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u128,
}

impl Window {
    /// RFC 3711 §3.3.1: the index nearest to the highest one that has this sequence number. There is none below zero, so at the start a
    /// large sequence number is what it says.
    fn guess(&self, seq: u16) -> Result<u64, DropReason> {
        let ahead = i64::from(seq.wrapping_sub(self.highest as u16) as i16);
        let guess = self.highest.checked_add_signed(ahead).unwrap_or_else(|| u64::from(seq));
        if guess > MAX_INDEX {
            // The key is used up (RFC 3711 §3.3.1).
            return Err(DropReason::SrtpReplay);
        }
        Ok(guess)
    }

    fn is_fresh(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < 128 && self.seen >> behind & 1 == 0,
        }
    }

    fn accept(&mut self, index: u64) {
        match self.highest.checked_sub(index) {
            None => {
                let shift = u32::try_from(index - self.highest).unwrap_or(u32::MAX);
                self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
                self.highest = index;
            }
            Some(behind) => {
                let bit = u32::try_from(behind).ok().and_then(|behind| 1_u128.checked_shl(behind));
                self.seen |= bit.unwrap_or(0);
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
#[path = "srtp_tests.rs"]
mod tests;
