//! Which layer of each picture a viewer's line carries.
//!
//! Pure: what could be shown and what the line carries go in, one rung per picture comes out. Every picture gets its lowest rung first, in
//! the order of priority; then whoever gains most per bit goes up, class by class. Down at once, up only when the better picture would
//! leave room and has for a while: the estimate moves all the time, and a picture that changes with it is worse than a constant one.

use std::cmp::Reverse;
use std::time::Duration;

use super::SlotIndex;
use crate::choice::{BandwidthSpec, Priority, Strategy};
use crate::encoding::Limit;
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
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Where.
    pub slot: SlotIndex,
    /// How much it matters.
    pub priority: Priority,
    /// Never empty.
    pub rungs: &'a [Rung],
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

    /// Choose a rung for each picture, in the order of `pictures`; `None` turns it off.
    pub fn allocate(&mut self, now: Time, line: Line, pictures: &[Picture<'_>]) -> (&[Option<usize>], Demand) {
        self.order.clear();
        self.order.extend(0..pictures.len());
        let key = |at: &usize| pictures.get(*at).map(|one| (Reverse(one.priority), one.slot));
        self.order.sort_unstable_by_key(key);

        let room = Room {
            line,
            cap_bps: self.cap_bps,
        };
        let strategy = self.strategy;
        fill(&mut self.now, &self.order, pictures, room, |one| match strategy {
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
            self.went_down(now);
        }

        let careful = Room {
            line: Line {
                bps: line.bps / 100 * UP_SHARE,
                ..line
            },
            cap_bps: self.cap_bps,
        };
        fill(&mut self.ideal, &self.order, pictures, careful, |one| {
            Some(one.rungs.len().saturating_sub(1))
        });
        let is_better = value(&self.ideal, pictures) > value(&self.now, pictures);
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
        let demand = demand(&self.now, pictures, self.cap_bps);
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
    fn went_down(&mut self, now: Time) {
        if self.improved_at.take().is_some_and(|at| now.since(at) < PROVEN) {
            self.hold = (self.hold * 2).min(LONGEST_HOLD);
        }
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
    fn fits(self, one: &Picture<'_>, rung: usize, total_bps: u64) -> bool {
        let is_capped = one.priority == Priority::Normal && total_bps > self.cap_bps;
        let is_given = one.current.is_some_and(|current| rung <= current) || one.fresh && rung == 0;
        !is_capped && (total_bps <= self.line.bps || is_given && !self.line.is_limit)
    }
}

/// Give every picture its lowest rung, then let go up who gains most per bit, no picture above `most`.
fn fill(
    chosen: &mut Vec<Option<usize>>,
    order: &[usize],
    pictures: &[Picture<'_>],
    room: Room,
    most: impl Fn(&Picture<'_>) -> Option<usize>,
) {
    chosen.clear();
    chosen.resize(pictures.len(), None);
    let fixed = pictures.iter().filter(|one| one.fixed);
    let mut spent: u64 = fixed.filter_map(|one| one.rungs.first()).map(|rung| rung.bps).sum();
    let mut is_first = true;
    for &at in order {
        let (Some(one), Some(choice)) = (pictures.get(at), chosen.get_mut(at)) else {
            continue;
        };
        let Some(lowest) = one.rungs.first() else { continue };
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
        while let Some(step) = best_step(chosen, pictures, |one, rung, step_bps| {
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
    pictures: &[Picture<'_>],
    is_allowed: impl Fn(&Picture<'_>, usize, u64) -> bool,
) -> Option<StepUp> {
    let mut best: Option<(u64, StepUp)> = None;
    for (picture, (one, choice)) in pictures.iter().zip(chosen).enumerate() {
        let Some(current) = choice.filter(|_| !one.fixed) else {
            continue;
        };
        let rung = current + 1;
        let (Some(from), Some(to)) = (one.rungs.get(current), one.rungs.get(rung)) else {
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
fn value(chosen: &[Option<usize>], pictures: &[Picture<'_>]) -> [u64; 4] {
    let mut sums = [0; 4];
    for (one, rung) in pictures
        .iter()
        .zip(chosen)
        .filter_map(|(one, choice)| Some((one, one.rungs.get((*choice)?)?)))
    {
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

/// What is sent, and what the line would have to carry for one step more of every picture.
fn demand(chosen: &[Option<usize>], pictures: &[Picture<'_>], cap_bps: u64) -> Demand {
    let (mut sending, mut wanted, mut is_lifted) = (0_u64, 0_u64, false);
    for (one, choice) in pictures.iter().zip(chosen) {
        let current = choice
            .and_then(|choice| one.rungs.get(choice))
            .map_or(0, |rung| rung.bps);
        let next = one
            .rungs
            .get(choice.map_or(0, |choice| choice + 1))
            .filter(|_| !one.fixed);
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Limit = Limit::ALL;

    fn ladder(rates: &[u64]) -> Vec<Rung> {
        (0..)
            .zip(rates)
            .map(|(encoding, &bps)| Rung {
                encoding,
                limit: ALL,
                bps,
                value: 2000 + u32::from(encoding) * 512,
            })
            .collect()
    }

    fn picture(slot: SlotIndex, priority: Priority, rungs: &[Rung]) -> Picture<'_> {
        Picture {
            slot,
            priority,
            rungs,
            fixed: false,
            current: None,
            fresh: true,
        }
    }

    /// A viewer that asks every 100 ms.
    struct Viewer {
        allocator: Allocator,
        now: Time,
        chosen: Vec<Option<usize>>,
        demand: Demand,
        changes: u32,
    }

    impl Viewer {
        fn new(spec: BandwidthSpec) -> Self {
            Self {
                allocator: Allocator::new(&spec),
                now: Time(1_000_000),
                chosen: Vec::new(),
                demand: Demand::default(),
                changes: 0,
            }
        }

        fn watch(&mut self, line: Line, pictures: &[Picture<'_>], millis: u64) -> &[Option<usize>] {
            let mut pictures = pictures.to_vec();
            for _ in 0..millis.div_ceil(100) {
                for (one, current) in pictures.iter_mut().zip(&self.chosen) {
                    (one.current, one.fresh) = (*current, false);
                }
                let (chosen, demand) = self.allocator.allocate(self.now, line, &pictures);
                if !self.chosen.is_empty() && self.chosen != chosen {
                    self.changes += 1;
                }
                self.chosen = chosen.to_vec();
                self.demand = demand;
                self.now += Duration::from_millis(100);
            }
            &self.chosen
        }
    }

    fn limited(bps: u64) -> Line {
        Line { bps, is_limit: true }
    }

    fn open(bps: u64) -> Line {
        Line { bps, is_limit: false }
    }

    #[test]
    fn a_new_picture_starts_at_the_best_layer_that_the_line_carries() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        let mut viewer = Viewer::new(BandwidthSpec::default());
        let pictures = [picture(0, Priority::Main, &rungs)];
        assert_eq!(viewer.watch(open(1_000_000), &pictures, 100), [Some(1)]);
    }

    #[test]
    fn strategies_start_high_or_low() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        for (strategy, first) in [(Strategy::Quality, 2), (Strategy::Performance, 0)] {
            let mut viewer = Viewer::new(BandwidthSpec {
                strategy,
                ..BandwidthSpec::default()
            });
            let pictures = [picture(0, Priority::Main, &rungs)];
            assert_eq!(viewer.watch(open(1_000_000), &pictures, 100), [Some(first)]);
        }
    }

    #[test]
    fn it_goes_down_at_once_and_up_after_a_second() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        let pictures = [picture(0, Priority::Main, &rungs)];
        let mut viewer = Viewer::new(BandwidthSpec::default());
        assert_eq!(viewer.watch(open(3_000_000), &pictures, 100), [Some(2)]);
        assert_eq!(viewer.watch(limited(600_000), &pictures, 100), [Some(1)]);
        assert_eq!(viewer.watch(limited(3_000_000), &pictures, 1000), [Some(1)]);
        assert_eq!(viewer.watch(limited(3_000_000), &pictures, 100), [Some(2)]);
    }

    #[test]
    fn an_improvement_needs_a_margin_and_what_is_shown_does_not() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        let pictures = [picture(0, Priority::Main, &rungs)];
        let mut viewer = Viewer::new(BandwidthSpec::default());
        viewer.watch(limited(600_000), &pictures, 100);
        assert_eq!(viewer.watch(limited(1_600_000), &pictures, 5000), [Some(1)]);
        assert_eq!(viewer.watch(limited(1_800_000), &pictures, 1200), [Some(2)]);
        assert_eq!(viewer.watch(limited(1_510_000), &pictures, 5000), [Some(2)]);
    }

    #[test]
    fn nothing_is_taken_away_from_a_line_whose_limit_was_not_seen() {
        let rungs = ladder(&[2_000_000]);
        let pictures = [
            picture(0, Priority::Main, &rungs),
            picture(1, Priority::Normal, &rungs),
            picture(2, Priority::Normal, &rungs),
        ];
        let mut viewer = Viewer::new(BandwidthSpec::default());
        assert_eq!(viewer.watch(open(1_000_000), &pictures, 3000), [Some(0); 3]);
        assert_eq!(
            viewer.watch(limited(4_500_000), &pictures, 100),
            [Some(0), Some(0), None]
        );
    }

    #[test]
    fn pictures_go_off_from_the_least_important_and_the_last_one_stays_longest() {
        let rungs = ladder(&[150_000, 500_000]);
        let pictures = [
            picture(0, Priority::Normal, &rungs),
            picture(1, Priority::Main, &rungs),
            picture(2, Priority::Promoted, &rungs),
            picture(3, Priority::Normal, &rungs),
        ];
        let mut viewer = Viewer::new(BandwidthSpec::default());
        viewer.watch(open(5_000_000), &pictures, 100);
        let down = |viewer: &mut Viewer, bps| viewer.watch(limited(bps), &pictures, 100).to_vec();
        assert_eq!(down(&mut viewer, 600_000), [Some(0); 4]);
        assert_eq!(down(&mut viewer, 500_000), [Some(0), Some(0), Some(0), None]);
        assert_eq!(down(&mut viewer, 320_000), [None, Some(0), Some(0), None]);
        assert_eq!(down(&mut viewer, 160_000), [None, Some(0), None, None]);
        assert_eq!(down(&mut viewer, 100_000), [None, Some(0), None, None]);
        assert_eq!(down(&mut viewer, 60_000), [None; 4]);
    }

    #[test]
    fn equal_pictures_share_fairly_even_when_one_was_there_first() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        let mut viewer = Viewer::new(BandwidthSpec::default());
        let one = [picture(0, Priority::Normal, &rungs)];
        assert_eq!(viewer.watch(limited(2_000_000), &one, 1500), [Some(2)]);
        viewer.chosen.push(None);
        let two = [
            picture(0, Priority::Normal, &rungs),
            picture(1, Priority::Normal, &rungs),
        ];
        assert_eq!(viewer.watch(limited(2_000_000), &two, 3000), [Some(1), Some(1)]);
    }

    #[test]
    fn a_promoted_picture_gets_the_better_layer() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        let pictures = [
            picture(0, Priority::Normal, &rungs),
            picture(1, Priority::Promoted, &rungs),
        ];
        let mut viewer = Viewer::new(BandwidthSpec::default());
        assert_eq!(viewer.watch(limited(1_900_000), &pictures, 3000), [Some(0), Some(2)]);
    }

    #[test]
    fn the_cap_holds_normal_pictures_and_not_the_main_one() {
        let rungs = ladder(&[1_000_000, 3_000_000]);
        let spec = BandwidthSpec {
            max_bps: 4_000_000,
            ..BandwidthSpec::default()
        };
        let normal = [
            picture(0, Priority::Normal, &rungs),
            picture(1, Priority::Normal, &rungs),
        ];
        let mut viewer = Viewer::new(spec);
        assert_eq!(viewer.watch(open(50_000_000), &normal, 3000), [Some(1), Some(0)]);
        let main = [
            picture(0, Priority::Main, &rungs),
            picture(1, Priority::Promoted, &rungs),
        ];
        let mut viewer = Viewer::new(spec);
        assert_eq!(viewer.watch(open(50_000_000), &main, 3000), [Some(1), Some(1)]);
    }

    #[test]
    fn a_choice_of_the_application_is_kept_and_the_others_get_the_rest() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        let chosen = Picture {
            fixed: true,
            ..picture(1, Priority::Normal, &rungs[2..])
        };
        let pictures = [picture(0, Priority::Main, &rungs), chosen];
        let mut viewer = Viewer::new(BandwidthSpec::default());
        assert_eq!(viewer.watch(limited(1_700_000), &pictures, 3000), [Some(0), Some(0)]);
        assert_eq!(viewer.watch(limited(500_000), &pictures, 3000), [None, Some(0)]);
    }

    #[test]
    fn a_line_that_wavers_makes_few_changes() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        let pictures = [picture(0, Priority::Main, &rungs)];
        let mut viewer = Viewer::new(BandwidthSpec::default());
        viewer.watch(limited(600_000), &pictures, 100);
        for _ in 0..60 {
            viewer.watch(limited(1_900_000), &pictures, 1500);
            viewer.watch(limited(1_400_000), &pictures, 500);
        }
        assert!(viewer.changes <= 12, "{} changes in two minutes", viewer.changes);
    }

    #[test]
    fn the_next_better_layers_are_wanted_with_the_margin_that_they_need() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        let pictures = [picture(0, Priority::Main, &rungs)];
        let mut viewer = Viewer::new(BandwidthSpec::default());
        viewer.watch(limited(600_000), &pictures, 100);
        assert_eq!(viewer.demand.sending_bps, 500_000);
        assert!(
            (1_700_000..1_800_000).contains(&viewer.demand.wanted_bps),
            "{:?}",
            viewer.demand
        );
        viewer.watch(limited(4_000_000), &pictures, 2000);
        assert_eq!(viewer.demand.wanted_bps, 0);
    }

    #[test]
    fn smooth_goes_up_one_rung_at_a_time() {
        let rungs = ladder(&[150_000, 500_000, 1_500_000]);
        let pictures = [picture(0, Priority::Main, &rungs)];
        let mut viewer = Viewer::new(BandwidthSpec {
            smooth: true,
            ..BandwidthSpec::default()
        });
        viewer.watch(limited(200_000), &pictures, 100);
        assert_eq!(viewer.watch(limited(4_000_000), &pictures, 2100), [Some(1)]);
        assert_eq!(viewer.watch(limited(4_000_000), &pictures, 2100), [Some(2)]);
    }
}
