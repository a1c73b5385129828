//! What key frames say of the size of their pictures.

use super::parsed;
use crate::codec::sizes;
use crate::command::Codec;

fn lowest(codec: Codec, payload: &[u8]) -> Option<(u16, u16)> {
    sizes(&parsed(codec, payload).detail, payload).map(|sizes| sizes[0])
}

#[test]
fn a_vp8_key_frame_tells_behind_its_start_code() {
    let frame = [0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x81, 0];
    assert_eq!(lowest(Codec::Vp8, &frame), Some((640, 360)), "the scale is left out");
    let encrypted = [0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2b, 0x80, 0x42, 0x68, 0x81, 0];
    assert_eq!(lowest(Codec::Vp8, &encrypted), None);
    assert_eq!(lowest(Codec::Vp8, &frame[..10]), None);
}

#[test]
fn a_vp9_structure_tells_of_each_spatial_layer() {
    // I, L, B, V; picture id; TID 0, SID 0; TL0PICIDX; two layers with sizes.
    let packet = [
        0xaa, 0x01, 0x00, 0x05, 0x30, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68, 0xff,
    ];
    let found = sizes(&parsed(Codec::Vp9, &packet).detail, &packet);
    assert_eq!(found, Some([(320, 180), (640, 360), (0, 0), (0, 0)]));
    // Flexible, a 15-bit picture id, and no sizes.
    let packet = [0xba, 0x80, 0x01, 0x00, 0x00, 0xff];
    assert_eq!(sizes(&parsed(Codec::Vp9, &packet).detail, &packet), None);
}

#[test]
fn an_h264_sps_tells_in_macroblocks_less_what_is_cropped() {
    let high = [
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
        0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
    ];
    assert_eq!(lowest(Codec::H264, &high), Some((1920, 1080)));
    let mut aggregate = vec![0x78, 0, high.len() as u8];
    aggregate.extend(high);
    assert_eq!(lowest(Codec::H264, &aggregate), Some((1920, 1080)));
    assert_eq!(lowest(Codec::H264, &high[..8]), None, "cut");
    assert_eq!(lowest(Codec::H264, &[0x65, 0x88]), None);
}

#[test]
fn av1_and_audio_tell_nothing() {
    assert_eq!(lowest(Codec::Av1, &[0x18, 0x0a, 0x01]), None);
    assert_eq!(lowest(Codec::Opus, &[0x78]), None);
}
