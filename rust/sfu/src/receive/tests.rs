//! The publishing side as a whole, in virtual time. A [`Publisher`] makes the packets that a browser would.

mod feedback;
mod layers;
mod picture_ids;
mod recovery;
mod remb;
mod routing;
mod timeline;
mod tracks;

use crate::command::{Codec, CodecSpec, EncodingSpec, ExtensionKind, ExtensionSpec, Kind, ReceiveSpec};
use crate::encoding::{EncodingKey, EncodingView, Encodings};
use crate::ids::{Mid, Rid, Ssrc, TrackId, TransportId};
use crate::reason::DropReason;
use crate::receive::{Received, Receiver, TrackKey, Tracks};
use crate::rtp::ext::ExtensionMap;
use crate::rtp::header::RtpHeader;
use crate::rtp::rtcp::{ReportBlock, Rtcp, RtcpWriter, packets};
use crate::time::Time;

const OUR_SSRC: Ssrc = Ssrc(0xfeed);
const OPUS: u8 = 111;
const VP8: u8 = 96;
const VP8_RTX: u8 = 97;
const H264: u8 = 102;
const H264_RTX: u8 = 103;

fn ms(ms: u64) -> Time {
    Time(ms * 1000)
}

fn mid(name: &str) -> Mid {
    Mid::new(name.as_bytes()).expect("a short name")
}

fn rid(name: &str) -> Rid {
    Rid::new(name.as_bytes()).expect("a short name")
}

fn codec(codec: Codec, payload_type: u8, rtx_payload_type: Option<u8>) -> CodecSpec {
    CodecSpec {
        payload_type,
        codec,
        rtx_payload_type,
        profile: 0,
        packetization_mode: 0,
    }
}

fn audio(name: &str, track: u64) -> ReceiveSpec {
    ReceiveSpec {
        mid: mid(name),
        track: TrackId(track),
        kind: Kind::Audio,
        codecs: vec![codec(Codec::Opus, OPUS, None)],
        encodings: vec![EncodingSpec::default()],
    }
}

fn video(name: &str, track: u64) -> ReceiveSpec {
    ReceiveSpec {
        mid: mid(name),
        track: TrackId(track),
        kind: Kind::Video,
        codecs: vec![
            codec(Codec::Vp8, VP8, Some(VP8_RTX)),
            codec(Codec::H264, H264, Some(H264_RTX)),
        ],
        encodings: vec![EncodingSpec::default()],
    }
}

fn simulcast(name: &str, track: u64) -> ReceiveSpec {
    let encoding = |name| EncodingSpec {
        rid: Some(rid(name)),
        ..EncodingSpec::default()
    };
    ReceiveSpec {
        encodings: vec![encoding("q"), encoding("h")],
        ..video(name, track)
    }
}

/// A packet to be sent: VP8 delta picture of one packet unless changed.
#[derive(Clone, Debug)]
struct Packet {
    ssrc: u32,
    payload_type: u8,
    seq: u16,
    timestamp: u32,
    mid: Option<&'static str>,
    rid: Option<&'static str>,
    repaired_rid: Option<&'static str>,
    transport_cc: Option<u16>,
    level: Option<u8>,
    allocation: Option<&'static [u8]>,
    payload: Vec<u8>,
    padding: u8,
}

const DELTA: &[u8] = &[0x10, 0x01, 7, 7];
const KEY: &[u8] = &[0x10, 0x00, 7, 7];

impl Packet {
    fn new(ssrc: u32, payload_type: u8, seq: u16) -> Self {
        Self {
            ssrc,
            payload_type,
            seq,
            timestamp: u32::from(seq) * 3000,
            mid: None,
            rid: None,
            repaired_rid: None,
            transport_cc: None,
            level: None,
            allocation: None,
            payload: DELTA.to_vec(),
            padding: 0,
        }
    }

    fn mid(self, mid: &'static str) -> Self {
        Self { mid: Some(mid), ..self }
    }

    fn rid(self, rid: &'static str) -> Self {
        Self { rid: Some(rid), ..self }
    }

    fn repaired_rid(self, rid: &'static str) -> Self {
        Self {
            repaired_rid: Some(rid),
            ..self
        }
    }

    fn payload(self, payload: &[u8]) -> Self {
        Self {
            payload: payload.to_vec(),
            ..self
        }
    }

    fn timestamp(self, timestamp: u32) -> Self {
        Self { timestamp, ..self }
    }

    /// As a retransmission on another SSRC (RFC 4588 §4).
    fn retransmitted(self, ssrc: u32, payload_type: u8, seq: u16) -> Self {
        let payload = [&self.seq.to_be_bytes()[..], &self.payload].concat();
        Self {
            ssrc,
            payload_type,
            seq,
            payload,
            ..self
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        let mut put = |id: u8, value: &[u8]| {
            extensions.push(id << 4 | (value.len() as u8 - 1));
            extensions.extend_from_slice(value);
        };
        for (id, name) in [(1, self.mid), (2, self.rid), (3, self.repaired_rid)] {
            if let Some(name) = name {
                put(id, name.as_bytes());
            }
        }
        if let Some(seq) = self.transport_cc {
            put(4, &seq.to_be_bytes());
        }
        if let Some(level) = self.level {
            put(5, &[0x80 | level]);
        }
        if let Some(allocation) = self.allocation {
            put(6, allocation);
        }
        extensions.resize(extensions.len().next_multiple_of(4), 0);
        let flags = 0x90 | if self.padding > 0 { 0x20 } else { 0 };
        let mut bytes = vec![flags, 0x80 | self.payload_type];
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend([0xbe, 0xde]);
        bytes.extend((extensions.len() as u16 / 4).to_be_bytes());
        bytes.extend(extensions);
        bytes.extend(&self.payload);
        bytes.extend(std::iter::repeat_n(self.padding, usize::from(self.padding)));
        bytes
    }
}

/// What we sent to the publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Asked {
    Nack(u32, Vec<u16>),
    KeyFrame(u32),
    Report(Vec<ReportBlock>),
    TransportCc(Vec<(u16, Option<i64>)>),
}

struct Bench {
    now: Time,
    tracks: Tracks,
    keys: Vec<TrackKey>,
    receiver: Receiver,
}

impl Bench {
    fn new(specs: &[ReceiveSpec]) -> Self {
        use ExtensionKind as Kind;
        let kinds = [
            Kind::Mid,
            Kind::Rid,
            Kind::RepairedRid,
            Kind::TransportCc,
            Kind::AudioLevel,
            Kind::VideoLayersAllocation,
        ];
        let mut extensions: Vec<_> = (1..).zip(kinds).map(|(id, kind)| ExtensionSpec { id, kind }).collect();
        extensions.push(ExtensionSpec {
            id: 20,
            kind: Kind::DependencyDescriptor,
        });
        let mut tracks = Tracks::default();
        let keys: Vec<_> = specs.iter().map(|spec| tracks.insert(TransportId(1), spec)).collect();
        Self {
            now: Time::ZERO,
            tracks,
            receiver: Receiver::new(specs, keys.clone(), ExtensionMap::new(&extensions), OUR_SSRC),
            keys,
        }
    }

    fn send(&mut self, now: Time, packet: &Packet) -> Result<Received, DropReason> {
        self.now = now;
        let mut bytes = packet.bytes();
        let header = RtpHeader::parse(&bytes)?;
        self.receiver.rtp(now, &mut self.tracks, &mut bytes, &header)
    }

    fn key(&self, line: usize, encoding: u8) -> EncodingKey {
        self.keys[line].encoding(encoding)
    }

    fn view(&self, line: usize, encoding: u8) -> Option<EncodingView<'_>> {
        self.tracks.encoding(self.key(line, encoding))
    }

    /// Everything that is due at `now`.
    fn poll(&mut self, now: Time) -> Vec<Asked> {
        let mut asked = Vec::new();
        loop {
            let mut bytes = [0; 1200];
            let mut out = RtcpWriter::new(&mut bytes);
            let polled = self.receiver.poll_rtcp(now, &mut self.tracks, &mut out);
            let len = out.len();
            for (index, packet) in packets(&bytes[..len]).enumerate() {
                match packet.expect("our own RTCP parses") {
                    Rtcp::ReceiverReport(report) => {
                        assert_eq!((index, report.ssrc), (0, OUR_SSRC), "the report leads");
                        let blocks: Vec<_> = report.reports().collect();
                        if !blocks.is_empty() {
                            asked.push(Asked::Report(blocks));
                        }
                    }
                    Rtcp::Nack(nack) => asked.push(Asked::Nack(nack.media.0, nack.seqs().collect())),
                    Rtcp::Pli { media, .. } => asked.push(Asked::KeyFrame(media.0)),
                    Rtcp::TransportCc(feedback) => {
                        let reference = i64::from(feedback.reference) * 64_000;
                        let arrivals = feedback.arrivals();
                        asked.push(Asked::TransportCc(
                            arrivals
                                .map(|(seq, at)| (seq, at.map(|at| (reference + at) / 250)))
                                .collect(),
                        ));
                    }
                    other => panic!("unexpected {other:?}"),
                }
            }
            if !polled.more {
                return asked;
            }
            assert!(len > 0, "a promise of more without progress");
        }
    }

    /// Everything that is asked for from now until `until`, at the times that the receiver names; reports left out.
    fn run(&mut self, until: Time) -> Vec<(Time, Asked)> {
        let mut all = Vec::new();
        while let Some(due) = self.receiver.next_timeout().filter(|&at| at <= until) {
            let now = due.max(self.now);
            self.now = now;
            all.extend(self.poll(now).into_iter().map(|asked| (now, asked)));
            assert!(
                self.receiver.next_timeout().is_none_or(|next| next > now),
                "what was due is done"
            );
        }
        all.retain(|(_, asked)| !matches!(asked, Asked::Report(_)));
        all
    }

    /// Feed RTCP that `write` makes.
    fn rtcp(&mut self, now: Time, write: impl FnOnce(&mut RtcpWriter<'_>) -> bool) {
        let mut bytes = [0; 200];
        let mut out = RtcpWriter::new(&mut bytes);
        assert!(write(&mut out));
        let len = out.len();
        for packet in packets(&bytes[..len]) {
            self.receiver.rtcp(now, &mut self.tracks, &packet.expect("well-formed"));
        }
    }
}
