//! One m-line of a viewer: a fixed SSRC and number space, and what it shows.

use std::time::Duration;

use super::SlotIndex;
use super::epoch::{Epoch, Epochs};
use super::history::History;
use super::negotiated::Negotiated;
use super::queue::{Descriptor, Queue, What};
use super::takeover::{is_late, step, with_parameter_sets};
use crate::codec::Continuity;
use crate::command::{CodecSpec, Kind, SlotSpec};
use crate::encoding::{EncodingKey, EncodingView};
use crate::ids::{Mid, Ssrc, TrackId};
use crate::meta::{Detail, PacketMeta};
use crate::reason::DropReason;
use crate::ring::{MAX_PACKET, Stored};
use crate::time::Time;

/// A cached key frame is replayed while it is younger than this: the viewer catches up with live in less time than a new key frame
/// takes to be asked for, encoded and carried.
const REPLAY_AGE: Duration = Duration::from_millis(600);
/// … and while live is not more packets ahead than this.
const REPLAY_PACKETS: u64 = 96;
/// MID is sent at least this long after a switch, besides being confirmed by a receiver report.
const MID_TIME: Duration = Duration::from_secs(2);

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

impl SlotState {
    /// A newer packet of what is shown was forwarded.
    fn set_newest(&mut self, seq: u64) {
        match self {
            Self::Idle | Self::Staging(_) => {}
            Self::Live(live) | Self::Switching { live, .. } => live.newest_in = seq,
        }
    }
}

/// An encoding whose start is awaited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged {
    /// Its track.
    pub track: TrackId,
    /// The encoding.
    pub key: EncodingKey,
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
    /// Highest number forwarded.
    newest_in: u64,
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
    mid_until: Time,
    codecs: Negotiated,
    continuity: Continuity,
    last: Option<Last>,
    tag: u8,
}

impl Slot {
    /// An empty slot. Sequence numbers begin in the lower half, so that a receiver that misses the first packets cannot take a wrap for
    /// none (RFC 3711 §3.3.1).
    pub fn new(index: SlotIndex, spec: &SlotSpec) -> Self {
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
            mid_until: Time::ZERO,
            codecs: Negotiated::new(&spec.codecs),
            continuity: Continuity::default(),
            last: None,
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
        self.history.memory() + self.codecs.memory()
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
            self.state = SlotState::Live(live);
            return (live.broken, None);
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
            if !near || !young {
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
    ) -> Result<Option<Switched>, DropReason> {
        let stored = view.ring.get(seq).ok_or(DropReason::TooOld)?;
        match self.state {
            SlotState::Live(live) | SlotState::Switching { live, .. } if live.key == key => {
                self.rate_bps = view.rate_bps;
                self.forward_live(now, live, view, stored, queue)?;
                Ok(None)
            }
            SlotState::Staging(staged) | SlotState::Switching { staged, .. } if staged.key == key => {
                if !stored.meta.start {
                    return Err(DropReason::AwaitingKeyFrame);
                }
                self.switch(now, staged, view, seq, queue).map(Some)
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
    ) -> Result<(), DropReason> {
        let meta = stored.meta;
        let Some(epoch) = self.epochs.get(live.tag) else {
            return Err(DropReason::OtherEncoding);
        };
        let capacity = view.ring.capacity() as u64;
        // A jump by more than the ring is a new time line; the receiving side has emptied the ring then.
        let jumped = meta.seq > live.newest_in + capacity || meta.seq + capacity <= live.newest_in;
        live.broken |= jumped || meta.payload_type != epoch.source_payload_type;
        if live.broken {
            self.set_live(live);
            if !meta.start {
                return Err(DropReason::AwaitingKeyFrame);
            }
            let again = Staged {
                track: live.track,
                key: live.key,
            };
            // A target that waits goes on waiting: only what is shown begins anew.
            let before = self.state;
            self.switch(now, again, view, meta.seq, queue)?;
            if let (Some(live), SlotState::Switching { staged, .. }) = (self.live(), before) {
                self.state = SlotState::Switching { live, staged };
            }
            return Ok(());
        }
        let out_seq = epoch.out_seq(meta.seq).ok_or(DropReason::BeforeSwitch)?;
        if meta.seq > live.newest_in {
            self.state.set_newest(meta.seq);
            self.last = Some(advance(&mut self.continuity, self.last, epoch, meta, out_seq));
        } else if self.history.contains(out_seq) {
            return Err(DropReason::Duplicate);
        } else if self
            .newest_out()
            .is_none_or(|newest| out_seq + self.history.capacity() as u64 <= newest)
        {
            // The history cannot tell whether it was sent.
            return Err(DropReason::TooOld);
        }
        let (tag, again) = (epoch.tag, epoch.rtx_payload_type.is_some() && is_late(view, meta));
        self.enqueue(tag, meta.seq, out_seq, What::Media, queue)?;
        if again {
            // A full queue costs the copy and nothing else.
            let _ = queue.push(Descriptor {
                in_seq: meta.seq,
                slot: self.index,
                tag,
                what: What::MediaAgain,
            });
        }
        Ok(())
    }

    /// Show `target` from packet `begin` on: a new epoch whose numbers continue where the slot is. On an error nothing changes.
    fn switch(
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
        let (next, timestamp) = match self.last {
            None => (u64::from(self.ssrc.0 & 0x3fff) + 1, self.ssrc.0),
            Some(last) => {
                // A picture that was cut must read as loss, or a decoder takes its pieces for the whole.
                let cut = self.kind == Kind::Video && !last.frame_end;
                (
                    last.out_seq + 1 + u64::from(cut),
                    last.out_timestamp
                        .wrapping_add(step(clock_hz, first.arrival.micros_since(last.arrival))),
                )
            }
        };
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
            offsets: self.continuity.offsets(&first.detail),
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
            let out_seq = epoch.first_out + (seq - begin);
            self.last = Some(advance(&mut self.continuity, self.last, &epoch, stored.meta, out_seq));
            if self.enqueue(epoch.tag, seq, out_seq, What::Media, queue).is_err() {
                queue.refused += 1;
            }
        }

        let before = self.showing();
        self.state = SlotState::Live(Live {
            track: target.track,
            key: target.key,
            tag: epoch.tag,
            newest_in,
            broken: false,
        });
        self.rate_bps = view.rate_bps;
        self.mid_until = now + MID_TIME;
        self.confirmed = false;
        self.rtx_confirmed = false;
        self.report_at = Some(now);
        Ok((target.track, before))
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
        self.history.note(out_seq, in_seq, tag, what == What::ParameterSets);
        Ok(())
    }

    /// Use up a number between two complete pictures, for a packet of padding: the number, its timestamp and payload type. What
    /// follows is numbered one higher. Nothing of the slot may be queued.
    pub fn skip_number(&mut self) -> Option<(u64, u32, u8)> {
        let live = self.live().filter(|live| !live.broken)?;
        let last = self.last.filter(|last| last.frame_end)?;
        let epoch = *self.epochs.get(live.tag)?;
        let number = last.out_seq + 1;
        let mut next = Epoch {
            first_in: live.newest_in + 1,
            first_out: number + 1,
            ..epoch
        };
        // An epoch of padding alone is stretched: four of them must not push out what is still asked for again.
        if epoch.first_in != next.first_in {
            self.tag = self.tag.wrapping_add(1);
            next.tag = self.tag;
        }
        self.epochs.push(next);
        self.set_live(Live { tag: next.tag, ..live });
        self.last = Some(Last {
            out_seq: number,
            ..last
        });
        Some((number, last.out_timestamp, epoch.payload_type))
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

/// Account for the newest packet: what the next epoch continues after.
fn advance(continuity: &mut Continuity, last: Option<Last>, epoch: &Epoch, meta: &PacketMeta, out_seq: u64) -> Last {
    continuity.sent(&meta.detail, &epoch.offsets);
    let timestamp = epoch.out_timestamp(meta.timestamp);
    // Spatial and temporal layers may interleave timestamps; the next epoch begins after the highest.
    let highest = match last {
        Some(last) if (timestamp.wrapping_sub(last.out_timestamp) as i32) < 0 => last.out_timestamp,
        _ => timestamp,
    };
    Last {
        out_seq,
        out_timestamp: highest,
        arrival: meta.arrival,
        frame_end: meta.frame_end,
    }
}
