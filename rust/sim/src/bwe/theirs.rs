//! str0m's side: its sender with its own estimator, pacer and prober, and on top of it what a plain application of an SFU does. The
//! application has the same ladder and asks its encoders directly, with no publisher's link between.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rostra_sfu::command::Kind;
use str0m::bwe::{Bitrate, BweKind};
use str0m::config::Fingerprint;
use str0m::ice::IceCreds;
use str0m::media::MediaKind;
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::course::{INITIAL_BPS, Sender, VIEWER, viewer_medias};
use super::ladder::{Ladder, OPUS_BYTES, RATES_BPS, cost_bps};
use crate::client::{Client, OPUS, Peer, Server, VP8, extensions};
use crate::media::read;

/// An encoding is worth going up to when the estimate exceeds its cost by this...
const MARGIN: f64 = 1.15;
/// ...for this long, microseconds.
const HELD_US: u64 = 1_000_000;

pub(super) struct Theirs {
    rtc: Rtc,
    base: Instant,
    server: SocketAddr,
    viewer: SocketAddr,
    wake_us: Option<u64>,
    ladder: Ladder,
    started: bool,
    estimate_bps: u64,
    /// What is sent, and what is to be sent from its next key frame on.
    encoding: Option<usize>,
    wanted: usize,
    /// Since when the estimate has carried the next better encoding.
    carried_since_us: Option<u64>,
    sequence: u64,
    audio_sequence: u64,
    picture_id: u16,
    to_viewer: Vec<Vec<u8>>,
}

impl Theirs {
    pub(super) fn new(base: Instant, seed: u64) -> Result<(Self, Client), Box<dyn Error>> {
        let server = SocketAddr::from(([10, 255, 0, 1], 8081));
        let mut rtc = RtcConfig::new()
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .set_extension_map(extensions())
            .set_stats_interval(None)
            .enable_bwe(Some(Bitrate::from(INITIAL_BPS)))
            .build(base);
        let fingerprint = rtc.direct_api().local_dtls_fingerprint().bytes.clone();
        let known = Server {
            address: server,
            sha256: fingerprint.as_slice().try_into()?,
        };
        let (viewer, spec) = Client::new(base, VIEWER, &known, Peer::Other, viewer_medias(), None);
        rtc.add_local_candidate(Candidate::host(server, "udp")?);
        rtc.add_remote_candidate(Candidate::host(viewer.address(), "udp")?);
        let mut api = rtc.direct_api();
        api.set_ice_controlling(false);
        api.set_local_ice_credentials(IceCreds {
            ufrag: spec.local_ufrag,
            pass: spec.local_pwd,
        });
        api.set_remote_ice_credentials(IceCreds {
            ufrag: spec.remote_ufrag,
            pass: spec.remote_pwd,
        });
        let digest = spec
            .fingerprints
            .into_iter()
            .next()
            .map(|fingerprint| fingerprint.digest);
        api.set_remote_fingerprint(Fingerprint {
            hash_func: "sha-256".to_owned(),
            bytes: digest.unwrap_or_default(),
        });
        for media in viewer_medias() {
            let (kind, rtx) = match media.kind {
                Kind::Audio => (MediaKind::Audio, None),
                Kind::Video => (MediaKind::Video, Some((media.ssrc + 1).into())),
            };
            api.declare_media(media.mid.into(), kind);
            api.declare_stream_tx(media.ssrc.into(), rtx, media.mid.into(), None);
        }
        api.start_dtls(false)?;
        let theirs = Self {
            rtc,
            base,
            server,
            viewer: viewer.address(),
            wake_us: Some(0),
            ladder: Ladder::new(seed),
            started: false,
            estimate_bps: INITIAL_BPS,
            encoding: None,
            wanted: 0,
            carried_since_us: None,
            sequence: 1_000,
            audio_sequence: 1_000,
            picture_id: 0,
            to_viewer: Vec::new(),
        };
        Ok((theirs, viewer))
    }

    fn instant(&self, now_us: u64) -> Instant {
        self.base + Duration::from_micros(now_us)
    }

    fn timeout(&mut self, now_us: u64) {
        let _ = self.rtc.handle_input(Input::Timeout(self.instant(now_us)));
        self.drain(now_us);
    }

    fn drain(&mut self, now_us: u64) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(packet)) => self.to_viewer.push(packet.contents.to_vec()),
                Ok(Output::Timeout(at)) => {
                    let at_us = at.saturating_duration_since(self.base).as_micros();
                    self.wake_us = u64::try_from(at_us).ok().map(|at_us| at_us.max(now_us + 1));
                    return;
                }
                Ok(Output::Event(Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }))) => {
                    self.estimate_bps = estimate.as_u64();
                    self.decide(now_us);
                }
                Ok(Output::Event(Event::KeyframeRequest(_))) => {
                    if let Some(encoding) = self.encoding {
                        self.ladder.request_key_frame(encoding as u8);
                    }
                }
                Ok(Output::Event(_)) => {}
                Err(_) => {
                    self.wake_us = None;
                    return;
                }
            }
        }
    }

    /// The highest encoding that the estimate carries: up after it held with a margin, down at once.
    fn decide(&mut self, now_us: u64) {
        if !self.started {
            return;
        }
        let carried = |margin: f64| {
            let fits = |rate: &u64| cost_bps(*rate) as f64 * margin <= self.estimate_bps as f64;
            RATES_BPS.iter().rposition(fits).unwrap_or(0)
        };
        let (fits, fits_well) = (carried(1.0), carried(MARGIN));
        if fits < self.wanted {
            self.wanted = fits;
            self.carried_since_us = None;
        } else if fits_well > self.wanted {
            let since_us = *self.carried_since_us.get_or_insert(now_us);
            if now_us - since_us >= HELD_US {
                self.wanted = fits_well;
                self.carried_since_us = None;
            }
        } else {
            self.carried_since_us = None;
        }
        if self.encoding != Some(self.wanted) {
            self.ladder.request_key_frame(self.wanted as u8);
        }
    }
}

impl Sender for Theirs {
    fn address(&self) -> SocketAddr {
        self.server
    }

    fn start(&mut self, now_us: u64) {
        self.started = true;
        let fits = |rate: &u64| cost_bps(*rate) <= INITIAL_BPS;
        self.wanted = RATES_BPS.iter().rposition(fits).unwrap_or(0);
        self.ladder.request_key_frame(self.wanted as u8);
        // What it would like to send in the end, as its documentation advises. Of the four ways to set these two (the next encoding or the
        // best one as desired, padded up to the next one or not) this one does best over all lines: padding keeps a queue standing.
        let top = RATES_BPS.last().map_or(0.0, |rate| cost_bps(*rate) as f64 * MARGIN);
        self.rtc.bwe().set_bitrate(Bitrate::ZERO, Bitrate::from(top as u64));
        self.timeout(now_us);
    }

    fn receive(&mut self, now_us: u64, bytes: Vec<u8>) {
        let now = self.instant(now_us);
        if let Ok(receive) = Receive::new(Protocol::Udp, self.viewer, self.server, &bytes) {
            let _ = self.rtc.handle_input(Input::Receive(now, receive));
        }
        self.drain(now_us);
    }

    fn next_us(&self) -> Option<u64> {
        self.wake_us
    }

    fn wake(&mut self, now_us: u64) {
        self.timeout(now_us);
        self.decide(now_us);
    }

    fn frame(&mut self, now_us: u64) {
        let frames = self.ladder.frame(now_us);
        if !self.started {
            return;
        }
        self.decide(now_us);
        let begins = |encoding: usize| {
            frames.get(encoding).is_some_and(|(_, pieces)| {
                let first = pieces.first().and_then(|piece| read(&piece.payload));
                first.is_some_and(|seen| seen.key)
            })
        };
        if self.encoding != Some(self.wanted) && begins(self.wanted) {
            self.encoding = Some(self.wanted);
        }
        let Some((_, pieces)) = self.encoding.and_then(|encoding| frames.into_iter().nth(encoding)) else {
            return;
        };
        let now = self.instant(now_us);
        let timestamp = (now_us * 90 / 1000) as u32;
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        for mut piece in pieces {
            if let Some(descriptor) = piece.payload.get_mut(2..5) {
                let [high, low] = self.picture_id.to_be_bytes();
                descriptor.copy_from_slice(&[0x80 | high, low, low]);
            }
            self.sequence += 1;
            let packet = RtpWrite::new(
                VP8.payload_type.into(),
                self.sequence.into(),
                timestamp,
                now,
                piece.payload,
            )
            .marker(piece.marker)
            .nackable(true);
            if let Some(stream) = self.rtc.direct_api().stream_tx(&viewer_medias()[0].ssrc.into()) {
                stream.write_rtp(packet);
            }
            self.timeout(now_us);
        }
    }

    fn audio(&mut self, now_us: u64) {
        if !self.started {
            return;
        }
        let now = self.instant(now_us);
        let timestamp = (now_us * 48 / 1000) as u32;
        self.audio_sequence += 1;
        let payload = [7; OPUS_BYTES];
        let packet = RtpWrite::new(
            OPUS.payload_type.into(),
            self.audio_sequence.into(),
            timestamp,
            now,
            payload,
        )
        .ext_vals(ExtensionValues {
            audio_level: Some(-30),
            ..ExtensionValues::default()
        });
        if let Some(stream) = self.rtc.direct_api().stream_tx(&viewer_medias()[1].ssrc.into()) {
            stream.write_rtp(packet);
        }
        self.timeout(now_us);
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.to_viewer)
    }

    fn estimate_bps(&mut self, _now_us: u64) -> u64 {
        self.estimate_bps
    }
}
