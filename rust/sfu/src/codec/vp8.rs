//! VP8 payload descriptor (RFC 7741 §4.2).

use super::continuity::Offsets;
use super::{Parsed, picture_id};
use crate::layer::Layer;
use crate::meta::{Detail, Vp8};
use crate::rtp::bytes::{Put, byte, le16};

/// Extension bits of the second byte.
const HAS_PICTURE_ID: u8 = 0x80;
const HAS_TL0: u8 = 0x40;
const HAS_TID: u8 = 0x20;
const HAS_KEY_INDEX: u8 = 0x10;
/// In every key frame.
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

pub(super) fn parse(payload: &[u8], marker: bool) -> Option<Parsed> {
    let first = byte(payload, 0)?;
    let mut vp8 = Vp8 {
        discardable: first & 0x20 != 0,
        ..Vp8::default()
    };
    let mut at = 1;
    if first & 0x80 != 0 {
        let present = byte(payload, at)?;
        at += 1;
        if present & HAS_PICTURE_ID != 0 {
            let (id, long) = picture_id(payload, at)?;
            vp8.picture_id = Some(id);
            vp8.picture_id_long = long;
            at += if long { 2 } else { 1 };
        }
        if present & HAS_TL0 != 0 {
            vp8.tl0_picture_index = Some(byte(payload, at)?);
            at += 1;
        }
        if present & (HAS_TID | HAS_KEY_INDEX) != 0 {
            let layers = byte(payload, at)?;
            at += 1;
            if present & HAS_TID != 0 {
                vp8.temporal_layer = Some(layers >> 6);
                vp8.layer_sync = layers & 0x20 != 0;
            }
            if present & HAS_KEY_INDEX != 0 {
                vp8.key_index = Some(layers & 0x1f);
            }
        }
    }
    vp8.descriptor_len = at as u8;
    // The frame header follows (RFC 7741 §4.3); its first bit is clear on key frames.
    let frame_header = byte(payload, at)?;
    let frame_start = first & 0x10 != 0 && first & 0x07 == 0;
    let key = frame_start && frame_header & 0x01 == 0;
    Some(Parsed {
        detail: Detail::Vp8(vp8),
        frame_start,
        frame_end: marker,
        start: key,
        key,
        layer: Layer {
            spatial: 0,
            temporal: vp8.temporal_layer.unwrap_or(0),
            end: marker,
            switch_up: vp8.layer_sync,
        },
    })
}

/// The size in the header of a key frame (RFC 6386 §9.1): a frame tag of three bytes, the start code, then 14 bits each.
pub(super) fn size(vp8: &Vp8, payload: &[u8]) -> Option<(u16, u16)> {
    let header = payload.get(usize::from(vp8.descriptor_len)..)?;
    // An encrypted frame has the code by chance once in sixteen million.
    if header.get(3..6)? != START_CODE {
        return None;
    }
    Some((le16(header, 6)? & 0x3fff, le16(header, 8)? & 0x3fff))
}

/// Picture ids always leave with 15 bits, so that they wrap where ids of other encodings wrap.
pub(super) fn rewrite(vp8: &Vp8, offsets: &Offsets, payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut put = Put::new(out);
    let descriptor_len = usize::from(vp8.descriptor_len);
    let (descriptor, rest) = payload.split_at_checked(descriptor_len)?;
    put.put8(byte(descriptor, 0)?)?;
    if let Some(present) = byte(descriptor, 1) {
        put.put8(present)?;
    }
    if let Some(id) = vp8.picture_id {
        put.put16(0x8000 | offsets.picture_id(id))?;
    }
    if let Some(index) = vp8.tl0_picture_index {
        put.put8(offsets.tl0_picture_index(index))?;
    }
    if vp8.temporal_layer.is_some() || vp8.key_index.is_some() {
        let layers = *descriptor.last()?;
        let key_index = vp8.key_index.map_or(layers & 0x1f, |index| offsets.key_index(index));
        put.put8(layers & 0xe0 | key_index)?;
    }
    put.put(rest)?;
    Some(put.len())
}
