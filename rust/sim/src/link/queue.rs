//! The bottleneck: a rate that may change, and a queue before it, first come, first served.

/// Most changes of one rate.
pub const MAX_CHANGES: usize = 16;

/// A change of the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RateChange {
    /// Since the link began, microseconds.
    pub at_us: u64,
    /// Bits per second from then on; 0: nothing passes until the next change.
    pub rate_bps: u64,
}

/// Changes of a rate, in order of time. A value of fixed size, so that configurations can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RateChanges {
    steps: [RateChange; MAX_CHANGES],
    len: usize,
}

impl RateChanges {
    /// The rate stays.
    pub const NONE: Self = Self {
        steps: [RateChange { at_us: 0, rate_bps: 0 }; MAX_CHANGES],
        len: 0,
    };

    /// `None`: too many, or their times do not rise.
    pub fn new(changes: &[RateChange]) -> Option<Self> {
        let mut steps = [RateChange::default(); MAX_CHANGES];
        steps.get_mut(..changes.len())?.copy_from_slice(changes);
        let rising = changes.windows(2).all(|pair| pair[0].at_us < pair[1].at_us);
        rising.then_some(Self {
            steps,
            len: changes.len(),
        })
    }

    /// The changes.
    pub fn as_slice(&self) -> &[RateChange] {
        self.steps.get(..self.len).unwrap_or_default()
    }
}

/// When a datagram leaves the bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// Its first bit.
    pub starts_us: u64,
    /// Its last bit.
    pub leaves_us: u64,
}

/// The changes are known beforehand, so that the departure of each datagram is known when it comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    origin_us: u64,
    rate_bps: Option<u64>,
    changes: RateChanges,
    longest_us: u64,
    busy_until_us: u64,
}

/// IPv4 and UDP.
const HEADERS: u64 = 28;

impl Queue {
    /// Time begins; what waits already goes on waiting.
    pub(super) fn begin(&mut self, now_us: u64, rate_bps: Option<u64>, changes: RateChanges, longest_us: u64) {
        self.origin_us = now_us;
        self.rate_bps = rate_bps;
        self.changes = changes;
        self.longest_us = longest_us;
    }

    /// A datagram of `bytes` comes; `None`: the queue is full, or the line dead for good.
    pub(super) fn offer(&mut self, now_us: u64, bytes: usize) -> Option<Passage> {
        let starts_us = self.busy_until_us.max(now_us);
        if self.rate_bps.is_none() && self.changes.as_slice().is_empty() {
            return Some(Passage {
                starts_us: now_us,
                leaves_us: now_us,
            });
        }
        if starts_us - now_us > self.longest_us {
            return None;
        }
        let leaves_us = self.leaves_us(starts_us, (bytes as u64 + HEADERS) * 8)?;
        self.busy_until_us = leaves_us;
        Some(Passage { starts_us, leaves_us })
    }

    pub(super) fn backlog_us(&self, now_us: u64) -> u64 {
        self.busy_until_us.saturating_sub(now_us)
    }

    /// When `bits` are through that begin at `at_us`.
    fn leaves_us(&self, mut at_us: u64, bits: u64) -> Option<u64> {
        // Bits times a million, so that a change in the middle of a datagram loses nothing.
        let mut left = u128::from(bits) * 1_000_000;
        loop {
            let since_us = at_us - self.origin_us.min(at_us);
            let changes = self.changes.as_slice();
            let past = changes.iter().take_while(|change| change.at_us <= since_us).count();
            let rate = match past.checked_sub(1).and_then(|last| changes.get(last)) {
                Some(change) => Some(change.rate_bps),
                None => self.rate_bps,
            };
            let Some(rate) = rate else {
                return Some(at_us);
            };
            let until_us = changes.get(past).map(|change| self.origin_us + change.at_us);
            let room = until_us.map(|until| u128::from(until - at_us) * u128::from(rate));
            if room.is_none_or(|room| room >= left) {
                // Without a rate and without a change to come, it stays.
                let needs_us = left.checked_div(u128::from(rate))?;
                return Some(at_us + needs_us as u64);
            }
            left -= room.unwrap_or(0);
            at_us = until_us.unwrap_or(at_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(rate_bps: Option<u64>, changes: &[(u64, u64)], longest_us: u64) -> Queue {
        let changes: Vec<_> = changes
            .iter()
            .map(|(at_us, rate_bps)| RateChange {
                at_us: *at_us,
                rate_bps: *rate_bps,
            })
            .collect();
        let mut queue = Queue::default();
        queue.begin(1_000_000, rate_bps, RateChanges::new(&changes).unwrap(), longest_us);
        queue
    }

    fn leaves(queue: &mut Queue, now_us: u64) -> Option<u64> {
        queue.offer(now_us, 1_222).map(|passage| passage.leaves_us)
    }

    #[test]
    fn a_change_in_the_middle_of_a_datagram_counts_from_then_on() {
        // 10 000 bits: half of them in 5 ms at 1 Mb/s, the other half in 10 ms at 500 kb/s.
        let mut queue = queue(Some(1_000_000), &[(5_000, 500_000)], 0);
        assert_eq!(leaves(&mut queue, 1_000_000), Some(1_015_000));
    }

    #[test]
    fn a_dead_line_holds_until_it_lives_and_for_ever_loses() {
        let mut holding = queue(Some(1_000_000), &[(0, 0), (50_000, 1_000_000)], 0);
        assert_eq!(leaves(&mut holding, 1_000_000), Some(1_060_000));
        let mut dead = queue(Some(1_000_000), &[(0, 0)], 0);
        assert_eq!(leaves(&mut dead, 1_000_000), None);
    }

    #[test]
    fn after_a_drop_what_waits_waits_longer_and_what_comes_is_lost() {
        let mut queue = queue(Some(1_000_000), &[(10_000, 100_000)], 50_000);
        let departures = [1_000_000, 1_000_000, 1_000_000].map(|at| leaves(&mut queue, at));
        assert_eq!(departures, [Some(1_010_000), Some(1_110_000), None]);
    }

    #[test]
    fn changes_must_rise_and_be_few() {
        let change = |at_us| RateChange { at_us, rate_bps: 1 };
        assert!(RateChanges::new(&[change(2), change(1)]).is_none());
        let many: Vec<_> = (0..=MAX_CHANGES as u64).map(change).collect();
        assert!(RateChanges::new(&many).is_none());
    }
}
