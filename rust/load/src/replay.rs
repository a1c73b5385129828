//! One source that sends a recording over and over, as its browser did: same packets, same rhythm, same header extensions.
//!
//! Key frames come when the recording has them. A request for one is counted and changes nothing.

use std::time::{Duration, Instant, SystemTime};

use rostra_sim::random::Random;
use serde_json::{Value, json};

use crate::fleet::{Fact, Fleet, Id, Leave};
use crate::peer::{Heard, Taken};
use crate::recording::Recording;
use crate::report::percentiles;
use crate::signal::Role;

/// Between the taking of a frame and its first packet. Sender reports speak of the past then, however fast a frame was encoded.
const CAPTURE_TO_SEND: Duration = Duration::from_millis(100);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `http://host:port`
    pub url: String,
    /// `host:port` of a relay in the way of the media.
    pub via: Option<String>,
    /// Who it is.
    pub role: Role,
    /// How long.
    pub length: Duration,
    /// Of sequence numbers and RTP times.
    pub seed: u64,
    /// What is sent.
    pub recording: Recording,
}

/// Numbers that each encoding counts for itself.
#[derive(Clone, Copy, Debug)]
struct Stream {
    seq: u64,
    first_timestamp: u32,
    packets: u64,
    bytes: u64,
}

struct Player {
    fleet: Fleet,
    id: Id,
    recording: Recording,
    start: Instant,
    streams: Vec<Stream>,
    turns: u32,
    connected: Vec<Duration>,
    key_frames_asked: u64,
    /// When the next line of progress is due.
    say: Instant,
}

/// Publish the recording. Returns the totals as JSON.
///
/// # Errors
/// In words: the target is refused, or the connection did not come about or broke.
pub fn run(plan: Plan) -> Result<Value, String> {
    let mut fleet = Fleet::new(&plan.url, plan.via.as_deref())?;
    let start = Instant::now();
    let id = fleet
        .join_with(start, plan.role, &plan.recording)
        .map_err(|error| error.to_string())?;
    let mut random = Random::new(plan.seed);
    let mut stream = || Stream {
        seq: random.below(0x8000),
        first_timestamp: random.below(1 << 32) as u32,
        packets: 0,
        bytes: 0,
    };
    let mut player = Player {
        fleet,
        id,
        start,
        streams: plan.recording.encodings.iter().map(|_| stream()).collect(),
        recording: plan.recording,
        turns: 0,
        connected: Vec::new(),
        key_frames_asked: 0,
        say: start,
    };
    player.play(start + plan.length)?;
    Ok(player.report())
}

impl Player {
    fn play(&mut self, end: Instant) -> Result<(), String> {
        while self.connected.is_empty() && Instant::now() < end {
            self.serve(end)?;
        }
        eprintln!("connected after {} ms", self.start.elapsed().as_millis());
        let (begun, begun_wall) = (Instant::now(), SystemTime::now());
        self.say = begun + Duration::from_secs(5);
        loop {
            let turn_begins = begun + self.media_time(self.turns, 0);
            for index in 0..self.recording.packets.len() {
                let Some(packet) = self.recording.packet(index, self.turns) else {
                    continue;
                };
                let due = turn_begins + Duration::from_micros(u64::from(packet.at));
                loop {
                    let now = Instant::now();
                    if now >= end {
                        self.fleet.leave(now, self.id, Leave::Cleanly);
                        return Ok(());
                    }
                    if now >= due {
                        break;
                    }
                    self.serve(due.min(end))?;
                }
                let Some(stream) = self.streams.get_mut(usize::from(packet.encoding)) else {
                    continue;
                };
                let seq = stream.seq;
                stream.seq += 1;
                stream.packets += 1;
                stream.bytes += packet.payload.len() as u64;
                let ticks = self.recording.ticks.wrapping_mul(self.turns).wrapping_add(packet.time);
                let timestamp = stream.first_timestamp.wrapping_add(ticks);
                let turn_wall = begun_wall + self.media_time(self.turns, 0);
                let captured = packet.captured.map(|micros| {
                    let apart = Duration::from_micros(u64::from(micros.unsigned_abs()));
                    if micros < 0 {
                        turn_wall - apart
                    } else {
                        turn_wall + apart
                    }
                });
                let at = begun + self.media_time(self.turns, packet.time) - CAPTURE_TO_SEND;
                let taken = Taken {
                    at,
                    timestamp,
                    captured,
                };
                self.fleet
                    .play(Instant::now(), self.id, taken, &self.recording, seq, &packet);
            }
            self.turns += 1;
        }
    }

    /// From the beginning to `ticks` of the turn after `turns`.
    fn media_time(&self, turns: u32, ticks: u32) -> Duration {
        let ticks = u64::from(turns) * u64::from(self.recording.ticks) + u64::from(ticks);
        Duration::from_nanos(ticks * 100_000 / 9)
    }

    fn serve(&mut self, until: Instant) -> Result<(), String> {
        for (_, fact) in self.fleet.turn(until).map_err(|error| error.to_string())? {
            match fact {
                Fact::Heard(Heard::Connected) => self.connected.push(self.start.elapsed()),
                Fact::Heard(Heard::KeyFrameWanted) => self.key_frames_asked += 1,
                Fact::Heard(Heard::Rtp { .. }) | Fact::Active(_) => {}
                Fact::Failed(error) => return Err(error),
            }
        }
        let now = Instant::now();
        if now >= self.say {
            self.say += Duration::from_secs(5);
            let sent = self.fleet.sent();
            eprintln!(
                "{:4} s: turn {}, {} packets, {} again, {} key frames asked for",
                now.duration_since(self.start).as_secs(),
                self.turns + 1,
                sent.packets,
                sent.retransmissions,
                self.key_frames_asked
            );
        }
        Ok(())
    }

    fn report(&self) -> Value {
        let sent = self.fleet.sent();
        json!({
            "role": "replay",
            "seconds": self.start.elapsed().as_secs_f64().round(),
            "joined": self.connected.len(),
            "failed": usize::from(self.connected.is_empty()),
            "turns": self.turns,
            "packets": self.streams.iter().map(|one| one.packets).collect::<Vec<_>>(),
            "payload_bytes": self.streams.iter().map(|one| one.bytes).collect::<Vec<_>>(),
            "packets_again": sent.retransmissions,
            "key_frames_asked": self.key_frames_asked,
            "connect_ms": percentiles(&self.connected),
        })
    }
}
