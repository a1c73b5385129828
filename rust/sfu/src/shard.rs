//! One shard: the transports of one thread, and the packets between them.

use std::net::SocketAddr;
use std::time::Instant;

use crate::command::{Command, Event};
use crate::outbox::Outbox;
use crate::stats::Stats;
use crate::time::Time;
use crate::transport::certificate::Certificate;

/// What a shard is made from.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// The instant that [`Time::ZERO`] stands for; the DTLS library wants instants.
    pub base: Instant,
    /// Unix time at `base`, microseconds: the server's wall clock in sender reports.
    pub unix_at_base_us: u64,
    /// Seed of everything random in the shard but keys.
    pub seed: u64,
    /// The certificate of the process.
    pub certificate: Certificate,
}

/// A datagram that came in. It is decrypted in place.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The peer's address.
    pub from: SocketAddr,
    /// Our address that it was sent to.
    pub to: SocketAddr,
    /// Its payload.
    pub bytes: &'a mut [u8],
}

/// A world of transports. Every call takes the time; it never goes back.
#[derive(Debug)]
pub struct ShardCore {
    #[allow(dead_code)]
    config: ShardConfig,
    events: Vec<Event>,
    stats: Stats,
}

impl ShardCore {
    /// An empty world.
    pub fn new(config: ShardConfig) -> Self {
        Self {
            config,
            events: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Obey an order. A refused one leaves an [`Event::Rejected`] and changes nothing else.
    pub fn command(&mut self, _now: Time, _command: Command) {}

    /// Take a datagram in.
    pub fn datagram(&mut self, _now: Time, _datagram: Datagram<'_>) {}

    /// Do what is due. Harmless when nothing is.
    pub fn timeout(&mut self, _now: Time) {}

    /// When `timeout` wants to be called next.
    pub fn next_timeout(&self) -> Option<Time> {
        None
    }

    /// Write datagrams that may leave now into `out`, as many as fit. `true`: call again after emptying it.
    pub fn transmit(&mut self, _now: Time, _out: &mut Outbox) -> bool {
        false
    }

    /// Facts since the last call, in order.
    pub fn take_events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    /// Totals of now.
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }
}
