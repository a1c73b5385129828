//! Which layer each picture of a viewer shows: what flows, what the application wishes and what the line carries, brought together. Long, because a
//! decision reads and changes all three.

use std::time::Duration;

use super::ShardCore;
use super::transport::Transport;
use crate::choice::{LayerChoice, Priority};
use crate::command::{Event, Kind, RefusalCode};
use crate::encoding::{EncodingKey, Encodings};
use crate::ids::{Mid, TrackId, TransportId};
use crate::layer::{Layer, Limit};
use crate::receive::{LayerTable, Track, TrackKey};
use crate::report::{ShownLayer, Waiting};
use crate::send::allocator::{Picture, Rung};
use crate::send::ladder::{Way, climb};
use crate::send::{Sender, SlotIndex};
use crate::time::Time;

/// How long a picture counts as new after its binding or a new wish: it may rise with the first probes without waiting.
const FRESH: Duration = Duration::from_secs(2);
/// Pictures that take this much of the line are not shown until a lower encoding begins: its key frame would stand behind them in a queue that
/// loses most of what they are made of.
const FLOOD: (u64, u64) = (3, 2);
/// Between two times that news of a publisher's layers are told at least.
const NEWS: Duration = Duration::from_millis(50);
/// Between two decisions when nothing asks for one: bit rates of the publishers change.
const REVIEW: Duration = Duration::from_secs(1);
/// An estimate that moved by less than this share of the last decision's, per cent, asks for no new one.
const MOVED: u64 = 3;

/// What the application wants of a video slot. It outlives what the slot shows: a picture that is turned off for lack of bandwidth comes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub slot: SlotIndex,
    pub track: TrackKey,
    pub id: TrackId,
    pub choice: LayerChoice,
    pub priority: Priority,
    /// When it was made or changed.
    pub since: Time,
    /// The line does not carry it.
    pub is_off: bool,
    /// What the control plane knows.
    pub told: Option<ShownLayer>,
}

/// One viewer's wishes, and when they are looked at again.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// In ascending order of slot.
    all: Vec<Wish>,
    /// When to decide anew at the latest.
    pub due: Option<Time>,
    /// The estimate of the last decision.
    decided_bps: u64,
}

impl Wishes {
    /// The wish of a slot.
    pub fn of(&self, slot: SlotIndex) -> Option<&Wish> {
        self.all.get(self.find(slot).ok()?)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Wish> {
        self.all.iter()
    }

    fn set(&mut self, wish: Wish) {
        match self.find(wish.slot) {
            Ok(at) => {
                if let Some(known) = self.all.get_mut(at) {
                    *known = wish;
                }
            }
            Err(at) => self.all.insert(at, wish),
        }
    }

    fn get_mut(&mut self, slot: SlotIndex) -> Option<&mut Wish> {
        let at = self.find(slot).ok()?;
        self.all.get_mut(at)
    }

    fn remove(&mut self, slot: SlotIndex) -> Option<Wish> {
        self.find(slot).ok().map(|at| self.all.remove(at))
    }

    fn find(&self, slot: SlotIndex) -> Result<usize, usize> {
        self.all.binary_search_by_key(&slot, |wish| wish.slot)
    }
}

/// What a decision means for one slot.
#[derive(Clone, Copy, Debug)]
struct Order {
    slot: SlotIndex,
    id: TrackId,
    /// `None`: turned off.
    target: Option<(EncodingKey, Limit)>,
    /// What is shown must not go on until the target begins.
    cuts: bool,
}

/// Buffers of a decision.
#[derive(Debug, Default)]
pub(super) struct Desk {
    ways: Vec<Way>,
    rungs: Vec<Rung>,
    pictures: Vec<Picture>,
    orders: Vec<Order>,
    viewers: Vec<u32>,
}

impl ShardCore {
    /// Show a track in a slot. Video is a wish, which the next decision meets as far as the line carries it.
    pub(super) fn bind(
        &mut self,
        now: Time,
        id: TransportId,
        mid: Mid,
        track: TrackId,
        choice: LayerChoice,
        priority: Priority,
    ) -> Result<(), RefusalCode> {
        let (index, slot) = self.slot(id, mid)?;
        self.serving = Some(index);
        let key = self.tracks.by_id(track).ok_or(RefusalCode::UnknownTrack)?;
        let source = self.tracks.get(key).ok_or(RefusalCode::UnknownTrack)?;
        let transport = self
            .transports
            .get_mut(index as usize)
            .and_then(Option::as_deref_mut)
            .ok_or(RefusalCode::UnknownTransport)?;
        transport.sender.check(slot, source.kind, &source.codecs)?;
        match source.kind {
            Kind::Audio => {
                self.leave_pool(now, index, slot);
                self.show(now, index, slot, track, key.encoding(0), Limit::ALL);
            }
            Kind::Video => {
                let told = transport.wishes.of(slot).and_then(|wish| wish.told);
                transport.wishes.set(Wish {
                    slot,
                    track: key,
                    id: track,
                    choice,
                    priority,
                    since: now,
                    is_off: false,
                    told,
                });
                self.allocate(now, index);
            }
        }
        Ok(())
    }

    pub(super) fn unbind(&mut self, id: TransportId, mid: Mid, now: Time) -> Result<(), RefusalCode> {
        let (index, slot) = self.slot(id, mid)?;
        self.serving = Some(index);
        let wish = self
            .transport(index)
            .and_then(|transport| transport.wishes.remove(slot));
        self.leave_pool(now, index, slot);
        self.turn_off(now, index, slot);
        if let Some(wish) = wish {
            if wish.told.is_some() {
                self.events.push(Event::SlotLayer {
                    transport: id,
                    mid,
                    layer: None,
                });
            }
            self.allocate(now, index);
        }
        Ok(())
    }

    /// Decide what each picture of a viewer shows, and do it.
    pub(super) fn allocate(&mut self, now: Time, index: u32) {
        let mut desk = std::mem::take(&mut self.scratch.desk);
        self.decide(now, index, &mut desk);
        for order in desk.orders.drain(..) {
            if order.cuts {
                self.turn_off(now, index, order.slot);
            }
            match order.target {
                Some((key, limit)) => self.show(now, index, order.slot, order.id, key, limit),
                None => self.turn_off(now, index, order.slot),
            }
            self.tell_layer(now, index, order.slot);
        }
        self.scratch.desk = desk;
        self.mark_dirty(index);
        self.arm(now, index);
    }

    fn decide(&mut self, now: Time, index: u32, desk: &mut Desk) {
        desk.rungs.clear();
        desk.pictures.clear();
        desk.orders.clear();
        let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        let Transport {
            sender,
            wishes,
            allocator,
            ..
        } = transport;
        let mut is_new = false;
        for wish in &wishes.all {
            let Some(track) = self.tracks.get(wish.track) else {
                continue;
            };
            ways(now, sender, track, &mut desk.ways);
            let from = desk.rungs.len();
            let fixed = climb(&mut desk.ways, &wish.choice, &mut desk.rungs);
            let rungs = desk.rungs.get(from..).unwrap_or_default();
            if rungs.is_empty() {
                // Nothing flows yet: whatever comes first is shown.
                let encoding = wish.choice.encoding.unwrap_or(0).min(track.encodings().len() as u8 - 1);
                desk.orders.push(Order {
                    slot: wish.slot,
                    id: wish.id,
                    target: Some((wish.track.encoding(encoding), Limit::ALL)),
                    cuts: false,
                });
                continue;
            }
            let shown = sender
                .target(wish.slot)
                .filter(|(key, _)| TrackKey::from(*key) == wish.track);
            let fresh = now.since(wish.since) < FRESH;
            is_new |= fresh;
            desk.pictures.push(Picture {
                slot: wish.slot,
                priority: wish.priority,
                current: shown.and_then(|(key, limit)| place(rungs, key.encoding, limit)),
                rungs: from..desk.rungs.len(),
                fixed,
                fresh,
            });
        }
        let line = sender.line(now, &self.tracks);
        let shown_bps = |picture: &Picture| {
            let (key, limit) = sender.shown(picture.slot)?;
            let rungs = desk.rungs.get(picture.rungs.clone())?;
            Some(rungs.get(place(rungs, key.encoding, limit)?)?.bps)
        };
        let showing_bps: u64 = desk.pictures.iter().filter_map(shown_bps).sum();
        let floods = line.is_limit && showing_bps / FLOOD.0 > line.bps / FLOOD.1;
        let (chosen, demand) = allocator.allocate(now, line, &desk.pictures, &desk.rungs);
        for (picture, choice) in desk.pictures.iter().zip(chosen) {
            let Some(wish) = wishes.all.iter_mut().find(|wish| wish.slot == picture.slot) else {
                continue;
            };
            let rung = choice.and_then(|choice| desk.rungs.get(picture.rungs.start + choice));
            wish.is_off = rung.is_none();
            let target = rung.map(|rung| (wish.track.encoding(rung.encoding), rung.limit));
            let cuts = floods
                && picture.current > *choice
                && sender
                    .shown(wish.slot)
                    .is_some_and(|(key, _)| target.is_none_or(|(wanted, _)| wanted != key));
            // What is staged is ordered again: by now it may be in the cache.
            if target != sender.target(wish.slot) || sender.staged(wish.slot).is_some() {
                desk.orders.push(Order {
                    slot: wish.slot,
                    id: wish.id,
                    target,
                    cuts,
                });
            }
        }
        sender.set_demand(now, demand.sending_bps, demand.wanted_bps);
        wishes.decided_bps = line.bps;
        let review = (!wishes.all.is_empty()).then_some(now + if is_new { REVIEW / 10 } else { REVIEW });
        wishes.due = [review, allocator.due()].into_iter().flatten().min();
    }

    /// After feedback: decide anew when the line changed.
    pub(super) fn line_changed(&mut self, now: Time, index: u32) {
        let Some(transport) = self.transports.get(index as usize).and_then(Option::as_deref) else {
            return;
        };
        let (line, wishes) = (transport.sender.line(now, &self.tracks), &transport.wishes);
        let moved = line.bps.abs_diff(wishes.decided_bps) > wishes.decided_bps / 100 * MOVED;
        if moved && !wishes.all.is_empty() {
            self.allocate(now, index);
        }
    }

    /// Something started or stopped: tell it now, or soon where something was told a moment ago. Every news costs all viewers a decision, and
    /// a publisher could have some in each packet.
    pub(super) fn layers_news(&mut self, now: Time, index: u32, key: TrackKey) {
        let Some(transport) = self.transport(index) else {
            return;
        };
        let next = transport.layers_told.map_or(now, |at| at + NEWS);
        if next > now {
            let due = transport.layers_due.map_or(next, |due| due.min(next));
            if transport.layers_due != Some(due) {
                transport.layers_due = Some(due);
                self.arm(now, index);
            }
            return;
        }
        transport.layers_told = Some(now);
        transport.layers_due.get_or_insert(now + REVIEW);
        self.tell_track(now, key, true);
        self.arm(now, index);
    }

    /// Tell what flows of a publisher's pictures, and decide anew where something started or stopped.
    pub(super) fn tell_layers(&mut self, now: Time, index: u32) {
        let Some(transport) = self.transport(index) else {
            return;
        };
        transport.layers_due = Some(now + REVIEW);
        transport.layers_told = Some(now);
        for at in 0.. {
            let transport = self.transports.get(index as usize).and_then(Option::as_deref);
            let Some(key) = transport.and_then(|transport| transport.tracks.get(at).copied()) else {
                return;
            };
            self.tell_track(now, key, false);
        }
    }

    /// The same of one track, and only if something changed when `is_news_only`.
    pub(super) fn tell_track(&mut self, now: Time, key: TrackKey, is_news_only: bool) {
        let Some(track) = self.tracks.get_mut(key).filter(|track| track.kind == Kind::Video) else {
            return;
        };
        let is_news = track.started && track.poll_layers_changed(now);
        if is_news || track.started && !is_news_only {
            self.events.push(Event::TrackLayers(Box::new(track.report(now))));
        }
        if is_news {
            self.layers_changed(now, key);
        }
    }

    /// An encoding or layer of a track started or stopped: everybody who wants the track decides anew.
    fn layers_changed(&mut self, now: Time, key: TrackKey) {
        let mut viewers = std::mem::take(&mut self.scratch.desk.viewers);
        let all = (0..).zip(&self.transports);
        viewers.extend(all.filter_map(|(index, transport)| {
            let wishes = &transport.as_deref()?.wishes;
            wishes.iter().any(|wish| wish.track == key).then_some(index)
        }));
        for index in viewers.drain(..) {
            self.allocate(now, index);
        }
        self.scratch.desk.viewers = viewers;
    }

    /// A track is gone: nobody wants it any more.
    pub(super) fn forget_wishes(&mut self, key: TrackKey) {
        for transport in self.transports.iter_mut().flatten() {
            let gone = transport.wishes.all.extract_if(.., |wish| wish.track == key);
            for wish in gone.filter(|wish| wish.told.is_some()) {
                if let Some(mid) = transport.sender.mid(wish.slot) {
                    self.events.push(Event::SlotLayer {
                        transport: transport.id,
                        mid,
                        layer: None,
                    });
                }
            }
        }
    }

    /// What was ordered before there were keys begins now, from the cache where that is possible.
    pub(super) fn start_slots(&mut self, now: Time, index: u32) {
        let Some(transport) = self.transport(index) else {
            return;
        };
        for wish in &mut transport.wishes.all {
            wish.since = now;
        }
        let sender = &transport.sender;
        let voices: Vec<_> = sender
            .bound()
            .filter(|(slot, key)| sender.staged(*slot) == Some(*key) && transport.wishes.of(*slot).is_none())
            .collect();
        for (slot, key) in voices {
            if let Some(id) = self.tracks.get(key.into()).map(|track| track.id) {
                self.show(now, index, slot, id, key, Limit::ALL);
            }
        }
        self.allocate(now, index);
    }

    /// Tell what a video slot forwards, when that is not what was told last.
    pub(super) fn tell_layer(&mut self, now: Time, index: u32, slot: SlotIndex) {
        let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        let shown = transport.sender.shown(slot);
        let (id, mid) = (transport.id, transport.sender.mid(slot));
        let (Some(wish), Some(mid)) = (transport.wishes.get_mut(slot), mid) else {
            return;
        };
        let layer = shown
            .filter(|(key, _)| TrackKey::from(*key) == wish.track)
            .map(|(key, limit)| ShownLayer {
                encoding: key.encoding,
                spatial: limit.spatial,
                temporal: limit.temporal,
            });
        if layer.is_some() {
            transport.milestones.key_frame.get_or_insert(now);
            transport.milestones.bound.get_or_insert(now);
        }
        if wish.told != layer {
            wish.told = layer;
            self.events.push(Event::SlotLayer {
                transport: id,
                mid,
                layer,
            });
        }
    }

    /// Why a slot does not show what it is to show.
    pub(super) fn waiting(&self, transport: &Transport, wish: &Wish) -> Option<Waiting> {
        if !transport.is_connected() {
            return Some(Waiting::Transport);
        }
        let flows = self.tracks.get(wish.track).is_some_and(|track| track.started);
        match (flows, wish.is_off, transport.sender.staged(wish.slot)) {
            (false, ..) => Some(Waiting::Packets),
            (true, true, _) => Some(Waiting::Bandwidth),
            (true, false, Some(_)) => Some(Waiting::KeyFrame),
            (true, false, None) => None,
        }
    }

    /// Stage an encoding in a slot, and ask for the key frame that it needs.
    pub(super) fn show(&mut self, now: Time, index: u32, slot: SlotIndex, id: TrackId, key: EncodingKey, limit: Limit) {
        let before = self.bound(index, slot);
        let Some(source) = self.tracks.get(key.into()) else {
            return;
        };
        let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        // Without keys there is nobody to replay a cached key frame to; connecting binds again.
        let view = if transport.is_connected() {
            self.tracks.encoding(key)
        } else {
            None
        };
        let codecs = &source.codecs;
        let Ok(binding) = transport
            .sender
            .bind(now, slot, id, key, limit, view, codecs, source.kind)
        else {
            // `check` has let it in; a slot never changes what it accepts.
            return;
        };
        self.reconcile(index, slot, before);
        if binding.needs_key_frame {
            self.request_key_frame(now, key);
        }
        self.mark_dirty(index);
    }

    pub(super) fn turn_off(&mut self, now: Time, index: u32, slot: SlotIndex) {
        let before = self.bound(index, slot);
        if let Some(transport) = self.transport(index) {
            transport.sender.unbind(now, slot);
        }
        self.reconcile(index, slot, before);
    }
}

/// What could be forwarded of a track: every layer of every encoding that flows, or whole encodings where the viewer can have nothing
/// less.
fn ways(now: Time, viewer: &Sender, track: &Track, ways: &mut Vec<Way>) {
    ways.clear();
    for (encoding, one) in (0..).zip(track.encodings()) {
        let Some(view) = one.view().filter(|_| one.is_active(now)) else {
            continue;
        };
        let layers = one.layers().filter(|_| viewer.can_limit(view.codec.codec));
        let top = layers.map_or_else(Layer::default, LayerTable::top);
        for spatial in 0..=top.spatial {
            let size = layers.map_or(one.size(), |_| one.size_of(spatial));
            let (width, height) = size.unwrap_or_default();
            for temporal in 0..=top.temporal {
                ways.push(Way {
                    encoding,
                    spatial,
                    temporal,
                    bps: layers.map_or(view.rate_bps, |layers| layers.rate_up_to(&Limit { spatial, temporal })),
                    width,
                    height,
                });
            }
        }
    }
}

/// The rung that is shown; with layers that have gone or come since, the nearest below.
fn place(rungs: &[Rung], encoding: u8, limit: Limit) -> Option<usize> {
    let exact = rungs
        .iter()
        .position(|rung| rung.encoding == encoding && rung.limit == limit);
    exact.or_else(|| {
        rungs.iter().rposition(|rung| {
            rung.encoding < encoding
                || rung.encoding == encoding
                    && rung.limit.spatial <= limit.spatial
                    && rung.limit.temporal <= limit.temporal
        })
    })
}
