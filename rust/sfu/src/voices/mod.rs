//! Who speaks, and whom each viewer hears. Nothing is decoded: the levels that publishers write into their packets (RFC 6464) rank them, so
//! end-to-end encryption is none of its business, and whoever writes no levels is ranked by whether packets flow.
//!
//! Values and rules only: no packets, no slots. A [`Voice`] is one source, measured packet by packet in constant time; a [`Group`] ranks the
//! voices of a stream now and then; a [`Pool`] is the slots of one viewer, which looks at the ranking only when it changed as deep as that viewer
//! listens.

mod group;
mod pool;
mod voice;

use std::time::Duration;

pub(crate) use group::codec_bit;
pub use group::{Affected, Group, Member, Seat};
pub use pool::{Order, Outlook, Place, Pool};
pub use voice::{Level, Voice};

/// Most voices that [`crate::command::Event::Speakers`] names.
pub const MAX_SPEAKERS: usize = 32;
/// A slot is given to another voice at most once in this time. It may be emptied sooner, when its source ends.
pub const REST: Duration = Duration::from_millis(500);
/// Between two rankings of a group while somebody speaks.
pub const TICK: Duration = Duration::from_millis(40);
/// Between two events that tell who speaks.
pub const TOLD: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
