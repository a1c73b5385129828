//! Which encoding a packet belongs to (RFC 8843 §9.2, RFC 8852): SSRC, else mid and rid, else a payload type that only one
//! m-line has.
//!
//! SSRCs belong to one transport: two publishers that chose the same number never meet. What is signalled or learned first
//! holds; a packet whose mid or rid contradicts that is dropped, so nobody moves an SSRC to another m-line by writing its mid.

use std::collections::HashMap;

use crate::command::{CodecSpec, EncodingSpec, ReceiveSpec};
use crate::ids::{Mid, Rid, Ssrc};
use crate::reason::DropReason;
use crate::rtp::ext::Extensions;

/// Most SSRCs of one transport that no SDP named.
pub const MAX_LEARNED: usize = 64;

const RTX: u8 = 0x80;
const UNKNOWN: u8 = 0x7f;

/// Where a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Which encoding of the transport, counted over all m-lines.
    pub stream: u32,
    /// The codec, the original one for a retransmission.
    pub codec: CodecSpec,
    /// The packet is a retransmission (RFC 4588).
    pub rtx: bool,
}

#[derive(Debug)]
struct Line {
    mid: Mid,
    first_stream: u32,
    encodings: Vec<EncodingSpec>,
    codecs: Vec<CodecSpec>,
    /// Payload type → index of the codec, [`RTX`] set for its retransmissions.
    payload_types: [u8; 128],
}

impl Line {
    fn new(spec: &ReceiveSpec, first_stream: u32) -> Self {
        let mut payload_types = [UNKNOWN; 128];
        for (index, codec) in spec.codecs.iter().enumerate().take(usize::from(UNKNOWN)) {
            let names = [(Some(codec.payload_type), 0), (codec.rtx_payload_type, RTX)];
            for (payload_type, flag) in names {
                if let Some(entry) = payload_type.and_then(|number| payload_types.get_mut(usize::from(number))) {
                    *entry = index as u8 | flag;
                }
            }
        }
        Self {
            mid: spec.mid,
            first_stream,
            encodings: spec.encodings.clone(),
            codecs: spec.codecs.clone(),
            payload_types,
        }
    }

    fn codec(&self, payload_type: u8) -> Option<(CodecSpec, bool)> {
        let entry = *self.payload_types.get(usize::from(payload_type))?;
        let codec = self.codecs.get(usize::from(entry & !RTX))?;
        Some((*codec, entry & RTX != 0))
    }

    /// The encoding that `rid` names, or the only one that there is.
    fn encoding(&self, rid: Option<Rid>) -> Option<u32> {
        let named = rid.and_then(|rid| self.encodings.iter().position(|encoding| encoding.rid == Some(rid)));
        let index = match (named, self.encodings.as_slice()) {
            (Some(index), _) => index,
            (None, [only]) if rid.is_none() || only.rid.is_none() => 0,
            (None, _) => return None,
        };
        Some(self.first_stream + index as u32)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Nobody,
    Line(u32),
    Several,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    ssrc: Ssrc,
    line: u32,
    stream: u32,
    rtx: bool,
    signalled: bool,
    heard: bool,
}

/// The tables of one transport.
#[derive(Debug)]
pub struct Demux {
    lines: Vec<Line>,
    by_mid: HashMap<Mid, u32>,
    by_payload_type: [Owner; 128],
    /// In ascending order of SSRC.
    known: Vec<Known>,
    learned: usize,
}

impl Demux {
    /// The tables of what was negotiated. Streams are numbered in the order of `specs` and of their encodings.
    pub fn new(specs: &[ReceiveSpec]) -> Self {
        let mut demux = Self {
            lines: Vec::with_capacity(specs.len()),
            by_mid: HashMap::with_capacity(specs.len()),
            by_payload_type: [Owner::Nobody; 128],
            known: Vec::new(),
            learned: 0,
        };
        let mut first_stream = 0;
        for (index, spec) in specs.iter().enumerate() {
            let line = index as u32;
            demux.by_mid.insert(spec.mid, line);
            for number in spec
                .codecs
                .iter()
                .flat_map(|codec| [Some(codec.payload_type), codec.rtx_payload_type])
                .flatten()
            {
                if let Some(owner) = demux.by_payload_type.get_mut(usize::from(number)) {
                    *owner = match *owner {
                        Owner::Nobody => Owner::Line(line),
                        Owner::Line(other) if other == line => Owner::Line(line),
                        Owner::Line(_) | Owner::Several => Owner::Several,
                    };
                }
            }
            for (stream, encoding) in (first_stream..).zip(&spec.encodings) {
                for (ssrc, rtx) in [(encoding.ssrc, false), (encoding.rtx_ssrc, true)] {
                    if let Some(ssrc) = ssrc {
                        demux.insert(Known {
                            ssrc,
                            line,
                            stream,
                            rtx,
                            signalled: true,
                            heard: false,
                        });
                    }
                }
            }
            demux.lines.push(Line::new(spec, first_stream));
            first_stream += spec.encodings.len() as u32;
        }
        demux.known.reserve(MAX_LEARNED);
        demux
    }

    /// Where the packet goes. Nothing is learned yet.
    pub fn route(&self, ssrc: Ssrc, extensions: &Extensions, payload_type: u8) -> Result<Route, DropReason> {
        if let Ok(at) = self.find(ssrc)
            && let Some(known) = self.known.get(at)
        {
            return self.known_route(known, extensions, payload_type);
        }
        let line = match extensions.mid {
            Some(mid) => *self.by_mid.get(&mid).ok_or(DropReason::UnknownSsrc)?,
            None => match self.by_payload_type.get(usize::from(payload_type)) {
                Some(Owner::Line(line)) => *line,
                Some(Owner::Nobody | Owner::Several) | None => return Err(DropReason::UnknownSsrc),
            },
        };
        let line = self.lines.get(line as usize).ok_or(DropReason::UnknownSsrc)?;
        let (codec, rtx) = line.codec(payload_type).ok_or(DropReason::UnknownPayloadType)?;
        let rid = if rtx {
            extensions.repaired_rid.or(extensions.rid)
        } else {
            extensions.rid
        };
        let stream = line.encoding(rid).ok_or(DropReason::UnknownSsrc)?;
        Ok(Route { stream, codec, rtx })
    }

    fn known_route(&self, known: &Known, extensions: &Extensions, payload_type: u8) -> Result<Route, DropReason> {
        let line = self.lines.get(known.line as usize).ok_or(DropReason::UnknownSsrc)?;
        if extensions.mid.is_some_and(|mid| mid != line.mid) {
            return Err(DropReason::UnknownSsrc);
        }
        let rid = if known.rtx {
            extensions.repaired_rid.or(extensions.rid)
        } else {
            extensions.rid
        };
        if rid.is_some() && line.encoding(rid) != Some(known.stream) {
            return Err(DropReason::UnknownSsrc);
        }
        match line.codec(payload_type) {
            Some((codec, rtx)) if rtx == known.rtx => Ok(Route {
                stream: known.stream,
                codec,
                rtx,
            }),
            // RFC 4588 §4: retransmissions have an SSRC of their own, and that carries nothing else.
            Some(_) => Err(DropReason::RtxMalformed),
            None if known.rtx => Err(DropReason::RtxMalformed),
            None => Err(DropReason::UnknownPayloadType),
        }
    }

    /// Remember that a packet of `ssrc` took `route`. `true` the first time that it is heard.
    pub fn heard(&mut self, ssrc: Ssrc, route: &Route) -> Result<bool, DropReason> {
        if let Ok(at) = self.find(ssrc) {
            let Some(known) = self.known.get_mut(at) else {
                return Ok(false);
            };
            return Ok(!std::mem::replace(&mut known.heard, true));
        }
        if self.learned >= MAX_LEARNED {
            return Err(DropReason::TooManySsrcs);
        }
        let line = self
            .lines
            .partition_point(|line| line.first_stream <= route.stream)
            .saturating_sub(1);
        self.learned += 1;
        self.insert(Known {
            ssrc,
            line: line as u32,
            stream: route.stream,
            rtx: route.rtx,
            signalled: false,
            heard: true,
        });
        Ok(true)
    }

    /// Was `ssrc` named as one of the track at place `line`?
    pub fn is_named(&self, ssrc: Ssrc, line: u32) -> bool {
        let known = self.find(ssrc).ok().and_then(|at| self.known.get(at));
        known.is_some_and(|known| known.signalled && known.line == line)
    }

    /// The stream whose media (not retransmissions) `ssrc` is.
    pub fn media(&self, ssrc: Ssrc) -> Option<u32> {
        let known = self.known.get(self.find(ssrc).ok()?)?;
        (!known.rtx).then_some(known.stream)
    }

    /// The source said goodbye: a learned SSRC makes room for others.
    pub fn forget(&mut self, ssrc: Ssrc) {
        let Ok(at) = self.find(ssrc) else { return };
        match self.known.get_mut(at) {
            Some(known) if known.signalled => known.heard = false,
            Some(_) => {
                self.known.remove(at);
                self.learned = self.learned.saturating_sub(1);
            }
            None => {}
        }
    }

    fn find(&self, ssrc: Ssrc) -> Result<usize, usize> {
        self.known.binary_search_by_key(&ssrc, |known| known.ssrc)
    }

    /// The first to name an SSRC keeps it.
    fn insert(&mut self, known: Known) {
        if let Err(at) = self.find(known.ssrc) {
            self.known.insert(at, known);
        }
    }
}
