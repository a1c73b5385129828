//! Bits one after the other, the highest first.

/// Reads bits; `None` past the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits read.
    at: usize,
}

impl<'a> Bits<'a> {
    /// At the first bit.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// One bit.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// At most 32 bits.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb number (H.264 §9.1) below 2³².
    pub(crate) fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        (1u32 << zeros).checked_sub(1)?.checked_add(rest)
    }

    /// A signed one (§9.1.1), of which only the place where it ends is wanted.
    pub(crate) fn skip_exp_golomb(&mut self) -> Option<()> {
        self.exp_golomb().map(|_| ())
    }

    /// A value below `of`, in as few bits as its place allows (AV1 §4.10.7, `ns(n)`).
    pub(crate) fn non_symmetric(&mut self, of: u32) -> Option<u32> {
        let width = 32 - of.leading_zeros();
        let short = (1u64 << width).checked_sub(u64::from(of))? as u32;
        let value = self.take(width.checked_sub(1)?)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1 | u32::from(self.flag()?)).wrapping_sub(short))
    }
}
