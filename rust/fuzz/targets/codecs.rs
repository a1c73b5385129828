//! Codec payload headers: any payload is parsed and rewritten without harm, a rewritten one says the same but for its ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rostra_sfu::codec::dependency::{self, MAX_GROWTH, MAX_LEN, Shift};
use rostra_sfu::codec::h264::ParameterSets;
use rostra_sfu::codec::{Continuity, PictureIds, parse, parse_with, rewrite, sizes};
use rostra_sfu::command::Codec;
use rostra_sfu::layer::Limit;
use rostra_sfu::meta::Detail;

// A byte for the codec, then payloads, each behind a byte of length.
fuzz_target!(|input: &[u8]| {
    let Some((&choice, mut rest)) = input.split_first() else {
        return;
    };
    let codec = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1, Codec::Opus][usize::from(choice % 5)];
    let (mut continuity, mut ids, mut sets) = (Continuity::default(), PictureIds::default(), ParameterSets::default());
    let mut out = [0; 2048];
    let mut structure = None;
    while let Some((&len, tail)) = rest.split_first() {
        let (payload, after) = tail.split_at(usize::from(len).min(tail.len()));
        rest = after;
        sets.note(payload);
        describe(payload, &mut structure);
        let dependency = dependency::read(payload, &mut structure);
        let _ = parse_with(codec, payload, len & 1 == 1, dependency.as_ref());
        let Ok(parsed) = parse(codec, payload, len & 1 == 1) else {
            continue;
        };
        assert!(!parsed.start || parsed.frame_start);
        let _ = sizes(&parsed.detail, payload);
        let mut detail = parsed.detail;
        ids.extend(&mut detail);
        let offsets = continuity.offsets(&detail);
        continuity.sent(&detail, &offsets);
        let Some(new_len) = rewrite(&detail, &offsets, payload, &mut out) else {
            panic!("{payload:02x?}")
        };
        assert!((payload.len()..=payload.len() + 1).contains(&new_len));
        let Ok(again) = parse(codec, &out[..new_len], len & 1 == 1) else {
            panic!("{:02x?}", &out[..new_len])
        };
        assert_eq!(
            (again.frame_start, again.frame_end, again.start, again.key),
            (parsed.frame_start, parsed.frame_end, parsed.start, parsed.key)
        );
        match (parsed.detail, again.detail) {
            (Detail::Vp8(old), Detail::Vp8(new)) => {
                assert_eq!(old.picture_id.is_some(), new.picture_id.is_some());
                assert_eq!(
                    (old.temporal_layer, old.layer_sync),
                    (new.temporal_layer, new.layer_sync)
                );
            }
            (Detail::Vp9(old), Detail::Vp9(new)) => {
                assert_eq!(old.tl0_picture_index.is_some(), new.tl0_picture_index.is_some());
                assert_eq!(
                    (old.temporal_layer, old.spatial_layer),
                    (new.temporal_layer, new.spatial_layer)
                );
            }
            (old, new) => assert_eq!(old, new),
        }
    }
    if let Some(len) = sets.stap_a(&mut out) {
        let Ok(parsed) = parse(Codec::H264, &out[..len], false) else {
            panic!()
        };
        assert!(parsed.start);
    }
});

/// Any bytes as a dependency descriptor: what is read is written, and reads as the same with other numbers.
fn describe(bytes: &[u8], structure: &mut Option<Box<dependency::Structure>>) {
    let Some(found) = dependency::read(bytes, structure) else {
        return;
    };
    let Some(known) = structure.clone() else {
        panic!("read without structure")
    };
    let shift = Shift {
        frame_number: bytes[0].into(),
        template: 0,
    };
    for limit in [
        Limit::ALL,
        Limit {
            spatial: bytes[1] & 3,
            temporal: bytes[2] & 3,
        },
    ] {
        let mut out = [0; MAX_LEN + MAX_GROWTH];
        let Some(len) = dependency::rewrite(bytes, &known, &shift, &limit, &mut out) else {
            panic!("{bytes:02x?}")
        };
        let mut again = Some(known.clone());
        let Some(again) = dependency::read(&out[..len], &mut again) else {
            // One byte of limits more may be one too many to be read, by nobody but us.
            assert!(len > MAX_LEN);
            continue;
        };
        assert_eq!(again.frame_number, found.frame_number.wrapping_add(shift.frame_number));
        assert_eq!(
            (again.layer, again.switches, again.key),
            (found.layer, found.switches, found.key)
        );
    }
}
