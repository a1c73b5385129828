//! RTP header extensions (RFC 8285): one map per transport, read on the way in, written on the way out.

use super::bytes::{Put, be16, be24, byte};
use super::header::{FIXED_LEN, RtpHeader};
use crate::command::{ExtensionKind, ExtensionSpec};
use crate::ids::{Mid, Rid, Ssrc};

/// Extension profile of the one-byte form.
const ONE_BYTE: u16 = 0xbede;
/// Extension profile of the two-byte form; the low four bits are free.
const TWO_BYTE: u16 = 0x1000;
/// Profile and length in front of the extensions.
const BLOCK_LEN: usize = 4;
/// Kinds that there are.
const KINDS: usize = 10;
/// Most bytes that [`ExtensionMap::write`] ever writes: MID, transport-cc and abs-send-time in two-byte form.
pub const MAX_OUT_HEADER: usize = FIXED_LEN + BLOCK_LEN + 28;

/// Which extension id means what on one transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExtensionMap {
    /// By kind; 0 = not negotiated.
    ids: [u8; KINDS],
}

/// Where the value of an extension lies in its packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// From the beginning of the packet, bytes.
    pub at: u16,
    /// Bytes; 0: the packet has none.
    pub len: u8,
}

impl Place {
    /// The value; `None` when there is none.
    pub fn of<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let at = usize::from(self.at);
        let value = packet.get(at..at + usize::from(self.len))?;
        (!value.is_empty()).then_some(value)
    }
}

/// What the extensions of one packet said. What is missing, malformed or not negotiated is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extensions {
    /// The m-line.
    pub mid: Option<Mid>,
    /// The encoding.
    pub rid: Option<Rid>,
    /// The encoding that this packet repairs.
    pub repaired_rid: Option<Rid>,
    /// Transport-wide sequence number.
    pub transport_cc: Option<u16>,
    /// Level, 0 (loudest) to 127 −dBov, and the voice activity bit (RFC 6464 §3).
    pub audio_level: Option<(u8, bool)>,
    /// 24 bits: seconds modulo 64 in 6.18 fixed point.
    pub abs_send_time: Option<u32>,
    /// 24 bits: least and most delay, 12 bits each, in units of 10 ms.
    pub playout_delay: Option<u32>,
    /// Dependency descriptor.
    pub dependency: Place,
    /// Absolute capture time: 8 bytes, or 16 with the offset of the capturing clock.
    pub capture_time: Place,
    /// Video layers allocation.
    pub allocation: Place,
}

/// Extensions of a media packet besides those of every packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Relayed<'a> {
    /// Dependency descriptor, at most 255 bytes.
    pub dependency: Option<&'a [u8]>,
    /// Absolute capture time, as it came.
    pub capture_time: Option<&'a [u8]>,
    /// Low 24 bits are written, see [`Extensions::playout_delay`].
    pub playout_delay: Option<u32>,
}

/// The header of a packet to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutHeader {
    /// Marker bit.
    pub marker: bool,
    /// 0–127; the low seven bits are used.
    pub payload_type: u8,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: Ssrc,
    /// The m-line, while the receiver may not know it.
    pub mid: Option<Mid>,
    /// Transport-wide sequence number.
    pub transport_cc: Option<u16>,
    /// Low 24 bits are written.
    pub abs_send_time: Option<u32>,
}

fn place(kind: ExtensionKind) -> usize {
    match kind {
        ExtensionKind::Mid => 0,
        ExtensionKind::Rid => 1,
        ExtensionKind::RepairedRid => 2,
        ExtensionKind::TransportCc => 3,
        ExtensionKind::AbsSendTime => 4,
        ExtensionKind::AudioLevel => 5,
        ExtensionKind::PlayoutDelay => 6,
        ExtensionKind::DependencyDescriptor => 7,
        ExtensionKind::AbsCaptureTime => 8,
        ExtensionKind::VideoLayersAllocation => 9,
    }
}

/// In the order of [`place`].
const BY_PLACE: [ExtensionKind; KINDS] = [
    ExtensionKind::Mid,
    ExtensionKind::Rid,
    ExtensionKind::RepairedRid,
    ExtensionKind::TransportCc,
    ExtensionKind::AbsSendTime,
    ExtensionKind::AudioLevel,
    ExtensionKind::PlayoutDelay,
    ExtensionKind::DependencyDescriptor,
    ExtensionKind::AbsCaptureTime,
    ExtensionKind::VideoLayersAllocation,
];

impl ExtensionMap {
    /// Id 0 is no id. Where an id or a kind comes twice, the first one counts.
    pub fn new(specs: &[ExtensionSpec]) -> Self {
        let mut map = Self::default();
        for spec in specs {
            if spec.id == 0 || map.ids.contains(&spec.id) {
                continue;
            }
            if let Some(id) = map.ids.get_mut(place(spec.kind)).filter(|id| **id == 0) {
                *id = spec.id;
            }
        }
        map
    }

    /// Whether the extension was negotiated.
    pub fn has(&self, kind: ExtensionKind) -> bool {
        self.id(kind).is_some()
    }

    /// The id of a negotiated extension.
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        self.ids.get(place(kind)).copied().filter(|id| *id != 0)
    }

    fn kind(&self, id: u8) -> Option<ExtensionKind> {
        // Id 0 is padding and never gets here; an unused place holds 0 and so matches nothing.
        let at = self.ids.iter().position(|known| *known == id)?;
        BY_PLACE.get(at).copied()
    }

    /// Reads the extensions of `packet`. Unknown ids are skipped, a malformed tail ends the reading, of two values of one kind the
    /// first one counts.
    pub fn read(&self, packet: &[u8], header: &RtpHeader) -> Extensions {
        let mut found = Extensions::default();
        let end = header.extension_at.saturating_add(header.extension_len);
        let data = packet.get(header.extension_at..end).unwrap_or_default();
        if header.extension_profile == ONE_BYTE {
            self.read_one_byte(data, header.extension_at, &mut found);
        } else if header.extension_profile & 0xfff0 == TWO_BYTE {
            self.read_two_byte(data, header.extension_at, &mut found);
        }
        found
    }

    /// RFC 8285 §4.2.
    fn read_one_byte(&self, data: &[u8], base: usize, found: &mut Extensions) {
        let mut at = 0;
        while let Some(head) = byte(data, at) {
            at += 1;
            if head == 0 {
                continue;
            }
            let id = head >> 4;
            let len = usize::from(head & 0x0f) + 1;
            // Padding with a length, and the reserved id, both end the extension.
            if id == 0 || id == 15 {
                return;
            }
            let Some(value) = data.get(at..at + len) else { return };
            self.note(id, value, base + at, found);
            at += len;
        }
    }

    /// RFC 8285 §4.3.
    fn read_two_byte(&self, data: &[u8], base: usize, found: &mut Extensions) {
        let mut at = 0;
        while let Some(id) = byte(data, at) {
            at += 1;
            if id == 0 {
                continue;
            }
            let Some(len) = byte(data, at).map(usize::from) else {
                return;
            };
            at += 1;
            let Some(value) = data.get(at..at + len) else { return };
            self.note(id, value, base + at, found);
            at += len;
        }
    }

    fn note(&self, id: u8, value: &[u8], at: usize, found: &mut Extensions) {
        let first = |place: &mut Place| {
            if place.len == 0
                && let (Ok(at), Ok(len)) = (u16::try_from(at), u8::try_from(value.len()))
            {
                *place = Place { at, len };
            }
        };
        let exactly = |len: usize| value.len() == len;
        match self.kind(id) {
            None => {}
            Some(ExtensionKind::Mid) => found.mid = found.mid.or_else(|| Mid::new(value)),
            Some(ExtensionKind::Rid) => found.rid = found.rid.or_else(|| Rid::new(value)),
            Some(ExtensionKind::RepairedRid) => found.repaired_rid = found.repaired_rid.or_else(|| Rid::new(value)),
            Some(ExtensionKind::TransportCc) => {
                found.transport_cc = found.transport_cc.or_else(|| be16(value, 0).filter(|_| exactly(2)));
            }
            Some(ExtensionKind::AbsSendTime) => {
                found.abs_send_time = found.abs_send_time.or_else(|| be24(value, 0).filter(|_| exactly(3)));
            }
            Some(ExtensionKind::AudioLevel) => {
                let level = byte(value, 0).filter(|_| exactly(1));
                found.audio_level = found
                    .audio_level
                    .or_else(|| level.map(|level| (level & 0x7f, level & 0x80 != 0)));
            }
            Some(ExtensionKind::PlayoutDelay) => {
                found.playout_delay = found.playout_delay.or_else(|| be24(value, 0).filter(|_| exactly(3)));
            }
            Some(ExtensionKind::DependencyDescriptor) => first(&mut found.dependency),
            Some(ExtensionKind::AbsCaptureTime) if exactly(8) || exactly(16) => first(&mut found.capture_time),
            Some(ExtensionKind::AbsCaptureTime) => {}
            Some(ExtensionKind::VideoLayersAllocation) => first(&mut found.allocation),
        }
    }

    /// Writes a header and returns its length; `None` when it does not fit. Extensions without a negotiated id are left out. The
    /// one-byte form is used unless an id above 14 forces the other one.
    pub fn write(&self, out: &mut [u8], header: &OutHeader) -> Option<usize> {
        let [mid_id, _, _, transport_cc_id, abs_send_time_id, ..] = self.ids;
        let mid = header.mid.filter(|_| mid_id != 0);
        let transport_cc = header.transport_cc.filter(|_| transport_cc_id != 0);
        let abs_send_time = header.abs_send_time.filter(|_| abs_send_time_id != 0);
        let written = |is_written: bool, id: u8| if is_written { id } else { 0 };
        let highest = written(mid.is_some(), mid_id)
            .max(written(transport_cc.is_some(), transport_cc_id))
            .max(written(abs_send_time.is_some(), abs_send_time_id));

        let (fixed, rest) = out.split_first_chunk_mut::<FIXED_LEN>()?;
        let first = if highest == 0 { 0x80 } else { 0x90 };
        let second = u8::from(header.marker) << 7 | header.payload_type & 0x7f;
        let ([s0, s1], [t0, t1, t2, t3]) = (header.seq.to_be_bytes(), header.timestamp.to_be_bytes());
        let [c0, c1, c2, c3] = header.ssrc.0.to_be_bytes();
        *fixed = [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3];
        if highest == 0 {
            return Some(FIXED_LEN);
        }

        let two_byte = highest > 14;
        let (block, rest) = rest.split_first_chunk_mut::<BLOCK_LEN>()?;
        let mut put = Put::new(rest);
        if let Some(mid) = mid {
            element(&mut put, two_byte, mid_id, mid.as_bytes())?;
        }
        if let Some(seq) = transport_cc {
            element(&mut put, two_byte, transport_cc_id, &seq.to_be_bytes())?;
        }
        if let Some(time) = abs_send_time {
            let [_, a, b, c] = time.to_be_bytes();
            element(&mut put, two_byte, abs_send_time_id, &[a, b, c])?;
        }
        // The fixed header and that of the block are whole words, so the elements end a word where the packet does.
        put.align()?;
        let [p0, p1] = if two_byte { TWO_BYTE } else { ONE_BYTE }.to_be_bytes();
        let [l0, l1] = u16::try_from(put.len() / 4).ok()?.to_be_bytes();
        *block = [p0, p1, l0, l1];
        Some(FIXED_LEN + BLOCK_LEN + put.len())
    }
}

impl ExtensionMap {
    /// Writes a header with more extensions. The two-byte form is used where an id is above 14 or a value longer than 16 bytes. A value
    /// that no form can hold is left out.
    pub fn write_with(&self, out: &mut [u8], header: &OutHeader, relayed: &Relayed<'_>) -> Option<usize> {
        if *relayed == Relayed::default() {
            return self.write(out, header);
        }
        let playout_delay = relayed.playout_delay.map(u32::to_be_bytes);
        let more = [
            (ExtensionKind::DependencyDescriptor, relayed.dependency),
            (ExtensionKind::AbsCaptureTime, relayed.capture_time),
            (
                ExtensionKind::PlayoutDelay,
                playout_delay.as_ref().and_then(|bytes| bytes.get(1..)),
            ),
        ]
        .map(|(kind, value)| {
            let value = value.filter(|value| (1..=255).contains(&value.len()));
            self.id(kind).zip(value)
        });
        if more == [None; 3] {
            return self.write(out, header);
        }
        let transport_cc = header.transport_cc.map(u16::to_be_bytes);
        let abs_send_time = header.abs_send_time.map(u32::to_be_bytes);
        let own = [
            (ExtensionKind::Mid, header.mid.as_ref().map(Mid::as_bytes)),
            (
                ExtensionKind::TransportCc,
                transport_cc.as_ref().map(<[u8; 2]>::as_slice),
            ),
            (
                ExtensionKind::AbsSendTime,
                abs_send_time.as_ref().and_then(|bytes| bytes.get(1..)),
            ),
        ]
        .map(|(kind, value)| self.id(kind).zip(value));
        let all = || own.iter().chain(&more).flatten();
        let two_byte = all().any(|(id, value)| *id > 14 || value.len() > 16);

        let bare = Self::default();
        let len = bare.write(out, header)?;
        *out.first_mut()? |= 0x10;
        let (block, rest) = out.get_mut(len..)?.split_first_chunk_mut::<BLOCK_LEN>()?;
        let mut put = Put::new(rest);
        for (id, value) in all() {
            element(&mut put, two_byte, *id, value)?;
        }
        put.align()?;
        let [p0, p1] = if two_byte { TWO_BYTE } else { ONE_BYTE }.to_be_bytes();
        let [l0, l1] = u16::try_from(put.len() / 4).ok()?.to_be_bytes();
        *block = [p0, p1, l0, l1];
        Some(len + BLOCK_LEN + put.len())
    }
}

/// `value` has 1 to 16 bytes, in the two-byte form up to 255.
#[inline] // The lengths of all but MID are constants.
fn element(put: &mut Put<'_>, two_byte: bool, id: u8, value: &[u8]) -> Option<()> {
    let len = u8::try_from(value.len()).ok()?;
    if two_byte {
        put.put8(id)?;
        put.put8(len)?;
    } else {
        put.put8(id << 4 | len.checked_sub(1)? & 0x0f)?;
    }
    put.put(value)
}
