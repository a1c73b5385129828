//! Synthetic VP8 at a given rate, in the format that [`rostra_sim::media::read`] checks byte by byte.

use rostra_sim::media::Piece;
use rostra_sim::random::Random;

/// Bytes before the filler: descriptor, first byte of the VP8 payload header, our stamp.
const HEAD: usize = 5 + 1 + 8;
/// Largest RTP payload; with header, extensions and authentication tag it stays below 1 232 bytes.
const MAX_PAYLOAD: usize = 1120;

/// A VP8 encoder; no periodic key frames.
#[derive(Debug)]
pub struct Encoder {
    random: Random,
    frame: u32,
    key_wanted: bool,
    bytes_per_frame: usize,
}

impl Encoder {
    /// Of `kbps` at `fps`. The first frame is a key frame.
    pub fn new(seed: u64, fps: u32, kbps: u32) -> Self {
        Self {
            random: Random::new(seed),
            frame: 0,
            key_wanted: true,
            bytes_per_frame: (kbps as usize * 125 / fps.max(1) as usize).max(64),
        }
    }

    /// Make the next frame a key frame.
    pub fn request_key_frame(&mut self) {
        self.key_wanted = true;
    }

    /// The packets of the next frame, nearly equal in size as encoders make them. Sizes vary by a quarter; key frames are three times as big.
    pub fn frame(&mut self) -> Vec<Piece> {
        let key = std::mem::take(&mut self.key_wanted);
        let number = self.frame;
        self.frame += 1;
        let base = self.bytes_per_frame as u64 * if key { 3 } else { 1 };
        let size = (base * 3 / 4 + self.random.below(base / 2 + 1)) as usize;
        let count = size.div_ceil(MAX_PAYLOAD).clamp(1, 255);
        let filler = (size / count).clamp(HEAD + 1, MAX_PAYLOAD) - HEAD;
        (0..count as u8)
            .map(|index| piece(number, index, count as u8, key, filler))
            .collect()
    }
}

fn piece(number: u32, index: u8, count: u8, key: bool, filler: usize) -> Piece {
    let picture_id = number as u16 & 0x7fff;
    // X, S; I and L; 15-bit picture id; TL0PICIDX (RFC 7741 §4.2).
    let mut payload = vec![
        0x80 | if index == 0 { 0x10 } else { 0 },
        0xc0,
        0x80 | (picture_id >> 8) as u8,
        picture_id as u8,
        number as u8,
    ];
    // First byte of the VP8 payload header: P is the lowest bit, 0 for a key frame.
    payload.push(if key { 0x10 } else { 0x11 });
    payload.extend_from_slice(&number.to_be_bytes());
    payload.extend_from_slice(&[index, count, u8::from(key), 0]);
    payload.resize(HEAD + filler, (number as u8).wrapping_mul(31).wrapping_add(index));
    Piece {
        payload,
        marker: index + 1 == count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rostra_sim::media::read;

    #[test]
    fn the_other_end_can_check_every_byte() {
        let mut encoder = Encoder::new(1, 30, 1200);
        for number in 0..20 {
            let pieces = encoder.frame();
            for (index, piece) in pieces.iter().enumerate() {
                let seen = read(&piece.payload).unwrap();
                assert_eq!((seen.frame, usize::from(seen.index)), (number, index));
                assert_eq!((seen.key, piece.marker), (number == 0, index + 1 == pieces.len()));
            }
        }
    }

    #[test]
    fn the_rate_is_what_was_asked_for() {
        for kbps in [50, 1200, 6000] {
            let mut encoder = Encoder::new(2, 30, kbps);
            encoder.frame();
            let bytes: usize = (0..300)
                .flat_map(|_| encoder.frame())
                .map(|piece| piece.payload.len())
                .sum();
            let measured = bytes as f64 * 8.0 / 10.0 / 1000.0;
            assert!((measured / f64::from(kbps) - 1.0).abs() < 0.1, "{measured} of {kbps}");
        }
    }

    #[test]
    fn a_key_frame_comes_when_asked_for_and_only_then() {
        let mut encoder = Encoder::new(3, 30, 600);
        let key = |pieces: Vec<Piece>| read(&pieces[0].payload).unwrap().key;
        assert!(key(encoder.frame()) && !key(encoder.frame()));
        encoder.request_key_frame();
        assert!(key(encoder.frame()) && !key(encoder.frame()));
    }
}
