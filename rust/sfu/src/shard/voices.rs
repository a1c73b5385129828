//! Voices of streams, and the slots of viewers that they fill.

use std::collections::HashMap;

use super::ShardCore;
use crate::command::{Kind, RefusalCode};
use crate::ids::{GroupId, Mid, SourceKey, TrackId, TransportId};
use crate::receive::Membership;
use crate::voices::{Group, Member};

/// The groups of a shard.
#[derive(Debug, Default)]
pub(super) struct Voices {
    groups: HashMap<GroupId, Group>,
}

impl ShardCore {
    pub(super) fn add_voice(&mut self, group: GroupId, id: TrackId, source: SourceKey) -> Result<(), RefusalCode> {
        let key = self.tracks.by_id(id).ok_or(RefusalCode::UnknownTrack)?;
        let track = self.tracks.get_mut(key).ok_or(RefusalCode::UnknownTrack)?;
        if track.kind != Kind::Audio {
            return Err(RefusalCode::KindMismatch);
        }
        if let Some(known) = track.voice {
            let member = self.voices.groups.get(&known.group).and_then(|one| one.get(known.seat));
            let same = known.group == group && member.is_some_and(|member| member.source == source);
            return if same { Ok(()) } else { Err(RefusalCode::Duplicate) };
        }
        let voices = self.voices.groups.entry(group).or_insert_with(|| Group::new(group));
        let seat = voices.add(Member { track: key, id, source });
        track.voice = Some(Membership { group, seat });
        Ok(())
    }

    pub(super) fn remove_voice(&mut self, id: TrackId) {
        let key = self.tracks.by_id(id);
        if let Some(track) = key.and_then(|key| self.tracks.get_mut(key))
            && let Some(Membership { group, seat }) = track.voice.take()
        {
            self.leave_group(group, seat);
        }
    }

    pub(super) fn leave_group(&mut self, group: GroupId, seat: u32) {
        if let Some(voices) = self.voices.groups.get_mut(&group) {
            voices.remove(seat);
            if voices.is_empty() {
                self.voices.groups.remove(&group);
            }
        }
    }

    /// The first slot that cannot be filled with voices, and why.
    pub(super) fn check_pool(&self, transport: TransportId, mids: &[Mid]) -> Result<(), (Option<Mid>, RefusalCode)> {
        let index = self.by_id.get(&transport);
        let viewer = index.and_then(|index| self.transports.get(*index as usize)?.as_deref());
        let viewer = viewer.ok_or((None, RefusalCode::UnknownTransport))?;
        for (place, mid) in mids.iter().enumerate() {
            let refuse = |code| Err((Some(*mid), code));
            let Some(slot) = viewer.sender.slot(*mid) else {
                return refuse(RefusalCode::UnknownSlot);
            };
            if viewer.sender.check(slot, Kind::Audio, &[]) == Err(RefusalCode::KindMismatch) {
                return refuse(RefusalCode::KindMismatch);
            }
            if mids.iter().take(place).any(|other| other == mid) {
                return refuse(RefusalCode::Duplicate);
            }
        }
        Ok(())
    }
}
