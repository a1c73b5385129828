//! Publishers: payloads of every codec, parsed as the receiving side parses them, in a ring.

use std::time::Duration;

use super::world::VIDEO_CODECS;
use crate::codec;
use crate::codec::dependency::Structure;
use crate::codec::h264::ParameterSets;
use crate::command::{Codec, CodecSpec, Kind, SlotSpec};
use crate::encoding::{ClockMap, EncodingKey, EncodingView};
use crate::ids::{Mid, Ssrc, TrackId};
use crate::meta::{Detail, PacketMeta};
use crate::receive::LayerTable;
use crate::ring::{AUDIO_PACKETS, Ring, VIDEO_PACKETS};
use crate::rtp::ext::Place;
use crate::send::SlotIndex;
use crate::time::Time;

/// Payload types of publishers are 100 + n; those of the viewer n.
pub fn spec(codec: Codec, rtx: bool) -> CodecSpec {
    let payload_type = match codec {
        Codec::Opus => 10,
        Codec::MultiOpus => 11,
        Codec::Vp8 => 20,
        Codec::Vp9 => 22,
        Codec::H264 => 24,
        Codec::Av1 => 26,
    };
    CodecSpec {
        payload_type,
        codec,
        rtx_payload_type: rtx.then_some(payload_type + 1),
        profile: if codec == Codec::H264 { 0x42_e01f } else { 0 },
        packetization_mode: u8::from(codec == Codec::H264),
    }
}

pub fn source_spec(codec: Codec) -> CodecSpec {
    let spec = spec(codec, false);
    CodecSpec {
        payload_type: spec.payload_type + 100,
        ..spec
    }
}

pub fn ssrc(slot: SlotIndex) -> Ssrc {
    Ssrc(0xa000_0000 + u32::from(slot) * 0x1111)
}

pub fn rtx_ssrc(slot: SlotIndex) -> Ssrc {
    Ssrc(ssrc(slot).0 + 0x777)
}

pub fn slot_spec(slot: SlotIndex, kind: Kind, rtx: bool) -> SlotSpec {
    let codecs: &[Codec] = match kind {
        Kind::Video => &VIDEO_CODECS,
        Kind::Audio => &[Codec::Opus],
    };
    SlotSpec {
        mid: Mid::new(slot.to_string().as_bytes()).unwrap(),
        kind,
        ssrc: ssrc(slot),
        rtx_ssrc: rtx_ssrc(slot),
        codecs: codecs.iter().map(|codec| spec(*codec, rtx)).collect(),
    }
}

/// A packet that a publisher made, stored or not.
#[derive(Clone, Debug)]
pub struct Made {
    pub meta: PacketMeta,
    pub packet: Vec<u8>,
}

/// One encoding with its publisher.
#[derive(Debug)]
pub struct Source {
    pub key: EncodingKey,
    pub track: TrackId,
    pub spec: CodecSpec,
    pub ring: Ring,
    pub start: Option<u64>,
    pub clock: Option<ClockMap>,
    pub rate_bps: u64,
    pub sets: ParameterSets,
    pub next_seq: u64,
    pub timestamp: u32,
    pub picture: u16,
    /// Bytes of a packet.
    pub size: usize,
    /// Temporal layer of the next picture, and whether it is one to begin with.
    pub temporal: (u8, bool),
    pub structure: Option<Box<Structure>>,
    pub layers: Option<LayerTable>,
}

impl Source {
    pub fn new(n: u32, codec: Codec) -> Self {
        let capacity = match codec.kind() {
            Kind::Audio => AUDIO_PACKETS,
            Kind::Video => VIDEO_PACKETS,
        };
        Self {
            key: EncodingKey {
                track: n,
                generation: 1,
                encoding: 0,
            },
            track: TrackId(u64::from(n)),
            spec: source_spec(codec),
            ring: Ring::new(capacity),
            start: None,
            clock: None,
            rate_bps: 1_000_000,
            sets: ParameterSets::default(),
            next_seq: 70_000 + u64::from(n) * 9_973,
            timestamp: n.wrapping_mul(0x9e37_79b9),
            picture: (n as u16).wrapping_mul(7_001),
            size: 300,
            temporal: (0, true),
            structure: None,
            layers: None,
        }
    }

    pub fn view(&self) -> EncodingView<'_> {
        EncodingView {
            ring: &self.ring,
            codec: self.spec,
            start: self.start.filter(|start| self.ring.get(*start).is_some()),
            clock: self.clock,
            rate_bps: self.rate_bps,
            parameter_sets: &self.sets,
            layers: self.layers.as_ref(),
            structure: self.structure.as_deref(),
        }
    }

    /// The next picture (or audio packet) in `count` packets. Nothing is stored.
    pub fn make(&mut self, now: Time, count: usize, key: bool) -> Vec<Made> {
        self.timestamp = self.timestamp.wrapping_add(if self.spec.codec.kind() == Kind::Video {
            3_000
        } else {
            960
        });
        self.picture = self.picture.wrapping_add(1) & 0x7fff;
        (0..count)
            .map(|i| self.packet(now, i == 0, i + 1 == count, key))
            .collect()
    }

    /// The next picture of a VP9 encoding in `spatial` layers, `count` packets each.
    pub fn make_svc(&mut self, now: Time, spatial: u8, count: usize, key: bool) -> Vec<Made> {
        self.timestamp = self.timestamp.wrapping_add(3_000);
        self.picture = self.picture.wrapping_add(1) & 0x7fff;
        let [high, low] = self.picture.to_be_bytes();
        let (temporal, sync) = self.temporal;
        let mut all = Vec::new();
        for layer in 0..spatial {
            for i in 0..count {
                let (first, last) = (i == 0, i + 1 == count);
                // I, P, L, B, E; 15-bit picture id; TID, U, SID, D; TL0PICIDX.
                let mut payload = vec![
                    0xa0 | u8::from(!key) << 6 | u8::from(first) << 3 | u8::from(last) << 2,
                    0x80 | high,
                    low,
                    temporal << 5 | u8::from(sync) << 4 | layer << 1 | u8::from(layer > 0),
                    low,
                ];
                payload.extend(self.next_seq.to_be_bytes());
                payload.resize(self.size, layer);
                all.push(self.packet_of(now, &payload, last && layer + 1 == spatial));
            }
        }
        all
    }

    pub fn packet(&mut self, now: Time, first: bool, last: bool, key: bool) -> Made {
        let payload = self.payload(first, last, key);
        self.packet_of(now, &payload, last && self.spec.codec.kind() == Kind::Video)
    }

    pub fn packet_of(&mut self, now: Time, payload: &[u8], marker: bool) -> Made {
        let parsed = codec::parse(self.spec.codec, payload, marker).unwrap();
        let mut packet = vec![0; 12];
        packet.extend_from_slice(payload);
        let meta = PacketMeta {
            seq: self.next_seq,
            arrival: now,
            timestamp: self.timestamp,
            payload_at: 12,
            payload_len: payload.len() as u16,
            marker,
            payload_type: self.spec.payload_type,
            audio_level: None,
            voice: false,
            frame_start: parsed.frame_start,
            frame_end: parsed.frame_end,
            start: parsed.start,
            key: parsed.key,
            layer: parsed.layer,
            switches: 0,
            dependency: Place::default(),
            capture_time: Place::default(),
            detail: parsed.detail,
        };
        self.next_seq += 1;
        Made { meta, packet }
    }

    fn payload(&self, first: bool, last: bool, key: bool) -> Vec<u8> {
        let [high, low] = self.picture.to_be_bytes();
        let mut payload = match self.spec.codec {
            Codec::Opus | Codec::MultiOpus => vec![0x78],
            // X, S; I, L, T; 15-bit picture id; TL0PICIDX; TID. Then the P bit, inverted.
            Codec::Vp8 => vec![
                0x80 | if first { 0x10 } else { 0 },
                0xe0,
                0x80 | high,
                low,
                low,
                self.temporal.0 << 6 | u8::from(self.temporal.1) << 5,
                u8::from(!key),
            ],
            // I, P, B, E; 15-bit picture id.
            Codec::Vp9 => vec![
                0x80 | if key { 0 } else { 0x40 } | if first { 0x08 } else { 0 } | if last { 0x04 } else { 0 },
                0x80 | high,
                low,
            ],
            // FU-A of an IDR or another slice.
            Codec::H264 => vec![
                0x7c,
                if first { 0x80 } else { 0 } | if last && !first { 0x40 } else { 0 } | if key { 5 } else { 1 },
                0x80,
            ],
            // N on the first packet of a key frame, one element.
            Codec::Av1 => vec![
                0x10 | if key && first { 0x08 } else { 0 } | if first { 0 } else { 0x80 },
                0x30,
            ],
        };
        let mut noise = self.next_seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(self.key.track);
        while payload.len() < self.size {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            payload.push((noise >> 56) as u8);
        }
        payload
    }

    /// The packet arrives.
    pub fn store(&mut self, made: &Made) -> bool {
        let stored = self.ring.store(made.meta, &made.packet);
        if stored && (self.layers.is_some() || !made.meta.layer.is_base()) {
            let layers = self.layers.get_or_insert_default();
            let meta = &made.meta;
            layers.packet(meta.arrival, &meta.layer, made.packet.len(), Duration::from_secs(5));
        }
        if stored && made.meta.start {
            self.start = self.start.max(Some(made.meta.seq));
        }
        if matches!(made.meta.detail, Detail::H264(_)) {
            self.sets.note(&made.packet[12..]);
        }
        stored
    }
}
