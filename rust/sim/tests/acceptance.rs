//! The acceptance scenario in virtual time, and proof that its oracles can fail.

use rostra_sim::link::LinkConfig;
use rostra_sim::oracle::{BOUNDS, Bounds};
use rostra_sim::world::{Outcome, Scenario, run};

const LOSSY: LinkConfig = LinkConfig {
    loss: 0.01,
    delay_us: 10_000,
    jitter_us: 20_000,
    reorder: 0.0,
    duplicate: 0.0,
    rate_bps: None,
    queue_us: 0,
};

fn outcome(scenario: Scenario) -> Outcome {
    run(scenario).unwrap_or_else(|error| panic!("{error}"))
}

fn verdicts(outcome: &Outcome, bounds: &Bounds) -> Vec<String> {
    outcome
        .screens
        .iter()
        .flat_map(|screen| screen.verdict(outcome.end_us, bounds))
        .collect()
}

#[test]
fn two_viewers_on_perfect_links_see_every_frame() {
    let outcome = outcome(Scenario {
        seed: 1,
        viewers: 2,
        seconds: 5,
        link: LinkConfig::default(),
        fps: 20,
    });
    assert_eq!(verdicts(&outcome, &BOUNDS), Vec::<String>::new(), "{outcome:?}");
    assert!(outcome.heard.iter().all(|heard| *heard > 200), "{:?}", outcome.heard);
}

#[test]
fn twenty_viewers_on_lossy_links_keep_within_the_bounds() {
    let outcome = outcome(Scenario {
        seed: 1,
        viewers: 20,
        seconds: 10,
        link: LOSSY,
        fps: 20,
    });
    assert_eq!(verdicts(&outcome, &BOUNDS), Vec::<String>::new(), "{:?}", outcome.stats);
}
