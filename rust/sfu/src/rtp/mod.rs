//! RTP and RTCP on the wire: headers, header extensions, feedback. Bytes in, values out, and back.

pub(crate) mod bytes;
pub mod ext;
pub mod header;
pub mod rtcp;
pub mod seq;
