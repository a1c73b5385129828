//! What a bug of ours costs: the transport that it shows up in, and nobody else. The faults are made by a hook of the feature `faults`.

mod common;

use common::peer::Peer;
use common::stage::Stage;
use rostra_sfu::command::{CloseReason, Command, RefusalCode};
use rostra_sfu::shard::Fault;

#[test]
fn a47_a_panic_in_the_slot_of_a_viewer_closes_that_viewer() {
    let mut stage = Stage::new();
    let track = stage.publisher.video_track();
    stage.bench.bind(stage.attacker.id, "0", track);
    stage.play(10);
    let broken = stage.attacker.id;
    stage.bench.shard.fault = Some(Fault::Forward(broken));
    stage.play(2);
    assert_eq!(stage.bench.closed(broken), Some(CloseReason::Bug));
    stage.unharmed();
}

#[test]
fn a47_a_panic_while_opening_is_answered_and_leaves_nothing_behind() {
    let mut stage = Stage::new();
    let transports = stage.bench.shard.stats().transports;
    let late = Peer::new(9);
    let open = || Command::OpenTransport {
        transport: late.id,
        spec: Box::new(late.spec.clone()),
    };
    stage.bench.shard.fault = Some(Fault::Open(late.id));
    assert_eq!(stage.bench.refusal(open()), Some(RefusalCode::Bug));
    assert_eq!(stage.bench.shard.stats().transports, transports);
    stage.bench.shard.fault = None;
    assert_eq!(
        stage.bench.refusal(open()),
        None,
        "its id, tracks and credentials are free again"
    );
    stage.unharmed();
}
