//! Random conversations, judged by what must hold of whatever a viewer hears. `make sim-voices` plays a thousand of them.

use std::time::Duration;

use rostra_sim::talk::{BOUNDS, Bounds, Lies, Outcome, run};

const SECONDS: u64 = 10;

fn wrong(seeds: std::ops::Range<u64>, bounds: Bounds, lies: Lies) -> Vec<String> {
    seeds
        .flat_map(|seed| run(seed, SECONDS, bounds, lies).verdict.wrong)
        .collect()
}

#[test]
fn the_loudest_are_heard_soon_slots_rest_nobody_excluded_is_heard_and_what_is_told_is_what_is_sent() {
    let (mut owed, mut changes, mut packets, mut told) = (0, 0, 0, 0);
    for seed in 1..41 {
        let Outcome {
            verdict,
            told: speakers,
            sources,
            ..
        } = run(seed, SECONDS, BOUNDS, Lies::default());
        assert!(
            verdict.wrong.is_empty(),
            "seed {seed}, {sources} sources: {:#?}",
            verdict.wrong
        );
        owed += verdict.owed;
        changes += verdict.changes;
        packets += verdict.packets;
        told += speakers;
    }
    assert!(
        owed > 10_000 && changes > 500 && packets > 50_000 && told > 500,
        "little happened: {owed} {changes} {packets} {told}"
    );
}

#[test]
fn who_is_heard_too_late_is_seen() {
    let bounds = Bounds {
        audible: Duration::ZERO,
        ..BOUNDS
    };
    let wrong = wrong(1..4, bounds, Lies::default());
    assert!(wrong.iter().any(|what| what.contains("is not heard")), "{wrong:?}");
}

#[test]
fn a_slot_that_changes_too_often_is_seen() {
    let bounds = Bounds {
        rest: Duration::from_secs(2),
        ..BOUNDS
    };
    let wrong = wrong(1..4, bounds, Lies::default());
    assert!(wrong.iter().any(|what| what.contains("changes after")), "{wrong:?}");
}

#[test]
fn somebody_excluded_who_is_heard_is_seen() {
    let all: Vec<_> = (0..12)
        .flat_map(|source| {
            let lies = Lies {
                exclude: Some(source),
                ..Lies::default()
            };
            wrong(1..2, BOUNDS, lies)
        })
        .collect();
    assert!(all.iter().any(|what| what.contains("which is excluded")), "{all:?}");
}

#[test]
fn a_slot_that_plays_another_voice_than_was_told_is_seen() {
    let lies = Lies {
        forget: Some(5),
        ..Lies::default()
    };
    let wrong = wrong(1..4, BOUNDS, lies);
    assert!(wrong.iter().any(|what| what.contains("told was")), "{wrong:?}");
}

#[test]
fn who_speaks_told_too_often_is_seen() {
    let bounds = Bounds {
        told: Duration::from_millis(250),
        ..BOUNDS
    };
    let wrong = wrong(1..2, bounds, Lies::default());
    assert!(wrong.iter().any(|what| what.contains("told again")), "{wrong:?}");
}

#[test]
fn one_seed_is_one_conversation() {
    let once = run(7, SECONDS, BOUNDS, Lies::default());
    let again = run(7, SECONDS, BOUNDS, Lies::default());
    assert_eq!(
        (once.verdict, once.told, once.sent),
        (again.verdict, again.told, again.sent)
    );
}
