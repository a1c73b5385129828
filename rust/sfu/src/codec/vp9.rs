//! VP9 payload descriptor (RFC 9628 §4.2).

use super::continuity::Offsets;
use super::{Parsed, Sizes, picture_id};
use crate::layer::{LAYERS, Layer};
use crate::meta::{Detail, Vp9};
use crate::rtp::bytes::{Put, be16, byte};

const HAS_PICTURE_ID: u8 = 0x80;
const INTER_PICTURE: u8 = 0x40;
const HAS_LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const FRAME_BEGIN: u8 = 0x08;
const FRAME_END: u8 = 0x04;
const HAS_STRUCTURE: u8 = 0x02;
/// Most reference indices of one packet in flexible mode.
const MAX_P_DIFFS: usize = 3;

pub(super) fn parse(payload: &[u8], marker: bool) -> Option<Parsed> {
    let first = byte(payload, 0)?;
    let mut vp9 = Vp9::default();
    let mut at = 1;
    if first & HAS_PICTURE_ID != 0 {
        let (id, long) = picture_id(payload, at)?;
        vp9.picture_id = Some(id);
        vp9.picture_id_long = long;
        at += if long { 2 } else { 1 };
    }
    let flexible = first & FLEXIBLE != 0;
    if first & HAS_LAYERS != 0 {
        let layers = byte(payload, at)?;
        at += 1;
        vp9.temporal_layer = layers >> 5;
        vp9.switch_up = layers & 0x10 != 0;
        vp9.spatial_layer = layers >> 1 & 0x07;
        vp9.inter_layer = layers & 0x01 != 0;
        if !flexible {
            vp9.tl0_picture_index = Some(byte(payload, at)?);
            vp9.tl0_at = at as u8;
            at += 1;
        }
    }
    let inter_picture = first & INTER_PICTURE != 0;
    if flexible && inter_picture {
        at = skip_references(payload, at)?;
    }
    if first & HAS_STRUCTURE != 0 {
        at = skip_structure(payload, at)?;
    }
    // 255 bytes are far more than any encoder's structure takes.
    vp9.descriptor_len = u8::try_from(at).ok()?;
    if payload.len() <= at {
        return None;
    }
    let frame_start = first & FRAME_BEGIN != 0 && vp9.spatial_layer == 0;
    Some(Parsed {
        detail: Detail::Vp9(vp9),
        frame_start,
        frame_end: marker,
        start: frame_start && !inter_picture,
        key: !inter_picture,
        layer: Layer {
            spatial: vp9.spatial_layer,
            temporal: vp9.temporal_layer,
            end: first & FRAME_END != 0 || marker,
            switch_up: vp9.switch_up,
        },
    })
}

/// P_DIFF ‖ N: another one follows while N is set.
fn skip_references(payload: &[u8], at: usize) -> Option<usize> {
    let list = payload.get(at..)?;
    let more = list.iter().take(MAX_P_DIFFS).take_while(|diff| **diff & 1 == 1).count();
    if more == MAX_P_DIFFS || more >= list.len() {
        return None;
    }
    Some(at + more + 1)
}

/// Sizes out of the scalability structure, if the packet has one that tells them.
pub(super) fn sizes(payload: &[u8]) -> Option<Sizes> {
    let first = byte(payload, 0)?;
    if first & HAS_STRUCTURE == 0 {
        return None;
    }
    let mut at = 1;
    if first & HAS_PICTURE_ID != 0 {
        at += if picture_id(payload, at)?.1 { 2 } else { 1 };
    }
    if first & HAS_LAYERS != 0 {
        at += if first & FLEXIBLE != 0 { 1 } else { 2 };
    }
    if first & FLEXIBLE != 0 && first & INTER_PICTURE != 0 {
        at = skip_references(payload, at)?;
    }
    let head = byte(payload, at)?;
    if head & 0x10 == 0 {
        return None;
    }
    let mut sizes = Sizes::default();
    for (layer, size) in (0..=usize::from(head >> 5)).zip(&mut sizes).take(LAYERS) {
        let at = at + 1 + 4 * layer;
        *size = (be16(payload, at)?, be16(payload, at + 2)?);
    }
    Some(sizes)
}

/// Scalability structure (RFC 9628 §4.2.1).
fn skip_structure(payload: &[u8], mut at: usize) -> Option<usize> {
    let head = byte(payload, at)?;
    at += 1;
    let layers = usize::from(head >> 5) + 1;
    if head & 0x10 != 0 {
        at += 4 * layers;
    }
    if head & 0x08 != 0 {
        let pictures = byte(payload, at)?;
        at += 1;
        for _ in 0..pictures {
            let references = byte(payload, at)? >> 2 & 0x03;
            at += 1 + usize::from(references);
        }
    }
    Some(at)
}

/// Ids keep their distances: P_DIFF is relative, and so is what the decoder makes of a structure. A picture id of 7 bits leaves with
/// 15, as VP8's does.
pub(super) fn rewrite(vp9: &Vp9, offsets: &Offsets, payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut put = Put::new(out);
    put.put8(byte(payload, 0)?)?;
    let mut rest = payload.get(1..)?;
    if let Some(id) = vp9.picture_id {
        put.put16(0x8000 | offsets.picture_id(id))?;
        rest = rest.get(if vp9.picture_id_long { 2 } else { 1 }..)?;
    }
    if let Some(index) = vp9.tl0_picture_index {
        let done = payload.len() - rest.len();
        let (before, after) = rest.split_at_checked(usize::from(vp9.tl0_at).checked_sub(done)?)?;
        put.put(before)?;
        put.put8(offsets.tl0_picture_index(index))?;
        rest = after.get(1..)?;
    }
    put.put(rest)?;
    Some(put.len())
}
