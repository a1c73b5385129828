//! What was sent under which transport-wide number, 8 bytes per packet.

use super::ProbeId;
use crate::rtp::seq::SeqExtender;
use crate::time::Time;

/// Entries at first, and for a peer that reports nothing: 0.2 s of 6 Mb/s.
const FIRST: usize = 128;
/// Most entries: 1 s of 20 Mb/s.
const MOST: usize = 2048;
/// A packet of which nothing was heard for this long is not waited for, microseconds: no reason to take more memory.
const WAITED_FOR_US: u64 = 1_000_000;

/// What is known of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Fate {
    /// No packet, or it was reported to have arrived.
    #[default]
    Settled,
    /// Nothing was heard of it.
    Unknown,
    /// Reported missing. It may still arrive.
    Missing,
}

/// The low 32 bits of the time of sending tell 71 minutes apart; the table laps long before.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    sent: u32,
    bytes: u16,
    fate: Fate,
    /// 0: none.
    probe: u8,
}

const _: () = assert!(size_of::<Entry>() == 8);

/// A packet that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    /// Its number, extended.
    pub number: u64,
    /// When.
    pub at: Time,
    /// UDP payload.
    pub bytes: usize,
    /// The cluster that it belongs to.
    pub probe: Option<ProbeId>,
    /// It was reported missing before.
    pub was_missing: bool,
}

/// The last packets, by number. Without memory until the first one.
#[derive(Debug, Default)]
pub(super) struct History {
    numbers: SeqExtender,
    entries: Box<[Entry]>,
    /// Something was reported.
    answered: bool,
}

impl History {
    /// Remember a packet. Numbers that are skipped belong to nothing; one that goes back is not remembered.
    pub fn sent(&mut self, now: Time, number: u16, bytes: usize, probe: Option<ProbeId>) {
        let before = self.numbers.highest();
        let number = self.numbers.extend(number);
        if before.is_some_and(|before| number <= before) {
            return;
        }
        if let Some(before) = before {
            let from = (before + 1).max((number + 1).saturating_sub(self.entries.len() as u64));
            for skipped in from..number {
                self.put(skipped, Entry::default());
            }
        }
        self.make_room(now, number);
        self.put(
            number,
            Entry {
                sent: now.0 as u32,
                bytes: bytes.min(usize::from(u16::MAX)) as u16,
                fate: Fate::Unknown,
                probe: probe.map_or(0, ProbeId::number),
            },
        );
    }

    /// The packet arrived. `None` when it is not remembered, or was said to have arrived before.
    pub fn arrived(&mut self, now: Time, number: u16) -> Option<Sent> {
        self.answered = true;
        let (number, entry) = self.find(number)?;
        let was_missing = match entry.fate {
            Fate::Settled => return None,
            Fate::Unknown => false,
            Fate::Missing => true,
        };
        entry.fate = Fate::Settled;
        Some(sent(now, number, entry, was_missing))
    }

    /// The packet is said to be missing. `None` when it is not remembered, or this is known.
    pub fn missing(&mut self, now: Time, number: u16) -> Option<Sent> {
        let (number, entry) = self.find(number)?;
        match entry.fate {
            Fate::Settled | Fate::Missing => return None,
            Fate::Unknown => {}
        }
        entry.fate = Fate::Missing;
        Some(sent(now, number, entry, false))
    }

    /// Bytes taken.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.entries)
    }

    fn find(&mut self, number: u16) -> Option<(u64, &mut Entry)> {
        let highest = self.numbers.highest()?;
        let number = self.numbers.peek(number);
        if number > highest || highest - number >= self.entries.len() as u64 {
            return None;
        }
        let index = self.index(number);
        Some((number, self.entries.get_mut(index)?))
    }

    /// Twice the memory where the place of `number` holds a packet that may still be reported.
    fn make_room(&mut self, now: Time, number: u64) {
        let len = self.entries.len();
        if len == 0 {
            self.entries = vec![Entry::default(); FIRST].into_boxed_slice();
            return;
        }
        let Some(old) = self.entries.get(self.index(number)) else {
            return;
        };
        if !self.answered || old.fate == Fate::Settled || age(now, old) > WAITED_FOR_US || len >= MOST {
            return;
        }
        let mut larger = vec![Entry::default(); len * 2].into_boxed_slice();
        for kept in number.saturating_sub(len as u64)..number {
            let from = self.entries.get(self.index(kept));
            if let (Some(from), Some(to)) = (from, larger.get_mut((kept as usize) & (len * 2 - 1))) {
                *to = *from;
            }
        }
        self.entries = larger;
    }

    fn put(&mut self, number: u64, entry: Entry) {
        let index = self.index(number);
        if let Some(place) = self.entries.get_mut(index) {
            *place = entry;
        }
    }

    // The capacity is a power of two, or zero before the first packet.
    fn index(&self, number: u64) -> usize {
        (number as usize) & self.entries.len().saturating_sub(1)
    }
}

fn age(now: Time, entry: &Entry) -> u64 {
    u64::from((now.0 as u32).wrapping_sub(entry.sent))
}

fn sent(now: Time, number: u64, entry: &Entry, was_missing: bool) -> Sent {
    Sent {
        number,
        at: Time(now.0.saturating_sub(age(now, entry))),
        bytes: usize::from(entry.bytes),
        probe: ProbeId::from_number(entry.probe),
        was_missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(history: &mut History, now: u64, number: u16) -> Option<u64> {
        history.arrived(Time(now), number).map(|sent| sent.at.0)
    }

    #[test]
    fn a_packet_arrives_once() {
        let mut history = History::default();
        history.sent(Time(1_000), 65_535, 100, ProbeId::from_number(7));
        history.sent(Time(2_000), 0, 200, None);
        let first = history.arrived(Time(90_000), 65_535).expect("remembered");
        assert_eq!(
            (first.at, first.bytes, first.probe),
            (Time(1_000), 100, ProbeId::from_number(7))
        );
        assert_eq!(history.arrived(Time(90_000), 65_535), None);
        assert_eq!(at(&mut history, 90_000, 0), Some(2_000));
        assert_eq!(at(&mut history, 90_000, 1), None, "never sent");
    }

    #[test]
    fn a_missing_packet_is_missing_once_and_may_still_arrive() {
        let mut history = History::default();
        history.sent(Time(1), 5, 100, None);
        assert!(history.missing(Time(9), 5).is_some());
        assert!(history.missing(Time(9), 5).is_none());
        assert!(history.arrived(Time(10), 5).is_some_and(|sent| sent.was_missing));
        assert!(history.missing(Time(11), 5).is_none(), "it is there");
    }

    #[test]
    fn memory_grows_while_packets_wait_for_their_report_and_not_otherwise() {
        let [mut prompt, mut late, mut slow, mut never] = [(); 4].map(|()| History::default());
        for number in 0..20_000_u16 {
            let now = Time(u64::from(number) * 400);
            for (history, lag) in [(&mut prompt, 20), (&mut late, 1_500)] {
                history.sent(now, number, 1200, None);
                history.arrived(now, number.saturating_sub(lag));
            }
            never.sent(now, number, 1200, None);
            let now = Time(u64::from(number) * 20_000);
            slow.sent(now, number, 1200, None);
            slow.arrived(now, number.saturating_sub(100));
        }
        let sizes = [prompt, late, slow, never].map(|history| history.memory() / size_of::<Entry>());
        assert_eq!(sizes, [FIRST, MOST, FIRST, FIRST]);
    }

    #[test]
    fn growing_keeps_what_waits() {
        let mut history = History::default();
        for number in 0..200_u16 {
            history.sent(Time(u64::from(number)), number, 1200, None);
            assert_eq!(at(&mut history, 5_000, u16::MAX), None);
        }
        for number in 0..200_u16 {
            assert_eq!(at(&mut history, 5_000, number), Some(u64::from(number)));
        }
    }

    #[test]
    fn times_survive_the_wrap_of_their_32_bits() {
        let mut history = History::default();
        let late = u64::from(u32::MAX) * 3 + 7;
        history.sent(Time(late), 1, 100, None);
        assert_eq!(at(&mut history, late + 300_000, 1), Some(late));
    }

    #[test]
    fn a_leap_in_the_numbers_leaves_nothing_behind() {
        let mut history = History::default();
        for number in 0..128 {
            history.sent(Time(1), number, 100, None);
        }
        history.sent(Time(2), 20_000, 100, None);
        for number in 0..128 {
            assert_eq!(at(&mut history, 3, number), None);
        }
        assert_eq!(at(&mut history, 3, 20_000), Some(2));
    }
}
