//! The voices of one stream, in order, and who listens to them.

use super::voice::{Level, MARGIN, Voice};
use super::{MAX_SPEAKERS, Outlook, TICK, TOLD};
use crate::command::Codec;
use crate::ids::{GroupId, SourceKey, TrackId};
use crate::receive::TrackKey;
use crate::report::Speaker;
use crate::time::Time;

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
    /// Codecs that it may send, or sends, as bits of [`codec_bit`].
    pub codecs: u8,
    /// How it sounds.
    pub voice: Voice,
    /// What it was ranked by last.
    rank: i32,
    /// Its place in the order.
    place: u32,
    /// The last decision that had it in mind, and how.
    pub(super) mark: u64,
    balance: i8,
}

impl Member {
    /// A candidate of which nothing was heard.
    pub fn new(track: TrackKey, id: TrackId, source: SourceKey, codecs: u8) -> Self {
        Self {
            track,
            id,
            source,
            codecs,
            voice: Voice::default(),
            rank: 0,
            place: 0,
            mark: 0,
            balance: 0,
        }
    }

    /// Its place in the order, 0 for the loudest.
    pub(super) fn place(&self) -> u32 {
        self.place
    }
}

/// The bit of a codec in sets of audio codecs.
pub(crate) fn codec_bit(codec: Codec) -> u8 {
    match codec {
        Codec::Opus => 1,
        Codec::MultiOpus => 2,
        Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::Av1 => 0,
    }
}

/// Somebody who listens.
#[derive(Clone, Copy, Debug)]
struct Listener {
    transport: u32,
    outlook: Outlook,
}

/// Listeners that have to decide anew.
#[derive(Debug)]
pub struct Affected<'a> {
    group: &'a Group,
    now: Time,
    next: usize,
}

impl Iterator for Affected<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while let Some(listener) = self.group.listeners.get(self.next) {
            self.next += 1;
            let Outlook { depth, due } = listener.outlook;
            if self.group.all_changed || self.group.is_changed(depth) || due.is_some_and(|due| due <= self.now) {
                return Some(listener.transport);
            }
        }
        None
    }
}

/// Candidates and listeners.
#[derive(Debug)]
pub struct Group {
    id: GroupId,
    seats: Vec<Option<Member>>,
    free: Vec<Seat>,
    /// Everybody, who speaks in front, loudest first.
    order: Vec<Seat>,
    speaking: usize,
    /// Who spoke before, in order.
    before: Vec<Seat>,
    /// By depth: are the first so many that speak other ones than before?
    changed: Vec<bool>,
    /// Somebody came, left or changed codec.
    all_changed: bool,
    mark: u64,
    listeners: Vec<Listener>,
    speakers: Vec<Speaker>,
    told: Vec<Speaker>,
    told_at: Option<Time>,
    ranked: Option<Time>,
    /// When it is to be ranked next.
    pub due: Option<Time>,
    /// The time at which a timer wakes it.
    pub armed: Option<Time>,
}

impl Group {
    /// Nobody.
    pub fn new(id: GroupId) -> Self {
        Self {
            id,
            seats: Vec::new(),
            free: Vec::new(),
            order: Vec::new(),
            speaking: 0,
            before: Vec::new(),
            changed: Vec::new(),
            all_changed: false,
            mark: 0,
            listeners: Vec::new(),
            speakers: Vec::new(),
            told: Vec::new(),
            told_at: None,
            ranked: None,
            due: None,
            armed: None,
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
        self.order.push(seat);
        self.renumber();
        self.membership_changed();
        seat
    }

    /// One less.
    pub fn remove(&mut self, seat: Seat) -> Option<Member> {
        let member = self.seats.get_mut(seat as usize)?.take()?;
        self.free.push(seat);
        if (member.place as usize) < self.speaking {
            self.speaking -= 1;
        }
        self.order.retain(|other| *other != seat);
        self.renumber();
        self.membership_changed();
        Some(member)
    }

    /// Who has the seat.
    pub fn get(&self, seat: Seat) -> Option<&Member> {
        self.seats.get(seat as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, seat: Seat) -> Option<&mut Member> {
        self.seats.get_mut(seat as usize)?.as_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Nobody, and nobody who listens?
    pub fn is_empty(&self) -> bool {
        self.order.is_empty() && self.listeners.is_empty()
    }

    /// Everybody, who speaks in front, loudest first.
    pub fn order(&self) -> &[Seat] {
        &self.order
    }

    /// Who speaks, loudest first.
    pub fn speaking(&self) -> &[Seat] {
        self.order.get(..self.speaking).unwrap_or_default()
    }

    /// Packet `seq` of a voice came. Costs the same however many voices and listeners there are. `true`: it is time to look who speaks.
    pub fn packet(&mut self, now: Time, seat: Seat, seq: u64, level: Option<Level>, codec: Codec) -> bool {
        let Some(member) = self.get_mut(seat) else {
            return false;
        };
        let is_other = std::mem::replace(&mut member.codecs, codec_bit(codec)) != codec_bit(codec);
        let begins = member.voice.packet(now, seq, level);
        // Other viewers can hear it than before.
        self.all_changed |= is_other;
        if begins || is_other {
            self.wish(now);
        }
        begins || is_other
    }

    /// Rank soon: at once, unless it was done a moment ago.
    pub fn wish(&mut self, now: Time) {
        let at = self.ranked.map_or(now, |ranked| ranked + TICK);
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn membership_changed(&mut self) {
        self.all_changed = true;
        // The caller has no clock at hand; what is due since the last ranking is due now.
        self.wish(Time::ZERO);
    }

    /// Rank everybody.
    pub fn rank(&mut self, now: Time) {
        self.ranked = Some(now);
        let Self {
            seats,
            order,
            before,
            speaking,
            ..
        } = self;
        before.clear();
        before.extend_from_slice(order.get(..*speaking).unwrap_or_default());
        let rank_of = |seats: &[Option<Member>], seat: Seat| {
            let member = seats.get(seat as usize).and_then(Option::as_ref);
            member.map_or(i32::MIN / 2, |member| member.rank)
        };
        for member in seats.iter_mut().flatten() {
            member.rank = member.voice.rank(now);
        }
        // Insertion: a voice moves in front of the first one that it outranks clearly, and so past others, all of them quieter than itself.
        let mut lowest = i32::MAX;
        let mut moved = false;
        for at in 0..order.len() {
            let Some(rank) = order.get(at).map(|seat| rank_of(seats, *seat)) else {
                break;
            };
            if lowest < rank - MARGIN {
                let to = order.iter().position(|seat| rank_of(seats, *seat) < rank - MARGIN);
                if let Some(passed) = to.and_then(|to| order.get_mut(to..=at)) {
                    passed.rotate_right(1);
                    moved = true;
                }
            }
            lowest = lowest.min(rank);
        }
        *speaking = order.iter().take_while(|seat| rank_of(seats, **seat) > 0).count();
        if moved {
            self.renumber();
        }
        self.compare();
    }

    /// How deep is the order another one than before?
    fn compare(&mut self) {
        self.changed.clear();
        if self.all_changed || self.before == self.speaking() {
            return;
        }
        let Self {
            seats,
            order,
            before,
            changed,
            speaking,
            ..
        } = self;
        let mut unbalanced = 0;
        let mut count = |seat: Option<&Seat>, by: i8| {
            let member = seat.and_then(|seat| seats.get_mut(*seat as usize)?.as_mut());
            if let Some(member) = member {
                unbalanced -= i32::from(member.balance != 0);
                member.balance += by;
                unbalanced += i32::from(member.balance != 0);
            }
            unbalanced
        };
        changed.push(false);
        for depth in 0..before.len().max(*speaking) {
            count(before.get(depth), -1);
            changed.push(count(order.get(depth).filter(|_| depth < *speaking), 1) != 0);
        }
        for seat in before.iter().chain(order.iter().take(*speaking)) {
            if let Some(member) = seats.get_mut(*seat as usize).and_then(Option::as_mut) {
                member.balance = 0;
            }
        }
    }

    fn is_changed(&self, depth: u16) -> bool {
        let at = usize::from(depth).min(self.changed.len().saturating_sub(1));
        self.changed.get(at).copied().unwrap_or(false)
    }

    /// Who listens and has to decide anew after the ranking.
    pub fn affected(&self, now: Time) -> Affected<'_> {
        Affected {
            group: self,
            now,
            next: 0,
        }
    }

    /// Everybody affected has decided. When is the next ranking?
    pub fn settle(&mut self, now: Time) {
        self.all_changed = false;
        self.changed.clear();
        let pending = self.listeners.iter().filter_map(|listener| listener.outlook.due).min();
        // Who waits for a slot to rest may have begun to wait in this very moment.
        let pending = pending.map(|due| due.max(now + TICK / 4));
        let next = (self.speaking > 0).then_some(now + TICK);
        let untold = (self.speaking == 0 && !self.told.is_empty()).then_some(self.told_at.map_or(now, |at| at + TOLD));
        self.due = [pending, next, untold].into_iter().flatten().min();
    }

    /// Who speaks, when that is to be told now: at most once in [`TOLD`], and only when it is not what was told last.
    pub fn poll_speakers(&mut self, now: Time) -> Option<Vec<Speaker>> {
        if self.told_at.is_some_and(|at| now.since(at) < TOLD) {
            return None;
        }
        let mut speakers = std::mem::take(&mut self.speakers);
        speakers.clear();
        let members = self.speaking().iter().filter_map(|seat| self.get(*seat));
        speakers.extend(members.map(|member| Speaker {
            track: member.id,
            level: member.voice.level(now),
        }));
        speakers.sort_unstable_by_key(|speaker| (speaker.level, speaker.track));
        speakers.truncate(MAX_SPEAKERS);
        self.speakers = speakers;
        if self.speakers == self.told {
            return None;
        }
        std::mem::swap(&mut self.speakers, &mut self.told);
        self.told_at = Some(now);
        Some(self.told.clone())
    }

    /// Was anybody told to speak who has not been told to have stopped?
    pub fn is_told_to_speak(&self) -> bool {
        !self.told.is_empty()
    }

    /// A viewer listens; its place among the listeners.
    pub fn listen(&mut self, transport: u32) -> u32 {
        self.listeners.push(Listener {
            transport,
            outlook: Outlook::default(),
        });
        (self.listeners.len() - 1) as u32
    }

    /// It does no more. The transport that took its place among the listeners, if any.
    pub fn leave(&mut self, listener: u32) -> Option<u32> {
        if (listener as usize) < self.listeners.len() {
            self.listeners.swap_remove(listener as usize);
        }
        self.listeners.get(listener as usize).map(|moved| moved.transport)
    }

    /// What a listener decided last makes it look again when this changes.
    pub fn note(&mut self, listener: u32, outlook: Outlook) {
        if let Some(listener) = self.listeners.get_mut(listener as usize) {
            listener.outlook = outlook;
        }
        if let Some(due) = outlook.due {
            self.due = Some(self.due.map_or(due, |known| known.min(due)));
        }
    }

    /// The transport at a place among the listeners.
    pub fn listener(&self, listener: u32) -> Option<u32> {
        self.listeners.get(listener as usize).map(|one| one.transport)
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Two numbers that no decision has used: somebody is wanted; somebody has a slot.
    pub(super) fn marks(&mut self) -> (u64, u64) {
        self.mark += 2;
        (self.mark, self.mark | 1)
    }

    /// Bytes of memory, itself included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.seats.capacity() * size_of::<Option<Member>>()
            + (self.free.capacity() + self.order.capacity() + self.before.capacity()) * size_of::<Seat>()
            + self.changed.capacity()
            + self.listeners.capacity() * size_of::<Listener>()
            + (self.speakers.capacity() + self.told.capacity()) * size_of::<Speaker>()
    }

    fn renumber(&mut self) {
        let Self { seats, order, .. } = self;
        for (place, seat) in (0..).zip(order.iter()) {
            if let Some(member) = seats.get_mut(*seat as usize).and_then(Option::as_mut) {
                member.place = place;
            }
        }
    }
}
