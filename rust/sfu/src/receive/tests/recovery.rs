//! Loss, and what is done about it.

use proptest::prelude::*;

use super::*;

const SSRC: u32 = 1;
const RTX_SSRC: u32 = 2;

fn vp8(seq: u16) -> Packet {
    Packet::new(SSRC, VP8, seq).mid("v")
}

fn nacks(asked: &[(Time, Asked)]) -> Vec<(Time, Vec<u16>)> {
    asked
        .iter()
        .filter_map(|(at, asked)| match asked {
            Asked::Nack(ssrc, seqs) => {
                assert_eq!(*ssrc, SSRC);
                Some((*at, seqs.clone()))
            }
            Asked::KeyFrame(_) | Asked::Report(_) | Asked::TransportCc(_) => None,
        })
        .collect()
}

fn key_frames(asked: &[(Time, Asked)]) -> Vec<Time> {
    asked
        .iter()
        .filter(|(_, asked)| *asked == Asked::KeyFrame(SSRC))
        .map(|(at, _)| *at)
        .collect()
}

#[test]
fn a_lost_packet_is_asked_for_and_its_retransmission_is_kept_as_the_original() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench.send(ms(0), &vp8(65_534).payload(KEY)).expect("kept");
    bench.send(ms(1), &vp8(1)).expect("kept");
    assert_eq!(nacks(&bench.run(ms(20))), [(ms(11), vec![65_535, 0])]);
    assert_eq!(bench.receiver.nacks_out, 2);

    for (at, seq) in [(40, 65_535), (41, 0)] {
        let lost = vp8(seq);
        let rtx = Packet {
            padding: 3,
            ..lost.clone().retransmitted(RTX_SSRC, VP8_RTX, seq / 2)
        };
        let received = bench.send(ms(at), &rtx).expect("kept");
        assert_eq!(received.seq as u16, seq);
        let view = bench.view(0, 0).expect("live");
        let stored = view.ring.get(received.seq).expect("kept");
        assert_eq!(stored.packet, lost.bytes());
        assert_eq!((stored.meta.payload_type, stored.meta.timestamp), (VP8, lost.timestamp));
        assert_eq!(bench.send(ms(at), &rtx), Err(DropReason::Duplicate));
    }
    assert_eq!(bench.run(ms(2000)), [], "nothing is missing any more");
}

#[test]
fn a_packet_that_comes_a_little_late_is_not_asked_for() {
    let mut bench = Bench::new(&[video("v", 1)]);
    for (at, seq) in [(0, 10), (1, 12), (2, 13), (9, 11)] {
        bench.send(ms(at), &vp8(seq)).expect("kept");
        assert_eq!(nacks(&bench.run(ms(at))), []);
    }
    assert_eq!(nacks(&bench.run(ms(2000))), []);
}

#[test]
fn what_stays_lost_is_asked_for_at_growing_intervals_and_then_given_up() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench.send(ms(0), &vp8(10)).expect("kept");
    bench.send(ms(0), &vp8(12)).expect("kept");
    let asked = nacks(&bench.run(ms(5000)));
    assert!((3..=10).contains(&asked.len()), "{asked:?}");
    assert!(asked.iter().all(|(_, seqs)| seqs == &[11]));
    assert!(asked.last().is_some_and(|(at, _)| *at < ms(1000)));
}

#[test]
fn nothing_before_a_key_frame_is_asked_for() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench.send(ms(0), &vp8(10)).expect("kept");
    bench.send(ms(1), &vp8(13).payload(KEY)).expect("kept");
    bench.send(ms(1), &vp8(15)).expect("kept");
    assert_eq!(
        nacks(&bench.run(ms(20))).first().map(|(_, seqs)| seqs.clone()),
        Some(vec![14])
    );
}

#[test]
fn parameter_sets_that_may_be_lost_in_front_of_an_idr_are_asked_for() {
    let mut bench = Bench::new(&[video("v", 1)]);
    let h264 = |seq, payload: &[u8]| Packet::new(SSRC, H264, seq).mid("v").payload(payload);
    bench.send(ms(0), &h264(10, &[0x41, 0x80, 1])).expect("kept");
    bench.send(ms(0), &h264(12, &[0x41, 0x80, 1])).expect("kept");
    bench.send(ms(1), &h264(15, &[0x65, 0x80, 1])).expect("kept");
    let asked = nacks(&bench.run(ms(12)));
    assert_eq!(asked, [(ms(11), vec![13, 14])]);
}

#[test]
fn too_long_a_gap_asks_for_a_key_frame_instead() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench.send(ms(0), &vp8(10)).expect("kept");
    bench.send(ms(1), &vp8(300)).expect("kept");
    let asked = bench.run(ms(100));
    assert_eq!(asked, [(ms(1), Asked::KeyFrame(SSRC))]);
}

#[test]
fn audio_is_asked_for_only_where_retransmission_was_negotiated() {
    let mut with_rtx = audio("b", 2);
    with_rtx.codecs = vec![codec(Codec::Opus, 63, Some(64))];
    let mut bench = Bench::new(&[audio("a", 1), with_rtx]);
    for seq in [1, 3] {
        bench.send(ms(0), &Packet::new(7, OPUS, seq).mid("a")).expect("kept");
        bench.send(ms(0), &Packet::new(SSRC, 63, seq).mid("b")).expect("kept");
    }
    assert_eq!(nacks(&bench.run(ms(20))), [(ms(10), vec![2])]);
}

#[test]
fn a_restart_of_the_numbers_moves_the_encoding_on_and_fetches_what_was_taken_for_a_stray() {
    let mut bench = Bench::new(&[video("v", 1)]);
    let before = bench.send(ms(0), &vp8(50_000).payload(KEY)).expect("kept");
    assert_eq!(
        bench.send(ms(10), &vp8(100).payload(KEY)),
        Err(DropReason::TooOld),
        "one packet proves nothing"
    );
    let after = bench.send(ms(11), &vp8(101)).expect("kept");
    assert!(after.seq > before.seq + 2 * 1024 && after.seq as u16 == 101);
    let view = bench.view(0, 0).expect("live");
    assert_eq!((view.start, view.ring.get(before.seq).is_none()), (None, true));
    let asked = bench.run(ms(30));
    assert_eq!(nacks(&asked), [(ms(21), vec![100])]);
    assert_eq!(key_frames(&asked), [ms(11)]);
    let start = bench
        .send(ms(40), &vp8(100).payload(KEY).retransmitted(RTX_SSRC, VP8_RTX, 1))
        .expect("kept");
    assert_eq!(start.seq, after.seq - 1);
    assert_eq!(bench.view(0, 0).and_then(|view| view.start), Some(start.seq));
    assert_eq!(bench.run(ms(2000)), [], "the key frame came");
}

#[test]
fn a_storm_of_viewers_costs_one_request() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench.send(ms(0), &vp8(10)).expect("kept");
    let key = bench.key(0, 0);
    let mut asked = Vec::new();
    for at in 1..200 {
        for _ in 0..50 {
            bench.receiver.request_key_frame(ms(at), key, &bench.tracks);
        }
        asked.extend(bench.run(ms(at)));
    }
    assert_eq!(key_frames(&asked), [ms(1)]);
    assert_eq!(bench.receiver.key_frame_requests_out, 1);
    bench.send(ms(210), &vp8(11).payload(KEY)).expect("kept");
    assert_eq!(bench.run(ms(3000)), [], "the key frame ends it");
}

#[test]
fn an_unanswered_request_is_repeated_and_then_falls_silent() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench.send(ms(0), &vp8(10)).expect("kept");
    let key = bench.key(0, 0);
    bench.receiver.request_key_frame(ms(1), key, &bench.tracks);
    assert_eq!(key_frames(&bench.run(ms(60_000))).len(), 6);
    bench.receiver.request_key_frame(ms(61_000), key, &bench.tracks);
    assert_eq!(key_frames(&bench.run(ms(61_000))), [ms(61_000)]);
}

#[test]
fn key_frames_are_asked_for_only_of_video_that_is_there() {
    let mut bench = Bench::new(&[audio("a", 1), video("v", 2)]);
    bench.send(ms(0), &Packet::new(9, OPUS, 1).mid("a")).expect("kept");
    let keys = [bench.key(0, 0), bench.key(1, 0)];
    for key in keys {
        bench.receiver.request_key_frame(ms(1), key, &bench.tracks);
    }
    assert_eq!(bench.run(ms(500)), [], "nobody sends the video yet");
    bench.send(ms(600), &vp8(10)).expect("kept");
    assert_eq!(
        key_frames(&bench.run(ms(600))),
        [ms(600)],
        "it did not begin with a key frame"
    );
}

/// Sends the packets and returns what the ring holds of them, by 16-bit number.
fn ring_after(spec: ReceiveSpec, payload_type: u8, order: &[u16]) -> (Vec<u16>, u64) {
    let mut bench = Bench::new(&[spec]);
    for (at, &seq) in (0..).zip(order) {
        let packet = Packet::new(SSRC, payload_type, seq)
            .mid("v")
            .timestamp(u32::from(seq) * 960);
        let result = bench.send(Time(at), &packet);
        assert!(
            matches!(result, Ok(_) | Err(DropReason::Duplicate | DropReason::TooOld)),
            "{result:?}"
        );
    }
    let view = bench.view(0, 0).expect("live");
    let newest = view.ring.newest().expect("not empty");
    let held = (view.ring.oldest_possible()..=newest).filter_map(|seq| {
        let stored = view.ring.get(seq)?;
        let number = stored.packet.get(2..4).expect("a header");
        assert_eq!(number, (seq as u16).to_be_bytes());
        Some(seq as u16)
    });
    (held.collect(), newest)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Up to a ring full of packets in any order, some twice, some never.
    #[test]
    fn any_order_fills_the_ring_with_all_that_came(
        first in any::<u16>(),
        order in proptest::collection::vec(0_u16..1000, 1..1500),
    ) {
        let order: Vec<_> = order.into_iter().map(|step| first.wrapping_add(step)).collect();
        let mut steps: Vec<_> = order.iter().map(|seq| seq.wrapping_sub(first)).collect();
        steps.sort_unstable();
        steps.dedup();
        let expected: Vec<_> = steps.into_iter().map(|step| first.wrapping_add(step)).collect();
        let (held, _) = ring_after(video("v", 1), VP8, &order);
        prop_assert_eq!(held, expected);
    }

    /// Many rings full, each packet at most 100 places from where it belongs: the newest 128 numbers are left.
    #[test]
    fn a_jumbled_stream_leaves_exactly_the_newest(
        first in any::<u16>(),
        jumble in proptest::collection::vec((0_u64..100, 0_u8..10), 300..900),
    ) {
        let mut arrivals = Vec::new();
        for (step, (displaced, kind)) in (0_u64..).zip(jumble) {
            // One in ten is lost, one in ten comes twice.
            if kind > 0 {
                arrivals.push((step + displaced, step));
            }
            if kind == 1 {
                arrivals.push((step + 99 - displaced, step));
            }
        }
        arrivals.sort_unstable();
        let order: Vec<_> = arrivals.iter().map(|(_, step)| first.wrapping_add(*step as u16)).collect();
        let mut steps: Vec<_> = arrivals.iter().map(|(_, step)| *step).collect();
        steps.sort_unstable();
        steps.dedup();
        let newest = steps.last().copied().unwrap_or(0);
        let expected: Vec<_> = steps
            .into_iter()
            .filter(|step| newest - step < 128)
            .map(|step| first.wrapping_add(step as u16))
            .collect();
        let (held, last) = ring_after(audio("v", 1), OPUS, &order);
        prop_assert_eq!(held, expected);
        prop_assert_eq!(last as u16, first.wrapping_add(newest as u16));
    }
}
