//! Bits per second over about the last second, in buckets, so that a packet costs one addition.

use crate::time::Time;

const BUCKET_US: u64 = 64_000;
const BUCKETS: u64 = 16;
/// The shortest time that a rate is taken over: the first key frame alone would look like tens of Mb/s.
const MIN_SPAN_US: u64 = 500_000;

/// A sliding window of 16 buckets of 64 ms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    buckets: [u32; BUCKETS as usize],
    bytes: u64,
    /// Number of the newest bucket, counted from the epoch.
    newest: u64,
    began: Option<Time>,
    seen: Time,
}

impl Rate {
    /// Count a packet.
    pub fn add(&mut self, now: Time, bytes: usize) {
        if self.began.is_none() {
            self.began = Some(now);
            self.newest = now.0 / BUCKET_US;
        }
        self.advance(now);
        if let Some(bucket) = self.buckets.get_mut((self.newest % BUCKETS) as usize) {
            *bucket = bucket.saturating_add(bytes as u32);
            self.bytes += bytes as u64;
        }
    }

    /// Move the window on without a packet.
    pub fn advance(&mut self, now: Time) {
        let current = now.0 / BUCKET_US;
        self.seen = self.seen.max(now);
        if current >= self.newest + BUCKETS {
            self.buckets = [0; BUCKETS as usize];
            self.bytes = 0;
            self.newest = current;
        }
        while self.newest < current {
            self.newest += 1;
            if let Some(bucket) = self.buckets.get_mut((self.newest % BUCKETS) as usize) {
                self.bytes = self.bytes.saturating_sub(u64::from(*bucket));
                *bucket = 0;
            }
        }
    }

    /// Bits per second at the last call of `add` or `advance`.
    pub fn bps(&self) -> u64 {
        let Some(began) = self.began else { return 0 };
        let window = Time((self.newest + 1).saturating_sub(BUCKETS) * BUCKET_US);
        let span = self.seen.micros_since(began.max(window)).max(MIN_SPAN_US);
        self.bytes * 8_000_000 / span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_shows_its_rate_and_silence_brings_it_to_zero() {
        let mut rate = Rate::default();
        for step in 0..300 {
            rate.add(Time(5_000_000 + step * 10_000), 1250);
        }
        assert!((980_000..=1_020_000).contains(&rate.bps()), "{}", rate.bps());
        rate.advance(Time(8_500_000));
        assert!((400_000..600_000).contains(&rate.bps()), "{}", rate.bps());
        rate.advance(Time(20_000_000));
        assert_eq!(rate.bps(), 0);
    }

    #[test]
    fn a_burst_at_the_start_is_not_taken_for_the_rate() {
        let mut rate = Rate::default();
        for _ in 0..50 {
            rate.add(Time(7), 1250);
        }
        assert_eq!(rate.bps(), 1_000_000);
    }
}
