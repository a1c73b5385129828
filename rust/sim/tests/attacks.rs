//! Hostile input against a whole shard. Each test carries the number of its point in the project's list of attacks; after each, an honest
//! viewer of the same shard still gets every picture.

mod common;

#[path = "attacks/dtls.rs"]
mod dtls;
#[path = "attacks/ice.rs"]
mod ice;
#[path = "attacks/rtcp.rs"]
mod rtcp;
#[path = "attacks/rtp.rs"]
mod rtp;
#[path = "attacks/tcp.rs"]
mod tcp;
