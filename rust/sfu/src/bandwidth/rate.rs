//! The estimate itself: up by a share per second, or by a packet per round trip near the known capacity; down to a share of what
//! arrives (draft-ietf-rmcat-gcc-02 §5.5).

use std::time::Duration;

use crate::time::Time;

/// Growth per second far from the capacity.
const GROWTH: f64 = 0.08;
/// Response of the line's queue and the feedback on top of the round trip, for additive growth.
const RESPONSE: Duration = Duration::from_millis(100);
/// Least additive growth, bits per second per second.
const LEAST_GROWTH: f64 = 8_000.0;
/// Share of what arrives that is left after congestion.
const DECREASE: f64 = 0.85;
/// The same while the queue is short, and when a long one has to drain.
const SLIGHT: f64 = 0.92;
const DRAIN: f64 = 0.75;
/// Queues up to here are short and from here long, microseconds.
const SHORT_US: u64 = 70_000;
const LONG_US: u64 = 120_000;
/// Between two decreases at least, besides a round trip.
const SETTLE: Duration = Duration::from_millis(150);
/// What arrives this far from the known capacity is another line.
const OTHER_LINE: f64 = 0.3;

/// Additive increase, multiplicative decrease.
#[derive(Debug)]
pub(crate) struct Rate {
    bps: f64,
    least: f64,
    most: f64,
    /// What arrived while the line was full.
    capacity: Option<f64>,
    updated: Time,
    decreased: Option<Time>,
    /// Nothing has shown yet that the line carries this much, or does not.
    guessed: bool,
}

impl Rate {
    /// Bounds are in bits per second.
    pub fn new(now: Time, initial: u64, least: u64, most: u64) -> Self {
        let (least, most) = (least as f64, most.max(least) as f64);
        Self {
            bps: (initial as f64).clamp(least, most),
            least,
            most,
            capacity: None,
            updated: now,
            decreased: None,
            guessed: true,
        }
    }

    /// The estimate.
    pub fn bps(&self) -> u64 {
        self.bps as u64
    }

    /// When congestion last lowered it, or confirmed it.
    pub fn decreased(&self) -> Option<Time> {
        self.decreased
    }

    /// Whatever it was before.
    pub fn set(&mut self, bps: u64) {
        self.bps = (bps as f64).clamp(self.least, self.most);
    }

    /// A cluster showed that the line carries this much: more than was known, or less than was guessed. `arriving_bps` was there
    /// besides, so it is not less than that.
    pub fn measured(&mut self, bps: u64, arriving_bps: u64) {
        let proved = bps as f64;
        if std::mem::take(&mut self.guessed) {
            self.bps = proved.max(arriving_bps as f64).clamp(self.least, self.most);
            return;
        }
        if self.capacity.is_some_and(|capacity| proved > capacity * 1.1) {
            self.capacity = None;
        }
        self.bps = self.bps.max(proved).min(self.most);
    }

    /// No congestion. `arriving_bps` limits the growth: what was never sent was never carried. `ceiling_bps` likewise.
    pub fn grow(&mut self, now: Time, arriving_bps: Option<u64>, ceiling_bps: u64, rtt: Duration) {
        // After silence, growth starts from now.
        let seconds = now.micros_since(self.updated).min(500_000) as f64 / 1e6;
        self.updated = now;
        if let Some(arriving) = arriving_bps
            && self.capacity.is_some_and(|capacity| arriving as f64 > capacity * 1.15)
        {
            self.capacity = None;
        }
        let near = self.capacity.is_some_and(|capacity| self.bps > capacity * 0.8);
        let step = if near {
            let packet_bits = 1200.0 * 8.0;
            (packet_bits / (rtt + RESPONSE).as_secs_f64()).max(LEAST_GROWTH) * seconds
        } else {
            self.bps * GROWTH * seconds
        };
        let ceiling = (ceiling_bps as f64).min(self.most);
        let limit = arriving_bps.map_or(ceiling, |arriving| (arriving as f64 * 1.5 + 10_000.0).min(ceiling));
        if self.bps < limit {
            self.bps = (self.bps + step).min(limit);
        }
    }

    /// Time passes without growth.
    pub fn hold(&mut self, now: Time) {
        self.updated = now;
    }

    /// Congestion, while this much arrives. `standing_us` is how long packets wait in the queue. `true`: it was lowered.
    pub fn congested(&mut self, now: Time, arriving_bps: Option<u64>, standing_us: u64, rtt: Duration) -> bool {
        self.updated = now;
        let Some(arriving) = arriving_bps.map(|bps| bps as f64) else {
            // Nothing is known yet: half, once per round trip.
            if self.is_settling(now, rtt) {
                return false;
            }
            return self.lower(now, self.bps / 2.0);
        };
        // One congestion is one decrease, but for a collapse.
        if self.is_settling(now, rtt) && arriving > self.bps / 2.0 {
            return false;
        }
        let capacity = match self.capacity {
            Some(capacity) if (arriving - capacity).abs() < capacity * OTHER_LINE => 0.7 * capacity + 0.3 * arriving,
            Some(_) | None => arriving,
        };
        self.capacity = Some(capacity);
        let share = match standing_us {
            0..SHORT_US => SLIGHT,
            SHORT_US..LONG_US => DECREASE,
            LONG_US.. => DRAIN,
        };
        self.lower(now, arriving * share)
    }

    /// Loss, not delay: lower to this.
    pub fn lower_to(&mut self, now: Time, bps: u64) -> bool {
        self.updated = now;
        self.lower(now, bps as f64)
    }

    /// Congestion, though not below the estimate: more was sent, and the line does not carry that.
    pub fn confirmed(&mut self, now: Time, rtt: Duration) {
        if !self.is_settling(now, rtt) {
            self.decreased = Some(now);
            self.guessed = false;
        }
    }

    fn is_settling(&self, now: Time, rtt: Duration) -> bool {
        self.decreased.is_some_and(|at| now.since(at) < rtt + SETTLE)
    }

    fn lower(&mut self, now: Time, bps: f64) -> bool {
        let bps = bps.clamp(self.least, self.most);
        if bps >= self.bps {
            return false;
        }
        self.bps = bps;
        self.decreased = Some(now);
        self.guessed = false;
        true
    }
}
