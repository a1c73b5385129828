//! The RTP header (RFC 3550 §5.1, §5.3.1).

use std::ops::Range;

use super::bytes::{be16, be32, byte};
use crate::ids::Ssrc;
use crate::reason::DropReason;

/// Bytes of a header without CSRCs and extension.
pub const FIXED_LEN: usize = 12;

/// The header of a packet, parsed. SRTP leaves the header in the clear, so encrypted packets have one as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpHeader {
    /// Marker bit.
    pub marker: bool,
    /// 0–127.
    pub payload_type: u8,
    /// Sequence number as sent.
    pub seq: u16,
    /// Timestamp as sent, in units of the codec's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: Ssrc,
    /// Fixed part, CSRCs and extension together, bytes.
    pub header_len: usize,
    /// The 16 bits that name the form of the extension; 0 when there is none.
    pub extension_profile: u16,
    /// Where the data of the extension starts, behind its own 4-byte header.
    pub extension_at: usize,
    /// Bytes of extension data, a multiple of four.
    pub extension_len: usize,
    /// Padding bit. How much padding, only the decrypted packet tells.
    pub padded: bool,
}

impl RtpHeader {
    /// Reads the header of a plain or encrypted packet. Everything that the header claims lies inside `packet`.
    pub fn parse(packet: &[u8]) -> Result<Self, DropReason> {
        Self::fields(packet).ok_or(DropReason::RtpMalformed)
    }

    fn fields(packet: &[u8]) -> Option<Self> {
        let first = byte(packet, 0)?;
        if first >> 6 != 2 {
            return None;
        }
        let second = byte(packet, 1)?;
        let mut header_len = FIXED_LEN + 4 * usize::from(first & 0x0f);
        let (mut extension_profile, mut extension_at, mut extension_len) = (0, header_len, 0);
        if first & 0x10 != 0 {
            extension_profile = be16(packet, header_len)?;
            extension_len = 4 * usize::from(be16(packet, header_len + 2)?);
            extension_at = header_len + 4;
            header_len = extension_at + extension_len;
        }
        if packet.len() < header_len {
            return None;
        }
        Some(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            seq: be16(packet, 2)?,
            timestamp: be32(packet, 4)?,
            ssrc: Ssrc(be32(packet, 8)?),
            header_len,
            extension_profile,
            extension_at,
            extension_len,
            padded: first & 0x20 != 0,
        })
    }

    /// Where the payload of the decrypted `packet` lies, without padding. Empty for a packet of padding only.
    ///
    /// A padding count of zero, or of more than there is, is [`DropReason::RtpMalformed`].
    pub fn payload(&self, packet: &[u8]) -> Result<Range<usize>, DropReason> {
        let available = packet
            .len()
            .checked_sub(self.header_len)
            .ok_or(DropReason::RtpMalformed)?;
        if !self.padded {
            return Ok(self.header_len..packet.len());
        }
        let padding = packet.last().copied().map_or(0, usize::from);
        if padding == 0 || padding > available {
            return Err(DropReason::RtpMalformed);
        }
        Ok(self.header_len..packet.len() - padding)
    }
}
