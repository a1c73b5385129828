//! The time during which a slot shows one encoding up to one limit, as constant offsets.

use crate::codec::Offsets;
use crate::codec::dependency::Shift;
use crate::command::Codec;
use crate::encoding::EncodingKey;
use crate::layer::Limit;
use crate::meta::{Detail, PacketMeta};
use crate::ring::Ring;

/// How numbers of one encoding become numbers of the slot, from one switch to the next.
///
/// What lies above the limit leaves no holes: the ring knows how many such packets there were in front of each packet, the same for every
/// viewer, and that difference is taken off. So a packet gets the same number whenever it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    /// Counts the switches of the slot, modulo 256. History entries and descriptors name their epoch by it.
    pub tag: u8,
    /// The encoding that is shown.
    pub key: EncodingKey,
    /// Its codec.
    pub codec: Codec,
    /// The publisher's payload type. Another one in the same encoding is another epoch.
    pub source_payload_type: u8,
    /// The viewer's payload type.
    pub payload_type: u8,
    /// The viewer's payload type of retransmissions; `None`: there are none.
    pub rtx_payload_type: Option<u8>,
    /// Sequence number, as received, of the first packet.
    pub first_in: u64,
    /// Sequence number of the same packet as sent. An injected packet of parameter sets has the number before.
    pub first_out: u64,
    /// Timestamp, as received, of the first packet.
    pub first_timestamp: u32,
    /// What to add to timestamps.
    pub timestamp_offset: u32,
    /// By how much that is ahead of where another encoding of the track would be, because timestamps must not go back.
    pub timestamp_debt: u32,
    /// What to add to picture ids and the like.
    pub offsets: Offsets,
    /// What to add to the numbers of dependency descriptors.
    pub shift: Shift,
    /// What is forwarded.
    pub limit: Limit,
    /// Packets above the limit in front of the first, as the ring counts them.
    pub packets_before: u64,
    /// VP8 pictures, likewise.
    pub pictures_before: u64,
    /// Highest number, as received, that it has seen.
    pub newest_in: u64,
    /// Only the limit is another one than that of the epoch before: late packets from before the first one go by that.
    pub continues: bool,
}

impl Epoch {
    /// The epoch that follows with another limit from the picture of `first` on. All numbers go on.
    pub fn limited(&self, tag: u8, ring: &Ring, first: &PacketMeta, limit: Limit) -> Self {
        let (packets, pictures) = ring.above_before(first.seq, &first.layer, &self.limit);
        let (packets_before, pictures_before) = ring.above_before(first.seq, &first.layer, &limit);
        Self {
            tag,
            first_in: first.seq,
            first_out: (first.seq - self.first_in + self.first_out)
                .saturating_sub(packets.saturating_sub(self.packets_before)),
            first_timestamp: first.timestamp,
            offsets: self
                .offsets
                .without_pictures(pictures.saturating_sub(self.pictures_before)),
            limit,
            packets_before,
            pictures_before,
            newest_in: first.seq,
            continues: true,
            ..*self
        }
    }

    /// The number behind all that was received, and the epoch that goes on behind it, where that number is used up by padding. What is still
    /// missing in front of it keeps the numbers that it has.
    pub fn after_padding(&self, ring: &Ring) -> Option<(u64, Self)> {
        let newest = self.newest_in;
        let (packets, pictures) = if self.limit.is_all() {
            (self.packets_before, self.pictures_before)
        } else {
            (
                ring.above(newest, &self.limit),
                ring.pictures_above(newest, &self.limit),
            )
        };
        let number = (newest + 1).checked_sub(self.first_in)? + self.first_out;
        let number = number.checked_sub(packets.checked_sub(self.packets_before)?)?;
        let next = Self {
            first_in: newest + 1,
            first_out: number + 1,
            offsets: self
                .offsets
                .without_pictures(pictures.checked_sub(self.pictures_before)?),
            packets_before: packets,
            pictures_before: pictures,
            continues: true,
            ..*self
        };
        Some((number, next))
    }

    /// The number under which a packet leaves; `None` for one from before the switch.
    pub fn out_seq(&self, ring: &Ring, in_seq: u64) -> Option<u64> {
        let out_seq = in_seq.checked_sub(self.first_in)? + self.first_out;
        if self.limit.is_all() {
            return Some(out_seq);
        }
        let above = ring.above(in_seq, &self.limit).checked_sub(self.packets_before)?;
        out_seq.checked_sub(above)
    }

    /// What was received of which these are the low bits.
    pub fn in_seq(&self, in_low: u16) -> Option<u64> {
        let back = (self.newest_in as u16).wrapping_sub(in_low);
        self.newest_in
            .checked_sub(u64::from(back))
            .filter(|in_seq| *in_seq >= self.first_in)
    }

    /// The timestamp under which a packet leaves.
    pub fn out_timestamp(&self, timestamp: u32) -> u32 {
        timestamp.wrapping_add(self.timestamp_offset)
    }

    /// What to add to the ids of one packet: VP8 counts pictures without gaps, so those above the limit are taken off. Other codecs'
    /// references are distances between ids, which keep their gaps.
    pub fn offsets(&self, ring: &Ring, meta: &PacketMeta) -> Offsets {
        match meta.detail {
            Detail::Vp8(_) if !self.limit.is_all() => {
                let above = ring.pictures_above(meta.seq, &self.limit);
                self.offsets
                    .without_pictures(above.saturating_sub(self.pictures_before))
            }
            Detail::Vp8(_) | Detail::Audio(_) | Detail::Vp9(_) | Detail::H264(_) | Detail::Av1(_) => self.offsets,
        }
    }

    /// Last packet of what the viewer gets of the picture: the publisher's marker may be above the limit.
    pub fn is_last(&self, meta: &PacketMeta) -> bool {
        meta.marker || meta.layer.end && meta.layer.spatial == self.limit.spatial
    }
}

/// The last epochs of a slot, oldest first. Eight: a viewer that flips through sources or layers still gets retransmissions of what it saw a
/// moment ago. Most slots show one thing for minutes, so memory is taken for one, then two, four and eight.
#[derive(Debug, Default)]
pub(super) struct Epochs(Vec<Epoch>);

impl Epochs {
    const KEPT: usize = 8;

    /// The epoch of this tag, while it is kept.
    pub fn get(&self, tag: u8) -> Option<&Epoch> {
        self.0.iter().rev().find(|epoch| epoch.tag == tag)
    }

    /// The epoch that `in_seq` belongs to, if what the epoch `tag` shows was shown then already.
    pub fn at(&self, tag: u8, in_seq: u64) -> Option<&Epoch> {
        let mut epoch = self.get(tag)?;
        while in_seq < epoch.first_in {
            if !epoch.continues {
                return None;
            }
            epoch = self.get(epoch.tag.wrapping_sub(1))?;
        }
        Some(epoch)
    }

    /// A newer packet of this epoch came.
    pub fn set_newest(&mut self, tag: u8, in_seq: u64) {
        if let Some(epoch) = self.get_mut(tag) {
            epoch.newest_in = in_seq;
        }
    }

    /// Keep one more, in the place of the eighth before it or of the one that has its tag.
    pub fn push(&mut self, epoch: Epoch) {
        if let Some(same) = self.get_mut(epoch.tag) {
            *same = epoch;
            return;
        }
        if self.0.len() >= Self::KEPT {
            self.0.remove(0);
        }
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(self.0.len().max(1));
        }
        self.0.push(epoch);
    }

    /// Forget all of them: what is queued or asked for again is not sent any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Bytes taken.
    pub fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Epoch>()
    }

    fn get_mut(&mut self, tag: u8) -> Option<&mut Epoch> {
        self.0.iter_mut().rev().find(|epoch| epoch.tag == tag)
    }
}
