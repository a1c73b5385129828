//! Real connections on loopback, made-up time.

use std::collections::HashSet;

use super::*;
use crate::sys::wait_readable;
use backlog::{MAX_AGE, MAX_BYTES};
use door::{MAX_STRANGERS_OF_ADDRESS, PATIENCE};

/// What names a stranger here; it has the first byte of STUN.
const NAME: &[u8] = b"\x00\x01name";

struct Rig {
    port: TcpPort,
    now: Time,
    named: HashSet<Path>,
    heard: Vec<(Path, Vec<u8>)>,
}

impl Rig {
    fn new(address: &str) -> Self {
        let mut port = TcpPort::open(address.parse().unwrap()).unwrap();
        port.door = Door::new(1 << 20);
        Self {
            port,
            now: Time(1),
            named: HashSet::new(),
            heard: Vec::new(),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port.local_addr().port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// One turn of the loop.
    fn turn(&mut self) {
        wait_readable([self.port.as_raw_fd()], Duration::from_secs(10));
        self.turn_at_once();
    }

    fn turn_at_once(&mut self) {
        let count = self.port.poll(self.now);
        for index in 0..count {
            self.port.read(index);
            let (heard, named) = (&mut self.heard, &mut self.named);
            self.port.deliver(index, |datagram, stranger| {
                let path = Path {
                    local: datagram.to,
                    remote: datagram.from,
                    via: datagram.via,
                };
                if datagram.bytes == NAME {
                    named.insert(path);
                }
                heard.push((path, datagram.bytes.to_vec()));
                stranger.is_some_and(|path| named.contains(path))
            });
        }
        self.port.expire(self.now);
    }

    /// Serve until `done`.
    fn until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..100_000 {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("{} turns and not done", 100_000);
    }

    /// A client with a name, and its path.
    fn client(&mut self) -> (TcpStream, Path) {
        let mut stream = self.connect();
        say(&mut stream, NAME);
        let remote = stream.local_addr().unwrap();
        self.until(|rig| rig.heard.iter().any(|(path, _)| path.remote == remote));
        let path = self.heard.pop().unwrap().0;
        (stream, path)
    }

    fn send(&mut self, path: Path, datagrams: &[&[u8]]) -> u64 {
        let mut outbox = Outbox::default();
        assert!(datagrams.iter().all(|bytes| outbox.push(path, bytes)));
        self.port.send(self.now, &outbox)
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.port.dropped().get(reason)
    }
}

fn say(stream: &mut TcpStream, datagram: &[u8]) {
    let mut frame = Vec::new();
    assert!(framing::write(&mut frame, datagram));
    stream.write_all(&frame).unwrap();
}

fn hear(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    let mut datagram = vec![0; usize::from(u16::from_be_bytes(header))];
    stream.read_exact(&mut datagram).unwrap();
    datagram
}

/// The server has closed, by FIN or by RST, and said nothing before.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 100]) {
        Ok(len) => len == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn datagrams_go_both_ways_in_frames() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (mut client, path) = rig.client();
    assert_eq!(path.remote, client.local_addr().unwrap());
    assert_eq!(path.local, rig.port.local_addr());
    let long = [7; DATAGRAM];
    for datagram in [&b"one"[..], &long, b"three"] {
        say(&mut client, datagram);
    }
    rig.until(|rig| rig.heard.len() == 3);
    let heard: Vec<_> = rig.heard.drain(..).collect();
    assert_eq!(
        heard,
        [
            (path, b"one".to_vec()),
            (path, long.to_vec()),
            (path, b"three".to_vec())
        ]
    );

    // Runs of the outbox are cut into frames again.
    assert_eq!(rig.send(path, &[&[1; 1100], &[2; 1100], &[3; 90], &[4; 200]]), 0);
    for (number, len) in [(1, 1100), (2, 1100), (3, 90), (4, 200)] {
        assert_eq!(hear(&mut client), vec![number; len]);
    }
}

#[test]
fn an_outbox_for_several_connections_and_udp_reaches_each() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (mut one, path_one) = rig.client();
    let (mut two, path_two) = rig.client();
    let udp = Path {
        via: Via::Udp,
        ..path_one
    };
    let mut outbox = Outbox::default();
    for (path, text) in [
        (path_one, "a"),
        (udp, "no"),
        (path_two, "b"),
        (path_two, "c"),
        (path_one, "d"),
    ] {
        assert!(outbox.push(path, text.as_bytes()));
    }
    assert_eq!(rig.port.send(rig.now, &outbox), 0);
    assert_eq!((hear(&mut one), hear(&mut one)), (b"a".to_vec(), b"d".to_vec()));
    assert_eq!((hear(&mut two), hear(&mut two)), (b"b".to_vec(), b"c".to_vec()));
}

#[test]
fn a_stranger_whose_first_bytes_are_no_check_is_closed_and_counted() {
    let mut rtp = vec![0, 20, 0x80, 96];
    rtp.resize(22, 0);
    let hellos: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x02\x59",
        &rtp,
    ];
    let mut rig = Rig::new("127.0.0.1:0");
    for (count, hello) in (1..).zip(hellos) {
        let mut client = rig.connect();
        client.write_all(hello).unwrap();
        rig.until(|rig| rig.dropped(DropReason::TcpNotStun) == count);
        assert!(is_closed(&mut client), "{hello:?}");
    }
    assert!(rig.heard.is_empty());
    assert_eq!((rig.port.live(), rig.port.take_ended().count()), (0, 0));
}

#[test]
fn a_strangers_check_reaches_the_core_and_makes_no_name() {
    let mut rig = Rig::new("127.0.0.1:0");
    let mut client = rig.connect();
    say(&mut client, b"\x00\x01guess");
    rig.until(|rig| rig.heard.len() == 1);
    assert!(rig.port.is_stranger(id_of(0)));
    // What a named one may say is still too much for it.
    say(&mut client, &[0x80; 100]);
    rig.until(|rig| rig.dropped(DropReason::TcpNotStun) == 1);
    assert!(is_closed(&mut client));
}

#[test]
fn a_stranger_is_closed_when_its_time_is_up_and_a_named_one_stays() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (mut named, path) = rig.client();
    let mut silent = rig.connect();
    let mut slow = rig.connect();
    slow.write_all(b"\x00").unwrap();
    rig.until(|rig| rig.port.live() == 3);
    assert!(rig.port.next_timeout().is_some_and(|at| at <= rig.now + PATIENCE));
    rig.now += PATIENCE;
    rig.port.expire(rig.now);
    assert_eq!((rig.port.live(), rig.dropped(DropReason::TcpNameless)), (1, 2));
    assert!(is_closed(&mut silent) && is_closed(&mut slow));
    assert_eq!(rig.send(path, &[b"still here"]), 0);
    assert_eq!(hear(&mut named), b"still here");
}

#[test]
fn the_oldest_stranger_of_an_address_gives_way_and_the_named_stay() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (mut named, path) = rig.client();
    let mut strangers: Vec<TcpStream> = Vec::new();
    for count in 2..=MAX_STRANGERS_OF_ADDRESS + 1 {
        strangers.push(rig.connect());
        rig.until(|rig| rig.port.live() == count);
    }
    assert_eq!(rig.dropped(DropReason::TcpRefused), 0);
    strangers.push(rig.connect());
    rig.until(|rig| rig.dropped(DropReason::TcpRefused) == 1);
    assert_eq!(rig.port.live(), MAX_STRANGERS_OF_ADDRESS + 1);
    assert!(is_closed(&mut strangers[0]));
    assert_eq!(rig.send(path, &[b"hello"]), 0);
    assert_eq!(hear(&mut named), b"hello");
    // The newest one gets its name as if nobody else were there.
    let newest = strangers.last_mut().unwrap();
    say(newest, NAME);
    rig.until(|rig| rig.heard.len() == 1);
}

#[test]
fn a_datagram_above_the_limit_is_skipped_and_counted_and_its_neighbours_arrive() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (mut client, _) = rig.client();
    for datagram in [&b"one"[..], &[9; DATAGRAM + 1], b"two"] {
        say(&mut client, datagram);
    }
    rig.until(|rig| rig.heard.len() == 2);
    let texts: Vec<_> = rig.heard.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(texts, [b"one", b"two"]);
    assert_eq!(rig.dropped(DropReason::TooLarge), 1);
}

/// A numbered datagram of a kilobyte.
fn numbered(number: u32) -> Vec<u8> {
    let mut bytes = vec![0; 1000];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn number_of(datagram: &[u8]) -> u32 {
    assert_eq!(datagram.len(), 1000);
    u32::from_be_bytes(datagram[..4].try_into().unwrap())
}

#[test]
fn who_does_not_read_loses_its_oldest_frames_and_holds_up_nobody() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (mut reader, to_reader) = rig.client();
    let (mut sleeper, to_sleeper) = rig.client();
    let mut sent = 0;
    // Until the sleeper's window, the kernel and the backlog are full, and much more.
    while rig.dropped(DropReason::TcpFull) < 200 {
        let datagram = numbered(sent);
        rig.send(to_sleeper, &[&datagram]);
        rig.send(to_reader, &[&datagram]);
        assert_eq!(number_of(&hear(&mut reader)), sent);
        sent += 1;
        assert!(sent < 100_000, "a connection that nobody reads takes everything");
    }
    let held = |rig: &Rig| {
        rig.port.connections[1]
            .as_ref()
            .unwrap()
            .backlog
            .as_ref()
            .unwrap()
            .len()
    };
    assert!(held(&rig) <= MAX_BYTES);
    // It reads again: every frame is whole, in order, and the newest are there.
    let dropped = rig.dropped(DropReason::TcpFull) as u32;
    let mut numbers = Vec::new();
    while numbers.len() < (sent - dropped) as usize {
        rig.turn_at_once();
        numbers.push(number_of(&hear(&mut sleeper)));
    }
    assert!(numbers.is_sorted());
    let tail: Vec<_> = (sent - 60..sent).collect();
    assert_eq!(numbers[numbers.len() - 60..], tail);
    // All is as it was: nothing waits any more, and nothing watches for room.
    rig.until(|rig| rig.port.connections[1].as_ref().unwrap().backlog.is_none());
    assert_eq!(rig.send(to_sleeper, &[b"again"]), 0);
    assert_eq!(hear(&mut sleeper), b"again");
}

#[test]
fn what_waited_too_long_is_not_sent_when_the_reader_wakes() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (mut sleeper, path) = rig.client();
    let mut sent = 0;
    while rig.port.connections[0].as_ref().unwrap().backlog.is_none() {
        rig.send(path, &[&numbered(sent)]);
        sent += 1;
    }
    let stale = sent;
    for number in stale..stale + 20 {
        rig.send(path, &[&numbered(number)]);
    }
    rig.now = rig.now + MAX_AGE + Duration::from_millis(1);
    let fresh = stale + 20;
    rig.send(path, &[&numbered(fresh)]);
    assert_eq!(rig.dropped(DropReason::TcpFull), 20);
    let mut last = 0;
    while last != fresh {
        rig.turn_at_once();
        last = number_of(&hear(&mut sleeper));
        assert!(last < stale || last == fresh, "{last} is stale");
    }
}

#[test]
fn the_end_of_a_connection_is_told_once_and_its_path_is_nobodys() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (client, path) = rig.client();
    drop(client);
    rig.until(|rig| rig.port.live() == 0);
    assert_eq!(rig.port.take_ended().collect::<Vec<_>>(), [path]);
    assert_eq!(rig.port.take_ended().count(), 0);
    // The next one in its place is another path, and gets nothing that was meant for the first.
    let (mut other, other_path) = rig.client();
    assert_ne!(other_path.via, path.via);
    assert_eq!(rig.send(path, &[b"for the first", b"and more"]), 2);
    assert_eq!(rig.send(other_path, &[b"for the second"]), 0);
    assert_eq!(hear(&mut other), b"for the second");
}

#[test]
fn who_is_left_gets_the_goodbye_and_then_the_end() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (mut client, path) = rig.client();
    let Via::Tcp(id) = path.via else { unreachable!() };
    rig.send(path, &[b"bye"]);
    rig.port.leave(rig.now, id);
    // What it still says does not matter, and does not reset the connection before the goodbye is read.
    say(&mut client, b"still talking");
    rig.turn();
    assert_eq!(hear(&mut client), b"bye");
    assert!(is_closed(&mut client));
    assert_eq!((rig.port.live(), rig.heard.len()), (1, 0));
    assert_eq!(rig.send(path, &[b"too late"]), 1);
    drop(client);
    rig.until(|rig| rig.port.live() == 0);
    assert_eq!(rig.port.take_ended().count(), 0);
}

#[test]
fn who_is_left_and_does_not_close_is_closed() {
    let mut rig = Rig::new("127.0.0.1:0");
    let (_client, path) = rig.client();
    let Via::Tcp(id) = path.via else { unreachable!() };
    rig.port.leave(rig.now, id);
    rig.now += LINGER;
    rig.port.expire(rig.now);
    assert_eq!(rig.port.live(), 0);
}

#[test]
fn a_dual_stack_listener_tells_plain_ipv4_addresses() {
    let mut rig = Rig::new("[::]:0");
    let (client, path) = rig.client();
    assert_eq!(path.remote, client.local_addr().unwrap());
    assert_eq!(path.local, client.peer_addr().unwrap());
    assert!(path.local.is_ipv4());
}

#[test]
fn a_number_that_is_taken_is_an_error() {
    let rig = Rig::new("127.0.0.1:0");
    assert!(TcpPort::open(rig.port.local_addr()).is_err());
}

#[test]
fn twenty_of_a_hundred_that_stop_reading_cost_the_others_nothing() {
    const ALL: usize = 100;
    const ASLEEP: usize = 20;
    let mut rig = Rig::new("127.0.0.1:0");
    let mut clients: Vec<(TcpStream, Path)> = (0..ALL).map(|_| rig.client()).collect();
    // Four megabytes to each in runs of four, far more than a connection and the kernel keep; time passes as with 8 Mb/s.
    for round in 0..1000 {
        let datagrams: Vec<Vec<u8>> = (0..4).map(|one| numbered(round * 4 + one)).collect();
        let mut outbox = Outbox::default();
        for (_, path) in &clients {
            if !outbox.has_room(4 * 1000) {
                assert_eq!(rig.port.send(rig.now, &outbox), 0);
                outbox.clear();
            }
            assert!(datagrams.iter().all(|bytes| outbox.push(*path, bytes)));
        }
        assert_eq!(rig.port.send(rig.now, &outbox), 0);
        rig.turn_at_once();
        rig.now += Duration::from_millis(4);
        for (reader, _) in clients.iter_mut().skip(ASLEEP) {
            for one in 0..4 {
                assert_eq!(number_of(&hear(reader)), round * 4 + one);
            }
        }
    }
    let waiting = |one: &Connection| one.backlog.as_ref().map(|backlog| backlog.len());
    let waits: Vec<_> = rig.port.connections.iter().flatten().map(waiting).collect();
    assert!(
        waits[..ASLEEP]
            .iter()
            .all(|bytes| bytes.is_some_and(|bytes| bytes <= MAX_BYTES))
    );
    assert!(waits[ASLEEP..].iter().all(Option::is_none), "{waits:?}");
    assert!(rig.dropped(DropReason::TcpFull) > (ASLEEP * 1000) as u64);
}
