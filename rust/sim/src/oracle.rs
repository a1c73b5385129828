//! What a person in front of the viewer would have seen.

use std::collections::BTreeMap;

use crate::media::Seen;

/// Limits that a run must keep. Each of them is shown to fail when it is set to zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Largest part of the frames between the first and the last that may be missing or not decodable.
    pub missing: f64,
    /// Longest time between two shown frames, milliseconds.
    pub freeze_ms: u64,
    /// Most torn frames.
    pub torn: u64,
}

/// The bounds of the acceptance: 99.9 % complete, nothing torn, no freeze over half a second.
pub const BOUNDS: Bounds = Bounds {
    missing: 0.001,
    freeze_ms: 500,
    torn: 0,
};

#[derive(Debug, Default)]
struct Frame {
    count: u8,
    key: bool,
    have: Vec<bool>,
    picture_id: u16,
    timestamp: u64,
}

/// A decoder without pixels: frames are shown in order, each needs all its packets and the frame before, or is a key frame.
#[derive(Debug, Default)]
pub struct Screen {
    frames: BTreeMap<u32, Frame>,
    shown: Option<u32>,
    shown_at_us: u64,
    first: Option<u32>,
    first_at_us: Option<u64>,
    /// Frames shown.
    pub shown_frames: u64,
    /// Frames skipped because they never became decodable.
    pub skipped_frames: u64,
    /// Packets whose content contradicts the frame they belong to, or is damaged.
    pub torn: u64,
    /// Longest time without a new picture, microseconds.
    pub longest_gap_us: u64,
}

impl Screen {
    /// A packet came; `seen` is `None` when it is damaged. The timestamp is the extended RTP time as received.
    pub fn packet(&mut self, now_us: u64, timestamp: u64, seen: Option<Seen>) {
        let Some(seen) = seen else {
            self.torn += 1;
            return;
        };
        if self.shown.is_some_and(|shown| seen.frame <= shown) {
            return;
        }
        let frame = self.frames.entry(seen.frame).or_insert_with(|| Frame {
            count: seen.count,
            key: seen.key,
            have: vec![false; usize::from(seen.count)],
            picture_id: seen.picture_id,
            timestamp,
        });
        if frame.count != seen.count
            || frame.key != seen.key
            || frame.picture_id != seen.picture_id
            || frame.timestamp != timestamp
        {
            self.torn += 1;
            return;
        }
        if let Some(have) = frame.have.get_mut(usize::from(seen.index)) {
            *have = true;
        }
        self.show(now_us);
    }

    fn show(&mut self, now_us: u64) {
        loop {
            let next = self.shown.map(|shown| shown + 1);
            let ready = |frame: &Frame| frame.have.iter().all(|have| *have);
            let decodable = match next {
                Some(next) if self.frames.get(&next).is_some_and(ready) => Some(next),
                _ => self
                    .frames
                    .iter()
                    .find(|(_, frame)| frame.key && ready(frame))
                    .map(|(number, _)| *number),
            };
            let Some(number) = decodable else {
                return;
            };
            if let Some(shown) = self.shown {
                self.skipped_frames += u64::from(number - shown - 1);
                self.longest_gap_us = self.longest_gap_us.max(now_us - self.shown_at_us);
            }
            self.first.get_or_insert(number);
            self.first_at_us.get_or_insert(now_us);
            self.shown = Some(number);
            self.shown_at_us = now_us;
            self.shown_frames += 1;
            self.frames.retain(|frame, _| *frame > number);
        }
    }

    /// Nothing new for this long, microseconds.
    pub fn waiting_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.shown_at_us)
    }

    /// Number of the first frame shown.
    pub fn first(&self) -> Option<u32> {
        self.first
    }

    /// When the first frame was shown, microseconds.
    pub fn first_at_us(&self) -> Option<u64> {
        self.first_at_us
    }

    /// What is wrong with this run, in words; empty when nothing is.
    pub fn verdict(&self, end_us: u64, bounds: &Bounds) -> Vec<String> {
        let mut wrong = Vec::new();
        let all = self.shown_frames + self.skipped_frames;
        let missing = self.skipped_frames as f64 / all.max(1) as f64;
        if self.shown_frames == 0 {
            wrong.push("no picture at all".to_owned());
        }
        if missing > bounds.missing {
            wrong.push(format!("{} of {all} frames complete", self.shown_frames));
        }
        let gap_us = self.longest_gap_us.max(self.waiting_us(end_us));
        if gap_us > bounds.freeze_ms * 1000 {
            wrong.push(format!("frozen for {} ms", gap_us / 1000));
        }
        if self.torn > bounds.torn {
            wrong.push(format!("{} torn packets", self.torn));
        }
        wrong
    }
}
