//! What a slot shows, and how it changes.

use std::time::Duration;

use super::source::{Source, slot_spec, source_spec, spec, ssrc};
use super::world::{AUDIO, MS, Seen, VIDEO, VIDEO_CODECS, World, assert_contiguous};
use crate::command::{Codec, CodecSpec, ExtensionKind, Kind, RefusalCode, SlotSpec};
use crate::ids::TrackId;
use crate::layer::Limit;
use crate::meta::Detail;
use crate::reason::DropReason;

pub fn timestamp_steps(seen: &[&Seen]) -> Vec<i32> {
    seen.windows(2)
        .map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32)
        .collect()
}

/// A world whose video slot shows source 0 since its key frame.
fn showing_first(codecs: &[Codec]) -> World {
    let mut world = World::new(codecs);
    assert!(world.bind(VIDEO, 0).needs_key_frame);
    assert!(world.picture(VIDEO, 0, 3, true));
    world.pass(33 * MS);
    world
}

#[test]
fn a_slot_starts_at_a_key_frame_and_not_before() {
    let mut world = World::new(&[Codec::Vp8]);
    assert!(world.bind(VIDEO, 0).needs_key_frame);
    let now = world.now;
    let made = world.source(0).make(now, 1, false);
    assert_eq!(world.arrive(VIDEO, 0, &made[0]), Err(DropReason::AwaitingKeyFrame));
    assert_eq!(world.sender.showing(VIDEO), None);
    assert!(world.picture(VIDEO, 0, 3, true));
    assert_eq!(world.sender.showing(VIDEO), Some(world.key(0)));
    world.flush();
    assert_eq!(world.media(VIDEO).len(), 3);
    assert_eq!(world.media(VIDEO)[0].payload_type, spec(Codec::Vp8, true).payload_type);
}

#[test]
fn a_staged_slot_keeps_the_old_picture() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Vp8]);
    let before = world.media(VIDEO).len();
    assert!(world.bind(VIDEO, 1).needs_key_frame);
    world.pictures(VIDEO, &[0, 1], 10);
    assert_eq!(world.media(VIDEO).len(), before + 30, "only the old one, all of it");
    assert_eq!(world.sender.showing(VIDEO), Some(world.key(0)));
    assert_eq!(world.sender.staged(VIDEO), Some(world.key(1)));

    assert!(world.picture(VIDEO, 1, 3, true));
    let now = world.now;
    let old = world.source(0).make(now, 1, false);
    assert_eq!(world.arrive(VIDEO, 0, &old[0]), Err(DropReason::OtherEncoding));
    world.pictures(VIDEO, &[1], 5);
    assert_eq!(world.sender.staged(VIDEO), None);
    let media = world.media(VIDEO);
    assert_eq!(media.len(), before + 30 + 18);
    assert_contiguous(&media);
}

#[test]
fn a_switch_tells_what_was_shown_before() {
    let mut world = World::new(&[Codec::Vp8, Codec::Vp8]);
    let mut switched = Vec::new();
    for n in [0, 1] {
        world.bind(VIDEO, n);
        let now = world.now;
        let made = world.source(n).make(now, 1, true);
        world.source(n).store(&made[0]);
        let source = &world.sources.0[n];
        let forwarded = world
            .sender
            .forward(now, VIDEO, source.key, &source.view(), made[0].meta.seq)
            .unwrap();
        switched.push(forwarded.switched);
    }
    assert_eq!(
        switched,
        [Some((TrackId(1), None)), Some((TrackId(2), Some(world.key(0))))]
    );
}

#[test]
fn timestamps_move_on_by_the_time_that_passed_and_at_least_one_frame() {
    let mut world = showing_first(&[Codec::Vp8, Codec::H264]);
    world.pictures(VIDEO, &[0], 3);
    let last = world.media(VIDEO).last().unwrap().timestamp;
    world.bind(VIDEO, 1);
    // 33 ms after the last picture were passed already.
    world.pass(500 * MS);
    world.picture(VIDEO, 1, 1, true);
    world.flush();
    let first = world.media(VIDEO).last().unwrap().timestamp;
    assert_eq!(first.wrapping_sub(last), 90 * 533);

    world.bind(VIDEO, 0);
    world.picture(VIDEO, 0, 1, true);
    world.flush();
    let next = world.media(VIDEO).last().unwrap().timestamp;
    assert_eq!(next.wrapping_sub(first), 3_000, "in the same instant");
}

#[test]
fn codecs_follow_each_other_through_one_slot() {
    let mut world = World::new(&VIDEO_CODECS);
    for round in 0..3 {
        for (n, codec) in VIDEO_CODECS.into_iter().enumerate() {
            // Too long for the key frame of the round before.
            world.pass(700 * MS);
            world.bind(VIDEO, n);
            let sent = world.media(VIDEO).len();
            assert!(world.picture(VIDEO, n, 4, true), "{codec:?} in round {round}");
            world.pictures(VIDEO, &[n], 4);
            let media = world.media(VIDEO);
            assert_eq!(media.len(), sent + 16);
            assert!(
                media[sent..]
                    .iter()
                    .all(|seen| seen.payload_type == spec(codec, true).payload_type)
            );
        }
    }
    let media = world.media(VIDEO);
    assert_contiguous(&media);
    assert!(timestamp_steps(&media).iter().all(|step| *step >= 0));
}

#[test]
fn picture_ids_continue_over_a_switch() {
    for codec in [Codec::Vp8, Codec::Vp9] {
        let mut world = showing_first(&[codec, codec]);
        world.pictures(VIDEO, &[0], 3);
        world.bind(VIDEO, 1);
        world.picture(VIDEO, 1, 3, true);
        world.pictures(VIDEO, &[1], 3);
        let ids: Vec<u16> = world
            .media(VIDEO)
            .iter()
            .map(
                |seen| match crate::codec::parse(codec, &seen.payload, false).unwrap().detail {
                    Detail::Vp8(vp8) => vp8.picture_id.unwrap(),
                    Detail::Vp9(vp9) => vp9.picture_id.unwrap(),
                    other => panic!("{other:?}"),
                },
            )
            .collect();
        for pair in ids.windows(2) {
            assert!(pair[1].wrapping_sub(pair[0]) & 0x7fff <= 1, "{codec:?} {pair:?}");
        }
        assert_eq!(ids[ids.len() - 1].wrapping_sub(ids[0]) & 0x7fff, 7);
    }
}

#[test]
fn a_picture_that_was_cut_reads_as_loss() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Vp8]);
    let now = world.now;
    let made = world.source(0).make(now, 3, false);
    world.arrive(VIDEO, 0, &made[0]).unwrap();
    world.bind(VIDEO, 1);
    world.picture(VIDEO, 1, 1, true);
    world.flush();
    let media = world.media(VIDEO);
    let (cut, next) = (media[media.len() - 2], media[media.len() - 1]);
    assert_eq!(next.seq, cut.seq + 2);
}

#[test]
fn a_recent_key_frame_is_replayed_at_once() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Vp8]);
    // Nobody watches source 1 while its key frame and some pictures arrive.
    world.picture(AUDIO, 1, 5, true);
    for _ in 0..6 {
        world.pass(33 * MS);
        world.picture(AUDIO, 1, 2, false);
    }
    let before = world.media(VIDEO).len();
    let binding = world.bind(VIDEO, 1);
    assert!(!binding.needs_key_frame);
    assert_eq!(binding.switched, Some((TrackId(2), Some(world.key(0)))));
    assert_eq!(world.sender.showing(VIDEO), Some(world.key(1)));
    world.pictures(VIDEO, &[1], 3);
    let media = world.media(VIDEO);
    assert_eq!(media.len(), before + 5 + 12 + 9, "each packet once");
    assert_contiguous(&media);

    // A packet that the replay took along is not sent when it is offered.
    let newest = world.source(1).ring.newest().unwrap();
    let source = &world.sources.0[1];
    let offered = world
        .sender
        .forward(world.now, VIDEO, source.key, &source.view(), newest);
    assert_eq!(offered, Err(DropReason::Duplicate));
}

#[test]
fn a_key_frame_that_is_old_or_far_back_is_not_replayed() {
    let mut old = World::new(&[Codec::Vp8]);
    old.picture(AUDIO, 0, 5, true);
    old.pass(601 * MS);
    assert!(old.bind(VIDEO, 0).needs_key_frame);

    let mut far = World::new(&[Codec::Vp8]);
    far.picture(AUDIO, 0, 1, true);
    far.picture(AUDIO, 0, 97, false);
    assert!(far.bind(VIDEO, 0).needs_key_frame);

    let mut near = World::new(&[Codec::Vp8]);
    near.picture(AUDIO, 0, 1, true);
    near.picture(AUDIO, 0, 96, false);
    near.pass(600 * MS);
    assert!(!near.bind(VIDEO, 0).needs_key_frame);
}

#[test]
fn a_late_start_takes_along_what_overtook_it() {
    let mut world = World::new(&[Codec::Vp8]);
    world.bind(VIDEO, 0);
    let now = world.now;
    let made = world.source(0).make(now, 4, true);
    for n in [1, 2] {
        assert_eq!(world.arrive(VIDEO, 0, &made[n]), Err(DropReason::AwaitingKeyFrame));
    }
    assert_eq!(world.arrive(VIDEO, 0, &made[0]), Ok(true));
    assert_eq!(world.arrive(VIDEO, 0, &made[3]), Ok(false));
    world.flush();
    let media = world.media(VIDEO);
    assert_eq!(media.len(), 4);
    assert_contiguous(&media);
}

#[test]
fn a_late_packet_leaves_under_its_own_number_once() {
    let mut world = showing_first(&[Codec::Vp8]);
    let now = world.now;
    let made = world.source(0).make(now, 3, false);
    for n in [0, 2, 1] {
        assert_eq!(world.arrive(VIDEO, 0, &made[n]), Ok(false));
    }
    let source = &world.sources.0[0];
    let offered_again = world
        .sender
        .forward(now, VIDEO, source.key, &source.view(), made[1].meta.seq);
    assert_eq!(offered_again, Err(DropReason::Duplicate));
    world.flush();
    let media = world.media(VIDEO);
    let seqs: Vec<_> = media[3..].iter().map(|seen| seen.seq - media[0].seq).collect();
    assert_eq!(seqs, [3, 5, 4]);
}

#[test]
fn a_packet_that_is_older_than_the_history_is_dropped() {
    let mut world = showing_first(&[Codec::Vp8]);
    let first = world.source(0).ring.newest().unwrap();
    // More in a second than it ever remembers.
    for _ in 0..27 {
        world.picture(VIDEO, 0, 19, false);
        world.pass(33 * MS);
    }
    let source = &world.sources.0[0];
    let mut offer = |seq| world.sender.forward(world.now, VIDEO, source.key, &source.view(), seq);
    assert_eq!(offer(first + 1), Err(DropReason::TooOld));
    assert_eq!(offer(first + 2), Err(DropReason::Duplicate), "512 are remembered");
}

#[test]
fn a_packet_from_before_the_switch_is_dropped() {
    let mut world = World::new(&[Codec::Vp8]);
    world.bind(VIDEO, 0);
    let now = world.now;
    let before = world.source(0).make(now, 1, false);
    assert!(world.picture(VIDEO, 0, 1, true));
    assert_eq!(world.arrive(VIDEO, 0, &before[0]), Err(DropReason::BeforeSwitch));
}

#[test]
fn binding_what_is_shown_changes_nothing_but_cancels_what_waits() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Vp8]);
    world.bind(VIDEO, 1);
    let binding = world.bind(VIDEO, 0);
    assert!(!binding.needs_key_frame && binding.switched.is_none());
    assert_eq!(world.sender.staged(VIDEO), None);
    assert!(!world.picture(VIDEO, 1, 1, true));
    world.pictures(VIDEO, &[0], 2);
    assert_eq!(world.media(VIDEO).len(), 9);
    assert_contiguous(&world.media(VIDEO));
}

#[test]
fn unbind_stops_the_bytes_and_a_new_bind_resumes_the_numbers() {
    let mut world = showing_first(&[Codec::Vp8]);
    world.picture(VIDEO, 0, 3, false);
    world.sender.unbind(world.now, VIDEO);
    world.sender.unbind(world.now, VIDEO);
    world.pictures(VIDEO, &[0], 3);
    assert_eq!(
        world.media(VIDEO).len(),
        3,
        "neither what was queued nor what came later"
    );
    assert_eq!(world.sender.showing(VIDEO), None);

    world.pass(2_000 * MS);
    world.bind(VIDEO, 0);
    assert!(world.picture(VIDEO, 0, 3, true));
    world.flush();
    let media = world.media(VIDEO);
    assert_eq!(media.len(), 6);
    // The three that never left stay a gap.
    assert_eq!(media[3].seq, media[2].seq + 4);
    assert!(timestamp_steps(&media)[2] >= 90 * 2_000);
}

#[test]
fn audio_switches_at_the_next_packet_with_a_marker() {
    let mut world = World::new(&[Codec::Opus, Codec::Opus]);
    for (n, packets) in [(0, 3), (1, 3)] {
        assert!(!world.bind(AUDIO, n).needs_key_frame);
        for _ in 0..packets {
            world.picture(AUDIO, n, 1, false);
            world.pass(20 * MS);
        }
    }
    let media = world.media(AUDIO);
    assert_contiguous(&media);
    let markers: Vec<_> = media.iter().map(|seen| seen.marker).collect();
    assert_eq!(markers, [true, false, false, true, false, false]);
    assert!(timestamp_steps(&media).iter().all(|step| *step == 960));
}

#[test]
fn parameter_sets_are_injected_in_front_of_an_idr_without_them() {
    let mut world = World::new(&[Codec::H264]);
    world.source(0).sets.note(&[0x67, 0x42, 0xe0, 0x1f, 0xaa, 0xbb]);
    world.source(0).sets.note(&[0x68, 0xce, 0x3c, 0x80]);
    world.bind(VIDEO, 0);
    assert!(world.picture(VIDEO, 0, 2, true));
    world.flush();
    let media = world.media(VIDEO);
    assert_eq!(media.len(), 3);
    assert_contiguous(&media);
    assert_eq!(media[0].payload[0] & 0x1f, 24, "a STAP-A");
    assert!(!media[0].marker);
    assert_eq!(media[0].timestamp, media[1].timestamp);

    let (seq, payload) = (media[0].seq, media[0].payload.clone());
    world.nack(VIDEO, &[seq]).unwrap();
    world.flush();
    let again = world.again(VIDEO);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].payload[..2], (seq as u16).to_be_bytes());
    assert_eq!(again[0].payload[2..], payload);
}

#[test]
fn parameter_sets_of_the_same_picture_are_taken_from_the_ring() {
    let mut world = World::new(&[Codec::H264]);
    let now = world.now;
    world.source(0).timestamp += 3_000;
    let sps = world.source(0).packet_of(now, &[0x67, 0x42, 0xe0, 0x1f, 0xaa], false);
    let pps = world.source(0).packet_of(now, &[0x68, 0xce, 0x3c, 0x80], false);
    let idr = world.source(0).packet(now, true, true, true);
    for made in [&sps, &pps, &idr] {
        world.source(0).store(made);
    }
    assert_eq!(world.source(0).start, Some(idr.meta.seq));
    assert!(!world.bind(VIDEO, 0).needs_key_frame);
    world.flush();
    let types: Vec<_> = world.media(VIDEO).iter().map(|seen| seen.payload[0] & 0x1f).collect();
    assert_eq!(types, [7, 8, 28]);
}

#[test]
fn a_codec_that_the_viewer_has_no_payload_type_for_is_refused() {
    let slot = SlotSpec {
        codecs: vec![spec(Codec::Vp8, true)],
        ..slot_spec(VIDEO, Kind::Video, true)
    };
    let mut world = World::with(&[Codec::Vp8], &[slot], &[ExtensionKind::Mid]);
    let key = world.key(0);
    let mut bind = |codecs: &[CodecSpec], kind| {
        world
            .sender
            .bind(world.now, VIDEO, TrackId(1), key, Limit::ALL, None, codecs, kind)
            .map(|binding| binding.needs_key_frame)
    };
    let (vp8, h264) = (source_spec(Codec::Vp8), source_spec(Codec::H264));
    assert_eq!(bind(&[h264], Kind::Video), Err(RefusalCode::CodecNotNegotiated));
    assert_eq!(
        bind(&[source_spec(Codec::Opus)], Kind::Audio),
        Err(RefusalCode::KindMismatch)
    );
    assert_eq!(bind(&[h264, vp8], Kind::Video), Ok(true));
    assert_eq!(
        world
            .sender
            .bind(world.now, 9, TrackId(1), key, Limit::ALL, None, &[vp8], Kind::Video),
        Err(RefusalCode::UnknownSlot)
    );
    // One of the codecs was enough to bind; the publisher then sends the other one.
    world.sources.0[0] = Source::new(1, Codec::H264);
    let now = world.now;
    let made = world.source(0).make(now, 1, true);
    assert_eq!(world.arrive(VIDEO, 0, &made[0]), Err(DropReason::NoPayloadType));
    assert_eq!(world.sender.showing(VIDEO), None);
}

#[test]
fn h264_goes_under_the_same_profile_else_the_highest_with_fragments() {
    let h264 = |payload_type, profile, packetization_mode| CodecSpec {
        payload_type,
        profile,
        packetization_mode,
        ..spec(Codec::H264, true)
    };
    let slot = SlotSpec {
        codecs: vec![
            h264(30, 0x42_e01f, 0),
            h264(31, 0x42_e01f, 1),
            h264(32, 0x4d_001f, 1),
            h264(33, 0x64_001f, 0),
        ],
        ..slot_spec(VIDEO, Kind::Video, true)
    };
    for (profile, wanted) in [(0x42_e034, 31), (0x4d_0028, 32), (0x64_0c1f, 32), (0x64_001f, 33)] {
        let mut world = World::with(&[Codec::H264], std::slice::from_ref(&slot), &[ExtensionKind::Mid]);
        world.source(0).spec.profile = profile;
        world.bind(VIDEO, 0);
        assert!(world.picture(VIDEO, 0, 1, true));
        world.flush();
        assert_eq!(world.media(VIDEO)[0].payload_type, wanted, "{profile:x}");
    }
}

#[test]
fn a_publisher_that_restarts_its_numbers_needs_a_key_frame() {
    for jump in [5_000_i64, -5_000] {
        let mut world = showing_first(&[Codec::Vp8]);
        world.source(0).ring.clear();
        world.source(0).start = None;
        world.source(0).next_seq = world.source(0).next_seq.saturating_add_signed(jump);
        world.source(0).timestamp = 42;
        let now = world.now;
        for made in world.source(0).make(now, 3, false) {
            assert_eq!(world.arrive(VIDEO, 0, &made), Err(DropReason::AwaitingKeyFrame));
        }
        assert!(world.bind(VIDEO, 0).needs_key_frame, "bound anew, it still waits");
        assert!(!world.picture(VIDEO, 0, 3, true), "the same picture goes on");
        world.pictures(VIDEO, &[0], 2);
        let media = world.media(VIDEO);
        assert_eq!(media.len(), 12);
        assert_contiguous(&media);
        assert!(timestamp_steps(&media).iter().all(|step| (0..90_000).contains(step)));
    }
}

#[test]
fn a_publisher_that_changes_its_codec_needs_a_key_frame() {
    let mut world = showing_first(&[Codec::Vp8]);
    world.source(0).spec = source_spec(Codec::H264);
    let now = world.now;
    let made = world.source(0).make(now, 1, false);
    assert_eq!(world.arrive(VIDEO, 0, &made[0]), Err(DropReason::AwaitingKeyFrame));
    world.picture(VIDEO, 0, 1, true);
    world.flush();
    let media = world.media(VIDEO);
    assert_eq!(media.len(), 4);
    assert_eq!(media[3].payload_type, spec(Codec::H264, true).payload_type);
    assert_contiguous(&media);
}

#[test]
fn a_target_keeps_waiting_while_what_is_shown_begins_anew() {
    let mut world = showing_first(&[Codec::Vp8, Codec::Vp8]);
    world.bind(VIDEO, 1);
    world.source(0).ring.clear();
    world.source(0).next_seq += 9_000;
    world.picture(VIDEO, 0, 1, true);
    assert_eq!(world.sender.showing(VIDEO), Some(world.key(0)));
    assert_eq!(world.sender.staged(VIDEO), Some(world.key(1)));
    assert!(world.picture(VIDEO, 1, 1, true));
}

#[test]
fn a_slot_may_be_added_and_taken_names_may_not() {
    let mut world = World::new(&[Codec::Vp8]);
    assert_eq!(world.sender.slots(), 2);
    assert_eq!(world.sender.add_slot(&slot_spec(2, Kind::Video, true)), Ok(2));
    let added = slot_spec(2, Kind::Video, true);
    assert_eq!(world.sender.slot(added.mid), Some(2));
    assert_eq!(world.sender.add_slot(&added), Err(RefusalCode::Duplicate));
    let same_ssrc = SlotSpec {
        rtx_ssrc: ssrc(2),
        ..slot_spec(3, Kind::Video, true)
    };
    assert_eq!(world.sender.add_slot(&same_ssrc), Err(RefusalCode::Duplicate));
    world.bind(2, 0);
    assert!(world.picture(2, 0, 1, true));
    world.pass(Duration::from_millis(1).as_micros() as u64);
    assert_eq!(world.media(2).len(), 1);
}
