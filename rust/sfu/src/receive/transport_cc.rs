//! Arrivals of all packets of a transport, for feedback to the publisher's congestion control
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::time::Duration;

use crate::ids::Ssrc;
use crate::rtp::rtcp::RtcpWriter;
use crate::rtp::seq::SeqExtender;
use crate::time::Time;

/// From the first packet that is not reported yet to its report. Shorter gains nothing for the sender's estimate, longer delays
/// it.
pub const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);
/// Numbers that are kept. Half a second of 20 Mb/s.
const WINDOW: u64 = 1024;

/// How a report went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrote {
    /// Nothing is left to report.
    All,
    /// The datagram is full, or one report does not span all that is left.
    Part,
    /// The datagram has no room for a report.
    NoRoom,
}

/// What arrived when.
#[derive(Debug, Default)]
pub struct TransportCcRecorder {
    extender: SeqExtender,
    newest: Option<u64>,
    /// The first number that the next report covers.
    next: u64,
    /// By number modulo [`WINDOW`]; empty until the first packet.
    arrivals: Box<[Option<Time>]>,
    entries: Vec<(u64, Option<Time>)>,
    due: Option<Time>,
    count: u8,
}

impl TransportCcRecorder {
    /// A packet with the transport-wide number `seq` came, whatever became of it afterwards.
    pub fn arrived(&mut self, now: Time, seq: u16) {
        if self.arrivals.is_empty() {
            self.arrivals = vec![None; WINDOW as usize].into_boxed_slice();
            self.entries.reserve_exact(WINDOW as usize + 1);
        }
        let seq = self.extender.extend(seq);
        match self.newest {
            None => {
                self.newest = Some(seq);
                self.next = seq;
            }
            Some(newest) if seq > newest => {
                for skipped in (newest + 1).max((seq + 1).saturating_sub(WINDOW))..seq {
                    self.set(skipped, None);
                }
                self.newest = Some(seq);
                // What does not fit is forgotten; the sender takes it for lost without our help.
                self.next = self.next.max((seq + 1).saturating_sub(WINDOW));
            }
            Some(newest) if newest - seq >= WINDOW => return,
            // It was reported as lost, or is about to be. A report of it covers all that came since again.
            Some(_) => self.next = self.next.min(seq),
        }
        self.set(seq, Some(now));
        self.due.get_or_insert(now + FEEDBACK_INTERVAL);
    }

    /// When a report is due.
    pub fn due(&self) -> Option<Time> {
        self.due
    }

    /// Write one report.
    pub fn write(&mut self, sender: Ssrc, media: Ssrc, out: &mut RtcpWriter<'_>) -> Wrote {
        let Some(newest) = self.newest.filter(|&newest| newest >= self.next) else {
            self.due = None;
            return Wrote::All;
        };
        self.entries.clear();
        for seq in self.next..=newest {
            let arrival = self.arrival(seq);
            // Numbers in between count as missing without an entry, the first one has to be named.
            if arrival.is_some() || seq == self.next {
                self.entries.push((seq, arrival));
            }
        }
        let Some(covered) = out.transport_cc(sender, media, self.count, &self.entries) else {
            return Wrote::NoRoom;
        };
        self.count = self.count.wrapping_add(1);
        self.next = match self.entries.get(covered) {
            Some((next, _)) => *next,
            None => newest + 1,
        };
        if self.next > newest {
            self.due = None;
            Wrote::All
        } else {
            Wrote::Part
        }
    }

    /// Give up on what waits: it fits into no datagram.
    pub fn skip(&mut self) {
        self.next = self.newest.map_or(0, |newest| newest + 1);
        self.due = None;
    }

    fn set(&mut self, seq: u64, arrival: Option<Time>) {
        if let Some(slot) = self.arrivals.get_mut((seq % WINDOW) as usize) {
            *slot = arrival;
        }
    }

    fn arrival(&self, seq: u64) -> Option<Time> {
        self.arrivals.get((seq % WINDOW) as usize).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::rtcp::{Rtcp, packets};

    const TICK_US: i64 = 250;

    /// Number and arrival in ticks of 250 µs after the first arrival, of all reports of one flush.
    fn reports(recorder: &mut TransportCcRecorder, room: usize) -> Vec<Vec<(u16, Option<i64>)>> {
        let mut out = Vec::new();
        loop {
            let mut bytes = vec![0; room];
            let mut writer = RtcpWriter::new(&mut bytes);
            let wrote = recorder.write(Ssrc(1), Ssrc(2), &mut writer);
            let len = writer.len();
            for packet in packets(bytes.get(..len).expect("written")) {
                let Ok(Rtcp::TransportCc(feedback)) = packet else {
                    panic!("not transport-cc: {packet:?}")
                };
                let reference = i64::from(feedback.reference) * 64_000;
                out.push(
                    feedback
                        .arrivals()
                        .map(|(seq, at)| (seq, at.map(|at| (reference + at) / TICK_US)))
                        .collect(),
                );
            }
            match wrote {
                Wrote::All => return out,
                Wrote::Part => {}
                Wrote::NoRoom => panic!("no room"),
            }
        }
    }

    fn ticks(at: u64) -> Option<i64> {
        Some(at as i64 / TICK_US)
    }

    #[test]
    fn a_report_says_exactly_what_arrived_when() {
        let mut recorder = TransportCcRecorder::default();
        let arrivals = [
            (65_533_u16, 1_000_000),
            (65_535, 1_000_300),
            (1, 1_003_000),
            (0, 1_090_000),
        ];
        for (seq, at) in arrivals {
            recorder.arrived(Time(at), seq);
        }
        assert_eq!(recorder.due(), Some(Time(1_050_000)));
        assert_eq!(
            reports(&mut recorder, 1200),
            [vec![
                (65_533, ticks(1_000_000)),
                (65_534, None),
                (65_535, ticks(1_000_300)),
                (0, ticks(1_090_000)),
                (1, ticks(1_003_000)),
            ]]
        );
        assert_eq!(recorder.due(), None, "nothing new came");
    }

    #[test]
    fn the_next_report_begins_where_the_last_one_ended() {
        let mut recorder = TransportCcRecorder::default();
        recorder.arrived(Time(1_000), 5);
        reports(&mut recorder, 1200);
        recorder.arrived(Time(60_000), 8);
        assert_eq!(
            reports(&mut recorder, 1200),
            [vec![(6, None), (7, None), (8, ticks(60_000))]]
        );
    }

    #[test]
    fn a_packet_that_was_reported_lost_is_reported_again_with_its_followers() {
        let mut recorder = TransportCcRecorder::default();
        recorder.arrived(Time(1_000), 5);
        recorder.arrived(Time(2_000), 7);
        reports(&mut recorder, 1200);
        recorder.arrived(Time(60_000), 6);
        assert_eq!(
            reports(&mut recorder, 1200),
            [vec![(6, ticks(60_000)), (7, ticks(2_000))]]
        );
    }

    #[test]
    fn what_does_not_fit_into_one_datagram_follows_in_the_next() {
        let mut recorder = TransportCcRecorder::default();
        for step in 0..300_u64 {
            recorder.arrived(Time(step * 100_000), step as u16);
        }
        let reports = reports(&mut recorder, 120);
        assert!(reports.len() > 3);
        let all: Vec<_> = reports.into_iter().flatten().collect();
        let expected: Vec<_> = (0..300_u64).map(|step| (step as u16, ticks(step * 100_000))).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_leap_in_the_numbers_keeps_the_recorder_bounded() {
        let mut recorder = TransportCcRecorder::default();
        recorder.arrived(Time(0), 0);
        recorder.arrived(Time(1), 30_000);
        recorder.arrived(Time(2), 100);
        let all: Vec<_> = reports(&mut recorder, 1200).into_iter().flatten().collect();
        assert!(all.len() <= WINDOW as usize);
        assert_eq!(all.last(), Some(&(30_000, ticks(1))));
    }
}
