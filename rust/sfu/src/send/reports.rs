//! Sender reports of slots on the server's one clock (RFC 3550 §6.4.1), and what the viewer reports back.

use std::time::Duration;

use super::Sender;
use super::seal::MAX_DATAGRAM;
use crate::command::Codec;
use crate::encoding::Encodings;
use crate::ids::Ssrc;
use crate::outbox::{Outbox, Path, SAFE_PAYLOAD};
use crate::rtp::rtcp::{ReportBlock, RtcpWriter};
use crate::time::Time;
use crate::transport::srtp::SrtpOut;

/// Between two reports of one slot. The first one leaves with the first packets after a switch, so that lip sync need not wait.
const INTERVAL: Duration = Duration::from_secs(1);
/// Until a slot whose first packet is still held back by the pacer is looked at again.
const NOT_YET: Duration = Duration::from_millis(20);
/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_UNIX: u64 = 2_208_988_800;

/// What the viewer told of its reception, latest wins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Feedback {
    /// Round trip by receiver report (RFC 3550 §6.4.1).
    pub rtt: Option<Duration>,
    /// The viewer's clock, and when it came, until a report answers it: without that a viewer does not know the round trip and repeats
    /// its NACKs late.
    pub clock: Option<(Ssrc, u32, Time)>,
    /// Highest fraction lost in the last report, 1/256.
    pub fraction_lost: u8,
    /// Estimate of a receiver without transport-wide feedback, bits per second.
    pub remb_bps: Option<u64>,
}

impl Sender {
    /// Write the reports that are due. `true`: the outbox is full, call again.
    pub(super) fn write_reports(
        &mut self,
        now: Time,
        encodings: &impl Encodings,
        srtp: &mut SrtpOut,
        path: Path,
        out: &mut Outbox,
    ) -> bool {
        // A sender report without blocks, and a source description with the CNAME, its end and its padding.
        let need = 28 + 4 + 4 + 2 + self.cname.len() + 4;
        // The answer to the viewer's clock.
        const ANSWER: usize = 24;
        while self.next_report.is_some_and(|at| at <= now) {
            if !out.has_room(MAX_DATAGRAM) {
                return true;
            }
            let room = SAFE_PAYLOAD - srtp.rtcp_overhead();
            let spare = out.spare();
            let Some(compound) = spare.get_mut(..room) else {
                return true;
            };
            let mut writer = RtcpWriter::new(compound);
            for slot in &mut self.slots {
                if slot.report_at.is_none_or(|at| at > now) {
                    continue;
                }
                if !writer.is_empty() && writer.len() + need + ANSWER > room {
                    break;
                }
                slot.report_at = Some(now + INTERVAL);
                let epoch = slot.live().and_then(|live| slot.epochs.get(live.tag));
                let clock = epoch.and_then(|epoch| encodings.encoding(epoch.key)?.clock);
                let (Some(epoch), Some(clock)) = (epoch, clock) else {
                    continue;
                };
                if slot.packets == 0 {
                    slot.report_at = Some(now + NOT_YET);
                    continue;
                }
                let rtp = epoch.out_timestamp(clock.rtp_at(now, Codec::clock_hz(epoch.codec)));
                let ntp = ntp(self.unix_at_base_us + now.0);
                let written = writer.sender_report(slot.ssrc, ntp, rtp, slot.packets, slot.octets, &[])
                    && writer.sdes_cname(slot.ssrc, &self.cname);
                if !written {
                    // A CNAME that no description can hold; the control plane caps it at 255 bytes.
                    continue;
                }
                if let Some((viewer, middle, came)) = self.feedback.clock.take() {
                    let delay = (now.micros_since(came) << 16) / 1_000_000;
                    writer.delay_since(slot.ssrc, viewer, middle, delay as u32);
                }
            }
            let len = writer.len();
            if len > 0
                && let Some(len) = srtp.seal_rtcp(spare, len)
            {
                out.commit(path, len);
            }
            self.next_report = self.slots.iter().filter_map(|slot| slot.report_at).min();
        }
        false
    }

    /// Take a block of a receiver report in.
    pub(super) fn report_block(&mut self, now: Time, block: &ReportBlock) {
        let Some(slot) = self.slot_of_ssrc(block.ssrc) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(usize::from(slot)) else {
            return;
        };
        if slot.ssrc == block.ssrc {
            slot.confirmed = true;
        } else {
            slot.rtx_confirmed = true;
        }
        self.feedback.fraction_lost = block.fraction_lost;
        // The middle 32 bits of NTP are units of 1/65 536 s.
        let middle = (ntp(self.unix_at_base_us + now.0) >> 16) as u32;
        if block.last_sr != 0 {
            let units = middle.wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_sr);
            // Clocks that disagree by rounding give a small negative value, which reads as hours.
            if units < 10 << 16 {
                self.feedback.rtt = Some(Duration::from_micros((u64::from(units) * 1_000_000) >> 16));
            }
        }
        self.bandwidth.report(now, block.fraction_lost, self.feedback.rtt);
    }
}

/// 32.32 fixed point seconds since 1900 (RFC 3550 §4).
fn ntp(unix_us: u64) -> u64 {
    let seconds = unix_us / 1_000_000 + NTP_UNIX;
    let fraction = ((unix_us % 1_000_000) << 32) / 1_000_000;
    (seconds << 32) | fraction
}
