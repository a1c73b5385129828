//! Codec payload headers: what a packet is (parse), and how it becomes part of another sequence (rewrite).
//!
//! End-to-end encryption leaves payload descriptors in the clear. Nothing behind them is read, except the first payload byte of VP8
//! (its P bit), what key frames say of the size of the picture (VP8 frame header behind its start code, H264 SPS), and H264 NAL unit
//! headers, which no packetiser can hide. Nothing but reports depends on a size.

mod av1;
pub(crate) mod bits;
mod continuity;
pub mod dependency;
pub mod h264;
mod sps;
mod vp8;
mod vp9;

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "prop_oneof! shares its strategies")]
mod tests;

pub use continuity::{Continuity, Offsets, PictureIds, rewrite};

use self::dependency::Dependency;
use crate::command::Codec;
use crate::layer::{LAYERS, Layer};
use crate::meta::{Av1, Detail};
use crate::reason::DropReason;

/// A picture id has 15 bits.
const PICTURE_ID_MASK: u16 = 0x7fff;

/// What the payload header of one packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// Codec header fields.
    pub detail: Detail,
    /// First packet of a picture (video), or any packet (audio).
    ///
    /// H264 and AV1 do not always say. H264: the packet has an access unit delimiter, an SPS, or the beginning of a slice that begins
    /// the picture; so a picture with parameter sets in packets of their own has two starts. AV1: the first OBU element does not
    /// continue one of the packet before; so a picture of several tile groups may have more starts than one.
    pub frame_start: bool,
    /// Last packet of a picture: the marker bit. For audio, any packet.
    pub frame_end: bool,
    /// A decoder can start here. VP8: first packet of a key frame. VP9: first packet of the lowest spatial layer of a picture without
    /// inter-picture prediction. H264: an SPS, or the beginning of an IDR picture, which needs parameter sets in front of it unless
    /// they came before. AV1: N bit of the aggregation header. Audio: always.
    pub start: bool,
    /// Part of a key frame: VP8 on the first packet only, VP9 where P = 0, H264 on every packet of an IDR slice, AV1 on the first
    /// packet only. Audio: never.
    pub key: bool,
    /// Place among the layers of the encoding, as far as the codec's header says.
    pub layer: Layer,
}

/// Reads the payload header. Takes time in proportion to the header (H264 aggregates: the number of NAL units).
///
/// An empty payload is [`DropReason::Padding`], a header that does not fit [`DropReason::CodecMalformed`].
pub fn parse(codec: Codec, payload: &[u8], marker: bool) -> Result<Parsed, DropReason> {
    if payload.is_empty() {
        return Err(DropReason::Padding);
    }
    let parsed = match codec {
        Codec::Opus | Codec::MultiOpus => Some(Parsed {
            detail: Detail::Audio(codec),
            frame_start: true,
            frame_end: true,
            start: true,
            key: false,
            layer: Layer::default(),
        }),
        Codec::Vp8 => vp8::parse(payload, marker),
        Codec::Vp9 => vp9::parse(payload, marker),
        Codec::H264 => h264::parse(payload, marker),
        Codec::Av1 => av1::parse(payload, marker),
    };
    parsed.ok_or(DropReason::CodecMalformed)
}

/// The same for a packet that carries a dependency descriptor, which knows more than the headers of AV1 and H264 and stays in the clear
/// when those are encrypted.
pub fn parse_with(
    codec: Codec,
    payload: &[u8],
    marker: bool,
    dependency: Option<&Dependency>,
) -> Result<Parsed, DropReason> {
    let parsed = parse(codec, payload, marker);
    let Some(dependency) = dependency else { return parsed };
    let begins = dependency.frame_start && dependency.layer.spatial == 0;
    let start = begins && dependency.has_structure && dependency.key;
    match codec {
        Codec::Av1 if !payload.is_empty() => {
            let detail = parsed.map_or(Detail::Av1(Av1::default()), |parsed| parsed.detail);
            Ok(Parsed {
                detail,
                frame_start: begins,
                frame_end: marker,
                start,
                key: start,
                layer: dependency.layer,
            })
        }
        Codec::H264 => parsed.map(|parsed| Parsed {
            frame_start: parsed.frame_start || begins,
            start: parsed.start || start,
            layer: dependency.layer,
            ..parsed
        }),
        Codec::Av1 | Codec::Opus | Codec::MultiOpus | Codec::Vp8 | Codec::Vp9 => parsed,
    }
}

/// Widths and heights of pictures in pixels, by spatial layer; 0: not told.
pub type Sizes = [(u16, u16); LAYERS];

/// What the packet at the start of a key frame says of the size of its pictures, if anything.
pub fn sizes(detail: &Detail, payload: &[u8]) -> Option<Sizes> {
    match detail {
        Detail::Vp8(vp8) => vp8::size(vp8, payload).map(only),
        Detail::Vp9(_) => vp9::sizes(payload),
        Detail::H264(h264) if h264.has_sps => h264::size(payload).map(only),
        Detail::Audio(_) | Detail::H264(_) | Detail::Av1(_) => None,
    }
}

fn only(size: (u16, u16)) -> Sizes {
    let [_, rest @ ..] = Sizes::default();
    let [b, c, d] = rest;
    [size, b, c, d]
}

/// A picture id field of one or two bytes (RFC 7741 §4.2, RFC 9628 §4.2): the id, and whether it has 15 bits.
fn picture_id(payload: &[u8], at: usize) -> Option<(u16, bool)> {
    let first = crate::rtp::bytes::byte(payload, at)?;
    if first & 0x80 == 0 {
        return Some((u16::from(first), false));
    }
    Some((crate::rtp::bytes::be16(payload, at)? & PICTURE_ID_MASK, true))
}
