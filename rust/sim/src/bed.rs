//! A test bed for measuring: real clients on perfect wires, everything delivered both ways, feedback of the viewers included. What the
//! shard itself does is measured, and nothing else.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{Command, Event, Kind, SrtpProfile};
use rostra_sfu::ids::{Mid, TrackId, TransportId};
use rostra_sfu::outbox::{Outbox, Via};
use rostra_sfu::shard::{Datagram, ShardConfig, ShardCore};
use rostra_sfu::stats::Stats;
use rostra_sfu::time::Time;
use rostra_sfu::transport::certificate::Certificate;
use rostra_sfu::transport::classify::{Class, classify};
use rostra_sfu::transport::dtls::DtlsConfig;

use crate::client::{Client, Heard, Media, Peer, Server};
use crate::counting::{allocations, cpu_time, heap_bytes};
use crate::feed::Feed;
use crate::media::Encoder;

/// Pictures a second of the publisher. It sends 50 sounds a second too.
pub const FPS: u64 = 30;
/// Handshakes are over, and viewers have reported that they receive, long before.
pub const WARM_UP_US: u64 = 4_000_000;
const TICK_US: u64 = 1_000;
const MIDS: [&str; 16] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
];
const UNIX_AT_BASE_US: u64 = 1_700_000_000_000_000;
const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);
const PUBLISHER: usize = 0;

/// What a while of media came to. Times and allocations are those inside the shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// RTP packets to viewers.
    pub packets: u64,
    /// UDP payload bytes of all that left.
    pub bytes: u64,
    /// Runs of equal datagrams to one viewer, which one call to the kernel sends.
    pub runs: u64,
    /// Datagrams of all kinds that left.
    pub datagrams: u64,
    /// Allocations while packets went in and out. Timers may allocate: once a second the layers are told.
    pub allocations: u64,
    /// Processor time of everything, timers and feedback included.
    pub took: Duration,
    /// Bytes of the publisher's datagrams.
    pub sizes: Vec<usize>,
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
    feed: Option<Feed>,
    profiles: Vec<SrtpProfile>,
    rtp_delivered: u64,
    weighed: bool,
    heap: i64,
    /// Of asking what time it is, twice.
    clock_cost: Duration,
    measured: Option<Forwarded>,
}

impl Bed {
    /// Everybody is registered and bound, nobody connected. Viewers are browsers, and each has `video` slots that show the publisher's
    /// video, and one for its sound.
    ///
    /// # Errors
    /// The DTLS library could not make or take a certificate.
    pub fn new(viewers: u16, video: usize) -> Result<Self, Box<dyn Error>> {
        Self::with(viewers, video, Peer::Browser, false, None)
    }

    /// The same with viewers of this kind, for [`Bed::heap_bytes`].
    ///
    /// # Errors
    /// The DTLS library could not make or take a certificate.
    pub fn weighed(viewers: u16, video: usize, peer: Peer) -> Result<Self, Box<dyn Error>> {
        Self::with(viewers, video, peer, true, None)
    }

    /// The same with a process beside the server for a publisher.
    ///
    /// # Errors
    /// The DTLS library could not make or take a certificate.
    pub fn fed(viewers: u16) -> Result<Self, Box<dyn Error>> {
        let feed = Feed::new(TransportId(PUBLISHER as u64 + 1), [VIDEO, AUDIO], 1);
        Self::with(viewers, 1, Peer::Browser, false, Some(feed))
    }

    fn with(viewers: u16, video: usize, peer: Peer, weighed: bool, feed: Option<Feed>) -> Result<Self, Box<dyn Error>> {
        let base = Instant::now();
        let certificate = Certificate::generate()?;
        let server = Server {
            address: SocketAddr::from(([10, 255, 0, 1], 8081)),
            sha256: certificate.sha256(),
        };
        let shard = ShardCore::new(ShardConfig {
            dtls: DtlsConfig::new(base, &certificate)?,
            unix_at_base_us: UNIX_AT_BASE_US,
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
            feed,
            profiles: Vec::new(),
            rtp_delivered: 0,
            weighed,
            heap: 0,
            clock_cost: clock_cost(),
            measured: None,
        };
        for number in 0..=viewers {
            bed.open(base, number, video, peer);
        }
        if bed.feed.is_some() {
            // Its client has nothing to do.
            bed.wake[PUBLISHER] = u64::MAX;
        }
        Ok(bed)
    }

    fn open(&mut self, base: Instant, number: u16, video: usize, peer: Peer) {
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
        let (client, spec) = Client::new(
            base,
            number,
            &self.server,
            peer,
            medias,
            is_publisher.then_some(&tracks),
        );
        self.by_address.insert(client.address(), self.clients.len());
        self.clients.push(client);
        let transport = TransportId(u64::from(number) + 1);
        let feed = self.feed.as_ref().filter(|_| is_publisher).map(Feed::open);
        self.in_shard(Work::Timers, |shard, _| {
            // A copy, so that what the shard keeps was allocated where it is weighed.
            let spec = Box::new(spec.clone());
            shard.command(Time::ZERO, feed.unwrap_or(Command::OpenTransport { transport, spec }));
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
        self.exchange(WARM_UP_US);
    }

    /// Media for so long: what is measured. A name that callgrind's table keeps: shard calls before it, handshakes among them, do not count.
    #[inline(never)]
    pub fn forward(&mut self, length_us: u64) -> Forwarded {
        let before = self.shard.stats().rtp_out;
        self.measured = Some(Forwarded::default());
        self.exchange(self.now_us + length_us);
        let measured = self.measured.take().unwrap_or_default();
        Forwarded {
            packets: self.shard.stats().rtp_out - before,
            ..measured
        }
    }

    /// Full exchange up to `until_us`.
    fn exchange(&mut self, until_us: u64) {
        while self.now_us < until_us {
            self.now_us += TICK_US;
            let mut to_shard = Vec::new();
            self.publish(self.now_us, &mut to_shard);
            if let Some(measured) = &mut self.measured {
                measured.sizes.extend(to_shard.iter().map(|(_, bytes)| bytes.len()));
            }
            for client in 0..self.clients.len() {
                if self.wake[client] <= self.now_us {
                    self.clients[client].timeout(self.now_us);
                    self.drain(client, &mut to_shard);
                }
            }
            let now = Time(self.now_us);
            self.in_shard(Work::Timers, |shard, _| shard.timeout(now));
            loop {
                self.deliver(&mut to_shard);
                let to_clients = self.transmit();
                if to_clients.is_empty() && to_shard.is_empty() {
                    break;
                }
                for (client, bytes) in to_clients {
                    self.rtp_delivered += u64::from(classify(&bytes) == Some(Class::Rtp));
                    self.clients[client].receive(self.now_us, self.server.address, &bytes);
                    self.drain(client, &mut to_shard);
                }
            }
        }
    }

    /// Frames that are due.
    fn take_frames(&mut self, now_us: u64) {
        let now = Time(now_us);
        let Some(feed) = &mut self.feed else {
            return;
        };
        let mut frames = Vec::new();
        if self.next_frame_us <= now_us {
            self.next_frame_us = now_us + 1_000_000 / FPS;
            frames.extend(feed.picture(now));
        }
        if self.next_audio_us <= now_us {
            self.next_audio_us = now_us + 20_000;
            frames.push(feed.sound(now));
            if now_us.is_multiple_of(1_000_000) {
                frames.push(feed.report(now, UNIX_AT_BASE_US + now_us));
            }
        }
        let transport = feed.transport;
        if frames.is_empty() {
            return;
        }
        if let Some(measured) = &mut self.measured {
            measured.sizes.extend(frames.iter().map(Vec::len));
        }
        self.in_shard(Work::Packets, |shard, _| {
            for frame in &mut frames {
                shard.local_frame(now, transport, frame);
            }
        });
    }

    /// Media that is due at `now_us`, sealed.
    fn publish(&mut self, now_us: u64, sealed: &mut Vec<(usize, Vec<u8>)>) {
        if self.feed.is_some() {
            return self.take_frames(now_us);
        }
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
        let mut datagrams: Vec<_> = to_shard
            .drain(..)
            .map(|(client, bytes)| (self.clients[client].address(), bytes))
            .collect();
        self.in_shard(Work::Packets, |shard, _| {
            for (from, bytes) in &mut datagrams {
                let (from, bytes) = (*from, bytes.as_mut_slice());
                shard.datagram(
                    now,
                    Datagram {
                        from,
                        to,
                        via: Via::Udp,
                        bytes,
                    },
                );
            }
        });
    }

    fn transmit(&mut self) -> Vec<(usize, Vec<u8>)> {
        let now = Time(self.now_us);
        let mut sent = Vec::new();
        loop {
            self.outbox.clear();
            let more = self.in_shard(Work::Packets, |shard, outbox| shard.transmit(now, outbox));
            if let Some(measured) = &mut self.measured {
                for run in self.outbox.runs() {
                    measured.runs += 1;
                    measured.datagrams += run.count() as u64;
                    measured.bytes += run.len as u64;
                }
            }
            for (path, bytes) in self.outbox.datagrams() {
                if let Some(client) = self.by_address.get(&path.remote) {
                    sent.push((*client, bytes.to_vec()));
                }
            }
            if !more {
                break;
            }
        }
        if let Some(feed) = &mut self.feed {
            self.shard.take_frames(|_, frame| feed.hear(frame));
        }
        for event in self.shard.take_events() {
            match event {
                Event::TransportConnected { profile, .. } => self.profiles.extend(profile),
                Event::Rejected { code, .. } => unreachable!("the commands of the bed are valid: {code:?}"),
                _ => {}
            }
        }
        sent
    }

    fn in_shard<R>(&mut self, kind: Work, work: impl FnOnce(&mut ShardCore, &mut Outbox) -> R) -> R {
        let heap = if self.weighed { heap_bytes() } else { 0 };
        let (began, allocated) = (cpu_time(), allocations());
        let result = measured_in_shard(&mut self.shard, &mut self.outbox, work);
        if let Some(measured) = &mut self.measured {
            measured.took += (cpu_time() - began).saturating_sub(self.clock_cost);
            if kind == Work::Packets {
                measured.allocations += allocations() - allocated;
            }
        }
        if self.weighed {
            self.heap += heap_bytes() - heap;
        }
        result
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

/// What the shard is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    Packets,
    Timers,
}

/// The marker of callgrind's `--toggle-collect`.
#[inline(never)]
fn measured_in_shard<R>(
    shard: &mut ShardCore,
    outbox: &mut Outbox,
    work: impl FnOnce(&mut ShardCore, &mut Outbox) -> R,
) -> R {
    work(shard, outbox)
}

/// The median of many.
fn clock_cost() -> Duration {
    let mut costs: Vec<_> = (0..101)
        .map(|_| {
            let began = cpu_time();
            cpu_time() - began
        })
        .collect();
    costs.sort_unstable();
    costs.get(costs.len() / 2).copied().unwrap_or_default()
}
