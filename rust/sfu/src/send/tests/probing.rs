//! The estimate and what it is found out with: clusters of probes, the pace, the queue.

use std::time::Duration;

use super::limits::temporal;
use super::source::slot_spec;
use super::world::{AUDIO, MS, VIDEO, World, assert_contiguous};
use crate::bandwidth::Config;
use crate::command::{Codec, ExtensionKind, Kind};
use crate::ids::Ssrc;
use crate::receive::transport_cc::{TransportCcRecorder, Wrote};
use crate::time::Time;

/// A line with an endless queue, and a viewer who reports what arrives.
struct Line {
    world: World,
    bps: u64,
    free: u64,
    read: usize,
    flying: Vec<(u64, u16)>,
    recorder: TransportCcRecorder,
    wait: u64,
}

impl Line {
    fn new(world: World, bps: u64) -> Self {
        Self {
            read: world.seen.len(),
            world,
            bps,
            free: 0,
            flying: Vec::new(),
            recorder: TransportCcRecorder::default(),
            wait: 0,
        }
    }

    /// One picture of `count` packets, and 33 ms.
    fn picture(&mut self, count: usize, key: bool) {
        self.world.picture(VIDEO, 0, count, key);
        self.quiet(33);
    }

    fn quiet(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.world.pass(MS);
            self.carry();
        }
    }

    fn carry(&mut self) {
        let now = self.world.now.0;
        for seen in &self.world.seen[self.read..] {
            let bits = (seen.payload.len() as u64 + 40) * 8;
            self.free = self.free.max(seen.at.0) + bits * 1_000_000 / self.bps;
            self.wait = self.wait.max(self.free - seen.at.0);
            self.flying.push((self.free + 20_000, seen.transport_cc.unwrap()));
        }
        self.read = self.world.seen.len();
        self.flying.retain(|(at, number)| {
            if *at <= now {
                self.recorder.arrived(Time(*at), *number);
            }
            *at > now
        });
        if self.recorder.due().is_some_and(|due| due.0 + 20_000 <= now) {
            let recorder = &mut self.recorder;
            self.world
                .rtcp(|writer| while recorder.write(Ssrc(1), Ssrc(2), writer) == Wrote::Part {})
                .0
                .unwrap();
        }
    }

    fn estimate(&self) -> u64 {
        self.world.sender.estimate_bps()
    }
}

fn showing(rtx: bool) -> World {
    let slots = [slot_spec(VIDEO, Kind::Video, rtx), slot_spec(AUDIO, Kind::Audio, false)];
    let extensions = [ExtensionKind::Mid, ExtensionKind::TransportCc];
    let mut world = World::with(&[Codec::Vp8, Codec::Opus], &slots, &extensions);
    world.bind(VIDEO, 0);
    world.bind(AUDIO, 1);
    world.source(0).size = 1_000;
    world.picture(VIDEO, 0, 3, true);
    world
}

#[test]
fn what_is_wanted_is_probed_for_by_repeating_packets() {
    let mut line = Line::new(showing(true), 50_000_000);
    line.world.sender.set_demand(line.world.now, 500_000, 4_000_000);
    for _ in 0..60 {
        line.picture(2, false);
    }
    // Half a megabit is sent; what was proved is what is wanted and a little more.
    let estimate = line.estimate();
    assert!((4_400_000..5_500_000).contains(&estimate), "{estimate}");
    let probes = line.world.again(VIDEO).len();
    assert!((10..60).contains(&probes), "{probes}");
    assert_eq!(line.world.stats.retransmissions_out, probes as u64);
    assert_contiguous(&line.world.media(VIDEO));
    assert_contiguous(&line.world.again(VIDEO));
}

#[test]
fn a_picture_that_is_turned_off_is_probed_for_with_padding() {
    let mut line = Line::new(showing(true), 50_000_000);
    line.world.sender.set_demand(line.world.now, 500_000, 0);
    for _ in 0..30 {
        line.picture(2, false);
    }
    line.world.sender.unbind(line.world.now, VIDEO);
    let shown = line.world.media(VIDEO).len();
    line.world.sender.set_demand(line.world.now, 0, 3_000_000);
    for _ in 0..100 {
        // Sound goes on.
        line.world.picture(AUDIO, 1, 1, false);
        line.quiet(33);
    }
    let estimate = line.estimate();
    assert!(estimate >= 3_000_000, "{estimate}");
    assert_eq!(line.world.media(VIDEO).len(), shown);
    let padding = line.world.again(VIDEO);
    assert!(padding.len() > 20 && padding.iter().all(|seen| seen.payload.is_empty()));
    assert_contiguous(&padding);
    // What comes after it are retransmissions with numbers of their own.
    line.world.bind(VIDEO, 0);
    line.world.picture(VIDEO, 0, 3, true);
    line.quiet(100);
    assert_contiguous(&line.world.media(VIDEO));
}

#[test]
fn nothing_is_probed_for_when_nothing_better_is_wanted() {
    let mut line = Line::new(showing(true), 50_000_000);
    line.world.sender.set_demand(line.world.now, 500_000, 0);
    for _ in 0..60 {
        line.picture(2, false);
    }
    assert!(line.world.again(VIDEO).is_empty());
    assert!(line.estimate() <= 1_000_000, "{}", line.estimate());
}

#[test]
fn without_retransmissions_padding_stands_between_pictures() {
    let mut line = Line::new(showing(false), 50_000_000);
    line.world.sender.set_demand(line.world.now, 500_000, 4_000_000);
    for _ in 0..60 {
        line.picture(2, false);
    }
    let estimate = line.estimate();
    assert!(estimate >= 4_400_000, "{estimate}");
    let media = line.world.media(VIDEO);
    assert_contiguous(&media);
    let padding: Vec<_> = media.iter().filter(|seen| seen.payload.is_empty()).collect();
    assert!((50..300).contains(&padding.len()), "{}", padding.len());
    assert!(line.world.again(VIDEO).is_empty());
    // A picture is never cut: padding has the timestamp of the picture before it, and comes behind its last packet.
    for pair in media.windows(2) {
        if pair[1].payload.is_empty() {
            assert!(pair[0].marker || pair[0].payload.is_empty());
            assert_eq!(pair[0].timestamp, pair[1].timestamp);
        }
    }
}

#[test]
fn below_a_limit_padding_stands_between_pictures_too() {
    let mut line = Line::new(showing(false), 50_000_000);
    line.world.bind_up_to(VIDEO, 0, temporal(1));
    line.world.sender.set_demand(line.world.now, 500_000, 4_000_000);
    let mut late = Vec::new();
    for n in 0..240 {
        let (layer, from_base) = [(0, true), (2, true), (1, true), (2, false)][n % 4];
        line.world.source(0).temporal = (layer, from_base);
        let now = line.world.now;
        let made = line.world.source(0).make(now, 2, false);
        for (i, made) in made.into_iter().enumerate() {
            // What comes late keeps the number that was left for it, whatever was padded meanwhile.
            if (n + i) % 17 == 3 {
                late.push(made);
            } else {
                let _ = line.world.arrive(VIDEO, 0, &made);
            }
        }
        line.picture(0, false);
        if n % 3 == 0 {
            for made in late.drain(..) {
                let _ = line.world.arrive(VIDEO, 0, &made);
            }
        }
    }
    for made in late {
        let _ = line.world.arrive(VIDEO, 0, &made);
    }
    line.picture(0, false);
    assert_eq!(line.world.sender.limit(VIDEO), Some(temporal(1)));
    let estimate = line.estimate();
    assert!(estimate >= 4_400_000, "{estimate}");
    let mut media: Vec<_> = line.world.media(VIDEO).into_iter().cloned().collect();
    media.sort_by_key(|seen| seen.seq);
    assert_contiguous(&media.iter().collect::<Vec<_>>());
    let padding = media.iter().filter(|seen| seen.payload.is_empty()).count();
    assert!(padding > 50, "{padding}");
}

#[test]
fn a_probe_finds_the_limit_of_the_line_without_flooding_it() {
    let mut line = Line::new(showing(true), 2_000_000);
    for _ in 0..30 {
        line.picture(2, false);
    }
    line.wait = 0;
    line.world.sender.set_demand(line.world.now, 500_000, 4_000_000);
    for _ in 0..150 {
        line.picture(2, false);
    }
    let estimate = line.estimate();
    assert!((1_600_000..2_050_000).contains(&estimate), "{estimate}");
    assert!(line.wait < 60 * MS, "{} µs", line.wait);
}

#[test]
fn a_key_frame_does_not_overrun_a_slow_line() {
    let mut line = Line::new(showing(true), 300_000);
    line.world.sender.set_demand(line.world.now, 250_000, 900_000);
    for _ in 0..200 {
        line.picture(1, false);
    }
    assert!(line.estimate() < 340_000, "{}", line.estimate());
    line.wait = 0;
    // 10 KB are 270 ms of the line.
    line.picture(10, true);
    for _ in 0..20 {
        line.picture(0, false);
    }
    assert!(line.wait < 200 * MS, "{} µs", line.wait);
    assert!(!line.world.sender.has_queued());
}

#[test]
fn sound_does_not_wait_for_a_slow_line() {
    let mut line = Line::new(showing(true), 300_000);
    for _ in 0..100 {
        line.picture(1, false);
    }
    line.world.picture(VIDEO, 0, 60, true);
    for _ in 0..10 {
        line.world.pass(20 * MS);
        line.world.picture(AUDIO, 1, 1, false);
        let at = line.world.now;
        line.world.flush();
        let last = line
            .world
            .seen
            .iter()
            .rev()
            .find(|seen| seen.ssrc != line.world.seen[0].ssrc);
        assert_eq!(last.unwrap().at, at);
        line.carry();
    }
    let delay = line.world.sender.queue_delay(line.world.now);
    assert!(delay >= Duration::from_millis(150), "{delay:?}");
}

#[test]
fn a_queue_that_nobody_sees_to_is_sent_in_the_end() {
    // 1.5 Mb/s whatever the estimate, on a line of a third of that.
    let mut line = Line::new(showing(true), 500_000);
    line.world.source(0).rate_bps = 1_500_000;
    let mut longest = Duration::ZERO;
    for _ in 0..300 {
        line.picture(6, false);
        longest = longest.max(line.world.sender.queue_delay(line.world.now));
    }
    assert!((500..1_000).contains(&longest.as_millis()), "{longest:?}");
    assert_eq!(line.world.dropped(crate::reason::DropReason::QueueFull), 0);
}

#[test]
fn a_viewer_who_can_tell_nothing_is_not_held_back() {
    let slots = [slot_spec(VIDEO, Kind::Video, true)];
    let mut world = World::with(&[Codec::Vp8], &slots, &[ExtensionKind::Mid]);
    world.bind(VIDEO, 0);
    world.picture(VIDEO, 0, 3, true);
    world.sender.set_demand(world.now, 500_000, 2_000_000);
    world.pictures(VIDEO, &[0], 100);
    assert_eq!(world.sender.estimate_bps(), Config::default().max_bps);
    assert!(world.again(VIDEO).is_empty());
}

#[test]
fn the_viewers_own_estimate_counts_where_there_is_no_other_feedback() {
    let slots = [slot_spec(VIDEO, Kind::Video, true)];
    let mut world = World::with(&[Codec::Vp8], &slots, &[ExtensionKind::Mid, ExtensionKind::AbsSendTime]);
    world.bind(VIDEO, 0);
    world.picture(VIDEO, 0, 3, true);
    world.pictures(VIDEO, &[0], 30);
    let remb = |world: &mut World, bps| {
        world
            .rtcp(|writer| assert!(writer.remb(Ssrc(1), bps, &[Ssrc(2)])))
            .0
            .unwrap();
    };
    remb(&mut world, 900_000);
    assert_eq!(world.sender.estimate_bps(), 900_000);
    // The receiver sees no more than what is sent, so more is sent for a while when more is wanted.
    world.sender.set_demand(world.now, 500_000, 2_000_000);
    world.pictures(VIDEO, &[0], 60);
    let probes = world.again(VIDEO).len();
    assert!(probes > 100, "{probes}");
    remb(&mut world, 2_400_000);
    assert_eq!(world.sender.estimate_bps(), 2_400_000);
}
