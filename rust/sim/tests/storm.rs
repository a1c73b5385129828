//! A crowd that comes at once costs the publisher a few key frames, and everybody sees a picture soon.

use rostra_sim::link::LinkConfig;
use rostra_sim::world::{Outcome, Scenario, run};

/// Five hundred viewers within a second, 20 ms each way, a publisher without periodic key frames.
fn storm() -> Outcome {
    let scenario = Scenario {
        seed: 1,
        viewers: 500,
        seconds: 3,
        link: LinkConfig {
            delay_us: 20_000,
            ..LinkConfig::default()
        },
        fps: 30,
        joining_us: 1_000_000,
        local: false,
    };
    run(scenario).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn five_hundred_viewers_within_a_second_cost_three_key_frames_and_see_a_picture_within_400_ms() {
    let outcome = storm();
    let asked = &outcome.key_frames_asked;
    assert!(!asked.is_empty() && asked.len() <= 3, "{asked:?}");
    let apart = asked.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(apart.clone().all(|apart_us| apart_us >= 500_000), "{asked:?}");

    let mut times_us: Vec<u64> = outcome.first_pictures_us.iter().copied().flatten().collect();
    assert_eq!(times_us.len(), 500, "everybody sees something");
    times_us.sort_unstable();
    let (median, p95, longest) = (times_us[250] / 1000, times_us[475] / 1000, times_us[499] / 1000);
    println!(
        "first STUN to first picture: p50 {median} ms, p95 {p95} ms, longest {longest} ms; key frames asked at {asked:?}"
    );
    assert!(p95 < 400, "p50 {median} ms, p95 {p95} ms, longest {longest} ms");

    let torn: u64 = outcome.screens.iter().map(|screen| screen.torn).sum();
    assert_eq!(torn, 0);
}
