//! Nothing is global: two shards in one process do not know of each other. And commands: what a shard refuses changes nothing.

mod common;

use common::peer::{OPUS, Peer, VP8};
use common::stage::Stage;
use common::{Bench, mid, ms};
use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{
    Codec, CodecSpec, Command, EncodingSpec, Event, Fingerprint, Hash, Kind, MAX_CODECS, MAX_FINGERPRINTS, MAX_MEDIA,
    RefusalCode, SlotSpec, TransportSpec,
};
use rostra_sfu::ids::{Ssrc, TrackId, TransportId};
use rostra_sfu::reason::DropReason;

#[test]
fn two_shards_with_the_same_names_do_not_know_of_each_other() {
    let (mut one, mut other) = (Stage::new(), Stage::new());
    assert_eq!(one.viewer.spec.local_ufrag, other.viewer.spec.local_ufrag);
    assert_eq!(one.viewer.id, other.viewer.id);
    for _ in 0..5 {
        one.unharmed();
        other.unharmed();
    }
    // A packet that is good in one shard is noise in the other, whose keys are others.
    let before = other.bench.dropped(DropReason::SrtpAuth);
    for datagram in one.publisher.frame(one.bench.now) {
        other.bench.raw(other.publisher.address, &datagram);
    }
    assert!(other.bench.dropped(DropReason::SrtpAuth) > before);
    // What ends in one goes on in the other.
    let transport = one.publisher.id;
    one.bench.command(Command::CloseTransport { transport });
    let stats = one.bench.shard.stats();
    assert_eq!((stats.transports, stats.tracks), (2, 4));
    other.unharmed();
    let stats = other.bench.shard.stats();
    assert_eq!((stats.transports, stats.tracks), (3, 6));
    let pictures = one.viewer.pictures(0);
    one.bench.pass(ms(1_000));
    one.viewer.hear(&mut one.bench);
    assert_eq!(one.viewer.pictures(0), pictures);
}

#[test]
fn a_transport_that_opens_while_packets_fly_finds_its_way() {
    let mut stage = Stage::new();
    let mut late = Peer::new(9);
    let (check, hello) = (late.check(true), late.start_dtls(&stage.bench).remove(0));
    let before = stage.bench.dropped(DropReason::StunUnknownUser);
    for _ in 0..3 {
        assert_eq!(stage.bench.answer_to(late.address, &check), 0);
        assert_eq!(stage.bench.answer_to(late.address, &hello), 0);
        stage.play(1);
    }
    assert_eq!(stage.bench.dropped(DropReason::StunUnknownUser), before + 3);
    late.open(&mut stage.bench);
    stage.bench.bind(late.id, "0", stage.publisher.video_track());
    stage.play(1);
    stage.bench.raw(late.address, &check);
    stage.bench.raw(late.address, &hello);
    for _ in 0..8 {
        late.hear(&mut stage.bench);
    }
    assert!(stage.bench.connected(late.id));
    stage.play(10);
    late.hear(&mut stage.bench);
    assert!(late.pictures(0) >= 9, "bound before it connected: {}", late.pictures(0));
    stage.unharmed();
}

#[test]
fn closing_what_is_not_there_and_unbinding_nothing_are_no_errors() {
    let mut stage = Stage::new();
    let (nobody, viewer) = (TransportId(4711), stage.viewer.id);
    assert_eq!(stage.bench.refusal(Command::CloseTransport { transport: nobody }), None);
    for _ in 0..2 {
        let unbind = Command::UnbindSlot {
            transport: viewer,
            mid: mid("1"),
        };
        assert_eq!(stage.bench.refusal(unbind), None);
    }
    stage.unharmed();
}

/// The command is refused with this code, once, by its names; nothing that tests can see has changed.
fn refused(bench: &mut Bench, what: &str, command: Command, code: RefusalCode) {
    let (transport, named) = match &command {
        Command::OpenTransport { transport, .. }
        | Command::OpenLocalFeed { transport, .. }
        | Command::CloseTransport { transport }
        | Command::RestartIce { transport, .. }
        | Command::Inspect { transport } => (Some(*transport), None),
        Command::AddSlot { transport, slot } => (Some(*transport), Some(slot.mid)),
        Command::BindSlot { transport, mid, .. } | Command::UnbindSlot { transport, mid } => {
            (Some(*transport), Some(*mid))
        }
        Command::AddVoice { .. } | Command::RemoveVoice { .. } => (None, None),
        Command::Listen { transport, mids, .. } => (Some(*transport), mids.last().copied()),
    };
    let (events, footprint, stats) = (bench.events.len(), bench.shard.footprint(), bench.shard.stats());
    bench.command(command);
    assert_eq!(
        bench.events[events..],
        [Event::Rejected {
            transport,
            mid: named,
            code
        }],
        "{what}"
    );
    assert_eq!(bench.shard.footprint(), footprint, "{what}");
    assert_eq!(bench.shard.stats(), stats, "{what}");
    assert_eq!(bench.shard.problems(), Vec::<String>::new(), "{what}");
}

fn codec(payload_type: u8, codec: Codec) -> CodecSpec {
    CodecSpec {
        payload_type,
        codec,
        rtx_payload_type: None,
        profile: 0,
        packetization_mode: 0,
    }
}

#[test]
fn a_transport_whose_names_are_taken_or_twice_is_refused() {
    let mut stage = Stage::new();
    type Edit<'a> = &'a dyn Fn(&mut Peer);
    let edits: [(&str, Edit<'_>); 10] = [
        ("id of a live transport", &|peer| peer.id = TransportId(1)),
        ("ufrag of a live transport", &|peer| {
            peer.spec.local_ufrag = "server1".to_owned()
        }),
        ("track of a live transport", &|peer| {
            peer.spec.receive[0].track = TrackId(12)
        }),
        ("one track twice", &|peer| {
            peer.spec.receive[0].track = peer.spec.receive[1].track
        }),
        ("one mid twice", &|peer| peer.spec.receive[0].mid = mid("v")),
        ("one mid both ways", &|peer| peer.spec.slots[0].mid = mid("v")),
        ("two slots of one mid", &|peer| peer.spec.slots[0].mid = mid("1")),
        ("media and retransmission alike", &|peer| {
            peer.spec.slots[0].rtx_ssrc = peer.spec.slots[0].ssrc
        }),
        ("two slots of one ssrc", &|peer| {
            peer.spec.slots[0].ssrc = peer.spec.slots[1].rtx_ssrc
        }),
        ("one ssrc both ways", &|peer| {
            peer.spec.slots[0].ssrc = peer.video_ssrc()
        }),
    ];
    for (what, edit) in edits {
        let mut peer = Peer::new(9);
        edit(&mut peer);
        let command = Command::OpenTransport {
            transport: peer.id,
            spec: Box::new(peer.spec),
        };
        refused(&mut stage.bench, what, command, RefusalCode::Duplicate);
    }
    // None of it was kept: the names are free.
    Peer::new(9).connect(&mut stage.bench);
    stage.unharmed();
}

#[test]
fn a_transport_of_impossible_values_or_too_many_is_refused() {
    let mut stage = Stage::new();
    type Edit<'a> = &'a dyn Fn(&mut TransportSpec);
    let edits: [(&str, RefusalCode, Edit<'_>); 19] = [
        ("no ufrag", RefusalCode::Invalid, &|spec| spec.local_ufrag.clear()),
        ("no password", RefusalCode::Invalid, &|spec| spec.local_pwd.clear()),
        ("no remote ufrag", RefusalCode::Invalid, &|spec| {
            spec.remote_ufrag.clear()
        }),
        ("no remote password", RefusalCode::Invalid, &|spec| {
            spec.remote_pwd.clear()
        }),
        ("endless ufrag", RefusalCode::Invalid, &|spec| {
            spec.local_ufrag = "u".repeat(257)
        }),
        ("no fingerprint", RefusalCode::Invalid, &|spec| {
            spec.fingerprints.clear()
        }),
        ("no name", RefusalCode::Invalid, &|spec| spec.cname.clear()),
        ("endless name", RefusalCode::Invalid, &|spec| {
            spec.cname = "c".repeat(256)
        }),
        ("extension 0", RefusalCode::Invalid, &|spec| spec.extensions[0].id = 0),
        ("payload type 128", RefusalCode::Invalid, &|spec| {
            spec.slots[0].codecs[0].payload_type = 128
        }),
        ("retransmission type 255", RefusalCode::Invalid, &|spec| {
            spec.receive[1].codecs[0].rtx_payload_type = Some(255);
        }),
        ("no encoding", RefusalCode::Invalid, &|spec| {
            spec.receive[0].encodings.clear()
        }),
        ("nine encodings", RefusalCode::Invalid, &|spec| {
            spec.receive[0].encodings = vec![EncodingSpec::default(); 9];
        }),
        ("seventeen fingerprints", RefusalCode::TooMany, &|spec| {
            let one = Fingerprint {
                hash: Hash::Sha256,
                digest: vec![0; 32],
            };
            spec.fingerprints = vec![one; MAX_FINGERPRINTS + 1];
        }),
        ("an m-line too many", RefusalCode::TooMany, &|spec| {
            let one = spec.slots[0].clone();
            spec.slots = vec![one; MAX_MEDIA - 1];
        }),
        ("a codec too many", RefusalCode::TooMany, &|spec| {
            spec.receive[1].codecs = vec![codec(VP8, Codec::Vp8); MAX_CODECS + 1];
        }),
        ("a codec too many in a slot", RefusalCode::TooMany, &|spec| {
            spec.slots[0].codecs = vec![codec(VP8, Codec::Vp8); MAX_CODECS + 1];
        }),
        ("sound in a picture", RefusalCode::KindMismatch, &|spec| {
            spec.receive[1].codecs.push(codec(OPUS, Codec::Opus));
        }),
        ("a picture in sound", RefusalCode::KindMismatch, &|spec| {
            spec.slots[2].codecs[0].codec = Codec::H264;
        }),
    ];
    for (what, code, edit) in edits {
        let mut peer = Peer::new(9);
        edit(&mut peer.spec);
        let command = Command::OpenTransport {
            transport: peer.id,
            spec: Box::new(peer.spec),
        };
        refused(&mut stage.bench, what, command, code);
    }
    stage.unharmed();
}

#[test]
fn a_binding_that_cannot_be_is_refused_and_the_slot_goes_on_with_what_it_shows() {
    let mut stage = Stage::new();
    let (viewer, nobody) = (stage.viewer.id, TransportId(4711));
    let (picture, sound) = (stage.publisher.video_track(), stage.publisher.audio_track());
    // A track in a codec that no slot takes.
    let mut other = Peer::new(9);
    other.spec.receive[1].codecs = vec![codec(102, Codec::H264)];
    other.connect(&mut stage.bench);
    let foreign = other.video_track();
    for (what, transport, slot, track, code) in [
        ("nobody", nobody, "0", picture, RefusalCode::UnknownTransport),
        ("no slot", viewer, "7", picture, RefusalCode::UnknownSlot),
        ("a receiving m-line", viewer, "v", picture, RefusalCode::UnknownSlot),
        ("no track", viewer, "0", TrackId(4711), RefusalCode::UnknownTrack),
        ("sound in a picture", viewer, "0", sound, RefusalCode::KindMismatch),
        ("a picture in sound", viewer, "2", picture, RefusalCode::KindMismatch),
        ("another codec", viewer, "0", foreign, RefusalCode::CodecNotNegotiated),
    ] {
        let command = Command::BindSlot {
            transport,
            mid: mid(slot),
            track,
            choice: LayerChoice::default(),
            priority: Priority::default(),
        };
        refused(&mut stage.bench, what, command, code);
    }
    for (transport, slot, code) in [
        (nobody, "0", RefusalCode::UnknownTransport),
        (viewer, "v", RefusalCode::UnknownSlot),
    ] {
        let command = Command::UnbindSlot {
            transport,
            mid: mid(slot),
        };
        refused(&mut stage.bench, slot, command, code);
    }
    // A track that has just ended is no track.
    let transport = other.id;
    stage.bench.command(Command::CloseTransport { transport });
    let command = Command::BindSlot {
        transport: viewer,
        mid: mid("0"),
        track: foreign,
        choice: LayerChoice::default(),
        priority: Priority::default(),
    };
    refused(
        &mut stage.bench,
        "a track that ended",
        command,
        RefusalCode::UnknownTrack,
    );
    stage.unharmed();
}

#[test]
fn a_slot_that_cannot_be_is_refused() {
    let mut stage = Stage::new();
    let viewer = stage.viewer.id;
    let good = SlotSpec {
        mid: mid("new"),
        kind: Kind::Video,
        ssrc: Ssrc(70_000),
        rtx_ssrc: Ssrc(70_001),
        codecs: vec![codec(VP8, Codec::Vp8)],
    };
    let taken = stage.viewer.slot_ssrc(0);
    let received = stage.viewer.video_ssrc();
    let cases = [
        (
            "mid of a slot",
            SlotSpec {
                mid: mid("0"),
                ..good.clone()
            },
            RefusalCode::Duplicate,
        ),
        (
            "mid of a receiving m-line",
            SlotSpec {
                mid: mid("v"),
                ..good.clone()
            },
            RefusalCode::Duplicate,
        ),
        (
            "ssrc of a slot",
            SlotSpec {
                ssrc: taken,
                ..good.clone()
            },
            RefusalCode::Duplicate,
        ),
        (
            "ssrc of a slot for retransmission",
            SlotSpec {
                rtx_ssrc: taken,
                ..good.clone()
            },
            RefusalCode::Duplicate,
        ),
        (
            "ssrc that the peer sends",
            SlotSpec {
                ssrc: received,
                ..good.clone()
            },
            RefusalCode::Duplicate,
        ),
        (
            "one ssrc for both",
            SlotSpec {
                rtx_ssrc: good.ssrc,
                ..good.clone()
            },
            RefusalCode::Duplicate,
        ),
        (
            "sound in a picture",
            SlotSpec {
                codecs: vec![codec(OPUS, Codec::Opus)],
                ..good.clone()
            },
            RefusalCode::KindMismatch,
        ),
        (
            "payload type 200",
            SlotSpec {
                codecs: vec![codec(200, Codec::Vp8)],
                ..good.clone()
            },
            RefusalCode::Invalid,
        ),
        (
            "too many codecs",
            SlotSpec {
                codecs: vec![codec(VP8, Codec::Vp8); MAX_CODECS + 1],
                ..good.clone()
            },
            RefusalCode::TooMany,
        ),
    ];
    for (what, slot, code) in cases {
        refused(
            &mut stage.bench,
            what,
            Command::AddSlot {
                transport: viewer,
                slot,
            },
            code,
        );
    }
    let nobody = Command::AddSlot {
        transport: TransportId(4711),
        slot: good.clone(),
    };
    refused(&mut stage.bench, "nobody", nobody, RefusalCode::UnknownTransport);
    // The good one is taken, and so are as many as there may be.
    for n in 0..MAX_MEDIA as u32 - 5 {
        let slot = SlotSpec {
            mid: mid(&format!("n{n}")),
            ssrc: Ssrc(80_000 + 2 * n),
            rtx_ssrc: Ssrc(80_001 + 2 * n),
            ..good.clone()
        };
        let command = Command::AddSlot {
            transport: viewer,
            slot,
        };
        assert_eq!(stage.bench.refusal(command), None, "{n}");
    }
    let command = Command::AddSlot {
        transport: viewer,
        slot: good,
    };
    refused(&mut stage.bench, "one too many", command, RefusalCode::TooMany);
    stage.unharmed();
}
