//! Our side: a shard with a publisher on a perfect link. What the viewer gets is the shard's own choice.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Instant;

use rostra_sfu::choice::{BandwidthSpec, LayerChoice, Priority};
use rostra_sfu::command::{Command, Event, Kind};
use rostra_sfu::ids::{Mid, TrackId, TransportId};
use rostra_sfu::outbox::{Outbox, Via};
use rostra_sfu::shard::{Datagram, ShardConfig, ShardCore};
use rostra_sfu::time::Time;
use rostra_sfu::transport::certificate::Certificate;
use rostra_sfu::transport::dtls::DtlsConfig;

use super::course::{INITIAL_BPS, Sender, VIEWER, viewer_medias};
use super::ladder::{Ladder, OPUS_BYTES, RATES_BPS};
use crate::client::{Client, Heard, Media, Peer, Server};

const PUBLISHER_ID: TransportId = TransportId(1);
const VIEWER_ID: TransportId = TransportId(2);
const TRACKS: [TrackId; 2] = [TrackId(1), TrackId(2)];

pub(super) struct Ours {
    shard: ShardCore,
    outbox: Outbox,
    server: SocketAddr,
    publisher: Client,
    publisher_wake_us: Option<u64>,
    viewer: SocketAddr,
    ladder: Ladder,
    sequences: [u64; RATES_BPS.len()],
    audio_sequence: u64,
    to_viewer: Vec<Vec<u8>>,
    estimate_bps: u64,
}

impl Ours {
    pub(super) fn new(base: Instant, seed: u64) -> Result<(Self, Client), Box<dyn Error>> {
        let certificate = Certificate::generate()?;
        let server = Server {
            address: SocketAddr::from(([10, 255, 0, 1], 8081)),
            sha256: certificate.sha256(),
        };
        let mut shard = ShardCore::new(ShardConfig {
            dtls: DtlsConfig::new(base, &certificate)?,
            unix_at_base_us: 1_700_000_000_000_000,
            seed,
        });
        let medias = vec![
            Media {
                mid: "0",
                kind: Kind::Video,
                ssrc: 5_000,
                encodings: RATES_BPS.len() as u8,
            },
            Media {
                mid: "1",
                kind: Kind::Audio,
                ssrc: 6_000,
                encodings: 1,
            },
        ];
        let (publisher, publisher_spec) = Client::new(base, 0, &server, Peer::Other, medias, Some(&TRACKS));
        let (viewer, mut viewer_spec) = Client::new(base, VIEWER, &server, Peer::Other, viewer_medias(), None);
        viewer_spec.bandwidth = BandwidthSpec {
            initial_bps: INITIAL_BPS,
            ..BandwidthSpec::default()
        };
        for (transport, spec) in [(PUBLISHER_ID, publisher_spec), (VIEWER_ID, viewer_spec)] {
            let spec = Box::new(spec);
            shard.command(Time::ZERO, Command::OpenTransport { transport, spec });
        }
        let ours = Self {
            shard,
            outbox: Outbox::default(),
            server: server.address,
            publisher,
            publisher_wake_us: Some(0),
            viewer: viewer.address(),
            ladder: Ladder::new(seed),
            sequences: [1_000; RATES_BPS.len()],
            audio_sequence: 1_000,
            to_viewer: Vec::new(),
            estimate_bps: 0,
        };
        Ok((ours, viewer))
    }

    fn drain_publisher(&mut self, now_us: u64) {
        let mut sent = Vec::new();
        let ladder = &mut self.ladder;
        let next = self.publisher.drain(
            |bytes| sent.push(bytes.to_vec()),
            |heard| {
                if let Heard::KeyFrameWanted(encoding) = heard {
                    ladder.request_key_frame(encoding);
                }
            },
        );
        self.publisher_wake_us = next.map(|at| at.max(now_us + 1));
        let (from, to) = (self.publisher.address(), self.server);
        for mut bytes in sent {
            let bytes = bytes.as_mut_slice();
            self.shard.datagram(
                Time(now_us),
                Datagram {
                    from,
                    to,
                    via: Via::Udp,
                    bytes,
                },
            );
        }
    }

    fn transmit(&mut self, now_us: u64) {
        let mut to_publisher = Vec::new();
        loop {
            self.outbox.clear();
            let more = self.shard.transmit(Time(now_us), &mut self.outbox);
            for (path, bytes) in self.outbox.datagrams() {
                if path.remote == self.viewer {
                    self.to_viewer.push(bytes.to_vec());
                } else {
                    to_publisher.push(bytes.to_vec());
                }
            }
            if !more {
                break;
            }
        }
        for event in self.shard.take_events() {
            match event {
                Event::Rejected { code, .. } => unreachable!("the commands of the course are valid: {code:?}"),
                Event::Inspected { report, .. } => {
                    self.estimate_bps = report.map_or(0, |report| report.estimate_bps);
                }
                Event::TransportConnected { .. }
                | Event::TransportStalled { .. }
                | Event::TransportResumed { .. }
                | Event::TransportClosed { .. }
                | Event::TrackStarted { .. }
                | Event::SlotBound { .. }
                | Event::TrackLayers(_)
                | Event::SlotLayer { .. }
                | Event::SlotVoice { .. }
                | Event::Speakers { .. }
                | Event::Stats(_) => {}
            }
        }
        for bytes in to_publisher {
            self.publisher.receive(now_us, self.server, &bytes);
            self.drain_publisher(now_us);
        }
    }
}

impl Sender for Ours {
    fn address(&self) -> SocketAddr {
        self.server
    }

    fn start(&mut self, now_us: u64) {
        for (mid, track) in ["0", "1"].iter().zip(TRACKS) {
            if let Some(mid) = Mid::new(mid.as_bytes()) {
                let bind = Command::BindSlot {
                    transport: VIEWER_ID,
                    mid,
                    track,
                    choice: LayerChoice::default(),
                    priority: Priority::default(),
                };
                self.shard.command(Time(now_us), bind);
            }
        }
        self.transmit(now_us);
    }

    fn receive(&mut self, now_us: u64, mut bytes: Vec<u8>) {
        let (from, to) = (self.viewer, self.server);
        let bytes = bytes.as_mut_slice();
        self.shard.datagram(
            Time(now_us),
            Datagram {
                from,
                to,
                via: Via::Udp,
                bytes,
            },
        );
        self.transmit(now_us);
    }

    fn next_us(&self) -> Option<u64> {
        let shard = self.shard.next_timeout().map(|at| at.0);
        [shard, self.publisher_wake_us].into_iter().flatten().min()
    }

    fn wake(&mut self, now_us: u64) {
        if self.publisher_wake_us.is_some_and(|at| at <= now_us) {
            self.publisher.timeout(now_us);
            self.drain_publisher(now_us);
        }
        self.shard.timeout(Time(now_us));
        self.transmit(now_us);
    }

    fn frame(&mut self, now_us: u64) {
        for (encoding, pieces) in self.ladder.frame(now_us) {
            // Each encoding has an RTP clock of its own; the publisher's sender reports align them.
            let timestamp = ((now_us * 90 / 1000) as u32).wrapping_add(u32::from(encoding) * 77_777_777);
            for piece in pieces {
                let Some(sequence) = self.sequences.get_mut(usize::from(encoding)) else {
                    continue;
                };
                *sequence += 1;
                let sequence = *sequence;
                self.publisher
                    .send_encoding(now_us, (0, encoding), sequence, timestamp, piece.marker, &piece.payload);
                self.drain_publisher(now_us);
            }
        }
        self.transmit(now_us);
    }

    fn audio(&mut self, now_us: u64) {
        self.audio_sequence += 1;
        let timestamp = (now_us * 48 / 1000) as u32;
        self.publisher
            .send(now_us, 1, self.audio_sequence, timestamp, false, &[7; OPUS_BYTES]);
        self.drain_publisher(now_us);
        self.transmit(now_us);
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.to_viewer)
    }

    fn estimate_bps(&mut self, now_us: u64) -> u64 {
        let transport = VIEWER_ID;
        self.shard.command(Time(now_us), Command::Inspect { transport });
        self.transmit(now_us);
        self.estimate_bps
    }
}
