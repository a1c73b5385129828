//! H264 payloads (RFC 6184): NAL units alone, aggregated (STAP-A) and fragmented (FU-A).

use super::{Parsed, sps};
use crate::layer::Layer;
use crate::meta::{Detail, H264};
use crate::rtp::bytes::{Put, be16, byte};

/// Slice of a picture that is no IDR picture; types 2–4 are its partitions, of which 2 begins.
const SLICE: u8 = 1;
const PARTITION_A: u8 = 2;
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// What one packet has, NAL unit by NAL unit.
#[derive(Clone, Copy, Default)]
struct Found {
    h264: H264,
    frame_start: bool,
    start: bool,
}

impl Found {
    /// `nal_type` of a unit or of the fragment of one; `slice` is what follows the NAL header, `None` unless the unit begins here.
    fn note(&mut self, nal_type: u8, slice: Option<&[u8]>) {
        // first_mb_in_slice is Exp-Golomb coded: a leading 1 is a zero, the beginning of the picture (H.264 §7.3.3).
        let begins = slice
            .and_then(|slice| byte(slice, 0))
            .is_some_and(|first| first & 0x80 != 0);
        match nal_type {
            SLICE | PARTITION_A => self.frame_start |= begins,
            IDR => {
                self.h264.has_idr = true;
                self.frame_start |= begins;
                self.start |= begins;
            }
            SPS => {
                self.h264.has_sps = true;
                self.frame_start = true;
                self.start = true;
            }
            PPS => self.h264.has_pps = true,
            DELIMITER => self.frame_start = true,
            _ => {}
        }
    }
}

/// Other packet types (STAP-B, MTAP, FU-B) belong to a packetization-mode that nobody negotiates; they pass without flags.
pub(super) fn parse(payload: &[u8], marker: bool) -> Option<Parsed> {
    let mut found = Found::default();
    let nal_type = byte(payload, 0)? & 0x1f;
    match nal_type {
        STAP_A => {
            let mut rest = payload.get(1..)?;
            while !rest.is_empty() {
                let nal = take_unit(&mut rest)?;
                if let Some((header, slice)) = nal.split_first() {
                    found.note(header & 0x1f, Some(slice));
                }
            }
        }
        FU_A => {
            let header = byte(payload, 1)?;
            let slice = payload.get(2..).filter(|_| header & 0x80 != 0);
            let nal_type = header & 0x1f;
            // A parameter set is complete only at its end; fragmented ones are not kept, and so are no place to start.
            if nal_type != SPS && nal_type != PPS {
                found.note(nal_type, slice);
            }
        }
        _ => found.note(nal_type, payload.get(1..)),
    }
    Some(Parsed {
        detail: Detail::H264(found.h264),
        frame_start: found.frame_start,
        frame_end: marker,
        start: found.start,
        key: found.h264.has_idr,
        layer: Layer::default(),
    })
}

/// Width and height of the first SPS of the packet, pixels.
pub(super) fn size(payload: &[u8]) -> Option<(u16, u16)> {
    let (header, tail) = payload.split_first()?;
    if header & 0x1f == SPS {
        return sps::size(tail);
    }
    if header & 0x1f != STAP_A {
        return None;
    }
    let mut rest = tail;
    while let Some(nal) = take_unit(&mut rest) {
        if let Some((header, sps)) = nal.split_first()
            && header & 0x1f == SPS
        {
            return sps::size(sps);
        }
    }
    None
}

/// The next NAL unit of a STAP-A (RFC 6184 §5.7.1).
fn take_unit<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = usize::from(be16(rest, 0)?);
    let (nal, tail) = rest.get(2..)?.split_at_checked(size)?;
    *rest = tail;
    Some(nal)
}

/// Longest parameter set that is kept, bytes. With scaling lists an SPS can be longer; encoders for live video send none.
const MAX_SET: usize = 256;
/// Most SPS kept.
const MAX_SPS: usize = 2;
/// Most PPS kept.
const MAX_PPS: usize = 4;

/// One parameter set, with its NAL header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Set {
    id: u8,
    len: u16,
    bytes: [u8; MAX_SET],
}

impl Set {
    const EMPTY: Self = Self {
        id: 0,
        len: 0,
        bytes: [0; MAX_SET],
    };

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// The parameter sets that an encoding sent last, so that a viewer who joins at an IDR without them can decode.
///
/// Bounded: two SPS and four PPS of at most 256 bytes; one more replaces another, one that is longer is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParameterSets {
    sps: [Set; MAX_SPS],
    pps: [Set; MAX_PPS],
}

impl Default for ParameterSets {
    fn default() -> Self {
        Self {
            sps: [Set::EMPTY; MAX_SPS],
            pps: [Set::EMPTY; MAX_PPS],
        }
    }
}

impl ParameterSets {
    /// Keeps the parameter sets of a packet: a single NAL unit or a STAP-A. Anything else changes nothing.
    pub fn note(&mut self, payload: &[u8]) {
        let Some((header, tail)) = payload.split_first() else {
            return;
        };
        if header & 0x1f != STAP_A {
            self.note_unit(payload);
            return;
        }
        let mut rest = tail;
        while let Some(nal) = take_unit(&mut rest) {
            self.note_unit(nal);
        }
    }

    /// Both an SPS and a PPS are known.
    pub fn is_complete(&self) -> bool {
        self.sps.iter().any(|set| set.len > 0) && self.pps.iter().any(|set| set.len > 0)
    }

    fn note_unit(&mut self, nal: &[u8]) {
        match nal.first().map(|header| header & 0x1f) {
            // profile_idc, constraints and level_idc precede the id (H.264 §7.3.2.1.1).
            Some(SPS) => keep(&mut self.sps, nal, 4),
            Some(PPS) => keep(&mut self.pps, nal, 1),
            _ => {}
        }
    }

    /// Writes the sets as one STAP-A and returns its length. `None` without both an SPS and a PPS, or when `out` is too small.
    pub fn stap_a(&self, out: &mut [u8]) -> Option<usize> {
        if !self.is_complete() {
            return None;
        }
        let sets = || self.sps.iter().chain(&self.pps).filter(|set| set.len > 0);
        // The highest nal_ref_idc of all units (RFC 6184 §5.7).
        let importance = sets()
            .filter_map(|set| byte(set.as_bytes(), 0))
            .map(|header| header & 0x60)
            .max()?;
        let mut put = Put::new(out);
        put.put8(importance | STAP_A)?;
        for set in sets() {
            put.put16(set.len)?;
            put.put(set.as_bytes())?;
        }
        Some(put.len())
    }
}

/// Keeps `nal` in the place of the same id, else in a free one, else in the one that its id points to.
fn keep(sets: &mut [Set], nal: &[u8], id_at: usize) {
    if nal.len() > MAX_SET {
        return;
    }
    let Some(id) = nal.get(id_at..).and_then(small_exp_golomb) else {
        return;
    };
    let place = sets
        .iter()
        .position(|set| set.len > 0 && set.id == id)
        .or_else(|| sets.iter().position(|set| set.len == 0))
        .unwrap_or(usize::from(id) % sets.len());
    let Some(set) = sets.get_mut(place).filter(|set| set.as_bytes() != nal) else {
        return;
    };
    set.id = id;
    set.len = nal.len() as u16;
    if let Some(bytes) = set.bytes.get_mut(..nal.len()) {
        bytes.copy_from_slice(nal);
    }
}

/// An unsigned Exp-Golomb number below 255 at the beginning of `bits` (H.264 §9.1). Ids are at most 31 (SPS) and 255 (PPS); the one
/// that does not fit belongs to no encoder of ours.
fn small_exp_golomb(bits: &[u8]) -> Option<u8> {
    let word = u32::from_be_bytes([
        byte(bits, 0)?,
        byte(bits, 1).unwrap_or(0),
        byte(bits, 2).unwrap_or(0),
        byte(bits, 3).unwrap_or(0),
    ]);
    let zeros = word.leading_zeros();
    if zeros > 7 {
        return None;
    }
    let value = word >> (31 - 2 * zeros);
    u8::try_from(value - 1).ok()
}
