//! What is known of a packet after it was parsed once. Everything that a viewer's slot needs, so that no viewer parses again.

use crate::command::Codec;
use crate::layer::Layer;
use crate::rtp::ext::Place;
use crate::time::Time;

/// A received RTP packet, parsed. At most 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketMeta {
    /// Sequence number of the encoding, extended past wraps (RFC 3550 §A.1). Starts above 65 536, so that late packets stay positive.
    pub seq: u64,
    /// When it arrived.
    pub arrival: Time,
    /// RTP timestamp as sent.
    pub timestamp: u32,
    /// Where the payload starts in the stored packet, bytes.
    pub payload_at: u16,
    /// Payload without padding, bytes.
    pub payload_len: u16,
    /// RTP marker bit.
    pub marker: bool,
    /// Publisher's payload type.
    pub payload_type: u8,
    /// RFC 6464 level, 0 (loudest) to 127 −dBov, when the packet carries one.
    pub audio_level: Option<u8>,
    /// RFC 6464 voice activity bit.
    pub voice: bool,
    /// First packet of a picture (video), or any packet (audio).
    pub frame_start: bool,
    /// Last packet of a picture as far as the headers say.
    pub frame_end: bool,
    /// A decoder can start here: first packet of a key frame with all that it needs, or parameter sets that precede it. Audio: always.
    pub start: bool,
    /// Part of a key frame, wherever the codec says so on every packet (VP9, H264 IDR, VP8 first packet only).
    pub key: bool,
    /// Its place among the layers of the encoding.
    pub layer: Layer,
    /// Layers that a decoder can go on with from its picture, by dependency descriptor: a bit each in the order of `Limit::index`.
    pub switches: u16,
    /// Dependency descriptor, in the stored packet.
    pub dependency: Place,
    /// Absolute capture time, in the stored packet.
    pub capture_time: Place,
    /// Codec header fields.
    pub detail: Detail,
}

const _: () = assert!(size_of::<PacketMeta>() <= 64);

/// Codec header fields that rewriting needs. Offsets are relative to the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Opus, multiopus: nothing to rewrite.
    Audio(Codec),
    /// RFC 7741 §4.2.
    Vp8(Vp8),
    /// RFC 9628 §4.2.
    Vp9(Vp9),
    /// RFC 6184: nothing to rewrite.
    H264(H264),
    /// AV1 RTP payload format 1.0 §4.4: the aggregation header.
    Av1(Av1),
}

impl Detail {
    /// The codec that the fields belong to.
    pub fn codec(&self) -> Codec {
        match self {
            Self::Audio(codec) => *codec,
            Self::Vp8(_) => Codec::Vp8,
            Self::Vp9(_) => Codec::Vp9,
            Self::H264(_) => Codec::H264,
            Self::Av1(_) => Codec::Av1,
        }
    }
}

/// VP8 payload descriptor (RFC 7741 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vp8 {
    /// Picture id, 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// Whether the picture id has 15 bits.
    pub picture_id_long: bool,
    /// TL0PICIDX.
    pub tl0_picture_index: Option<u8>,
    /// Temporal layer.
    pub temporal_layer: Option<u8>,
    /// Layer sync bit Y.
    pub layer_sync: bool,
    /// KEYIDX.
    pub key_index: Option<u8>,
    /// Length of the descriptor, bytes.
    pub descriptor_len: u8,
    /// N bit: the picture is no reference.
    pub discardable: bool,
}

/// VP9 payload descriptor (RFC 9628 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vp9 {
    /// Picture id, 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// Whether the picture id has 15 bits.
    pub picture_id_long: bool,
    /// TL0PICIDX; only where the descriptor is not flexible.
    pub tl0_picture_index: Option<u8>,
    /// Offset of the TL0PICIDX byte.
    pub tl0_at: u8,
    /// Temporal layer.
    pub temporal_layer: u8,
    /// Spatial layer.
    pub spatial_layer: u8,
    /// Switching-up point U.
    pub switch_up: bool,
    /// Inter-layer dependency D.
    pub inter_layer: bool,
    /// Length of the descriptor, bytes.
    pub descriptor_len: u8,
}

/// H264 as far as switching needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct H264 {
    /// Carries a sequence parameter set.
    pub has_sps: bool,
    /// Carries a picture parameter set.
    pub has_pps: bool,
    /// Carries (a piece of) an IDR slice.
    pub has_idr: bool,
}

/// AV1 aggregation header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Av1 {
    /// N bit: first packet of a coded video sequence.
    pub new_sequence: bool,
    /// Z bit: the first OBU element continues one of the packet before.
    pub continues: bool,
}
