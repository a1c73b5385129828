//! Conversations as values: packets with levels go in, and each viewer's slots play somebody.

use std::time::Duration;

use super::group::codec_bit;
use super::*;
use crate::command::Codec;
use crate::ids::{GroupId, SourceKey, TrackId};
use crate::receive::TrackKey;
use crate::report::Speaker;
use crate::time::Time;

const LOUD: u8 = 25;
const QUIET: u8 = 45;
const SILENCE: Option<u8> = Some(127);

/// A group, one viewer, and a slot that switches with the first packet of whom it awaits.
struct Talk {
    now: Time,
    group: Group,
    pool: Pool,
    seqs: Vec<u64>,
    changes: Vec<(Time, usize, Option<u64>)>,
    decisions: usize,
    speakers: Vec<(Time, Vec<Speaker>)>,
}

impl Talk {
    fn new(voices: u32, slots: u16, excluded: &[u64]) -> Self {
        let mut group = Group::new(GroupId(1));
        for number in 0..voices {
            group.add(member(number, codec_bit(Codec::Opus)));
        }
        let excluded = excluded.iter().map(|key| SourceKey(*key)).collect();
        let listener = group.listen(0);
        let places = (0..slots).map(Place::new).collect();
        Self {
            now: Time(1_000_000),
            pool: Pool::new(0, listener, places, excluded, codec_bit(Codec::Opus)),
            group,
            seqs: vec![0; voices as usize],
            changes: Vec::new(),
            decisions: 0,
            speakers: Vec::new(),
        }
    }

    fn packet(&mut self, seat: Seat, level: Option<u8>) {
        self.seqs[seat as usize] += 1;
        let level = level.map(|level| Level { level, voice: true });
        let seq = self.seqs[seat as usize];
        if self.group.packet(self.now, seat, seq, level, Codec::Opus) {
            self.look();
        }
        let Some(id) = self.group.get(seat).map(|member| member.id) else {
            return;
        };
        for (at, place) in self.pool.places.iter_mut().enumerate() {
            if place.voice == Some(seat) && place.plays != Some((seat, id)) {
                place.plays = Some((seat, id));
                place.changed = Some(self.now);
                self.changes.push((self.now, at, Some(id.0)));
            }
        }
    }

    fn look(&mut self) {
        if self.group.due.is_none_or(|due| due > self.now) {
            return;
        }
        self.group.rank(self.now);
        if let Some(speakers) = self.group.poll_speakers(self.now) {
            self.speakers.push((self.now, speakers));
        }
        if self.group.affected(self.now).count() > 0 {
            self.decisions += 1;
            self.decide();
        }
        self.group.settle(self.now);
    }

    fn decide(&mut self) {
        let mut orders = Vec::new();
        let outlook = self.pool.decide(self.now, &mut self.group, &mut orders);
        self.group.note(self.pool.listener, outlook);
        for order in orders.iter().filter(|order| order.play.is_none()) {
            let place = self.pool.place_mut(order.slot).unwrap();
            if place.plays.take().is_some() {
                self.changes.push((self.now, usize::from(order.slot), None));
            }
        }
    }

    /// Everybody sends a packet in each 20 ms, of the level that `says` (nothing: no packet).
    fn go_on(&mut self, millis: u64, mut says: impl FnMut(Seat, u64) -> Option<Option<u8>>) {
        for step in 0..millis / 20 {
            for seat in 0..self.seqs.len() as Seat {
                if let Some(level) = says(seat, step * 20) {
                    self.packet(seat, level);
                }
            }
            for _ in 0..4 {
                self.now += Duration::from_millis(5);
                self.look();
            }
        }
    }

    /// These speak loudly, all others are silent and send nearly nothing.
    fn speak(&mut self, millis: u64, who: &[Seat]) {
        let who = who.to_vec();
        self.go_on(millis, |seat, at| {
            if who.contains(&seat) {
                Some(Some(LOUD))
            } else {
                (at % 400 == 0).then_some(SILENCE)
            }
        });
    }

    fn played(&self) -> Vec<u64> {
        let played = self.pool.places.iter();
        played.filter_map(|place| Some(place.plays?.1.0)).collect()
    }
}

fn member(number: u32, codecs: u8) -> Member {
    let key = TrackKey {
        track: number,
        generation: 0,
    };
    Member::new(key, TrackId(u64::from(number)), SourceKey(u64::from(number)), codecs)
}

/// splitmix64.
fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

#[test]
fn where_there_is_room_everybody_is_played_silent_or_not() {
    let mut talk = Talk::new(3, 3, &[]);
    talk.speak(1000, &[]);
    assert_eq!(talk.played(), [0, 1, 2]);
    talk.speak(60_000, &[1]);
    assert_eq!(talk.changes.len(), 3, "for ever");
}

#[test]
fn who_speaks_is_played_and_keeps_its_slot_in_silence_until_somebody_needs_it() {
    let mut talk = Talk::new(5, 3, &[]);
    talk.speak(1000, &[]);
    assert_eq!(talk.played(), [0; 0]);
    talk.speak(500, &[4]);
    talk.speak(500, &[2]);
    talk.speak(500, &[0]);
    assert_eq!(talk.played(), [4, 2, 0]);
    talk.speak(60_000, &[]);
    assert_eq!(talk.played(), [4, 2, 0], "60 s of silence");
    talk.speak(1000, &[1]);
    assert_eq!(talk.played(), [1, 2, 0], "the slot of who has been silent longest");
    talk.speak(1000, &[4]);
    assert_eq!(talk.played(), [1, 4, 0]);
}

#[test]
fn a_voice_is_played_within_100_ms_of_its_first_packet_when_a_slot_is_free() {
    let mut talk = Talk::new(5, 3, &[]);
    talk.speak(1000, &[0]);
    let began = talk.now;
    talk.speak(300, &[0, 1]);
    let (at, _, track) = talk.changes[1];
    assert_eq!(track, Some(1));
    assert!(at.since(began) <= Duration::from_millis(100), "{:?}", at.since(began));
}

#[test]
fn who_is_louder_takes_the_slot_of_the_quietest_within_200_ms() {
    let mut talk = Talk::new(4, 3, &[]);
    let speak = |talk: &mut Talk, millis, levels: [Option<u8>; 4]| {
        talk.go_on(millis, |seat, _| Some(levels[seat as usize].or(SILENCE)));
    };
    speak(&mut talk, 2000, [Some(QUIET), Some(LOUD), Some(LOUD), None]);
    assert_eq!(talk.played(), [1, 2, 0]);
    let began = talk.now;
    speak(&mut talk, 2000, [Some(QUIET), Some(LOUD), Some(LOUD), Some(LOUD)]);
    assert_eq!(talk.played(), [1, 2, 3]);
    let after = talk.changes.last().unwrap().0.since(began);
    assert!(after <= Duration::from_millis(200), "{after:?}");
    speak(&mut talk, 5000, [Some(LOUD), Some(LOUD), Some(LOUD), Some(LOUD)]);
    assert_eq!(talk.played(), [1, 2, 3], "equals do not take each other's place");
}

#[test]
fn equal_voices_that_vary_as_speech_does_do_not_flip() {
    for seed in 0..50 {
        let mut state = seed;
        let mut talk = Talk::new(5, 3, &[]);
        talk.go_on(60_000, |_, _| Some(Some(LOUD + random(&mut state, 11) as u8)));
        assert!(
            talk.changes.len() <= 4,
            "{} changes with seed {seed}",
            talk.changes.len()
        );
    }
}

#[test]
fn no_slot_changes_twice_within_500_ms_whoever_speaks() {
    for seed in 0..50 {
        let mut state = seed;
        let mut talk = Talk::new(12, 3, &[]);
        talk.go_on(30_000, |_, _| Some(Some(20 + random(&mut state, 60) as u8)));
        talk.go_on(30_000, |_, at| {
            let phase = at / 40;
            Some(if random(&mut (seed + phase), 2) == 0 {
                Some(LOUD)
            } else {
                SILENCE
            })
        });
        for slot in 0..3 {
            let times: Vec<_> = talk
                .changes
                .iter()
                .filter(|change| change.1 == slot)
                .map(|change| change.0)
                .collect();
            let least = times.windows(2).map(|pair| pair[1].since(pair[0])).min();
            assert!(
                least.is_none_or(|least| least >= Duration::from_millis(500)),
                "{least:?} with seed {seed}"
            );
        }
    }
}

#[test]
fn who_is_excluded_is_never_played_and_counts_for_nothing() {
    let mut talk = Talk::new(5, 3, &[1, 4]);
    talk.speak(2000, &[]);
    assert_eq!(talk.played(), [0, 2, 3], "three that are not excluded have room");
    talk.speak(2000, &[1, 4]);
    assert_eq!(talk.played(), [0, 2, 3]);
    assert_eq!(talk.changes.len(), 3);
}

#[test]
fn who_becomes_excluded_falls_silent_at_once() {
    let mut talk = Talk::new(5, 3, &[]);
    talk.speak(1000, &[0, 1, 2]);
    assert_eq!(talk.played(), [0, 1, 2]);
    let places = talk.pool.places.clone();
    talk.pool = Pool::new(0, 0, places, vec![SourceKey(1)], 1);
    talk.decide();
    assert_eq!(talk.played(), [0, 2]);
    talk.speak(1000, &[0, 1, 2, 3]);
    assert_eq!(talk.played(), [0, 3, 2]);
}

#[test]
fn a_codec_that_the_viewer_does_not_take_is_no_candidate() {
    let mut talk = Talk::new(3, 3, &[]);
    talk.group.add(member(3, codec_bit(Codec::MultiOpus)));
    talk.speak(1000, &[]);
    assert_eq!(talk.played(), [0, 1, 2], "room for all that can be heard");
    for seq in 0..20 {
        let level = Some(Level {
            level: LOUD,
            voice: true,
        });
        talk.group.packet(talk.now, 3, seq, level, Codec::MultiOpus);
        talk.speak(20, &[]);
    }
    assert_eq!(talk.group.speaking(), [3]);
    assert_eq!(talk.played(), [0, 1, 2]);
    talk.pool = Pool::new(0, 0, talk.pool.places.clone(), vec![], 3);
    talk.decide();
    assert_ne!(talk.pool.places[2].voice, Some(2), "who takes both hears it");
}

#[test]
fn without_levels_flowing_packets_are_speech_and_discontinuous_ones_silence() {
    let mut talk = Talk::new(4, 1, &[]);
    talk.go_on(10_000, |_, at| (at % 400 == 0).then_some(None));
    assert_eq!((talk.group.speaking().len(), talk.played().len()), (0, 0));
    talk.go_on(1000, |seat, at| (seat == 2 || at % 400 == 0).then_some(None));
    assert_eq!((talk.group.speaking(), talk.played()), ([2].as_slice(), vec![2]));
    // Real speech with levels outranks it.
    talk.go_on(1000, |seat, _| match seat {
        2 => Some(None),
        3 => Some(Some(LOUD)),
        _ => None,
    });
    assert_eq!((talk.group.speaking(), talk.played()), ([3, 2].as_slice(), vec![3]));
}

#[test]
fn a_click_is_no_speech() {
    let mut talk = Talk::new(4, 3, &[]);
    talk.go_on(10_000, |seat, at| {
        Some(if seat == 1 && at % 500 == 0 { Some(0) } else { SILENCE })
    });
    assert_eq!(talk.changes, []);
}

#[test]
fn pauses_between_words_are_speech_and_longer_ones_are_not() {
    let mut voice = Voice::default();
    let mut now = Time(0);
    let loud = Some(Level {
        level: LOUD,
        voice: true,
    });
    let mut seq = 0;
    let mut packet = |voice: &mut Voice, now| {
        seq += 1;
        voice.packet(now, seq, loud)
    };
    assert!(!packet(&mut voice, now));
    now += Duration::from_millis(20);
    assert!(packet(&mut voice, now) && voice.speaks(now));
    now += Duration::from_millis(380);
    assert!(voice.speaks(now));
    assert!(!packet(&mut voice, now), "it goes on");
    now += Duration::from_millis(400);
    assert!(!voice.speaks(now));
    // A packet that comes late is old news.
    assert!(!voice.packet(now, 1, loud) && !voice.packet(now, 2, loud));
    assert!(!voice.speaks(now));
}

#[test]
fn a_marked_packet_counts_as_speech_where_an_unmarked_one_is_noise() {
    for (voice, level, speaks) in [
        (true, 60, true),
        (true, 61, false),
        (false, 50, true),
        (false, 51, false),
    ] {
        let mut one = Voice::default();
        for seq in 0..10 {
            one.packet(Time(seq * 20_000), seq, Some(Level { level, voice }));
        }
        assert_eq!(one.speaks(Time(200_000)), speaks, "{voice} {level}");
    }
}

#[test]
fn who_just_began_to_speak_is_not_displaced_for_300_ms() {
    let mut talk = Talk::new(3, 1, &[]);
    talk.speak(1000, &[0]);
    talk.speak(2000, &[]);
    // The voice that has the slot begins quietly, and 40 ms later another one loudly.
    let began = talk.now;
    talk.go_on(1000, |seat, at| match seat {
        0 => Some(Some(QUIET)),
        1 if at >= 40 => Some(Some(LOUD)),
        _ => None,
    });
    assert_eq!(talk.played(), [1]);
    let after = talk.changes.last().unwrap().0.since(began);
    assert!(
        (Duration::from_millis(300)..Duration::from_millis(400)).contains(&after),
        "{after:?}"
    );
}

#[test]
fn who_is_still_heard_where_another_one_is_awaited_stays_there_when_it_speaks_again() {
    let mut talk = Talk::new(5, 2, &[]);
    talk.speak(600, &[0]);
    talk.speak(600, &[2]);
    talk.speak(1000, &[]);
    // 1 is given the slot of 0 and sends nothing more; 0 is still heard and speaks again.
    talk.packet(1, Some(LOUD));
    talk.now += Duration::from_millis(20);
    let level = Some(Level {
        level: LOUD,
        voice: true,
    });
    talk.group.packet(talk.now, 1, 99, level, Codec::Opus);
    talk.look();
    assert_eq!((talk.pool.places[0].voice, talk.played()), (Some(1), vec![0, 2]));
    talk.go_on(300, |seat, _| (seat == 0).then_some(Some(LOUD)));
    let voices: Vec<_> = talk.pool.places.iter().map(|place| place.voice).collect();
    assert_eq!((voices, talk.played()), (vec![Some(0), Some(1)], vec![0, 2]));
    assert_eq!(talk.changes.len(), 2);
}

#[test]
fn who_is_gone_gives_way_before_who_is_silent() {
    let mut talk = Talk::new(4, 2, &[]);
    talk.speak(600, &[0]);
    talk.speak(600, &[1]);
    // 1 spoke later, but sends nothing any more.
    talk.go_on(5000, |seat, at| (seat != 1 && at % 400 == 0).then_some(SILENCE));
    talk.go_on(600, |seat, at| match seat {
        1 => None,
        3 => Some(Some(LOUD)),
        _ => (at % 400 == 0).then_some(SILENCE),
    });
    assert_eq!(talk.played(), [0, 3]);
}

#[test]
fn who_leaves_makes_room_and_its_seat_is_taken_anew() {
    let mut talk = Talk::new(4, 3, &[]);
    talk.speak(600, &[0, 1, 2]);
    talk.group.remove(1);
    for place in &mut talk.pool.places {
        if place.voice == Some(1) {
            (place.voice, place.plays) = (None, None);
        }
    }
    talk.speak(600, &[0, 2]);
    assert_eq!(talk.played(), [0, 3, 2], "three are left for three slots");
    assert_eq!(talk.group.add(member(9, 1)), 1);
    talk.speak(1000, &[1]);
    assert_eq!(talk.played().len(), 3);
    assert!(talk.played().contains(&9));
}

#[test]
fn viewers_decide_only_when_the_order_changes_as_deep_as_they_listen() {
    let mut talk = Talk::new(40, 3, &[]);
    // Three speak loudly for a minute; twenty others chatter quietly.
    let mut state = 1;
    talk.go_on(2000, |seat, _| (seat < 3).then_some(Some(LOUD)));
    let before = talk.decisions;
    talk.go_on(60_000, |seat, _| match seat {
        0..3 => Some(Some(LOUD)),
        3..23 => Some(if random(&mut state, 40) == 0 {
            SILENCE
        } else {
            Some(QUIET)
        }),
        _ => None,
    });
    assert_eq!((talk.played(), talk.decisions - before), (vec![0, 1, 2], 0));
}

#[test]
fn who_speaks_is_told_at_most_five_times_a_second_and_once_when_nobody_does() {
    let mut talk = Talk::new(50, 3, &[]);
    let mut state = 1;
    talk.go_on(10_000, |_, _| Some(Some(20 + random(&mut state, 20) as u8)));
    let count = talk.speakers.len();
    assert!((45..=51).contains(&count), "{count} in 10 s");
    let apart = talk.speakers.windows(2).map(|pair| pair[1].0.since(pair[0].0)).min();
    assert!(apart >= Some(TOLD), "{apart:?}");
    for (_, speakers) in &talk.speakers[2..] {
        assert_eq!(speakers.len(), MAX_SPEAKERS);
        assert!(speakers.is_sorted_by_key(|speaker| speaker.level));
        assert!((15..45).contains(&speakers[0].level), "{speakers:?}");
    }
    talk.speak(10_000, &[]);
    assert_eq!(talk.speakers.last().map(|told| told.1.len()), Some(0));
    assert!(talk.speakers.len() <= count + 3, "{}", talk.speakers.len() - count);
}

#[test]
fn nothing_is_due_while_nobody_speaks() {
    let mut talk = Talk::new(5, 3, &[]);
    talk.speak(500, &[2]);
    talk.speak(5000, &[]);
    assert_eq!(talk.group.due, None);
}
