//! Recordings: the RTP packets of one video track as a publisher sent them, decrypted, with the time of each.
//!
//! A file is the line `rostra-rtp 1`, one line of JSON (codec, encodings lowest first, length of the loop), and the packets in the order
//! of their arrival. A packet, numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | µs since the first packet |
//! | 1 | encoding in bits 0 to 3; 0x10 abs-capture-time, 0x20 video-layers-allocation, 0x40 dependency descriptor present; 0x80 marker |
//! | 4 | RTP time since the first frame, 90 kHz, the same clock for all encodings |
//! | 1 + n | length and bytes of the dependency descriptor, if present |
//! | 1 + n | length and bytes of the video-layers-allocation, if present |
//! | 4 | capture time in µs since the first packet, signed, if present |
//! | 2 + n | length and bytes of the payload |
//!
//! Sequence numbers are not kept: packets of an encoding follow each other without gaps. Each encoding starts with a key frame and ends
//! before one, so that a recording can follow itself; its picture numbers go on when [`Recording::packet`] is told how often it played.

use std::sync::Arc;

use serde_json::{Value, json};

const MAGIC: &[u8] = b"rostra-rtp 1\n";
const MARKER: u8 = 0x80;
const DEPENDENCY: u8 = 0x40;
const ALLOCATION: u8 = 0x20;
const CAPTURED: u8 = 0x10;
/// Encodings that fit the four bits.
const MAX_ENCODINGS: usize = 16;

/// Video codecs with layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// RFC 7741.
    Vp8,
    /// RFC 6184, constrained baseline, packetization mode 1.
    H264,
    /// RFC 9628, profile 0.
    Vp9,
    /// The AV1 RTP specification.
    Av1,
}

/// One RTP stream of the track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// `None` when there is but one.
    pub rid: Option<String>,
    /// Picture numbers that one turn uses up: VP8 and VP9 picture ids, frame numbers of dependency descriptors.
    pub pictures: u16,
    /// `TL0PICIDX` that one turn uses up.
    pub base_pictures: u8,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// µs since the first packet.
    pub at: u32,
    /// Its place among the encodings.
    pub encoding: u8,
    /// Last of its frame.
    pub marker: bool,
    /// RTP time since the first frame.
    pub time: u32,
    /// Dependency descriptor.
    pub dependency: Option<Arc<[u8]>>,
    /// Video-layers-allocation.
    pub allocation: Option<Arc<[u8]>>,
    /// Capture time in µs since the first packet.
    pub captured: Option<i32>,
    /// Payload.
    pub payload: Arc<[u8]>,
}

/// One track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Of all encodings.
    pub codec: Codec,
    /// Lowest first.
    pub encodings: Vec<Encoding>,
    /// RTP time after which it starts again.
    pub ticks: u32,
    /// By time.
    pub packets: Vec<Packet>,
}

impl Codec {
    /// As in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::H264 => "H264",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        }
    }

    /// By its name in SDP, in any case.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Vp8, Self::H264, Self::Vp9, Self::Av1]
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Does a key frame of the lowest spatial layer start with this payload?
    pub fn starts_key_frame(self, payload: &[u8]) -> bool {
        let byte = |index: usize| payload.get(index).copied().unwrap_or(0);
        match self {
            Self::Vp8 => {
                let (_, _, header) = vp8(payload);
                // S set, partition 0; P of the payload header is the lowest bit, 0 for a key frame (RFC 7741 §4.3).
                byte(0) & 0x17 == 0x10 && payload.get(header).is_some_and(|first| first & 1 == 0)
            }
            // NAL unit type, of a STAP-A's first unit, or of an FU-A with its start bit: a parameter set or an IDR slice.
            Self::H264 => {
                let kind = match byte(0) & 0x1f {
                    24 => byte(3) & 0x1f,
                    28 if byte(1) & 0x80 != 0 => byte(1) & 0x1f,
                    kind => kind,
                };
                matches!(kind, 5 | 7)
            }
            Self::Vp9 => {
                let layers = vp9(payload).1;
                let is_base = layers.is_none_or(|at| (byte(at) >> 1) & 7 == 0);
                // P clear, B set (RFC 9628 §4.2).
                byte(0) & 0x48 == 0x08 && is_base
            }
            // N: the first packet of a coded video sequence.
            Self::Av1 => byte(0) & 0x08 != 0,
        }
    }

    /// Picture number and `TL0PICIDX`; zeros where there is none.
    pub fn numbers(self, payload: &[u8], dependency: Option<&[u8]>) -> (u16, u8) {
        let byte = |at: Option<usize>| at.and_then(|at| payload.get(at)).copied().unwrap_or(0);
        match self {
            Self::Vp8 => {
                let (picture, base, _) = vp8(payload);
                (picture_id(payload, picture), byte(base))
            }
            Self::Vp9 => {
                let (picture, layers) = vp9(payload);
                let flexible = byte(Some(0)) & 0x10 != 0;
                (
                    picture_id(payload, picture),
                    byte(layers.filter(|_| !flexible).map(|at| at + 1)),
                )
            }
            Self::H264 | Self::Av1 => {
                let number = dependency.and_then(|bytes| bytes.get(1..3));
                (number.map_or(0, |two| u16::from_be_bytes([two[0], two[1]])), 0)
            }
        }
    }

    fn advance(self, payload: &mut [u8], dependency: Option<&mut [u8]>, pictures: u16, base_pictures: u8) {
        if let Some([high, low]) = dependency.and_then(|bytes| bytes.get_mut(1..3)) {
            [*high, *low] = u16::from_be_bytes([*high, *low]).wrapping_add(pictures).to_be_bytes();
        }
        let (picture, base) = match self {
            Self::Vp8 => {
                let (picture, base, _) = vp8(payload);
                (picture, base)
            }
            Self::Vp9 => {
                let flexible = payload.first().is_some_and(|first| first & 0x10 != 0);
                let (picture, layers) = vp9(payload);
                (picture, layers.filter(|_| !flexible).map(|at| at + 1))
            }
            Self::H264 | Self::Av1 => (None, None),
        };
        if let Some(at) = picture {
            let number = picture_id(payload, picture).wrapping_add(pictures);
            match payload.get_mut(at..) {
                Some([high, low, ..]) if *high & 0x80 != 0 => {
                    [*high, *low] = (number | 0x8000).to_be_bytes();
                }
                Some([only, ..]) => *only = number as u8 & 0x7f,
                _ => {}
            }
        }
        if let Some(byte) = base.and_then(|at| payload.get_mut(at)) {
            *byte = byte.wrapping_add(base_pictures);
        }
    }
}

/// Where a VP8 descriptor has its picture id and `TL0PICIDX`, and where the payload header is (RFC 7741 §4.2).
fn vp8(payload: &[u8]) -> (Option<usize>, Option<usize>, usize) {
    let byte = |index: usize| payload.get(index).copied().unwrap_or(0);
    if byte(0) & 0x80 == 0 {
        return (None, None, 1);
    }
    let flags = byte(1);
    let mut at = 2;
    let picture = (flags & 0x80 != 0).then_some(at);
    if picture.is_some() {
        at += if byte(at) & 0x80 != 0 { 2 } else { 1 };
    }
    let base = (flags & 0x40 != 0).then_some(at);
    at += usize::from(base.is_some()) + usize::from(flags & 0x30 != 0);
    (picture, base, at)
}

/// Where a VP9 descriptor has its picture id and its layer indices (RFC 9628 §4.2).
fn vp9(payload: &[u8]) -> (Option<usize>, Option<usize>) {
    let byte = |index: usize| payload.get(index).copied().unwrap_or(0);
    let picture = (byte(0) & 0x80 != 0).then_some(1);
    let after = 1 + match picture {
        None => 0,
        Some(at) if byte(at) & 0x80 != 0 => 2,
        Some(_) => 1,
    };
    (picture, (byte(0) & 0x20 != 0).then_some(after))
}

fn picture_id(payload: &[u8], at: Option<usize>) -> u16 {
    match at.and_then(|at| payload.get(at..)) {
        Some([high, low, ..]) if high & 0x80 != 0 => u16::from_be_bytes([high & 0x7f, *low]),
        Some([only, ..]) => u16::from(*only),
        _ => 0,
    }
}

impl Recording {
    /// Read a file's bytes.
    ///
    /// # Errors
    /// In words.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("not a recording")?;
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("a recording without a head")?;
        let (head, packets) = rest.split_at(end + 1);
        let head: Value = serde_json::from_slice(head).map_err(|error| format!("head of the recording: {error}"))?;
        let mut recording = Self::from_head(&head).ok_or("the head of the recording lacks something")?;
        let mut reader = Reader(packets);
        while !reader.0.is_empty() {
            recording
                .packets
                .push(reader.packet().ok_or("the recording ends in the middle of a packet")?);
        }
        let known = recording.encodings.len();
        match recording.packets.iter().all(|one| usize::from(one.encoding) < known) {
            true if !recording.packets.is_empty() => Ok(recording),
            true => Err("the recording is empty".to_owned()),
            false => Err("a packet of an unknown encoding".to_owned()),
        }
    }

    /// The file's bytes.
    pub fn write(&self) -> Vec<u8> {
        let encodings: Vec<Value> = self
            .encodings
            .iter()
            .map(|one| json!({"rid": one.rid, "pictures": one.pictures, "base_pictures": one.base_pictures}))
            .collect();
        let head = json!({"codec": self.codec.name(), "encodings": encodings, "ticks": self.ticks});
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(head.to_string().as_bytes());
        bytes.push(b'\n');
        for packet in &self.packets {
            write_packet(&mut bytes, packet);
        }
        bytes
    }

    /// The packet as it is when the recording has played `turns` times before: picture numbers go on.
    pub fn packet(&self, index: usize, turns: u32) -> Option<Packet> {
        let mut packet = self.packets.get(index)?.clone();
        let encoding = self.encodings.get(usize::from(packet.encoding))?;
        if turns > 0 {
            let mut dependency = packet.dependency.as_ref().map(|bytes| bytes.to_vec());
            let mut payload = packet.payload.to_vec();
            self.codec.advance(
                &mut payload,
                dependency.as_deref_mut(),
                (turns as u16).wrapping_mul(encoding.pictures),
                (turns as u8).wrapping_mul(encoding.base_pictures),
            );
            packet.payload = payload.into();
            packet.dependency = dependency.map(Into::into);
        }
        Some(packet)
    }

    fn from_head(head: &Value) -> Option<Self> {
        let encoding = |one: &Value| {
            Some(Encoding {
                rid: one.get("rid")?.as_str().map(str::to_owned),
                pictures: one.get("pictures")?.as_u64()?.try_into().ok()?,
                base_pictures: one.get("base_pictures")?.as_u64()?.try_into().ok()?,
            })
        };
        let encodings: Option<Vec<_>> = head.get("encodings")?.as_array()?.iter().map(encoding).collect();
        Some(Self {
            codec: Codec::named(head.get("codec")?.as_str()?)?,
            encodings: encodings.filter(|all| (1..=MAX_ENCODINGS).contains(&all.len()))?,
            ticks: head
                .get("ticks")?
                .as_u64()?
                .try_into()
                .ok()
                .filter(|ticks| *ticks > 0)?,
            packets: Vec::new(),
        })
    }
}

fn write_packet(bytes: &mut Vec<u8>, packet: &Packet) {
    let flag = |present: bool, flag: u8| if present { flag } else { 0 };
    let flags = flag(packet.marker, MARKER)
        | flag(packet.dependency.is_some(), DEPENDENCY)
        | flag(packet.allocation.is_some(), ALLOCATION)
        | flag(packet.captured.is_some(), CAPTURED);
    bytes.extend_from_slice(&packet.at.to_le_bytes());
    bytes.push(packet.encoding & 0x0f | flags);
    bytes.extend_from_slice(&packet.time.to_le_bytes());
    for extension in [&packet.dependency, &packet.allocation].into_iter().flatten() {
        // Two-byte headers have eight bits for the length (RFC 8285 §4.3).
        bytes.push(extension.len() as u8);
        bytes.extend_from_slice(extension);
    }
    if let Some(captured) = packet.captured {
        bytes.extend_from_slice(&captured.to_le_bytes());
    }
    bytes.extend_from_slice(&(packet.payload.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&packet.payload);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn extension(&mut self) -> Option<Arc<[u8]>> {
        let [len] = self.array()?;
        Some(self.take(usize::from(len))?.into())
    }

    fn packet(&mut self) -> Option<Packet> {
        let at = u32::from_le_bytes(self.array()?);
        let [flags] = self.array()?;
        let time = u32::from_le_bytes(self.array()?);
        let has = |flag| flags & flag != 0;
        let dependency = if has(DEPENDENCY) { Some(self.extension()?) } else { None };
        let allocation = if has(ALLOCATION) { Some(self.extension()?) } else { None };
        let captured = if has(CAPTURED) {
            Some(i32::from_le_bytes(self.array()?))
        } else {
            None
        };
        let len = u16::from_le_bytes(self.array()?);
        Some(Packet {
            at,
            encoding: flags & 0x0f,
            marker: has(MARKER),
            time,
            dependency,
            allocation,
            captured,
            payload: self.take(usize::from(len))?.into(),
        })
    }
}
