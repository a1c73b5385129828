//! Clocks of the publisher, as viewers see them.

use super::*;

const NTP: u64 = 3_900_000_000 << 32;

fn after(ntp: u64, millis: u64) -> u64 {
    ntp + (millis << 32) / 1000
}

#[test]
fn audio_and_video_share_the_offset_of_their_publisher() {
    let mut bench = Bench::new(&[audio("a", 1), video("v", 2)]);
    bench
        .send(ms(1000), &Packet::new(1, OPUS, 1).mid("a").timestamp(0))
        .expect("kept");
    bench
        .send(ms(1000), &Packet::new(2, VP8, 1).mid("v").timestamp(0))
        .expect("kept");
    for line in [0, 1] {
        let clock = bench.view(line, 0).and_then(|view| view.clock).expect("by arrival");
        assert_eq!((clock.at, clock.rtp, clock.from_report), (ms(1000), 0, false));
    }
    // Reports of two instants; the first one is 90 ms on its way, the second one 20 ms.
    bench.rtcp(ms(1190), |out| {
        out.sender_report(Ssrc(1), after(NTP, 100), 4_800, 1, 1, &[])
    });
    bench.rtcp(ms(1220), |out| {
        out.sender_report(Ssrc(2), after(NTP, 200), 18_000, 1, 1, &[])
    });
    let clocks = [0, 1].map(|line| bench.view(line, 0).and_then(|view| view.clock).expect("reported"));
    assert!(clocks.iter().all(|clock| clock.from_report));
    // The publisher's zero of both clocks is one instant; it has to be one instant of ours.
    let audio_at = clocks[0].rtp_at(ms(2000), 48_000);
    let video_at = clocks[1].rtp_at(ms(2000), 90_000);
    let apart = i64::from(audio_at) * 90_000 / 48_000 - i64::from(video_at);
    assert!(apart.abs() <= 2, "{audio_at} {video_at}");
    assert!(clocks[0].at.since(ms(1120)).as_micros() < 5, "{clocks:?}");
}

#[test]
fn a_report_that_does_not_fit_the_packets_is_not_believed() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench
        .send(ms(1000), &Packet::new(2, VP8, 1).mid("v").timestamp(0))
        .expect("kept");
    bench.rtcp(ms(1100), |out| {
        out.sender_report(Ssrc(2), NTP, 3_000_000_000, 1, 1, &[])
    });
    bench.rtcp(ms(1100), |out| out.sender_report(Ssrc(2), 0, 9_000, 1, 1, &[]));
    bench.rtcp(ms(1100), |out| out.sender_report(Ssrc(77), NTP, 9_000, 1, 1, &[]));
    let clock = bench.view(0, 0).and_then(|view| view.clock).expect("by arrival");
    assert_eq!((clock.at, clock.from_report), (ms(1000), false));
}

#[test]
fn a_leap_of_the_timestamps_makes_the_old_report_void() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench
        .send(ms(1000), &Packet::new(2, VP8, 1).mid("v").timestamp(0))
        .expect("kept");
    bench.rtcp(ms(1100), |out| out.sender_report(Ssrc(2), NTP, 9_000, 1, 1, &[]));
    bench
        .send(ms(1200), &Packet::new(2, VP8, 2).timestamp(2_000_000_000))
        .expect("kept");
    let clock = bench.view(0, 0).and_then(|view| view.clock).expect("by arrival");
    assert_eq!(
        (clock.at, clock.rtp, clock.from_report),
        (ms(1200), 2_000_000_000, false)
    );
}
