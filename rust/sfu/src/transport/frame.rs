//! Frames of plain RTP and RTCP, the shape in which processes of one machine hand media to each other (docs/seam.md, *Local feeds*).

use crate::reason::DropReason;
use crate::rtp::bytes::{be16, be32, byte};

/// Bytes in front of the body.
pub const ENVELOPE: usize = 16;
/// Most bytes of a body: what is taken in must fit into a datagram to viewers, with their own extensions.
pub const MAX_BODY: usize = 1400;
/// Most bytes of a frame.
pub const MAX_FRAME: usize = ENVELOPE + MAX_BODY;

const VERSION: u8 = 1;
const RTP: u8 = 1;
const RTCP: u8 = 2;

/// What the body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// One RTP packet of the track at this place.
    Rtp {
        /// Counted from 0 in the order in which the tracks were told.
        route: u16,
    },
    /// RTCP packets.
    Rtcp,
}

/// A frame, parsed.
#[derive(PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// What the body is.
    pub content: Content,
    /// Place among all frames of its direction; wraps.
    pub sequence: u32,
    /// Not yet looked at.
    pub body: &'a mut [u8],
}

impl<'a> Frame<'a> {
    /// Read the envelope. Whatever is not defined must be zero, so that it can get a meaning.
    pub fn parse(frame: &'a mut [u8]) -> Result<Self, DropReason> {
        if frame.len() > MAX_FRAME {
            return Err(DropReason::TooLarge);
        }
        Self::fields(frame).ok_or(DropReason::FrameMalformed)
    }

    fn fields(frame: &'a mut [u8]) -> Option<Self> {
        let first = byte(frame, 0)?;
        let route = be16(frame, 2)?;
        let content = match first & 0x0f {
            RTP => Content::Rtp { route },
            RTCP if route == 0 => Content::Rtcp,
            _ => return None,
        };
        let sequence = be32(frame, 4)?;
        let is_plain = first >> 4 == VERSION && byte(frame, 1)? == 0 && be32(frame, 8)? == 0 && be32(frame, 12)? == 0;
        let body = frame.get_mut(ENVELOPE..).filter(|body| !body.is_empty() && is_plain)?;
        Some(Self {
            content,
            sequence,
            body,
        })
    }
}

/// The envelope of a frame.
pub fn envelope(content: Content, sequence: u32) -> [u8; ENVELOPE] {
    let (kind, route) = match content {
        Content::Rtp { route } => (RTP, route),
        Content::Rtcp => (RTCP, 0),
    };
    let [route_high, route_low] = route.to_be_bytes();
    let [a, b, c, d] = sequence.to_be_bytes();
    [
        VERSION << 4 | kind,
        0,
        route_high,
        route_low,
        a,
        b,
        c,
        d,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(content: Content, sequence: u32, body: &[u8]) -> Vec<u8> {
        [&envelope(content, sequence), body].concat()
    }

    #[test]
    fn the_bytes_are_those_of_the_seam() {
        let frame = framed(Content::Rtp { route: 0x0102 }, 0x0304_0506, b"body");
        assert_eq!(frame, b"\x11\0\x01\x02\x03\x04\x05\x06\0\0\0\0\0\0\0\0body");
        assert_eq!(framed(Content::Rtcp, 7, b"r"), b"\x12\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0r");
    }

    #[test]
    fn a_frame_has_a_body_of_at_most_1400_bytes() {
        let mut whole = framed(Content::Rtcp, 1, &[0; MAX_BODY]);
        assert!(Frame::parse(&mut whole).is_ok());
        let mut longer = framed(Content::Rtcp, 1, &[0; MAX_BODY + 1]);
        assert_eq!(Frame::parse(&mut longer), Err(DropReason::TooLarge));
        for len in 0..=ENVELOPE {
            assert_eq!(
                Frame::parse(&mut whole[..len]),
                Err(DropReason::FrameMalformed),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn what_has_no_meaning_is_zero() {
        let good = framed(Content::Rtcp, 1, b"body");
        for (at, value) in [
            (0, 0x22),
            (0, 0x02),
            (0, 0x10),
            (0, 0x13),
            (1, 1),
            (2, 1),
            (3, 1),
            (8, 1),
            (15, 1),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(Frame::parse(&mut bad), Err(DropReason::FrameMalformed), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn what_was_framed_is_read_back(route: Option<u16>, sequence: u32, body in prop::collection::vec(any::<u8>(), 1..=MAX_BODY)) {
            let content = route.map_or(Content::Rtcp, |route| Content::Rtp { route });
            let mut frame = framed(content, sequence, &body);
            let read = Frame::parse(&mut frame);
            let mut body = body;
            prop_assert_eq!(read, Ok(Frame { content, sequence, body: &mut body }));
        }

        #[test]
        fn whatever_is_read_frames_to_the_same_bytes(first in 0x10_u8..0x14, flags in 0_u8..2, route in 0_u16..2, epoch in prop::option::of(any::<u64>()), sequence: u32, body in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut bytes = vec![first, flags];
            bytes.extend(route.to_be_bytes());
            bytes.extend(sequence.to_be_bytes());
            bytes.extend(epoch.unwrap_or_default().to_be_bytes());
            bytes.extend(body);
            let mut copy = bytes.clone();
            if let Ok(read) = Frame::parse(&mut copy) {
                prop_assert_eq!(framed(read.content, read.sequence, read.body), bytes);
            }
        }
    }
}
