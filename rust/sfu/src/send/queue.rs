//! What waits to be sealed, 16 bytes per packet. The bytes stay in the ring of the encoding.

use std::collections::VecDeque;
use std::time::Duration;

use super::SlotIndex;
use crate::time::Time;

/// What a descriptor asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// The packet itself.
    Media,
    /// The parameter sets in front of the first packet of the epoch.
    ParameterSets,
    /// Padding in the place of a packet that came late and is above the limit, so that nobody asks for its number.
    Filler,
    /// The packet again, on the SSRC of retransmissions.
    MediaAgain,
    /// The parameter sets again.
    ParameterSetsAgain,
}

/// One packet that waits: found in the ring by slot → epoch → encoding, and its number there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    /// Number in the ring.
    pub in_seq: u64,
    /// Which slot sends it.
    pub slot: SlotIndex,
    /// In which of its epochs.
    pub tag: u8,
    /// As what.
    pub what: What,
}

const _: () = assert!(size_of::<Descriptor>() == 16);

/// A bounded queue. It takes a small piece of memory at first use and twice as much whenever that is full, so that a viewer who never lags
/// stays small and one who does allocates a few times in its life.
#[derive(Debug)]
pub(super) struct Queue {
    items: VecDeque<Descriptor>,
    limit: usize,
    /// What is taken at first use, descriptors.
    first: usize,
    /// Packets that found it full while a switch caught up; `flush` counts them.
    pub refused: u64,
    /// Packets taken out because the limit fell; `flush` counts them.
    pub cut: u64,
    /// The time of what is pushed and taken next.
    pub now: Time,
    /// Packets pushed, and taken.
    pushed: u64,
    taken: u64,
    /// One packet of those that wait, by its count, and when it was pushed. When it was taken the newest one is chosen.
    timed: (u64, Time),
    newest: Time,
    /// How long the one before waited.
    waited: Duration,
}

impl Queue {
    /// First memory, descriptors: a picture of a megabit fits.
    const FIRST: usize = 32;

    /// An empty queue for at most `limit` packets.
    pub fn new(limit: usize) -> Self {
        Self::starting_with(Self::FIRST, limit)
    }

    /// The same, of which `first` descriptors are usually enough.
    pub fn starting_with(first: usize, limit: usize) -> Self {
        Self {
            items: VecDeque::new(),
            limit,
            first,
            refused: 0,
            cut: 0,
            now: Time::ZERO,
            pushed: 0,
            taken: 0,
            timed: (0, Time::ZERO),
            newest: Time::ZERO,
            waited: Duration::ZERO,
        }
    }

    /// How many more fit.
    pub fn room(&self) -> usize {
        self.limit - self.items.len()
    }

    /// Add at the end. `false` when full; then nothing changes.
    #[must_use]
    pub fn push(&mut self, item: Descriptor) -> bool {
        if self.room() == 0 {
            return false;
        }
        if self.items.len() == self.items.capacity() {
            let wanted = (self.items.capacity() * 2).max(self.first).min(self.limit);
            self.items.reserve_exact(wanted.saturating_sub(self.items.len()).max(1));
        }
        self.items.push_back(item);
        self.pushed += 1;
        self.newest = self.now;
        if self.timed.0 <= self.taken {
            self.timed = (self.pushed, self.now);
        }
        true
    }

    /// Take from the front.
    pub fn pop(&mut self) -> Option<Descriptor> {
        let item = self.items.pop_front()?;
        self.taken += 1;
        if self.timed.0 == self.taken {
            self.waited = self.now.since(self.timed.1);
            self.timed = (self.pushed, self.newest);
        }
        Some(item)
    }

    /// What waits, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.items.iter()
    }

    /// Keep what `keep` says, which may change it. Returns how many are gone.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut Descriptor) -> bool) -> u64 {
        let before = self.items.len();
        let timed = self.timed.0;
        let (mut count, mut ahead, mut timed_is_gone) = (self.taken, 0, false);
        self.items.retain_mut(|item| {
            count += 1;
            let kept = keep(item);
            ahead += u64::from(!kept && count < timed);
            timed_is_gone |= !kept && count == timed;
            kept
        });
        self.pushed = self.taken + self.items.len() as u64;
        if timed_is_gone {
            self.timed = (self.pushed, self.newest);
        } else {
            self.timed.0 -= ahead;
        }
        (before - self.items.len()) as u64
    }

    /// About how long packets wait: the age of one in the queue or what the one before it waited, whichever is longer.
    pub fn delay(&self, now: Time) -> Duration {
        if self.items.is_empty() {
            return Duration::ZERO;
        }
        now.since(self.timed.1).max(self.waited)
    }

    /// Nothing waits?
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes taken.
    pub fn memory(&self) -> usize {
        self.items.capacity() * size_of::<Descriptor>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(in_seq: u64) -> Descriptor {
        Descriptor {
            in_seq,
            slot: 0,
            tag: 0,
            what: What::Media,
        }
    }

    #[test]
    fn memory_is_taken_at_first_use_and_doubles() {
        let mut queue = Queue::new(1024);
        assert_eq!(queue.memory(), 0);
        let mut sizes = Vec::new();
        for seq in 0..1024 {
            assert!(queue.push(descriptor(seq)));
            sizes.push(queue.memory());
        }
        sizes.dedup();
        assert_eq!(sizes, [32, 64, 128, 256, 512, 1024].map(|len| len * 16));
        assert!(!queue.push(descriptor(1024)), "bounded");
        assert_eq!(queue.pop().map(|item| item.in_seq), Some(0));
    }

    #[test]
    fn the_delay_is_what_packets_wait() {
        let mut queue = Queue::new(1024);
        assert_eq!(queue.delay(Time(5)), Duration::ZERO);
        // One packet each 10 ms comes, and the one of 200 ms before leaves.
        for step in 0..200 {
            queue.now = Time(step * 10_000);
            assert!(queue.push(descriptor(step)));
            if step >= 20 {
                queue.pop();
                let delay = queue.delay(queue.now).as_millis();
                assert!((190..=400).contains(&delay), "{delay} at {step}");
            }
        }
        while queue.pop().is_some() {}
        assert_eq!(queue.delay(queue.now), Duration::ZERO);
        // All of a picture comes at once.
        for seq in 0..10 {
            assert!(queue.push(descriptor(seq)));
        }
        for step in 1..10 {
            queue.now += Duration::from_millis(10);
            queue.pop();
            assert_eq!(queue.delay(queue.now), Duration::from_millis(10 * step));
        }
    }

    #[test]
    fn what_is_taken_out_of_the_middle_does_not_stop_the_clock() {
        let mut queue = Queue::new(1024);
        for seq in 0..100 {
            queue.now = Time(seq * 1_000);
            assert!(queue.push(descriptor(seq)));
        }
        for _ in 0..10 {
            queue.pop();
        }
        queue.now = Time(200_000);
        assert_eq!(queue.retain(|item| item.in_seq % 3 == 0), 60);
        assert_eq!(queue.iter().count(), 30);
        let mut left = Vec::new();
        while let Some(item) = queue.pop() {
            left.push(item.in_seq);
            assert!(queue.is_empty() || queue.delay(queue.now).as_millis() >= 100);
        }
        assert_eq!(left, (12..100).filter(|seq| seq % 3 == 0).collect::<Vec<_>>());
        for seq in 0..5 {
            queue.now += Duration::from_millis(10);
            assert!(queue.push(descriptor(seq)));
        }
        assert!(queue.delay(queue.now) >= Duration::from_millis(40));
        assert_eq!(queue.retain(|_| false), 5);
        assert_eq!(queue.delay(queue.now), Duration::ZERO);
    }
}
