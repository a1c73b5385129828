//! The tracks that live in a shard: what viewers draw from, and who draws.

use std::collections::HashMap;

use crate::codec::dependency::Structure;
use crate::codec::h264::ParameterSets;
use crate::command::{CodecSpec, EncodingSpec, Kind, ReceiveSpec};
use crate::encoding::{ClockMap, EncodingKey, EncodingView, Encodings};
use crate::ids::{TrackId, TransportId};
use crate::meta::{Detail, PacketMeta};
use crate::reason::DropReason;
use crate::receive::allocation::Allocation;
use crate::receive::flow::Flow;
use crate::receive::layers::LayerTable;
use crate::receive::rate::Rate;
use crate::report::TrackLayers;
use crate::ring::{AUDIO_PACKETS, MAX_PACKET, Ring, VIDEO_PACKETS};
use crate::time::Time;
use crate::voices::Seat;

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

/// The place of a track among the voices of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The voices, as the shard numbers them.
    pub group: u32,
    /// Its place there.
    pub seat: Seat,
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
    /// Whether it is a candidate for slots that whoever speaks is played in.
    pub voice: Option<Membership>,
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
            voice: None,
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

    /// What the publisher told in a packet of `encoding`. Its numbers are those of its own order; where that is the other way round than ours,
    /// the encoding that carried it tells.
    pub(super) fn set_targets(&mut self, encoding: u8, told: &Allocation) {
        let count = self.encodings.len();
        if usize::from(told.streams) > count {
            return;
        }
        let last = (count - 1).min(usize::from(u8::MAX)) as u8;
        let reversed = told.own != encoding && last.checked_sub(told.own) == Some(encoding);
        if told.own != encoding && !reversed && told.streams > 0 {
            return;
        }
        for (index, encoding) in self.encodings.iter_mut().enumerate() {
            let place = if reversed { count - 1 - index } else { index };
            encoding.flow.target = told.targets.get(place).copied().unwrap_or_default();
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
    pub(super) codec: Option<CodecSpec>,
    key_frame: Option<KeyFrame>,
    clock: Option<ClockMap>,
    rate: Rate,
    parameter_sets: ParameterSets,
    pub(super) layers: Option<Box<LayerTable>>,
    pub(super) structure: Option<Box<Structure>>,
    pub(super) flow: Flow,
}

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
            structure: None,
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
            structure: self.structure.as_deref(),
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
        let is_newest = ring.newest() == Some(meta.seq);
        if is_newest {
            self.codec = Some(codec);
        }
        self.flow.packet(&mut self.layers, &self.rate, &meta, packet, is_newest);
        self.rate.add(meta.arrival, packet.len());
        if meta.start
            && let Some(structure) = &self.structure
        {
            self.flow.set_sizes(structure.sizes());
        }
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

    /// The publisher began its sequence numbers anew. What was kept belongs to pictures that nothing will refer to.
    pub(super) fn restart(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.clear();
        }
        self.key_frame = None;
        self.clock = None;
        self.structure = None;
        self.flow.restart();
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

    /// Take out all tracks of a transport that was never opened.
    pub(crate) fn remove_of(&mut self, owner: TransportId) {
        let keys: Vec<_> = self.by_id.values().copied().collect();
        for key in keys {
            if self.get(key).is_some_and(|track| track.owner == owner) {
                self.remove(key);
            }
        }
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
