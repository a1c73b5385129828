//! When a packet may leave: a token bucket per viewer, so that a key frame does not overrun the queue of the viewer's access line.

use std::time::Duration;

use crate::outbox::SAFE_PAYLOAD;
use crate::time::Time;

/// Rate for a viewer of slow encodings whose line was not measured, bits per second. A 60 KB key frame, as large as they come at
/// 1.2 Mb/s, then leaves in 50 ms, and a burst of 5 ms holds five full packets: a whole picture leaves as one segmented send.
const FLOOR_BPS: u64 = 10_000_000;
/// Least rate, bits per second: sound alone, and a packet of video now and then.
const LEAST_BPS: u64 = 40_000;
/// Longest burst, microseconds at the pacing rate.
const BURST_US: u64 = 5_000;
/// The same where nothing says yet how slow the line is, and bytes of such a burst: a picture of three packets at 600 kb/s leaves as one
/// segmented send. On a line that is slower than the pace, its last packet arrives no later or sooner for that.
const OPEN_BURST_US: u64 = 12_000;
const OPEN_BURST: u64 = 6_250;
/// Longest burst, packets.
const BURST_PACKETS: u32 = 16;
/// The same while a cluster of probes is sent, whose rate is measured over 20 ms.
const PROBE_BURST_US: u64 = 2_000;
/// Between two bursts that reach that length, microseconds: 16 packets each leave room for 300 Mb/s.
const BURST_GAP_US: u64 = 500;

/// Tokens are bits × microseconds per second, so that no division loses any.
const SCALE: i64 = 1_000_000;

/// How fast packets may leave, bits per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    /// The line is unknown: by what the shown encodings need. Pacing at 2.5 times that empties a key frame before the next one.
    Media(u64),
    /// By what the line carries at least.
    Open(u64),
    /// By what the line carries and no more.
    Line(u64),
    /// Evenly at this rate: a cluster of probes.
    Probe(u64),
}

/// The bucket. A packet may leave while there is any token; the debt it makes is waited for, so one packet always may.
#[derive(Debug)]
pub(super) struct Pacer {
    rate_bps: u64,
    burst_us: u64,
    tokens: i64,
    updated: Time,
    /// Packets since `burst_at`.
    burst: u32,
    burst_at: Time,
}

impl Pacer {
    /// A full bucket at the floor rate.
    pub fn new() -> Self {
        let mut pacer = Self {
            rate_bps: FLOOR_BPS,
            burst_us: BURST_US,
            tokens: 0,
            updated: Time::ZERO,
            burst: 0,
            burst_at: Time::ZERO,
        };
        pacer.tokens = pacer.depth();
        pacer
    }

    /// Let time pass.
    pub fn refill(&mut self, now: Time, pace: Pace) {
        // A bucket that is full after 5 ms needs no longer interval; the debt of one packet is 0.3 s at the least rate of a line.
        let elapsed = now.micros_since(self.updated).min(1_000_000);
        self.updated = self.updated.max(now);
        self.tokens = self.tokens.saturating_add((elapsed * self.rate_bps) as i64);
        let (rate, burst_us) = match pace {
            Pace::Media(bps) => ((bps.saturating_mul(5) / 2).max(FLOOR_BPS), BURST_US),
            Pace::Open(bps) => {
                let us = OPEN_BURST * 8 * 1_000_000 / bps.max(LEAST_BPS);
                (bps, us.clamp(BURST_US, OPEN_BURST_US))
            }
            Pace::Line(bps) => (bps, BURST_US),
            Pace::Probe(bps) => (bps, PROBE_BURST_US),
        };
        // Ten gigabits keep the arithmetic far from its limits whatever the publisher claims.
        self.rate_bps = rate.clamp(LEAST_BPS, 10_000_000_000);
        if self.burst_us != burst_us && burst_us == PROBE_BURST_US {
            // A cluster begins with one packet.
            self.tokens = self.tokens.min(1);
        }
        self.burst_us = burst_us;
        self.tokens = self.tokens.min(self.depth());
        if now.micros_since(self.burst_at) >= BURST_GAP_US {
            self.burst = 0;
            self.burst_at = now;
        }
    }

    /// May a packet leave now?
    pub fn may_send(&self) -> bool {
        self.tokens > 0 && self.burst < BURST_PACKETS
    }

    /// A datagram of `len` bytes left.
    pub fn spend(&mut self, len: usize) {
        self.tokens -= (len as i64) * 8 * SCALE;
        self.burst += 1;
    }

    /// When a packet may leave.
    pub fn release_at(&self) -> Time {
        let by_tokens = if self.tokens > 0 {
            self.updated
        } else {
            self.updated + Duration::from_micros(self.tokens.unsigned_abs() / self.rate_bps.max(1) + 1)
        };
        if self.burst < BURST_PACKETS {
            by_tokens
        } else {
            by_tokens.max(self.burst_at + Duration::from_micros(BURST_GAP_US))
        }
    }

    /// When `refill` was last called.
    pub fn updated(&self) -> Time {
        self.updated
    }

    fn depth(&self) -> i64 {
        let by_time = (self.rate_bps * self.burst_us) as i64;
        by_time.min(i64::from(BURST_PACKETS) * SAFE_PAYLOAD as i64 * 8 * SCALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes sent in `millis` of virtual time by someone who always has packets of `len` bytes.
    fn sent(pace: Pace, millis: u64, len: usize) -> (u64, u64) {
        let mut pacer = Pacer::new();
        pacer.refill(Time::ZERO, pace);
        // Idle for long enough to fill the bucket.
        let begin = Time(10_000);
        let mut now = begin;
        let (mut bytes, mut largest_burst) = (0, 0);
        while now.micros_since(begin) < millis * 1000 {
            pacer.refill(now, pace);
            let mut burst = 0;
            while pacer.may_send() {
                pacer.spend(len);
                burst += 1;
                bytes += len as u64;
            }
            largest_burst = largest_burst.max(burst);
            now = pacer.release_at();
        }
        (bytes, largest_burst)
    }

    #[test]
    fn the_rate_is_two_and_a_half_times_the_media() {
        for media in [8_000_000, 40_000_000] {
            let (bytes, _) = sent(Pace::Media(media), 1000, 1200);
            let wanted = media * 5 / 2 / 8;
            assert!(
                bytes.abs_diff(wanted) < wanted / 50,
                "{bytes} of {wanted} bytes at {media} b/s"
            );
        }
    }

    #[test]
    fn a_slow_encoding_is_paced_at_the_floor_while_the_line_is_unknown() {
        let (bytes, _) = sent(Pace::Media(100_000), 1000, 1200);
        assert!(bytes.abs_diff(FLOOR_BPS / 8) < FLOOR_BPS / 8 / 50, "{bytes}");
    }

    #[test]
    fn a_measured_line_is_not_overrun() {
        let (bytes, burst) = sent(Pace::Line(480_000), 2000, 1200);
        assert!(bytes.abs_diff(120_000) <= 2_400, "{bytes}");
        assert_eq!(burst, 1);
    }

    #[test]
    fn a_small_picture_leaves_at_once_while_no_limit_is_known() {
        for (bps, packets) in [(1_500_000, 3), (4_000_000, 6), (10_000_000, 6), (20_000_000, 13)] {
            let (bytes, burst) = sent(Pace::Open(bps), 2000, 1_000);
            let wanted = bps / 8 * 2;
            assert!(
                bytes.abs_diff(wanted) <= 16_000,
                "{bytes} of {wanted} bytes at {bps} b/s"
            );
            // The last one makes a debt.
            assert!(burst.abs_diff(packets) <= 1, "{burst} packets at {bps} b/s");
        }
    }

    #[test]
    fn a_cluster_of_probes_is_even() {
        let (bytes, burst) = sent(Pace::Probe(3_000_000), 1000, 1200);
        assert!(bytes.abs_diff(375_000) < 7_500, "{bytes}");
        assert_eq!(burst, 1);
    }

    #[test]
    fn a_burst_has_at_most_sixteen_packets_even_of_small_ones() {
        assert_eq!(sent(Pace::Media(100_000_000), 100, 1200).1, 16);
        assert_eq!(sent(Pace::Media(100_000_000), 100, 40).1, 16);
        assert!(sent(Pace::Media(0), 100, 40).1 <= 16);
    }

    #[test]
    fn one_packet_may_always_leave_however_large() {
        let mut pacer = Pacer::new();
        pacer.refill(Time(1), Pace::Media(0));
        pacer.spend(65_000);
        assert!(!pacer.may_send());
        let release = pacer.release_at();
        pacer.refill(release, Pace::Media(0));
        assert!(pacer.may_send());
    }
}
