//! A test bed for measuring: real handshakes over perfect wires, then media pushed straight into the shard, what comes out thrown away.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Instant;

use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{Command, Event, Kind, SrtpProfile};
use rostra_sfu::ids::{Mid, TrackId, TransportId};
use rostra_sfu::outbox::Outbox;
use rostra_sfu::shard::{Datagram, ShardConfig, ShardCore};
use rostra_sfu::stats::Stats;
use rostra_sfu::time::Time;
use rostra_sfu::transport::certificate::Certificate;
use rostra_sfu::transport::classify::{Class, classify};
use rostra_sfu::transport::dtls::DtlsConfig;

use crate::client::{Client, Heard, Media, Server};
use crate::counting::{allocations, heap_bytes};
use crate::media::Encoder;

/// Pictures a second of the publisher. It sends 50 sounds a second too.
pub const FPS: u64 = 30;
/// Handshakes are over, and viewers have reported that they receive, long before.
pub const WARM_UP_US: u64 = 4_000_000;
const TICK_US: u64 = 1_000;
const MIDS: [&str; 16] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
];
const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);
const PUBLISHER: usize = 0;

/// Sealed datagrams of the publisher and when they arrive.
pub type Slice = Vec<(u64, Vec<u8>)>;

/// What a slice came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// RTP packets to viewers.
    pub packets: u64,
    /// UDP payload bytes of all that left.
    pub bytes: u64,
    /// Runs of equal datagrams to one viewer, which one call to the kernel sends.
    pub runs: u64,
    /// Datagrams of all kinds that left.
    pub datagrams: u64,
    /// Allocations inside the shard.
    pub allocations: u64,
}

/// One shard, one publisher of VP8 and Opus, viewers.
pub struct Bed {
    shard: ShardCore,
    outbox: Outbox,
    server: Server,
    clients: Vec<Client>,
    by_address: HashMap<SocketAddr, usize>,
    wake: Vec<u64>,
    now_us: u64,
    next_frame_us: u64,
    next_audio_us: u64,
    encoder: Encoder,
    video_seq: u64,
    audio_seq: u64,
    profiles: Vec<SrtpProfile>,
    rtp_delivered: u64,
    weighed: bool,
    heap: i64,
}

impl Bed {
    /// Everybody is registered and bound, nobody connected. Each viewer has `video` slots that show the publisher's video, and one
    /// for its sound. `weighed`: [`Bed::heap_bytes`] is wanted.
    ///
    /// # Errors
    /// The DTLS library could not make or take a certificate.
    pub fn new(viewers: u16, video: usize, weighed: bool) -> Result<Self, Box<dyn Error>> {
        let base = Instant::now();
        let certificate = Certificate::generate()?;
        let server = Server {
            address: SocketAddr::from(([10, 255, 0, 1], 8081)),
            sha256: certificate.sha256(),
        };
        let shard = ShardCore::new(ShardConfig {
            dtls: DtlsConfig::new(base, &certificate)?,
            unix_at_base_us: 1_700_000_000_000_000,
            seed: 1,
        });
        let mut bed = Self {
            shard,
            outbox: Outbox::default(),
            server,
            clients: Vec::new(),
            by_address: HashMap::new(),
            wake: vec![0; usize::from(viewers) + 1],
            now_us: 0,
            next_frame_us: 0,
            next_audio_us: 0,
            encoder: Encoder::new(1),
            video_seq: 1000,
            audio_seq: 1000,
            profiles: Vec::new(),
            rtp_delivered: 0,
            weighed,
            heap: 0,
        };
        for number in 0..=viewers {
            bed.open(base, number, video);
        }
        Ok(bed)
    }

    fn open(&mut self, base: Instant, number: u16, video: usize) {
        let is_publisher = usize::from(number) == PUBLISHER;
        let slots = if is_publisher { 2 } else { video + 1 };
        let medias: Vec<_> = MIDS
            .iter()
            .take(slots)
            .enumerate()
            .map(|(index, mid)| Media {
                mid,
                kind: if index + 1 == slots { Kind::Audio } else { Kind::Video },
                ssrc: 1000 + u32::from(number) * 100 + index as u32 * 2,
                encodings: 1,
            })
            .collect();
        let kinds: Vec<_> = medias.iter().map(|media| (media.mid, media.kind)).collect();
        let tracks = [VIDEO, AUDIO];
        let (client, spec) = Client::new(base, number, &self.server, medias, is_publisher.then_some(&tracks));
        self.by_address.insert(client.address(), self.clients.len());
        self.clients.push(client);
        let transport = TransportId(u64::from(number) + 1);
        self.in_shard(|shard, _| {
            // A copy, so that what the shard keeps was allocated where it is weighed.
            let spec = Box::new(spec.clone());
            shard.command(Time::ZERO, Command::OpenTransport { transport, spec });
            for (mid, kind) in kinds.iter().filter(|_| !is_publisher) {
                let track = if *kind == Kind::Video { VIDEO } else { AUDIO };
                if let Some(mid) = Mid::new(mid.as_bytes()) {
                    shard.command(
                        Time::ZERO,
                        Command::BindSlot {
                            transport,
                            mid,
                            track,
                            choice: LayerChoice::default(),
                            priority: Priority::default(),
                        },
                    );
                }
            }
        });
    }

    /// Handshakes and the first seconds of media, everything delivered both ways.
    pub fn warm_up(&mut self) {
        self.exchange(WARM_UP_US, true);
    }

    /// Full exchange up to `until_us`. Without `media`, the publisher pauses and viewers hear no RTP.
    fn exchange(&mut self, until_us: u64, media: bool) {
        while self.now_us < until_us {
            self.now_us += TICK_US;
            let mut to_shard = Vec::new();
            if media {
                self.publish(self.now_us, &mut to_shard);
            }
            for client in 0..self.clients.len() {
                if self.wake[client] <= self.now_us {
                    self.clients[client].timeout(self.now_us);
                    self.drain(client, &mut to_shard);
                }
            }
            let now = Time(self.now_us);
            self.in_shard(|shard, _| shard.timeout(now));
            loop {
                self.deliver(&mut to_shard);
                let to_clients = self.transmit();
                if to_clients.is_empty() && to_shard.is_empty() {
                    break;
                }
                for (client, bytes) in to_clients {
                    let is_rtp = classify(&bytes) == Some(Class::Rtp);
                    if media || !is_rtp {
                        self.rtp_delivered += u64::from(is_rtp);
                        self.clients[client].receive(self.now_us, self.server.address, &bytes);
                        self.drain(client, &mut to_shard);
                    }
                }
            }
        }
    }

    /// Media that is due at `now_us`, sealed.
    fn publish(&mut self, now_us: u64, sealed: &mut Vec<(usize, Vec<u8>)>) {
        if self.next_frame_us <= now_us {
            self.next_frame_us = now_us + 1_000_000 / FPS;
            let timestamp = (now_us * 90 / 1000) as u32;
            for piece in self.encoder.frame() {
                self.clients[PUBLISHER].send(now_us, 0, self.video_seq, timestamp, piece.marker, &piece.payload);
                self.video_seq += 1;
                self.drain(PUBLISHER, sealed);
            }
        }
        if self.next_audio_us <= now_us {
            self.next_audio_us = now_us + 20_000;
            let timestamp = (now_us * 48 / 1000) as u32;
            self.clients[PUBLISHER].send(now_us, 1, self.audio_seq, timestamp, false, &[7; 80]);
            self.audio_seq += 1;
            self.drain(PUBLISHER, sealed);
        }
    }

    fn drain(&mut self, client: usize, to_shard: &mut Vec<(usize, Vec<u8>)>) {
        let mut wants_key = false;
        let next = self.clients[client].drain(
            |bytes| to_shard.push((client, bytes.to_vec())),
            |heard| wants_key |= matches!(heard, Heard::KeyFrameWanted(_)),
        );
        self.wake[client] = next.unwrap_or(u64::MAX).max(self.now_us + TICK_US);
        if wants_key {
            self.encoder.request_key_frame();
        }
    }

    fn deliver(&mut self, to_shard: &mut Vec<(usize, Vec<u8>)>) {
        let (now, to) = (Time(self.now_us), self.server.address);
        for (client, mut bytes) in to_shard.drain(..) {
            let from = self.clients[client].address();
            let bytes = bytes.as_mut_slice();
            self.in_shard(|shard, _| shard.datagram(now, Datagram { from, to, bytes }));
        }
    }

    fn transmit(&mut self) -> Vec<(usize, Vec<u8>)> {
        let now = Time(self.now_us);
        let mut sent = Vec::new();
        loop {
            self.outbox.clear();
            let more = self.in_shard(|shard, outbox| shard.transmit(now, outbox));
            for (path, bytes) in self.outbox.datagrams() {
                if let Some(client) = self.by_address.get(&path.remote) {
                    sent.push((*client, bytes.to_vec()));
                }
            }
            if !more {
                break;
            }
        }
        for event in self.shard.take_events() {
            match event {
                Event::TransportConnected { profile, .. } => self.profiles.push(profile),
                Event::Rejected { code, .. } => unreachable!("the commands of the bed are valid: {code:?}"),
                _ => {}
            }
        }
        sent
    }

    fn in_shard<R>(&mut self, work: impl FnOnce(&mut ShardCore, &mut Outbox) -> R) -> R {
        if !self.weighed {
            return work(&mut self.shard, &mut self.outbox);
        }
        let before = heap_bytes();
        let result = work(&mut self.shard, &mut self.outbox);
        self.heap += heap_bytes() - before;
        result
    }

    /// The publisher's next `length_us` of media, sealed and not delivered yet. Checks of ICE stay for [`Bed::catch_up`].
    pub fn record(&mut self, length_us: u64) -> Slice {
        let mut slice = Vec::new();
        let mut sealed = Vec::new();
        for now_us in (self.now_us..self.now_us + length_us).step_by(TICK_US as usize) {
            self.publish(now_us, &mut sealed);
            let media = sealed.drain(..).map(|(_, bytes)| (now_us, bytes));
            slice.extend(media.filter(|(_, bytes)| classify(bytes) == Some(Class::Rtp)));
        }
        slice
    }

    /// Forward a recorded slice: what is measured. Datagrams arrive at their times, those of one time as one batch; timers and
    /// pacing run; what leaves is thrown away.
    #[inline(never)]
    pub fn forward(&mut self, slice: &mut Slice, length_us: u64) -> Forwarded {
        let (end_us, from, to) = (
            self.now_us + length_us,
            self.clients[PUBLISHER].address(),
            self.server.address,
        );
        let (packets, allocated) = (self.shard.stats().rtp_out, allocations());
        let mut out = Forwarded::default();
        let mut arriving = slice.iter_mut().peekable();
        loop {
            let arrival_us = arriving.peek().map(|(at_us, _)| *at_us);
            let timer_us = self.shard.next_timeout().map(|at| at.0);
            let Some(at_us) = [arrival_us, timer_us]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at < end_us)
            else {
                break;
            };
            self.now_us = self.now_us.max(at_us);
            let now = Time(self.now_us);
            while let Some((_, bytes)) = arriving.next_if(|(at, _)| *at <= at_us) {
                self.shard.datagram(now, Datagram { from, to, bytes });
            }
            self.shard.timeout(now);
            loop {
                self.outbox.clear();
                let more = self.shard.transmit(now, &mut self.outbox);
                for run in self.outbox.runs() {
                    out.runs += 1;
                    out.datagrams += run.count() as u64;
                    out.bytes += run.len as u64;
                }
                if !more {
                    break;
                }
            }
        }
        self.now_us = end_us;
        out.allocations = allocations() - allocated;
        out.packets = self.shard.stats().rtp_out - packets;
        out
    }

    /// Let everybody's checks and reports through, without media, so that nobody is given up between slices.
    pub fn catch_up(&mut self) {
        self.exchange(self.now_us + 300_000, false);
        (self.next_frame_us, self.next_audio_us) = (self.now_us, self.now_us);
    }

    /// Bytes on the heap that shard calls left there, C libraries included.
    pub fn heap_bytes(&self) -> i64 {
        self.heap
    }

    /// Of every connection, in the order in which they came up.
    pub fn profiles(&self) -> &[SrtpProfile] {
        &self.profiles
    }

    /// RTP packets that viewers received in full exchanges.
    pub fn rtp_delivered(&self) -> u64 {
        self.rtp_delivered
    }

    /// The shard's totals.
    pub fn stats(&self) -> Stats {
        self.shard.stats()
    }
}
