//! Handshake messages from fragments that come in any order, twice, or never (RFC 6347 §4.2.3).

use super::wire::Fragment;

/// Longest message that is taken; a certificate with a key of RSA 4096 is a tenth of it.
const MAX_MESSAGE: usize = 16_384;
/// Bytes of all incomplete messages.
const MAX_KEPT: usize = 24_576;
/// How far ahead of the next one a message may be. The longest flight has six.
const AHEAD: u16 = 8;
/// Pieces of a message with gaps between them.
const MAX_PIECES: usize = 32;

/// A whole message.
pub(super) struct Message {
    pub kind: u8,
    pub seq: u16,
    pub body: Vec<u8>,
}

/// What became of a fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Added {
    /// Its message was already complete: the peer repeats itself.
    Old,
    /// It is of use.
    Kept,
    /// It is of use, and what came of its message before contradicts it: anybody can forge a fragment, and the peer repeats its own.
    Anew,
    /// It is not.
    Dropped,
}

/// Messages that are not complete, at most [`MAX_KEPT`] bytes.
#[derive(Default)]
pub(super) struct Assembly {
    next: u16,
    partial: Vec<Partial>,
}

struct Partial {
    seq: u16,
    kind: u8,
    body: Vec<u8>,
    /// From where to where it is known: sorted, apart from each other.
    pieces: Vec<(usize, usize)>,
}

impl Assembly {
    /// The number of the message that comes next.
    pub(super) fn next(&self) -> u16 {
        self.next
    }

    pub(super) fn add(&mut self, fragment: &Fragment<'_>) -> Added {
        if fragment.seq < self.next {
            return Added::Old;
        }
        if fragment.len > MAX_MESSAGE || fragment.seq - self.next >= AHEAD {
            return Added::Dropped;
        }
        let contradicts = |known: &Partial| known.kind != fragment.kind || known.body.len() != fragment.len;
        let before = self.partial.len();
        self.partial
            .retain(|known| known.seq != fragment.seq || !contradicts(known));
        let anew = self.partial.len() < before;
        let place = match self.partial.iter().position(|known| known.seq == fragment.seq) {
            Some(place) => place,
            None => {
                if self.bytes() + fragment.len > MAX_KEPT {
                    // What is needed next must not wait behind what may never be.
                    if fragment.seq != self.next {
                        return Added::Dropped;
                    }
                    self.partial.clear();
                }
                self.partial.push(Partial {
                    seq: fragment.seq,
                    kind: fragment.kind,
                    body: vec![0; fragment.len],
                    pieces: Vec::new(),
                });
                self.partial.len() - 1
            }
        };
        match self.partial.get_mut(place).map(|partial| partial.fill(fragment)) {
            Some(true) if anew => Added::Anew,
            Some(true) => Added::Kept,
            Some(false) | None => Added::Dropped,
        }
    }

    /// The next message, once it is complete.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let place = self.partial.iter().position(|known| known.seq == self.next)?;
        if !self.partial.get(place)?.is_complete() {
            return None;
        }
        let Partial { seq, kind, body, .. } = self.partial.swap_remove(place);
        self.next = self.next.checked_add(1)?;
        Some(Message { kind, seq, body })
    }

    /// How much is kept.
    pub(super) fn bytes(&self) -> usize {
        self.partial.iter().map(|known| known.body.len()).sum()
    }

    /// Forget what is incomplete.
    pub(super) fn clear(&mut self) {
        self.partial = Vec::new();
    }
}

impl Partial {
    fn fill(&mut self, fragment: &Fragment<'_>) -> bool {
        let (mut from, mut to) = (fragment.offset, fragment.offset + fragment.bytes.len());
        let Some(place) = self.body.get_mut(from..to) else {
            return false;
        };
        place.copy_from_slice(fragment.bytes);
        self.pieces.retain(|(start, end)| {
            let touches = *start <= to && from <= *end;
            if touches {
                (from, to) = (from.min(*start), to.max(*end));
            }
            !touches
        });
        if self.pieces.len() >= MAX_PIECES {
            self.pieces.clear();
        }
        let at = self.pieces.partition_point(|(start, _)| *start < from);
        self.pieces.insert(at, (from, to));
        true
    }

    fn is_complete(&self) -> bool {
        self.pieces.first() == Some(&(0, self.body.len()))
    }
}
