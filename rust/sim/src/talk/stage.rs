//! A shard, and what left it.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rostra_sfu::command::{Command, Event, Fingerprint, Hash};
use rostra_sfu::outbox::{Outbox, Via};
use rostra_sfu::shard::{Datagram, ShardConfig, ShardCore};
use rostra_sfu::time::Time;
use rostra_sfu::transport::certificate::Certificate;
use rostra_sfu::transport::dtls::DtlsConfig;

/// Where the shard listens.
pub const SERVER: ([u8; 4], u16) = ([10, 255, 0, 1], 8081);

/// A certificate is needed on both sides, never a fresh one.
fn certificates() -> &'static (Certificate, Certificate) {
    static BOTH: OnceLock<(Certificate, Certificate)> = OnceLock::new();
    let generate = || Certificate::generate().unwrap_or_else(|error| unreachable!("the library makes them: {error}"));
    BOTH.get_or_init(|| (generate(), generate()))
}

/// Digests of the certificates of the server and of all peers.
pub(super) fn prints() -> (Vec<Fingerprint>, Vec<Fingerprint>) {
    let print = |certificate: &Certificate| {
        vec![Fingerprint {
            hash: Hash::Sha256,
            digest: certificate.sha256().to_vec(),
        }]
    };
    (print(&certificates().0), print(&certificates().1))
}

/// A shard in virtual time.
pub struct Stage {
    /// The shard.
    pub shard: ShardCore,
    /// The time of everything that is done.
    pub now: Time,
    server: SocketAddr,
    client: DtlsConfig,
    outbox: Outbox,
    left: Vec<(SocketAddr, Vec<u8>)>,
    events: Vec<Event>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stage({:?})", self.now)
    }
}

impl Stage {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        let base = Instant::now();
        let config = |certificate| {
            DtlsConfig::new(base, certificate).unwrap_or_else(|error| unreachable!("it takes its own: {error}"))
        };
        Self {
            shard: ShardCore::new(ShardConfig {
                dtls: config(&certificates().0),
                unix_at_base_us: 1_700_000_000_000_000,
                seed,
            }),
            now: Time(1_000_000),
            server: SocketAddr::from(SERVER),
            client: config(&certificates().1),
            outbox: Outbox::default(),
            left: Vec::new(),
            events: Vec::new(),
        }
    }

    /// How peers shake hands.
    pub(super) fn client(&self) -> &DtlsConfig {
        &self.client
    }

    /// An order. What comes of it leaves.
    pub fn command(&mut self, command: Command) {
        self.shard.command(self.now, command);
        self.transmit();
    }

    /// A datagram comes. What comes of it leaves.
    pub fn datagram(&mut self, from: SocketAddr, bytes: &mut [u8]) {
        let to = self.server;
        self.shard.datagram(
            self.now,
            Datagram {
                from,
                to,
                via: Via::Udp,
                bytes,
            },
        );
        self.transmit();
    }

    /// Time passes until `at`, timers fire.
    pub fn pass(&mut self, at: Time) {
        while let Some(next) = self.shard.next_timeout().filter(|next| *next <= at) {
            self.now = self.now.max(next);
            self.shard.timeout(self.now);
            self.transmit();
        }
        self.now = at;
    }

    /// For so long.
    pub fn pass_for(&mut self, time: Duration) {
        self.pass(self.now + time);
    }

    fn transmit(&mut self) {
        loop {
            self.outbox.clear();
            let more = self.shard.transmit(self.now, &mut self.outbox);
            let left = self
                .outbox
                .datagrams()
                .map(|(path, bytes)| (path.remote, bytes.to_vec()));
            self.left.extend(left);
            if !more {
                break;
            }
        }
        self.events.extend(self.shard.take_events());
    }

    /// What was sent to an address since it was asked last.
    pub fn take(&mut self, address: SocketAddr) -> Vec<Vec<u8>> {
        let taken = self.left.extract_if(.., |(to, _)| *to == address);
        taken.map(|(_, bytes)| bytes).collect()
    }

    /// Everything that was sent since somebody asked last.
    pub fn take_all(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.left)
    }

    /// What was told since it was asked last.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
