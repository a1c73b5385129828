//! Point 18: RTCP from somebody who has keys.

use std::time::Duration;

use rostra_sfu::ids::Ssrc;
use rostra_sfu::reason::DropReason;
use rostra_sfu::rtp::rtcp::{ReportBlock, Rtcp, packets};
use rostra_sfu::time::Time;

use crate::common::ms;
use crate::common::peer::VP8;
use crate::common::stage::Stage;

/// The attacker watches as well.
fn watching() -> Stage {
    let mut stage = Stage::new();
    stage.bench.bind(stage.attacker.id, "0", stage.publisher.video_track());
    stage.play(10);
    stage.attacker.hear(&mut stage.bench);
    assert!(stage.attacker.pictures(0) > 5);
    stage
}

fn send(stage: &mut Stage, plain: &[u8]) {
    let sealed = stage.attacker.seal_rtcp(plain);
    stage.bench.raw(stage.attacker.address, &sealed);
}

/// A NACK of `pairs` × 17 numbers from `first` on, by hand: no writer of ours is that greedy.
fn greedy_nack(media: Ssrc, first: u16, pairs: u16) -> Vec<u8> {
    let mut plain = vec![0x81, 205];
    plain.extend((2 + pairs).to_be_bytes());
    plain.extend(1_u32.to_be_bytes());
    plain.extend(media.0.to_be_bytes());
    for pair in 0..pairs {
        plain.extend(first.wrapping_add(pair * 17).to_be_bytes());
        plain.extend([0xff, 0xff]);
    }
    plain
}

#[test]
fn a18_garbage_in_compounds_is_counted_and_what_came_before_it_counts() {
    let mut stage = watching();
    let slot = stage.attacker.slot_ssrc(0);
    let pli = |media: Ssrc| {
        let mut plain = vec![0x81, 206, 0, 2, 0, 0, 0, 1];
        plain.extend(media.0.to_be_bytes());
        plain
    };
    let garbage: [(&str, &[u8]); 7] = [
        ("version 0", &[0x01, 201, 0, 1, 0, 0, 0, 1]),
        ("longer than the packet", &[0x80, 201, 0xff, 0xff, 0, 0, 0, 1]),
        ("reports that are not there", &[0x9f, 201, 0, 1, 0, 0, 0, 1]),
        ("padding of nothing", &[0xa0, 201, 0, 1, 0, 0, 0, 0]),
        ("padding of everything", &[0xa0, 201, 0, 1, 0, 0, 0, 255]),
        ("a NACK without media", &[0x81, 205, 0, 1, 0, 0, 0, 1]),
        (
            "transport feedback without statuses",
            &[0x8f, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
        ),
    ];
    for (what, tail) in garbage {
        let before = stage.bench.shard.stats();
        send(&mut stage, &[&pli(slot)[..], tail].concat());
        let after = stage.bench.shard.stats();
        let malformed = |stats: &rostra_sfu::stats::Stats| stats.dropped.get(DropReason::RtcpMalformed);
        assert_eq!(malformed(&after), malformed(&before) + 1, "{what}");
        assert_eq!(after.key_frame_requests_in, before.key_frame_requests_in + 1, "{what}");
    }
    let mut random = rostra_sim::random::Random::new(18);
    for _ in 0..2000 {
        let mut plain: Vec<u8> = (0..8 + random.below(200)).map(|_| random.word() as u8).collect();
        plain[0] = 0x80 | plain[0] & 0x3f;
        plain[1] = 200 + random.below(8) as u8;
        let words = random.below(plain.len() as u64 / 4) as u16;
        plain[2..4].copy_from_slice(&words.to_be_bytes());
        send(&mut stage, &plain);
    }
    assert_eq!(stage.bench.closed(stage.attacker.id), None);
    stage.unharmed();
}

#[test]
fn a18_a_nack_of_every_number_gets_a_bounded_answer() {
    let mut stage = watching();
    let slot = stage.attacker.slot_ssrc(0);
    stage.attacker.ping(&mut stage.bench);
    // A round trip of nothing, to be asked again as often as possible.
    let mut times = 0;
    for _ in 0..100 {
        let before = stage.bench.shard.stats();
        let mut first = 0_u16;
        for _ in 0..12 {
            send(&mut stage, &greedy_nack(slot, first, 322));
            first = first.wrapping_add(322 * 17);
            times += 322 * 17;
        }
        stage.bench.pass(ms(10));
        let after = stage.bench.shard.stats();
        let again = after.retransmissions_out - before.retransmissions_out;
        assert!(again <= 64, "{again} in 10 ms");
    }
    assert!(times >= 65_536);
    let stats = stage.bench.shard.stats();
    assert!(stats.dropped.get(DropReason::NackTooOld) > 0 && stats.dropped.get(DropReason::NackRepeated) > 0);
    // The floor of the pacer, 10 Mb/s, for a second and a bit.
    let bytes: usize = stage.bench.take(stage.attacker.address).iter().map(Vec::len).sum();
    assert!(bytes < 1_500_000, "{bytes} bytes in a second");
    // Too many of one datagram are not read.
    let before = stage.bench.shard.stats().retransmissions_out;
    let mut huge = greedy_nack(slot, 0, 3000);
    huge.truncate(13_000);
    huge[2..4].copy_from_slice(&3249_u16.to_be_bytes());
    huge.resize(13_000, 0);
    send(&mut stage, &huge);
    assert!(stage.bench.shard.stats().retransmissions_out - before <= 256);
    stage.unharmed();
}

#[test]
fn a18_ten_thousand_key_frame_requests_cost_the_publisher_two_a_second() {
    let mut stage = watching();
    let slot = stage.attacker.slot_ssrc(0);
    stage.publisher.asked.clear();
    for round in 0..100 {
        for _ in 0..100 {
            let pli = stage.attacker.feedback(|writer| {
                writer.pli(Ssrc(1), slot);
            });
            stage.bench.raw(stage.attacker.address, &pli);
        }
        let fir = stage.attacker.feedback(|writer| {
            writer.fir(Ssrc(1), &[(slot, round); 80]);
        });
        stage.bench.raw(stage.attacker.address, &fir);
        stage.publisher.hear(&mut stage.bench);
        stage.play(1);
    }
    // 3.3 seconds.
    let asked = &stage.publisher.asked;
    assert!((2..=8).contains(&asked.len()), "{asked:?}");
    for pair in asked.windows(2) {
        assert!(pair[1].since(pair[0]) >= ms(500), "{asked:?}");
    }
    assert!(stage.bench.shard.stats().key_frame_requests_in >= 10_000);
    stage.unharmed();
}

#[test]
fn a18_a_publisher_that_does_not_answer_is_not_asked_more_often_by_more_requests() {
    let mut stage = watching();
    let slot = stage.attacker.slot_ssrc(0);
    stage.publisher.obeys = false;
    stage.publisher.asked.clear();
    for _ in 0..100 {
        for _ in 0..100 {
            let pli = stage.attacker.feedback(|writer| {
                writer.pli(Ssrc(1), slot);
            });
            stage.bench.raw(stage.attacker.address, &pli);
        }
        stage.play(1);
    }
    // The first is repeated after a quarter of a second, as it may be lost, and then ever later: 0, ¼, ¾, 1¾, 2¾ seconds.
    let asked = stage.publisher.asked.len();
    assert!((3..=5).contains(&asked), "{:?}", stage.publisher.asked);
    stage.unharmed();
}

#[test]
fn a18_requests_about_what_is_not_the_askers_ask_nobody() {
    let mut stage = watching();
    stage.publisher.asked.clear();
    let (others, sent) = (stage.viewer.slot_ssrc(0), stage.publisher.video_ssrc());
    let before = stage.bench.dropped(DropReason::FeedbackUnknownSsrc);
    for media in [others, sent, Ssrc(0), Ssrc(u32::MAX)] {
        let pli = stage.attacker.feedback(|writer| {
            writer.pli(Ssrc(1), media);
        });
        stage.bench.raw(stage.attacker.address, &pli);
        let nack = stage.attacker.feedback(|writer| {
            writer.nack(Ssrc(1), media, &[1, 2, 3]);
        });
        stage.bench.raw(stage.attacker.address, &nack);
    }
    assert_eq!(stage.bench.dropped(DropReason::FeedbackUnknownSsrc) - before, 8);
    stage.play(10);
    assert!(stage.publisher.asked.is_empty());
    stage.unharmed();
}

#[test]
fn a18_lies_in_transport_feedback_and_remb_change_nothing() {
    let mut stage = watching();
    let far = |n: u64| (n, Some(Time(1_000_000 + n * 100)));
    for base in [0, 30_000, 65_530, 1_000_000] {
        let claims: Vec<_> = (base..base + 400).map(far).collect();
        let lie = stage.attacker.feedback(|writer| {
            assert!(writer.transport_cc(Ssrc(1), Ssrc(2), 0, &claims).is_some());
        });
        stage.bench.raw(stage.attacker.address, &lie);
    }
    // A run of 65 535 statuses "not received" in one chunk after the other, and one of deltas of eight seconds each way.
    let mut run = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
    for _ in 0..8 {
        run.extend(0x1fff_u16.to_be_bytes());
    }
    let words = (run.len() / 4 - 1) as u16;
    run[2..4].copy_from_slice(&words.to_be_bytes());
    send(&mut stage, &run);
    let mut deltas = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0];
    deltas.extend([0xea, 0xaa]);
    for n in 0..7 {
        deltas.extend(if n % 2 == 0 { [0x7f, 0xff] } else { [0x80, 0x00] });
    }
    let words = (deltas.len() / 4 - 1) as u16;
    deltas[2..4].copy_from_slice(&words.to_be_bytes());
    send(&mut stage, &deltas);
    for bitrate in [0, 1, u64::MAX >> 1, u64::MAX] {
        let remb = stage.attacker.feedback(|writer| {
            writer.remb(Ssrc(1), bitrate, &[Ssrc(0); 200]);
        });
        stage.bench.raw(stage.attacker.address, &remb);
    }
    // Mantissa and exponent at their ends, and more sources than there are.
    for (rate, count) in [([0xff, 0xff, 0xff], 0), ([0xfc, 0, 0], 0), ([0, 0, 0], 255)] {
        let mut plain = vec![0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0];
        plain.extend(b"REMB");
        plain.push(count);
        plain.extend(rate);
        send(&mut stage, &plain);
    }
    // Reports of a round trip of hours, of less than nothing, and of losing everything.
    for (last_sr, delay) in [(1, 0), (u32::MAX, u32::MAX), (0x8000_0000, 1)] {
        let block = ReportBlock {
            ssrc: stage.attacker.slot_ssrc(0),
            fraction_lost: 255,
            cumulative_lost: -0x80_0000,
            highest_seq: u32::MAX,
            jitter: u32::MAX,
            last_sr,
            delay_since_sr: delay,
        };
        let report = stage.attacker.feedback(|writer| {
            writer.receiver_report(Ssrc(1), &[block; 31]);
        });
        stage.bench.raw(stage.attacker.address, &report);
    }
    let before = stage.attacker.pictures(0);
    stage.attacker.ping(&mut stage.bench);
    stage.unharmed();
    stage.attacker.hear(&mut stage.bench);
    assert!(stage.attacker.pictures(0) >= before + 10, "not even the liar");
}

#[test]
fn a18_reports_and_goodbyes_of_a_publisher_for_others_are_not_believed() {
    let mut stage = watching();
    let victim = stage.publisher.video_ssrc();
    for ntp in [0, 1, u64::MAX, 1 << 63] {
        let report = stage.attacker.feedback(|writer| {
            writer.sender_report(victim, ntp, 1, 2, 3, &[]);
            writer.bye(victim);
        });
        stage.bench.raw(stage.attacker.address, &report);
    }
    stage.unharmed();
    // In its own name it may, and only its own track suffers.
    let own = stage.attacker.video_ssrc();
    stage.bench.bind(stage.viewer.id, "1", stage.attacker.video_track());
    for ntp in [0, 1, u64::MAX, 1 << 63] {
        for datagram in stage.attacker.frame(stage.bench.now) {
            stage.bench.raw(stage.attacker.address, &datagram);
        }
        let report = stage.attacker.feedback(|writer| {
            writer.sender_report(own, ntp, u32::MAX, u32::MAX, u32::MAX, &[]);
            writer.bye(own);
            writer.bye(Ssrc(5));
        });
        stage.bench.raw(stage.attacker.address, &report);
        stage.play(1);
    }
    stage.unharmed();
}

#[test]
fn a18_what_the_server_asks_of_a_lossy_publisher_is_bounded() {
    let mut stage = watching();
    stage.bench.bind(stage.viewer.id, "1", stage.attacker.video_track());
    stage.attacker.hear(&mut stage.bench);
    stage.attacker.rtcp.clear();
    let ssrc = stage.attacker.video_ssrc();
    // Every second packet is missing, for ever.
    let begin = stage.bench.now;
    for n in 0..1500_u64 {
        let seq = n * 2;
        let (plain, len) = stage
            .attacker
            .packet(ssrc, VP8, Some("v"), seq as u16, n as u32, true, &[0x10, 0x11, 1, 2]);
        let datagram = stage.attacker.seal(&plain, len, seq);
        stage.bench.raw(stage.attacker.address, &datagram);
        stage.bench.pass(Duration::from_millis(1));
        stage.attacker.obeys = false;
        stage.attacker.hear(&mut stage.bench);
    }
    let seconds = stage.bench.now.since(begin).as_secs_f64();
    let asked: usize = stage
        .attacker
        .rtcp
        .iter()
        .flat_map(|(_, compound)| packets(compound))
        .map(|packet| match packet {
            Ok(Rtcp::Nack(nack)) => nack.seqs().count(),
            _ => 0,
        })
        .sum();
    assert!(
        asked > 0 && (asked as f64) < 256.0 * 50.0 * seconds,
        "{asked} in {seconds} s"
    );
    stage.unharmed();
}
