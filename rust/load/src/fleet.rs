//! All connections of one process on one thread: the way in (director, socket, offer and answer), then media until they leave. Long, because every
//! state of a connection is driven by the same poll.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use str0m::media::MediaKind;
use str0m::rtp::Ssrc;

use rostra_sim::isolation;

use crate::http::Exchange;
use crate::peer::{self, Peer, Taken};
use crate::recording::{Packet, Recording};
use crate::signal::{self, Incoming, Role};
use crate::socket::{Said, Socket};
use crate::stream::Stream;

/// Names a connection; never used twice.
pub type Id = usize;

/// The way in takes no longer.
const JOIN_WITHIN: Duration = Duration::from_secs(10);
/// A server notices a peer that vanished after 30 s (RFC 7675); its socket stays that long, to count what still comes.
const GHOST_FOR: Duration = Duration::from_secs(35);

/// Media datagrams as they came from the wire, before decryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// RTP packets but retransmissions.
    pub packets: u64,
    /// Retransmissions.
    pub retransmissions: u64,
    /// UDP payload bytes of both.
    pub bytes: u64,
}

/// A fact about a connection.
#[derive(Debug)]
pub enum Fact {
    /// From the peer connection.
    Heard(peer::Heard),
    /// A source of the stream is live.
    Active(Option<String>),
    /// It did not work out; the connection is gone.
    Failed(String),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Goodbyes on both ways, as a page that closes its connection sends them.
    Cleanly,
    /// Silence, as of a phone that lost its network; the TCP connection ends without a WebSocket goodbye.
    Abruptly,
}

enum Way {
    Director(Exchange),
    Socket(Socket),
    None,
}

struct Connection {
    role: Role,
    way: Way,
    /// Commands sent on the socket so far.
    commands: u64,
    offer: Option<String>,
    udp: UdpSocket,
    /// Carries the media instead of `udp`.
    tcp: Option<Stream>,
    peer: Peer,
    rtx: Vec<u8>,
    wake: Option<Instant>,
    deadline: Option<Instant>,
    /// Set when it has left: nothing is answered any more, and the socket closes then.
    ghost_until: Option<Instant>,
}

/// The connections.
pub struct Fleet {
    poll: Poll,
    events: Events,
    target: SocketAddr,
    via: Option<SocketAddr>,
    by_tcp: bool,
    local: IpAddr,
    connections: HashMap<Id, Connection>,
    timers: BinaryHeap<Reverse<(Instant, Id)>>,
    last_id: Id,
    facts: Vec<(Id, Fact)>,
    wire: Wire,
    sent: Wire,
    ghosts: Wire,
    ghost_at: Option<Instant>,
    buffer: Box<[u8]>,
}

impl Fleet {
    /// For the server at `url` (`http://host:port`). Media goes to `via`, if given, instead of where the server says.
    ///
    /// # Errors
    /// In words: the URL is not one, or it may not be sent to, or the kernel has no sockets left.
    pub fn new(url: &str, via: Option<&str>) -> Result<Self, String> {
        let authority = signal::authority(url).ok_or_else(|| format!("{url} is not http://host:port"))?;
        let address = |authority: &str| isolation::target(authority).map_err(|refused| refused.to_string());
        let target = address(&authority)?;
        let words = |error: io::Error| error.to_string();
        Ok(Self {
            poll: Poll::new().map_err(words)?,
            events: Events::with_capacity(1024),
            local: local_address(target).map_err(words)?,
            target,
            via: via.map(address).transpose()?,
            by_tcp: false,
            connections: HashMap::new(),
            timers: BinaryHeap::new(),
            last_id: 0,
            facts: Vec::new(),
            wire: Wire::default(),
            sent: Wire::default(),
            ghosts: Wire::default(),
            ghost_at: None,
            buffer: vec![0; 65_536].into_boxed_slice(),
        })
    }

    /// From now on connections take their media by TCP.
    pub fn use_tcp(&mut self) {
        self.by_tcp = true;
    }

    /// The connection reads no media any more, and says what it says as before. For those by TCP.
    pub fn sleep(&mut self, id: Id) {
        if let Some(tcp) = self.connections.get_mut(&id).and_then(|one| one.tcp.as_mut()) {
            tcp.sleep();
        }
    }

    /// Media that came for connections that were there.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// Media that was sent.
    pub fn sent(&self) -> Wire {
        self.sent
    }

    /// Media that came after its connection had left.
    pub fn ghosts(&self) -> Wire {
        self.ghosts
    }

    /// When media last came for a connection that had left.
    pub fn last_ghost(&self) -> Option<Instant> {
        self.ghost_at
    }

    /// Connections that still could get media after they left abruptly.
    pub fn has_ghosts(&self) -> bool {
        self.connections.values().any(|one| one.ghost_until.is_some())
    }

    /// Start the way in. A viewer offers `slots` videos.
    ///
    /// # Errors
    /// What the sockets say.
    pub fn join(&mut self, now: Instant, role: Role, slots: usize) -> io::Result<Id> {
        self.begin(now, role, |role, address| match role {
            Role::View { .. } => Peer::viewer(now, address, slots),
            Role::Publish { .. } => Peer::publisher(now, address),
        })
    }

    /// Start the way in of a publisher of a recording.
    ///
    /// # Errors
    /// What the sockets say.
    pub fn join_with(&mut self, now: Instant, role: Role, recording: &Recording) -> io::Result<Id> {
        self.begin(now, role, |_, address| Peer::player(now, address, recording))
    }

    fn begin(
        &mut self,
        now: Instant,
        role: Role,
        peer: impl FnOnce(&Role, SocketAddr) -> (Peer, String),
    ) -> io::Result<Id> {
        let mut udp = UdpSocket::bind((self.local, 0).into())?;
        let (peer, offer) = peer(&role, udp.local_addr()?);
        let (path, body) = role.director();
        let mut exchange = Exchange::post(self.target, path, role.token(), &body)?;
        self.last_id += 1;
        let id = self.last_id;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut udp, Token(id * 2), Interest::READABLE)?;
        self.poll
            .registry()
            .register(&mut exchange.stream, Token(id * 2 + 1), both)?;
        let connection = Connection {
            role,
            way: Way::Director(exchange),
            commands: 0,
            offer: Some(offer),
            udp,
            tcp: None,
            rtx: peer.rtx_payload_types(),
            peer,
            wake: None,
            deadline: Some(now + JOIN_WITHIN),
            ghost_until: None,
        };
        self.connections.insert(id, connection);
        self.timers.push(Reverse((now + JOIN_WITHIN, id)));
        Ok(id)
    }

    /// End a connection. Media that still comes is counted as `ghosts`.
    pub fn leave(&mut self, now: Instant, id: Id, how: Leave) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.deadline = None;
        connection.ghost_until = Some(now + GHOST_FOR);
        self.timers.push(Reverse((now + GHOST_FOR, id)));
        let mut way = std::mem::replace(&mut connection.way, Way::None);
        if how == Leave::Cleanly {
            connection.peer.close();
            if let Way::Socket(socket) = &mut way {
                socket.close();
            }
            self.flush(now, id);
        }
    }

    /// Show `source` in the video m-line number `slot` of a viewer.
    pub fn project(&mut self, id: Id, source: &str, slot: usize) {
        if let Some(connection) = self.connections.get_mut(&id)
            && let Some(mid) = connection.peer.video_mids().get(slot)
            && let Way::Socket(socket) = &mut connection.way
        {
            connection.commands += 1;
            if let Err(error) = socket.send(signal::project(connection.commands, source, mid)) {
                self.fail(id, error);
            }
        }
    }

    /// Ask for a key frame.
    pub fn request_key_frame(&mut self, now: Instant, id: Id, ssrc: Ssrc) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.peer.request_key_frame(ssrc);
            self.time_out(now, id);
        }
    }

    /// Send media of a publisher.
    #[allow(clippy::too_many_arguments, reason = "the fields of one RTP packet")]
    pub fn send(
        &mut self,
        now: Instant,
        id: Id,
        kind: MediaKind,
        seq: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.peer.send(now, kind, seq, timestamp, marker, payload);
            self.time_out(now, id);
        }
    }

    /// Send a packet of a recording.
    pub fn play(&mut self, now: Instant, id: Id, taken: Taken, recording: &Recording, seq: u64, packet: &Packet) {
        let encoding = recording.encodings.get(usize::from(packet.encoding));
        if let (Some(connection), Some(encoding)) = (self.connections.get_mut(&id), encoding) {
            let rid = encoding.rid.as_deref();
            connection.peer.play(taken, recording.codec, rid, seq, packet);
            self.time_out(now, id);
        }
    }

    /// Serve everything until `until`, or return earlier when there are facts. They are handed over in order.
    ///
    /// # Errors
    /// What the poll says.
    pub fn turn(&mut self, until: Instant) -> io::Result<Vec<(Id, Fact)>> {
        let next = self.timers.peek().map_or(until, |Reverse((at, _))| until.min(*at));
        let wait = next.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
        let ready: Vec<Token> = self.events.iter().map(mio::event::Event::token).collect();
        for Token(token) in ready {
            let id = token / 2;
            if token % 2 == 0 {
                self.receive(id);
            } else if let Err(error) = self.go_on(id) {
                self.fail(id, error);
            }
        }
        self.serve_timers(Instant::now());
        Ok(std::mem::take(&mut self.facts))
    }

    fn serve_timers(&mut self, now: Instant) {
        while let Some(Reverse((at, id))) = self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.timers.pop();
            let Some(connection) = self.connections.get(&id) else {
                continue;
            };
            if connection.ghost_until == Some(at) {
                self.connections.remove(&id);
            } else if connection.deadline == Some(at) {
                self.fail(id, format!("no connection within {} s", JOIN_WITHIN.as_secs()));
            } else if connection.wake == Some(at) {
                self.time_out(now, id);
            }
        }
    }

    fn fail(&mut self, id: Id, error: String) {
        if self.connections.get(&id).is_some_and(|one| one.ghost_until.is_none()) {
            self.leave(Instant::now(), id, Leave::Abruptly);
            self.facts.push((id, Fact::Failed(error)));
        }
    }

    /// Datagrams of one socket, until there are none.
    fn receive(&mut self, id: Id) {
        let mut failed = None;
        let now = Instant::now();
        if self.connections.get(&id).is_some_and(|one| one.tcp.is_some()) {
            return self.receive_stream(now, id);
        }
        while let Some(connection) = self.connections.get_mut(&id) {
            let (len, from) = match connection.udp.recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Errors of UDP sockets are about datagrams sent earlier.
                Err(_) => continue,
            };
            let bytes = self.buffer.get(..len).unwrap_or_default();
            let is_ghost = connection.ghost_until.is_some();
            let wire = if is_ghost { &mut self.ghosts } else { &mut self.wire };
            if wire.note(bytes, &connection.rtx) && is_ghost {
                self.ghost_at = Some(now);
            }
            if is_ghost {
                continue;
            }
            if let Err(error) = connection.peer.receive(now, from, bytes) {
                failed = Some(error);
                break;
            }
            self.flush(now, id);
        }
        if let Some(error) = failed {
            self.fail(id, error);
        }
    }

    /// The same of its TCP connection.
    fn receive_stream(&mut self, now: Instant, id: Id) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(tcp) = &mut connection.tcp else {
            return;
        };
        tcp.flush();
        let (from, received) = (tcp.to(), tcp.receive(&mut self.buffer));
        let is_ghost = connection.ghost_until.is_some();
        let (datagrams, mut failed) = match received {
            Ok(datagrams) => (datagrams, None),
            Err(error) => (Vec::new(), Some(format!("TCP: {error}"))),
        };
        for bytes in datagrams {
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            let wire = if is_ghost { &mut self.ghosts } else { &mut self.wire };
            if wire.note(&bytes, &connection.rtx) && is_ghost {
                self.ghost_at = Some(now);
            }
            if is_ghost {
                continue;
            }
            if let Err(error) = connection.peer.receive(now, from, &bytes) {
                failed = Some(error);
                break;
            }
            self.flush(now, id);
        }
        if let Some(error) = failed {
            self.fail(id, error);
        }
    }

    fn time_out(&mut self, now: Instant, id: Id) {
        let Some(connection) = self.connections.get_mut(&id).filter(|one| one.ghost_until.is_none()) else {
            return;
        };
        connection.wake = None;
        match connection.peer.timeout(now) {
            Ok(()) => self.flush(now, id),
            Err(error) => self.fail(id, error),
        }
    }

    /// Let out what the peer has to send and to say, and keep its alarm clock.
    fn flush(&mut self, now: Instant, id: Id) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Connection {
            peer,
            udp,
            tcp,
            rtx,
            deadline,
            ..
        } = connection;
        let (facts, sent) = (&mut self.facts, &mut self.sent);
        let wake = peer.poll(
            |to, bytes| {
                // A full buffer loses the datagram, as a network does; other addresses than ours are never sent to.
                if isolation::is_allowed(to.ip()) {
                    sent.note(bytes, rtx);
                    match tcp {
                        Some(tcp) => tcp.send(bytes),
                        None => drop(udp.send_to(bytes, to)),
                    }
                }
            },
            |heard| {
                if matches!(heard, peer::Heard::Connected) {
                    *deadline = None;
                }
                facts.push((id, Fact::Heard(heard)));
            },
        );
        match wake {
            Some(at) => {
                let at = at.max(now + Duration::from_millis(1));
                if connection.wake.is_none_or(|armed| at < armed) {
                    connection.wake = Some(at);
                    self.timers.push(Reverse((at, id)));
                }
            }
            None => self.fail(id, "the peer connection ended".to_owned()),
        }
    }

    /// The TCP side of one connection is ready.
    fn go_on(&mut self, id: Id) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let mut said = Vec::new();
        match &mut connection.way {
            Way::None => {}
            Way::Director(exchange) => {
                let reply = exchange.advance().map_err(|error| format!("director: {error}"))?;
                if let Some(reply) = reply {
                    let url = signal::socket_url(reply.status, &reply.body)?;
                    self.open_socket(id, &url)?;
                    // The handshake may be over already; then no further readiness announces it.
                    return self.go_on(id);
                }
            }
            Way::Socket(socket) => socket.advance(|one| said.push(one))?,
        }
        said.into_iter().try_for_each(|one| self.hear(id, one))
    }

    fn open_socket(&mut self, id: Id, url: &str) -> Result<(), String> {
        let authority = signal::authority(url).ok_or_else(|| format!("{url} is not ws://host:port"))?;
        let to = isolation::target(&authority).map_err(|refused| refused.to_string())?;
        let words = |error: io::Error| format!("socket: {error}");
        let mut stream = Socket::connect(to).map_err(words)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(id * 2 + 1), both)
            .map_err(words)?;
        let socket = Socket::open(url, stream)?;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.way = Way::Socket(socket);
        }
        Ok(())
    }

    fn hear(&mut self, id: Id, said: Said) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        match said {
            Said::Opened => {
                if let (Some(offer), Way::Socket(socket)) = (connection.offer.take(), &mut connection.way) {
                    socket.send(connection.role.first_command(&offer))?;
                }
            }
            Said::Closed => return Err("the server closed the socket".to_owned()),
            Said::Text(text) => match signal::incoming(&text) {
                Incoming::Answer(sdp) => {
                    if self.by_tcp {
                        let words = |error: io::Error| format!("TCP: {error}");
                        let to = connection.peer.answer_by_tcp(&sdp)?;
                        let mut tcp = Stream::connect(to).map_err(words)?;
                        let (both, registry) = (Interest::READABLE | Interest::WRITABLE, self.poll.registry());
                        registry.deregister(&mut connection.udp).map_err(words)?;
                        registry.register(&mut tcp.stream, Token(id * 2), both).map_err(words)?;
                        connection.tcp = Some(tcp);
                    } else {
                        connection.peer.answer(&sdp, self.via)?;
                    }
                    self.time_out(Instant::now(), id);
                }
                Incoming::Refused(reason) => return Err(reason),
                Incoming::Active(source) => self.facts.push((id, Fact::Active(source))),
                Incoming::Other => {}
            },
        }
        Ok(())
    }
}

impl Wire {
    /// Count a datagram if it is media (RFC 7983, RFC 5761).
    fn note(&mut self, bytes: &[u8], rtx: &[u8]) -> bool {
        let (Some(128..=191), Some(second)) = (bytes.first(), bytes.get(1)) else {
            return false;
        };
        if (192..=223).contains(second) {
            return false;
        }
        if rtx.contains(&(second & 0x7f)) {
            self.retransmissions += 1;
        } else {
            self.packets += 1;
        }
        self.bytes += bytes.len() as u64;
        true
    }
}

/// The address that datagrams to `target` leave from. Nothing is sent.
fn local_address(target: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let probe = std::net::UdpSocket::bind(any)?;
    probe.connect(target)?;
    Ok(probe.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_media_is_counted_and_retransmissions_apart() {
        let mut wire = Wire::default();
        let rtp = |payload_type: u8| [&[0x80, payload_type][..], &[0; 98]].concat();
        assert!(wire.note(&rtp(96), &[97]) && wire.note(&rtp(0x80 | 97), &[97]));
        assert!(!wire.note(&rtp(200), &[97]) && !wire.note(&[22, 0xfe, 0xfd], &[97]) && !wire.note(&[], &[97]));
        assert_eq!((wire.packets, wire.retransmissions, wire.bytes), (1, 1, 200));
    }

    #[test]
    fn a_target_elsewhere_is_refused() {
        if !isolation::is_isolated() {
            assert!(Fleet::new("http://192.0.2.1:80", None).is_err());
            assert!(Fleet::new("http://127.0.0.1:80", Some("192.0.2.1:80")).is_err());
        }
        assert!(Fleet::new("https://127.0.0.1", None).is_err());
        assert!(Fleet::new("http://127.0.0.1:80", None).is_ok());
    }
}
