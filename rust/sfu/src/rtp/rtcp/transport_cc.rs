//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
//!
//! One status per packet from a base sequence number on, run-length or vector coded; then one arrival delta per packet that came.

use super::{FMT_TRANSPORT_CC, RtcpWriter, TRANSPORT_FEEDBACK};
use crate::ids::Ssrc;
use crate::rtp::bytes::{Put, be16, be24, be32, byte};
use crate::time::Time;

/// Most packets of one feedback that are looked at: a peer can claim 65 535 losses in 20 bytes, and a second at 40 Mb/s has 4 096.
pub const MAX_CLAIMS: u16 = 4096;
/// Microseconds of one delta unit.
const TICK_US: u64 = 250;
/// Delta units of one reference time unit (64 ms).
const TICKS_PER_REFERENCE: i64 = 256;
/// Bytes in front of the chunks: the RTCP header, two SSRCs, base, count, reference time, feedback count.
const FRONT: usize = 20;

const NOT_RECEIVED: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;

/// Which packets came, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransportCc<'a> {
    /// Who reports.
    pub sender: Ssrc,
    /// A source of the transport; which one means nothing.
    pub media: Ssrc,
    /// Transport-wide sequence number of the first status.
    pub base: u16,
    /// Number of statuses, as claimed; [`Self::arrivals`] gives at most [`MAX_CLAIMS`].
    pub count: u16,
    /// 24 bits, in units of 64 ms of the reporter's clock; wraps.
    pub reference: u32,
    /// Counts feedback packets, so that a lost one shows.
    pub feedback_count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

/// One status chunk and how many of its symbols were taken.
#[derive(Clone, Copy, Debug, Default)]
struct Chunk {
    bits: u16,
    taken: u16,
}

impl Chunk {
    fn symbols(self) -> u16 {
        match self.bits >> 14 {
            0 | 1 => self.bits & 0x1fff,
            2 => 14,
            _ => 7,
        }
    }

    fn next(&mut self) -> Option<u8> {
        let index = self.taken;
        if index >= self.symbols() {
            return None;
        }
        self.taken += 1;
        Some(match self.bits >> 14 {
            0 | 1 => (self.bits >> 13 & 3) as u8,
            2 => (self.bits >> (13 - index) & 1) as u8,
            _ => (self.bits >> (12 - 2 * index) & 3) as u8,
        })
    }
}

/// Bytes of the delta of a status; `None` for the reserved one.
fn delta_len(symbol: u8) -> Option<usize> {
    match symbol {
        NOT_RECEIVED => Some(0),
        SMALL_DELTA => Some(1),
        LARGE_DELTA => Some(2),
        _ => None,
    }
}

impl<'a> TransportCc<'a> {
    /// Refuses reserved statuses and missing chunks or deltas. Takes time in proportion to the bytes, not to the claims.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let count = be16(body, 10)?;
        let rest = body.get(16..)?;
        let (mut at, mut left, mut deltas_len) = (0, count, 0usize);
        while left > 0 {
            let mut chunk = Chunk {
                bits: be16(rest, at)?,
                taken: 0,
            };
            at += 2;
            let symbols = chunk.symbols().min(left);
            left -= symbols;
            if chunk.bits >> 15 == 0 {
                // All symbols of a run are alike.
                if let Some(symbol) = chunk.next() {
                    deltas_len += delta_len(symbol)? * usize::from(symbols);
                }
            } else {
                for _ in 0..symbols {
                    deltas_len += delta_len(chunk.next()?)?;
                }
            }
        }
        Some(Self {
            sender: Ssrc(be32(body, 0)?),
            media: Ssrc(be32(body, 4)?),
            base: be16(body, 8)?,
            count,
            reference: be24(body, 12)?,
            feedback_count: byte(body, 15)?,
            chunks: rest.get(..at)?,
            deltas: rest.get(at..at.checked_add(deltas_len)?)?,
        })
    }

    /// One item per packet, in the order of sequence numbers: the number and, for a packet that came, the arrival in microseconds
    /// after [`Self::reference`] (negative when it overtook).
    pub fn arrivals(&self) -> Arrivals<'a> {
        Arrivals {
            chunks: self.chunks,
            deltas: self.deltas,
            chunk: Chunk::default(),
            seq: self.base,
            left: self.count.min(MAX_CLAIMS),
            ticks: 0,
        }
    }
}

/// Iterator of [`TransportCc::arrivals`].
#[derive(Clone, Debug)]
pub struct Arrivals<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: Chunk,
    seq: u16,
    left: u16,
    ticks: i64,
}

impl Arrivals<'_> {
    fn symbol(&mut self) -> Option<u8> {
        loop {
            if let Some(symbol) = self.chunk.next() {
                return Some(symbol);
            }
            let bits = be16(self.chunks, 0)?;
            self.chunks = self.chunks.get(2..)?;
            self.chunk = Chunk { bits, taken: 0 };
        }
    }

    fn delta(&mut self, symbol: u8) -> Option<i64> {
        let (delta, len) = match symbol {
            SMALL_DELTA => (i64::from(byte(self.deltas, 0)?), 1),
            LARGE_DELTA => (i64::from(be16(self.deltas, 0)? as i16), 2),
            _ => return None,
        };
        self.deltas = self.deltas.get(len..)?;
        Some(delta)
    }
}

impl Iterator for Arrivals<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let symbol = self.symbol()?;
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        if symbol == NOT_RECEIVED {
            return Some((seq, None));
        }
        self.ticks += self.delta(symbol)?;
        Some((seq, Some(self.ticks * TICK_US as i64)))
    }
}

/// Statuses that wait to become a chunk: up to 7 of any kind, 14 without large deltas, or a run of equal ones.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    symbols: [u8; 14],
    len: u16,
    mixed: bool,
    large: bool,
}

impl Pending {
    const LONGEST_RUN: u16 = 0x1fff;

    fn fits(&self, symbol: u8) -> bool {
        if self.len < 7 {
            return true;
        }
        if self.len < 14 && !self.large && symbol != LARGE_DELTA {
            return true;
        }
        !self.mixed && self.len < Self::LONGEST_RUN && self.symbols.first() == Some(&symbol)
    }

    /// Adds a status. Returns a full chunk when that had to make room.
    fn add(&mut self, symbol: u8) -> Option<u16> {
        let full = if self.fits(symbol) { None } else { Some(self.take()) };
        if let Some(place) = self.symbols.get_mut(usize::from(self.len)) {
            *place = symbol;
        }
        self.mixed |= self.len > 0 && self.symbols.first() != Some(&symbol);
        self.large |= symbol == LARGE_DELTA;
        self.len += 1;
        full
    }

    /// Takes as many statuses as one chunk holds.
    fn take(&mut self) -> u16 {
        if !self.mixed || self.len == 14 || self.len <= 7 {
            let chunk = self.last();
            *self = Self::default();
            return chunk;
        }
        let taken = self.vector(7, 2);
        let mut rest = Self::default();
        for symbol in self.symbols.iter().take(usize::from(self.len)).skip(7) {
            rest.add(*symbol);
        }
        *self = rest;
        taken
    }

    /// All that is pending as one chunk; it always fits in one.
    fn last(&self) -> u16 {
        if !self.mixed {
            let symbol = self.symbols.first().copied().unwrap_or_default();
            return u16::from(symbol) << 13 | self.len;
        }
        if self.len <= 7 {
            self.vector(7, 2)
        } else {
            self.vector(14, 1)
        }
    }

    fn vector(&self, places: u16, width: u16) -> u16 {
        let kind = if width == 2 { 3 << 14 } else { 2 << 14 };
        let used = self.symbols.iter().zip(0..places.min(self.len));
        used.fold(kind, |bits, (symbol, place)| {
            bits | u16::from(*symbol) << (14 - width - width * place)
        })
    }
}

/// What goes into one feedback packet.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Entries that it covers.
    entries: usize,
    statuses: u16,
    /// In units of 64 ms, not cut to 24 bits.
    reference: i64,
}

fn ticks(at: Time) -> i64 {
    // A 63-bit number of microseconds divided by 250 fits.
    (at.0 / TICK_US) as i64
}

/// The status of a packet and the delta to the one before; `None` when the delta does not fit in 16 bits.
fn status(arrival: Option<Time>, before: &mut i64) -> Option<(u8, i16)> {
    let Some(at) = arrival else {
        return Some((NOT_RECEIVED, 0));
    };
    let delta = i16::try_from(ticks(at) - *before).ok()?;
    *before = ticks(at);
    let symbol = if (0..=255).contains(&delta) {
        SMALL_DELTA
    } else {
        LARGE_DELTA
    };
    Some((symbol, delta))
}

fn plan(room: usize, packets: &[(u64, Option<Time>)]) -> Option<Plan> {
    let (base, _) = *packets.first()?;
    let first = packets.iter().find_map(|(_, arrival)| *arrival)?;
    let reference = ticks(first) / TICKS_PER_REFERENCE;
    let mut before = reference * TICKS_PER_REFERENCE;
    let mut plan = Plan {
        entries: 0,
        statuses: 0,
        reference,
    };
    let (mut pending, mut full, mut deltas) = (Pending::default(), 0usize, 0usize);
    let mut received = false;
    for (seq, arrival) in packets {
        // Numbers that go back, and gaps too long to describe, wait for the next packet.
        let offset = seq.checked_sub(base).and_then(|offset| u16::try_from(offset).ok());
        let Some(offset) = offset.filter(|offset| (plan.statuses..MAX_CLAIMS).contains(offset)) else {
            break;
        };
        let Some((symbol, _)) = status(*arrival, &mut before) else {
            break;
        };
        for _ in plan.statuses..offset {
            full += usize::from(pending.add(NOT_RECEIVED).is_some());
        }
        full += usize::from(pending.add(symbol).is_some());
        deltas += delta_len(symbol)?;
        let len = FRONT + 2 * (full + 1) + deltas;
        if len.next_multiple_of(4) > room {
            break;
        }
        received |= arrival.is_some();
        plan.entries += 1;
        plan.statuses = offset + 1;
    }
    received.then_some(plan)
}

impl RtcpWriter<'_> {
    /// Reports arrivals. `packets` holds transport-wide sequence numbers, extended and ascending; numbers between two entries count
    /// as not received, exactly like entries without an arrival. `feedback_count` goes up by one with every packet written.
    ///
    /// Returns how many entries the packet covers: fewer than all when the room, [`MAX_CLAIMS`] or the range of a delta (±8 s) ends.
    /// `None`, writing nothing, when none fits or nothing was received in what would fit.
    pub fn transport_cc(
        &mut self,
        sender: Ssrc,
        media: Ssrc,
        feedback_count: u8,
        packets: &[(u64, Option<Time>)],
    ) -> Option<usize> {
        let plan = plan(self.room(), packets)?;
        let covered = packets.get(..plan.entries)?;
        let (base, _) = *covered.first()?;
        self.packet(FMT_TRANSPORT_CC, TRANSPORT_FEEDBACK, |put| {
            put.put32(sender.0)?;
            put.put32(media.0)?;
            put.put16(base as u16)?;
            put.put16(plan.statuses)?;
            put.put24(plan.reference as u32)?;
            put.put8(feedback_count)?;
            chunks(put, covered, base, plan.reference)?;
            deltas(put, covered, plan.reference)?;
            put.align()
        })?;
        Some(plan.entries)
    }
}

fn chunks(put: &mut Put<'_>, covered: &[(u64, Option<Time>)], base: u64, reference: i64) -> Option<()> {
    let mut before = reference * TICKS_PER_REFERENCE;
    let (mut pending, mut next) = (Pending::default(), base);
    for (seq, arrival) in covered {
        let (symbol, _) = status(*arrival, &mut before)?;
        for _ in next..*seq {
            if let Some(chunk) = pending.add(NOT_RECEIVED) {
                put.put16(chunk)?;
            }
        }
        if let Some(chunk) = pending.add(symbol) {
            put.put16(chunk)?;
        }
        next = seq + 1;
    }
    put.put16(pending.last())
}

fn deltas(put: &mut Put<'_>, covered: &[(u64, Option<Time>)], reference: i64) -> Option<()> {
    let mut before = reference * TICKS_PER_REFERENCE;
    for (_, arrival) in covered {
        match status(*arrival, &mut before)? {
            (SMALL_DELTA, delta) => put.put8(delta as u8)?,
            (LARGE_DELTA, delta) => put.put16(delta as u16)?,
            _ => {}
        }
    }
    Some(())
}
