use proptest::prelude::*;

use super::{malformed, parsed};
use crate::codec::{Offsets, rewrite};
use crate::command::Codec;
use crate::meta::{Detail, Vp8};

fn vp8(payload: &[u8]) -> Vp8 {
    let Detail::Vp8(vp8) = parsed(Codec::Vp8, payload).detail else {
        panic!()
    };
    vp8
}

#[test]
fn a_descriptor_of_one_byte_has_no_ids() {
    let packet = parsed(Codec::Vp8, &[0x30, 0x01]);
    assert!(packet.frame_start && !packet.key && !packet.start);
    assert_eq!(
        packet.detail,
        Detail::Vp8(Vp8 {
            descriptor_len: 1,
            discardable: true,
            ..Vp8::default()
        })
    );
}

#[test]
fn every_field_is_read() {
    let payload = [0x90, 0xf0, 0x81, 0x02, 0x77, 0b1010_0101, 0x00];
    assert_eq!(
        vp8(&payload),
        Vp8 {
            picture_id: Some(0x102),
            picture_id_long: true,
            tl0_picture_index: Some(0x77),
            temporal_layer: Some(2),
            layer_sync: true,
            key_index: Some(5),
            descriptor_len: 6,
            discardable: false,
        }
    );
}

#[test]
fn a_picture_id_of_seven_bits_is_read() {
    let vp8 = vp8(&[0x90, 0x80, 0x7f, 0x01]);
    assert_eq!(
        (vp8.picture_id, vp8.picture_id_long, vp8.descriptor_len),
        (Some(127), false, 3)
    );
}

#[test]
fn temporal_layer_and_key_index_come_each_alone() {
    let layer = vp8(&[0x90, 0x20, 0x5f, 0x01]);
    assert_eq!((layer.temporal_layer, layer.key_index), (Some(1), None));
    let key = vp8(&[0x90, 0x10, 0x5f, 0x01]);
    assert_eq!((key.temporal_layer, key.key_index), (None, Some(31)));
}

#[test]
fn a_key_frame_starts_where_its_first_partition_does() {
    let start = |descriptor: u8, header: u8| parsed(Codec::Vp8, &[descriptor, header]).start;
    assert!(start(0x10, 0xfe));
    assert!(!start(0x10, 0x01), "P bit");
    assert!(!start(0x00, 0xfe), "not the start of a partition");
    assert!(!start(0x11, 0xfe), "the second partition");
}

#[test]
fn an_encrypted_payload_is_judged_by_its_first_byte_alone() {
    let packet = parsed(Codec::Vp8, &[0x90, 0x80, 0x80, 0x01, 0x50]);
    assert!(packet.start);
}

#[test]
fn descriptors_that_are_cut_are_malformed() {
    let whole = [0x90, 0xf0, 0x81, 0x02, 0x77, 0xa5, 0x00];
    for len in 1..whole.len() {
        assert!(malformed(Codec::Vp8, &whole[..len]), "{len}");
    }
}

const OFFSETS: Offsets = Offsets {
    picture_id: 3,
    tl0_picture_index: 4,
    key_index: 5,
};

fn rewritten(payload: &[u8], offsets: Offsets) -> Vec<u8> {
    let mut out = [0xee; 64];
    let len = rewrite(&parsed(Codec::Vp8, payload).detail, &offsets, payload, &mut out).unwrap();
    out[..len].to_vec()
}

#[test]
fn ids_are_moved_and_wrap() {
    let payload = [0x90, 0xf0, 0xff, 0xfe, 0xfd, 0b0111_1110, 0x01, 0x02];
    assert_eq!(
        rewritten(&payload, OFFSETS),
        [0x90, 0xf0, 0x80, 0x01, 0x01, 0b0110_0011, 0x01, 0x02]
    );
}

#[test]
fn a_short_picture_id_is_widened() {
    let payload = [0x90, 0x80, 0x7e, 0x01, 0x02];
    assert_eq!(rewritten(&payload, OFFSETS), [0x90, 0x80, 0x80, 0x81, 0x01, 0x02]);
    assert_eq!(
        rewritten(&payload, Offsets::default()),
        [0x90, 0x80, 0x80, 0x7e, 0x01, 0x02]
    );
}

#[test]
fn bits_beside_an_absent_key_index_stay() {
    let payload = [0x90, 0x20, 0x5f, 0x01];
    assert_eq!(rewritten(&payload, OFFSETS), payload);
}

#[test]
fn a_descriptor_without_ids_stays() {
    assert_eq!(rewritten(&[0x10, 0x00, 0x09], OFFSETS), [0x10, 0x00, 0x09]);
    assert_eq!(rewritten(&[0x90, 0x00, 0x00, 0x09], OFFSETS), [0x90, 0x00, 0x00, 0x09]);
}

#[test]
fn a_payload_that_does_not_fit_is_not_rewritten() {
    let payload = [0x90, 0x80, 0x7e, 0x01, 0x02];
    let detail = parsed(Codec::Vp8, &payload).detail;
    assert_eq!(rewrite(&detail, &OFFSETS, &payload, &mut [0; 5]), None);
    assert_eq!(rewrite(&detail, &OFFSETS, &payload, &mut [0; 6]), Some(6));
    assert_eq!(
        rewrite(&detail, &OFFSETS, &payload[..2], &mut [0; 64]),
        None,
        "another payload"
    );
}

prop_compose! {
    pub(super) fn any_offsets()(picture_id in 0u16..0x8000, tl0_picture_index: u8, key_index in 0u8..32) -> Offsets {
        Offsets { picture_id, tl0_picture_index, key_index }
    }
}

proptest! {
    #[test]
    fn a_rewritten_packet_says_the_same_but_for_its_ids(
        head: u8, ids in proptest::collection::vec(any::<u8>(), 2..30), offsets in any_offsets()
    ) {
        let payload = [&[head | 0x80][..], &ids].concat();
        let Ok(before) = crate::codec::parse(Codec::Vp8, &payload, false) else { return Ok(()) };
        let bytes = rewritten(&payload, offsets);
        let after = parsed(Codec::Vp8, &bytes);
        let Detail::Vp8(old) = before.detail else { panic!() };
        let Detail::Vp8(new) = after.detail else { panic!() };
        prop_assert_eq!(new, Vp8 {
            picture_id: old.picture_id.map(|id| (id + offsets.picture_id) % 0x8000),
            picture_id_long: old.picture_id.is_some(),
            tl0_picture_index: old.tl0_picture_index.map(|index| index.wrapping_add(offsets.tl0_picture_index)),
            key_index: old.key_index.map(|index| (index + offsets.key_index) % 32),
            descriptor_len: old.descriptor_len + u8::from(old.picture_id.is_some() && !old.picture_id_long),
            ..old
        });
        prop_assert_eq!((after.start, after.key, after.frame_start), (before.start, before.key, before.frame_start));
        prop_assert_eq!(&bytes[usize::from(new.descriptor_len)..], &payload[usize::from(old.descriptor_len)..]);
        prop_assert_eq!(rewritten(&payload, offsets), bytes, "the same again");
    }
}
