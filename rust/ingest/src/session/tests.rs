//! An encoder of the library's own writer against the session.

use super::*;

/// An encoder: `rml_rtmp` on the other side.
struct Encoder {
    writer: ChunkSerializer,
}

impl Encoder {
    fn connected(session: &mut Session) -> Self {
        let mut handshake = Handshake::new(PeerType::Client);
        assert!(
            session
                .receive(&handshake.generate_outbound_p0_and_p1().unwrap())
                .unwrap()
                .is_empty()
        );
        let HandshakeProcessResult::Completed { response_bytes, .. } =
            handshake.process_bytes(&session.take_output()).unwrap()
        else {
            panic!("the handshake has to be complete")
        };
        assert!(session.receive(&response_bytes).unwrap().is_empty());
        Self {
            writer: ChunkSerializer::new(),
        }
    }

    fn message(&mut self, message: RtmpMessage, stream: u32, timestamp: u32) -> Vec<u8> {
        let payload = message
            .into_message_payload(RtmpTimestamp::new(timestamp), stream)
            .unwrap();
        self.writer.serialize(&payload, false, false).unwrap().bytes
    }

    fn command(&mut self, name: &str, object: Amf0Value, arguments: Vec<Amf0Value>) -> Vec<u8> {
        let message = RtmpMessage::Amf0Command {
            command_name: name.into(),
            transaction_id: 1.0,
            command_object: object,
            additional_arguments: arguments,
        };
        self.message(message, 1, 0)
    }

    fn publishing(session: &mut Session) -> Self {
        let mut encoder = Self::connected(session);
        let text = |value: &str| Amf0Value::Utf8String(value.into());
        let target = object([("app", text("v2/pub")), ("tcUrl", text("rtmp://h/v2/pub?token=t"))]);
        let events = session.receive(&encoder.command("connect", target, vec![])).unwrap();
        assert_eq!(
            events,
            [Event::Connect {
                app: "v2/pub".into(),
                tc_url: "rtmp://h/v2/pub?token=t".into()
            }]
        );
        assert_eq!(
            session
                .receive(&encoder.command("createStream", Amf0Value::Null, vec![]))
                .unwrap(),
            []
        );
        let events = session
            .receive(&encoder.command("publish", Amf0Value::Null, vec![text("demo?sourceId=a"), text("live")]))
            .unwrap();
        assert_eq!(
            events,
            [Event::Publish {
                name: "demo?sourceId=a".into()
            }]
        );
        encoder
    }
}

fn contains(output: &[u8], text: &str) -> bool {
    output.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn an_encoder_that_is_let_in_sends_its_tags() {
    let mut session = Session::new();
    let mut encoder = Encoder::publishing(&mut session);
    session.accept().unwrap();
    assert!(contains(&session.take_output(), "NetStream.Publish.Start"));
    let mut bytes = encoder.message(
        RtmpMessage::VideoData {
            data: vec![0x17; 500].into(),
        },
        1,
        40,
    );
    bytes.extend(encoder.message(
        RtmpMessage::AudioData {
            data: vec![0xaf, 1].into(),
        },
        1,
        41,
    ));
    let set = ["@setDataFrame", "onMetaData"].map(|value| Amf0Value::Utf8String(value.into()));
    bytes.extend(encoder.message(RtmpMessage::Amf0Data { values: set.into() }, 1, 42));
    bytes.extend(encoder.command("deleteStream", Amf0Value::Null, vec![Amf0Value::Number(1.0)]));
    assert_eq!(
        session.receive(&bytes).unwrap(),
        [
            Event::Video {
                timestamp: 40,
                data: vec![0x17; 500]
            },
            Event::Audio {
                timestamp: 41,
                data: vec![0xaf, 1]
            },
            Event::Data {
                timestamp: 42,
                name: "onMetaData".into(),
                values: vec![]
            },
            Event::Unpublish,
        ]
    );
}

#[test]
fn an_encoder_that_is_refused_hears_why() {
    let mut session = Session::new();
    let mut encoder = Encoder::publishing(&mut session);
    session
        .refuse("NetStream.Publish.Unauthorized", "no such token")
        .unwrap();
    assert!(contains(&session.take_output(), "no such token"));
    let media = encoder.message(
        RtmpMessage::AudioData {
            data: vec![0xaf, 1].into(),
        },
        1,
        0,
    );
    assert!(session.receive(&media).is_err());
}

#[test]
fn nothing_is_taken_before_it_was_asked_for() {
    let mut session = Session::new();
    let mut encoder = Encoder::connected(&mut session);
    assert!(
        session
            .receive(&encoder.command("createStream", Amf0Value::Null, vec![]))
            .is_err()
    );
    let mut session = Session::new();
    let mut encoder = Encoder::publishing(&mut session);
    assert!(
        session
            .receive(&encoder.message(
                RtmpMessage::VideoData {
                    data: vec![0x17].into()
                },
                1,
                0
            ))
            .is_err()
    );
}

#[test]
fn streams_and_commands_end_at_their_caps() {
    for (name, most) in [
        ("createStream", MAX_STREAMS as usize),
        ("_checkbw", MAX_COMMANDS),
        ("whatever", MAX_COMMANDS),
    ] {
        let mut session = Session::new();
        let mut encoder = Encoder::connected(&mut session);
        session
            .receive(&encoder.command("connect", object([]), vec![]))
            .unwrap();
        let command = encoder.command(name, Amf0Value::Null, vec![]);
        let taken = (0..=most).take_while(|_| {
            let _ = session.take_output();
            session.receive(&command).is_ok()
        });
        assert!(taken.count() <= most, "{name}");
    }
}

#[test]
fn a_command_of_fewer_than_three_values_is_no_panic() {
    let mut session = Session::new();
    let mut encoder = Encoder::connected(&mut session);
    session
        .receive(&encoder.command("connect", object([]), vec![]))
        .unwrap();
    let payload = RtmpMessage::Unknown {
        type_id: 20,
        data: vec![2, 0, 1, b'x'].into(),
    };
    assert_eq!(session.receive(&encoder.message(payload, 0, 0)).unwrap(), []);
}

#[test]
fn a_handshake_of_another_protocol_is_refused() {
    assert!(matches!(
        Session::new().receive(b"GET / HTTP/1.1\r\n\r\n"),
        Err(SessionError::Handshake(_))
    ));
}

#[test]
fn received_bytes_are_acknowledged() {
    let mut session = Session::new();
    let mut encoder = Encoder::publishing(&mut session);
    session.accept().unwrap();
    let window = encoder.message(RtmpMessage::WindowAcknowledgement { size: 1 }, 0, 0);
    session.receive(&window).unwrap();
    let _ = session.take_output();
    let media = encoder.message(
        RtmpMessage::VideoData {
            data: vec![0x17; MIN_WINDOW as usize].into(),
        },
        1,
        0,
    );
    session.receive(&media).unwrap();
    assert_eq!(session.take_output().get(7), Some(&3)); // an acknowledgement
}

#[test]
fn an_aggregate_message_is_its_tags() {
    let mut session = Session::new();
    let mut encoder = Encoder::publishing(&mut session);
    session.accept().unwrap();
    let mut data = vec![8, 0, 0, 1, 0, 0, 100, 0, 0, 0, 0, 7, 0, 0, 0, 12];
    data.extend([9, 0, 0, 2, 0, 0, 120, 0, 0, 0, 0, 1, 2, 0, 0, 0, 13, 9, 0, 9, 9]);
    let bytes = encoder.message(
        RtmpMessage::Unknown {
            type_id: 22,
            data: data.into(),
        },
        1,
        1000,
    );
    assert_eq!(
        session.receive(&bytes).unwrap(),
        [
            Event::Audio {
                timestamp: 1000,
                data: vec![7]
            },
            Event::Video {
                timestamp: 1020,
                data: vec![1, 2]
            }
        ]
    );
}

#[test]
fn an_encoder_that_publishes_for_days_may_ask_for_days() {
    let mut session = Session::new();
    let mut encoder = Encoder::publishing(&mut session);
    session.accept().unwrap();
    for _ in 0..2 * MAX_COMMANDS {
        let ping = RtmpMessage::UserControl {
            event_type: UserControlEventType::PingRequest,
            stream_id: None,
            buffer_length: None,
            timestamp: Some(RtmpTimestamp::new(7)),
        };
        let mut bytes = encoder.message(ping, 0, 0);
        bytes.extend(encoder.command("_checkbw", Amf0Value::Null, vec![]));
        assert_eq!(session.receive(&bytes).unwrap(), []);
        let _ = session.take_output();
    }
}

#[test]
fn pings_before_publishing_end_at_the_cap() {
    let mut session = Session::new();
    let mut encoder = Encoder::connected(&mut session);
    let taken = (0..=MAX_COMMANDS).take_while(|_| {
        let ping = RtmpMessage::UserControl {
            event_type: UserControlEventType::PingRequest,
            stream_id: None,
            buffer_length: None,
            timestamp: Some(RtmpTimestamp::new(7)),
        };
        let _ = session.take_output();
        session.receive(&encoder.message(ping, 0, 0)).is_ok()
    });
    assert_eq!(taken.count(), MAX_COMMANDS);
}

#[test]
fn the_end_is_said_on_the_stream_that_was_published() {
    let mut session = Session::new();
    let mut encoder = Encoder::connected(&mut session);
    session
        .receive(&encoder.command("connect", object([]), vec![]))
        .unwrap();
    let publish = RtmpMessage::Amf0Command {
        command_name: "publish".into(),
        transaction_id: 1.0,
        command_object: Amf0Value::Null,
        additional_arguments: vec![Amf0Value::Utf8String("demo".into())],
    };
    session.receive(&encoder.message(publish, 5, 0)).unwrap();
    session.accept().unwrap();
    let _ = session.take_output();
    session.end("NetStream.Unpublish.Success", "over").unwrap();
    let mut messages = Vec::new();
    let mut reader = ChunkReader::new();
    let mut size = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
    size.extend(OUR_CHUNK_SIZE.to_be_bytes());
    reader.read(&size, &mut messages).unwrap();
    reader.read(&session.take_output(), &mut messages).unwrap();
    assert_eq!(messages.iter().map(|one| one.stream).collect::<Vec<_>>(), [5]);
}

#[test]
fn data_that_cannot_be_read_is_skipped() {
    let mut session = Session::new();
    let mut encoder = Encoder::publishing(&mut session);
    session.accept().unwrap();
    for body in [&b"\x00\x01\xa5\xe0"[..], b"\x02"] {
        let mut events = Vec::new();
        let message = |payload: &[u8]| Message {
            kind: 18,
            stream: 1,
            timestamp: 0,
            payload: payload.to_vec(),
        };
        session.message(message(body), &mut events).unwrap();
        assert!(matches!(events[..], [Event::Unreadable { .. }]), "{events:?}");
    }
    let ping = encoder.message(RtmpMessage::SetChunkSize { size: 4096 }, 0, 0);
    assert!(session.receive(&ping).unwrap().is_empty(), "the connection goes on");
}

#[test]
fn text_in_another_code_page_is_replaced() {
    let latin = [&b"\x02\x00\x0aonMetaData\x02\x00\x04Caf\xe9"[..]].concat();
    let values = amf::decode(&latin).unwrap();
    assert_eq!(values[1].text(), Some("Caf\u{fffd}"));
}
