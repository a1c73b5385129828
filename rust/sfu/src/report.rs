//! What the media plane tells of layers and of single transports. All of it is latest-wins: a newer one replaces an older one that
//! was not fetched.

use crate::command::Codec;
use crate::ids::{Mid, TrackId};

/// The encodings of a video track as they flow now. Told once a second while the track lives, and at once when an encoding or layer
/// starts or stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackLayers {
    /// The track.
    pub track: TrackId,
    /// One for each encoding of its specification, lowest first.
    pub encodings: Vec<EncodingReport>,
}

/// One encoding. Without packets in the last second or so it is not active, and its numbers are those of its last time or 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EncodingReport {
    /// Packets flow.
    pub active: bool,
    /// Of the newest packet.
    pub codec: Option<Codec>,
    /// Media payload over the last second.
    pub bitrate_bps: u64,
    /// With headers and retransmissions.
    pub total_bps: u64,
    /// Pixels; 0: not known.
    pub width: u16,
    /// Pixels; 0: not known.
    pub height: u16,
    /// Pictures over the last second.
    pub fps: u8,
    /// Of them those that are shown before one that came earlier: B-frames, which no player of WebRTC puts in order.
    pub reordered: u8,
    /// What the publisher means to send.
    pub target: Target,
    /// Packets since the encoding began.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Layers that flow, lowest spatial and then lowest temporal first. Empty when there is but one.
    pub layers: Vec<LayerReport>,
}

/// What the publisher means to send of an encoding at its best (video-layers-allocation). 0: not told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Target {
    /// With all layers that it needs, bits per second.
    pub bps: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures per second at most.
    pub fps: u8,
}

/// A layer with all below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LayerReport {
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// Media payload over the last second, of this layer and those that it needs.
    pub bitrate_bps: u64,
    /// Pixels; 0: not known.
    pub width: u16,
    /// Pixels; 0: not known.
    pub height: u16,
}

/// Somebody who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Speaker {
    /// The voice.
    pub track: TrackId,
    /// 0 (loudest) to 127, −dBov.
    pub level: u8,
}

/// The layer that a slot shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShownLayer {
    /// Place among the encodings of the track, lowest first.
    pub encoding: u8,
    /// Highest spatial layer that is forwarded; 255: all, or there is but one.
    pub spatial: u8,
    /// Highest temporal layer that is forwarded; 255: all, or there is but one.
    pub temporal: u8,
}

/// Why a slot that has a track shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Waiting {
    /// The transport is not connected.
    Transport,
    /// The publisher has sent nothing yet.
    Packets,
    /// A key frame was asked for and has not come.
    KeyFrame,
    /// The viewer's line does not carry even the lowest layer.
    Bandwidth,
}

impl Waiting {
    /// Stable text.
    pub fn code(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Packets => "packets",
            Self::KeyFrame => "key_frame",
            Self::Bandwidth => "bandwidth",
        }
    }
}

/// One transport from its offer to its first picture, and its line as it is believed to be. Times are microseconds since `OpenTransport`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TransportReport {
    /// Since `OpenTransport`.
    pub age_us: u64,
    /// Where its media goes now: "udp" or "tcp". `None`: nowhere yet, or its connection has ended.
    pub via: Option<&'static str>,
    /// The first authenticated check.
    pub ice_us: Option<u64>,
    /// Keys were in use.
    pub dtls_us: Option<u64>,
    /// The first media packet: from the publisher, or to the viewer.
    pub first_packet_us: Option<u64>,
    /// The first key frame, likewise.
    pub first_key_frame_us: Option<u64>,
    /// The first slot that showed something.
    pub first_bound_us: Option<u64>,
    /// Bandwidth towards the viewer, bits per second.
    pub estimate_bps: u64,
    /// What is sent to it, over the last second.
    pub sent_bps: u64,
    /// What its slots would take at the layers that they want.
    pub wanted_bps: u64,
    /// Packets that it reported lost, 1/256 of what was sent.
    pub fraction_lost: u8,
    /// Round trip, microseconds; 0: not known.
    pub rtt_us: u64,
    /// Its tracks.
    pub tracks: Vec<TrackLayers>,
    /// Its video slots that have a track.
    pub slots: Vec<SlotReport>,
}

/// One slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotReport {
    /// Its m-line.
    pub mid: Mid,
    /// What it is bound to.
    pub track: TrackId,
    /// What it shows.
    pub shown: Option<ShownLayer>,
    /// Why it shows nothing, or not yet what it is to show.
    pub waiting: Option<Waiting>,
}
