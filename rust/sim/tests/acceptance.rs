//! The acceptance scenario in virtual time, and proof that its oracles can fail.

use rostra_sim::link::{LinkConfig, RateChanges};
use rostra_sim::oracle::{BOUNDS, Bounds, Screen};
use rostra_sim::world::{Outcome, Scenario, run};

/// 1 % loss and 20 ms jitter each way.
const LOSSY: LinkConfig = LinkConfig {
    loss: 0.01,
    delay_us: 10_000,
    jitter_us: 20_000,
    burst: None,
    stalls: None,
    aggregate_us: 0,
    reorder: 0.0,
    duplicate: 0.0,
    rate_bps: None,
    queue_us: 0,
    changes: RateChanges::NONE,
    cross: None,
};

fn acceptance(seed: u64) -> Scenario {
    Scenario {
        seed,
        viewers: 200,
        seconds: 60,
        link: LOSSY,
        fps: 20,
        joining_us: 0,
        local: false,
    }
}

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

fn keeps_within_the_bounds(seed: u64) {
    let outcome = outcome(acceptance(seed));
    assert_eq!(verdicts(&outcome, &BOUNDS), Vec::<String>::new(), "seed {seed}");
    assert!(
        outcome.heard.iter().all(|heard| *heard > 2_900),
        "seed {seed}: {:?}",
        outcome.heard
    );
    assert!(
        outcome.stats.retransmissions_out > 1_000,
        "the links lose packets: {:?}",
        outcome.stats
    );
}

#[test]
fn two_hundred_viewers_keep_within_the_bounds_seed_1() {
    keeps_within_the_bounds(1);
}

#[test]
fn two_hundred_viewers_keep_within_the_bounds_seed_2() {
    keeps_within_the_bounds(2);
}

#[test]
fn two_hundred_viewers_keep_within_the_bounds_seed_3() {
    keeps_within_the_bounds(3);
}

#[test]
fn viewers_of_a_local_feed_keep_within_the_bounds() {
    let outcome = outcome(Scenario {
        viewers: 50,
        seconds: 30,
        local: true,
        ..acceptance(1)
    });
    assert_eq!(verdicts(&outcome, &BOUNDS), Vec::<String>::new());
    assert!(outcome.heard.iter().all(|heard| *heard > 1_450), "{:?}", outcome.heard);
    assert!(outcome.stats.retransmissions_out > 100, "{:?}", outcome.stats);
    assert_eq!(outcome.stats.nacks_out, 0);
}

#[test]
fn one_seed_is_one_run() {
    let scenario = Scenario {
        viewers: 30,
        seconds: 10,
        ..acceptance(7)
    };
    let (first, second) = (outcome(scenario), outcome(scenario));
    assert_eq!(first.digest, second.digest);
    let other = outcome(Scenario { seed: 8, ..scenario });
    assert_ne!(first.digest, other.digest, "the digest notices a different run");
}

#[test]
fn links_that_reorder_and_duplicate_lose_nothing() {
    let outcome = outcome(Scenario {
        viewers: 20,
        seconds: 20,
        link: LinkConfig {
            reorder: 0.02,
            duplicate: 0.02,
            ..LOSSY
        },
        ..acceptance(4)
    });
    assert_eq!(verdicts(&outcome, &BOUNDS), Vec::<String>::new());
}

#[test]
fn each_oracle_fails_when_its_bound_is_zero() {
    let strict = |bounds: Bounds| {
        let outcome = outcome(Scenario {
            viewers: 20,
            seconds: 10,
            link: LinkConfig { loss: 0.15, ..LOSSY },
            ..acceptance(5)
        });
        verdicts(&outcome, &bounds)
    };
    let loose = Bounds {
        missing: 1.0,
        freeze_ms: 60_000,
        torn: u64::MAX,
    };
    assert_eq!(strict(loose), Vec::<String>::new());
    assert!(
        !strict(Bounds { missing: 0.0, ..loose }).is_empty(),
        "frames are missing at 15 % loss"
    );
    assert!(
        !strict(Bounds { freeze_ms: 0, ..loose }).is_empty(),
        "there is always a gap"
    );
}

#[test]
fn a_damaged_packet_counts_as_torn() {
    let mut screen = Screen::default();
    screen.packet(0, 0, None);
    let verdict = screen.verdict(0, &BOUNDS);
    assert!(verdict.iter().any(|wrong| wrong.contains("torn")), "{verdict:?}");
}
