//! A radio channel that others hold for a while: what waits comes through at once when it is free again.

use crate::random::Random;

/// How often and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalls {
    /// Mean time from the end of one to the begin of the next, microseconds.
    pub every_us: u64,
    /// Shortest, microseconds.
    pub least_us: u64,
    /// Longest, microseconds.
    pub most_us: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Stalling {
    stalls: Stalls,
    random: Random,
    begins_us: u64,
    ends_us: u64,
}

impl Stalling {
    pub(super) fn new(stalls: Stalls, now_us: u64, seed: u64) -> Self {
        let mut stalling = Self {
            stalls,
            random: Random::new(seed),
            begins_us: now_us,
            ends_us: now_us,
        };
        stalling.next();
        stalling
    }

    fn next(&mut self) {
        let pause_us = self.random.below(2 * self.stalls.every_us + 1);
        let length_us = self.stalls.least_us
            + self
                .random
                .below(self.stalls.most_us.saturating_sub(self.stalls.least_us) + 1);
        self.begins_us = self.ends_us + pause_us.max(1);
        self.ends_us = self.begins_us + length_us;
    }

    /// When what is ready at `at_us` comes through. Times do not fall from call to call.
    pub(super) fn release_us(&mut self, at_us: u64) -> u64 {
        while self.ends_us <= at_us {
            self.next();
        }
        if at_us >= self.begins_us { self.ends_us } else { at_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_hold_what_comes_and_are_as_long_as_they_may_be() {
        let stalls = Stalls {
            every_us: 100_000,
            least_us: 5_000,
            most_us: 60_000,
        };
        let mut stalling = Stalling::new(stalls, 0, 1);
        let held: Vec<_> = (0..60_000_000)
            .step_by(1_000)
            .map(|at_us| stalling.release_us(at_us) - at_us)
            .collect();
        let longest = held.iter().max().unwrap();
        assert!((55_000..=60_000).contains(longest), "{longest}");
        let share = held.iter().filter(|held| **held > 0).count() as f64 / held.len() as f64;
        assert!((0.20..0.30).contains(&share), "32.5 of 132.5 ms on average: {share}");
    }
}
