//! One shard, one publisher, many viewers, and the links between them, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Instant;

use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{Command, Event, Kind, TransportSpec};
use rostra_sfu::ids::{Mid, TrackId, TransportId};
use rostra_sfu::outbox::{Outbox, Via};
use rostra_sfu::shard::{Datagram, ShardConfig, ShardCore};
use rostra_sfu::stats::Stats;
use rostra_sfu::time::Time;
use rostra_sfu::transport::certificate::Certificate;
use rostra_sfu::transport::dtls::DtlsConfig;

use crate::client::{Client, Heard, Media, Peer, Server};
use crate::feed::Feed;
use crate::link::{Link, LinkConfig};
use crate::media::{Encoder, read};
use crate::oracle::Screen;

/// What happens in a run.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// One seed is one run.
    pub seed: u64,
    /// How many viewers.
    pub viewers: u16,
    /// How long media is watched after everybody has connected, seconds.
    pub seconds: u64,
    /// Each direction of each path, once everybody has connected.
    pub link: LinkConfig,
    /// Pictures a second.
    pub fps: u64,
    /// Viewers come one after the other within this time after the links became what they are, microseconds; 0: all are there before.
    pub joining_us: u64,
    /// The publisher is a process beside the server, without a link to it.
    pub local: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What each viewer saw.
    pub screens: Vec<Screen>,
    /// Audio packets each viewer heard.
    pub heard: Vec<u64>,
    /// Of (virtual time, viewer, SSRC, sequence, plaintext) of all media after the handshakes.
    pub digest: u64,
    /// The shard's totals.
    pub stats: Stats,
    /// When it ended, microseconds of virtual time.
    pub end_us: u64,
    /// Frames the publisher made.
    pub frames: u32,
    /// When the publisher was asked for key frames, microseconds.
    pub key_frames_asked: Vec<u64>,
    /// From each viewer's first datagram to its first complete picture, microseconds; `None`: it never saw one.
    pub first_pictures_us: Vec<Option<u64>>,
}

/// Everybody is connected by then; links are perfect before, so that the handshakes' own randomness leaves no trace.
const START_US: u64 = 3_000_000;
/// A decoder that has never shown anything asks for a key frame after this long, as libwebrtc does.
const ASK_FIRST_US: u64 = 200_000;
/// A decoder that stands still asks after this long: until then it trusts in retransmission.
const ASK_AFTER_US: u64 = 3_000_000;

enum Action {
    ToServer(usize, Vec<u8>),
    ToClient(usize, Vec<u8>),
    Wake(usize),
    Frame,
    Audio,
    Report,
    Impair,
    Join(usize),
}

struct World {
    shard: ShardCore,
    outbox: Outbox,
    server: Server,
    clients: Vec<Client>,
    by_address: HashMap<SocketAddr, usize>,
    up: Vec<Link>,
    down: Vec<Link>,
    wake: Vec<Option<u64>>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    actions: HashMap<u64, Action>,
    order: u64,
    encoder: Encoder,
    video_seq: u64,
    audio_seq: u64,
    feed: Option<Feed>,
    screens: Vec<Screen>,
    asked_at_us: Vec<u64>,
    /// First datagram of each client.
    began_us: Vec<Option<u64>>,
    heard: Vec<u64>,
    digest: DefaultHasher,
    key_frames_asked: Vec<u64>,
    /// Specifications of those who have not come yet.
    specs: Vec<Option<TransportSpec>>,
    frames: u32,
    scenario: Scenario,
}

const PUBLISHER: usize = 0;
/// One client of so many is no browser.
const OTHERS: u16 = 8;
const UNIX_AT_BASE_US: u64 = 1_700_000_000_000_000;
const TRACKS: [TrackId; 2] = [TrackId(1), TrackId(2)];

/// Run a scenario to its end.
///
/// # Errors
/// The DTLS library could not make or take a certificate.
pub fn run(scenario: Scenario) -> Result<Outcome, Box<dyn Error>> {
    let mut world = World::new(scenario)?;
    let end_us = START_US + scenario.seconds * 1_000_000;
    world.at(0, Action::Frame);
    world.at(0, Action::Audio);
    if scenario.local {
        world.at(0, Action::Report);
    }
    world.at(START_US, Action::Impair);
    for client in 0..world.clients.len() {
        let viewer = client as u64;
        let at_us = match scenario.joining_us {
            within if within > 0 && client != PUBLISHER => {
                START_US + (viewer - 1) * within / u64::from(scenario.viewers)
            }
            _ => 0,
        };
        world.at(at_us, Action::Join(client));
    }
    world.run_until(end_us);
    let first_pictures_us = world
        .screens
        .iter()
        .zip(world.began_us.iter().skip(1))
        .map(|(screen, began)| Some(screen.first_at_us()? - (*began)?))
        .collect();
    Ok(Outcome {
        first_pictures_us,
        digest: world.digest.finish(),
        stats: world.shard.stats(),
        screens: world.screens,
        heard: world.heard,
        end_us,
        frames: world.frames,
        key_frames_asked: world.key_frames_asked,
    })
}

impl World {
    fn new(scenario: Scenario) -> Result<Self, Box<dyn Error>> {
        let base = Instant::now();
        let certificate = Certificate::generate()?;
        let server = Server {
            address: SocketAddr::from(([10, 255, 0, 1], 8081)),
            sha256: certificate.sha256(),
        };
        let shard = ShardCore::new(ShardConfig {
            dtls: DtlsConfig::new(base, &certificate)?,
            unix_at_base_us: UNIX_AT_BASE_US,
            seed: scenario.seed,
        });
        let (mut clients, mut specs) = (Vec::new(), Vec::new());
        for number in 0..=scenario.viewers {
            let ssrc = 1000 + u32::from(number) * 10;
            let medias = vec![
                Media {
                    mid: "0",
                    kind: Kind::Video,
                    ssrc,
                    encodings: 1,
                },
                Media {
                    mid: "1",
                    kind: Kind::Audio,
                    ssrc: ssrc + 2,
                    encodings: 1,
                },
            ];
            let peer = if number % OTHERS == OTHERS - 1 {
                Peer::Other
            } else {
                Peer::Browser
            };
            let published = (number == 0).then_some(TRACKS.as_slice());
            let (client, spec) = Client::new(base, number, &server, peer, medias, published);
            specs.push(Some(spec));
            clients.push(client);
        }
        let count = clients.len();
        let link = |n: usize, salt: u64| Link::new(LinkConfig::default(), scenario.seed ^ salt ^ (n as u64) << 8);
        Ok(Self {
            by_address: clients
                .iter()
                .enumerate()
                .map(|(n, client)| (client.address(), n))
                .collect(),
            up: (0..count).map(|n| link(n, 1)).collect(),
            down: (0..count).map(|n| link(n, 2)).collect(),
            wake: vec![None; count],
            began_us: vec![None; count],
            specs,
            clients,
            shard,
            outbox: Outbox::default(),
            server,
            queue: BinaryHeap::new(),
            actions: HashMap::new(),
            order: 0,
            encoder: Encoder::new(scenario.seed),
            video_seq: 1000,
            audio_seq: 2000,
            feed: scenario
                .local
                .then(|| Feed::new(TransportId(PUBLISHER as u64 + 1), TRACKS, scenario.seed)),
            screens: (0..scenario.viewers).map(|_| Screen::default()).collect(),
            asked_at_us: vec![0; count],
            heard: vec![0; usize::from(scenario.viewers)],
            digest: DefaultHasher::new(),
            key_frames_asked: Vec::new(),
            frames: 0,
            scenario,
        })
    }

    fn at(&mut self, at_us: u64, action: Action) {
        self.order += 1;
        self.actions.insert(self.order, action);
        self.queue.push(Reverse((at_us, self.order)));
    }

    fn run_until(&mut self, end_us: u64) {
        loop {
            let action = self.queue.peek().map(|Reverse((at, _))| *at);
            let shard = self.shard.next_timeout().map(|at| at.0);
            let Some(now_us) = [action, shard].into_iter().flatten().min().filter(|at| *at <= end_us) else {
                return;
            };
            while let Some(Reverse((at, order))) = self.queue.peek().copied().filter(|Reverse((at, _))| *at <= now_us) {
                self.queue.pop();
                if let Some(action) = self.actions.remove(&order) {
                    self.act(at.max(now_us), action);
                }
            }
            self.shard.timeout(Time(now_us));
            self.transmit(now_us);
        }
    }

    fn act(&mut self, now_us: u64, action: Action) {
        match action {
            Action::ToServer(client, mut bytes) => {
                let from = self.clients[client].address();
                self.shard.datagram(
                    Time(now_us),
                    Datagram {
                        from,
                        to: self.server.address,
                        via: Via::Udp,
                        bytes: &mut bytes,
                    },
                );
                self.transmit(now_us);
            }
            Action::ToClient(client, bytes) => {
                self.clients[client].receive(now_us, self.server.address, &bytes);
                self.drain(now_us, client);
            }
            Action::Wake(client) => {
                if self.wake[client].is_some_and(|at| at <= now_us) {
                    self.wake[client] = None;
                    self.clients[client].timeout(now_us);
                    self.complain(now_us, client);
                    self.drain(now_us, client);
                }
            }
            Action::Join(client) => self.join(now_us, client),
            Action::Frame => self.frame(now_us),
            Action::Report => {
                if let Some(feed) = &mut self.feed {
                    let report = feed.report(Time(now_us), UNIX_AT_BASE_US + now_us);
                    self.take_frames(now_us, vec![report]);
                }
                self.at(now_us + 1_000_000, Action::Report);
            }
            Action::Audio if self.feed.is_some() => {
                let sound = self.feed.as_mut().map(|feed| feed.sound(Time(now_us)));
                self.take_frames(now_us, sound.into_iter().collect());
                self.at(now_us + 20_000, Action::Audio);
            }
            Action::Audio => {
                let payload = [(self.audio_seq & 0xff) as u8; 80];
                let timestamp = (now_us * 48 / 1000) as u32;
                self.clients[PUBLISHER].send(now_us, 1, self.audio_seq, timestamp, false, &payload);
                self.audio_seq += 1;
                self.drain(now_us, PUBLISHER);
                self.at(now_us + 20_000, Action::Audio);
            }
            Action::Impair => {
                let (seed, link) = (self.scenario.seed, self.scenario.link);
                for (n, one) in self.up.iter_mut().enumerate() {
                    one.reconfigure(link, seed ^ 3 ^ (n as u64) << 8);
                }
                for (n, one) in self.down.iter_mut().enumerate() {
                    one.reconfigure(link, seed ^ 4 ^ (n as u64) << 8);
                }
            }
        }
    }

    fn join(&mut self, now_us: u64, client: usize) {
        let transport = TransportId(client as u64 + 1);
        let Some(spec) = self.specs[client].take() else {
            return;
        };
        let spec = Box::new(spec);
        let command = match &self.feed {
            Some(feed) if client == PUBLISHER => feed.open(),
            Some(_) | None => Command::OpenTransport { transport, spec },
        };
        self.shard.command(Time(now_us), command);
        for (mid, track) in ["0", "1"].iter().zip(TRACKS).filter(|_| client != PUBLISHER) {
            if let Some(mid) = Mid::new(mid.as_bytes()) {
                let bind = Command::BindSlot {
                    transport,
                    mid,
                    track,
                    choice: LayerChoice::default(),
                    priority: Priority::default(),
                };
                self.shard.command(Time(now_us), bind);
            }
        }
        self.transmit(now_us);
        if self.feed.is_some() && client == PUBLISHER {
            return;
        }
        self.clients[client].timeout(now_us);
        self.drain(now_us, client);
    }

    fn frame(&mut self, now_us: u64) {
        self.frames += 1;
        self.at(now_us + 1_000_000 / self.scenario.fps, Action::Frame);
        if let Some(feed) = &mut self.feed {
            let picture = feed.picture(Time(now_us));
            self.take_frames(now_us, picture);
            return;
        }
        let timestamp = (now_us * 90 / 1000) as u32;
        for piece in self.encoder.frame() {
            self.clients[PUBLISHER].send(now_us, 0, self.video_seq, timestamp, piece.marker, &piece.payload);
            self.video_seq += 1;
            self.drain(now_us, PUBLISHER);
        }
    }

    /// What the feed sends is there at once.
    fn take_frames(&mut self, now_us: u64, frames: Vec<Vec<u8>>) {
        for mut frame in frames {
            self.shard
                .local_frame(Time(now_us), TransportId(PUBLISHER as u64 + 1), &mut frame);
            self.transmit(now_us);
        }
    }

    /// A viewer that has seen nothing new for a while asks for a key frame.
    fn complain(&mut self, now_us: u64, client: usize) {
        if client == PUBLISHER || now_us < START_US {
            return;
        }
        let screen = &self.screens[client - 1];
        let patience_us = if screen.first().is_some() {
            ASK_AFTER_US
        } else {
            ASK_FIRST_US
        };
        let Some(began_us) = self.began_us[client] else {
            return;
        };
        let waiting_us = screen.waiting_us(now_us).min(now_us - began_us);
        if waiting_us > patience_us && now_us - self.asked_at_us[client] > patience_us {
            self.asked_at_us[client] = now_us;
            self.clients[client].request_key_frame(now_us, 0);
        }
    }

    fn drain(&mut self, now_us: u64, client: usize) {
        let mut sent = Vec::new();
        let mut heard = Vec::new();
        let next = self.clients[client].drain(|bytes| sent.push(bytes.to_vec()), |event| heard.push(event));
        if !sent.is_empty() {
            self.began_us[client].get_or_insert(now_us);
        }
        for bytes in sent {
            let arrivals: Vec<_> = self.up[client].send(now_us, bytes.len()).collect();
            for at in arrivals {
                self.at(at, Action::ToServer(client, bytes.clone()));
            }
        }
        for event in heard {
            self.hear(now_us, client, event);
        }
        if let Some(next) = next {
            let next = next.max(now_us + 1);
            if self.wake[client].is_none_or(|armed| next < armed) {
                self.wake[client] = Some(next);
                self.at(next, Action::Wake(client));
            }
        }
    }

    fn hear(&mut self, now_us: u64, client: usize, event: Heard) {
        match event {
            Heard::Connected => {}
            Heard::KeyFrameWanted(_) => {
                self.key_frames_asked.push(now_us);
                self.encoder.request_key_frame();
            }
            Heard::Rtp(packet) if client != PUBLISHER => {
                let ssrc = *packet.header.ssrc;
                if now_us >= START_US {
                    let seen = (now_us, client, ssrc, *packet.seq_no, &packet.payload[..]);
                    seen.hash(&mut self.digest);
                }
                if ssrc % 10 == 0 {
                    let timestamp = packet.time.numer();
                    self.screens[client - 1].packet(now_us, timestamp, read(&packet.payload));
                } else {
                    self.heard[client - 1] += 1;
                }
            }
            Heard::Rtp(_) => {}
        }
    }

    fn transmit(&mut self, now_us: u64) {
        loop {
            self.outbox.clear();
            let more = self.shard.transmit(Time(now_us), &mut self.outbox);
            let datagrams: Vec<_> = self
                .outbox
                .datagrams()
                .filter_map(|(path, bytes)| Some((*self.by_address.get(&path.remote)?, bytes.to_vec())))
                .collect();
            for (client, bytes) in datagrams {
                let arrivals: Vec<_> = self.down[client].send(now_us, bytes.len()).collect();
                for at in arrivals {
                    self.at(at, Action::ToClient(client, bytes.clone()));
                }
            }
            if !more {
                break;
            }
        }
        if let Some(feed) = &mut self.feed {
            let before = feed.asked;
            self.shard.take_frames(|_, frame| feed.hear(frame));
            let asked = usize::try_from(feed.asked - before).unwrap_or_default();
            self.key_frames_asked.extend(std::iter::repeat_n(now_us, asked));
        }
        for event in self.shard.take_events() {
            if let Event::Rejected { code, .. } = event {
                unreachable!("the simulation's commands are valid: {code:?}");
            }
        }
    }
}
