use proptest::prelude::*;

use super::{malformed, parsed};
use crate::codec::h264::ParameterSets;
use crate::codec::{Offsets, rewrite};
use crate::command::Codec;
use crate::meta::{Detail, H264};

/// Baseline, level 3.1, id 0 and something.
const SPS: &[u8] = &[0x67, 0x42, 0xe0, 0x1f, 0x8c, 0x01];
/// Id 0 for SPS 0.
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
/// Slice of an IDR picture; first_mb_in_slice is 0.
const IDR: &[u8] = &[0x65, 0x88, 0x84];

fn stap_a(units: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![0x78];
    for unit in units {
        payload.extend_from_slice(&(unit.len() as u16).to_be_bytes());
        payload.extend_from_slice(unit);
    }
    payload
}

fn flags(payload: &[u8]) -> (bool, bool, bool) {
    let packet = parsed(Codec::H264, payload);
    (packet.frame_start, packet.start, packet.key)
}

fn h264(payload: &[u8]) -> H264 {
    let Detail::H264(h264) = parsed(Codec::H264, payload).detail else {
        panic!()
    };
    h264
}

#[test]
fn single_units_are_told_apart() {
    assert_eq!(flags(SPS), (true, true, false));
    assert_eq!(flags(PPS), (false, false, false));
    assert_eq!(flags(IDR), (true, true, true));
    assert_eq!(flags(&[0x09, 0xf0]), (true, false, false), "access unit delimiter");
    assert_eq!(flags(&[0x41, 0x9a]), (true, false, false), "slice");
    assert_eq!(flags(&[0x06, 0x05]), (false, false, false), "SEI");
    assert!(h264(SPS).has_sps && h264(PPS).has_pps && h264(IDR).has_idr);
}

#[test]
fn a_later_slice_starts_no_picture() {
    assert_eq!(flags(&[0x41, 0x3a]), (false, false, false));
    assert_eq!(
        flags(&[0x65, 0x3a]),
        (false, false, true),
        "but is part of the key frame"
    );
    assert_eq!(flags(&[0x65]), (false, false, true), "without a slice header");
}

#[test]
fn an_aggregate_has_what_its_units_have() {
    let whole = stap_a(&[SPS, PPS, IDR]);
    assert_eq!(flags(&whole), (true, true, true));
    assert_eq!(
        h264(&whole),
        H264 {
            has_sps: true,
            has_pps: true,
            has_idr: true
        }
    );
    assert_eq!(flags(&stap_a(&[PPS, &[0x06, 0x05]])), (false, false, false));
    assert_eq!(
        flags(&stap_a(&[&[], PPS])),
        (false, false, false),
        "an empty unit is skipped"
    );
}

#[test]
fn an_aggregate_that_is_cut_is_malformed() {
    let whole = stap_a(&[SPS, PPS]);
    for len in [2, 3, 8, 10, whole.len() - 1] {
        assert!(malformed(Codec::H264, &whole[..len]), "{len}");
    }
}

#[test]
fn a_fragmented_key_frame_starts_at_its_first_fragment() {
    assert_eq!(flags(&[0x7c, 0x85, 0x88]), (true, true, true));
    assert_eq!(flags(&[0x7c, 0x85, 0x3a]), (false, false, true), "the second slice");
    assert_eq!(flags(&[0x7c, 0x05, 0x88]), (false, false, true));
    assert_eq!(flags(&[0x7c, 0x45, 0x88]), (false, false, true));
    assert_eq!(flags(&[0x5c, 0x81, 0x9a]), (true, false, false));
    assert!(malformed(Codec::H264, &[0x7c]));
}

#[test]
fn a_fragment_of_a_parameter_set_is_no_place_to_start() {
    assert_eq!(flags(&[0x7c, 0x87, 0x42]), (false, false, false));
    assert_eq!(h264(&[0x7c, 0x88, 0xce]), H264::default());
}

#[test]
fn nothing_is_rewritten() {
    let mut out = [0; 16];
    let detail = parsed(Codec::H264, IDR).detail;
    let offsets = Offsets {
        picture_id: 1,
        tl0_picture_index: 1,
        key_index: 1,
    };
    assert_eq!(rewrite(&detail, &offsets, IDR, &mut out), Some(3));
    assert_eq!(&out[..3], IDR);
    assert_eq!(rewrite(&detail, &offsets, IDR, &mut out[..2]), None);
}

fn sets(payloads: &[&[u8]]) -> Vec<u8> {
    let mut sets = ParameterSets::default();
    for payload in payloads {
        sets.note(payload);
    }
    let mut out = [0; 2000];
    let len = sets.stap_a(&mut out).unwrap_or(0);
    assert_eq!(sets.is_complete(), len > 0);
    out[..len].to_vec()
}

#[test]
fn parameter_sets_come_back_in_one_aggregate() {
    let wanted = stap_a(&[SPS, PPS]);
    assert_eq!(sets(&[SPS, PPS]), wanted);
    assert_eq!(sets(&[PPS, IDR, SPS]), wanted);
    assert_eq!(sets(&[&wanted, &wanted]), wanted);
    assert_eq!(sets(&[&stap_a(&[SPS, PPS, IDR])]), wanted);
    assert_eq!(flags(&wanted), (true, true, false));
}

#[test]
fn one_kind_of_parameter_set_alone_is_not_enough() {
    assert!(sets(&[]).is_empty());
    assert!(sets(&[SPS]).is_empty());
    assert!(sets(&[PPS, IDR, &[]]).is_empty());
}

#[test]
fn a_new_set_of_the_same_id_replaces_the_old_one() {
    let newer: &[u8] = &[0x67, 0x42, 0xe0, 0x28, 0x8c, 0x02, 0x03];
    assert_eq!(sets(&[SPS, PPS, newer]), stap_a(&[newer, PPS]));
}

#[test]
fn sets_of_other_ids_are_kept_up_to_a_bound() {
    // Exp-Golomb: 010 is 1, 011 is 2, 00100 is 3, 00101 is 4.
    let pps: Vec<[u8; 2]> = [0xff, 0x5f, 0x7f, 0x27, 0x2f].map(|id| [0x68, id]).to_vec();
    let all: Vec<&[u8]> = pps.iter().map(|set| &set[..]).collect();
    let mut four = vec![SPS];
    four.extend(&all[..4]);
    assert_eq!(sets(&four), stap_a(&four));
    let mut five = four.clone();
    five.push(all[4]);
    assert_eq!(sets(&five), stap_a(&[SPS, all[4], all[1], all[2], all[3]]));
}

#[test]
fn sets_that_are_too_long_or_too_short_are_not_kept() {
    let long = [SPS, &[0; 251]].concat();
    assert!(sets(&[&long, PPS]).is_empty());
    assert!(!sets(&[&long[..256], PPS]).is_empty());
    assert!(sets(&[&SPS[..4], PPS]).is_empty(), "an SPS without id");
    assert!(sets(&[SPS, &[0x68]]).is_empty());
    assert!(
        sets(&[SPS, &[0x68, 0x00, 0xff]]).is_empty(),
        "an id beyond any encoder's"
    );
}

#[test]
fn parameter_sets_that_do_not_fit_are_not_written() {
    let mut sets = ParameterSets::default();
    sets.note(&stap_a(&[SPS, PPS]));
    assert_eq!(sets.stap_a(&mut [0; 14]), None);
    assert_eq!(sets.stap_a(&mut [0; 15]), Some(15));
}

proptest! {
    #[test]
    fn any_payloads_leave_a_good_aggregate(
        payloads in proptest::collection::vec(
            (prop_oneof![Just(0x67u8), Just(0x68), Just(0x78), any::<u8>()],
             proptest::collection::vec(any::<u8>(), 0..80)), 0..20)
    ) {
        let payloads: Vec<_> = payloads.iter().map(|(head, tail)| [&[*head][..], tail].concat()).collect();
        let all: Vec<&[u8]> = payloads.iter().map(|payload| &payload[..]).collect();
        let written = sets(&all);
        if !written.is_empty() {
            let found = h264(&written);
            prop_assert!(found.has_sps && found.has_pps && !found.has_idr);
            prop_assert_eq!(sets(&[&written]), written);
        }
    }
}
