//! The choice of layers, in virtual time.

use crate::choice::{BandwidthSpec, Priority, Strategy};
use crate::layer::Limit;
use crate::send::SlotIndex;
use crate::send::allocator::*;
use crate::time::Time;
use std::time::Duration;

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

/// A picture that was just bound, with rungs of its own.
#[derive(Clone)]
struct Bound<'a> {
    slot: SlotIndex,
    priority: Priority,
    rungs: &'a [Rung],
    fixed: bool,
}

fn picture(slot: SlotIndex, priority: Priority, rungs: &[Rung]) -> Bound<'_> {
    Bound {
        slot,
        priority,
        rungs,
        fixed: false,
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

    fn watch(&mut self, line: Line, bound: &[Bound<'_>], millis: u64) -> &[Option<usize>] {
        let rungs: Vec<Rung> = bound.iter().flat_map(|one| one.rungs).copied().collect();
        let mut pictures: Vec<Picture> = Vec::new();
        for one in bound {
            let from = pictures.last().map_or(0, |last| last.rungs.end);
            pictures.push(Picture {
                slot: one.slot,
                priority: one.priority,
                rungs: from..from + one.rungs.len(),
                fixed: one.fixed,
                current: None,
                fresh: true,
            });
        }
        for _ in 0..millis.div_ceil(100) {
            for (one, current) in pictures.iter_mut().zip(&self.chosen) {
                (one.current, one.fresh) = (*current, false);
            }
            let (chosen, demand) = self.allocator.allocate(self.now, line, &pictures, &rungs);
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
    let chosen = Bound {
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
