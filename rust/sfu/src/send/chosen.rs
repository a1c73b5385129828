//! What the shard asks of a viewer when it chooses layers.

use super::allocator::Line;
use super::slot::SlotState;
use super::{Sender, SlotIndex};
use crate::command::{CodecSpec, Kind, RefusalCode};
use crate::encoding::{EncodingKey, Limit};
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
        let slot = self.slots.get(usize::from(slot))?;
        Some((slot.staged().or(slot.showing())?, Limit::ALL))
    }

    /// What a slot shows.
    pub fn shown(&self, slot: SlotIndex) -> Option<(EncodingKey, Limit)> {
        match self.slots.get(usize::from(slot))?.state {
            SlotState::Idle | SlotState::Staging(_) => None,
            SlotState::Live(live) | SlotState::Switching { live, .. } => Some((live.key, Limit::ALL)),
        }
    }

    /// What the viewer's line carries besides sound.
    pub fn line(&self, _now: Time) -> Line {
        Line {
            bps: 100_000_000,
            is_limit: false,
        }
    }

    /// What the shown layers take, and what the next better ones would.
    pub fn set_demand(&mut self, _now: Time, _sending_bps: u64, _wanted_bps: u64) {}
}
