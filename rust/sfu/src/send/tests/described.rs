//! What extensions say of media: AV1 by its dependency descriptor, capture times, bounds of the jitter buffer.

use super::source::{slot_spec, ssrc};
use super::world::{MS, VIDEO, World, assert_contiguous};
use crate::choice::PlayoutDelay;
use crate::codec;
use crate::codec::dependency;
use crate::codec::dependency::Dependency;
use crate::codec::dependency::sample::{L1T3, L2T1_KEY, Sample};
use crate::command::{Codec, ExtensionKind, Kind};
use crate::layer::Limit;
use crate::meta::PacketMeta;
use crate::reason::DropReason;
use crate::rtp::ext::Place;
use crate::send::tests::limits::{spatial, temporal};

const DESCRIBED: [ExtensionKind; 3] = [
    ExtensionKind::Mid,
    ExtensionKind::TransportCc,
    ExtensionKind::DependencyDescriptor,
];

fn described(sources: usize, extensions: &[ExtensionKind]) -> World {
    World::with(
        &vec![Codec::Av1; sources],
        &[slot_spec(VIDEO, Kind::Video, true)],
        extensions,
    )
}

/// A packet of a frame by line `line` of the structure, which is the last of its picture unless `more` comes.
fn av1(world: &mut World, n: usize, sample: &Sample, line: u8, number: u16, more: bool) -> Result<bool, DropReason> {
    let now = world.now;
    let source = world.source(n);
    let key = sample.lines[usize::from(line)].3.is_empty();
    let descriptor = sample.descriptor((true, true), line, number, key, None);
    let dependency = dependency::read(&descriptor, &mut source.structure).unwrap();
    if dependency.layer.spatial == 0 {
        source.timestamp = source.timestamp.wrapping_add(3_000);
    }
    let payload = [0x10, 0x30, line, number as u8];
    let parsed = codec::parse_with(Codec::Av1, &payload, !more, Some(&dependency)).unwrap();
    let mut made = source.packet_of(now, &payload, !more);
    made.packet = [&[0; 12], &descriptor[..], &payload].concat();
    made.meta = PacketMeta {
        payload_at: 12 + descriptor.len() as u16,
        frame_start: parsed.frame_start,
        start: parsed.start,
        key: parsed.key,
        layer: parsed.layer,
        switches: dependency.switches,
        dependency: Place {
            at: 12,
            len: descriptor.len() as u8,
        },
        ..made.meta
    };
    let result = world.arrive(VIDEO, n, &made);
    world.pass(10 * MS);
    result
}

/// Reads the descriptors that the viewer got, as it would.
fn descriptors(world: &World) -> Vec<Dependency> {
    let mut structure = None;
    world
        .media(VIDEO)
        .iter()
        .map(|seen| dependency::read(seen.dependency.as_ref().unwrap(), &mut structure).unwrap())
        .collect()
}

/// Lines of the structure in the order of four pictures.
const L1T3_LINES: [u8; 4] = [1, 3, 2, 4];

fn l1t3(world: &mut World, n: usize, count: u16) {
    for number in 0..count {
        let line = if number == 0 {
            0
        } else {
            L1T3_LINES[usize::from(number) % 4]
        };
        let _ = av1(world, n, &L1T3, line, number, false);
    }
}

#[test]
fn av1_is_limited_by_its_descriptor_which_says_so_on_every_packet() {
    let mut world = described(1, &DESCRIBED);
    assert!(world.sender.can_limit(Codec::Av1));
    world.bind_up_to(VIDEO, 0, temporal(1));
    l1t3(&mut world, 0, 12);
    assert_contiguous(&world.media(VIDEO));
    let found = descriptors(&world);
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|one| one.layer.temporal <= 1));
    let numbers: Vec<_> = found.iter().map(|one| one.frame_number).collect();
    assert_eq!(numbers, [0, 2, 4, 6, 8, 10], "distances stay");
    for seen in &world.media(VIDEO)[1..] {
        assert_eq!(seen.dependency.as_ref().unwrap()[3], 0b0100_0011);
    }
}

#[test]
fn av1_goes_up_where_a_frame_says_that_a_layer_may_begin() {
    let mut world = described(1, &DESCRIBED);
    world.bind_up_to(VIDEO, 0, temporal(0));
    l1t3(&mut world, 0, 6);
    assert!(!world.bind_up_to(VIDEO, 0, Limit::ALL).needs_key_frame);
    for (line, limit) in [(2, temporal(0)), (4, temporal(0)), (1, Limit::ALL), (3, Limit::ALL)] {
        let _ = av1(&mut world, 0, &L1T3, line, 6, false);
        assert_eq!(world.sender.limit(VIDEO), Some(limit), "line {line}");
    }
}

#[test]
fn spatial_layers_of_av1_end_with_a_marker_below_the_limit() {
    let mut world = described(1, &DESCRIBED);
    world.bind_up_to(VIDEO, 0, spatial(0));
    for (number, line) in [(0, 1), (1, 3), (2, 0), (3, 2), (4, 0), (5, 2)] {
        let _ = av1(&mut world, 0, &L2T1_KEY, line, number, number % 2 == 0);
    }
    let media = world.media(VIDEO);
    assert_contiguous(&media);
    assert_eq!(media.len(), 3);
    assert!(media.iter().all(|seen| seen.marker));
    assert!(descriptors(&world).iter().all(|one| one.layer.spatial == 0));
    assert!(world.bind(VIDEO, 0).needs_key_frame);
}

#[test]
fn frame_numbers_and_template_ids_go_on_over_switches_of_source() {
    let mut world = described(2, &DESCRIBED);
    world.bind(VIDEO, 0);
    l1t3(&mut world, 0, 5);
    world.bind(VIDEO, 1);
    for (number, line) in [(700, 1), (701, 3), (702, 0), (703, 2)] {
        let _ = av1(&mut world, 1, &L2T1_KEY, line, number, number % 2 == 0);
    }
    world.pass(700 * MS);
    world.bind(VIDEO, 0);
    l1t3(&mut world, 0, 4);
    let found = descriptors(&world);
    let numbers: Vec<_> = found.iter().map(|one| one.frame_number).collect();
    assert_eq!(numbers, (0..13).collect::<Vec<_>>());
    let layers: Vec<_> = found
        .iter()
        .map(|one| (one.layer.spatial, one.layer.temporal))
        .collect();
    assert_eq!(
        layers,
        [
            (0, 0),
            (0, 2),
            (0, 1),
            (0, 2),
            (0, 0), //
            (0, 0),
            (1, 0),
            (0, 0),
            (1, 0), //
            (0, 0),
            (0, 2),
            (0, 1),
            (0, 2),
        ]
    );
    let ids: Vec<_> = [0, 5, 9]
        .map(|at| world.media(VIDEO)[at].dependency.as_ref().unwrap()[0] & 0x3f)
        .into();
    assert_eq!(ids, [0, 5 + 1, 9], "no structure takes the ids of the one before");
}

#[test]
fn av1_without_descriptor_towards_the_viewer_is_shown_whole() {
    let mut world = described(1, &[ExtensionKind::Mid, ExtensionKind::TransportCc]);
    assert!(!world.sender.can_limit(Codec::Av1) && world.sender.can_limit(Codec::Vp9));
    world.bind_up_to(VIDEO, 0, temporal(0));
    l1t3(&mut world, 0, 8);
    assert_eq!(world.sender.limit(VIDEO), Some(Limit::ALL));
    assert_eq!(world.media(VIDEO).len(), 8);
    assert!(world.media(VIDEO).iter().all(|seen| seen.dependency.is_none()));
}

#[test]
fn a_retransmission_carries_the_descriptor_again() {
    let mut world = described(1, &DESCRIBED);
    world.bind_up_to(VIDEO, 0, temporal(1));
    l1t3(&mut world, 0, 8);
    let media: Vec<_> = world.media(VIDEO).into_iter().cloned().collect();
    world
        .nack(VIDEO, &media.iter().map(|seen| seen.seq).collect::<Vec<_>>())
        .unwrap();
    world.pass(200 * MS);
    for (again, original) in world.again(VIDEO).iter().zip(&media) {
        assert_eq!(again.dependency, original.dependency);
    }
    assert_eq!(world.again(VIDEO).len(), media.len());
}

#[test]
fn a_capture_time_is_relayed_as_it_came() {
    let kinds = [ExtensionKind::Mid, ExtensionKind::AbsCaptureTime];
    for (extensions, relayed) in [(&kinds[..], true), (&kinds[..1], false)] {
        let mut world = World::with(&[Codec::Vp8], &[slot_spec(VIDEO, Kind::Video, true)], extensions);
        world.bind(VIDEO, 0);
        let now = world.now;
        let mut made = world.source(0).make(now, 2, true);
        let time = [1, 2, 3, 4, 5, 6, 7, 8];
        made[0].packet.splice(12..12, time);
        made[0].meta.payload_at += 8;
        made[0].meta.capture_time = Place { at: 12, len: 8 };
        for made in &made {
            world.arrive(VIDEO, 0, made).unwrap();
        }
        world.pass(10 * MS);
        let media = world.media(VIDEO);
        assert_eq!(media[0].capture_time, relayed.then(|| time.to_vec()));
        assert_eq!(media[1].capture_time, None);
        assert_eq!(media[0].payload, made[0].packet[20..]);
    }
}

#[test]
fn the_bounds_of_the_jitter_buffer_are_told_until_a_report_comes_and_now_and_then() {
    let mut world = World::with(
        &[Codec::Vp8],
        &[slot_spec(VIDEO, Kind::Video, true)],
        &[ExtensionKind::Mid, ExtensionKind::PlayoutDelay],
    );
    world.sender.set_playout_delay(Some(PlayoutDelay {
        min_ms: 200,
        max_ms: 1_000,
    }));
    world.bind(VIDEO, 0);
    world.picture(VIDEO, 0, 2, true);
    world.pass(10 * MS);
    assert!(
        world
            .media(VIDEO)
            .iter()
            .all(|seen| seen.playout_delay == Some(20 << 12 | 100))
    );
    world.receiver_report(ssrc(VIDEO));
    let before = world.media(VIDEO).len();
    for _ in 0..600 {
        world.picture(VIDEO, 0, 2, false);
        world.pass(10 * MS);
    }
    let told = world.media(VIDEO)[before..]
        .iter()
        .filter(|seen| seen.playout_delay.is_some())
        .count();
    assert_eq!(told, 1, "in six seconds");
}
