//! The links of the simulation between real sockets: a UDP relay that loses, delays, reorders, duplicates and limits.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::link::{Link, LinkConfig};

/// Most client addresses at a time. One more takes the place of the one that was silent longest.
const MAX_CLIENTS: usize = 1024;
const LISTEN: Token = Token(usize::MAX);

/// What a relay does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RelayConfig {
    /// Where clients send to.
    pub listen: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// From the clients to the server.
    pub up: LinkConfig,
    /// From the server to the clients.
    pub down: LinkConfig,
    /// One seed, one sequence of fates; each client has its own.
    pub seed: u64,
}

/// Datagrams so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Relayed {
    /// From clients.
    pub up_in: u64,
    /// To the server.
    pub up_out: u64,
    /// From the server.
    pub down_in: u64,
    /// To clients.
    pub down_out: u64,
}

struct Client {
    address: SocketAddr,
    upstream: UdpSocket,
    up: Link,
    down: Link,
    last_us: u64,
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

struct Flying {
    client: usize,
    /// Keeps a datagram of a client whose place was taken from reaching the new one.
    address: SocketAddr,
    way: Way,
    bytes: Vec<u8>,
}

/// A relay with its sockets; [`Relay::turn`] makes it work. Departures keep to the millisecond, which is what the kernel's poll keeps.
pub struct Relay {
    config: RelayConfig,
    poll: Poll,
    events: Events,
    listen: UdpSocket,
    clients: Vec<Client>,
    by_address: HashMap<SocketAddr, usize>,
    /// (departure, order of arrival): the key into `flying`.
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    flying: HashMap<u64, Flying>,
    order: u64,
    base: Instant,
    buffer: Box<[u8]>,
    relayed: Relayed,
}

impl Relay {
    /// Bind the listening socket.
    ///
    /// # Errors
    /// What the sockets say.
    pub fn new(config: RelayConfig) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listen = UdpSocket::bind(config.listen)?;
        poll.registry().register(&mut listen, LISTEN, Interest::READABLE)?;
        Ok(Self {
            config,
            poll,
            events: Events::with_capacity(256),
            listen,
            clients: Vec::new(),
            by_address: HashMap::new(),
            queue: BinaryHeap::new(),
            flying: HashMap::new(),
            order: 0,
            base: Instant::now(),
            buffer: vec![0; 65_536].into_boxed_slice(),
            relayed: Relayed::default(),
        })
    }

    /// Behave differently from now on, to everybody. The times of both directions begin anew with their next datagram.
    pub fn reconfigure(&mut self, up: LinkConfig, down: LinkConfig) {
        (self.config.up, self.config.down) = (up, down);
        for client in &mut self.clients {
            client.up.reconfigure(up, self.config.seed ^ self.order << 16 ^ 1);
            client.down.reconfigure(down, self.config.seed ^ self.order << 16 ^ 2);
        }
    }

    /// What it does to each direction now: up, down.
    pub fn links(&self) -> (LinkConfig, LinkConfig) {
        (self.config.up, self.config.down)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the socket says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listen.local_addr()
    }

    /// What it has done so far.
    pub fn relayed(&self) -> Relayed {
        self.relayed
    }

    /// Wait for something to do, no longer than `patience`, and do it.
    ///
    /// # Errors
    /// What the poll or a new upstream socket says. A datagram that cannot be sent is lost, as on a network.
    pub fn turn(&mut self, patience: Duration) -> io::Result<()> {
        let wait = match self.queue.peek() {
            Some(Reverse((at_us, _))) => patience.min(Duration::from_micros(at_us.saturating_sub(self.now_us()))),
            None => patience,
        };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
        let ready: Vec<Token> = self.events.iter().map(mio::event::Event::token).collect();
        for token in ready {
            if token == LISTEN {
                self.take_from_clients()?;
            } else {
                self.take_from_server(token.0);
            }
        }
        self.depart();
        Ok(())
    }

    fn now_us(&self) -> u64 {
        self.base.elapsed().as_micros() as u64
    }

    fn take_from_clients(&mut self) -> io::Result<()> {
        while let Some((len, from)) = receive(&self.listen, &mut self.buffer) {
            self.relayed.up_in += 1;
            let now_us = self.now_us();
            let client = self.client(from, now_us)?;
            self.fly(client, Way::Up, now_us, len);
        }
        Ok(())
    }

    fn take_from_server(&mut self, client: usize) {
        while let Some((len, from)) = self
            .clients
            .get(client)
            .and_then(|client| receive(&client.upstream, &mut self.buffer))
        {
            if from == self.config.to {
                self.relayed.down_in += 1;
                self.fly(client, Way::Down, self.now_us(), len);
            }
        }
    }

    fn fly(&mut self, index: usize, way: Way, now_us: u64, len: usize) {
        let (Some(client), Some(bytes)) = (self.clients.get_mut(index), self.buffer.get(..len)) else {
            return;
        };
        let link = match way {
            Way::Up => &mut client.up,
            Way::Down => &mut client.down,
        };
        for at_us in link.send(now_us, len) {
            self.order += 1;
            self.queue.push(Reverse((at_us, self.order)));
            self.flying.insert(
                self.order,
                Flying {
                    client: index,
                    address: client.address,
                    way,
                    bytes: bytes.to_vec(),
                },
            );
        }
    }

    fn depart(&mut self) {
        let now_us = self.now_us();
        while let Some(Reverse((_, order))) = self.queue.peek().copied().filter(|Reverse((at, _))| *at <= now_us) {
            self.queue.pop();
            let Some(flying) = self.flying.remove(&order) else {
                continue;
            };
            let Some(client) = self
                .clients
                .get(flying.client)
                .filter(|client| client.address == flying.address)
            else {
                continue;
            };
            match flying.way {
                Way::Up => {
                    let sent = client.upstream.send_to(&flying.bytes, self.config.to);
                    self.relayed.up_out += u64::from(sent.is_ok());
                }
                Way::Down => {
                    let sent = self.listen.send_to(&flying.bytes, client.address);
                    self.relayed.down_out += u64::from(sent.is_ok());
                }
            }
        }
    }

    fn client(&mut self, address: SocketAddr, now_us: u64) -> io::Result<usize> {
        if let Some(&index) = self.by_address.get(&address) {
            if let Some(client) = self.clients.get_mut(index) {
                client.last_us = now_us;
            }
            return Ok(index);
        }
        let index = if self.clients.len() < MAX_CLIENTS {
            self.clients.len()
        } else {
            let silent = self.clients.iter().enumerate().min_by_key(|(_, client)| client.last_us);
            silent.map_or(0, |(index, _)| index)
        };
        let any: IpAddr = match (self.config.to.ip().is_loopback(), self.config.to) {
            (true, to) => to.ip(),
            (false, SocketAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (false, SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut upstream = UdpSocket::bind((any, 0).into())?;
        self.poll
            .registry()
            .register(&mut upstream, Token(index), Interest::READABLE)?;
        let salt = self.config.seed ^ (self.order << 16) ^ ((index as u64) << 8);
        let client = Client {
            address,
            upstream,
            up: Link::new(self.config.up, salt ^ 1),
            down: Link::new(self.config.down, salt ^ 2),
            last_us: now_us,
        };
        match self.clients.get_mut(index) {
            Some(place) => {
                let before = std::mem::replace(place, client);
                self.by_address.remove(&before.address);
            }
            None => self.clients.push(client),
        }
        self.by_address.insert(address, index);
        Ok(index)
    }
}

/// One datagram, if there is one. Errors of UDP sockets are about datagrams sent earlier and are skipped.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    loop {
        match socket.recv_from(buffer) {
            Ok(received) => return Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket as StdSocket;

    const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    struct Ends {
        relay: Relay,
        client: StdSocket,
        server: StdSocket,
    }

    fn ends(up: LinkConfig, down: LinkConfig) -> Ends {
        let server = StdSocket::bind(LOCAL).unwrap();
        let relay = Relay::new(RelayConfig {
            listen: LOCAL,
            to: server.local_addr().unwrap(),
            up,
            down,
            seed: 1,
        })
        .unwrap();
        let client = StdSocket::bind(LOCAL).unwrap();
        client.connect(relay.address().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        server.set_nonblocking(true).unwrap();
        Ends { relay, client, server }
    }

    fn turn_until(ends: &mut Ends, mut done: impl FnMut(&Ends) -> bool) {
        let start = Instant::now();
        while !done(ends) {
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", ends.relay.relayed());
            ends.relay.turn(Duration::from_millis(20)).unwrap();
        }
    }

    #[test]
    fn datagrams_pass_both_ways_and_keep_their_bytes() {
        let mut ends = ends(LinkConfig::default(), LinkConfig::default());
        ends.client.send(b"ask").unwrap();
        turn_until(&mut ends, |ends| ends.relay.relayed().up_out == 1);
        let mut buffer = [0; 16];
        let (len, from) = ends.server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"ask");
        ends.server.send_to(b"answer", from).unwrap();
        turn_until(&mut ends, |ends| ends.relay.relayed().down_out == 1);
        let len = ends.client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"answer");
    }

    #[test]
    fn each_client_has_an_upstream_address_of_its_own() {
        let mut ends = ends(LinkConfig::default(), LinkConfig::default());
        let second = StdSocket::bind(LOCAL).unwrap();
        second.connect(ends.relay.address().unwrap()).unwrap();
        ends.client.send(b"1").unwrap();
        second.send(b"2").unwrap();
        turn_until(&mut ends, |ends| ends.relay.relayed().up_out == 2);
        let mut buffer = [0; 16];
        let (_, one) = ends.server.recv_from(&mut buffer).unwrap();
        let (_, other) = ends.server.recv_from(&mut buffer).unwrap();
        assert_ne!(one, other);
    }

    #[test]
    fn loss_is_as_configured_and_the_same_for_one_seed() {
        let lossy = LinkConfig {
            loss: 0.1,
            ..LinkConfig::default()
        };
        let arrived = || {
            let mut ends = ends(lossy, LinkConfig::default());
            for number in 0..2_000_u64 {
                ends.client.send(&number.to_be_bytes()).unwrap();
                turn_until(&mut ends, |ends| ends.relay.relayed().up_in == number + 1);
            }
            ends.relay.relayed().up_out
        };
        let first = arrived();
        assert!((1_740..1_860).contains(&first), "{first}");
        assert_eq!(arrived(), first);
    }

    #[test]
    fn a_relay_behaves_differently_when_told() {
        let mut ends = ends(LinkConfig::default(), LinkConfig::default());
        let dead = LinkConfig {
            loss: 1.0,
            ..LinkConfig::default()
        };
        for (number, (up, out)) in [(LinkConfig::default(), 1), (dead, 1), (LinkConfig::default(), 2)]
            .into_iter()
            .enumerate()
        {
            ends.relay.reconfigure(up, LinkConfig::default());
            ends.client.send(b"ask").unwrap();
            turn_until(&mut ends, |ends| ends.relay.relayed().up_in == number as u64 + 1);
            assert_eq!(ends.relay.relayed().up_out, out);
        }
    }

    #[test]
    fn a_delay_holds_datagrams_back_and_only_in_its_direction() {
        let slow = LinkConfig {
            delay_us: 50_000,
            ..LinkConfig::default()
        };
        let mut ends = ends(slow, LinkConfig::default());
        let start = Instant::now();
        ends.client.send(b"ask").unwrap();
        turn_until(&mut ends, |ends| ends.relay.relayed().up_out == 1);
        assert!(start.elapsed() >= Duration::from_millis(50));
    }
}
