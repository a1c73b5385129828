//! Local feeds: what a process beside the server feeds is seen like what a browser sends, and whatever it does wrong costs nobody else.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use rostra_sfu::command::{CloseReason, Command, Event, RefusalCode};
use rostra_sfu::ids::{Ssrc, TrackId, TransportId};
use rostra_sfu::reason::DropReason;
use rostra_sfu::rtp::header::RtpHeader;
use rostra_sfu::rtp::rtcp::{Rtcp, packets};
use rostra_sfu::time::Time;
use rostra_sim::feed::{Feed, Route};
use rostra_sim::media::{Encoder, read};

use common::peer::Peer;
use common::{Bench, UNIX_AT_BASE_US, ms};

const FEED: TransportId = TransportId(7);
const VIDEO: TrackId = TrackId(71);
const AUDIO: TrackId = TrackId(72);
/// Between two pictures.
const PICTURE: Duration = Duration::from_millis(33);

struct Stage {
    bench: Bench,
    feed: Feed,
    viewer: Peer,
    tick: u64,
}

impl Stage {
    /// A feed that has sent nothing, and a viewer that waits for it.
    fn new() -> Self {
        let mut bench = Bench::new();
        let mut feed = Feed::new(FEED, [VIDEO, AUDIO], 7);
        // No frame has the number of one of another publisher.
        feed.encoder = Encoder::starting_at(7, 1 << 20);
        bench.command(feed.open());
        let mut viewer = Peer::new(2);
        viewer.connect(&mut bench);
        bench.bind(viewer.id, "0", VIDEO);
        bench.bind(viewer.id, "2", AUDIO);
        Self {
            bench,
            feed,
            viewer,
            tick: 0,
        }
    }

    /// The same, and it plays.
    fn playing() -> Self {
        let mut stage = Self::new();
        stage.play(10);
        assert_eq!(stage.viewer.pictures(0), 10);
        stage
    }

    fn send(&mut self, frames: &[Vec<u8>]) {
        for frame in frames {
            self.bench.frame(FEED, frame);
        }
    }

    /// Time passes, everybody listens.
    fn pass(&mut self, duration: Duration) {
        if self.tick.is_multiple_of(60) {
            self.viewer.ping(&mut self.bench);
        }
        self.tick += 1;
        self.bench.pass(duration);
        for (transport, frame) in self.bench.frames.drain(..) {
            assert_eq!(transport, FEED);
            self.feed.hear(&frame);
        }
        self.viewer.hear(&mut self.bench);
    }

    fn play(&mut self, pictures: u64) {
        for _ in 0..pictures {
            let mut frames = self.feed.picture(self.bench.now);
            frames.push(self.feed.sound(self.bench.now));
            self.send(&frames);
            self.pass(PICTURE);
        }
    }

    /// It plays, and the viewer gets every picture.
    fn unharmed(&mut self) {
        self.pass(ms(20));
        let before = self.viewer.pictures(0);
        self.play(10);
        assert_eq!(self.viewer.pictures(0), before + 10);
        assert_eq!(self.bench.shard.problems(), Vec::<String>::new());
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.bench.dropped(reason)
    }
}

/// Frames that the viewer got whole in a slot, in the order in which their first packet came.
fn seen(viewer: &Peer, slot: usize) -> Vec<u32> {
    let mut frames = Vec::new();
    for packet in &viewer.rtp {
        let header = RtpHeader::parse(packet).unwrap();
        if header.ssrc == viewer.slot_ssrc(slot)
            && let Some(seen) = read(&packet[header.header_len..])
            && frames.last() != Some(&seen.frame)
        {
            frames.push(seen.frame);
        }
    }
    frames
}

#[test]
fn a_feed_is_connected_at_once_and_starts_its_tracks_with_their_first_packets() {
    let mut stage = Stage::new();
    let connected = Event::TransportConnected {
        transport: FEED,
        profile: None,
    };
    assert_eq!(stage.bench.events.first(), Some(&connected));
    stage.play(2);
    let started: Vec<_> = stage
        .bench
        .events
        .iter()
        .filter_map(|event| match event {
            Event::TrackStarted { transport, track } => Some((*transport, *track)),
            _ => None,
        })
        .collect();
    assert_eq!(started, [(FEED, VIDEO), (FEED, AUDIO)]);
    let stats = stage.bench.shard.stats();
    assert_eq!(stats.rtp_in, stats.rtp_out, "one viewer of everything");
    stage.unharmed();
}

#[test]
fn the_tracks_of_a_feed_keep_in_step_by_its_reports() {
    // Sound is fed 150 ms after it was captured, as behind an encoder that looks ahead; then only reports say what belongs together.
    let offset_us = |with_reports: bool| {
        let mut stage = Stage::new();
        let mut captured = BTreeMap::new();
        for tick in 0..150_u64 {
            let now = stage.bench.now;
            let frames = stage.feed.picture(now);
            captured.insert(Feed::timestamp(Route::Video, now), now);
            stage.send(&frames);
            let sound = stage.feed.sound(Time(now.0 - 150_000));
            stage.send(&[sound]);
            if with_reports && tick % 30 == 1 {
                let report = stage.feed.report(now, UNIX_AT_BASE_US + now.0);
                stage.send(&[report]);
            }
            stage.pass(PICTURE);
        }
        let clock = |slot| {
            // The newest report on a slot, and its newest packet: when was that captured, by the wall clock of the reports?
            let ssrc: Ssrc = stage.viewer.slot_ssrc(slot);
            let (ntp, rtp) = stage
                .viewer
                .rtcp
                .iter()
                .flat_map(|(_, compound)| packets(compound))
                .filter_map(|packet| match packet.unwrap() {
                    Rtcp::SenderReport(report) if report.ssrc == ssrc => Some((report.ntp, report.rtp)),
                    _ => None,
                })
                .last()
                .unwrap();
            let newest = stage
                .viewer
                .rtp
                .iter()
                .map(|packet| RtpHeader::parse(packet).unwrap())
                .rfind(|header| header.ssrc == ssrc)
                .unwrap();
            let hz = if slot == 0 { 90_000 } else { 48_000 };
            let behind = newest.timestamp.wrapping_sub(rtp) as i32;
            let ntp_us = ((u128::from(ntp) * 1_000_000) >> 32) as i64;
            ntp_us + i64::from(behind) * 1_000_000 / hz
        };
        // The last sound was captured 150 ms before the last picture.
        clock(0) - clock(2) - 150_000
    };
    let offset = offset_us(true);
    assert!(offset.abs() < 5_000, "{offset} µs");
    let offset = offset_us(false);
    assert!(offset.abs() > 100_000, "without reports nobody can know: {offset} µs");
}

#[test]
fn a_slot_moves_between_a_browser_and_a_feed_at_key_frames_and_loses_nothing() {
    let mut stage = Stage::playing();
    let mut browser = Peer::new(1);
    browser.connect(&mut stage.bench);
    let both = |stage: &mut Stage, browser: &mut Peer, pictures: u64| {
        for _ in 0..pictures {
            if stage.tick.is_multiple_of(60) {
                browser.ping(&mut stage.bench);
            }
            browser.send_frame(&mut stage.bench);
            stage.play(1);
            browser.hear(&mut stage.bench);
        }
    };
    both(&mut stage, &mut browser, 10);
    for _ in 0..3 {
        stage.bench.bind(stage.viewer.id, "0", browser.video_track());
        both(&mut stage, &mut browser, 40);
        stage.bench.bind(stage.viewer.id, "0", VIDEO);
        both(&mut stage, &mut browser, 40);
    }
    let frames = seen(&stage.viewer, 0);
    let is_fed = |frame: u32| frame >= 1 << 20;
    let moves = frames
        .windows(2)
        .filter(|pair| is_fed(pair[0]) != is_fed(pair[1]))
        .count();
    assert_eq!(moves, 6);
    // Each picture of whoever was shown, but for the change, is the one after the last.
    let within = frames.windows(2).filter(|pair| is_fed(pair[0]) == is_fed(pair[1]));
    assert!(within.clone().all(|pair| pair[1] == pair[0] + 1), "{frames:?}");
    assert_eq!(stage.viewer.pictures(0), frames.len(), "all of them whole");
    // The viewer sees one unbroken row of numbers.
    let numbers: Vec<u16> = stage
        .viewer
        .rtp
        .iter()
        .map(|packet| RtpHeader::parse(packet).unwrap())
        .filter(|header| header.ssrc == stage.viewer.slot_ssrc(0))
        .map(|header| header.seq)
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
    stage.unharmed();
}

#[test]
fn the_next_process_that_feeds_a_source_takes_over_with_its_key_frame() {
    let mut stage = Stage::playing();
    // The encoder was restarted: another process, another link, the same SSRCs.
    let mut next = Feed::new(TransportId(8), [TrackId(81), TrackId(82)], 8);
    next.encoder = Encoder::starting_at(8, 1 << 21);
    stage.bench.command(next.open());
    stage.bench.bind(stage.viewer.id, "0", next.tracks[0]);
    stage.bench.command(Command::CloseTransport { transport: FEED });
    stage.bench.frames.clear();
    for _ in 0..10 {
        for frame in next.picture(stage.bench.now) {
            stage.bench.frame(next.transport, &frame);
        }
        stage.bench.pass(PICTURE);
        stage.viewer.hear(&mut stage.bench);
    }
    assert_eq!(stage.viewer.pictures(0), 20);
    assert_eq!(
        seen(&stage.viewer, 0)[10..],
        (1 << 21..(1 << 21) + 10).collect::<Vec<_>>()
    );
}

#[test]
fn what_the_sender_dropped_is_counted_and_a_key_frame_repairs_it() {
    let mut stage = Stage::playing();
    stage.play(20);
    let asked = stage.feed.asked;
    // The first packet of a picture found the socket full.
    let picture = stage.feed.picture(stage.bench.now);
    stage.send(&picture[1..]);
    assert_eq!(stage.dropped(DropReason::LinkGap), 1);
    stage.pass(ms(1));
    assert_eq!(stage.feed.asked, asked + 1, "asked at once");
    stage.play(30);
    assert_eq!(stage.feed.asked, asked + 1, "and once");
    assert_eq!(stage.viewer.pictures(0), 60, "all but the one");
    assert_eq!(stage.bench.shard.stats().nacks_out, 0);
    stage.feed.skip();
    stage.feed.skip();
    stage.unharmed();
    assert_eq!(stage.dropped(DropReason::LinkGap), 3, "whatever they were");
}

#[test]
fn a_feed_that_cannot_make_key_frames_is_asked_seldom_and_who_comes_waits_for_its_next() {
    let mut stage = Stage::new();
    stage.feed.answers = false;
    stage.play(30);
    let mut late = Peer::new(3);
    late.connect(&mut stage.bench);
    stage.bench.bind(late.id, "0", VIDEO);
    let asked = stage.feed.asked;
    // A group of pictures of ten seconds.
    for second in 0..10_u64 {
        stage.play(30);
        late.ping(&mut stage.bench);
        assert_eq!(late.pictures(0), 0, "second {second}");
    }
    let asked = stage.feed.asked - asked;
    assert!((5..=16).contains(&asked), "{asked} requests in 10 s");
    stage.feed.encoder.request_key_frame();
    stage.play(10);
    late.hear(&mut stage.bench);
    assert_eq!(late.pictures(0), 10, "from the key frame on");
    let asked = stage.feed.asked;
    stage.play(60);
    assert_eq!(stage.feed.asked, asked, "nobody waits any more");
}

#[test]
fn who_comes_right_after_a_key_frame_begins_with_it() {
    let mut stage = Stage::playing();
    stage.feed.answers = false;
    let mut late = Peer::new(3);
    late.connect(&mut stage.bench);
    stage.bench.bind(late.id, "0", VIDEO);
    stage.play(1);
    stage.pass(ms(500));
    late.hear(&mut stage.bench);
    // The second picture was the last key frame: the first made the feed begin, the request for one reached it after that.
    let expected: Vec<_> = ((1 << 20) + 1..(1 << 20) + 11).collect();
    assert_eq!((late.pictures(0), seen(&late, 0)), (10, expected));
}

#[test]
fn silence_stalls_after_five_seconds_and_ends_after_thirty() {
    let mut stage = Stage::playing();
    let stalled = Event::TransportStalled { transport: FEED };
    let of = |bench: &Bench, event: &Event| bench.events.iter().filter(|one| *one == event).count();
    stage.bench.pass(ms(4_900));
    assert_eq!(of(&stage.bench, &stalled), 0);
    stage.bench.pass(ms(200));
    assert_eq!(of(&stage.bench, &stalled), 1);
    let sound = stage.feed.sound(stage.bench.now);
    stage.send(&[sound]);
    assert_eq!(of(&stage.bench, &Event::TransportResumed { transport: FEED }), 1);
    // What is no frame is no sign of life.
    for _ in 0..29 {
        stage.bench.pass(ms(1_000));
        stage.bench.frame(FEED, b"no frame");
    }
    assert_eq!((of(&stage.bench, &stalled), stage.bench.closed(FEED)), (2, None));
    stage.bench.pass(ms(1_100));
    assert_eq!(stage.bench.closed(FEED), Some(CloseReason::ConsentLost));
    let late = stage.feed.sound(stage.bench.now);
    stage.bench.frame(FEED, &late);
    assert_eq!(stage.dropped(DropReason::FrameUnexpected), 1);
}

#[test]
fn a_feed_that_never_sends_anything_ends_after_thirty_seconds() {
    let mut stage = Stage::new();
    stage.bench.pass(ms(29_900));
    assert_eq!(stage.bench.closed(FEED), None);
    stage.bench.pass(ms(200));
    assert_eq!(stage.bench.closed(FEED), Some(CloseReason::ConsentLost));
}

#[test]
fn a_hang_up_ends_a_feed_once_and_leaves_nothing() {
    let mut bench = Bench::new();
    let empty = bench.shard.footprint();
    let mut feed = Feed::new(FEED, [VIDEO, AUDIO], 7);
    bench.command(feed.open());
    for frame in feed.picture(bench.now) {
        bench.frame(FEED, &frame);
    }
    for _ in 0..2 {
        bench.shard.local_closed(bench.now, FEED);
        bench.transmit();
    }
    assert_eq!(bench.closed(FEED), Some(CloseReason::PeerClosed));
    assert_eq!(bench.shard.footprint(), empty);
    // A peer connection does not end so.
    let mut browser = Peer::new(1);
    browser.connect(&mut bench);
    bench.shard.local_closed(bench.now, browser.id);
    bench.transmit();
    assert_eq!(bench.closed(browser.id), None);
}

#[test]
fn hostile_frames_are_counted_and_change_nothing() {
    let mut stage = Stage::playing();
    let good = stage.feed.packet(Route::Audio, stage.bench.now, false, &[0; 60]);
    let with = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        frame
    };
    let (header, gap) = (16, u64::from(u32::MAX / 2));
    // A header extension that is longer than its packet.
    let mut endless = with(header, 0x90);
    endless[header + 14] = 0xff;
    let cases: [(Vec<u8>, DropReason, u64); 14] = [
        (Vec::new(), DropReason::FrameMalformed, 1),
        (good[..header].to_vec(), DropReason::FrameMalformed, 1),
        (with(0, 0x21), DropReason::FrameMalformed, 1),
        (with(0, 0x13), DropReason::FrameMalformed, 1),
        (with(1, 0x80), DropReason::FrameMalformed, 1),
        (with(9, 1), DropReason::FrameMalformed, 1),
        (vec![0x11; 5000], DropReason::TooLarge, 1),
        (good[..header + 11].to_vec(), DropReason::RtpMalformed, 1),
        (with(header, 0x40), DropReason::RtpMalformed, 1),
        (endless, DropReason::RtpMalformed, 1),
        (with(header + 1, 100), DropReason::UnknownPayloadType, 1),
        // Video's place, audio's SSRC; a place that is not there; an SSRC that nobody named.
        (with(3, 0), DropReason::UnknownSsrc, 1),
        (with(3, 200), DropReason::UnknownSsrc, 1),
        (with(header + 11, 0x77), DropReason::UnknownSsrc, 1),
    ];
    for (frame, reason, count) in cases {
        let (before, footprint) = (stage.dropped(reason), stage.bench.shard.footprint());
        stage.bench.frame(FEED, &frame);
        assert_eq!(stage.dropped(reason), before + count, "{reason:?}: {frame:?}");
        assert_eq!(stage.bench.shard.footprint(), footprint);
    }
    // Numbers that jump half their space are one addition, not a loop.
    let missed = stage.dropped(DropReason::LinkGap);
    for _ in 0..4 {
        let mut jump = good.clone();
        let number = u32::from_be_bytes(jump[4..8].try_into().unwrap());
        jump[4..8].copy_from_slice(&number.wrapping_add(1 << 31).to_be_bytes());
        stage.bench.frame(FEED, &jump);
        stage.bench.frame(FEED, &good);
    }
    assert!(stage.dropped(DropReason::LinkGap) - missed <= 8 * (gap + 1));
    // RTCP that does not parse, and what only viewers may say.
    for body in [
        &b"\x80\xc8\0\x06"[..],
        b"\0\0\0\0",
        b"\x81\xce\0\x02\0\0\0\0\0\0\0\x01",
        &[0xff; 1400],
    ] {
        let frame = stage.feed.frame(0x12, 0, body);
        stage.bench.frame(FEED, &frame);
    }
    // Nobody's frames, and a browser's.
    stage.bench.frame(TransportId(99), &good);
    stage.bench.frame(stage.viewer.id, &good);
    assert_eq!(stage.dropped(DropReason::FrameUnexpected), 2);
    stage.unharmed();
}

#[test]
fn a_datagram_never_reaches_a_feed() {
    let mut stage = Stage::playing();
    let mut stranger = Peer::new(9);
    // There are no credentials to know.
    for ufrag in ["", "local", "7"] {
        stranger.spec.local_ufrag = ufrag.to_owned();
        let check = stranger.check(true);
        assert_eq!(stage.bench.answer_to(stranger.address, &check), 0);
    }
    stage.unharmed();
}

#[test]
fn a_feed_takes_no_slots_and_no_name_twice() {
    let mut stage = Stage::new();
    assert_eq!(stage.bench.refusal(stage.feed.open()), Some(RefusalCode::Duplicate));
    let slot = Command::AddSlot {
        transport: FEED,
        slot: stage.viewer.spec.slots[0].clone(),
    };
    assert_eq!(stage.bench.refusal(slot), Some(RefusalCode::Invalid));
    let listen = Command::Listen {
        transport: FEED,
        group: rostra_sfu::ids::GroupId(1),
        mids: vec![common::mid("a")],
        excluded: Vec::new(),
    };
    assert_eq!(stage.bench.refusal(listen), Some(RefusalCode::UnknownSlot));
    assert_eq!(stage.bench.shard.problems(), Vec::<String>::new());
    stage.play(10);
    stage.unharmed();
}
