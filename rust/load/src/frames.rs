//! Which frames of one SSRC arrived whole, from sequence numbers, timestamps and markers alone: any codec, any publisher.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A missing packet is waited for this long: a retransmission over a bad path takes two round trips.
const PATIENCE: Duration = Duration::from_millis(500);
/// More packets than this never wait.
const MAX_WAITING: usize = 2048;

/// Counts frames. Packets may come in any order, none twice.
#[derive(Debug, Default)]
pub struct Frames {
    next: Option<u64>,
    waiting: BTreeMap<u64, Waiting>,
    timestamp: Option<u64>,
    broken: bool,
    /// Frames of which every packet came.
    pub complete: u64,
    /// Frames of which a packet never came. Where the gap hides the border between frames, both count.
    pub incomplete: u64,
    /// Packets that never came.
    pub lost: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    timestamp: u64,
    marker: bool,
    since: Instant,
}

impl Frames {
    /// A packet came: extended sequence number, extended timestamp, marker (last of its frame). Returns how many frames became complete.
    pub fn packet(&mut self, now: Instant, seq: u64, timestamp: u64, marker: bool) -> u64 {
        let before = self.complete;
        let next = *self.next.get_or_insert(seq);
        if seq >= next {
            let since = now;
            self.waiting.insert(
                seq,
                Waiting {
                    timestamp,
                    marker,
                    since,
                },
            );
        }
        self.advance(now);
        self.complete - before
    }

    /// Stop waiting for what is overdue. Returns `true` when packets were given up: a decoder would ask for a key frame.
    pub fn advance(&mut self, now: Instant) -> bool {
        let mut gave_up = false;
        while let (Some((&seq, &packet)), Some(next)) = (self.waiting.first_key_value(), self.next) {
            if seq > next {
                if now.duration_since(packet.since) < PATIENCE && self.waiting.len() < MAX_WAITING {
                    break;
                }
                gave_up = true;
                self.lost += seq - next;
                // The gap may hold the end of one frame and the start of the next.
                if self.timestamp.is_some_and(|timestamp| timestamp != packet.timestamp) {
                    self.incomplete += 1;
                }
                self.timestamp = Some(packet.timestamp);
                self.broken = true;
            }
            self.waiting.pop_first();
            self.next = Some(seq + 1);
            self.consume(packet);
        }
        gave_up
    }

    fn consume(&mut self, packet: Waiting) {
        if self.timestamp.is_some_and(|timestamp| timestamp != packet.timestamp) {
            // Nothing is missing, and yet the marker never came: the server cut the frame, as it may at a switch.
            self.incomplete += 1;
            self.broken = false;
        }
        self.timestamp = Some(packet.timestamp);
        if packet.marker {
            if self.broken {
                self.incomplete += 1;
            } else {
                self.complete += 1;
            }
            self.timestamp = None;
            self.broken = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (sequence, timestamp, marker) of three-packet frames.
    fn packet(seq: u64) -> (u64, u64, bool) {
        (seq, seq / 3, seq % 3 == 2)
    }

    fn feed(order: &[u64], end_ms: u64) -> Frames {
        let start = Instant::now();
        let mut frames = Frames::default();
        for number in order {
            let (seq, timestamp, marker) = packet(*number);
            frames.packet(start, seq, timestamp, marker);
        }
        frames.advance(start + Duration::from_millis(end_ms));
        frames
    }

    #[test]
    fn frames_are_complete_in_any_order() {
        let frames = feed(&[0, 2, 1, 3, 5, 4, 8, 7, 6], 0);
        assert_eq!((frames.complete, frames.incomplete, frames.lost), (3, 0, 0));
    }

    #[test]
    fn a_late_packet_completes_its_frame_and_the_ones_behind() {
        let frames = feed(&[0, 1, 2, 3, 5, 6, 7, 8], 499);
        assert_eq!((frames.complete, frames.incomplete, frames.lost), (1, 0, 0));
        let frames = feed(&[0, 1, 2, 3, 5, 6, 7, 8, 4], 499);
        assert_eq!((frames.complete, frames.lost), (3, 0));
    }

    #[test]
    fn a_packet_that_never_comes_breaks_one_frame() {
        let frames = feed(&[0, 1, 2, 3, 5, 6, 7, 8], 500);
        assert_eq!((frames.complete, frames.incomplete, frames.lost), (2, 1, 1));
    }

    #[test]
    fn a_gap_over_a_border_breaks_both_frames() {
        let frames = feed(&[0, 1, 2, 3, 4, 7, 8, 9, 10, 11], 500);
        assert_eq!((frames.complete, frames.incomplete, frames.lost), (2, 2, 2));
    }

    #[test]
    fn a_whole_lost_frame_is_lost_packets_and_breaks_the_frame_behind_in_doubt() {
        let frames = feed(&[0, 1, 2, 6, 7, 8, 9, 10, 11], 500);
        assert_eq!((frames.complete, frames.incomplete, frames.lost), (2, 1, 3));
    }

    #[test]
    fn a_frame_without_its_marker_is_incomplete() {
        let start = Instant::now();
        let mut frames = Frames::default();
        frames.packet(start, 10, 1, false);
        frames.packet(start, 11, 2, true);
        assert_eq!((frames.complete, frames.incomplete), (1, 1));
    }
}
