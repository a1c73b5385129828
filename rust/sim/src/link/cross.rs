//! Somebody else's traffic through the same queue. It is worked out when one of our datagrams comes, in the order of time.

use std::collections::VecDeque;

use super::queue::Queue;

/// What a competitor sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The same rate whatever happens, bits per second.
    Constant(u64),
    /// A bulk transfer that fills the queue and halves at a loss, as Reno does (RFC 5681), with this round trip without the queue,
    /// microseconds.
    Reno(u64),
}

/// A competitor that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cross {
    /// What it sends.
    pub flow: Flow,
    /// Silent for this long at first and after each turn, microseconds.
    pub off_us: u64,
    /// Then sending for this long; 0: for ever.
    pub on_us: u64,
}

/// Bytes of a segment, without IPv4 and UDP.
const SEGMENT: usize = 1_222;
/// RFC 6928's first window, segments.
const FIRST_WINDOW: f64 = 10.0;

/// A segment of Reno's.
#[derive(Clone, Copy, Debug)]
struct Flying {
    sent_us: u64,
    /// When its sender knows what became of it.
    heard_us: u64,
    lost: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Crossing {
    cross: Cross,
    /// Begin of the turn that runs or comes next.
    on_at_us: u64,
    /// The next datagram of a constant flow; the begin of the turn for Reno.
    next_us: u64,
    window: f64,
    threshold: f64,
    flying: VecDeque<Flying>,
    /// Losses of what was sent before belong to the event that halved the window last.
    halved_us: u64,
}

impl Crossing {
    pub(super) fn new(cross: Cross, now_us: u64) -> Self {
        let on_at_us = now_us + cross.off_us;
        Self {
            cross,
            on_at_us,
            next_us: on_at_us,
            window: FIRST_WINDOW,
            threshold: f64::MAX,
            flying: VecDeque::new(),
            halved_us: 0,
        }
    }

    /// All that it sends up to `now_us`.
    pub(super) fn advance(&mut self, now_us: u64, queue: &mut Queue) {
        loop {
            let heard_us = self.flying.front().map(|flying| flying.heard_us);
            let at_us = heard_us.map_or(self.next_us, |heard| heard.min(self.next_us));
            if at_us > now_us {
                return;
            }
            if self.ends_us().is_some_and(|end| at_us >= end) {
                self.rest();
                continue;
            }
            match self.cross.flow {
                Flow::Constant(rate_bps) => {
                    queue.offer(at_us, SEGMENT);
                    self.next_us = at_us + (SEGMENT as u64 + 28) * 8_000_000 / rate_bps.max(1);
                }
                Flow::Reno(round_trip_us) => {
                    if heard_us == Some(at_us)
                        && let Some(flying) = self.flying.pop_front()
                    {
                        self.heard(at_us, flying);
                    }
                    self.next_us = u64::MAX;
                    while (self.flying.len() as f64) < self.window {
                        self.transfer(at_us, round_trip_us, queue);
                    }
                }
            }
        }
    }

    fn ends_us(&self) -> Option<u64> {
        (self.cross.on_us > 0).then(|| self.on_at_us + self.cross.on_us)
    }

    /// The turn is over; the next one begins as the first did.
    fn rest(&mut self) {
        let ended_us = self.on_at_us + self.cross.on_us;
        *self = Self::new(self.cross, ended_us);
    }

    fn heard(&mut self, now_us: u64, flying: Flying) {
        if flying.lost {
            if flying.sent_us > self.halved_us {
                self.window = (self.window / 2.0).max(2.0);
                self.threshold = self.window;
                self.halved_us = now_us;
            }
        } else if self.window < self.threshold {
            self.window += 1.0;
        } else {
            self.window += 1.0 / self.window;
        }
    }

    fn transfer(&mut self, now_us: u64, round_trip_us: u64, queue: &mut Queue) {
        let waits_us = queue.backlog_us(now_us);
        let passage = queue.offer(now_us, SEGMENT);
        // The receiver's duplicate acknowledgements tell of a loss as soon as those behind it arrive.
        let leaves_us = passage.map_or(now_us + waits_us, |passage| passage.leaves_us);
        let last_us = self.flying.back().map_or(0, |flying| flying.heard_us);
        self.flying.push_back(Flying {
            sent_us: now_us,
            heard_us: (leaves_us + round_trip_us).max(last_us),
            lost: passage.is_none(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fate, Link, LinkConfig};
    use super::*;

    fn shared(cross: Cross, rate_bps: u64, queue_us: u64) -> Link {
        let config = LinkConfig {
            rate_bps: Some(rate_bps),
            queue_us,
            cross: Some(cross),
            ..LinkConfig::default()
        };
        Link::new(config, 1)
    }

    /// The wait of a small datagram every 5 ms, milliseconds; `None` where it was lost.
    fn waits(link: &mut Link, from_ms: u64, to_ms: u64) -> Vec<Option<u64>> {
        (from_ms..to_ms)
            .step_by(5)
            .map(|ms| {
                let _ = link.send(ms * 1_000, 10);
                match link.fate() {
                    Fate::Passed { waited_us } => Some(waited_us / 1_000),
                    Fate::Lost | Fate::Overflowed => None,
                }
            })
            .collect()
    }

    #[test]
    fn a_constant_flow_takes_its_share_while_it_is_on() {
        let cross = Cross {
            flow: Flow::Constant(2_000_000),
            off_us: 1_000_000,
            on_us: 1_000_000,
        };
        let mut link = shared(cross, 1_000_000, 300_000);
        assert!(waits(&mut link, 0, 1_000).iter().all(|wait| *wait == Some(0)));
        // Twice what the link carries: the queue grows by a second in each second until it is full.
        let on = waits(&mut link, 1_000, 2_000);
        assert!(on.iter().flatten().any(|wait| *wait > 250), "{on:?}");
        assert!(on.contains(&None), "{on:?}");
        assert!(waits(&mut link, 2_400, 3_000).iter().all(|wait| *wait == Some(0)));
    }

    #[test]
    fn reno_fills_the_queue_and_backs_off_when_it_overflows() {
        let cross = Cross {
            flow: Flow::Reno(40_000),
            off_us: 0,
            on_us: 0,
        };
        let mut link = shared(cross, 3_000_000, 200_000);
        let waits = waits(&mut link, 0, 60_000);
        let settled: Vec<_> = waits[2_000..].iter().flatten().collect();
        let (least, most) = (settled.iter().min().unwrap(), settled.iter().max().unwrap());
        assert!(**most >= 195, "it grows until a loss: {most} ms");
        assert!((60..130).contains(*least), "and halves then: {least} ms");
    }
}
