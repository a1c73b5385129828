//! One client: honest as far as its methods go, but whoever holds it can send what it likes. Long, because one peer speaks
//! every layer from STUN to RTCP, and the layers share its keys and counters.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use rostra_sfu::choice::BandwidthSpec;
use rostra_sfu::command::{
    Codec, CodecSpec, Command, DtlsRole, EncodingSpec, ExtensionKind, ExtensionSpec, Kind, ReceiveSpec, SlotSpec,
    SrtpProfile, TransportSpec,
};
use rostra_sfu::ids::{Ssrc, TrackId, TransportId};
use rostra_sfu::rtp::ext::{ExtensionMap, OutHeader, Relayed};
use rostra_sfu::rtp::header::RtpHeader;
use rostra_sfu::rtp::rtcp::{Rtcp, RtcpWriter, packets};
use rostra_sfu::time::Time;
use rostra_sfu::transport::classify::{Class, classify};
use rostra_sfu::transport::dtls::{self, Dtls, DtlsOutput, SrtpKeys};
use rostra_sfu::transport::srtp::{SrtpIn, SrtpOut};
use rostra_sfu::transport::stun as wire;
use rostra_sim::media::{Encoder, read};

use super::{Bench, mid};

pub const VP8: u8 = 96;
pub const VP8_RTX: u8 = 97;
pub const OPUS: u8 = 111;
/// Header extension ids.
pub const TRANSPORT_CC: u8 = 3;
pub const MID: u8 = 4;
/// Room behind the longest plaintext for tags and such.
const SPARE: usize = 64;

/// A client with an audio and a video m-line that it sends (`a`, `v`) and two video slots and an audio slot (`0`, `1`, `2`).
pub struct Peer {
    pub number: u16,
    pub id: TransportId,
    pub address: SocketAddr,
    pub spec: TransportSpec,
    pub keys: Option<SrtpKeys>,
    /// Decrypted RTP packets that came, in order.
    pub rtp: Vec<Vec<u8>>,
    /// Decrypted compounds that came, in order.
    pub rtcp: Vec<(Time, Vec<u8>)>,
    /// STUN that came.
    pub stun: Vec<Vec<u8>>,
    /// Bytes of DTLS that came.
    pub dtls_bytes: u64,
    /// When it was asked for a key frame.
    pub asked: Vec<Time>,
    /// Whether requests for key frames and retransmissions are obeyed.
    pub obeys: bool,
    pub encoder: Encoder,
    /// Index (ROC ‖ number) of the next video packet.
    pub video_index: u64,
    pub audio_index: u64,
    pub rtx_index: u64,
    dtls: Option<Box<dyn Dtls>>,
    out: Option<SrtpOut>,
    inn: Option<SrtpIn>,
    map: ExtensionMap,
    transaction: u64,
    transport_cc: u16,
    history: VecDeque<(u16, u32, bool, Vec<u8>)>,
    /// SSRC → publisher's frame → bit per packet, and how many it has.
    pictures: HashMap<Ssrc, BTreeMap<u32, (u8, u8)>>,
}

fn vp8() -> CodecSpec {
    CodecSpec {
        payload_type: VP8,
        codec: Codec::Vp8,
        rtx_payload_type: Some(VP8_RTX),
        profile: 0,
        packetization_mode: 0,
    }
}

fn opus() -> CodecSpec {
    CodecSpec {
        payload_type: OPUS,
        codec: Codec::Opus,
        rtx_payload_type: None,
        profile: 0,
        packetization_mode: 0,
    }
}

impl Peer {
    pub fn new(number: u16) -> Self {
        let base = u32::from(number) * 1000;
        let extensions = vec![
            ExtensionSpec {
                id: TRANSPORT_CC,
                kind: ExtensionKind::TransportCc,
            },
            ExtensionSpec {
                id: MID,
                kind: ExtensionKind::Mid,
            },
        ];
        let slot = |name: &str, kind, ssrc| SlotSpec {
            mid: mid(name),
            kind,
            ssrc: Ssrc(ssrc),
            rtx_ssrc: Ssrc(ssrc + 1),
            codecs: vec![if kind == Kind::Video { vp8() } else { opus() }],
        };
        Self {
            number,
            id: TransportId(u64::from(number)),
            address: SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 40_000)),
            keys: None,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            stun: Vec::new(),
            dtls_bytes: 0,
            asked: Vec::new(),
            obeys: true,
            encoder: Encoder::new(u64::from(number)),
            video_index: 1000,
            audio_index: 2000,
            rtx_index: 3000,
            dtls: None,
            out: None,
            inn: None,
            map: ExtensionMap::new(&extensions),
            transaction: u64::from(number) << 32,
            transport_cc: 0,
            history: VecDeque::new(),
            pictures: HashMap::new(),
            spec: TransportSpec {
                local_ufrag: format!("server{number}"),
                local_pwd: format!("password-of-server-{number:08}"),
                remote_ufrag: format!("client{number}"),
                remote_pwd: format!("password-of-client-{number:08}"),
                fingerprints: Bench::client_print(),
                dtls_role: DtlsRole::Passive,
                extensions,
                cname: format!("cname{number}"),
                receive: vec![
                    ReceiveSpec {
                        mid: mid("a"),
                        track: TrackId(u64::from(number) * 10 + 1),
                        kind: Kind::Audio,
                        codecs: vec![opus()],
                        encodings: vec![EncodingSpec::default()],
                    },
                    ReceiveSpec {
                        mid: mid("v"),
                        track: TrackId(u64::from(number) * 10 + 2),
                        kind: Kind::Video,
                        codecs: vec![vp8()],
                        encodings: vec![EncodingSpec {
                            rid: None,
                            ssrc: Some(Ssrc(base + 2)),
                            rtx_ssrc: Some(Ssrc(base + 3)),
                        }],
                    },
                ],
                slots: vec![
                    slot("0", Kind::Video, base + 10),
                    slot("1", Kind::Video, base + 20),
                    slot("2", Kind::Audio, base + 30),
                ],
                bandwidth: BandwidthSpec::default(),
                playout_delay: None,
            },
        }
    }

    /// One more header extension, before it is there.
    pub fn negotiate(&mut self, extension: ExtensionSpec) {
        self.spec.extensions.push(extension);
        self.map = ExtensionMap::new(&self.spec.extensions);
    }

    /// Header extensions as both sides read them.
    pub fn extensions(&self) -> ExtensionMap {
        self.map
    }

    pub fn audio_track(&self) -> TrackId {
        self.spec.receive[0].track
    }

    pub fn video_track(&self) -> TrackId {
        self.spec.receive[1].track
    }

    /// Of the audio that it sends. No SDP names it: the server learns it by mid.
    pub fn audio_ssrc(&self) -> Ssrc {
        Ssrc(self.video_ssrc().0 - 1)
    }

    pub fn video_ssrc(&self) -> Ssrc {
        self.spec.receive[1].encodings[0].ssrc.expect("signalled")
    }

    pub fn rtx_ssrc(&self) -> Ssrc {
        self.spec.receive[1].encodings[0].rtx_ssrc.expect("signalled")
    }

    /// Of what it sees in a slot.
    pub fn slot_ssrc(&self, slot: usize) -> Ssrc {
        self.spec.slots[slot].ssrc
    }

    pub fn open(&self, bench: &mut Bench) {
        bench.command(Command::OpenTransport {
            transport: self.id,
            spec: Box::new(self.spec.clone()),
        });
    }

    /// USERNAME of its requests.
    pub fn user(&self) -> String {
        format!("{}:{}", self.spec.local_ufrag, self.spec.remote_ufrag)
    }

    /// A number that no request had.
    pub fn transaction(&mut self) -> u64 {
        self.transaction += 1;
        self.transaction
    }

    /// A well-formed connectivity check.
    pub fn check(&mut self, nominate: bool) -> Vec<u8> {
        let mut transaction = [0; 12];
        transaction[4..].copy_from_slice(&self.transaction().to_be_bytes());
        let mut bytes = vec![0; 200];
        let len = wire::write_request(
            &mut bytes,
            &wire::Request {
                transaction,
                to_ufrag: &self.spec.local_ufrag,
                from_ufrag: &self.spec.remote_ufrag,
                pwd: self.spec.local_pwd.as_bytes(),
                priority: 0x6e00_01ff,
                role: wire::IceRole::Controlling(1),
                use_candidate: nominate,
            },
        )
        .expect("it fits");
        bytes.truncate(len);
        bytes
    }

    /// Prove to the server that it is there.
    pub fn ping(&mut self, bench: &mut Bench) {
        let check = self.check(true);
        bench.raw(self.address, &check);
        self.hear(bench);
    }

    /// The first flight; afterwards `hear` goes on with the handshake.
    pub fn start_dtls(&mut self, bench: &Bench) -> Vec<Vec<u8>> {
        let role = match self.spec.dtls_role {
            DtlsRole::Passive => DtlsRole::Active,
            DtlsRole::Active => DtlsRole::Passive,
        };
        let mut dtls = dtls::new(&bench.client, role, Bench::server_print(), bench.now);
        dtls.timeout(bench.now).expect("a fresh association lives");
        self.dtls = Some(dtls);
        self.flight()
    }

    /// What its handshake wants to send.
    pub fn flight(&mut self) -> Vec<Vec<u8>> {
        let Some(dtls) = &mut self.dtls else {
            return Vec::new();
        };
        let mut packets = Vec::new();
        let mut buf = [0; dtls::MTU];
        loop {
            match dtls.poll(&mut buf) {
                DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
                DtlsOutput::Connected(keys) => {
                    self.out = Some(SrtpOut::new(keys.profile, &keys.outbound));
                    self.inn = Some(SrtpIn::new(keys.profile, &keys.inbound));
                    self.keys = Some(*keys);
                }
                DtlsOutput::PeerClosed | DtlsOutput::Timeout(_) => {}
                DtlsOutput::Idle => break,
            }
        }
        packets
    }

    /// A datagram of the handshake; errors end it, as they would in a browser.
    pub fn dtls_packet(&mut self, now: Time, datagram: &[u8]) {
        self.dtls_bytes += datagram.len() as u64;
        if let Some(dtls) = &mut self.dtls
            && dtls.packet(now, datagram).is_err()
        {
            self.dtls = None;
        }
    }

    /// Open, check, shake hands.
    pub fn connect(&mut self, bench: &mut Bench) {
        self.open(bench);
        self.ping(bench);
        for datagram in self.start_dtls(bench) {
            bench.raw(self.address, &datagram);
        }
        for _ in 0..8 {
            self.hear(bench);
        }
        assert!(self.keys.is_some() && bench.connected(self.id), "{:?}", bench.events);
    }

    pub fn profile(&self) -> SrtpProfile {
        self.keys.as_ref().expect("connected").profile
    }

    /// Seal a plaintext RTP packet, whatever is in it.
    pub fn seal(&mut self, plain: &[u8], header_len: usize, index: u64) -> Vec<u8> {
        let mut bytes = plain.to_vec();
        bytes.resize(plain.len() + SPARE, 0);
        let len = self
            .out
            .as_mut()
            .expect("connected")
            .seal_rtp(&mut bytes, header_len, plain.len(), index)
            .expect("it fits");
        bytes.truncate(len);
        bytes
    }

    /// Seal a plaintext compound, whatever is in it.
    pub fn seal_rtcp(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut bytes = plain.to_vec();
        bytes.resize(plain.len() + SPARE, 0);
        let len = self
            .out
            .as_mut()
            .expect("connected")
            .seal_rtcp(&mut bytes, plain.len())
            .expect("it fits");
        bytes.truncate(len);
        bytes
    }

    /// A plaintext packet with MID and a transport-wide number, and the length of its header.
    #[allow(clippy::too_many_arguments)] // The fields of a header, in the order of the wire.
    pub fn packet(
        &mut self,
        ssrc: Ssrc,
        payload_type: u8,
        name: Option<&str>,
        seq: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> (Vec<u8>, usize) {
        self.described(ssrc, payload_type, name, seq, timestamp, marker, payload, None)
    }

    /// The same with a dependency descriptor.
    #[allow(clippy::too_many_arguments)] // The fields of a header, in the order of the wire.
    pub fn described(
        &mut self,
        ssrc: Ssrc,
        payload_type: u8,
        name: Option<&str>,
        seq: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        dependency: Option<&[u8]>,
    ) -> (Vec<u8>, usize) {
        self.transport_cc = self.transport_cc.wrapping_add(1);
        let mut bytes = vec![0; 128];
        let relayed = Relayed {
            dependency,
            ..Relayed::default()
        };
        let header = OutHeader {
            marker,
            payload_type,
            seq,
            timestamp,
            ssrc,
            mid: name.map(mid),
            transport_cc: Some(self.transport_cc),
            abs_send_time: None,
        };
        let len = self.map.write_with(&mut bytes, &header, &relayed).expect("it fits");
        bytes.truncate(len);
        bytes.extend(payload);
        (bytes, len)
    }

    /// The sealed packets of the next picture.
    pub fn frame(&mut self, now: Time) -> Vec<Vec<u8>> {
        let timestamp = (now.0 * 90 / 1000) as u32;
        let mut sealed = Vec::new();
        for piece in self.encoder.frame() {
            let (index, ssrc) = (self.video_index, self.video_ssrc());
            self.video_index += 1;
            let seq = index as u16;
            let (plain, header) = self.packet(ssrc, VP8, Some("v"), seq, timestamp, piece.marker, &piece.payload);
            if self.history.len() == 300 {
                self.history.pop_front();
            }
            self.history.push_back((seq, timestamp, piece.marker, piece.payload));
            sealed.push(self.seal(&plain, header, index));
        }
        sealed
    }

    /// The next packet of sound.
    pub fn sound(&mut self, now: Time) -> Vec<u8> {
        let (index, ssrc) = (self.audio_index, self.audio_ssrc());
        self.audio_index += 1;
        let timestamp = (now.0 * 48 / 1000) as u32;
        let (plain, header) = self.packet(
            ssrc,
            OPUS,
            Some("a"),
            index as u16,
            timestamp,
            false,
            &[index as u8; 60],
        );
        self.seal(&plain, header, index)
    }

    /// A retransmission of what it sent before.
    pub fn again(&mut self, seq: u16) -> Option<Vec<u8>> {
        let (_, timestamp, marker, payload) = self.history.iter().rev().find(|sent| sent.0 == seq)?.clone();
        let payload = [&seq.to_be_bytes()[..], &payload].concat();
        let (index, ssrc) = (self.rtx_index, self.rtx_ssrc());
        self.rtx_index += 1;
        let (plain, header) = self.packet(ssrc, VP8_RTX, Some("v"), index as u16, timestamp, marker, &payload);
        Some(self.seal(&plain, header, index))
    }

    /// Write and seal a compound.
    pub fn feedback(&mut self, write: impl FnOnce(&mut RtcpWriter<'_>)) -> Vec<u8> {
        let mut plain = vec![0; 1400];
        let mut writer = RtcpWriter::new(&mut plain);
        write(&mut writer);
        let len = writer.len();
        self.seal_rtcp(&plain[..len])
    }

    pub fn send_frame(&mut self, bench: &mut Bench) {
        for datagram in self.frame(bench.now) {
            bench.raw(self.address, &datagram);
        }
    }

    /// Take in what was sent to it, and answer.
    pub fn hear(&mut self, bench: &mut Bench) {
        for datagram in bench.take(self.address) {
            for answer in self.listen(bench.now, &datagram) {
                bench.raw(self.address, &answer);
            }
        }
        for datagram in self.flight() {
            bench.raw(self.address, &datagram);
        }
    }

    /// Take one datagram in; returns what it answers.
    pub fn listen(&mut self, now: Time, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut bytes = datagram.to_vec();
        match classify(datagram).expect("the server sends nothing else") {
            Class::Stun => self.stun.push(bytes),
            Class::Dtls => self.dtls_packet(now, datagram),
            Class::Rtp => self.receive_rtp(bytes),
            Class::Rtcp => {
                let Some(inn) = &mut self.inn else {
                    return Vec::new();
                };
                // A network may duplicate; a replay is not read.
                let Ok(len) = inn.open_rtcp(&mut bytes) else {
                    return Vec::new();
                };
                bytes.truncate(len);
                self.rtcp.push((now, bytes.clone()));
                return self.obey(now, &bytes);
            }
        }
        Vec::new()
    }

    fn receive_rtp(&mut self, mut bytes: Vec<u8>) {
        let header = RtpHeader::parse(&bytes).expect("the server sends good headers");
        let Some(inn) = &mut self.inn else { return };
        let Ok(len) = inn.open_rtp(&mut bytes, header.header_len) else {
            return;
        };
        bytes.truncate(len);
        let payload = header.payload(&bytes).expect("the server does not pad");
        if let Some(seen) = read(&bytes[payload.clone()]) {
            let picture = self.pictures.entry(header.ssrc).or_default().entry(seen.frame);
            let (have, count) = picture.or_insert((0, seen.count));
            *have |= 1 << seen.index;
            *count = seen.count;
        }
        self.rtp.push(bytes);
    }

    fn obey(&mut self, now: Time, compound: &[u8]) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        for packet in packets(compound) {
            match packet.expect("the server writes good RTCP") {
                Rtcp::Pli { media, .. } if media == self.video_ssrc() => {
                    self.asked.push(now);
                    if self.obeys {
                        self.encoder.request_key_frame();
                    }
                }
                Rtcp::Nack(nack) if nack.media == self.video_ssrc() && self.obeys => {
                    for seq in nack.seqs() {
                        answers.extend(self.again(seq));
                    }
                }
                _ => {}
            }
        }
        answers
    }

    /// Pictures that came whole in a slot.
    pub fn pictures(&self, slot: usize) -> usize {
        self.pictures.get(&self.slot_ssrc(slot)).map_or(0, |pictures| {
            pictures
                .values()
                .filter(|(have, count)| have.count_ones() == u32::from(*count))
                .count()
        })
    }

    /// Packets that came on an SSRC.
    pub fn heard(&self, ssrc: Ssrc) -> usize {
        self.rtp
            .iter()
            .filter(|packet| packet[8..12] == ssrc.0.to_be_bytes())
            .count()
    }
}
