//! One direction of a network path: loss, delay, jitter, reordering, duplication, a rate with a queue.

use crate::random::Random;

/// What a link does to datagrams. The default is a perfect wire.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct LinkConfig {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Fixed delay, microseconds.
    pub delay_us: u64,
    /// Up to this much is added, uniformly. Order is kept, as queues keep it; `reorder` breaks it.
    pub jitter_us: u64,
    /// Probability that a datagram overtakes the ones before it.
    pub reorder: f64,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Bits per second; `None` is unlimited.
    pub rate_bps: Option<u64>,
    /// Longest wait for the rate, microseconds; what would wait longer is lost.
    pub queue_us: u64,
}

/// A link with its state.
#[derive(Clone, Debug)]
pub struct Link {
    config: LinkConfig,
    random: Random,
    busy_until_us: u64,
    last_arrival_us: u64,
}

impl Link {
    /// A link of its own seed.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            random: Random::new(seed),
            busy_until_us: 0,
            last_arrival_us: 0,
        }
    }

    /// Behave differently from now on; the randomness starts anew from `seed`.
    pub fn reconfigure(&mut self, config: LinkConfig, seed: u64) {
        self.config = config;
        self.random = Random::new(seed);
    }

    /// When a datagram of `bytes` sent at `now_us` arrives: never, once or twice.
    pub fn send(&mut self, now_us: u64, bytes: usize) -> impl Iterator<Item = u64> + use<> {
        let (lost, overtakes, twice) = (
            self.random.chance(self.config.loss),
            self.random.chance(self.config.reorder),
            self.random.chance(self.config.duplicate),
        );
        let jitter_us = self.random.below(self.config.jitter_us + 1);
        let mut leaves_us = now_us;
        let mut overflow = false;
        if let Some(rate_bps) = self.config.rate_bps {
            let starts_us = self.busy_until_us.max(now_us);
            overflow = starts_us - now_us > self.config.queue_us;
            if !overflow && !lost {
                leaves_us = starts_us + (bytes as u64 + 28) * 8_000_000 / rate_bps.max(1);
                self.busy_until_us = leaves_us;
            }
        }
        let mut arrival_us = leaves_us + self.config.delay_us + jitter_us;
        if !overtakes {
            arrival_us = arrival_us.max(self.last_arrival_us);
        }
        let first = (!lost && !overflow).then_some(arrival_us);
        if first.is_some() && !overtakes {
            self.last_arrival_us = arrival_us;
        }
        let second = first.filter(|_| twice).map(|at| at + 500);
        first.into_iter().chain(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_wire_delivers_at_once() {
        let mut link = Link::new(LinkConfig::default(), 1);
        assert_eq!(link.send(7, 100).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn loss_is_what_was_asked_for() {
        let config = LinkConfig {
            loss: 0.1,
            ..LinkConfig::default()
        };
        let mut link = Link::new(config, 1);
        let arrived = (0..10_000).filter(|_| link.send(0, 100).next().is_some()).count();
        assert!((8_900..9_100).contains(&arrived), "{arrived}");
    }

    #[test]
    fn a_rate_spaces_datagrams_and_a_full_queue_loses_them() {
        let config = LinkConfig {
            rate_bps: Some(1_024_000),
            queue_us: 15_000,
            ..LinkConfig::default()
        };
        let mut link = Link::new(config, 1);
        let arrivals: Vec<_> = (0..4).map(|_| link.send(0, 1_252).next()).collect();
        assert_eq!(arrivals, [Some(10_000), Some(20_000), None, None]);
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_breaks_it() {
        let mut config = LinkConfig {
            jitter_us: 10_000,
            ..LinkConfig::default()
        };
        let run = |config| {
            let mut link = Link::new(config, 3);
            (0..1_000)
                .filter_map(|n| link.send(n * 100, 100).next())
                .collect::<Vec<_>>()
        };
        assert!(run(config).is_sorted());
        config.reorder = 0.2;
        assert!(!run(config).is_sorted());
    }
}
