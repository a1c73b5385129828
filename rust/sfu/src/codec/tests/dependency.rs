use proptest::prelude::*;

use crate::codec::dependency::sample::{L1T3, L2T1_KEY, Sample};
use crate::codec::dependency::{Dependency, MAX_GROWTH, MAX_LEN, Shift, Structure, read, rewrite};
use crate::codec::parse_with;
use crate::command::Codec;
use crate::layer::Limit;
use crate::reason::DropReason;

fn limit(spatial: u8, temporal: u8) -> Limit {
    Limit { spatial, temporal }
}

fn structure_of(sample: &Sample) -> Option<Box<Structure>> {
    let mut structure = None;
    read(&sample.descriptor((true, true), 0, 0, true, None), &mut structure).unwrap();
    structure
}

fn with(sample: &Sample, line: u8) -> Dependency {
    read(
        &sample.descriptor((true, false), line, 7, false, None),
        &mut structure_of(sample),
    )
    .unwrap()
}

#[test]
fn a_key_frame_brings_the_structure_that_all_after_it_need() {
    let mut structure = None;
    let delta = L1T3.descriptor((true, true), 2, 0x1234, false, None);
    assert_eq!(read(&delta, &mut structure), None, "nothing is known of its template");
    let key = read(&L1T3.descriptor((true, false), 0, 0x1230, true, None), &mut structure).unwrap();
    assert!(key.has_structure && key.key && key.frame_start && !key.frame_end);
    assert_eq!(structure.as_ref().unwrap().sizes()[0], (640, 360));
    let delta = read(&delta, &mut structure).unwrap();
    assert_eq!((delta.frame_number, delta.layer.temporal), (0x1234, 1));
    assert!(!delta.key && !delta.has_structure && delta.frame_end && delta.layer.end);
}

#[test]
fn a_frame_names_the_layers_that_may_begin_with_it() {
    let bit = |spatial, temporal| 1u16 << limit(spatial, temporal).index();
    assert_eq!(with(&L1T3, 1).switches, bit(0, 0) | bit(0, 1) | bit(0, 2));
    assert_eq!(with(&L1T3, 2).switches, bit(0, 2));
    assert_eq!(with(&L1T3, 3).switches, 0);
    assert_eq!(with(&L2T1_KEY, 0).switches, bit(0, 0));
    assert_eq!(with(&L2T1_KEY, 1).switches, bit(0, 0) | bit(1, 0));
}

#[test]
fn template_ids_wrap_at_64() {
    let last = with(&L2T1_KEY, 3);
    assert_eq!(last.layer.spatial, 1);
    assert!(!last.key, "it needs the lower layer");
    assert!(with(&L2T1_KEY, 1).key);
}

fn written(bytes: &[u8], sample: &Sample, shift: Shift, limit: Limit) -> Vec<u8> {
    let mut out = [0xff; MAX_LEN + MAX_GROWTH];
    let len = rewrite(bytes, &structure_of(sample).unwrap(), &shift, &limit, &mut out).unwrap();
    out[..len].to_vec()
}

#[test]
fn without_a_limit_only_numbers_change() {
    let shift = Shift {
        frame_number: 0xfffe,
        template: 0,
    };
    let bytes = L1T3.descriptor((true, true), 0, 1, true, Some(0b111));
    let out = written(&bytes, &L1T3, shift, Limit::ALL);
    assert_eq!(out[1..3], [0xff, 0xff]);
    assert_eq!((out[0], &out[3..]), (bytes[0], &bytes[3..]));
}

#[test]
fn targets_above_the_limit_are_inactive_on_every_packet() {
    for (bytes, has) in [
        (L1T3.descriptor((true, true), 1, 1, false, None), false),
        (L1T3.descriptor((true, true), 1, 1, false, Some(0b110)), true),
    ] {
        let out = written(&bytes, &L1T3, Shift::default(), limit(255, 1));
        // No structure, active targets, nothing custom; targets 0 and 1 of those that the publisher has.
        let mask = if has { 0b010 } else { 0b011 };
        assert_eq!(out[3], 0b0100_0000 | mask);
        assert_eq!(out.len(), 4);
    }
    let out = written(
        &L1T3.descriptor((true, true), 0, 1, true, None),
        &L1T3,
        Shift::default(),
        limit(255, 0),
    );
    assert_eq!(out[3] >> 6, 0b11);
    let mut structure = None;
    assert!(read(&out, &mut structure).is_some_and(|read| read.has_structure));
    assert_eq!(structure, structure_of(&L1T3));
}

#[test]
fn a_structure_moves_with_the_template_ids() {
    let shift = Shift {
        frame_number: 0,
        template: 7,
    };
    let mut structure = None;
    let key = written(
        &L2T1_KEY.descriptor((true, false), 1, 5, true, None),
        &L2T1_KEY,
        shift,
        Limit::ALL,
    );
    let key = read(&key, &mut structure).unwrap();
    assert!(key.key && key.has_structure);
    assert_eq!(structure.as_ref().unwrap().first_id(), 3);
    let delta = written(
        &L2T1_KEY.descriptor((true, false), 3, 6, false, None),
        &L2T1_KEY,
        shift,
        limit(0, 255),
    );
    assert_eq!(read(&delta, &mut structure).unwrap().layer.spatial, 1);
}

#[test]
fn a_descriptor_tells_the_temporal_layers_of_h264() {
    let parsed = |line, payload: &[u8]| {
        let dependency = with(&L1T3, line);
        parse_with(Codec::H264, payload, true, Some(&dependency)).unwrap()
    };
    let delta = parsed(2, &[0x61, 0x80]);
    assert_eq!((delta.layer.temporal, delta.frame_start, delta.start), (1, true, false));
    // The slice of an IDR picture is a start whatever else is said.
    assert!(parsed(0, &[0x65, 0x88]).start);
    assert_eq!(
        parse_with(Codec::Av1, &[], true, Some(&with(&L1T3, 0))),
        Err(DropReason::Padding)
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_written_without_harm(
        first in prop::collection::vec(any::<u8>(), 0..60),
        second in prop::collection::vec(any::<u8>(), 0..60),
        spatial in 0..4u8, temporal in 0..4u8, frame_number: u16, template: u8,
    ) {
        let mut structure = structure_of(&L2T1_KEY);
        for bytes in [first, second] {
            let before = structure.clone().unwrap();
            if let Some(found) = read(&bytes, &mut structure) {
                let mut out = [0; MAX_LEN + MAX_GROWTH];
                let shift = Shift { frame_number, template };
                let known = structure.clone().unwrap();
                let len = rewrite(&bytes, &known, &shift, &limit(spatial, temporal), &mut out);
                prop_assert!(len.is_some());
                if template & 0x3f == 0 {
                    let mut again = Some(before);
                    let again = read(&out[..len.unwrap()], &mut again).unwrap();
                    prop_assert_eq!(again, Dependency {
                        frame_number: found.frame_number.wrapping_add(frame_number),
                        ..found
                    });
                }
            }
        }
    }
}
