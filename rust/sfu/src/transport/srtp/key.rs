//! Session keys: how they come from master keys, and what is done to one packet with them. No state from packet to packet.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};

use super::{ENCRYPTED, GCM_TAG, INDEX_LEN, KeyingHalf, RTCP_HEADER, SHA1_80_TAG, u32_at};
use crate::command::SrtpProfile;
use crate::reason::DropReason;

#[derive(Clone, Copy)]
pub(super) enum Use {
    Rtp,
    Rtcp,
}

impl Use {
    /// Labels of encryption key, authentication key and salt (RFC 3711 §4.3.1, §4.3.2).
    pub(super) fn labels(self) -> (u8, u8, u8) {
        match self {
            Self::Rtp => (0, 1, 2),
            Self::Rtcp => (3, 4, 5),
        }
    }
}

/// One expanded session key: `Gcm` for RFC 7714, `Cm` for RFC 3711.
pub(super) enum SessionKey {
    Gcm {
        key: LessSafeKey,
        /// As the number that nonces are made from.
        salt: u128,
    },
    Cm {
        key: Box<EncryptingKey>,
        /// Shifted left by 16 bits, as RFC 3711 §4.1.1 uses it.
        salt: u128,
        auth: Box<hmac::Key>,
    },
}

/// A key made here has the length of its algorithm: by profile, not by input.
pub(super) const LENGTH_BY_PROFILE: &str = "key length follows from the profile";

impl SessionKey {
    pub(super) fn derive(profile: SrtpProfile, master: &KeyingHalf, of: Use) -> Self {
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

    pub(super) fn from_session(profile: SrtpProfile, key: &[u8], salt: &[u8], auth: &[u8]) -> Self {
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
                key: Box::new(counter_mode(&cipher::AES_128, key)),
                salt: salt << 16,
                auth: Box::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth)),
            },
        }
    }

    pub(super) fn open_rtp(
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

    pub(super) fn seal_rtp(
        &self,
        buf: &mut [u8],
        header_len: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
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
    pub(super) fn index_word(&self, packet: &[u8]) -> Option<u32> {
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

    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, word: u32) -> Option<Result<usize, DropReason>> {
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

    pub(super) fn seal_rtcp(&self, buf: &mut [u8], len: usize, ssrc: u32, index: u32) -> Option<usize> {
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
pub(super) fn rtp_nonce(salt: u128, ssrc: u32, index: u64) -> Nonce {
    nonce(salt ^ (u128::from(ssrc) << 48) ^ u128::from(index))
}

/// RFC 7714 §9.1: 00 00 ‖ SSRC ‖ 00 00 ‖ index, xor the salt.
pub(super) fn rtcp_nonce(salt: u128, ssrc: u32, index: u32) -> Nonce {
    nonce(salt ^ (u128::from(ssrc) << 48) ^ u128::from(index))
}

pub(super) fn nonce(value: u128) -> Nonce {
    let [_, _, _, _, nonce @ ..] = value.to_be_bytes();
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 §9.2: the clear header and the index word.
pub(super) fn rtcp_aad(header: &[u8], word: u32) -> Option<[u8; RTCP_HEADER + INDEX_LEN]> {
    let mut aad = [0; RTCP_HEADER + INDEX_LEN];
    let (front, end) = aad.split_at_mut(RTCP_HEADER);
    front.copy_from_slice(header.get(..RTCP_HEADER)?);
    end.copy_from_slice(&word.to_be_bytes());
    Some(aad)
}

/// RFC 7714 §9.3: the whole packet and the index word. The tag stands between the two, so they are brought together here; such packets
/// are rare, and none longer than a datagram of this kind gets (1 500 bytes) is taken.
pub(super) fn rtcp_clear_aad(body: &[u8], word: u32) -> Option<([u8; 1504], usize)> {
    let mut aad = [0; 1504];
    aad.get_mut(..body.len())?.copy_from_slice(body);
    aad.get_mut(body.len()..body.len() + INDEX_LEN)?
        .copy_from_slice(&word.to_be_bytes());
    Some((aad, body.len() + INDEX_LEN))
}

/// RFC 3711 §4.1.1: IV = salt·2^16 xor SSRC·2^64 xor index·2^16.
pub(super) fn keystream(key: &EncryptingKey, salt: u128, ssrc: u32, index: u64, bytes: &mut [u8]) -> Option<()> {
    let iv = salt ^ (u128::from(ssrc) << 64) ^ (u128::from(index) << 16);
    counter(key, iv, bytes)
}

pub(super) fn counter(key: &EncryptingKey, iv: u128, bytes: &mut [u8]) -> Option<()> {
    let context = EncryptionContext::Iv128(FixedLength::from(iv.to_be_bytes()));
    key.less_safe_encrypt(bytes, context).ok().map(|_| ())
}

pub(super) fn counter_mode(algorithm: &'static cipher::Algorithm, key: &[u8]) -> EncryptingKey {
    UnboundCipherKey::new(algorithm, key)
        .and_then(EncryptingKey::ctr)
        .expect(LENGTH_BY_PROFILE)
}

/// RFC 3711 §4.2: the rollover counter is covered by the tag, but not sent.
pub(super) fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

pub(super) fn tag_of(auth: &hmac::Key, body: &[u8], end: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(auth);
    context.update(body);
    context.update(end);
    context.sign()
}

pub(super) fn is_tag(auth: &hmac::Key, body: &[u8], end: &[u8], tag: &[u8]) -> bool {
    tag_of(auth, body, end)
        .as_ref()
        .get(..SHA1_80_TAG)
        .is_some_and(|expected| constant_time::verify_slices_are_equal(expected, tag).is_ok())
}

/// RFC 3711 §4.3 with a key derivation rate of 0; AES-256 by RFC 6188. A salt of 96 bits is taken as one of 112 bits whose last two
/// bytes are zero (RFC 7714 §11).
pub(super) fn derive(profile: SrtpProfile, master: &KeyingHalf, label: u8, out: &mut [u8]) {
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
