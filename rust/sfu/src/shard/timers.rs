//! When each transport wants to be served next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

/// A heap with lazy removal: a transport has one armed time, and entries of other times are skipped when they come up.
#[derive(Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Time, u32)>>);

impl Timers {
    /// Wake the transport at `at`.
    pub fn arm(&mut self, at: Time, index: u32) {
        self.0.push(Reverse((at, index)));
    }

    /// The next transport that is due and for which `armed` confirms the time.
    pub fn pop(&mut self, now: Time, armed: impl Fn(u32, Time) -> bool) -> Option<u32> {
        while let Some(Reverse((at, index))) = self.0.peek().copied() {
            if at > now {
                return None;
            }
            self.0.pop();
            if armed(index, at) {
                return Some(index);
            }
        }
        None
    }

    /// Mostly stale entries? They pile up when transports are re-armed for earlier times, as pacing does.
    pub fn is_crowded(&self, transports: usize) -> bool {
        self.0.len() > 64 + 4 * transports
    }

    /// Keep the armed times and nothing else.
    pub fn rebuild(&mut self, armed: impl Iterator<Item = (Time, u32)>) {
        self.0.clear();
        self.0.extend(armed.map(Reverse));
    }

    /// The earliest entry; it may turn out to be stale.
    pub fn next(&self) -> Option<Time> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }
}
