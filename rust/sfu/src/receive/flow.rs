//! What is told of an encoding: whether it flows, how fast, and in which sizes.

use super::layers::{LayerTable, Pace};
use super::rate::Rate;
use super::track::Encoding;
use crate::codec::{self, Sizes};
use crate::layer::{LAYERS, clamp};
use crate::meta::PacketMeta;
use crate::report::{EncodingReport, Target};
use crate::time::Time;

/// A picture that lies further back than this, in units of 1/90000 s, begins another timeline: no encoder reorders over a second.
const MAX_REORDERING: i32 = 90_000;

/// What is told of an encoding.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) payload: Rate,
    pub(super) total: Rate,
    pub(super) pictures: Rate,
    /// Of them those that are shown before one that came earlier.
    pub(super) reordered: Rate,
    pub(super) pace: Pace,
    pub(super) last: Option<Time>,
    /// Timestamp of the picture that is shown last.
    pub(super) picture: Option<u32>,
    /// Timestamp of the packet that came last in the order of numbers.
    decoded: Option<u32>,
    pub(super) sizes: Sizes,
    pub(super) target: Target,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// What of it flowed when that was told last.
    pub(super) told: u32,
    /// Something began, or has another size.
    pub(super) changed: bool,
}

impl Flow {
    /// Account for a packet that is kept. `is_newest`: none of a higher number came before.
    pub(super) fn packet(
        &mut self,
        layers: &mut Option<Box<LayerTable>>,
        rate: &Rate,
        meta: &PacketMeta,
        packet: &[u8],
        is_newest: bool,
    ) {
        let now = meta.arrival;
        let patience = self.pace.patience();
        self.changed |= self.last.is_none_or(|last| now.since(last) > patience);
        let before = self.last.replace(now);
        self.packets += 1;
        self.bytes += u64::from(meta.payload_len);
        self.payload.add(now, usize::from(meta.payload_len));
        if is_newest {
            self.picture(now, meta.timestamp);
        }
        if layers.is_some() || !meta.layer.is_base() {
            let layers = layers.get_or_insert_with(|| Box::new(LayerTable::after(*rate, before)));
            self.changed |= layers.packet(now, &meta.layer, packet.len(), patience);
        }
        if meta.start {
            let at = usize::from(meta.payload_at);
            let payload = packet.get(at..at + usize::from(meta.payload_len));
            if let Some(sizes) = codec::sizes(&meta.detail, payload.unwrap_or_default()) {
                self.set_sizes(sizes);
            }
        }
    }

    /// A packet in the order of numbers, which is that of decoding.
    fn picture(&mut self, now: Time, timestamp: u32) {
        if self.decoded.replace(timestamp) == Some(timestamp) {
            return;
        }
        self.pictures.add(now, 1);
        self.pace.picture(now);
        let ahead = self.picture.map(|picture| timestamp.wrapping_sub(picture) as i32);
        if ahead.is_some_and(|ahead| (-MAX_REORDERING..0).contains(&ahead)) {
            self.reordered.add(now, 1);
        } else {
            self.picture = Some(timestamp);
        }
    }

    /// Begin anew, as the sequence numbers did.
    pub(super) fn restart(&mut self) {
        (self.picture, self.decoded) = (None, None);
    }

    /// Sizes that were told; those of layers that were not stay unknown.
    pub(super) fn set_sizes(&mut self, sizes: Sizes) {
        if sizes != Sizes::default() {
            self.changed |= self.sizes != sizes;
            self.sizes = sizes;
        }
    }
}

/// Set in what is told when the encoding flows at all; the bits below are its layers.
const FLOWS: u32 = 1 << 31;

impl Encoding {
    /// A packet came over the wire, needed or not.
    pub(super) fn heard(&mut self, now: Time, bytes: usize) {
        self.flow.total.add(now, bytes);
    }

    /// Do packets flow? Those whose pictures are seconds apart may be silent for longer than others.
    pub fn is_active(&self, now: Time) -> bool {
        self.flow
            .last
            .is_some_and(|last| now.since(last) <= self.flow.pace.patience())
    }

    /// Layers that flow or flowed; `None` when there is but one.
    pub fn layers(&self) -> Option<&LayerTable> {
        self.layers.as_deref()
    }

    /// Width and height of the highest layer that flows, pixels.
    pub fn size(&self) -> Option<(u16, u16)> {
        let layers = self
            .layers
            .as_ref()
            .map_or(LAYERS, |layers| usize::from(layers.top().spatial) + 1);
        let mut sizes = self.flow.sizes.iter().take(layers).rev();
        sizes.find(|size| size.0 > 0).copied()
    }

    /// Width and height of a spatial layer, pixels.
    pub fn size_of(&self, spatial: u8) -> Option<(u16, u16)> {
        let size = self.flow.sizes.get(usize::from(clamp(spatial))).copied();
        size.filter(|size| size.0 > 0)
    }

    /// Pictures per second over the last second.
    pub fn fps(&self, now: Time) -> u8 {
        per_second(self.flow.pictures, now)
    }

    /// What the publisher means to send.
    pub fn target(&self) -> Target {
        self.flow.target
    }

    /// All that is told of it.
    pub fn report(&self, now: Time) -> EncodingReport {
        let (width, height) = self.size().unwrap_or_default();
        let flow = &self.flow;
        EncodingReport {
            active: self.is_active(now),
            codec: self.codec.map(|codec| codec.codec),
            bitrate_bps: bps(flow.payload, now),
            total_bps: bps(flow.total, now),
            width,
            height,
            fps: self.fps(now),
            reordered: per_second(flow.reordered, now),
            target: flow.target,
            packets: flow.packets,
            bytes: flow.bytes,
            layers: self
                .layers
                .as_ref()
                .map(|layers| layers.report(now, flow.pace.patience(), &flow.sizes))
                .unwrap_or_default(),
        }
    }

    /// Whether something began, stopped or has another size since the last call.
    pub(super) fn poll_changed(&mut self, now: Time) -> bool {
        let patience = self.flow.pace.patience();
        let mut told = if self.is_active(now) { FLOWS } else { 0 };
        if let Some(layers) = &mut self.layers {
            layers.refresh(now, patience);
            told |= layers.flowing(now, patience);
        }
        let changed = std::mem::take(&mut self.flow.changed);
        std::mem::replace(&mut self.flow.told, told) != told || changed
    }
}

/// Pictures as they would be counted now.
fn per_second(pictures: Rate, now: Time) -> u8 {
    u8::try_from((bps(pictures, now) + 4) / 8).unwrap_or(u8::MAX)
}

/// A rate as it would be now.
fn bps(mut rate: Rate, now: Time) -> u64 {
    rate.advance(now);
    rate.bps()
}
