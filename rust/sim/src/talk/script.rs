//! Who says what when: a conversation before it happens.

use rostra_sfu::command::Codec;

use crate::random::Random;

/// Speech between two silences, microseconds. Its pauses are shorter than silence.
#[derive(Clone, Debug)]
pub struct Utterance {
    /// When it begins and ends.
    pub from_us: u64,
    /// …
    pub to_us: u64,
    /// How loud it is, −dBov; single packets differ by up to [`Script::VARIES`].
    pub level: u8,
    /// Words, with pauses between them.
    pub words: Vec<(u64, u64)>,
}

/// A microphone.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it sends.
    pub codec: Codec,
    /// Its packets carry levels.
    pub levels: bool,
    /// … and say whether they are voice.
    pub marks: bool,
    /// In silence it sends a packet in 400 ms.
    pub dtx: bool,
    /// It has a connection of its own, which comes and goes with it. Others share one, and leave the conversation without leaving it.
    pub guest: bool,
    /// When it takes part.
    pub there: Vec<(u64, u64)>,
    /// In order.
    pub says: Vec<Utterance>,
    /// Clicks: a single loud packet at these times.
    pub clicks: Vec<u64>,
}

impl Source {
    /// What it says at this moment, and whether in a word.
    pub fn saying(&self, at_us: u64) -> Option<(&Utterance, bool)> {
        let next = self.says.partition_point(|one| one.to_us <= at_us);
        let one = self.says.get(next).filter(|one| one.from_us <= at_us)?;
        let word = one.words.iter().any(|(from, to)| (*from..*to).contains(&at_us));
        Some((one, word))
    }

    /// Does it take part?
    pub fn is_there(&self, at_us: u64) -> bool {
        self.there.iter().any(|(from, to)| (*from..*to).contains(&at_us))
    }
}

/// A whole conversation.
#[derive(Clone, Debug)]
pub struct Script {
    /// Everybody with a microphone.
    pub sources: Vec<Source>,
    /// Its length.
    pub length_us: u64,
    /// Share of packets that get lost on the way to the server.
    pub loss: f64,
}

impl Script {
    /// Packets of an utterance differ from its level by this much, dB.
    pub const VARIES: u8 = 4;
    /// As loud counts who writes no levels, −dBov.
    pub const NO_LEVEL: u8 = 45;
    /// Silence between two utterances is at least this long.
    const SILENCE_US: u64 = 700_000;

    /// A random conversation of 12 to 200 sources.
    pub fn random(random: &mut Random, length_us: u64) -> Self {
        // As many small ones as large ones.
        let octave = 12 << random.below(4);
        let count = (octave + random.below(octave)).min(200);
        // On average so many speak at a time.
        let talkers = 1 + random.below(6);
        let guests = 1 + random.below(6);
        let sources = (0..count)
            .map(|number| Self::source(random, length_us, number < guests, count, talkers))
            .collect();
        Self {
            sources,
            length_us,
            loss: random.below(11) as f64 / 100.0,
        }
    }

    fn source(random: &mut Random, length_us: u64, guest: bool, count: u64, talkers: u64) -> Source {
        let levels = !random.chance(0.1);
        let marks = random.chance(0.8);
        let codec = if random.chance(0.05) {
            Codec::MultiOpus
        } else {
            Codec::Opus
        };
        let mut there = Vec::new();
        if guest || random.chance(0.2) {
            let mut at = random.below(length_us / 2);
            while at < length_us {
                let to = at + 500_000 + random.below(length_us / 2);
                there.push((at, to.min(length_us)));
                at = to + 300_000 + random.below(length_us / 2);
            }
        } else {
            there.push((0, length_us));
        }
        let mut says = Vec::new();
        let mean_us = 2_000_000 * count / talkers;
        let mut at = random.below(mean_us);
        while at < length_us {
            let quietest = match (levels, marks) {
                (true, true) => 60,
                (true, false) => 50,
                (false, _) => Self::NO_LEVEL + Self::VARIES,
            } - Self::VARIES;
            let level = if levels {
                20 + random.below(u64::from(quietest - 19)) as u8
            } else {
                Self::NO_LEVEL
            };
            let (from_us, mut words) = (at, Vec::new());
            for _ in 0..=random.below(4) {
                let to = at + 350_000 + random.below(1_500_000);
                words.push((at, to));
                at = to + 40_000 + random.below(240_000);
            }
            let to_us = words.last().map_or(at, |(_, to)| *to);
            says.push(Utterance {
                from_us,
                to_us,
                level,
                words,
            });
            at = to_us + Self::SILENCE_US + random.below(2 * mean_us);
        }
        // A click right behind an utterance is a part of it.
        let is_alone = |at: u64| {
            let near = says.iter().find(|one: &&Utterance| one.to_us + Self::SILENCE_US > at);
            near.is_none_or(|one| one.from_us > at + Self::SILENCE_US)
        };
        let clicks = (0..length_us / 1_000_000).filter(|_| levels && random.chance(0.05));
        let clicks = clicks
            .map(|second| second * 1_000_000)
            .filter(|at| is_alone(*at))
            .collect();
        Source {
            codec,
            levels,
            marks,
            dtx: random.chance(0.7),
            guest,
            there,
            says,
            clicks,
        }
    }
}
