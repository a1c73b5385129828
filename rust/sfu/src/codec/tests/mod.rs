mod av1_audio;
mod continuity;
mod dependency;
mod h264;
mod sizes;
mod vp8;
mod vp9;

use super::{Parsed, parse};
use crate::command::Codec;
use crate::meta::Detail;
use crate::reason::DropReason;
use proptest::prelude::*;

const CODECS: [Codec; 6] = [
    Codec::Opus,
    Codec::MultiOpus,
    Codec::Vp8,
    Codec::Vp9,
    Codec::H264,
    Codec::Av1,
];

fn parsed(codec: Codec, payload: &[u8]) -> Parsed {
    parse(codec, payload, false).unwrap()
}

fn malformed(codec: Codec, payload: &[u8]) -> bool {
    parse(codec, payload, false) == Err(DropReason::CodecMalformed)
}

#[test]
fn an_empty_payload_is_padding_for_every_codec() {
    for codec in CODECS {
        assert_eq!(parse(codec, &[], true), Err(DropReason::Padding));
    }
}

#[test]
fn the_marker_ends_a_picture() {
    for (codec, payload) in [
        (Codec::Vp8, &[0x10, 0x01][..]),
        (Codec::Vp9, &[0x08, 0x01]),
        (Codec::H264, &[0x61, 0x80]),
        (Codec::Av1, &[0x10, 0x30]),
    ] {
        assert!(parse(codec, payload, true).unwrap().frame_end);
        assert!(!parse(codec, payload, false).unwrap().frame_end);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64), marker: bool) {
        for codec in CODECS {
            let Ok(parsed) = parse(codec, &bytes, marker) else { continue };
            prop_assert_eq!(parsed.detail.codec(), codec);
            prop_assert!(!parsed.start || parsed.frame_start, "a start is the start of a picture");
            let descriptor_len = match parsed.detail {
                Detail::Vp8(vp8) => vp8.descriptor_len,
                Detail::Vp9(vp9) => vp9.descriptor_len,
                Detail::Audio(_) | Detail::H264(_) | Detail::Av1(_) => 0,
            };
            prop_assert!(usize::from(descriptor_len) < bytes.len(), "there is media behind a descriptor");
        }
    }
}
