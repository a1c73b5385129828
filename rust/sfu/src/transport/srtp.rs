//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714) in place, without allocation per packet.
//!
//! One direction of one transport is one object with one pair of keys; every SSRC of that direction shares them. The keys are expanded
//! once. Failed authentication leaves no trace but a counter: an SSRC gets state with its first authentic packet.

mod key;
mod replay;

use self::key::{SessionKey, Use};
use self::replay::Sources;
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
    /// `index` is the rollover counter ‖ sequence number, 48 bits; the caller never seals two different packets of an SSRC under one. `None`: no room for [`SrtpOut::overhead`], a header that does not fit, or an index that is
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

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
