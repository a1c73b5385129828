//! One source: synthetic VP8 and sound of Opus' rhythm, key frames when asked for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use str0m::media::MediaKind;

use crate::fleet::{Fact, Fleet, Id, Leave};
use crate::peer::Heard;
use crate::picture::Encoder;
use crate::report::percentiles;
use crate::signal::Role;

const AUDIO_EVERY: Duration = Duration::from_millis(20);
/// 32 kb/s.
const AUDIO_BYTES: usize = 80;
/// A process that was held up longer than this skips what it missed, as cameras do.
const MOST_LATE: Duration = Duration::from_millis(200);

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
    /// Pictures a second.
    pub fps: u32,
    /// Of the video.
    pub kbps: u32,
    /// Of the sizes of pictures.
    pub seed: u64,
}

#[derive(Default)]
struct Sent {
    packets: u64,
    bytes: u64,
    frames: u64,
    key_frames_asked: u64,
    connected: Vec<Duration>,
}

struct Publisher {
    fleet: Fleet,
    id: Id,
    start: Instant,
    encoder: Encoder,
    frame_every: Duration,
    next_frame: Instant,
    next_audio: Instant,
    video_seq: u64,
    audio_seq: u64,
    sent: Sent,
}

/// Publish. Returns the totals as JSON.
///
/// # Errors
/// In words: the target is refused, or the connection did not come about or broke.
pub fn run(plan: Plan) -> Result<Value, String> {
    let mut fleet = Fleet::new(&plan.url, plan.via.as_deref())?;
    let start = Instant::now();
    let id = fleet
        .join(start, plan.role.clone(), 0)
        .map_err(|error| error.to_string())?;
    let mut publisher = Publisher {
        fleet,
        id,
        start,
        encoder: Encoder::new(plan.seed, plan.fps, plan.kbps),
        frame_every: Duration::from_secs(1) / plan.fps.max(1),
        next_frame: start,
        next_audio: start,
        video_seq: 1000,
        audio_seq: 1000,
        sent: Sent::default(),
    };
    publisher.publish(start + plan.length)?;
    Ok(publisher.report())
}

impl Publisher {
    fn publish(&mut self, end: Instant) -> Result<(), String> {
        while self.sent.connected.is_empty() && Instant::now() < end {
            self.serve(end)?;
        }
        eprintln!("connected after {} ms", self.start.elapsed().as_millis());
        (self.next_frame, self.next_audio) = (Instant::now(), Instant::now());
        let mut say = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            let now = Instant::now();
            if now >= self.next_frame {
                self.frame(now);
                self.next_frame = later(self.next_frame, self.frame_every, now);
            }
            if now >= self.next_audio {
                self.sound(now);
                self.next_audio = later(self.next_audio, AUDIO_EVERY, now);
            }
            if now >= say {
                say += Duration::from_secs(5);
                let (since, sent) = (now.duration_since(self.start).as_secs(), &self.sent);
                eprintln!(
                    "{since:4} s: {} frames, {} packets, {} key frames asked for",
                    sent.frames, sent.packets, sent.key_frames_asked
                );
            }
            self.serve(self.next_frame.min(self.next_audio).min(end))?;
        }
        self.fleet.leave(Instant::now(), self.id, Leave::Cleanly);
        Ok(())
    }

    fn serve(&mut self, until: Instant) -> Result<(), String> {
        for (_, fact) in self.fleet.turn(until).map_err(|error| error.to_string())? {
            match fact {
                Fact::Heard(Heard::Connected) => self.sent.connected.push(self.start.elapsed()),
                Fact::Heard(Heard::KeyFrameWanted) => {
                    self.sent.key_frames_asked += 1;
                    self.encoder.request_key_frame();
                }
                Fact::Heard(Heard::Rtp { .. }) | Fact::Active(_) => {}
                Fact::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn frame(&mut self, now: Instant) {
        let timestamp = self.clock(now, 90_000);
        for piece in self.encoder.frame() {
            let (id, seq) = (self.id, self.video_seq);
            self.fleet
                .send(now, id, MediaKind::Video, seq, timestamp, piece.marker, &piece.payload);
            self.video_seq += 1;
            self.count(piece.payload.len());
        }
        self.sent.frames += 1;
    }

    fn sound(&mut self, now: Instant) {
        let payload = [self.audio_seq as u8; AUDIO_BYTES];
        let timestamp = self.clock(now, 48_000);
        let (id, seq) = (self.id, self.audio_seq);
        self.fleet
            .send(now, id, MediaKind::Audio, seq, timestamp, false, &payload);
        self.audio_seq += 1;
        self.count(AUDIO_BYTES);
    }

    fn count(&mut self, payload: usize) {
        self.sent.packets += 1;
        self.sent.bytes += payload as u64;
    }

    /// RTP time; wraps, as RTP does.
    fn clock(&self, now: Instant, hz: u64) -> u32 {
        (now.duration_since(self.start).as_micros() as u64 * hz / 1_000_000) as u32
    }

    fn report(&self) -> Value {
        let sent = &self.sent;
        json!({
            "role": "publish",
            "seconds": self.start.elapsed().as_secs_f64().round(),
            "joined": sent.connected.len(),
            "failed": usize::from(sent.connected.is_empty()),
            "packets": sent.packets,
            "payload_bytes": sent.bytes,
            "frames": sent.frames,
            "key_frames_asked": sent.key_frames_asked,
            "connect_ms": percentiles(&sent.connected),
        })
    }
}

fn later(due: Instant, every: Duration, now: Instant) -> Instant {
    let next = due + every;
    if now.saturating_duration_since(next) > MOST_LATE {
        now + every
    } else {
        next
    }
}
