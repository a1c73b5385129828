//! The usual scene: an honest publisher, an honest viewer of it, and somebody else.

use std::time::Duration;

use super::peer::Peer;
use super::{Bench, ms};

/// Between two pictures.
const PICTURE: Duration = Duration::from_millis(33);

pub struct Stage {
    pub bench: Bench,
    pub publisher: Peer,
    pub viewer: Peer,
    /// Connected, showing nothing and sending nothing. Its methods are those of an honest client; what is done with them is not.
    pub attacker: Peer,
    tick: u64,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With a publisher that is made otherwise.
    pub fn with(make: impl FnOnce(&mut Peer)) -> Self {
        let mut bench = Bench::new();
        let [mut publisher, mut viewer, mut attacker] = [1, 2, 3].map(Peer::new);
        make(&mut publisher);
        for peer in [&mut publisher, &mut viewer, &mut attacker] {
            peer.connect(&mut bench);
        }
        bench.bind(viewer.id, "0", publisher.video_track());
        bench.bind(viewer.id, "2", publisher.audio_track());
        let mut stage = Self {
            bench,
            publisher,
            viewer,
            attacker,
            tick: 0,
        };
        stage.play(10);
        assert!(stage.viewer.pictures(0) >= 9, "{} pictures", stage.viewer.pictures(0));
        stage
    }

    /// The show goes on for some pictures. The attacker does nothing.
    pub fn play(&mut self, pictures: u64) {
        for _ in 0..pictures {
            let Self {
                bench,
                publisher,
                viewer,
                ..
            } = self;
            if self.tick.is_multiple_of(60) {
                publisher.ping(bench);
                viewer.ping(bench);
            }
            self.tick += 1;
            publisher.send_frame(bench);
            let sound = publisher.sound(bench.now);
            bench.raw(publisher.address, &sound);
            bench.pass(PICTURE);
            publisher.hear(bench);
            viewer.hear(bench);
        }
    }

    /// The show goes on for about this long.
    pub fn play_for(&mut self, duration: Duration) {
        self.play(duration.as_millis() as u64 / 33);
    }

    /// # Panics
    /// When the viewer misses a picture or a packet of sound, or anybody honest is gone.
    pub fn unharmed(&mut self) {
        // What was under way.
        self.bench.pass(ms(20));
        self.viewer.hear(&mut self.bench);
        let sound = self.viewer.slot_ssrc(2);
        let before = (self.viewer.pictures(0), self.viewer.heard(sound));
        self.play(10);
        assert_eq!(
            (self.viewer.pictures(0), self.viewer.heard(sound)),
            (before.0 + 10, before.1 + 10),
            "pictures and sound of an honest viewer"
        );
        for peer in [&self.publisher, &self.viewer] {
            assert_eq!(self.bench.closed(peer.id), None);
        }
    }
}
