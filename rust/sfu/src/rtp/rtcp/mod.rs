//! RTCP: compound and reduced-size packets (RFC 3550 §6, RFC 4585, RFC 5104, RFC 5506), read in place and written in place.

mod extended;
mod feedback;
mod report;
mod transport_cc;
mod writer;

pub use feedback::{Fir, MAX_NACK_PAIRS, Nack, Remb};
pub use report::{Bye, ReceiverReport, ReportBlock, SenderReport};
pub use transport_cc::{Arrivals, MAX_CLAIMS, TransportCc};
pub use writer::RtcpWriter;

use super::bytes::{be16, be32, byte};
use crate::ids::Ssrc;
use crate::reason::DropReason;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const EXTENDED_REPORT: u8 = 207;

/// FMT of transport feedback: generic NACK (RFC 4585 §6.2.1).
const FMT_NACK: u8 = 1;
/// FMT of transport feedback: draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1.
const FMT_TRANSPORT_CC: u8 = 15;
/// FMT of payload feedback: picture loss indication (RFC 4585 §6.3.1).
const FMT_PLI: u8 = 1;
/// FMT of payload feedback: full intra request (RFC 5104 §4.3.1).
const FMT_FIR: u8 = 4;
/// FMT of payload feedback: application layer feedback, REMB among it.
const FMT_APPLICATION: u8 = 15;

/// One packet of a compound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rtcp<'a> {
    /// RFC 3550 §6.4.1.
    SenderReport(SenderReport<'a>),
    /// RFC 3550 §6.4.2.
    ReceiverReport(ReceiverReport<'a>),
    /// RFC 3550 §6.5. Its content changes nothing here.
    Sdes,
    /// RFC 3550 §6.6.
    Bye(Bye<'a>),
    /// RFC 4585 §6.2.1.
    Nack(Nack<'a>),
    /// RFC 4585 §6.3.1.
    Pli {
        /// Who asks.
        sender: Ssrc,
        /// Whose picture is lost.
        media: Ssrc,
    },
    /// RFC 5104 §4.3.1.
    Fir(Fir<'a>),
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1.
    TransportCc(TransportCc<'a>),
    /// draft-alvestrand-rmcat-remb-03 §2.2.
    Remb(Remb<'a>),
    /// The clock of a receiver that sends nothing and so has no sender reports to learn the round trip by (RFC 3611 §4.4).
    ReferenceTime {
        /// Whose clock.
        sender: Ssrc,
        /// The middle 32 bits of its NTP time.
        middle: u32,
    },
    /// APP, other extended reports and whatever else is well framed.
    Other,
}

/// Splits a decrypted datagram into its packets. Reading ends after the first error; what came before it stays good.
pub fn packets(compound: &[u8]) -> impl Iterator<Item = Result<Rtcp<'_>, DropReason>> {
    let mut rest = compound;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let packet = split(&mut rest);
        if packet.is_none() {
            rest = &[];
        }
        Some(packet.ok_or(DropReason::RtcpMalformed))
    })
}

fn split<'a>(rest: &mut &'a [u8]) -> Option<Rtcp<'a>> {
    let first = byte(rest, 0)?;
    if first >> 6 != 2 {
        return None;
    }
    let packet_type = byte(rest, 1)?;
    let len = 4 * (usize::from(be16(rest, 2)?) + 1);
    let (packet, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    let mut body = packet.get(4..)?;
    if first & 0x20 != 0 {
        let padding = usize::from(*body.last()?);
        if padding == 0 {
            return None;
        }
        body = body.get(..body.len().checked_sub(padding)?)?;
    }
    parse(packet_type, first & 0x1f, body)
}

/// `count` is the 5-bit field of the first byte: a number of blocks, or the FMT of feedback.
fn parse(packet_type: u8, count: u8, body: &[u8]) -> Option<Rtcp<'_>> {
    Some(match (packet_type, count) {
        (SENDER_REPORT, _) => Rtcp::SenderReport(SenderReport::parse(count, body)?),
        (RECEIVER_REPORT, _) => Rtcp::ReceiverReport(ReceiverReport::parse(count, body)?),
        (SDES, _) => Rtcp::Sdes,
        (BYE, _) => Rtcp::Bye(Bye::parse(count, body)?),
        (TRANSPORT_FEEDBACK, FMT_NACK) => Rtcp::Nack(Nack::parse(body)?),
        (TRANSPORT_FEEDBACK, FMT_TRANSPORT_CC) => Rtcp::TransportCc(TransportCc::parse(body)?),
        (PAYLOAD_FEEDBACK, FMT_PLI) => Rtcp::Pli {
            sender: Ssrc(be32(body, 0)?),
            media: Ssrc(be32(body, 4)?),
        },
        (PAYLOAD_FEEDBACK, FMT_FIR) => Rtcp::Fir(Fir::parse(body)?),
        (PAYLOAD_FEEDBACK, FMT_APPLICATION) if body.get(8..12) == Some(b"REMB") => Rtcp::Remb(Remb::parse(body)?),
        (EXTENDED_REPORT, _) => extended::parse(body)?,
        _ => Rtcp::Other,
    })
}
