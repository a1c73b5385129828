//! The viewing side as a whole, driven by the input: packets that are lost, late or from another time, switches, NACKs, time. No number of an
//! SSRC is ever sealed twice, numbers go on in order, and a retransmission repeats what it names.
#![no_main]

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rostra_sfu::codec::h264::ParameterSets;
use rostra_sfu::codec::parse;
use rostra_sfu::command::{Codec, CodecSpec, ExtensionKind, ExtensionSpec, Kind, SlotSpec, SrtpProfile};
use rostra_sfu::encoding::{ClockMap, EncodingKey, EncodingView, Encodings};
use rostra_sfu::ids::{Mid, Ssrc, TrackId};
use rostra_sfu::layer::Limit;
use rostra_sfu::meta::PacketMeta;
use rostra_sfu::outbox::{Outbox, Path, Via};
use rostra_sfu::reason::DropReason;
use rostra_sfu::ring::{AUDIO_PACKETS, Ring};
use rostra_sfu::rtp::ext::{ExtensionMap, Place};
use rostra_sfu::rtp::header::RtpHeader;
use rostra_sfu::rtp::rtcp::{RtcpWriter, packets};
use rostra_sfu::rtp::seq::SeqExtender;
use rostra_sfu::send::{Sender, SlotIndex};
use rostra_sfu::stats::Stats;
use rostra_sfu::time::Time;
use rostra_sfu::transport::classify::{Class, classify};
use rostra_sfu::transport::srtp::{KeyingHalf, SrtpIn, SrtpOut};

const CODECS: [Codec; 6] = [Codec::Vp8, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1, Codec::Opus];
const AUDIO: usize = 5;
const VIDEO_SLOTS: u16 = 2;
const AUDIO_SLOT: SlotIndex = 2;

fn spec(codec: Codec) -> CodecSpec {
    let payload_type = 96 + 2 * CODECS.iter().position(|one| *one == codec).unwrap_or(0) as u8;
    CodecSpec {
        payload_type,
        codec,
        rtx_payload_type: Some(payload_type + 1),
        profile: 0,
        packetization_mode: u8::from(codec == Codec::H264),
    }
}

struct Source {
    key: EncodingKey,
    codec: Codec,
    ring: Ring,
    start: Option<u64>,
    sets: ParameterSets,
    next: u64,
    timestamp: u32,
}

impl Source {
    fn new(n: usize) -> Self {
        let codec = CODECS[n];
        Self {
            key: EncodingKey {
                track: n as u32,
                generation: 0,
                encoding: 0,
            },
            codec,
            // Fewer than the product has, so that inputs reach the end of it.
            ring: Ring::new(2 * AUDIO_PACKETS),
            start: None,
            sets: ParameterSets::default(),
            next: 70_000 + 11_000 * n as u64,
            timestamp: 0xffff_0000,
        }
    }

    fn view(&self) -> EncodingView<'_> {
        EncodingView {
            ring: &self.ring,
            codec: spec(self.codec),
            start: self.start.filter(|start| self.ring.get(*start).is_some()),
            clock: Some(ClockMap {
                at: Time::ZERO,
                rtp: 0,
                from_report: false,
            }),
            rate_bps: 2_000_000,
            parameter_sets: &self.sets,
            layers: None,
            structure: None,
        }
    }

    /// One packet, number `seq`; `shape` says what it is. Equal numbers give equal packets.
    fn store(&mut self, now: Time, seq: u64, shape: u8) -> bool {
        let (first, last, key) = (shape & 1 != 0, shape & 2 != 0, shape & 4 != 0);
        let id = (seq / 3) as u8;
        let mut payload = match self.codec {
            Codec::Opus | Codec::MultiOpus => vec![0x78],
            Codec::Vp8 if shape & 8 != 0 => vec![0x80 | u8::from(first) << 4, 0x80, id & 0x7f, u8::from(!key)],
            Codec::Vp8 => vec![
                0x80 | u8::from(first) << 4,
                0xe0,
                0x80,
                id,
                id,
                if key { 0x20 } else { shape & 0xe0 },
                u8::from(!key),
            ],
            Codec::Vp9 if shape & 8 != 0 => vec![
                0xa0 | u8::from(!key) << 6 | u8::from(first) << 3 | u8::from(last) << 2,
                0x80,
                id,
                (if key { 0 } else { shape & 0xc0 }) >> 1 | shape & 0x10 | shape >> 4 & 2,
                id,
            ],
            Codec::Vp9 => vec![
                0x80 | u8::from(!key) << 6 | u8::from(first) << 3 | u8::from(last) << 2,
                0x80,
                id,
            ],
            Codec::H264 if shape & 8 != 0 => vec![0x67, 0x42, 0xe0, 0x1f, id],
            Codec::H264 => vec![0x7c, u8::from(first) << 7 | if key { 5 } else { 1 }, 0x80],
            Codec::Av1 => vec![0x10 | u8::from(key && first) << 3 | u8::from(!first) << 7, 0x30],
        };
        payload.extend(seq.to_be_bytes());
        payload.resize(20 + usize::from(shape) * 4, shape);
        let Ok(parsed) = parse(self.codec, &payload, last) else {
            return false;
        };
        if first {
            self.timestamp = self.timestamp.wrapping_add(3000);
        }
        let mut packet = vec![0; 12];
        packet.extend(&payload);
        let meta = PacketMeta {
            seq,
            arrival: now,
            timestamp: self.timestamp,
            payload_at: 12,
            payload_len: payload.len() as u16,
            marker: last,
            payload_type: spec(self.codec).payload_type,
            audio_level: None,
            voice: false,
            frame_start: parsed.frame_start,
            frame_end: parsed.frame_end,
            start: parsed.start,
            key: parsed.key,
            layer: parsed.layer,
            switches: 0,
            dependency: Place::default(),
            capture_time: Place::default(),
            detail: parsed.detail,
        };
        if !self.ring.store(meta, &packet) {
            return false;
        }
        if self.codec == Codec::H264 {
            self.sets.note(&payload);
        }
        if meta.start {
            self.start = self.start.max(Some(seq));
        }
        true
    }
}

struct Sources(Vec<Source>);

impl Encodings for Sources {
    fn encoding(&self, key: EncodingKey) -> Option<EncodingView<'_>> {
        self.0.iter().find(|source| source.key == key).map(Source::view)
    }
}

fn media(slot: SlotIndex) -> Ssrc {
    // The first number sent is near the end of the lower half.
    Ssrc(0x1000_3ff0 + u32::from(slot) * 0x10_0000)
}

fn again(slot: SlotIndex) -> Ssrc {
    Ssrc(media(slot).0 + 1)
}

fn slot(index: SlotIndex) -> SlotSpec {
    let kind = if index == AUDIO_SLOT { Kind::Audio } else { Kind::Video };
    let mut codecs: Vec<_> = CODECS
        .iter()
        .filter(|codec| codec.kind() == kind)
        .map(|codec| spec(*codec))
        .collect();
    codecs.dedup();
    SlotSpec {
        mid: Mid::new(index.to_string().as_bytes()).expect("short"),
        kind,
        ssrc: media(index),
        rtx_ssrc: again(index),
        codecs,
    }
}

struct World {
    now: Time,
    sources: Sources,
    sender: Sender,
    out: SrtpOut,
    inn: SrtpIn,
    outbox: Outbox,
    stats: Stats,
    extenders: HashMap<Ssrc, SeqExtender>,
    /// Hash of every packet by SSRC and index.
    sealed: HashMap<(Ssrc, u64), u64>,
    /// Hash of every payload that could be read, by SSRC and sequence number on the wire.
    payloads: HashMap<(Ssrc, u16), Option<u64>>,
    /// Highest index of each SSRC.
    newest: HashMap<Ssrc, u64>,
    transport_cc: Option<u16>,
    map: ExtensionMap,
}

impl World {
    fn new() -> Self {
        let map = ExtensionMap::new(&[
            ExtensionSpec {
                id: 3,
                kind: ExtensionKind::TransportCc,
            },
            ExtensionSpec {
                id: 4,
                kind: ExtensionKind::Mid,
            },
        ]);
        let profile = SrtpProfile::AeadAes128Gcm;
        let keys = KeyingHalf::new(profile, &[7; 16], &[9; 12]).expect("of the right lengths");
        let slots: Vec<_> = (0..=VIDEO_SLOTS).map(slot).collect();
        Self {
            now: Time(1_000_000),
            sources: Sources((0..CODECS.len()).map(Source::new).collect()),
            sender: Sender::new(&slots, map, "viewer".to_owned(), 1_700_000_000_000_000),
            out: SrtpOut::new(profile, &keys),
            inn: SrtpIn::new(profile, &keys),
            outbox: Outbox::default(),
            stats: Stats::default(),
            extenders: HashMap::new(),
            sealed: HashMap::new(),
            payloads: HashMap::new(),
            newest: HashMap::new(),
            transport_cc: None,
            map,
        }
    }

    /// The packet is there: each slot that draws from its source is offered it.
    fn offer(&mut self, n: usize, seq: u64) {
        let source = &self.sources.0[n];
        for slot in 0..=VIDEO_SLOTS {
            if self.sender.showing(slot) == Some(source.key) || self.sender.staged(slot) == Some(source.key) {
                let _ = self.sender.forward(self.now, slot, source.key, &source.view(), seq);
            }
        }
    }

    fn flush(&mut self) {
        let path = Path {
            local: SocketAddr::from(([127, 0, 0, 1], 1)),
            remote: SocketAddr::from(([127, 0, 0, 1], 2)),
            via: Via::Udp,
        };
        loop {
            let more = self.sender.flush(
                self.now,
                &self.sources,
                &mut self.out,
                path,
                &mut self.outbox,
                &mut self.stats,
            );
            let datagrams: Vec<_> = self.outbox.datagrams().map(|(_, bytes)| bytes.to_vec()).collect();
            self.outbox.clear();
            for datagram in datagrams {
                self.read(datagram);
            }
            if !more {
                break;
            }
        }
    }

    fn read(&mut self, mut datagram: Vec<u8>) {
        if classify(&datagram) == Some(Class::Rtcp) {
            let len = self
                .inn
                .open_rtcp(&mut datagram)
                .expect("each report has its own number");
            assert!(packets(&datagram[..len]).all(|packet| packet.is_ok()));
            return;
        }
        let header = RtpHeader::parse(&datagram).expect("a good header");
        let index = self.extenders.entry(header.ssrc).or_default().extend(header.seq);
        let before = self.sealed.insert((header.ssrc, index), hash(&datagram));
        assert!(before.is_none(), "{:?} {index} sealed twice", header.ssrc);
        let extensions = self.map.read(&datagram, &header);
        let number = extensions.transport_cc.expect("all are numbered");
        if let Some(last) = self.transport_cc {
            assert_eq!(number, last.wrapping_add(1));
        }
        self.transport_cc = Some(number);

        let newest = self.newest.entry(header.ssrc).or_insert(index);
        let len = match self.inn.open_rtp(&mut datagram, header.header_len) {
            Ok(len) => len,
            // The receiving side remembers 128 packets; what is later than that it cannot read.
            Err(DropReason::SrtpReplay) if index + 128 <= *newest => {
                self.payloads.insert((header.ssrc, header.seq), None);
                return;
            }
            Err(reason) => panic!("{:?} {index} after {newest}: {reason}", header.ssrc),
        };
        let plain = &datagram[..len];
        let payload = &plain[header.payload(plain).expect("no padding")];
        if let Some(slot) = (0..=VIDEO_SLOTS).find(|slot| again(*slot) == header.ssrc) {
            assert!(
                index == *newest || index == *newest + 1,
                "retransmissions are numbered without gaps"
            );
            *newest = index;
            let (number, original) = payload.split_at(2);
            let seq = u16::from_be_bytes([number[0], number[1]]);
            let sent = self
                .payloads
                .get(&(media(slot), seq))
                .expect("what is repeated was sent");
            assert!(
                sent.is_none_or(|sent| sent == hash(original)),
                "{slot} {seq} is not what it was"
            );
            return;
        }
        // Late packets fill gaps that the history still knows; everything else goes forward.
        assert!(index + 512 > *newest, "{index} after {newest}");
        assert!(index < *newest + 30_000, "{index} after {newest}");
        *newest = index.max(*newest);
        self.payloads.insert((header.ssrc, header.seq), Some(hash(payload)));
    }

    fn nack(&mut self, ssrc: Ssrc, first: u16, count: u16) {
        let seqs: Vec<_> = (0..count).map(|n| first.wrapping_add(n)).collect();
        let mut bytes = [0; 1400];
        let mut writer = RtcpWriter::new(&mut bytes);
        writer.nack(Ssrc(1), ssrc, &seqs);
        writer.pli(Ssrc(1), ssrc);
        let len = writer.len();
        let mut requests = Vec::new();
        for packet in packets(&bytes[..len]) {
            let packet = packet.expect("our own");
            let _ = self.sender.rtcp(self.now, &packet, &self.sources, &mut requests);
        }
        assert!(requests.len() <= 1);
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

// Three bytes a step: what, and two arguments.
fuzz_target!(|input: &[u8]| {
    let mut world = World::new();
    for step in input.chunks_exact(3).take(3000) {
        let (a, b) = (step[1], step[2]);
        let n = usize::from(a) % CODECS.len();
        let slot = if n == AUDIO {
            AUDIO_SLOT
        } else {
            u16::from(b) % VIDEO_SLOTS
        };
        match step[0] % 12 {
            // The next packets in order, some of them lost.
            0..=3 => {
                for i in 0..1 + step[0] / 64 {
                    let source = &mut world.sources.0[n];
                    let seq = source.next;
                    source.next += 1 + u64::from(b % 16 == 15);
                    if source.store(world.now, seq, b.wrapping_add(i)) {
                        world.offer(n, seq);
                    }
                }
            }
            // A late one, or one that is there already.
            4 => {
                let source = &mut world.sources.0[n];
                let seq = source.next.saturating_sub(1 + u64::from(b) * 5);
                source.store(world.now, seq, b);
                world.offer(n, seq);
            }
            5 | 6 => {
                let source = &world.sources.0[n];
                let view = source.ring.newest().map(|_| source.view());
                let spec = [spec(source.codec)];
                // Some of the sources have layers.
                let limit = Limit {
                    spatial: b >> 2 & 3,
                    temporal: b >> 4 & 3,
                };
                let (track, kind) = (TrackId(n as u64), source.codec.kind());
                let bound = world
                    .sender
                    .bind(world.now, slot, track, source.key, limit, view, &spec, kind);
                assert!(bound.is_ok());
            }
            7 => {
                if b & 0x80 != 0 {
                    world.sender.unbind(world.now, slot);
                } else {
                    let key = world.sources.0[n].key;
                    for slot in 0..=VIDEO_SLOTS {
                        world.sender.forget(slot, key);
                    }
                    // Its place is taken by another track.
                    let source = &mut world.sources.0[n];
                    source.key.generation += 1;
                    source.ring.clear();
                    source.start = None;
                    source.next += 5000;
                }
            }
            8 => {
                let newest = world.newest.get(&media(slot)).copied().unwrap_or(0) as u16;
                world.nack(media(slot), newest.wrapping_sub(u16::from(a) * 3), u16::from(b) + 1);
            }
            // The publisher restarts.
            9 if b % 8 == 0 => {
                let source = &mut world.sources.0[n];
                source.ring.clear();
                source.start = None;
                source.next += 70_000 + u64::from(a) * 131;
            }
            9 => world.nack(again(slot), u16::from(a) << 8, u16::from(b)),
            10 => world.now += Duration::from_micros(u64::from(a) * u64::from(b)),
            _ => world.flush(),
        }
        for slot in 0..=VIDEO_SLOTS {
            for key in [world.sender.showing(slot), world.sender.staged(slot)]
                .into_iter()
                .flatten()
            {
                assert!(
                    world.sources.0.iter().any(|source| source.key == key),
                    "a dead encoding"
                );
            }
        }
    }
    for _ in 0..1000 {
        world.now += Duration::from_millis(5);
        world.flush();
        if !world.sender.has_queued() {
            break;
        }
    }
    assert!(!world.sender.has_queued());
});
