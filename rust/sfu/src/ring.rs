//! The last packets of one encoding: shared retransmission history and key-frame cache of every viewer.

use crate::layer::{LAYERS, LIMITS, Layer, Limit, clamp};
use crate::meta::{Detail, PacketMeta};

/// Largest RTP packet that is kept, bytes. Ethernet MTU less IPv4 and UDP headers is 1 472.
pub const MAX_PACKET: usize = 1472;
/// Packets kept of a video encoding: 1.7 s of 6 Mb/s.
pub const VIDEO_PACKETS: usize = 1024;
/// Packets kept of an audio encoding: 2.5 s of 20 ms packets.
pub const AUDIO_PACKETS: usize = 128;

/// What lies above each limit up to and with one packet, counted modulo 2¹⁶: only differences within the ring matter.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    packets: [u16; LIMITS],
    /// VP8 pictures, by temporal limit.
    pictures: [u16; LAYERS],
    /// Arrived before anything newer, so that it was counted.
    counted: bool,
    /// Its picture was counted with it.
    began: bool,
}

/// The same, since the ring exists.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    packets: [u64; LIMITS],
    pictures: [u64; LAYERS],
}

impl Totals {
    fn low(&self) -> Counts {
        Counts {
            packets: self.packets.map(|count| count as u16),
            pictures: self.pictures.map(|count| count as u16),
            counted: false,
            began: false,
        }
    }
}

/// Which limits a layer is above.
const ABOVE: [[u64; LIMITS]; LIMITS] = {
    let mut above = [[0; LIMITS]; LIMITS];
    let mut layer = 0;
    while layer < LIMITS {
        let mut limit = 0;
        while limit < LIMITS {
            if layer / LAYERS > limit / LAYERS || layer % LAYERS > limit % LAYERS {
                above[layer][limit] = 1;
            }
            limit += 1;
        }
        layer += 1;
    }
    above
};

/// Packets by extended sequence number. All memory is taken at construction.
#[derive(Debug)]
pub struct Ring {
    metas: Box<[Option<PacketMeta>]>,
    lens: Box<[u16]>,
    bytes: Box<[u8]>,
    newest: Option<u64>,
    /// By the same place as `metas`; empty until a packet above the lowest layer comes.
    counts: Box<[Counts]>,
    totals: Totals,
    last_picture: Option<u16>,
}

/// A packet in a ring.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Parsed once at arrival.
    pub meta: &'a PacketMeta,
    /// The whole decrypted RTP packet; the payload is at `meta.payload_at`.
    pub packet: &'a [u8],
}

impl Stored<'_> {
    /// The payload without padding. Empty when the offsets do not fit, which a stored packet never has.
    pub fn payload(&self) -> &[u8] {
        let at = usize::from(self.meta.payload_at);
        let end = at + usize::from(self.meta.payload_len);
        self.packet.get(at..end).unwrap_or_default()
    }
}

impl Ring {
    /// `capacity` packets, rounded up to a power of two.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.next_power_of_two();
        Self {
            metas: vec![None; capacity].into_boxed_slice(),
            lens: vec![0; capacity].into_boxed_slice(),
            bytes: vec![0; capacity * MAX_PACKET].into_boxed_slice(),
            newest: None,
            counts: Box::default(),
            totals: Totals::default(),
            last_picture: None,
        }
    }

    /// How many packets fit.
    pub fn capacity(&self) -> usize {
        self.metas.len()
    }

    /// Highest sequence number stored so far.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Lowest sequence number that could still be stored.
    pub fn oldest_possible(&self) -> u64 {
        self.newest
            .map_or(0, |newest| (newest + 1).saturating_sub(self.capacity() as u64))
    }

    /// Keep a packet. `false` when it is too large, too old or there already; then nothing changes.
    pub fn store(&mut self, meta: PacketMeta, packet: &[u8]) -> bool {
        if packet.len() > MAX_PACKET || meta.seq < self.oldest_possible() || self.get(meta.seq).is_some() {
            return false;
        }
        let index = self.index(meta.seq);
        let at = index * MAX_PACKET;
        let (Some(slot), Some(len), Some(bytes)) = (
            self.metas.get_mut(index),
            self.lens.get_mut(index),
            self.bytes.get_mut(at..at + packet.len()),
        ) else {
            return false;
        };
        bytes.copy_from_slice(packet);
        *len = packet.len() as u16;
        *slot = Some(meta);
        if self.newest.is_none_or(|newest| meta.seq > newest) {
            if !(self.counts.is_empty() && meta.layer.is_base()) {
                self.count(&meta);
            }
            self.newest = Some(meta.seq);
        }
        true
    }

    /// The packet of exactly this sequence number, while it is there.
    pub fn get(&self, seq: u64) -> Option<Stored<'_>> {
        let index = self.index(seq);
        let meta = self.metas.get(index)?.as_ref().filter(|meta| meta.seq == seq)?;
        let at = index * MAX_PACKET;
        let len = usize::from(*self.lens.get(index)?);
        Some(Stored {
            meta,
            packet: self.bytes.get(at..at + len)?,
        })
    }

    /// Counts a packet that is newer than all. Those that are missing in front of it get what was counted before, which is what they
    /// count if they come late: numbers that were given away once stay.
    fn count(&mut self, meta: &PacketMeta) {
        if self.counts.is_empty() {
            self.counts = vec![Counts::default(); self.capacity()].into_boxed_slice();
        }
        let before = self.totals.low();
        let oldest = (meta.seq + 1).saturating_sub(self.capacity() as u64);
        let first = self.newest.map_or(oldest, |newest| oldest.max(newest + 1));
        for seq in first..meta.seq {
            let index = self.index(seq);
            if let Some(counts) = self.counts.get_mut(index) {
                *counts = before;
            }
        }
        let layer = usize::from(clamp(meta.layer.spatial)) * LAYERS + usize::from(clamp(meta.layer.temporal));
        let above = ABOVE.get(layer).unwrap_or(&[0; LIMITS]);
        for (total, above) in self.totals.packets.iter_mut().zip(above) {
            *total += above;
        }
        let mut began = false;
        if let Detail::Vp8(vp8) = meta.detail
            && vp8.picture_id.is_some()
            && vp8.picture_id != self.last_picture
        {
            self.last_picture = vp8.picture_id;
            began = true;
            for (total, limit) in self.totals.pictures.iter_mut().zip(0..) {
                *total += u64::from(clamp(meta.layer.temporal) > limit);
            }
        }
        let index = self.index(meta.seq);
        if let Some(counts) = self.counts.get_mut(index) {
            *counts = Counts {
                counted: true,
                began,
                ..self.totals.low()
            };
        }
    }

    fn counts(&self, seq: u64) -> Option<&Counts> {
        self.counts.get(self.index(seq))
    }

    /// Packets above `limit` up to and with `seq`, among those that came in order, since the ring exists. Of a number that is in the
    /// ring or could be.
    pub fn above(&self, seq: u64, limit: &Limit) -> u64 {
        let at = limit.index();
        let total = self.totals.packets.get(at).copied().unwrap_or(0);
        let Some(count) = self.counts(seq).and_then(|counts| counts.packets.get(at)) else {
            return 0;
        };
        total - u64::from((total as u16).wrapping_sub(*count))
    }

    /// VP8 pictures with an id above `limit` up to and with `seq`, likewise.
    pub fn pictures_above(&self, seq: u64, limit: &Limit) -> u64 {
        let at = usize::from(clamp(limit.temporal));
        let total = self.totals.pictures.get(at).copied().unwrap_or(0);
        let Some(count) = self.counts(seq).and_then(|counts| counts.pictures.get(at)) else {
            return 0;
        };
        total - u64::from((total as u16).wrapping_sub(*count))
    }

    /// The two counts in front of the packet `seq` of this layer.
    pub fn above_before(&self, seq: u64, layer: &Layer, limit: &Limit) -> (u64, u64) {
        let Some(counts) = self.counts(seq) else { return (0, 0) };
        let packet = counts.counted && limit.excludes(layer);
        let picture = counts.began && clamp(layer.temporal) > clamp(limit.temporal);
        (
            self.above(seq, limit) - u64::from(packet),
            self.pictures_above(seq, limit) - u64::from(picture),
        )
    }

    /// Did the packet come in order? One that did and lies above a limit has no number there.
    pub fn is_counted(&self, seq: u64) -> bool {
        self.counts(seq).is_some_and(|counts| counts.counted)
    }

    /// Bytes of memory besides the ring itself.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.metas) + size_of_val(&*self.lens) + self.bytes.len() + size_of_val(&*self.counts)
    }

    /// Forget everything, as when the publisher restarts its sequence numbers.
    pub fn clear(&mut self) {
        self.metas.fill(None);
        self.newest = None;
    }

    fn index(&self, seq: u64) -> usize {
        // The capacity is a power of two.
        (seq as usize) & (self.metas.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::{Av1, Vp8};
    use crate::rtp::ext::Place;
    use crate::time::Time;

    fn meta(seq: u64) -> PacketMeta {
        PacketMeta {
            seq,
            arrival: Time::ZERO,
            timestamp: 0,
            payload_at: 12,
            payload_len: 1,
            marker: false,
            payload_type: 96,
            audio_level: None,
            voice: false,
            frame_start: true,
            frame_end: true,
            start: false,
            key: false,
            layer: Layer::default(),
            switches: 0,
            dependency: Place::default(),
            capture_time: Place::default(),
            detail: Detail::Av1(Av1::default()),
        }
    }

    #[test]
    fn a_packet_is_found_by_its_own_number_only() {
        let mut ring = Ring::new(4);
        assert!(ring.store(meta(70_000), &[7; 13]));
        assert_eq!(ring.get(70_000).map(|stored| stored.payload().to_vec()), Some(vec![7]));
        assert!(ring.get(70_004).is_none());
    }

    #[test]
    fn a_newer_packet_takes_the_place_and_an_older_one_does_not() {
        let mut ring = Ring::new(4);
        assert!(ring.store(meta(70_000), &[0; 13]));
        assert!(ring.store(meta(70_004), &[1; 13]));
        assert!(ring.get(70_000).is_none());
        assert!(!ring.store(meta(70_000), &[2; 13]));
        assert!(!ring.store(meta(70_004), &[2; 13]), "the same packet again");
    }

    #[test]
    fn a_packet_that_is_too_large_is_refused() {
        let mut ring = Ring::new(4);
        assert!(!ring.store(meta(70_000), &[0; MAX_PACKET + 1]));
        assert_eq!(ring.newest(), None);
    }

    fn temporal(seq: u64, picture: u16, temporal: u8) -> PacketMeta {
        PacketMeta {
            layer: Layer {
                temporal,
                ..Layer::default()
            },
            detail: Detail::Vp8(Vp8 {
                picture_id: Some(picture),
                ..Vp8::default()
            }),
            ..meta(seq)
        }
    }

    const LOWEST: Limit = Limit {
        spatial: 255,
        temporal: 0,
    };

    #[test]
    fn packets_and_pictures_above_a_limit_are_counted() {
        let mut ring = Ring::new(64);
        for (seq, picture, layer) in [(0, 1, 0), (1, 2, 1), (2, 2, 1), (3, 3, 0), (4, 4, 2)] {
            assert!(ring.store(temporal(70_000 + seq, picture, layer), &[0; 13]));
        }
        let above = |seq: u64| {
            (
                ring.above(70_000 + seq, &LOWEST),
                ring.pictures_above(70_000 + seq, &LOWEST),
            )
        };
        assert_eq!([0, 1, 2, 3, 4].map(above), [(0, 0), (1, 1), (2, 1), (2, 1), (3, 2)]);
        assert_eq!(
            ring.above(
                70_004,
                &Limit {
                    spatial: 0,
                    temporal: 1
                }
            ),
            1
        );
        assert_eq!(ring.above(70_004, &Limit::ALL), 0);
    }

    #[test]
    fn a_late_packet_counts_what_its_predecessor_counted() {
        let mut ring = Ring::new(64);
        for (seq, picture, layer) in [(0, 1, 1), (4, 4, 1), (2, 3, 0), (1, 2, 1)] {
            assert!(ring.store(temporal(70_000 + seq, picture, layer), &[0; 13]));
        }
        let above = |seq: u64| ring.above(70_000 + seq, &LOWEST);
        assert_eq!([0, 1, 2, 4].map(above), [1, 1, 1, 2]);
        assert!(ring.is_counted(70_000) && !ring.is_counted(70_001));
    }

    #[test]
    fn counts_go_on_past_65536_and_over_a_restart() {
        let mut ring = Ring::new(64);
        for seq in 0..70_000 {
            assert!(ring.store(temporal(70_000 + seq, 0, 1), &[0; 13]));
        }
        assert_eq!(ring.above(139_999, &LOWEST), 70_000);
        assert_eq!(ring.above(139_990, &LOWEST), 69_991);
        ring.clear();
        assert!(ring.store(temporal(200_000, 0, 0), &[0; 13]));
        assert!(ring.store(temporal(199_999, 0, 0), &[0; 13]), "late");
        assert_eq!([199_999, 200_000].map(|seq| ring.above(seq, &LOWEST)), [70_000; 2]);
    }
}
