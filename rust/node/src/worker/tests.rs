//! The loop with a core that answers every datagram with the same bytes, and breaks on demand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread::JoinHandle;

use rostra_sfu::choice::BandwidthSpec;
use rostra_sfu::command::{DtlsRole, RefusalCode, TransportSpec};
use rostra_sfu::outbox::Via;
use rostra_sfu::transport::framing;

use super::*;

/// What names a connection; it has the first byte of STUN.
const NAME: &[u8] = b"\x00\x01name";

#[derive(Default)]
struct Echo {
    open: Vec<TransportId>,
    waiting: VecDeque<(Path, Vec<u8>)>,
    events: Vec<Event>,
    stats: Stats,
    alarm: Option<Time>,
    last: Option<Path>,
    /// Paths that said their name.
    named: HashSet<Path>,
    abandoned: Vec<ConnectionId>,
}

impl Core for Echo {
    fn command(&mut self, _now: Time, command: Command) {
        match command {
            Command::OpenTransport { transport, .. } if self.open.contains(&transport) => {
                self.events.push(Event::Rejected {
                    transport: Some(transport),
                    mid: None,
                    code: RefusalCode::Duplicate,
                });
            }
            Command::OpenTransport { transport, .. } => self.open.push(transport),
            Command::CloseTransport { transport } => {
                self.open.retain(|open| *open != transport);
                self.events.push(Event::TransportClosed {
                    transport,
                    reason: CloseReason::Closed,
                });
                if let Some(path) = self.last {
                    self.waiting.push_back((path, b"bye".to_vec()));
                }
                for path in self.named.drain() {
                    if let Via::Tcp(connection) = path.via {
                        self.abandoned.push(connection);
                    }
                }
            }
            other => panic!("not part of these tests: {other:?}"),
        }
    }

    fn datagram(&mut self, now: Time, datagram: Datagram<'_>) {
        let path = Path {
            local: datagram.to,
            remote: datagram.from,
            via: datagram.via,
        };
        self.stats.packets_in += 1;
        self.last = Some(path);
        match &*datagram.bytes {
            NAME => drop(self.named.insert(path)),
            b"panic" => panic!("as ordered by the test"),
            b"who" => {
                let open = format!("{:?}", self.open.iter().map(|id| id.0).collect::<Vec<_>>());
                self.waiting.push_back((path, open.into_bytes()));
            }
            b"later" => {
                self.waiting.push_back((path, b"later".to_vec()));
                self.alarm = Some(now + Duration::from_millis(20));
            }
            other => self.waiting.push_back((path, other.to_vec())),
        }
    }

    fn timeout(&mut self, now: Time) {
        if self.alarm.is_some_and(|at| at <= now) {
            self.alarm = None;
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        self.alarm
    }

    fn transmit(&mut self, _now: Time, out: &mut Outbox) -> bool {
        if self.alarm.is_none()
            && let Some((path, bytes)) = self.waiting.pop_front()
        {
            assert!(out.push(path, &bytes));
        }
        self.alarm.is_none() && !self.waiting.is_empty()
    }

    fn take_events(&mut self, into: &mut Vec<Event>) {
        into.append(&mut self.events);
    }

    fn stats(&self) -> Stats {
        self.stats.clone()
    }

    fn is_known(&self, path: &Path) -> bool {
        self.named.contains(path)
    }

    fn hang_up(&mut self, _now: Time, path: &Path) {
        self.named.remove(path);
        let transport = TransportId(u64::from(path.remote.port()));
        self.events.push(Event::TransportStalled { transport });
    }

    fn take_abandoned(&mut self, into: &mut Vec<ConnectionId>) {
        into.append(&mut self.abandoned);
    }
}

struct Rig {
    inbox: Arc<Inbox>,
    log: Arc<EventLog>,
    address: SocketAddr,
    peer: UdpSocket,
    thread: Option<JoinHandle<()>>,
}

impl Rig {
    fn new() -> Self {
        let port = UdpPort::open("127.0.0.1:0".parse().unwrap(), true, false).unwrap();
        let address = port.local_addr();
        let ports = Ports {
            udp: port,
            tcp: Some(TcpPort::open(address).unwrap()),
        };
        let inbox = Arc::new(Inbox::new(100).unwrap());
        let log = Arc::new(EventLog::new(1).unwrap());
        let (for_inbox, for_log) = (Arc::clone(&inbox), Arc::clone(&log));
        let thread = std::thread::spawn(move || {
            Worker::new(0, Instant::now(), ports, for_inbox, for_log, Echo::default).run();
        });
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self {
            inbox,
            log,
            address,
            peer,
            thread: Some(thread),
        }
    }

    fn say(&self, text: &str) {
        self.peer.send_to(text.as_bytes(), self.address).unwrap();
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 2048];
        let (len, _) = self.peer.recv_from(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    /// The next events that are not totals.
    fn events(&self, count: usize) -> Vec<Event> {
        let mut found = Vec::new();
        while found.len() < count {
            wait_readable([self.log.as_raw_fd()], Duration::from_secs(5));
            let drained = self.log.drain();
            assert!(!drained.is_empty(), "{found:?} and no more");
            found.extend(drained.into_iter().filter(|event| !matches!(event, Event::Stats(_))));
        }
        found
    }

    fn close(&mut self) {
        self.inbox.close();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.close();
        }
    }
}

/// A client with a name.
struct Framed(TcpStream);

impl Framed {
    fn new(rig: &Rig) -> Self {
        let stream = TcpStream::connect(rig.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut framed = Self(stream);
        framed.say(NAME);
        framed
    }

    fn say(&mut self, bytes: &[u8]) {
        let mut frame = Vec::new();
        assert!(framing::write(&mut frame, bytes));
        self.0.write_all(&frame).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut header = [0; 2];
        self.0.read_exact(&mut header).unwrap();
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(header))];
        self.0.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 100]), Ok(0))
    }
}

fn open(id: u64) -> Command {
    let spec = TransportSpec {
        local_ufrag: "u".into(),
        local_pwd: "p".into(),
        remote_ufrag: "r".into(),
        remote_pwd: "q".into(),
        fingerprints: Vec::new(),
        dtls_role: DtlsRole::Passive,
        extensions: Vec::new(),
        cname: "c".into(),
        receive: Vec::new(),
        slots: Vec::new(),
        bandwidth: BandwidthSpec::default(),
        playout_delay: None,
    };
    Command::OpenTransport {
        transport: TransportId(id),
        spec: Box::new(spec),
    }
}

#[test]
fn datagrams_are_answered_in_order() {
    let rig = Rig::new();
    for i in 0..200 {
        rig.say(&i.to_string());
    }
    for i in 0..200 {
        assert_eq!(rig.hear(), i.to_string());
    }
}

#[test]
fn an_order_is_obeyed_before_a_datagram_that_was_sent_after_it() {
    let rig = Rig::new();
    for i in 1..=50 {
        rig.inbox.submit(vec![open(i)]).unwrap();
        rig.say("who");
        assert_eq!(rig.hear(), format!("{:?}", (1..=i).collect::<Vec<_>>()));
    }
}

#[test]
fn a_timer_ends_the_sleep_without_any_input() {
    let rig = Rig::new();
    let before = Instant::now();
    rig.say("later");
    assert_eq!(rig.hear(), "later");
    let taken = before.elapsed();
    assert!(taken >= Duration::from_millis(20), "{taken:?}");
    // Totals come once a second; an answer that waited for them would take longer than this.
    assert!(taken < Duration::from_millis(500), "{taken:?}");
}

#[test]
fn a_panic_closes_every_transport_and_the_shard_lives_on() {
    let rig = Rig::new();
    // The second 1 is refused as taken, and the transport that has the id still ends exactly once.
    rig.inbox.submit(vec![open(1), open(2), open(1)]).unwrap();
    rig.inbox
        .submit(vec![Command::CloseTransport {
            transport: TransportId(2),
        }])
        .unwrap();
    rig.say("panic");
    let closed = |id, reason| Event::TransportClosed {
        transport: TransportId(id),
        reason,
    };
    let refused = Event::Rejected {
        transport: Some(TransportId(1)),
        mid: None,
        code: RefusalCode::Duplicate,
    };
    let expected = [refused, closed(2, CloseReason::Closed), closed(1, CloseReason::Bug)];
    assert_eq!(rig.events(3), expected);
    rig.say("who");
    assert_eq!(rig.hear(), "[]");
}

#[test]
fn totals_survive_a_panic_and_count_it() {
    let mut rig = Rig::new();
    rig.inbox.submit(vec![open(1)]).unwrap();
    rig.say("one");
    rig.hear();
    rig.say("panic");
    // What came in the same batch is lost with the core, so wait until that is gone.
    rig.events(1);
    rig.say("two");
    rig.hear();
    rig.close();
    let events = rig.log.drain();
    let Some(Event::Stats(stats)) = events.last() else {
        panic!("no totals in {events:?}");
    };
    assert_eq!((stats.packets_in, stats.restarts), (3, 1));
}

#[test]
fn closing_ends_every_transport_and_sends_what_that_makes() {
    let mut rig = Rig::new();
    rig.say("hello");
    rig.hear();
    rig.inbox.submit(vec![open(7)]).unwrap();
    rig.close();
    let closed = Event::TransportClosed {
        transport: TransportId(7),
        reason: CloseReason::Closed,
    };
    assert_eq!(rig.events(1), [closed]);
    assert_eq!(rig.hear(), "bye");
}

#[test]
fn connections_are_served_beside_datagrams() {
    let rig = Rig::new();
    let mut clients = [Framed::new(&rig), Framed::new(&rig)];
    for i in 0..100 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.say(format!("{number}-{i}").as_bytes());
        }
        rig.say(&i.to_string());
        assert_eq!(rig.hear(), i.to_string());
    }
    for (number, client) in clients.iter_mut().enumerate() {
        for i in 0..100 {
            assert_eq!(client.hear(), format!("{number}-{i}"));
        }
    }
}

#[test]
fn an_order_is_obeyed_before_a_frame_that_was_sent_after_it() {
    let rig = Rig::new();
    let mut client = Framed::new(&rig);
    for i in 1..=50 {
        rig.inbox.submit(vec![open(i)]).unwrap();
        client.say(b"who");
        assert_eq!(client.hear(), format!("{:?}", (1..=i).collect::<Vec<_>>()));
    }
}

#[test]
fn the_core_is_told_when_a_connection_ends() {
    let rig = Rig::new();
    let mut client = Framed::new(&rig);
    client.say(b"hello");
    assert_eq!(client.hear(), "hello");
    let transport = TransportId(u64::from(client.0.local_addr().unwrap().port()));
    drop(client);
    assert_eq!(rig.events(1), [Event::TransportStalled { transport }]);
}

#[test]
fn a_connection_of_a_closed_transport_hears_goodbye_and_ends() {
    let rig = Rig::new();
    rig.inbox.submit(vec![open(1)]).unwrap();
    let mut client = Framed::new(&rig);
    client.say(b"hello");
    assert_eq!(client.hear(), "hello");
    let transport = TransportId(1);
    rig.inbox.submit(vec![Command::CloseTransport { transport }]).unwrap();
    assert_eq!(client.hear(), "bye");
    assert!(client.is_closed());
}

#[test]
fn a_panic_ends_every_connection_that_had_a_name() {
    let rig = Rig::new();
    let mut clients = [Framed::new(&rig), Framed::new(&rig)];
    for client in &mut clients {
        client.say(b"hello");
        assert_eq!(client.hear(), "hello");
    }
    rig.say("panic");
    assert!(clients.iter_mut().all(Framed::is_closed));
    let mut fresh = Framed::new(&rig);
    fresh.say(b"who");
    assert_eq!(fresh.hear(), "[]");
}
