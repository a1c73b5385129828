//! Where records, handshake messages and lists begin and end in DTLS 1.2 (RFC 6347 §4.1, §4.2.2): enough to see who says hello and how much a
//! datagram would make us keep. What they mean is the libraries' business.

/// Record type that announces keys.
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
/// Record type of alerts.
pub(super) const ALERT: u8 = 21;
/// Record type of handshake messages.
pub(super) const HANDSHAKE: u8 = 22;
/// Kind, version, epoch, number, length.
const RECORD_HEADER: usize = 13;
/// First byte of the version of every DTLS up to 1.2. A ClientHello's record may say 1.0: it is written before anything is agreed on.
pub(super) const MAJOR: u8 = 0xfe;

/// Reads from the front; `None` when there is too little.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    /// A number of `width` bytes, at most eight.
    pub(super) fn number(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// Bytes behind their length, a number of `width` bytes.
    pub(super) fn list(&mut self, width: usize) -> Option<&'a [u8]> {
        let len = self.number(width)?;
        self.take(usize::try_from(len).ok()?)
    }
}

/// One record of a datagram.
pub(super) struct Record<'a> {
    pub kind: u8,
    pub epoch: u16,
    pub body: &'a [u8],
}

/// The records of a datagram; `None`, and then nothing more, where it is malformed or of another protocol.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = Option<Record<'_>>> {
    pieces(datagram, |reader| {
        let kind = reader.u8()?;
        if reader.u8()? != MAJOR {
            return None;
        }
        reader.take(1)?;
        let epoch = reader.u16()?;
        reader.take(6)?; // its number
        let body = reader.list(2)?;
        Some(Record { kind, epoch, body })
    })
}

/// Gives each record in the clear the next number. Nothing protects their numbers, and nothing else depends on them.
pub(super) fn number_anew(datagram: &mut [u8], next: &mut u64) {
    let mut rest = datagram;
    while let Some((header, behind)) = rest.split_first_chunk_mut::<RECORD_HEADER>() {
        let [_, _, _, epoch @ .., _, _, _, _, _, _, high, low] = header;
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let is_clear = *epoch == [0, 0];
        if is_clear {
            let number = next.to_be_bytes();
            if let (Some(place), Some(number)) = (header.get_mut(5..11), number.get(2..)) {
                place.copy_from_slice(number);
            }
            *next += 1;
        }
        let Some((_, behind)) = behind.split_at_mut_checked(len) else {
            return;
        };
        rest = behind;
    }
}

/// Part of a handshake message.
pub(super) struct Fragment<'a> {
    pub kind: u8,
    /// Of the whole message.
    pub len: usize,
    pub seq: u16,
    pub offset: usize,
    pub bytes: &'a [u8],
}

/// The fragments of a record; `None`, and then nothing more, where it is malformed.
pub(super) fn fragments(body: &[u8]) -> impl Iterator<Item = Option<Fragment<'_>>> {
    pieces(body, |reader| {
        let fragment = Fragment {
            kind: reader.u8()?,
            len: reader.number(3)? as usize,
            seq: reader.u16()?,
            offset: reader.number(3)? as usize,
            bytes: reader.list(3)?,
        };
        (fragment.offset + fragment.bytes.len() <= fragment.len).then_some(fragment)
    })
}

fn pieces<'a, T>(bytes: &'a [u8], read: impl Fn(&mut Reader<'a>) -> Option<T>) -> impl Iterator<Item = Option<T>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let piece = read(&mut reader);
        if piece.is_none() {
            reader = Reader::new(&[]);
        }
        Some(piece)
    })
}
