//! `sim 1-50`: the acceptance scenario on each seed, one line each; exit code 1 when any fails.

use std::process::ExitCode;

use rostra_sim::link::LinkConfig;
use rostra_sim::oracle::BOUNDS;
use rostra_sim::world::{Outcome, Scenario, run};

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "1-50".to_owned());
    let (first, last) = argument.split_once('-').unwrap_or((&argument, &argument));
    let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
        eprintln!("usage: sim SEED | sim FIRST-LAST");
        return ExitCode::from(2);
    };
    let mut failed = 0;
    for seed in first..=last {
        let scenario = Scenario {
            seed,
            viewers: 200,
            seconds: 60,
            link: LinkConfig {
                loss: 0.01,
                delay_us: 10_000,
                jitter_us: 20_000,
                ..LinkConfig::default()
            },
            fps: 20,
            joining_us: 0,
            local: false,
        };
        match run(scenario) {
            Ok(outcome) => failed += u64::from(!report(seed, &outcome)),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        }
    }
    println!("{} seeds, {failed} failed", last - first + 1);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn report(seed: u64, outcome: &Outcome) -> bool {
    let verdicts: Vec<_> = outcome
        .screens
        .iter()
        .enumerate()
        .flat_map(|(viewer, screen)| {
            let verdict = screen.verdict(outcome.end_us, &BOUNDS);
            verdict
                .into_iter()
                .map(move |wrong| format!("viewer {viewer}: {wrong}"))
        })
        .collect();
    let shown: u64 = outcome.screens.iter().map(|screen| screen.shown_frames).sum();
    let skipped: u64 = outcome.screens.iter().map(|screen| screen.skipped_frames).sum();
    let gap_us = outcome
        .screens
        .iter()
        .map(|screen| screen.longest_gap_us)
        .max()
        .unwrap_or(0);
    println!(
        "seed {seed}: digest {:016x}, {shown} frames shown, {skipped} skipped, longest gap {} ms, {} retransmissions, {} key frames asked{}",
        outcome.digest,
        gap_us / 1000,
        outcome.stats.retransmissions_out,
        outcome.key_frames_asked.len(),
        if verdicts.is_empty() { "" } else { "  FAILED" },
    );
    for verdict in verdicts.iter().take(5) {
        println!("    {verdict}");
    }
    verdicts.is_empty()
}
