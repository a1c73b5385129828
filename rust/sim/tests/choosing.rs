//! Wishes for layers of a simulcast track, without a line that limits them: what is asked for is shown, falls back and returns.

#[path = "common/mod.rs"]
mod common;

use common::peer::{Peer, VP8};
use common::{Bench, mid, ms};
use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{Command, EncodingSpec, Event, RefusalCode};
use rostra_sfu::ids::{Ssrc, TransportId};
use rostra_sfu::report::{ShownLayer, TransportReport, Waiting};
use rostra_sfu::rtp::header::RtpHeader;
use rostra_sfu::rtp::rtcp::{Rtcp, packets};

/// Payload bytes per picture of each encoding; the filler names the encoding.
const SIZES: [usize; 3] = [200, 500, 1100];

/// A publisher of three encodings, one packet per picture, key frames on request.
struct Ladder {
    peer: Peer,
    index: [u64; 3],
    wanted: [bool; 3],
    flows: [bool; 3],
    asked: [u32; 3],
    heard: usize,
    ticks: u64,
}

impl Ladder {
    fn new() -> Self {
        let mut peer = Peer::new(1);
        let base = peer.video_ssrc().0;
        let named = |place: u32| EncodingSpec {
            ssrc: Some(Ssrc(base + 100 + 2 * place)),
            rtx_ssrc: Some(Ssrc(base + 101 + 2 * place)),
            ..EncodingSpec::default()
        };
        peer.spec.receive[1].encodings = (0..3).map(named).collect();
        Self {
            peer,
            index: [5000, 6000, 7000],
            wanted: [true; 3],
            flows: [true; 3],
            asked: [0; 3],
            heard: 0,
            ticks: 0,
        }
    }

    fn ssrc(&self, encoding: usize) -> Ssrc {
        self.peer.spec.receive[1].encodings[encoding].ssrc.expect("signalled")
    }

    /// Requests for key frames that came since the last picture.
    fn obey(&mut self) {
        let ssrcs = [0, 1, 2].map(|encoding| self.ssrc(encoding));
        for (_, compound) in &self.peer.rtcp[self.heard..] {
            for packet in packets(compound).flatten() {
                if let Rtcp::Pli { media, .. } = packet
                    && let Some(encoding) = ssrcs.iter().position(|ssrc| *ssrc == media)
                {
                    self.wanted[encoding] = true;
                    self.asked[encoding] += 1;
                }
            }
        }
        self.heard = self.peer.rtcp.len();
    }

    /// One picture of every encoding that flows.
    fn picture(&mut self, bench: &mut Bench) {
        self.obey();
        let timestamp = (bench.now.0 * 90 / 1000) as u32;
        for (encoding, size) in SIZES.into_iter().enumerate() {
            if !self.flows[encoding] {
                continue;
            }
            let index = self.index[encoding];
            self.index[encoding] += 1;
            let key = std::mem::take(&mut self.wanted[encoding]);
            let mut payload = vec![0x90, 0xc0, 0x80 | (index >> 8) as u8 & 0x7f, index as u8, index as u8];
            payload.push(if key { 0x10 } else { 0x11 });
            payload.resize(size, encoding as u8);
            let ssrc = self.ssrc(encoding);
            let (plain, header) = self
                .peer
                .packet(ssrc, VP8, Some("v"), index as u16, timestamp, true, &payload);
            let sealed = self.peer.seal(&plain, header, index);
            bench.raw(self.peer.address, &sealed);
        }
    }
}

struct Show {
    bench: Bench,
    ladder: Ladder,
    viewer: Peer,
}

impl Show {
    fn new() -> Self {
        let mut bench = Bench::new();
        let mut ladder = Ladder::new();
        let mut viewer = Peer::new(2);
        ladder.peer.connect(&mut bench);
        viewer.connect(&mut bench);
        Self { bench, ladder, viewer }
    }

    fn bind(&mut self, slot: &str, choice: LayerChoice) {
        self.bench.command(Command::BindSlot {
            transport: self.viewer.id,
            mid: mid(slot),
            track: self.ladder.peer.video_track(),
            choice,
            priority: Priority::default(),
        });
    }

    fn play(&mut self, millis: u64) {
        for _ in 0..millis / 33 {
            if self.ladder.ticks.is_multiple_of(60) {
                self.ladder.peer.ping(&mut self.bench);
                self.viewer.ping(&mut self.bench);
            }
            self.ladder.ticks += 1;
            self.ladder.picture(&mut self.bench);
            self.bench.pass(ms(33));
            self.ladder.peer.hear(&mut self.bench);
            self.viewer.hear(&mut self.bench);
        }
    }

    /// Encodings whose packets came in a slot during the time, in the order of their first packet.
    fn seen(&mut self, slot: usize, millis: u64) -> Vec<u8> {
        let from = self.viewer.rtp.len();
        self.play(millis);
        let ssrc = self.viewer.slot_ssrc(slot);
        let mut seen: Vec<u8> = self.viewer.rtp[from..]
            .iter()
            .filter(|packet| RtpHeader::parse(packet).is_ok_and(|header| header.ssrc == ssrc))
            .filter_map(|packet| packet.last().copied())
            .collect();
        seen.dedup();
        seen
    }

    fn told(&self, slot: &str) -> Option<Option<ShownLayer>> {
        self.bench.events.iter().rev().find_map(|event| match event {
            Event::SlotLayer {
                transport,
                mid: at,
                layer,
            } if (*transport, *at) == (self.viewer.id, mid(slot)) => Some(*layer),
            _ => None,
        })
    }

    fn report(&mut self, transport: TransportId) -> Option<TransportReport> {
        self.bench.command(Command::Inspect { transport });
        self.bench.events.iter().rev().find_map(|event| match event {
            Event::Inspected { transport: of, report } if *of == transport => report.as_deref().cloned(),
            _ => None,
        })
    }
}

fn encoding(place: u8) -> LayerChoice {
    LayerChoice {
        encoding: Some(place),
        ..LayerChoice::default()
    }
}

fn whole(encoding: u8) -> ShownLayer {
    ShownLayer {
        encoding,
        spatial: 255,
        temporal: 255,
    }
}

#[test]
fn a_chosen_encoding_is_shown_and_told_and_an_empty_choice_is_automatic_again() {
    let mut show = Show::new();
    show.play(1000);
    for place in [0, 2, 1] {
        show.bind("0", encoding(place));
        show.play(700);
        assert_eq!(show.seen(0, 500), [place]);
        assert_eq!(show.told("0"), Some(Some(whole(place))));
    }
    show.bind("0", LayerChoice::default());
    show.play(2000);
    assert_eq!(show.seen(0, 500), [2], "nothing limits the line");
}

#[test]
fn a_switch_of_encoding_needs_its_key_frame_and_shows_the_old_one_until_then() {
    let mut show = Show::new();
    show.bind("0", encoding(0));
    show.play(1500);
    let before = show.ladder.asked[2];
    show.bind("0", encoding(2));
    assert_eq!(show.seen(0, 1000), [0, 2], "no third thing in between");
    assert!(show.ladder.asked[2] <= before + 1);
    let bound = show
        .bench
        .events
        .iter()
        .filter(|event| matches!(event, Event::SlotBound { .. }))
        .count();
    assert_eq!(bound, 1, "the track is the same");
}

#[test]
fn a_chosen_encoding_that_stops_falls_to_the_next_lower_one_and_returns() {
    let mut show = Show::new();
    show.bind("0", encoding(2));
    show.play(1500);
    assert_eq!(show.seen(0, 500), [2]);
    show.ladder.flows[2] = false;
    show.play(3500);
    assert_eq!(show.seen(0, 500), [1]);
    show.ladder.flows[2] = true;
    show.ladder.wanted[2] = true;
    show.play(2500);
    assert_eq!(show.seen(0, 500), [2]);
}

#[test]
fn an_encoding_that_starts_late_is_found() {
    let mut show = Show::new();
    show.ladder.flows = [true, false, false];
    show.bind("0", LayerChoice::default());
    show.play(1500);
    assert_eq!(show.seen(0, 500), [0]);
    show.ladder.flows = [true; 3];
    show.play(3500);
    assert_eq!(show.seen(0, 500), [2]);
}

#[test]
fn only_a_high_encoding_flows_and_is_shown() {
    let mut show = Show::new();
    show.ladder.flows = [false, false, true];
    show.bind("0", LayerChoice::default());
    show.play(1500);
    assert_eq!(show.seen(0, 500), [2]);
}

#[test]
fn two_slots_of_one_track_show_two_encodings() {
    let mut show = Show::new();
    show.bind("0", encoding(0));
    show.bind("1", encoding(2));
    show.play(1500);
    assert_eq!((show.seen(0, 500), show.seen(1, 500)), (vec![0], vec![2]));
}

#[test]
fn a_viewer_learns_that_a_slot_shows_nothing_any_more() {
    let mut show = Show::new();
    show.bind("0", LayerChoice::default());
    show.play(1500);
    assert!(show.told("0").flatten().is_some());
    show.bench.command(Command::UnbindSlot {
        transport: show.viewer.id,
        mid: mid("0"),
    });
    assert_eq!(show.told("0"), Some(None));
    show.bind("0", LayerChoice::default());
    show.play(700);
    assert!(show.told("0").flatten().is_some());
    show.bench.command(Command::CloseTransport {
        transport: show.ladder.peer.id,
    });
    assert_eq!(show.told("0"), Some(None));
}

#[test]
fn a_publisher_whose_every_picture_has_another_size_costs_few_decisions() {
    let mut show = Show::new();
    show.bind("0", LayerChoice::default());
    show.play(700);
    let told = |show: &Show| {
        let events = show.bench.events.iter();
        events.filter(|event| matches!(event, Event::TrackLayers(_))).count()
    };
    let (before, from) = (told(&show), show.bench.now);
    for round in 0..1000_u16 {
        let index = show.ladder.index[0];
        show.ladder.index[0] += 1;
        let [low, high] = (100 + round % 2 * 100).to_le_bytes();
        let mut payload = vec![0x90, 0xc0, 0x80 | (index >> 8) as u8 & 0x7f, index as u8, index as u8];
        payload.extend([0x10, 0, 0, 0x9d, 0x01, 0x2a, low, high, low, high, 0]);
        let timestamp = (show.bench.now.0 * 90 / 1000) as u32;
        let ssrc = show.ladder.ssrc(0);
        let peer = &mut show.ladder.peer;
        let (plain, header) = peer.packet(ssrc, VP8, Some("v"), index as u16, timestamp, true, &payload);
        let sealed = peer.seal(&plain, header, index);
        show.bench.raw(show.ladder.peer.address, &sealed);
        show.bench.pass(ms(1));
    }
    let seconds = show.bench.now.since(from).as_secs_f64();
    let told = told(&show) - before;
    assert!((5..=22).contains(&told), "{told} times in {seconds} s");
}

#[test]
fn a_choice_for_sound_or_for_nobody_changes_nothing() {
    let mut show = Show::new();
    let track = show.ladder.peer.video_track();
    let refused = show.bench.refusal(Command::BindSlot {
        transport: show.viewer.id,
        mid: mid("2"),
        track,
        choice: encoding(1),
        priority: Priority::Promoted,
    });
    assert_eq!(refused, Some(RefusalCode::KindMismatch));
    assert!(show.bench.shard.problems().is_empty());
}

#[test]
fn a_report_says_how_far_a_transport_came_and_what_it_waits_for() {
    let mut show = Show::new();
    assert_eq!(show.report(TransportId(99)), None);
    show.bind("0", LayerChoice::default());
    let waiting = |report: &TransportReport| report.slots.first().and_then(|slot| slot.waiting);
    let viewer = show.viewer.id;
    let report = show.report(viewer).expect("it is there");
    assert!(report.ice_us.is_some() && report.dtls_us.is_some(), "{report:?}");
    assert_eq!(
        (report.first_packet_us, waiting(&report)),
        (None, Some(Waiting::Packets))
    );
    // Pictures, but never a key frame.
    show.ladder.wanted = [false; 3];
    show.ladder.picture(&mut show.bench);
    let report = show.report(viewer).expect("it is there");
    assert_eq!(
        (report.first_bound_us, waiting(&report)),
        (None, Some(Waiting::KeyFrame))
    );
    show.play(1500);
    let report = show.report(viewer).expect("it is there");
    assert_eq!(waiting(&report), None);
    let steps = [
        report.ice_us,
        report.dtls_us,
        report.first_packet_us,
        report.first_bound_us,
    ];
    assert!(steps.iter().all(Option::is_some) && steps.is_sorted(), "{report:?}");
    let publisher = show.ladder.peer.id;
    let report = show.report(publisher).expect("it is there");
    assert!(
        report.first_key_frame_us >= report.first_packet_us && report.first_packet_us.is_some(),
        "{report:?}"
    );
}
