//! Which layer of each picture a viewer's line carries.
//!
//! Pure: what could be shown and what the line carries go in, one rung per picture comes out. Every picture gets its lowest rung first, in
//! the order of priority; then whoever gains most per bit goes up, class by class. Down at once, up only when the better picture would
//! leave room and has for a while: the estimate moves all the time, and a picture that changes with it is worse than a constant one.

use std::cmp::Reverse;
use std::ops::Range;
use std::time::Duration;

use super::SlotIndex;
use crate::choice::{BandwidthSpec, Priority, Strategy};
use crate::layer::Limit;
use crate::time::Time;

/// An improvement must cost at most this share of what the line carries, per cent: the next key frame and the encoder's moods need room.
const UP_SHARE: u64 = 87;
/// Least time for which an improvement must have been possible.
const HOLD: Duration = Duration::from_secs(1);
/// … and most, for a viewer whose improvements were taken back again and again.
const LONGEST_HOLD: Duration = Duration::from_secs(32);
/// An improvement that lasted this long was right.
const PROVEN: Duration = Duration::from_secs(20);
/// The most important picture goes on while the line carries this share of it, per cent: what the encoder sends varies, and a stuttering
/// picture tells more than none.
const LAST_SHARE: u64 = 50;

/// One way to show a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rung {
    /// Place among the encodings of the track.
    pub encoding: u8,
    /// What of it is forwarded.
    pub limit: Limit,
    /// What that takes, bits per second.
    pub bps: u64,
    /// How good it looks, in 1/256 of a doubling. Rises along a ladder.
    pub value: u32,
}

/// A picture: what could be shown of it, from worst to best. Both cost and value rise.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Where.
    pub slot: SlotIndex,
    /// How much it matters.
    pub priority: Priority,
    /// Its place in the list of all rungs. Never empty.
    pub rungs: Range<usize>,
    /// The application chose: its one rung is shown whatever the line carries.
    pub fixed: bool,
    /// The rung that is shown or staged, as far as there still is one; `None`: turned off.
    pub current: Option<usize>,
    /// It was bound a moment ago: it may start and rise without waiting.
    pub fresh: bool,
}

/// What the viewer's line carries besides sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// Bits per second that are known to get through.
    pub bps: u64,
    /// More was tried lately and did not get through. Otherwise nobody knows, and nothing that is shown is taken away.
    pub is_limit: bool,
}

/// What becomes of the pictures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// What the chosen rungs take, bits per second.
    pub sending_bps: u64,
    /// What the line would have to carry for the next better ones; 0: nothing is better.
    pub wanted_bps: u64,
}

/// The memory of one viewer's choices.
#[derive(Debug)]
pub struct Allocator {
    cap_bps: u64,
    strategy: Strategy,
    smooth: bool,
    /// Since when an improvement has been possible.
    possible_since: Option<Time>,
    improved_at: Option<Time>,
    hold: Duration,
    // Buffers, so that a decision allocates nothing once they have grown.
    now: Vec<Option<usize>>,
    ideal: Vec<Option<usize>>,
    order: Vec<usize>,
}

impl Allocator {
    /// Nothing chosen yet.
    pub fn new(spec: &BandwidthSpec) -> Self {
        Self {
            cap_bps: spec.max_bps,
            strategy: spec.strategy,
            smooth: spec.smooth,
            possible_since: None,
            improved_at: None,
            hold: HOLD,
            now: Vec::new(),
            ideal: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Choose a rung for each picture, in the order of `pictures`; `None` turns it off. `rungs` are those of all pictures; a choice
    /// counts from the first of its picture.
    pub fn allocate(
        &mut self,
        now: Time,
        line: Line,
        pictures: &[Picture],
        rungs: &[Rung],
    ) -> (&[Option<usize>], Demand) {
        let scene = Scene { pictures, rungs };
        self.order.clear();
        self.order.extend(0..pictures.len());
        let key = |at: &usize| pictures.get(*at).map(|one| (Reverse(one.priority), one.slot));
        self.order.sort_unstable_by_key(key);

        let room = Room {
            line,
            cap_bps: self.cap_bps,
        };
        let strategy = self.strategy;
        fill(&mut self.now, &self.order, scene, room, |one| match strategy {
            _ if !one.fresh => one.current,
            Strategy::Quality | Strategy::Bandwidth => Some(one.rungs.len().saturating_sub(1)),
            Strategy::Performance => one.current.or(Some(0)),
        });
        if strategy == Strategy::Quality && !line.is_limit {
            // It starts as high as it can be, and comes down when the line says so.
            for (chosen, one) in self.now.iter_mut().zip(pictures).filter(|(_, one)| one.fresh) {
                *chosen = Some(one.rungs.len().saturating_sub(1));
            }
        }
        let went_down = self.now.iter().zip(pictures).any(|(chosen, one)| *chosen < one.current);
        if went_down {
            let shown_bps: u64 = pictures
                .iter()
                .filter_map(|one| scene.of(one).get(one.current?))
                .map(|rung| rung.bps)
                .sum();
            // A line that lost half of what it carried is another line, and no flaw of the improvement.
            self.went_down(now, line.bps * 2 >= shown_bps);
        }

        let careful = Room {
            line: Line {
                bps: line.bps / 100 * UP_SHARE,
                ..line
            },
            cap_bps: self.cap_bps,
        };
        fill(&mut self.ideal, &self.order, scene, careful, |one| {
            Some(one.rungs.len().saturating_sub(1))
        });
        let is_better = value(&self.ideal, scene) > value(&self.now, scene);
        if !is_better || went_down {
            self.possible_since = None;
        } else if now.since(*self.possible_since.get_or_insert(now)) >= self.patience() {
            self.possible_since = None;
            self.improved_at = Some(now);
            if self.smooth {
                one_step(&mut self.now, &self.ideal, &self.order);
            } else {
                std::mem::swap(&mut self.now, &mut self.ideal);
            }
        }
        if self.improved_at.is_some_and(|at| now.since(at) >= PROVEN) {
            self.hold = HOLD;
        }
        // With one step at a time every step waits for a probe of its own; near a limit more only floods the line.
        let steps = if line.is_limit { 1 } else { 2 };
        let demand = demand(&self.now, scene, self.cap_bps, steps);
        (&self.now, demand)
    }

    /// When an improvement that is possible now will have been for long enough.
    pub fn due(&self) -> Option<Time> {
        self.possible_since.map(|since| since + self.patience())
    }

    fn patience(&self) -> Duration {
        let base = match self.strategy {
            Strategy::Quality => self.hold / 2,
            Strategy::Bandwidth => self.hold,
            Strategy::Performance => self.hold * 3,
        };
        if self.smooth { base * 2 } else { base }
    }

    /// An improvement that did not last makes the next one wait longer.
    fn went_down(&mut self, now: Time, is_flaw: bool) {
        if self.improved_at.take().is_some_and(|at| now.since(at) < PROVEN) && is_flaw {
            self.hold = (self.hold * 2).min(LONGEST_HOLD);
        }
    }
}

/// The pictures with their rungs.
#[derive(Clone, Copy)]
struct Scene<'a> {
    pictures: &'a [Picture],
    rungs: &'a [Rung],
}

impl<'a> Scene<'a> {
    fn of(self, one: &Picture) -> &'a [Rung] {
        self.rungs.get(one.rungs.clone()).unwrap_or_default()
    }
}

/// What there is to share out.
#[derive(Clone, Copy)]
struct Room {
    line: Line,
    cap_bps: u64,
}

impl Room {
    /// May a picture go to `rung` when that makes `total_bps` of all? The cap is for pictures that nobody asked to lift it for. On a line
    /// whose limit nobody has seen, what is shown stays, and what is new begins.
    fn fits(self, one: &Picture, rung: usize, total_bps: u64) -> bool {
        let is_capped = one.priority == Priority::Normal && total_bps > self.cap_bps;
        let is_given = one.current.is_some_and(|current| rung <= current) || one.fresh && rung == 0;
        !is_capped && (total_bps <= self.line.bps || is_given && !self.line.is_limit)
    }
}

/// Give every picture its lowest rung, then let go up who gains most per bit, no picture above `most`.
fn fill(
    chosen: &mut Vec<Option<usize>>,
    order: &[usize],
    scene: Scene<'_>,
    room: Room,
    most: impl Fn(&Picture) -> Option<usize>,
) {
    chosen.clear();
    chosen.resize(scene.pictures.len(), None);
    let fixed = scene.pictures.iter().filter(|one| one.fixed);
    let mut spent: u64 = fixed.filter_map(|one| scene.of(one).first()).map(|rung| rung.bps).sum();
    let mut is_first = true;
    for &at in order {
        let (Some(one), Some(choice)) = (scene.pictures.get(at), chosen.get_mut(at)) else {
            continue;
        };
        let Some(lowest) = scene.of(one).first() else { continue };
        if one.fixed {
            *choice = Some(0);
        } else if most(one).is_some() {
            let cost = if is_first {
                lowest.bps / 100 * LAST_SHARE
            } else {
                lowest.bps
            };
            if room.fits(one, 0, spent + cost) {
                *choice = Some(0);
                spent += lowest.bps;
            }
        }
        is_first = false;
    }
    for priority in [Priority::Main, Priority::Promoted, Priority::Normal] {
        while let Some(step) = best_step(chosen, scene, |one, rung, step_bps| {
            one.priority == priority
                && most(one).is_some_and(|most| rung <= most)
                && room.fits(one, rung, spent + step_bps)
        }) {
            spent += step.bps;
            if let Some(choice) = chosen.get_mut(step.picture) {
                *choice = Some(step.rung);
            }
        }
    }
}

/// One picture one rung up.
struct StepUp {
    picture: usize,
    rung: usize,
    /// What it takes more.
    bps: u64,
}

/// The allowed step up that gains most per bit.
fn best_step(
    chosen: &[Option<usize>],
    scene: Scene<'_>,
    is_allowed: impl Fn(&Picture, usize, u64) -> bool,
) -> Option<StepUp> {
    let mut best: Option<(u64, StepUp)> = None;
    for (picture, (one, choice)) in scene.pictures.iter().zip(chosen).enumerate() {
        let Some(current) = choice.filter(|_| !one.fixed) else {
            continue;
        };
        let rung = current + 1;
        let (Some(from), Some(to)) = (scene.of(one).get(current), scene.of(one).get(rung)) else {
            continue;
        };
        let bps = to.bps.saturating_sub(from.bps);
        if !is_allowed(one, rung, bps) {
            continue;
        }
        let gain = u64::from(to.value.saturating_sub(from.value)) * 1_000_000 / (bps / 1000 + 1);
        if best.as_ref().is_none_or(|(most, _)| gain > *most) {
            best = Some((gain, StepUp { picture, rung, bps }));
        }
    }
    best.map(|(_, step)| step)
}

/// What the viewer has of it: first the important pictures, then the others; pictures that are on count before their quality.
fn value(chosen: &[Option<usize>], scene: Scene<'_>) -> [u64; 4] {
    let mut sums = [0; 4];
    for (one, choice) in scene.pictures.iter().zip(chosen) {
        let Some(rung) = choice.and_then(|choice| scene.of(one).get(choice)) else {
            continue;
        };
        sums[0] += 1;
        let class = match one.priority {
            Priority::Main => 1,
            Priority::Promoted => 2,
            Priority::Normal => 3,
        };
        if let Some(sum) = sums.get_mut(class) {
            *sum += u64::from(rung.value);
        }
    }
    sums
}

/// Move the most important picture that differs one rung towards the ideal.
fn one_step(now: &mut [Option<usize>], ideal: &[Option<usize>], order: &[usize]) {
    for &at in order {
        let (Some(current), Some(wanted)) = (now.get_mut(at), ideal.get(at).copied().flatten()) else {
            continue;
        };
        if current.is_none_or(|rung| rung < wanted) {
            *current = Some(current.map_or(0, |rung| rung + 1));
            return;
        }
    }
}

/// What is sent, and what the line would have to carry for `steps` more of every picture.
fn demand(chosen: &[Option<usize>], scene: Scene<'_>, cap_bps: u64, steps: usize) -> Demand {
    let (mut sending, mut wanted, mut is_lifted) = (0_u64, 0_u64, false);
    for (one, choice) in scene.pictures.iter().zip(chosen) {
        let current = choice
            .and_then(|choice| scene.of(one).get(choice))
            .map_or(0, |rung| rung.bps);
        let next = scene
            .of(one)
            .get(choice.map_or(0, |choice| choice + 1)..)
            .filter(|_| !one.fixed)
            .and_then(|above| above.iter().take(steps).next_back());
        sending += current;
        wanted += next.map_or(current, |rung| rung.bps);
        is_lifted |= next.is_some() && one.priority != Priority::Normal;
    }
    if wanted > cap_bps && !is_lifted {
        wanted = cap_bps.max(sending);
    }
    Demand {
        sending_bps: sending,
        wanted_bps: if wanted > sending { wanted * 100 / UP_SHARE } else { 0 },
    }
}
