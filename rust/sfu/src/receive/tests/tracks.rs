//! What viewers find in the table of tracks.

use super::*;
use crate::receive::Subscriber;

fn subscriber(transport: u32, slot: u16) -> Subscriber {
    Subscriber {
        transport,
        slot,
        encoding: 0,
    }
}

#[test]
fn a_stale_key_finds_nothing() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench.send(ms(0), &Packet::new(1, VP8, 1).mid("v")).expect("kept");
    let old = bench.keys[0];
    assert_eq!(bench.tracks.by_id(TrackId(1)), Some(old));
    assert!(bench.tracks.remove(old).is_some());
    let new = bench.tracks.insert(TransportId(2), &video("v", 2));
    assert_eq!((new.track, new.generation), (old.track, old.generation + 1));
    assert!(bench.tracks.get(old).is_none() && bench.tracks.encoding(old.encoding(0)).is_none());
    assert!(bench.tracks.remove(old).is_none());
    assert_eq!(bench.tracks.by_id(TrackId(1)), None);
    bench.tracks.subscribe(old.encoding(0), subscriber(1, 1));
    assert!(bench.tracks.get(new).is_some_and(|track| track.subscribers.is_empty()));
    assert_eq!(
        bench.send(ms(1), &Packet::new(1, VP8, 2)),
        Err(DropReason::UnknownSsrc),
        "the receiver has the old key"
    );
    assert_eq!(bench.tracks.len(), 1);
}

#[test]
fn an_encoding_is_there_from_its_first_packet_on() {
    let mut bench = Bench::new(&[simulcast("v", 1)]);
    assert!(bench.view(0, 0).is_none());
    bench
        .send(ms(0), &Packet::new(1, VP8, 1).mid("v").rid("q"))
        .expect("kept");
    assert!(bench.view(0, 0).is_some() && bench.view(0, 1).is_none() && bench.view(0, 2).is_none());
}

#[test]
fn subscriptions_are_idempotent_sorted_and_of_one_encoding() {
    let mut bench = Bench::new(&[simulcast("v", 1)]);
    let (low, high) = (bench.key(0, 0), bench.key(0, 1));
    for (transport, key) in [(7, high), (3, low), (7, high), (7, low)] {
        bench.tracks.subscribe(key, subscriber(transport, 1));
    }
    let track = bench.tracks.get(bench.keys[0]).expect("live");
    let of = |encoding| {
        track
            .subscribers_of(encoding)
            .map(|subscriber| subscriber.transport)
            .collect::<Vec<_>>()
    };
    assert_eq!((of(0), of(1)), (vec![3, 7], vec![7]));
    for _ in 0..2 {
        bench.tracks.unsubscribe(low, subscriber(7, 1));
    }
    let track = bench.tracks.get(bench.keys[0]).expect("live");
    assert_eq!(track.subscribers.len(), 2);
}

#[test]
fn a_key_frame_starts_at_its_parameter_sets_even_when_they_come_late() {
    let h264 =
        |seq, timestamp, payload: &[u8]| Packet::new(1, H264, seq).mid("v").timestamp(timestamp).payload(payload);
    let sps = |seq| h264(seq, 9000, &[0x67, 0x42, 0, 0x1f, 0x80]);
    let pps = |seq| h264(seq, 9000, &[0x68, 0x80]);
    let idr = |seq| h264(seq, 9000, &[0x65, 0x80, 1]);
    let slice = |seq| h264(seq, 6000, &[0x41, 0x80, 1]);
    let orders: [&[Packet]; 4] = [
        &[slice(9), sps(10), pps(11), idr(12)],
        &[slice(9), idr(12), pps(11), sps(10)],
        &[idr(12), slice(9), sps(10), pps(11)],
        &[slice(9), pps(10), sps(11), idr(12)],
    ];
    for order in orders {
        let mut bench = Bench::new(&[video("v", 1)]);
        for packet in order {
            bench.send(ms(0), packet).expect("kept");
        }
        let view = bench.view(0, 0).expect("live");
        assert_eq!(view.start, Some(65_536 + 10), "{order:?}");
        assert!(view.parameter_sets.is_complete());
    }
}

#[test]
fn the_second_slice_of_a_key_frame_is_no_place_to_start() {
    let mut bench = Bench::new(&[video("v", 1)]);
    let idr = |seq| {
        Packet::new(1, H264, seq)
            .mid("v")
            .timestamp(9000)
            .payload(&[0x65, 0x80, 1])
    };
    let first = bench.send(ms(0), &idr(5)).expect("kept");
    let second = bench.send(ms(0), &idr(6)).expect("kept");
    let view = bench.view(0, 0).expect("live");
    let start = |seq| view.ring.get(seq).map(|stored| stored.meta.start);
    assert_eq!((start(first.seq), start(second.seq)), (Some(true), Some(false)));
    assert_eq!(view.start, Some(first.seq));
}

#[test]
fn an_older_key_frame_that_comes_late_does_not_replace_a_newer_one() {
    let mut bench = Bench::new(&[video("v", 1)]);
    let key = |seq| Packet::new(1, VP8, seq).mid("v").payload(KEY);
    bench.send(ms(0), &key(10)).expect("kept");
    let newest = bench.send(ms(0), &key(20)).expect("kept");
    bench.send(ms(1), &key(15)).expect("kept");
    assert_eq!(bench.view(0, 0).and_then(|view| view.start), Some(newest.seq));
}

#[test]
fn a_start_that_left_the_ring_is_none() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench
        .send(ms(0), &Packet::new(1, VP8, 0).mid("v").payload(KEY))
        .expect("kept");
    for seq in 1..=1024 {
        bench.send(ms(u64::from(seq)), &Packet::new(1, VP8, seq)).expect("kept");
    }
    assert_eq!(bench.view(0, 0).map(|view| view.start), Some(None));
}

#[test]
fn packets_that_do_not_fit_or_do_not_parse_are_told_apart() {
    let mut bench = Bench::new(&[video("v", 1)]);
    let packet = |seq, payload: &[u8]| Packet::new(1, VP8, seq).mid("v").payload(payload);
    assert!(bench.send(ms(0), &packet(1, KEY)).is_ok());
    assert_eq!(bench.send(ms(0), &packet(2, &[0x10; 1500])), Err(DropReason::TooLarge));
    assert_eq!(bench.send(ms(0), &packet(3, &[0x90])), Err(DropReason::CodecMalformed));
    assert_eq!(bench.send(ms(0), &packet(1, KEY)), Err(DropReason::Duplicate));
    assert!(bench.send(ms(0), &packet(4, DELTA)).is_ok());
    assert_eq!(bench.poll(ms(500)), [], "they came: nobody asks for them again");
}
