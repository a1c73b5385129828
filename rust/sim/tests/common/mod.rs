//! One shard and clients made by hand, in virtual time, on wires without delay. A client here can send any plaintext in good SRTP, and any
//! bytes at all, which no well-behaved stack would.
#![allow(dead_code)] // Each test program uses a part of it.

pub mod archive;
pub mod ears;
pub mod judge;
pub mod peer;
pub mod stage;
pub mod studio;
pub mod stun;
pub mod witness;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{CloseReason, Command, Event, Fingerprint, Hash, RefusalCode};
use rostra_sfu::ids::{Mid, TrackId, TransportId};
use rostra_sfu::outbox::{Outbox, Via};
use rostra_sfu::reason::DropReason;
use rostra_sfu::shard::{Datagram, ShardConfig, ShardCore};
use rostra_sfu::time::Time;
use rostra_sfu::transport::certificate::Certificate;
use rostra_sfu::transport::dtls::DtlsConfig;

/// Where the shard listens.
pub const SERVER: ([u8; 4], u16) = ([10, 255, 0, 1], 8081);

/// The wall clock at [`Time::ZERO`].
pub const UNIX_AT_BASE_US: u64 = 1_700_000_000_000_000;

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn mid(name: &str) -> Mid {
    Mid::new(name.as_bytes()).expect("a short name")
}

/// A certificate is needed on both sides, never a fresh one.
fn certificates() -> &'static (Certificate, Certificate) {
    static BOTH: OnceLock<(Certificate, Certificate)> = OnceLock::new();
    BOTH.get_or_init(|| {
        (
            Certificate::generate().expect("the library makes certificates"),
            Certificate::generate().expect("the library makes certificates"),
        )
    })
}

fn print(certificate: &Certificate) -> Vec<Fingerprint> {
    vec![Fingerprint {
        hash: Hash::Sha256,
        digest: certificate.sha256().to_vec(),
    }]
}

/// A shard with everything that left it.
pub struct Bench {
    pub shard: ShardCore,
    pub now: Time,
    /// All events so far.
    pub events: Vec<Event>,
    pub server: SocketAddr,
    /// How clients shake hands.
    pub client: DtlsConfig,
    /// Frames for local feeds, in order.
    pub frames: Vec<(TransportId, Vec<u8>)>,
    /// What carries the datagrams of an address from now on, both ways; UDP where nothing is said.
    pub carriers: HashMap<SocketAddr, Via>,
    outbox: Outbox,
    wire: Vec<(SocketAddr, Via, Vec<u8>)>,
}

impl Bench {
    pub fn new() -> Self {
        let base = Instant::now();
        let (server, client) = certificates();
        let config = |certificate| DtlsConfig::new(base, certificate).expect("the library takes its certificates");
        Self {
            shard: ShardCore::new(ShardConfig {
                dtls: config(server),
                unix_at_base_us: UNIX_AT_BASE_US,
                seed: 7,
            }),
            now: Time(1_000_000),
            events: Vec::new(),
            server: SocketAddr::from(SERVER),
            client: config(client),
            frames: Vec::new(),
            carriers: HashMap::new(),
            outbox: Outbox::default(),
            wire: Vec::new(),
        }
    }

    /// Digest of the server's certificate.
    pub fn server_print() -> Vec<Fingerprint> {
        print(&certificates().0)
    }

    /// Digest of every client's certificate.
    pub fn client_print() -> Vec<Fingerprint> {
        print(&certificates().1)
    }

    pub fn command(&mut self, command: Command) {
        self.shard.command(self.now, command);
        self.transmit();
    }

    /// A command, and what the shard refuses it with.
    pub fn refusal(&mut self, command: Command) -> Option<RefusalCode> {
        let before = self.events.len();
        self.command(command);
        self.events[before..].iter().find_map(|event| match event {
            Event::Rejected { code, .. } => Some(*code),
            _ => None,
        })
    }

    pub fn bind(&mut self, viewer: TransportId, slot: &str, track: TrackId) {
        self.command(Command::BindSlot {
            transport: viewer,
            mid: mid(slot),
            track,
            choice: LayerChoice::default(),
            priority: Priority::default(),
        });
    }

    /// A datagram from anywhere.
    pub fn raw(&mut self, from: SocketAddr, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let via = self.carrier(from);
        self.shard.datagram(
            self.now,
            Datagram {
                from,
                to: self.server,
                via,
                bytes: &mut bytes,
            },
        );
        self.transmit();
    }

    /// A frame of a local feed.
    pub fn frame(&mut self, transport: TransportId, frame: &[u8]) {
        self.shard.local_frame(self.now, transport, &mut frame.to_vec());
        self.transmit();
    }

    /// A datagram from anywhere, and how many bytes left because of it, to whomever.
    pub fn answer_to(&mut self, from: SocketAddr, bytes: &[u8]) -> u64 {
        let before = self.shard.stats().bytes_out;
        self.raw(from, bytes);
        self.shard.stats().bytes_out - before
    }

    pub fn transmit(&mut self) {
        loop {
            self.outbox.clear();
            let more = self.shard.transmit(self.now, &mut self.outbox);
            self.wire.extend(
                self.outbox
                    .datagrams()
                    .map(|(path, bytes)| (path.remote, path.via, bytes.to_vec())),
            );
            if !more {
                break;
            }
        }
        let frames = &mut self.frames;
        self.shard
            .take_frames(|transport, frame| frames.push((transport, frame.to_vec())));
        let events: Vec<_> = self.shard.take_events().collect();
        assert!(
            self.shard.fault.is_some()
                || !events.iter().any(|event| matches!(
                    event,
                    Event::TransportClosed {
                        reason: CloseReason::Bug,
                        ..
                    }
                )),
            "a bug showed up: {events:?}"
        );
        self.events.extend(events);
    }

    /// Time passes, timers fire. Nobody says anything.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.shard.next_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.shard.timeout(self.now);
            self.transmit();
        }
        self.now = end;
        self.shard.timeout(self.now);
        self.transmit();
    }

    fn carrier(&self, address: SocketAddr) -> Via {
        self.carriers.get(&address).copied().unwrap_or(Via::Udp)
    }

    /// What was sent to an address, by what carries it, since it was asked last.
    pub fn take(&mut self, address: SocketAddr) -> Vec<Vec<u8>> {
        let via = self.carrier(address);
        let mut taken = Vec::new();
        self.wire.retain_mut(|(to, by, bytes)| {
            if *to == address && *by == via {
                taken.push(std::mem::take(bytes));
                return false;
            }
            true
        });
        taken
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.shard.stats().dropped.get(reason)
    }

    /// How a transport ended. It ends once.
    pub fn closed(&self, id: TransportId) -> Option<CloseReason> {
        let reasons: Vec<_> = self
            .events
            .iter()
            .filter_map(|event| match event {
                Event::TransportClosed { transport, reason } if *transport == id => Some(*reason),
                _ => None,
            })
            .collect();
        assert!(reasons.len() <= 1, "{id:?} closed more than once: {reasons:?}");
        reasons.first().copied()
    }

    pub fn connected(&self, id: TransportId) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::TransportConnected { transport, .. } if *transport == id))
    }
}
