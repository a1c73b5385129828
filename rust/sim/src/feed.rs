//! A process beside the server that feeds VP8 and Opus, in frames: the other end of a local feed, written from docs/seam.md and with none of
//! our parsers.

use rostra_sfu::command::{CodecSpec, Command, EncodingSpec, Kind, LocalFeedSpec, ReceiveSpec};
use rostra_sfu::ids::{Mid, Ssrc, TrackId, TransportId};
use rostra_sfu::time::Time;

use crate::client::{OPUS, VP8};
use crate::media::Encoder;

const RTP: u8 = 0x11;
const RTCP: u8 = 0x12;
/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// A track of the feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// Place 0.
    Video,
    /// Place 1.
    Audio,
}

/// The feeding process.
#[derive(Debug)]
pub struct Feed {
    /// Its transport.
    pub transport: TransportId,
    /// Its tracks, video first.
    pub tracks: [TrackId; 2],
    /// Makes its pictures.
    pub encoder: Encoder,
    /// Whether it makes a key frame when it is asked to.
    pub answers: bool,
    /// Key frames that it was asked for.
    pub asked: u64,
    sequence: u32,
    heard: Option<u32>,
    numbers: [u16; 2],
    packets: [u32; 2],
}

impl Feed {
    /// Nothing sent yet. Its numbers begin just below their wraps.
    pub fn new(transport: TransportId, tracks: [TrackId; 2], seed: u64) -> Self {
        Self {
            transport,
            tracks,
            encoder: Encoder::new(seed),
            answers: true,
            asked: 0,
            sequence: u32::MAX - 100,
            heard: None,
            numbers: [65_500, 65_510],
            packets: [0; 2],
        }
    }

    /// SSRC of a track.
    pub fn ssrc(&self, route: Route) -> u32 {
        0xfeed_0000 + (self.transport.0 as u32) * 2 + route as u32
    }

    /// The order to take it in.
    pub fn open(&self) -> Command {
        let receive = |route, mid: &str, kind, codec: CodecSpec| {
            Some(ReceiveSpec {
                mid: Mid::new(mid.as_bytes())?,
                track: self.tracks[route as usize],
                kind,
                codecs: vec![CodecSpec {
                    rtx_payload_type: None,
                    ..codec
                }],
                encodings: vec![EncodingSpec {
                    ssrc: Some(Ssrc(self.ssrc(route))),
                    ..EncodingSpec::default()
                }],
            })
        };
        let video = receive(Route::Video, "v", Kind::Video, VP8);
        let audio = receive(Route::Audio, "a", Kind::Audio, OPUS);
        Command::OpenLocalFeed {
            transport: self.transport,
            spec: Box::new(LocalFeedSpec {
                cname: "encoder".to_owned(),
                receive: video.into_iter().chain(audio).collect(),
                extensions: Vec::new(),
            }),
        }
    }

    /// A frame with the next number.
    pub fn frame(&mut self, kind: u8, route: u16, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind, 0];
        frame.extend(route.to_be_bytes());
        frame.extend(self.sequence.to_be_bytes());
        frame.extend([0; 8]);
        frame.extend(body);
        self.sequence = self.sequence.wrapping_add(1);
        frame
    }

    /// RTP time of an instant. The clocks of the two tracks have nothing in common.
    pub fn timestamp(route: Route, at: Time) -> u32 {
        match route {
            Route::Video => (at.0 * 9 / 100) as u32 ^ 0x8000_0000,
            Route::Audio => ((at.0 * 6 / 125) as u32).wrapping_add(123_456_789),
        }
    }

    /// A packet of what was captured at an instant.
    pub fn packet(&mut self, route: Route, captured: Time, marker: bool, payload: &[u8]) -> Vec<u8> {
        let payload_type = match route {
            Route::Video => VP8.payload_type,
            Route::Audio => OPUS.payload_type,
        };
        let number = &mut self.numbers[route as usize];
        let mut packet = vec![0x80, u8::from(marker) << 7 | payload_type];
        packet.extend(number.to_be_bytes());
        *number = number.wrapping_add(1);
        self.packets[route as usize] += 1;
        packet.extend(Self::timestamp(route, captured).to_be_bytes());
        packet.extend(self.ssrc(route).to_be_bytes());
        packet.extend(payload);
        self.frame(RTP, route as u16, &packet)
    }

    /// The next picture.
    pub fn picture(&mut self, captured: Time) -> Vec<Vec<u8>> {
        let pieces = self.encoder.frame();
        pieces
            .iter()
            .map(|piece| self.packet(Route::Video, captured, piece.marker, &piece.payload))
            .collect()
    }

    /// The next sound.
    pub fn sound(&mut self, captured: Time) -> Vec<u8> {
        let payload = [self.numbers[Route::Audio as usize] as u8; 60];
        self.packet(Route::Audio, captured, false, &payload)
    }

    /// Sender reports of both tracks. `unix_us` is the wall clock at `now`.
    pub fn report(&mut self, now: Time, unix_us: u64) -> Vec<u8> {
        let mut compound = Vec::new();
        for route in [Route::Video, Route::Audio] {
            let fraction = (u128::from(unix_us % 1_000_000) << 32) / 1_000_000;
            compound.extend([0x80, 200, 0, 6]);
            compound.extend(self.ssrc(route).to_be_bytes());
            compound.extend(((unix_us / 1_000_000 + NTP_TO_UNIX) as u32).to_be_bytes());
            compound.extend((fraction as u32).to_be_bytes());
            compound.extend(Self::timestamp(route, now).to_be_bytes());
            compound.extend(self.packets[route as usize].to_be_bytes());
            compound.extend([0; 4]);
        }
        self.frame(RTCP, 0, &compound)
    }

    /// As if the next frame had been sent and lost in a full socket.
    pub fn skip(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// A frame from the server.
    ///
    /// # Panics
    /// When it is anything but PLIs for the feed's video.
    pub fn hear(&mut self, frame: &[u8]) {
        let (envelope, body) = frame.split_at(16);
        let number = u32::from_be_bytes([envelope[4], envelope[5], envelope[6], envelope[7]]);
        assert_eq!((envelope[0], number), (RTCP, self.heard.map_or(0, |last| last + 1)));
        self.heard = Some(number);
        for packet in body.chunks(12) {
            assert_eq!(packet.len(), 12, "{body:?}");
            assert_eq!(packet[..4], [0x81, 206, 0, 2], "PLI and nothing else");
            assert_eq!(packet[8..], self.ssrc(Route::Video).to_be_bytes());
            self.asked += 1;
            if self.answers {
                self.encoder.request_key_frame();
            }
        }
    }
}
