//! Bytes of DTLS 1.2 (RFC 6347 §4.1, §4.2.2): records, fragments of handshake messages, and how lists are read and written.

/// Record type of alerts.
pub(super) const ALERT: u8 = 21;
/// Record type of handshake messages.
pub(super) const HANDSHAKE: u8 = 22;
/// Record type that announces new keys. What follows says so itself, by its epoch.
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
/// DTLS 1.2 on the wire.
pub(super) const VERSION: u16 = 0xfefd;
/// Of a record.
pub(super) const RECORD_HEADER: usize = 13;
/// Of a fragment of a handshake message.
pub(super) const MESSAGE_HEADER: usize = 12;

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

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A number of `width` bytes, at most eight.
    pub(super) fn number(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Bytes behind their length, a number of `width` bytes.
    pub(super) fn list(&mut self, width: usize) -> Option<&'a [u8]> {
        let len = self.number(width)?;
        self.take(usize::try_from(len).ok()?)
    }
}

/// Does a list of numbers of two bytes have this one?
pub(super) fn lists(numbers: &[u8], wanted: u16) -> bool {
    numbers.chunks_exact(2).any(|pair| pair == wanted.to_be_bytes())
}

/// Writes what `fill` appends behind its length, a number of `width` bytes.
pub(super) fn list(out: &mut Vec<u8>, width: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + width, 0);
    fill(out);
    let len = out.len() - at - width;
    number(out, at, width, len);
}

fn number(out: &mut [u8], at: usize, width: usize, number: usize) {
    for (place, shift) in out.iter_mut().skip(at).take(width).zip((0..width).rev()) {
        *place = (number >> (8 * shift)) as u8;
    }
}

/// One record of a datagram.
pub(super) struct Record<'a> {
    pub kind: u8,
    pub epoch: u16,
    /// Of 48 bits, counted anew in each epoch.
    pub seq: u64,
    pub body: &'a [u8],
}

/// The records of a datagram, up to the first that is malformed or of another protocol.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut reader = Reader::new(datagram);
    std::iter::from_fn(move || {
        let kind = reader.u8()?;
        // A ClientHello may come as 1.0: its record is written before anything is agreed on.
        if reader.u16()? >> 8 != VERSION >> 8 {
            return None;
        }
        Some(Record {
            kind,
            epoch: reader.u16()?,
            seq: reader.number(6)?,
            body: reader.list(2)?,
        })
    })
}

/// Appends a record in the clear.
pub(super) fn record(out: &mut Vec<u8>, kind: u8, epoch: u16, seq: u64, body: &[u8]) {
    record_header(out, kind, epoch, seq, body.len());
    out.extend_from_slice(body);
}

/// Appends the header of a record whose body has `len` bytes.
pub(super) fn record_header(out: &mut Vec<u8>, kind: u8, epoch: u16, seq: u64, len: usize) {
    out.push(kind);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&epoch_and_seq(epoch, seq));
    out.extend_from_slice(&(len as u16).to_be_bytes());
}

/// As records have it, and as nonces are made from it.
pub(super) fn epoch_and_seq(epoch: u16, seq: u64) -> [u8; 8] {
    (u64::from(epoch) << 48 | seq).to_be_bytes()
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

/// The fragments of a record, up to the first that is malformed.
pub(super) fn fragments(body: &[u8]) -> impl Iterator<Item = Fragment<'_>> {
    let mut reader = Reader::new(body);
    std::iter::from_fn(move || {
        let kind = reader.u8()?;
        let len = reader.number(3)? as usize;
        let seq = reader.u16()?;
        let offset = reader.number(3)? as usize;
        let bytes = reader.list(3)?;
        (offset + bytes.len() <= len).then_some(Fragment {
            kind,
            len,
            seq,
            offset,
            bytes,
        })
    })
}

/// Appends a fragment.
pub(super) fn fragment(out: &mut Vec<u8>, fragment: &Fragment<'_>) {
    out.push(fragment.kind);
    let at = out.len();
    out.resize(at + MESSAGE_HEADER - 1, 0);
    number(out, at, 3, fragment.len);
    number(out, at + 3, 2, usize::from(fragment.seq));
    number(out, at + 5, 3, fragment.offset);
    number(out, at + 8, 3, fragment.bytes.len());
    out.extend_from_slice(fragment.bytes);
}
