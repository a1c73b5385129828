//! Extended reports (RFC 3611): a receiver's clock, and the answer to it.

use super::{EXTENDED_REPORT, Rtcp, RtcpWriter};
use crate::ids::Ssrc;
use crate::rtp::bytes::{be16, be32, byte};

const REFERENCE_TIME: u8 = 4;
const DELAY_SINCE: u8 = 5;

/// The first clock in the report; reports without one are of no use here.
pub(super) fn parse(body: &[u8]) -> Option<Rtcp<'_>> {
    let sender = Ssrc(be32(body, 0)?);
    let mut rest = body.get(4..)?;
    while let Some(kind) = byte(rest, 0) {
        let len = 4 * (usize::from(be16(rest, 2)?) + 1);
        let (block, tail) = rest.split_at_checked(len)?;
        if kind == REFERENCE_TIME {
            let middle = u32::from(be16(block, 6)?) << 16 | u32::from(be16(block, 8)?);
            return Some(Rtcp::ReferenceTime { sender, middle });
        }
        rest = tail;
    }
    Some(Rtcp::Other)
}

impl RtcpWriter<'_> {
    /// The answer to a clock (RFC 3611 §4.5): whose it was, its middle 32 bits, and how long ago it came, 1/65 536 s.
    pub fn delay_since(&mut self, ssrc: Ssrc, receiver: Ssrc, middle: u32, delay: u32) -> bool {
        self.packet(0, EXTENDED_REPORT, |put| {
            put.put32(ssrc.0)?;
            put.put8(DELAY_SINCE)?;
            put.put8(0)?;
            put.put16(3)?;
            put.put32(receiver.0)?;
            put.put32(middle)?;
            put.put32(delay)
        })
        .is_some()
    }
}
