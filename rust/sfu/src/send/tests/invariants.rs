//! What holds whatever happens: random loss, reordering, switches, NACKs, restarts, in virtual time.
#![allow(clippy::disallowed_types)] // The macros of proptest share strategies by `Arc`.

use std::collections::HashMap;

use proptest::prelude::*;

use super::source::{Made, ssrc};
use super::world::{AUDIO, MS, VIDEO, World};
use crate::command::Codec;
use crate::ids::Ssrc;
use crate::layer::Limit;

/// Video sources 0–4, audio sources 5 and 6.
const CODECS: [Codec; 7] = [
    Codec::Vp8,
    Codec::H264,
    Codec::Vp9,
    Codec::Av1,
    Codec::Vp8,
    Codec::Opus,
    Codec::Opus,
];

#[derive(Clone, Debug)]
enum Step {
    /// Packets that the ring still has are offered once more.
    OfferAgain {
        source: usize,
        back: u64,
    },
    Bind {
        source: usize,
        limit: Limit,
    },
    Unbind {
        video: bool,
    },
    /// A picture of each video source and a packet of each audio source.
    Media {
        key: bool,
        lost: u8,
        swapped: u8,
    },
    Nack {
        back: u64,
        count: u64,
    },
    Pli,
    Pass {
        millis: u64,
    },
    Restart {
        source: usize,
        jump: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..7usize, 0..4u8, 0..4u8).prop_map(|(source, spatial, temporal)| Step::Bind {
            source,
            limit: Limit { spatial, temporal },
        }),
        1 => any::<bool>().prop_map(|video| Step::Unbind { video }),
        12 => (prop::bool::weighted(0.4), any::<u8>(), any::<u8>())
            .prop_map(|(key, lost, swapped)| Step::Media { key, lost, swapped }),
        4 => (0..600u64, 1..60u64).prop_map(|(back, count)| Step::Nack { back, count }),
        1 => Just(Step::Pli),
        4 => prop_oneof![Just(0), 1..40u64, Just(1_500)].prop_map(|millis| Step::Pass { millis }),
        1 => (0..7usize, prop_oneof![-3_000i64..-1_100, 1_100i64..3_000])
            .prop_map(|(source, jump)| Step::Restart { source, jump }),
        2 => (0..7usize, 0..900u64).prop_map(|(source, back)| Step::OfferAgain { source, back }),
    ]
}

#[derive(Default)]
struct Late(Vec<(usize, Made)>);

fn offer(world: &mut World, source: usize, made: &Made) {
    let slot = if source < 5 { VIDEO } else { AUDIO };
    let _ = world.arrive(slot, source, made);
}

fn run(world: &mut World, late: &mut Late, step: &Step) {
    match *step {
        Step::Bind { source, limit } => {
            world.bind_up_to(if source < 5 { VIDEO } else { AUDIO }, source, limit);
        }
        Step::Unbind { video } => {
            let now = world.now;
            world.sender.unbind(now, if video { VIDEO } else { AUDIO });
        }
        Step::Media { key, lost, swapped } => {
            for source in 0..CODECS.len() {
                let now = world.now;
                let count = if source < 5 { 1 + usize::from(lost % 7) } else { 1 };
                // The first VP8 source and the VP9 source have layers.
                world.source(source).temporal = match (key, source) {
                    (false, 0 | 2) => (swapped % 3, lost % 2 == 0),
                    (true, _) | (false, _) => (0, true),
                };
                let mut made = if source == 2 {
                    world.source(source).make_svc(now, 1 + lost % 3, count, key)
                } else {
                    world.source(source).make(now, count, key)
                };
                // Some come late, in the next round or much later; each at most once.
                let held = usize::from(swapped) % 11;
                if held < made.len() {
                    late.0.push((source, made.remove(held)));
                }
                if swapped % 3 == 0 {
                    made.reverse();
                }
                for (i, made) in made.iter().enumerate() {
                    if lost == 0 || (i + usize::from(lost)) % 13 != 0 {
                        offer(world, source, made);
                    }
                }
            }
            if swapped % 2 == 0 {
                for (source, made) in std::mem::take(&mut late.0) {
                    offer(world, source, &made);
                }
            }
            world.pass(if swapped % 5 == 0 { 0 } else { 20 * MS });
        }
        Step::Nack { back, count } => {
            let Some(newest) = world.media(VIDEO).iter().map(|seen| seen.seq).max() else {
                return;
            };
            let seqs: Vec<u16> = (0..count)
                .map(|i| (newest as u16).wrapping_sub(back as u16).wrapping_add(i as u16))
                .collect();
            let _ = world.rtcp(|writer| {
                writer.nack(Ssrc(1), ssrc(VIDEO), &seqs);
            });
        }
        Step::Pli => {
            let _ = world.rtcp(|writer| {
                writer.pli(Ssrc(1), ssrc(VIDEO));
            });
        }
        Step::Pass { millis } => world.pass(millis * MS),
        Step::Restart { source, jump } => {
            let source = world.source(source);
            source.ring.clear();
            source.start = None;
            source.next_seq = source.next_seq.saturating_add_signed(jump);
            late.0.clear();
        }
        Step::OfferAgain { source, back } => {
            let slot = if source < 5 { VIDEO } else { AUDIO };
            let source = &world.sources.0[source];
            let Some(newest) = source.ring.newest() else { return };
            for seq in newest.saturating_sub(back)..=newest {
                let _ = world.sender.forward(world.now, slot, source.key, &source.view(), seq);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    // `World` itself asserts that no (SSRC, number) is ever sealed twice, by its own table and by the replay window of SRTP.
    #[test]
    fn numbers_are_used_once_and_retransmissions_repeat_what_they_name(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(&CODECS);
        let mut late = Late::default();
        for step in &steps {
            run(&mut world, &mut late, step);
        }
        world.pass(3_000 * MS);
        prop_assert!(!world.sender.has_queued());

        let mut originals = HashMap::new();
        for seen in world.media(VIDEO) {
            originals.insert(seen.seq as u16, seen);
        }
        for again in world.again(VIDEO) {
            let number = u16::from_be_bytes([again.payload[0], again.payload[1]]);
            let original = originals.get(&number);
            prop_assert!(original.is_some(), "a retransmission of {number}, which never left");
            if let Some(original) = original {
                prop_assert_eq!(&again.payload[2..], &original.payload[..]);
                prop_assert_eq!(again.timestamp, original.timestamp);
                prop_assert_eq!(again.marker, original.marker);
            }
        }
        for pair in world.seen.windows(2) {
            prop_assert_eq!(pair[1].transport_cc, pair[0].transport_cc.map(|number| number.wrapping_add(1)));
        }
    }

    #[test]
    fn without_loss_there_is_no_gap_and_no_step_back_over_any_switches(
        sources in prop::collection::vec((0..5usize, 1..5usize, 0..50u64), 1..40),
    ) {
        let mut world = World::new(&CODECS);
        for (source, pictures, pause) in sources {
            let shown = world.sender.showing(VIDEO) == Some(world.key(source));
            let binding = world.bind(VIDEO, source);
            prop_assert_eq!(binding.needs_key_frame, !shown && binding.switched.is_none());
            for picture in 0..pictures {
                world.picture(VIDEO, source, 3, picture == 0);
                world.pass((33 + pause) * MS);
            }
        }
        world.pass(1_000 * MS);
        let media = world.media(VIDEO);
        for pair in media.windows(2) {
            prop_assert_eq!(pair[1].seq, pair[0].seq + 1);
            prop_assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 1 << 31);
            prop_assert!(pair[1].at >= pair[0].at);
        }
    }
}
