//! One shard: the transports of one thread, and the packets between them.
//!
//! The way of a packet: [`ShardCore::datagram`] classifies it, finds its transport by the validated path, opens it, and hands it to
//! the transport's `Receiver`, which keeps it in the ring of its encoding; every subscribed slot of every viewer's `Sender` queues
//! sixteen bytes; [`ShardCore::transmit`] rewrites and seals into the outbox. No step allocates once the tables have grown.

mod allocation;
mod binding;
mod commands;
mod connections;
mod egress;
mod hash;
mod ingress;
mod inspect;
mod local;
mod timers;
mod transport;
mod voices;

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::command::{CloseReason, Command, Event};
use crate::encoding::EncodingKey;
use crate::ids::{ConnectionId, Ssrc, TransportId};
use crate::outbox::{Outbox, Path, Via};
use crate::receive::Tracks;
use crate::stats::Stats;
use crate::time::Time;
use crate::transport::dtls::DtlsConfig;
use crate::voices::Order;

use hash::FastHasher;
use timers::Timers;
use transport::Transport;

/// Most transports of one shard. A viewer costs up to 64 KB, so this is 4 GB.
pub const MAX_TRANSPORTS: usize = 65_536;

/// What a shard is made from.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Certificate and time base of the handshakes: its base is the instant that [`Time::ZERO`] stands for.
    pub dtls: DtlsConfig,
    /// Unix time at the base, microseconds: the server's wall clock in sender reports.
    pub unix_at_base_us: u64,
    /// Seed of everything random in the shard but keys.
    pub seed: u64,
}

/// A datagram that came in. It is decrypted in place.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The peer's address.
    pub from: SocketAddr,
    /// Our address that it was sent to.
    pub to: SocketAddr,
    /// What carried it. The payload of a TCP connection's frame is a datagram here.
    pub via: Via,
    /// Its payload.
    pub bytes: &'a mut [u8],
}

/// A world of transports. Every call takes the time; it never goes back.
pub struct ShardCore {
    dtls: DtlsConfig,
    unix_at_base_us: u64,
    random: u64,
    transports: Vec<Option<Box<Transport>>>,
    free: Vec<u32>,
    by_id: HashMap<TransportId, u32>,
    by_ufrag: HashMap<String, u32>,
    by_path: HashMap<Path, u32, BuildHasherDefault<FastHasher>>,
    /// Connections that nobody needs any more and that have not been asked for.
    abandoned: Vec<ConnectionId>,
    tracks: Tracks,
    voices: voices::Voices,
    timers: Timers,
    dirty: VecDeque<u32>,
    control: egress::Control,
    /// Frames for local feeds.
    waiting: local::Waiting,
    events: Vec<Event>,
    stats: Stats,
    /// The transport being served, so that a bug closes that one and no other.
    serving: Option<u32>,
    scratch: Scratch,
    /// Where a test breaks an invariant.
    #[cfg(feature = "faults")]
    pub fault: Option<Fault>,
}

/// A place where a test breaks an invariant, in the work for one transport.
#[cfg(feature = "faults")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// While it is opened, after its tracks were made.
    Open(TransportId),
    /// While a packet is put into its slot.
    Forward(TransportId),
}

/// Buffers that live as long as the shard, so that serving a packet allocates nothing.
#[derive(Default)]
struct Scratch {
    switched: Vec<binding::Switched>,
    switched_at: Time,
    requests: Vec<EncodingKey>,
    listeners: Vec<u32>,
    orders: Vec<Order>,
    desk: allocation::Desk,
}

impl std::fmt::Debug for ShardCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ShardCore({} transports)", self.by_id.len())
    }
}

impl ShardCore {
    /// An empty world.
    pub fn new(config: ShardConfig) -> Self {
        Self {
            dtls: config.dtls,
            random: config.seed,
            unix_at_base_us: config.unix_at_base_us,
            transports: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_path: HashMap::default(),
            abandoned: Vec::new(),
            tracks: Tracks::default(),
            voices: voices::Voices::default(),
            timers: Timers::default(),
            dirty: VecDeque::new(),
            control: egress::Control::default(),
            waiting: local::Waiting::default(),
            events: Vec::new(),
            stats: Stats::default(),
            serving: None,
            scratch: Scratch::default(),
            #[cfg(feature = "faults")]
            fault: None,
        }
    }

    /// Obey an order. A refused one leaves an [`Event::Rejected`] and changes nothing else.
    pub fn command(&mut self, now: Time, command: Command) {
        let transport = command.transport();
        let events = self.events.len();
        if self.guarded(|shard| shard.obey(now, command)) {
            return;
        }
        // An order is always answered: by the end of the transport, or by a refusal where there is none.
        if let Some(&index) = transport.and_then(|id| self.by_id.get(&id)) {
            self.remove(index, CloseReason::Bug);
        } else if self.events.len() == events {
            if let Some(id) = transport {
                self.tracks.remove_of(id);
            }
            let code = crate::command::RefusalCode::Bug;
            self.events.push(Event::Rejected {
                transport,
                mid: None,
                code,
            });
        }
    }

    /// Take a datagram in.
    pub fn datagram(&mut self, now: Time, datagram: Datagram<'_>) {
        self.stats.packets_in += 1;
        self.stats.bytes_in += datagram.bytes.len() as u64;
        self.guarded(|shard| {
            if let Err(reason) = shard.receive(now, datagram) {
                shard.stats.dropped.add(reason);
            }
        });
    }

    /// Do what is due. Harmless when nothing is.
    pub fn timeout(&mut self, now: Time) {
        while let Some(index) = self.timers.pop(now, |index, at| {
            self.transports
                .get(index as usize)
                .and_then(Option::as_ref)
                .is_some_and(|transport| transport.armed == Some(at))
        }) {
            self.guarded(|shard| shard.serve(now, index));
        }
        while let Some(group) = self.voices.pop(now) {
            self.guarded(|shard| shard.rank(now, group));
        }
    }

    /// When `timeout` wants to be called next.
    pub fn next_timeout(&self) -> Option<Time> {
        [self.timers.next(), self.voices.next()].into_iter().flatten().min()
    }

    /// Write datagrams that may leave now into `out`, as many as fit. `true`: call again after emptying it. Frames for local feeds wait for
    /// [`Self::take_frames`].
    pub fn transmit(&mut self, now: Time, out: &mut Outbox) -> bool {
        let mut more = false;
        self.guarded(|shard| more = shard.fill(now, out));
        more
    }

    /// Facts since the last call, in order.
    pub fn take_events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    /// Totals of now.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.transports = self.by_id.len() as u64;
        for transport in self.transports.iter().flatten() {
            stats.tracks += transport.tracks.len() as u64;
            stats.slots += transport.sender.slots() as u64;
        }
        stats
    }

    /// A bug of ours costs the transport that it shows up in, never the shard. `false`: there was one.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) -> bool {
        if self.caught(work) {
            return true;
        }
        // Slots of others that had switched before are reconciled all the same.
        let now = self.scratch.switched_at;
        while let Some(one) = self.scratch.switched.pop() {
            self.caught(|shard| shard.finish_switch(now, one));
        }
        false
    }

    fn caught(&mut self, work: impl FnOnce(&mut Self)) -> bool {
        self.serving = None;
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_ok() {
            return true;
        }
        if let Some(index) = self.serving.take() {
            self.remove(index, CloseReason::Bug);
        }
        false
    }

    /// splitmix64: reproducible from the seed. Not for keys.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An SSRC for our own reports.
    fn random_ssrc(&mut self) -> Ssrc {
        Ssrc((self.random() >> 32) as u32 | 1)
    }
}
