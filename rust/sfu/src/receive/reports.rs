//! Reception statistics of one SSRC for receiver reports (RFC 3550 §6.4.1, §A.3, §A.8).

use crate::ids::Ssrc;
use crate::rtp::rtcp::ReportBlock;
use crate::time::Time;

/// A step of the transit time beyond this is a new timeline, not jitter.
const MAX_JITTER_STEP_S: u32 = 5;

#[derive(Clone, Copy, Debug)]
struct LastReport {
    /// Middle 32 bits of its NTP time.
    ntp: u32,
    arrival: Time,
}

/// What was received of one SSRC. Retransmissions on their own SSRC do not count (RFC 4588 §6.1).
#[derive(Clone, Copy, Debug)]
pub struct Reception {
    first: u64,
    highest: u64,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    /// In 1/16 timestamp units.
    jitter: u32,
    transit: Option<u32>,
    last_report: Option<LastReport>,
}

impl Reception {
    /// From the packet `first` (extended) on.
    pub fn new(first: u64) -> Self {
        Self {
            first,
            highest: first,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            jitter: 0,
            transit: None,
            last_report: None,
        }
    }

    /// Count a packet.
    pub fn packet(&mut self, now: Time, seq: u64, timestamp: u32, clock_hz: u32) {
        self.received += 1;
        self.highest = self.highest.max(seq);
        let arrival = (u128::from(now.0) * u128::from(clock_hz) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let step = (transit.wrapping_sub(before) as i32).unsigned_abs();
            if step <= clock_hz.saturating_mul(MAX_JITTER_STEP_S) {
                self.jitter = self
                    .jitter
                    .saturating_add(step)
                    .saturating_sub(self.jitter.saturating_add(8) >> 4);
            }
        }
    }

    /// Count a packet of which nothing is known any more than that it came.
    pub fn unkept(&mut self) {
        self.received += 1;
    }

    /// A sender report of the SSRC came.
    pub fn sender_report(&mut self, now: Time, ntp: u64) {
        self.last_report = Some(LastReport {
            ntp: (ntp >> 16) as u32,
            arrival: now,
        });
    }

    /// Anything new since the last block?
    pub fn is_new(&self) -> bool {
        self.received > self.received_prior
    }

    /// The block of now; the next one reports from here on.
    pub fn block(&mut self, now: Time, ssrc: Ssrc) -> ReportBlock {
        let expected = self.highest.saturating_sub(self.first) + 1;
        let cumulative_lost = (expected as i64 - self.received as i64).clamp(-0x80_0000, 0x7f_ffff) as i32;
        let expected_now = expected.saturating_sub(self.expected_prior);
        let received_now = self.received.saturating_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction_lost = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8;
        let (last_sr, delay_since_sr) = self.last_report.map_or((0, 0), |report| {
            let delay = u128::from(now.micros_since(report.arrival)) * 65_536 / 1_000_000;
            (report.ntp, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost,
            // Cycles count from the first packet, as the sender counts them.
            highest_seq: (self.highest - (self.first & !0xffff)) as u32,
            jitter: self.jitter >> 4,
            last_sr,
            delay_since_sr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_computed_by_hand() {
        // 90 kHz, one packet each 20 ms = 1 800 units. Number 65 538 is missing; 65 539 comes 4 ms = 360 units late.
        let mut reception = Reception::new(65_536);
        reception.packet(Time(1_000_000), 65_536, 1_000, 90_000);
        reception.packet(Time(1_020_000), 65_537, 2_800, 90_000);
        reception.packet(Time(1_064_000), 65_539, 6_400, 90_000);
        reception.sender_report(Time(1_100_000), 0x1234_5678_9abc_def0);
        assert_eq!(
            reception.block(Time(1_600_000), Ssrc(9)),
            ReportBlock {
                ssrc: Ssrc(9),
                fraction_lost: 64,
                cumulative_lost: 1,
                highest_seq: 3,
                // 360 sixteenths of a unit are 22 whole units.
                jitter: 22,
                last_sr: 0x5678_9abc,
                delay_since_sr: 32_768,
            }
        );
        // The next one comes in time again, 360 units earlier: 360 + 360 - ((360 + 8) >> 4) = 697 sixteenths.
        reception.packet(Time(1_080_000), 65_540, 8_200, 90_000);
        let block = reception.block(Time(2_100_000), Ssrc(9));
        assert_eq!((block.fraction_lost, block.cumulative_lost, block.jitter), (0, 1, 43));
        assert_eq!((block.highest_seq, block.delay_since_sr), (4, 65_536));
        assert!(!reception.is_new());
    }

    #[test]
    fn a_packet_that_comes_late_makes_good_for_its_loss() {
        let mut reception = Reception::new(70_000);
        reception.packet(Time(0), 70_000, 0, 90_000);
        reception.packet(Time(0), 70_002, 0, 90_000);
        assert_eq!(reception.block(Time(1), Ssrc(1)).cumulative_lost, 1);
        reception.packet(Time(0), 70_001, 0, 90_000);
        let block = reception.block(Time(2), Ssrc(1));
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 0));
    }

    #[test]
    fn wraps_are_counted_as_cycles() {
        let mut reception = Reception::new(65_536 + 65_535);
        reception.packet(Time(0), 65_536 + 65_535, 0, 90_000);
        reception.packet(Time(0), 65_536 + 65_536 + 2, 0, 90_000);
        assert_eq!(reception.block(Time(1), Ssrc(1)).highest_seq, 0x1_0002);
    }

    #[test]
    fn a_new_timeline_is_no_jitter() {
        let mut reception = Reception::new(70_000);
        reception.packet(Time(0), 70_000, 0, 90_000);
        reception.packet(Time(0), 70_001, 3_000_000_000, 90_000);
        assert_eq!(reception.block(Time(1), Ssrc(1)).jitter, 0);
    }
}
