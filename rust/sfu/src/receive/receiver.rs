//! The publishing side of one transport: packets in, packets kept, feedback out. Long, because one packet goes through all of it, and media and
//! retransmissions share the steps.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use crate::codec::{PictureIds, dependency, parse_with};
use crate::command::{Codec, ExtensionKind, Kind, ReceiveSpec};
use crate::encoding::EncodingKey;
use crate::ids::Ssrc;
use crate::meta::{Detail, PacketMeta};
use crate::reason::DropReason;
use crate::receive::allocation;
use crate::receive::clock::{PublisherClock, Timeline, ntp_micros};
use crate::receive::demux::{Demux, Route};
use crate::receive::key_frame::{Jitter, KeyFrameRequests};
use crate::receive::nack::{Arrival, NackList, Rtt};
use crate::receive::remb::Estimate;
use crate::receive::reports::Reception;
use crate::receive::rtx;
use crate::receive::sequence::{Sequence, Step};
use crate::receive::track::{TrackKey, Tracks, ring_capacity};
use crate::receive::transport_cc::TransportCcRecorder;
use crate::rtp::ext::{ExtensionMap, Extensions, Place};
use crate::rtp::header::RtpHeader;
use crate::rtp::rtcp::{ReportBlock, Rtcp, SenderReport};
use crate::time::Time;

/// Between two receiver reports on the same source. A second is what browsers use; their estimators expect no less.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Most missing packets in front of an IDR that are still asked for, as they may be its parameter sets.
const MAX_PARAMETER_GAP: u64 = 4;

/// A packet that was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Where.
    pub key: EncodingKey,
    /// Its extended sequence number: the ring has it under this.
    pub seq: u64,
    /// No packet of the track was kept before.
    pub first_of_track: bool,
    /// A decoder can start here.
    pub starts: bool,
}

/// How [`Receiver::poll_rtcp`] went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PolledRtcp {
    /// The datagram is full and more is due: call again with another one.
    pub more: bool,
}

/// What is known of the sender of one encoding. What viewers need of it is in [`Tracks`].
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: EncodingKey,
    kind: Kind,
    /// Who sends it now; from SDP before anything was heard.
    pub(super) ssrc: Option<Ssrc>,
    sequence: Sequence,
    pub(super) nack: NackList,
    pub(super) key_frames: KeyFrameRequests,
    pub(super) reception: Option<Reception>,
    timeline: Timeline,
    picture_ids: PictureIds,
}

impl Stream {
    fn new(key: EncodingKey, kind: Kind, ssrc: Option<Ssrc>) -> Self {
        let window = ring_capacity(kind) as u64;
        let clock_hz = match kind {
            Kind::Audio => Codec::Opus.clock_hz(),
            Kind::Video => Codec::Vp8.clock_hz(),
        };
        Self {
            key,
            kind,
            ssrc,
            sequence: Sequence::new(window),
            nack: NackList::new(window),
            key_frames: KeyFrameRequests::default(),
            reception: None,
            timeline: Timeline::new(clock_hz),
            picture_ids: PictureIds::default(),
        }
    }

    /// When it wants to ask the publisher for something. Without an SSRC there is nobody to ask.
    pub(super) fn due(&self) -> Option<Time> {
        self.ssrc?;
        earliest(self.nack.due(), self.key_frames.due())
    }

    /// Numbers, timestamps and statistics begin anew at the packet `first`.
    fn restart(&mut self, tracks: &mut Tracks, first: u64) {
        self.reception = Some(Reception::new(first));
        self.timeline.restart();
        self.picture_ids = PictureIds::default();
        if let Some(encoding) = tracks.encoding_mut(self.key) {
            encoding.restart();
        }
    }
}

/// What a packet says of itself, and where it belongs.
struct Incoming<'a> {
    header: &'a RtpHeader,
    extensions: Extensions,
    payload: Range<usize>,
    route: Route,
}

/// A media packet as it was sent first.
struct Original<'a> {
    packet: &'a [u8],
    payload: Range<usize>,
    seq: u64,
    /// The newest of the encoding, and no retransmission.
    newest: bool,
}

/// The publishing side of one transport.
#[derive(Debug)]
pub struct Receiver {
    map: ExtensionMap,
    pub(super) our_ssrc: Ssrc,
    demux: Demux,
    pub(super) streams: Vec<Stream>,
    by_encoding: HashMap<EncodingKey, u32>,
    clock: PublisherClock,
    pub(super) rtt: Rtt,
    pub(super) jitter: Jitter,
    pub(super) transport_cc: TransportCcRecorder,
    /// For publishers whose only feedback of this kind it is.
    pub(super) remb: Option<Box<Estimate>>,
    /// Worst fraction lost of the last report, 1/256.
    pub(super) fraction_lost: u8,
    /// Of the last packet: transport-cc feedback names one of the transport's sources, no matter which.
    pub(super) last_ssrc: Ssrc,
    pub(super) report_due: Option<Time>,
    /// The first stream that the report under way has not looked at.
    pub(super) report_from: Option<usize>,
    /// Not later than anything that is due. May be early.
    pub(super) wake: Option<Time>,
    pub(super) seqs: Vec<u16>,
    pub(super) blocks: Vec<ReportBlock>,
    /// Whether the publisher is a process of this machine.
    pub(super) is_local: bool,
    /// Sequence numbers asked for again.
    pub nacks_out: u64,
    /// Key frames asked for.
    pub key_frame_requests_out: u64,
}

impl Receiver {
    /// `keys` are the places of the tracks of `specs`, in the same order. `our_ssrc` signs our feedback.
    pub fn new(specs: &[ReceiveSpec], keys: Vec<TrackKey>, map: ExtensionMap, our_ssrc: Ssrc) -> Self {
        let streams: Vec<_> = specs
            .iter()
            .zip(&keys)
            .flat_map(|(spec, key)| {
                (0..=u8::MAX)
                    .zip(&spec.encodings)
                    .map(|(index, encoding)| Stream::new(key.encoding(index), spec.kind, encoding.ssrc))
            })
            .collect();
        Self {
            map,
            our_ssrc,
            demux: Demux::new(specs),
            by_encoding: streams.iter().map(|stream| stream.key).zip(0..).collect(),
            streams,
            clock: PublisherClock::default(),
            rtt: Rtt::default(),
            jitter: Jitter::new(u64::from(our_ssrc.0)),
            transport_cc: TransportCcRecorder::default(),
            // The answer accepts goog-remb where it does not accept transport-cc.
            remb: (map.has(ExtensionKind::AbsSendTime) && !map.has(ExtensionKind::TransportCc))
                .then(|| Box::new(Estimate::new())),
            fraction_lost: 0,
            last_ssrc: our_ssrc,
            report_due: None,
            report_from: None,
            wake: None,
            seqs: Vec::new(),
            blocks: Vec::new(),
            is_local: false,
            nacks_out: 0,
            key_frame_requests_out: 0,
        }
    }

    /// The same for a process of this machine: it repeats nothing, so a gap is given up at once, and all that it is told is who needs a key
    /// frame. `map` has nothing that asks for another kind of feedback.
    pub fn local(specs: &[ReceiveSpec], keys: Vec<TrackKey>, map: ExtensionMap, our_ssrc: Ssrc) -> Self {
        let mut receiver = Self::new(specs, keys, map, our_ssrc);
        receiver.is_local = true;
        for stream in &mut receiver.streams {
            stream.nack = NackList::hopeless();
        }
        receiver
    }

    /// Did the spec name `ssrc` as one of the track at place `line`?
    pub fn is_named(&self, ssrc: Ssrc, line: u16) -> bool {
        self.demux.is_named(ssrc, u32::from(line))
    }

    /// Take a decrypted packet in. A retransmission becomes what it repeats, in place.
    pub fn rtp(
        &mut self,
        now: Time,
        tracks: &mut Tracks,
        packet: &mut [u8],
        header: &RtpHeader,
    ) -> Result<Received, DropReason> {
        let extensions = self.map.read(packet, header);
        if let Some(seq) = extensions.transport_cc {
            self.transport_cc.arrived(now, seq);
            self.last_ssrc = header.ssrc;
            self.wake = earliest(self.wake, self.transport_cc.due());
        }
        if let (Some(estimate), Some(sent)) = (&mut self.remb, extensions.abs_send_time) {
            estimate.packet(now, sent, packet.len());
            self.last_ssrc = header.ssrc;
            self.wake = earliest(self.wake, estimate.due());
        }
        let payload = header.payload(packet)?;
        let route = self.demux.route(header.ssrc, &extensions, header.payload_type)?;
        let incoming = Incoming {
            header,
            extensions,
            payload,
            route,
        };
        let received = if route.rtx {
            self.retransmission(now, tracks, packet, &incoming)
        } else {
            self.media(now, tracks, packet, &incoming)
        };
        if let Some(stream) = self.streams.get(route.stream as usize) {
            self.wake = earliest(self.wake, stream.due());
        }
        received
    }

    fn media(
        &mut self,
        now: Time,
        tracks: &mut Tracks,
        packet: &mut [u8],
        incoming: &Incoming<'_>,
    ) -> Result<Received, DropReason> {
        let Incoming { header, route, .. } = incoming;
        let payload = incoming.payload.clone();
        let first_time = self.demux.heard(header.ssrc, route)?;
        let stream = self
            .streams
            .get_mut(route.stream as usize)
            .ok_or(DropReason::UnknownSsrc)?;
        let (seq, newest) = if stream.ssrc == Some(header.ssrc) || (first_time && stream.reception.is_none()) {
            stream.ssrc = Some(header.ssrc);
            match stream.sequence.media(header.seq) {
                Step::Newer(seq) => (seq, true),
                Step::Older(seq) => (seq, false),
                Step::Restarted { missed, seq } => {
                    stream.restart(tracks, missed);
                    if let Some(reception) = &mut stream.reception {
                        reception.unkept();
                    }
                    stream.nack.restart(missed - 1);
                    if stream.kind == Kind::Video {
                        stream.key_frames.request(now, &mut self.jitter);
                    }
                    (seq, true)
                }
                Step::Stray => return Err(DropReason::TooOld),
            }
        } else if first_time {
            // The browser replaced its sender. Viewers do not notice but for the gap in the numbers.
            stream.ssrc = Some(header.ssrc);
            let seq = stream.sequence.take_over(header.seq);
            stream.restart(tracks, seq);
            stream.nack.restart(seq - 1);
            if stream.kind == Kind::Video {
                stream.key_frames.request(now, &mut self.jitter);
            }
            (seq, true)
        } else {
            // A late packet of the sender that was replaced.
            return Err(DropReason::UnknownSsrc);
        };
        let reception = stream.reception.get_or_insert_with(|| Reception::new(seq));
        reception.packet(now, seq, header.timestamp, route.codec.codec.clock_hz());
        if self.report_due.is_none() {
            self.report_due = Some(now + REPORT_INTERVAL);
            self.wake = earliest(self.wake, self.report_due);
        }
        if payload.is_empty() {
            self.noted(now, route, seq);
            return Err(DropReason::Padding);
        }
        if let Some(first) = packet.first_mut() {
            *first &= !rtx::PADDING_BIT;
        }
        let original = Original {
            packet: packet.get(..payload.end).ok_or(DropReason::RtpMalformed)?,
            payload,
            seq,
            newest,
        };
        self.keep(now, tracks, incoming, &original)
    }

    fn retransmission(
        &mut self,
        now: Time,
        tracks: &mut Tracks,
        packet: &mut [u8],
        incoming: &Incoming<'_>,
    ) -> Result<Received, DropReason> {
        let Incoming { header, route, .. } = incoming;
        let payload = incoming.payload.clone();
        let original_seq = rtx::original_seq(packet, &payload)?;
        let stream = self
            .streams
            .get_mut(route.stream as usize)
            .ok_or(DropReason::UnknownSsrc)?;
        let ssrc = stream.ssrc.ok_or(DropReason::RtxMalformed)?;
        let seq = stream
            .sequence
            .retransmission(original_seq)
            .ok_or(DropReason::RtxMalformed)?;
        self.demux.heard(header.ssrc, route)?;
        let restored = rtx::restore(packet, header.header_len, &payload, route.codec.payload_type, ssrc)?;
        let original = Original {
            packet: restored,
            payload: header.header_len..payload.end - rtx::OSN_LEN,
            seq,
            newest: false,
        };
        self.keep(now, tracks, incoming, &original)
    }

    /// A packet came, so nobody has to ask for it, whatever is in it.
    fn noted(&mut self, now: Time, route: &Route, seq: u64) {
        let Some(stream) = self.streams.get_mut(route.stream as usize) else {
            return;
        };
        // Publishers do not keep audio for repetition unless that was negotiated.
        if stream.kind == Kind::Audio && route.codec.rtx_payload_type.is_none() {
            return;
        }
        match stream.nack.received(now, seq) {
            Arrival::Plain => {}
            Arrival::Recovered(since) => self.rtt.sample(since),
            Arrival::GaveUp => {
                if stream.kind == Kind::Video {
                    stream.key_frames.request(now, &mut self.jitter);
                }
            }
        }
    }

    fn keep(
        &mut self,
        now: Time,
        tracks: &mut Tracks,
        incoming: &Incoming<'_>,
        original: &Original<'_>,
    ) -> Result<Received, DropReason> {
        let Incoming { header, route, .. } = incoming;
        let extensions = &incoming.extensions;
        let codec = route.codec;
        self.noted(now, route, original.seq);
        let payload = original
            .packet
            .get(original.payload.clone())
            .ok_or(DropReason::RtpMalformed)?;
        let key = self
            .streams
            .get(route.stream as usize)
            .ok_or(DropReason::UnknownSsrc)?
            .key;
        let track = tracks.get_mut(key.into()).ok_or(DropReason::UnknownSsrc)?;
        if original.newest
            && let Some(bytes) = extensions.allocation.of(original.packet)
            && let Some(told) = allocation::read(bytes)
        {
            track.set_targets(key.encoding, &told);
        }
        let encoding = track.encoding_mut(key.encoding).ok_or(DropReason::UnknownSsrc)?;
        encoding.heard(now, original.packet.len());
        let dependency = extensions
            .dependency
            .of(original.packet)
            .filter(|_| matches!(codec.codec, Codec::Av1 | Codec::H264))
            .and_then(|bytes| dependency::read(bytes, &mut encoding.structure));
        let mut parsed = parse_with(codec.codec, payload, header.marker, dependency.as_ref())?;
        let stream = self
            .streams
            .get_mut(route.stream as usize)
            .ok_or(DropReason::UnknownSsrc)?;
        stream.picture_ids.extend(&mut parsed.detail);
        let (Ok(payload_at), Ok(payload_len)) = (u16::try_from(original.payload.start), u16::try_from(payload.len()))
        else {
            return Err(DropReason::TooLarge);
        };
        let meta = PacketMeta {
            seq: original.seq,
            arrival: now,
            timestamp: header.timestamp,
            payload_at,
            payload_len,
            marker: header.marker,
            payload_type: codec.payload_type,
            audio_level: extensions.audio_level.map(|(level, _)| level),
            voice: extensions.audio_level.is_some_and(|(_, voice)| voice),
            frame_start: parsed.frame_start,
            frame_end: parsed.frame_end,
            start: parsed.start,
            key: parsed.key,
            layer: parsed.layer,
            switches: dependency.map_or(0, |dependency| dependency.switches),
            dependency: dependency.map_or(Place::default(), |_| extensions.dependency),
            capture_time: extensions.capture_time,
            detail: parsed.detail,
        };
        let starts = encoding.store(codec, meta, original.packet)?;
        if original.newest {
            stream.timeline.packet(now, meta.timestamp);
            encoding.set_clock(stream.timeline.map());
        }
        if starts && stream.kind == Kind::Video {
            stream.key_frames.satisfied();
            stream.nack.key_frame(first_needed(&stream.nack, &meta));
        }
        let first_of_track = !std::mem::replace(&mut track.started, true);
        Ok(Received {
            key: stream.key,
            seq: original.seq,
            first_of_track,
            starts: starts && stream.kind == Kind::Video,
        })
    }

    /// Take one packet of a decrypted compound in. What concerns only what we send is for the viewing side.
    pub fn rtcp(&mut self, now: Time, tracks: &mut Tracks, packet: &Rtcp<'_>) {
        match packet {
            Rtcp::SenderReport(report) => self.sender_report(now, tracks, report),
            Rtcp::Bye(bye) => {
                for ssrc in bye.ssrcs() {
                    self.bye(ssrc);
                }
            }
            Rtcp::ReceiverReport(_)
            | Rtcp::Sdes
            | Rtcp::Nack(_)
            | Rtcp::Pli { .. }
            | Rtcp::Fir(_)
            | Rtcp::TransportCc(_)
            | Rtcp::Remb(_)
            | Rtcp::ReferenceTime { .. }
            | Rtcp::Other => {}
        }
    }

    fn sender_report(&mut self, now: Time, tracks: &mut Tracks, report: &SenderReport<'_>) {
        let Some(stream) = self
            .demux
            .media(report.ssrc)
            .and_then(|index| self.streams.get_mut(index as usize))
            .filter(|stream| stream.ssrc == Some(report.ssrc))
        else {
            return;
        };
        if let Some(reception) = &mut stream.reception {
            reception.sender_report(now, report.ntp);
        }
        let Some(ntp_us) = ntp_micros(report.ntp) else { return };
        if !stream.timeline.believes(now, report.rtp) {
            return;
        }
        let key = stream.key;
        if self.clock.sample(now, ntp_us) {
            for other in self.streams.iter_mut().filter(|other| other.key != key) {
                other.timeline.forget_report();
            }
        }
        for other in &mut self.streams {
            if other.key == key {
                other.timeline.report(ntp_us, report.rtp);
            }
            other.timeline.follow(&self.clock);
            if let Some(encoding) = tracks.encoding_mut(other.key) {
                encoding.set_clock(other.timeline.map());
            }
        }
    }

    fn bye(&mut self, ssrc: Ssrc) {
        if let Some(stream) = self
            .demux
            .media(ssrc)
            .and_then(|index| self.streams.get_mut(index as usize))
            .filter(|stream| stream.ssrc == Some(ssrc))
        {
            stream.nack.clear();
            stream.key_frames.satisfied();
        }
        self.demux.forget(ssrc);
    }

    /// A viewer needs a key frame. Many requests cost the publisher one.
    pub fn request_key_frame(&mut self, now: Time, key: EncodingKey, tracks: &Tracks) {
        let Some(stream) = self
            .by_encoding
            .get(&key)
            .and_then(|&index| self.streams.get_mut(index as usize))
        else {
            return;
        };
        if stream.kind == Kind::Audio || tracks.get(key.into()).is_none() {
            return;
        }
        stream.key_frames.request(now, &mut self.jitter);
        self.wake = earliest(self.wake, stream.due());
    }

    /// Round trip to the publisher, by what was asked for again; `None` while nothing was.
    pub fn round_trip(&self) -> Option<Duration> {
        self.rtt.known()
    }

    /// What the publisher was told to have lost in the last second, 1/256: its worst encoding.
    pub fn fraction_lost(&self) -> u8 {
        self.fraction_lost
    }

    /// When [`Self::poll_rtcp`] wants to be called.
    pub fn next_timeout(&self) -> Option<Time> {
        self.wake
    }
}

/// The first packet that a viewer needs who starts at the key frame of `meta`.
fn first_needed(nack: &NackList, meta: &PacketMeta) -> u64 {
    let mut first = meta.seq;
    if let Detail::H264(h264) = meta.detail
        && !h264.has_sps
    {
        while meta.seq - first < MAX_PARAMETER_GAP && nack.is_missing(first.saturating_sub(1)) {
            first -= 1;
        }
    }
    first
}

pub(super) fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
