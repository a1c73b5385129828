//! Names that cross module boundaries. Python mints every id but those of connections; the media plane only knows them.

use std::fmt;

/// One peer connection. Minted by the control plane, never reused while the process lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TransportId(pub u64);

/// One published track (one receiving m-line). Minted by the control plane, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TrackId(pub u64);

/// The voices of one stream. Minted by the control plane, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GroupId(pub u64);

/// One source of a group: all tracks that it ever has share it. Minted by the control plane, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SourceKey(pub u64);

/// One TCP connection of the media port. Minted by whoever accepts it; used again only after the core was told of its end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnectionId(pub u32);

/// RTP synchronisation source (RFC 3550 §3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ssrc(pub u32);

/// The m-line id of SDP (RFC 8843 §15), at most 16 bytes: a longer one does not fit a one-byte header extension.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mid(Token);

/// The RTP stream id of simulcast (RFC 8852), at most 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rid(Token);

/// A short text kept inline, so that routing by name allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Token {
    bytes: [u8; 16],
    len: u8,
}

impl Token {
    fn new(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > 16 {
            return None;
        }
        let mut bytes = [0; 16];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self {
            bytes,
            len: text.len() as u8,
        })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

macro_rules! token {
    ($name:ident) => {
        impl $name {
            /// `None` for an empty name and for one of more than 16 bytes.
            pub fn new(text: &[u8]) -> Option<Self> {
                Token::new(text).map(Self)
            }

            /// The bytes as they stand in SDP and in header extensions.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&String::from_utf8_lossy(self.as_bytes()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

token!(Mid);
token!(Rid);
