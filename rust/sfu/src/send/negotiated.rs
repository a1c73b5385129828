//! Which of the viewer's payload types carries what a publisher sends.

use crate::command::{Codec, CodecSpec};

/// What the viewer accepts in one slot.
#[derive(Clone, Debug)]
pub(super) struct Negotiated(Box<[CodecSpec]>);

impl Negotiated {
    /// Kept as negotiated.
    pub fn new(codecs: &[CodecSpec]) -> Self {
        Self(codecs.into())
    }

    /// Bytes taken.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// The first payload type of a codec of which nothing else is known.
    pub fn of_codec(&self, codec: Codec) -> Option<CodecSpec> {
        self.0.iter().find(|ours| ours.codec == codec).copied()
    }

    /// A payload type of retransmissions, whatever of.
    pub fn rtx_payload_type(&self) -> Option<u8> {
        self.0.iter().find_map(|ours| ours.rtx_payload_type)
    }

    /// The payload type for a publisher's.
    pub fn of_source(&self, source: &CodecSpec) -> Option<CodecSpec> {
        let mut candidates = self.0.iter().filter(|ours| ours.codec == source.codec);
        match source.codec {
            // Decoders take more than they announce, so H264 is never withheld: the same profile, else the highest with
            // packetization-mode=1 (RFC 6184 §6.3, the mode that carries fragments).
            Codec::H264 => candidates
                .max_by_key(|ours| {
                    (
                        ours.profile >> 8 == source.profile >> 8,
                        ours.packetization_mode == 1,
                        ours.profile,
                    )
                })
                .copied(),
            // Profiles differ in bit depth and chroma, which a decoder has or has not (RFC 9628 §6).
            Codec::Vp9 => candidates.find(|ours| ours.profile == source.profile).copied(),
            Codec::Vp8 | Codec::Av1 | Codec::Opus | Codec::MultiOpus => candidates.next().copied(),
        }
    }
}
