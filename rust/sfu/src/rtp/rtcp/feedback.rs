//! Feedback other than transport-wide congestion control: NACK, FIR, REMB.

use super::report::ssrcs;
use crate::ids::Ssrc;
use crate::rtp::bytes::{be16, be24, be32, byte};

/// Most pairs of one NACK that are read: 17 packets each, many times what any history holds.
pub const MAX_NACK_PAIRS: usize = 512;

/// Packets that are missing (RFC 4585 §6.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nack<'a> {
    /// Who misses them.
    pub sender: Ssrc,
    /// Whose packets.
    pub media: Ssrc,
    pairs: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        Some(Self {
            sender: Ssrc(be32(body, 0)?),
            media: Ssrc(be32(body, 4)?),
            pairs: body.get(8..)?,
        })
    }

    /// Sequence numbers in the order of the packet. A peer may name one twice. At most 17 × [`MAX_NACK_PAIRS`].
    pub fn seqs(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.pairs
            .chunks_exact(4)
            .take(MAX_NACK_PAIRS)
            .filter_map(|pair| Some((be16(pair, 0)?, be16(pair, 2)?)))
            .flat_map(|(first, following)| {
                let also = (1..=16).filter(move |bit| following >> (bit - 1) & 1 == 1);
                std::iter::once(first).chain(also.map(move |bit| first.wrapping_add(bit)))
            })
    }
}

/// Sources that shall send a key frame (RFC 5104 §4.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fir<'a> {
    /// Who asks.
    pub sender: Ssrc,
    entries: &'a [u8],
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        Some(Self {
            sender: Ssrc(be32(body, 0)?),
            entries: body.get(8..)?,
        })
    }

    /// The source, and the number of the request: the same number again is a repetition.
    pub fn entries(&self) -> impl Iterator<Item = (Ssrc, u8)> + use<'a> {
        self.entries
            .chunks_exact(8)
            .filter_map(|entry| Some((Ssrc(be32(entry, 0)?), byte(entry, 4)?)))
    }
}

/// Receiver's estimate of what the path carries (draft-alvestrand-rmcat-remb-03 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remb<'a> {
    /// Who estimates.
    pub sender: Ssrc,
    /// Bits per second, as claimed: 0 and [`u64::MAX`] (anything above 64 bits) occur.
    pub bitrate_bps: u64,
    ssrcs: &'a [u8],
}

impl<'a> Remb<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let count = usize::from(byte(body, 12)?);
        let rate = be24(body, 13)?;
        let (exponent, mantissa) = (rate >> 18, u64::from(rate & 0x3_ffff));
        let bitrate_bps = if exponent > mantissa.leading_zeros() {
            if mantissa == 0 { 0 } else { u64::MAX }
        } else {
            mantissa.checked_shl(exponent).unwrap_or_default()
        };
        Some(Self {
            sender: Ssrc(be32(body, 0)?),
            bitrate_bps,
            ssrcs: body.get(16..16 + 4 * count)?,
        })
    }

    /// Sources that share the rate, at most 255.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        ssrcs(self.ssrcs)
    }
}
