//! The loop with a core that answers every datagram with the same bytes, and breaks on demand. Long, because datagrams, connections and feeds share
//! one rig.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rostra_sfu::choice::BandwidthSpec;
use rostra_sfu::command::{DtlsRole, LocalFeedSpec, RefusalCode, TransportSpec};
use rostra_sfu::outbox::{Path, Via};
use rostra_sfu::transport::frame::MAX_FRAME;
use rostra_sfu::transport::framing;
use socket2::{Domain, Socket, Type};

use super::*;
use crate::feeds::LocalLink;

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
    /// Frames that came, which go back as they are.
    frames: Vec<(TransportId, Vec<u8>)>,
    /// Paths that said their name.
    named: HashSet<Path>,
    abandoned: Vec<ConnectionId>,
}

impl Core for Echo {
    fn command(&mut self, _now: Time, command: Command) {
        match command {
            Command::OpenTransport { transport, .. } | Command::OpenLocalFeed { transport, .. }
                if self.open.contains(&transport) =>
            {
                self.events.push(Event::Rejected {
                    transport: Some(transport),
                    mid: None,
                    code: RefusalCode::Duplicate,
                });
            }
            Command::OpenTransport { transport, .. } | Command::OpenLocalFeed { transport, .. } => {
                self.open.push(transport);
            }
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

    fn local_frame(&mut self, _now: Time, transport: TransportId, frame: &mut [u8]) {
        self.stats.packets_in += 1;
        self.frames.push((transport, frame.to_vec()));
    }

    fn local_closed(&mut self, _now: Time, transport: TransportId) {
        if self.open.contains(&transport) {
            self.open.retain(|open| *open != transport);
            self.events.push(Event::TransportClosed {
                transport,
                reason: CloseReason::PeerClosed,
            });
        }
    }

    fn take_frames(&mut self, mut each: impl FnMut(TransportId, &[u8])) {
        for (transport, frame) in self.frames.drain(..) {
            each(transport, &frame);
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
            let feeds = Feeds::new().unwrap();
            Worker::new(0, Instant::now(), ports, feeds, for_inbox, for_log, Echo::default).run();
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

fn open(id: u64) -> Order {
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
    let spec = Box::new(spec);
    Order::Plain(Command::OpenTransport {
        transport: TransportId(id),
        spec,
    })
}

/// A feed, and the other end of its link. A frame that it sends comes back.
fn feed(id: u64) -> (Order, Socket) {
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let spec = Box::new(LocalFeedSpec {
        cname: "c".into(),
        receive: Vec::new(),
        extensions: Vec::new(),
    });
    let order = Order::OpenLocalFeed {
        transport: TransportId(id),
        spec,
        link: LocalLink::duplicate(ours.as_raw_fd()).unwrap(),
    };
    (order, theirs)
}

fn next(mut link: &Socket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let len = link.read(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn closed(id: u64, reason: CloseReason) -> Event {
    Event::TransportClosed {
        transport: TransportId(id),
        reason,
    }
}

fn close(id: u64) -> Order {
    Order::Plain(Command::CloseTransport {
        transport: TransportId(id),
    })
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
    rig.inbox.submit(vec![close(2)]).unwrap();
    rig.say("panic");
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
    assert_eq!(rig.events(1), [closed(7, CloseReason::Closed)]);
    assert_eq!(rig.hear(), "bye");
}

#[test]
fn frames_come_in_and_go_out_in_order() {
    let rig = Rig::new();
    let (order, link) = feed(1);
    rig.inbox.submit(vec![order]).unwrap();
    // More than one turn takes.
    for i in 0..100 {
        link.send(format!("frame {i}").as_bytes()).unwrap();
    }
    for i in 0..100 {
        assert_eq!(next(&link), format!("frame {i}").into_bytes());
    }
}

#[test]
fn an_empty_frame_is_a_frame_and_one_that_is_too_long_is_cut() {
    let rig = Rig::new();
    let (order, link) = feed(1);
    rig.inbox.submit(vec![order]).unwrap();
    for len in [0, MAX_FRAME, MAX_FRAME + 100, 3] {
        link.send(&vec![7; len]).unwrap();
    }
    let lens = [0; 4].map(|_: usize| next(&link).len());
    assert_eq!(lens, [0, MAX_FRAME, MAX_FRAME + 1, 3]);
}

#[test]
fn who_hangs_up_is_closed_after_its_last_frame() {
    let mut rig = Rig::new();
    let (order, link) = feed(1);
    for i in 0..70 {
        link.send(&[i]).unwrap();
    }
    drop(link);
    rig.inbox.submit(vec![order]).unwrap();
    assert_eq!(rig.events(1), [closed(1, CloseReason::PeerClosed)]);
    rig.close();
    let events = rig.log.drain();
    let Some(Event::Stats(stats)) = events.last() else {
        panic!("no totals in {events:?}");
    };
    assert_eq!(stats.packets_in, 70);
    assert_eq!(
        stats.dropped.get(DropReason::LinkFull),
        70,
        "nobody read what came back"
    );
}

#[test]
fn who_leaves_frames_unread_is_heard_to_its_last_and_closed() {
    let rig = Rig::new();
    let (order, link) = feed(1);
    rig.inbox.submit(vec![order]).unwrap();
    link.send(b"one").unwrap();
    wait_readable([link.as_raw_fd()], Duration::from_secs(5));
    link.send(b"two").unwrap();
    drop(link);
    assert_eq!(rig.events(1), [closed(1, CloseReason::PeerClosed)]);
}

#[test]
fn frames_that_the_other_end_does_not_read_are_dropped_and_counted() {
    let mut rig = Rig::new();
    let (order, link) = feed(1);
    rig.inbox.submit(vec![order]).unwrap();
    let frame = [7; MAX_FRAME];
    // Far more than a socket holds. When it is full here, that is because the shard has not read it yet.
    for _ in 0..2000 {
        link.send(&frame).unwrap();
    }
    rig.say("still there");
    assert_eq!(rig.hear(), "still there");
    rig.close();
    let events = rig.log.drain();
    let Some(Event::Stats(stats)) = events.last() else {
        panic!("no totals in {events:?}");
    };
    let full = stats.dropped.get(DropReason::LinkFull);
    assert!((1000..2000).contains(&full), "{full} of 2000");
}

#[test]
fn a_feed_that_never_pauses_does_not_keep_datagrams_waiting() {
    let rig = Rig::new();
    let feeds: Vec<_> = (1..=20).map(feed).collect();
    let (orders, links): (Vec<_>, Vec<_>) = feeds.into_iter().unzip();
    rig.inbox.submit(orders).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = links
        .into_iter()
        .map(|link| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _ = link.send(&[7; MAX_FRAME]);
                }
            })
        })
        .collect();
    for i in 0..50 {
        rig.say(&i.to_string());
        assert_eq!(rig.hear(), i.to_string());
    }
    stop.store(true, Ordering::Relaxed);
    drop(rig);
    for flood in floods {
        flood.join().unwrap();
    }
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
fn every_end_of_a_feed_closes_its_link() {
    let mut rig = Rig::new();
    let [(one, first), (two, second), (three, third), (twice, refused)] = [1, 2, 3, 1].map(feed);
    rig.inbox.submit(vec![one, two, three, twice]).unwrap();
    assert_eq!(next(&refused), b"", "nobody else has that end");
    for link in [&first, &second, &third] {
        link.send(b"here").unwrap();
        assert_eq!(next(link), b"here");
    }
    rig.inbox.submit(vec![close(1)]).unwrap();
    assert_eq!(next(&first), b"");
    rig.say("panic");
    assert_eq!(next(&second), b"");
    assert_eq!(next(&third), b"");
    let (four, fourth) = feed(4);
    rig.inbox.submit(vec![four]).unwrap();
    rig.close();
    assert_eq!(next(&fourth), b"");
    let (five, fifth) = feed(5);
    assert_eq!(rig.inbox.submit(vec![five]), Err(crate::queue::Overloaded));
    assert_eq!(next(&fifth), b"");
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
    rig.inbox.submit(vec![close(1)]).unwrap();
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
