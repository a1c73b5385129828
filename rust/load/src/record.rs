//! Makes a recording: the answering end of one browser's peer connection, with the offer on standard input and the answer on standard output.

use std::io::{self, BufRead, Write};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use str0m::change::SdpOffer;
use str0m::media::KeyframeRequestKind;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::rtp::rtcp::SenderInfo;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::extensions::{self, Allocation, Dependency};
use crate::peer::with_codec;
use crate::recording::{Codec, Encoding, Packet, Recording};

const KEY_FRAME_EVERY: Duration = Duration::from_secs(1);
/// No browser takes longer to raise its rate until every encoding flows.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// Two encodings' frames of one capture, by their sender reports, are never further apart, in RTP time (10 ms).
const SAME_CAPTURE: i64 = 900;

/// What to record.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it goes.
    pub file: PathBuf,
    /// The only one that is answered.
    pub codec: Codec,
    /// Rids, lowest first; none for a track of one encoding.
    pub rids: Vec<String>,
    /// All encodings must have flowed this long before it starts.
    pub settle: Duration,
    /// Of the recording; up to a second is cut off.
    pub length: Duration,
}

struct Taken {
    at: Instant,
    encoding: usize,
    packet: RtpPacket,
}

/// Answer the offer on standard input, a line `{"sdp": …}`, and record.
///
/// # Errors
/// In words: no or a bad offer, an encoding that never comes, a packet that is missing.
pub fn run(plan: &Plan) -> Result<Value, String> {
    let words = |error: io::Error| error.to_string();
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(words)?;
    let offer: Value = serde_json::from_str(&line).map_err(|error| format!("offer: {error}"))?;
    let sdp = offer.get("sdp").and_then(Value::as_str).ok_or("an offer without sdp")?;
    let udp = UdpSocket::bind("127.0.0.1:0").map_err(words)?;
    let address = udp.local_addr().map_err(words)?;
    let mut rtc = with_codec(RtcConfig::new(), plan.codec)
        .set_extension_map(extensions::map())
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_stats_interval(None)
        .build(Instant::now());
    let candidate = Candidate::host(address, "udp").map_err(|error| error.to_string())?;
    rtc.add_local_candidate(candidate);
    let offer = SdpOffer::from_sdp_string(sdp).map_err(|error| format!("offer: {error}"))?;
    let answer = rtc
        .sdp_api()
        .accept_offer(offer)
        .map_err(|error| format!("offer: {error}"))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", json!({"sdp": answer.to_sdp_string()})).map_err(words)?;
    out.flush().map_err(words)?;
    drop(out);
    let (begun, taken) = listen(plan, rtc, &udp)?;
    let recording = cut(plan, begun, taken)?;
    std::fs::write(&plan.file, recording.write()).map_err(words)?;
    let seconds = f64::from(recording.ticks) / 90_000.0;
    let kbps = |encoding: usize| {
        let of = |one: &&Packet| usize::from(one.encoding) == encoding;
        let bytes: usize = recording.packets.iter().filter(of).map(|one| one.payload.len()).sum();
        (bytes as f64 * 0.008 / seconds).round()
    };
    Ok(json!({
        "joined": 1,
        "seconds": seconds,
        "packets": recording.packets.len(),
        "kbps": (0..recording.encodings.len()).map(kbps).collect::<Vec<_>>(),
        "with_dependency": recording.packets.iter().filter(|one| one.dependency.is_some()).count(),
        "with_allocation": recording.packets.iter().filter(|one| one.allocation.is_some()).count(),
        "with_capture_time": recording.packets.iter().filter(|one| one.captured.is_some()).count(),
    }))
}

/// Take packets until the recording is long enough. Returns when it began.
fn listen(plan: &Plan, mut rtc: Rtc, udp: &UdpSocket) -> Result<(Instant, Vec<Taken>), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let address = udp.local_addr().map_err(|error| words(&error))?;
    let count = plan.rids.len().max(1);
    let mut last_seen: Vec<Option<Instant>> = vec![None; count];
    let mut ssrcs = vec![None; count];
    let mut flowing_since: Option<Instant> = None;
    let (start, mut begun, mut key_at) = (Instant::now(), None, None);
    let mut taken = Vec::new();
    let mut buffer = [0; 2048];
    udp.set_read_timeout(Some(Duration::from_millis(2)))
        .map_err(|error| words(&error))?;
    loop {
        loop {
            let packet = match rtc.poll_output().map_err(|error| words(&error))? {
                Output::Timeout(_) => break,
                Output::Transmit(datagram) => {
                    // A full buffer loses the datagram, as a network does.
                    let _ = udp.send_to(&datagram.contents, datagram.destination);
                    continue;
                }
                Output::Event(Event::RtpPacket(packet)) if !packet.payload.is_empty() => packet,
                Output::Event(_) => continue,
            };
            let mut api = rtc.direct_api();
            let stream = api.stream_rx(&packet.header.ssrc);
            let rid = stream.and_then(|stream| stream.rid()).map(|rid| rid.to_string());
            let encoding = match &rid {
                Some(rid) => plan.rids.iter().position(|one| one == rid),
                None => plan.rids.is_empty().then_some(0),
            };
            let Some(encoding) = encoding else { continue };
            let at = packet.timestamp;
            (last_seen[encoding], ssrcs[encoding]) = (Some(at), Some(packet.header.ssrc));
            taken.push(Taken { at, encoding, packet });
        }
        let now = Instant::now();
        let flows = |seen: &Option<Instant>| seen.is_some_and(|at| now.duration_since(at) < Duration::from_millis(500));
        flowing_since = last_seen.iter().all(flows).then_some(flowing_since.unwrap_or(now));
        match (begun, flowing_since) {
            (None, Some(since)) if now.duration_since(since) >= plan.settle => {
                eprintln!("{count} encodings flow; recording");
                (begun, key_at) = (Some(now), Some(now));
                taken.clear();
            }
            (None, _) if now.duration_since(start) > SETTLE_WITHIN => {
                let seen: Vec<bool> = last_seen.iter().map(Option::is_some).collect();
                return Err(format!("not all encodings flow; ever seen: {seen:?}"));
            }
            (Some(_), None) => return Err("an encoding stopped".to_owned()),
            (Some(begun), _) if now.duration_since(begun) >= plan.length => return Ok((begun, taken)),
            _ => {}
        }
        if key_at.is_some_and(|at| at <= now) {
            key_at = Some(now + KEY_FRAME_EVERY);
            // One request: Chromium starts all encodings anew then, at the same frame.
            if let Some(ssrc) = ssrcs.first().and_then(Option::as_ref)
                && let Some(stream) = rtc.direct_api().stream_rx(ssrc)
            {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
        if let Ok((len, from)) = udp.recv_from(&mut buffer)
            && let Ok(receive) = Receive::new(Protocol::Udp, from, address, buffer.get(..len).unwrap_or_default())
        {
            rtc.handle_input(Input::Receive(Instant::now(), receive))
                .map_err(|error| words(&error))?;
        }
        rtc.handle_input(Input::Timeout(Instant::now()))
            .map_err(|error| words(&error))?;
    }
}

/// The packets of one encoding in their order, and where key frames start.
struct Strand {
    packets: Vec<Taken>,
    keys: Vec<usize>,
    report: SenderInfo,
}

impl Strand {
    fn time(&self, index: usize) -> i64 {
        self.packets.get(index).map_or(0, |one| one.packet.time.numer() as i64)
    }

    /// The key frame of the capture at `time` on the clock of `base`.
    fn key_at(&self, base: &Self, time: i64) -> Option<usize> {
        let ahead = i64::from(micros(self.report.ntp_time, base.report.ntp_time)) * 9 / 100;
        let offset = base.report.rtp_time.numer() as i64 + ahead - self.report.rtp_time.numer() as i64;
        let apart = |index: usize| (self.time(index) + offset - time).rem_euclid(1 << 32);
        let is_it = |apart: i64| apart <= SAME_CAPTURE || apart >= (1 << 32) - SAME_CAPTURE;
        self.keys.iter().copied().find(|index| is_it(apart(*index)))
    }
}

/// From the first to the last key frame that all encodings have of one capture.
fn cut(plan: &Plan, begun: Instant, taken: Vec<Taken>) -> Result<Recording, String> {
    let mut of: Vec<Vec<Taken>> = plan.rids.iter().map(|_| Vec::new()).collect();
    of.resize_with(plan.rids.len().max(1), Vec::new);
    for one in taken {
        if let Some(packets) = of.get_mut(one.encoding) {
            packets.push(one);
        }
    }
    let strands: Result<Vec<Strand>, String> = of
        .into_iter()
        .enumerate()
        .map(|(index, packets)| strand(plan.codec, index, begun, packets))
        .collect();
    let strands = strands?;
    let base = strands.first().ok_or("nothing was recorded")?;
    let keys_of = |base_key: &usize| -> Option<Vec<usize>> {
        let time = base.time(*base_key);
        strands.iter().map(|one| one.key_at(base, time)).collect()
    };
    let common: Vec<Vec<usize>> = base.keys.iter().filter_map(keys_of).collect();
    let (Some(first), Some(last)) = (common.first(), common.last()) else {
        return Err("no key frame of one capture in all encodings; try again".to_owned());
    };
    let ticks = base.time(last[0]) - base.time(first[0]);
    if ticks == 0 {
        return Err("but one key frame of one capture in all encodings; try again".to_owned());
    }
    let pieces = || strands.iter().zip(first).zip(last).enumerate();
    let begins = pieces().filter_map(|(_, ((one, first), _))| Some(one.packets.get(*first)?.at));
    let first_at = begins.min().ok_or("nothing was recorded")?;
    // The clock of this machine, which is the publisher's: both on one loopback.
    let first_wall = SystemTime::now() - first_at.elapsed();
    // A packet of one turn never leaves after the next has begun.
    let end = (ticks * 100 / 9 - 1) as u32;
    let mut packets = Vec::new();
    let mut encodings = Vec::new();
    for (index, ((strand, &first), &last)) in pieces() {
        let numbers = |at: usize| strand.packets.get(at).map_or((0, 0), |one| numbers(plan.codec, one));
        let (begin, end_numbers) = (numbers(first), numbers(last));
        encodings.push(Encoding {
            rid: plan.rids.get(index).cloned(),
            pictures: end_numbers.0.wrapping_sub(begin.0),
            base_pictures: end_numbers.1.wrapping_sub(begin.1),
        });
        for one in strand.packets.get(first..last).unwrap_or_default() {
            let time = one.packet.time.numer() as i64 - strand.time(first);
            let values = &one.packet.header.ext_vals;
            let captured = values.abs_capture_time.map(|one| micros(one.capture_time, first_wall));
            packets.push(Packet {
                at: (one.at.duration_since(first_at).as_micros() as u32).min(end),
                encoding: index as u8,
                marker: one.packet.header.marker,
                time: u32::try_from(time).map_err(|_| "a frame before the first")?,
                dependency: values.user_values.get::<Dependency>().map(|one| one.0.clone()),
                allocation: values.user_values.get::<Allocation>().map(|one| one.0.clone()),
                captured,
                payload: one.packet.payload.clone(),
            });
        }
    }
    // Stable: packets of an encoding keep their order.
    packets.sort_by_key(|one| one.at);
    Ok(Recording {
        codec: plan.codec,
        encodings,
        ticks: ticks as u32,
        packets,
    })
}

fn strand(codec: Codec, index: usize, begun: Instant, mut packets: Vec<Taken>) -> Result<Strand, String> {
    packets.sort_by_key(|one| *one.packet.seq_no);
    let follows = |two: &[Taken]| *two[0].packet.seq_no + 1 == *two[1].packet.seq_no;
    if !packets.windows(2).all(follows) {
        return Err(format!("encoding {index}: a packet is missing; try again"));
    }
    // What was sent again came late; no packet is older than those before it.
    let mut latest = begun;
    for one in &mut packets {
        latest = latest.max(one.at);
        one.at = latest;
    }
    let report = packets.iter().rev().find_map(|one| one.packet.last_sender_info);
    let report = report.ok_or_else(|| format!("encoding {index}: no sender report"))?;
    let starts = packets
        .iter()
        .enumerate()
        .filter(|(_, one)| codec.starts_key_frame(&one.packet.payload));
    let mut keys: Vec<usize> = starts.map(|(at, _)| at).collect();
    // Parameter sets and each slice look like the start of a key frame.
    keys.dedup_by_key(|at| packets.get(*at).map(|one| one.packet.header.timestamp));
    eprintln!("encoding {index}: {} packets, {} key frames", packets.len(), keys.len());
    Ok(Strand { packets, keys, report })
}

fn numbers(codec: Codec, one: &Taken) -> (u16, u8) {
    let dependency = one.packet.header.ext_vals.user_values.get::<Dependency>();
    codec.numbers(&one.packet.payload, dependency.map(|bytes| &*bytes.0))
}

fn micros(time: SystemTime, since: SystemTime) -> i32 {
    match time.duration_since(since) {
        Ok(after) => after.as_micros() as i32,
        Err(before) => -(before.duration().as_micros() as i32),
    }
}
