//! The last packets of one encoding: shared retransmission history and key-frame cache of every viewer.

use crate::meta::PacketMeta;

/// Largest RTP packet that is kept, bytes. Ethernet MTU less IPv4 and UDP headers is 1 472.
pub const MAX_PACKET: usize = 1472;
/// Packets kept of a video encoding: 1.7 s of 6 Mb/s.
pub const VIDEO_PACKETS: usize = 1024;
/// Packets kept of an audio encoding: 2.5 s of 20 ms packets.
pub const AUDIO_PACKETS: usize = 128;

/// Packets by extended sequence number. All memory is taken at construction.
#[derive(Debug)]
pub struct Ring {
    metas: Box<[Option<PacketMeta>]>,
    lens: Box<[u16]>,
    bytes: Box<[u8]>,
    newest: Option<u64>,
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
        self.newest = Some(self.newest.map_or(meta.seq, |newest| newest.max(meta.seq)));
        *slot = Some(meta);
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
    use crate::meta::{Av1, Detail};
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
}
