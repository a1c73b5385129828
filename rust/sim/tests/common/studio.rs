//! A publisher of pictures in layers: VP8 alone or in three encodings, VP9 and AV1 with spatial layers, each with three temporal ones.

use std::collections::HashMap;

use rostra_sfu::command::{Codec, CodecSpec, EncodingSpec, ExtensionKind, ExtensionSpec};
use rostra_sfu::ids::Ssrc;
use rostra_sfu::rtp::rtcp::{Rtcp, packets};
use rostra_sfu::time::Time;
use rostra_sim::random::Random;

use super::archive::{Archive, Flow, Name, Source, body};
use super::peer::{Peer, VP8};

pub const VP9: u8 = 98;
pub const AV1: u8 = 100;
/// Header extension id.
pub const DEPENDENCY: u8 = 5;
/// Temporal layers of the pictures from a key frame on, again and again.
const PATTERN: [u8; 4] = [0, 2, 1, 2];

/// How a client's pictures are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// One encoding of VP8.
    Alone,
    /// Three.
    Simulcast,
    /// VP9, three spatial layers.
    Svc,
    /// AV1, two spatial layers, with dependency descriptors.
    Described,
}

fn codec(payload_type: u8, codec: Codec, rtx: bool) -> CodecSpec {
    CodecSpec {
        payload_type,
        codec,
        rtx_payload_type: rtx.then_some(payload_type + 1),
        profile: 0,
        packetization_mode: 0,
    }
}

/// Every codec of these publishers.
pub fn codecs(rtx: bool) -> Vec<CodecSpec> {
    vec![
        codec(VP8, Codec::Vp8, rtx),
        codec(VP9, Codec::Vp9, rtx),
        codec(AV1, Codec::Av1, rtx),
    ]
}

#[derive(Debug, Default)]
struct Line {
    /// Index (ROC ‖ number) of the next packet.
    index: u64,
    rtx_index: u64,
    key_wanted: bool,
    /// Pictures since the last key frame.
    place: usize,
    /// Of dependency descriptors.
    frame: u16,
}

/// What makes the pictures of one client.
pub struct Studio {
    pub style: Style,
    client: u16,
    lines: Vec<Line>,
    picture: u32,
    random: Random,
    /// Of the compounds that came.
    obeyed: usize,
    /// What can be asked for again.
    sent: HashMap<(u8, u16), Name>,
}

impl Studio {
    /// For a client that is not there yet: what it publishes is declared, and all that studios make is accepted.
    pub fn new(peer: &mut Peer) -> Self {
        let style = [Style::Alone, Style::Simulcast, Style::Svc, Style::Described][usize::from(peer.number) % 4];
        let count = if style == Style::Simulcast { 3 } else { 1 };
        let base = u32::from(peer.number) * 1000 + 200;
        peer.spec.receive[1].codecs = codecs(true);
        peer.spec.receive[1].encodings = (0..count)
            .map(|place| EncodingSpec {
                rid: None,
                ssrc: Some(Ssrc(base + 2 * place)),
                rtx_ssrc: Some(Ssrc(base + 2 * place + 1)),
            })
            .collect();
        // Some can only watch AV1 whole, and some are sent nothing a second time.
        if peer.number % 5 != 4 {
            peer.negotiate(ExtensionSpec {
                id: DEPENDENCY,
                kind: ExtensionKind::DependencyDescriptor,
            });
        }
        let rtx = !peer.number.is_multiple_of(3);
        for slot in &mut peer.spec.slots[..2] {
            slot.codecs = codecs(rtx);
        }
        let line = |place| Line {
            index: 1000 * (place + 1),
            rtx_index: 5000,
            key_wanted: true,
            ..Line::default()
        };
        Self {
            style,
            client: peer.number,
            lines: (0..u64::from(count)).map(line).collect(),
            picture: 0,
            random: Random::new(u64::from(peer.number)),
            obeyed: 0,
            sent: HashMap::new(),
        }
    }

    /// All its numbers go on elsewhere.
    pub fn jump(&mut self, by: u64) {
        for line in &mut self.lines {
            line.index += by;
        }
    }

    /// An index of the first encoding that no picture gets.
    pub fn skip(&mut self) -> u64 {
        self.lines[0].index += 1;
        self.lines[0].index - 1
    }

    /// The sealed packets of the next picture of every encoding.
    pub fn frame(&mut self, peer: &mut Peer, now: Time, archive: &mut Archive) -> Vec<Vec<u8>> {
        self.picture += 1;
        let spatial = match self.style {
            Style::Alone | Style::Simulcast => 1,
            Style::Svc => 3,
            Style::Described => 2,
        };
        let mut sealed = Vec::new();
        for encoding in 0..self.lines.len() {
            let line = &mut self.lines[encoding];
            let key = std::mem::take(&mut line.key_wanted);
            line.place = if key { 0 } else { line.place + 1 };
            for layer in 0..spatial {
                self.layer(
                    peer,
                    now,
                    archive,
                    encoding,
                    layer,
                    layer + 1 == spatial,
                    key,
                    &mut sealed,
                );
            }
        }
        sealed
    }

    #[allow(clippy::too_many_arguments)] // The inner step of `frame`.
    fn layer(
        &mut self,
        peer: &mut Peer,
        now: Time,
        archive: &mut Archive,
        encoding: usize,
        spatial: u8,
        last_layer: bool,
        key: bool,
        sealed: &mut Vec<Vec<u8>>,
    ) {
        let flow = Flow {
            client: self.client,
            encoding: encoding as u8,
        };
        let line = &mut self.lines[encoding];
        let place = line.place % 4;
        let temporal = PATTERN[place];
        let frame = line.frame;
        line.frame = line.frame.wrapping_add(1);
        let timestamp = (now.0 * 90 / 1000) as u32;
        let count = 1 + self.random.below(3);
        for piece in 0..count {
            let (first, last) = (piece == 0, piece + 1 == count);
            let index = self.lines[encoding].index;
            self.lines[encoding].index += 1;
            let name = (flow, index);
            let head = self.descriptor(first, last, spatial, temporal, place != 3, key);
            let dependency =
                (self.style == Style::Described).then(|| dependency((first, last), spatial, temporal, frame, key));
            let size = 20 + self.random.below(400) as usize;
            let source = Source {
                picture: self.picture,
                is_alone: self.style != Style::Simulcast,
                layer: (spatial, temporal),
                begins: first && spatial == 0,
                starts: first && spatial == 0 && key,
                payload_type: match self.style {
                    Style::Alone | Style::Simulcast => VP8,
                    Style::Svc => VP9,
                    Style::Described => AV1,
                },
                timestamp,
                marker: last && last_layer,
                head: head.len(),
                payload: [head, body(name, size)].concat(),
                dependency,
                heard: None,
            };
            let ssrc = peer.spec.receive[1].encodings[encoding].ssrc.expect("signalled");
            let (plain, header) = peer.described(
                ssrc,
                source.payload_type,
                Some("v"),
                index as u16,
                timestamp,
                source.marker,
                &source.payload,
                source.dependency.as_deref(),
            );
            let datagram = peer.seal(&plain, header, index);
            archive.seal(name, datagram.clone(), false);
            archive.publish(name, source);
            self.sent.insert((flow.encoding, index as u16), name);
            sealed.push(datagram);
        }
    }

    /// Payload descriptor; its picture ids have 15 bits.
    fn descriptor(&self, first: bool, last: bool, spatial: u8, temporal: u8, sync: bool, key: bool) -> Vec<u8> {
        let id = self.picture as u16 & 0x7fff;
        let [high, low] = (id | 0x8000).to_be_bytes();
        let tl0 = (self.picture / 4) as u8;
        match self.style {
            // X, S; I, L, T; id; TL0PICIDX; TID, Y. Then the P bit, inverted.
            Style::Alone | Style::Simulcast => vec![
                0x80 | u8::from(first) << 4,
                0xe0,
                high,
                low,
                tl0,
                temporal << 6 | u8::from(sync) << 5,
                if key { 0x10 } else { 0x11 },
            ],
            // I, P, L, B, E; id; TID, U, SID, D; TL0PICIDX.
            Style::Svc => vec![
                0xa0 | u8::from(!key) << 6 | u8::from(first) << 3 | u8::from(last) << 2,
                high,
                low,
                temporal << 5 | u8::from(sync) << 4 | spatial << 1 | u8::from(spatial > 0),
                tl0,
            ],
            // Z, W = 1, N.
            Style::Described => vec![0x10 | u8::from(!first) << 7 | u8::from(first && key && spatial == 0) << 3],
        }
    }

    /// Do what the server asked for since the last time; returns retransmissions.
    pub fn obey(&mut self, peer: &mut Peer, archive: &mut Archive) -> Vec<Vec<u8>> {
        let mut wanted = Vec::new();
        let place = |media: Ssrc| {
            let mut encodings = peer.spec.receive[1].encodings.iter();
            encodings.position(|one| one.ssrc == Some(media))
        };
        for (_, compound) in &peer.rtcp[self.obeyed..] {
            for packet in packets(compound).flatten() {
                match packet {
                    Rtcp::Pli { media, .. } => {
                        if let Some(encoding) = place(media) {
                            self.lines[encoding].key_wanted = true;
                        }
                    }
                    Rtcp::Nack(nack) => {
                        if let Some(encoding) = place(nack.media) {
                            wanted.extend(nack.seqs().map(|seq| (encoding, seq)));
                        }
                    }
                    _ => {}
                }
            }
        }
        self.obeyed = peer.rtcp.len();
        let mut sealed = Vec::new();
        for (encoding, seq) in wanted {
            let Some(&name) = self.sent.get(&(encoding as u8, seq)) else {
                continue;
            };
            let source = archive.get(name);
            let payload = [&seq.to_be_bytes()[..], &source.payload].concat();
            let ssrc = peer.spec.receive[1].encodings[encoding].rtx_ssrc.expect("signalled");
            let index = self.lines[encoding].rtx_index;
            self.lines[encoding].rtx_index += 1;
            let (plain, header) = peer.described(
                ssrc,
                source.payload_type + 1,
                Some("v"),
                index as u16,
                source.timestamp,
                source.marker,
                &payload,
                source.dependency.as_deref(),
            );
            let datagram = peer.seal(&plain, header, index);
            archive.seal(name, datagram.clone(), true);
            sealed.push(datagram);
        }
        sealed
    }
}

/// Two spatial layers, the higher one predicted from the lower one in key pictures only, and three temporal ones (AV1 RTP payload format 1.0,
/// appendix A): spatial and temporal layer, indications by decode target, frame differences.
const TEMPLATES: [(u8, u8, &str, &[u32]); 8] = [
    (0, 0, "SSSSSS", &[]),
    (0, 0, "SSS---", &[8]),
    (0, 1, "-DS---", &[4]),
    (0, 2, "--D---", &[2]),
    (1, 0, "---SSS", &[1]),
    (1, 0, "---SSS", &[8]),
    (1, 1, "----DS", &[4]),
    (1, 2, "-----D", &[2]),
];

/// The descriptor of one packet of a frame.
fn dependency(ends: (bool, bool), spatial: u8, temporal: u8, frame: u16, key: bool) -> Vec<u8> {
    let mut bits = Vec::new();
    let mut put = |value: u32, count: u32| bits.extend((0..count).rev().map(|bit| value >> bit & 1));
    let template = u32::from(spatial) * 4 + if key { 0 } else { 1 + u32::from(temporal) };
    put(u32::from(ends.0), 1);
    put(u32::from(ends.1), 1);
    put(template, 6);
    put(u32::from(frame), 16);
    if key && spatial == 0 && ends.0 {
        // The structure, and nothing special about the frame.
        put(0b10000, 5);
        put(0, 6);
        put(TEMPLATES[0].2.len() as u32 - 1, 5);
        for (line, next) in TEMPLATES.iter().zip(TEMPLATES.iter().skip(1)) {
            let step = if next.0 > line.0 { 2 } else { u32::from(next.1 > line.1) };
            put(step, 2);
        }
        put(3, 2);
        for indication in TEMPLATES.iter().flat_map(|line| line.2.chars()) {
            put("-DSR".find(indication).expect("one of them") as u32, 2);
        }
        for difference in TEMPLATES.iter().flat_map(|line| line.3.iter().map(Some).chain([None])) {
            match difference {
                Some(difference) => put(1 << 4 | (difference - 1), 5),
                None => put(0, 1),
            }
        }
        // No chains of at most seven; no sizes.
        put(0, 2);
        put(0, 1);
    }
    bits.chunks(8)
        .map(|chunk| (0..8).fold(0, |byte, at| byte << 1 | chunk.get(at).map_or(0, |bit| *bit as u8)))
        .collect()
}
