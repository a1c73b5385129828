//! Voices of streams, and the slots of viewers that they fill: the rules of [`crate::voices`] carried out.

use std::collections::HashMap;

use super::ShardCore;
use super::timers::Timers;
use crate::command::{Codec, CodecSpec, Event, Kind, RefusalCode};
use crate::encoding::Encodings;
use crate::ids::{GroupId, Mid, SourceKey, TrackId, TransportId};
use crate::layer::Limit;
use crate::receive::{Membership, Track, TrackKey};
use crate::send::SlotIndex;
use crate::time::Time;
use crate::voices::{Group, Level, Member, Order, Place, Pool, codec_bit};

/// The groups of a shard.
#[derive(Default)]
pub(super) struct Voices {
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    by_id: HashMap<GroupId, u32>,
    timers: Timers,
}

impl Voices {
    pub fn get(&self, index: u32) -> Option<&Group> {
        self.groups.get(index as usize)?.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Group> {
        self.groups.get_mut(index as usize)?.as_mut()
    }

    fn named(&mut self, id: GroupId) -> u32 {
        *self.by_id.entry(id).or_insert_with(|| {
            let index = self.free.pop().unwrap_or_else(|| {
                self.groups.push(None);
                (self.groups.len() - 1) as u32
            });
            if let Some(place) = self.groups.get_mut(index as usize) {
                *place = Some(Group::new(id));
            }
            index
        })
    }

    /// Forget the group if nobody is in it and nobody listens.
    fn tidy(&mut self, index: u32) -> Option<Group> {
        let place = self.groups.get_mut(index as usize)?;
        let group = place.take_if(|group| group.is_empty())?;
        self.by_id.remove(&group.id());
        self.free.push(index);
        Some(group)
    }

    fn arm(&mut self, index: u32) {
        let Some(group) = self.groups.get_mut(index as usize).and_then(Option::as_mut) else {
            return;
        };
        if let Some(due) = group.due
            && group.armed.is_none_or(|armed| due < armed)
        {
            group.armed = Some(due);
            self.timers.arm(due, index);
        }
    }

    /// The next group that is due.
    pub fn pop(&mut self, now: Time) -> Option<u32> {
        let groups = &self.groups;
        self.timers.pop(now, |index, at| {
            let group = groups.get(index as usize).and_then(Option::as_ref);
            group.is_some_and(|group| group.armed == Some(at))
        })
    }

    /// When one is.
    pub fn next(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Groups, candidates and listeners.
    pub fn footprint(&self) -> usize {
        let groups = self.groups.iter().flatten();
        self.by_id.len() + groups.map(|group| group.len() + group.listeners() + 1).sum::<usize>()
    }
}

impl ShardCore {
    pub(super) fn add_voice(&mut self, group: GroupId, id: TrackId, source: SourceKey) -> Result<(), RefusalCode> {
        let key = self.tracks.by_id(id).ok_or(RefusalCode::UnknownTrack)?;
        let track = self.tracks.get_mut(key).ok_or(RefusalCode::UnknownTrack)?;
        if track.kind != Kind::Audio {
            return Err(RefusalCode::KindMismatch);
        }
        if let Some(known) = track.voice {
            let there = self.voices.get(known.group);
            let is_same = there.is_some_and(|there| {
                there.id() == group && there.get(known.seat).is_some_and(|member| member.source == source)
            });
            return if is_same { Ok(()) } else { Err(RefusalCode::Duplicate) };
        }
        let index = self.voices.named(group);
        let member = Member::new(key, id, source, codecs(track));
        if let Some(group) = self.voices.get_mut(index) {
            let seat = group.add(member);
            track.voice = Some(Membership { group: index, seat });
        }
        self.voices.arm(index);
        Ok(())
    }

    /// The track goes on, but not as a voice: slots that play it as one are emptied.
    pub(super) fn remove_voice(&mut self, id: TrackId) {
        let Some(key) = self.tracks.by_id(id) else { return };
        let Some(track) = self.tracks.get_mut(key) else { return };
        let Some(voice) = track.voice.take() else { return };
        let subscribers = track.subscribers.clone();
        for subscriber in subscribers {
            let (index, slot) = (subscriber.transport, subscriber.slot);
            let before = self.bound(index, slot);
            let transport = self.transport(index).filter(|transport| transport.plays(slot, voice));
            if let Some(transport) = transport {
                transport.sender.forget(slot, key.encoding(subscriber.encoding));
                self.reconcile(index, slot, before);
                self.lost_voice(index, slot, voice);
            }
        }
        self.leave_group(voice);
    }

    /// A candidate is gone, and no slot plays it any more.
    pub(super) fn leave_group(&mut self, voice: Membership) {
        if let Some(group) = self.voices.get_mut(voice.group) {
            group.remove(voice.seat);
        }
        self.voices.arm(voice.group);
        self.tidy_group(voice.group);
    }

    fn tidy_group(&mut self, index: u32) {
        if let Some(group) = self.voices.tidy(index).filter(Group::is_told_to_speak) {
            self.events.push(Event::Speakers {
                group: group.id(),
                speakers: Vec::new(),
            });
        }
    }

    /// The slot has let go of a voice that is gone.
    pub(super) fn lost_voice(&mut self, index: u32, slot: SlotIndex, voice: Membership) {
        let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        let place = transport.pool.as_mut().filter(|pool| pool.group == voice.group);
        let Some(place) = place.and_then(|pool| pool.place_mut(slot)) else {
            return;
        };
        let had = place.plays.take_if(|(seat, _)| *seat == voice.seat);
        if place.voice == Some(voice.seat) {
            // What it plays until the first packet of the one that is gone, it goes on playing.
            place.voice = place.plays.map(|(seat, _)| seat);
        }
        if had.is_some()
            && let Some(mid) = transport.sender.mid(slot)
        {
            self.events.push(Event::SlotVoice {
                transport: transport.id,
                mid,
                track: None,
            });
        }
    }

    /// A packet of a voice came: who speaks, and who is heard from this very packet on?
    pub(super) fn hear(&mut self, now: Time, key: TrackKey, voice: Membership, seq: u64) {
        let view = self.tracks.encoding(key.encoding(0));
        let Some(stored) = view.as_ref().and_then(|view| view.ring.get(seq)) else {
            return;
        };
        let level = stored.meta.audio_level.map(|level| Level {
            level,
            voice: stored.meta.voice,
        });
        let codec = stored.meta.detail.codec();
        let Some(group) = self.voices.get_mut(voice.group) else {
            return;
        };
        if group.packet(now, voice.seat, seq, level, codec) {
            if group.due.is_some_and(|due| due <= now) {
                self.rank(now, voice.group);
            } else {
                self.voices.arm(voice.group);
            }
        }
    }

    /// Rank the voices of a group, tell who speaks, and let everybody decide anew for whom something changed.
    pub(super) fn rank(&mut self, now: Time, index: u32) {
        let Some(group) = self.voices.get_mut(index) else {
            return;
        };
        group.armed = None;
        group.rank(now);
        if let Some(speakers) = group.poll_speakers(now) {
            let group = group.id();
            self.events.push(Event::Speakers { group, speakers });
        }
        let mut listeners = std::mem::take(&mut self.scratch.listeners);
        if let Some(group) = self.voices.get(index) {
            listeners.extend(group.affected(now));
        }
        for listener in listeners.drain(..) {
            self.fill_pool(now, listener);
        }
        self.scratch.listeners = listeners;
        if let Some(group) = self.voices.get_mut(index) {
            group.settle(now);
        }
        self.voices.arm(index);
    }

    /// Decide what the slots of a listener play, and do it.
    fn fill_pool(&mut self, now: Time, index: u32) {
        let serving = self.serving.replace(index);
        let mut orders = std::mem::take(&mut self.scratch.orders);
        if let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut)
            && let Some(pool) = &mut transport.pool
            && let Some(group) = self.voices.get_mut(pool.group)
        {
            let outlook = pool.decide(now, group, &mut orders);
            group.note(pool.listener, outlook);
        }
        for Order { slot, play } in orders.drain(..) {
            match play {
                Some((track, id)) => self.show(now, index, slot, id, track.encoding(0), Limit::ALL),
                None => self.turn_off(now, index, slot),
            }
            self.tell_voice(now, index, slot);
        }
        self.scratch.orders = orders;
        self.serving = serving;
    }

    /// Tell whom a slot of a pool plays, when that is not what was told last.
    pub(super) fn tell_voice(&mut self, now: Time, index: u32, slot: SlotIndex) {
        let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        let shown = transport.sender.showing(slot);
        let Some(place) = transport.pool.as_mut().and_then(|pool| pool.place_mut(slot)) else {
            return;
        };
        let track = shown.and_then(|key| self.tracks.get(key.into()));
        let plays = track.and_then(|track| Some((track.voice?.seat, track.id)));
        if place.plays == plays {
            return;
        }
        place.plays = plays;
        if plays.is_some() {
            place.changed = Some(now);
        }
        if let Some(mid) = transport.sender.mid(slot) {
            self.events.push(Event::SlotVoice {
                transport: transport.id,
                mid,
                track: plays.map(|(_, id)| id),
            });
        }
    }

    pub(super) fn listen(
        &mut self,
        now: Time,
        id: TransportId,
        group: GroupId,
        mids: &[Mid],
        excluded: Vec<SourceKey>,
    ) -> Result<(), (Option<Mid>, RefusalCode)> {
        let (index, slots) = self.slots_of(id, mids)?;
        self.serving = Some(index);
        let transport = self.transports.get(index as usize).and_then(Option::as_deref);
        let old = transport.and_then(|transport| transport.pool.as_deref());
        let stays = old.is_some_and(|old| self.voices.get(old.group).is_some_and(|known| known.id() == group));
        let leaving: Vec<_> = old
            .into_iter()
            .flat_map(|pool| pool.places.iter().map(|place| place.slot))
            .filter(|slot| !stays || !slots.contains(slot))
            .collect();
        for slot in leaving {
            self.leave_pool(now, index, slot);
        }
        if slots.is_empty() {
            return Ok(());
        }
        let group = self.voices.named(group);
        let places = slots
            .iter()
            .map(|slot| {
                let old = self.transport(index).and_then(|transport| transport.pool.as_mut());
                if let Some(place) = old.and_then(|pool| pool.place_mut(*slot)) {
                    return *place;
                }
                self.turn_off(now, index, *slot);
                Place::new(*slot)
            })
            .collect();
        if let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) {
            let sender = &transport.sender;
            let accepts = [Codec::Opus, Codec::MultiOpus].into_iter().filter(|codec| {
                let source = [source(*codec)];
                slots
                    .iter()
                    .all(|slot| sender.check(*slot, Kind::Audio, &source).is_ok())
            });
            let accepts = accepts.map(codec_bit).fold(0, |all, bit| all | bit);
            let known = transport.pool.as_ref().map(|pool| pool.listener);
            let listener = known.or_else(|| Some(self.voices.get_mut(group)?.listen(index)));
            transport.pool = listener.map(|listener| Box::new(Pool::new(group, listener, places, excluded, accepts)));
        }
        self.fill_pool(now, index);
        self.voices.arm(group);
        Ok(())
    }

    /// The slots of these names, or the first that cannot be filled with voices, and why.
    fn slots_of(&self, id: TransportId, mids: &[Mid]) -> Result<(u32, Vec<SlotIndex>), (Option<Mid>, RefusalCode)> {
        let unknown = (None, RefusalCode::UnknownTransport);
        let index = *self.by_id.get(&id).ok_or(unknown)?;
        let viewer = self.transports.get(index as usize).and_then(Option::as_deref);
        let viewer = viewer.ok_or(unknown)?;
        let mut slots = Vec::with_capacity(mids.len());
        for mid in mids {
            let refuse = |code| Err((Some(*mid), code));
            let Some(slot) = viewer.sender.slot(*mid) else {
                return refuse(RefusalCode::UnknownSlot);
            };
            if viewer.sender.check(slot, Kind::Audio, &[]) == Err(RefusalCode::KindMismatch) {
                return refuse(RefusalCode::KindMismatch);
            }
            if slots.contains(&slot) {
                return refuse(RefusalCode::Duplicate);
            }
            slots.push(slot);
        }
        Ok((index, slots))
    }

    /// A slot is filled with voices no more, and empty.
    pub(super) fn leave_pool(&mut self, now: Time, index: u32, slot: SlotIndex) {
        let pool = self.transport(index).and_then(|transport| transport.pool.as_deref());
        if !pool.is_some_and(|pool| pool.has(slot)) {
            return;
        }
        self.turn_off(now, index, slot);
        self.tell_voice(now, index, slot);
        let Some(transport) = self.transport(index) else { return };
        if let Some(pool) = &mut transport.pool {
            pool.places.retain(|place| place.slot != slot);
        }
        if let Some(pool) = transport.pool.take_if(|pool| pool.places.is_empty()) {
            self.stop_listening(&pool);
        }
    }

    /// A viewer listens no more.
    pub(super) fn stop_listening(&mut self, pool: &Pool) {
        let moved = self
            .voices
            .get_mut(pool.group)
            .and_then(|group| group.leave(pool.listener));
        let moved = moved.and_then(|moved| self.transport(moved)?.pool.as_mut());
        if let Some(moved) = moved {
            moved.listener = pool.listener;
        }
        self.tidy_group(pool.group);
    }

    /// What of all this does not agree with itself, in words.
    pub(super) fn voice_problems(&self, problems: &mut Vec<String>) {
        let mut listeners = 0;
        for (index, transport) in (0..).zip(&self.transports) {
            let Some(transport) = transport else { continue };
            for track in transport.tracks.iter().filter_map(|key| self.tracks.get(*key)) {
                let member = track.voice.map(|voice| self.voices.get(voice.group)?.get(voice.seat));
                if member.is_some_and(|member| member.is_none_or(|member| member.id != track.id)) {
                    problems.push(format!("{:?} has no seat among its voices", track.id));
                }
            }
            let Some(pool) = &transport.pool else { continue };
            listeners += 1;
            let Some(group) = self.voices.get(pool.group) else {
                problems.push(format!("{:?} listens to a group that is gone", transport.id));
                continue;
            };
            if group.listener(pool.listener) != Some(index) {
                problems.push(format!("{:?} is not among the listeners", transport.id));
            }
            for place in &pool.places {
                let shown = transport.sender.showing(place.slot);
                let track = shown.and_then(|key| self.tracks.get(key.into()));
                let heard = track.map(|track| (track.voice.map(|voice| voice.seat), track.id));
                if heard != place.plays.map(|(seat, id)| (Some(seat), id)) {
                    problems.push(format!("{:?} {place:?}: {heard:?} is heard", transport.id));
                }
                let awaited = transport.sender.staged(place.slot).or(shown);
                let voice = place.voice.map(|seat| group.get(seat).map(|member| member.track));
                if awaited.map(|key| Some(TrackKey::from(key))) != voice {
                    problems.push(format!("{:?} {place:?}: {awaited:?} is awaited", transport.id));
                }
            }
        }
        let known: usize = self.voices.groups.iter().flatten().map(Group::listeners).sum();
        if known != listeners {
            problems.push(format!("{known} listeners of groups, {listeners} viewers who listen"));
        }
    }
}

/// The codecs of a track: of what it sends, or of all that it may send while it sends nothing.
fn codecs(track: &Track) -> u8 {
    let sends = track.encodings().first().and_then(|encoding| encoding.view());
    match sends {
        Some(view) => codec_bit(view.codec.codec),
        None => track.codecs.iter().fold(0, |all, spec| all | codec_bit(spec.codec)),
    }
}

/// A codec of which nothing else matters.
fn source(codec: Codec) -> CodecSpec {
    CodecSpec {
        payload_type: 0,
        codec,
        rtx_payload_type: None,
        profile: 0,
        packetization_mode: 0,
    }
}
