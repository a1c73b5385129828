//! One arbiter per encoding between all who want a key frame and the publisher, who pays for it with quality.

use std::time::Duration;

use crate::time::Time;

/// Least time between the end of one request (its last try) and the first try of the next.
pub const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// Tries after the first.
pub const MAX_RETRIES: u32 = 5;
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// A small generator (xorshift64*): jitter needs no more, and the same seed gives the same run.
#[derive(Clone, Copy, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// `base` to `base` and a quarter, so that many publishers that lost the same link do not answer at once.
    fn lengthen(&mut self, base: Duration) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let share = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 48;
        base + base * share as u32 / (4 * 65_536)
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Silent,
    Asking {
        due: Time,
        sent: u32,
    },
}

/// The wish for a key frame of one encoding.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyFrameRequests {
    state: State,
    last_sent: Option<Time>,
}

impl KeyFrameRequests {
    /// Somebody wants a key frame. Joins the wish that is there already.
    pub fn request(&mut self, now: Time, jitter: &mut Jitter) {
        if matches!(self.state, State::Asking { .. }) {
            return;
        }
        let due = match self.last_sent {
            Some(last) if now.since(last) < MIN_INTERVAL => last + jitter.lengthen(MIN_INTERVAL),
            Some(_) | None => now,
        };
        self.state = State::Asking { due, sent: 0 };
    }

    /// A key frame began: everybody has what they want, or asks again.
    pub fn satisfied(&mut self) {
        self.state = State::Silent;
    }

    /// When to ask the publisher.
    pub fn due(&self) -> Option<Time> {
        match self.state {
            State::Silent => None,
            State::Asking { due, .. } => Some(due),
        }
    }

    /// The publisher was asked.
    pub fn sent(&mut self, now: Time, jitter: &mut Jitter) {
        self.last_sent = Some(now);
        if let State::Asking { sent, .. } = self.state {
            self.state = if sent >= MAX_RETRIES {
                State::Silent
            } else {
                let wait = (FIRST_RETRY * (1 << sent.min(8))).min(LONGEST_RETRY);
                State::Asking {
                    due: now + jitter.lengthen(wait),
                    sent: sent + 1,
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All tries up to `until`, with a request every `every`.
    fn storm(until: Time, every: Duration, satisfied_at: Option<Time>) -> Vec<Time> {
        let (mut requests, mut jitter) = (KeyFrameRequests::default(), Jitter::new(7));
        let (mut sent, mut now) = (Vec::new(), Time(1_000_000));
        let mut pending = satisfied_at;
        while now < until {
            if pending.is_some_and(|at| at <= now) {
                requests.satisfied();
                pending = None;
            }
            requests.request(now, &mut jitter);
            while requests.due().is_some_and(|due| due <= now) {
                requests.sent(now, &mut jitter);
                sent.push(now);
            }
            now += every;
        }
        sent
    }

    #[test]
    fn a_storm_costs_one_request_until_the_retry() {
        let sent = storm(Time(1_240_000), Duration::from_millis(1), None);
        assert_eq!(sent, [Time(1_000_000)]);
    }

    #[test]
    fn after_a_key_frame_the_next_request_waits_half_a_second() {
        let sent = storm(Time(1_700_000), Duration::from_millis(1), Some(Time(1_100_000)));
        assert_eq!(sent.len(), 2);
        let apart = sent[1].since(sent[0]);
        assert!((MIN_INTERVAL..=MIN_INTERVAL * 5 / 4).contains(&apart), "{apart:?}");
    }

    #[test]
    fn an_unanswered_request_is_repeated_five_times_and_then_falls_silent() {
        let (mut requests, mut jitter) = (KeyFrameRequests::default(), Jitter::new(1));
        requests.request(Time::ZERO, &mut jitter);
        let mut waits = Vec::new();
        let mut last = Time::ZERO;
        while let Some(due) = requests.due() {
            waits.push(due.since(last).as_millis());
            requests.sent(due, &mut jitter);
            last = due;
        }
        let least = [0, 250, 500, 1000, 1000, 1000];
        assert_eq!(waits.len(), least.len());
        for (wait, least) in waits.iter().zip(least) {
            assert!((least..=least * 5 / 4).contains(wait), "{waits:?}");
        }
        requests.request(last + MIN_INTERVAL, &mut jitter);
        assert_eq!(
            requests.due(),
            Some(last + MIN_INTERVAL),
            "asked again, it speaks again"
        );
    }

    #[test]
    fn a_key_frame_ends_the_retries() {
        let (mut requests, mut jitter) = (KeyFrameRequests::default(), Jitter::new(1));
        requests.request(Time::ZERO, &mut jitter);
        requests.sent(Time::ZERO, &mut jitter);
        requests.satisfied();
        assert_eq!(requests.due(), None);
    }
}
