//! Sequence numbers of one encoding, extended past wraps, strictly growing past restarts and changes of SSRC.
//!
//! Viewers know an encoding by one number line. When the publisher restarts its numbers, the line goes on far beyond all that
//! is in the ring, at the next place whose low 16 bits are the publisher's.

use crate::rtp::seq::SeqExtender;

/// Largest step forward that is loss and not a restart (RFC 3550 §A.1, MAX_DROPOUT).
pub const MAX_DROPOUT: u64 = 3000;
/// Furthest ahead of everything heard that a retransmission may be.
const MAX_RTX_AHEAD: u64 = 256;

/// What a media packet's number means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The highest so far.
    Newer(u64),
    /// At or below the highest.
    Older(u64),
    /// The publisher restarted its numbers. The packet before this one, number `missed`, arrived too, and was not kept: it
    /// might as well have been a stray.
    Restarted {
        /// Number of the packet that gave the restart away.
        missed: u64,
        /// Number of this one.
        seq: u64,
    },
    /// Far from everything heard; the next packet decides.
    Stray,
}

/// The number line of one encoding.
#[derive(Debug)]
pub struct Sequence {
    extender: SeqExtender,
    offset: u64,
    newest: Option<u64>,
    /// The number that, coming next, proves a restart.
    probation: Option<u16>,
    /// Packets that the ring holds: older ones are no reordering.
    window: u64,
}

impl Sequence {
    /// `window`: capacity of the ring.
    pub fn new(window: u64) -> Self {
        Self {
            extender: SeqExtender::default(),
            offset: 0,
            newest: None,
            probation: None,
            window,
        }
    }

    /// The highest number so far.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Place a packet of the encoding's own SSRC.
    pub fn media(&mut self, seq: u16) -> Step {
        let Some(newest) = self.newest else {
            return Step::Newer(self.begin(seq));
        };
        let place = self.extender.peek(seq) + self.offset;
        let step = if place > newest && place - newest <= MAX_DROPOUT {
            self.extender.extend(seq);
            self.newest = Some(place);
            Step::Newer(place)
        } else if place <= newest && newest - place < self.window {
            Step::Older(place)
        } else if self.probation == Some(seq) {
            let missed = self.begin(seq.wrapping_sub(1));
            self.extender.extend(seq);
            self.newest = Some(missed + 1);
            Step::Restarted {
                missed,
                seq: missed + 1,
            }
        } else {
            self.probation = Some(seq.wrapping_add(1));
            return Step::Stray;
        };
        self.probation = None;
        step
    }

    /// Place a retransmission. `None`: it repeats nothing that was sent lately.
    pub fn retransmission(&mut self, seq: u16) -> Option<u64> {
        let newest = self.newest?;
        let place = self.extender.peek(seq) + self.offset;
        if place > newest {
            if place - newest > MAX_RTX_AHEAD {
                return None;
            }
            self.extender.extend(seq);
            self.newest = Some(place);
        }
        Some(place)
    }

    /// Another SSRC takes over: the line goes on from its first number.
    pub fn take_over(&mut self, seq: u16) -> u64 {
        self.begin(seq)
    }

    fn begin(&mut self, seq: u16) -> u64 {
        self.extender = SeqExtender::default();
        self.probation = None;
        let place = self.extender.extend(seq);
        let least = self.newest.map_or(0, |newest| newest + 1 + 2 * self.window);
        self.offset = least.saturating_sub(place).div_ceil(1 << 16) << 16;
        self.newest = Some(place + self.offset);
        place + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_past_a_wrap() {
        let mut sequence = Sequence::new(1024);
        assert_eq!(sequence.media(65_535), Step::Newer(131_071));
        assert_eq!(sequence.media(0), Step::Newer(131_072));
        assert_eq!(sequence.media(65_534), Step::Older(131_070));
    }

    #[test]
    fn one_stray_packet_changes_nothing() {
        let mut sequence = Sequence::new(1024);
        sequence.media(100);
        assert_eq!(sequence.media(30_000), Step::Stray);
        assert_eq!(sequence.media(101), Step::Newer(65_637));
        assert_eq!(
            sequence.media(30_001),
            Step::Stray,
            "the probation ended with the good packet"
        );
    }

    #[test]
    fn two_consecutive_strays_are_a_restart_and_the_line_goes_on() {
        for restart_at in [5_u16, 30_000, 64_000, 65_535] {
            let mut sequence = Sequence::new(1024);
            let Step::Newer(newest) = sequence.media(10_000) else {
                panic!("the first packet")
            };
            assert_eq!(sequence.media(restart_at), Step::Stray);
            let next = restart_at.wrapping_add(1);
            let Step::Restarted { missed, seq } = sequence.media(next) else {
                panic!("no restart at {restart_at}")
            };
            assert!(missed > newest + 2 * 1024 && missed <= newest + 2 * 1024 + 65_536);
            assert_eq!((missed as u16, seq as u16, seq), (restart_at, next, missed + 1));
            assert_eq!(sequence.media(next.wrapping_add(1)), Step::Newer(seq + 1));
        }
    }

    #[test]
    fn loss_of_up_to_three_thousand_packets_is_no_restart() {
        let mut sequence = Sequence::new(128);
        sequence.media(0);
        assert_eq!(sequence.media(3000), Step::Newer(65_536 + 3000));
        assert_eq!(sequence.media(6001), Step::Stray);
    }

    #[test]
    fn a_retransmission_never_restarts_anything() {
        let mut sequence = Sequence::new(1024);
        assert_eq!(sequence.retransmission(5), None, "nothing was sent yet");
        sequence.media(100);
        assert_eq!(sequence.retransmission(99), Some(65_635));
        assert_eq!(sequence.retransmission(30_000), None);
        assert_eq!(sequence.retransmission(30_001), None);
        assert_eq!(sequence.retransmission(101), Some(65_637));
        assert_eq!(sequence.media(102), Step::Newer(65_638));
    }
}
