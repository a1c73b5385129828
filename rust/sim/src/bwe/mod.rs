//! The scoreboard of bandwidth: our whole system and str0m's sender, each with one viewer, on the same links with the same pictures.
//! docs/bandwidth.md says what is measured and why.

mod course;
mod ladder;
pub mod measure;
mod ours;
pub mod plot;
pub mod report;
pub mod scenario;
mod theirs;
mod watcher;

pub use course::{Run, Sample, run};
pub use ladder::{RATES_BPS, cost_bps};

use std::fmt;

/// Whose sender it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// A shard with everything that is in it.
    Ours,
    /// str0m's, with a plain application.
    Theirs,
}

impl Side {
    /// Both, in the order of the tables.
    pub const BOTH: [Self; 2] = [Self::Ours, Self::Theirs];
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Theirs => "str0m",
        })
    }
}
