//! Slots in virtual time: publishers are hand-made rings, the viewer unseals and reads what leaves.

mod allocator;
mod flow;
mod invariants;
mod limits;
mod probing;
mod retransmission;
mod source;
mod switching;
mod world;
