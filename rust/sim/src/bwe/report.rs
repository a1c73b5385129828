//! The table, for people and for files.

use std::fmt::Write;

use super::Side;
use super::measure::{METRICS, Measures, Metric, missed};
use super::scenario::Scenario;

/// Between these lines of docs/bandwidth.md the command writes.
pub const MARKERS: [&str; 2] = [
    "<!-- begin: written by make sim-bwe -->",
    "<!-- end: written by make sim-bwe -->",
];

/// The runs of a scenario, by side.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario.
    pub scenario: Scenario,
    /// Ours, one for each seed.
    pub ours: Vec<Measures>,
    /// str0m's.
    pub theirs: Vec<Measures>,
}

impl Row {
    fn of(&self, side: Side) -> &[Measures] {
        match side {
            Side::Ours => &self.ours,
            Side::Theirs => &self.theirs,
        }
    }

    /// Measures in which ours is worse than str0m's by more than a tenth, in the median.
    pub fn worse(&self) -> Vec<&'static str> {
        let is_worse = |metric: &&Metric| {
            let (ours, theirs) = (metric.spread(&self.ours), metric.spread(&self.theirs));
            metric.compared
                && ours
                    .zip(theirs)
                    .is_some_and(|(ours, theirs)| metric.is_worse(ours.median, theirs.median))
        };
        METRICS.iter().filter(is_worse).map(|metric| metric.heading).collect()
    }

    /// What is to be said of it: aims missed, and where str0m is better.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = missed(&self.scenario, &self.ours);
        let worse = self.worse();
        if !worse.is_empty() {
            remarks.push(format!("str0m is better: {}", worse.join("; ")));
        }
        remarks
    }

    fn cell(&self, metric: &Metric, side: Side) -> String {
        metric.spread(self.of(side)).map_or_else(
            || "–".to_owned(),
            |spread| {
                format!(
                    "{:.*} ({:.*})",
                    metric.digits, spread.median, metric.digits, spread.worst
                )
            },
        )
    }

    /// Ours to theirs, in the median.
    fn ratio(&self, metric: &Metric) -> String {
        let medians = metric.spread(&self.ours).zip(metric.spread(&self.theirs));
        match medians {
            Some((ours, theirs)) if theirs.median != 0.0 => format!("{:.2}", ours.median / theirs.median),
            _ => "–".to_owned(),
        }
    }

    /// Three lines: ours, str0m's, their ratio.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for side in Side::BOTH {
            let name = if side == Side::Ours { self.scenario.name } else { "" };
            let _ = write!(out, "{name:<15}{side:<7}");
            for metric in &METRICS {
                let _ = write!(out, "{:>14}", self.cell(metric, side));
            }
            out.push('\n');
        }
        let _ = write!(out, "{:<22}", "               ratio");
        for metric in &METRICS {
            let _ = write!(out, "{:>14}", self.ratio(metric));
        }
        for remark in self.remarks() {
            let _ = write!(out, "\n    ! {remark}");
        }
        out
    }
}

/// The heading of [`Row::text`].
pub fn heading() -> String {
    let mut out = format!("{:<22}", "median (worst)");
    for metric in &METRICS {
        let _ = write!(out, "{:>14}", metric.heading);
    }
    out
}

/// One line for each run.
pub fn csv(runs: &[(&'static str, u64, Side, Measures)]) -> String {
    let mut out = "scenario,seed,sender".to_owned();
    for metric in &METRICS {
        let _ = write!(out, ",{}", metric.key);
    }
    out.push('\n');
    for (scenario, seed, side, measures) in runs {
        let _ = write!(out, "{scenario},{seed},{side}");
        for metric in &METRICS {
            let _ = write!(out, ",{:.*}", metric.digits + 1, (metric.of)(measures));
        }
        out.push('\n');
    }
    out
}

/// The table and what is to be said of it. `plots` is where the plots lie, seen from the document.
pub fn markdown(rows: &[Row], seeds: &str, plots: &str) -> String {
    let mut out = format!(
        "Median (worst) over seeds {seeds}. First line of each scenario ours, second str0m's, third their ratio.\n\n"
    );
    let headings: Vec<_> = METRICS.iter().map(|metric| metric.heading).collect();
    let _ = writeln!(out, "| line | | {} |", headings.join(" | "));
    let _ = writeln!(out, "|---|---|{}", "---|".repeat(METRICS.len()));
    for row in rows {
        for side in Side::BOTH {
            let cells: Vec<_> = METRICS.iter().map(|metric| row.cell(metric, side)).collect();
            let name = match side {
                Side::Ours if row.remarks().is_empty() => row.scenario.name.to_owned(),
                Side::Ours => format!("**{}** ⚠", row.scenario.name),
                Side::Theirs => String::new(),
            };
            let _ = writeln!(out, "| {name} | {side} | {} |", cells.join(" | "));
        }
        let ratios: Vec<_> = METRICS.iter().map(|metric| row.ratio(metric)).collect();
        let _ = writeln!(out, "| | ratio | {} |", ratios.join(" | "));
    }
    out.push('\n');
    let marked: Vec<_> = rows.iter().filter(|row| !row.remarks().is_empty()).collect();
    if marked.is_empty() {
        out.push_str("Every aim is met, and nowhere is str0m better by more than a tenth.\n");
    } else {
        out.push_str("Outside the aims, or worse than str0m by more than a tenth (⚠):\n\n");
    }
    for row in &marked {
        let _ = writeln!(out, "- **{}**: {}", row.scenario.name, row.remarks().join("; "));
    }
    out.push('\n');
    for row in rows {
        let name = row.scenario.name;
        let _ = writeln!(out, "![{}]({plots}/{name}.svg)\n", row.scenario.about);
    }
    out
}

/// `document` with `generated` between its markers; `None` without markers.
pub fn refreshed(document: &str, generated: &str) -> Option<String> {
    let [begin, end] = MARKERS;
    let (before, rest) = document.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", generated.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::scenario;
    use super::*;

    fn measures() -> Measures {
        Measures {
            to_80_s: 2.0,
            to_90_s: 3.0,
            utilisation: 0.8,
            of_best: 1.0,
            queue_p50_ms: 5.0,
            queue_p95_ms: 50.0,
            overflow: 0.0,
            changes: 1.0,
            freezes: 0.0,
            longest_ms: 80.0,
            first_ms: 90.0,
            wrong: 0.0,
        }
    }

    fn row(ours: Measures) -> Row {
        Row {
            scenario: scenario::all().remove(0),
            ours: vec![ours],
            theirs: vec![measures()],
        }
    }

    #[test]
    fn a_row_is_marked_where_str0m_is_better_or_an_aim_is_missed() {
        assert_eq!(row(measures()).remarks(), Vec::<String>::new());
        let slower = row(Measures {
            to_80_s: 4.0,
            ..measures()
        });
        assert_eq!(slower.remarks(), ["str0m is better: 80 % s"]);
        let slow = row(Measures {
            to_80_s: 6.0,
            ..measures()
        });
        assert_eq!(slow.remarks().len(), 2);
        assert!(markdown(&[slow], "1", "plots").contains("**fixed-0.3** ⚠"));
    }

    #[test]
    fn only_what_lies_between_the_markers_is_refreshed() {
        let [begin, end] = MARKERS;
        let document = format!("# Title\n{begin}\nold\n{end}\nafter\n");
        let new = refreshed(&document, "new\n").unwrap();
        assert_eq!(new, format!("# Title\n{begin}\n\nnew\n\n{end}\nafter\n"));
        assert_eq!(refreshed(&new, "new").as_deref(), Some(new.as_str()));
        assert_eq!(refreshed("no markers", "new"), None);
    }

    #[test]
    fn the_csv_has_a_column_for_each_measure() {
        let csv = csv(&[("fixed-1", 7, Side::Theirs, measures())]);
        let columns: Vec<_> = csv.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [3 + METRICS.len(); 2]);
        assert!(csv.contains("fixed-1,7,str0m,2.00,"));
    }
}
