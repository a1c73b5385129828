//! What is known of the layers of one encoding, and whether things flow.

use std::time::Duration;

use super::rate::Rate;
use crate::codec::Sizes;
use crate::layer::{LAYERS, LIMITS, Layer, Limit, clamp};
use crate::report::LayerReport;
use crate::time::Time;

/// What sent nothing for this long does not flow.
const PATIENCE: Duration = Duration::from_millis(1500);
/// … unless its pictures come as seldom as that: then for three of them,
const PICTURES: u64 = 3;
/// … and no longer than this.
const MOST_PATIENCE: Duration = Duration::from_secs(5);
/// Sums are made this often. They change by a sixteenth in that time.
const SUM_US: u64 = 64_000;

/// When pictures come, so that a slide show is not taken for silence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    last: Option<Time>,
    /// Between pictures, smoothed.
    interval_us: u64,
}

impl Pace {
    /// A picture began.
    pub(super) fn picture(&mut self, now: Time) {
        if let Some(last) = self.last {
            let step = now.micros_since(last).min(MOST_PATIENCE.as_micros() as u64);
            self.interval_us = if self.interval_us == 0 {
                step
            } else {
                (self.interval_us * 3 + step) / 4
            };
        }
        self.last = Some(now);
    }

    /// How long silence is nothing.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_micros(self.interval_us * PICTURES).clamp(PATIENCE, MOST_PATIENCE)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    rate: Rate,
    last: Option<Time>,
}

impl Cell {
    fn flows(&self, now: Time, patience: Duration) -> bool {
        self.last.is_some_and(|last| now.since(last) <= patience)
    }
}

/// Rates and times of each layer. Exists for encodings that have more than one.
#[derive(Clone, Debug, Default)]
pub struct LayerTable {
    /// Spatial first.
    cells: [[Cell; LAYERS]; LAYERS],
    /// By limit, see [`SUM_US`].
    sums: [u64; LIMITS],
    summed: u64,
    top: Layer,
}

impl LayerTable {
    /// Until now there was the lowest layer alone, with this rate and last packet.
    pub(super) fn after(rate: Rate, last: Option<Time>) -> Self {
        let mut table = Self::default();
        if let Some(cell) = table.cells.first_mut().and_then(|row| row.first_mut()) {
            *cell = Cell { rate, last };
        }
        table
    }

    /// A packet of `len` bytes came. `true`: its layer did not flow before.
    pub(crate) fn packet(&mut self, now: Time, layer: &Layer, len: usize, patience: Duration) -> bool {
        let (spatial, temporal) = (clamp(layer.spatial), clamp(layer.temporal));
        let Some(cell) = self
            .cells
            .get_mut(usize::from(spatial))
            .and_then(|row| row.get_mut(usize::from(temporal)))
        else {
            return false;
        };
        let began = !cell.flows(now, patience);
        cell.rate.add(now, len);
        cell.last = Some(now);
        self.top.spatial = self.top.spatial.max(spatial);
        self.top.temporal = self.top.temporal.max(temporal);
        if began || now.0 / SUM_US != self.summed {
            self.refresh(now, patience);
        }
        began
    }

    /// Let silence count.
    pub(super) fn refresh(&mut self, now: Time, patience: Duration) {
        self.summed = now.0 / SUM_US;
        self.top = Layer::default();
        let mut rates = [[0; LAYERS]; LAYERS];
        for ((row, rates), spatial) in self.cells.iter_mut().zip(&mut rates).zip(0..) {
            for ((cell, rate), temporal) in row.iter_mut().zip(rates).zip(0..) {
                if !cell.flows(now, patience) {
                    continue;
                }
                cell.rate.advance(now);
                *rate = cell.rate.bps();
                self.top.spatial = self.top.spatial.max(spatial);
                self.top.temporal = self.top.temporal.max(temporal);
            }
        }
        for (sum, place) in self.sums.iter_mut().zip(0..) {
            *sum = rates
                .iter()
                .take(place / LAYERS + 1)
                .flat_map(|row| row.iter().take(place % LAYERS + 1))
                .sum();
        }
    }

    /// The highest layers that flow.
    pub fn top(&self) -> Layer {
        self.top
    }

    /// Media bits per second of what a limit lets pass.
    pub fn rate_up_to(&self, limit: &Limit) -> u64 {
        self.sums.get(limit.index()).copied().unwrap_or(0)
    }

    /// Which layers flow, a bit each.
    pub(super) fn flowing(&self, now: Time, patience: Duration) -> u32 {
        self.cells
            .iter()
            .flatten()
            .rev()
            .fold(0, |bits, cell| bits << 1 | u32::from(cell.flows(now, patience)))
    }

    /// The layers that flow, with all below each.
    pub(super) fn report(&self, now: Time, patience: Duration, sizes: &Sizes) -> Vec<LayerReport> {
        let mut table = self.clone();
        table.refresh(now, patience);
        let mut layers = Vec::new();
        for ((row, spatial), (width, height)) in table.cells.iter().zip(0..).zip(*sizes) {
            for (cell, temporal) in row.iter().zip(0..) {
                if cell.flows(now, patience) {
                    layers.push(LayerReport {
                        spatial,
                        temporal,
                        bitrate_bps: table.rate_up_to(&Limit { spatial, temporal }),
                        width,
                        height,
                    });
                }
            }
        }
        if layers.len() == 1 { Vec::new() } else { layers }
    }
}
