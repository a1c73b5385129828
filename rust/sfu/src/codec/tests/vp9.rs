use proptest::prelude::*;

use super::vp8::any_offsets;
use super::{malformed, parsed};
use crate::codec::{Offsets, rewrite};
use crate::command::Codec;
use crate::meta::{Detail, Vp9};

fn vp9(payload: &[u8]) -> Vp9 {
    let Detail::Vp9(vp9) = parsed(Codec::Vp9, payload).detail else {
        panic!()
    };
    vp9
}

#[test]
fn layers_and_tl0_are_read_where_the_mode_is_not_flexible() {
    // I, L, B; 15-bit picture id; TID 2, U, SID 1, D; TL0PICIDX.
    assert_eq!(
        vp9(&[0xa8, 0x81, 0x02, 0b0101_0011, 0x77, 0xff]),
        Vp9 {
            picture_id: Some(0x102),
            picture_id_long: true,
            tl0_picture_index: Some(0x77),
            tl0_at: 4,
            temporal_layer: 2,
            spatial_layer: 1,
            switch_up: true,
            inter_layer: true,
            descriptor_len: 5,
        }
    );
}

#[test]
fn the_flexible_mode_has_references_and_no_tl0() {
    // I, P, L, F, B; 7-bit picture id; layers; two P_DIFFs.
    let vp9 = vp9(&[0xf8, 0x05, 0x00, 0x03, 0x04, 0xff]);
    assert_eq!(
        (vp9.picture_id, vp9.tl0_picture_index, vp9.descriptor_len),
        (Some(5), None, 5)
    );
    assert!(
        malformed(Codec::Vp9, &[0xf8, 0x05, 0x00, 0x03, 0x05, 0x07, 0x08, 0xff]),
        "four P_DIFFs"
    );
    assert!(
        malformed(Codec::Vp9, &[0xf8, 0x05, 0x00, 0x03]),
        "the list goes on behind the end"
    );
}

#[test]
fn the_flexible_mode_has_no_references_without_inter_picture_prediction() {
    assert_eq!(vp9(&[0xb8, 0x05, 0x00, 0xff]).descriptor_len, 3);
}

#[test]
fn a_scalability_structure_is_skipped() {
    // V; two spatial layers with sizes; three pictures with one, no and three references.
    let mut payload = vec![0x0a, 0x38];
    payload.extend_from_slice(&[0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68]);
    payload.extend_from_slice(&[3, 0x04, 1, 0x20, 0x4c, 1, 2, 3]);
    payload.push(0xff);
    assert_eq!(usize::from(vp9(&payload).descriptor_len), payload.len() - 1);
    for len in 1..payload.len() {
        assert!(malformed(Codec::Vp9, &payload[..len]), "{len}");
    }
    assert_eq!(vp9(&[0x0a, 0x00, 0xff]).descriptor_len, 2, "neither sizes nor pictures");
}

#[test]
fn a_structure_larger_than_any_encoder_sends_is_malformed() {
    let mut payload = vec![0x0a, 0x08, 255];
    payload.extend_from_slice(&[0x0c, 1, 2, 3].repeat(255));
    payload.push(0xff);
    assert!(malformed(Codec::Vp9, &payload));
}

#[test]
fn a_decoder_starts_at_the_lowest_layer_of_a_picture_without_prediction() {
    let start = |payload: &[u8]| parsed(Codec::Vp9, payload).start;
    assert!(start(&[0x28, 0x00, 0x00, 0xff]));
    assert!(start(&[0x08, 0xff]), "without layers");
    assert!(!start(&[0x68, 0x00, 0x00, 0xff]), "inter-picture prediction");
    assert!(!start(&[0x20, 0x00, 0x00, 0xff]), "not the first packet");
    assert!(!start(&[0x28, 0x02, 0x00, 0xff]), "an upper spatial layer");
}

#[test]
fn an_upper_layer_of_a_key_picture_is_part_of_it_and_starts_no_picture() {
    let packet = parsed(Codec::Vp9, &[0x28, 0x03, 0x00, 0xff]);
    assert!(packet.key && !packet.frame_start);
}

const OFFSETS: Offsets = Offsets {
    picture_id: 3,
    tl0_picture_index: 4,
    key_index: 5,
};

fn rewritten(payload: &[u8], offsets: Offsets) -> Vec<u8> {
    let mut out = [0xee; 2000];
    let len = rewrite(&parsed(Codec::Vp9, payload).detail, &offsets, payload, &mut out).unwrap();
    out[..len].to_vec()
}

#[test]
fn ids_are_moved_and_wrap_and_references_stay() {
    assert_eq!(
        rewritten(&[0xa8, 0xff, 0xfe, 0x00, 0xfd, 0xff], OFFSETS),
        [0xa8, 0x80, 0x01, 0x00, 0x01, 0xff]
    );
    assert_eq!(
        rewritten(&[0xf8, 0x80, 0x05, 0x00, 0x03, 0x04, 0xff], OFFSETS),
        [0xf8, 0x80, 0x08, 0x00, 0x03, 0x04, 0xff]
    );
}

#[test]
fn a_short_picture_id_is_widened() {
    assert_eq!(
        rewritten(&[0xa8, 0x7e, 0x00, 0x01, 0xff], OFFSETS),
        [0xa8, 0x80, 0x81, 0x00, 0x05, 0xff]
    );
}

#[test]
fn a_payload_that_does_not_fit_is_not_rewritten() {
    let payload = [0xa8, 0x7e, 0x00, 0x01, 0xff];
    let detail = parsed(Codec::Vp9, &payload).detail;
    assert_eq!(rewrite(&detail, &OFFSETS, &payload, &mut [0; 5]), None);
    assert_eq!(rewrite(&detail, &OFFSETS, &payload, &mut [0; 6]), Some(6));
    for len in 0..4 {
        assert_eq!(
            rewrite(&detail, &OFFSETS, &payload[..len], &mut [0; 64]),
            None,
            "another payload"
        );
    }
}

proptest! {
    #[test]
    fn a_rewritten_packet_says_the_same_but_for_its_ids(
        payload in proptest::collection::vec(any::<u8>(), 2..60), offsets in any_offsets()
    ) {
        let Ok(before) = crate::codec::parse(Codec::Vp9, &payload, false) else { return Ok(()) };
        let bytes = rewritten(&payload, offsets);
        let after = parsed(Codec::Vp9, &bytes);
        let Detail::Vp9(old) = before.detail else { panic!() };
        let Detail::Vp9(new) = after.detail else { panic!() };
        let widened = u8::from(old.picture_id.is_some() && !old.picture_id_long);
        prop_assert_eq!(new, Vp9 {
            picture_id: old.picture_id.map(|id| (id + offsets.picture_id) % 0x8000),
            picture_id_long: old.picture_id.is_some(),
            tl0_picture_index: old.tl0_picture_index.map(|index| index.wrapping_add(offsets.tl0_picture_index)),
            tl0_at: if old.tl0_picture_index.is_some() { old.tl0_at + widened } else { 0 },
            descriptor_len: old.descriptor_len + widened,
            ..old
        });
        prop_assert_eq!((after.start, after.key, after.frame_start), (before.start, before.key, before.frame_start));
        prop_assert_eq!(&bytes[usize::from(new.descriptor_len)..], &payload[usize::from(old.descriptor_len)..]);
    }
}
