//! Slots in virtual time: publishers are hand-made rings, the viewer unseals and reads what leaves.

mod allocator;
mod described;
mod flow;
mod invariants;
mod layers;
mod limits;
mod probing;
mod retransmission;
mod source;
mod switching;
mod world;
