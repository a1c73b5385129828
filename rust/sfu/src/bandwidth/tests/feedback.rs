//! Feedback as networks and peers may mangle it.

use crate::bandwidth::{Config, Estimator};
use crate::ids::Ssrc;
use crate::rtp::rtcp::{Rtcp, RtcpWriter, packets};
use crate::time::Time;

/// One feedback packet: extended numbers, and when they came by the viewer's clock.
fn feedback(arrivals: &[(u64, Option<Time>)]) -> Vec<u8> {
    let mut bytes = vec![0; 1200];
    let mut writer = RtcpWriter::new(&mut bytes);
    assert_eq!(writer.transport_cc(Ssrc(1), Ssrc(2), 0, arrivals), Some(arrivals.len()));
    let len = writer.len();
    bytes.truncate(len);
    bytes
}

fn give(estimator: &mut Estimator, now: Time, bytes: &[u8]) {
    for packet in packets(bytes) {
        match packet {
            Ok(Rtcp::TransportCc(feedback)) => estimator.feedback(now, &feedback),
            other => panic!("{other:?}"),
        }
    }
}

/// 1 Mb/s for `seconds`, feedback every 50 ms as `mangle` makes it of what would be right (by the viewer's clock of `clock`).
fn run(seconds: u64, clock: u64, mangle: impl Fn(u64, Vec<u8>) -> Vec<Vec<u8>>) -> Estimator {
    let mut estimator = Estimator::new(Time::ZERO, Config::default());
    estimator.set_demand(Time::ZERO, 1_000_000, 0);
    let mut came = Vec::new();
    for number in 0..seconds * 100 {
        let now = Time(number * 10_000);
        estimator.sent(now, number as u16, 1_250, None);
        came.push((number, Some(Time(clock + now.0 + 20_000))));
        if number % 5 == 4 {
            for bytes in mangle(number / 5, feedback(&came)) {
                give(&mut estimator, Time(now.0 + 9_000), &bytes);
            }
            came.clear();
        }
        estimator.timeout(now);
    }
    estimator
}

#[test]
fn the_viewers_clock_wraps_and_may_be_any() {
    // 24 bits of 64 ms are 12.4 days; the wrap comes after 5 s.
    let wrap = (1_u64 << 24) * 64_000;
    for clock in [0, 77_777, wrap - 5_000_000, wrap * 3 / 2] {
        let estimator = run(20, clock, |_, bytes| vec![bytes]);
        assert!(
            (1_000_000..1_400_000).contains(&estimator.estimate_bps()),
            "{}",
            estimator.estimate_bps()
        );
        assert!(
            estimator
                .acknowledged_bps()
                .is_some_and(|bps| bps.abs_diff(1_000_000) < 60_000)
        );
        assert!(!estimator.is_overused());
        assert_eq!(estimator.loss(), 0.0);
    }
}

#[test]
fn feedback_that_comes_twice_counts_once() {
    let once = run(10, 0, |_, bytes| vec![bytes]);
    let twice = run(10, 0, |_, bytes| vec![bytes.clone(), bytes]);
    assert_eq!(twice.estimate_bps(), once.estimate_bps());
    assert_eq!(twice.acknowledged_bps(), once.acknowledged_bps());
}

#[test]
fn lost_feedback_is_no_lost_media() {
    let estimator = run(20, 0, |n, bytes| if n % 3 == 0 { vec![] } else { vec![bytes] });
    assert_eq!(estimator.loss(), 0.0);
    assert!(estimator.estimate_bps() >= 600_000, "{}", estimator.estimate_bps());
    assert!(!estimator.is_overused());
}

#[test]
fn no_feedback_at_all_leaves_the_initial_estimate() {
    let estimator = run(20, 0, |_, _| vec![]);
    assert_eq!(estimator.estimate_bps(), 600_000);
    assert!(!estimator.is_measured());
}

#[test]
fn claims_about_packets_that_were_never_sent_change_nothing() {
    let mut estimator = run(5, 0, |_, bytes| vec![bytes]);
    let before = (estimator.estimate_bps(), estimator.acknowledged_bps(), estimator.loss());
    let memory = estimator.memory_bytes();
    for n in 0..2_000_u64 {
        let arrivals: Vec<_> = (0..50)
            .map(|k| (40_000 + n * 7 + k, Some(Time(n * 90_000 + k))))
            .collect();
        give(&mut estimator, Time(5_000_000 + n), &feedback(&arrivals));
    }
    assert_eq!(
        (estimator.estimate_bps(), estimator.acknowledged_bps(), estimator.loss()),
        before
    );
    assert_eq!(estimator.memory_bytes(), memory);
}

#[test]
fn arrivals_at_mad_times_stay_within_the_bounds() {
    let config = Config::default();
    let mut estimator = Estimator::new(Time::ZERO, config);
    let mut random = 7_u64;
    for number in 0..20_000_u64 {
        let now = Time(number * 2_000);
        estimator.set_demand(now, 1_000_000, random % 9_000_000);
        let probe = estimator.poll_probe(now).or(estimator.probing()).map(|probe| probe.id);
        estimator.sent(now, number as u16, 1_250, probe);
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let at = Time((random >> 20) % (1 << 42));
        give(
            &mut estimator,
            now,
            &feedback(&[(number, Some(at)), (number + 1, None)]),
        );
        estimator.report(now, random as u8, None);
        estimator.remb(now, random);
        estimator.timeout(now);
        let bps = estimator.estimate_bps();
        assert!((config.min_bps..=config.max_bps).contains(&bps), "{bps}");
        assert!(estimator.next_timeout(true).is_none_or(|at| at.0 < now.0 + 60_000_000));
    }
}

#[test]
fn receiver_reports_lead_where_nothing_else_comes() {
    let mut estimator = Estimator::new(Time::ZERO, Config::default());
    for second in 1..20 {
        let now = Time(second * 1_000_000);
        for step in 0..100 {
            estimator.sent(Time(now.0 + step * 10_000), (second * 100 + step) as u16, 1_250, None);
        }
        estimator.report(now, 0, None);
    }
    let before = estimator.estimate_bps();
    assert!((900_000..1_600_000).contains(&before), "{before}");
    for second in 20..24 {
        estimator.report(Time(second * 1_000_000), 64, None);
    }
    assert!(estimator.estimate_bps() < before * 2 / 3);
    assert!(!estimator.is_measured(), "the pace is not held back by that");
}

#[test]
fn the_receivers_estimate_counts_until_there_is_better_feedback() {
    let mut estimator = Estimator::new(Time::ZERO, Config::default());
    estimator.remb(Time(1), 3_000_000);
    assert_eq!(estimator.estimate_bps(), 3_000_000);
    estimator.sent(Time(2), 0, 1_250, None);
    give(&mut estimator, Time(50_000), &feedback(&[(0, Some(Time(9)))]));
    estimator.remb(Time(100_000), 200_000);
    assert_eq!(estimator.estimate_bps(), 3_000_000, "transport-wide feedback comes");
    estimator.remb(Time(4_000_000), 200_000);
    assert_eq!(estimator.estimate_bps(), 200_000, "it came");
}

/// Lowest estimate for half a megabit of pictures, 20 a second, whose line becomes 10 ms longer after three seconds and jitters by 20 ms.
fn lowest_on_a_jittering_line(seed: u64) -> u64 {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut estimator = Estimator::new(Time::ZERO, Config::default());
    estimator.set_demand(Time::ZERO, 500_000, 0);
    let (mut number, mut last, mut lowest) = (0, 0, u64::MAX);
    let mut flying: Vec<(u64, u64)> = Vec::new();
    for ms in 0..8_000 {
        let now = Time(ms * 1_000);
        let mut sizes = vec![120; usize::from(ms % 20 == 0)];
        if ms % 50 == 0 {
            let size = 700 + below(400) as usize;
            sizes.extend(vec![size; 2 + below(3) as usize]);
        }
        for bytes in sizes {
            estimator.sent(now, number as u16, bytes, None);
            let delay = if ms < 3_000 { 100 } else { 10_000 + below(20_000) };
            // Order is kept.
            last = (now.0 + delay).max(last);
            flying.push((number, last));
            number += 1;
        }
        if ms % 50 == 25 {
            let (came, rest): (Vec<_>, Vec<_>) = flying.iter().partition(|(_, at)| *at <= now.0);
            flying = rest;
            let came: Vec<_> = came.into_iter().map(|(number, at)| (number, Some(Time(at)))).collect();
            if !came.is_empty() {
                give(&mut estimator, now, &feedback(&came));
            }
        }
        estimator.timeout(now);
        lowest = lowest.min(estimator.estimate_bps());
    }
    lowest
}

#[test]
fn jitter_on_the_line_of_a_slow_sender_is_no_line_of_half_the_rate() {
    let lowest: Vec<_> = (1..=100).map(lowest_on_a_jittering_line).collect();
    let worst = lowest.iter().min().copied().unwrap_or_default();
    assert!(worst > 400_000, "{worst}: {lowest:?}");
}
