//! AV1 (RTP payload format 1.0 §4.4): the aggregation header, which is all that a packet without dependency descriptor tells.

use super::Parsed;
use crate::layer::Layer;
use crate::meta::{Av1, Detail};
use crate::rtp::bytes::byte;

pub(super) fn parse(payload: &[u8], marker: bool) -> Option<Parsed> {
    let header = byte(payload, 0)?;
    let continues = header & 0x80 != 0;
    let new_sequence = header & 0x08 != 0;
    // A coded video sequence cannot begin in the middle of an OBU, and a packet has at least one OBU element.
    if new_sequence && continues || payload.len() < 2 {
        return None;
    }
    Some(Parsed {
        detail: Detail::Av1(Av1 {
            new_sequence,
            continues,
        }),
        frame_start: !continues,
        frame_end: marker,
        start: new_sequence,
        key: new_sequence,
        layer: Layer::default(),
    })
}
