//! Codec payload headers: any payload is parsed and rewritten without harm, a rewritten one says the same but for its ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rostra_sfu::codec::h264::ParameterSets;
use rostra_sfu::codec::{Continuity, PictureIds, parse, rewrite};
use rostra_sfu::command::Codec;
use rostra_sfu::meta::Detail;

// A byte for the codec, then payloads, each behind a byte of length.
fuzz_target!(|input: &[u8]| {
    let Some((&choice, mut rest)) = input.split_first() else {
        return;
    };
    let codec = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1, Codec::Opus][usize::from(choice % 5)];
    let (mut continuity, mut ids, mut sets) = (Continuity::default(), PictureIds::default(), ParameterSets::default());
    let mut out = [0; 2048];
    while let Some((&len, tail)) = rest.split_first() {
        let (payload, after) = tail.split_at(usize::from(len).min(tail.len()));
        rest = after;
        sets.note(payload);
        let Ok(parsed) = parse(codec, payload, len & 1 == 1) else {
            continue;
        };
        assert!(!parsed.start || parsed.frame_start);
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
