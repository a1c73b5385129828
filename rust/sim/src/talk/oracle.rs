//! What must hold of what one viewer hears, checked against the script, which knows what the server can only guess.

use std::time::Duration;

use rostra_sfu::ids::{TrackId, TransportId};

use super::peer::Sound;
use super::script::Script;

/// Limits that a conversation must keep. Each of them is shown to fail with another value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// One of the loudest is heard this long after it is one, when a slot may change.
    pub audible: Duration,
    /// A slot begins to play somebody at most once in this time.
    pub rest: Duration,
    /// Who speaks is told at most once in this time.
    pub told: Duration,
}

/// The bounds of the acceptance.
pub const BOUNDS: Bounds = Bounds {
    audible: Duration::from_millis(200),
    rest: Duration::from_millis(500),
    told: Duration::from_millis(200),
};

/// Between two looks at what ought to be heard.
pub const LOOK_US: u64 = 20_000;
/// Packets come this much late at most.
pub const JITTER_US: u64 = 20_000;
/// A packet that got lost costs at most as much.
const PACKET_US: u64 = 20_000;
/// A slot that may change again is looked at this much later at most: a ranking, and a packet of whoever gets it.
const SLACK_US: u64 = 80_000;
/// Who has its slot for so little speech keeps it.
const NEWCOMER_US: u64 = 300_000;
/// Speech goes on this long after its last packet; then the next ranking sees its end.
const HOLD_US: u64 = 500_000;
/// Louder than another one clearly: the margin of the ranking, the variation of both, and what a pause takes off, dB.
const CLEARLY: u8 = 6 + 2 * Script::VARIES + 4;

/// What was wrong, and how much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// In words.
    pub wrong: Vec<String>,
    /// Packets that came.
    pub packets: u64,
    /// Times that a slot began to play somebody.
    pub changes: u64,
    /// Looks at which somebody ought to have been heard.
    pub owed: u64,
    /// From being one of the loudest to being heard, microseconds, where a slot was free to change.
    pub waits_us: Vec<u64>,
}

/// What a slot plays.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    track: Option<TrackId>,
    changed_us: Option<u64>,
}

/// One of the loudest, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    since_us: Option<u64>,
    lost: u64,
    heard: bool,
}

/// One viewer's ears.
#[derive(Debug)]
pub struct Ears {
    /// The viewer.
    pub transport: TransportId,
    /// Source by source: is it never to be heard?
    pub deaf_to: Vec<bool>,
    slots: Vec<Told>,
    due: Vec<Due>,
    bounds: Bounds,
    /// The verdict so far.
    pub verdict: Verdict,
}

/// The world as it is at one look.
#[derive(Debug)]
pub struct Look<'a> {
    /// The time.
    pub now_us: u64,
    /// The script, and its beginning.
    pub script: &'a Script,
    /// …
    pub began_us: u64,
    /// The track that each source has now, while it takes part; and since when.
    pub tracks: &'a [Option<(TrackId, u64)>],
}

impl Ears {
    /// A viewer with slots at these places.
    pub fn new(transport: TransportId, sources: usize, slots: usize, bounds: Bounds) -> Self {
        Self {
            transport,
            deaf_to: vec![false; sources],
            slots: vec![Told::default(); slots],
            due: vec![Due::default(); sources],
            bounds,
            verdict: Verdict::default(),
        }
    }

    fn blame(&mut self, now_us: u64, what: &str) {
        if self.verdict.wrong.len() < 20 {
            let line = format!("{} ms, {:?}: {what}", now_us / 1000, self.transport);
            self.verdict.wrong.push(line);
        }
    }

    /// Whom it must not hear changed: nobody is owed anything for what was before.
    pub fn listens(&mut self, deaf_to: Vec<bool>) {
        self.deaf_to = deaf_to;
        self.due.fill(Due::default());
    }

    /// The server told what a slot plays.
    pub fn told(&mut self, now_us: u64, slot: usize, track: Option<TrackId>) {
        let rest_us = self.bounds.rest.as_micros() as u64;
        let Some(&before) = self.slots.get(slot) else {
            self.blame(now_us, &format!("slot {slot} is none of the pool"));
            return;
        };
        if before.track == track {
            self.blame(now_us, &format!("slot {slot}: {track:?} told twice"));
        }
        if track.is_some() {
            self.verdict.changes += 1;
            if let Some(gap_us) = before.changed_us.map(|at| now_us - at).filter(|gap| *gap < rest_us) {
                self.blame(now_us, &format!("slot {slot} changes after {gap_us} us"));
            }
        }
        if let Some(told) = self.slots.get_mut(slot) {
            told.track = track;
            told.changed_us = track.map_or(before.changed_us, |_| Some(now_us));
        }
    }

    /// A packet came in a slot. `source`: whose track that is, if it takes part.
    pub fn packet(&mut self, now_us: u64, slot: usize, sound: Sound, source: Option<usize>) {
        self.verdict.packets += 1;
        let told = self.slots.get(slot).and_then(|told| told.track);
        if told != Some(sound.track) {
            self.blame(
                now_us,
                &format!("slot {slot} plays {:?}, told was {told:?}", sound.track),
            );
        }
        match source {
            Some(source) if self.deaf_to.get(source) == Some(&true) => {
                self.blame(now_us, &format!("slot {slot} plays source {source}, which is excluded"));
            }
            Some(_) => {}
            None => self.blame(now_us, &format!("slot {slot} plays {:?}, which has left", sound.track)),
        }
    }

    /// A packet of a source got lost before the server had it.
    pub fn lost(&mut self, source: usize) {
        if let Some(due) = self.due.get_mut(source) {
            due.lost += 1;
        }
    }

    /// Is everybody heard who ought to be?
    pub fn look(&mut self, look: &Look<'_>) {
        let at_us = look.now_us - look.began_us;
        let rivals: Vec<_> = (0..look.script.sources.len())
            .filter(|source| !self.deaf_to.get(*source).copied().unwrap_or(true))
            .filter_map(|source| Some((source, Rival::of(look, source, at_us)?)))
            .collect();
        for (source, rival) in &rivals {
            // In a pause nothing can be asked: nothing is sent.
            let owed = rival.in_word
                && self.rivals_of(&rivals, *source, rival).count() < self.slots.len()
                && self.may_slots_change(look, &rivals, *source);
            self.expect(look, &rivals, *source, rival, owed);
        }
        let is_there = |source: usize| rivals.iter().any(|(other, _)| *other == source);
        for source in 0..self.due.len() {
            if !is_there(source)
                && let Some(due) = self.due.get_mut(source)
            {
                *due = Due::default();
            }
        }
    }

    fn rivals_of<'a>(
        &self,
        rivals: &'a [(usize, Rival)],
        source: usize,
        one: &Rival,
    ) -> impl Iterator<Item = usize> + use<'a> {
        let level = one.level;
        let others = rivals.iter().filter(move |(other, _)| *other != source);
        others
            .filter(move |(_, rival)| rival.level < level + CLEARLY)
            .map(|(other, _)| *other)
    }

    /// May each slot change whose holder is not clearly one of the loudest itself? Which of these holders is one is up to what the server
    /// measures; at least one is not, and its slot is given away.
    fn may_slots_change(&self, look: &Look<'_>, rivals: &[(usize, Rival)], source: usize) -> bool {
        self.slots.iter().all(|slot| {
            let has = |place: &Option<(TrackId, u64)>| place.is_some_and(|(track, _)| Some(track) == slot.track);
            let holder = look.tracks.iter().position(has);
            let rival = rivals.iter().find(|(other, _)| Some(*other) == holder);
            let stays =
                rival.is_some_and(|(other, rival)| self.rivals_of(rivals, *other, rival).count() < self.slots.len());
            let rest_us = BOUNDS.rest.as_micros() as u64;
            let is_rested = slot.changed_us.is_none_or(|at| look.now_us >= at + rest_us);
            let is_newcomer = rival.is_some_and(|(_, rival)| rival.spoke_us < NEWCOMER_US + SLACK_US);
            holder == Some(source) || stays || is_rested && !is_newcomer
        })
    }

    fn expect(&mut self, look: &Look<'_>, rivals: &[(usize, Rival)], source: usize, rival: &Rival, owed: bool) {
        let is_heard = self.slots.iter().any(|slot| slot.track == Some(rival.track));
        let audible_us = self.bounds.audible.as_micros() as u64;
        let Some(due) = self.due.get_mut(source) else { return };
        if !owed {
            *due = Due::default();
            return;
        }
        let since_us = *due.since_us.get_or_insert(look.now_us);
        let waits_us = look.now_us - since_us;
        let lost = due.lost;
        if is_heard && !std::mem::replace(&mut due.heard, true) && waits_us > 0 {
            self.verdict.waits_us.push(waits_us);
        }
        if waits_us < audible_us + JITTER_US + lost * PACKET_US {
            return;
        }
        self.verdict.owed += 1;
        if !is_heard {
            let others = rivals
                .iter()
                .map(|(other, rival)| (other, rival.level, rival.spoke_us / 1000));
            let plays = self.slots.iter().map(|slot| {
                let has = |place: &Option<(TrackId, u64)>| place.is_some_and(|(known, _)| Some(known) == slot.track);
                let changed_ms = slot.changed_us.map(|at| (look.now_us - at) / 1000);
                (look.tracks.iter().position(has), changed_ms)
            });
            let what = format!(
                "source {source} (-{} dBov) is not heard after {} ms, {lost} packets lost; slots play {:?}; (source, level, since) {:?}",
                rival.level,
                waits_us / 1000,
                plays.collect::<Vec<_>>(),
                others.collect::<Vec<_>>(),
            );
            self.blame(look.now_us, &what);
        }
    }
}

/// Somebody who speaks, or did a moment ago.
#[derive(Clone, Copy, Debug)]
struct Rival {
    track: TrackId,
    level: u8,
    in_word: bool,
    /// For how long.
    spoke_us: u64,
}

impl Rival {
    fn of(look: &Look<'_>, source: usize, at_us: u64) -> Option<Self> {
        let (track, since_us) = (*look.tracks.get(source)?)?;
        let script = look.script.sources.get(source)?;
        let next = script.says.partition_point(|one| one.to_us + HOLD_US <= at_us);
        let one = script.says.get(next).filter(|one| one.from_us <= at_us)?;
        let there_us = look.now_us - since_us;
        Some(Self {
            track,
            level: one.level,
            in_word: one.words.iter().any(|(from, to)| (*from..*to).contains(&at_us)),
            spoke_us: (at_us - one.from_us).min(there_us),
        })
    }
}
