//! Pools of slots in a shard with real packets: what conversations at random do not say clearly.

use std::time::Duration;

use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{Codec, Command, Event};
use rostra_sfu::ids::{GroupId, Mid, SourceKey, TrackId, TransportId};
use rostra_sim::talk::stage::Stage;
use rostra_sim::talk::{Line, Peer};

const GROUP: GroupId = GroupId(1);
const VIEWER: u32 = 9;
const LOUD: (u8, bool) = (25, true);
const SILENT: (u8, bool) = (127, false);

fn mid(place: u64) -> Mid {
    Mid::new(place.to_string().as_bytes()).unwrap()
}

/// Publishers of a microphone each, and a viewer with four slots of which it listens on the last three.
struct Scene {
    stage: Stage,
    sources: Vec<Peer>,
    seqs: Vec<u64>,
    viewer: Peer,
    /// By slot: the packets that came, whose they are.
    heard: [Vec<u64>; 4],
    told: Vec<(u64, Option<u64>)>,
    bound: usize,
}

impl Scene {
    fn new(codecs: &[Codec], takes: &[Codec]) -> Self {
        let mut stage = Stage::new(1);
        let mut sources = Vec::new();
        for (number, codec) in (1..).zip(codecs) {
            let track = TrackId(u64::from(number));
            let mut peer = Peer::publisher(number, &[Line { track, codec: *codec }]);
            peer.connect(&mut stage);
            stage.command(Command::AddVoice {
                group: GROUP,
                track,
                source: SourceKey(u64::from(number)),
            });
            sources.push(peer);
        }
        let mut viewer = Peer::viewer(VIEWER, 4, takes);
        viewer.connect(&mut stage);
        let mut scene = Self {
            stage,
            seqs: vec![1000; sources.len()],
            sources,
            viewer,
            heard: [const { Vec::new() }; 4],
            told: Vec::new(),
            bound: 0,
        };
        scene.listen(&[1, 2, 3], &[]);
        scene
    }

    fn of(count: usize) -> Self {
        Self::new(&vec![Codec::Opus; count], &[Codec::Opus])
    }

    fn listen(&mut self, mids: &[u64], excluded: &[u64]) {
        self.stage.command(Command::Listen {
            transport: self.viewer.id,
            group: GROUP,
            mids: mids.iter().map(|place| mid(*place)).collect(),
            excluded: excluded.iter().map(|key| SourceKey(*key)).collect(),
        });
        self.hear();
    }

    fn bind(&mut self, place: u64, track: u64) {
        self.stage.command(Command::BindSlot {
            transport: self.viewer.id,
            mid: mid(place),
            track: TrackId(track),
            choice: LayerChoice::default(),
            priority: Priority::default(),
        });
        self.hear();
    }

    fn hear(&mut self) {
        for event in self.stage.take_events() {
            match event {
                Event::SlotVoice { mid, track, .. } => {
                    let place = mid.to_string().parse().unwrap();
                    self.told.push((place, track.map(|track| track.0)));
                }
                Event::SlotBound { .. } => self.bound += 1,
                Event::Rejected { code, .. } => panic!("{code:?}"),
                _ => {}
            }
        }
        for (address, bytes) in self.stage.take_all() {
            if address == self.viewer.address
                && let Some((ssrc, sound)) = self.viewer.open(&bytes)
            {
                self.heard[self.viewer.slot_of(ssrc).unwrap()].push(sound.track.0);
            }
        }
        assert_eq!(self.stage.shard.problems(), Vec::<String>::new());
    }

    fn packet(&mut self, source: usize, level: Option<(u8, bool)>) {
        self.seqs[source] += 1;
        let mut packet = self.sources[source].sound(0, self.seqs[source], self.stage.now.0, level);
        self.stage.datagram(self.sources[source].address, &mut packet);
        self.hear();
    }

    /// These speak (sources count from 1), the others send a packet of silence in 400 ms.
    fn speak(&mut self, millis: u64, who: &[u64]) {
        for step in 0..millis / 20 {
            for source in 0..self.sources.len() {
                if who.contains(&(source as u64 + 1)) {
                    self.packet(source, Some(LOUD));
                } else if step % 20 == 0 {
                    self.packet(source, Some(SILENT));
                }
            }
            self.stage.pass_for(Duration::from_millis(20));
            self.hear();
        }
    }

    /// What came in each slot of the pool over a while.
    fn listen_to(&mut self, millis: u64, who: &[u64]) -> [Vec<u64>; 3] {
        self.heard = Default::default();
        self.speak(millis, who);
        let heard = |place: usize| {
            let mut heard = self.heard[place].clone();
            heard.dedup();
            heard
        };
        [heard(1), heard(2), heard(3)]
    }

    fn told(&mut self) -> Vec<(u64, Option<u64>)> {
        std::mem::take(&mut self.told)
    }
}

#[test]
fn who_speaks_comes_into_a_slot_and_is_told_by_its_slot_alone() {
    let mut scene = Scene::of(5);
    scene.speak(600, &[]);
    assert_eq!(scene.told(), []);
    scene.speak(600, &[4]);
    assert_eq!(scene.told(), [(1, Some(4))]);
    assert_eq!(scene.listen_to(600, &[4, 2]), [vec![4], vec![2], vec![]]);
    assert_eq!((scene.told(), scene.bound), (vec![(2, Some(2))], 0));
}

#[test]
fn a_muted_microphone_of_60_s_loses_its_slot_only_when_somebody_needs_it() {
    let mut scene = Scene::of(5);
    for source in [1, 2, 3] {
        scene.speak(600, &[source]);
    }
    assert_eq!(scene.told().len(), 3);
    // Nobody's consent may run out: in this test publishers send, and the viewer has nothing to say but its checks.
    for _ in 0..12 {
        scene.speak(5000, &[1]);
        scene.viewer.ping(&mut scene.stage);
    }
    assert_eq!(scene.told(), [], "60 s later all three still have theirs");
    assert_eq!(scene.listen_to(1000, &[1, 5]), [vec![1], vec![2, 5], vec![3]]);
    assert_eq!(scene.told(), [(2, Some(5))]);
}

#[test]
fn where_there_is_room_for_all_silence_is_forwarded_too() {
    let mut scene = Scene::of(3);
    assert_eq!(scene.listen_to(1000, &[]), [vec![1], vec![2], vec![3]]);
    assert_eq!(scene.told(), [(1, Some(1)), (2, Some(2)), (3, Some(3))]);
}

#[test]
fn a_slot_is_emptied_with_its_source_and_given_to_who_needs_it() {
    let mut scene = Scene::of(5);
    scene.speak(1000, &[1, 2, 3]);
    scene.told();
    let transport = scene.sources[1].id;
    scene.stage.command(Command::CloseTransport { transport });
    scene.hear();
    assert_eq!(scene.told(), [(2, None)]);
    scene.speak(1000, &[1, 3, 4]);
    assert_eq!(scene.told(), [(2, Some(4))]);
    scene.stage.command(Command::RemoveVoice { track: TrackId(4) });
    scene.hear();
    assert_eq!(scene.told(), [(2, None)]);
    assert_eq!(scene.listen_to(1000, &[1, 3, 4, 5]), [vec![1], vec![5], vec![3]]);
}

#[test]
fn excluded_voices_are_not_heard_from_that_moment_on() {
    let mut scene = Scene::of(5);
    scene.speak(1000, &[1, 2, 3]);
    scene.told();
    scene.listen(&[1, 2, 3], &[2]);
    assert_eq!(scene.told(), [(2, None)], "the others keep their slots");
    assert_eq!(scene.listen_to(1000, &[1, 2, 3]), [vec![1], vec![], vec![3]]);
    scene.listen(&[1, 2, 3], &[]);
    assert_eq!(scene.listen_to(1000, &[1, 2, 3]), [vec![1], vec![2], vec![3]]);
}

#[test]
fn a_slot_may_be_taken_out_of_the_pool_and_given_back() {
    let mut scene = Scene::of(5);
    scene.speak(1000, &[1, 2, 3]);
    scene.told();
    scene.bind(2, 5);
    assert_eq!(scene.told(), [(2, None)]);
    assert_eq!(scene.listen_to(1000, &[1, 2, 3, 5]), [vec![1], vec![5], vec![3]]);
    assert_eq!(
        (scene.told(), scene.bound),
        (vec![], 1),
        "a bound slot tells what all bound slots tell"
    );
    scene.listen(&[1, 2, 3], &[]);
    assert_eq!(scene.listen_to(1000, &[1, 2, 3]), [vec![1], vec![2], vec![3]]);
    scene.told();
    scene.stage.command(Command::UnbindSlot {
        transport: scene.viewer.id,
        mid: mid(3),
    });
    scene.hear();
    assert_eq!(scene.told(), [(3, None)]);
    assert_eq!(scene.listen_to(1000, &[1, 2, 3]), [vec![1], vec![2], vec![]]);
    scene.listen(&[], &[]);
    assert_eq!(scene.told(), [(1, None), (2, None)]);
    assert_eq!(scene.listen_to(1000, &[1, 2, 3]), [vec![], vec![], vec![]]);
}

#[test]
fn another_group_is_another_conversation() {
    let mut scene = Scene::of(5);
    scene.speak(1000, &[1, 2, 3]);
    scene.told();
    scene.stage.command(Command::RemoveVoice { track: TrackId(5) });
    scene.stage.command(Command::AddVoice {
        group: GroupId(2),
        track: TrackId(5),
        source: SourceKey(5),
    });
    scene.stage.command(Command::Listen {
        transport: scene.viewer.id,
        group: GroupId(2),
        mids: vec![mid(1), mid(2)],
        excluded: Vec::new(),
    });
    scene.hear();
    assert_eq!(scene.told(), [(1, None), (2, None), (3, None)]);
    assert_eq!(scene.listen_to(1000, &[1, 2, 3, 5]), [vec![5], vec![], vec![]]);
}

#[test]
fn surround_is_heard_by_those_who_take_it() {
    let sources = [Codec::Opus, Codec::MultiOpus, Codec::Opus, Codec::Opus];
    let mut both = Scene::new(&sources, &[Codec::Opus, Codec::MultiOpus]);
    assert_eq!(both.listen_to(1000, &[2]), [vec![2], vec![], vec![]]);
    let mut narrow = Scene::new(&sources, &[Codec::Opus]);
    assert_eq!(
        narrow.listen_to(1000, &[2]),
        [vec![1], vec![3], vec![4]],
        "three that it takes have room"
    );
}

#[test]
fn who_listens_before_anybody_is_there_hears_who_comes() {
    let mut scene = Scene::of(0);
    let mut late = Peer::publisher(
        1,
        &[Line {
            track: TrackId(1),
            codec: Codec::Opus,
        }],
    );
    late.connect(&mut scene.stage);
    scene.stage.command(Command::AddVoice {
        group: GROUP,
        track: TrackId(1),
        source: SourceKey(1),
    });
    scene.sources.push(late);
    scene.seqs.push(1000);
    assert_eq!(scene.listen_to(200, &[1]), [vec![1], vec![], vec![]]);
}

#[test]
fn nothing_is_left_behind() {
    let mut scene = Scene::of(0);
    let before = scene.stage.shard.footprint();
    for number in 1..20_u32 {
        let track = TrackId(u64::from(number));
        let mut peer = Peer::publisher(
            100 + number,
            &[Line {
                track,
                codec: Codec::Opus,
            }],
        );
        peer.connect(&mut scene.stage);
        let (group, source) = (GroupId(u64::from(number)), SourceKey(1));
        scene.stage.command(Command::AddVoice { group, track, source });
        let mut viewer = Peer::viewer(200 + number, 2, &[Codec::Opus]);
        viewer.connect(&mut scene.stage);
        scene.stage.command(Command::Listen {
            transport: viewer.id,
            group,
            mids: vec![mid(0), mid(1)],
            excluded: vec![source],
        });
        let gone: [TransportId; 2] = if number % 2 == 0 {
            [peer.id, viewer.id]
        } else {
            [viewer.id, peer.id]
        };
        for transport in gone {
            scene.stage.command(Command::CloseTransport { transport });
            assert_eq!(scene.stage.shard.problems(), Vec::<String>::new());
        }
    }
    assert_eq!(scene.stage.shard.footprint(), before);
}
