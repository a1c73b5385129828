//! RTMP as far as a publishing encoder needs it, sans-IO: bytes in → events and bytes out. No socket, no clock, nothing of the media plane.
//!
//! Every byte here comes from a stranger. What may be kept is capped: one partial message for each of [`MAX_CHUNK_STREAMS`] chunk streams and
//! [`MAX_PARTIAL`] bytes of all of them, [`MAX_COMMAND`] bytes of a command, depth and number of AMF values, commands of a connection. Time is the
//! caller's to cap. An error is final: the connection is to be closed.
//!
//! `rml_rtmp` does the handshake and writes what we send. It does not read: its reader keeps one partial message for all chunk streams, so that
//! messages that interleave, as RTMP allows, underflow a length; it recurses as deep as AMF says, and panics at commands with fewer than three
//! values (docs/adr/0012-rtmp-in-a-worker.md).

#![forbid(unsafe_code)]

mod amf;
mod chunk;
mod session;

pub use amf::{AmfError, MAX_DEPTH, MAX_VALUES, Value, decode};
pub use chunk::{ChunkError, ChunkReader, MAX_CHUNK_STREAMS, MAX_COMMAND, MAX_MESSAGE, MAX_PARTIAL, Message};
pub use session::{Event, Session, SessionError};
