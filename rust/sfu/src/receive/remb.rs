//! An estimate of the publisher's line for publishers without transport-wide feedback (draft-alvestrand-rmcat-remb-03): from the
//! times at which packets say that they were sent, and those at which they came.

use std::time::Duration;

use crate::bandwidth::{Delay, Queueing, Rate, Throughput, Usage};
use crate::time::Time;

/// Until congestion shows nothing is held back: publishers begin low and watch their loss.
const MOST_BPS: u64 = 50_000_000;
/// Sound, and the least of pictures.
const LEAST_BPS: u64 = 50_000;
/// Between two estimates.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at the queue. Packets are many, and feedback is no faster elsewhere.
const LOOK: Duration = Duration::from_millis(50);
/// The round trip besides the queue. Publishers report none.
const RTT: Duration = Duration::from_millis(100);
/// Congestion is a queue of so long that grows, or of so long whatever it does; none is one below the first. Microseconds.
const STANDING_US: (u64, u64) = (10_000, 100_000);
/// What arrives while a queue stands, and otherwise. Microseconds.
const ARRIVING_US: (i64, i64) = (200_000, 500_000);
/// Sum of an estimate's silence: without packets nothing is told.
const SILENCE: Duration = Duration::from_secs(3);

/// Estimates and when to tell them.
#[derive(Debug)]
pub(super) struct Estimate {
    delay: Delay,
    queueing: Queueing,
    throughput: Throughput,
    rate: Rate,
    /// The newest time of sending: 24 bits as received, and microseconds that do not wrap.
    sent: Option<(u32, i64)>,
    newest: Time,
    look_at: Time,
    told_at: Option<Time>,
    told_bps: u64,
}

impl Estimate {
    pub fn new() -> Self {
        Self {
            delay: Delay::default(),
            queueing: Queueing::default(),
            throughput: Throughput::default(),
            rate: Rate::new(Time::ZERO, MOST_BPS, LEAST_BPS, MOST_BPS),
            sent: None,
            newest: Time::ZERO,
            look_at: Time::ZERO,
            told_at: None,
            told_bps: MOST_BPS,
        }
    }

    /// A packet of `bytes` came, sent at this time: seconds modulo 64 as 6.18 fixed point, by the publisher's clock.
    pub fn packet(&mut self, now: Time, abs_send_time: u32, bytes: usize) {
        let (sent_us, arrival_us) = (self.unwrap(abs_send_time), now.0 as i64);
        self.delay.packet(sent_us, arrival_us);
        self.queueing.packet(sent_us, arrival_us);
        self.throughput.add(arrival_us, bytes);
        self.newest = now;
        self.told_at.get_or_insert(now);
        if now >= self.look_at {
            self.look_at = now + LOOK;
            self.look(now);
        }
    }

    /// When it wants to be told.
    pub fn due(&self) -> Option<Time> {
        let told = self.told_at?;
        if self.has_fallen() {
            return Some(self.newest);
        }
        (told.since(self.newest) < SILENCE).then(|| told + INTERVAL)
    }

    /// It is told.
    pub fn tell(&mut self, now: Time) -> u64 {
        self.told_at = Some(now);
        self.told_bps = self.rate.bps();
        if now.since(self.newest) >= SILENCE {
            self.told_at = None;
        }
        self.told_bps
    }

    fn has_fallen(&self) -> bool {
        self.rate.bps() * 100 < self.told_bps * 97
    }

    fn look(&mut self, now: Time) {
        let standing_us = self.queueing.standing_us();
        let usage = self.delay.usage();
        let steady = self.throughput.bps(ARRIVING_US.1);
        let growing = usage == Usage::Over && standing_us > STANDING_US.0;
        let full = standing_us > STANDING_US.1 && usage != Usage::Under;
        if growing || full {
            let arriving = self.throughput.bps(ARRIVING_US.0).or(steady);
            self.rate.congested(now, arriving, standing_us, RTT);
        } else if usage == Usage::Normal && standing_us < STANDING_US.1 {
            self.rate.grow(now, steady, MOST_BPS, RTT);
        } else {
            self.rate.hold(now);
        }
    }

    fn unwrap(&mut self, sent: u32) -> i64 {
        let Some((last, last_us)) = self.sent else {
            self.sent = Some((sent, 0));
            return 0;
        };
        // The 24 bits are moved up to take the sign along, and back down.
        let step = i64::from(((sent.wrapping_sub(last) << 8) as i32) >> 8);
        let us = last_us + step * 1_000_000 / (1 << 18);
        if step > 0 {
            self.sent = Some((sent, us));
        }
        us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A publisher sends at what it was told last, at most `most`, over a line of `line(seconds)`; what it was told, with the time.
    fn told(seconds: u64, most: u64, line: impl Fn(u64) -> u64) -> Vec<(u64, u64)> {
        let mut estimate = Estimate::new();
        let mut told = Vec::new();
        let (mut now, mut free, mut rate) = (0, 0, most);
        while now < seconds * 1_000_000 {
            now += 1_000 * 8 * 1_000_000 / rate;
            free = now.max(free) + 1_000 * 8 * 1_000_000 / line(now / 1_000_000);
            // The publisher's clock is another one, and wraps within the run.
            let sent = (((now + 50_000_000) << 18) / 1_000_000) as u32 & 0x00ff_ffff;
            let arrival = Time(free + 20_000);
            estimate.packet(arrival, sent, 1_000);
            if estimate.due().is_some_and(|due| due <= arrival) {
                let bps = estimate.tell(arrival);
                told.push((arrival.0, bps));
                rate = bps.min(most);
            }
        }
        told
    }

    #[test]
    fn a_fast_line_is_told_once_a_second_and_holds_nothing_back() {
        let told = told(20, 2_000_000, |_| 20_000_000);
        assert!((18..=20).contains(&told.len()), "{}", told.len());
        assert!(told.iter().all(|(_, bps)| *bps >= 2_000_000));
    }

    #[test]
    fn a_fall_is_told_at_once_and_a_rise_followed() {
        let told = told(60, 3_000_000, |second| match second {
            0..20 => 4_000_000,
            20..40 => 1_000_000,
            _ => 4_000_000,
        });
        let first = told.iter().find(|(_, bps)| *bps < 1_000_000).expect("told");
        assert!(first.0 < 20_600_000, "{first:?}");
        let low: Vec<_> = told
            .iter()
            .filter(|(at, _)| (25_000_000..40_000_000).contains(at))
            .collect();
        assert!(low.iter().all(|(_, bps)| (600_000..1_200_000).contains(bps)), "{low:?}");
        let last = told.last().expect("told");
        assert!(last.1 > 2_000_000, "{last:?}");
    }

    #[test]
    fn nothing_is_told_of_a_publisher_that_fell_silent() {
        let mut estimate = Estimate::new();
        assert_eq!(estimate.due(), None);
        estimate.packet(Time(5), 7, 100);
        let mut count = 0;
        while let Some(due) = estimate.due() {
            estimate.tell(due);
            count += 1;
            assert!(count < 10);
        }
        assert_eq!(count, 3);
    }
}
