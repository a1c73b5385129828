//! Writes RTCP packets one after the other into a datagram.

use super::report::ReportBlock;
use super::{
    BYE, FMT_APPLICATION, FMT_FIR, FMT_NACK, FMT_PLI, PAYLOAD_FEEDBACK, RECEIVER_REPORT, SDES, SENDER_REPORT,
    TRANSPORT_FEEDBACK,
};
use crate::ids::Ssrc;
use crate::rtp::bytes::Put;

/// Most blocks of a report, and most sources of a BYE: the count has five bits.
const MAX_COUNT: usize = 31;

/// Appends packets to a buffer. A packet that does not fit is not begun: the method returns `false` or `None`, and [`Self::len`]
/// stays as it was.
#[derive(Debug)]
pub struct RtcpWriter<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> RtcpWriter<'a> {
    /// An empty datagram of at most `out.len()` bytes.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes still free.
    pub fn room(&self) -> usize {
        self.out.len().saturating_sub(self.len)
    }

    /// Header, then whatever `body` writes (a multiple of four bytes), then the length.
    pub(super) fn packet(
        &mut self,
        count: u8,
        packet_type: u8,
        body: impl FnOnce(&mut Put<'_>) -> Option<()>,
    ) -> Option<()> {
        let mut put = Put::new(self.out.get_mut(self.len..)?);
        put.put8(0x80 | count & 0x1f)?;
        put.put8(packet_type)?;
        put.put16(0)?;
        body(&mut put)?;
        let words = u16::try_from(put.len() / 4 - 1).ok()?;
        put.patch16(2, words)?;
        self.len += put.len();
        Some(())
    }

    /// RFC 3550 §6.4.1. `ntp` is 32.32 fixed point; at most 31 blocks.
    pub fn sender_report(
        &mut self,
        ssrc: Ssrc,
        ntp: u64,
        rtp: u32,
        packets: u32,
        octets: u32,
        blocks: &[ReportBlock],
    ) -> bool {
        if blocks.len() > MAX_COUNT {
            return false;
        }
        self.packet(blocks.len() as u8, SENDER_REPORT, |put| {
            put.put32(ssrc.0)?;
            put.put(&ntp.to_be_bytes())?;
            put.put32(rtp)?;
            put.put32(packets)?;
            put.put32(octets)?;
            blocks.iter().try_for_each(|block| block.write(put))
        })
        .is_some()
    }

    /// RFC 3550 §6.4.2. At most 31 blocks.
    pub fn receiver_report(&mut self, ssrc: Ssrc, blocks: &[ReportBlock]) -> bool {
        if blocks.len() > MAX_COUNT {
            return false;
        }
        self.packet(blocks.len() as u8, RECEIVER_REPORT, |put| {
            put.put32(ssrc.0)?;
            blocks.iter().try_for_each(|block| block.write(put))
        })
        .is_some()
    }

    /// One chunk with a CNAME of at most 255 bytes (RFC 3550 §6.5.1).
    pub fn sdes_cname(&mut self, ssrc: Ssrc, cname: &str) -> bool {
        let Ok(len) = u8::try_from(cname.len()) else {
            return false;
        };
        self.packet(1, SDES, |put| {
            put.put32(ssrc.0)?;
            put.put8(1)?;
            put.put8(len)?;
            put.put(cname.as_bytes())?;
            // The list of items ends with at least one zero byte.
            put.put8(0)?;
            put.align()
        })
        .is_some()
    }

    /// RFC 3550 §6.6.
    pub fn bye(&mut self, ssrc: Ssrc) -> bool {
        self.packet(1, BYE, |put| put.put32(ssrc.0)).is_some()
    }

    /// RFC 4585 §6.2.1. `seqs` in sending order (ascending, across the wrap); all of them or nothing. None to ask for is nothing
    /// to write, and `true`.
    pub fn nack(&mut self, sender: Ssrc, media: Ssrc, seqs: &[u16]) -> bool {
        let mut rest = seqs;
        if rest.is_empty() {
            return true;
        }
        self.packet(FMT_NACK, TRANSPORT_FEEDBACK, |put| {
            put.put32(sender.0)?;
            put.put32(media.0)?;
            while let Some((first, mut tail)) = rest.split_first() {
                let mut following = 0u16;
                while let Some((next, after)) = tail.split_first() {
                    match next.wrapping_sub(*first) {
                        0 => {}
                        ahead @ 1..=16 => following |= 1 << (ahead - 1),
                        _ => break,
                    }
                    tail = after;
                }
                put.put16(*first)?;
                put.put16(following)?;
                rest = tail;
            }
            Some(())
        })
        .is_some()
    }

    /// RFC 4585 §6.3.1.
    pub fn pli(&mut self, sender: Ssrc, media: Ssrc) -> bool {
        self.packet(FMT_PLI, PAYLOAD_FEEDBACK, |put| {
            put.put32(sender.0)?;
            put.put32(media.0)
        })
        .is_some()
    }

    /// RFC 5104 §4.3.1: the sources and their request numbers.
    pub fn fir(&mut self, sender: Ssrc, entries: &[(Ssrc, u8)]) -> bool {
        self.packet(FMT_FIR, PAYLOAD_FEEDBACK, |put| {
            put.put32(sender.0)?;
            put.put32(0)?;
            entries.iter().try_for_each(|(ssrc, number)| {
                put.put32(ssrc.0)?;
                put.put32(u32::from(*number) << 24)
            })
        })
        .is_some()
    }

    /// draft-alvestrand-rmcat-remb-03 §2.2. At most 255 sources; the rate is rounded down to 18 significant bits.
    pub fn remb(&mut self, sender: Ssrc, bitrate_bps: u64, ssrcs: &[Ssrc]) -> bool {
        let Ok(count) = u8::try_from(ssrcs.len()) else {
            return false;
        };
        let exponent = (64 - bitrate_bps.leading_zeros()).saturating_sub(18);
        let mantissa = (bitrate_bps >> exponent) as u32;
        self.packet(FMT_APPLICATION, PAYLOAD_FEEDBACK, |put| {
            put.put32(sender.0)?;
            put.put32(0)?;
            put.put(b"REMB")?;
            put.put8(count)?;
            put.put24(exponent << 18 | mantissa)?;
            ssrcs.iter().try_for_each(|ssrc| put.put32(ssrc.0))
        })
        .is_some()
    }
}
