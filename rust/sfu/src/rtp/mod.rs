//! RTP and RTCP on the wire: headers, header extensions, feedback. Bytes in, values out, and back.

pub(crate) mod bytes;
pub mod ext;
pub mod header;
pub mod rtcp;
pub mod seq;

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "prop_oneof! shares its strategies")]
mod tests;
