//! The scoreboard's aims on a few lines, with one seed each and bounds that leave room for others.

use rostra_sim::bwe::measure::Measures;
use rostra_sim::bwe::scenario::{self, Scenario};
use rostra_sim::bwe::{Side, run};

fn named(name: &str) -> Scenario {
    let found = scenario::all().into_iter().find(|scenario| scenario.name == name);
    found.unwrap_or_else(|| panic!("no line is called {name}"))
}

fn measured(name: &str, side: Side) -> Measures {
    let scenario = named(name);
    let run = run(&scenario, 1, side).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((run.undecodable, run.torn), (0, 0), "{name}");
    assert!(
        run.heard > 45 * scenario.seconds * 8 / 10,
        "{name}: the sound plays: {}",
        run.heard
    );
    Measures::new(&scenario, &run)
}

fn found_and_used(name: &str) -> Measures {
    let of = measured(name, Side::Ours);
    assert!(of.to_80_s <= 5.0, "{name}: {of:?}");
    assert!(of.of_best >= 0.8, "{name}: {of:?}");
    assert!(of.queue_p95_ms < 150.0, "{name}: {of:?}");
    of
}

fn steady(name: &str) {
    let of = found_and_used(name);
    assert!(of.changes <= 6.0, "{name}: {of:?}");
    assert!(of.longest_ms <= 500.0, "{name}: {of:?}");
}

#[test]
fn a_thin_line_is_found_and_kept() {
    steady("fixed-0.3");
}

#[test]
fn a_line_of_three_megabits_is_found_and_kept() {
    steady("fixed-3");
}

#[test]
fn a_long_queue_is_not_filled() {
    steady("bloat-1");
}

#[test]
fn random_loss_is_not_taken_for_a_full_line() {
    let of = measured("loss-5", Side::Ours);
    assert!(of.to_80_s <= 5.0, "{of:?}");
    assert!(of.of_best >= 0.7, "{of:?}");
}

#[test]
fn a_line_that_drops_to_half_and_returns_is_followed_without_a_freeze() {
    let of = found_and_used("step-half");
    assert!(of.longest_ms <= 300.0, "{of:?}");
}

#[test]
fn the_other_side_runs_too_so_that_the_comparison_means_something() {
    let of = measured("fixed-3", Side::Theirs);
    assert!(
        of.to_80_s <= 5.0 && of.of_best >= 0.8 && of.queue_p95_ms < 100.0,
        "{of:?}"
    );
}
