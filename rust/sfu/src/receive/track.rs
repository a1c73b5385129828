//! The tracks that live in a shard: what viewers draw from, and who draws.

use std::collections::HashMap;

use crate::codec::h264::ParameterSets;
use crate::codec::{self, Sizes};
use crate::command::{CodecSpec, EncodingSpec, Kind, ReceiveSpec};
use crate::encoding::{ClockMap, EncodingKey, EncodingView, Encodings};
use crate::ids::{TrackId, TransportId};
use crate::layer::clamp;
use crate::meta::{Detail, PacketMeta};
use crate::reason::DropReason;
use crate::receive::layers::{LayerTable, Pace};
use crate::receive::rate::Rate;
use crate::report::{EncodingReport, TrackLayers};
use crate::ring::{AUDIO_PACKETS, MAX_PACKET, Ring, VIDEO_PACKETS};
use crate::time::Time;

/// Most packets in front of an IDR that are looked at for its parameter sets.
const MAX_PARAMETER_PACKETS: u64 = 8;

/// Names a live track of this shard. Stale keys find nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TrackKey {
    /// Place in the shard's table of tracks.
    pub track: u32,
    /// Distinguishes tracks that take the same place one after the other.
    pub generation: u32,
}

impl TrackKey {
    /// One of its encodings, lowest first.
    pub fn encoding(self, encoding: u8) -> EncodingKey {
        EncodingKey {
            track: self.track,
            generation: self.generation,
            encoding,
        }
    }
}

impl From<EncodingKey> for TrackKey {
    fn from(key: EncodingKey) -> Self {
        Self {
            track: key.track,
            generation: key.generation,
        }
    }
}

/// A slot that wants the packets of an encoding. A slot may appear twice: for what it shows and for what it stages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Subscriber {
    /// The shard's index of the viewer's transport.
    pub transport: u32,
    /// The slot of that transport.
    pub slot: u16,
    /// The encoding of the track that it wants packets of.
    pub encoding: u8,
}

/// A published track.
#[derive(Debug)]
pub struct Track {
    /// The id of the control plane.
    pub id: TrackId,
    /// Audio or video.
    pub kind: Kind,
    /// The publisher.
    pub owner: TransportId,
    /// What the publisher may send.
    pub codecs: Vec<CodecSpec>,
    /// Who wants packets, in ascending order and without repetition.
    pub subscribers: Vec<Subscriber>,
    /// Whether a packet of it was ever kept.
    pub started: bool,
    encodings: Vec<Encoding>,
}

impl Track {
    fn new(owner: TransportId, spec: &ReceiveSpec) -> Self {
        Self {
            id: spec.track,
            kind: spec.kind,
            owner,
            codecs: spec.codecs.clone(),
            subscribers: Vec::new(),
            started: false,
            encodings: spec.encodings.iter().map(|&spec| Encoding::new(spec)).collect(),
        }
    }

    /// Its encodings, lowest first.
    pub fn encodings(&self) -> &[Encoding] {
        &self.encodings
    }

    /// One encoding.
    pub fn encoding(&self, encoding: u8) -> Option<&Encoding> {
        self.encodings.get(usize::from(encoding))
    }

    pub(super) fn encoding_mut(&mut self, encoding: u8) -> Option<&mut Encoding> {
        self.encodings.get_mut(usize::from(encoding))
    }

    /// Has an encoding or layer begun, or another size? Cheap enough for every packet; what stopped only [`Self::poll_layers_changed`] sees.
    pub fn has_layers_changed(&self) -> bool {
        self.encodings.iter().any(|encoding| encoding.flow.changed)
    }

    /// Has an encoding or layer begun, stopped or another size, since the last call?
    pub fn poll_layers_changed(&mut self, now: Time) -> bool {
        self.encodings
            .iter_mut()
            .fold(false, |changed, encoding| encoding.poll_changed(now) | changed)
    }

    /// Its encodings as they flow now.
    pub fn report(&self, now: Time) -> TrackLayers {
        TrackLayers {
            track: self.id,
            encodings: self.encodings.iter().map(|encoding| encoding.report(now)).collect(),
        }
    }

    /// The slots that want packets of `encoding`, in ascending order of transport.
    pub fn subscribers_of(&self, encoding: u8) -> impl Iterator<Item = Subscriber> + '_ {
        self.subscribers
            .iter()
            .copied()
            .filter(move |subscriber| subscriber.encoding == encoding)
    }
}

/// Packets of a frame that a decoder can start at.
#[derive(Clone, Copy, Debug)]
struct KeyFrame {
    timestamp: u32,
    start: u64,
}

/// One encoding of a track: its last packets and what is known of it. Empty until its first packet.
#[derive(Debug)]
pub struct Encoding {
    /// What SDP says of it.
    pub spec: EncodingSpec,
    ring: Option<Ring>,
    codec: Option<CodecSpec>,
    key_frame: Option<KeyFrame>,
    clock: Option<ClockMap>,
    rate: Rate,
    parameter_sets: ParameterSets,
    layers: Option<Box<LayerTable>>,
    flow: Flow,
}

/// What is told of an encoding.
#[derive(Debug, Default)]
struct Flow {
    payload: Rate,
    total: Rate,
    pictures: Rate,
    pace: Pace,
    last: Option<Time>,
    /// Timestamp of the newest picture.
    picture: Option<u32>,
    sizes: Sizes,
    target_bps: u64,
    packets: u64,
    bytes: u64,
    /// What of it flowed when that was told last.
    told: u32,
    /// Something began, or has another size.
    changed: bool,
}

impl Flow {
    /// Account for a packet that is kept.
    fn packet(&mut self, layers: &mut Option<Box<LayerTable>>, meta: &PacketMeta, packet: &[u8]) {
        let now = meta.arrival;
        let patience = self.pace.patience();
        self.changed |= self.last.is_none_or(|last| now.since(last) > patience);
        self.last = Some(now);
        self.packets += 1;
        self.bytes += u64::from(meta.payload_len);
        self.payload.add(now, usize::from(meta.payload_len));
        if self
            .picture
            .is_none_or(|picture| (meta.timestamp.wrapping_sub(picture) as i32) > 0)
        {
            self.picture = Some(meta.timestamp);
            self.pictures.add(now, 1);
            self.pace.picture(now);
        }
        if layers.is_some() || !meta.layer.is_base() {
            let layers = layers.get_or_insert_default();
            self.changed |= layers.packet(now, &meta.layer, packet.len(), patience);
        }
        if meta.start {
            let at = usize::from(meta.payload_at);
            let payload = packet.get(at..at + usize::from(meta.payload_len));
            if let Some(sizes) = codec::sizes(&meta.detail, payload.unwrap_or_default()) {
                self.changed |= self.sizes != sizes;
                self.sizes = sizes;
            }
        }
    }
}

/// Set in what is told when the encoding flows at all; the bits below are its layers.
const FLOWS: u32 = 1 << 31;

impl Encoding {
    fn new(spec: EncodingSpec) -> Self {
        Self {
            spec,
            ring: None,
            codec: None,
            key_frame: None,
            clock: None,
            rate: Rate::default(),
            parameter_sets: ParameterSets::default(),
            layers: None,
            flow: Flow::default(),
        }
    }

    /// What a slot may know, after the first packet. Inlined, so that whoever seals a packet pays for the fields that sealing reads.
    #[inline]
    pub fn view(&self) -> Option<EncodingView<'_>> {
        let ring = self.ring.as_ref()?;
        Some(EncodingView {
            ring,
            codec: self.codec?,
            start: self
                .key_frame
                .map(|key_frame| key_frame.start)
                .filter(|&start| ring.get(start).is_some()),
            clock: self.clock,
            rate_bps: self.rate.bps(),
            parameter_sets: &self.parameter_sets,
            layers: self.layers.as_deref(),
        })
    }

    /// Keep a packet. `Ok(true)`: a decoder can start at it, and no newer key frame is known.
    pub(super) fn store(&mut self, codec: CodecSpec, mut meta: PacketMeta, packet: &[u8]) -> Result<bool, DropReason> {
        if packet.len() > MAX_PACKET {
            return Err(DropReason::TooLarge);
        }
        let ring = self
            .ring
            .get_or_insert_with(|| Ring::new(ring_capacity(codec.codec.kind())));
        // A second IDR slice looks like a start; with the first one known it is the middle of the picture.
        let inside = self
            .key_frame
            .is_some_and(|key_frame| key_frame.timestamp == meta.timestamp && key_frame.start < meta.seq);
        if inside && codec.codec.kind() == Kind::Video {
            meta.start = false;
        }
        if meta.seq < ring.oldest_possible() {
            return Err(DropReason::TooOld);
        }
        if !ring.store(meta, packet) {
            return Err(DropReason::Duplicate);
        }
        if ring.newest() == Some(meta.seq) {
            self.codec = Some(codec);
        }
        self.rate.add(meta.arrival, packet.len());
        self.flow.packet(&mut self.layers, &meta, packet);
        if let Detail::H264(h264) = meta.detail
            && (h264.has_sps || h264.has_pps)
        {
            let at = usize::from(meta.payload_at);
            let payload = packet.get(at..at + usize::from(meta.payload_len));
            self.parameter_sets.note(payload.unwrap_or_default());
        }
        if !meta.start {
            return Ok(false);
        }
        let start = first_of_key_frame(ring, &meta);
        match &mut self.key_frame {
            Some(key_frame) if key_frame.timestamp == meta.timestamp => key_frame.start = key_frame.start.min(start),
            Some(key_frame) if key_frame.start > start => return Ok(false),
            key_frame => {
                *key_frame = Some(KeyFrame {
                    timestamp: meta.timestamp,
                    start,
                });
            }
        }
        Ok(true)
    }

    /// A packet came over the wire, needed or not.
    pub(super) fn heard(&mut self, now: Time, bytes: usize) {
        self.flow.total.add(now, bytes);
    }

    /// What the publisher means to send, bits per second.
    pub(super) fn set_target(&mut self, bps: u64) {
        self.flow.target_bps = bps;
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

    /// Width and height of its highest layer, pixels.
    pub fn size(&self) -> Option<(u16, u16)> {
        self.flow.sizes.iter().rev().find(|size| size.0 > 0).copied()
    }

    /// Width and height of a spatial layer, pixels.
    pub fn size_of(&self, spatial: u8) -> Option<(u16, u16)> {
        let size = self.flow.sizes.get(usize::from(clamp(spatial))).copied();
        size.filter(|size| size.0 > 0)
    }

    /// Pictures per second over the last second.
    pub fn fps(&self, now: Time) -> u8 {
        u8::try_from((bps(self.flow.pictures, now) + 4) / 8).unwrap_or(u8::MAX)
    }

    /// What the publisher means to send (video-layers-allocation), bits per second; 0: not told.
    pub fn target_bps(&self) -> u64 {
        self.flow.target_bps
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
            target_bps: flow.target_bps,
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
    fn poll_changed(&mut self, now: Time) -> bool {
        let patience = self.flow.pace.patience();
        let mut told = if self.is_active(now) { FLOWS } else { 0 };
        if let Some(layers) = &mut self.layers {
            layers.refresh(now, patience);
            told |= layers.flowing(now, patience);
        }
        let changed = std::mem::take(&mut self.flow.changed);
        std::mem::replace(&mut self.flow.told, told) != told || changed
    }

    /// The publisher began its sequence numbers anew. What was kept belongs to pictures that nothing will refer to.
    pub(super) fn restart(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.clear();
        }
        self.key_frame = None;
        self.clock = None;
        self.flow.picture = None;
    }

    pub(super) fn set_clock(&mut self, clock: Option<ClockMap>) {
        self.clock = clock;
    }

    /// Let silence count: without it the rate of an encoding that stopped would stand for ever.
    pub(super) fn advance_rate(&mut self, now: Time) {
        self.rate.advance(now);
    }

    pub(super) fn rate_bps(&self) -> u64 {
        self.rate.bps()
    }
}

/// A rate as it would be now.
fn bps(mut rate: Rate, now: Time) -> u64 {
    rate.advance(now);
    rate.bps()
}

/// Packets kept for one encoding of the kind.
pub(super) fn ring_capacity(kind: Kind) -> usize {
    match kind {
        Kind::Audio => AUDIO_PACKETS,
        Kind::Video => VIDEO_PACKETS,
    }
}

/// H264 parameter sets may come in packets of their own in front of the IDR, with its timestamp (RFC 6184 §8.2.2); then the key
/// frame starts at the first of them.
fn first_of_key_frame(ring: &Ring, meta: &PacketMeta) -> u64 {
    let mut start = meta.seq;
    while meta.seq - start < MAX_PARAMETER_PACKETS
        && let Some(before) = ring.get(start.saturating_sub(1))
        && before.meta.timestamp == meta.timestamp
        && let Detail::H264(h264) = before.meta.detail
        && (h264.has_sps || h264.has_pps)
    {
        start = before.meta.seq;
    }
    start
}

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    track: Option<Track>,
}

/// The tracks of a shard.
#[derive(Debug, Default)]
pub struct Tracks {
    places: Vec<Place>,
    free: Vec<u32>,
    by_id: HashMap<TrackId, TrackKey>,
}

impl Tracks {
    /// Add a track. Ids are never reused, so an id that is there already keeps its old place until that is removed.
    pub fn insert(&mut self, owner: TransportId, spec: &ReceiveSpec) -> TrackKey {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        let mut generation = 0;
        if let Some(place) = self.places.get_mut(index as usize) {
            place.track = Some(Track::new(owner, spec));
            generation = place.generation;
        }
        let key = TrackKey {
            track: index,
            generation,
        };
        self.by_id.insert(spec.track, key);
        key
    }

    /// Take a track out. Its key finds nothing from now on.
    pub fn remove(&mut self, key: TrackKey) -> Option<Track> {
        let place = self
            .places
            .get_mut(key.track as usize)
            .filter(|place| place.generation == key.generation)?;
        let track = place.track.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.track);
        if self.by_id.get(&track.id) == Some(&key) {
            self.by_id.remove(&track.id);
        }
        Some(track)
    }

    /// A live track.
    #[inline]
    pub fn get(&self, key: TrackKey) -> Option<&Track> {
        let place = self.places.get(key.track as usize)?;
        place.track.as_ref().filter(|_| place.generation == key.generation)
    }

    /// A live track, to change.
    pub fn get_mut(&mut self, key: TrackKey) -> Option<&mut Track> {
        let place = self.places.get_mut(key.track as usize)?;
        let same = place.generation == key.generation;
        place.track.as_mut().filter(|_| same)
    }

    /// The track that the control plane calls `id`.
    pub fn by_id(&self, id: TrackId) -> Option<TrackKey> {
        self.by_id.get(&id).copied()
    }

    /// How many are live.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// None live?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Want packets of `key`; `subscriber.encoding` follows the key. Idempotent; nothing happens for a stale key.
    pub fn subscribe(&mut self, key: EncodingKey, subscriber: Subscriber) {
        let subscriber = Subscriber {
            encoding: key.encoding,
            ..subscriber
        };
        if let Some(track) = self.get_mut(key.into())
            && let Err(at) = track.subscribers.binary_search(&subscriber)
        {
            track.subscribers.insert(at, subscriber);
        }
    }

    /// Want them no more. Idempotent.
    pub fn unsubscribe(&mut self, key: EncodingKey, subscriber: Subscriber) {
        let subscriber = Subscriber {
            encoding: key.encoding,
            ..subscriber
        };
        if let Some(track) = self.get_mut(key.into())
            && let Ok(at) = track.subscribers.binary_search(&subscriber)
        {
            track.subscribers.remove(at);
        }
    }

    pub(super) fn encoding_mut(&mut self, key: EncodingKey) -> Option<&mut Encoding> {
        self.get_mut(key.into())?.encoding_mut(key.encoding)
    }
}

impl Encodings for Tracks {
    #[inline]
    fn encoding(&self, key: EncodingKey) -> Option<EncodingView<'_>> {
        self.get(key.into())?.encoding(key.encoding)?.view()
    }
}
