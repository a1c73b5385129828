//! ICE over TCP (RFC 6544): the listener of the media port's number, and its connections, which carry datagrams in frames (RFC 4571).
//!
//! **Strangers.** Until ICE has validated a connection it costs a socket, its entry here and the beginning of one short frame; it has [`door::PATIENCE`] to
//! authenticate, and goes at the first bytes that are no STUN.
//!
//! **Slow readers.** Nothing here ever waits. The kernel is given what it can send soon and little more (`TCP_NOTSENT_LOWAT`), because what it has
//! cannot be taken back; what does not fit waits in a [`Backlog`], which is bounded in bytes and time. What cannot wait is dropped and counted, and the
//! viewer's feedback says so, as it does for a full queue of a router.
//!
//! **The end.** A connection of a transport that ended is shut down for writing, so that close_notify arrives, and closed when the peer has closed
//! it, or after [`LINGER`].
//!
//! Long, because opening, reading, sending and closing change one table of connections.

mod backlog;
mod door;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use rostra_sfu::ids::ConnectionId;
use rostra_sfu::outbox::{Outbox, Path, Via};
use rostra_sfu::reason::DropReason;
use rostra_sfu::shard::Datagram;
use rostra_sfu::stats::DropCounters;
use rostra_sfu::time::Time;
use rostra_sfu::transport::classify::{Class, classify};
use rostra_sfu::transport::framing::{self, Deframer, Framed};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::socket::DATAGRAM;
use crate::sys::{Epoll, Ready, descriptors, set_option};
use backlog::Backlog;
use door::{Door, MAX_CONNECTIONS, Verdict};

/// Longest frame of a stranger, bytes: an ICE check is a few hundred.
const FIRST_FRAME: usize = 600;
/// Read of one connection at a time, bytes: then it is the next one's turn.
const READ: usize = 16 * 1024;
/// Given to the kernel at a time, bytes, and what may lie there unsent: at 2 Mb/s it leaves within 65 ms.
const UNSENT: usize = 16 * 1024;
/// Buffers of one socket in the kernel, bytes; it doubles them for its own needs. Enough for 10 Mb/s over 200 ms.
const BUFFER: usize = 256 * 1024;
/// New connections of one turn.
const ACCEPTS: usize = 64;
/// Connections that the kernel keeps for us to accept.
const QUEUE: i32 = 1024;
/// The peer of a connection that was shut down may take so long to close it.
const LINGER: Duration = Duration::from_secs(1);
/// Without descriptors, memory or anything else that an accept needs, the next one is tried after this.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// A peer that acknowledges nothing for so long is gone, ms: consent ends then (RFC 7675 §5.1).
const USER_TIMEOUT_MS: u32 = 30_000;
/// The listener's number in the epoll; connections have those of their ids.
const LISTENER: u64 = u64::MAX;

/// The listener and its connections.
#[derive(Debug)]
pub(crate) struct TcpPort {
    listener: Socket,
    epoll: Epoll,
    connections: Vec<Option<Connection>>,
    /// Places in `connections` that are free, and which id the next there has.
    free: Vec<ConnectionId>,
    live: usize,
    door: Door,
    /// In the order of their shutdown.
    lingering: VecDeque<(Time, ConnectionId)>,
    accept_at: Option<Time>,
    ready: Vec<Ready>,
    /// What `read` got, and its length.
    input: Box<[u8]>,
    filled: usize,
    /// Frames for one connection.
    output: Vec<u8>,
    /// Paths whose connection has ended, which the core is still to be told.
    ended: Vec<Path>,
    dropped: DropCounters,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    path: Path,
    state: State,
    deframer: Deframer,
    backlog: Option<Box<Backlog>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody has authenticated.
    Stranger,
    /// ICE has validated it.
    Named,
    /// Shut down: what comes is thrown away until the peer closes.
    Leaving,
}

impl TcpPort {
    /// Listen on `address`; `[::]` takes IPv4 too.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        if address.is_ipv6() {
            listener.set_only_v6(!address.ip().is_unspecified())?;
        }
        // Connections of a server that was here before, and that it closed, must not keep us out.
        listener.set_reuse_address(true)?;
        // Both are inherited by every connection. Fixed sizes: what a stranger can make the kernel keep has a bound.
        listener.set_recv_buffer_size(BUFFER)?;
        listener.set_send_buffer_size(BUFFER)?;
        listener.bind(&SockAddr::from(address))?;
        listener.listen(QUEUE)?;
        let epoll = Epoll::new()?;
        epoll.add(listener.as_raw_fd(), LISTENER)?;
        Ok(Self {
            listener,
            epoll,
            connections: Vec::new(),
            free: Vec::new(),
            live: 0,
            door: Door::new(descriptors()),
            lingering: VecDeque::new(),
            accept_at: None,
            ready: Vec::with_capacity(Epoll::BATCH),
            input: vec![0; READ].into_boxed_slice(),
            filled: 0,
            output: Vec::new(),
            ended: Vec::new(),
            dropped: DropCounters::default(),
        })
    }

    /// The bound address.
    #[cfg(test)]
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }

    /// Open connections.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// What was dropped so far, by reason.
    pub(crate) fn dropped(&self) -> &DropCounters {
        &self.dropped
    }

    /// When `expire` wants to be called next.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        let lingering = self.lingering.front().map(|(at, _)| *at);
        [self.door.next_timeout(), lingering, self.accept_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Close what is overdue.
    pub(crate) fn expire(&mut self, now: Time) {
        while let Some(id) = self.door.overdue(now) {
            if self.is_stranger(id) {
                self.refuse(id, DropReason::TcpNameless);
            }
        }
        while self.lingering.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, id)) = self.lingering.pop_front()
                && self.state(id) == Some(State::Leaving)
            {
                self.close(id);
            }
        }
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept_at = None;
            if self.epoll.add(self.listener.as_raw_fd(), LISTENER).is_err() {
                self.accept_at = Some(now + ACCEPT_AGAIN);
            }
        }
    }

    /// See who is ready: accept, go on writing, and give the number of those that have something to say, for `read`.
    pub(crate) fn poll(&mut self, now: Time) -> usize {
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.poll(Epoll::BATCH, &mut ready);
        ready.retain(|one| {
            if one.number == LISTENER {
                self.accept(now);
                return false;
            }
            let id = id_of(one.number);
            if one.writable {
                self.go_on(now, id);
            }
            one.readable
        });
        self.ready = ready;
        self.ready.len()
    }

    /// Read what the connection of place `index` among those of `poll` has to say; `deliver` gives it out.
    pub(crate) fn read(&mut self, index: usize) {
        self.filled = 0;
        let Some(id) = self.ready.get(index).map(|one| id_of(one.number)) else {
            return;
        };
        let Some(connection) = find(&mut self.connections, id) else {
            return;
        };
        match connection.stream.read(&mut self.input) {
            // What was shut down is listened to for its end only.
            Ok(len) if len > 0 && connection.state == State::Leaving => {}
            Ok(len) if len > 0 => self.filled = len,
            Err(error) if is_passing(&error) => {}
            Ok(_) | Err(_) => self.close(id),
        }
    }

    /// Hand out every whole datagram of what was read. With one of a stranger goes its path, and `take` says whether that is known, now that it has
    /// had the datagram: so a stranger gets its name.
    pub(crate) fn deliver(&mut self, index: usize, mut take: impl FnMut(Datagram<'_>, Option<&Path>) -> bool) {
        let Some(id) = self.ready.get(index).map(|one| id_of(one.number)) else {
            return;
        };
        let mut used = 0;
        while let Some(connection) = find(&mut self.connections, id) {
            let Connection {
                path, state, deframer, ..
            } = connection;
            let input = self.input.get_mut(..self.filled).unwrap_or_default();
            let is_stranger = *state == State::Stranger;
            match deframer.next(input, &mut used) {
                None => return,
                Some(Framed::Datagram(bytes)) if !is_stranger || classify(bytes) == Some(Class::Stun) => {
                    let datagram = Datagram {
                        from: path.remote,
                        to: path.local,
                        via: path.via,
                        bytes,
                    };
                    if take(datagram, is_stranger.then_some(&*path)) && is_stranger {
                        *state = State::Named;
                        deframer.set_limit(DATAGRAM);
                        self.door.named(path.remote.ip());
                    }
                }
                Some(Framed::TooLong(_)) if !is_stranger => self.dropped.add(DropReason::TooLarge),
                Some(Framed::Datagram(_) | Framed::TooLong(_)) => self.refuse(id, DropReason::TcpNotStun),
            }
        }
    }

    /// Paths whose connection has ended since the last call.
    pub(crate) fn take_ended(&mut self) -> std::vec::Drain<'_, Path> {
        self.ended.drain(..)
    }

    /// Send the runs of `outbox` that go over connections. Never blocks. How many datagrams had a connection that is gone.
    pub(crate) fn send(&mut self, now: Time, outbox: &Outbox) -> u64 {
        let mut lost = 0;
        let mut to = None;
        for run in outbox.runs() {
            let Via::Tcp(id) = run.path.via else {
                continue;
            };
            // Runs for one connection follow each other: they share the system call, and the segments.
            if to.is_some_and(|to| to != id) {
                self.write(now, to);
            }
            if find(&mut self.connections, id).is_none_or(|one| one.state == State::Leaving) {
                lost += run.count() as u64;
                to = None;
                continue;
            }
            to = Some(id);
            for datagram in outbox.bytes(run).chunks(run.segment.max(1)) {
                framing::write(&mut self.output, datagram);
            }
        }
        self.write(now, to);
        lost
    }

    /// Nobody needs the connection any more.
    pub(crate) fn leave(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = find(&mut self.connections, id) else {
            return;
        };
        let is_done = connection.backlog.is_none() && connection.stream.shutdown(Shutdown::Write).is_ok();
        if !is_done || connection.state != State::Named {
            self.close(id);
            return;
        }
        connection.state = State::Leaving;
        self.lingering.push_back((now + LINGER, id));
    }

    /// The core has forgotten every path.
    pub(crate) fn leave_all(&mut self, now: Time) {
        let named = self.connections.iter().flatten();
        let named = named.filter(|one| one.state == State::Named).filter_map(Connection::id);
        for id in named.collect::<Vec<_>>() {
            self.leave(now, id);
        }
    }

    fn accept(&mut self, now: Time) {
        for _ in 0..ACCEPTS {
            match self.listener.accept() {
                Ok((socket, remote)) => {
                    // A connection whose options or addresses cannot be had has ended already.
                    let _ = self.welcome(now, socket, &remote);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ECONNABORTED)) => {}
                // No descriptors or no memory: the listener would be ready for ever.
                Err(_) => {
                    self.dropped.add(DropReason::TcpRefused);
                    let _ = self.epoll.remove(self.listener.as_raw_fd());
                    self.accept_at = Some(now + ACCEPT_AGAIN);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, now: Time, socket: Socket, remote: &SockAddr) -> io::Result<()> {
        let (Some(remote), Some(local)) = (remote.as_socket(), socket.local_addr()?.as_socket()) else {
            return Ok(());
        };
        let (remote, local) = (canonical(remote), canonical(local));
        let connections = &self.connections;
        match self
            .door
            .knock(remote.ip(), |id| state(connections, id) == Some(State::Stranger))
        {
            Verdict::In(None) => {}
            Verdict::In(Some(loser)) => self.refuse(loser, DropReason::TcpRefused),
            Verdict::Refused => {
                self.dropped.add(DropReason::TcpRefused);
                return Ok(());
            }
        }
        socket.set_nonblocking(true)?;
        tune(&socket)?;
        let id = self.free.pop().unwrap_or(ConnectionId(self.connections.len() as u32));
        if let Err(error) = self.epoll.add(socket.as_raw_fd(), u64::from(id.0)) {
            self.give_back(id);
            return Err(error);
        }
        let connection = Connection {
            stream: socket.into(),
            path: Path {
                local,
                remote,
                via: Via::Tcp(id),
            },
            state: State::Stranger,
            deframer: Deframer::new(FIRST_FRAME),
            backlog: None,
        };
        match self.connections.get_mut(place_of(id)) {
            Some(place) => *place = Some(connection),
            None => self.connections.push(Some(connection)),
        }
        self.live += 1;
        let connections = &self.connections;
        self.door.enter(now, remote.ip(), id, |id| {
            state(connections, id) == Some(State::Stranger)
        });
        Ok(())
    }

    /// Write what is in `output`, or let it wait.
    fn write(&mut self, now: Time, to: Option<ConnectionId>) {
        let mut output = std::mem::take(&mut self.output);
        let result = match to.and_then(|id| find(&mut self.connections, id)) {
            Some(connection) if !output.is_empty() => connection.write(now, &output),
            _ => Ok(Wrote::default()),
        };
        output.clear();
        self.output = output;
        if let Some(id) = to {
            self.wrote(id, result);
        }
    }

    /// There is room again.
    fn go_on(&mut self, now: Time, id: ConnectionId) {
        if let Some(connection) = find(&mut self.connections, id) {
            let result = connection.go_on(now);
            self.wrote(id, result);
        }
    }

    fn wrote(&mut self, id: ConnectionId, result: io::Result<Wrote>) {
        let watched = result.and_then(|wrote| {
            for _ in 0..wrote.dropped {
                self.dropped.add(DropReason::TcpFull);
            }
            let (Some(wants), Some(connection)) = (wrote.wants_room, find(&mut self.connections, id)) else {
                return Ok(());
            };
            self.epoll.watch(connection.stream.as_raw_fd(), u64::from(id.0), wants)
        });
        if watched.is_err() {
            self.close(id);
        }
    }

    fn state(&self, id: ConnectionId) -> Option<State> {
        state(&self.connections, id)
    }

    fn is_stranger(&self, id: ConnectionId) -> bool {
        self.state(id) == Some(State::Stranger)
    }

    fn refuse(&mut self, id: ConnectionId, reason: DropReason) {
        self.dropped.add(reason);
        self.close(id);
    }

    fn close(&mut self, id: ConnectionId) {
        let place = self.connections.get_mut(place_of(id));
        let Some(gone) = place.and_then(|place| place.take_if(|one| one.path.via == Via::Tcp(id))) else {
            return;
        };
        self.live -= 1;
        self.door.left(gone.path.remote.ip(), gone.state == State::Stranger);
        if gone.state == State::Named {
            self.ended.push(gone.path);
        }
        self.give_back(id);
    }

    /// The place is free, and the next connection there has another id.
    fn give_back(&mut self, id: ConnectionId) {
        self.free.push(ConnectionId(id.0.wrapping_add(MAX_CONNECTIONS as u32)));
        if self.connections.len() <= place_of(id) {
            self.connections.push(None);
        }
    }
}

impl AsRawFd for TcpPort {
    /// Readable while `poll` has something to do.
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

/// What became of frames.
#[derive(Clone, Copy, Debug, Default)]
struct Wrote {
    dropped: u64,
    /// From now on readiness for writing is interesting, or is not; `None`: as before.
    wants_room: Option<bool>,
}

impl Connection {
    fn id(&self) -> Option<ConnectionId> {
        match self.path.via {
            Via::Tcp(id) => Some(id),
            Via::Udp => None,
        }
    }

    /// Send whole frames, or what of them the kernel takes now; the rest waits.
    fn write(&mut self, now: Time, frames: &[u8]) -> io::Result<Wrote> {
        if let Some(backlog) = &mut self.backlog {
            let dropped = backlog.push(now, frames);
            return Ok(Wrote {
                dropped,
                wants_room: None,
            });
        }
        let sent = send(&mut self.stream, frames)?;
        let (mut begun, mut rest) = (0, frames);
        // Where in its frame the kernel stopped.
        while let Some((frame, others)) = framing::first(rest).and_then(|len| rest.split_at_checked(len)) {
            let end = frames.len() - others.len();
            if end > sent {
                begun = frame.len() - (end - sent);
                break;
            }
            rest = others;
        }
        if rest.is_empty() {
            return Ok(Wrote::default());
        }
        let backlog = self.backlog.insert(Box::default());
        let mut whole = rest;
        if begun > 0
            && let Some((frame, others)) = framing::first(rest).and_then(|len| rest.split_at_checked(len))
        {
            backlog.begin(frame.get(begun..).unwrap_or_default());
            whole = others;
        }
        let dropped = backlog.push(now, whole);
        Ok(Wrote {
            dropped,
            wants_room: Some(true),
        })
    }

    /// Send what waits.
    fn go_on(&mut self, now: Time) -> io::Result<Wrote> {
        let Some(backlog) = &mut self.backlog else {
            return Ok(Wrote::default());
        };
        let dropped = backlog.expire(now);
        loop {
            let front = backlog.front();
            if front.is_empty() {
                self.backlog = None;
                return Ok(Wrote {
                    dropped,
                    wants_room: Some(false),
                });
            }
            let wanted = front.len();
            let sent = send(&mut self.stream, front)?;
            backlog.took(sent);
            if sent < wanted {
                return Ok(Wrote {
                    dropped,
                    wants_room: None,
                });
            }
        }
    }
}

/// As much as the kernel takes now.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    // In pieces: the kernel looks at the limit of what is unsent before each write, not in its middle.
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest.get(..UNSENT).unwrap_or(rest)) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Small packets leave at once, the kernel holds little, and dead peers are noticed.
fn tune(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let fd = socket.as_raw_fd();
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT as libc::c_uint)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, USER_TIMEOUT_MS)?;
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5));
    SockRef::from(socket).set_tcp_keepalive(&probes)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn id_of(number: u64) -> ConnectionId {
    ConnectionId(number as u32)
}

/// Where among the connections the one with this id is: its low bits. The others count how often the place was taken.
fn place_of(id: ConnectionId) -> usize {
    id.0 as usize % MAX_CONNECTIONS
}

fn find(connections: &mut [Option<Connection>], id: ConnectionId) -> Option<&mut Connection> {
    let connection = connections.get_mut(place_of(id))?.as_mut()?;
    (connection.path.via == Via::Tcp(id)).then_some(connection)
}

fn state(connections: &[Option<Connection>], id: ConnectionId) -> Option<State> {
    let connection = connections.get(place_of(id))?.as_ref()?;
    (connection.path.via == Via::Tcp(id)).then_some(connection.state)
}

/// Never IPv4 mapped into IPv6, as a dual-stack listener tells it.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests;
