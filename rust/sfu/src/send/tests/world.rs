//! One viewer, any number of encodings, one clock.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::source::{Made, Source, rtx_ssrc, slot_spec, ssrc};
use crate::command::{Codec, ExtensionKind, ExtensionSpec, Kind, SlotSpec, SrtpProfile};
use crate::encoding::{EncodingKey, EncodingView, Encodings};
use crate::ids::Ssrc;
use crate::layer::Limit;
use crate::outbox::{Outbox, Path, Via};
use crate::reason::DropReason;
use crate::rtp::ext::ExtensionMap;
use crate::rtp::header::RtpHeader;
use crate::rtp::rtcp::{ReportBlock, Rtcp, RtcpWriter, packets};
use crate::rtp::seq::SeqExtender;
use crate::send::{Binding, Sender, SlotIndex};
use crate::stats::Stats;
use crate::time::Time;
use crate::transport::srtp::{KeyingHalf, SrtpIn, SrtpOut};

pub const VIDEO: SlotIndex = 0;
pub const AUDIO: SlotIndex = 1;
pub const UNIX_AT_BASE_US: u64 = 1_700_000_000_000_000;
pub const MS: u64 = 1_000;
pub const VIDEO_CODECS: [Codec; 4] = [Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1];

/// A packet as the viewer reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub at: Time,
    pub ssrc: Ssrc,
    /// Extended; retransmissions have their own.
    pub seq: u64,
    pub timestamp: u32,
    pub payload_type: u8,
    pub marker: bool,
    pub mid: bool,
    pub transport_cc: Option<u16>,
    pub abs_send_time: Option<u32>,
    pub payload: Vec<u8>,
    pub dependency: Option<Vec<u8>>,
    pub capture_time: Option<Vec<u8>>,
    pub playout_delay: Option<u32>,
}

/// A sender report as the viewer reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeenReport {
    pub at: Time,
    pub ssrc: Ssrc,
    pub ntp: u64,
    pub rtp: u32,
    pub packets: u32,
    pub octets: u32,
}

#[derive(Debug, Default)]
pub struct Sources(pub Vec<Source>);

impl Encodings for Sources {
    fn encoding(&self, key: EncodingKey) -> Option<EncodingView<'_>> {
        self.0.iter().find(|source| source.key == key).map(Source::view)
    }
}

#[derive(Debug)]
pub struct World {
    pub now: Time,
    pub sources: Sources,
    pub sender: Sender,
    pub stats: Stats,
    pub seen: Vec<Seen>,
    pub reports: Vec<SeenReport>,
    /// Opened.
    pub compounds: Vec<Vec<u8>>,
    pub runs: Vec<usize>,
    srtp_out: SrtpOut,
    srtp_in: SrtpIn,
    map: ExtensionMap,
    extenders: HashMap<Ssrc, SeqExtender>,
    sealed: HashMap<(Ssrc, u64), Vec<u8>>,
    outbox: Outbox,
}

pub fn path() -> Path {
    Path {
        local: SocketAddr::from(([127, 0, 0, 1], 1)),
        remote: SocketAddr::from(([127, 0, 0, 1], 2)),
        via: Via::Udp,
    }
}

impl World {
    /// A viewer with a video and an audio slot.
    pub fn new(codecs: &[Codec]) -> Self {
        let slots = [slot_spec(VIDEO, Kind::Video, true), slot_spec(AUDIO, Kind::Audio, true)];
        Self::with(codecs, &slots, &[ExtensionKind::Mid, ExtensionKind::TransportCc])
    }

    pub fn with(codecs: &[Codec], slots: &[SlotSpec], extensions: &[ExtensionKind]) -> Self {
        let extensions: Vec<_> = extensions
            .iter()
            .zip(1..)
            .map(|(&kind, id)| ExtensionSpec { id, kind })
            .collect();
        let map = ExtensionMap::new(&extensions);
        let profile = SrtpProfile::AeadAes128Gcm;
        let keys = KeyingHalf::new(profile, &[7; 16], &[9; 12]).unwrap();
        Self {
            now: Time(10_000_000),
            sources: Sources(
                codecs
                    .iter()
                    .zip(1..)
                    .map(|(codec, n)| Source::new(n, *codec))
                    .collect(),
            ),
            sender: Sender::new(slots, map, "viewer".into(), UNIX_AT_BASE_US),
            stats: Stats::default(),
            seen: Vec::new(),
            reports: Vec::new(),
            compounds: Vec::new(),
            runs: Vec::new(),
            srtp_out: SrtpOut::new(profile, &keys),
            srtp_in: SrtpIn::new(profile, &keys),
            map,
            extenders: HashMap::new(),
            sealed: HashMap::new(),
            outbox: Outbox::default(),
        }
    }

    pub fn source(&mut self, n: usize) -> &mut Source {
        &mut self.sources.0[n]
    }

    pub fn key(&self, n: usize) -> EncodingKey {
        self.sources.0[n].key
    }

    pub fn bind(&mut self, slot: SlotIndex, n: usize) -> Binding {
        self.bind_up_to(slot, n, Limit::ALL)
    }

    pub fn bind_up_to(&mut self, slot: SlotIndex, n: usize, limit: Limit) -> Binding {
        let source = &self.sources.0[n];
        let view = source.ring.newest().map(|_| source.view());
        self.sender
            .bind(
                self.now,
                slot,
                source.track,
                source.key,
                limit,
                view,
                &[source.spec],
                source.spec.codec.kind(),
            )
            .unwrap()
    }

    /// A packet arrives at the server and is offered to the slot.
    pub fn arrive(&mut self, slot: SlotIndex, n: usize, made: &Made) -> Result<bool, DropReason> {
        if !self.sources.0[n].store(made) {
            return Err(DropReason::Duplicate);
        }
        let source = &self.sources.0[n];
        self.sender
            .forward(self.now, slot, source.key, &source.view(), made.meta.seq)
            .map(|forwarded| forwarded.switched.is_some())
    }

    /// A whole picture arrives, in order. Says whether the slot switched.
    pub fn picture(&mut self, slot: SlotIndex, n: usize, count: usize, key: bool) -> bool {
        let now = self.now;
        let mut switched = false;
        for made in self.source(n).make(now, count, key) {
            switched |= self.arrive(slot, n, &made).unwrap_or(false);
        }
        switched
    }

    /// Pictures of 3 packets, 33 ms apart, from every listed source.
    pub fn pictures(&mut self, slot: SlotIndex, sources: &[usize], how_many: usize) {
        for _ in 0..how_many {
            for &n in sources {
                self.picture(slot, n, 3, false);
            }
            self.pass(33 * MS);
        }
    }

    /// Send what may leave now.
    pub fn flush(&mut self) {
        loop {
            let more = self.sender.flush(
                self.now,
                &self.sources,
                &mut self.srtp_out,
                path(),
                &mut self.outbox,
                &mut self.stats,
            );
            self.read();
            if !more {
                break;
            }
        }
    }

    /// Let time pass, flushing whenever the sender wants.
    pub fn pass(&mut self, micros: u64) {
        let end = self.now + Duration::from_micros(micros);
        self.flush();
        while let Some(next) = self.sender.next_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.flush();
        }
        self.now = end;
    }

    fn read(&mut self) {
        self.runs.extend(self.outbox.runs().iter().map(|run| run.count()));
        let datagrams: Vec<Vec<u8>> = self.outbox.datagrams().map(|(_, bytes)| bytes.to_vec()).collect();
        self.outbox.clear();
        for mut datagram in datagrams {
            if (192..=223).contains(&datagram[1]) {
                let len = self.srtp_in.open_rtcp(&mut datagram).unwrap();
                self.read_rtcp(&datagram[..len]);
                continue;
            }
            let header = RtpHeader::parse(&datagram).unwrap();
            // A nonce that is used twice is refused here already, as a replay.
            let len = self.srtp_in.open_rtp(&mut datagram, header.header_len).unwrap();
            datagram.truncate(len);
            let seq = self.extenders.entry(header.ssrc).or_default().extend(header.seq);
            let before = self.sealed.insert((header.ssrc, seq), datagram.clone());
            assert!(before.is_none(), "one number for two packets: {:?} {seq}", header.ssrc);
            let extensions = self.map.read(&datagram, &header);
            let payload = header.payload(&datagram).unwrap();
            self.seen.push(Seen {
                at: self.now,
                ssrc: header.ssrc,
                seq,
                timestamp: header.timestamp,
                payload_type: header.payload_type,
                marker: header.marker,
                mid: extensions.mid.is_some(),
                transport_cc: extensions.transport_cc,
                abs_send_time: extensions.abs_send_time,
                payload: datagram[payload].to_vec(),
                dependency: extensions.dependency.of(&datagram).map(<[u8]>::to_vec),
                capture_time: extensions.capture_time.of(&datagram).map(<[u8]>::to_vec),
                playout_delay: extensions.playout_delay,
            });
        }
    }

    fn read_rtcp(&mut self, compound: &[u8]) {
        self.compounds.push(compound.to_vec());
        for packet in packets(compound) {
            if let Rtcp::SenderReport(report) = packet.unwrap() {
                self.reports.push(SeenReport {
                    at: self.now,
                    ssrc: report.ssrc,
                    ntp: report.ntp,
                    rtp: report.rtp,
                    packets: report.packets,
                    octets: report.octets,
                });
            }
        }
    }

    /// The viewer sends RTCP; returns the key frames that it makes the server ask for.
    pub fn rtcp(&mut self, write: impl FnOnce(&mut RtcpWriter<'_>)) -> (Result<(), DropReason>, Vec<EncodingKey>) {
        let mut bytes = vec![0; 8192];
        let mut writer = RtcpWriter::new(&mut bytes);
        write(&mut writer);
        let len = writer.len();
        let mut requests = Vec::new();
        let mut result = Ok(());
        for packet in packets(&bytes[..len]) {
            result = result.and(
                self.sender
                    .rtcp(self.now, &packet.unwrap(), &self.sources, &mut requests),
            );
        }
        (result, requests)
    }

    pub fn nack(&mut self, slot: SlotIndex, seqs: &[u64]) -> Result<(), DropReason> {
        let seqs: Vec<u16> = seqs.iter().map(|seq| *seq as u16).collect();
        self.rtcp(|writer| assert!(writer.nack(Ssrc(1), ssrc(slot), &seqs))).0
    }

    pub fn receiver_report(&mut self, of: Ssrc) {
        let block = ReportBlock {
            ssrc: of,
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_seq: 0,
            jitter: 0,
            last_sr: 0,
            delay_since_sr: 0,
        };
        self.rtcp(|writer| assert!(writer.receiver_report(Ssrc(1), &[block])))
            .0
            .unwrap();
    }

    /// What the viewer got on the media SSRC of a slot.
    pub fn media(&self, slot: SlotIndex) -> Vec<&Seen> {
        self.seen.iter().filter(|seen| seen.ssrc == ssrc(slot)).collect()
    }

    /// What the viewer got on the retransmission SSRC of a slot.
    pub fn again(&self, slot: SlotIndex) -> Vec<&Seen> {
        self.seen.iter().filter(|seen| seen.ssrc == rtx_ssrc(slot)).collect()
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.stats.dropped.get(reason)
    }
}

/// Sequence numbers that follow each other.
pub fn assert_contiguous(seen: &[&Seen]) {
    for pair in seen.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq + 1, "at {:?}", pair[1].at);
    }
}
