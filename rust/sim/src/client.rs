//! A str0m peer: the independent other end of every simulated connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rostra_sfu::choice::BandwidthSpec;
use rostra_sfu::command::{
    Codec, CodecSpec, DtlsRole, EncodingSpec, ExtensionKind, ExtensionSpec, Fingerprint, Hash, Kind, ReceiveSpec,
    SlotSpec, TransportSpec,
};
use rostra_sfu::ids::{Mid, Ssrc, TrackId};
use str0m::config::{DtlsVersion, Fingerprint as StrFingerprint};
use str0m::ice::IceCreds;
use str0m::media::{KeyframeRequestKind, MediaKind, Rid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap, ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

/// Payload types that both ends agree on; str0m's defaults.
pub const VP8: CodecSpec = CodecSpec {
    payload_type: 96,
    codec: Codec::Vp8,
    rtx_payload_type: Some(97),
    profile: 0,
    packetization_mode: 0,
};
/// Opus without retransmission.
pub const OPUS: CodecSpec = CodecSpec {
    payload_type: 111,
    codec: Codec::Opus,
    rtx_payload_type: None,
    profile: 0,
    packetization_mode: 0,
};

const EXTENSIONS: [(u8, ExtensionKind, Extension); 3] = [
    (1, ExtensionKind::AudioLevel, Extension::AudioLevel),
    (3, ExtensionKind::TransportCc, Extension::TransportSequenceNumber),
    (4, ExtensionKind::Mid, Extension::RtpMid),
];

/// The same for str0m.
pub fn extensions() -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    for (id, _, extension) in EXTENSIONS {
        map.set(id, extension);
    }
    map
}

/// An m-line of a client.
#[derive(Clone, Copy, Debug)]
pub struct Media {
    /// Its name.
    pub mid: &'static str,
    /// Audio or video.
    pub kind: Kind,
    /// SSRC of the media, chosen by whoever sends.
    pub ssrc: u32,
    /// Encodings of a publisher's track, lowest first; their SSRCs follow at a distance of 2. Viewers see one.
    pub encodings: u8,
}

impl Media {
    fn ssrc_of(&self, encoding: u8) -> u32 {
        self.ssrc + 2 * u32::from(encoding)
    }

    fn rtx_ssrc(&self, encoding: u8) -> u32 {
        self.ssrc_of(encoding) + 1
    }

    fn rid(&self, encoding: u8) -> Option<Rid> {
        (self.encodings > 1).then(|| Rid::from(encoding.to_string().as_str()))
    }

    fn codec(&self) -> CodecSpec {
        match self.kind {
            Kind::Audio => OPUS,
            Kind::Video => VP8,
        }
    }

    fn mid(&self) -> Mid {
        Mid::new(self.mid.as_bytes()).unwrap_or_else(|| unreachable!("mids of the simulation are short"))
    }
}

/// What came out of a client.
#[derive(Debug)]
pub enum Heard {
    /// Keys are in use.
    Connected,
    /// An RTP packet, retransmissions restored.
    Rtp(Box<RtpPacket>),
    /// The server wants a key frame of this encoding.
    KeyFrameWanted(u8),
}

/// One peer connection, seen from the browser's side.
#[derive(Debug)]
pub struct Client {
    rtc: Rtc,
    base: Instant,
    address: SocketAddr,
    medias: Vec<Media>,
    sends: bool,
}

/// Whom the server takes a client for: which library does its DTLS depends on that (ADR 11).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Proposes DTLS 1.3 beside 1.2, as browsers do.
    Browser,
    /// Knows DTLS 1.2 alone.
    Other,
}

/// What the server has to know of itself for a client to connect.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// SHA-256 of its certificate.
    pub sha256: [u8; 32],
}

impl Client {
    /// A client that sends (a publisher) or receives (a viewer) `medias`, and the spec by which the server knows it.
    pub fn new(
        base: Instant,
        number: u16,
        server: &Server,
        peer: Peer,
        medias: Vec<Media>,
        tracks: Option<&[TrackId]>,
    ) -> (Self, TransportSpec) {
        let sends = tracks.is_some();
        let mut rtc = RtcConfig::new()
            .set_rtp_mode(true)
            .set_extension_map(extensions())
            .set_dtls_version(match peer {
                Peer::Browser => DtlsVersion::Auto,
                Peer::Other => DtlsVersion::Dtls12,
            })
            .set_stats_interval(None)
            .build(base);
        let address = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 40_000));
        if let Ok(candidate) = Candidate::host(address, "udp") {
            rtc.add_local_candidate(candidate);
        }
        if let Ok(candidate) = Candidate::host(server.address, "udp") {
            rtc.add_remote_candidate(candidate);
        }
        let credentials = IceCreds {
            ufrag: format!("server{number}"),
            pass: format!("server-password-{number:08}"),
        };
        let mut api = rtc.direct_api();
        api.set_ice_controlling(true);
        api.set_remote_ice_credentials(credentials.clone());
        api.set_remote_fingerprint(StrFingerprint {
            hash_func: "sha-256".to_owned(),
            bytes: server.sha256.to_vec(),
        });
        for media in &medias {
            let kind = match media.kind {
                Kind::Audio => MediaKind::Audio,
                Kind::Video => MediaKind::Video,
            };
            let repaired = media.codec().rtx_payload_type.is_some();
            let rtx = |encoding| repaired.then(|| media.rtx_ssrc(encoding).into());
            api.declare_media(media.mid.into(), kind);
            if sends {
                for encoding in 0..media.encodings {
                    let ssrc = media.ssrc_of(encoding).into();
                    api.declare_stream_tx(ssrc, rtx(encoding), media.mid.into(), media.rid(encoding));
                }
            } else {
                api.expect_stream_rx(media.ssrc.into(), rtx(0), media.mid.into(), None);
            }
        }
        api.enable_twcc_feedback();
        let local = api.local_ice_credentials();
        let digest = api.local_dtls_fingerprint().bytes.clone();
        if let Err(error) = api.start_dtls(true) {
            unreachable!("a fresh peer can start DTLS: {error}");
        }
        let spec = TransportSpec {
            local_ufrag: credentials.ufrag,
            local_pwd: credentials.pass,
            remote_ufrag: local.ufrag,
            remote_pwd: local.pass,
            fingerprints: vec![Fingerprint {
                hash: Hash::Sha256,
                digest,
            }],
            dtls_role: DtlsRole::Passive,
            extensions: EXTENSIONS
                .iter()
                .map(|(id, kind, _)| ExtensionSpec { id: *id, kind: *kind })
                .collect(),
            cname: format!("cname{number}"),
            receive: tracks
                .unwrap_or_default()
                .iter()
                .zip(&medias)
                .map(|(track, media)| ReceiveSpec {
                    mid: media.mid(),
                    track: *track,
                    kind: media.kind,
                    codecs: vec![media.codec()],
                    encodings: (0..media.encodings)
                        .map(|encoding| EncodingSpec {
                            rid: None,
                            ssrc: Some(Ssrc(media.ssrc_of(encoding))),
                            rtx_ssrc: media.codec().rtx_payload_type.map(|_| Ssrc(media.rtx_ssrc(encoding))),
                        })
                        .collect(),
                })
                .collect(),
            slots: medias
                .iter()
                .filter(|_| !sends)
                .map(|media| SlotSpec {
                    mid: media.mid(),
                    kind: media.kind,
                    ssrc: Ssrc(media.ssrc),
                    rtx_ssrc: Ssrc(media.rtx_ssrc(0)),
                    codecs: vec![media.codec()],
                })
                .collect(),
            bandwidth: BandwidthSpec::default(),
            playout_delay: None,
        };
        let client = Self {
            rtc,
            base,
            address,
            medias,
            sends,
        };
        (client, spec)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn instant(&self, now_us: u64) -> Instant {
        self.base + Duration::from_micros(now_us)
    }

    /// A datagram from the server.
    pub fn receive(&mut self, now_us: u64, from: SocketAddr, bytes: &[u8]) {
        let now = self.instant(now_us);
        if let Ok(receive) = Receive::new(Protocol::Udp, from, self.address, bytes) {
            // An error ends the connection, which the oracle notices as a frozen picture.
            let _ = self.rtc.handle_input(Input::Receive(now, receive));
        }
    }

    /// A timer.
    pub fn timeout(&mut self, now_us: u64) {
        let _ = self.rtc.handle_input(Input::Timeout(self.instant(now_us)));
    }

    /// Send a packet of the m-line at `index`, of its lowest encoding.
    pub fn send(&mut self, now_us: u64, index: usize, seq: u64, timestamp: u32, marker: bool, payload: &[u8]) {
        self.send_encoding(now_us, (index, 0), seq, timestamp, marker, payload);
    }

    /// Send a packet of an m-line's encoding.
    pub fn send_encoding(
        &mut self,
        now_us: u64,
        (index, encoding): (usize, u8),
        seq: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) {
        let Some(media) = self.medias.get(index).copied().filter(|_| self.sends) else {
            return;
        };
        let now = self.instant(now_us);
        let mut api = self.rtc.direct_api();
        if let Some(stream) = api.stream_tx(&media.ssrc_of(encoding).into()) {
            stream.set_unpaced(true);
            let packet = RtpWrite::new(media.codec().payload_type.into(), seq.into(), timestamp, now, payload)
                .marker(marker)
                .nackable(media.kind == Kind::Video)
                .ext_vals(ExtensionValues {
                    audio_level: (media.kind == Kind::Audio).then_some(-30),
                    ..ExtensionValues::default()
                });
            stream.write_rtp(packet);
        }
        self.timeout(now_us);
    }

    /// Ask for a key frame of the m-line at `index`, as a decoder does that cannot go on.
    pub fn request_key_frame(&mut self, now_us: u64, index: usize) {
        let Some(media) = self.medias.get(index).copied() else {
            return;
        };
        if let Some(stream) = self.rtc.direct_api().stream_rx(&media.ssrc.into()) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
        self.timeout(now_us);
    }

    /// Let out what wants out. Returns when the client wants to be woken, microseconds.
    pub fn drain(&mut self, mut transmit: impl FnMut(&[u8]), mut heard: impl FnMut(Heard)) -> Option<u64> {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(packet)) => transmit(&packet.contents),
                Ok(Output::Timeout(at)) => {
                    let since = at.saturating_duration_since(self.base).as_micros();
                    return u64::try_from(since).ok();
                }
                Ok(Output::Event(Event::Connected)) => heard(Heard::Connected),
                Ok(Output::Event(Event::RtpPacket(packet))) => heard(Heard::Rtp(Box::new(packet))),
                Ok(Output::Event(Event::KeyframeRequest(request))) => {
                    let encoding = request.rid.and_then(|rid| rid.parse().ok()).unwrap_or(0);
                    heard(Heard::KeyFrameWanted(encoding));
                }
                Ok(Output::Event(_)) => {}
                Err(_) => return None,
            }
        }
    }
}
