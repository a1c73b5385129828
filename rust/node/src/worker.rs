//! The loop around one shard: what arrives goes in, what is due happens, what may leave goes out, then sleep.

use std::collections::{HashSet, VecDeque};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rostra_sfu::command::{CloseReason, Command, Event};
use rostra_sfu::ids::{ConnectionId, TransportId};
use rostra_sfu::outbox::{Outbox, Path};
use rostra_sfu::reason::DropReason;
use rostra_sfu::shard::{Datagram, ShardCore};
use rostra_sfu::stats::Stats;
use rostra_sfu::time::Time;

use crate::feeds::{Came, Feeds, Order};
use crate::queue::{EventLog, Inbox};
use crate::socket::{Batch, UdpPort};
use crate::sys::wait_readable;
use crate::tcp::TcpPort;

/// Between two totals.
const STATS_EVERY: Duration = Duration::from_secs(1);
/// Batches read before anything is sent: input first, because what the kernel drops is a publisher's packet as likely as a report.
const RECEIVE_ROUNDS: usize = 4;
/// Outboxes sent before the socket is read again (about 4 000 datagrams), so that a storm of output never starves input.
const SEND_ROUNDS: usize = 64;
/// Timers closer than this are served together.
const SHORTEST_SLEEP: Duration = Duration::from_micros(100);

/// What the loop needs of a shard. [`ShardCore`] is the one; tests of the loop bring smaller ones.
pub(crate) trait Core {
    fn command(&mut self, now: Time, command: Command);
    fn datagram(&mut self, now: Time, datagram: Datagram<'_>);
    fn local_frame(&mut self, now: Time, transport: TransportId, frame: &mut [u8]);
    fn local_closed(&mut self, now: Time, transport: TransportId);
    fn take_frames(&mut self, each: impl FnMut(TransportId, &[u8]));
    fn timeout(&mut self, now: Time);
    fn next_timeout(&self) -> Option<Time>;
    fn transmit(&mut self, now: Time, out: &mut Outbox) -> bool;
    fn take_events(&mut self, into: &mut Vec<Event>);
    fn stats(&self) -> Stats;
    fn is_known(&self, path: &Path) -> bool;
    fn hang_up(&mut self, now: Time, path: &Path);
    fn take_abandoned(&mut self, into: &mut Vec<ConnectionId>);
}

impl Core for ShardCore {
    fn command(&mut self, now: Time, command: Command) {
        ShardCore::command(self, now, command);
    }

    fn datagram(&mut self, now: Time, datagram: Datagram<'_>) {
        ShardCore::datagram(self, now, datagram);
    }

    fn local_frame(&mut self, now: Time, transport: TransportId, frame: &mut [u8]) {
        ShardCore::local_frame(self, now, transport, frame);
    }

    fn local_closed(&mut self, now: Time, transport: TransportId) {
        ShardCore::local_closed(self, now, transport);
    }

    fn take_frames(&mut self, each: impl FnMut(TransportId, &[u8])) {
        ShardCore::take_frames(self, each);
    }

    fn timeout(&mut self, now: Time) {
        ShardCore::timeout(self, now);
    }

    fn next_timeout(&self) -> Option<Time> {
        ShardCore::next_timeout(self)
    }

    fn transmit(&mut self, now: Time, out: &mut Outbox) -> bool {
        ShardCore::transmit(self, now, out)
    }

    fn take_events(&mut self, into: &mut Vec<Event>) {
        into.extend(ShardCore::take_events(self));
    }

    fn stats(&self) -> Stats {
        ShardCore::stats(self)
    }

    fn is_known(&self, path: &Path) -> bool {
        ShardCore::is_known(self, path)
    }

    fn hang_up(&mut self, now: Time, path: &Path) {
        ShardCore::hang_up(self, now, path);
    }

    fn take_abandoned(&mut self, into: &mut Vec<ConnectionId>) {
        into.extend(ShardCore::take_abandoned(self));
    }
}

/// Where a shard meets the network.
pub(crate) struct Ports {
    pub(crate) udp: UdpPort,
    /// `None`: media goes by UDP alone.
    pub(crate) tcp: Option<TcpPort>,
}

/// One shard with its sockets. Lives on its own thread, from `run` to `close` of the inbox.
pub(crate) struct Worker<C, F> {
    index: usize,
    base: Instant,
    port: UdpPort,
    tcp: Option<TcpPort>,
    feeds: Feeds,
    inbox: Arc<Inbox>,
    log: Arc<EventLog>,
    make: F,
    core: C,
    batch: Batch,
    outbox: Outbox,
    orders: VecDeque<Order>,
    abandoned: Vec<ConnectionId>,
    events: Vec<Event>,
    /// Transports that were opened and of which no end was told. They are told if the core has to be thrown away.
    known: HashSet<TransportId>,
    /// Totals that are not the core's: what the socket knows, and earlier lives of the core.
    own: Stats,
    stats_at: Time,
    /// The core had more to send when its turn was over.
    busy: bool,
}

impl<C: Core, F: FnMut() -> C> Worker<C, F> {
    pub(crate) fn new(
        index: usize,
        base: Instant,
        ports: Ports,
        feeds: Feeds,
        inbox: Arc<Inbox>,
        log: Arc<EventLog>,
        mut make: F,
    ) -> Self {
        Self {
            index,
            base,
            port: ports.udp,
            tcp: ports.tcp,
            feeds,
            inbox,
            log,
            core: make(),
            make,
            batch: Batch::default(),
            outbox: Outbox::default(),
            orders: VecDeque::new(),
            abandoned: Vec::new(),
            events: Vec::new(),
            known: HashSet::new(),
            own: Stats::default(),
            stats_at: Time::ZERO + STATS_EVERY,
            busy: false,
        }
    }

    /// Serve until the inbox is closed. Then every transport is closed, and what that makes leave is sent before this returns.
    pub(crate) fn run(mut self) {
        loop {
            // The core closes a transport in which it finds a bug. A panic that gets here anyway says that the core itself cannot be
            // trusted any more; the panic hook has printed it.
            match catch_unwind(AssertUnwindSafe(|| self.tick())) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => self.recover(),
            }
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.base.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// One turn. `false`: it was the last.
    fn tick(&mut self) -> bool {
        let connections_are_ready = self.busy || self.sleep();
        let mut closed = false;
        for _ in 0..RECEIVE_ROUNDS {
            let more = self.port.receive(&mut self.batch);
            // Commands before datagrams, but taken after the datagrams were: a check that answers an order can then never overtake it.
            closed = self.inbox.take(&mut self.orders);
            self.obey();
            let now = self.now();
            for datagram in self.batch.datagrams() {
                self.core.datagram(now, datagram);
            }
            for _ in 0..self.batch.truncated() {
                self.own.dropped.add(DropReason::TooLarge);
            }
            if !more {
                break;
            }
        }
        if connections_are_ready {
            self.hear_connections();
        }
        if closed {
            self.orders.extend(
                self.known
                    .iter()
                    .map(|&transport| Command::CloseTransport { transport }.into()),
            );
            self.obey();
        }
        let now = self.now();
        let core = &mut self.core;
        self.feeds.receive(|transport, came| match came {
            Came::Frame(frame) => core.local_frame(now, transport, frame),
            Came::HangUp => core.local_closed(now, transport),
        });
        if self.core.next_timeout().is_some_and(|at| at <= now) {
            self.core.timeout(now);
        }
        loop {
            self.busy = self.send();
            if !(closed && self.busy) {
                break;
            }
        }
        self.part_connections();
        self.collect_events();
        self.log.publish(&mut self.events);
        if closed || now >= self.stats_at {
            self.stats_at = now + STATS_EVERY;
            self.tell_stats();
        }
        !closed
    }

    /// Until there is something to do. `true`: TCP connections are ready.
    fn sleep(&self) -> bool {
        let now = self.now();
        let until = [
            self.core.next_timeout(),
            self.tcp.as_ref().and_then(TcpPort::next_timeout),
        ]
        .into_iter()
        .flatten()
        .fold(self.stats_at, Time::min);
        let pause = until.since(now).max(SHORTEST_SLEEP);
        // Of a negative descriptor nothing is ever told.
        let tcp = self.tcp.as_ref().map_or(-1, TcpPort::as_raw_fd);
        let fds = [
            self.port.as_raw_fd(),
            self.inbox.as_raw_fd(),
            self.feeds.as_raw_fd(),
            tcp,
        ];
        let [.., connections] = wait_readable(fds, pause);
        connections
    }

    /// What TCP connections have to say.
    fn hear_connections(&mut self) {
        let now = self.now();
        let count = self.tcp.as_mut().map_or(0, |tcp| tcp.poll(now));
        for index in 0..count {
            if let Some(tcp) = &mut self.tcp {
                tcp.read(index);
            }
            // As for datagrams: a check that answers an order never overtakes it.
            self.inbox.take(&mut self.orders);
            self.obey();
            let now = self.now();
            let (tcp, core) = (&mut self.tcp, &mut self.core);
            if let Some(tcp) = tcp {
                tcp.deliver(index, |datagram, stranger| {
                    core.datagram(now, datagram);
                    stranger.is_some_and(|path| core.is_known(path))
                });
            }
        }
    }

    /// Connections that ended, on either side: those of transports that are gone have their goodbye in the socket by now.
    fn part_connections(&mut self) {
        let now = self.now();
        let Some(tcp) = &mut self.tcp else {
            return;
        };
        tcp.expire(now);
        for path in tcp.take_ended() {
            self.core.hang_up(now, &path);
        }
        self.core.take_abandoned(&mut self.abandoned);
        for connection in self.abandoned.drain(..) {
            tcp.leave(now, connection);
        }
    }

    /// Do what was ordered, in order.
    fn obey(&mut self) {
        while let Some(order) = self.orders.pop_front() {
            let now = self.now();
            let (command, link) = order.split();
            let (Command::OpenTransport { transport, .. } | Command::OpenLocalFeed { transport, .. }) = command else {
                self.core.command(now, command);
                continue;
            };
            self.collect_events();
            let first = self.known.insert(transport);
            let before = self.events.len();
            self.core.command(now, command);
            self.core.take_events(&mut self.events);
            let refused = self.events.iter().skip(before).any(
                |event| matches!(event, Event::Rejected { transport: of, mid: None, .. } if *of == Some(transport)),
            );
            // A refusal because the id is taken says nothing of the transport that has it.
            if first && refused {
                self.known.remove(&transport);
            }
            if let Some(link) = link.filter(|_| !refused)
                && self.feeds.add(transport, link).is_err()
            {
                self.core.local_closed(now, transport);
            }
            self.forget_closed(before);
        }
    }

    /// Let out what may leave. `true`: there is more, and the socket deserves a look first.
    fn send(&mut self) -> bool {
        for _ in 0..SEND_ROUNDS {
            let more = self.core.transmit(self.now(), &mut self.outbox);
            if !self.outbox.is_empty() {
                let sent = self.port.send(&self.outbox);
                if self.tcp.as_ref().is_some_and(|tcp| tcp.live() > 0) {
                    let now = self.now();
                    let lost = self.tcp.as_mut().map_or(0, |tcp| tcp.send(now, &self.outbox));
                    self.own.send_errors += lost;
                }
                self.outbox.clear();
                self.own.send_full += sent.full;
                self.own.send_errors += sent.errors;
                self.own.gso_fallbacks += sent.gso_fallbacks;
            }
            let (feeds, own) = (&self.feeds, &mut self.own);
            self.core.take_frames(|transport, frame| {
                if !feeds.send(transport, frame) {
                    own.dropped.add(DropReason::LinkFull);
                }
            });
            if !more {
                return false;
            }
        }
        true
    }

    fn collect_events(&mut self) {
        let before = self.events.len();
        self.core.take_events(&mut self.events);
        self.forget_closed(before);
    }

    /// Transports whose end stands in the log from `since` on are known no more.
    fn forget_closed(&mut self, since: usize) {
        for event in self.events.iter().skip(since) {
            if let Event::TransportClosed { transport, .. } = event {
                self.known.remove(transport);
                self.feeds.end(*transport);
            }
        }
    }

    fn tell_stats(&mut self) {
        let mut total = self.core.stats();
        total.merge(&self.own);
        total.receive_overflow += self.port.receive_overflow();
        if let Some(tcp) = &self.tcp {
            total.connections = tcp.live() as u64;
            total.dropped.merge(tcp.dropped());
        }
        self.log.publish_stats(self.index, total);
    }

    /// Throw the core away and start with an empty one. Every transport that it had is told to be closed.
    fn recover(&mut self) {
        self.outbox.clear();
        self.feeds.clear();
        self.busy = false;
        self.own.restarts += 1;
        // What the broken core still says is worth having, but not worth a second panic.
        let _ = catch_unwind(AssertUnwindSafe(|| self.collect_events()));
        if let Ok(stats) = catch_unwind(AssertUnwindSafe(|| self.core.stats())) {
            self.own.merge(&Stats {
                transports: 0,
                tracks: 0,
                slots: 0,
                ..stats
            });
        }
        let broken = std::mem::replace(&mut self.core, (self.make)());
        let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        let now = self.now();
        if let Some(tcp) = &mut self.tcp {
            tcp.leave_all(now);
        }
        self.events
            .extend(self.known.drain().map(|transport| Event::TransportClosed {
                transport,
                reason: CloseReason::Bug,
            }));
        self.log.publish(&mut self.events);
    }
}

#[cfg(test)]
mod tests;
