//! Big-endian fields at places that may not exist.

/// The byte at `at`.
pub(crate) fn byte(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// 16 bits at `at`.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_be_bytes(*chunk))
}

/// 16 bits at `at`, the low ones first.
pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

/// 24 bits at `at`.
pub(crate) fn be24(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = *bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

/// 32 bits at `at`.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}

/// 64 bits at `at`.
pub(crate) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_be_bytes(*chunk))
}

/// Writes one field after the other; `None` as soon as one does not fit.
pub(crate) struct Put<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Put<'a> {
    /// Nothing written yet.
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> usize {
        self.at
    }

    /// Any bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at.checked_add(bytes.len())?;
        self.out.get_mut(self.at..end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }

    /// 8 bits.
    pub(crate) fn put8(&mut self, value: u8) -> Option<()> {
        *self.out.get_mut(self.at)? = value;
        self.at += 1;
        Some(())
    }

    /// 16 bits.
    pub(crate) fn put16(&mut self, value: u16) -> Option<()> {
        self.put(&value.to_be_bytes())
    }

    /// The low 24 bits.
    pub(crate) fn put24(&mut self, value: u32) -> Option<()> {
        let [_, a, b, c] = value.to_be_bytes();
        self.put(&[a, b, c])
    }

    /// 32 bits.
    pub(crate) fn put32(&mut self, value: u32) -> Option<()> {
        self.put(&value.to_be_bytes())
    }

    /// Zero bytes up to the next multiple of four.
    pub(crate) fn align(&mut self) -> Option<()> {
        while !self.at.is_multiple_of(4) {
            self.put8(0)?;
        }
        Some(())
    }

    /// Overwrites 16 bits that were written before.
    pub(crate) fn patch16(&mut self, at: usize, value: u16) -> Option<()> {
        self.out
            .get_mut(at..at.checked_add(2)?)?
            .copy_from_slice(&value.to_be_bytes());
        Some(())
    }
}
