//! Viewers that watch, and in `churn` come and go.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use str0m::media::MediaKind;
use str0m::rtp::{RtpPacket, Ssrc};

use rostra_sim::media;
use rostra_sim::random::Random;

use crate::fleet::{Fact, Fleet, Id, Leave};
use crate::frames::Frames;
use crate::peer::Heard;
use crate::report::{Viewing, percentiles};
use crate::signal::Role;

/// A join without a whole frame after this long has failed.
const FRAME_WITHIN: Duration = Duration::from_secs(15);
/// A decoder asks for key frames no more often.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Housekeeping, and the longest that a command waits for it.
const TICK: Duration = Duration::from_millis(50);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `http://host:port`
    pub url: String,
    /// `host:port` of a relay in the way of the media.
    pub via: Option<String>,
    /// Who they are.
    pub role: Role,
    /// How many at a time.
    pub viewers: usize,
    /// How long.
    pub length: Duration,
    /// Leave after 5 to 60 s, cleanly or abruptly, and return after 0.5 to 3 s.
    pub churn: bool,
    /// Video m-lines of each: the first is for the main source, named sources go to the others as they are announced.
    pub slots: usize,
    /// Between two joins at the start.
    pub ramp: Duration,
    /// Take the media by TCP.
    pub tcp: bool,
    /// So many of them stop reading when all have joined, and count for nothing from then on. By TCP only.
    pub sleepers: usize,
    /// The publishers are ours: check every byte of video.
    pub verify: bool,
    /// Of the comings and goings.
    pub seed: u64,
}

/// A place that one viewer after the other takes.
struct Seat {
    watching: Option<Watching>,
    /// When it leaves, or joins.
    next: Option<Instant>,
}

struct Watching {
    id: Id,
    since: Instant,
    joined: bool,
    sources: Vec<String>,
    streams: HashMap<Ssrc, Stream>,
}

#[derive(Default)]
struct Stream {
    frames: Frames,
    asked: Option<Instant>,
}

struct Audience {
    plan: Plan,
    fleet: Fleet,
    seats: Vec<Seat>,
    by_id: HashMap<Id, usize>,
    random: Random,
    total: Viewing,
    start: Instant,
    /// Those that were to stop reading have.
    asleep: bool,
}

/// Watch. Returns the totals as JSON.
///
/// # Errors
/// In words: the target is refused, or the machine has no sockets left.
pub fn run(plan: Plan) -> Result<Value, String> {
    let start = Instant::now();
    let seats = (0..plan.viewers).map(|number| Seat {
        watching: None,
        next: Some(start + plan.ramp * number as u32),
    });
    let mut fleet = Fleet::new(&plan.url, plan.via.as_deref())?;
    if plan.tcp {
        fleet.use_tcp();
    }
    let mut audience = Audience {
        fleet,
        seats: seats.collect(),
        by_id: HashMap::new(),
        random: Random::new(plan.seed),
        total: Viewing::default(),
        start,
        asleep: false,
        plan,
    };
    audience.watch().map_err(|error| error.to_string())?;
    Ok(audience.report())
}

impl Audience {
    fn watch(&mut self) -> io::Result<()> {
        let end = self.start + self.plan.length;
        let mut tick = self.start;
        let mut say = self.start + Duration::from_secs(5);
        while Instant::now() < end {
            let now = Instant::now();
            if now >= tick {
                tick = now + TICK;
                self.housekeeping(now);
                if !self.asleep && self.plan.sleepers > 0 && self.total.joined >= self.plan.viewers as u64 {
                    self.fall_asleep();
                }
            }
            if now >= say {
                say += Duration::from_secs(5);
                self.progress(now);
            }
            self.serve(tick.min(end))?;
        }
        let now = Instant::now();
        for seat in 0..self.seats.len() {
            self.leave(now, seat, Leave::Cleanly);
        }
        self.linger()
    }

    /// Count what the server still sends to those who left, until it has fallen silent or has given them up.
    fn linger(&mut self) -> io::Result<()> {
        let left = Instant::now();
        loop {
            let now = Instant::now();
            let quiet_since = self.fleet.last_ghost().map_or(left, |at| at.max(left));
            if now.duration_since(quiet_since) > Duration::from_secs(1) || !self.fleet.has_ghosts() {
                return Ok(());
            }
            self.fleet.turn(now + TICK)?;
        }
    }

    fn serve(&mut self, until: Instant) -> io::Result<()> {
        for (id, fact) in self.fleet.turn(until)? {
            let Some(&seat) = self.by_id.get(&id) else {
                continue;
            };
            match fact {
                Fact::Heard(Heard::Rtp { kind, packet }) => self.packet(seat, kind, &packet),
                Fact::Heard(Heard::Connected | Heard::KeyFrameWanted) => {}
                Fact::Active(source) => self.project(seat, source),
                Fact::Failed(error) => self.fail(Instant::now(), seat, error),
            }
        }
        Ok(())
    }

    fn packet(&mut self, seat: usize, kind: MediaKind, packet: &RtpPacket) {
        let Some(watching) = self.seats.get_mut(seat).and_then(|seat| seat.watching.as_mut()) else {
            return;
        };
        if kind == MediaKind::Audio {
            self.total.audio += 1;
            return;
        }
        if self.plan.verify && media::read(&packet.payload).is_none() {
            self.total.torn += 1;
        }
        let stream = watching.streams.entry(packet.header.ssrc).or_default();
        let time = packet.time.numer();
        let whole = stream
            .frames
            .packet(packet.timestamp, *packet.seq_no, time, packet.header.marker);
        if whole > 0 && !watching.joined {
            watching.joined = true;
            self.total.joined += 1;
            self.total
                .join_times
                .push(packet.timestamp.duration_since(watching.since));
        }
    }

    fn project(&mut self, seat: usize, source: Option<String>) {
        let slots = self.plan.slots;
        let watching = self.seats.get_mut(seat).and_then(|seat| seat.watching.as_mut());
        let (Some(watching), Some(source)) = (watching, source) else {
            return;
        };
        if watching.sources.len() + 1 < slots && !watching.sources.contains(&source) {
            watching.sources.push(source.clone());
            let slot = watching.sources.len();
            self.fleet.project(watching.id, &source, slot);
        }
    }

    fn housekeeping(&mut self, now: Instant) {
        for number in 0..self.seats.len() {
            let Some(seat) = self.seats.get_mut(number) else {
                return;
            };
            let due = seat.next.is_some_and(|at| at <= now);
            match &mut seat.watching {
                None if due => self.join(now, number),
                None => {}
                Some(watching) if !watching.joined && now.duration_since(watching.since) > FRAME_WITHIN => {
                    let id = watching.id;
                    self.fleet.leave(now, id, Leave::Abruptly);
                    self.fail(
                        now,
                        number,
                        format!("no whole frame within {} s", FRAME_WITHIN.as_secs()),
                    );
                }
                Some(_) if due => {
                    let how = if self.random.chance(0.5) {
                        Leave::Cleanly
                    } else {
                        Leave::Abruptly
                    };
                    self.leave(now, number, how);
                }
                Some(watching) => {
                    let mut asks = Vec::new();
                    for (ssrc, stream) in &mut watching.streams {
                        let may_ask = stream.asked.is_none_or(|at| now.duration_since(at) > ASK_EVERY);
                        if stream.frames.advance(now) && may_ask {
                            stream.asked = Some(now);
                            asks.push(*ssrc);
                        }
                    }
                    let id = watching.id;
                    self.total.key_frames_asked += asks.len() as u64;
                    asks.into_iter()
                        .for_each(|ssrc| self.fleet.request_key_frame(now, id, ssrc));
                }
            }
        }
    }

    /// The first of them read no more. What they saw so far counts.
    fn fall_asleep(&mut self) {
        self.asleep = true;
        for seat in self.seats.iter_mut().take(self.plan.sleepers) {
            if let Some(watching) = &mut seat.watching {
                for stream in std::mem::take(&mut watching.streams).into_values() {
                    self.total.frames += stream.frames.complete;
                    self.total.incomplete += stream.frames.incomplete;
                    self.total.lost += stream.frames.lost;
                }
                self.fleet.sleep(watching.id);
                self.total.asleep += 1;
            }
        }
    }

    fn join(&mut self, now: Instant, number: usize) {
        let stays = Duration::from_millis(5_000 + self.random.below(55_000));
        let Some(seat) = self.seats.get_mut(number) else {
            return;
        };
        seat.next = self.plan.churn.then_some(now + stays);
        match self.fleet.join(now, self.plan.role.clone(), self.plan.slots) {
            Ok(id) => {
                self.by_id.insert(id, number);
                seat.watching = Some(Watching {
                    id,
                    since: now,
                    joined: false,
                    sources: Vec::new(),
                    streams: HashMap::new(),
                });
            }
            Err(error) => self.fail(now, number, error.to_string()),
        }
    }

    fn leave(&mut self, now: Instant, number: usize, how: Leave) {
        let Some(id) = self.count_up(now, number) else {
            return;
        };
        self.fleet.leave(now, id, how);
        match how {
            Leave::Cleanly => self.total.left_cleanly += 1,
            Leave::Abruptly => self.total.left_abruptly += 1,
        }
    }

    fn fail(&mut self, now: Instant, number: usize, error: String) {
        let joined = self
            .seats
            .get(number)
            .and_then(|seat| seat.watching.as_ref())
            .is_some_and(|watching| watching.joined);
        self.count_up(now, number);
        if !joined {
            self.total.failed += 1;
        }
        *self.total.errors.entry(error).or_default() += 1;
    }

    /// Empty the seat and add what its viewer saw to the totals.
    fn count_up(&mut self, now: Instant, number: usize) -> Option<Id> {
        let returns = Duration::from_millis(500 + self.random.below(2_500));
        let seat = self.seats.get_mut(number)?;
        seat.next = self.plan.churn.then_some(now + returns);
        let watching = seat.watching.take()?;
        self.by_id.remove(&watching.id);
        for stream in watching.streams.values() {
            self.total.frames += stream.frames.complete;
            self.total.incomplete += stream.frames.incomplete;
            self.total.lost += stream.frames.lost;
        }
        Some(watching.id)
    }

    fn progress(&self, now: Instant) {
        let watching = self.seats.iter().filter_map(|seat| seat.watching.as_ref());
        let (joined, joining): (Vec<_>, Vec<_>) = watching.partition(|watching| watching.joined);
        eprintln!(
            "{:4} s: {} watching, {} joining; {} joined, {} failed, {} packets so far",
            now.duration_since(self.start).as_secs(),
            joined.len(),
            joining.len(),
            self.total.joined,
            self.total.failed,
            self.fleet.wire().packets,
        );
    }

    fn report(&self) -> Value {
        let (wire, ghosts, total) = (self.fleet.wire(), self.fleet.ghosts(), &self.total);
        json!({
            "role": "view",
            "seconds": self.start.elapsed().as_secs_f64().round(),
            "joined": total.joined,
            "failed": total.failed,
            "asleep": total.asleep,
            "left_cleanly": total.left_cleanly,
            "left_abruptly": total.left_abruptly,
            "packets": wire.packets,
            "retransmissions": wire.retransmissions,
            "bytes": wire.bytes,
            "packets_after_leaving": ghosts.packets,
            "retransmissions_after_leaving": ghosts.retransmissions,
            "bytes_after_leaving": ghosts.bytes,
            "frames": total.frames,
            "incomplete": total.incomplete,
            "lost": total.lost,
            "torn": total.torn,
            "audio_packets": total.audio,
            "key_frames_asked": total.key_frames_asked,
            "join_ms": percentiles(&total.join_times),
            "errors": total.errors,
        })
    }
}
