//! From the layers that flow and the wish of the application to the rungs between which the allocator chooses.

use super::allocator::Rung;
use crate::choice::LayerChoice;
use crate::layer::Limit;

/// Value of one doubling of the picture's area.
const AREA: u32 = 256;
/// Value of one spatial step of unknown size: twice as wide and twice as high.
const STEP: u32 = 2 * AREA;
/// Value of the temporal layer that makes the frame rate whole, which doubles it. Half the rate, twice as large, is a better picture.
const RATE: u32 = 128;
/// … and of each one below. A quarter of the rate is no better picture however large: it stutters.
const SLOW: u32 = STEP + AREA;

/// One way to forward a track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// Place among the encodings of the track, lowest first.
    pub encoding: u8,
    /// Spatial layer, 0 where there is but one.
    pub spatial: u8,
    /// Temporal layer, 0 where there is but one.
    pub temporal: u8,
    /// Bits per second, with all layers that it needs.
    pub bps: u64,
    /// Pixels; 0: not known.
    pub width: u16,
    /// Pixels; 0: not known.
    pub height: u16,
}

/// Turn the ways of a track into rungs, from worst to best, appended to `rungs`. `ways` is used up. `true`: the application chose, and there
/// is one rung only. Nothing is appended when there are no ways.
pub fn climb(ways: &mut Vec<Way>, choice: &LayerChoice, rungs: &mut Vec<Rung>) -> bool {
    let is_explicit = choice.encoding.is_some() || choice.spatial.is_some() || choice.temporal.is_some();
    let tops = Tops::of(ways);
    if let Some(wanted) = choice.encoding {
        let met = at_most(ways, wanted, |way| way.encoding);
        ways.retain(|way| Some(way.encoding) == met);
    }
    within(ways, choice.max_width, |way| way.width);
    within(ways, choice.max_height, |way| way.height);
    within(ways, choice.max_spatial.map(u16::from), |way| u16::from(way.spatial));
    within(ways, choice.max_temporal.map(u16::from), |way| u16::from(way.temporal));
    if is_explicit {
        exact(ways, choice.spatial, |way| way.spatial);
        exact(ways, choice.temporal, |way| way.temporal);
    }
    let is_known = ways.iter().all(|way| way.width > 0 && way.height > 0);
    ways.sort_unstable_by_key(|way| (way.bps, way.encoding, way.spatial, way.temporal));
    let from = rungs.len();
    for way in ways.drain(..) {
        let value = tops.value(&way, is_known);
        // Not better than what costs less.
        if rungs
            .get(from..)
            .and_then(<[Rung]>::last)
            .is_some_and(|last| last.value >= value)
        {
            continue;
        }
        rungs.push(Rung {
            encoding: way.encoding,
            limit: tops.limit(&way),
            bps: way.bps,
            value,
        });
    }
    is_explicit && rungs.len() == from + 1
}

/// The highest layers of each encoding.
struct Tops([(u8, u8); Tops::MOST]);

impl Tops {
    /// Encodings of one track at most.
    const MOST: usize = 8;

    fn of(ways: &[Way]) -> Self {
        let mut tops = [(0, 0); Self::MOST];
        for way in ways {
            if let Some((spatial, temporal)) = tops.get_mut(usize::from(way.encoding)) {
                *spatial = way.spatial.max(*spatial);
                *temporal = way.temporal.max(*temporal);
            }
        }
        Self(tops)
    }

    fn top(&self, way: &Way) -> (u8, u8) {
        self.0.get(usize::from(way.encoding)).copied().unwrap_or_default()
    }

    /// The top of a dimension is no limit, so that a layer that appears later comes along.
    fn limit(&self, way: &Way) -> Limit {
        let (spatial, temporal) = self.top(way);
        Limit {
            spatial: if way.spatial == spatial { u8::MAX } else { way.spatial },
            temporal: if way.temporal == temporal {
                u8::MAX
            } else {
                way.temporal
            },
        }
    }

    fn value(&self, way: &Way, is_known: bool) -> u32 {
        let size = if is_known {
            log2(u32::from(way.width) * u32::from(way.height))
        } else {
            16 * AREA + (u32::from(way.encoding) + u32::from(way.spatial)) * STEP
        };
        let missing = u32::from(self.top(way).1 - way.temporal);
        (size + RATE + u32::from(u8::MAX) * SLOW) - missing.min(1) * RATE - missing.saturating_sub(1) * SLOW
    }
}

/// Base-2 logarithm in 1/256, linear between powers of two.
fn log2(x: u32) -> u32 {
    let whole = x.max(1).ilog2();
    let fraction = (u64::from(x.max(1)) << 8 >> whole) as u32 - 256;
    whole * 256 + fraction
}

/// The highest of `field` up to `wanted`; the lowest when all are above.
fn at_most(ways: &[Way], wanted: u8, field: impl Fn(&Way) -> u8) -> Option<u8> {
    let below = ways.iter().map(&field).filter(|value| *value <= wanted).max();
    below.or_else(|| ways.iter().map(&field).min())
}

/// Keep what `field` says is not above `most`, unknown sizes included; the lowest when all are above.
fn within(ways: &mut Vec<Way>, most: Option<u16>, field: impl Fn(&Way) -> u16) {
    let Some(most) = most else { return };
    let lowest = ways.iter().map(&field).min().unwrap_or_default();
    ways.retain(|way| field(way) <= most.max(lowest));
}

/// Of each encoding, keep only the layer `wanted`, or the next lower one; the highest when nothing is wanted.
fn exact(ways: &mut Vec<Way>, wanted: Option<u8>, field: impl Fn(&Way) -> u8) {
    for encoding in 0..Tops::MOST as u8 {
        let (mut met, mut lowest) = (None, None);
        for way in ways.iter().filter(|way| way.encoding == encoding) {
            let value = field(way);
            lowest = Some(lowest.map_or(value, |lowest: u8| lowest.min(value)));
            if value <= wanted.unwrap_or(u8::MAX) {
                met = met.max(Some(value));
            }
        }
        let kept = met.or(lowest);
        ways.retain(|way| way.encoding != encoding || Some(field(way)) == kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(encoding: u8, spatial: u8, temporal: u8, bps: u64, width: u16) -> Way {
        Way {
            encoding,
            spatial,
            temporal,
            bps,
            width,
            height: width / 16 * 9,
        }
    }

    /// Three encodings with two temporal layers each.
    fn simulcast() -> Vec<Way> {
        vec![
            way(0, 0, 0, 90_000, 320),
            way(0, 0, 1, 150_000, 320),
            way(1, 0, 0, 300_000, 640),
            way(1, 0, 1, 500_000, 640),
            way(2, 0, 0, 900_000, 1280),
            way(2, 0, 1, 1_500_000, 1280),
        ]
    }

    /// One encoding, L3T3.
    fn svc() -> Vec<Way> {
        let mut ways = Vec::new();
        for (spatial, width) in [(0, 320), (1, 640), (2, 1280)] {
            for temporal in 0..3 {
                let bps = 100_000 * 3_u64.pow(u32::from(spatial)) * (u64::from(temporal) + 2);
                ways.push(way(0, spatial, temporal, bps, width));
            }
        }
        ways
    }

    fn climbed(mut ways: Vec<Way>, choice: LayerChoice) -> (Vec<(u8, u8, u8)>, bool) {
        let mut rungs = Vec::new();
        let fixed = climb(&mut ways, &choice, &mut rungs);
        assert!(
            rungs.is_sorted_by(|a, b| a.bps < b.bps && a.value < b.value),
            "{rungs:?}"
        );
        let named = rungs
            .iter()
            .map(|rung| (rung.encoding, rung.limit.spatial, rung.limit.temporal));
        (named.collect(), fixed)
    }

    #[test]
    fn without_a_wish_every_step_that_is_better_is_a_rung() {
        let (rungs, fixed) = climbed(simulcast(), LayerChoice::default());
        let wanted = [
            (0, 255, 0),
            (0, 255, 255),
            (1, 255, 0),
            (1, 255, 255),
            (2, 255, 0),
            (2, 255, 255),
        ];
        assert_eq!((rungs.as_slice(), fixed), (wanted.as_slice(), false));
    }

    #[test]
    fn a_quarter_of_the_frame_rate_is_shown_of_the_smallest_picture_only() {
        let (rungs, _) = climbed(svc(), LayerChoice::default());
        let slow: Vec<_> = rungs.iter().filter(|rung| rung.2 == 0).collect();
        assert_eq!(slow, [&(0, 0, 0)], "{rungs:?}");
        assert!(rungs.contains(&(0, 1, 1)) && rungs.contains(&(0, 255, 1)), "{rungs:?}");
    }

    #[test]
    fn what_costs_more_and_looks_worse_is_no_rung() {
        let ways = vec![way(0, 0, 0, 400_000, 320), way(1, 0, 0, 300_000, 640)];
        assert_eq!(climbed(ways, LayerChoice::default()).0, [(1, 255, 255)]);
    }

    #[test]
    fn a_chosen_encoding_is_the_only_rung_with_all_its_layers() {
        for (wanted, met) in [(0, 0), (1, 1), (2, 2), (7, 2)] {
            let choice = LayerChoice {
                encoding: Some(wanted),
                ..LayerChoice::default()
            };
            assert_eq!(climbed(simulcast(), choice), (vec![(met, 255, 255)], true));
        }
    }

    #[test]
    fn a_chosen_encoding_that_stopped_is_met_by_the_next_lower_one() {
        let mut ways = simulcast();
        ways.retain(|way| way.encoding != 1);
        let choice = LayerChoice {
            encoding: Some(1),
            ..LayerChoice::default()
        };
        assert_eq!(climbed(ways.clone(), choice).0, [(0, 255, 255)]);
        ways.retain(|way| way.encoding == 2);
        assert_eq!(climbed(ways, choice).0, [(2, 255, 255)], "nothing lower flows");
    }

    #[test]
    fn chosen_layers_are_exact_and_the_other_dimension_is_the_highest() {
        let spatial = |spatial| LayerChoice {
            spatial: Some(spatial),
            ..LayerChoice::default()
        };
        assert_eq!(climbed(svc(), spatial(1)), (vec![(0, 1, 255)], true));
        assert_eq!(climbed(svc(), spatial(2)), (vec![(0, 255, 255)], true));
        let both = LayerChoice {
            temporal: Some(1),
            ..spatial(0)
        };
        assert_eq!(climbed(svc(), both), (vec![(0, 0, 1)], true));
        let encoding = LayerChoice {
            encoding: Some(2),
            temporal: Some(0),
            ..LayerChoice::default()
        };
        assert_eq!(climbed(simulcast(), encoding), (vec![(2, 255, 0)], true));
    }

    #[test]
    fn limits_leave_the_choice_below_them() {
        let spatial = LayerChoice {
            max_spatial: Some(1),
            ..LayerChoice::default()
        };
        let (rungs, fixed) = climbed(svc(), spatial);
        assert!(
            !fixed && rungs.len() > 2 && rungs.iter().all(|rung| rung.1 <= 1),
            "{rungs:?}"
        );
        let temporal = LayerChoice {
            max_temporal: Some(0),
            ..LayerChoice::default()
        };
        let (rungs, _) = climbed(simulcast(), temporal);
        assert_eq!(rungs, [(0, 255, 0), (1, 255, 0), (2, 255, 0)]);
    }

    #[test]
    fn a_size_limit_below_every_layer_leaves_the_lowest() {
        let most = |width| LayerChoice {
            max_width: Some(width),
            ..LayerChoice::default()
        };
        assert_eq!(climbed(simulcast(), most(700)).0.last(), Some(&(1, 255, 255)));
        assert_eq!(climbed(simulcast(), most(100)).0, [(0, 255, 0), (0, 255, 255)]);
        let low = LayerChoice {
            max_height: Some(360),
            ..LayerChoice::default()
        };
        assert_eq!(climbed(simulcast(), low).0.last(), Some(&(1, 255, 255)));
    }

    #[test]
    fn layers_of_unknown_size_go_by_their_place() {
        let ways = simulcast().into_iter().map(|way| Way { width: 0, ..way }).collect();
        assert_eq!(climbed(ways, LayerChoice::default()).0.last(), Some(&(2, 255, 255)));
    }

    #[test]
    fn without_ways_there_are_no_rungs() {
        assert_eq!(climbed(Vec::new(), LayerChoice::default()), (Vec::new(), false));
    }
}
