//! Picture ids of seven bits: viewers get fifteen, and no step back every 128 pictures.

use super::*;
use crate::meta::Detail;

/// X and S, I, a picture id of seven bits, and the first byte of a delta picture.
fn picture(seq: u16, id: u16) -> Packet {
    Packet::new(1, VP8, seq).payload(&[0x90, 0x80, (id & 0x7f) as u8, 0x01, 7])
}

fn picture_id(bench: &Bench, seq: u64) -> (Option<u16>, bool) {
    let view = bench.view(0, 0).expect("packets came");
    match view.ring.get(seq).expect("kept").meta.detail {
        Detail::Vp8(vp8) => (vp8.picture_id, vp8.picture_id_long),
        other => panic!("{other:?}"),
    }
}

#[test]
fn picture_ids_of_seven_bits_go_on_past_127() {
    let mut bench = Bench::new(&[video("v", 1)]);
    for n in 0..1000_u16 {
        let packet = picture(n, 100 + n).mid("v");
        let received = bench.send(ms(u64::from(n) * 33), &packet).expect("kept");
        assert_eq!(picture_id(&bench, received.seq), (Some(100 + n), false));
    }
}

#[test]
fn late_packets_and_retransmissions_get_the_id_of_their_picture() {
    let mut bench = Bench::new(&[video("v", 1)]);
    let kept = |bench: &mut Bench, packet: &Packet| {
        let received = bench.send(ms(1), packet).expect("kept");
        picture_id(bench, received.seq).0
    };
    for n in [0, 1, 4, 5] {
        assert_eq!(kept(&mut bench, &picture(n, 125 + n).mid("v")), Some(125 + n));
    }
    let again = picture(2, 127).retransmitted(9, VP8_RTX, 1).mid("v");
    assert_eq!(
        kept(&mut bench, &again),
        Some(127),
        "lost before the wrap, sent again after it"
    );
    assert_eq!(kept(&mut bench, &picture(3, 128).mid("v")), Some(128));
    assert_eq!(kept(&mut bench, &picture(6, 131).mid("v")), Some(131));
}

#[test]
fn each_encoding_counts_for_itself_and_a_new_sender_begins_anew() {
    let mut bench = Bench::new(&[simulcast("v", 1)]);
    for n in 0..300_u16 {
        for (ssrc, rid, ahead) in [(1, "q", 0), (2, "h", 60)] {
            let packet = Packet {
                ssrc,
                ..picture(n, n + ahead)
            };
            let received = bench.send(ms(u64::from(n)), &packet.mid("v").rid(rid)).expect("kept");
            let view = bench.tracks.encoding(received.key).expect("live");
            let Detail::Vp8(vp8) = view.ring.get(received.seq).expect("kept").meta.detail else {
                panic!("another codec")
            };
            assert_eq!(vp8.picture_id, Some(n + ahead));
        }
    }
    let other = Packet {
        ssrc: 3,
        ..picture(9000, 5)
    };
    let received = bench.send(ms(400), &other.mid("v").rid("q")).expect("kept");
    assert_eq!(picture_id(&bench, received.seq), (Some(5), false));
}
