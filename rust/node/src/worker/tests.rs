//! The loop with a core that answers every datagram with the same bytes, and breaks on demand.

use std::net::{SocketAddr, UdpSocket};
use std::thread::JoinHandle;

use rostra_sfu::choice::BandwidthSpec;
use rostra_sfu::command::{DtlsRole, RefusalCode, TransportSpec};
use rostra_sfu::outbox::Path;

use super::*;

#[derive(Default)]
struct Echo {
    open: Vec<TransportId>,
    waiting: VecDeque<(Path, Vec<u8>)>,
    events: Vec<Event>,
    stats: Stats,
    alarm: Option<Time>,
    last: Option<Path>,
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
            }
            other => panic!("not part of these tests: {other:?}"),
        }
    }

    fn datagram(&mut self, now: Time, datagram: Datagram<'_>) {
        let path = Path {
            local: datagram.to,
            remote: datagram.from,
        };
        self.stats.packets_in += 1;
        self.last = Some(path);
        match &*datagram.bytes {
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
        let inbox = Arc::new(Inbox::new(100).unwrap());
        let log = Arc::new(EventLog::new(1).unwrap());
        let (for_inbox, for_log) = (Arc::clone(&inbox), Arc::clone(&log));
        let thread = std::thread::spawn(move || {
            Worker::new(0, Instant::now(), port, for_inbox, for_log, Echo::default).run();
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
