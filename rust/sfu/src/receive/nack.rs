//! What is missing of an encoding, and when to ask for it (RFC 4585 §6.2.1).

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Most packets that are asked for at a time. A longer gap is cheaper to close with a key frame.
pub const MAX_MISSING: usize = 256;
/// Times that a packet is asked for.
pub const MAX_TRIES: u32 = 10;
/// A packet that is missing for longer is too late for viewers' jitter buffers.
const MAX_AGE: Duration = Duration::from_secs(1);
/// A gap is loss when this many packets behind it have come: reordering by more is rare on the Internet (RFC 5681 §3.2 waits
/// for as many) …
const REORDER_PACKETS: u64 = 3;
/// … or after this time, for the last packets of a picture, which none may follow for long.
const REORDER_WAIT: Duration = Duration::from_millis(10);
/// Round-trip time before any was measured.
const INITIAL_RTT: Duration = Duration::from_millis(100);
const MIN_SPACING: Duration = Duration::from_millis(20);
const MAX_RTT: Duration = Duration::from_millis(500);

/// Round-trip time to the publisher, from requests and what they brought. Its reports say nothing of it, as we send it no
/// media.
#[derive(Clone, Copy, Debug)]
pub struct Rtt {
    smoothed: Duration,
    /// Before, it is a guess.
    sampled: bool,
}

impl Default for Rtt {
    fn default() -> Self {
        Self {
            smoothed: INITIAL_RTT,
            sampled: false,
        }
    }
}

impl Rtt {
    /// Smoothed as in RFC 6298 §2.
    pub fn sample(&mut self, sample: Duration) {
        self.smoothed = (self.smoothed * 7 + sample.min(MAX_RTT)) / 8;
        self.sampled = true;
    }

    /// What is known; nothing before something was asked for and came.
    pub fn known(&self) -> Option<Duration> {
        self.sampled.then_some(self.smoothed)
    }

    /// Between one request and the next for the same packet. It grows by a quarter of a round trip with every try, so that ten
    /// tries outlast an outage of several round trips.
    fn spacing(&self, tries: u32) -> Duration {
        let spacing = self.smoothed.max(MIN_SPACING);
        spacing + spacing * tries.saturating_sub(1) / 4
    }
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq: u64,
    found: Time,
    /// The count of arrivals at which it is loss without waiting.
    ripe_at: u64,
    due: Time,
    first_asked: Time,
    tries: u32,
}

/// What an arrival meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// Nothing special.
    Plain,
    /// It was asked for, this long ago.
    Recovered(Duration),
    /// So much is missing in front of it that only a key frame helps. Nothing is asked for any more.
    GaveUp,
}

/// The missing packets of one encoding.
#[derive(Debug)]
pub struct NackList {
    /// In ascending order.
    missing: VecDeque<Missing>,
    newest: Option<u64>,
    arrivals: u64,
    /// Not later than the first entry that is due. May be early.
    due: Option<Time>,
    window: u64,
    /// Most entries.
    limit: usize,
}

impl NackList {
    /// `window`: capacity of the ring; what does not fit there is not asked for.
    pub fn new(window: u64) -> Self {
        Self {
            missing: VecDeque::new(),
            newest: None,
            arrivals: 0,
            due: None,
            window,
            limit: MAX_MISSING,
        }
    }

    /// Of a publisher that repeats nothing: every gap is given up at once.
    pub fn hopeless() -> Self {
        Self {
            limit: 0,
            ..Self::new(0)
        }
    }

    /// A packet came, first hand or as a retransmission.
    pub fn received(&mut self, now: Time, seq: u64) -> Arrival {
        let Some(newest) = self.newest else {
            self.missing.reserve_exact(self.limit);
            self.newest = Some(seq);
            return Arrival::Plain;
        };
        if seq <= newest {
            return self.filled(now, seq);
        }
        self.newest = Some(seq);
        self.arrivals += 1;
        let gap = (seq - newest - 1) as usize;
        if gap + self.missing.len() > self.limit {
            self.clear();
            return Arrival::GaveUp;
        }
        for seq in newest + 1..seq {
            self.missing.push_back(Missing {
                seq,
                found: now,
                ripe_at: self.arrivals + REORDER_PACKETS - 1,
                due: now + REORDER_WAIT,
                first_asked: now,
                tries: 0,
            });
        }
        if gap > 0 {
            self.wake(now + REORDER_WAIT);
        }
        let mut ripe = false;
        for missing in self.missing.iter_mut().rev() {
            if missing.ripe_at < self.arrivals {
                break;
            }
            if missing.ripe_at == self.arrivals && missing.tries == 0 {
                missing.due = missing.due.min(now);
                ripe = true;
            }
        }
        if ripe {
            self.wake(now);
        }
        Arrival::Plain
    }

    fn filled(&mut self, now: Time, seq: u64) -> Arrival {
        let at = self.missing.partition_point(|missing| missing.seq < seq);
        match self.missing.get(at) {
            Some(missing) if missing.seq == seq => {
                let missing = *missing;
                self.missing.remove(at);
                if missing.tries > 0 {
                    Arrival::Recovered(now.since(missing.first_asked))
                } else {
                    Arrival::Plain
                }
            }
            Some(_) | None => Arrival::Plain,
        }
    }

    /// Still missing, and worth asking for?
    pub fn is_missing(&self, seq: u64) -> bool {
        self.missing.binary_search_by_key(&seq, |missing| missing.seq).is_ok()
    }

    /// A key frame begins at `start`: no viewer needs what came before.
    pub fn key_frame(&mut self, start: u64) {
        while self.missing.front().is_some_and(|missing| missing.seq < start) {
            self.missing.pop_front();
        }
    }

    /// Numbers go on from `newest`, which counts as received. Nothing before it is asked for.
    pub fn restart(&mut self, newest: u64) {
        self.clear();
        self.newest = Some(newest);
    }

    /// Ask for nothing any more.
    pub fn clear(&mut self) {
        self.missing.clear();
        self.due = None;
    }

    /// When to look again. May be early, never late.
    pub fn due(&self) -> Option<Time> {
        self.due
    }

    /// Append the numbers that are to be asked for now.
    pub fn collect(&mut self, now: Time, out: &mut Vec<u16>) {
        let oldest = self.newest.map_or(0, |newest| (newest + 1).saturating_sub(self.window));
        self.missing.retain(|missing| {
            missing.seq >= oldest
                && now.since(missing.found) < MAX_AGE
                && (missing.tries < MAX_TRIES || missing.due > now)
        });
        out.extend(
            self.missing
                .iter()
                .filter(|missing| missing.due <= now)
                .map(|missing| missing.seq as u16),
        );
        self.due = self.missing.iter().map(|missing| missing.due).min();
    }

    /// What `collect` gave was asked for.
    pub fn asked(&mut self, now: Time, rtt: &Rtt) {
        for missing in self.missing.iter_mut().filter(|missing| missing.due <= now) {
            if missing.tries == 0 {
                missing.first_asked = now;
            }
            missing.tries += 1;
            missing.due = now + rtt.spacing(missing.tries);
        }
        self.due = self.missing.iter().map(|missing| missing.due).min();
    }

    fn wake(&mut self, at: Time) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(list: &mut NackList, now: Time) -> Vec<u16> {
        let mut seqs = Vec::new();
        list.collect(now, &mut seqs);
        list.asked(now, &Rtt::default());
        seqs
    }

    fn ms(ms: u64) -> Time {
        Time(ms * 1000)
    }

    #[test]
    fn reordering_within_the_guard_asks_for_nothing() {
        let mut list = NackList::new(1024);
        for (at, seq) in [(0, 100), (1, 102), (2, 103), (3, 101), (4, 104)] {
            list.received(ms(at), seq);
            assert_eq!(ask(&mut list, ms(at)), [0_u16; 0]);
        }
        assert_eq!(ask(&mut list, ms(500)), [0_u16; 0]);
        assert_eq!(list.due(), None);
    }

    #[test]
    fn where_nothing_is_repeated_a_gap_is_given_up_at_once() {
        let mut list = NackList::hopeless();
        let arrivals = [100, 101, 103, 102, 104, 110].map(|seq| list.received(ms(seq), seq));
        let expected = [
            Arrival::Plain,
            Arrival::Plain,
            Arrival::GaveUp,
            Arrival::Plain,
            Arrival::Plain,
            Arrival::GaveUp,
        ];
        assert_eq!((arrivals, list.due()), (expected, None));
        assert_eq!(ask(&mut list, ms(1000)), [0_u16; 0]);
    }

    #[test]
    fn a_gap_is_loss_after_three_packets_or_ten_milliseconds() {
        let mut list = NackList::new(1024);
        list.received(ms(0), 100);
        list.received(ms(1), 103);
        list.received(ms(1), 104);
        assert_eq!(ask(&mut list, ms(1)), [0_u16; 0]);
        list.received(ms(2), 105);
        assert_eq!(list.due(), Some(ms(2)));
        assert_eq!(ask(&mut list, ms(2)), [101, 102]);
        list.received(ms(3), 107);
        assert_eq!(list.due(), Some(ms(13)));
        assert_eq!(ask(&mut list, ms(12)), [0_u16; 0]);
        assert_eq!(ask(&mut list, ms(13)), [106]);
    }

    #[test]
    fn a_packet_is_asked_for_ten_times_at_most_and_for_a_second_at_most() {
        for rtt_ms in [5, 100, 400] {
            let mut rtt = Rtt::default();
            for _ in 0..100 {
                rtt.sample(Duration::from_millis(rtt_ms));
            }
            let mut list = NackList::new(1024);
            list.received(ms(0), 100);
            list.received(ms(0), 102);
            let mut asked = Vec::new();
            while let Some(due) = list.due() {
                let mut seqs = Vec::new();
                list.collect(due, &mut seqs);
                list.asked(due, &rtt);
                if !seqs.is_empty() {
                    asked.push(due);
                }
            }
            assert!(
                asked.len() <= MAX_TRIES as usize && asked.last() < Some(&ms(1000)),
                "{asked:?}"
            );
            for pair in asked.windows(2) {
                assert!(
                    pair[1].since(pair[0]) >= Duration::from_millis(rtt_ms.max(20) - 1),
                    "{asked:?}"
                );
            }
            assert_eq!(asked.len() == 10, rtt_ms == 5, "{asked:?}");
        }
    }

    #[test]
    fn a_gap_that_is_too_long_gives_up_on_everything() {
        let mut list = NackList::new(1024);
        list.received(ms(0), 100);
        list.received(ms(0), 102);
        assert_eq!(list.received(ms(1), 102 + 257), Arrival::GaveUp);
        assert_eq!(ask(&mut list, ms(100)), [0_u16; 0]);
        assert_eq!(list.received(ms(101), 360), Arrival::Plain);
        assert_eq!(list.received(ms(101), 361 + 256), Arrival::Plain);
        assert_eq!(ask(&mut list, ms(200)).len(), 256);
    }

    #[test]
    fn nothing_before_a_key_frame_is_asked_for() {
        let mut list = NackList::new(1024);
        list.received(ms(0), 100);
        list.received(ms(0), 105);
        list.key_frame(103);
        assert_eq!(ask(&mut list, ms(50)), [103, 104]);
    }

    #[test]
    fn an_answer_tells_the_round_trip_time() {
        let mut list = NackList::new(1024);
        list.received(ms(0), 100);
        list.received(ms(0), 102);
        assert_eq!(ask(&mut list, ms(10)), [101]);
        assert_eq!(
            list.received(ms(47), 101),
            Arrival::Recovered(Duration::from_millis(37))
        );
        assert_eq!(list.received(ms(48), 101), Arrival::Plain);
    }

    #[test]
    fn what_no_longer_fits_the_ring_is_not_asked_for() {
        let mut list = NackList::new(128);
        list.received(ms(0), 100);
        list.received(ms(0), 102);
        for seq in 103..230 {
            list.received(ms(1), seq);
        }
        assert_eq!(ask(&mut list, ms(2)), [0_u16; 0]);
    }
}
