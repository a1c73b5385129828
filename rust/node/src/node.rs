//! The media plane of one process: its shards, and the two queues to them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rostra_sfu::command::Event;
use rostra_sfu::shard::{ShardConfig, ShardCore};
use rostra_sfu::transport::certificate::{Certificate, CertificateError};
use rostra_sfu::transport::dtls::{DtlsConfig, DtlsError};

use crate::feeds::{Feeds, Order};
use crate::interfaces;
use crate::queue::{EventLog, Inbox, Overloaded};
use crate::socket::UdpPort;
use crate::sys::pin_shard;
use crate::tcp::TcpPort;
use crate::worker::{Ports, Worker};

/// Numbers that are tried for a port of the system's choice.
const ATTEMPTS: u32 = 16;

/// What a node is made from.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where to listen; `0.0.0.0` and `[::]` (both families) mean every interface.
    pub host: IpAddr,
    /// UDP port, and TCP port; 0 lets the system choose.
    pub port: u16,
    /// Take media by TCP too.
    pub tcp: bool,
    /// Addresses that peers reach us at when ours are behind a NAT; offered first. Port 0 stands for the real one.
    pub public_addresses: Vec<SocketAddr>,
    /// Use UDP segmentation offload.
    pub gso: bool,
    /// Media threads. Transports do not cross shards, so it is 1.
    pub shards: usize,
    /// Most commands that may wait.
    pub command_capacity: usize,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 8081,
            tcp: true,
            public_addresses: Vec::new(),
            gso: true,
            shards: 1,
            command_capacity: 65_536,
        }
    }
}

/// A node could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The number of shards is not one that works.
    #[error("{0} shards: a node has exactly one")]
    Shards(usize),
    /// The address could not be had.
    #[error("cannot listen on UDP {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The address could not be had for TCP.
    #[error("cannot listen on TCP {0}: {1}")]
    ListenTcp(SocketAddr, #[source] io::Error),
    /// The process has no certificate to show.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The DTLS library does not take the certificate.
    #[error(transparent)]
    Dtls(#[from] DtlsError),
    /// Descriptors, threads or interfaces could not be had.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Running shards. Dropping it closes it.
#[derive(Debug)]
pub struct Node {
    inboxes: Vec<Arc<Inbox>>,
    log: Arc<EventLog>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    local_addrs: Vec<SocketAddr>,
    candidates: Vec<Candidate>,
    fingerprint: String,
}

/// An address for `a=candidate`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Where peers reach us.
    pub address: SocketAddr,
    /// How.
    pub protocol: Protocol,
}

/// What carries a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// Connections that the peer opens (RFC 6544 calls our end passive).
    Tcp,
}

impl Node {
    /// Bind the sockets and start the threads.
    pub fn open(config: &NodeConfig) -> Result<Self, NodeError> {
        if config.shards != 1 {
            return Err(NodeError::Shards(config.shards));
        }
        let certificate = Certificate::generate()?;
        let (base, wall) = (Instant::now(), SystemTime::now());
        let unix_at_base_us = wall
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));

        let dtls = DtlsConfig::new(base, &certificate)?;
        let ports = open_ports(config)?;
        let local_addrs = vec![ports.udp.local_addr()];
        let interfaces = if config.host.is_unspecified() {
            interfaces::list()?
        } else {
            Vec::new()
        };
        let candidates = local_addrs.first().map_or_else(Vec::new, |&bound| {
            let addresses = interfaces::candidates(bound, &config.public_addresses, &interfaces);
            let over = |protocol| addresses.iter().map(move |&address| Candidate { address, protocol });
            let tcp = ports.tcp.iter().flat_map(|_| over(Protocol::Tcp));
            over(Protocol::Udp).chain(tcp).collect()
        });

        let log = Arc::new(EventLog::new(config.shards)?);
        let mut node = Self {
            inboxes: Vec::new(),
            log: Arc::clone(&log),
            threads: Mutex::default(),
            local_addrs,
            candidates,
            fingerprint: spell(&certificate.sha256()),
        };
        for (index, ports) in [ports].into_iter().enumerate() {
            let inbox = Arc::new(Inbox::new(config.command_capacity)?);
            node.inboxes.push(Arc::clone(&inbox));
            let feeds = Feeds::new()?;
            let (log, dtls, shards) = (Arc::clone(&log), dtls.clone(), config.shards);
            let thread = std::thread::Builder::new()
                .name(format!("rostra-shard-{index}"))
                .spawn(move || {
                    pin_shard(index, shards);
                    let make = || {
                        ShardCore::new(ShardConfig {
                            dtls: dtls.clone(),
                            unix_at_base_us,
                            // A fresh one for every life of the core: SSRCs and jitter must not repeat.
                            seed: RandomState::new().build_hasher().finish(),
                        })
                    };
                    Worker::new(index, base, ports, feeds, inbox, log, make).run();
                })?;
            node.lock_threads().push(thread);
        }
        Ok(node)
    }

    /// Queue commands, in order, all or none. After `close`, none. Links of those that are refused are closed.
    pub fn submit(&self, orders: impl IntoIterator<Item: Into<Order>>) -> Result<(), Overloaded> {
        let orders = orders.into_iter().map(Into::into).collect();
        self.inboxes.first().ok_or(Overloaded)?.submit(orders)
    }

    /// Facts since the last call, in order; totals, of which only the latest is kept, last.
    pub fn drain(&self) -> Vec<Event> {
        self.log.drain()
    }

    /// Where the sockets are bound, one for each shard.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// For `a=candidate`, best first: UDP before TCP.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// SHA-256 of the certificate, upper-case hex pairs joined by colons, as in `a=fingerprint`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// End every transport and the threads, after everything that says so has left. Idempotent. Waits for the threads; the events of
    /// the end can still be drained.
    pub fn close(&self) {
        for inbox in &self.inboxes {
            inbox.close();
        }
        let threads = std::mem::take(&mut *self.lock_threads());
        for thread in threads {
            // A panic of the thread has been printed by the panic hook, and there is nothing left to save.
            let _ = thread.join();
        }
    }

    fn lock_threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRawFd for Node {
    /// Readable while `drain` has something.
    fn as_raw_fd(&self) -> RawFd {
        self.log.as_raw_fd()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}

/// The UDP port and, on the same number, the listener for TCP. Where the system chooses, some numbers are tried: one that is free for UDP may be
/// somebody else's for TCP.
fn open_ports(config: &NodeConfig) -> Result<Ports, NodeError> {
    let wanted = SocketAddr::new(config.host, config.port);
    let mut attempt = 1;
    loop {
        let udp = UdpPort::open(wanted, config.gso, false).map_err(|error| NodeError::Listen(wanted, error))?;
        if !config.tcp {
            return Ok(Ports { udp, tcp: None });
        }
        let address = udp.local_addr();
        match TcpPort::open(address) {
            Ok(tcp) => return Ok(Ports { udp, tcp: Some(tcp) }),
            Err(error) if config.port == 0 && error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(error) => return Err(NodeError::ListenTcp(address, error)),
        }
    }
}

/// As in `a=fingerprint` (RFC 8122 §5).
fn spell(digest: &[u8]) -> String {
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rostra_sfu::command::Command;

    use super::*;
    use crate::sys::{is_readable, wait_readable};

    fn on(host: &str) -> NodeConfig {
        NodeConfig {
            host: host.parse().unwrap(),
            port: 0,
            ..NodeConfig::default()
        }
    }

    #[test]
    fn a_node_knows_its_addresses_and_its_fingerprint() {
        let node = Node::open(&on("127.0.0.1")).unwrap();
        let address = node.local_addrs()[0];
        let over = |protocol| Candidate { address, protocol };
        assert_eq!(node.candidates(), [over(Protocol::Udp), over(Protocol::Tcp)]);
        assert_ne!(address.port(), 0);
        let pairs: Vec<&str> = node.fingerprint().split(':').collect();
        assert_eq!(pairs.len(), 32);
        assert!(pairs.iter().all(|pair| u8::from_str_radix(pair, 16).is_ok()));
        assert_eq!(node.fingerprint(), node.fingerprint().to_uppercase());
    }

    #[test]
    fn two_nodes_live_side_by_side_but_not_on_one_port() {
        let first = Node::open(&on("127.0.0.1")).unwrap();
        let second = Node::open(&on("127.0.0.1")).unwrap();
        assert_ne!(first.fingerprint(), second.fingerprint());
        let taken = NodeConfig {
            port: first.local_addrs()[0].port(),
            ..on("127.0.0.1")
        };
        assert!(matches!(Node::open(&taken), Err(NodeError::Listen(..))));
    }

    #[test]
    fn without_tcp_there_is_neither_a_listener_nor_a_candidate() {
        let config = NodeConfig {
            tcp: false,
            ..on("127.0.0.1")
        };
        let node = Node::open(&config).unwrap();
        assert!(node.candidates().iter().all(|one| one.protocol == Protocol::Udp));
        assert!(std::net::TcpListener::bind(node.local_addrs()[0]).is_ok());
    }

    #[test]
    fn a_number_that_is_taken_for_tcp_is_an_error_and_another_one_is_found_where_the_system_chooses() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = NodeConfig {
            port: taken.local_addr().unwrap().port(),
            ..on("127.0.0.1")
        };
        assert!(matches!(Node::open(&config), Err(NodeError::ListenTcp(..))));
        for host in ["127.0.0.1", "::", "0.0.0.0"] {
            let node = Node::open(&on(host)).unwrap();
            let number = node.local_addrs()[0].port();
            assert!(std::net::TcpStream::connect(("127.0.0.1", number)).is_ok(), "{host}");
        }
    }

    #[test]
    fn any_number_of_shards_but_one_is_refused() {
        for shards in [0, 2] {
            let config = NodeConfig {
                shards,
                ..on("127.0.0.1")
            };
            assert!(matches!(Node::open(&config), Err(NodeError::Shards(n)) if n == shards));
        }
    }

    #[test]
    fn totals_arrive_by_themselves() {
        let node = Node::open(&on("127.0.0.1")).unwrap();
        assert!(node.drain().is_empty());
        wait_readable([node.as_raw_fd()], Duration::from_secs(5));
        assert!(matches!(node.drain().as_slice(), [Event::Stats(_)]));
        assert!(!is_readable(node.as_raw_fd()));
    }

    #[test]
    fn a_closed_node_frees_its_port_and_takes_no_more_orders() {
        let node = Node::open(&on("127.0.0.1")).unwrap();
        let bound = node.local_addrs()[0];
        node.close();
        node.close();
        assert_eq!(
            node.submit(vec![Command::CloseTransport {
                transport: rostra_sfu::ids::TransportId(1)
            }]),
            Err(Overloaded)
        );
        assert!(std::net::UdpSocket::bind(bound).is_ok());
    }
}
