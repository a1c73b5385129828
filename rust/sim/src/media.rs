//! Synthetic pictures and sound whose every byte can be checked at the other end.

use crate::random::Random;

/// Bytes of our own at the start of each packet's body: frame number, packet index, packet count, key frame, encoding.
const STAMP: usize = 8;

/// One RTP packet to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// RTP payload.
    pub payload: Vec<u8>,
    /// Last of its frame.
    pub marker: bool,
}

/// A VP8 encoder that makes frames of two to four packets; no periodic key frames.
#[derive(Debug)]
pub struct Encoder {
    random: Random,
    frame: u32,
    key_wanted: bool,
}

impl Encoder {
    /// The first frame is a key frame.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            frame: 0,
            key_wanted: true,
        }
    }

    /// The same with frames numbered from `frame` on.
    pub fn starting_at(seed: u64, frame: u32) -> Self {
        Self {
            frame,
            ..Self::new(seed)
        }
    }

    /// Make the next frame a key frame.
    pub fn request_key_frame(&mut self) {
        self.key_wanted = true;
    }

    /// The packets of the next frame.
    pub fn frame(&mut self) -> Vec<Piece> {
        let key = std::mem::take(&mut self.key_wanted);
        let number = self.frame;
        self.frame += 1;
        let count = if key { 6 } else { 2 + self.random.below(3) as u8 };
        let size = 700 + self.random.below(400) as usize;
        let picture = Picture {
            encoding: 0,
            frame: number,
            picture_id: number as u16 & 0x7fff,
            key,
        };
        (0..count).map(|index| picture.piece(index, count, size)).collect()
    }
}

/// A picture to be cut into packets.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// Which encoding of the track.
    pub encoding: u8,
    /// Its number.
    pub frame: u32,
    /// 15 bits.
    pub picture_id: u16,
    /// Key frame.
    pub key: bool,
}

impl Picture {
    /// Packet `index` of `count`, with `size` bytes of filler.
    pub fn piece(&self, index: u8, count: u8, size: usize) -> Piece {
        // X, S; I and L; 15-bit picture id; TL0PICIDX (RFC 7741 §4.2).
        let mut payload = vec![
            0x80 | if index == 0 { 0x10 } else { 0 },
            0xc0,
            0x80 | (self.picture_id >> 8) as u8,
            self.picture_id as u8,
            self.picture_id as u8,
        ];
        // First byte of the VP8 payload header: P is the lowest bit, 0 for a key frame.
        payload.push(if self.key { 0x10 } else { 0x11 });
        payload.extend_from_slice(&self.frame.to_be_bytes());
        payload.extend_from_slice(&[index, count, u8::from(self.key), self.encoding]);
        let filler = (self.frame as u8).wrapping_mul(31).wrapping_add(index);
        payload.resize(5 + 1 + STAMP + size, filler);
        Piece {
            payload,
            marker: index + 1 == count,
        }
    }
}

/// What a received video packet says of itself, after its filler was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Number of the frame at the publisher.
    pub frame: u32,
    /// Which packet of the frame.
    pub index: u8,
    /// How many packets the frame has.
    pub count: u8,
    /// Key frame.
    pub key: bool,
    /// Picture id of the descriptor, as rewritten.
    pub picture_id: u16,
    /// Which encoding of the track.
    pub encoding: u8,
}

/// Read a packet of [`Encoder`]; `None` when any byte is not as it was sent.
pub fn read(payload: &[u8]) -> Option<Seen> {
    let (descriptor, rest) = payload.split_at_checked(5)?;
    let picture_id = u16::from_be_bytes([descriptor[2] & 0x7f, descriptor[3]]);
    let (header, rest) = rest.split_first()?;
    let (stamp, filler) = rest.split_at_checked(STAMP)?;
    let frame = u32::from_be_bytes(stamp.get(..4)?.try_into().ok()?);
    let (index, count, key, encoding) = (stamp[4], stamp[5], stamp[6] == 1, stamp[7]);
    let expected = (frame as u8).wrapping_mul(31).wrapping_add(index);
    let intact = filler.iter().all(|byte| *byte == expected)
        && (*header == 0x10) == key
        && (descriptor[0] & 0x10 != 0) == (index == 0);
    intact.then_some(Seen {
        frame,
        index,
        count,
        key,
        picture_id,
        encoding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_and_a_changed_byte_is_seen() {
        let mut encoder = Encoder::new(1);
        for piece in encoder.frame().into_iter().chain(encoder.frame()) {
            assert!(read(&piece.payload).is_some());
            let mut torn = piece.payload.clone();
            let last = torn.len() - 1;
            torn[last] ^= 1;
            assert_eq!(read(&torn), None);
        }
    }
}
