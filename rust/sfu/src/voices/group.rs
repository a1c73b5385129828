//! The voices of one stream.

use crate::ids::{GroupId, SourceKey, TrackId};
use crate::receive::TrackKey;

/// Place of a voice in its group. Taken again after the voice left.
pub type Seat = u32;

/// A candidate.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// What is played.
    pub track: TrackKey,
    /// The same as the control plane calls it.
    pub id: TrackId,
    /// Whose voice it is.
    pub source: SourceKey,
}

/// Candidates.
#[derive(Debug)]
pub struct Group {
    id: GroupId,
    seats: Vec<Option<Member>>,
    free: Vec<Seat>,
}

impl Group {
    /// Nobody.
    pub fn new(id: GroupId) -> Self {
        Self {
            id,
            seats: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Its name.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// One more.
    pub fn add(&mut self, member: Member) -> Seat {
        let seat = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            (self.seats.len() - 1) as Seat
        });
        if let Some(place) = self.seats.get_mut(seat as usize) {
            *place = Some(member);
        }
        seat
    }

    /// One less.
    pub fn remove(&mut self, seat: Seat) -> Option<Member> {
        let member = self.seats.get_mut(seat as usize)?.take()?;
        self.free.push(seat);
        Some(member)
    }

    /// Who has the seat.
    pub fn get(&self, seat: Seat) -> Option<&Member> {
        self.seats.get(seat as usize)?.as_ref()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    /// Nobody?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
