//! Is a queue growing? The delay-based half of Google congestion control (draft-ietf-rmcat-gcc-02 §5.2–5.4, and the trendline that
//! replaced its Kalman filter): packets in groups of 5 ms, the gradient of their one-way delay, a threshold that adapts.

/// Packets sent within this time of the first one are one group, microseconds.
const GROUP_US: i64 = 5_000;
/// Packets that arrive this close to each other although they were sent apart left a queue together, microseconds.
const BURST_US: i64 = 5_000;
/// Longest burst, microseconds.
const MAX_BURST_US: i64 = 100_000;
/// A step of the receiver's clock against ours beyond this is a new clock, microseconds.
const CLOCK_STEP_US: i64 = 3_000_000;
/// Groups in the regression.
const WINDOW: usize = 20;
/// Weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// Gain of the trend before it is compared.
const GAIN: f64 = 4.0;
/// How many groups make the trend count fully.
const FULL: f64 = 60.0;
/// Bounds of the threshold, and where it begins.
const THRESHOLD: (f64, f64, f64) = (6.0, 12.5, 600.0);
/// How fast the threshold follows a trend above and below it, per millisecond.
const FOLLOW: (f64, f64) = (0.0087, 0.039);
/// A trend that exceeds the threshold by more than this is a spike that the threshold does not follow.
const SPIKE: f64 = 15.0;
/// Overuse must last this long, milliseconds.
const OVERUSE_MS: f64 = 10.0;

/// What the delay says of the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Usage {
    /// Delay neither grows nor shrinks.
    #[default]
    Normal,
    /// A queue grows.
    Over,
    /// A queue drains.
    Under,
}

/// Packets that were sent together.
#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_arrival: i64,
    last_arrival: i64,
}

impl Group {
    fn new(sent: i64, arrival: i64) -> Self {
        Self {
            first_sent: sent,
            last_sent: sent,
            first_arrival: arrival,
            last_arrival: arrival,
        }
    }

    fn includes(&self, sent: i64, arrival: i64) -> bool {
        let apart = arrival - self.last_arrival;
        let left_together = apart - (sent - self.last_sent) < 0 && apart <= BURST_US;
        sent - self.first_sent <= GROUP_US || (left_together && arrival - self.first_arrival < MAX_BURST_US)
    }
}

/// Takes packets, says whether a queue grows. Times of sending and of arrival are on clocks that need not agree.
#[derive(Debug, Default)]
pub(crate) struct Delay {
    present: Option<Group>,
    before: Option<Group>,
    trend: Trend,
    detector: Detector,
}

impl Delay {
    /// A packet arrived. Packets come roughly in the order of sending; one that was overtaken by a whole group is left out.
    pub fn packet(&mut self, sent_us: i64, arrival_us: i64) {
        let Some(group) = &mut self.present else {
            self.present = Some(Group::new(sent_us, arrival_us));
            return;
        };
        if sent_us < group.first_sent {
            return;
        }
        if group.includes(sent_us, arrival_us) {
            group.last_sent = group.last_sent.max(sent_us);
            group.last_arrival = group.last_arrival.max(arrival_us);
            return;
        }
        let group = *group;
        if let Some(before) = self.before {
            let sent = group.last_sent - before.last_sent;
            let arrived = group.last_arrival - before.last_arrival;
            if (arrived - sent).abs() > CLOCK_STEP_US {
                self.restart(sent_us, arrival_us);
                return;
            }
            if arrived >= 0 {
                let trend = self.trend.add(group.last_arrival, arrived - sent);
                self.detector.detect(trend, sent as f64 / 1000.0, group.last_arrival);
            }
        }
        self.before = Some(group);
        self.present = Some(Group::new(sent_us, arrival_us));
    }

    /// What the last groups say.
    pub fn usage(&self) -> Usage {
        self.detector.usage
    }

    fn restart(&mut self, sent_us: i64, arrival_us: i64) {
        *self = Self {
            present: Some(Group::new(sent_us, arrival_us)),
            ..Self::default()
        };
    }
}

/// The slope of the delay by least squares.
#[derive(Debug, Default)]
struct Trend {
    /// Arrival since the first one and smoothed delay, milliseconds; a ring.
    points: [(f64, f64); WINDOW],
    count: usize,
    first: Option<i64>,
    accumulated: f64,
    smoothed: f64,
}

impl Trend {
    /// One more change of the delay. The answer is the slope, times how many groups it stands on.
    fn add(&mut self, arrival_us: i64, change_us: i64) -> f64 {
        let first = *self.first.get_or_insert(arrival_us);
        self.accumulated += change_us as f64 / 1000.0;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        let x = (arrival_us - first) as f64 / 1000.0;
        if let Some(place) = self.points.get_mut(self.count % WINDOW) {
            *place = (x, self.smoothed);
        }
        self.count += 1;
        let slope = if self.count < WINDOW { 0.0 } else { slope(&self.points) };
        slope * (self.count as f64).min(FULL) * GAIN
    }
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    let (x, y) = (x / n, y / n);
    let (above, below) = points.iter().fold((0.0, 0.0), |sum, point| {
        let from = point.0 - x;
        (sum.0 + from * (point.1 - y), sum.1 + from * from)
    });
    if below > 0.0 { above / below } else { 0.0 }
}

#[derive(Debug)]
struct Detector {
    usage: Usage,
    threshold: f64,
    adapted: Option<i64>,
    /// How long the trend has been above the threshold, milliseconds, and over how many groups.
    over: Option<(f64, u32)>,
    trend: f64,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            usage: Usage::Normal,
            threshold: THRESHOLD.1,
            adapted: None,
            over: None,
            trend: 0.0,
        }
    }
}

impl Detector {
    fn detect(&mut self, trend: f64, sent_ms: f64, arrival_us: i64) {
        if trend > self.threshold {
            // Where between the two groups it began is unknown: in the middle.
            let (lasted, groups) = match self.over {
                None => (sent_ms / 2.0, 1),
                Some((lasted, groups)) => (lasted + sent_ms, groups + 1),
            };
            self.over = Some((lasted, groups));
            if lasted > OVERUSE_MS && groups > 1 && trend >= self.trend {
                self.over = Some((0.0, 0));
                self.usage = Usage::Over;
            }
        } else {
            self.over = None;
            self.usage = if trend < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.trend = trend;
        self.adapt(trend, arrival_us);
    }

    fn adapt(&mut self, trend: f64, arrival_us: i64) {
        let since = self.adapted.map_or(0, |at| arrival_us - at).clamp(0, 100_000);
        self.adapted = Some(arrival_us);
        if trend.abs() > self.threshold + SPIKE {
            return;
        }
        let follow = if trend.abs() < self.threshold {
            FOLLOW.1
        } else {
            FOLLOW.0
        };
        self.threshold += follow * (trend.abs() - self.threshold) * since as f64 / 1000.0;
        self.threshold = self.threshold.clamp(THRESHOLD.0, THRESHOLD.2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets every 10 ms, the n-th of which is `delay(n)` under way, microseconds.
    fn usages(count: i64, delay: impl Fn(i64) -> i64) -> Vec<Usage> {
        let mut detector = Delay::default();
        (0..count)
            .map(|n| {
                let sent = n * 10_000;
                detector.packet(sent, -77_000_000 + sent + delay(n));
                detector.usage()
            })
            .collect()
    }

    #[test]
    fn a_steady_delay_is_normal() {
        assert!(usages(500, |_| 30_000).iter().all(|usage| *usage == Usage::Normal));
    }

    #[test]
    fn a_growing_queue_is_overuse_within_a_quarter_of_a_second() {
        let usages = usages(200, |n| (n - 100).max(0) * 1_500);
        let first = usages.iter().position(|usage| *usage == Usage::Over);
        assert!(first.is_some_and(|first| (100..125).contains(&first)), "{first:?}");
    }

    #[test]
    fn a_draining_queue_is_underuse() {
        let usages = usages(200, |n| 300_000 - (n - 100).clamp(0, 60) * 5_000);
        assert!(usages.contains(&Usage::Under));
    }

    #[test]
    fn a_new_clock_is_no_queue() {
        let usages = usages(500, |n| if n > 200 { 100_000_000 } else { 0 });
        assert!(!usages.contains(&Usage::Over));
    }

    #[test]
    fn packets_that_leave_a_queue_together_are_one_group() {
        // A line that is served every 30 ms: three packets arrive at once.
        let usages = usages(500, |n| 30_000 - n % 3 * 10_000);
        assert!(!usages.contains(&Usage::Over));
    }
}
