//! Sender and receiver reports, BYE (RFC 3550 §6.4, §6.6).

use crate::ids::Ssrc;
use crate::rtp::bytes::{Put, be24, be32, be64, byte};

/// Bytes of a report block.
const BLOCK: usize = 24;

/// What a receiver says of one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportBlock {
    /// The source that is reported on.
    pub ssrc: Ssrc,
    /// Share lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, 24 bits signed: duplicates count against losses.
    pub cumulative_lost: i32,
    /// Highest sequence number, extended to 32 bits.
    pub highest_seq: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 = none yet.
    pub last_sr: u32,
    /// Time since then, in 1/65 536 s.
    pub delay_since_sr: u32,
}

impl ReportBlock {
    fn parse(block: &[u8]) -> Option<Self> {
        // The 24 bits are moved up to take the sign along, and back down.
        let lost = (be24(block, 5)? << 8) as i32 >> 8;
        Some(Self {
            ssrc: Ssrc(be32(block, 0)?),
            fraction_lost: byte(block, 4)?,
            cumulative_lost: lost,
            highest_seq: be32(block, 8)?,
            jitter: be32(block, 12)?,
            last_sr: be32(block, 16)?,
            delay_since_sr: be32(block, 20)?,
        })
    }

    pub(super) fn write(&self, put: &mut Put<'_>) -> Option<()> {
        put.put32(self.ssrc.0)?;
        put.put8(self.fraction_lost)?;
        put.put24(self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32)?;
        put.put32(self.highest_seq)?;
        put.put32(self.jitter)?;
        put.put32(self.last_sr)?;
        put.put32(self.delay_since_sr)
    }
}

fn blocks(count: u8, at: usize, body: &[u8]) -> Option<&[u8]> {
    body.get(at..at + BLOCK * usize::from(count))
}

fn reports(blocks: &[u8]) -> impl Iterator<Item = ReportBlock> {
    blocks.chunks_exact(BLOCK).filter_map(ReportBlock::parse)
}

/// RFC 3550 §6.4.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    /// NTP time in 32.32 fixed point of the instant that `rtp` names.
    pub ntp: u64,
    /// RTP timestamp of that instant.
    pub rtp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
    blocks: &'a [u8],
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self {
            ssrc: Ssrc(be32(body, 0)?),
            ntp: be64(body, 4)?,
            rtp: be32(body, 12)?,
            packets: be32(body, 16)?,
            octets: be32(body, 20)?,
            blocks: blocks(count, 24, body)?,
        })
    }

    /// What the sender says of sources that it receives, at most 31.
    pub fn reports(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        reports(self.blocks)
    }
}

/// RFC 3550 §6.4.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    blocks: &'a [u8],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self {
            ssrc: Ssrc(be32(body, 0)?),
            blocks: blocks(count, 4, body)?,
        })
    }

    /// One block per source, at most 31.
    pub fn reports(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        reports(self.blocks)
    }
}

/// RFC 3550 §6.6. The reason is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bye<'a> {
    ssrcs: &'a [u8],
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self {
            ssrcs: body.get(..4 * usize::from(count))?,
        })
    }

    /// The sources that end, at most 31.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        ssrcs(self.ssrcs)
    }
}

/// Four bytes each.
pub(super) fn ssrcs(bytes: &[u8]) -> impl Iterator<Item = Ssrc> {
    bytes.chunks_exact(4).filter_map(|ssrc| be32(ssrc, 0)).map(Ssrc)
}
