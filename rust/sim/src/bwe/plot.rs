//! A run of each side over time, as SVG.

use std::fmt::Write;

use super::Side;
use super::course::{Run, SAMPLE_US, Sample};
use super::scenario::Scenario;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 18.0;
const RATES_TOP: f64 = 40.0;
const RATES_HEIGHT: f64 = 190.0;
const QUEUE_TOP: f64 = 262.0;
const QUEUE_HEIGHT: f64 = 90.0;
const HEIGHT: f64 = 380.0;
/// Samples drawn as one point: the curves stay smooth and the files small.
const POOLED: usize = 3;

/// Middle tones are readable on white and on black; words and lines follow the reader's scheme.
const STYLE: &str = "text{font:12px sans-serif;fill:#444}.title{font-weight:bold;font-size:13px}.grid{stroke:#8884;stroke-width:1}\
.line{fill:#8883;stroke:#888;stroke-width:1}.ours{stroke:#2f81f7}.str0m{stroke:#e5702a}polyline{fill:none;stroke-width:1.7;\
stroke-linejoin:round}.sent{stroke-width:1;opacity:.55;stroke-dasharray:3 2}@media(prefers-color-scheme:dark){text{fill:#ccc}}";

/// The picture of a scenario.
pub fn svg(scenario: &Scenario, seed: u64, runs: &[(Side, Run)]) -> String {
    let samples = (scenario.seconds * 1_000_000 / SAMPLE_US) as usize;
    let rates = (0..samples).map(|index| scenario.rate_bps(index as u64 * SAMPLE_US) as f64 / 1e6);
    let top = 1.25 * rates.clone().fold(0.1, f64::max);
    let longest_ms = scenario.down.queue_us as f64 / 1e3 * 1.25;
    let rate_panel = Panel {
        top: RATES_TOP,
        height: RATES_HEIGHT,
        most: top,
        seconds: scenario.seconds as f64,
    };
    let queue_panel = Panel {
        top: QUEUE_TOP,
        height: QUEUE_HEIGHT,
        most: longest_ms,
        seconds: scenario.seconds as f64,
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><style>{STYLE}</style>\
         <text class=\"title\" x=\"{LEFT}\" y=\"16\">{}, seed {seed}</text>",
        scenario.about
    );
    rate_panel.frame(&mut out, "Mb/s: line, estimate (solid), sent (dashed)");
    queue_panel.frame(&mut out, "ms in the queue");
    rate_panel.area(
        &mut out,
        (0..samples).map(|index| scenario.rate_bps(index as u64 * SAMPLE_US) as f64 / 1e6),
    );
    for (side, run) in runs {
        let pooled: Vec<Sample> = run.samples.chunks(POOLED).map(pool).collect();
        let bits = POOLED as f64 * SAMPLE_US as f64;
        rate_panel.curve(
            &mut out,
            &format!("{side} sent"),
            pooled.iter().map(|of| of.sent_bits as f64 / bits),
        );
        rate_panel.curve(
            &mut out,
            &side.to_string(),
            pooled.iter().map(|of| of.estimate_bps as f64 / 1e6),
        );
        queue_panel.curve(
            &mut out,
            &side.to_string(),
            pooled.iter().map(|of| of.backlog_us as f64 / 1e3),
        );
    }
    for (index, (side, _)) in runs.iter().enumerate() {
        let x = WIDTH - 140.0 + 68.0 * index as f64;
        let _ = write!(
            out,
            "<polyline class=\"{side}\" points=\"{x},12 {},12\"/><text x=\"{}\" y=\"16\">{side}</text>",
            x + 16.0,
            x + 20.0
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Rates add up, the estimate is the last one, the queue the longest.
fn pool(samples: &[Sample]) -> Sample {
    Sample {
        estimate_bps: samples.last().map_or(0, |sample| sample.estimate_bps),
        sent_bits: samples.iter().map(|sample| sample.sent_bits).sum(),
        delivered_bits: samples.iter().map(|sample| sample.delivered_bits).sum(),
        backlog_us: samples.iter().map(|sample| sample.backlog_us).max().unwrap_or(0),
    }
}

struct Panel {
    top: f64,
    height: f64,
    most: f64,
    seconds: f64,
}

impl Panel {
    fn x(&self, part: f64) -> f64 {
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - (value / self.most).clamp(0.0, 1.0))
    }

    fn frame(&self, out: &mut String, title: &str) {
        let _ = write!(out, "<text x=\"{LEFT}\" y=\"{}\">{title}</text>", self.top - 5.0);
        let step = nice(self.most / 4.0);
        for number in 0..=(self.most / step) as u32 {
            let value = f64::from(number) * step;
            let y = self.y(value);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.0}H{}\"/><text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 5.0,
                y + 4.0,
                (value * 100.0).round() / 100.0
            );
        }
        let bottom = self.top + self.height;
        for second in (0..=self.seconds as u32).step_by(10) {
            let x = self.x(f64::from(second) / self.seconds);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{x:.0} {:.0}V{bottom:.0}\"/><text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{second} s</text>",
                self.top,
                bottom + 14.0
            );
        }
    }

    fn points(&self, values: impl ExactSizeIterator<Item = f64>) -> String {
        let count = values.len().max(1) as f64;
        let mut points = String::new();
        for (index, value) in values.enumerate() {
            let x = self.x((index as f64 + 1.0) / count);
            let _ = write!(points, "{x:.0},{:.0} ", self.y(value));
        }
        points.trim_end().to_owned()
    }

    fn curve(&self, out: &mut String, class: &str, values: impl ExactSizeIterator<Item = f64>) {
        let _ = write!(out, "<polyline class=\"{class}\" points=\"{}\"/>", self.points(values));
    }

    /// Steps, filled down to zero; only their corners are written.
    fn area(&self, out: &mut String, values: impl ExactSizeIterator<Item = f64>) {
        let count = values.len().max(1) as f64;
        let bottom = self.top + self.height;
        let mut path = format!("M{LEFT} {bottom:.0}");
        let mut before = None;
        for (index, value) in values.enumerate() {
            if before != Some(value) {
                let _ = write!(path, "H{:.0}V{:.0}", self.x(index as f64 / count), self.y(value));
                before = Some(value);
            }
        }
        let _ = write!(
            out,
            "<path class=\"line\" d=\"{path}H{:.0}V{bottom:.0}Z\"/>",
            WIDTH - RIGHT
        );
    }
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn nice(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least)
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::super::scenario;
    use super::*;

    #[test]
    fn a_plot_holds_every_curve_and_stays_small() {
        let scenario = scenario::all()
            .into_iter()
            .find(|scenario| scenario.name == "step-deep")
            .unwrap();
        let run = || Run {
            samples: vec![Sample::default(); 600],
            ..Run::default()
        };
        let svg = svg(&scenario, 1, &[(Side::Ours, run()), (Side::Theirs, run())]);
        assert_eq!(
            svg.matches("<polyline").count(),
            8,
            "three curves and a sample for each side"
        );
        assert!(svg.len() < 20_000, "{}", svg.len());
        assert!(svg.contains("0.6 Mb/s"));
    }
}
