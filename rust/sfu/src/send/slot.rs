//! One m-line of a viewer: a fixed SSRC and number space, and what it shows. Long, because whatever moves the numbers must agree, or two
//! plaintexts get one index.

mod cutting;
mod moving;

use std::time::Duration;

use super::SlotIndex;
use super::epoch::Epochs;
use super::history::History;
use super::negotiated::Negotiated;
use super::queue::{Descriptor, Queue, What};
use super::takeover::{is_late, is_near, next_limit};
use crate::codec::Continuity;
use crate::command::{CodecSpec, Kind, SlotSpec};
use crate::encoding::{ClockMap, EncodingKey, EncodingView};
use crate::ids::{Mid, Ssrc, TrackId};
use crate::layer::{Layer, Limit};
use crate::meta::PacketMeta;
use crate::reason::DropReason;
use crate::receive::LayerTable;
use crate::ring::{Ring, Stored};
use crate::time::Time;

/// A cached key frame is replayed while it is younger than this: the viewer catches up with live in less time than a new key frame
/// takes to be asked for, encoded and carried.
const REPLAY_AGE: Duration = Duration::from_millis(600);
/// … and while live is not more packets ahead than this.
const REPLAY_PACKETS: u64 = 96;
/// MID is sent at least this long after a switch, besides being confirmed by a receiver report.
const MID_TIME: Duration = Duration::from_secs(2);
/// Between two packets that tell the bounds of the jitter buffer, once a report came.
const PLAYOUT_TIME: Duration = Duration::from_secs(5);

/// What a slot shows, and what it is about to show.
#[derive(Clone, Copy, Debug)]
pub(super) enum SlotState {
    /// Nothing.
    Idle,
    /// Nothing yet: the first packet that a decoder can start at is awaited.
    Staging(Staged),
    /// One encoding.
    Live(Live),
    /// One encoding, while the start of another is awaited. The old picture goes on until then.
    Switching {
        /// Goes on.
        live: Live,
        /// Takes over.
        staged: Staged,
    },
}

/// An encoding whose start is awaited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged {
    /// Its track.
    pub track: TrackId,
    /// The encoding.
    pub key: EncodingKey,
    /// How much of it.
    pub limit: Limit,
}

/// An encoding that is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    /// Its track.
    pub track: TrackId,
    /// The encoding.
    pub key: EncodingKey,
    /// The present epoch.
    pub tag: u8,
    /// How much of it is wanted; the epoch says how much is shown.
    pub wanted: Limit,
    /// The publisher began a new time line or another codec: only a start continues it.
    broken: bool,
}

/// The newest packet sent, where the next epoch continues.
#[derive(Clone, Copy, Debug)]
struct Last {
    out_seq: u64,
    out_timestamp: u32,
    arrival: Time,
    /// The picture was complete.
    frame_end: bool,
}

/// A completed switch: the track now shown, and the encoding shown before, if any.
pub(super) type Switched = (TrackId, Option<EncodingKey>);

/// What a packet changed.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Changed {
    /// The slot shows another encoding, or the same from a new start.
    pub switched: Option<Switched>,
    /// The slot shows more or less of its encoding.
    pub limit: bool,
}

/// One slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub index: SlotIndex,
    pub mid: Mid,
    pub kind: Kind,
    pub ssrc: Ssrc,
    pub rtx_ssrc: Ssrc,
    pub state: SlotState,
    pub epochs: Epochs,
    pub history: History,
    /// Next index on the SSRC of retransmissions; never reused, whatever is retransmitted.
    pub rtx_next: u64,
    /// RTP packets sent on `ssrc`, for sender reports.
    pub packets: u32,
    /// Their payload bytes.
    pub octets: u32,
    /// When the next sender report is due; `None` while nothing is shown.
    pub report_at: Option<Time>,
    /// The key frame last asked for, so that a storm within one instant asks once.
    pub asked: Option<(Time, EncodingKey)>,
    /// What the shown encoding needs.
    pub rate_bps: u64,
    /// A receiver report named `ssrc` since the last switch.
    pub confirmed: bool,
    /// A receiver report named `rtx_ssrc` since the last switch.
    pub rtx_confirmed: bool,
    /// Highest number that left; those behind it may still be given to other packets.
    pub sealed: u64,
    mid_until: Time,
    codecs: Negotiated,
    continuity: Continuity,
    last: Option<Last>,
    /// The clock of what is shown.
    clock: Option<ClockMap>,
    /// Where frame numbers of dependency descriptors go on.
    frame_number: Option<u16>,
    /// … and template ids.
    next_template: u8,
    /// The viewer takes dependency descriptors.
    takes_dependency: bool,
    /// Until when the bounds of the jitter buffer need not be told again.
    playout_at: Time,
    tag: u8,
}

impl Slot {
    /// An empty slot. Sequence numbers begin in the lower half, so that a receiver that misses the first packets cannot take a wrap for
    /// none (RFC 3711 §3.3.1).
    pub fn new(index: SlotIndex, spec: &SlotSpec, takes_dependency: bool) -> Self {
        Self {
            index,
            mid: spec.mid,
            kind: spec.kind,
            ssrc: spec.ssrc,
            rtx_ssrc: spec.rtx_ssrc,
            state: SlotState::Idle,
            epochs: Epochs::default(),
            history: History::default(),
            rtx_next: u64::from(spec.rtx_ssrc.0 & 0x3fff),
            packets: 0,
            octets: 0,
            report_at: None,
            asked: None,
            rate_bps: 0,
            confirmed: false,
            rtx_confirmed: false,
            sealed: 0,
            mid_until: Time::ZERO,
            codecs: Negotiated::new(&spec.codecs),
            continuity: Continuity::default(),
            last: None,
            clock: None,
            frame_number: None,
            next_template: 0,
            takes_dependency,
            playout_at: Time::ZERO,
            tag: 0,
        }
    }

    /// The encoding that is shown.
    pub fn showing(&self) -> Option<EncodingKey> {
        self.live().map(|live| live.key)
    }

    /// What is shown.
    pub fn live(&self) -> Option<Live> {
        match self.state {
            SlotState::Idle | SlotState::Staging(_) => None,
            SlotState::Live(live) | SlotState::Switching { live, .. } => Some(live),
        }
    }

    /// How much of it is shown.
    pub fn limit(&self) -> Option<Limit> {
        Some(self.epochs.get(self.live()?.tag)?.limit)
    }

    /// How much was asked for last.
    pub fn wanted_limit(&self) -> Option<Limit> {
        match self.state {
            SlotState::Idle => None,
            SlotState::Live(live) => Some(live.wanted),
            SlotState::Staging(staged) | SlotState::Switching { staged, .. } => Some(staged.limit),
        }
    }

    /// The encoding whose start is awaited.
    pub fn staged(&self) -> Option<EncodingKey> {
        match self.state {
            SlotState::Idle | SlotState::Live(_) => None,
            SlotState::Staging(staged) | SlotState::Switching { staged, .. } => Some(staged.key),
        }
    }

    /// Whether the viewer can take any of these.
    pub fn accepts_any(&self, codecs: &[CodecSpec]) -> bool {
        codecs.iter().any(|codec| self.codecs.of_source(codec).is_some())
    }

    /// Does the next packet carry the MID? Receivers that know no `a=ssrc` for the slot route by it (RFC 8843 §9.2).
    pub fn needs_mid(&self, now: Time, retransmission: bool) -> bool {
        let confirmed = if retransmission {
            self.rtx_confirmed
        } else {
            self.confirmed
        };
        now < self.mid_until || !confirmed
    }

    /// Number of the newest packet sent.
    pub fn newest_out(&self) -> Option<u64> {
        self.last.map(|last| last.out_seq)
    }

    /// Bytes of memory besides the slot itself.
    pub fn memory(&self) -> usize {
        self.history.memory() + self.epochs.memory() + self.codecs.memory()
    }

    /// Stage an encoding. Returns whether a key frame must be asked for, and the switch when the cached one could be shown at once.
    pub fn bind(
        &mut self,
        now: Time,
        target: Staged,
        view: Option<EncodingView<'_>>,
        queue: &mut Queue,
    ) -> (bool, Option<Switched>) {
        self.history.allocate(self.kind);
        if let Some(live) = self.live()
            && live.key == target.key
        {
            self.state = SlotState::Live(Live {
                wanted: target.limit,
                ..live
            });
            if let Some(view) = &view {
                queue.cut += self.cut_waiting(view, queue);
            }
            let top = view.and_then(|view| view.layers).map(LayerTable::top);
            return (
                live.broken
                    || self
                        .limit()
                        .is_some_and(|shown| needs_key_frame(shown, target.limit, top)),
                None,
            );
        }
        self.state = match self.state {
            SlotState::Idle | SlotState::Staging(_) => SlotState::Staging(target),
            SlotState::Live(live) | SlotState::Switching { live, .. } => SlotState::Switching { live, staged: target },
        };
        if self.kind == Kind::Audio {
            return (false, None);
        }
        let replayed = view.and_then(|view| {
            let start = view.start?;
            let stored = view.ring.get(start)?;
            let near = view.ring.newest()?.checked_sub(start)? <= REPLAY_PACKETS;
            let young = now.since(stored.meta.arrival) <= REPLAY_AGE;
            let late = self
                .last
                .and_then(|last| self.layer_switch(&target.key, &view, stored.meta, last.out_timestamp))
                .is_some_and(|(_, debt)| !is_near(debt, stored.meta.detail.codec().clock_hz()));
            if !near || !young || late {
                return None;
            }
            self.switch(now, target, &view, start, queue).ok()
        });
        (replayed.is_none(), replayed)
    }

    /// Show nothing. What is queued is not sent any more.
    pub fn unbind(&mut self) {
        self.state = SlotState::Idle;
        self.epochs.clear();
        self.clock = None;
        self.report_at = None;
        self.rate_bps = 0;
    }

    /// An encoding is gone for good. What the slot shows or stages besides stays.
    pub fn forget(&mut self, key: EncodingKey) {
        match self.state {
            SlotState::Staging(staged) if staged.key == key => self.state = SlotState::Idle,
            SlotState::Live(live) if live.key == key => self.unbind(),
            SlotState::Switching { live, staged } if staged.key == key => self.state = SlotState::Live(live),
            SlotState::Switching { live, staged } if live.key == key => {
                self.unbind();
                self.state = SlotState::Staging(staged);
            }
            SlotState::Idle | SlotState::Staging(_) | SlotState::Live(_) | SlotState::Switching { .. } => {}
        }
    }

    /// Queue packet `seq` of an encoding, if it is what the slot shows or starts what it is about to show.
    pub fn forward(
        &mut self,
        now: Time,
        key: EncodingKey,
        view: &EncodingView<'_>,
        seq: u64,
        queue: &mut Queue,
    ) -> Result<Changed, DropReason> {
        let stored = view.ring.get(seq).ok_or(DropReason::TooOld)?;
        match self.state {
            SlotState::Live(live) | SlotState::Switching { live, .. } if live.key == key => {
                self.forward_live(now, live, view, stored, queue)
            }
            SlotState::Staging(staged) | SlotState::Switching { staged, .. } if staged.key == key => {
                if !stored.meta.start {
                    return Err(DropReason::AwaitingKeyFrame);
                }
                self.switch(now, staged, view, seq, queue).map(|switched| Changed {
                    switched: Some(switched),
                    limit: false,
                })
            }
            SlotState::Idle | SlotState::Staging(_) | SlotState::Live(_) | SlotState::Switching { .. } => {
                Err(DropReason::OtherEncoding)
            }
        }
    }

    fn forward_live(
        &mut self,
        now: Time,
        mut live: Live,
        view: &EncodingView<'_>,
        stored: Stored<'_>,
        queue: &mut Queue,
    ) -> Result<Changed, DropReason> {
        let meta = stored.meta;
        let Some(mut epoch) = self.epochs.get(live.tag).copied() else {
            return Err(DropReason::OtherEncoding);
        };
        let capacity = view.ring.capacity() as u64;
        // A jump by more than the ring is a new time line; the receiving side has emptied the ring then.
        let jumped = meta.seq > epoch.newest_in + capacity || meta.seq + capacity <= epoch.newest_in;
        live.broken |= jumped || meta.payload_type != epoch.source_payload_type;
        if live.broken {
            self.set_live(live);
            if !meta.start {
                return Err(DropReason::AwaitingKeyFrame);
            }
            let again = Staged {
                track: live.track,
                key: live.key,
                limit: live.wanted,
            };
            // A target that waits goes on waiting: only what is shown begins anew.
            let before = self.state;
            self.switch(now, again, view, meta.seq, queue)?;
            if let (Some(live), SlotState::Switching { staged, .. }) = (self.live(), before) {
                self.state = SlotState::Switching { live, staged };
            }
            return Ok(Changed {
                switched: None,
                limit: self.limit() != Some(epoch.limit),
            });
        }
        let newer = meta.seq > epoch.newest_in;
        let wanted = self.allowed(live.wanted, epoch.codec);
        let mut changed = Changed::default();
        if newer {
            if wanted != epoch.limit && meta.frame_start {
                let limit = next_limit(epoch.limit, wanted, meta, view.layers.map(LayerTable::top));
                if limit != epoch.limit {
                    epoch = self.set_limit(live, &epoch, view.ring, meta, limit);
                    changed.limit = true;
                }
            }
            epoch.newest_in = meta.seq;
            self.clock = view.clock;
            self.epochs.set_newest(epoch.tag, meta.seq);
            self.rate_bps = view.rate_up_to(&epoch.limit);
        } else if meta.seq < epoch.first_in {
            epoch = *self.epochs.at(epoch.tag, meta.seq).ok_or(DropReason::BeforeSwitch)?;
            if meta.seq > epoch.newest_in {
                self.epochs.set_newest(epoch.tag, meta.seq);
            }
        }

        let excluded = epoch.limit.excludes(&meta.layer);
        if excluded && (newer || view.ring.is_counted(meta.seq)) {
            let waits = wanted != epoch.limit && !wanted.excludes(&meta.layer);
            // What is wanted and cannot be shown without its beginning: one that was lost is asked for again.
            return Err(if waits && meta.layer.spatial > epoch.limit.spatial {
                DropReason::AwaitingKeyFrame
            } else {
                DropReason::AboveLimit
            });
        }
        let out_seq = epoch.out_seq(view.ring, meta.seq).ok_or(DropReason::BeforeSwitch)?;
        let fresh = self.last.is_none_or(|last| out_seq > last.out_seq);
        if newer || fresh {
            // A late packet may be the newest that leaves, when all behind it lies above the limit.
            self.advance(&epoch, view, stored, out_seq);
        } else if self.history.contains(out_seq) {
            return Err(DropReason::Duplicate);
        } else if self
            .newest_out()
            .is_none_or(|newest| !self.history.reaches(out_seq, newest))
        {
            // The history cannot tell whether it was sent.
            return Err(DropReason::TooOld);
        }
        if excluded {
            self.enqueue(epoch.tag, meta.seq, out_seq, What::Filler, queue)?;
            return Ok(changed);
        }
        let again = epoch.rtx_payload_type.is_some() && is_late(view, meta);
        self.enqueue(epoch.tag, meta.seq, out_seq, What::Media, queue)?;
        if again {
            // A full queue costs the copy and nothing else.
            let _ = queue.push(Descriptor {
                in_seq: meta.seq,
                slot: self.index,
                tag: epoch.tag,
                what: What::MediaAgain,
            });
        }
        Ok(changed)
    }

    /// Are the bounds of the viewer's jitter buffer told with the next packet? Until a report shows that some arrived, and now and then.
    pub fn needs_playout_delay(&mut self, now: Time) -> bool {
        if self.kind == Kind::Audio || self.confirmed && now < self.playout_at {
            return false;
        }
        self.playout_at = now + PLAYOUT_TIME;
        true
    }

    fn enqueue(&mut self, tag: u8, in_seq: u64, out_seq: u64, what: What, queue: &mut Queue) -> Result<(), DropReason> {
        let queued = queue.push(Descriptor {
            in_seq,
            slot: self.index,
            tag,
            what,
        });
        if !queued {
            return Err(DropReason::QueueFull);
        }
        self.history.note(queue.now, out_seq, in_seq, tag, what);
        Ok(())
    }

    /// Use up a number between two complete pictures, for a packet of padding: the number, its timestamp and payload type. What
    /// follows is numbered one higher. Nothing of the slot may be queued.
    pub fn skip_number(&mut self, ring: &Ring) -> Option<(u64, u32, u8)> {
        let live = self.live().filter(|live| !live.broken)?;
        let last = self.last.filter(|last| last.frame_end)?;
        let (number, mut next) = self.epochs.get(live.tag)?.after_padding(ring)?;
        // An epoch of padding alone is stretched: four of them must not push out what is still asked for again.
        if self
            .epochs
            .get(live.tag)
            .is_some_and(|epoch| epoch.first_in != next.first_in)
        {
            self.tag = self.tag.wrapping_add(1);
            next.tag = self.tag;
        }
        self.epochs.push(next);
        self.set_live(Live { tag: next.tag, ..live });
        self.last = Some(Last {
            out_seq: number,
            ..last
        });
        Some((number, last.out_timestamp, next.payload_type))
    }

    /// A payload type of retransmissions, whatever of.
    pub fn rtx_payload_type(&self) -> Option<u8> {
        self.codecs.rtx_payload_type()
    }

    /// Timestamp of the newest packet; 0 before the first.
    pub fn last_timestamp(&self) -> u32 {
        self.last.map_or(0, |last| last.out_timestamp)
    }

    fn set_live(&mut self, new: Live) {
        match &mut self.state {
            SlotState::Idle | SlotState::Staging(_) => {}
            SlotState::Live(live) | SlotState::Switching { live, .. } => *live = new,
        }
    }

    /// The payload type for a packet of the encoding. The view describes the newest packet, which may be of another codec.
    fn payload_type_of(&self, meta: &PacketMeta, view: &EncodingView<'_>) -> Option<CodecSpec> {
        let codec = meta.detail.codec();
        if view.codec.codec == codec && view.codec.payload_type == meta.payload_type {
            return self.codecs.of_source(&view.codec);
        }
        self.codecs.of_codec(codec)
    }
}

/// Does more of what is shown begin with a key frame only? Temporal layers begin by themselves.
fn needs_key_frame(shown: Limit, wanted: Limit, top: Option<Layer>) -> bool {
    wanted.spatial > shown.spatial && top.is_none_or(|top| top.spatial > shown.spatial)
}
