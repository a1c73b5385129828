//! Which SRTP and SRTCP indices were seen (RFC 3711 §3.3.1, §3.3.2).

use super::{MAX_INDEX, MAX_SSRCS};
use crate::reason::DropReason;

/// Replay protection per SSRC, ordered by SSRC.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) entries: Vec<(u32, Window)>,
}

/// Where an SSRC is, or where it would be.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Known(usize),
    New(usize),
}

impl Sources {
    /// A new SSRC in a full table is refused before it costs a decryption.
    pub(super) fn find(&self, ssrc: u32) -> Result<Place, DropReason> {
        match self.entries.binary_search_by_key(&ssrc, |(known, _)| *known) {
            Ok(at) => Ok(Place::Known(at)),
            Err(_) if self.entries.len() >= MAX_SSRCS => Err(DropReason::TooManySsrcs),
            Err(at) => Ok(Place::New(at)),
        }
    }

    pub(super) fn get(&self, place: Place) -> Option<&Window> {
        match place {
            Place::Known(at) => self.entries.get(at).map(|(_, window)| window),
            Place::New(_) => None,
        }
    }

    /// Neither seen nor too old to know.
    pub(super) fn admit(&self, place: Place, index: u64) -> Result<(), DropReason> {
        match self.get(place) {
            Some(window) if !window.is_fresh(index) => Err(DropReason::SrtpReplay),
            Some(_) | None => Ok(()),
        }
    }

    /// The packet was authentic.
    pub(super) fn accept(&mut self, place: Place, ssrc: u32, index: u64) {
        match place {
            Place::Known(at) => {
                if let Some((_, window)) = self.entries.get_mut(at) {
                    window.accept(index);
                }
            }
            Place::New(at) => self.entries.insert(
                at,
                (
                    ssrc,
                    Window {
                        highest: index,
                        seen: 1,
                    },
                ),
            ),
        }
    }
}

/// The 128 indices up to the highest one (RFC 3711 §3.3.2).
pub(super) struct Window {
    pub(super) highest: u64,
    /// Bit n: `highest - n` was seen.
    pub(super) seen: u128,
}

impl Window {
    /// RFC 3711 §3.3.1: the index nearest to the highest one that has this sequence number. There is none below zero, so at the start a
    /// large sequence number is what it says.
    pub(super) fn guess(&self, seq: u16) -> Result<u64, DropReason> {
        let ahead = i64::from(seq.wrapping_sub(self.highest as u16) as i16);
        let guess = self.highest.checked_add_signed(ahead).unwrap_or_else(|| u64::from(seq));
        if guess > MAX_INDEX {
            // The key is used up (RFC 3711 §3.3.1).
            return Err(DropReason::SrtpReplay);
        }
        Ok(guess)
    }

    pub(super) fn is_fresh(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < 128 && self.seen >> behind & 1 == 0,
        }
    }

    pub(super) fn accept(&mut self, index: u64) {
        match self.highest.checked_sub(index) {
            None => {
                let shift = u32::try_from(index - self.highest).unwrap_or(u32::MAX);
                self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
                self.highest = index;
            }
            Some(behind) => {
                let bit = u32::try_from(behind).ok().and_then(|behind| 1_u128.checked_shl(behind));
                self.seen |= bit.unwrap_or(0);
            }
        }
    }
}
