//! Going down takes effect at once: what waits for the pacer is cut as well.
//!
//! Packets get their numbers when they are queued. Those that nobody has seen may get other ones, so the new limit begins at the first
//! picture of which nothing has left. Otherwise layers that the line does not carry would stand in front of those that it does.

use super::super::epoch::Epoch;
use super::super::queue::{Descriptor, Queue, What};
use super::{Last, Live, Slot};
use crate::encoding::EncodingView;
use crate::layer::Limit;
use crate::meta::PacketMeta;
use crate::time::Time;

impl Slot {
    /// Apply a lower limit that is wanted to what waits in `queue`. Returns how many packets leave it.
    pub(super) fn cut_waiting(&mut self, view: &EncodingView<'_>, queue: &mut Queue) -> u64 {
        let Some(live) = self.live().filter(|live| !live.broken) else {
            return 0;
        };
        let Some(old) = self.epochs.get(live.tag).copied() else {
            return 0;
        };
        let wanted = self.allowed(live.wanted, old.codec);
        let limit = Limit {
            spatial: wanted.spatial,
            temporal: wanted.temporal.min(old.limit.temporal),
        };
        // More spatial layers begin with a key frame, until when what is shown goes on.
        if wanted.spatial > old.limit.spatial || limit == old.limit {
            return 0;
        }
        match self.first_unseen(&old, view, limit, queue) {
            Some((first, epoch)) => self.cut_from(live, &old, &first, epoch, view, queue),
            None => 0,
        }
    }

    /// The first picture of which nothing has left, and the epoch that begins with it.
    fn first_unseen(
        &self,
        old: &Epoch,
        view: &EncodingView<'_>,
        limit: Limit,
        queue: &Queue,
    ) -> Option<(PacketMeta, Epoch)> {
        let waiting = queue.iter().filter(|item| self.is_of(item, old));
        let oldest = waiting.map(|item| item.in_seq).min()?;
        (oldest..=old.newest_in).find_map(|seq| {
            let first = view.ring.get(seq)?.meta;
            if !first.frame_start {
                return None;
            }
            let epoch = old.limited(self.tag.wrapping_add(1), view.ring, first, limit);
            (epoch.first_out > self.sealed).then_some((*first, epoch))
        })
    }

    fn cut_from(
        &mut self,
        live: Live,
        old: &Epoch,
        first: &PacketMeta,
        epoch: Epoch,
        view: &EncodingView<'_>,
        queue: &mut Queue,
    ) -> u64 {
        let Some(last) = self.last else { return 0 };
        for out_seq in epoch.first_out..=last.out_seq {
            self.history.forget(out_seq);
        }
        let before = first.seq.checked_sub(1).and_then(|seq| view.ring.get(seq));
        self.last = Some(Last {
            out_seq: epoch.first_out - 1,
            frame_end: before.is_some_and(|stored| stored.meta.frame_end || old.is_last(stored.meta)),
            ..last
        });
        self.tag = epoch.tag;
        self.epochs.push(Epoch {
            newest_in: old.newest_in,
            ..epoch
        });
        self.set_live(Live { tag: epoch.tag, ..live });
        self.rate_bps = view.rate_up_to(&epoch.limit);
        let now = queue.now;
        queue.retain(|item| {
            if !self.is_of(item, old) || item.in_seq < first.seq {
                return true;
            }
            self.renumber(now, item, &epoch, view)
        })
    }

    /// Give what waits its place in the new epoch. `false`: it has none.
    fn renumber(&mut self, now: Time, item: &mut Descriptor, epoch: &Epoch, view: &EncodingView<'_>) -> bool {
        let Some(stored) = view.ring.get(item.in_seq) else {
            return false;
        };
        let excluded = epoch.limit.excludes(&stored.meta.layer);
        if excluded && (view.ring.is_counted(item.in_seq) || item.what == What::MediaAgain) {
            return false;
        }
        let Some(out_seq) = epoch.out_seq(view.ring, item.in_seq) else {
            return false;
        };
        item.tag = epoch.tag;
        if item.what == What::MediaAgain {
            return true;
        }
        if excluded {
            item.what = What::Filler;
        }
        if self.last.is_none_or(|last| out_seq > last.out_seq) {
            self.advance(epoch, view, stored, out_seq);
        }
        self.history.note(now, out_seq, item.in_seq, item.tag, item.what);
        true
    }

    /// Is it a packet of this epoch? Parameter sets stand in front of the epoch's first one and keep their number.
    fn is_of(&self, item: &Descriptor, epoch: &Epoch) -> bool {
        let is_packet = match item.what {
            What::Media | What::Filler | What::MediaAgain => true,
            What::ParameterSets | What::ParameterSetsAgain => false,
        };
        is_packet && item.slot == self.index && item.tag == epoch.tag
    }
}
