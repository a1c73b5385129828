//! One run: a sender, a viewer, and the link between them, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Instant;

use rostra_sfu::command::Kind;

use super::Side;
use super::ladder::{FPS, PACKET_OVERHEAD};
use super::ours::Ours;
use super::scenario::Scenario;
use super::theirs::Theirs;
use super::watcher::Watcher;
use crate::client::{Client, Heard, Media};
use crate::link::{Fate, Link, LinkConfig};
use crate::media::read;

/// First estimate of both sides: libwebrtc's.
pub(super) const INITIAL_BPS: u64 = 300_000;
/// The viewer's number among the clients.
pub(super) const VIEWER: u16 = 1;
/// Handshakes are done by then, over perfect links, so that their randomness leaves no trace. Then the link becomes what the scenario
/// says and the viewer's media begins.
const START_US: u64 = 2_000_000;
/// Between two samples.
pub(super) const SAMPLE_US: u64 = 100_000;
/// A decoder that has never shown anything asks for a key frame after this long, as libwebrtc does.
const ASK_FIRST_US: u64 = 200_000;
/// A decoder that stands still asks after this long: until then it trusts in retransmission.
const ASK_AFTER_US: u64 = 3_000_000;

/// What both sides can do.
pub(super) trait Sender {
    fn address(&self) -> SocketAddr;
    /// The viewer begins to watch.
    fn start(&mut self, now_us: u64);
    /// A datagram of the viewer's.
    fn receive(&mut self, now_us: u64, bytes: Vec<u8>);
    fn next_us(&self) -> Option<u64>;
    fn wake(&mut self, now_us: u64);
    /// Time for one picture of every encoding.
    fn frame(&mut self, now_us: u64);
    /// Time for one packet of sound.
    fn audio(&mut self, now_us: u64);
    /// Datagrams to the viewer since the last call.
    fn take(&mut self) -> Vec<Vec<u8>>;
    fn estimate_bps(&mut self, now_us: u64) -> u64;
}

/// What the viewer watches: video, then audio.
pub(super) fn viewer_medias() -> Vec<Media> {
    let media = |mid, kind, ssrc| Media {
        mid,
        kind,
        ssrc,
        encodings: 1,
    };
    vec![media("0", Kind::Video, 2_000), media("1", Kind::Audio, 3_000)]
}

/// A tenth of a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// The sender's belief at its end, bits per second.
    pub estimate_bps: u64,
    /// Bits that the sender sent in it.
    pub sent_bits: u64,
    /// Bits of media that were new to the viewer in it, with their headers.
    pub delivered_bits: u64,
    /// How long a datagram would have waited at its end, microseconds.
    pub backlog_us: u64,
}

/// What happened in a run. Times are microseconds since the viewer began to watch.
#[derive(Debug, Default)]
pub struct Run {
    /// In order of time.
    pub samples: Vec<Sample>,
    /// The wait of each of the sender's datagrams before the bottleneck, microseconds, ascending.
    pub waits_us: Vec<u64>,
    /// Datagrams that the sender sent.
    pub datagrams: u64,
    /// Of these, lost by the full queue.
    pub overflowed: u64,
    /// When each picture was shown, and of which encoding.
    pub shows: Vec<(u64, u8)>,
    /// Pictures that were handed to the decoder as the next one and are not.
    pub undecodable: u64,
    /// Packets that contradict their picture, or are damaged.
    pub torn: u64,
    /// Packets of sound.
    pub heard: u64,
}

struct Course {
    sender: Box<dyn Sender>,
    viewer: Client,
    viewer_wake_us: Option<u64>,
    up: Link,
    down: Link,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    flying: HashMap<u64, (bool, Vec<u8>)>,
    order: u64,
    watcher: Watcher,
    asked_at_us: u64,
    sample: Sample,
    run: Run,
    started: bool,
}

/// Run a scenario to its end.
///
/// # Errors
/// A certificate could not be made or taken.
pub fn run(scenario: &Scenario, seed: u64, side: Side) -> Result<Run, Box<dyn Error>> {
    let base = Instant::now();
    let (sender, viewer): (Box<dyn Sender>, _) = match side {
        Side::Ours => {
            let (ours, viewer) = Ours::new(base, seed)?;
            (Box::new(ours), viewer)
        }
        Side::Theirs => {
            let (theirs, viewer) = Theirs::new(base, seed)?;
            (Box::new(theirs), viewer)
        }
    };
    let mut course = Course {
        sender,
        viewer,
        viewer_wake_us: Some(0),
        up: Link::new(LinkConfig::default(), seed ^ 1),
        down: Link::new(LinkConfig::default(), seed ^ 2),
        queue: BinaryHeap::new(),
        flying: HashMap::new(),
        order: 0,
        watcher: Watcher::default(),
        asked_at_us: 0,
        sample: Sample::default(),
        run: Run::default(),
        started: false,
    };
    course.drive(scenario, seed);
    let mut run = course.run;
    run.waits_us.sort_unstable();
    run.undecodable = course.watcher.undecodable;
    run.torn = course.watcher.torn;
    run.shows = course.watcher.shows;
    for (at_us, _) in &mut run.shows {
        *at_us -= START_US;
    }
    Ok(run)
}

impl Course {
    fn drive(&mut self, scenario: &Scenario, seed: u64) {
        let end_us = START_US + scenario.seconds * 1_000_000;
        let (mut frame, mut audio, mut sample_us) = (0_u64, 0_u64, START_US + SAMPLE_US);
        loop {
            let start_us = if self.started { u64::MAX } else { START_US };
            let (frame_us, audio_us) = (frame * 1_000_000 / FPS, audio * 20_000);
            let others = [
                self.queue.peek().map(|Reverse((at, _))| *at),
                self.sender.next_us(),
                self.viewer_wake_us,
            ];
            let now_us = others
                .into_iter()
                .flatten()
                .fold(start_us.min(frame_us).min(audio_us).min(sample_us), u64::min);
            if now_us >= end_us {
                return;
            }
            if start_us <= now_us {
                self.start(now_us, scenario, seed);
            }
            self.arrive(now_us);
            if frame_us <= now_us {
                frame += 1;
                self.sender.frame(now_us);
            }
            if audio_us <= now_us {
                audio += 1;
                self.sender.audio(now_us);
            }
            if self.sender.next_us().is_some_and(|at| at <= now_us) {
                self.sender.wake(now_us);
            }
            self.send_down(now_us);
            if self.viewer_wake_us.is_some_and(|at| at <= now_us) {
                self.viewer_wake_us = None;
                self.viewer.timeout(now_us);
                self.complain(now_us);
                self.drain_viewer(now_us);
            }
            if sample_us <= now_us {
                sample_us += SAMPLE_US;
                self.sample.estimate_bps = self.sender.estimate_bps(now_us);
                self.send_down(now_us);
                self.sample.backlog_us = self.down.backlog_us(now_us);
                self.run.samples.push(std::mem::take(&mut self.sample));
            }
        }
    }

    fn start(&mut self, now_us: u64, scenario: &Scenario, seed: u64) {
        self.started = true;
        self.up.reconfigure(scenario.up(), seed ^ 3);
        self.down.reconfigure(scenario.down, seed ^ 4);
        self.up.start(now_us);
        self.down.start(now_us);
        self.sender.start(now_us);
    }

    fn arrive(&mut self, now_us: u64) {
        while let Some(Reverse((_, order))) = self.queue.peek().copied().filter(|Reverse((at, _))| *at <= now_us) {
            self.queue.pop();
            match self.flying.remove(&order) {
                Some((true, bytes)) => {
                    self.viewer.receive(now_us, self.sender.address(), &bytes);
                    self.drain_viewer(now_us);
                }
                Some((false, bytes)) => {
                    self.sender.receive(now_us, bytes);
                    self.send_down(now_us);
                }
                None => {}
            }
        }
    }

    fn fly(&mut self, at_us: u64, down: bool, bytes: Vec<u8>) {
        self.order += 1;
        self.queue.push(Reverse((at_us, self.order)));
        self.flying.insert(self.order, (down, bytes));
    }

    fn send_down(&mut self, now_us: u64) {
        for bytes in self.sender.take() {
            let arrivals: Vec<_> = self.down.send(now_us, bytes.len()).collect();
            if self.started {
                self.run.datagrams += 1;
                self.sample.sent_bits += (bytes.len() as u64 + 28) * 8;
                match self.down.fate() {
                    Fate::Passed { waited_us } => self.run.waits_us.push(waited_us),
                    Fate::Overflowed => self.run.overflowed += 1,
                    Fate::Lost => {}
                }
            }
            for at_us in arrivals {
                self.fly(at_us, true, bytes.clone());
            }
        }
    }

    /// A viewer that has seen nothing new for a while asks for a key frame.
    fn complain(&mut self, now_us: u64) {
        let (since_us, patience_us) = match self.watcher.shown_at_us() {
            Some(shown_us) => (shown_us, ASK_AFTER_US),
            None => (START_US, ASK_FIRST_US),
        };
        if self.started && now_us > since_us + patience_us && now_us > self.asked_at_us + patience_us {
            self.asked_at_us = now_us;
            self.viewer.request_key_frame(now_us, 0);
        }
    }

    fn drain_viewer(&mut self, now_us: u64) {
        let (mut sent, mut heard) = (Vec::new(), Vec::new());
        let next = self
            .viewer
            .drain(|bytes| sent.push(bytes.to_vec()), |event| heard.push(event));
        self.viewer_wake_us = next.map(|at| at.max(now_us + 1));
        for event in heard {
            if let Heard::Rtp(packet) = event
                && self.started
            {
                self.sample.delivered_bits += (packet.payload.len() as u64 + PACKET_OVERHEAD) * 8;
                if *packet.header.ssrc == viewer_medias()[0].ssrc {
                    self.watcher.packet(now_us, packet.time.numer(), read(&packet.payload));
                } else {
                    self.run.heard += 1;
                }
            }
        }
        for bytes in sent {
            let arrivals: Vec<_> = self.up.send(now_us, bytes.len()).collect();
            for at_us in arrivals {
                self.fly(at_us, false, bytes.clone());
            }
        }
    }
}
