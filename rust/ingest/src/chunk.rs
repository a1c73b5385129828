//! Chunks in, messages out (RTMP 1.0 §5.3). Payload goes to its message as it comes; nothing but a chunk header is ever kept twice.

use std::collections::HashMap;

use thiserror::Error;

/// Chunk streams of one connection. Encoders use four to eight of 65 597.
pub const MAX_CHUNK_STREAMS: usize = 32;
/// A whole message: a key frame of 100 Mb/s video is a tenth of it.
pub const MAX_MESSAGE: usize = 8 << 20;
/// A message that is not audio or video, and any message before media is let in.
pub const MAX_COMMAND: usize = 64 << 10;
/// Bytes of all messages that are not whole yet.
pub const MAX_PARTIAL: usize = MAX_MESSAGE + (1 << 20);
/// And before media is let in, when it is a stranger's: a connection then costs no more than this, however many chunk streams it has.
const MAX_STRANGE: usize = 4 * MAX_COMMAND;

const DEFAULT_CHUNK_SIZE: usize = 128;
const EXTENDED: u32 = 0xff_ffff;
/// Basic header, message header, extended timestamp.
const MAX_HEADER: usize = 3 + 11 + 4;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Type of RTMP 1.0 §5.4, §7.1.
    pub kind: u8,
    /// Message stream.
    pub stream: u32,
    /// Milliseconds, wraps.
    pub timestamp: u32,
    /// Never empty.
    pub payload: Vec<u8>,
}

/// Why bytes are no chunks that we take.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ChunkError {
    /// 0, or with the top bit set.
    #[error("a chunk size of {0} is not possible")]
    ChunkSize(u32),
    /// A chunk that builds on one that never came.
    #[error("a chunk refers to an earlier one that never came")]
    NoEarlierChunk,
    /// A new message began before the last one of its chunk stream was whole.
    #[error("a message began within another one of its chunk stream")]
    Interrupted,
    /// A message longer than its kind may be.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// Too much is unfinished.
    #[error("too many messages are unfinished")]
    TooMuchPartial,
    /// Too many chunk streams.
    #[error("there are too many chunk streams")]
    TooManyStreams,
}

#[derive(Default)]
struct ChunkStream {
    kind: u8,
    stream: u32,
    timestamp: u32,
    /// The 24-bit field of the last header, or the extended one: what a header without one repeats.
    field: u32,
    is_extended: bool,
    length: usize,
    partial: Vec<u8>,
}

/// Where in the flow of bytes we are.
enum State {
    Header,
    /// Within the payload of a chunk of this chunk stream: bytes that are left of it.
    Payload(u32, usize),
}

/// The reading side of one connection.
pub struct ChunkReader {
    streams: HashMap<u32, ChunkStream>,
    state: State,
    /// Of a header that is not whole: fewer than [`MAX_HEADER`] bytes.
    header: Vec<u8>,
    chunk_size: usize,
    partial: usize,
    max_media: usize,
    max_partial: usize,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkReader {
    /// A fresh connection, after its handshake. Media is no longer than commands until [`Self::let_media_in`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            streams: HashMap::new(),
            state: State::Header,
            header: Vec::with_capacity(MAX_HEADER),
            chunk_size: DEFAULT_CHUNK_SIZE,
            partial: 0,
            max_media: MAX_COMMAND,
            max_partial: MAX_STRANGE,
        }
    }

    /// The peer may publish: its pictures may be as large as pictures are.
    pub fn let_media_in(&mut self) {
        self.max_media = MAX_MESSAGE;
        self.max_partial = MAX_PARTIAL;
    }

    /// Bytes that are kept of messages that are not whole.
    #[must_use]
    pub fn partial(&self) -> usize {
        self.partial
    }

    /// Take bytes in and append the messages that they complete. Chunk sizes and aborts are obeyed here and not passed on; empty messages say
    /// nothing and are not passed on either.
    ///
    /// # Errors
    /// What came is no RTMP, or more than is taken. The reader is of no further use.
    pub fn read(&mut self, mut bytes: &[u8], messages: &mut Vec<Message>) -> Result<(), ChunkError> {
        while !bytes.is_empty() {
            match self.state {
                State::Payload(id, left) => {
                    let (taken, rest) = bytes.split_at(left.min(bytes.len()));
                    bytes = rest;
                    self.payload(id, left, taken, messages)?;
                }
                State::Header => {
                    let known = self.header.len();
                    self.header.extend(bytes.iter().take(MAX_HEADER - known));
                    let header = std::mem::take(&mut self.header);
                    match self.begin(&header)? {
                        None => {
                            self.header = header; // all of `bytes` is in it: a header of MAX_HEADER bytes is whole
                            return Ok(());
                        }
                        Some((id, used)) => {
                            bytes = bytes.get(used.saturating_sub(known)..).unwrap_or_default();
                            let left = self
                                .streams
                                .get(&id)
                                .map_or(0, |stream| stream.length - stream.partial.len());
                            self.state = State::Payload(id, left.min(self.chunk_size));
                            if left == 0 {
                                self.payload(id, 0, &[], messages)?;
                            }
                            // A timestamp that was waited for and was none: what came of it is payload. Fewer than four bytes.
                            self.read(header.get(used..known).unwrap_or_default(), messages)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// A header, if it is whole: chunk stream and bytes used.
    fn begin(&mut self, bytes: &[u8]) -> Result<Option<(u32, usize)>, ChunkError> {
        let mut cursor = Cursor { bytes, at: 0 };
        let Some((format, id)) = cursor.basic() else {
            return Ok(None);
        };
        let known = self.streams.get(&id);
        if format != 0 && known.is_none() {
            return Err(ChunkError::NoEarlierChunk);
        }
        let continues = known.is_some_and(|stream| !stream.partial.is_empty());
        if format != 3 && continues {
            return Err(ChunkError::Interrupted);
        }
        let mut field = known.map_or(0, |stream| stream.field);
        let mut is_extended = known.is_some_and(|stream| stream.is_extended);
        let (mut length, mut kind, mut message_stream) =
            known.map_or((0, 0, 0), |stream| (stream.length, stream.kind, stream.stream));
        if format < 3 {
            let Some(short) = cursor.u24() else { return Ok(None) };
            if format < 2 {
                let Some((long, [of_kind])) = cursor.u24().zip(cursor.array()) else {
                    return Ok(None);
                };
                (length, kind) = (long as usize, of_kind);
            }
            if format == 0 {
                let Some(number) = cursor.array() else { return Ok(None) };
                message_stream = u32::from_le_bytes(number);
            }
            is_extended = short == EXTENDED;
            field = short;
            if is_extended {
                let Some(number) = cursor.array() else { return Ok(None) };
                field = u32::from_be_bytes(number);
            }
        } else if is_extended {
            // Some encoders repeat the extended timestamp here, as the specification wants, and some do not.
            let Some(number) = cursor.array() else { return Ok(None) };
            if u32::from_be_bytes(number) != field {
                cursor.at -= 4;
            }
        }
        if !continues {
            let most = if matches!(kind, AUDIO | VIDEO) {
                self.max_media
            } else {
                MAX_COMMAND
            };
            if length > most {
                return Err(ChunkError::TooLong(length));
            }
            if known.is_none() && self.streams.len() >= MAX_CHUNK_STREAMS {
                return Err(ChunkError::TooManyStreams);
            }
            let stream = self.streams.entry(id).or_default();
            stream.timestamp = if format == 0 {
                field
            } else {
                stream.timestamp.wrapping_add(field)
            };
            (stream.kind, stream.stream, stream.length) = (kind, message_stream, length);
            (stream.field, stream.is_extended) = (field, is_extended);
        }
        Ok(Some((id, cursor.at)))
    }

    fn payload(&mut self, id: u32, left: usize, taken: &[u8], messages: &mut Vec<Message>) -> Result<(), ChunkError> {
        let left = left - taken.len();
        self.state = if left > 0 {
            State::Payload(id, left)
        } else {
            State::Header
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        self.partial += taken.len();
        if self.partial > self.max_partial {
            return Err(ChunkError::TooMuchPartial);
        }
        stream.partial.extend_from_slice(taken);
        if stream.partial.len() < stream.length || stream.length == 0 {
            return Ok(());
        }
        self.partial -= stream.length;
        let message = Message {
            kind: stream.kind,
            stream: stream.stream,
            timestamp: stream.timestamp,
            payload: std::mem::take(&mut stream.partial),
        };
        match (
            message.kind,
            message.payload.first_chunk().map(|number| u32::from_be_bytes(*number)),
        ) {
            (1, Some(size)) => self.set_chunk_size(size)?,
            (2, Some(number)) => self.abort(number),
            (1 | 2, None) => {}
            _ => messages.push(message),
        }
        Ok(())
    }

    fn set_chunk_size(&mut self, size: u32) -> Result<(), ChunkError> {
        if size == 0 || size > 0x7fff_ffff {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = size as usize;
        Ok(())
    }

    fn abort(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            self.partial -= stream.partial.len();
            stream.partial = Vec::new();
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let found = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*found)
    }

    fn u24(&mut self) -> Option<u32> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// Format and chunk stream (RTMP 1.0 §5.3.1.1).
    fn basic(&mut self) -> Option<(u8, u32)> {
        let [first] = self.array()?;
        let id = match first & 0x3f {
            0 => self.array().map(|[low]| 64 + u32::from(low))?,
            1 => self
                .array()
                .map(|[low, high]| 64 + u32::from(low) + 256 * u32::from(high))?,
            id => id.into(),
        };
        Some((first >> 6, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(id: u8, timestamp: u32, kind: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![id];
        let short = timestamp.min(EXTENDED);
        bytes.extend(&short.to_be_bytes()[1..]);
        bytes.extend(&(length as u32).to_be_bytes()[1..]);
        bytes.push(kind);
        bytes.extend(1u32.to_le_bytes());
        if short == EXTENDED {
            bytes.extend(timestamp.to_be_bytes());
        }
        bytes
    }

    fn read(reader: &mut ChunkReader, bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
        let mut messages = Vec::new();
        reader.read(bytes, &mut messages)?;
        Ok(messages)
    }

    #[test]
    fn messages_of_two_chunk_streams_interleave() {
        let mut bytes = full(6, 40, 9, 200);
        bytes.extend([1; 128]);
        bytes.extend(full(4, 41, 8, 3));
        bytes.extend([2; 3]);
        bytes.push(0xc6);
        bytes.extend([1; 72]);
        let messages = read(&mut ChunkReader::new(), &bytes).unwrap();
        assert_eq!(
            messages
                .iter()
                .map(|one| (one.kind, one.timestamp, one.payload.len()))
                .collect::<Vec<_>>(),
            [(8, 41, 3), (9, 40, 200)]
        );
    }

    #[test]
    fn the_same_messages_come_of_single_bytes() {
        let mut bytes = full(6, 0x0200_0000, 9, 200);
        bytes.extend([1; 128]);
        bytes.push(0xc6);
        bytes.extend(0x0200_0000u32.to_be_bytes());
        bytes.extend([1; 72]);
        bytes.extend([0x86, 0, 0, 40, 7]); // type 2: 40 ms later, same length
        bytes.extend([1; 127]);
        bytes.push(0xc6);
        bytes.extend([1; 72]);
        let whole = read(&mut ChunkReader::new(), &bytes).unwrap();
        let mut reader = ChunkReader::new();
        let single: Vec<Message> = bytes
            .iter()
            .flat_map(|byte| read(&mut reader, &[*byte]).unwrap())
            .collect();
        assert_eq!(whole, single);
        assert_eq!(
            whole.iter().map(|one| one.timestamp).collect::<Vec<_>>(),
            [0x0200_0000, 0x0200_0000 + 40]
        );
        assert_eq!(reader.partial(), 0);
    }

    #[test]
    fn an_extended_timestamp_that_a_continuation_does_not_repeat_is_no_part_of_the_payload() {
        let mut bytes = full(6, 0x0200_0000, 9, 130);
        bytes.extend([7; 128]);
        bytes.push(0xc6);
        bytes.extend([9, 9]);
        bytes.extend(full(4, 1, 8, 1)); // only the bytes that follow tell that there was none
        bytes.push(5);
        let messages = read(&mut ChunkReader::new(), &bytes).unwrap();
        assert_eq!(messages[0].payload[128..], [9, 9]);
        assert_eq!(messages.len(), 2);
        let mut reader = ChunkReader::new();
        let single: Vec<Message> = bytes
            .iter()
            .flat_map(|byte| read(&mut reader, &[*byte]).unwrap())
            .collect();
        assert_eq!(messages, single);
    }

    #[test]
    fn a_header_without_fields_repeats_the_last_step() {
        let mut bytes = full(4, 1000, 8, 1);
        bytes.extend([1, 0x44, 0, 0, 23, 0, 0, 1, 8, 1, 0xc4, 1, 0xc4, 1]);
        let messages = read(&mut ChunkReader::new(), &bytes).unwrap();
        assert_eq!(
            messages.iter().map(|one| one.timestamp).collect::<Vec<_>>(),
            [1000, 1023, 1046, 1069]
        );
    }

    #[test]
    fn timestamps_wrap() {
        let mut bytes = full(4, u32::MAX - 9, 8, 1);
        bytes.extend([1, 0x44, 0, 0, 20, 0, 0, 1, 8, 1]);
        assert_eq!(read(&mut ChunkReader::new(), &bytes).unwrap()[1].timestamp, 10);
    }

    #[test]
    fn chunk_sizes_of_nothing_and_of_too_much_are_refused() {
        for size in [0, 0x8000_0000, u32::MAX] {
            let mut bytes = full(2, 0, 1, 4);
            bytes.extend(size.to_be_bytes());
            assert_eq!(read(&mut ChunkReader::new(), &bytes), Err(ChunkError::ChunkSize(size)));
        }
    }

    #[test]
    fn pictures_are_as_long_as_commands_until_media_is_let_in() {
        let bytes = full(6, 0, 9, MAX_COMMAND + 1);
        assert_eq!(
            read(&mut ChunkReader::new(), &bytes),
            Err(ChunkError::TooLong(MAX_COMMAND + 1))
        );
        let mut reader = ChunkReader::new();
        reader.let_media_in();
        assert_eq!(read(&mut reader, &bytes), Ok(vec![]));
        let mut reader = ChunkReader::new();
        reader.let_media_in();
        let bytes = full(7, 0, 9, MAX_MESSAGE + 1);
        assert_eq!(read(&mut reader, &bytes), Err(ChunkError::TooLong(MAX_MESSAGE + 1)));
        assert_eq!(
            read(&mut ChunkReader::new(), &full(3, 0, 18, MAX_COMMAND + 1)),
            Err(ChunkError::TooLong(MAX_COMMAND + 1))
        );
    }

    #[test]
    fn unfinished_messages_of_many_chunk_streams_end_at_the_cap() {
        let mut reader = ChunkReader::new();
        reader.let_media_in();
        let mut size = full(2, 0, 1, 4);
        size.extend((MAX_MESSAGE as u32 / 2).to_be_bytes());
        read(&mut reader, &size).unwrap();
        let outcome = (3..30).find_map(|id| {
            let mut bytes = full(id, 0, 9, MAX_MESSAGE);
            bytes.resize(bytes.len() + MAX_MESSAGE / 2, 0);
            read(&mut reader, &bytes).err()
        });
        assert_eq!(outcome, Some(ChunkError::TooMuchPartial));
    }

    #[test]
    fn unfinished_messages_of_a_stranger_end_sooner() {
        let mut reader = ChunkReader::new();
        let mut size = full(2, 0, 1, 4);
        size.extend((MAX_COMMAND as u32 / 2).to_be_bytes());
        read(&mut reader, &size).unwrap();
        let outcomes: Vec<_> = (3..12)
            .map(|id| {
                let mut bytes = full(id, 0, 20, MAX_COMMAND);
                bytes.resize(bytes.len() + MAX_COMMAND / 2, 0);
                read(&mut reader, &bytes)
            })
            .collect();
        assert!(outcomes[..8].iter().all(Result::is_ok));
        assert_eq!(outcomes[8], Err(ChunkError::TooMuchPartial));
    }

    #[test]
    fn chunk_streams_end_at_the_cap() {
        let mut reader = ChunkReader::new();
        let outcome = (3..60).find_map(|id| {
            let mut bytes = full(id, 0, 8, 1);
            bytes.push(0);
            read(&mut reader, &bytes).err()
        });
        assert_eq!(outcome, Some(ChunkError::TooManyStreams));
    }

    #[test]
    fn an_abort_forgets_what_was_unfinished() {
        let mut reader = ChunkReader::new();
        let mut bytes = full(6, 0, 9, 200);
        bytes.extend([1; 128]);
        bytes.extend(full(2, 0, 2, 4));
        bytes.extend(6u32.to_be_bytes());
        bytes.extend(full(6, 5, 9, 1));
        bytes.push(1);
        assert_eq!(read(&mut reader, &bytes).unwrap().len(), 1);
        assert_eq!(reader.partial(), 0);
    }
}
