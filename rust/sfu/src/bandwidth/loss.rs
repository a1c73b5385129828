//! Does loss mean congestion? A radio link loses some packets whatever is sent; a full queue loses what is too much.

use crate::time::Time;

/// Packets that make a fraction.
const PACKETS: u32 = 50;
/// Shortest time of a fraction, microseconds: a burst of losses is not the rule.
const WINDOW_US: u64 = 300_000;
/// Loss that every line may have.
const HARMLESS: f64 = 0.02;
/// Most that is ever taken for the line's own loss. A policer that drops a third must not pass for a bad radio.
const MOST_INHERENT: f64 = 0.15;

/// Most of it that a rate of arrival is raised by.
const MOST_MADE_UP: f64 = 0.1;

/// What the loss of the last window asks for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Verdict {
    /// Nothing.
    Harmless,
    /// The window's fraction above what the line loses anyway.
    Excess(f64),
}

/// Fractions of reported packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    arrived: u32,
    lost: u32,
    began: Time,
    smoothed: f64,
    /// Of the line while its queue was empty.
    inherent: f64,
}

impl Loss {
    /// A packet arrived; after it was reported missing, perhaps.
    pub fn arrived(&mut self, was_missing: bool) {
        self.arrived += 1;
        if was_missing {
            self.lost = self.lost.saturating_sub(1);
        }
    }

    /// A packet is missing.
    pub fn missing(&mut self) {
        self.lost += 1;
    }

    /// Judge the window, if it is full. `calm`: no queue stands or grows.
    pub fn judge(&mut self, now: Time, calm: bool) -> Option<Verdict> {
        let packets = self.arrived + self.lost;
        if packets < PACKETS || now.micros_since(self.began) < WINDOW_US {
            return None;
        }
        let fraction = f64::from(self.lost) / f64::from(packets);
        (self.arrived, self.lost, self.began) = (0, 0, now);
        self.smoothed += 0.3 * (fraction - self.smoothed);
        let excess = self.smoothed - self.inherent.max(HARMLESS);
        if calm || fraction < self.inherent {
            let target = fraction.min(MOST_INHERENT);
            let speed = if target > self.inherent { 0.25 } else { 0.05 };
            self.inherent += speed * (target - self.inherent);
        }
        Some(if excess > 0.0 {
            Verdict::Excess(excess)
        } else {
            Verdict::Harmless
        })
    }

    /// What arrives of what is sent, or more, when the line itself loses what it lost so far: what to divide by for a rate of sending.
    pub fn passed(&self) -> f64 {
        1.0 - self.inherent.min(MOST_MADE_UP)
    }

    /// Fraction lost of late, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.smoothed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(loss: &mut Loss, windows: u64, lost_of_100: u32, calm: bool) -> Vec<Verdict> {
        (0..windows)
            .filter_map(|_| {
                for n in 0..100 {
                    if n < lost_of_100 {
                        loss.missing();
                    } else {
                        loss.arrived(false);
                    }
                }
                let now = Time(loss.began.0 + WINDOW_US);
                loss.judge(now, calm)
            })
            .collect()
    }

    #[test]
    fn loss_without_a_queue_becomes_the_lines_own() {
        let mut loss = Loss::default();
        let verdicts = run(&mut loss, 100, 10, true);
        assert!(
            verdicts
                .iter()
                .skip(30)
                .all(|verdict| matches!(verdict, Verdict::Harmless | Verdict::Excess(0.0..0.02)))
        );
    }

    #[test]
    fn a_third_lost_is_congestion_for_ever() {
        let mut loss = Loss::default();
        let verdicts = run(&mut loss, 100, 33, true);
        assert!(matches!(verdicts.last(), Some(Verdict::Excess(0.15..0.2))));
    }

    #[test]
    fn a_packet_that_came_late_was_not_lost() {
        let mut loss = Loss::default();
        for _ in 0..50 {
            loss.missing();
        }
        for _ in 0..50 {
            loss.arrived(true);
        }
        assert_eq!(loss.judge(Time(WINDOW_US), true), Some(Verdict::Harmless));
        assert_eq!(loss.fraction(), 0.0);
    }
}
