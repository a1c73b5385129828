//! The slots of one viewer that are filled with whoever speaks.

use super::group::{Group, Seat};
use super::{Member, REST};
use crate::ids::{SourceKey, TrackId};
use crate::receive::TrackKey;
use crate::send::SlotIndex;
use crate::time::Time;

/// One slot.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The slot of the viewer's transport.
    pub slot: SlotIndex,
    /// Whom it is to play.
    pub voice: Option<Seat>,
    /// Whom it plays. Somebody else until the first packet of `voice` came.
    pub plays: Option<(Seat, TrackId)>,
    /// When it began to play somebody last.
    pub changed: Option<Time>,
}

impl Place {
    /// An empty slot.
    pub fn new(slot: SlotIndex) -> Self {
        Self {
            slot,
            voice: None,
            plays: None,
            changed: None,
        }
    }

    fn rested(&self) -> Time {
        self.changed.map_or(Time::ZERO, |at| at + REST)
    }
}

/// What a decision means for one slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// The slot.
    pub slot: SlotIndex,
    /// Whom it is to play from now on.
    pub play: Option<(TrackKey, TrackId)>,
}

/// What makes a viewer decide anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outlook {
    /// Another set of this many in front of the order; [`u16::MAX`]: any change of who speaks.
    pub depth: u16,
    /// This time: a slot may change then.
    pub due: Option<Time>,
}

/// The slots of one viewer, and whom they never play.
#[derive(Debug)]
pub struct Pool {
    /// The group, as the shard numbers it.
    pub group: u32,
    /// The viewer's place among the group's listeners.
    pub listener: u32,
    /// The slots, in the order of the control plane.
    pub places: Vec<Place>,
    excluded: Box<[SourceKey]>,
    /// Codecs that all slots take.
    accepts: u8,
}

impl Pool {
    /// Slots of a listener.
    pub fn new(group: u32, listener: u32, places: Vec<Place>, mut excluded: Vec<SourceKey>, accepts: u8) -> Self {
        excluded.sort_unstable();
        Self {
            group,
            listener,
            places,
            excluded: excluded.into(),
            accepts,
        }
    }

    /// The place of a slot.
    pub fn place(&self, slot: SlotIndex) -> Option<&Place> {
        self.places.iter().find(|place| place.slot == slot)
    }

    /// The same, to change.
    pub fn place_mut(&mut self, slot: SlotIndex) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.slot == slot)
    }

    /// Is the slot one of these?
    pub fn has(&self, slot: SlotIndex) -> bool {
        self.place(slot).is_some()
    }

    /// Bytes of memory, itself included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.places.capacity() * size_of::<Place>() + size_of_val(&*self.excluded)
    }

    fn takes(&self, member: &Member) -> bool {
        member.codecs & self.accepts != 0 && self.excluded.binary_search(&member.source).is_err()
    }

    /// Whom each slot plays. What is to be done is added to `orders`; until it is done nothing else may be decided.
    ///
    /// All candidates where there is room for all. Else the loudest of those who speak: a voice that has a slot keeps it, and one that
    /// has none gets an empty slot, or that of the last in the order, who is silent or at least not among the loudest.
    pub fn decide(&mut self, now: Time, group: &mut Group, orders: &mut Vec<Order>) -> Outlook {
        self.let_go(group, orders);
        let room = self.places.len();
        let candidates = group.order().iter().filter_map(|seat| group.get(*seat));
        let is_room_for_all = candidates.filter(|member| self.takes(member)).take(room + 1).count() <= room;
        let (wanted, served) = group.marks();
        let mut depth = 0;
        let mut count = 0;
        while let Some(seat) = candidate(group, depth, is_room_for_all)
            && count < room
        {
            depth += 1;
            if let Some(member) = group.get_mut(seat)
                && self.takes(member)
            {
                member.mark = wanted;
                count += 1;
            }
        }
        for place in &mut self.places {
            // Whoever is still heard while another one is awaited, and is wanted again, stays.
            if let Some((seat, _)) = place.plays.filter(|(seat, _)| place.voice != Some(*seat))
                && let Some(member) = group.get(seat).filter(|member| member.mark == wanted)
            {
                place.voice = Some(seat);
                orders.push(order(place, member));
            }
            if let Some(member) = place.voice.and_then(|seat| group.get_mut(seat))
                && member.mark == wanted
            {
                member.mark = served;
            }
        }
        let mut due = None;
        for at in 0..depth {
            let Some(seat) = candidate(group, at, is_room_for_all) else {
                break;
            };
            let Some(&member) = group.get(seat).filter(|member| member.mark == wanted) else {
                continue;
            };
            match self.find_place(now, group, (wanted, served)) {
                Ok(place) => {
                    place.voice = Some(seat);
                    orders.push(order(place, &member));
                    if let Some(member) = group.get_mut(seat) {
                        member.mark = served;
                    }
                }
                Err(at) => {
                    due = at;
                    break;
                }
            }
        }
        Outlook {
            depth: match (is_room_for_all, count < room) {
                (true, _) => 0,
                (false, true) => u16::MAX,
                (false, false) => u16::try_from(depth).unwrap_or(u16::MAX),
            },
            due,
        }
    }

    /// What must not be played is not.
    fn let_go(&mut self, group: &Group, orders: &mut Vec<Order>) {
        for at in 0..self.places.len() {
            let Some(&place) = self.places.get(at) else { return };
            let heard = [place.voice, place.plays.map(|(seat, _)| seat)];
            let is_wrong = |seat: Seat| group.get(seat).is_none_or(|member| !self.takes(member));
            if heard.into_iter().flatten().any(is_wrong)
                && let Some(place) = self.places.get_mut(at)
            {
                place.voice = None;
                orders.push(Order {
                    slot: place.slot,
                    play: None,
                });
            }
        }
    }

    /// A slot for somebody who has none; or when there may be one.
    fn find_place(&mut self, now: Time, group: &Group, marks: (u64, u64)) -> Result<&mut Place, Option<Time>> {
        let mut best: Option<(u32, usize)> = None;
        let mut due: Option<Time> = None;
        for (at, place) in self.places.iter().enumerate() {
            let holder = place.voice.and_then(|seat| group.get(seat));
            if holder.is_some_and(|holder| holder.mark == marks.0 || holder.mark == marks.1) {
                continue;
            }
            let immune = holder.and_then(|holder| holder.voice.immune_until(now));
            let free = place.rested().max(immune.unwrap_or(Time::ZERO));
            if free > now {
                due = Some(due.map_or(free, |due| due.min(free)));
                continue;
            }
            let rank = holder.map_or(u32::MAX, Member::place);
            if best.is_none_or(|(known, _)| rank > known) {
                best = Some((rank, at));
            }
        }
        let place = best.and_then(|(_, at)| self.places.get_mut(at));
        place.ok_or(due)
    }
}

/// The candidates in their order: everybody where there is room for all, else those who speak.
fn candidate(group: &Group, at: usize, all: bool) -> Option<Seat> {
    let candidates = if all { group.order() } else { group.speaking() };
    candidates.get(at).copied()
}

fn order(place: &Place, member: &Member) -> Order {
    Order {
        slot: place.slot,
        play: Some((member.track, member.id)),
    }
}
