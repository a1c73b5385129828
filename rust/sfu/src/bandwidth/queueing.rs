//! How long packets stand in the queue of the line. The delay trend tells growth only; a queue that is full and stays so is flat.

use super::window::Lowest;

/// The least delay of this long (and up to twice that) is that of an empty queue, microseconds. A rival that fills the queue for
/// longer becomes part of the line.
const BASE_US: i64 = 12_000_000;
/// A queue stands when even the fastest packet of this long (up to twice that) had to wait, microseconds. Jitter delays some
/// packets, a queue delays all.
const RECENT_US: i64 = 80_000;
/// A step of the delay beyond this is a new clock, microseconds.
const CLOCK_STEP_US: i64 = 10_000_000;

/// Of one-way delays on clocks that need not agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queueing {
    base: Lowest,
    recent: Lowest,
    /// Mean deviation of the delay from its lowest recent value, microseconds.
    jitter: f64,
}

impl Default for Queueing {
    fn default() -> Self {
        Self {
            base: Lowest::new(BASE_US),
            recent: Lowest::new(RECENT_US),
            jitter: 0.0,
        }
    }
}

impl Queueing {
    /// A packet arrived.
    pub fn packet(&mut self, sent_us: i64, arrival_us: i64) {
        let delay = arrival_us - sent_us;
        if self.base.get().is_some_and(|base| (delay - base).abs() > CLOCK_STEP_US) {
            self.base.clear();
            self.recent.clear();
        }
        self.base.add(arrival_us, delay);
        self.recent.add(arrival_us, delay);
        let above = delay - self.recent.get().unwrap_or(delay);
        self.jitter += (above as f64 - self.jitter) / 32.0;
    }

    /// Microseconds that every recent packet waited.
    pub fn standing_us(&self) -> u64 {
        match (self.recent.get(), self.base.get()) {
            (Some(recent), Some(base)) => (recent - base).max(0) as u64,
            (None, _) | (_, None) => 0,
        }
    }

    /// Microseconds by which packets deviate from the fastest ones.
    pub fn jitter_us(&self) -> u64 {
        self.jitter as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_stands_when_all_packets_wait_and_jitter_is_none() {
        let mut queueing = Queueing::default();
        for n in 0..100 {
            queueing.packet(n * 10_000, n * 10_000 + if n % 4 == 0 { 20_000 } else { 60_000 });
        }
        assert_eq!(queueing.standing_us(), 0);
        assert!(
            (20_000..40_000).contains(&queueing.jitter_us()),
            "{}",
            queueing.jitter_us()
        );
        for n in 100..130 {
            queueing.packet(n * 10_000, n * 10_000 + 120_000);
        }
        assert_eq!(queueing.standing_us(), 100_000);
    }
}
