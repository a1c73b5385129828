//! The server's side of one connection: handshake, then the commands of a publisher (RTMP 1.0 §7.2).

use std::collections::HashMap;

use rml_amf0::Amf0Value;
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::messages::{PeerBandwidthLimitType, RtmpMessage, UserControlEventType};
use rml_rtmp::time::RtmpTimestamp;
use thiserror::Error;

use crate::amf::{self, AmfError, Value};
use crate::chunk::{ChunkError, ChunkReader, Message};

/// Commands of one connection before it may publish. An encoder sends six; later some ask about bandwidth now and then, for days.
const MAX_COMMANDS: usize = 1024;
/// Answers that wait to be taken.
const MAX_OUTPUT: usize = 64 << 10;
/// Message streams of one connection. One is published.
const MAX_STREAMS: u32 = 8;
/// What we send fits in one chunk.
const OUR_CHUNK_SIZE: u32 = 4096;
const WINDOW: u32 = 2_500_000;
/// However small a window an encoder asks for: an answer for each packet helps nobody.
const MIN_WINDOW: u32 = 64 << 10;

/// What an encoder did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It named the application.
    Connect {
        /// As it was given, query and all.
        app: String,
        /// The URL that the encoder was told, if it passed it on.
        tc_url: String,
    },
    /// It wants to publish; answer by [`Session::accept`] or [`Session::refuse`]. Once in a connection.
    Publish {
        /// The stream's name, or key, query and all.
        name: String,
    },
    /// An audio tag of FLV. Only after [`Session::accept`].
    Audio {
        /// Milliseconds, wraps.
        timestamp: u32,
        /// Body of the tag, never empty.
        data: Vec<u8>,
    },
    /// A video tag of FLV. Only after [`Session::accept`].
    Video {
        /// Milliseconds, wraps: of decoding.
        timestamp: u32,
        /// Body of the tag, never empty.
        data: Vec<u8>,
    },
    /// A data message. Only after [`Session::accept`].
    Data {
        /// Milliseconds, wraps.
        timestamp: u32,
        /// `onMetaData`, `onFi` …
        name: String,
        /// What came with the name.
        values: Vec<Value>,
    },
    /// A message that cannot be read was skipped. Only after [`Session::accept`].
    Unreadable {
        /// Why, for people.
        why: String,
    },
    /// It ended its stream.
    Unpublish,
}

/// Why a connection has to be closed.
#[derive(Debug, Error)]
pub enum SessionError {
    /// Not RTMP.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// Not RTMP, or more than is taken.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command that cannot be read.
    #[error(transparent)]
    Amf(#[from] AmfError),
    /// A command without what it needs, or at the wrong time.
    #[error("{0}")]
    Command(&'static str),
    /// An answer could not be written.
    #[error("an answer could not be written: {0}")]
    Answer(String),
}

enum State {
    Handshake(Box<Handshake>),
    /// `connect` is awaited, then `publish`.
    Commands,
    /// `publish` of this message stream awaits an answer.
    Asked(u32),
    /// This message stream.
    Publishing(u32),
    Refused,
}

/// One connection.
pub struct Session {
    state: State,
    reader: ChunkReader,
    writer: ChunkSerializer,
    output: Vec<u8>,
    is_connected: bool,
    streams: u32,
    commands: usize,
    window: u32,
    received: u32,
    acknowledged: u32,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A connection of which nothing came yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Handshake(Box::new(Handshake::new(PeerType::Server))),
            reader: ChunkReader::new(),
            writer: ChunkSerializer::new(),
            output: Vec::new(),
            is_connected: false,
            streams: 0,
            commands: 0,
            window: WINDOW,
            received: 0,
            acknowledged: 0,
        }
    }

    /// Take bytes in.
    ///
    /// # Errors
    /// The connection is to be closed, after what [`Self::take_output`] still has. Events of earlier bytes of the same call are lost.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SessionError> {
        let rest;
        let bytes = if let State::Handshake(handshake) = &mut self.state {
            match handshake
                .process_bytes(bytes)
                .map_err(|error| SessionError::Handshake(error.to_string()))?
            {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    self.output.extend(response_bytes);
                    return Ok(Vec::new());
                }
                HandshakeProcessResult::Completed {
                    response_bytes,
                    remaining_bytes,
                } => {
                    self.output.extend(response_bytes);
                    self.state = State::Commands;
                    rest = remaining_bytes;
                    &rest
                }
            }
        } else {
            bytes
        };
        let mut messages = Vec::new();
        self.reader.read(bytes, &mut messages)?;
        self.acknowledge(bytes.len())?;
        let mut events = Vec::new();
        for message in messages {
            self.message(message, &mut events)?;
        }
        Ok(events)
    }

    /// Bytes for the encoder, in order.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Let the encoder publish. Without a question this does nothing.
    ///
    /// # Errors
    /// The answer could not be written.
    pub fn accept(&mut self) -> Result<(), SessionError> {
        let State::Asked(stream) = self.state else {
            return Ok(());
        };
        self.state = State::Publishing(stream);
        self.reader.let_media_in();
        self.send(
            RtmpMessage::UserControl {
                event_type: UserControlEventType::StreamBegin,
                stream_id: Some(stream),
                buffer_length: None,
                timestamp: None,
            },
            0,
        )?;
        self.status(stream, "status", "NetStream.Publish.Start", "Publishing")
    }

    /// Say no, with a code of RTMP; the connection is to be closed afterwards. Without a question this does nothing.
    ///
    /// # Errors
    /// The answer could not be written.
    pub fn refuse(&mut self, code: &str, description: &str) -> Result<(), SessionError> {
        let State::Asked(stream) = self.state else {
            return Ok(());
        };
        self.state = State::Refused;
        self.status(stream, "error", code, description)
    }

    /// Tell a publishing encoder that it is over; the connection is to be closed afterwards.
    ///
    /// # Errors
    /// The message could not be written.
    pub fn end(&mut self, code: &str, description: &str) -> Result<(), SessionError> {
        let State::Publishing(stream) = self.state else {
            return Ok(());
        };
        self.state = State::Refused;
        self.status(stream, "error", code, description)
    }

    fn is_publishing(&self) -> bool {
        matches!(self.state, State::Publishing(_))
    }

    /// One more that was not asked for. What answers cost is capped by [`MAX_OUTPUT`] all the same.
    fn count(&mut self) -> Result<(), SessionError> {
        self.commands += usize::from(!self.is_publishing());
        if self.commands > MAX_COMMANDS {
            return Err(SessionError::Command("there were too many commands"));
        }
        Ok(())
    }

    fn message(&mut self, message: Message, events: &mut Vec<Event>) -> Result<(), SessionError> {
        let Message {
            kind,
            stream,
            timestamp,
            payload,
        } = message;
        let is_publishing = self.is_publishing();
        match kind {
            4 => return self.user_control(&payload),
            5 => {
                if let Some(size) = payload.first_chunk() {
                    self.window = u32::from_be_bytes(*size).max(MIN_WINDOW);
                }
            }
            8 if is_publishing => events.push(Event::Audio {
                timestamp,
                data: payload,
            }),
            9 if is_publishing => events.push(Event::Video {
                timestamp,
                data: payload,
            }),
            8 | 9 => return Err(SessionError::Command("media came before it was let in")),
            17 | 20 => {
                // AMF3 commands of encoders are AMF0 behind a zero.
                let body = if kind == 17 {
                    payload.strip_prefix(&[0]).unwrap_or(&payload)
                } else {
                    &payload
                };
                match amf::decode(body) {
                    Ok(values) => return self.command(stream, &values, events),
                    Err(error) if is_publishing => events.push(Event::Unreadable { why: error.to_string() }),
                    Err(error) => return Err(error.into()),
                }
            }
            15 | 18 if is_publishing => {
                let body = if kind == 15 {
                    payload.strip_prefix(&[0]).unwrap_or(&payload)
                } else {
                    &payload
                };
                let mut values = match amf::decode(body) {
                    Ok(values) => values.into_iter(),
                    Err(error) => {
                        events.push(Event::Unreadable { why: error.to_string() });
                        return Ok(());
                    }
                };
                let mut name = values.next();
                if name.as_ref().and_then(Value::text) == Some("@setDataFrame") {
                    name = values.next();
                }
                if let Some(Value::String(name)) = name {
                    events.push(Event::Data {
                        timestamp,
                        name,
                        values: values.collect(),
                    });
                }
            }
            22 if is_publishing => aggregate(timestamp, &payload, events),
            _ => {} // acknowledgements, bandwidth, shared objects
        }
        Ok(())
    }

    fn command(&mut self, stream: u32, values: &[Value], events: &mut Vec<Event>) -> Result<(), SessionError> {
        self.count()?;
        let Some(name) = values.first().and_then(Value::text) else {
            if self.is_publishing() {
                let why = "a command has no name".into();
                events.push(Event::Unreadable { why });
                return Ok(());
            }
            return Err(SessionError::Command("a command has no name"));
        };
        let transaction = match values.get(1) {
            Some(Value::Number(number)) => *number,
            _ => 0.0,
        };
        match name {
            "connect" => self.connect(transaction, values.get(2), events),
            _ if !self.is_connected => Err(SessionError::Command("a command came before connect")),
            "createStream" => {
                self.streams += 1;
                if self.streams > MAX_STREAMS {
                    return Err(SessionError::Command("there are too many streams"));
                }
                self.result(transaction, Amf0Value::Null, Amf0Value::Number(self.streams.into()))
            }
            "releaseStream" | "_checkbw" => self.result(transaction, Amf0Value::Null, Amf0Value::Undefined),
            "FCPublish" => {
                self.result(transaction, Amf0Value::Null, Amf0Value::Undefined)?;
                // Flash Media Server says so, and some encoders wait for it before `publish`.
                let key = values.get(3).and_then(Value::text).unwrap_or_default();
                self.send(
                    RtmpMessage::Amf0Command {
                        command_name: "onFCPublish".into(),
                        transaction_id: 0.0,
                        command_object: Amf0Value::Null,
                        additional_arguments: vec![object(status_fields("status", "NetStream.Publish.Start", key))],
                    },
                    0,
                )
            }
            "publish" => {
                let key = values.get(3).and_then(Value::text).unwrap_or_default().to_owned();
                if !matches!(self.state, State::Commands) {
                    return Err(SessionError::Command("one stream is published in a connection"));
                }
                self.state = State::Asked(stream);
                events.push(Event::Publish { name: key });
                Ok(())
            }
            "deleteStream" | "closeStream" | "FCUnpublish" => {
                if self.is_publishing() {
                    self.state = State::Refused;
                    events.push(Event::Unpublish);
                }
                Ok(())
            }
            "play" | "play2" => {
                self.status(
                    stream,
                    "error",
                    "NetStream.Play.Failed",
                    "This server takes publishers only",
                )?;
                Err(SessionError::Command("somebody wants to play"))
            }
            _ => Ok(()),
        }
    }

    fn connect(
        &mut self,
        transaction: f64,
        properties: Option<&Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), SessionError> {
        if self.is_connected {
            return Err(SessionError::Command("connect came twice"));
        }
        let text = |name| {
            properties
                .and_then(|one| one.get(name))
                .and_then(Value::text)
                .unwrap_or_default()
                .to_owned()
        };
        let encoding = match properties.and_then(|one| one.get("objectEncoding")) {
            Some(Value::Number(number)) => *number,
            _ => 0.0,
        };
        self.is_connected = true;
        self.send(RtmpMessage::WindowAcknowledgement { size: WINDOW }, 0)?;
        self.send(
            RtmpMessage::SetPeerBandwidth {
                size: WINDOW,
                limit_type: PeerBandwidthLimitType::Dynamic,
            },
            0,
        )?;
        let packet = self
            .writer
            .set_max_chunk_size(OUR_CHUNK_SIZE, RtmpTimestamp::new(0))
            .map_err(answer)?;
        self.output.extend(packet.bytes);
        let server = object([
            ("fmsVer", Amf0Value::Utf8String("FMS/3,0,1,123".into())),
            ("capabilities", Amf0Value::Number(31.0)),
        ]);
        let mut information = status_fields("status", "NetConnection.Connect.Success", "Connection succeeded.");
        information.push(("objectEncoding", Amf0Value::Number(encoding)));
        self.result(transaction, server, object(information))?;
        events.push(Event::Connect {
            app: text("app"),
            tc_url: text("tcUrl"),
        });
        Ok(())
    }

    fn user_control(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        let Some(([0, 6], rest)) = payload.split_first_chunk() else {
            return Ok(());
        };
        let Some(time) = rest.first_chunk() else { return Ok(()) };
        self.count()?;
        self.send(
            RtmpMessage::UserControl {
                event_type: UserControlEventType::PingResponse,
                stream_id: None,
                buffer_length: None,
                timestamp: Some(RtmpTimestamp::new(u32::from_be_bytes(*time))),
            },
            0,
        )
    }

    /// RTMP 1.0 §5.4.3: the sequence number is that of all bytes so far, and wraps.
    fn acknowledge(&mut self, length: usize) -> Result<(), SessionError> {
        self.received = self.received.wrapping_add(length as u32);
        if self.received.wrapping_sub(self.acknowledged) < self.window {
            return Ok(());
        }
        self.acknowledged = self.received;
        self.send(
            RtmpMessage::Acknowledgement {
                sequence_number: self.received,
            },
            0,
        )
    }

    fn result(&mut self, transaction: f64, first: Amf0Value, second: Amf0Value) -> Result<(), SessionError> {
        self.send(
            RtmpMessage::Amf0Command {
                command_name: "_result".into(),
                transaction_id: transaction,
                command_object: first,
                additional_arguments: vec![second],
            },
            0,
        )
    }

    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) -> Result<(), SessionError> {
        self.send(
            RtmpMessage::Amf0Command {
                command_name: "onStatus".into(),
                transaction_id: 0.0,
                command_object: Amf0Value::Null,
                additional_arguments: vec![object(status_fields(level, code, description))],
            },
            stream,
        )
    }

    fn send(&mut self, message: RtmpMessage, stream: u32) -> Result<(), SessionError> {
        let payload = message
            .into_message_payload(RtmpTimestamp::new(0), stream)
            .map_err(answer)?;
        let packet = self.writer.serialize(&payload, true, false).map_err(answer)?;
        self.output.extend(packet.bytes);
        if self.output.len() > MAX_OUTPUT {
            return Err(SessionError::Command("there are too many answers to give"));
        }
        Ok(())
    }
}

fn answer(error: impl std::fmt::Display) -> SessionError {
    SessionError::Answer(error.to_string())
}

fn status_fields(level: &str, code: &str, description: &str) -> Vec<(&'static str, Amf0Value)> {
    let text = |value: &str| Amf0Value::Utf8String(value.into());
    vec![
        ("level", text(level)),
        ("code", text(code)),
        ("description", text(description)),
    ]
}

fn object(fields: impl IntoIterator<Item = (&'static str, Amf0Value)>) -> Amf0Value {
    Amf0Value::Object(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<HashMap<_, _>>(),
    )
}

/// The tags of an aggregate message (RTMP 1.0 §7.1.6): times are relative to that of the first tag. A tag that is cut short ends it.
fn aggregate(timestamp: u32, mut bytes: &[u8], events: &mut Vec<Event>) {
    let mut first = None;
    while let Some(([kind, a, b, c, low, mid, high, top, ..], rest)) = bytes.split_first_chunk::<11>() {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let time = u32::from_be_bytes([*top, *low, *mid, *high]);
        let timestamp = timestamp.wrapping_add(time.wrapping_sub(*first.get_or_insert(time)));
        let Some((data, rest)) = rest.split_at_checked(length) else {
            return;
        };
        bytes = rest.get(4..).unwrap_or_default(); // the size of the tag, for reading backwards
        let data = data.to_vec();
        match kind {
            _ if data.is_empty() => {}
            8 => events.push(Event::Audio { timestamp, data }),
            9 => events.push(Event::Video { timestamp, data }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
