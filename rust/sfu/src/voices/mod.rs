//! Who speaks, and whom each viewer hears. Nothing is decoded: the level that publishers write into their packets (RFC 6464) ranks them, so
//! end-to-end encryption is none of its business.

mod group;

pub use group::{Group, Member, Seat};

/// Most voices that [`crate::command::Event::Speakers`] names.
pub const MAX_SPEAKERS: usize = 32;
