//! One voice: whether it speaks and how loud, from its packets alone.

use std::time::Duration;

use crate::time::Time;

/// A quiet packet that is marked as voice counts as speech from this level on, −dBov. A microphone in a quiet room is below it.
const QUIETEST_VOICE: u8 = 60;
/// One that is not marked, as by publishers that never mark any.
const QUIETEST_SOUND: u8 = 50;
/// As loud as this counts who sends packets without levels, −dBov: below most speech, above none.
const NO_LEVEL: u8 = 45;
/// Packets without levels flow when they are no further apart. Discontinuous transmission in silence is about one in 400 ms.
const FLOW: Duration = Duration::from_millis(200);
/// Levels are expected of a source this long after one.
const LEVELS: Duration = Duration::from_secs(2);
/// Speech begins with the second loud packet within this time: a click is one.
const PAIR: Duration = Duration::from_millis(200);
/// Speech ends this long after its last loud packet: pauses between words are shorter.
const HOLD: Duration = Duration::from_millis(400);
/// Who began to speak is not displaced for this long: how loud it is shows only then.
const NEWCOMER: Duration = Duration::from_millis(300);
/// Without any packet for this long a voice is gone, as far as anybody can tell.
const DEAD: Duration = Duration::from_secs(2);
/// A packet this much older than the newest is no late one: the publisher began its numbers anew.
const LATE: u64 = 1000;

/// Loudness is counted in millionths of a decibel above −127 dBov: what falls by 10 dB in a second falls by 10 of them in a microsecond.
const DB: i32 = 1_000_000;
/// Amplitude decays exponentially, which in decibels is a straight line.
const FALL_PER_US: u64 = 10;
/// Where speech begins to be measured.
const FLOOR: i32 = 57 * DB;
/// How loud silence is, and who is gone.
const SILENT: i32 = 0;
const GONE: i32 = -100 * DB;
/// One voice outranks another when it is louder by this much: two that are equally loud do not take each other's place.
pub(super) const MARGIN: i32 = 6 * DB;

/// What a packet says of its sound (RFC 6464 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level {
    /// 0 (loudest) to 127, −dBov.
    pub level: u8,
    /// The publisher takes it for voice.
    pub voice: bool,
}

/// One source as its packets describe it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Voice {
    newest: u64,
    /// The last packet.
    heard: Option<Time>,
    /// The last one with a level.
    leveled: Option<Time>,
    /// The last loud one.
    loud: Option<Time>,
    /// When the present speech began.
    began: Option<Time>,
    /// Of the peaks, as it was at `at`.
    loudness: i32,
    at: Time,
}

impl Voice {
    /// Packet `seq` came. `true`: it begins to speak with this one.
    pub fn packet(&mut self, now: Time, seq: u64, level: Option<Level>) -> bool {
        if self.heard.is_some() && seq <= self.newest && self.newest - seq < LATE {
            return false;
        }
        self.newest = seq;
        let before = self.heard.replace(now);
        if level.is_some() {
            self.leveled = Some(now);
        }
        let is_within = |at: Option<Time>, time: Duration| at.is_some_and(|at| now.since(at) < time);
        let (level, is_loud) = match level {
            Some(Level { level, voice: true }) => (level, level <= QUIETEST_VOICE),
            Some(Level { level, voice: false }) => (level, level <= QUIETEST_SOUND),
            None => (NO_LEVEL, is_within(before, FLOW) && !is_within(self.leveled, LEVELS)),
        };
        if !is_loud {
            return false;
        }
        let (speaks, again) = (self.speaks(now), is_within(self.loud, PAIR));
        let from = if speaks || again {
            self.loudness(now).max(FLOOR)
        } else {
            FLOOR
        };
        let peak = (127 - i32::from(level.min(127))) * DB;
        // Half way up with each packet: one click does not outrank speech.
        self.loudness = from + (peak - from).max(0) / 2;
        self.at = now;
        self.loud = Some(now);
        if speaks {
            return false;
        }
        self.began = again.then_some(now);
        again
    }

    /// Does it speak?
    pub fn speaks(&self, now: Time) -> bool {
        self.began.is_some() && self.loud.is_some_and(|at| now.since(at) < HOLD)
    }

    /// Until when nobody takes its slot, if it speaks.
    pub fn immune_until(&self, now: Time) -> Option<Time> {
        self.began.filter(|_| self.speaks(now)).map(|began| began + NEWCOMER)
    }

    /// How loud it speaks, 0 (loudest) to 127, −dBov.
    pub fn level(&self, now: Time) -> u8 {
        (127 - self.loudness(now) / DB).clamp(0, 127) as u8
    }

    /// What it is ranked by: how loud it speaks; below all who speak is silence, and below that who is gone.
    pub(super) fn rank(&self, now: Time) -> i32 {
        if self.speaks(now) {
            self.loudness(now)
        } else if self.heard.is_some_and(|at| now.since(at) < DEAD) {
            SILENT
        } else {
            GONE
        }
    }

    fn loudness(&self, now: Time) -> i32 {
        let fallen = now.micros_since(self.at).min(u64::from(u32::MAX)) * FALL_PER_US;
        self.loudness
            .saturating_sub(i32::try_from(fallen).unwrap_or(i32::MAX))
            .max(0)
    }
}
