//! Between the encodings of one track: the picture keeps its time.

use std::time::Duration;

use super::switching::timestamp_steps;
use super::world::{MS, VIDEO, World};
use crate::command::Codec;
use crate::encoding::{ClockMap, EncodingKey};

/// Two encodings of one track whose RTP clocks differ by a constant; the second one comes `lag` later.
fn two_layers(lag_ms: u64) -> World {
    let mut world = World::new(&[Codec::Vp8, Codec::Vp8]);
    let key = world.key(0);
    world.source(1).key = EncodingKey { encoding: 1, ..key };
    let now = world.now;
    for (n, lag) in [(0, 0), (1, lag_ms)] {
        let source = world.source(n);
        source.clock = Some(ClockMap {
            at: now,
            rtp: source.timestamp.wrapping_add(3_000 + 90 * lag as u32),
            from_report: true,
        });
    }
    world
}

/// Both encodings send the picture of every 33⅓ ms.
fn both(world: &mut World, key: bool) {
    for n in [0, 1] {
        world.picture(VIDEO, n, 2, key);
    }
    world.pass(33_333);
}

#[test]
fn between_layers_a_picture_keeps_its_time_on_the_clocks_of_both() {
    let mut world = two_layers(0);
    world.bind(VIDEO, 0);
    both(&mut world, true);
    for _ in 0..5 {
        both(&mut world, false);
    }
    world.bind(VIDEO, 1);
    both(&mut world, true);
    both(&mut world, false);
    let steps = timestamp_steps(&world.media(VIDEO));
    // At the switch the picture of the old layer leaves first, then the same one of the new layer, which reads as the next.
    assert!(steps.iter().all(|step| (0..=3_000).contains(step)), "{steps:?}");
}

#[test]
fn a_layer_that_is_behind_does_not_take_the_time_back() {
    for lag in [50, 100, 400] {
        let mut world = two_layers(lag);
        world.bind(VIDEO, 0);
        both(&mut world, true);
        for _ in 0..5 {
            both(&mut world, false);
        }
        world.bind(VIDEO, 1);
        both(&mut world, true);
        for _ in 0..3 {
            both(&mut world, false);
        }
        world.bind(VIDEO, 0);
        both(&mut world, true);
        both(&mut world, false);
        for step in timestamp_steps(&world.media(VIDEO)) {
            assert!((0..=3_000 + 90 * lag as i32).contains(&step), "{step} with {lag}");
        }
    }
}

#[test]
fn a_thousand_switches_between_layers_do_not_drift() {
    for lag in [0, 40] {
        let mut world = two_layers(lag);
        world.bind(VIDEO, 0);
        both(&mut world, true);
        let first = world.media(VIDEO)[0].timestamp;
        let (mut pictures, mut shown) = (0, 0);
        for _ in 0..1_000 {
            shown = 1 - shown;
            world.bind(VIDEO, shown);
            for key in [true, false, false] {
                both(&mut world, key);
                pictures += 1;
            }
        }
        world.bind(VIDEO, 0);
        both(&mut world, true);
        for _ in 0..3 {
            both(&mut world, false);
        }
        let last = world.media(VIDEO).last().unwrap().timestamp;
        let ahead = last.wrapping_sub(first) as i64 - 3_000 * (pictures + 4);
        assert!(ahead.abs() <= 12_000, "{ahead} ticks with {lag} ms");
    }
}

#[test]
fn a_report_that_is_older_than_the_switch_moves_nothing() {
    let mut world = two_layers(0);
    // Made long ago, on the same clock.
    let source = world.source(1);
    let clock = source.clock.unwrap();
    source.clock = Some(ClockMap {
        at: clock.at - Duration::from_secs(4),
        rtp: clock.rtp.wrapping_sub(4 * 90_000),
        ..clock
    });
    world.bind(VIDEO, 0);
    both(&mut world, true);
    both(&mut world, false);
    world.bind(VIDEO, 1);
    both(&mut world, true);
    both(&mut world, false);
    let steps = timestamp_steps(&world.media(VIDEO));
    assert!(steps.iter().all(|step| (0..=3_000).contains(step)), "{steps:?}");
    world.pass(1_000 * MS);
    let report = world.reports.last().unwrap();
    let media = world.media(VIDEO);
    let last = media.last().unwrap();
    // 33 ms passed between the last picture and the time from which `pass` counts.
    let elapsed = report.at.micros_since(last.at) as i32 * 9 / 100;
    let apart = report.rtp.wrapping_sub(last.timestamp) as i32 - elapsed;
    assert!(apart.abs() < 3_600, "{apart} ticks");
}
