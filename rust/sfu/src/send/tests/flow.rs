//! Pace, header extensions, sender reports, memory.

use super::source::{Source, rtx_ssrc, slot_spec, ssrc};
use super::world::{AUDIO, MS, UNIX_AT_BASE_US, VIDEO, World, assert_contiguous, path};
use crate::command::{Codec, ExtensionKind, Kind, SlotSpec};
use crate::encoding::ClockMap;
use crate::ids::Mid;
use crate::outbox::{Outbox, SAFE_PAYLOAD};
use crate::reason::DropReason;
use crate::time::Time;

const BOTH: [ExtensionKind; 2] = [ExtensionKind::Mid, ExtensionKind::TransportCc];

fn showing_first(codecs: &[Codec]) -> World {
    let mut world = World::new(codecs);
    world.bind(VIDEO, 0);
    assert!(world.picture(VIDEO, 0, 3, true));
    world.pass(33 * MS);
    world
}

#[test]
fn a_key_frame_leaves_at_the_pacing_rate() {
    let mut world = showing_first(&[Codec::Vp8]);
    world.source(0).rate_bps = 6_000_000;
    world.source(0).size = 1_100;
    world.picture(VIDEO, 0, 3, false);
    world.pass(33 * MS);
    let begin = world.now;
    world.picture(VIDEO, 0, 90, true);
    world.pass(100 * MS);
    let sent: Vec<_> = world.media(VIDEO).into_iter().filter(|seen| seen.at >= begin).collect();
    assert_eq!(sent.len(), 90);
    // 90 × 1 144 bytes less the burst, at 15 Mb/s.
    let took = sent[89].at.micros_since(begin);
    let wanted = (90 * 1_144 * 8 - 75_000) * 1_000 / 15_000;
    assert!(took.abs_diff(wanted) < wanted / 20, "{took} µs, not {wanted}");
    // No 5 ms see more than the rate allows for them and one burst.
    for (i, first) in sent.iter().enumerate() {
        let within = sent[i..]
            .iter()
            .take_while(|seen| seen.at.micros_since(first.at) < 5 * MS)
            .count();
        assert!(within <= 18, "{within} packets in 5 ms");
    }
}

#[test]
fn audio_never_waits_behind_video() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Opus]);
    world.bind(AUDIO, 1);
    world.source(0).size = 1_100;
    world.picture(VIDEO, 0, 90, true);
    world.flush();
    assert!(world.sender.has_queued());
    for _ in 0..3 {
        world.picture(AUDIO, 1, 1, false);
        assert!(world.sender.next_timeout().unwrap() <= world.now);
        world.flush();
        assert_eq!(world.seen.last().unwrap().at, world.now);
        assert_eq!(world.seen.last().unwrap().ssrc, ssrc(AUDIO));
        world.pass(MS);
    }
}

#[test]
fn an_audio_packet_is_the_shorter_tail_of_a_video_run() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Opus]);
    world.bind(AUDIO, 1);
    world.source(0).size = 1_000;
    world.source(1).size = 100;
    world.runs.clear();
    world.picture(AUDIO, 1, 1, false);
    world.picture(VIDEO, 0, 4, false);
    world.flush();
    assert_eq!(world.runs, [5]);
}

#[test]
fn a_full_outbox_is_continued_where_it_stopped() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Opus]);
    world.bind(AUDIO, 1);
    world.source(0).size = 1_000;
    world.picture(VIDEO, 0, 4, false);
    world.picture(AUDIO, 1, 1, false);
    // Room for two packets more.
    let mut out = Outbox::default();
    while out.has_room(3_900) {
        assert!(out.push(path(), &[0; 700]));
    }
    let (mut stats, mut srtp) = (crate::stats::Stats::default(), srtp());
    assert!(
        world
            .sender
            .flush(world.now, &world.sources, &mut srtp, path(), &mut out, &mut stats)
    );
    let sent = stats.rtp_out;
    assert!((1..=3).contains(&sent));
    out.clear();
    assert!(
        !world
            .sender
            .flush(world.now, &world.sources, &mut srtp, path(), &mut out, &mut stats)
    );
    assert_eq!(stats.rtp_out, 5);
}

fn srtp() -> crate::transport::srtp::SrtpOut {
    let profile = crate::command::SrtpProfile::AeadAes128Gcm;
    let keys = crate::transport::srtp::KeyingHalf::new(profile, &[1; 16], &[2; 12]).unwrap();
    crate::transport::srtp::SrtpOut::new(profile, &keys)
}

#[test]
fn mid_is_sent_until_a_report_and_two_seconds_and_again_after_a_switch() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Vp8]);
    let latest = |world: &World| world.media(VIDEO).last().unwrap().mid;
    world.receiver_report(ssrc(VIDEO));
    world.pictures(VIDEO, &[0], 10);
    assert!(latest(&world), "reported, but too early");
    world.pass(2_000 * MS);
    world.pictures(VIDEO, &[0], 1);
    assert!(!latest(&world));

    world.bind(VIDEO, 1);
    world.picture(VIDEO, 1, 3, true);
    world.pass(2_500 * MS);
    world.pictures(VIDEO, &[1], 1);
    assert!(latest(&world), "late enough, but not reported");
    world.receiver_report(ssrc(VIDEO));
    world.pictures(VIDEO, &[1], 1);
    assert!(!latest(&world));

    // Retransmissions have an SSRC of their own, and so reports of their own.
    let seq = world.media(VIDEO).last().unwrap().seq;
    world.nack(VIDEO, &[seq]).unwrap();
    world.flush();
    assert!(world.again(VIDEO)[0].mid);
    world.receiver_report(rtx_ssrc(VIDEO));
    world.pass(200 * MS);
    world.nack(VIDEO, &[seq]).unwrap();
    world.flush();
    assert!(!world.again(VIDEO)[1].mid);
}

#[test]
fn absolute_send_time_only_without_transport_wide_numbers() {
    let slots = [slot_spec(VIDEO, Kind::Video, true)];
    let extensions = [
        ExtensionKind::Mid,
        ExtensionKind::AbsSendTime,
        ExtensionKind::TransportCc,
    ];
    for (extensions, transport_wide) in [(&extensions[..], true), (&extensions[..2], false)] {
        let mut world = World::with(&[Codec::Vp8], &slots, extensions);
        world.bind(VIDEO, 0);
        world.picture(VIDEO, 0, 1, true);
        world.flush();
        let seen = world.media(VIDEO)[0];
        assert_eq!(seen.transport_cc.is_some(), transport_wide);
        // 10 s in 6.18 fixed point.
        assert_eq!(seen.abs_send_time, (!transport_wide).then_some(10 << 18));
    }
}

#[test]
fn payloads_that_do_not_fit_everywhere_are_counted() {
    let mut world = showing_first(&[Codec::Vp8]);
    assert_eq!(world.stats.oversize_out, 0);
    world.source(0).size = SAFE_PAYLOAD;
    world.picture(VIDEO, 0, 2, false);
    world.pass(33 * MS);
    assert_eq!(world.stats.oversize_out, 2);
    assert_eq!(world.media(VIDEO).len(), 5, "and sent all the same");
}

#[test]
fn sender_reports_follow_the_publishers_clock_on_the_servers_time() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Vp8]);
    let clock = |world: &World, rtp| {
        Some(ClockMap {
            at: world.now,
            rtp,
            from_report: true,
        })
    };
    world.source(0).clock = clock(&world, world.sources.0[0].timestamp);
    world.source(1).clock = clock(&world, world.sources.0[1].timestamp);
    let at = world.now;
    world.pictures(VIDEO, &[0], 70);
    let source = world.source(0).timestamp;
    let newest = world.media(VIDEO).last().unwrap().timestamp;
    assert_eq!(world.reports.len(), 2, "one a second, while there is a clock");
    let report = world.reports[1];
    assert_eq!(report.ssrc, ssrc(VIDEO));
    let unix_us = UNIX_AT_BASE_US + report.at.0;
    assert_eq!(report.ntp >> 32, unix_us / 1_000_000 + 2_208_988_800);
    let micros = ((report.ntp & 0xffff_ffff) * 1_000_000) >> 32;
    assert!((unix_us % 1_000_000).abs_diff(micros) <= 1, "{micros}");
    // The publisher's clock runs at 90 kHz from `at` on; the slot adds one offset to all of its timestamps.
    let offset = newest.wrapping_sub(source);
    let first = source.wrapping_sub(70 * 3_000);
    let expected = first
        .wrapping_add((report.at.micros_since(at) * 9 / 100) as u32)
        .wrapping_add(offset);
    assert_eq!(report.rtp, expected);
    let sent = world
        .media(VIDEO)
        .iter()
        .filter(|seen| seen.at <= report.at)
        .map(|seen| seen.payload.len() as u32)
        .collect::<Vec<_>>();
    assert_eq!((report.packets, report.octets), (sent.len() as u32, sent.iter().sum()));

    // The next encoding has its own clock; the first report after the switch is on it already.
    world.bind(VIDEO, 1);
    world.picture(VIDEO, 1, 1, true);
    world.flush();
    let report = *world.reports.last().unwrap();
    assert_eq!(report.at, world.now);
    let offset = world
        .media(VIDEO)
        .last()
        .unwrap()
        .timestamp
        .wrapping_sub(world.sources.0[1].timestamp);
    let clock = world.sources.0[1].clock.unwrap();
    assert_eq!(report.rtp, clock.rtp_at(world.now, 90_000).wrapping_add(offset));

    let reports = world.reports.len();
    world.sender.unbind(world.now, VIDEO);
    world.pass(3_000 * MS);
    assert_eq!(world.reports.len(), reports, "nothing shown, nothing reported");
    assert_eq!(world.sender.next_timeout(), None);
}

#[test]
fn no_report_is_made_up_without_a_clock() {
    let mut world = showing_first(&[Codec::Vp8]);
    world.pass(5_000 * MS);
    assert!(world.reports.is_empty());
}

#[test]
fn a_queue_that_is_full_drops_and_goes_on() {
    let mut world = showing_first(&[Codec::Vp8]);
    world.source(0).size = 1_100;
    let now = world.now;
    let mut refused = 0;
    for made in world.source(0).make(now, 1_100, false) {
        if world.arrive(VIDEO, 0, &made) == Err(DropReason::QueueFull) {
            refused += 1;
        }
    }
    assert_eq!(refused, 1_100 - 1_024);
    world.pass(2_000 * MS);
    let sent = world.media(VIDEO).len();
    world.picture(VIDEO, 0, 3, false);
    world.flush();
    let media = world.media(VIDEO);
    assert_eq!(media.len(), sent + 3);
    assert_eq!(
        media[sent].seq,
        media[2].seq + 1 + 1_100,
        "what was dropped reads as loss"
    );
    assert_contiguous(&media[sent..]);
}

/// Ten slots: five of video, five of audio.
fn ten_slots() -> Vec<SlotSpec> {
    (0..10)
        .map(|n| slot_spec(n, if n < 5 { Kind::Video } else { Kind::Audio }, true))
        .collect()
}

#[test]
fn a_viewer_of_ten_slots_takes_at_most_64_kilobytes_and_no_more_with_time() {
    let codecs = [[Codec::Vp8; 5], [Codec::Opus; 5]].concat();
    let mut world = World::with(&codecs, &ten_slots(), &BOTH);
    let idle = world.sender.memory_bytes();
    for n in 0..10 {
        world.bind(n, usize::from(n));
    }
    let round = |world: &mut World, key| {
        for n in 0..10 {
            world.picture(n, usize::from(n), if n < 5 { 30 } else { 1 }, key);
        }
        let seqs: Vec<u64> = world.media(VIDEO).iter().rev().take(100).map(|seen| seen.seq).collect();
        if !seqs.is_empty() {
            world.nack(VIDEO, &seqs).unwrap();
        }
    };
    round(&mut world, true);
    world.pass(100 * MS);
    // A pile that makes each queue take all that it ever takes.
    for _ in 0..8 {
        round(&mut world, false);
    }
    // What is asked for once more leaves twice.
    for _ in 0..30 {
        world.pass(100 * MS);
        round(&mut world, false);
    }
    let full = world.sender.memory_bytes();
    assert!(full <= 64 * 1024, "{full} bytes");
    assert!(idle <= 16 * 1024, "{idle} bytes before anything is shown");
    for _ in 0..30 {
        world.pass(100 * MS);
        round(&mut world, false);
    }
    assert_eq!(world.sender.memory_bytes(), full, "nothing is taken per packet");
}

#[test]
fn a_switch_storm_takes_no_memory() {
    let mut world = showing_first(&[Codec::Vp8, Codec::H264, Codec::Av1]);
    world.pass(33 * MS);
    let before = world.sender.memory_bytes();
    let mut memory = 0;
    for i in 0..800 {
        // By now it knows eight epochs and as many packets as it ever does.
        if i == 200 {
            memory = world.sender.memory_bytes();
            assert!(memory <= before + 8 * 96 + 512 * 8, "{memory} after {before}");
        }
        let n = i % 3;
        world.bind(VIDEO, n);
        world.picture(VIDEO, n, 2, true);
        world.pass(10 * MS);
    }
    assert_contiguous(&world.media(VIDEO));
    assert_eq!(world.sender.memory_bytes(), memory);
}

#[test]
fn a_source_that_is_gone_sends_nothing_more() {
    let mut world = showing_first(&[Codec::Vp8]);
    world.picture(VIDEO, 0, 3, false);
    world.sources.0[0] = Source::new(9, Codec::Vp8);
    world.pass(2_000 * MS);
    assert_eq!(world.media(VIDEO).len(), 3);
    assert_eq!(world.dropped(DropReason::OtherEncoding), 3);
    assert!(!world.sender.has_queued());
}

#[test]
fn unknown_names_find_nothing() {
    let world = World::new(&[]);
    assert_eq!(world.sender.slot(Mid::new(b"nope").unwrap()), None);
    assert_eq!(world.sender.showing(77), None);
    assert_eq!(world.sender.next_timeout(), None::<Time>);
}
