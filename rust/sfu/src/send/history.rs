//! What a slot sent, 8 bytes per packet: enough to make the same packet again from the shared ring, and to never send one twice.

use std::time::Duration;

use super::queue::What;
use crate::command::Kind;
use crate::reason::DropReason;
use crate::time::Time;

/// Packets remembered by a video slot: 1 s of 6 Mb/s.
const VIDEO_ENTRIES: usize = 512;
/// Packets remembered by an audio slot: 1.3 s of 20 ms packets.
const AUDIO_ENTRIES: usize = 64;

const PRESENT: u8 = 1;
const SEALED: u8 = 2;
const INJECTED: u8 = 4;
const RESENT: u8 = 8;
const FILLER: u8 = 16;

/// One packet. `check` and the place in the table are 22 to 25 bits of the outgoing number, so a stale entry is never taken for another.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    check: u16,
    /// Low bits of the incoming number: must agree with what the epoch computes.
    in_low: u16,
    /// When it was last retransmitted, in units of 4 096 µs; only with `RESENT`.
    resent: u16,
    tag: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Entry>() == 8);

/// A packet that may be retransmitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Remembered {
    /// Its epoch.
    pub tag: u8,
    /// Low bits of its incoming number.
    pub in_low: u16,
    /// Parameter sets of ours, in no ring.
    pub injected: bool,
    /// It was retransmitted before, in vain.
    pub repeated: bool,
}

/// Packets by outgoing sequence number. Empty, and without memory, until the first bind.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Box<[Entry]>,
}

impl History {
    /// Take the memory, once.
    pub fn allocate(&mut self, kind: Kind) {
        if self.entries.is_empty() {
            let entries = match kind {
                Kind::Video => VIDEO_ENTRIES,
                Kind::Audio => AUDIO_ENTRIES,
            };
            self.entries = vec![Entry::default(); entries].into_boxed_slice();
        }
    }

    /// How many packets are remembered.
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Bytes taken.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.entries)
    }

    /// Was this number used already?
    pub fn contains(&self, out_seq: u64) -> bool {
        self.find(out_seq).is_some()
    }

    /// Remember a packet that is queued.
    pub fn note(&mut self, out_seq: u64, in_seq: u64, tag: u8, what: What) {
        let check = self.check(out_seq);
        let index = self.index(out_seq);
        if let Some(entry) = self.entries.get_mut(index) {
            *entry = Entry {
                check,
                in_low: in_seq as u16,
                resent: 0,
                tag,
                flags: PRESENT
                    | match what {
                        What::Media | What::MediaAgain => 0,
                        What::ParameterSets | What::ParameterSetsAgain => INJECTED,
                        What::Filler => FILLER,
                    },
            };
        }
    }

    /// A packet that is queued gets another number, or none.
    pub fn forget(&mut self, out_seq: u64) {
        if let Some(entry) = self.find_mut(out_seq).filter(|entry| entry.flags & SEALED == 0) {
            entry.flags = 0;
        }
    }

    /// May this packet be sealed? Says yes once: the nonce of SRTP is made of this number.
    pub fn seal(&mut self, out_seq: u64, in_seq: u64, tag: u8) -> bool {
        let Some(entry) = self.find_mut(out_seq) else {
            return false;
        };
        if entry.tag != tag || entry.in_low != in_seq as u16 || entry.flags & SEALED != 0 {
            return false;
        }
        entry.flags |= SEALED;
        true
    }

    /// Did this packet leave under this number? What is sent again must have been sent.
    pub fn was_sealed(&self, out_seq: u64, in_seq: u64, tag: u8) -> bool {
        self.find(out_seq)
            .is_some_and(|entry| entry.tag == tag && entry.in_low == in_seq as u16 && entry.flags & SEALED != 0)
    }

    /// The packet to retransmit, unless it was retransmitted within `guard`: the viewer cannot have seen that one yet.
    pub fn resend(&mut self, out_seq: u64, now: Time, guard: Duration) -> Result<Remembered, DropReason> {
        let entry = self.find_mut(out_seq).ok_or(DropReason::NackTooOld)?;
        if entry.flags & SEALED == 0 {
            // It waits in the queue: on its way already.
            return Err(DropReason::NackRepeated);
        }
        if entry.flags & FILLER != 0 {
            // There is no retransmission of nothing (RFC 4588 §4 repeats payloads).
            return Err(DropReason::NackTooOld);
        }
        let ticks = |micros: u64| micros / 4096;
        let tick = ticks(now.0) as u16;
        let guard = ticks(guard.as_micros() as u64).max(1);
        if entry.flags & RESENT != 0 && u64::from(tick.wrapping_sub(entry.resent)) < guard {
            return Err(DropReason::NackRepeated);
        }
        let repeated = entry.flags & RESENT != 0;
        entry.flags |= RESENT;
        entry.resent = tick;
        Ok(Remembered {
            tag: entry.tag,
            in_low: entry.in_low,
            injected: entry.flags & INJECTED != 0,
            repeated,
        })
    }

    fn find(&self, out_seq: u64) -> Option<&Entry> {
        let check = self.check(out_seq);
        self.entries
            .get(self.index(out_seq))
            .filter(|entry| entry.flags & PRESENT != 0 && entry.check == check)
    }

    fn find_mut(&mut self, out_seq: u64) -> Option<&mut Entry> {
        let check = self.check(out_seq);
        let index = self.index(out_seq);
        self.entries
            .get_mut(index)
            .filter(|entry| entry.flags & PRESENT != 0 && entry.check == check)
    }

    // The capacity is a power of two, or zero before the first bind.
    fn index(&self, out_seq: u64) -> usize {
        (out_seq as usize) & self.entries.len().saturating_sub(1)
    }

    fn check(&self, out_seq: u64) -> u16 {
        (out_seq >> self.entries.len().max(1).trailing_zeros()) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: Duration = Duration::from_millis(100);

    fn history() -> History {
        let mut history = History::default();
        history.allocate(Kind::Video);
        history
    }

    #[test]
    fn a_number_is_sealed_once() {
        let mut history = history();
        history.note(1000, 70_000, 1, What::Media);
        assert!(!history.seal(1000, 70_000, 2), "another epoch");
        assert!(history.seal(1000, 70_000, 1));
        assert!(!history.seal(1000, 70_000, 1));
    }

    #[test]
    fn a_packet_is_resent_once_per_round_trip() {
        let mut history = history();
        history.note(1000, 70_000, 1, What::Media);
        assert_eq!(
            history.resend(1000, Time(0), GUARD),
            Err(DropReason::NackRepeated),
            "still queued"
        );
        assert!(history.seal(1000, 70_000, 1));
        assert!(history.resend(1000, Time(1_000_000), GUARD).is_ok());
        assert_eq!(
            history.resend(1000, Time(1_050_000), GUARD),
            Err(DropReason::NackRepeated)
        );
        assert!(history.resend(1000, Time(1_110_000), GUARD).is_ok());
    }

    #[test]
    fn an_entry_of_an_earlier_lap_is_not_found() {
        let mut history = history();
        history.note(1000, 70_000, 1, What::Media);
        for lap in [512, 1024, 65_536, 512 * 65_535] {
            assert!(!history.contains(1000 + lap), "{lap} later");
        }
        history.note(1512, 70_512, 1, What::Media);
        assert!(!history.contains(1000));
    }

    #[test]
    fn nothing_is_found_before_the_first_bind() {
        let mut history = History::default();
        history.note(1000, 70_000, 1, What::Media);
        assert!(!history.contains(1000));
        assert_eq!(history.memory(), 0);
    }
}
