//! The publisher's encodings: synthetic VP8 whose sizes behave as an encoder's do. Key frames come on request only.

use crate::media::{Picture, Piece};
use crate::random::Random;

/// Video payload of each encoding, bits per second. Each link of the scenarios has one at about three quarters of its rate, so that
/// the margin before going up (1.15) leaves it reachable.
pub const RATES_BPS: [u64; 8] = [
    80_000, 170_000, 380_000, 660_000, 1_000_000, 2_000_000, 2_800_000, 4_200_000,
];
/// Pictures per second.
pub const FPS: u64 = 30;
/// Bytes of Opus in each packet of 20 ms.
pub const OPUS_BYTES: usize = 40;
/// RTP, extensions, authentication tag, UDP and IPv4.
pub const PACKET_OVERHEAD: u64 = 64;
/// Most bytes of a picture in one packet.
const PIECE: usize = 1_100;
/// A key frame is as large as this many others.
const KEY_FACTOR: f64 = 4.0;
/// Least time between two key frames of an encoding, microseconds.
const KEY_GAP_US: u64 = 500_000;

/// What an encoding costs the line with its headers and the sound, bits per second.
pub fn cost_bps(rate_bps: u64) -> u64 {
    let packets = (rate_bps / 8).div_ceil(PIECE as u64).max(FPS);
    rate_bps + packets * PACKET_OVERHEAD * 8 + 50 * (OPUS_BYTES as u64 + PACKET_OVERHEAD) * 8
}

#[derive(Debug)]
struct Rung {
    bytes_per_frame: f64,
    random: Random,
    /// Bytes by which the rung is above its rate; later pictures save them.
    debt: f64,
    picture_id: u16,
    key_wanted: bool,
    key_at_us: Option<u64>,
}

/// All encodings of one track.
#[derive(Debug)]
pub struct Ladder {
    rungs: Vec<Rung>,
    scene: Random,
    /// How much there is to see, around 1.
    activity: f64,
    frame: u32,
}

impl Ladder {
    /// The first picture of each encoding is a key frame.
    pub fn new(seed: u64) -> Self {
        let rung = |index: usize, rate_bps: u64| Rung {
            bytes_per_frame: rate_bps as f64 / 8.0 / FPS as f64,
            random: Random::new(seed ^ (index as u64 + 1) << 32),
            debt: 0.0,
            picture_id: (index * 3_001) as u16 & 0x7fff,
            key_wanted: true,
            key_at_us: None,
        };
        Self {
            rungs: RATES_BPS
                .iter()
                .enumerate()
                .map(|(index, rate)| rung(index, *rate))
                .collect(),
            scene: Random::new(seed),
            activity: 1.0,
            frame: 0,
        }
    }

    /// The next picture of this encoding is to be a key frame, if the last one is old enough.
    pub fn request_key_frame(&mut self, encoding: u8) {
        if let Some(rung) = self.rungs.get_mut(usize::from(encoding)) {
            rung.key_wanted = true;
        }
    }

    /// One picture of each encoding, lowest first.
    pub fn frame(&mut self, now_us: u64) -> Vec<(u8, Vec<Piece>)> {
        let frame = self.frame;
        self.frame += 1;
        // The scene wanders back to 1; now and then something happens.
        let step = uniform(&mut self.scene, -0.08, 0.08) + 0.05 * (1.0 - self.activity);
        self.activity = (self.activity + step).clamp(0.6, 1.5);
        let activity = self.activity;
        (0..)
            .zip(&mut self.rungs)
            .map(|(encoding, rung)| (encoding, rung.frame(now_us, encoding, frame, activity)))
            .collect()
    }
}

impl Rung {
    fn frame(&mut self, now_us: u64, encoding: u8, frame: u32, activity: f64) -> Vec<Piece> {
        let rested = self.key_at_us.is_none_or(|at| now_us >= at + KEY_GAP_US);
        let key = self.key_wanted && rested;
        if key {
            self.key_wanted = false;
            self.key_at_us = Some(now_us);
        }
        let noise = uniform(&mut self.random, 0.75, 1.25);
        let factor = if key { KEY_FACTOR } else { activity };
        // Half a second pays back what a key frame took.
        let saved = (self.debt / 15.0).clamp(-0.5 * self.bytes_per_frame, 0.5 * self.bytes_per_frame);
        let bytes = (self.bytes_per_frame * factor * noise - saved).max(60.0);
        self.debt += bytes - self.bytes_per_frame;
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        let picture = Picture {
            encoding,
            frame,
            picture_id: self.picture_id,
            key,
        };
        let bytes = bytes as usize;
        let count = bytes.div_ceil(PIECE).min(255);
        (0..count)
            .map(|index| {
                // Packets of a picture differ by a byte at most, as libwebrtc's do.
                let size = bytes / count + usize::from(index < bytes % count);
                picture.piece(index as u8, count as u8, size.saturating_sub(14))
            })
            .collect()
    }
}

fn uniform(random: &mut Random, least: f64, most: f64) -> f64 {
    least + (random.word() >> 11) as f64 / (1u64 << 53) as f64 * (most - least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::read;

    fn frames(ladder: &mut Ladder, from: u64, count: u64) -> Vec<Vec<(u8, Vec<Piece>)>> {
        (from..from + count)
            .map(|frame| ladder.frame(frame * 1_000_000 / FPS))
            .collect()
    }

    #[test]
    fn each_encoding_keeps_to_its_rate() {
        let frames = frames(&mut Ladder::new(1), 0, 30 * 60);
        for (encoding, rate) in RATES_BPS.iter().enumerate() {
            let bytes: usize = frames
                .iter()
                .flat_map(|frame| &frame[encoding].1)
                .map(|piece| piece.payload.len())
                .sum();
            let share = bytes as f64 * 8.0 / 60.0 / *rate as f64;
            assert!((0.95..1.05).contains(&share), "{rate} b/s: {share}");
        }
    }

    #[test]
    fn a_key_frame_comes_when_asked_for_and_not_twice_in_half_a_second() {
        let mut ladder = Ladder::new(1);
        let mut keys = Vec::new();
        for frame in 0..60_u64 {
            ladder.request_key_frame(3);
            for (encoding, pieces) in ladder.frame(frame * 1_000_000 / FPS) {
                if read(&pieces[0].payload).unwrap().key {
                    keys.push((frame, encoding));
                }
            }
        }
        let of = |encoding| -> Vec<_> { keys.iter().filter(|key| key.1 == encoding).map(|key| key.0).collect() };
        assert_eq!(of(0), [0]);
        assert_eq!(of(3), [0, 15, 30, 45]);
    }
}
