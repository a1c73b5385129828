use std::net::UdpSocket;
use std::time::Duration;

use rostra_sfu::outbox::Via;

use super::*;
use crate::sys::{is_readable, wait_readable};

/// A peer with an ordinary socket of the standard library.
fn peer(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn port(address: &str, gso: bool) -> UdpPort {
    UdpPort::open(address.parse().unwrap(), gso, false).unwrap()
}

/// Wait for `count` datagrams: (from, to, bytes).
fn collect(port: &UdpPort, count: usize) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
    let mut batch = Batch::default();
    let mut all = Vec::new();
    while all.len() < count {
        wait_readable([port.as_raw_fd()], Duration::from_secs(5));
        assert!(is_readable(port.as_raw_fd()), "{} of {count} arrived", all.len());
        port.receive(&mut batch);
        all.extend(
            batch
                .datagrams()
                .map(|datagram| (datagram.from, datagram.to, datagram.bytes.to_vec())),
        );
    }
    all
}

/// Six datagrams of which the last is shorter: one run.
fn run_to(port: &UdpPort, peer: &UdpSocket) -> (Outbox, Vec<Vec<u8>>) {
    let path = Path {
        local: port.local_addr(),
        remote: peer.local_addr().unwrap(),
        via: Via::Udp,
    };
    let datagrams: Vec<Vec<u8>> = (0..6u8).map(|i| vec![i; if i == 5 { 90 } else { 1100 }]).collect();
    let mut outbox = Outbox::default();
    assert!(datagrams.iter().all(|bytes| outbox.push(path, bytes)));
    assert_eq!(outbox.runs().len(), 1);
    (outbox, datagrams)
}

fn received_by(peer: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut buffer = [0; 70_000];
    (0..count)
        .map(|_| {
            let (len, _) = peer.recv_from(&mut buffer).unwrap();
            buffer[..len].to_vec()
        })
        .collect()
}

#[test]
fn a_run_arrives_as_separate_datagrams_with_and_without_offload() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        for gso in [true, false] {
            let (port, peer) = (port(address, gso), peer(address));
            let (outbox, datagrams) = run_to(&port, &peer);
            let sent = port.send(&outbox);
            assert_eq!(
                sent,
                Sent {
                    datagrams: 6,
                    ..Sent::default()
                }
            );
            assert_eq!(received_by(&peer, 6), datagrams, "{address}, offload {gso}");
        }
    }
}

#[test]
fn a_run_that_the_kernel_will_not_cut_is_repeated_plainly_and_counted() {
    let (port, peer) = (port("127.0.0.1:0", true), peer("127.0.0.1:0"));
    let path = Path {
        local: port.local_addr(),
        remote: peer.local_addr().unwrap(),
        via: Via::Udp,
    };
    let bytes: Vec<u8> = (0..60u8).flat_map(|i| [i; 8]).collect();
    let mut sent = Sent::default();
    // On a socket without checksums the kernel refuses to cut: EINVAL or EIO, as on a device without checksum offload.
    set_option(port.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1i32).unwrap();
    port.send_messages(
        &[Message {
            path: Some(path),
            bytes: &bytes,
            segment: 8,
        }],
        &mut sent,
    );
    assert_eq!(
        sent,
        Sent {
            datagrams: 60,
            gso_fallbacks: 1,
            ..Sent::default()
        }
    );
    assert_eq!(received_by(&peer, 60).concat(), bytes);
}

#[test]
fn a_wildcard_socket_knows_the_address_that_was_called_and_answers_from_it() {
    for (wildcard, called) in [
        ("0.0.0.0:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.7"),
        ("[::]:0", "127.0.0.7"),
        ("[::]:0", "::1"),
    ] {
        let port = port(wildcard, true);
        let called = SocketAddr::new(called.parse().unwrap(), port.local_addr().port());
        let peer = peer(if called.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        peer.send_to(b"hello", called).unwrap();
        let (from, to, bytes) = collect(&port, 1).remove(0);
        assert_eq!((from, to), (peer.local_addr().unwrap(), called), "on {wildcard}");
        assert_eq!(bytes, b"hello");

        let mut outbox = Outbox::default();
        assert!(outbox.push(
            Path {
                local: to,
                remote: from,
                via: Via::Udp
            },
            b"segment-1"
        ));
        assert!(outbox.push(
            Path {
                local: to,
                remote: from,
                via: Via::Udp
            },
            b"segment-2"
        ));
        assert_eq!(port.send(&outbox).datagrams, 2);
        let mut buffer = [0; 100];
        for expected in [b"segment-1", b"segment-2"] {
            let (len, source) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], source), (&expected[..], called), "on {wildcard}");
        }
    }
}

#[test]
fn a_full_batch_says_that_there_may_be_more() {
    let (port, peer) = (port("127.0.0.1:0", true), peer("127.0.0.1:0"));
    let count = BATCH as u8 + 6;
    for i in 0..count {
        peer.send_to(&[i], port.local_addr()).unwrap();
    }
    let mut batch = Batch::default();
    assert!(port.receive(&mut batch));
    assert_eq!(batch.len(), BATCH);
    let first: Vec<u8> = batch.datagrams().map(|datagram| datagram.bytes[0]).collect();
    assert!(!port.receive(&mut batch));
    let rest: Vec<u8> = batch.datagrams().map(|datagram| datagram.bytes[0]).collect();
    assert_eq!([first, rest].concat(), (0..count).collect::<Vec<_>>());
    assert!(!port.receive(&mut batch));
    assert!(batch.is_empty());
}

#[test]
fn an_oversize_datagram_is_dropped_and_counted_and_its_neighbours_stay_whole() {
    let (port, peer) = (port("127.0.0.1:0", true), peer("127.0.0.1:0"));
    for bytes in [vec![1; 10], vec![2; DATAGRAM + 1], vec![3; DATAGRAM]] {
        peer.send_to(&bytes, port.local_addr()).unwrap();
    }
    let mut batch = Batch::default();
    port.receive(&mut batch);
    let found: Vec<(u8, usize)> = batch.datagrams().map(|d| (d.bytes[0], d.bytes.len())).collect();
    assert_eq!(found, [(1, 10), (3, DATAGRAM)]);
    assert_eq!(batch.truncated(), 1);
}

#[test]
fn more_messages_than_one_call_takes_all_leave() {
    let port = port("127.0.0.1:0", true);
    let peers = [peer("127.0.0.1:0"), peer("127.0.0.1:0")];
    let mut outbox = Outbox::default();
    // Alternating peers: every datagram is a run of its own.
    for i in 0..150u8 {
        let path = Path {
            local: port.local_addr(),
            remote: peers[usize::from(i % 2)].local_addr().unwrap(),
            via: Via::Udp,
        };
        assert!(outbox.push(path, &[i]));
    }
    assert_eq!(port.send(&outbox).datagrams, 150);
    assert_eq!(
        received_by(&peers[0], 75).concat(),
        (0..150).step_by(2).collect::<Vec<u8>>()
    );
    assert_eq!(
        received_by(&peers[1], 75).concat(),
        (1..150).step_by(2).collect::<Vec<u8>>()
    );
}

#[test]
fn a_datagram_that_cannot_leave_costs_only_itself() {
    let (port, peer) = (port("127.0.0.1:0", true), peer("127.0.0.1:0"));
    let good = Path {
        local: port.local_addr(),
        remote: peer.local_addr().unwrap(),
        via: Via::Udp,
    };
    // 192.0.2.1 is none of our addresses (RFC 5737), so the kernel refuses it as a source.
    let bad = Path {
        local: "192.0.2.1:1".parse().unwrap(),
        ..good
    };
    let mut outbox = Outbox::default();
    assert!(outbox.push(good, b"one") && outbox.push(bad, b"lost") && outbox.push(good, b"two"));
    let sent = port.send(&outbox);
    assert_eq!((sent.datagrams, sent.errors), (2, 1));
    assert_eq!(received_by(&peer, 2), [b"one", b"two"]);
}

#[test]
fn an_address_in_use_is_an_error_unless_the_sockets_are_a_group() {
    let alone = port("127.0.0.1:0", true);
    let error = UdpPort::open(alone.local_addr(), true, false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

    let first = UdpPort::open("127.0.0.1:0".parse().unwrap(), true, true).unwrap();
    let second = UdpPort::open(first.local_addr(), true, true).unwrap();
    assert_eq!(first.local_addr(), second.local_addr());
}

#[test]
fn datagrams_beyond_the_receive_buffer_are_counted_by_the_kernel() {
    let (port, peer) = (port("127.0.0.1:0", true), peer("127.0.0.1:0"));
    set_option(port.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 4096i32).unwrap();
    assert_eq!(port.receive_overflow(), 0);
    for _ in 0..50 {
        peer.send_to(&[0; 1200], port.local_addr()).unwrap();
    }
    assert!(port.receive_overflow() > 0);
}
