//! What the shard asks of a viewer when it chooses layers.

use super::allocator::Line;
use super::slot::SlotState;
use super::{Sender, SlotIndex};
use crate::command::{CodecSpec, Kind, RefusalCode};
use crate::encoding::{EncodingKey, Encodings};
use crate::layer::Limit;
use crate::time::Time;

impl Sender {
    /// Whether a slot can show a track of this kind and these codecs at all.
    pub fn check(&self, slot: SlotIndex, kind: Kind, codecs: &[CodecSpec]) -> Result<(), RefusalCode> {
        let slot = self.slots.get(usize::from(slot)).ok_or(RefusalCode::UnknownSlot)?;
        if slot.kind != kind {
            return Err(RefusalCode::KindMismatch);
        }
        if !slot.accepts_any(codecs) {
            return Err(RefusalCode::CodecNotNegotiated);
        }
        Ok(())
    }

    /// What a slot shows, or is about to.
    pub fn target(&self, slot: SlotIndex) -> Option<(EncodingKey, Limit)> {
        match self.slots.get(usize::from(slot))?.state {
            SlotState::Idle => None,
            SlotState::Staging(staged) | SlotState::Switching { staged, .. } => Some((staged.key, staged.limit)),
            SlotState::Live(live) => Some((live.key, live.wanted)),
        }
    }

    /// What a slot shows.
    pub fn shown(&self, slot: SlotIndex) -> Option<(EncodingKey, Limit)> {
        let slot = self.slots.get(usize::from(slot))?;
        Some((slot.showing()?, slot.limit()?))
    }

    /// What the viewer's line carries besides sound.
    pub fn line(&self, now: Time, encodings: &impl Encodings) -> Line {
        let voices = self.slots.iter().filter(|slot| slot.kind == Kind::Audio);
        let shown = voices.filter_map(|slot| encodings.encoding(slot.showing()?));
        let sound_bps: u64 = shown.map(|view| view.rate_bps).sum();
        Line {
            bps: self.bandwidth().estimate_bps().saturating_sub(sound_bps),
            is_limit: self.bandwidth().is_limit(now),
        }
    }
}
