//! One str0m connection without I/O: an offer, an answer, datagrams in and out.

use std::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{AbsCaptureTime, ExtensionValues, RtpPacket, RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use rostra_sim::isolation;

use crate::extensions::{self, Allocation, Dependency};
use crate::recording::{self, Packet, Recording};

/// What came out of a peer.
#[derive(Debug)]
pub enum Heard {
    /// Keys are in use.
    Connected,
    /// An RTP packet, retransmissions restored.
    Rtp {
        /// Audio or video.
        kind: MediaKind,
        /// The packet.
        packet: Box<RtpPacket>,
    },
    /// The server wants a key frame.
    KeyFrameWanted,
}

/// A peer connection, seen from the browser's side.
pub struct Peer {
    rtc: Rtc,
    address: SocketAddr,
    medias: Vec<(Mid, MediaKind)>,
    pending: Option<SdpPendingOffer>,
    closing: bool,
}

impl Peer {
    /// A viewer of `slots` videos and one sound, and its offer. `address` is where its socket is bound.
    pub fn viewer(now: Instant, address: SocketAddr, slots: usize) -> (Self, String) {
        let kinds = (0..slots.max(1)).map(|_| MediaKind::Video).chain([MediaKind::Audio]);
        let medias = kinds.map(|kind| (kind, None));
        Self::offer(now, RtcConfig::new(), address, medias, Direction::RecvOnly)
    }

    /// A publisher of VP8 and Opus, and its offer.
    pub fn publisher(now: Instant, address: SocketAddr) -> (Self, String) {
        let config = RtcConfig::new()
            .clear_codecs()
            .enable_vp8(true)
            .enable_opus(true, false);
        let medias = [(MediaKind::Video, None), (MediaKind::Audio, None)].into_iter();
        Self::offer(now, config, address, medias, Direction::SendOnly)
    }

    /// A publisher of a recorded video, and its offer.
    pub fn player(now: Instant, address: SocketAddr, recording: &Recording) -> (Self, String) {
        let config = with_codec(RtcConfig::new(), recording.codec).set_extension_map(extensions::map());
        let rids: Vec<&str> = recording
            .encodings
            .iter()
            .filter_map(|one| one.rid.as_deref())
            .collect();
        let simulcast = (!rids.is_empty()).then(|| {
            let mut simulcast = Simulcast::new();
            for rid in rids {
                simulcast.add_send_layer(SimulcastLayer::new(rid));
            }
            simulcast
        });
        let medias = [(MediaKind::Video, simulcast)].into_iter();
        Self::offer(now, config, address, medias, Direction::SendOnly)
    }

    fn offer(
        now: Instant,
        config: RtcConfig,
        address: SocketAddr,
        medias: impl Iterator<Item = (MediaKind, Option<Simulcast>)>,
        direction: Direction,
    ) -> (Self, String) {
        let mut rtc = config.set_rtp_mode(true).set_stats_interval(None).build(now);
        if let Ok(candidate) = Candidate::host(address, "udp") {
            rtc.add_local_candidate(candidate);
        }
        let mut changes = rtc.sdp_api();
        let medias: Vec<_> = medias
            .map(|(kind, simulcast)| (changes.add_media(kind, direction, None, None, simulcast), kind))
            .collect();
        let Some((offer, pending)) = changes.apply() else {
            unreachable!("new m-lines need an offer");
        };
        let peer = Self {
            rtc,
            address,
            medias,
            pending: Some(pending),
            closing: false,
        };
        (peer, without_candidates(&offer.to_sdp_string(), |_| false))
    }

    /// Take the server's answer, and media by TCP: the first such candidate of the server that may be connected to. To the connection itself it is a
    /// datagram's address; what carries it is nothing that it would do otherwise.
    ///
    /// # Errors
    /// In words.
    pub fn answer_by_tcp(&mut self, sdp: &str) -> Result<SocketAddr, String> {
        let to = tcp_candidate(sdp).ok_or("the answer has no TCP candidate that may be connected to")?;
        self.answer(sdp, Some(to))?;
        Ok(to)
    }

    /// Take the server's answer. Candidates that must not be sent to are left out; `via` (a relay) takes the place of all of them.
    ///
    /// # Errors
    /// In words.
    pub fn answer(&mut self, sdp: &str, via: Option<SocketAddr>) -> Result<(), String> {
        let pending = self.pending.take().ok_or("a second answer")?;
        let sdp = without_candidates(sdp, |address| via.is_none() && isolation::is_allowed(address));
        if let Some(via) = via {
            let relay = Candidate::host(via, "udp").map_err(|error| error.to_string())?;
            self.rtc.add_remote_candidate(relay);
        }
        let answer = SdpAnswer::from_sdp_string(&sdp).map_err(|error| format!("answer: {error}"))?;
        self.rtc
            .sdp_api()
            .accept_answer(pending, answer)
            .map_err(|error| format!("answer: {error}"))
    }

    /// Ids of the video m-lines, in the order of the offer.
    pub fn video_mids(&self) -> Vec<String> {
        let videos = self.medias.iter().filter(|(_, kind)| *kind == MediaKind::Video);
        videos.map(|(mid, _)| mid.to_string()).collect()
    }

    /// Payload types of retransmissions that were offered.
    pub fn rtx_payload_types(&self) -> Vec<u8> {
        let params = self.rtc.codec_config().params().iter();
        params.filter_map(|one| one.resend().map(|pt| *pt)).collect()
    }

    /// A datagram from the server.
    ///
    /// # Errors
    /// In words; the connection is dead then.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), String> {
        // What cannot be a packet of ours is noise from the network, which no peer dies of.
        let Ok(receive) = Receive::new(Protocol::Udp, from, self.address, bytes) else {
            return Ok(());
        };
        self.rtc
            .handle_input(Input::Receive(now, receive))
            .map_err(|error| error.to_string())
    }

    /// A timer.
    ///
    /// # Errors
    /// In words; the connection is dead then.
    pub fn timeout(&mut self, now: Instant) -> Result<(), String> {
        self.rtc
            .handle_input(Input::Timeout(now))
            .map_err(|error| error.to_string())
    }

    /// Let out what wants out: datagrams with their destination, and facts. Returns when it wants to be woken; `None` when it is dead.
    pub fn poll(&mut self, mut send: impl FnMut(SocketAddr, &[u8]), mut heard: impl FnMut(Heard)) -> Option<Instant> {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(packet)) => send(packet.destination, &packet.contents),
                Ok(Output::Timeout(at)) => return (self.rtc.is_alive() || !self.closing).then_some(at),
                Ok(Output::Event(event)) => match event {
                    Event::Connected => heard(Heard::Connected),
                    Event::KeyframeRequest(_) => heard(Heard::KeyFrameWanted),
                    Event::RtpPacket(packet) => {
                        let kind = self.kind_of(packet.header.ssrc);
                        let packet = Box::new(packet);
                        heard(Heard::Rtp { kind, packet });
                    }
                    _ => {}
                },
                Err(_) => return None,
            }
        }
    }

    fn kind_of(&mut self, ssrc: Ssrc) -> MediaKind {
        let mid = self.rtc.direct_api().stream_rx(&ssrc).map(|stream| stream.mid());
        let found = self.medias.iter().find(|(media, _)| Some(*media) == mid);
        found.map_or(MediaKind::Video, |(_, kind)| *kind)
    }

    /// Ask for a key frame, as a decoder does that cannot go on.
    pub fn request_key_frame(&mut self, ssrc: Ssrc) {
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// Say goodbye (RTCP BYE, DTLS close_notify); `poll` lets it out.
    pub fn close(&mut self) {
        self.closing = true;
        // A connection that is not up yet has nobody to say goodbye to.
        let _ = self.rtc.close();
    }

    /// Send a packet. Nothing happens before the answer, or when the server did not accept the codec.
    pub fn send(&mut self, now: Instant, kind: MediaKind, seq: u64, timestamp: u32, marker: bool, payload: &[u8]) {
        let Some(&(mid, _)) = self.medias.iter().find(|(_, of)| *of == kind) else {
            return;
        };
        let codec = match kind {
            MediaKind::Audio => Codec::Opus,
            MediaKind::Video => Codec::Vp8,
        };
        let Some(payload_type) = self.payload_type(mid, codec) else {
            return;
        };
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(mid, None) else {
            return;
        };
        stream.set_unpaced(true);
        let is_audio = kind == MediaKind::Audio;
        let packet = RtpWrite::new(payload_type, seq.into(), timestamp, now, payload)
            .marker(marker)
            .nackable(!is_audio)
            .ext_vals(ExtensionValues {
                audio_level: is_audio.then_some(-30),
                ..ExtensionValues::default()
            });
        stream.write_rtp(packet);
    }

    /// Send a recorded packet. `taken` is when its frame was taken, on this machine's clock; sender reports say so.
    pub fn play(&mut self, taken: Taken, codec: recording::Codec, rid: Option<&str>, seq: u64, packet: &Packet) {
        let Some(&(mid, _)) = self.medias.first() else {
            return;
        };
        let Some(payload_type) = self.payload_type(mid, str0m_codec(codec)) else {
            return;
        };
        let mut values = ExtensionValues {
            abs_capture_time: taken.captured.map(|capture_time| AbsCaptureTime {
                capture_time,
                clock_offset: None,
            }),
            ..ExtensionValues::default()
        };
        if let Some(bytes) = &packet.dependency {
            values.user_values.set(Dependency(bytes.clone()));
        }
        if let Some(bytes) = &packet.allocation {
            values.user_values.set(Allocation(bytes.clone()));
        }
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(mid, rid.map(Into::into)) else {
            return;
        };
        stream.set_unpaced(true);
        let write = RtpWrite::new(
            payload_type,
            seq.into(),
            taken.timestamp,
            taken.at,
            packet.payload.clone(),
        );
        stream.write_rtp(write.marker(packet.marker).nackable(true).ext_vals(values));
    }

    fn payload_type(&self, mid: Mid, codec: Codec) -> Option<Pt> {
        let config = self.rtc.codec_config();
        let accepted = self.rtc.media(mid)?.remote_pts();
        let is_it = |pt: &&Pt| {
            config
                .find(|one| one.pt() == **pt && one.spec().codec == codec)
                .is_some()
        };
        accepted.iter().find(is_it).copied()
    }
}

/// When a frame was taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// On the monotonic clock, never in the future.
    pub at: Instant,
    /// In RTP time.
    pub timestamp: u32,
    /// What abs-capture-time says, if it is sent.
    pub captured: Option<SystemTime>,
}

/// One video codec in the form that Chromium offers first, and no sound.
pub fn with_codec(config: RtcConfig, codec: recording::Codec) -> RtcConfig {
    let mut config = config.clear_codecs();
    let codecs = config.codec_config();
    match codec {
        recording::Codec::Vp8 => codecs.enable_vp8(true),
        // Constrained baseline 3.1; level asymmetry is allowed.
        recording::Codec::H264 => codecs.add_h264(108.into(), Some(109.into()), true, 0x0042_e01f),
        recording::Codec::Vp9 => codecs.enable_vp9(true),
        recording::Codec::Av1 => codecs.enable_av1(true),
    }
    config
}

fn str0m_codec(codec: recording::Codec) -> Codec {
    match codec {
        recording::Codec::Vp8 => Codec::Vp8,
        recording::Codec::H264 => Codec::H264,
        recording::Codec::Vp9 => Codec::Vp9,
        recording::Codec::Av1 => Codec::Av1,
    }
}

/// The first address of the answer to which a peer may connect (RFC 6544 §4.5).
fn tcp_candidate(sdp: &str) -> Option<SocketAddr> {
    sdp.lines().find_map(|line| {
        let words: Vec<&str> = line.strip_prefix("a=candidate:")?.split(' ').collect();
        let [_, _, transport, _, address, port, ..] = words.as_slice() else {
            return None;
        };
        let is_passive = words.windows(2).any(|pair| pair == ["tcptype", "passive"]);
        let address = SocketAddr::new(address.parse().ok()?, port.parse().ok()?);
        (transport.eq_ignore_ascii_case("tcp") && is_passive && isolation::is_allowed(address.ip())).then_some(address)
    })
}

/// Leave out candidates but those over UDP to an address that `keep` accepts. Offers of browsers carry none: they leave before gathering.
fn without_candidates(sdp: &str, keep: impl Fn(IpAddr) -> bool) -> String {
    let wanted = |line: &&str| {
        let Some(candidate) = line.strip_prefix("a=candidate:") else {
            return *line != "a=end-of-candidates";
        };
        // foundation component transport priority address port (RFC 8839 §5.1).
        let mut words = candidate.split(' ').skip(2);
        let is_udp = words
            .next()
            .is_some_and(|transport| transport.eq_ignore_ascii_case("udp"));
        let address = words.nth(1).and_then(|address| address.parse().ok());
        is_udp && address.is_some_and(&keep)
    };
    let lines = sdp.lines().filter(wanted);
    lines.flat_map(|line| [line, "\r\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\na=candidate:1 1 udp 2113937151 127.0.0.1 8081 typ host\r\n\
        a=candidate:2 1 udp 2113937150 8.8.8.8 8081 typ host\r\n\
        a=candidate:3 1 tcp 1518214911 127.0.0.1 8081 typ host tcptype passive\r\na=end-of-candidates\r\na=mid:0\r\n";

    #[test]
    fn candidates_that_must_not_be_sent_to_are_left_out() {
        let kept = without_candidates(SDP, |address| address.is_loopback());
        assert_eq!(
            kept,
            "v=0\r\na=candidate:1 1 udp 2113937151 127.0.0.1 8081 typ host\r\na=mid:0\r\n"
        );
        assert_eq!(without_candidates(SDP, |_| false), "v=0\r\na=mid:0\r\n");
    }

    #[test]
    fn a_connection_goes_to_a_passive_candidate_where_traffic_may_go() {
        assert_eq!(tcp_candidate(SDP), Some("127.0.0.1:8081".parse().unwrap()));
        assert_eq!(tcp_candidate(&SDP.replace("passive", "active")), None);
        assert_eq!(tcp_candidate(&SDP.replace("3 1 tcp", "3 1 udp")), None);
    }

    #[test]
    fn an_offer_has_an_m_line_for_each_slot_and_no_candidate() {
        let (peer, offer) = Peer::viewer(Instant::now(), "127.0.0.1:9".parse().unwrap(), 3);
        assert_eq!(offer.matches("m=video").count(), 3);
        assert_eq!(offer.matches("a=recvonly").count(), 4);
        assert!(!offer.contains("candidate"), "{offer}");
        assert_eq!(peer.video_mids().len(), 3);
        assert!(!peer.rtx_payload_types().is_empty());
    }
}
