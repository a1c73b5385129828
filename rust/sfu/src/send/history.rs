//! What a slot sent, 8 bytes per packet: enough to make the same packet again from the shared ring, and to never send one twice.

use std::time::Duration;

use super::queue::What;
use crate::command::Kind;
use crate::reason::DropReason;
use crate::time::Time;

/// Packets remembered at first, and of sound for ever: 1.3 s of 20 ms packets.
const FIRST: usize = 64;
/// Packets remembered of video at most: 1 s of 6 Mb/s.
const MOST: usize = 512;
/// A packet is remembered for at least this long while that is not too many, ticks.
const REMEMBERED: u16 = (1_000_000 / TICK_US) as u16;
/// Microseconds of one tick. 16 bits of them are 268 s.
const TICK_US: u64 = 4096;

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
    /// When it was queued, or last retransmitted, ticks.
    at: u16,
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

/// Packets by outgoing sequence number. Empty, and without memory, until the first bind; then twice as many whenever the oldest would give way
/// although it is young.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Box<[Entry]>,
    most: usize,
    /// Of lower numbers it knows nothing: they gave way before there was room for them.
    from: u64,
    /// One more than the highest number.
    end: u64,
}

impl History {
    /// Take the memory, once.
    pub fn allocate(&mut self, kind: Kind) {
        if self.entries.is_empty() {
            self.most = match kind {
                Kind::Video => MOST,
                Kind::Audio => FIRST,
            };
            self.entries = vec![Entry::default(); FIRST].into_boxed_slice();
        }
    }

    /// Can it tell whether this number was used, when `newest` is the highest that was?
    pub fn reaches(&self, out_seq: u64, newest: u64) -> bool {
        out_seq >= self.from && newest < out_seq + self.entries.len() as u64
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
    pub fn note(&mut self, now: Time, out_seq: u64, in_seq: u64, tag: u8, what: What) {
        let at = tick(now);
        self.make_room(at, out_seq);
        self.end = self.end.max(out_seq + 1);
        let check = self.check(out_seq);
        let index = self.index(out_seq);
        if let Some(entry) = self.entries.get_mut(index) {
            *entry = Entry {
                check,
                in_low: in_seq as u16,
                at,
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

    /// More memory where the place of `out_seq` holds another packet that may still be asked for, and where it leaves out more numbers than
    /// half of what there is room for: what they are for may come late.
    fn make_room(&mut self, at: u16, out_seq: u64) {
        let len = self.entries.len();
        let Some(old) = self.entries.get(self.index(out_seq)) else {
            return;
        };
        let young = old.flags & PRESENT != 0 && at.wrapping_sub(old.at) < REMEMBERED;
        let gives_way = young && old.check != self.check(out_seq);
        let left_out = match self.end {
            0 => 0,
            end => out_seq.saturating_sub(end),
        };
        let mut wanted = if gives_way { len * 2 } else { len };
        while wanted < self.most && left_out > wanted as u64 / 2 {
            wanted *= 2;
        }
        let wanted = wanted.min(self.most);
        if wanted <= len {
            return;
        }
        let mut larger = Self {
            entries: vec![Entry::default(); wanted].into_boxed_slice(),
            most: self.most,
            from: self.from.max(self.end.saturating_sub(len as u64)),
            end: self.end,
        };
        for kept in larger.from..larger.end {
            let check = larger.check(kept);
            let index = larger.index(kept);
            if let (Some(found), Some(place)) = (self.find(kept), larger.entries.get_mut(index)) {
                *place = Entry { check, ..*found };
            }
        }
        *self = larger;
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
        let tick = tick(now);
        let guard = (guard.as_micros() as u64 / TICK_US).max(1);
        if entry.flags & RESENT != 0 && u64::from(tick.wrapping_sub(entry.at)) < guard {
            return Err(DropReason::NackRepeated);
        }
        let repeated = entry.flags & RESENT != 0;
        entry.flags |= RESENT;
        entry.at = tick;
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

fn tick(now: Time) -> u16 {
    (now.0 / TICK_US) as u16
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
        history.note(Time::ZERO, 1000, 70_000, 1, What::Media);
        assert!(!history.seal(1000, 70_000, 2), "another epoch");
        assert!(history.seal(1000, 70_000, 1));
        assert!(!history.seal(1000, 70_000, 1));
    }

    #[test]
    fn a_packet_is_resent_once_per_round_trip() {
        let mut history = history();
        history.note(Time::ZERO, 1000, 70_000, 1, What::Media);
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
        history.note(Time::ZERO, 1000, 70_000, 1, What::Media);
        for lap in [512, 1024, 65_536, 512 * 65_535] {
            assert!(!history.contains(1000 + lap), "{lap} later");
        }
        history.note(Time::ZERO, 1512, 70_512, 1, What::Media);
        assert!(!history.contains(1000));
    }

    /// A slot of so many packets a second, each sealed, for ten seconds.
    fn after_ten_seconds(per_second: u64) -> History {
        let mut history = history();
        for n in 0..per_second * 10 {
            let out_seq = 1000 + n;
            history.note(Time(n * 1_000_000 / per_second), out_seq, out_seq, 1, What::Media);
            assert!(history.seal(out_seq, out_seq, 1));
        }
        history
    }

    #[test]
    fn what_was_sent_a_second_ago_is_there_and_a_slow_slot_takes_little_memory() {
        for (per_second, entries) in [(15, 64), (60, 64), (90, 128), (200, 256), (500, 512), (2_000, 512)] {
            let mut history = after_ten_seconds(per_second);
            assert_eq!(history.memory(), entries * size_of::<Entry>(), "{per_second}");
            let newest = 999 + per_second * 10;
            let ago = per_second.min(511);
            assert!(history.reaches(newest - ago, newest), "{per_second}");
            assert!(
                history.resend(newest - ago, Time(10_000_000), GUARD).is_ok(),
                "{per_second}"
            );
        }
    }

    #[test]
    fn sound_keeps_its_memory() {
        let mut history = History::default();
        history.allocate(Kind::Audio);
        for n in 0..1_000 {
            history.note(Time(n * 1_000), n, n, 1, What::Media);
        }
        assert_eq!(history.memory(), 64 * size_of::<Entry>());
    }

    #[test]
    fn growing_forgets_nothing_and_claims_to_know_no_more_than_before() {
        let mut history = history();
        for out_seq in 1000..1100 {
            // One in ten comes late or never.
            if out_seq % 10 != 7 {
                history.note(Time::ZERO, out_seq, out_seq, 1, What::Media);
                assert!(history.seal(out_seq, out_seq, 1));
            }
        }
        assert_eq!(history.memory(), 128 * size_of::<Entry>());
        // 1064 was the first without room.
        for out_seq in 1000..1100 {
            assert_eq!(history.reaches(out_seq, 1099), out_seq >= 1000, "{out_seq}");
            assert_eq!(history.contains(out_seq), out_seq % 10 != 7, "{out_seq}");
            assert!(!history.seal(out_seq, out_seq, 1), "{out_seq} again");
        }
        // A late packet takes its place, once, and the table may grow at one.
        for out_seq in [1007, 1017] {
            history.note(Time::ZERO, out_seq, out_seq, 1, What::Media);
            assert!(history.seal(out_seq, out_seq, 1) && !history.seal(out_seq, out_seq, 1));
        }
    }

    #[test]
    fn a_number_that_gave_way_is_never_free_again() {
        let mut history = history();
        // A slow lap, after which the places of old packets are given away, and then a fast one.
        for out_seq in 0..100 {
            history.note(Time(out_seq * 100_000), out_seq, out_seq, 1, What::Media);
        }
        for out_seq in 100..170 {
            history.note(Time(10_000_000), out_seq, out_seq, 1, What::Media);
        }
        assert!(history.memory() > 64 * size_of::<Entry>());
        for out_seq in 0..170 {
            assert_eq!(history.reaches(out_seq, 169), history.contains(out_seq), "{out_seq}");
        }
        assert!(history.contains(101) && !history.contains(10));
    }

    #[test]
    fn a_late_packet_that_needs_room_leaves_the_newer_ones() {
        let mut history = history();
        for out_seq in (0..128).filter(|out_seq| *out_seq != 70) {
            history.note(Time(out_seq * 1_000_000), out_seq, out_seq, 1, What::Media);
        }
        // What lies in the place of the late packet was asked for a moment ago.
        assert!(history.seal(6, 6, 1) && history.resend(6, Time(127_000_000), GUARD).is_ok());
        history.note(Time(127_000_000), 70, 70, 1, What::Media);
        assert_eq!(history.memory(), 128 * size_of::<Entry>());
        for out_seq in 64..128 {
            assert!(history.contains(out_seq), "{out_seq}");
        }
    }

    #[test]
    fn numbers_that_are_left_out_can_be_given_late() {
        let mut history = history();
        for out_seq in 1000..1040 {
            history.note(Time::ZERO, out_seq, out_seq, 1, What::Media);
            assert!(history.seal(out_seq, out_seq, 1));
        }
        history.note(Time::ZERO, 1200, 1200, 1, What::Media);
        assert_eq!(history.memory(), 512 * size_of::<Entry>());
        for out_seq in 1000..1200 {
            assert!(history.reaches(out_seq, 1200), "{out_seq}");
            assert_eq!(history.contains(out_seq), out_seq < 1040, "{out_seq}");
        }
    }

    #[test]
    fn nothing_is_found_before_the_first_bind() {
        let mut history = History::default();
        history.note(Time::ZERO, 1000, 70_000, 1, What::Media);
        assert!(!history.contains(1000));
        assert_eq!(history.memory(), 0);
    }
}
