//! What waits to be sealed, 16 bytes per packet. The bytes stay in the ring of the encoding.

use std::collections::VecDeque;

use super::SlotIndex;

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

/// A bounded queue. It takes a small piece of memory at first use and all of the rest when that is full, so that a viewer who
/// never lags stays small and one who does allocates once.
#[derive(Debug)]
pub(super) struct Queue {
    items: VecDeque<Descriptor>,
    limit: usize,
    /// What is taken at first use, descriptors.
    first: usize,
    /// Packets that found it full while a switch caught up; `flush` counts them.
    pub refused: u64,
}

impl Queue {
    /// First memory, descriptors: a cached key frame of 96 packets fits.
    const FIRST: usize = 128;

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
            let wanted = if self.items.capacity() == 0 {
                self.limit.min(self.first)
            } else {
                self.limit
            };
            self.items.reserve_exact(wanted.saturating_sub(self.items.len()).max(1));
        }
        self.items.push_back(item);
        true
    }

    /// Take from the front.
    pub fn pop(&mut self) -> Option<Descriptor> {
        self.items.pop_front()
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
    fn memory_is_taken_at_first_use_and_grows_once() {
        let mut queue = Queue::new(1024);
        assert_eq!(queue.memory(), 0);
        let mut sizes = Vec::new();
        for seq in 0..1024 {
            assert!(queue.push(descriptor(seq)));
            sizes.push(queue.memory());
        }
        sizes.dedup();
        assert_eq!(sizes, [128 * 16, 1024 * 16]);
        assert!(!queue.push(descriptor(1024)), "bounded");
        assert_eq!(queue.pop().map(|item| item.in_seq), Some(0));
    }
}
