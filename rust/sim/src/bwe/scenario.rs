//! The links of the scoreboard.

use super::ladder::{RATES_BPS, cost_bps};
use crate::link::{Burst, Cross, Flow, LinkConfig, RateChange, RateChanges, Stalls};

/// A link, and what can be expected of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Short, for files and the command line.
    pub name: &'static str,
    /// What it is, in words.
    pub about: &'static str,
    /// How long the viewer watches, seconds.
    pub seconds: u64,
    /// Towards the viewer.
    pub down: LinkConfig,
    /// Nothing happens to the line, so that the layer is to stay.
    pub steady: bool,
    /// From when on the times to 80 and 90 % count, seconds: the last time that the line became better.
    pub better_at: u64,
    /// Until when, seconds: competitors come then.
    pub until: u64,
}

/// Margin that both sides want before they go up; an estimate above this much of the top of the ladder is of no use.
const HEADROOM: f64 = 1.15;

impl Scenario {
    /// Towards the sender: the same delay, and loss where the line loses; its rate is never the bottleneck.
    pub fn up(&self) -> LinkConfig {
        LinkConfig {
            delay_us: self.down.delay_us,
            loss: self.down.loss,
            burst: self.down.burst,
            ..LinkConfig::default()
        }
    }

    /// What the line carries at a time, bits per second.
    pub fn rate_bps(&self, at_us: u64) -> u64 {
        let changes = self.down.changes.as_slice();
        let change = changes.iter().rev().find(|change| change.at_us <= at_us);
        change.map_or(self.down.rate_bps.unwrap_or(u64::MAX), |change| change.rate_bps)
    }

    /// What of that is there for the sender: what a constant competitor leaves, half of what a greedy one shares.
    pub fn share_bps(&self, at_us: u64) -> u64 {
        let rate_bps = self.rate_bps(at_us);
        let Some(cross) = self.down.cross else {
            return rate_bps;
        };
        let on = match cross.on_us {
            0 => at_us >= cross.off_us,
            on_us => at_us % (cross.off_us + on_us) >= cross.off_us,
        };
        match cross.flow {
            _ if !on => rate_bps,
            Flow::Constant(theirs_bps) => rate_bps.saturating_sub(theirs_bps),
            Flow::Reno(_) => rate_bps / 2,
        }
    }

    /// A competitor fills the queue, so that its length says little of the sender.
    pub fn is_filled_by_others(&self) -> bool {
        let greedy = |cross: Cross| matches!(cross.flow, Flow::Reno(_));
        self.down.cross.is_some_and(greedy)
    }

    /// What the estimate is to reach: the share, or all that the ladder can make use of.
    pub fn target_bps(&self, at_us: u64) -> u64 {
        let top = RATES_BPS.last().map_or(0, |rate| cost_bps(*rate));
        self.share_bps(at_us).min((top as f64 * HEADROOM) as u64)
    }

    /// The best encoding that the share carries with the margin.
    pub fn best(&self, at_us: u64) -> usize {
        let share = self.share_bps(at_us) as f64;
        let fits = |rate: &u64| cost_bps(*rate) as f64 * HEADROOM <= share;
        RATES_BPS.iter().rposition(fits).unwrap_or(0)
    }
}

/// 20 ms each way and a queue of 200 ms.
fn line(rate_bps: u64) -> LinkConfig {
    LinkConfig {
        delay_us: 20_000,
        rate_bps: Some(rate_bps),
        queue_us: 200_000,
        ..LinkConfig::default()
    }
}

fn steady(name: &'static str, about: &'static str, down: LinkConfig) -> Scenario {
    Scenario {
        name,
        about,
        seconds: 40,
        down,
        steady: true,
        better_at: 0,
        until: 40,
    }
}

fn steps(name: &'static str, about: &'static str, rate_bps: u64, changes: &[(u64, u64)]) -> Scenario {
    let steps: Vec<_> = changes
        .iter()
        .map(|(second, rate_bps)| RateChange {
            at_us: second * 1_000_000,
            rate_bps: *rate_bps,
        })
        .collect();
    let down = LinkConfig {
        changes: RateChanges::new(&steps).unwrap_or_default(),
        ..line(rate_bps)
    };
    Scenario {
        seconds: 60,
        steady: false,
        better_at: changes.last().map_or(0, |(second, _)| *second),
        until: 60,
        ..steady(name, about, down)
    }
}

fn competing(name: &'static str, about: &'static str, flow: Flow) -> Scenario {
    let cross = Cross {
        flow,
        off_us: 15_000_000,
        on_us: 15_000_000,
    };
    let down = LinkConfig {
        cross: Some(cross),
        ..line(3_000_000)
    };
    Scenario {
        seconds: 60,
        steady: false,
        until: 15,
        ..steady(name, about, down)
    }
}

/// All of them, in the order of the table.
pub fn all() -> Vec<Scenario> {
    let lossy = |loss| LinkConfig {
        loss,
        ..line(3_000_000)
    };
    let bloated = |rate_bps| LinkConfig {
        queue_us: 300_000,
        ..line(rate_bps)
    };
    vec![
        steady("fixed-0.3", "0.3 Mb/s", line(300_000)),
        steady("fixed-1", "1 Mb/s", line(1_000_000)),
        steady("fixed-3", "3 Mb/s", line(3_000_000)),
        steady("fixed-6", "6 Mb/s", line(6_000_000)),
        steps(
            "step-half",
            "3 → 1.5 Mb/s at 20 s → 3 Mb/s at 40 s",
            3_000_000,
            &[(20, 1_500_000), (40, 3_000_000)],
        ),
        steps("step-up", "1 → 3 Mb/s at 20 s", 1_000_000, &[(20, 3_000_000)]),
        steps(
            "step-deep",
            "4 → 0.6 Mb/s at 20 s → 4 Mb/s at 40 s",
            4_000_000,
            &[(20, 600_000), (40, 4_000_000)],
        ),
        steady("loss-2", "3 Mb/s, 2 % loss", lossy(0.02)),
        steady("loss-5", "3 Mb/s, 5 % loss", lossy(0.05)),
        steady("loss-10", "3 Mb/s, 10 % loss", lossy(0.10)),
        steady(
            "burst",
            "3 Mb/s, losses in bursts (1.6 % in all, 3 packets at a time on average)",
            LinkConfig {
                burst: Some(Burst {
                    enter: 0.005,
                    leave: 0.25,
                    loss: 0.8,
                }),
                ..line(3_000_000)
            },
        ),
        steady("bloat-1", "1 Mb/s behind a queue of 300 ms", bloated(1_000_000)),
        steady("bloat-3", "3 Mb/s behind a queue of 300 ms", bloated(3_000_000)),
        competing(
            "cross-constant",
            "3 Mb/s, of which another flow takes 1.5 in every other 15 s",
            Flow::Constant(1_500_000),
        ),
        competing(
            "cross-reno",
            "3 Mb/s shared with a bulk transfer (Reno) in every other 15 s",
            Flow::Reno(40_000),
        ),
        steady(
            "wifi",
            "3 Mb/s over a radio: stalls of 5 to 60 ms, 4 a second; frames sent together every 4 ms; 0.5 % loss",
            LinkConfig {
                stalls: Some(Stalls {
                    every_us: 220_000,
                    least_us: 5_000,
                    most_us: 60_000,
                }),
                aggregate_us: 4_000,
                loss: 0.005,
                ..line(3_000_000)
            },
        ),
        steady(
            "rtt-200",
            "3 Mb/s with a round trip of 200 ms",
            LinkConfig {
                delay_us: 100_000,
                ..line(3_000_000)
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Scenario {
        all().into_iter().find(|scenario| scenario.name == name).unwrap()
    }

    #[test]
    fn every_line_has_an_encoding_that_makes_use_of_it() {
        for scenario in all() {
            for second in 0..scenario.seconds {
                let at_us = second * 1_000_000;
                let cost_bps = cost_bps(RATES_BPS[scenario.best(at_us)]);
                let share = cost_bps as f64 / scenario.target_bps(at_us) as f64;
                assert!(
                    (0.6..=0.87).contains(&share),
                    "{} at {second} s: {share}",
                    scenario.name
                );
            }
        }
    }

    #[test]
    fn what_a_competitor_leaves_is_there() {
        let shares = |name| [0, 16, 31].map(|second: u64| named(name).share_bps(second * 1_000_000));
        assert_eq!(shares("cross-constant"), [3_000_000, 1_500_000, 3_000_000]);
        assert_eq!(shares("step-half").map(|rate| rate / 1_000), [3_000, 3_000, 1_500]);
    }
}
