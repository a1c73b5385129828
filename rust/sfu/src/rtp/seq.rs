//! Sequence numbers that do not wrap (RFC 3550 §A.1).

/// Extends 16-bit sequence numbers to 64 bits, by the half-range rule: a number at most 32 767 ahead of the highest one is newer,
/// anything else is older.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SeqExtender {
    highest: Option<u64>,
}

impl SeqExtender {
    /// Extends `seq` and remembers the highest result. The first result is 65 536 + `seq`, so that numbers before the first one stay
    /// positive.
    pub fn extend(&mut self, seq: u16) -> u64 {
        let extended = self.peek(seq);
        if self.highest.is_none_or(|highest| extended > highest) {
            self.highest = Some(extended);
        }
        extended
    }

    /// What [`Self::extend`] would return, without remembering it.
    pub fn peek(&self, seq: u16) -> u64 {
        match self.highest {
            None => 0x1_0000 + u64::from(seq),
            Some(highest) => {
                let step = i64::from(seq.wrapping_sub(highest as u16) as i16);
                // Only the first results are near zero: 65 536 − 32 768 is the least.
                highest.saturating_add_signed(step)
            }
        }
    }

    /// The highest result so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}
