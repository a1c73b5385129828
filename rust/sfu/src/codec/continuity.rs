//! One sequence of codec ids out of many encodings: what a slot adds to the ids of what it shows, so that they go on where the one
//! before stopped.

use super::{PICTURE_ID_MASK, vp8, vp9};
use crate::meta::Detail;
use crate::rtp::bytes::Put;

/// KEYIDX has five bits.
const KEY_INDEX_MASK: u8 = 0x1f;

/// What is added to the ids of one encoding. Constant while a slot shows that encoding, so that a packet can be rewritten again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offsets {
    /// Added to the picture id, modulo 2¹⁵.
    pub picture_id: u16,
    /// Added to TL0PICIDX, modulo 256.
    pub tl0_picture_index: u8,
    /// Added to KEYIDX, modulo 32.
    pub key_index: u8,
}

impl Offsets {
    /// The same for packets behind this many pictures that are left out.
    #[must_use]
    pub fn without_pictures(&self, count: u64) -> Self {
        Self {
            picture_id: self.picture_id.wrapping_sub(count as u16) & PICTURE_ID_MASK,
            ..*self
        }
    }

    pub(super) fn picture_id(&self, id: u16) -> u16 {
        id.wrapping_add(self.picture_id) & PICTURE_ID_MASK
    }

    pub(super) fn tl0_picture_index(&self, index: u8) -> u8 {
        index.wrapping_add(self.tl0_picture_index)
    }

    pub(super) fn key_index(&self, index: u8) -> u8 {
        index.wrapping_add(self.key_index) & KEY_INDEX_MASK
    }
}

/// The ids of one packet, whatever its codec.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Ids {
    picture_id: Option<u16>,
    tl0_picture_index: Option<u8>,
    key_index: Option<u8>,
}

impl Ids {
    fn offsets_to_follow(self, first: Self) -> Offsets {
        let step = |last: u8, first: u8| last.wrapping_add(1).wrapping_sub(first);
        Offsets {
            picture_id: self.picture_id.zip(first.picture_id).map_or(0, |(last, first)| {
                last.wrapping_add(1).wrapping_sub(first) & PICTURE_ID_MASK
            }),
            tl0_picture_index: self
                .tl0_picture_index
                .zip(first.tl0_picture_index)
                .map_or(0, |(last, first)| step(last, first)),
            key_index: self
                .key_index
                .zip(first.key_index)
                .map_or(0, |(last, first)| step(last, first) & KEY_INDEX_MASK),
        }
    }

    /// Keeps the newer of each, by the half-range rule.
    fn advance(&mut self, sent: Self) {
        newer(&mut self.picture_id, sent.picture_id, |new, last| {
            new.wrapping_sub(last) & PICTURE_ID_MASK < 1 << 14
        });
        newer(&mut self.tl0_picture_index, sent.tl0_picture_index, |new, last| {
            new.wrapping_sub(last) < 1 << 7
        });
        newer(&mut self.key_index, sent.key_index, |new, last| {
            new.wrapping_sub(last) & KEY_INDEX_MASK < 1 << 4
        });
    }
}

fn newer<T: Copy>(last: &mut Option<T>, sent: Option<T>, ahead: impl FnOnce(T, T) -> bool) {
    if let Some(sent) = sent
        && last.is_none_or(|last| ahead(sent, last))
    {
        *last = Some(sent);
    }
}

/// The newest ids that one slot sent, per codec that has ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Continuity {
    vp8: Ids,
    vp9: Ids,
}

impl Continuity {
    /// Offsets for an encoding whose first packet through this slot is `first`: each id goes on one after the last that was sent for
    /// the codec. Zero for ids that were never sent.
    pub fn offsets(&self, first: &Detail) -> Offsets {
        match first {
            Detail::Vp8(_) => self.vp8.offsets_to_follow(ids(first)),
            Detail::Vp9(_) => self.vp9.offsets_to_follow(ids(first)),
            Detail::Audio(_) | Detail::H264(_) | Detail::Av1(_) => Offsets::default(),
        }
    }

    /// Remembers a packet that was sent with `offsets`. Late and repeated packets change nothing.
    pub fn sent(&mut self, detail: &Detail, offsets: &Offsets) {
        let memory = match detail {
            Detail::Vp8(_) => &mut self.vp8,
            Detail::Vp9(_) => &mut self.vp9,
            Detail::Audio(_) | Detail::H264(_) | Detail::Av1(_) => return,
        };
        let ids = ids(detail);
        memory.advance(Ids {
            picture_id: ids.picture_id.map(|id| offsets.picture_id(id)),
            tl0_picture_index: ids.tl0_picture_index.map(|index| offsets.tl0_picture_index(index)),
            key_index: ids.key_index.map(|index| offsets.key_index(index)),
        });
    }
}

fn ids(detail: &Detail) -> Ids {
    match detail {
        Detail::Vp8(vp8) => Ids {
            picture_id: vp8.picture_id,
            tl0_picture_index: vp8.tl0_picture_index,
            key_index: vp8.key_index,
        },
        Detail::Vp9(vp9) => Ids {
            picture_id: vp9.picture_id,
            tl0_picture_index: vp9.tl0_picture_index,
            key_index: None,
        },
        Detail::Audio(_) | Detail::H264(_) | Detail::Av1(_) => Ids::default(),
    }
}

/// Turns 7-bit picture ids of one encoding into 15-bit ones, before its packets are stored. Ids that leave have 15 bits, and one that
/// fell from 127 to 0 would go back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PictureIds {
    highest: Option<u16>,
}

impl PictureIds {
    /// Extends the picture id by the half-range rule: at most 63 ahead is newer. `picture_id_long` keeps saying how the packet has
    /// it. Ids that have 15 bits stay as they are.
    pub fn extend(&mut self, detail: &mut Detail) {
        let (id, long) = match detail {
            Detail::Vp8(vp8) => (&mut vp8.picture_id, vp8.picture_id_long),
            Detail::Vp9(vp9) => (&mut vp9.picture_id, vp9.picture_id_long),
            Detail::Audio(_) | Detail::H264(_) | Detail::Av1(_) => return,
        };
        let Some(id) = id else { return };
        if let Some(highest) = self.highest.filter(|_| !long) {
            // The difference of 7 bits, moved up to take the sign along, and back down.
            let step = i16::from(((id.wrapping_sub(highest) as u8) << 1) as i8 >> 1);
            *id = highest.wrapping_add_signed(step) & PICTURE_ID_MASK;
        }
        newer(&mut self.highest, Some(*id), |new, last| {
            new.wrapping_sub(last) & PICTURE_ID_MASK < 1 << 14
        });
    }
}

/// Writes the whole payload with rewritten ids into `out` and returns its length: that of `payload`, or one byte more where a 7-bit
/// picture id is widened. The same arguments give the same bytes. `None` when `out` is too small or `detail` is not of `payload`.
pub fn rewrite(detail: &Detail, offsets: &Offsets, payload: &[u8], out: &mut [u8]) -> Option<usize> {
    match detail {
        Detail::Vp8(vp8) => vp8::rewrite(vp8, offsets, payload, out),
        Detail::Vp9(vp9) => vp9::rewrite(vp9, offsets, payload, out),
        Detail::Audio(_) | Detail::H264(_) | Detail::Av1(_) => {
            let mut put = Put::new(out);
            put.put(payload)?;
            Some(put.len())
        }
    }
}
