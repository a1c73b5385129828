//! Paths that are TCP connections: each has to be validated by itself, and it can end.

use rostra_sfu::command::Command;
use rostra_sfu::ids::{ConnectionId, Ssrc};
use rostra_sfu::outbox::{Path, Via};
use rostra_sfu::reason::DropReason;

use crate::common::ms;
use crate::common::peer::Peer;
use crate::common::stage::Stage;

fn tcp(number: u32) -> Via {
    Via::Tcp(ConnectionId(number))
}

/// From now on the viewer's datagrams are carried by this, and come from where they came from.
fn carry(stage: &mut Stage, via: Via) -> Path {
    let remote = stage.viewer.address;
    stage.bench.carriers.insert(remote, via);
    let local = stage.bench.server;
    Path { local, remote, via }
}

fn ping(stage: &mut Stage) {
    let Stage { bench, viewer, .. } = stage;
    viewer.ping(bench);
}

fn hang_up(stage: &mut Stage, path: &Path) {
    let now = stage.bench.now;
    stage.bench.shard.hang_up(now, path);
    stage.bench.transmit();
}

fn abandoned(stage: &mut Stage) -> Vec<ConnectionId> {
    stage.bench.shard.take_abandoned().collect()
}

#[test]
fn a_connection_is_validated_by_itself_whatever_its_addresses_may_do_by_udp() {
    let mut stage = Stage::new();
    for (via, other) in [(tcp(1), Via::Udp), (tcp(2), tcp(1)), (Via::Udp, tcp(2))] {
        let path = carry(&mut stage, via);
        if via != Via::Udp {
            assert!(!stage.bench.shard.is_known(&path));
            let report = stage.viewer.feedback(|writer| {
                writer.receiver_report(Ssrc(1), &[]);
            });
            let before = stage.bench.dropped(DropReason::AddressNotValidated);
            stage.bench.raw(path.remote, &report);
            assert_eq!(stage.bench.dropped(DropReason::AddressNotValidated), before + 1);
        }
        // A nomination brings the media here, and here alone.
        ping(&mut stage);
        assert!(stage.bench.shard.is_known(&path));
        carry(&mut stage, other);
        stage.bench.take(path.remote);
        carry(&mut stage, via);
        stage.unharmed();
        carry(&mut stage, other);
        assert!(stage.bench.take(path.remote).is_empty(), "nothing goes by {other:?}");
    }
}

#[test]
fn media_waits_for_the_next_connection_when_the_only_one_ends() {
    let mut stage = Stage::new();
    let udp = carry(&mut stage, Via::Udp);
    let first = carry(&mut stage, tcp(1));
    ping(&mut stage);
    hang_up(&mut stage, &udp);
    stage.unharmed();
    hang_up(&mut stage, &first);
    assert!(!stage.bench.shard.is_known(&first));
    // The publisher's packets go nowhere, and waiting costs no more than any silence.
    for _ in 0..10 {
        let Stage { bench, publisher, .. } = &mut stage;
        publisher.send_frame(bench);
        bench.pass(ms(33));
        publisher.hear(bench);
    }
    let mut wakes = 0;
    let end = stage.bench.now + ms(1000);
    while let Some(next) = stage.bench.shard.next_timeout().filter(|next| *next <= end) {
        stage.bench.now = stage.bench.now.max(next);
        stage.bench.shard.timeout(stage.bench.now);
        stage.bench.transmit();
        wakes += 1;
    }
    assert!(wakes < 100, "{wakes} wakes in a second in which nothing can be done");
    carry(&mut stage, tcp(2));
    ping(&mut stage);
    stage.play(60);
    stage.unharmed();
}

#[test]
fn media_falls_back_to_what_is_left_when_a_connection_ends() {
    let mut stage = Stage::new();
    let path = carry(&mut stage, tcp(1));
    ping(&mut stage);
    stage.unharmed();
    hang_up(&mut stage, &path);
    carry(&mut stage, Via::Udp);
    stage.unharmed();
    assert!(abandoned(&mut stage).is_empty(), "who hung up knows");
}

#[test]
fn connections_of_a_transport_that_ends_are_abandoned() {
    let mut stage = Stage::new();
    let before = stage.bench.shard.footprint();
    let mut peer = Peer::new(9);
    stage.bench.carriers.insert(peer.address, tcp(7));
    peer.connect(&mut stage.bench);
    stage.bench.carriers.insert(peer.address, tcp(8));
    peer.ping(&mut stage.bench);
    assert!(abandoned(&mut stage).is_empty());
    let transport = peer.id;
    stage.bench.command(Command::CloseTransport { transport });
    assert_eq!(abandoned(&mut stage), [ConnectionId(7), ConnectionId(8)]);
    assert!(abandoned(&mut stage).is_empty());
    assert_eq!(stage.bench.shard.footprint(), before);
    assert!(stage.bench.shard.problems().is_empty());
    stage.unharmed();
}

#[test]
fn the_stalest_connection_of_too_many_is_abandoned() {
    let mut stage = Stage::new();
    for number in 1..=20 {
        carry(&mut stage, tcp(number));
        stage.bench.pass(ms(10));
        ping(&mut stage);
    }
    // Sixteen paths may be valid; the first one, by UDP, went before them.
    let expected: Vec<_> = (1..=4).map(ConnectionId).collect();
    assert_eq!(abandoned(&mut stage), expected);
}

#[test]
fn connections_of_before_a_restart_of_ice_are_abandoned_when_the_peer_has_moved() {
    let mut stage = Stage::new();
    let before = stage.bench.shard.footprint();
    carry(&mut stage, tcp(1));
    ping(&mut stage);
    let names = ["again", "password-after-the-restart", "client-again"].map(str::to_owned);
    let restart = Command::RestartIce {
        transport: stage.viewer.id,
        local_ufrag: names[0].clone(),
        local_pwd: names[1].clone(),
        remote_ufrag: names[2].clone(),
        remote_pwd: "password-of-the-client-again".to_owned(),
    };
    assert_eq!(stage.bench.refusal(restart), None);
    let spec = &mut stage.viewer.spec;
    [spec.local_ufrag, spec.local_pwd, spec.remote_ufrag] = names;
    carry(&mut stage, tcp(2));
    ping(&mut stage);
    stage.unharmed();
    assert!(abandoned(&mut stage).is_empty(), "the peer may still send there");
    for _ in 0..5 {
        stage.bench.pass(ms(500));
        ping(&mut stage);
    }
    assert_eq!(abandoned(&mut stage), [ConnectionId(1)]);
    // The connection is all that leads there, as it was with the datagrams' path.
    assert_eq!(stage.bench.shard.footprint(), before);
    assert!(stage.bench.shard.problems().is_empty());
    stage.unharmed();
}
