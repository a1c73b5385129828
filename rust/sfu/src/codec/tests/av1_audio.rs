use super::{malformed, parsed};
use crate::command::Codec;
use crate::meta::{Av1, Detail};

#[test]
fn a_decoder_of_av1_starts_at_the_n_bit() {
    let first = parsed(Codec::Av1, &[0x08 | 0x10, 0x0a, 1]);
    assert!(first.start && first.key && first.frame_start);
    assert_eq!(
        first.detail,
        Detail::Av1(Av1 {
            new_sequence: true,
            continues: false
        })
    );
    let next = parsed(Codec::Av1, &[0x10, 0x32, 1]);
    assert!(!next.start && !next.key && next.frame_start);
}

#[test]
fn a_packet_that_continues_an_obu_starts_no_picture() {
    let packet = parsed(Codec::Av1, &[0x80 | 0x40 | 0x10, 1, 2]);
    assert!(!packet.frame_start);
    assert_eq!(
        packet.detail,
        Detail::Av1(Av1 {
            new_sequence: false,
            continues: true
        })
    );
}

#[test]
fn a_sequence_that_begins_with_a_continuation_or_without_obus_is_malformed() {
    assert!(malformed(Codec::Av1, &[0x88, 1, 2]));
    assert!(malformed(Codec::Av1, &[0x08]));
}

#[test]
fn audio_starts_everywhere() {
    for codec in [Codec::Opus, Codec::MultiOpus] {
        let packet = parsed(codec, b"\xfcmusic");
        assert!(packet.start && packet.frame_start && packet.frame_end && !packet.key);
        assert_eq!(packet.detail, Detail::Audio(codec));
    }
}
