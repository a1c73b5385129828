//! What a run is judged by.

use super::course::{Run, SAMPLE_US};
use super::ladder::{FPS, RATES_BPS, cost_bps};
use super::scenario::Scenario;

/// A standstill is longer than this beyond the time between two pictures, microseconds.
pub const FREEZE_US: u64 = 200_000;
/// Utilisation counts from here on, seconds: before it, the line is still being looked for.
const SETTLED_S: u64 = 5;
/// Changes of layer count from here on, seconds: those on the way up are wanted.
const RISEN_S: u64 = 10;

/// One run in numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// Seconds until the estimate was 80 % of its target; all the time that there was, if it never was.
    pub to_80_s: f64,
    /// The same for 90 %.
    pub to_90_s: f64,
    /// Media delivered, of what the line carried for it.
    pub utilisation: f64,
    /// Media delivered, of the best encoding that fits with its margin.
    pub of_best: f64,
    /// Median wait before the bottleneck, milliseconds.
    pub queue_p50_ms: f64,
    /// 95th percentile of it.
    pub queue_p95_ms: f64,
    /// Datagrams lost by the full queue, per cent.
    pub overflow: f64,
    /// Changes of the shown encoding, per minute.
    pub changes: f64,
    /// Standstills.
    pub freezes: f64,
    /// Longest time without a new picture, milliseconds.
    pub longest_ms: f64,
    /// From the begin to the first picture, milliseconds.
    pub first_ms: f64,
    /// Pictures that a decoder would have been wrong about, and damaged packets. Must be 0.
    pub wrong: f64,
}

/// How a measure is judged and written.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Column of the CSV.
    pub key: &'static str,
    /// Column of the table.
    pub heading: &'static str,
    /// Less is better.
    pub less: bool,
    /// A difference below this is none.
    pub slack: f64,
    /// Digits after the point.
    pub digits: usize,
    /// Ours must not be worse by more than a tenth.
    pub compared: bool,
    /// The number.
    pub of: fn(&Measures) -> f64,
}

/// All of them.
pub const METRICS: [Metric; 12] = [
    metric("to_80_s", "80 % s", true, 0.5, 1, true, |of| of.to_80_s),
    metric("to_90_s", "90 % s", true, 0.5, 1, false, |of| of.to_90_s),
    metric("utilisation", "used", false, 0.02, 2, true, |of| of.utilisation),
    metric("of_best", "of best", false, 0.02, 2, false, |of| of.of_best),
    metric("queue_p50_ms", "queue p50", true, 10.0, 0, false, |of| of.queue_p50_ms),
    metric("queue_p95_ms", "queue p95", true, 10.0, 0, true, |of| of.queue_p95_ms),
    metric("overflow_percent", "overflow %", true, 0.2, 2, true, |of| of.overflow),
    metric("changes_per_minute", "changes/min", true, 1.0, 1, true, |of| of.changes),
    metric("freezes", "freezes", true, 0.5, 0, true, |of| of.freezes),
    metric("longest_ms", "longest ms", true, 50.0, 0, true, |of| of.longest_ms),
    metric("first_ms", "first ms", true, 50.0, 0, false, |of| of.first_ms),
    metric("wrong", "wrong", true, 0.0, 0, true, |of| of.wrong),
];

const fn metric(
    key: &'static str,
    heading: &'static str,
    less: bool,
    slack: f64,
    digits: usize,
    compared: bool,
    of: fn(&Measures) -> f64,
) -> Metric {
    Metric {
        key,
        heading,
        less,
        slack,
        digits,
        compared,
        of,
    }
}

impl Measures {
    /// Judge a run.
    pub fn new(scenario: &Scenario, run: &Run) -> Self {
        let (mut share, mut best, mut delivered) = (0.0, 0.0, 0.0);
        for (at_us, sample) in (0..).step_by(SAMPLE_US as usize).zip(&run.samples) {
            if at_us >= SETTLED_S * 1_000_000 {
                let seconds = SAMPLE_US as f64 / 1e6;
                share += scenario.share_bps(at_us) as f64 * seconds;
                best += cost_bps(RATES_BPS[scenario.best(at_us)]) as f64 * seconds;
                delivered += sample.delivered_bits as f64;
            }
        }
        let wait_ms = |percent: usize| {
            let last = run.waits_us.len().saturating_sub(1);
            run.waits_us
                .get(last * percent / 100)
                .map_or(0.0, |us| *us as f64 / 1e3)
        };
        let end_us = scenario.seconds * 1_000_000;
        let first_us = run.shows.first().map_or(end_us, |(at, _)| *at);
        let times = run.shows.iter().map(|(at, _)| *at).chain([end_us]);
        let gaps: Vec<u64> = times.clone().zip(times.skip(1)).map(|(one, next)| next - one).collect();
        let freezes = gaps.iter().filter(|gap| **gap > FREEZE_US + 1_000_000 / FPS).count();
        let risen = run.shows.iter().skip_while(|(at, _)| *at < RISEN_S * 1_000_000);
        let changes = risen
            .clone()
            .zip(risen.skip(1))
            .filter(|(one, next)| one.1 != next.1)
            .count();
        Self {
            to_80_s: reached(scenario, run, 0.8),
            to_90_s: reached(scenario, run, 0.9),
            utilisation: delivered / share,
            of_best: delivered / best,
            queue_p50_ms: wait_ms(50),
            queue_p95_ms: wait_ms(95),
            overflow: 100.0 * run.overflowed as f64 / run.datagrams.max(1) as f64,
            changes: changes as f64 * 60.0 / (scenario.seconds - RISEN_S) as f64,
            freezes: freezes as f64,
            longest_ms: gaps.iter().max().map_or(end_us, |gap| *gap) as f64 / 1e3,
            first_ms: first_us as f64 / 1e3,
            wrong: (run.undecodable + run.torn) as f64,
        }
    }
}

fn reached(scenario: &Scenario, run: &Run, part: f64) -> f64 {
    let (from_us, until_us) = (scenario.better_at * 1_000_000, scenario.until * 1_000_000);
    let at_us = (1..)
        .map(|number: u64| number * SAMPLE_US)
        .zip(&run.samples)
        .filter(|(at_us, _)| (from_us + 1..=until_us).contains(at_us))
        .find(|(at_us, sample)| sample.estimate_bps as f64 >= part * scenario.target_bps(at_us - 1) as f64)
        .map_or(until_us, |(at_us, _)| at_us);
    (at_us - from_us) as f64 / 1e6
}

/// Median and worst of a measure over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Median; the worse of two middle ones.
    pub median: f64,
    /// Worst.
    pub worst: f64,
}

impl Metric {
    /// Over the runs of a scenario; `None` without any.
    pub fn spread(&self, runs: &[Measures]) -> Option<Spread> {
        let mut values: Vec<f64> = runs.iter().map(self.of).collect();
        values.sort_by(f64::total_cmp);
        if !self.less {
            values.reverse();
        }
        Some(Spread {
            median: *values.get(values.len() / 2)?,
            worst: *values.last()?,
        })
    }

    /// One is worse than the other by more than a tenth, and by more than what makes no difference.
    pub fn is_worse(&self, ours: f64, theirs: f64) -> bool {
        let difference = if self.less { ours - theirs } else { theirs - ours };
        difference > self.slack && difference > 0.1 * theirs.abs()
    }
}

/// The aims that a scenario misses in the median, in words.
pub fn missed(scenario: &Scenario, ours: &[Measures]) -> Vec<String> {
    let median = |of: fn(&Measures) -> f64| {
        let metric = Metric { of, ..METRICS[0] };
        metric.spread(ours).map_or(0.0, |spread| spread.median)
    };
    let mut missed = Vec::new();
    let to_80_s = median(|of| of.to_80_s);
    if to_80_s > 5.0 {
        missed.push(format!("80 % after {to_80_s:.1} s"));
    }
    let queue_ms = median(|of| of.queue_p95_ms);
    if queue_ms >= 150.0 && !scenario.is_filled_by_others() {
        missed.push(format!("queue p95 {queue_ms:.0} ms"));
    }
    let changes = median(|of| of.changes);
    if scenario.steady && changes > 6.0 {
        missed.push(format!("{changes:.1} changes a minute"));
    }
    let longest_ms = median(|of| of.longest_ms);
    if scenario.name == "step-half" && longest_ms > 234.0 {
        missed.push(format!("frozen for {:.0} ms", longest_ms - 33.0));
    }
    let wrong = ours.iter().map(|of| of.wrong).fold(0.0, f64::max);
    if wrong > 0.0 {
        missed.push(format!("{wrong:.0} undecodable"));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::super::course::Sample;
    use super::super::scenario;
    use super::*;

    fn fixed() -> Scenario {
        scenario::all()
            .into_iter()
            .find(|scenario| scenario.name == "fixed-1")
            .unwrap()
    }

    fn run() -> Run {
        let sample = |number: u64| Sample {
            estimate_bps: number * 20_000,
            delivered_bits: 50_000,
            ..Sample::default()
        };
        Run {
            samples: (1..=400).map(sample).collect(),
            waits_us: (0..=1_000).map(|ms| ms * 100).collect(),
            datagrams: 1_000,
            overflowed: 5,
            shows: (0..1_200)
                .map(|frame| (frame * 33_333, u8::from(frame > 900)))
                .collect(),
            ..Run::default()
        }
    }

    #[test]
    fn a_run_is_judged() {
        let measures = Measures::new(&fixed(), &run());
        assert_eq!((measures.to_80_s, measures.to_90_s), (4.0, 4.5));
        assert!((measures.utilisation - 0.5).abs() < 1e-6);
        assert_eq!((measures.queue_p50_ms, measures.queue_p95_ms), (50.0, 95.0));
        assert_eq!((measures.overflow, measures.changes, measures.freezes), (0.5, 2.0, 0.0));
    }

    #[test]
    fn standstills_count_and_so_does_the_one_at_the_end() {
        let mut run = run();
        run.shows
            .retain(|(at, _)| !(10_000_000..10_300_000).contains(at) && *at < 39_000_000);
        let measures = Measures::new(&fixed(), &run);
        assert_eq!(measures.freezes, 2.0);
        assert!(measures.longest_ms > 1_000.0);
    }

    #[test]
    fn what_is_never_reached_takes_all_the_time() {
        let mut run = run();
        for sample in &mut run.samples {
            sample.estimate_bps = 1;
        }
        assert_eq!(Measures::new(&fixed(), &run).to_80_s, 40.0);
    }

    #[test]
    fn each_aim_can_be_missed() {
        let good = Measures::new(&fixed(), &run());
        let scenario = fixed();
        assert_eq!(missed(&scenario, &[good]), Vec::<String>::new());
        for bad in [
            Measures { to_80_s: 5.1, ..good },
            Measures {
                queue_p95_ms: 150.0,
                ..good
            },
            Measures { changes: 7.0, ..good },
            Measures { wrong: 1.0, ..good },
        ] {
            assert_eq!(missed(&scenario, &[bad]).len(), 1, "{bad:?}");
        }
        let half = scenario::all()
            .into_iter()
            .find(|scenario| scenario.name == "step-half")
            .unwrap();
        let frozen = Measures {
            longest_ms: 240.0,
            ..good
        };
        assert_eq!(missed(&half, &[frozen]).len(), 1);
    }

    #[test]
    fn small_differences_are_none() {
        let queue = METRICS[5];
        assert!(!queue.is_worse(18.0, 10.0));
        assert!(queue.is_worse(121.0, 100.0));
        let used = METRICS[2];
        assert!(used.is_worse(0.7, 0.8));
        assert!(!used.is_worse(0.8, 0.7));
    }
}
