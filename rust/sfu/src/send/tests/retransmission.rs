//! NACK, PLI and FIR of a viewer.

use super::source::{rtx_ssrc, slot_spec, spec, ssrc};
use super::world::{MS, Seen, VIDEO, VIDEO_CODECS, World, assert_contiguous};
use crate::command::{Codec, ExtensionKind, Kind};
use crate::encoding::EncodingKey;
use crate::ids::Ssrc;
use crate::reason::DropReason;
use crate::rtp::rtcp::{ReportBlock, Rtcp};

fn showing_first(codecs: &[Codec]) -> World {
    let mut world = World::new(codecs);
    world.bind(VIDEO, 0);
    assert!(world.picture(VIDEO, 0, 3, true));
    world.pass(33 * MS);
    world
}

/// Every retransmission has the payload that the packet of its number had.
fn assert_same(world: &World, originals: &[Seen]) {
    let again = world.again(VIDEO);
    assert_eq!(again.len(), originals.len());
    for (again, original) in again.iter().zip(originals) {
        assert_eq!(again.payload[..2], (original.seq as u16).to_be_bytes());
        assert_eq!(again.payload[2..], original.payload);
        assert_eq!(again.timestamp, original.timestamp);
        assert_eq!(again.marker, original.marker);
        assert_eq!(again.payload_type, original.payload_type + 1);
    }
}

#[test]
fn a_retransmission_after_switches_has_the_same_payload() {
    let mut world = World::new(&VIDEO_CODECS);
    for n in 0..4 {
        world.bind(VIDEO, n);
        world.picture(VIDEO, n, 4, true);
        world.pictures(VIDEO, &[n], 3);
    }
    let originals: Vec<Seen> = world.media(VIDEO).into_iter().cloned().collect();
    let seqs: Vec<u64> = originals.iter().map(|seen| seen.seq).collect();
    world.nack(VIDEO, &seqs).unwrap();
    world.pass(100 * MS);
    assert_same(&world, &originals);
    assert_contiguous(&world.again(VIDEO));
    assert_eq!(world.stats.retransmissions_out, originals.len() as u64);
    assert_eq!(world.stats.rtp_out, originals.len() as u64);
}

#[test]
fn what_nine_switches_ago_was_sent_is_not_in_the_history_any_more() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Vp8]);
    let first = world.media(VIDEO)[0].seq;
    for n in [1, 0, 1, 0, 1, 0, 1, 0] {
        world.pass(700 * MS);
        world.bind(VIDEO, n);
        assert!(world.picture(VIDEO, n, 3, true));
        world.pass(33 * MS);
    }
    world.nack(VIDEO, &[first]).unwrap();
    world.pass(33 * MS);
    assert!(world.again(VIDEO).is_empty());
    assert_eq!(world.dropped(DropReason::NackTooOld), 1);
}

#[test]
fn nothing_is_retransmitted_without_a_payload_type_for_it() {
    let mut world = World::with(
        &[Codec::Vp8],
        &[slot_spec(VIDEO, Kind::Video, false)],
        &[ExtensionKind::Mid, ExtensionKind::TransportCc],
    );
    world.bind(VIDEO, 0);
    world.picture(VIDEO, 0, 3, true);
    world.pass(33 * MS);
    let seqs: Vec<u64> = world.media(VIDEO).iter().map(|seen| seen.seq).collect();
    world.nack(VIDEO, &seqs).unwrap();
    world.pass(33 * MS);
    assert_eq!(world.seen.len(), 3);
    assert_eq!(world.dropped(DropReason::NoPayloadType), 3);
}

#[test]
fn a_packet_is_retransmitted_once_per_round_trip() {
    let mut world = showing_first(&[Codec::Vp8]);
    let seq = world.media(VIDEO)[1].seq;
    for _ in 0..5 {
        world.nack(VIDEO, &[seq]).unwrap();
        world.nack(VIDEO, &[seq]).unwrap();
        world.pass(10 * MS);
    }
    assert_eq!(world.again(VIDEO).len(), 1);
    world.pass(60 * MS);
    world.nack(VIDEO, &[seq]).unwrap();
    world.pass(10 * MS);
    assert_eq!(
        world.again(VIDEO).len(),
        3,
        "the first one was in vain, so the second leaves twice"
    );
    assert_eq!(world.dropped(DropReason::NackRepeated), 9);
}

#[test]
fn a_packet_that_the_publisher_sent_again_leaves_twice() {
    let mut world = showing_first(&[Codec::Vp8]);
    let now = world.now;
    let mut picture = world.source(0).make(now, 3, false);
    let mut lost = picture.remove(1);
    for made in &picture {
        world.arrive(VIDEO, 0, made).unwrap();
    }
    world.pass(60 * MS);
    assert_eq!(world.media(VIDEO).len(), 5);
    lost.meta.arrival = world.now;
    world.arrive(VIDEO, 0, &lost).unwrap();
    world.pass(10 * MS);
    assert_eq!(world.media(VIDEO).len(), 6);
    let (media, again) = (world.media(VIDEO)[5].clone(), world.again(VIDEO)[0].clone());
    assert_eq!(again.payload[..2], (media.seq as u16).to_be_bytes());
    assert_eq!(again.payload[2..], media.payload);
}

#[test]
fn a_packet_that_was_only_overtaken_leaves_once() {
    let mut world = showing_first(&[Codec::Vp8]);
    let now = world.now;
    let mut picture = world.source(0).make(now, 3, false);
    let mut overtaken = picture.remove(1);
    for made in &picture {
        world.arrive(VIDEO, 0, made).unwrap();
    }
    world.pass(5 * MS);
    overtaken.meta.arrival = world.now;
    world.arrive(VIDEO, 0, &overtaken).unwrap();
    world.pass(10 * MS);
    assert_eq!((world.media(VIDEO).len(), world.again(VIDEO).len()), (6, 0));
}

#[test]
fn the_round_trip_comes_from_receiver_reports() {
    let mut world = showing_first(&[Codec::Vp8]);
    world.source(0).clock = Some(crate::encoding::ClockMap {
        at: world.now,
        rtp: 0,
        from_report: true,
    });
    world.pass(1_100 * MS);
    let report = world.reports[0];
    world.now = report.at;
    world.pass(300 * MS);
    let block = ReportBlock {
        ssrc: ssrc(VIDEO),
        fraction_lost: 51,
        cumulative_lost: 1,
        highest_seq: 0,
        jitter: 0,
        last_sr: (report.ntp >> 16) as u32,
        // 60 of the 300 ms were spent at the viewer.
        delay_since_sr: 65_536 * 60 / 1_000,
    };
    world
        .rtcp(|writer| assert!(writer.receiver_report(Ssrc(1), &[block])))
        .0
        .unwrap();
    let rtt = world.sender.feedback().rtt.unwrap().as_millis();
    assert!((239..=241).contains(&rtt), "{rtt}");
    assert_eq!(world.sender.feedback().fraction_lost, 51);
}

#[test]
fn a_viewers_clock_is_answered_once_with_the_time_since_it_came() {
    let mut world = showing_first(&[Codec::Vp8]);
    world.source(0).clock = Some(crate::encoding::ClockMap {
        at: world.now,
        rtp: 0,
        from_report: true,
    });
    world.pass(1_100 * MS);
    let came = world.now;
    let clock = Rtcp::ReferenceTime {
        sender: Ssrc(7),
        middle: 0xaabb_ccdd,
    };
    world
        .sender
        .rtcp(came, &clock, &world.sources, &mut Vec::new())
        .unwrap();
    let before = world.compounds.len();
    world.pass(3_000 * MS);
    let answers: Vec<_> = world.compounds[before..]
        .iter()
        .filter_map(|compound| {
            compound
                .windows(4)
                .position(|bytes| bytes == [0x80, 207, 0, 5])
                .map(|at| &compound[at..])
        })
        .collect();
    let [answer] = answers[..] else { panic!("{answers:?}") };
    let reported = world.reports.iter().find(|report| report.at > came).unwrap();
    let delay = (reported.at.micros_since(came) << 16) / 1_000_000;
    assert_eq!(answer[4..8], ssrc(VIDEO).0.to_be_bytes());
    assert_eq!(answer[8..20], [5, 0, 0, 3, 0, 0, 0, 7, 0xaa, 0xbb, 0xcc, 0xdd]);
    assert_eq!(answer[20..24], (delay as u32).to_be_bytes());
}

#[test]
fn a_nack_of_everything_costs_no_more_than_its_bytes() {
    let mut world = showing_first(&[Codec::Vp8]);
    world.pictures(VIDEO, &[0], 30);
    let memory = world.sender.memory_bytes();
    for first in (0..=u16::MAX).step_by(1024) {
        let seqs: Vec<u16> = (first..=first.saturating_add(1023)).collect();
        world
            .rtcp(|writer| assert!(writer.nack(Ssrc(1), ssrc(VIDEO), &seqs)))
            .0
            .unwrap();
    }
    world.pass(200 * MS);
    assert_eq!(world.again(VIDEO).len(), 93, "each packet of the history once");
    assert_eq!(world.dropped(DropReason::NackTooOld), 65_536 - 93);
    // One queue took its first piece.
    assert!(world.sender.memory_bytes() <= memory + 128 * 16);
}

#[test]
fn retransmissions_beyond_the_queue_are_dropped_and_counted() {
    let mut world = showing_first(&[Codec::Vp8]);
    for _ in 0..30 {
        world.picture(VIDEO, 0, 12, false);
        world.pass(33 * MS);
    }
    let seqs: Vec<u64> = world.media(VIDEO).iter().map(|seen| seen.seq).collect();
    assert_eq!(seqs.len(), 363);
    world.nack(VIDEO, &seqs).unwrap();
    world.pass(500 * MS);
    assert_eq!(world.again(VIDEO).len(), 256);
    assert_eq!(world.dropped(DropReason::QueueFull), 107);
}

#[test]
fn a_nack_for_an_ssrc_that_is_not_a_slots_media_is_refused() {
    let mut world = showing_first(&[Codec::Vp8]);
    for wrong in [Ssrc(5), rtx_ssrc(VIDEO)] {
        let (result, _) = world.rtcp(|writer| assert!(writer.nack(Ssrc(1), wrong, &[1])));
        assert_eq!(result, Err(DropReason::FeedbackUnknownSsrc));
    }
}

#[test]
fn the_numbers_of_retransmissions_and_media_are_apart() {
    let mut world = showing_first(&[Codec::Vp8]);
    for _ in 0..3 {
        let seqs: Vec<u64> = world.media(VIDEO).iter().map(|seen| seen.seq).collect();
        world.nack(VIDEO, &seqs).unwrap();
        world.pass(150 * MS);
        world.picture(VIDEO, 0, 3, false);
        world.pass(33 * MS);
    }
    assert_contiguous(&world.media(VIDEO));
    assert_contiguous(&world.again(VIDEO));
    let numbers: Vec<_> = world.seen.iter().map(|seen| seen.transport_cc.unwrap()).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "one transport-wide sequence: {numbers:?}"
    );
}

fn pli(world: &mut World) -> Vec<EncodingKey> {
    let (result, requests) = world.rtcp(|writer| assert!(writer.pli(Ssrc(1), ssrc(VIDEO))));
    result.unwrap();
    requests
}

#[test]
fn a_picture_loss_asks_what_is_shown_or_what_is_staged() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Vp8]);
    assert_eq!(pli(&mut world), [world.key(0)]);
    world.picture(9, 1, 1, false);
    world.bind(VIDEO, 1);
    assert_eq!(pli(&mut world), [world.key(1)]);
    world.pass(MS);
    let (_, requests) = world.rtcp(|writer| assert!(writer.fir(Ssrc(1), &[(ssrc(VIDEO), 1), (ssrc(VIDEO), 2)])));
    assert_eq!(requests, [world.key(1)]);
    let now = world.now;
    world.sender.unbind(now, VIDEO);
    assert!(pli(&mut world).is_empty());
}

#[test]
fn a_storm_of_picture_losses_asks_once_per_instant() {
    let mut world = showing_first(&[Codec::Vp8]);
    let (result, requests) = world.rtcp(|writer| while writer.pli(Ssrc(1), ssrc(VIDEO)) {});
    result.unwrap();
    assert_eq!(requests, [world.key(0)]);
    let mut asked = 0;
    for _ in 0..65_536 {
        asked += pli(&mut world).len();
    }
    assert_eq!(asked, 0, "the same instant");
    world.pass(MS);
    assert_eq!(pli(&mut world).len(), 1);
    world.flush();
    assert_eq!(world.stats.key_frame_requests_in, 8192 / 12 + 65_536 + 1);
}

#[test]
fn feedback_for_others_is_refused() {
    let mut world = showing_first(&[Codec::Vp8]);
    let (result, requests) = world.rtcp(|writer| assert!(writer.pli(Ssrc(1), Ssrc(77))));
    assert_eq!(result, Err(DropReason::FeedbackUnknownSsrc));
    assert!(requests.is_empty());
}

#[test]
fn estimates_of_the_viewer_are_kept() {
    let mut world = showing_first(&[Codec::Vp8]);
    let (result, _) = world.rtcp(|writer| assert!(writer.remb(Ssrc(1), 2_000_000, &[ssrc(VIDEO)])));
    result.unwrap();
    assert_eq!(world.sender.feedback().remb_bps, Some(2_000_000));
}

#[test]
fn a_retransmission_of_what_the_ring_lost_is_dropped() {
    let mut world = showing_first(&[Codec::Vp8]);
    let seq = world.media(VIDEO)[0].seq;
    world.source(0).ring.clear();
    world.nack(VIDEO, &[seq]).unwrap();
    world.flush();
    assert!(world.again(VIDEO).is_empty());
    assert_eq!(world.dropped(DropReason::TooOld), 1);
    assert_eq!(spec(Codec::Vp8, true).rtx_payload_type, Some(21));
}
