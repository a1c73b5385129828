//! One chosen layer out of several: numbers without holes, the same again on retransmission, and changes where a decoder can follow.
#![allow(clippy::disallowed_types)] // The macros of proptest share strategies by `Arc`.

use proptest::prelude::*;

use super::source::Made;
use super::world::{MS, Seen, VIDEO, World, assert_contiguous};
use crate::codec;
use crate::command::{Codec, Kind};
use crate::layer::Limit;
use crate::meta::Detail;
use crate::reason::DropReason;

/// Three temporal layers as encoders nest them, and whether the picture needs only the lowest.
const PATTERN: [(u8, bool); 4] = [(0, true), (2, true), (1, true), (2, false)];

pub(super) fn temporal(limit: u8) -> Limit {
    Limit {
        spatial: 255,
        temporal: limit,
    }
}

pub(super) fn spatial(limit: u8) -> Limit {
    Limit {
        spatial: limit,
        temporal: 255,
    }
}

fn parsed(codec: Codec, seen: &Seen) -> codec::Parsed {
    codec::parse(codec, &seen.payload, seen.marker).unwrap()
}

/// The next VP8 picture of two packets.
fn vp8(world: &mut World, n: usize, temporal: (u8, bool), key: bool) -> Vec<Made> {
    let now = world.now;
    world.source(n).temporal = temporal;
    world.source(n).make(now, 2, key)
}

fn arrive_all(world: &mut World, n: usize, made: &[Made]) {
    for made in made {
        let _ = world.arrive(VIDEO, n, made);
    }
    world.pass(10 * MS);
}

fn vp8_pictures(world: &mut World, n: usize, count: usize) {
    for i in 0..count {
        let made = vp8(world, n, PATTERN[i % 4], i == 0);
        arrive_all(world, n, &made);
    }
}

fn picture_ids(world: &World) -> Vec<u16> {
    let mut ids: Vec<_> = world
        .media(VIDEO)
        .iter()
        .filter_map(|seen| match parsed(Codec::Vp8, seen).detail {
            Detail::Vp8(vp8) => vp8.picture_id,
            _ => None,
        })
        .collect();
    ids.dedup();
    ids
}

#[test]
fn what_is_above_a_temporal_limit_leaves_no_holes() {
    for limit in 0..3 {
        let mut world = World::new(&[Codec::Vp8]);
        world.bind_up_to(VIDEO, 0, temporal(limit));
        vp8_pictures(&mut world, 0, 16);
        let media = world.media(VIDEO);
        assert_contiguous(&media);
        assert!(
            media
                .iter()
                .all(|seen| parsed(Codec::Vp8, seen).layer.temporal <= limit)
        );
        assert_eq!(media.len(), [8, 16, 32][usize::from(limit)]);
        for pair in picture_ids(&world).windows(2) {
            assert_eq!(pair[1], (pair[0] + 1) & 0x7fff, "picture ids are compressed");
        }
        let above = 32 - media.len() as u64;
        drop(media);
        let counted = world.stats.dropped.get(DropReason::AboveLimit);
        assert_eq!(counted, 0, "the shard counts, not the sender: {above}");
    }
}

#[test]
fn a_lower_temporal_limit_takes_effect_with_the_next_picture() {
    let mut world = World::new(&[Codec::Vp8]);
    world.bind(VIDEO, 0);
    vp8_pictures(&mut world, 0, 4);
    assert_eq!(world.sender.limit(VIDEO), Some(Limit::ALL));
    assert!(!world.bind_up_to(VIDEO, 0, temporal(0)).needs_key_frame);
    assert_eq!(
        world.sender.limit(VIDEO),
        Some(Limit::ALL),
        "not in the middle of a picture"
    );
    let before = world.media(VIDEO).len();
    for layer in PATTERN.iter().cycle().take(8) {
        let made = vp8(&mut world, 0, *layer, false);
        arrive_all(&mut world, 0, &made);
    }
    assert_eq!(world.sender.limit(VIDEO), Some(temporal(0)));
    assert_eq!(world.media(VIDEO).len(), before + 4);
    assert_contiguous(&world.media(VIDEO));
    for pair in picture_ids(&world).windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) & 0x7fff);
    }
}

#[test]
fn a_higher_temporal_limit_waits_for_a_picture_to_begin_with() {
    let mut world = World::new(&[Codec::Vp8]);
    world.bind_up_to(VIDEO, 0, temporal(0));
    vp8_pictures(&mut world, 0, 4);
    assert!(!world.bind_up_to(VIDEO, 0, temporal(1)).needs_key_frame);
    for layer in [(0, true), (2, true), (1, false), (2, false), (0, false), (2, true)] {
        let made = vp8(&mut world, 0, layer, false);
        arrive_all(&mut world, 0, &made);
        assert_eq!(world.sender.limit(VIDEO), Some(temporal(0)));
    }
    let made = vp8(&mut world, 0, (1, true), false);
    assert!(world.arrive(VIDEO, 0, &made[0]).is_ok());
    assert!(world.arrive(VIDEO, 0, &made[1]).is_ok());
    world.pass(10 * MS);
    assert_eq!(world.sender.limit(VIDEO), Some(temporal(1)));
    assert_contiguous(&world.media(VIDEO));
    for pair in picture_ids(&world).windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) & 0x7fff);
    }
}

#[test]
fn a_retransmission_is_what_was_sent_after_the_limit_changed() {
    let mut world = World::new(&[Codec::Vp8]);
    world.bind_up_to(VIDEO, 0, temporal(0));
    vp8_pictures(&mut world, 0, 12);
    world.bind_up_to(VIDEO, 0, temporal(1));
    vp8_pictures(&mut world, 0, 8);
    world.bind_up_to(VIDEO, 0, temporal(0));
    vp8_pictures(&mut world, 0, 12);
    let media: Vec<_> = world.media(VIDEO).into_iter().cloned().collect();
    let seqs: Vec<_> = media.iter().map(|seen| seen.seq).collect();
    world.nack(VIDEO, &seqs).unwrap();
    world.pass(500 * MS);
    let again = world.again(VIDEO);
    assert_eq!(again.len(), media.len());
    for (again, original) in again.iter().zip(&media) {
        assert_eq!(again.payload[..2], (original.seq as u16).to_be_bytes());
        assert_eq!(again.payload[2..], original.payload[..]);
        assert_eq!((again.timestamp, again.marker), (original.timestamp, original.marker));
    }
}

#[test]
fn a_late_packet_above_the_limit_is_replaced_by_padding() {
    let mut world = World::new(&[Codec::Vp8]);
    world.bind_up_to(VIDEO, 0, temporal(0));
    vp8_pictures(&mut world, 0, 5);
    let above = vp8(&mut world, 0, (2, true), false);
    let made = vp8(&mut world, 0, (0, true), false);
    arrive_all(&mut world, 0, &above[..1]);
    arrive_all(&mut world, 0, &made);
    let media = world.media(VIDEO);
    assert_eq!(
        media[media.len() - 2].seq,
        media[media.len() - 3].seq + 2,
        "it might have been wanted"
    );
    arrive_all(&mut world, 0, &above[1..]);
    let filler = world.media(VIDEO).last().copied().cloned().unwrap();
    assert!(filler.payload.is_empty() && !filler.marker);
    let mut media: Vec<_> = world.media(VIDEO).into_iter().cloned().collect();
    media.sort_by_key(|seen| seen.seq);
    assert_contiguous(&media.iter().collect::<Vec<_>>());
    let _ = world.nack(VIDEO, &[filler.seq]);
    world.pass(100 * MS);
    assert!(world.again(VIDEO).is_empty(), "nothing is there to repeat");
}

#[test]
fn a_late_packet_from_before_a_change_keeps_its_number() {
    let mut world = World::new(&[Codec::Vp8]);
    world.bind(VIDEO, 0);
    vp8_pictures(&mut world, 0, 4);
    let cut = vp8(&mut world, 0, (0, true), false);
    arrive_all(&mut world, 0, &cut[..1]);
    world.bind_up_to(VIDEO, 0, temporal(0));
    for layer in [(2, true), (1, true), (2, false), (0, false)] {
        let made = vp8(&mut world, 0, layer, false);
        arrive_all(&mut world, 0, &made);
    }
    assert_eq!(world.sender.limit(VIDEO), Some(temporal(0)));
    arrive_all(&mut world, 0, &cut[1..]);
    let mut media: Vec<_> = world.media(VIDEO).into_iter().cloned().collect();
    let late = media.last().cloned().unwrap();
    media.sort_by_key(|seen| seen.seq);
    assert_contiguous(&media.iter().collect::<Vec<_>>());
    let at = media.iter().position(|seen| seen.seq == late.seq).unwrap();
    assert_eq!(media[at].timestamp, media[at - 1].timestamp, "the end of its picture");
}

fn vp9(world: &mut World, temporal: (u8, bool), key: bool) {
    let now = world.now;
    world.source(0).temporal = temporal;
    let made = world.source(0).make_svc(now, 3, 2, key);
    arrive_all(world, 0, &made);
}

#[test]
fn below_a_spatial_limit_every_picture_ends_with_a_marker() {
    for limit in 0..3 {
        let mut world = World::new(&[Codec::Vp9]);
        world.bind_up_to(VIDEO, 0, spatial(limit));
        for i in 0..8 {
            vp9(&mut world, PATTERN[i % 4], i == 0);
        }
        let media = world.media(VIDEO);
        assert_contiguous(&media);
        assert_eq!(media.len(), 8 * 2 * usize::from(limit + 1));
        for (i, seen) in media.iter().enumerate() {
            let last = (i + 1) % (2 * usize::from(limit + 1)) == 0;
            assert_eq!(seen.marker, last, "packet {i}");
            let Detail::Vp9(detail) = parsed(Codec::Vp9, seen).detail else {
                panic!()
            };
            assert!(detail.spatial_layer <= limit);
        }
        let ids: Vec<_> = media
            .iter()
            .filter_map(|seen| match parsed(Codec::Vp9, seen).detail {
                Detail::Vp9(vp9) => vp9.picture_id,
                _ => None,
            })
            .collect();
        assert_eq!(ids.last(), ids.first().map(|id| (id + 7) & 0x7fff).as_ref());
    }
}

#[test]
fn a_spatial_layer_falls_away_at_once_and_comes_back_with_a_key_frame() {
    let mut world = World::new(&[Codec::Vp9]);
    world.bind(VIDEO, 0);
    vp9(&mut world, (0, true), true);
    assert!(!world.bind_up_to(VIDEO, 0, spatial(0)).needs_key_frame);
    vp9(&mut world, (2, true), false);
    assert_eq!(world.sender.limit(VIDEO), Some(spatial(0)));
    assert!(world.bind_up_to(VIDEO, 0, spatial(1)).needs_key_frame);
    vp9(&mut world, (1, true), false);
    assert_eq!(world.sender.limit(VIDEO), Some(spatial(0)));
    let now = world.now;
    let made = world.source(0).make_svc(now, 3, 1, false);
    assert!(world.arrive(VIDEO, 0, &made[0]).is_ok());
    assert_eq!(
        world.arrive(VIDEO, 0, &made[1]),
        Err(DropReason::AwaitingKeyFrame),
        "so that the request is repeated"
    );
    assert_eq!(world.arrive(VIDEO, 0, &made[2]), Err(DropReason::AboveLimit));
    vp9(&mut world, (0, true), true);
    assert_eq!(world.sender.limit(VIDEO), Some(spatial(1)));
    assert_contiguous(&world.media(VIDEO));
}

/// Three pictures of three layers, of two packets each, of which the line took the first packets only.
fn waiting() -> World {
    let mut world = World::new(&[Codec::Vp9]);
    world.bind(VIDEO, 0);
    vp9(&mut world, (0, true), true);
    let (now, mut made) = (world.now, Vec::new());
    for _ in 0..3 {
        made.extend(world.source(0).make_svc(now, 3, 2, false));
    }
    for made in &made[..4] {
        assert!(world.arrive(VIDEO, 0, made).is_ok());
    }
    world.flush();
    for made in &made[4..] {
        assert!(world.arrive(VIDEO, 0, made).is_ok());
    }
    world
}

#[test]
fn what_waits_above_a_lower_limit_does_not_leave() {
    let mut world = waiting();
    let sent = world.media(VIDEO).len();
    assert!(sent >= 7, "of the first picture something left: {sent}");
    world.bind_up_to(VIDEO, 0, spatial(0));
    assert_eq!(world.sender.limit(VIDEO), Some(spatial(0)), "at once");
    world.pass(200 * MS);
    let media = world.media(VIDEO);
    assert_contiguous(&media);
    assert_eq!(media.len(), 6 + 6 + 2 + 2, "the picture that began goes out whole");
    assert!(
        media[12..]
            .iter()
            .all(|seen| parsed(Codec::Vp9, seen).layer.spatial == 0)
    );
    assert!(media[13].marker && media[15].marker && !media[12].marker);
    assert_eq!(world.dropped(DropReason::AboveLimit), 8);
    // What follows goes on behind it, and all of it can be asked for again.
    vp9(&mut world, (0, true), false);
    let media: Vec<_> = world.media(VIDEO).into_iter().cloned().collect();
    assert_eq!(media.len(), 18);
    assert_contiguous(&media.iter().collect::<Vec<_>>());
    let seqs: Vec<_> = media.iter().map(|seen| seen.seq).collect();
    world.nack(VIDEO, &seqs).unwrap();
    world.pass(500 * MS);
    let again = world.again(VIDEO);
    assert_eq!(again.len(), media.len());
    for (again, original) in again.iter().zip(&media) {
        assert_eq!(again.payload[2..], original.payload[..]);
    }
}

#[test]
fn a_cached_key_frame_is_replayed_up_to_the_limit() {
    let mut world = World::new(&[Codec::Vp8]);
    vp8_pictures(&mut world, 0, 9);
    let binding = world.bind_up_to(VIDEO, 0, temporal(1));
    assert!(!binding.needs_key_frame && binding.switched.is_some());
    assert_eq!(world.sender.limit(VIDEO), Some(temporal(1)));
    world.pass(200 * MS);
    let media = world.media(VIDEO);
    assert_eq!(media.len(), 10, "pictures 0, 2, 4, 6 and 8");
    assert_contiguous(&media);
    assert!(media.iter().all(|seen| parsed(Codec::Vp8, seen).layer.temporal <= 1));
}

#[test]
fn a_slot_that_was_staged_before_its_viewer_connected_replays_up_to_its_limit() {
    let mut world = World::new(&[Codec::Vp8]);
    let (now, source) = (world.now, &world.sources.0[0]);
    let (track, key, codecs) = (source.track, source.key, [source.spec]);
    let staged = world
        .sender
        .bind(now, VIDEO, track, key, temporal(1), None, &codecs, Kind::Video);
    assert!(staged.unwrap().needs_key_frame);
    assert_eq!(world.sender.wanted_limit(VIDEO), Some(temporal(1)));
    for i in 0..9 {
        world.source(0).temporal = PATTERN[i % 4];
        let now = world.now;
        let made = world.source(0).make(now, 2, i == 0);
        for made in &made {
            // Nobody is there to be offered the packet.
            assert!(world.source(0).store(made));
        }
        world.pass(10 * MS);
    }
    let binding = world.bind_up_to(VIDEO, 0, temporal(1));
    assert!(!binding.needs_key_frame && binding.switched.is_some());
    world.pass(200 * MS);
    assert_eq!(world.media(VIDEO).len(), 10);
    assert_contiguous(&world.media(VIDEO));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_late_and_however_the_limit_moves_no_number_stays_open(
        pictures in prop::collection::vec((0..4u8, prop::bool::weighted(0.1), 1..4usize, any::<u16>(), prop::option::weighted(0.2, 0..16u8)), 1..80),
        vp9: bool,
        lags: bool,
    ) {
        let codec = if vp9 { Codec::Vp9 } else { Codec::Vp8 };
        let mut world = World::new(&[codec]);
        world.bind(VIDEO, 0);
        // What is held back, with the picture after which it comes.
        let mut held: Vec<(usize, Made)> = Vec::new();
        for (round, (temporal, key, count, late, limit)) in pictures.iter().enumerate() {
            let key = *key || round == 0;
            if let Some(limit) = limit {
                world.bind_up_to(VIDEO, 0, Limit { spatial: limit / 4, temporal: limit % 4 });
            }
            let now = world.now;
            world.source(0).temporal = (if key { 0 } else { *temporal }, late % 2 == 0);
            let made = if vp9 { world.source(0).make_svc(now, 3, *count, key) } else { world.source(0).make(now, *count, key) };
            for (i, made) in made.into_iter().enumerate() {
                if late >> (i % 16) & 3 == 3 {
                    held.push((round + i % 5, made));
                } else {
                    let _ = world.arrive(VIDEO, 0, &made);
                }
            }
            for (_, made) in held.extract_if(.., |(at, _)| *at <= round) {
                let _ = world.arrive(VIDEO, 0, &made);
            }
            // A line that lags leaves pictures waiting, which a lower limit cuts.
            world.pass(if lags { u64::from(late % 8) * MS / 4 } else { 20 * MS });
        }
        for (_, made) in held {
            let _ = world.arrive(VIDEO, 0, &made);
        }
        world.pass(1_000 * MS);
        let mut media: Vec<_> = world.media(VIDEO).into_iter().cloned().collect();
        media.sort_by_key(|seen| seen.seq);
        for pair in media.windows(2) {
            prop_assert_eq!(pair[1].seq, pair[0].seq + 1);
        }
        let filled = media.iter().filter(|seen| seen.payload.is_empty()).count();
        let seqs: Vec<_> = media.iter().map(|seen| seen.seq).rev().take(400).collect();
        let _ = world.nack(VIDEO, &seqs);
        world.pass(5_000 * MS);
        let again = world.again(VIDEO);
        // More changes, and the slot does not remember them all.
        if pictures.iter().filter(|(.., limit)| limit.is_some()).count() <= 2 {
            prop_assert!(again.len() + filled >= seqs.len().min(256));
        }
        for again in again {
            let number = u16::from_be_bytes([again.payload[0], again.payload[1]]);
            let original = media.iter().find(|seen| seen.seq as u16 == number).unwrap();
            prop_assert_eq!(&again.payload[2..], &original.payload[..]);
            prop_assert_eq!((again.timestamp, again.marker), (original.timestamp, original.marker));
        }
    }
}
