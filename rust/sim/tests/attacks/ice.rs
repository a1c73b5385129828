//! Points 1 to 9: STUN and ICE.

use std::net::SocketAddr;

use rostra_sfu::command::{CloseReason, Command, Event};
use rostra_sfu::reason::DropReason;

use crate::common::peer::Peer;
use crate::common::stage::Stage;
use crate::common::stun::{CONTROLLED, PRIORITY, Stun, USE_CANDIDATE, USERNAME};
use crate::common::{Bench, ms};

/// An address that nobody has.
fn elsewhere(n: u16) -> SocketAddr {
    SocketAddr::from(([172, 16, 0, 1], 1000 + n))
}

/// Drops of one reason while something is done.
fn drops(stage: &mut Stage, reason: DropReason, deed: impl FnOnce(&mut Stage)) -> u64 {
    let before = stage.bench.dropped(reason);
    deed(stage);
    stage.bench.dropped(reason) - before
}

#[test]
fn a01_a_check_with_no_or_wrong_integrity_changes_nothing_and_gets_no_answer() {
    let mut stage = Stage::new();
    let fresh = Peer::new(9);
    fresh.open(&mut stage.bench);
    let before = stage.bench.shard.footprint();
    for victim in [stage.viewer.user(), fresh.user()] {
        let none = Stun::request(1, &victim).put(USE_CANDIDATE, &[]).done();
        let wrong = Stun::request(2, &victim)
            .put(USE_CANDIDATE, &[])
            .signed("a guess at the password")
            .done();
        let late = Stun::request(3, &victim)
            .signed(&stage.viewer.spec.local_pwd.clone())
            .put(USE_CANDIDATE, &[])
            .done();
        for message in [none, wrong] {
            let counted = drops(&mut stage, DropReason::StunUnauthenticated, |stage| {
                assert_eq!(stage.bench.answer_to(elsewhere(1), &message), 0);
            });
            assert_eq!(counted, 1);
        }
        if victim == stage.viewer.user() {
            // Good, but what follows the integrity is not covered by it: no nomination.
            stage.bench.raw(elsewhere(2), &late);
        }
    }
    assert_eq!(stage.bench.shard.footprint(), before + 1, "one valid path more");
    stage.unharmed();
    assert!(stage.bench.take(elsewhere(1)).is_empty());
    assert_eq!(stage.bench.take(elsewhere(2)).len(), 1, "the answer to the good one");
}

#[test]
fn a02_right_integrity_with_the_wrong_half_of_the_name_changes_nothing() {
    let mut stage = Stage::new();
    let (local, pwd) = (
        stage.viewer.spec.local_ufrag.clone(),
        stage.viewer.spec.local_pwd.clone(),
    );
    let before = stage.bench.shard.footprint();
    for name in [
        format!("{local}:client3"),
        format!("{local}:"),
        format!("{local}:client2:client2"),
        format!("{local}:CLIENT2"),
        format!("{local}:client2\0"),
    ] {
        let message = Stun::request(1, &name).put(USE_CANDIDATE, &[]).signed(&pwd).done();
        let counted = drops(&mut stage, DropReason::StunUnauthenticated, |stage| {
            assert_eq!(stage.bench.answer_to(elsewhere(1), &message), 0);
        });
        assert_eq!(counted, 1, "{name}");
    }
    for (name, reason) in [
        ("nobody:client2".to_owned(), DropReason::StunUnknownUser),
        (":client2".to_owned(), DropReason::StunUnknownUser),
        (local, DropReason::StunMalformed),
    ] {
        let message = Stun::request(1, &name).put(USE_CANDIDATE, &[]).signed(&pwd).done();
        let counted = drops(&mut stage, reason, |stage| {
            assert_eq!(stage.bench.answer_to(elsewhere(1), &message), 0);
        });
        assert_eq!(counted, 1, "{name}");
    }
    assert_eq!(stage.bench.shard.footprint(), before);
    stage.unharmed();
}

#[test]
fn a03_malformed_attributes_are_dropped_even_from_those_who_know_the_password() {
    let mut stage = Stage::new();
    let (user, pwd) = (stage.attacker.user(), stage.attacker.spec.local_pwd.clone());
    let good = Stun::request(1, &user).signed(&pwd).done();
    let mut cases = vec![
        (
            "length past the end",
            Stun::request(1, &user)
                .lie(PRIORITY, 65_535, &[0; 4])
                .signed(&pwd)
                .done(),
        ),
        ("empty name", Stun::new(1, 1).put(USERNAME, &[]).signed(&pwd).done()),
        (
            "name that is no text",
            Stun::new(1, 1).put(USERNAME, &[0xff; 8]).signed(&pwd).done(),
        ),
        (
            "endless name",
            Stun::new(1, 1).put(USERNAME, &[b'a'; 600]).signed(&pwd).done(),
        ),
        (
            "priority of three bytes",
            Stun::new(1, 1)
                .put(USERNAME, user.as_bytes())
                .put(PRIORITY, &[0; 3])
                .signed(&pwd)
                .done(),
        ),
        (
            "nomination with a value",
            Stun::request(1, &user).put(USE_CANDIDATE, &[1]).signed(&pwd).done(),
        ),
        ("no fingerprint", Stun::request(1, &user).signed(&pwd).0),
        (
            "another method",
            Stun::new(3, 1).put(USERNAME, user.as_bytes()).signed(&pwd).done(),
        ),
        (
            "too long",
            Stun::request(1, &user).put(0x8022, &[0; 1600]).signed(&pwd).done(),
        ),
    ];
    let mut many = Stun::request(1, &user);
    for _ in 0..64 {
        many = many.put(0x8022, &[]);
    }
    cases.push(("64 attributes", many.signed(&pwd).done()));
    for at in [0, 4, 8, 20, 24, good.len() - 1] {
        let mut wrong = good.clone();
        wrong[at] ^= 1;
        cases.push(("a changed bit", wrong));
    }
    for len in [0, 1, 2, 19, 20, 24, good.len() - 4, good.len() - 1] {
        cases.push(("cut", good[..len].to_vec()));
    }
    cases.push(("more behind it", [&good[..], &[0; 4]].concat()));
    for (what, message) in cases {
        let before = stage.bench.shard.stats();
        assert_eq!(stage.bench.answer_to(elsewhere(1), &message), 0, "{what}");
        let after = stage.bench.shard.stats();
        let counted: u64 = [
            DropReason::StunMalformed,
            DropReason::StunUnauthenticated,
            DropReason::NotClassified,
        ]
        .iter()
        .map(|reason| after.dropped.get(*reason) - before.dropped.get(*reason))
        .sum();
        assert_eq!(counted, 1, "{what}");
    }
    // RFC 8489 §6.3.1: what must be understood and is not gets a 420, and the path stays unknown.
    let unknown = (0..20).fold(Stun::request(1, &user), |stun, n| stun.put(0x7000 + n, &[]));
    let unknown = unknown.signed(&pwd).done();
    let answered = stage.bench.answer_to(elsewhere(2), &unknown);
    assert!(answered > 0 && answered <= unknown.len() as u64, "{answered}");
    assert_eq!(
        drops(&mut stage, DropReason::AddressNotValidated, |stage| {
            stage.bench.raw(elsewhere(2), &[22, 0xfe, 0xfd, 0]);
        }),
        1
    );
    stage.unharmed();
}

#[test]
fn a04_responses_and_indications_that_nobody_asked_for_are_dropped() {
    let mut stage = Stage::new();
    let pwd = stage.viewer.spec.local_pwd.clone();
    let user = stage.viewer.user();
    for (kind, reason) in [
        (0x0101, DropReason::StunUnexpected),
        (0x0111, DropReason::StunUnexpected),
        (0x0011, DropReason::StunUnexpected),
    ] {
        for from in [elsewhere(1), stage.viewer.address] {
            let message = Stun::new(kind, 77).put(USERNAME, user.as_bytes()).signed(&pwd).done();
            let counted = drops(&mut stage, reason, |stage| {
                assert_eq!(stage.bench.answer_to(from, &message), 0);
            });
            assert_eq!(counted, 1, "{kind:#x}");
        }
    }
    stage.unharmed();
}

#[test]
fn a05_nobody_gets_more_bytes_out_than_were_sent_in() {
    let mut stage = Stage::new();
    let viewer = stage.viewer.user();
    let pwd = stage.viewer.spec.local_pwd.clone();
    // Strangers get nothing at all.
    let mut out = 0;
    for first in 0..=255_u8 {
        for len in [2, 20, 64, 1200] {
            let mut bytes = vec![first; len];
            out += stage.bench.answer_to(elsewhere(1), &bytes);
            bytes[0] = first;
            bytes[1] = 200;
            out += stage.bench.answer_to(elsewhere(1), &bytes);
        }
    }
    for n in 0..200 {
        let unsigned = Stun::request(n, &viewer).done();
        out += stage.bench.answer_to(elsewhere(1), &unsigned);
    }
    assert_eq!(out, 0);
    // Who authenticates gets less back than it sent, errors included.
    let good = Stun::request(1, &viewer).signed(&pwd).done();
    let conflict = Stun::new(1, 2)
        .put(USERNAME, viewer.as_bytes())
        .put(PRIORITY, &[0; 4])
        .put(CONTROLLED, &[0; 8])
        .signed(&pwd)
        .done();
    let unknown = Stun::request(3, &viewer).put(0x7777, &[]).signed(&pwd).done();
    for message in [good, conflict, unknown] {
        let answered = stage.bench.answer_to(elsewhere(2), &message);
        assert!(
            answered > 0 && answered <= message.len() as u64,
            "{answered} bytes for {}",
            message.len()
        );
    }
    stage.unharmed();
}

#[test]
fn a06_a_peer_that_insists_on_our_role_is_refused_each_time_and_validates_nothing() {
    let mut stage = Stage::new();
    let mut peer = Peer::new(9);
    peer.open(&mut stage.bench);
    let before = stage.bench.shard.footprint();
    for n in 0..1000_u64 {
        let message = Stun::new(1, n)
            .put(USERNAME, peer.user().as_bytes())
            .put(CONTROLLED, &n.to_be_bytes())
            .put(USE_CANDIDATE, &[])
            .signed(&peer.spec.local_pwd)
            .done();
        stage.bench.raw(peer.address, &message);
    }
    let answers = stage.bench.take(peer.address);
    assert_eq!(answers.len(), 1000, "one each");
    assert!(
        answers.iter().all(|answer| answer[..2] == [1, 0x11]),
        "all of them errors"
    );
    assert_eq!(stage.bench.shard.footprint(), before);
    for datagram in peer.start_dtls(&stage.bench) {
        assert_eq!(stage.bench.answer_to(peer.address, &datagram), 0, "no handshake");
    }
    stage.unharmed();
    let Stage { bench, viewer, .. } = &mut stage;
    let conflict = Stun::new(1, 5)
        .put(USERNAME, viewer.user().as_bytes())
        .put(CONTROLLED, &[0xff; 8])
        .signed(&viewer.spec.local_pwd)
        .done();
    bench.raw(viewer.address, &conflict);
    stage.unharmed();
}

#[test]
fn a07_media_moves_with_an_authenticated_nomination_and_with_nothing_else() {
    let mut stage = Stage::new();
    let old = stage.viewer.address;
    // RTP and RTCP with the right keys from somewhere else: no.
    let report = stage.viewer.feedback(|writer| {
        writer.receiver_report(rostra_sfu::ids::Ssrc(1), &[]);
    });
    let media = stage.viewer.frame(stage.bench.now).remove(0);
    let counted = drops(&mut stage, DropReason::AddressNotValidated, |stage| {
        stage.bench.raw(elsewhere(1), &report);
        stage.bench.raw(elsewhere(1), &media);
    });
    assert_eq!(counted, 2);
    stage.unharmed();
    assert!(stage.bench.take(elsewhere(1)).is_empty());
    // A check without nomination: the path is good, the media stays. RTP from there is taken, and moves nothing.
    let check = stage.viewer.check(false);
    stage.bench.raw(elsewhere(1), &check);
    assert_eq!(stage.bench.take(elsewhere(1)).len(), 1);
    let report = stage.viewer.feedback(|writer| {
        writer.receiver_report(rostra_sfu::ids::Ssrc(1), &[]);
    });
    let counted = drops(&mut stage, DropReason::AddressNotValidated, |stage| {
        stage.bench.raw(elsewhere(1), &report);
    });
    assert_eq!(counted, 0);
    stage.unharmed();
    assert!(stage.bench.take(elsewhere(1)).is_empty());
    // A nomination moves it, once.
    let check = stage.viewer.check(true);
    stage.bench.raw(elsewhere(1), &check);
    stage.bench.take(elsewhere(1));
    stage.viewer.address = elsewhere(1);
    stage.unharmed();
    assert!(stage.bench.take(old).is_empty(), "nothing goes to the old address");
}

#[test]
fn a07_an_address_in_use_cannot_be_taken_with_credentials_of_another_transport() {
    let mut stage = Stage::new();
    // The attacker is welcome in its own name, and lies about where it is.
    let check = stage.attacker.check(true);
    for address in [stage.publisher.address, stage.viewer.address] {
        let counted = drops(&mut stage, DropReason::AddressNotValidated, |stage| {
            assert_eq!(stage.bench.answer_to(address, &check), 0);
        });
        assert_eq!(counted, 1);
    }
    stage.unharmed();
    // Once its owner is silent, the address is free: networks give addresses to others.
    let address = stage.attacker.address;
    stage.play_for(ms(6_000));
    let mut heir = Peer::new(9);
    heir.address = address;
    heir.connect(&mut stage.bench);
    stage.unharmed();
}

#[test]
fn a07_one_path_more_than_the_cap_replaces_the_oldest_and_the_table_stays_small() {
    let mut stage = Stage::new();
    let before = stage.bench.shard.footprint();
    for n in 0..2000 {
        let check = stage.attacker.check(n % 2 == 0);
        stage.bench.raw(elsewhere(n), &check);
    }
    assert!(stage.bench.shard.footprint() <= before + 16);
    stage.unharmed();
}

#[test]
fn a08_ten_thousand_half_open_transports_are_gone_after_their_time() {
    let mut stage = Stage::new();
    let before = stage.bench.shard.footprint();
    let mut peers: Vec<_> = (100..10_100).map(Peer::new).collect();
    for peer in &mut peers {
        // The scene needs only what opening costs.
        peer.open(&mut stage.bench);
    }
    assert_eq!(stage.bench.shard.stats().transports, 10_003);
    // A few go one step further each: an address, then a handshake that they leave.
    for (n, peer) in peers.iter_mut().enumerate().take(200) {
        peer.ping(&mut stage.bench);
        if n % 2 == 0 {
            for datagram in peer.start_dtls(&stage.bench) {
                stage.bench.raw(peer.address, &datagram);
            }
        }
    }
    stage.play_for(ms(9_000));
    assert_eq!(stage.bench.shard.stats().transports, 10_003, "they have their time");
    stage.play_for(ms(1_500));
    assert_eq!(stage.bench.shard.stats().transports, 203, "without a check for 10 s");
    stage.play_for(ms(18_500));
    assert_eq!(stage.bench.shard.stats().transports, 203, "a handshake has longer");
    stage.attacker.ping(&mut stage.bench);
    stage.play_for(ms(2_500));
    assert_eq!(stage.bench.shard.stats().transports, 3);
    assert_eq!(stage.bench.shard.footprint(), before);
    for peer in &peers {
        let reason = stage.bench.closed(peer.id);
        assert!(
            matches!(reason, Some(CloseReason::NeverConnected | CloseReason::DtlsFailed)),
            "{reason:?}"
        );
    }
    let silent = peers.iter().skip(200);
    assert!(
        silent
            .into_iter()
            .all(|peer| stage.bench.closed(peer.id) == Some(CloseReason::NeverConnected)),
        "who never came never connected"
    );
    stage.unharmed();
}

#[test]
fn a08_checks_without_a_handshake_do_not_keep_a_transport() {
    let mut stage = Stage::new();
    let before = stage.bench.shard.footprint();
    let mut peer = Peer::new(9);
    peer.open(&mut stage.bench);
    for _ in 0..35 {
        peer.ping(&mut stage.bench);
        stage.play_for(ms(1_000));
    }
    assert_eq!(stage.bench.closed(peer.id), Some(CloseReason::NeverConnected));
    assert_eq!(
        stage.bench.shard.footprint(),
        before - 6,
        "the attacker was silent and is gone as well"
    );
    stage.unharmed();
}

#[test]
fn a09_without_consent_media_ends_within_thirty_seconds() {
    let mut stage = Stage::new();
    let mut idle = Peer::new(9);
    idle.connect(&mut stage.bench);
    let track = stage.publisher.video_track();
    stage.bench.bind(idle.id, "0", track);
    let since = stage.bench.now;
    let stalls = |bench: &Bench, id| {
        let stalled = Event::TransportStalled { transport: id };
        let resumed = Event::TransportResumed { transport: id };
        let count = |what| bench.events.iter().filter(|event| **event == what).count();
        (count(stalled), count(resumed))
    };
    stage.play_for(ms(4_900));
    assert_eq!(stalls(&stage.bench, idle.id), (0, 0));
    stage.play_for(ms(300));
    assert_eq!(stalls(&stage.bench, idle.id), (1, 0), "at five seconds");
    // Garbage and unauthenticated checks are no sign of life.
    let forged = Stun::request(1, &idle.user()).done();
    stage.bench.raw(idle.address, &forged);
    stage.bench.raw(
        idle.address,
        &[
            0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
    );
    assert_eq!(stalls(&stage.bench, idle.id), (1, 0));
    // One authentic packet is.
    let report = idle.feedback(|writer| {
        writer.receiver_report(rostra_sfu::ids::Ssrc(1), &[]);
    });
    stage.bench.raw(idle.address, &report);
    assert_eq!(stalls(&stage.bench, idle.id), (1, 1));
    let alive = stage.bench.now;
    assert!(alive.since(since) < ms(5_500));
    // A replay of it is not.
    stage.play_for(ms(20_000));
    stage.bench.raw(idle.address, &report);
    assert!(!stage.bench.take(idle.address).is_empty(), "media goes on for now");
    stage.play_for(ms(9_900));
    assert_eq!(stage.bench.closed(idle.id), None);
    stage.play_for(ms(300));
    assert_eq!(stage.bench.closed(idle.id), Some(CloseReason::ConsentLost));
    assert!(stage.bench.now.since(alive) < ms(30_500));
    stage.bench.take(idle.address);
    stage.unharmed();
    assert!(stage.bench.take(idle.address).is_empty(), "not a byte more");
    assert_eq!(stalls(&stage.bench, idle.id), (2, 1));
}

#[test]
fn a_restart_of_ice_changes_names_and_nothing_else() {
    let mut stage = Stage::new();
    stage.unharmed();
    let before = stage.bench.shard.footprint();
    let old = stage.publisher.check(false);
    let names = ["restarted", "password-after-the-restart", "client-again"].map(str::to_owned);
    for local_ufrag in ["unused", &names[0]] {
        let restart = Command::RestartIce {
            transport: stage.publisher.id,
            local_ufrag: local_ufrag.to_owned(),
            local_pwd: names[1].clone(),
            remote_ufrag: names[2].clone(),
            remote_pwd: "password-of-the-client-again".to_owned(),
        };
        assert_eq!(stage.bench.refusal(restart), None);
        assert_eq!(stage.bench.shard.footprint(), before + 1, "one name more");
    }
    // The old names count until the new ones are used.
    stage.unharmed();
    let spec = &mut stage.publisher.spec;
    [spec.local_ufrag, spec.local_pwd, spec.remote_ufrag] = names;
    stage.publisher.ping(&mut stage.bench);
    assert_eq!(stage.bench.shard.footprint(), before);
    assert!(stage.bench.shard.problems().is_empty());
    let address = stage.publisher.address;
    let dropped = drops(&mut stage, DropReason::StunUnknownUser, |stage| {
        assert_eq!(stage.bench.answer_to(address, &old), 0);
    });
    assert_eq!(dropped, 1);
    // Keys, numbers and pictures are those of before.
    stage.unharmed();
}
