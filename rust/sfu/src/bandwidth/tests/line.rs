//! A line between a sender with layers and a viewer with feedback, in virtual time: rate, queue, delay, jitter, loss, a rival.

use std::collections::VecDeque;
use std::time::Duration;

use crate::bandwidth::{Config, Estimator, ProbeId};
use crate::ids::Ssrc;
use crate::receive::transport_cc::{TransportCcRecorder, Wrote};
use crate::rtp::rtcp::{Rtcp, RtcpWriter, packets};
use crate::time::Time;

/// Resolution of everything, microseconds.
const TICK_US: u64 = 250;
const SECOND_US: u64 = 1_000_000;
const FRAME_US: u64 = 33_250;
const AUDIO_US: u64 = 20_000;
const AUDIO_BPS: u64 = 44_000;
const PACKET: usize = 1_150;
/// A key frame, in frames of average size.
const KEY: f64 = 6.0;

#[derive(Clone, Copy, Debug)]
pub enum Loss {
    None,
    Random(f64),
    /// Probability of a burst to begin at a packet, and its mean length in packets.
    Burst(f64, f64),
}

#[derive(Clone, Copy, Debug)]
pub enum Jitter {
    None,
    /// Up to so many microseconds for each packet, and at times a pause of so many, after which all that waited comes at once.
    Radio(u64, u64),
}

/// What the line does.
#[derive(Clone, Debug)]
pub struct Line {
    /// From when on (seconds), bits per second.
    pub rate: Vec<(f64, u64)>,
    /// Capacity of the queue, milliseconds at the rate of the moment.
    pub queue_ms: u64,
    /// One way, milliseconds.
    pub delay_ms: u64,
    pub loss: Loss,
    pub jitter: Jitter,
    /// A rival that fills the queue as TCP does, between these seconds.
    pub rival: Option<(f64, f64)>,
}

impl Line {
    pub fn fixed(bps: u64) -> Self {
        Self::steps(&[(0.0, bps)])
    }

    pub fn steps(rate: &[(f64, u64)]) -> Self {
        Self {
            rate: rate.to_vec(),
            queue_ms: 250,
            delay_ms: 20,
            loss: Loss::None,
            jitter: Jitter::None,
            rival: None,
        }
    }

    fn bps(&self, now: u64) -> u64 {
        let seconds = now as f64 / SECOND_US as f64;
        let step = self.rate.iter().rev().find(|step| step.0 <= seconds);
        step.map_or(0, |step| step.1)
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Layers at these rates, chosen as an allocator would.
    Layers(&'static [u64]),
    /// As much as the estimate allows.
    Bulk,
    /// Always this much, whatever the estimate, and this much is wanted.
    Constant(u64, u64),
}

/// What happened.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every 100 ms: seconds, estimate, layer.
    pub samples: Vec<(f64, u64, usize)>,
    /// Seconds at which the line was first known to carry no more.
    pub limit: Option<f64>,
    /// Every packet of ours: seconds at which it was sent, wait in the queue of the line in ms.
    pub waits: Vec<(f64, f64)>,
    /// Wait in our own queue, ms.
    pub held: Vec<f64>,
    pub sent: usize,
    pub lost: usize,
    pub probes: usize,
    pub delivered_bytes: Vec<(f64, usize)>,
}

impl Outcome {
    pub fn estimate_at(&self, seconds: f64) -> u64 {
        let found = self.samples.iter().rev().find(|sample| sample.0 <= seconds);
        found.map_or(0, |sample| sample.1)
    }

    /// First time after `from` at which the estimate is at least this.
    pub fn reached(&self, from: f64, bps: u64) -> Option<f64> {
        let found = self.samples.iter().find(|sample| sample.0 >= from && sample.1 >= bps);
        found.map(|sample| sample.0 - from)
    }

    pub fn mean(&self, from: f64, to: f64) -> f64 {
        let inside: Vec<_> = self.samples.iter().filter(|s| s.0 >= from && s.0 < to).collect();
        inside.iter().map(|s| s.1 as f64).sum::<f64>() / inside.len().max(1) as f64
    }

    pub fn least(&self, from: f64, to: f64) -> u64 {
        let inside = self.samples.iter().filter(|s| s.0 >= from && s.0 < to);
        inside.map(|s| s.1).min().unwrap_or(0)
    }

    pub fn wait_p95(&self, from: f64, to: f64) -> f64 {
        let mut inside: Vec<_> = self
            .waits
            .iter()
            .filter(|w| w.0 >= from && w.0 < to)
            .map(|w| w.1)
            .collect();
        inside.sort_by(f64::total_cmp);
        inside.get(inside.len() * 95 / 100).copied().unwrap_or(0.0)
    }

    pub fn layer_changes(&self, from: f64, to: f64) -> usize {
        let inside: Vec<_> = self
            .samples
            .iter()
            .filter(|s| s.0 >= from && s.0 < to)
            .map(|s| s.2)
            .collect();
        inside.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    pub fn delivered_bps(&self, from: f64, to: f64) -> f64 {
        let inside = self.delivered_bytes.iter().filter(|d| d.0 >= from && d.0 < to);
        inside.map(|d| d.1).sum::<usize>() as f64 * 8.0 / (to - from)
    }
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    number: Option<u16>,
    bytes: usize,
    entered: u64,
}

#[derive(Debug)]
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// An allocator in small: down at once, up after a second of room.
#[derive(Debug, Default)]
struct Chooser {
    layer: usize,
    roomy_since: Option<u64>,
}

impl Chooser {
    fn choose(&mut self, now: u64, layers: &[u64], estimate: u64) -> (u64, u64) {
        let fits = layers.iter().rposition(|rate| *rate <= estimate).unwrap_or(0);
        if fits < self.layer {
            self.layer = fits;
            self.roomy_since = None;
        }
        if let Some(next) = layers.get(self.layer + 1) {
            if estimate * 100 >= next * 115 {
                let since = *self.roomy_since.get_or_insert(now);
                if now - since >= SECOND_US {
                    self.layer = layers
                        .iter()
                        .rposition(|rate| estimate * 100 >= rate * 115)
                        .unwrap_or(0)
                        .max(self.layer + 1);
                    self.roomy_since = None;
                }
            } else {
                self.roomy_since = None;
            }
        }
        let next = layers.get(self.layer + 1).copied().unwrap_or(0);
        (layers.get(self.layer).copied().unwrap_or(0), next)
    }
}

/// TCP in small: a window that grows by one packet per round trip and halves at a loss.
#[derive(Debug)]
struct Rival {
    window: f64,
    flying: usize,
    acks: VecDeque<u64>,
    halved: u64,
}

/// Run a sender over the line.
pub fn run(line: &Line, source: Source, seconds: u64, seed: u64) -> Outcome {
    let config = Config::default();
    let mut estimator = Estimator::new(Time::ZERO, config);
    let mut random = Random(seed);
    let mut outcome = Outcome::default();
    let mut chooser = Chooser::default();
    let mut rival = Rival {
        window: 10.0,
        flying: 0,
        acks: VecDeque::new(),
        halved: 0,
    };

    // Ours: packets that wait for the pacer.
    let mut waiting: VecDeque<(u64, usize)> = VecDeque::new();
    let mut tokens = 0.0_f64;
    let mut number = 0_u16;
    let mut rate = 0_u64;
    let (mut next_frame, mut next_audio, mut next_choice) = (0, 3_000, 0);
    let mut keys = 1;
    let mut shown = 0;

    // The line's.
    let mut queue: VecDeque<Packet> = VecDeque::new();
    let mut queued = 0_usize;
    let mut credit = 0.0_f64;
    let mut bursting = 0_u64;
    let mut flying: VecDeque<(u64, u16, usize)> = VecDeque::new();
    let mut pause_until = 0_u64;

    // The viewer's.
    let mut recorder = TransportCcRecorder::default();
    let mut feedback: VecDeque<(u64, Vec<u8>)> = VecDeque::new();

    let mut now = 0_u64;
    while now < seconds * SECOND_US {
        now += TICK_US;
        let time = Time(now);
        let at = now as f64 / SECOND_US as f64;

        // Feedback arrives.
        while feedback.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, bytes)) = feedback.pop_front() {
                for packet in packets(&bytes) {
                    if let Ok(Rtcp::TransportCc(feedback)) = packet {
                        estimator.feedback(time, &feedback);
                    }
                }
            }
        }
        estimator.timeout(time);

        // What is to be sent.
        if now >= next_choice {
            next_choice = now + 100_000;
            let estimate = estimator.estimate_bps();
            let room = estimate.saturating_sub(AUDIO_BPS);
            let wanted;
            (rate, wanted) = match source {
                Source::Layers(layers) => chooser.choose(now, layers, room),
                Source::Bulk => (room, config.max_bps),
                Source::Constant(rate, wanted) => (rate, wanted),
            };
            if chooser.layer != shown {
                shown = chooser.layer;
                keys = 1;
            }
            let wanted = if wanted > 0 { wanted + AUDIO_BPS } else { 0 };
            estimator.set_demand(time, rate + AUDIO_BPS, wanted);
            outcome.samples.push((at, estimate, chooser.layer));
            if estimator.is_limit(time) {
                outcome.limit.get_or_insert(at);
            }
        }
        if now >= next_frame {
            next_frame += FRAME_US;
            let average = rate as f64 * FRAME_US as f64 / 8e6;
            let spread = 0.6 + 0.8 * random.unit();
            let mut left = (average * if keys > 0 { KEY } else { spread }) as usize;
            keys = 0;
            // A publisher is asked for a key frame every now and then.
            if random.unit() < 0.003 {
                keys = 1;
            }
            while left > 0 {
                let bytes = left.min(PACKET);
                waiting.push_back((now, bytes.max(100)));
                left -= bytes;
            }
        }

        // The pacer, and probes.
        if estimator.probing().is_none() {
            let _ = estimator.poll_probe(time);
        }
        let pace = match estimator.probing() {
            Some(probe) => probe.bps,
            None => estimator.pace_bps(time).unwrap_or(10_000_000),
        };
        tokens = (tokens + pace as f64 * TICK_US as f64 / 8e6).min(pace as f64 * 0.001 / 8.0 + 1_200.0);
        let mut leaving: Vec<(usize, Option<ProbeId>)> = Vec::new();
        if now >= next_audio {
            next_audio += AUDIO_US;
            leaving.push((110, estimator.probing().map(|probe| probe.id)));
            tokens -= 110.0;
        }
        while tokens > 0.0 {
            let probe = estimator.probing();
            let bytes = match waiting.pop_front() {
                Some((since, bytes)) => {
                    outcome.held.push((now - since) as f64 / 1e3);
                    bytes
                }
                None if probe.is_some() => {
                    outcome.probes += 1;
                    PACKET
                }
                None => break,
            };
            tokens -= bytes as f64;
            leaving.push((bytes, probe.map(|probe| probe.id)));
            if probe.is_some() {
                break;
            }
        }
        let bps = line.bps(now);
        let capacity = (bps * line.queue_ms / 8_000) as usize;
        for (bytes, probe) in leaving {
            number = number.wrapping_add(1);
            estimator.sent(time, number, bytes, probe);
            outcome.sent += 1;
            let lost = match line.loss {
                Loss::None => false,
                Loss::Random(share) => random.unit() < share,
                Loss::Burst(begin, length) => {
                    if bursting == 0 && random.unit() < begin {
                        bursting = 1 + (random.unit() * 2.0 * length) as u64;
                    }
                    bursting = bursting.saturating_sub(1);
                    bursting > 0
                }
            };
            if lost || queued + bytes > capacity {
                outcome.lost += 1;
                continue;
            }
            queued += bytes;
            queue.push_back(Packet {
                number: Some(number),
                bytes,
                entered: now,
            });
        }
        if line.rival.is_some_and(|(from, to)| at >= from && at < to) {
            while rival.acks.front().is_some_and(|due| *due <= now) {
                rival.acks.pop_front();
                rival.flying -= 1;
                rival.window += 1.0 / rival.window;
            }
            while (rival.flying as f64) < rival.window {
                if queued + 1200 > capacity {
                    if now - rival.halved > 200_000 {
                        rival.window = (rival.window / 2.0).max(2.0);
                        rival.halved = now;
                    }
                    break;
                }
                queued += 1200;
                rival.flying += 1;
                queue.push_back(Packet {
                    number: None,
                    bytes: 1200,
                    entered: now,
                });
            }
        }

        // The line serves its queue.
        credit = if queue.is_empty() {
            0.0
        } else {
            credit + bps as f64 * TICK_US as f64 / 8e6
        };
        while let Some(packet) = queue.front().copied().filter(|packet| packet.bytes as f64 <= credit) {
            queue.pop_front();
            queued -= packet.bytes;
            credit -= packet.bytes as f64;
            let Some(number) = packet.number else {
                rival.acks.push_back(now + line.delay_ms * 2_000);
                continue;
            };
            outcome
                .waits
                .push((packet.entered as f64 / 1e6, (now - packet.entered) as f64 / 1e3));
            let jitter = match line.jitter {
                Jitter::None => 0,
                Jitter::Radio(each, pause) => {
                    if random.unit() < 0.004 {
                        pause_until = now + pause / 2 + (random.unit() * pause as f64 / 2.0) as u64;
                    }
                    (random.unit() * each as f64) as u64 + pause_until.saturating_sub(now)
                }
            };
            let due = now + line.delay_ms * 1_000 + jitter;
            let due = flying.back().map_or(due, |last| last.0.max(due));
            flying.push_back((due, number, packet.bytes));
        }

        // The viewer.
        while flying.front().is_some_and(|(due, ..)| *due <= now) {
            if let Some((_, number, bytes)) = flying.pop_front() {
                recorder.arrived(time, number);
                outcome.delivered_bytes.push((at, bytes));
            }
        }
        if recorder.due().is_some_and(|due| due <= time) {
            let mut bytes = [0; 1200];
            let mut writer = RtcpWriter::new(&mut bytes);
            while recorder.write(Ssrc(1), Ssrc(2), &mut writer) == Wrote::Part {}
            let len = writer.len();
            feedback.push_back((now + line.delay_ms * 1_000, bytes[..len].to_vec()));
        }
        if now.is_multiple_of(SECOND_US) {
            estimator.report(time, 0, Some(Duration::from_millis(2 * line.delay_ms)));
        }
    }
    outcome
}
