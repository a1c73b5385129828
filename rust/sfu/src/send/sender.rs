//! The viewing side of one transport. Long, because slots, queues, pacer and estimate meet here and borrow from each other; what each of them
//! does stands in its own file.

use std::time::Duration;

use super::pacer::{Pace, Pacer};
use super::probe::Prober;
use super::queue::{Descriptor, Queue, What};
use super::reports::Feedback;
use super::seal::MAX_DATAGRAM;
use super::slot::{Slot, Staged};
use crate::bandwidth::{Config, Estimator};
use crate::choice::{BandwidthSpec, PlayoutDelay};
use crate::command::{Codec, CodecSpec, ExtensionKind, Kind, MAX_CODECS, MAX_MEDIA, RefusalCode, SlotSpec};
use crate::encoding::{EncodingKey, EncodingView, Encodings};
use crate::ids::{Mid, Ssrc, TrackId};
use crate::layer::Limit;
use crate::outbox::{Outbox, Path, SAFE_PAYLOAD};
use crate::reason::DropReason;
use crate::rtp::ext::ExtensionMap;
use crate::rtp::rtcp::Rtcp;
use crate::stats::Stats;
use crate::time::Time;
use crate::transport::srtp::SrtpOut;

/// Place of a slot among the slots of its transport. Never changes.
pub type SlotIndex = u16;

/// Video packets that wait for the pacer: 0.4 s at 30 Mb/s.
const VIDEO_QUEUE: usize = 1024;
/// Audio packets that wait for the next flush.
const AUDIO_QUEUE: usize = 256;
/// Room for them at first: sound leaves with the next flush, so one or two packets of each slot wait.
const AUDIO_FIRST: usize = 16;
/// Video that waits longer than this is not what the line carries any more.
const STALE: Duration = Duration::from_millis(500);
/// Retransmissions that wait for the pacer.
const RETRANSMISSION_QUEUE: usize = 256;

/// What became of a bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Nothing shows until a key frame of the target comes: ask for one.
    pub needs_key_frame: bool,
    /// The slot switched at once, to a key frame that was still there.
    pub switched: Option<(TrackId, Option<EncodingKey>)>,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forwarded {
    /// The slot switched at this packet: to this track, from this encoding if it showed any.
    pub switched: Option<(TrackId, Option<EncodingKey>)>,
    /// From this packet on the slot shows more or less of its encoding.
    pub limit_changed: bool,
}

/// The viewing side of one transport: its slots, their queues, and the pacer that they share.
#[derive(Debug)]
pub struct Sender {
    pub(super) slots: Vec<Slot>,
    pub(super) map: ExtensionMap,
    /// Bounds of the viewer's jitter buffer, as the extension has them.
    pub(super) playout_delay: Option<u32>,
    pub(super) cname: Box<str>,
    pub(super) unix_at_base_us: u64,
    /// Next transport-wide number.
    pub(super) transport_cc: u16,
    pub(super) retransmissions: Queue,
    pub(super) feedback: Feedback,
    pub(super) drops: Drops,
    pub(super) next_report: Option<Time>,
    pub(super) bandwidth: Estimator,
    pub(super) prober: Prober,
    pub(super) video: Queue,
    pub(super) pacer: Pacer,
    audio: Queue,
    /// Sum of what the shown encodings need.
    rate_bps: u64,
    /// Media and retransmission SSRCs, sorted.
    by_ssrc: Vec<(Ssrc, SlotIndex)>,
    key_frame_requests_in: u64,
}

impl Sender {
    /// A viewer with these slots, showing nothing. A slot that `add_slot` would refuse is left out: the shard validates a specification
    /// before it makes a transport. `unix_at_base_us` is the wall clock at [`Time::ZERO`], for sender reports.
    pub fn new(slots: &[SlotSpec], map: ExtensionMap, cname: String, unix_at_base_us: u64) -> Self {
        let mut sender = Self {
            slots: Vec::with_capacity(slots.len()),
            map,
            playout_delay: None,
            cname: cname.into_boxed_str(),
            unix_at_base_us,
            transport_cc: 1,
            retransmissions: Queue::new(RETRANSMISSION_QUEUE),
            feedback: Feedback::default(),
            drops: Drops::default(),
            next_report: None,
            bandwidth: estimator(Time::ZERO, &map, 0),
            prober: Prober::default(),
            video: Queue::new(VIDEO_QUEUE),
            pacer: Pacer::new(),
            audio: Queue::starting_with(AUDIO_FIRST, AUDIO_QUEUE),
            rate_bps: 0,
            by_ssrc: Vec::with_capacity(slots.len() * 2),
            key_frame_requests_in: 0,
        };
        for slot in slots {
            let _ = sender.add_slot(slot);
        }
        sender
    }

    /// The same with an estimate that begins as specified. Before anything is sent.
    pub fn with_bandwidth(mut self, now: Time, spec: &BandwidthSpec) -> Self {
        self.bandwidth = estimator(now, &self.map, spec.initial_bps);
        self
    }

    /// One more slot, for a mid that no SDP contained or one that did.
    pub fn add_slot(&mut self, spec: &SlotSpec) -> Result<SlotIndex, RefusalCode> {
        if self.slots.len() >= MAX_MEDIA || spec.codecs.len() > MAX_CODECS {
            return Err(RefusalCode::TooMany);
        }
        if spec.codecs.iter().any(|codec| codec.payload_type > 127) {
            return Err(RefusalCode::Invalid);
        }
        if spec.codecs.iter().any(|codec| codec.codec.kind() != spec.kind) {
            return Err(RefusalCode::KindMismatch);
        }
        let taken = |ssrc| self.slot_of_ssrc(ssrc).is_some();
        if self.slot(spec.mid).is_some() || spec.ssrc == spec.rtx_ssrc || taken(spec.ssrc) || taken(spec.rtx_ssrc) {
            return Err(RefusalCode::Duplicate);
        }
        let index = SlotIndex::try_from(self.slots.len()).map_err(|_| RefusalCode::TooMany)?;
        let takes_dependency = self.map.has(ExtensionKind::DependencyDescriptor);
        self.slots.push(Slot::new(index, spec, takes_dependency));
        for ssrc in [spec.ssrc, spec.rtx_ssrc] {
            let at = self.by_ssrc.partition_point(|(other, _)| *other < ssrc);
            self.by_ssrc.insert(at, (ssrc, index));
        }
        Ok(index)
    }

    /// The slot of this mid.
    pub fn slot(&self, mid: Mid) -> Option<SlotIndex> {
        self.slots.iter().find(|slot| slot.mid == mid).map(|slot| slot.index)
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Show `key`, an encoding of `track`, in a slot, as soon as it can start. Until then the slot shows what it shows. A target that
    /// already waits in the slot is replaced. Of `key`, layers up to `limit` are shown; the same `key` with another limit changes only that, at
    /// the next picture that allows it.
    #[allow(clippy::too_many_arguments)] // One call, one order of the control plane; the shard looks everything up.
    pub fn bind(
        &mut self,
        now: Time,
        slot: SlotIndex,
        track: TrackId,
        key: EncodingKey,
        limit: Limit,
        view: Option<EncodingView<'_>>,
        codecs: &[CodecSpec],
        kind: Kind,
    ) -> Result<Binding, RefusalCode> {
        let slot = self.slots.get_mut(usize::from(slot)).ok_or(RefusalCode::UnknownSlot)?;
        if slot.kind != kind {
            return Err(RefusalCode::KindMismatch);
        }
        if !slot.accepts_any(codecs) {
            return Err(RefusalCode::CodecNotNegotiated);
        }
        let queue = match kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        };
        queue.now = now;
        let rate_before = slot.rate_bps;
        let (needs_key_frame, switched) = slot.bind(now, Staged { track, key, limit }, view, queue);
        self.rate_bps = self.rate_bps.saturating_sub(rate_before).saturating_add(slot.rate_bps);
        self.next_report = earlier(self.next_report, slot.report_at);
        Ok(Binding {
            needs_key_frame,
            switched,
        })
    }

    /// Show nothing in a slot. Packets of it that still wait are not sent.
    pub fn unbind(&mut self, _now: Time, slot: SlotIndex) {
        if let Some(slot) = self.slots.get_mut(usize::from(slot)) {
            self.rate_bps = self.rate_bps.saturating_sub(slot.rate_bps);
            slot.unbind();
        }
    }

    /// The encoding that a slot shows.
    pub fn showing(&self, slot: SlotIndex) -> Option<EncodingKey> {
        self.slots.get(usize::from(slot))?.showing()
    }

    /// Tell the viewer these bounds of its jitter buffer, where it negotiated to be told.
    pub fn set_playout_delay(&mut self, delay: Option<PlayoutDelay>) {
        // Twelve bits each, in units of 10 ms.
        let field = |ms: u16| u32::from(ms / 10).min(0xfff);
        self.playout_delay = delay
            .filter(|_| self.map.has(ExtensionKind::PlayoutDelay))
            .map(|delay| field(delay.min_ms) << 12 | field(delay.max_ms.max(delay.min_ms)));
    }

    /// Can the viewer be given less than a whole encoding of this codec? AV1 without dependency descriptors is shown whole, whatever limit is
    /// asked for.
    pub fn can_limit(&self, codec: Codec) -> bool {
        codec != Codec::Av1 || self.map.has(ExtensionKind::DependencyDescriptor)
    }

    /// How much of it a slot shows. What was asked for last may wait for a picture that allows it.
    pub fn limit(&self, slot: SlotIndex) -> Option<Limit> {
        self.slots.get(usize::from(slot))?.limit()
    }

    /// How much was asked for last, of what a slot awaits or else of what it shows.
    pub fn wanted_limit(&self, slot: SlotIndex) -> Option<Limit> {
        self.slots.get(usize::from(slot))?.wanted_limit()
    }

    /// The encoding whose start a slot awaits.
    pub fn staged(&self, slot: SlotIndex) -> Option<EncodingKey> {
        self.slots.get(usize::from(slot))?.staged()
    }

    /// An encoding is gone for good: the slot lets go of it, and keeps what else it shows or stages.
    pub fn forget(&mut self, slot: SlotIndex, key: EncodingKey) {
        let Some(slot) = self.slots.get_mut(usize::from(slot)) else {
            return;
        };
        let rate_before = slot.rate_bps;
        slot.forget(key);
        self.rate_bps = self.rate_bps.saturating_sub(rate_before).saturating_add(slot.rate_bps);
    }

    /// Every encoding that a slot shows or stages, with the slot.
    pub fn bound(&self) -> impl Iterator<Item = (SlotIndex, EncodingKey)> + '_ {
        self.slots.iter().flat_map(|slot| {
            let staged = slot.staged().filter(|key| slot.showing() != Some(*key));
            slot.showing().into_iter().chain(staged).map(|key| (slot.index, key))
        })
    }

    /// The m-line of a slot.
    pub fn mid(&self, slot: SlotIndex) -> Option<Mid> {
        self.slots.get(usize::from(slot)).map(|slot| slot.mid)
    }

    /// Queue packet `seq` of an encoding for a slot. `AwaitingKeyFrame` means that nothing can go on before a key frame of it comes.
    pub fn forward(
        &mut self,
        now: Time,
        slot: SlotIndex,
        key: EncodingKey,
        view: &EncodingView<'_>,
        seq: u64,
    ) -> Result<Forwarded, DropReason> {
        let slot = self.slots.get_mut(usize::from(slot)).ok_or(DropReason::OtherEncoding)?;
        let queue = match slot.kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        };
        queue.now = now;
        let rate_before = slot.rate_bps;
        let changed = slot.forward(now, key, view, seq, queue)?;
        if slot.rate_bps != rate_before {
            self.rate_bps = self.rate_bps.saturating_sub(rate_before).saturating_add(slot.rate_bps);
        }
        self.next_report = earlier(self.next_report, slot.report_at);
        Ok(Forwarded {
            switched: changed.switched,
            limit_changed: changed.limit,
        })
    }

    /// Take feedback in. Encodings of which the viewer wants a key frame are added to `requests`, each slot at most once per instant.
    pub fn rtcp(
        &mut self,
        now: Time,
        packet: &Rtcp<'_>,
        encodings: &impl Encodings,
        requests: &mut Vec<EncodingKey>,
    ) -> Result<(), DropReason> {
        match packet {
            Rtcp::SenderReport(report) => {
                for block in report.reports() {
                    self.report_block(now, &block);
                }
            }
            Rtcp::ReceiverReport(report) => {
                for block in report.reports() {
                    self.report_block(now, &block);
                }
            }
            Rtcp::Nack(nack) => return self.nack(now, nack.media, nack.seqs()),
            Rtcp::ReferenceTime { sender, middle } => self.feedback.clock = Some((*sender, *middle, now)),
            Rtcp::Pli { media, .. } => return self.key_frame(now, *media, encodings, requests),
            Rtcp::Fir(fir) => {
                for (media, _) in fir.entries() {
                    self.key_frame(now, media, encodings, requests)?;
                }
            }
            Rtcp::TransportCc(feedback) => self.bandwidth.feedback(now, feedback),
            Rtcp::Remb(remb) => {
                self.feedback.remb_bps = Some(remb.bitrate_bps);
                self.bandwidth.remb(now, remb.bitrate_bps);
            }
            Rtcp::Sdes | Rtcp::Bye(_) | Rtcp::Other => {}
        }
        Ok(())
    }

    /// What the viewer reported last.
    pub fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    /// Bits per second that the line to the viewer carries, as far as is known.
    pub fn estimate_bps(&self) -> u64 {
        self.bandwidth.estimate_bps()
    }

    /// What the shown layers take, and what the next better ones would take in all (0: there is nothing better): that is probed for.
    pub fn set_demand(&mut self, now: Time, sending_bps: u64, wanted_bps: u64) {
        self.bandwidth.set_demand(now, sending_bps, wanted_bps);
    }

    /// What was sent over about the last second, with retransmissions and probes, bits per second.
    pub fn sent_bps(&self, now: Time) -> u64 {
        self.bandwidth.sent_bps(now)
    }

    /// How the estimate comes about.
    pub fn bandwidth(&self) -> &Estimator {
        &self.bandwidth
    }

    /// How long video waits for the pacer.
    pub fn queue_delay(&self, now: Time) -> Duration {
        self.video.delay(now)
    }

    /// Seal what may leave now straight into `out`. `true`: `out` is full, call again after emptying it.
    ///
    /// Order: retransmissions, then video as the pacer allows, then all audio, so that an audio packet becomes the shorter tail of the
    /// run that the video began; then sender reports. While a cluster of probes is sent, what the queues do not have is repeated.
    pub fn flush(
        &mut self,
        now: Time,
        encodings: &impl Encodings,
        srtp: &mut SrtpOut,
        path: Path,
        out: &mut Outbox,
        stats: &mut Stats,
    ) -> bool {
        self.drops.move_to(stats);
        for queue in [&mut self.audio, &mut self.video] {
            for _ in 0..std::mem::take(&mut queue.refused) {
                stats.dropped.add(DropReason::QueueFull);
            }
            for _ in 0..std::mem::take(&mut queue.cut) {
                stats.dropped.add(DropReason::AboveLimit);
            }
        }
        stats.key_frame_requests_in += std::mem::take(&mut self.key_frame_requests_in);
        self.bandwidth.timeout(now);
        self.begin_probe(now);
        let pace = self.pace(now);
        self.pacer.refill(now, pace);
        self.video.now = now;
        while self.pacer.may_send() && (self.has_video_queued() || self.is_padding()) {
            if !out.has_room(MAX_DATAGRAM) {
                return true;
            }
            match self.retransmissions.pop().or_else(|| self.video.pop()) {
                Some(next) => self.send(now, &next, encodings, srtp, &path, out, stats),
                None => self.pad(now, encodings, srtp, &path, out, stats),
            }
        }
        while !self.audio.is_empty() {
            if !out.has_room(MAX_DATAGRAM) {
                return true;
            }
            if let Some(next) = self.audio.pop() {
                self.send(now, &next, encodings, srtp, &path, out, stats);
            }
        }
        self.write_reports(now, encodings, srtp, path, out)
    }

    /// When `flush` wants to be called next. A time that has passed means now.
    pub fn next_timeout(&self) -> Option<Time> {
        let queued = if !self.audio.is_empty() {
            Some(self.pacer.updated())
        } else if self.has_video_queued() || self.is_padding() {
            Some(self.pacer.release_at())
        } else {
            None
        };
        let bandwidth = self.bandwidth.next_timeout(self.can_probe());
        earlier(earlier(queued, bandwidth), self.next_report)
    }

    /// Does anything wait to be sealed?
    pub fn has_queued(&self) -> bool {
        !self.audio.is_empty() || self.has_video_queued()
    }

    fn has_video_queued(&self) -> bool {
        !(self.video.is_empty() && self.retransmissions.is_empty())
    }

    fn pace(&self, now: Time) -> Pace {
        if let Some(probe) = self.bandwidth.probing() {
            return Pace::Probe(probe.bps);
        }
        match self.bandwidth.pace_bps(now) {
            None => Pace::Media(self.rate_bps),
            // Whoever chooses layers has not seen to it: better too much on the line than for ever more in memory.
            Some(bps) if self.video.delay(now) > STALE => Pace::Line(bps.max(self.rate_bps + self.rate_bps / 4)),
            Some(bps) if self.bandwidth.is_limit_known(now) => Pace::Line(bps),
            Some(bps) => Pace::Open(bps),
        }
    }

    /// Bytes of memory of this viewer, itself included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.slots.iter().map(Slot::memory).sum::<usize>()
            + self.by_ssrc.capacity() * size_of::<(Ssrc, SlotIndex)>()
            + [&self.audio, &self.video, &self.retransmissions]
                .iter()
                .map(|queue| queue.memory())
                .sum::<usize>()
            + self.cname.len()
            + self.bandwidth.memory_bytes()
    }

    /// The slot that sends on this SSRC, media or retransmission.
    pub(super) fn slot_of_ssrc(&self, ssrc: Ssrc) -> Option<SlotIndex> {
        let at = self.by_ssrc.partition_point(|(other, _)| *other < ssrc);
        self.by_ssrc
            .get(at)
            .filter(|(other, _)| *other == ssrc)
            .map(|(_, slot)| *slot)
    }

    fn key_frame(
        &mut self,
        now: Time,
        media: Ssrc,
        encodings: &impl Encodings,
        requests: &mut Vec<EncodingKey>,
    ) -> Result<(), DropReason> {
        let index = self.slot_of_ssrc(media).ok_or(DropReason::FeedbackUnknownSsrc)?;
        let slot = self
            .slots
            .get_mut(usize::from(index))
            .ok_or(DropReason::FeedbackUnknownSsrc)?;
        self.key_frame_requests_in += 1;
        // What is staged will replace what the viewer sees, so its key frame mends both.
        let wanted = slot.staged().or(slot.showing());
        let Some(key) = wanted.filter(|_| slot.kind == Kind::Video) else {
            return Ok(());
        };
        if slot.asked == Some((now, key)) || encodings.encoding(key).is_none() {
            return Ok(());
        }
        slot.asked = Some((now, key));
        requests.push(key);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // The inner step of `flush`, with what `flush` was given.
    pub(super) fn send(
        &mut self,
        now: Time,
        next: &Descriptor,
        encodings: &impl Encodings,
        srtp: &mut SrtpOut,
        path: &Path,
        out: &mut Outbox,
        stats: &mut Stats,
    ) {
        let len = match self.seal(now, next, encodings, srtp, out.spare()) {
            Ok(len) => len,
            Err(reason) => {
                stats.dropped.add(reason);
                return;
            }
        };
        out.commit(*path, len);
        self.spend(now, len);
        match next.what {
            What::Media | What::ParameterSets | What::Filler => stats.rtp_out += 1,
            What::MediaAgain | What::ParameterSetsAgain => stats.retransmissions_out += 1,
        }
        if len > SAFE_PAYLOAD {
            stats.oversize_out += 1;
        }
    }
}

/// The estimate for a viewer who negotiated these extensions.
fn estimator(now: Time, map: &ExtensionMap, initial_bps: u64) -> Estimator {
    let mut config = Config::default();
    if initial_bps > 0 {
        config.initial_bps = initial_bps;
    }
    // Receivers answer abs-send-time by estimates of their own (goog-remb), as the answer says where transport-cc is missing.
    if map.has(ExtensionKind::TransportCc) || map.has(ExtensionKind::AbsSendTime) {
        Estimator::new(now, config)
    } else {
        Estimator::without_feedback(now, config)
    }
}

/// Reasons counted where no [`Stats`] are at hand; `flush` hands them over.
#[derive(Debug)]
pub(super) struct Drops {
    counts: [u32; DropReason::ALL.len()],
    any: bool,
}

impl Default for Drops {
    fn default() -> Self {
        Self {
            counts: [0; DropReason::ALL.len()],
            any: false,
        }
    }
}

impl Drops {
    /// Count one more.
    pub fn add(&mut self, reason: DropReason) {
        self.any = true;
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count = count.saturating_add(1);
        }
    }

    fn move_to(&mut self, stats: &mut Stats) {
        if !std::mem::take(&mut self.any) {
            return;
        }
        for (count, reason) in self.counts.iter_mut().zip(DropReason::ALL) {
            for _ in 0..std::mem::take(count) {
                stats.dropped.add(*reason);
            }
        }
    }
}

fn earlier(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
