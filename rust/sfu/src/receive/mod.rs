//! From publishers: demultiplexing, loss recovery, feedback, and the tracks that viewers draw from.
//!
//! [`receiver::Receiver`] is the publishing side of one transport and keeps what only the publisher needs (who sends what, what
//! is missing, what to ask for). [`track::Tracks`] keeps what viewers need: the last packets of each encoding and who wants
//! them.

mod allocation;
pub mod clock;
pub mod demux;
mod feedback;
mod flow;
pub mod key_frame;
pub mod layers;
pub mod nack;
pub mod rate;
pub mod receiver;
mod remb;
pub mod reports;
pub mod rtx;
pub mod sequence;
pub mod track;
pub mod transport_cc;

#[cfg(test)]
mod tests;

pub use layers::LayerTable;
pub use receiver::{PolledRtcp, Received, Receiver};
pub use track::{Encoding, Membership, Subscriber, Track, TrackKey, Tracks};
