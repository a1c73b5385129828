use proptest::prelude::*;

use crate::codec::{Continuity, Offsets, PictureIds, parse, rewrite};
use crate::command::Codec;
use crate::meta::{Av1, Detail, H264, Vp8, Vp9};

fn vp8(picture_id: u16, tl0: u8, key_index: u8) -> Detail {
    Detail::Vp8(Vp8 {
        picture_id: Some(picture_id),
        picture_id_long: true,
        tl0_picture_index: Some(tl0),
        key_index: Some(key_index),
        ..Vp8::default()
    })
}

fn vp9(picture_id: u16, tl0: u8) -> Detail {
    Detail::Vp9(Vp9 {
        picture_id: Some(picture_id),
        picture_id_long: true,
        tl0_picture_index: Some(tl0),
        ..Vp9::default()
    })
}

#[test]
fn the_first_encoding_goes_out_as_it_is() {
    let continuity = Continuity::default();
    assert_eq!(continuity.offsets(&vp8(5, 6, 7)), Offsets::default());
    assert_eq!(continuity.offsets(&vp9(5, 6)), Offsets::default());
}

#[test]
fn after_a_switch_ids_go_on_one_further() {
    let mut continuity = Continuity::default();
    continuity.sent(&vp8(0x7fff, 255, 31), &Offsets::default());
    let offsets = continuity.offsets(&vp8(100, 10, 3));
    assert_eq!(
        offsets,
        Offsets {
            picture_id: 0x8000 - 100,
            tl0_picture_index: 246,
            key_index: 29
        }
    );
    continuity.sent(&vp8(100, 10, 3), &offsets);
    let third = continuity.offsets(&vp8(7, 7, 7));
    assert_eq!(
        (third.picture_id, third.tl0_picture_index, third.key_index),
        (0x7ffa, 250, 26)
    );
}

#[test]
fn late_and_repeated_packets_take_nothing_back() {
    let mut continuity = Continuity::default();
    let none = Offsets::default();
    for id in [500, 499, 500, 400] {
        continuity.sent(&vp8(id, (id - 250) as u8, 0), &none);
    }
    let offsets = continuity.offsets(&vp8(0, 0, 0));
    assert_eq!((offsets.picture_id, offsets.tl0_picture_index), (501, 251));
}

#[test]
fn each_codec_goes_on_where_it_stopped() {
    let mut continuity = Continuity::default();
    continuity.sent(&vp8(50, 60, 7), &Offsets::default());
    assert_eq!(continuity.offsets(&vp9(1000, 9)), Offsets::default());
    continuity.sent(&vp9(1000, 9), &Offsets::default());
    continuity.sent(&Detail::H264(H264::default()), &Offsets::default());
    let again = continuity.offsets(&vp8(0, 0, 0));
    assert_eq!(
        (again.picture_id, again.tl0_picture_index, again.key_index),
        (51, 61, 8)
    );
    let vp9 = continuity.offsets(&vp9(0, 0));
    assert_eq!((vp9.picture_id, vp9.tl0_picture_index, vp9.key_index), (1001, 10, 0));
}

#[test]
fn ids_that_a_source_does_not_have_are_remembered_over_it() {
    let mut continuity = Continuity::default();
    continuity.sent(&vp8(50, 60, 7), &Offsets::default());
    let bare = Detail::Vp8(Vp8::default());
    assert_eq!(continuity.offsets(&bare), Offsets::default());
    continuity.sent(&bare, &Offsets::default());
    assert_eq!(continuity.offsets(&vp8(0, 0, 0)).picture_id, 51);
}

#[test]
fn codecs_without_ids_have_no_offsets() {
    let mut continuity = Continuity::default();
    continuity.sent(&vp8(50, 60, 7), &Offsets::default());
    for detail in [
        Detail::Audio(Codec::Opus),
        Detail::H264(H264::default()),
        Detail::Av1(Av1::default()),
    ] {
        assert_eq!(continuity.offsets(&detail), Offsets::default());
    }
}

fn short(id: u16) -> Detail {
    Detail::Vp8(Vp8 {
        picture_id: Some(id),
        ..Vp8::default()
    })
}

fn extended(ids: &mut PictureIds, mut detail: Detail) -> Option<u16> {
    ids.extend(&mut detail);
    match detail {
        Detail::Vp8(vp8) => vp8.picture_id,
        Detail::Vp9(vp9) => vp9.picture_id,
        Detail::Audio(_) | Detail::H264(_) | Detail::Av1(_) => None,
    }
}

#[test]
fn short_picture_ids_count_on_past_127() {
    let mut ids = PictureIds::default();
    let out: Vec<_> = [126, 127, 0, 127, 1]
        .map(|id| extended(&mut ids, short(id)).unwrap())
        .to_vec();
    assert_eq!(out, [126, 127, 128, 127, 129]);
}

#[test]
fn long_picture_ids_are_not_extended() {
    let mut ids = PictureIds::default();
    for id in [5, 20_000, 3] {
        assert_eq!(extended(&mut ids, vp9(id, 0)), Some(id));
    }
    assert_eq!(extended(&mut ids, Detail::Vp8(Vp8::default())), None);
}

proptest! {
    #[test]
    fn short_picture_ids_follow_any_walk(first in 0u16..128, steps in proptest::collection::vec(-20i32..60, 0..800)) {
        let mut ids = PictureIds::default();
        let mut highest = i32::from(first);
        extended(&mut ids, short(first));
        for step in steps {
            let truth = highest + step;
            let id = truth.rem_euclid(128) as u16;
            prop_assert_eq!(extended(&mut ids, short(id)), Some(truth.rem_euclid(0x8000) as u16));
            highest = highest.max(truth);
        }
    }

    /// Sources of many pictures each, 7-bit and 15-bit ones, follow each other through one slot.
    #[test]
    fn ids_through_a_slot_never_stand_still_nor_go_back(
        sources in proptest::collection::vec((0u16..0x8000, any::<bool>(), any::<u8>(), 1usize..300), 1..12)
    ) {
        let mut continuity = Continuity::default();
        let mut last: Option<(u16, u8)> = None;
        for (first, long, tl0, pictures) in sources {
            let mut ids = PictureIds::default();
            let mut offsets = None;
            for n in 0..pictures as u16 {
                let id = first.wrapping_add(n);
                let tl0 = tl0.wrapping_add(n as u8);
                let mut payload = vec![0x90, 0xc0];
                if long {
                    payload.extend_from_slice(&(id | 0x8000).to_be_bytes());
                } else {
                    payload.push(id as u8 & 0x7f);
                }
                payload.extend_from_slice(&[tl0, 0x00, 0x55]);
                let mut detail = parse(Codec::Vp8, &payload, true).unwrap().detail;
                ids.extend(&mut detail);
                let offsets = *offsets.get_or_insert_with(|| continuity.offsets(&detail));
                continuity.sent(&detail, &offsets);
                let mut out = [0; 32];
                let len = rewrite(&detail, &offsets, &payload, &mut out).unwrap();
                let Detail::Vp8(sent) = parse(Codec::Vp8, &out[..len], true).unwrap().detail else { panic!() };
                let now = (sent.picture_id.unwrap(), sent.tl0_picture_index.unwrap());
                if let Some((picture_id, tl0)) = last {
                    prop_assert_eq!(now, ((picture_id + 1) % 0x8000, tl0.wrapping_add(1)));
                }
                last = Some(now);
            }
        }
    }
}
