//! To viewers: slots, switching, retransmission, pacing and sealing.
//!
//! A [`Sender`] is the viewing side of one transport. Its slots own their SSRCs and number spaces for as long as the transport
//! lives; what a slot shows changes by adding an epoch ([`epoch`]): constant offsets from the numbers of one encoding to those of the
//! slot. Because the offsets are constant, a packet is never kept twice: a retransmission is made again from the shared ring.

pub mod allocator;
mod chosen;
mod epoch;
mod history;
pub mod ladder;
mod negotiated;
mod pacer;
mod probe;
mod queue;
mod reports;
mod rtx;
mod seal;
mod sender;
mod slot;
mod takeover;

pub use reports::Feedback;
pub use sender::{Binding, Forwarded, Sender, SlotIndex};

#[cfg(test)]
mod tests;
