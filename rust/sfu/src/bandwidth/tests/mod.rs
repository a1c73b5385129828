//! The estimator on lines as viewers have them.

mod feedback;
mod line;

use line::{Jitter, Line, Loss, Outcome, Source, run};

const LAYERS: Source = Source::Layers(&[150_000, 500_000, 1_500_000, 2_500_000]);
const SEEDS: std::ops::Range<u64> = 0..4;

fn runs(line: &Line, source: Source, seconds: u64) -> Vec<Outcome> {
    SEEDS.map(|seed| run(line, source, seconds, seed)).collect()
}

/// Prints what the thresholds below stand on: `cargo test -p rostra-sfu --lib figures_of -- --nocapture`.
fn figures(name: &str, line: &Line, source: Source, seconds: u64) -> Vec<Outcome> {
    let outcomes = runs(line, source, seconds);
    let rate = line.rate[0].1;
    let end = seconds as f64;
    for (seed, outcome) in SEEDS.zip(&outcomes) {
        println!(
            "{name:24} seed {seed}: 80 % after {:4.1} s, mean {:5.0} kb/s, carried {:4.2}, wait p95 {:5.1} ms, lost {:5.3}, layer changes {:2}, probes {:4}",
            outcome.reached(0.0, rate * 8 / 10).unwrap_or(f64::INFINITY),
            outcome.mean(5.0, end) / 1e3,
            outcome.delivered_bps(5.0, end) / rate as f64,
            outcome.wait_p95(0.0, end),
            outcome.lost as f64 / outcome.sent as f64,
            outcome.layer_changes(10.0, end),
            outcome.probes,
        );
    }
    outcomes
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Someone who sends all that the estimate allows uses the line and keeps its queue short.
fn assert_used(name: &str, line: &Line, share: f64, wait_ms: f64) {
    let outcomes = figures(name, line, Source::Bulk, 60);
    let rate = line.rate[0].1 as f64;
    let carried = median(outcomes.iter().map(|outcome| outcome.delivered_bps(5.0, 60.0)));
    assert!(carried >= rate * share, "{name}: {carried:.0} of {rate:.0}");
    for outcome in &outcomes {
        let reached = outcome.reached(0.0, (rate * 0.8) as u64);
        assert!(reached.is_some_and(|seconds| seconds <= 5.0), "{name}: {reached:?}");
        let wait = outcome.wait_p95(5.0, 60.0);
        assert!(wait < wait_ms, "{name}: {wait} ms");
    }
}

#[test]
fn figures_of_fixed_lines() {
    assert_used("0.3 Mb/s", &Line::fixed(300_000), 0.9, 170.0);
    assert_used("1 Mb/s", &Line::fixed(1_000_000), 0.9, 150.0);
    assert_used("3 Mb/s", &Line::fixed(3_000_000), 0.85, 150.0);
    assert_used("6 Mb/s", &Line::fixed(6_000_000), 0.85, 150.0);
}

#[test]
fn figures_of_random_loss_on_a_flat_delay() {
    for (share, used) in [(0.02, 0.85), (0.05, 0.82), (0.1, 0.78)] {
        let line = Line {
            loss: Loss::Random(share),
            ..Line::fixed(3_000_000)
        };
        assert_used(&format!("{share} lost at random"), &line, used, 150.0);
    }
}

#[test]
fn figures_of_loss_in_bursts() {
    let line = Line {
        loss: Loss::Burst(0.004, 8.0),
        ..Line::fixed(3_000_000)
    };
    assert_used("3 % lost in bursts", &line, 0.82, 150.0);
}

#[test]
fn figures_of_a_long_queue_and_of_a_short_one() {
    let bloated = Line {
        queue_ms: 300,
        ..Line::fixed(2_000_000)
    };
    assert_used("300 ms of queue", &bloated, 0.85, 150.0);
    let shallow = Line {
        queue_ms: 40,
        ..Line::fixed(1_000_000)
    };
    let outcomes = figures("40 ms of queue", &shallow, LAYERS, 60);
    for outcome in outcomes {
        assert!((outcome.lost as f64) < 0.05 * outcome.sent as f64);
    }
}

#[test]
fn figures_of_a_radio_line() {
    let line = Line {
        jitter: Jitter::Radio(15_000, 40_000),
        ..Line::fixed(3_000_000)
    };
    assert_used("jitter of 15–40 ms", &line, 0.82, 150.0);
    let line = Line {
        jitter: Jitter::Radio(30_000, 80_000),
        ..Line::fixed(1_000_000)
    };
    assert_used("jitter of 30–80 ms", &line, 0.85, 150.0);
}

#[test]
fn figures_of_a_long_round_trip() {
    let line = Line {
        delay_ms: 100,
        ..Line::fixed(3_000_000)
    };
    assert_used("200 ms of round trip", &line, 0.82, 150.0);
}

#[test]
fn a_steady_line_shows_a_steady_layer() {
    for bps in [300_000, 1_000_000, 3_500_000, 6_000_000] {
        for outcome in figures(&format!("layers on {bps}"), &Line::fixed(bps), LAYERS, 60) {
            let changes = outcome.layer_changes(10.0, 60.0);
            assert!(changes <= 5, "{bps}: {changes}");
            let wait = outcome.wait_p95(0.0, 60.0);
            assert!(wait < 150.0, "{bps}: {wait} ms");
        }
    }
}

#[test]
fn a_step_down_to_half_is_seen_within_a_second_and_answered_by_the_right_estimate() {
    let line = Line::steps(&[(0.0, 3_500_000), (30.0, 1_750_000)]);
    for outcome in figures("3.5 → 1.75 Mb/s", &line, LAYERS, 45) {
        let below = outcome
            .samples
            .iter()
            .find(|sample| sample.0 >= 30.0 && sample.1 < 1_750_000);
        assert!(below.is_some_and(|sample| sample.0 <= 31.0), "{below:?}");
        let least = outcome.least(30.0, 45.0);
        assert!(least > 900_000, "{least}");
        let longest = outcome
            .waits
            .iter()
            .filter(|wait| wait.0 >= 30.0)
            .map(|wait| wait.1)
            .fold(0.0, f64::max);
        assert!(longest <= 251.0, "{longest} ms");
        let wait = outcome.wait_p95(33.0, 45.0);
        assert!(wait < 130.0, "{wait} ms");
    }
}

#[test]
fn a_line_that_becomes_better_is_noticed_within_ten_seconds_by_whoever_wants_more() {
    let line = Line::steps(&[(0.0, 4_000_000), (20.0, 600_000), (40.0, 4_000_000)]);
    for outcome in figures("4 → 0.6 → 4 Mb/s", &line, LAYERS, 60) {
        let low = outcome.mean(25.0, 40.0);
        assert!((450_000.0..620_000.0).contains(&low), "{low}");
        let reached = outcome.reached(40.0, 1_900_000);
        assert!(reached.is_some_and(|seconds| seconds <= 9.0), "{reached:?}");
    }
}

#[test]
fn who_sends_little_keeps_the_estimate_and_does_not_raise_it() {
    // 300 kb/s on a fast line: first nothing more is wanted, then 3 Mb/s.
    let idle = figures(
        "little on 20 Mb/s",
        &Line::fixed(20_000_000),
        Source::Constant(300_000, 0),
        60,
    );
    for outcome in idle {
        assert_eq!(outcome.probes, 0);
        assert_eq!(outcome.estimate_at(60.0), 600_000);
    }
    let eager = figures(
        "3 Mb/s wanted of 20",
        &Line::fixed(20_000_000),
        Source::Constant(300_000, 3_000_000),
        60,
    );
    for outcome in eager {
        assert!(outcome.reached(0.0, 3_600_000).is_some_and(|seconds| seconds <= 2.0));
        assert!(outcome.least(5.0, 60.0) > 3_600_000);
        assert!(outcome.estimate_at(60.0) < 4_000_000, "never beyond what is wanted");
        assert!(outcome.probes < 200, "{}", outcome.probes);
    }
}

#[test]
fn who_sends_more_than_was_ever_estimated_is_told_that_the_line_carries_no_more() {
    // Pictures that begin at their best, because nobody knows what the line carries, on one that becomes slow a moment after. What stands in its
    // queue by then takes up to 0.7 s to leave, and what comes meanwhile is lost.
    for slow_from in [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0] {
        for bps in [700_000, 1_000_000, 1_700_000] {
            let line = Line {
                queue_ms: 200,
                ..Line::steps(&[(0.0, 6_000_000), (slow_from, bps)])
            };
            for outcome in runs(&line, Source::Constant(4_000_000, 0), 20) {
                let known = outcome.limit.map(|at| at - slow_from);
                assert!(
                    known.is_some_and(|s| s < 2.5),
                    "{bps} from {slow_from}: {known:?}, {}",
                    outcome.estimate_at(20.0)
                );
            }
        }
    }
}

#[test]
fn a_rival_leaves_us_something_and_we_it() {
    let line = Line {
        rival: Some((10.0, 70.0)),
        ..Line::fixed(4_000_000)
    };
    let outcomes = figures("a rival", &line, Source::Bulk, 70);
    let ours = median(outcomes.iter().map(|outcome| outcome.delivered_bps(20.0, 70.0)));
    assert!((800_000.0..3_200_000.0).contains(&ours), "{ours}");
}

#[test]
fn a_line_that_dies_is_not_flooded_and_one_that_returns_is_used() {
    let line = Line::steps(&[(0.0, 3_500_000), (20.0, 0), (24.0, 3_500_000)]);
    for outcome in figures("4 s of nothing", &line, LAYERS, 45) {
        let dead = outcome.estimate_at(23.9);
        assert!(dead < 1_500_000, "{dead}");
        let reached = outcome.reached(24.5, 1_800_000);
        assert!(reached.is_some_and(|seconds| seconds <= 10.0), "{reached:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let line = Line {
        jitter: Jitter::Radio(15_000, 40_000),
        loss: Loss::Random(0.05),
        ..Line::fixed(2_000_000)
    };
    let [one, two] = [(); 2].map(|()| run(&line, LAYERS, 10, 7));
    assert_eq!(one.samples, two.samples);
}
