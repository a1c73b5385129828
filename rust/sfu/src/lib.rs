//! The media plane of Rostra, sans-IO: datagrams, commands and the time go in, datagrams and events come out.
//!
//! Nothing here owns a socket, reads a clock, starts a thread or has a global. One [`shard::ShardCore`] is one world;
//! two of them live in one process without knowing of each other. Time is [`time::Time`], a number that the caller passes in,
//! and randomness comes from the seed of the configuration: the same input gives the same output, bit by bit.
//!
//! Three kinds of wrong: *refused* commands ([`command::RefusalCode`]), *dropped* packets ([`reason::DropReason`]), and bugs,
//! which close the one transport that they show up in.
#![forbid(unsafe_code)]

pub mod bandwidth;
pub mod choice;
pub mod codec;
pub mod command;
pub mod encoding;
pub mod ids;
pub mod layer;
pub mod meta;
pub mod outbox;
pub mod reason;
pub mod receive;
pub mod report;
pub mod ring;
pub mod rtp;
pub mod send;
pub mod shard;
pub mod stats;
pub mod time;
pub mod transport;
pub mod voices;
