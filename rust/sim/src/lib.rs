//! The media plane in virtual time: one seed is one run. The other end of every connection is str0m, a stack that shares no code
//! with ours above DTLS, so that a misreading of an RFC shows.

pub mod bed;
pub mod bwe;
pub mod client;
pub mod counting;
pub mod feed;
pub mod isolation;
pub mod link;
pub mod media;
pub mod oracle;
pub mod random;
pub mod relay;
pub mod talk;
pub mod world;
