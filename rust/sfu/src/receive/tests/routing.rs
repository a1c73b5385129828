//! Which track gets a packet.

use super::*;

#[test]
fn mid_and_rid_teach_the_ssrc_and_are_not_needed_again() {
    let mut bench = Bench::new(&[audio("a", 1), simulcast("v", 2)]);
    let first = bench
        .send(ms(0), &Packet::new(10, VP8, 1).mid("v").rid("h"))
        .expect("routed");
    assert_eq!(first.key, bench.key(1, 1));
    assert!(first.first_of_track);
    let second = bench.send(ms(1), &Packet::new(10, VP8, 2)).expect("learned");
    assert_eq!((second.key, second.seq), (first.key, first.seq + 1));
    assert!(!second.first_of_track);
    let other = bench
        .send(ms(2), &Packet::new(11, VP8, 1).mid("v").rid("q"))
        .expect("routed");
    assert_eq!(other.key, bench.key(1, 0));
    assert!(!other.first_of_track, "once per track, not per encoding");
}

#[test]
fn a_payload_type_of_one_m_line_only_is_enough() {
    let mut bench = Bench::new(&[audio("a", 1), video("v", 2)]);
    let audio_packet = bench.send(ms(0), &Packet::new(1, OPUS, 1)).expect("routed");
    let video_packet = bench.send(ms(0), &Packet::new(2, VP8, 1)).expect("routed");
    assert_eq!((audio_packet.key, video_packet.key), (bench.key(0, 0), bench.key(1, 0)));

    let mut bench = Bench::new(&[video("v", 1), video("w", 2)]);
    assert_eq!(
        bench.send(ms(0), &Packet::new(2, VP8, 1)),
        Err(DropReason::UnknownSsrc),
        "two m-lines have it"
    );
}

#[test]
fn packets_that_name_nothing_negotiated_are_dropped() {
    let mut bench = Bench::new(&[audio("a", 1), simulcast("v", 2)]);
    for (packet, reason) in [
        (Packet::new(1, VP8, 1).mid("x").rid("q"), DropReason::UnknownSsrc),
        (Packet::new(1, VP8, 1).mid("v").rid("x"), DropReason::UnknownSsrc),
        (Packet::new(1, VP8, 1).mid("v"), DropReason::UnknownSsrc),
        (Packet::new(1, VP8, 1).mid("a"), DropReason::UnknownPayloadType),
        (Packet::new(1, 55, 1).mid("v").rid("q"), DropReason::UnknownPayloadType),
        (Packet::new(1, 55, 1), DropReason::UnknownSsrc),
    ] {
        assert_eq!(bench.send(ms(0), &packet), Err(reason), "{packet:?}");
    }
    assert!(bench.view(0, 0).is_none() && bench.view(1, 0).is_none());
}

#[test]
fn an_ssrc_cannot_be_moved_to_another_m_line_or_encoding() {
    let mut bench = Bench::new(&[video("v", 1), video("w", 2), simulcast("s", 3)]);
    bench.send(ms(0), &Packet::new(1, VP8, 1).mid("v")).expect("learned");
    bench
        .send(ms(0), &Packet::new(2, VP8, 1).mid("s").rid("q"))
        .expect("learned");
    for spoof in [
        Packet::new(1, VP8, 2).mid("w"),
        Packet::new(2, VP8, 2).mid("s").rid("h"),
        Packet::new(2, VP8, 2).mid("v"),
    ] {
        assert_eq!(bench.send(ms(1), &spoof), Err(DropReason::UnknownSsrc), "{spoof:?}");
    }
    assert!(bench.view(1, 0).is_none() && bench.view(2, 1).is_none());
    let next = bench
        .send(ms(2), &Packet::new(1, VP8, 3).mid("v"))
        .expect("still there");
    assert_eq!(next.key, bench.key(0, 0));
}

#[test]
fn a_signalled_ssrc_is_never_learned_for_another_m_line() {
    let mut signalled = video("v", 1);
    signalled.encodings = vec![EncodingSpec {
        rid: None,
        ssrc: Some(Ssrc(7)),
        rtx_ssrc: Some(Ssrc(8)),
    }];
    let mut bench = Bench::new(&[signalled, video("w", 2)]);
    assert_eq!(
        bench.send(ms(0), &Packet::new(7, VP8, 1).mid("w")),
        Err(DropReason::UnknownSsrc)
    );
    let received = bench.send(ms(0), &Packet::new(7, VP8, 1)).expect("signalled");
    assert_eq!(received.key, bench.key(0, 0));
    let repaired = bench
        .send(ms(1), &Packet::new(7, VP8, 0).retransmitted(8, VP8_RTX, 900))
        .expect("signalled");
    assert_eq!((repaired.key, repaired.seq), (received.key, received.seq - 1));
}

#[test]
fn ssrcs_of_two_transports_do_not_meet() {
    let mut one = Bench::new(&[video("v", 1)]);
    let mut two = Bench::new(&[video("v", 1)]);
    one.send(ms(0), &Packet::new(5, VP8, 1).mid("v")).expect("routed");
    two.send(ms(0), &Packet::new(5, VP8, 40_000).mid("v")).expect("routed");
    assert_eq!(
        two.view(0, 0).and_then(|view| view.ring.newest()),
        Some(65_536 + 40_000)
    );
    assert_eq!(one.view(0, 0).and_then(|view| view.ring.newest()), Some(65_537));
}

#[test]
fn only_so_many_ssrcs_are_learned() {
    let mut bench = Bench::new(&[video("v", 1), audio("a", 2)]);
    for ssrc in 0..64 {
        assert!(bench.send(ms(0), &Packet::new(ssrc, VP8, 1).mid("v")).is_ok());
    }
    assert_eq!(
        bench.send(ms(0), &Packet::new(64, OPUS, 1).mid("a")),
        Err(DropReason::TooManySsrcs)
    );
    bench.rtcp(ms(1), |out| out.bye(Ssrc(3)));
    assert!(bench.send(ms(2), &Packet::new(64, OPUS, 1).mid("a")).is_ok());
}

#[test]
fn a_replaced_sender_continues_the_encoding_and_the_old_one_is_ignored() {
    let mut bench = Bench::new(&[video("v", 1)]);
    let old = bench
        .send(ms(0), &Packet::new(1, VP8, 500).mid("v").payload(KEY))
        .expect("routed");
    let new = bench
        .send(ms(10), &Packet::new(2, VP8, 20).mid("v").payload(KEY))
        .expect("routed");
    assert_eq!(new.key, old.key);
    assert!(new.seq > old.seq + 2 * 1024 && new.seq as u16 == 20);
    assert_eq!(
        bench.send(ms(11), &Packet::new(1, VP8, 501)),
        Err(DropReason::UnknownSsrc)
    );
    let next = bench.send(ms(12), &Packet::new(2, VP8, 21)).expect("routed");
    assert_eq!(next.seq, new.seq + 1);
    let view = bench.view(0, 0).expect("live");
    assert_eq!((view.start, view.ring.newest()), (Some(new.seq), Some(next.seq)));
    assert!(view.ring.get(old.seq).is_none());
    assert_eq!(
        bench.run(ms(900)),
        [],
        "it began with a key frame and nothing is missing"
    );
}

#[test]
fn retransmissions_are_never_taken_for_media_nor_media_for_retransmissions() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench.send(ms(0), &Packet::new(1, VP8, 10).mid("v")).expect("routed");
    let rtx = Packet::new(1, VP8, 9).retransmitted(2, VP8_RTX, 1).mid("v");
    assert!(bench.send(ms(1), &rtx).is_ok());
    for packet in [
        // On the SSRC of media, media on the SSRC of retransmissions, and an unknown payload type there.
        Packet::new(1, VP8_RTX, 11),
        Packet::new(2, VP8, 2),
        Packet::new(2, 55, 2),
        // Shorter than the number that it must have.
        Packet::new(2, VP8_RTX, 2).payload(&[0]),
        // Of something far from all that was sent.
        Packet::new(1, VP8, 30_000).retransmitted(2, VP8_RTX, 3),
    ] {
        assert_eq!(bench.send(ms(2), &packet), Err(DropReason::RtxMalformed), "{packet:?}");
    }
    for packet in [
        Packet::new(2, VP8_RTX, 4).payload(&[]),
        Packet::new(1, VP8, 8).payload(&[]).retransmitted(2, VP8_RTX, 5),
        Packet {
            padding: 100,
            ..Packet::new(1, VP8, 11).payload(&[])
        },
    ] {
        assert_eq!(bench.send(ms(2), &packet), Err(DropReason::Padding), "{packet:?}");
    }
}

#[test]
fn a_retransmission_of_a_retransmission_is_never_unwrapped_twice() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench.send(ms(0), &Packet::new(1, VP8, 10).mid("v")).expect("routed");
    let twice = Packet::new(1, VP8, 9)
        .retransmitted(2, VP8_RTX, 8)
        .retransmitted(3, VP8_RTX, 1)
        .mid("v");
    let received = bench.send(ms(1), &twice).expect("a payload like any other");
    let view = bench.view(0, 0).expect("live");
    let stored = view.ring.get(received.seq).expect("stored");
    assert_eq!(stored.payload(), [&[0, 9], DELTA].concat());
}

#[test]
fn what_a_packet_says_is_kept_with_it() {
    let mut bench = Bench::new(&[audio("a", 1)]);
    let packet = Packet {
        level: Some(33),
        padding: 4,
        ..Packet::new(1, OPUS, 10).mid("a")
    };
    let received = bench.send(ms(5), &packet).expect("kept");
    let view = bench.view(0, 0).expect("live");
    let stored = view.ring.get(received.seq).expect("kept");
    assert_eq!((stored.meta.audio_level, stored.meta.voice), (Some(33), true));
    assert_eq!((stored.meta.arrival, stored.meta.payload_type), (ms(5), OPUS));
    assert_eq!(stored.payload(), DELTA);
    let unpadded = Packet { padding: 0, ..packet };
    assert_eq!(stored.packet, unpadded.bytes(), "well-formed without its padding");
    assert_eq!(view.codec.codec, Codec::Opus);
}

#[test]
fn the_repaired_rid_names_the_encoding_of_a_retransmission() {
    let mut bench = Bench::new(&[simulcast("v", 1)]);
    for (ssrc, name) in [(10, "q"), (11, "h")] {
        bench
            .send(ms(0), &Packet::new(ssrc, VP8, 100).mid("v").rid(name))
            .expect("kept");
    }
    let rtx = |seq| Packet::new(11, VP8, seq).retransmitted(21, VP8_RTX, seq).mid("v");
    assert_eq!(
        bench.send(ms(1), &rtx(99)),
        Err(DropReason::UnknownSsrc),
        "of which encoding?"
    );
    let first = bench.send(ms(1), &rtx(98).repaired_rid("h")).expect("named");
    let second = bench.send(ms(2), &rtx(97)).expect("learned");
    assert_eq!([first.key, second.key], [bench.key(0, 1); 2]);
    let view = bench.view(0, 1).expect("live");
    let stored = view
        .ring
        .get(first.seq)
        .and_then(|stored| RtpHeader::parse(stored.packet).ok());
    assert_eq!(
        stored.map(|header| (header.ssrc, header.seq, header.payload_type)),
        Some((Ssrc(11), 98, VP8))
    );
}
