//! The estimator on lines as viewers have them.

mod line;

use line::{Jitter, Line, Loss, Outcome, Source, run};

const LAYERS: Source = Source::Layers(&[150_000, 500_000, 1_500_000, 2_500_000]);
const SEEDS: std::ops::Range<u64> = 0..4;

fn runs(line: &Line, source: Source, seconds: u64) -> Vec<Outcome> {
    SEEDS.map(|seed| run(line, source, seconds, seed)).collect()
}

#[test]
#[ignore]
fn table() {
    let mut lines: Vec<(String, Line)> = vec![];
    for bps in [300_000, 1_000_000, 3_000_000, 6_000_000] {
        lines.push((format!("fixed {bps}"), Line::fixed(bps)));
    }
    lines.push(("down half".into(), Line::steps(&[(0.0, 3_000_000), (30.0, 1_500_000)])));
    lines.push((
        "down up".into(),
        Line::steps(&[(0.0, 4_000_000), (20.0, 600_000), (40.0, 4_000_000)]),
    ));
    for share in [0.02, 0.05, 0.1] {
        lines.push((
            format!("loss {share}"),
            Line {
                loss: Loss::Random(share),
                ..Line::fixed(3_000_000)
            },
        ));
    }
    lines.push((
        "burst".into(),
        Line {
            loss: Loss::Burst(0.004, 8.0),
            ..Line::fixed(3_000_000)
        },
    ));
    lines.push((
        "bloat".into(),
        Line {
            queue_ms: 300,
            ..Line::fixed(2_000_000)
        },
    ));
    lines.push((
        "rival".into(),
        Line {
            rival: Some((20.0, 60.0)),
            ..Line::fixed(4_000_000)
        },
    ));
    lines.push((
        "wifi".into(),
        Line {
            jitter: Jitter::Radio(15_000, 40_000),
            ..Line::fixed(3_000_000)
        },
    ));
    lines.push((
        "wifi1".into(),
        Line {
            jitter: Jitter::Radio(30_000, 80_000),
            ..Line::fixed(1_000_000)
        },
    ));
    lines.push((
        "rtt200".into(),
        Line {
            delay_ms: 100,
            ..Line::fixed(3_000_000)
        },
    ));
    lines.push((
        "policer".into(),
        Line {
            queue_ms: 40,
            ..Line::fixed(1_000_000)
        },
    ));
    for (source_name, source) in [("layers", LAYERS), ("bulk", Source::Bulk)] {
        for (name, line) in &lines {
            for seed in 0..2 {
                let o = run(line, source, 60, seed);
                let first = line.rate[0].1;
                println!(
                    "{source_name:7}{name:14} t80 {:5.1} t90 {:5.1} util {:4.2} p95 {:6.1} p95late {:6.1} loss {:5.3} changes {:2} held {:6.1} probes {:4} est@5s {:4} 10 {:4} 19 {:4} 29 {:4} 33 {:4} 39 {:4} 45 {:4} 50 {:4} 60 {:4}",
                    o.reached(0.0, first * 8 / 10).unwrap_or(99.0),
                    o.reached(0.0, first * 9 / 10).unwrap_or(99.0),
                    o.delivered_bps(5.0, 60.0) / first as f64,
                    o.wait_p95(0.0, 60.0),
                    o.wait_p95(5.0, 60.0),
                    o.lost as f64 / o.sent as f64,
                    o.layer_changes(0.0, 60.0),
                    o.held.iter().copied().fold(0.0, f64::max),
                    o.probes,
                    o.estimate_at(5.0) / 1000,
                    o.estimate_at(10.0) / 1000,
                    o.estimate_at(19.0) / 1000,
                    o.estimate_at(29.0) / 1000,
                    o.estimate_at(33.0) / 1000,
                    o.estimate_at(39.0) / 1000,
                    o.estimate_at(45.0) / 1000,
                    o.estimate_at(50.0) / 1000,
                    o.estimate_at(60.0) / 1000,
                );
            }
        }
    }
}
