//! Frames that wait for a connection which takes no more: bounded in bytes, in number and in time.
//!
//! **What is dropped when it is full: the oldest whole frames.** What a viewer still has to see is the newest; a gap shows in its feedback as soon
//! as anything arrives, so that the estimate falls and what matters is sent again, while a queue that keeps the oldest would first play out its own
//! delay. A frame that was begun is always finished: the stream has no other way to go on.

use std::collections::VecDeque;
use std::time::Duration;

use rostra_sfu::time::Time;
use rostra_sfu::transport::framing;

/// Most bytes that wait.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// Most frames that wait.
pub(super) const MAX_FRAMES: usize = 512;
/// No frame is begun after it waited longer. One retransmission timeout of TCP (200 ms at least, and a round trip) must not cost frames; what is
/// older than this is no live picture.
pub(super) const MAX_AGE: Duration = Duration::from_millis(400);

/// The frames, oldest first.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: VecDeque<u8>,
    /// Bytes left of the frame that was begun; they come first.
    begun: usize,
    /// Frames that were not.
    whole: VecDeque<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Time,
    len: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The rest of a frame of which the connection took the beginning.
    pub(super) fn begin(&mut self, rest: &[u8]) {
        debug_assert!(self.is_empty());
        self.bytes.extend(rest);
        self.begun = self.bytes.len();
    }

    /// Append the frames in `stream`. How many were dropped to make room.
    pub(super) fn push(&mut self, now: Time, stream: &[u8]) -> u64 {
        let mut dropped = self.expire(now);
        let mut rest = stream;
        while let Some((frame, others)) = framing::first(rest).and_then(|len| rest.split_at_checked(len)) {
            rest = others;
            if self.begun + frame.len() > MAX_BYTES {
                dropped += 1;
                continue;
            }
            dropped += self.make_room(frame.len());
            self.bytes.extend(frame);
            self.whole.push_back(Waiting {
                since: now,
                len: frame.len(),
            });
        }
        dropped
    }

    /// Drop frames that waited too long. How many.
    pub(super) fn expire(&mut self, now: Time) -> u64 {
        let old = self
            .whole
            .iter()
            .take_while(|one| now.since(one.since) > MAX_AGE)
            .count();
        self.drop_oldest(old)
    }

    /// What comes next, as far as it lies in one piece.
    pub(super) fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    /// The connection took so many bytes.
    pub(super) fn took(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
        let mut left = count;
        loop {
            let from_begun = left.min(self.begun);
            self.begun -= from_begun;
            left -= from_begun;
            if left == 0 {
                return;
            }
            let Some(next) = self.whole.pop_front() else {
                return;
            };
            self.begun = next.len;
        }
    }

    fn make_room(&mut self, len: usize) -> u64 {
        let mut over = (self.bytes.len() + len).saturating_sub(MAX_BYTES);
        let mut count = (self.whole.len() + 1).saturating_sub(MAX_FRAMES);
        for one in self.whole.iter().take(count) {
            over = over.saturating_sub(one.len);
        }
        for one in self.whole.iter().skip(count) {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(one.len);
            count += 1;
        }
        self.drop_oldest(count)
    }

    fn drop_oldest(&mut self, count: usize) -> u64 {
        if count == 0 {
            return 0;
        }
        let bytes: usize = self.whole.drain(..count.min(self.whole.len())).map(|one| one.len).sum();
        self.bytes.drain(self.begun..self.begun + bytes);
        count as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u16, len: usize) -> Vec<u8> {
        let mut payload = vec![0; len];
        payload[..2].copy_from_slice(&number.to_be_bytes());
        let mut stream = Vec::new();
        assert!(framing::write(&mut stream, &payload));
        stream
    }

    fn ms(ms: u64) -> Time {
        Time(ms * 1000)
    }

    /// Take everything, `step` bytes at a time.
    fn taken(backlog: &mut Backlog, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !backlog.is_empty() {
            let piece = backlog.front()[..step.min(backlog.front().len())].to_vec();
            backlog.took(piece.len());
            all.extend(piece);
        }
        all
    }

    fn numbers(stream: &[u8]) -> Vec<u16> {
        let mut numbers = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            let (frame, others) = rest.split_at(framing::first(rest).unwrap());
            numbers.push(u16::from_be_bytes([frame[2], frame[3]]));
            rest = others;
        }
        numbers
    }

    #[test]
    fn frames_leave_in_order_in_pieces_of_any_size() {
        for step in [1, 7, 100, 100_000] {
            let mut backlog = Backlog::default();
            backlog.begin(&frame(0, 50)[13..]);
            for number in 1..40 {
                assert_eq!(backlog.push(ms(0), &frame(number, 20 + usize::from(number))), 0);
            }
            let stream = [frame(0, 50)[..13].to_vec(), taken(&mut backlog, step)].concat();
            assert_eq!(numbers(&stream), (0..40).collect::<Vec<_>>(), "step {step}");
            assert!(backlog.whole.is_empty() && backlog.begun == 0);
        }
    }

    #[test]
    fn a_full_backlog_drops_the_oldest_whole_frames_and_finishes_the_begun_one() {
        let mut backlog = Backlog::default();
        let begun = frame(0, 1200);
        backlog.begin(&begun[700..]);
        let mut dropped = 0;
        for number in 1..=100 {
            dropped += backlog.push(ms(0), &frame(number, 1200));
            assert!(backlog.len() <= MAX_BYTES);
        }
        let stream = [begun[..700].to_vec(), taken(&mut backlog, 333)].concat();
        let numbers = numbers(&stream);
        assert_eq!(numbers[0], 0);
        assert_eq!(numbers[1..], ((dropped as u16 + 1)..=100).collect::<Vec<_>>());
        assert_eq!(dropped, 100 - ((MAX_BYTES - 502) / 1202) as u64);
    }

    #[test]
    fn many_small_frames_are_bounded_by_their_number() {
        let mut backlog = Backlog::default();
        let dropped: u64 = (0..600).map(|number| backlog.push(ms(0), &frame(number, 2))).sum();
        assert_eq!((dropped, backlog.whole.len()), (600 - MAX_FRAMES as u64, MAX_FRAMES));
        assert_eq!(numbers(&taken(&mut backlog, 5)).first(), Some(&88));
    }

    #[test]
    fn what_waited_too_long_is_never_begun() {
        let mut backlog = Backlog::default();
        backlog.begin(&frame(0, 100)[50..]);
        for number in 1..=10 {
            backlog.push(ms(u64::from(number) * 100), &frame(number, 100));
        }
        // At 1 s, 400 ms reach back to the frame of 600 ms. The first five went as the later ones came.
        assert_eq!(backlog.expire(ms(1000)), 0);
        assert_eq!(backlog.expire(ms(1050)), 1);
        let stream = [frame(0, 100)[..50].to_vec(), taken(&mut backlog, 60)].concat();
        assert_eq!(numbers(&stream), [0, 7, 8, 9, 10]);
    }

    #[test]
    fn a_frame_that_was_begun_is_finished_however_old() {
        let mut backlog = Backlog::default();
        backlog.push(ms(0), &[frame(1, 100), frame(2, 100)].concat());
        backlog.took(1);
        assert_eq!(backlog.expire(ms(10_000)), 1);
        assert_eq!(backlog.front(), &frame(1, 100)[1..]);
    }
}
