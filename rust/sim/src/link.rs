//! One direction of a network path: loss, delay, jitter, reordering, duplication, and a rate with a queue, which others may share.

mod cross;
mod queue;
mod stalls;

pub use cross::{Cross, Flow};
pub use queue::{MAX_CHANGES, RateChange, RateChanges};
pub use stalls::Stalls;

use crate::random::Random;
use cross::Crossing;
use queue::Queue;
use stalls::Stalling;

/// What a link does to datagrams. The default is a perfect wire.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct LinkConfig {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Losses that come in bursts.
    pub burst: Option<Burst>,
    /// Fixed delay, microseconds.
    pub delay_us: u64,
    /// Up to this much is added, uniformly. Order is kept, as queues keep it; `reorder` breaks it.
    pub jitter_us: u64,
    /// Times when nothing comes through, as on a busy radio channel.
    pub stalls: Option<Stalls>,
    /// Datagrams arrive together at multiples of this, as frames of a radio that are sent as one; 0: each by itself.
    pub aggregate_us: u64,
    /// Probability that a datagram overtakes the ones before it.
    pub reorder: f64,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Bits per second until the first of `changes`; `None` is unlimited.
    pub rate_bps: Option<u64>,
    /// Longest wait for the rate, microseconds; what would wait longer is lost.
    pub queue_us: u64,
    /// What becomes of the rate.
    pub changes: RateChanges,
    /// Who else waits in the queue. Nobody can where the rate is unlimited.
    pub cross: Option<Cross>,
}

/// Gilbert and Elliott's two states. In the good one nothing is lost (but for [`LinkConfig::loss`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Probability that the state turns bad with a datagram.
    pub enter: f64,
    /// Probability that it turns good again with a datagram.
    pub leave: f64,
    /// Probability that a datagram is lost in the bad one.
    pub loss: f64,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The line lost it.
    Lost,
    /// The queue was full.
    Overflowed,
    /// It passed, after waiting for those before it.
    Passed {
        /// Microseconds in the queue.
        waited_us: u64,
    },
}

/// A link with its state. Its time begins with the first datagram after it was made or reconfigured: from then on count the changes
/// of the rate and the others' turns.
#[derive(Clone, Debug)]
pub struct Link {
    config: LinkConfig,
    random: Random,
    seed: u64,
    bad: bool,
    queue: Queue,
    crossing: Option<Crossing>,
    stalling: Option<Stalling>,
    started: bool,
    last_arrival_us: u64,
    fate: Fate,
}

impl Link {
    /// A link of its own seed.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            random: Random::new(seed),
            seed,
            bad: false,
            queue: Queue::default(),
            crossing: None,
            stalling: None,
            started: false,
            last_arrival_us: 0,
            fate: Fate::Lost,
        }
    }

    /// Behave differently from now on; the randomness starts anew from `seed`. What waits in the queue goes on waiting as long as it
    /// was to.
    pub fn reconfigure(&mut self, config: LinkConfig, seed: u64) {
        self.config = config;
        self.random = Random::new(seed);
        self.seed = seed;
        self.bad = false;
        self.started = false;
    }

    fn start(&mut self, now_us: u64) {
        self.started = true;
        self.queue
            .begin(now_us, self.config.rate_bps, self.config.changes, self.config.queue_us);
        // Of their own seeds, so that they do not depend on how much is sent.
        self.crossing = self.config.cross.map(|cross| Crossing::new(cross, now_us));
        self.stalling = self
            .config
            .stalls
            .map(|stalls| Stalling::new(stalls, now_us, self.seed ^ 0x5ca1_ab1e));
    }

    /// When a datagram of `bytes` sent at `now_us` arrives: never, once or twice.
    pub fn send(&mut self, now_us: u64, bytes: usize) -> impl Iterator<Item = u64> + use<> {
        if !self.started {
            self.start(now_us);
        }
        if let Some(crossing) = &mut self.crossing {
            crossing.advance(now_us, &mut self.queue);
        }
        let (mut lost, overtakes, twice) = (
            self.random.chance(self.config.loss),
            self.random.chance(self.config.reorder),
            self.random.chance(self.config.duplicate),
        );
        let jitter_us = self.random.below(self.config.jitter_us + 1);
        if let Some(burst) = self.config.burst {
            let turns = self.random.chance(if self.bad { burst.leave } else { burst.enter });
            self.bad ^= turns;
            lost |= self.random.chance(burst.loss) && self.bad;
        }
        self.fate = Fate::Lost;
        let passage = if lost { None } else { self.queue.offer(now_us, bytes) };
        if !lost {
            self.fate = passage.map_or(Fate::Overflowed, |passage| Fate::Passed {
                waited_us: passage.starts_us - now_us,
            });
        }
        let first = passage.map(|passage| {
            let mut leaves_us = passage.leaves_us;
            if let Some(stalling) = &mut self.stalling {
                leaves_us = stalling.release_us(leaves_us);
            }
            if self.config.aggregate_us > 0 {
                leaves_us = leaves_us.next_multiple_of(self.config.aggregate_us);
            }
            let arrival_us = leaves_us + self.config.delay_us + jitter_us;
            if overtakes {
                return arrival_us;
            }
            self.last_arrival_us = arrival_us.max(self.last_arrival_us);
            self.last_arrival_us
        });
        let second = first.filter(|_| twice).map(|at| at + 500);
        first.into_iter().chain(second)
    }

    /// What became of the datagram sent last.
    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// How long a datagram sent at `now_us` would wait for the rate, microseconds.
    pub fn backlog_us(&self, now_us: u64) -> u64 {
        self.queue.backlog_us(now_us)
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
    fn losses_of_a_burst_follow_each_other() {
        let config = LinkConfig {
            burst: Some(Burst {
                enter: 0.01,
                leave: 0.2,
                loss: 0.8,
            }),
            ..LinkConfig::default()
        };
        let mut link = Link::new(config, 1);
        let lost: Vec<_> = (0..100_000).map(|_| link.send(0, 100).next().is_none()).collect();
        let share = lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64;
        assert!((0.03..0.05).contains(&share), "0.01 / 0.21 of the time is bad: {share}");
        let pairs = lost.windows(2).filter(|pair| pair[0]).count() as f64;
        let follow = lost.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64 / pairs;
        assert!(
            (0.6..0.7).contains(&follow),
            "0.8 stay bad, of which 0.8 are lost: {follow}"
        );
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
        assert_eq!(link.fate(), Fate::Overflowed);
        assert_eq!(link.backlog_us(5_000), 15_000);
    }

    #[test]
    fn the_wait_in_the_queue_is_told() {
        let config = LinkConfig {
            rate_bps: Some(1_024_000),
            queue_us: 15_000,
            ..LinkConfig::default()
        };
        let mut link = Link::new(config, 1);
        let waits = [0, 4_000].map(|now_us| {
            let _ = link.send(now_us, 1_252);
            link.fate()
        });
        assert_eq!(
            waits,
            [Fate::Passed { waited_us: 0 }, Fate::Passed { waited_us: 6_000 }]
        );
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

    #[test]
    fn aggregated_datagrams_arrive_together() {
        let config = LinkConfig {
            aggregate_us: 8_000,
            delay_us: 1_000,
            ..LinkConfig::default()
        };
        let mut link = Link::new(config, 1);
        let arrivals: Vec<_> = [0, 1, 7_000, 8_001].map(|at| link.send(at, 100).next()).into();
        assert_eq!(arrivals, [Some(1_000), Some(9_000), Some(9_000), Some(17_000)]);
    }
}
