//! What crosses the threads: commands in, events out. Both sides hold a lock for a move of values and one eventfd call, never longer.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rostra_sfu::command::Event;
use rostra_sfu::ids::{GroupId, Mid, TrackId, TransportId};
use rostra_sfu::report::{ShownLayer, Speaker, TrackLayers};
use rostra_sfu::stats::Stats;

use crate::feeds::Order;
use crate::sys::Wake;

/// The command queue has no room for the whole batch, or the node is closed. Nothing of the batch was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the command queue of the media plane is full")]
pub struct Overloaded;

/// No invariant spans a panic: every critical section is a move.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Commands on their way to one shard. Readable while there are any.
#[derive(Debug)]
pub(crate) struct Inbox<T = Order> {
    state: Mutex<InboxState<T>>,
    capacity: usize,
    ready: Wake,
}

#[derive(Debug)]
struct InboxState<T> {
    commands: VecDeque<T>,
    closed: bool,
}

impl<T> Inbox<T> {
    pub(crate) fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            state: Mutex::new(InboxState {
                commands: VecDeque::new(),
                closed: false,
            }),
            capacity,
            ready: Wake::new()?,
        })
    }

    /// All of `commands`, in order, or none.
    pub(crate) fn submit(&self, commands: Vec<T>) -> Result<(), Overloaded> {
        if commands.is_empty() {
            return Ok(());
        }
        let mut state = lock(&self.state);
        if state.closed || commands.len() > self.capacity.saturating_sub(state.commands.len()) {
            return Err(Overloaded);
        }
        if state.commands.is_empty() {
            self.ready.set();
        }
        state.commands.extend(commands);
        Ok(())
    }

    /// No more commands; those already taken are still obeyed.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.ready.set();
    }

    /// Move everything to the end of `into`. `true`: closed, and this was the last of it.
    pub(crate) fn take(&self, into: &mut VecDeque<T>) -> bool {
        let mut state = lock(&self.state);
        if !state.commands.is_empty() {
            self.ready.clear();
            if into.is_empty() {
                std::mem::swap(&mut state.commands, into);
            } else {
                into.append(&mut state.commands);
            }
        }
        state.closed
    }
}

impl<T> AsRawFd for Inbox<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_raw_fd()
    }
}

/// Facts on their way to the control plane. Readable while there are any.
///
/// Lifecycle events are never dropped, so the log grows while nobody drains it. What it can grow to is bounded by what the control plane
/// ordered (a handful per transport and binding) and by one stall and resume per transport in 5 s. Layers and voices are latest-wins: one per
/// track, slot and group is kept, for as long as the transport lives, and they come behind the lifecycle. Totals are, too: one per shard is
/// kept, and `drain` adds them up into one event behind all others.
#[derive(Debug)]
pub(crate) struct EventLog {
    state: Mutex<LogState>,
    ready: Wake,
}

#[derive(Debug)]
struct LogState {
    events: Vec<Event>,
    latest: Latest,
    stats: Vec<Stats>,
    stats_are_new: bool,
}

/// What nobody has fetched yet of layers and voices.
#[derive(Debug, Default)]
struct Latest {
    tracks: BTreeMap<TrackId, Box<TrackLayers>>,
    /// At most one entry for each m-line, of which a transport has 512.
    slots: BTreeMap<TransportId, Vec<(Mid, Option<ShownLayer>)>>,
    /// Likewise.
    voices: BTreeMap<TransportId, Vec<(Mid, Option<TrackId>)>>,
    speakers: BTreeMap<GroupId, Vec<Speaker>>,
    /// Started tracks by their publisher: a report does not say whose it is. Outlives `drain`.
    started: BTreeMap<TransportId, Vec<TrackId>>,
}

impl Latest {
    /// Take what is latest-wins, and give back what is not.
    fn sort(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::TrackLayers(report) => {
                self.tracks.insert(report.track, report);
                None
            }
            Event::SlotLayer { transport, mid, layer } => {
                replace(self.slots.entry(transport).or_default(), mid, layer);
                None
            }
            Event::SlotVoice { transport, mid, track } => {
                replace(self.voices.entry(transport).or_default(), mid, track);
                None
            }
            Event::Speakers { group, speakers } => {
                self.speakers.insert(group, speakers);
                None
            }
            Event::TrackStarted { transport, track } => {
                self.started.entry(transport).or_default().push(track);
                Some(event)
            }
            Event::TransportClosed { transport, .. } => {
                self.slots.remove(&transport);
                self.voices.remove(&transport);
                for track in self.started.remove(&transport).unwrap_or_default() {
                    self.tracks.remove(&track);
                }
                Some(event)
            }
            Event::TransportConnected { .. }
            | Event::TransportStalled { .. }
            | Event::TransportResumed { .. }
            | Event::SlotBound { .. }
            | Event::Rejected { .. }
            | Event::Inspected { .. }
            | Event::Stats(_) => Some(event),
        }
    }

    /// Move everything to the end of `events`: tracks, what slots show, what they play, groups.
    fn append_to(&mut self, events: &mut Vec<Event>) {
        events.extend(std::mem::take(&mut self.tracks).into_values().map(Event::TrackLayers));
        for (transport, slots) in std::mem::take(&mut self.slots) {
            events.extend(
                slots
                    .into_iter()
                    .map(|(mid, layer)| Event::SlotLayer { transport, mid, layer }),
            );
        }
        for (transport, slots) in std::mem::take(&mut self.voices) {
            events.extend(
                slots
                    .into_iter()
                    .map(|(mid, track)| Event::SlotVoice { transport, mid, track }),
            );
        }
        let speakers = std::mem::take(&mut self.speakers).into_iter();
        events.extend(speakers.map(|(group, speakers)| Event::Speakers { group, speakers }));
    }
}

/// What is told of a slot last takes the place of what was told before.
fn replace<T>(slots: &mut Vec<(Mid, T)>, mid: Mid, latest: T) {
    match slots.iter_mut().find(|(known, _)| *known == mid) {
        Some((_, kept)) => *kept = latest,
        None => slots.push((mid, latest)),
    }
}

impl EventLog {
    pub(crate) fn new(shards: usize) -> io::Result<Self> {
        Ok(Self {
            state: Mutex::new(LogState {
                events: Vec::new(),
                latest: Latest::default(),
                stats: vec![Stats::default(); shards],
                stats_are_new: false,
            }),
            ready: Wake::new()?,
        })
    }

    /// Take in `events`, leaving it empty.
    pub(crate) fn publish(&self, events: &mut Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        for event in events.drain(..) {
            state.events.extend(state.latest.sort(event));
        }
        self.ready.set();
    }

    /// Replace the totals of a shard.
    pub(crate) fn publish_stats(&self, shard: usize, stats: Stats) {
        let mut state = lock(&self.state);
        if let Some(slot) = state.stats.get_mut(shard) {
            *slot = stats;
            state.stats_are_new = true;
            self.ready.set();
        }
    }

    /// Everything since the last call: the lifecycle in order, then layers, then totals.
    pub(crate) fn drain(&self) -> Vec<Event> {
        let mut state = lock(&self.state);
        self.ready.clear();
        let mut events = std::mem::take(&mut state.events);
        state.latest.append_to(&mut events);
        if std::mem::take(&mut state.stats_are_new) {
            let mut total = Stats::default();
            for stats in &state.stats {
                total.merge(stats);
            }
            events.push(Event::Stats(Box::new(total)));
        }
        events
    }
}

impl AsRawFd for EventLog {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::is_readable;
    use rostra_sfu::command::{CloseReason, Command};
    use rostra_sfu::report::EncodingReport;

    fn close(id: u64) -> Command {
        Command::CloseTransport {
            transport: TransportId(id),
        }
    }

    fn stalled(id: u64) -> Event {
        Event::TransportStalled {
            transport: TransportId(id),
        }
    }

    #[test]
    fn a_batch_that_does_not_fit_is_refused_whole() {
        let inbox = Inbox::new(3).unwrap();
        assert_eq!(inbox.submit(vec![close(1), close(2)]), Ok(()));
        assert_eq!(inbox.submit(vec![close(3), close(4)]), Err(Overloaded));
        assert_eq!(inbox.submit(vec![close(5)]), Ok(()));
        let mut taken = VecDeque::new();
        assert!(!inbox.take(&mut taken));
        assert_eq!(taken, [close(1), close(2), close(5)]);
        assert_eq!(inbox.submit(vec![close(6), close(7), close(8)]), Ok(()));
    }

    #[test]
    fn an_inbox_is_readable_only_while_it_holds_commands() {
        let inbox = Inbox::new(3).unwrap();
        assert_eq!(inbox.submit(Vec::new()), Ok(()));
        assert!(!is_readable(inbox.as_raw_fd()));
        inbox.submit(vec![close(1)]).unwrap();
        assert!(is_readable(inbox.as_raw_fd()));
        inbox.take(&mut VecDeque::new());
        assert!(!is_readable(inbox.as_raw_fd()));
    }

    #[test]
    fn a_closed_inbox_hands_out_what_it_has_and_takes_no_more() {
        let inbox = Inbox::new(3).unwrap();
        inbox.submit(vec![close(1)]).unwrap();
        inbox.close();
        assert_eq!(inbox.submit(vec![close(2)]), Err(Overloaded));
        let mut taken = VecDeque::new();
        assert!(inbox.take(&mut taken));
        assert_eq!(taken, [close(1)]);
    }

    #[test]
    fn a_log_is_readable_only_while_it_holds_events() {
        let log = EventLog::new(1).unwrap();
        log.publish(&mut Vec::new());
        assert!(!is_readable(log.as_raw_fd()));
        log.publish(&mut vec![stalled(1)]);
        log.publish(&mut vec![stalled(2)]);
        assert!(is_readable(log.as_raw_fd()));
        assert_eq!(log.drain(), [stalled(1), stalled(2)]);
        assert!(!is_readable(log.as_raw_fd()));
        assert!(log.drain().is_empty());
    }

    fn flows(track: u64, bitrate_bps: u64) -> Event {
        Event::TrackLayers(Box::new(TrackLayers {
            track: TrackId(track),
            encodings: vec![EncodingReport {
                bitrate_bps,
                ..EncodingReport::default()
            }],
        }))
    }

    fn shows(transport: u64, mid: &[u8], encoding: Option<u8>) -> Event {
        Event::SlotLayer {
            transport: TransportId(transport),
            mid: Mid::new(mid).unwrap(),
            layer: encoding.map(|encoding| ShownLayer {
                encoding,
                spatial: 255,
                temporal: 255,
            }),
        }
    }

    fn started(transport: u64, track: u64) -> Event {
        Event::TrackStarted {
            transport: TransportId(transport),
            track: TrackId(track),
        }
    }

    fn closed(transport: u64) -> Event {
        Event::TransportClosed {
            transport: TransportId(transport),
            reason: CloseReason::Closed,
        }
    }

    #[test]
    fn of_layers_only_the_latest_of_each_track_and_slot_is_told_behind_the_lifecycle() {
        let log = EventLog::new(1).unwrap();
        for bitrate in 0..1000 {
            log.publish(&mut vec![
                flows(2, bitrate),
                shows(9, b"0", Some(0)),
                flows(1, 5),
                shows(9, b"1", Some(1)),
                shows(9, b"0", None),
            ]);
        }
        log.publish_stats(0, Stats::default());
        log.publish(&mut vec![stalled(7)]);
        assert!(is_readable(log.as_raw_fd()));
        assert_eq!(
            log.drain(),
            [
                stalled(7),
                flows(1, 5),
                flows(2, 999),
                shows(9, b"0", None),
                shows(9, b"1", Some(1)),
                Event::Stats(Box::default()),
            ]
        );
        assert!(!is_readable(log.as_raw_fd()));
        assert!(log.drain().is_empty());
    }

    fn plays(transport: u64, mid: &[u8], track: Option<u64>) -> Event {
        Event::SlotVoice {
            transport: TransportId(transport),
            mid: Mid::new(mid).unwrap(),
            track: track.map(TrackId),
        }
    }

    fn speaks(group: u64, level: u8) -> Event {
        Event::Speakers {
            group: GroupId(group),
            speakers: vec![Speaker {
                track: TrackId(1),
                level,
            }],
        }
    }

    #[test]
    fn of_voices_only_the_latest_of_each_slot_and_group_is_told_behind_the_lifecycle() {
        let log = EventLog::new(1).unwrap();
        for track in 0..1000 {
            log.publish(&mut vec![
                plays(9, b"3", Some(track)),
                speaks(2, track as u8),
                plays(9, b"2", Some(7)),
                speaks(1, 40),
            ]);
        }
        log.publish(&mut vec![plays(9, b"2", None), stalled(7), shows(9, b"0", None)]);
        assert_eq!(
            log.drain(),
            [
                stalled(7),
                shows(9, b"0", None),
                plays(9, b"3", Some(999)),
                plays(9, b"2", None),
                speaks(1, 40),
                speaks(2, 231),
            ]
        );
        assert!(!is_readable(log.as_raw_fd()));
        assert!(log.drain().is_empty());
    }

    #[test]
    fn layers_and_voices_of_a_transport_that_closed_are_not_told() {
        let log = EventLog::new(1).unwrap();
        log.publish(&mut vec![started(1, 11), started(1, 12), started(2, 21)]);
        assert_eq!(log.drain().len(), 3);
        log.publish(&mut vec![
            flows(11, 1),
            flows(12, 1),
            flows(21, 1),
            shows(3, b"0", Some(0)),
            shows(4, b"0", Some(0)),
            plays(3, b"2", Some(1)),
            plays(4, b"2", Some(1)),
        ]);
        log.publish(&mut vec![closed(1), closed(3), closed(3)]);
        assert_eq!(
            log.drain(),
            [
                closed(1),
                closed(3),
                closed(3),
                flows(21, 1),
                shows(4, b"0", Some(0)),
                plays(4, b"2", Some(1)),
            ]
        );
        log.publish(&mut vec![closed(2), closed(4)]);
        log.drain();
        let state = lock(&log.state);
        assert!(state.latest.started.is_empty() && state.latest.slots.is_empty() && state.latest.tracks.is_empty());
        assert!(state.latest.voices.is_empty());
    }

    #[test]
    fn of_totals_only_the_latest_is_told_summed_over_shards() {
        let log = EventLog::new(2).unwrap();
        let stats = |packets_in| Stats {
            packets_in,
            ..Stats::default()
        };
        log.publish_stats(0, stats(1));
        log.publish_stats(0, stats(5));
        log.publish_stats(1, stats(30));
        assert_eq!(log.drain(), [Event::Stats(Box::new(stats(35)))]);
        assert!(!is_readable(log.as_raw_fd()));
    }
}
