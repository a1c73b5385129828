use std::io::Read;
use std::net::UdpSocket;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::*;

fn pair(kind: Type) -> (Socket, Socket) {
    Socket::pair(Domain::UNIX, kind, None).unwrap()
}

fn received(feeds: &mut Feeds) -> Vec<(u64, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    feeds.receive(|transport, came| {
        all.push((
            transport.0,
            match came {
                Came::Frame(frame) => Some(frame.to_vec()),
                Came::HangUp => None,
            },
        ));
    });
    all
}

/// Feeds 1 to `count`, and the other ends.
fn some(count: u64) -> (Feeds, Vec<Socket>) {
    let mut feeds = Feeds::new().unwrap();
    let others = (1..=count).map(|id| {
        let (ours, theirs) = pair(Type::SEQPACKET);
        let link = LocalLink::duplicate(ours.as_raw_fd()).unwrap();
        feeds.add(TransportId(id), link).unwrap();
        theirs
    });
    let others = others.collect();
    (feeds, others)
}

#[test]
fn only_local_sockets_that_keep_messages_apart_are_links() {
    let (packets, _other) = pair(Type::SEQPACKET);
    assert!(LocalLink::duplicate(packets.as_raw_fd()).is_ok());
    for kind in [Type::STREAM, Type::DGRAM] {
        let (wrong, _other) = pair(kind);
        assert!(matches!(LocalLink::duplicate(wrong.as_raw_fd()), Err(LinkError::Kind)));
    }
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(matches!(LocalLink::duplicate(udp.as_raw_fd()), Err(LinkError::Kind)));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(LocalLink::duplicate(file.as_raw_fd()), Err(LinkError::Kind)));
    assert!(matches!(LocalLink::duplicate(-1), Err(LinkError::System(_))));
}

#[test]
fn in_one_turn_a_feed_gets_its_share_and_the_others_theirs() {
    let (mut feeds, others) = some(20);
    for other in &others {
        for _ in 0..FRAMES + 1 {
            other.send(b"frame").unwrap();
        }
    }
    let mut counts = [0; 21];
    // As many turns as it takes to get round.
    for _ in 0..20_usize.div_ceil(FEEDS) {
        let turn = received(&mut feeds);
        assert!(turn.len() <= FEEDS * FRAMES, "{}", turn.len());
        for (id, _) in turn {
            counts[id as usize] += 1;
        }
    }
    assert!(counts.iter().skip(1).all(|count| *count >= FRAMES), "{counts:?}");
}

#[test]
fn an_empty_frame_is_no_hang_up() {
    let (mut feeds, others) = some(1);
    others[0].send(b"").unwrap();
    others[0].send(b"after").unwrap();
    let frame = |bytes: &[u8]| (1, Some(bytes.to_vec()));
    assert_eq!(received(&mut feeds), [frame(b""), frame(b"after")]);
    drop(others);
    assert_eq!(received(&mut feeds), [(1, None)]);
}

#[test]
fn half_a_hang_up_is_one() {
    let (mut feeds, others) = some(1);
    others[0].shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(received(&mut feeds), [(1, None)]);
}

#[test]
fn what_was_sent_before_a_hang_up_is_there_even_if_ours_was_not_read() {
    let (mut feeds, mut others) = some(1);
    assert!(feeds.send(TransportId(1), b"unread"));
    others[0].send(b"last").unwrap();
    others.clear();
    assert_eq!(received(&mut feeds), [(1, Some(b"last".to_vec())), (1, None)]);
    assert!(!feeds.send(TransportId(1), b"nobody"));
}

#[test]
fn a_feed_that_ended_is_not_heard_of_again_while_others_hold_its_socket() {
    let mut feeds = Feeds::new().unwrap();
    let (ours, theirs) = pair(Type::SEQPACKET);
    feeds
        .add(TransportId(1), LocalLink::duplicate(ours.as_raw_fd()).unwrap())
        .unwrap();
    theirs.send(b"frame").unwrap();
    feeds.end(TransportId(1));
    theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(
        (&theirs).read(&mut [0; 8]).unwrap(),
        0,
        "told to the other end all the same"
    );
    let (others, link) = pair(Type::SEQPACKET);
    feeds
        .add(TransportId(2), LocalLink::duplicate(others.as_raw_fd()).unwrap())
        .unwrap();
    link.send(b"other").unwrap();
    assert_eq!(received(&mut feeds), [(2, Some(b"other".to_vec()))]);
    assert!(!crate::sys::is_readable(feeds.as_raw_fd()));
}
