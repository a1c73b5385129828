//! A peer made by hand: it can shake hands, send sound and open what it hears, and nothing else.

use std::net::SocketAddr;

use rostra_sfu::choice::BandwidthSpec;
use rostra_sfu::command::{
    Codec, CodecSpec, Command, DtlsRole, EncodingSpec, ExtensionKind, ExtensionSpec, Kind, ReceiveSpec, SlotSpec,
    TransportSpec,
};
use rostra_sfu::ids::{Mid, Ssrc, TrackId, TransportId};
use rostra_sfu::rtp::header::RtpHeader;
use rostra_sfu::transport::dtls::{self, Dtls, DtlsOutput};
use rostra_sfu::transport::srtp::{SrtpIn, SrtpOut};
use rostra_sfu::transport::stun;

use super::stage::{Stage, prints};

/// Header extension ids.
const AUDIO_LEVEL: u8 = 1;
const MID: u8 = 4;
/// Room behind a plaintext for its tag.
const SPARE: usize = 32;

/// A microphone of a peer that publishes.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Its name at the seam.
    pub track: TrackId,
    /// What it sends.
    pub codec: Codec,
}

/// What a packet of sound carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sound {
    /// Whose it is.
    pub track: TrackId,
    /// Its number.
    pub seq: u64,
}

/// The payload type of a codec, on both sides.
fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::MultiOpus => 120,
        Codec::Opus | Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::Av1 => 111,
    }
}

fn codec(codec: Codec) -> CodecSpec {
    CodecSpec {
        payload_type: payload_type(codec),
        codec,
        rtx_payload_type: None,
        profile: 0,
        packetization_mode: 0,
    }
}

/// The m-line at a place.
pub fn mid(place: usize) -> Mid {
    Mid::new(place.to_string().as_bytes()).unwrap_or_else(|| unreachable!("numbers are short"))
}

/// One end of a connection.
pub struct Peer {
    /// Its name at the seam.
    pub id: TransportId,
    /// Where it is.
    pub address: SocketAddr,
    spec: TransportSpec,
    lines: Vec<Line>,
    keys: Option<(SrtpOut, SrtpIn)>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peer({:?})", self.id)
    }
}

impl Peer {
    fn new(number: u32, lines: &[Line], slots: usize, codecs: &[Codec]) -> Self {
        let ssrc = |place: usize| Ssrc((number << 12 | (place as u32) << 2) + 1);
        let receive = lines.iter().enumerate().map(|(place, line)| ReceiveSpec {
            mid: mid(place),
            track: line.track,
            kind: Kind::Audio,
            codecs: vec![codec(Codec::Opus), codec(Codec::MultiOpus)],
            encodings: vec![EncodingSpec {
                ssrc: Some(ssrc(place)),
                ..EncodingSpec::default()
            }],
        });
        let slots = (0..slots).map(|place| SlotSpec {
            mid: mid(place),
            kind: Kind::Audio,
            ssrc: ssrc(place),
            rtx_ssrc: Ssrc(ssrc(place).0 + 1),
            codecs: codecs.iter().map(|one| codec(*one)).collect(),
        });
        let extension = |id, kind| ExtensionSpec { id, kind };
        Self {
            id: TransportId(u64::from(number)),
            address: SocketAddr::from(([10, (number >> 16) as u8, (number >> 8) as u8, number as u8], 40_000)),
            spec: TransportSpec {
                local_ufrag: format!("server{number}"),
                local_pwd: format!("password-of-server-{number:08}"),
                remote_ufrag: format!("client{number}"),
                remote_pwd: format!("password-of-client-{number:08}"),
                fingerprints: prints().1,
                dtls_role: DtlsRole::Passive,
                extensions: vec![
                    extension(AUDIO_LEVEL, ExtensionKind::AudioLevel),
                    extension(MID, ExtensionKind::Mid),
                ],
                cname: format!("cname{number}"),
                receive: receive.collect(),
                slots: slots.collect(),
                bandwidth: BandwidthSpec::default(),
                playout_delay: None,
            },
            lines: lines.to_vec(),
            keys: None,
            buffer: Vec::new(),
        }
    }

    /// Somebody with microphones. The number is its own among all peers.
    pub fn publisher(number: u32, lines: &[Line]) -> Self {
        Self::new(number, lines, 0, &[])
    }

    /// Somebody with so many slots for sound of these codecs.
    pub fn viewer(number: u32, slots: usize, codecs: &[Codec]) -> Self {
        Self::new(number, &[], slots, codecs)
    }

    /// The place of a slot by its SSRC.
    pub fn slot_of(&self, ssrc: Ssrc) -> Option<usize> {
        self.spec.slots.iter().position(|slot| slot.ssrc == ssrc)
    }

    /// Open, check, shake hands.
    ///
    /// # Panics
    /// When the shard does not take the peer: it is an honest one.
    pub fn connect(&mut self, stage: &mut Stage) {
        stage.command(Command::OpenTransport {
            transport: self.id,
            spec: Box::new(self.spec.clone()),
        });
        self.ping(stage);
        let mut dtls = dtls::new(stage.client(), DtlsRole::Active, prints().0, stage.now);
        let _ = dtls.timeout(stage.now);
        for _ in 0..8 {
            for mut flight in self.poll(dtls.as_mut()) {
                stage.datagram(self.address, &mut flight);
            }
            for answer in stage.take(self.address) {
                // What is no DTLS it does not mind.
                if answer.first().is_some_and(|first| (20..64).contains(first)) {
                    let _ = dtls.packet(stage.now, &answer);
                }
            }
        }
        assert!(self.keys.is_some(), "{self:?} shook hands");
    }

    /// Prove to the server that it is there.
    pub fn ping(&mut self, stage: &mut Stage) {
        let mut check = vec![0; 200];
        let request = stun::Request {
            transaction: [7; 12],
            to_ufrag: &self.spec.local_ufrag,
            from_ufrag: &self.spec.remote_ufrag,
            pwd: self.spec.local_pwd.as_bytes(),
            priority: 0x6e00_01ff,
            role: stun::IceRole::Controlling(1),
            use_candidate: true,
        };
        let len = stun::write_request(&mut check, &request).unwrap_or_default();
        check.truncate(len);
        stage.datagram(self.address, &mut check);
    }

    fn poll(&mut self, dtls: &mut dyn Dtls) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut buffer = [0; dtls::MTU];
        loop {
            match dtls.poll(&mut buffer) {
                DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
                DtlsOutput::Connected(keys) => {
                    let out = SrtpOut::new(keys.profile, &keys.outbound);
                    self.keys = Some((out, SrtpIn::new(keys.profile, &keys.inbound)));
                }
                DtlsOutput::PeerClosed | DtlsOutput::Timeout(_) => {}
                DtlsOutput::Idle => return packets,
            }
        }
    }

    /// A sealed packet of a microphone. `level`: RFC 6464 level and voice activity, where it writes them.
    pub fn sound(&mut self, line: usize, seq: u64, at_us: u64, level: Option<(u8, bool)>) -> Vec<u8> {
        let (Some(spec), Some(known)) = (self.spec.receive.get(line), self.lines.get(line)) else {
            return Vec::new();
        };
        let ssrc = spec
            .encodings
            .first()
            .and_then(|encoding| encoding.ssrc)
            .map_or(0, |ssrc| ssrc.0);
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        bytes.extend([0x80 | u8::from(level.is_some()) << 4, payload_type(known.codec)]);
        bytes.extend((seq as u16).to_be_bytes());
        bytes.extend(((at_us * 48 / 1000) as u32).to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        if let Some((level, voice)) = level {
            bytes.extend([0xbe, 0xde, 0, 1, AUDIO_LEVEL << 4, u8::from(voice) << 7 | level, 0, 0]);
        }
        let header = bytes.len();
        bytes.extend(known.track.0.to_be_bytes());
        bytes.extend(seq.to_be_bytes());
        let len = bytes.len();
        bytes.resize(len + SPARE, 0);
        let out = self.keys.as_mut().map(|keys| &mut keys.0);
        let sealed = out
            .and_then(|out| out.seal_rtp(&mut bytes, header, len, seq))
            .unwrap_or(0);
        let packet = bytes.get(..sealed).unwrap_or_default().to_vec();
        self.buffer = bytes;
        packet
    }

    /// What a datagram from the server carries, and on which SSRC; `None` when it is no sound.
    pub fn open(&mut self, datagram: &[u8]) -> Option<(Ssrc, Sound)> {
        let mut bytes = datagram.to_vec();
        let header = RtpHeader::parse(&bytes)
            .ok()
            .filter(|header| header.payload_type < 64 || header.payload_type > 95)?;
        let len = self.keys.as_mut()?.1.open_rtp(&mut bytes, header.header_len).ok()?;
        bytes.truncate(len);
        let payload = bytes.get(header.payload(&bytes).ok()?)?;
        let (track, seq) = payload.split_first_chunk()?;
        Some((
            header.ssrc,
            Sound {
                track: TrackId(u64::from_be_bytes(*track)),
                seq: u64::from_be_bytes(*seq.first_chunk()?),
            },
        ))
    }
}
