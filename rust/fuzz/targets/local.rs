//! Local feeds: whatever another process writes, every frame is judged in bounds, no bug shows up, no other table grows, and all that it is
//! told is PLI, in numbered frames, for encodings of its own, and not too often.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use rostra_sfu::command::{
    CloseReason, Codec, CodecSpec, Command, EncodingSpec, Event, ExtensionKind, ExtensionSpec, Kind, LocalFeedSpec,
    ReceiveSpec,
};
use rostra_sfu::ids::{GroupId, Mid, SourceKey, Ssrc, TrackId, TransportId};
use rostra_sfu::outbox::Outbox;
use rostra_sfu::rtp::rtcp::{Rtcp, packets};
use rostra_sfu::shard::{ShardConfig, ShardCore};
use rostra_sfu::time::Time;
use rostra_sfu::transport::certificate::Certificate;
use rostra_sfu::transport::dtls::DtlsConfig;
use rostra_sfu::transport::frame::{Content, Frame, envelope};

const CODECS: [Codec; 5] = [Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1, Codec::Opus];
const FEED: TransportId = TransportId(1);
const FIRST_SSRC: u32 = 0x100;

thread_local! {
    // Nobody shakes hands here, but no shard is without.
    static DTLS: DtlsConfig = {
        let certificate = Certificate::generate().expect("the library makes certificates");
        DtlsConfig::new(Instant::now(), &certificate).expect("the library takes its certificates")
    };
}

fn spec() -> LocalFeedSpec {
    let receive = CODECS.iter().zip(0_u32..).map(|(codec, n)| ReceiveSpec {
        mid: Mid::new(format!("{n}").as_bytes()).expect("short"),
        track: TrackId(u64::from(n) + 1),
        kind: codec.kind(),
        codecs: vec![CodecSpec {
            payload_type: 96 + n as u8,
            codec: *codec,
            rtx_payload_type: None,
            profile: 0,
            packetization_mode: u8::from(*codec == Codec::H264),
        }],
        encodings: (0..if codec.kind() == Kind::Video { 2 } else { 1 })
            .map(|encoding| EncodingSpec {
                ssrc: Some(Ssrc(FIRST_SSRC + 2 * n + encoding)),
                ..EncodingSpec::default()
            })
            .collect(),
    });
    let kinds = [
        ExtensionKind::Mid,
        ExtensionKind::AudioLevel,
        ExtensionKind::TransportCc,
        ExtensionKind::AbsSendTime,
        ExtensionKind::DependencyDescriptor,
        ExtensionKind::VideoLayersAllocation,
        ExtensionKind::AbsCaptureTime,
    ];
    LocalFeedSpec {
        cname: "c".to_owned(),
        receive: receive.collect(),
        extensions: (1..).zip(kinds).map(|(id, kind)| ExtensionSpec { id, kind }).collect(),
    }
}

struct World {
    shard: ShardCore,
    outbox: Outbox,
    now: Time,
    sequence: u32,
    /// The number of the last frame from the server.
    heard: Option<u32>,
    plis: u64,
    ended: bool,
}

impl World {
    fn new() -> Self {
        let mut shard = ShardCore::new(ShardConfig {
            dtls: DTLS.with(DtlsConfig::clone),
            unix_at_base_us: 1_700_000_000_000_000,
            seed: 1,
        });
        let now = Time(1_000_000);
        let spec = Box::new(spec());
        shard.command(now, Command::OpenLocalFeed { transport: FEED, spec });
        let (group, track, source) = (GroupId(1), TrackId(5), SourceKey(1));
        shard.command(now, Command::AddVoice { group, track, source });
        Self {
            shard,
            outbox: Outbox::default(),
            now,
            sequence: 0,
            heard: None,
            plis: 0,
            ended: false,
        }
    }

    fn settle(&mut self) {
        self.shard.timeout(self.now);
        while self.shard.transmit(self.now, &mut self.outbox) {
            self.outbox.clear();
        }
        assert!(self.outbox.is_empty(), "there is nobody to send a datagram to");
        let (heard, plis) = (&mut self.heard, &mut self.plis);
        self.shard.take_frames(|to, frame| {
            let mut frame = frame.to_vec();
            let frame = Frame::parse(&mut frame).expect("the server writes good frames");
            assert_eq!((to, frame.content), (FEED, Content::Rtcp));
            assert!(heard.is_none_or(|last| frame.sequence == last.wrapping_add(1)));
            *heard = Some(frame.sequence);
            for packet in packets(frame.body) {
                let Ok(Rtcp::Pli { media, .. }) = packet else {
                    panic!("{packet:?}")
                };
                assert!((FIRST_SSRC..FIRST_SSRC + 8).contains(&media.0), "{media:?}");
                *plis += 1;
            }
        });
        for event in self.shard.take_events() {
            match event {
                Event::TransportClosed { reason, .. } => {
                    assert!(!self.ended && matches!(reason, CloseReason::PeerClosed | CloseReason::ConsentLost));
                    self.ended = true;
                }
                Event::Rejected { code, .. } => panic!("{code:?}"),
                _ => {}
            }
        }
    }
}

/// The next `len` bytes, or as many as there are.
fn take<'a>(data: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (head, tail) = data.split_at(len.min(data.len()));
    *data = tail;
    head
}

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let mut world = World::new();
    let footprint = world.shard.footprint();
    while let [op, value, rest @ ..] = data {
        data = rest;
        let value = usize::from(*value);
        let mut frame = match op % 8 {
            // Anything.
            0 => take(&mut data, value).to_vec(),
            // A body of any kind in a good envelope.
            1 => {
                let content = Content::Rtp {
                    route: u16::from(op >> 3),
                };
                [&envelope(content, world.sequence), take(&mut data, value)].concat()
            }
            2 => [&envelope(Content::Rtcp, world.sequence), take(&mut data, value)].concat(),
            // A good header of a stream of this feed, then anything.
            3 | 4 => {
                let route = usize::from(op >> 3) % CODECS.len();
                let ssrc = FIRST_SSRC + 2 * route as u32 + u32::from(op >> 7 & u8::from(route < 4));
                let mut packet = take(&mut data, 12 + value).to_vec();
                packet.resize(packet.len().max(12), 0);
                packet[0] = 0x80 | packet[0] & 0x10;
                packet[1] = packet[1] & 0x80 | (96 + route as u8);
                packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
                let content = Content::Rtp { route: route as u16 };
                [&envelope(content, world.sequence)[..], &packet].concat()
            }
            5 => {
                world.now = world.now + Duration::from_millis(value as u64 * 8);
                world.settle();
                continue;
            }
            6 => {
                world.sequence = world.sequence.wrapping_add(1 << (value % 32));
                continue;
            }
            _ => {
                if value == 255 {
                    world.shard.local_closed(world.now, FEED);
                    world.settle();
                }
                continue;
            }
        };
        world.sequence = world.sequence.wrapping_add(1);
        world.shard.local_frame(world.now, FEED, &mut frame);
        world.settle();
    }
    let expected = if world.ended { 0 } else { footprint };
    // The group of voices leaves with its last one.
    assert_eq!(world.shard.footprint(), expected);
    assert_eq!(world.shard.problems(), Vec::<String>::new());
    // One arbiter for each encoding: half a second between requests, and the first repetition after a quarter.
    let seconds = world.now.since(Time(1_000_000)).as_secs() + 1;
    assert!(world.plis <= 8 * (4 * seconds + 4), "{} in {seconds} s", world.plis);
    world.shard.local_closed(world.now, FEED);
    world.settle();
    assert_eq!(world.shard.footprint(), 0);
});
