//! Which slot draws from which encoding. The `Sender` knows what a slot shows and stages; the track knows its subscribers; this
//! file keeps the two in step, so that no slot is ever bound to a dead track.

use super::ShardCore;
use crate::command::Event;
use crate::encoding::EncodingKey;
use crate::receive::{Subscriber, TrackKey};
use crate::time::Time;

/// A slot whose binding changed while a packet was handed out.
#[derive(Clone, Copy)]
pub(super) struct Switched {
    pub index: u32,
    pub slot: u16,
    pub before: Bound,
}

/// What a slot draws from: the encoding that it shows, and the one that waits for its key frame.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bound {
    pub showing: Option<EncodingKey>,
    pub staged: Option<EncodingKey>,
}

impl Bound {
    fn has(&self, key: EncodingKey) -> bool {
        self.showing == Some(key) || self.staged == Some(key)
    }

    fn keys(&self) -> impl Iterator<Item = EncodingKey> {
        let staged = self.staged.filter(|key| self.showing != Some(*key));
        self.showing.into_iter().chain(staged)
    }
}

impl ShardCore {
    pub(super) fn bound(&self, index: u32, slot: u16) -> Bound {
        self.transports
            .get(index as usize)
            .and_then(Option::as_deref)
            .map_or_else(Bound::default, |transport| Bound {
                showing: transport.sender.showing(slot),
                staged: transport.sender.staged(slot),
            })
    }

    /// A track is gone: every slot that shows or stages it lets go; what else the slot shows or stages stays.
    pub(super) fn end_track(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.remove(key) else {
            return;
        };
        self.forget_wishes(key);
        for subscriber in &track.subscribers {
            let gone = key.encoding(subscriber.encoding);
            if let Some(transport) = self.transport(subscriber.transport) {
                transport.sender.forget(subscriber.slot, gone);
            }
            if let Some(voice) = track.voice {
                self.lost_voice(subscriber.transport, subscriber.slot, voice);
            }
        }
        if let Some(voice) = track.voice {
            self.leave_group(voice);
        }
    }

    /// Make the tracks' subscriptions what the slot draws from now, and tell when it shows something new.
    pub(super) fn reconcile(&mut self, index: u32, slot: u16, before: Bound) {
        let after = self.bound(index, slot);
        for key in before.keys().filter(|key| !after.has(*key)) {
            self.tracks.unsubscribe(key, subscriber(key, index, slot));
        }
        for key in after.keys().filter(|key| !before.has(*key)) {
            self.tracks.subscribe(key, subscriber(key, index, slot));
        }
        if let Some(key) = after.showing.filter(|key| before.showing != Some(*key)) {
            self.stats.switches += 1;
            if before.showing.is_some_and(|shown| TrackKey::from(shown) == key.into()) {
                return;
            }
            let track = self.tracks.get(key.into()).map(|track| track.id);
            let viewer = self.transports.get(index as usize).and_then(Option::as_deref);
            // Slots that are filled with voices tell so themselves.
            if let (Some(track), Some(viewer)) = (track, viewer.filter(|viewer| !viewer.is_in_pool(slot)))
                && let Some(mid) = viewer.sender.mid(slot)
            {
                self.events.push(Event::SlotBound {
                    transport: viewer.id,
                    mid,
                    track,
                });
            }
        }
    }

    /// Ask the publisher of an encoding for a key frame; its arbiter decides whether and when.
    pub(super) fn request_key_frame(&mut self, now: Time, key: EncodingKey) {
        let Some(owner) = self.tracks.get(key.into()).map(|track| track.owner) else {
            return;
        };
        let Some(&index) = self.by_id.get(&owner) else {
            return;
        };
        if let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) {
            transport.receiver.request_key_frame(now, key, &self.tracks);
        }
        self.mark_dirty(index);
    }
}

pub(super) fn subscriber(key: EncodingKey, transport: u32, slot: u16) -> Subscriber {
    Subscriber {
        transport,
        slot,
        encoding: key.encoding,
    }
}
