//! Real-time viewers and publishers that join, count and leave over the signalling protocol (docs/protocol).
//!
//! One thread serves all of them: a [`fleet::Fleet`] owns the sockets, each [`peer::Peer`] is a str0m connection without I/O, and
//! [`view`], [`publish`] and [`replay`] decide who comes, goes and sends. [`record`] makes the recordings that [`replay`] publishes.

pub mod extensions;
pub mod fleet;
pub mod frames;
pub mod http;
pub mod peer;
pub mod picture;
pub mod publish;
pub mod record;
pub mod recording;
pub mod replay;
pub mod report;
pub mod signal;
pub mod socket;
pub mod stream;
pub mod view;
