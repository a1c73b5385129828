//! The shell around [`rostra_sfu`]: threads, sockets, clocks and queues. It decides nothing about media.
//!
//! A [`Node`] owns one thread per shard. Commands go in through a bounded queue, events come out of a log with a descriptor that is
//! readable while there are any; neither side ever waits for the other longer than a move of pointers takes.
//!
//! This is the only crate of the media plane with `unsafe`: `recvmmsg`, `sendmmsg`, control messages and epoll have no safe wrapper.

mod feeds;
mod interfaces;
mod node;
mod queue;
pub mod socket;
mod sys;
mod tcp;
mod worker;

pub use feeds::{LinkError, LocalLink, Order};
pub use node::{Candidate, Node, NodeConfig, NodeError, Protocol};
pub use queue::Overloaded;
