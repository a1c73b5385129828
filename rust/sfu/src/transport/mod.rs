//! What one peer connection is made of below RTP: demultiplexing, ICE-lite, DTLS, SRTP; and of what a local
//! feed is made instead.

pub mod certificate;
pub mod classify;
pub mod dtls;
pub mod frame;
pub mod framing;
pub mod ice;
pub mod srtp;
pub mod stun;
