//! How a slot moves: to another encoding, or to more or less of the same. All numbers go on.

use super::super::epoch::Epoch;
use super::super::queue::{Queue, What};
use super::super::takeover::{follow, same_instant, step, with_parameter_sets};
use super::{Last, Live, MID_TIME, Slot, SlotState, Staged, Switched};
use crate::codec::dependency::Shift;
use crate::command::{Codec, Kind};
use crate::encoding::{EncodingKey, EncodingView};
use crate::layer::Limit;
use crate::meta::{Detail, PacketMeta};
use crate::reason::DropReason;
use crate::ring::{MAX_PACKET, Ring, Stored};
use crate::rtp::bytes::be16;
use crate::time::Time;

impl Slot {
    /// Show more or less from the picture of `first` on. All numbers go on; packets from before it that are still missing keep theirs.
    pub(super) fn set_limit(
        &mut self,
        live: Live,
        old: &Epoch,
        ring: &Ring,
        first: &PacketMeta,
        limit: Limit,
    ) -> Epoch {
        self.tag = self.tag.wrapping_add(1);
        let epoch = old.limited(self.tag, ring, first, limit);
        self.epochs.push(epoch);
        self.set_live(Live { tag: epoch.tag, ..live });
        epoch
    }

    /// Show `target` from packet `begin` on: a new epoch whose numbers continue where the slot is. On an error nothing changes.
    pub(super) fn switch(
        &mut self,
        now: Time,
        target: Staged,
        view: &EncodingView<'_>,
        begin: u64,
        queue: &mut Queue,
    ) -> Result<Switched, DropReason> {
        let begin = with_parameter_sets(view, begin);
        let first = view.ring.get(begin).ok_or(DropReason::TooOld)?.meta;
        let newest = view.ring.newest().unwrap_or(begin);
        let payload_type = self.payload_type_of(first, view).ok_or(DropReason::NoPayloadType)?;
        let inject = match first.detail {
            Detail::H264(h264) => {
                h264.has_idr && !h264.has_sps && view.parameter_sets.stap_a(&mut [0; MAX_PACKET]).is_some()
            }
            Detail::Audio(_) | Detail::Vp8(_) | Detail::Vp9(_) | Detail::Av1(_) => false,
        };
        if queue.room() < 1 + usize::from(inject) {
            return Err(DropReason::QueueFull);
        }

        let clock_hz = first.detail.codec().clock_hz();
        let (next, (timestamp, debt)) = match self.last {
            None => (u64::from(self.ssrc.0 & 0x3fff) + 1, (self.ssrc.0, 0)),
            Some(last) => {
                // A picture that was cut must read as loss, or a decoder takes its pieces for the whole.
                let cut = self.kind == Kind::Video && !last.frame_end;
                (
                    last.out_seq + 1 + u64::from(cut),
                    self.layer_switch(&target.key, view, first, last.out_timestamp)
                        .unwrap_or_else(|| {
                            let elapsed = first.arrival.micros_since(last.arrival);
                            (last.out_timestamp.wrapping_add(step(clock_hz, elapsed)), 0)
                        }),
                )
            }
        };
        let limit = self.allowed(target.limit, first.detail.codec());
        let (packets_before, pictures_before) = view.ring.above_before(begin, &first.layer, &limit);
        self.tag = self.tag.wrapping_add(1);
        let epoch = Epoch {
            tag: self.tag,
            key: target.key,
            codec: first.detail.codec(),
            source_payload_type: first.payload_type,
            payload_type: payload_type.payload_type,
            rtx_payload_type: payload_type.rtx_payload_type,
            first_in: begin,
            first_out: next + u64::from(inject),
            first_timestamp: first.timestamp,
            timestamp_offset: timestamp.wrapping_sub(first.timestamp),
            timestamp_debt: debt,
            offsets: self.continuity.offsets(&first.detail),
            shift: self.shift(&view.ring.get(begin).ok_or(DropReason::TooOld)?, view),
            limit,
            packets_before,
            pictures_before,
            newest_in: newest,
            continues: false,
        };
        self.epochs.push(epoch);
        if inject {
            self.enqueue(epoch.tag, begin, next, What::ParameterSets, queue)?;
        }
        let mut newest_in = begin;
        for seq in begin..=newest {
            let Some(stored) = view.ring.get(seq) else { continue };
            if stored.meta.payload_type != epoch.source_payload_type {
                break;
            }
            newest_in = seq;
            let excluded = epoch.limit.excludes(&stored.meta.layer);
            if excluded && view.ring.is_counted(seq) {
                continue;
            }
            let Some(out_seq) = epoch.out_seq(view.ring, seq) else {
                continue;
            };
            let what = if excluded { What::Filler } else { What::Media };
            self.advance(&epoch, view, stored, out_seq);
            if self.enqueue(epoch.tag, seq, out_seq, what, queue).is_err() {
                queue.refused += 1;
            }
        }

        let before = self.showing();
        self.state = SlotState::Live(Live {
            track: target.track,
            key: target.key,
            tag: epoch.tag,
            wanted: target.limit,
            broken: false,
        });
        self.epochs.set_newest(epoch.tag, newest_in);
        self.clock = view.clock;
        self.rate_bps = view.rate_up_to(&limit);
        self.mid_until = now + MID_TIME;
        self.confirmed = false;
        self.rtx_confirmed = false;
        self.report_at = Some(now);
        Ok((target.track, before))
    }

    /// What may be cut off: a viewer that takes no dependency descriptor cannot tell AV1 that lacks layers from AV1 that was lost.
    pub(super) fn allowed(&self, limit: Limit, codec: Codec) -> Limit {
        if codec == Codec::Av1 && !self.takes_dependency {
            Limit::ALL
        } else {
            limit
        }
    }

    /// Numbers of dependency descriptors that go on where the last encoding stopped.
    fn shift(&self, first: &Stored<'_>, view: &EncodingView<'_>) -> Shift {
        let (Some(number), Some(structure)) = (frame_number(first), view.structure) else {
            return Shift::default();
        };
        Shift {
            frame_number: self
                .frame_number
                .map_or(0, |last| last.wrapping_add(1).wrapping_sub(number)),
            template: self.next_template.wrapping_sub(structure.first_id()),
        }
    }

    /// Account for the newest packet: what the next epoch continues after.
    pub(super) fn advance(&mut self, epoch: &Epoch, view: &EncodingView<'_>, stored: Stored<'_>, out_seq: u64) {
        let meta = stored.meta;
        self.continuity.sent(&meta.detail, &epoch.offsets(view.ring, meta));
        if let Some(number) = frame_number(&stored) {
            let number = number.wrapping_add(epoch.shift.frame_number);
            if self.frame_number.is_none_or(|last| number.wrapping_sub(last) < 1 << 15) {
                self.frame_number = Some(number);
            }
            if let Some(structure) = view.structure.filter(|_| meta.start) {
                self.next_template = structure
                    .first_id()
                    .wrapping_add(structure.ids())
                    .wrapping_add(epoch.shift.template);
            }
        }
        let timestamp = epoch.out_timestamp(meta.timestamp);
        // Spatial and temporal layers may interleave timestamps; the next epoch begins after the highest.
        let highest = match self.last {
            Some(last) if (timestamp.wrapping_sub(last.out_timestamp) as i32) < 0 => last.out_timestamp,
            Some(_) | None => timestamp,
        };
        self.last = Some(Last {
            out_seq,
            out_timestamp: highest,
            arrival: meta.arrival,
            frame_end: meta.frame_end || epoch.is_last(meta),
        });
    }

    /// Timestamp of the first picture after a switch to another encoding of the same track, and how far that is ahead of its time.
    ///
    /// The encodings show the same scene, so their clocks say which timestamp the old one had for the instant of the new picture. Where that
    /// is no later than what was sent, the picture is a little late; the next switch takes that off again, or many would add up.
    pub(super) fn layer_switch(
        &self,
        to: &EncodingKey,
        view: &EncodingView<'_>,
        first: &PacketMeta,
        newest: u32,
    ) -> Option<(u32, u32)> {
        let live = self.live()?;
        if (live.key.track, live.key.generation) != (to.track, to.generation) || live.key == *to || live.broken {
            return None;
        }
        let epoch = self.epochs.get(live.tag)?;
        let clock_hz = first.detail.codec().clock_hz();
        if epoch.codec.clock_hz() != clock_hz {
            return None;
        }
        let old = same_instant(&self.clock?, &view.clock?, first.timestamp, clock_hz);
        let ideal = epoch.out_timestamp(old).wrapping_sub(epoch.timestamp_debt);
        follow(newest, ideal, clock_hz)
    }
}

/// Frame number of the dependency descriptor (its second and third byte).
fn frame_number(stored: &Stored<'_>) -> Option<u16> {
    be16(stored.meta.dependency.of(stored.packet)?, 1)
}
