//! Viewers and publishers against a small server of the same protocol on 127.0.0.1, whose media side is str0m.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rostra_load::extensions::{self, Allocation, Dependency};
use rostra_load::picture::Encoder;
use rostra_load::recording::{Codec, Encoding, Packet, Recording};
use rostra_load::signal::Role;
use rostra_load::{publish, replay, view};
use rostra_sim::media;
use serde_json::{Value, json};
use str0m::change::SdpOffer;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tungstenite::{Message, WebSocket};

/// What the server saw of one publisher.
#[derive(Debug, Default)]
struct Seen {
    packets: u64,
    key_frames: u64,
    torn: u64,
    said_goodbye: bool,
    /// Every packet, by rid.
    streams: BTreeMap<String, Vec<RtpPacket>>,
}

/// Serves for as long as the process lives. Publishers are reported when they leave.
fn server() -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (report, seen) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, report) = (stream.unwrap(), report.clone());
            thread::spawn(move || connection(stream, &report));
        }
    });
    (format!("http://{address}"), seen)
}

fn connection(mut stream: TcpStream, report: &Sender<Seen>) {
    let mut peeked = [0; 4];
    while stream.peek(&mut peeked).unwrap() < 4 {}
    if &peeked == b"POST" {
        return director(&mut stream);
    }
    let address = stream.local_addr().unwrap();
    let mut socket = tungstenite::accept(stream).unwrap();
    let Ok(Message::Text(text)) = socket.read() else {
        panic!("a command was expected at {address}");
    };
    let command: Value = serde_json::from_str(&text).unwrap();
    let offer = command["data"]["sdp"].as_str().unwrap();
    assert!(!offer.contains("a=candidate"));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut rtc = RtcConfig::new()
        .set_extension_map(extensions::map())
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_stats_interval(None)
        .build(Instant::now());
    rtc.add_local_candidate(Candidate::host(udp.local_addr().unwrap(), "udp").unwrap());
    let offer = SdpOffer::from_sdp_string(offer).unwrap();
    let answer = rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string();
    let reply = json!({"type": "response", "transId": command["transId"], "data": {"sdp": answer}});
    socket.send(Message::text(reply.to_string())).unwrap();
    socket.get_mut().set_nonblocking(true).unwrap();
    let loses = command["data"]["name"] == "lossy";
    let seen = media_server(socket, rtc, &udp, command["name"] == "view", loses);
    report.send(seen).unwrap();
}

fn director(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 2048];
    while !request.ends_with(b"}") {
        let len = stream.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..len]);
    }
    let request = String::from_utf8(request).unwrap();
    let body = if request.contains("offline") {
        json!({"status": "fail", "data": {"message": "stream not being published"}})
    } else {
        let url = format!("ws://{}/ws/v2/sub/00", stream.local_addr().unwrap());
        json!({"status": "success", "data": {"urls": [url], "jwt": "a.b.c"}})
    };
    let status = if request.contains("offline") {
        "400 Bad Request"
    } else {
        "200 OK"
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}

fn media_server(mut socket: WebSocket<TcpStream>, mut rtc: Rtc, udp: &UdpSocket, sends: bool, loses: bool) -> Seen {
    let mut seen = Seen::default();
    let mut encoder = Encoder::new(1, 50, 1000);
    let mut mids: Vec<(Mid, MediaKind)> = Vec::new();
    let (mut seq, mut asked, mut received) = (0, false, 0);
    let mut next = None;
    udp.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    loop {
        loop {
            match rtc.poll_output().unwrap() {
                Output::Timeout(_) => break,
                Output::Transmit(packet) => drop(udp.send_to(&packet.contents, packet.destination)),
                Output::Event(Event::MediaAdded(added)) => mids.push((added.mid, added.kind)),
                Output::Event(Event::Connected) if sends => next = Some(Instant::now()),
                Output::Event(Event::RtpPacket(packet)) => {
                    seen.packets += 1;
                    // VP8 is the payload type that Opus is not.
                    if *packet.header.payload_type != 111 {
                        match media::read(&packet.payload) {
                            Some(read) => seen.key_frames += u64::from(read.key && read.index == 0),
                            None => seen.torn += 1,
                        }
                        if !asked && seen.packets > 20 {
                            asked = true;
                            let mut api = rtc.direct_api();
                            let stream = api.stream_rx(&packet.header.ssrc).unwrap();
                            stream.request_keyframe(KeyframeRequestKind::Pli);
                        }
                    }
                    let mut api = rtc.direct_api();
                    let rid = api.stream_rx(&packet.header.ssrc).and_then(|stream| stream.rid());
                    let rid = rid.map(|rid| rid.to_string()).unwrap_or_default();
                    seen.streams.entry(rid).or_default().push(packet);
                }
                Output::Event(_) => {}
            }
        }
        let now = Instant::now();
        if next.is_some_and(|at| at <= now) {
            next = Some(now + Duration::from_millis(20));
            for piece in encoder.frame() {
                seq += 1;
                let mut api = rtc.direct_api();
                for (mid, kind) in &mids {
                    let pt = if *kind == MediaKind::Video { 96 } else { 111 };
                    let stream = api.stream_tx_by_mid(*mid, None).unwrap();
                    stream.set_unpaced(true);
                    let frame = media::read(&piece.payload).unwrap().frame;
                    let packet = RtpWrite::new(pt.into(), seq.into(), frame * 1800, now, &piece.payload[..]);
                    stream.write_rtp(packet.marker(piece.marker));
                }
            }
        }
        let mut buffer = [0; 2000];
        if let Ok((len, from)) = udp.recv_from(&mut buffer) {
            // Media, not handshakes; every twentieth datagram.
            received += 1;
            if loses && (128..=191).contains(&buffer[0]) && received % 20 == 0 {
                continue;
            }
            let to = udp.local_addr().unwrap();
            if let Ok(receive) = Receive::new(Protocol::Udp, from, to, &buffer[..len]) {
                rtc.handle_input(Input::Receive(Instant::now(), receive)).unwrap();
            }
        }
        rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
        match socket.read() {
            Ok(Message::Close(_)) => {
                seen.said_goodbye = true;
                return seen;
            }
            Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return seen,
            Ok(_) => {}
        }
    }
}

fn plan(url: String, stream: &str) -> view::Plan {
    view::Plan {
        url,
        via: None,
        role: Role::View {
            account: "acc".into(),
            stream: stream.into(),
            token: None,
        },
        viewers: 3,
        length: Duration::from_secs(2),
        churn: false,
        slots: 1,
        ramp: Duration::from_millis(10),
        verify: true,
        tcp: false,
        sleepers: 0,
        seed: 1,
    }
}

#[test]
fn viewers_join_and_count_whole_frames() {
    let (url, _seen) = server();
    let totals = view::run(plan(url, "demo")).unwrap();
    assert_eq!(
        (&totals["joined"], &totals["failed"]),
        (&json!(3), &json!(0)),
        "{totals}"
    );
    assert_eq!(
        (&totals["torn"], &totals["lost"], &totals["incomplete"]),
        (&json!(0), &json!(0), &json!(0)),
        "{totals}"
    );
    let number = |key: &str| totals[key].as_u64().unwrap();
    assert!(number("frames") > 100 && number("audio_packets") > 100, "{totals}");
    assert!(
        number("packets") >= number("audio_packets") + number("frames"),
        "{totals}"
    );
    assert!(totals["join_ms"]["p95"].as_f64().unwrap() < 1500.0, "{totals}");
}

#[test]
fn a_refused_viewer_is_a_failed_one_with_the_reason() {
    let (url, _seen) = server();
    let mut plan = plan(url, "offline");
    plan.length = Duration::from_millis(300);
    let totals = view::run(plan).unwrap();
    assert_eq!(
        (&totals["joined"], &totals["failed"]),
        (&json!(0), &json!(3)),
        "{totals}"
    );
    assert_eq!(totals["errors"], json!({"HTTP 400: stream not being published": 3}));
}

#[test]
fn a_publisher_sends_what_it_counts_and_honours_requests_for_key_frames() {
    let (url, seen) = server();
    let totals = publish::run(publish::Plan {
        url,
        via: None,
        role: Role::Publish {
            stream: "demo".into(),
            token: "t".into(),
            source: Some("cam".into()),
            codec: Codec::Vp8,
        },
        length: Duration::from_secs(2),
        fps: 30,
        kbps: 800,
        seed: 1,
    })
    .unwrap();
    let seen = seen.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!((seen.key_frames, seen.torn), (2, 0), "{seen:?} {totals}");
    assert!(seen.said_goodbye, "{seen:?}");
    assert_eq!(totals["key_frames_asked"], json!(1), "{totals}");
    // The server is slow to look; what is still in its socket when the goodbye comes is not seen.
    let sent = totals["packets"].as_u64().unwrap();
    assert!(seen.packets <= sent && seen.packets + 30 > sent, "{seen:?} {totals}");
}

/// Half a second of two VP8 encodings, ten frames of two packets each.
fn recording(rids: [Option<&str>; 2]) -> Recording {
    let rids: Vec<_> = rids.into_iter().flatten().collect();
    let encoding = |rid: Option<&str>| Encoding {
        rid: rid.map(str::to_owned),
        pictures: 10,
        base_pictures: 10,
    };
    let encodings: Vec<_> = match rids.as_slice() {
        [] => vec![encoding(None)],
        rids => rids.iter().map(|rid| encoding(Some(rid))).collect(),
    };
    let packet = |frame: u8, encoding: usize, second: bool| Packet {
        at: u32::from(frame) * 50_000 + encoding as u32 * 1000,
        encoding: encoding as u8,
        marker: second,
        time: u32::from(frame) * 4500,
        dependency: Some([0x80, 0, frame].into()),
        allocation: (frame == 0).then(|| vec![7; 20].into()),
        captured: (frame == 0 && !second).then_some(-20_000),
        // S in the first packet, 15-bit picture id, TL0PICIDX, a key frame first.
        payload: [
            &[
                if second { 0x80 } else { 0x90 },
                0xc0,
                0x80,
                frame,
                frame,
                u8::from(frame > 0),
            ][..],
            &[frame; 300],
        ]
        .concat()
        .into(),
    };
    let all =
        (0..10).flat_map(|frame| (0..encodings.len()).flat_map(move |one| [(frame, one, false), (frame, one, true)]));
    let packets = all.map(|(frame, one, second)| packet(frame, one, second)).collect();
    Recording {
        codec: Codec::Vp8,
        encodings,
        ticks: 45_000,
        packets,
    }
}

fn replayed(stream: &str, recording: Recording) -> (Value, Seen) {
    let (url, seen) = server();
    let totals = replay::run(replay::Plan {
        url,
        via: None,
        role: Role::Publish {
            stream: stream.into(),
            token: "t".into(),
            source: None,
            codec: recording.codec,
        },
        length: Duration::from_secs(3),
        seed: 7,
        recording,
    })
    .unwrap();
    (totals, seen.recv_timeout(Duration::from_secs(5)).unwrap())
}

#[test]
fn a_recording_is_published_over_and_over_with_its_encodings_and_extensions() {
    let (totals, seen) = replayed("demo", recording([Some("q"), Some("f")]));
    assert!(totals["turns"].as_u64().unwrap() >= 2, "{totals}");
    assert_eq!(seen.streams.keys().collect::<Vec<_>>(), ["f", "q"], "{totals}");
    for (rid, packets) in &seen.streams {
        assert!(packets.len() > 60, "{rid}: {}", packets.len());
        for two in packets.windows(2) {
            assert_eq!(*two[0].seq_no + 1, *two[1].seq_no, "{rid}");
            let step = two[1].time.numer() - two[0].time.numer();
            assert_eq!(step, if two[0].header.marker { 4500 } else { 0 }, "{rid}");
        }
        let picture = |one: &RtpPacket| u16::from_be_bytes([one.payload[2] & 0x7f, one.payload[3]]);
        let first = picture(&packets[0]);
        for (index, one) in packets.iter().enumerate() {
            assert_eq!(picture(one), first + index as u16 / 2, "{rid} {index}");
            let values = &one.header.ext_vals;
            let number = values
                .user_values
                .get::<Dependency>()
                .map(|bytes| [bytes.0[1], bytes.0[2]]);
            assert_eq!(number, Some(picture(one).to_be_bytes()), "{rid} {index}");
            let begins = picture(one) % 10 == 0;
            let allocation = values.user_values.get::<Allocation>().map(|bytes| bytes.0.len());
            assert_eq!(allocation, begins.then_some(20), "{rid} {index}");
            assert_eq!(
                values.abs_capture_time.is_some(),
                begins && !one.header.marker,
                "{rid} {index}"
            );
        }
        let report = packets.last().unwrap().last_sender_info.unwrap();
        // The report speaks of the frames' clock: what was taken last was taken about a tenth of a second ago.
        let last = packets.last().unwrap().time.numer() as i64;
        let ahead = report.rtp_time.numer() as i64 - last;
        assert!(ahead.abs() < 3 * 90_000, "{rid}: {ahead}");
    }
}

#[test]
fn a_recording_of_one_encoding_has_no_rid() {
    let (totals, seen) = replayed("demo", recording([None, None]));
    assert_eq!(seen.streams.keys().collect::<Vec<_>>(), [""], "{totals}");
    assert_eq!(totals["packets"].as_array().unwrap().len(), 1, "{totals}");
}

#[test]
fn a_replay_sends_again_what_was_lost_and_counts_requests_for_key_frames() {
    let (totals, seen) = replayed("lossy", recording([Some("q"), Some("f")]));
    assert!(totals["packets_again"].as_u64().unwrap() > 0, "{totals}");
    assert_eq!(totals["key_frames_asked"], json!(1), "{totals}");
    for (rid, packets) in &seen.streams {
        let mut numbers: Vec<u64> = packets.iter().map(|one| *one.seq_no).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
        // What was lost in the last moments is still on its way.
        assert!(
            numbers.len() as u64 + 3 > last - first + 1,
            "{rid}: {} of {}",
            numbers.len(),
            last - first + 1
        );
    }
}
