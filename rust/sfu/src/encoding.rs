//! What a viewer's slot may know of the encoding that it shows: values and a borrowed ring, nothing to change.

use crate::codec::dependency::Structure;
use crate::codec::h264::ParameterSets;
use crate::command::CodecSpec;
use crate::layer::Limit;
use crate::receive::LayerTable;
use crate::ring::Ring;
use crate::time::Time;

/// Names one encoding of one live track of this shard. Stale keys find nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EncodingKey {
    /// Place in the shard's table of tracks.
    pub track: u32,
    /// Distinguishes tracks that take the same place one after the other.
    pub generation: u32,
    /// Place among the encodings of the track, lowest first.
    pub encoding: u8,
}

/// One encoding, seen by a slot.
#[derive(Clone, Copy, Debug)]
pub struct EncodingView<'a> {
    /// Its last packets.
    pub ring: &'a Ring,
    /// The publisher's payload type and codec of the newest packet.
    pub codec: CodecSpec,
    /// Sequence number of the newest packet at which a decoder can start, while it is in the ring.
    pub start: Option<u64>,
    /// The publisher's RTP clock on the server's time line.
    pub clock: Option<ClockMap>,
    /// Media bits per second over the last second or so.
    pub rate_bps: u64,
    /// H264 parameter sets seen last; empty for other codecs.
    pub parameter_sets: &'a ParameterSets,
    /// What is known of its layers; `None` while there is but one.
    pub layers: Option<&'a LayerTable>,
    /// What its dependency descriptors refer to.
    pub structure: Option<&'a Structure>,
}

impl EncodingView<'_> {
    /// Media bits per second of what a limit lets pass.
    pub fn rate_up_to(&self, limit: &Limit) -> u64 {
        match self.layers {
            Some(layers) if !limit.is_all() => layers.rate_up_to(limit),
            Some(_) | None => self.rate_bps,
        }
    }
}

/// One point where an encoding's RTP clock and the server's clock are known to agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockMap {
    /// Server time of the sampling instant.
    pub at: Time,
    /// RTP timestamp of the same instant.
    pub rtp: u32,
    /// Comes from a sender report of the publisher; otherwise from arrival alone.
    pub from_report: bool,
}

impl ClockMap {
    /// The RTP timestamp of the sampling instant `now` (wraps, as RTP does).
    pub fn rtp_at(&self, now: Time, clock_hz: u32) -> u32 {
        let scale = |micros: u64| (u128::from(micros) * u128::from(clock_hz) / 1_000_000) as u32;
        if now >= self.at {
            self.rtp.wrapping_add(scale(now.micros_since(self.at)))
        } else {
            self.rtp.wrapping_sub(scale(self.at.micros_since(now)))
        }
    }
}

/// Where a slot looks its encoding up.
pub trait Encodings {
    /// The encoding, while its track lives and after its first packet.
    fn encoding(&self, key: EncodingKey) -> Option<EncodingView<'_>>;
}
