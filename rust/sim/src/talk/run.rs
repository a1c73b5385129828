//! A conversation as it happens.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;

use rostra_sfu::command::{Codec, Command, Event};
use rostra_sfu::ids::{GroupId, SourceKey, TrackId};
use rostra_sfu::time::Time;
use rostra_sfu::transport::classify::{Class, classify};

use super::oracle::{Bounds, Ears, JITTER_US, LOOK_US, Look, Verdict};
use super::peer::{Line, Peer, mid};
use super::script::{Script, Source};
use super::stage::Stage;
use crate::random::Random;

const GROUP: GroupId = GroupId(1);
/// The first slot of a viewer is for the main sound: no voice comes there.
const POOL: std::ops::Range<usize> = 1..4;
const PACKET_US: u64 = 20_000;
const TICK_US: u64 = 1_000;
const DTX: u64 = 20;
/// Numbers of peers: those who share a connection, viewers, guests.
const STUDIO: u32 = 1;
const VIEWER: u32 = 2;
const GUEST: u32 = 100;

/// What the oracles are told wrongly, so that each is seen to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lies {
    /// One event in so many that tell what a slot plays gets lost.
    pub forget: Option<u64>,
    /// The viewers excluded one more source than the server knows.
    pub exclude: Option<usize>,
}

/// What came of a conversation.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many sources.
    pub sources: usize,
    /// Of all viewers.
    pub verdict: Verdict,
    /// Events that told who speaks.
    pub told: u64,
    /// Packets that publishers sent.
    pub sent: u64,
}

/// A packet on its way to the server.
type OnItsWay = Reverse<(u64, u64, SocketAddr, Vec<u8>)>;

struct World {
    stage: Stage,
    script: Script,
    random: Random,
    bounds: Bounds,
    lies: Lies,
    began_us: u64,
    studio: Peer,
    guests: HashMap<usize, Peer>,
    viewers: Vec<(Peer, Ears)>,
    /// Viewers that take no more than two channels.
    narrow: Vec<bool>,
    /// What each source is known by while it takes part, and since when.
    tracks: Vec<Option<(TrackId, u64)>>,
    /// … of all times.
    owners: HashMap<TrackId, usize>,
    seqs: Vec<u64>,
    on_the_way: BinaryHeap<OnItsWay>,
    order: u64,
    next_guest: u32,
    told_at_us: Option<u64>,
    outcome: Outcome,
}

/// One conversation from its seed, so many seconds long.
pub fn run(seed: u64, seconds: u64, bounds: Bounds, lies: Lies) -> Outcome {
    let mut random = Random::new(seed);
    let script = Script::random(&mut random, seconds * 1_000_000);
    let mut world = World::new(seed, script, random, bounds, lies);
    world.play();
    let problems = world.stage.shard.problems();
    for viewer in world.viewers {
        let Verdict {
            wrong,
            packets,
            changes,
            owed,
            waits_us,
        } = viewer.1.verdict;
        let all = &mut world.outcome.verdict;
        all.wrong.extend(wrong);
        all.packets += packets;
        all.changes += changes;
        all.owed += owed;
        all.waits_us.extend(waits_us);
    }
    world.outcome.verdict.wrong.extend(problems);
    world.outcome
}

impl World {
    fn new(seed: u64, script: Script, mut random: Random, bounds: Bounds, lies: Lies) -> Self {
        let mut stage = Stage::new(seed);
        let count = script.sources.len();
        let lines: Vec<_> = script
            .sources
            .iter()
            .enumerate()
            .map(|(number, source)| Line {
                track: TrackId(number as u64 + 1),
                codec: source.codec,
            })
            .collect();
        let mut studio = Peer::publisher(STUDIO, &lines);
        studio.connect(&mut stage);
        let mut viewers = Vec::new();
        for number in 0..2 + random.below(4) as u32 {
            // Some take no more than two channels.
            let codecs = [Codec::Opus, Codec::MultiOpus];
            let codecs = codecs.get(..1 + random.below(2) as usize).unwrap_or(&codecs);
            let mut peer = Peer::viewer(VIEWER + number, POOL.end, codecs);
            peer.connect(&mut stage);
            let ears = Ears::new(peer.id, count, POOL.len(), bounds);
            viewers.push((peer, ears, codecs.len() == 1));
        }
        let began_us = stage.now.0;
        let mut world = Self {
            tracks: vec![None; count],
            owners: HashMap::new(),
            seqs: vec![1_000; count],
            guests: HashMap::new(),
            viewers: Vec::new(),
            narrow: Vec::new(),
            on_the_way: BinaryHeap::new(),
            order: 0,
            next_guest: GUEST,
            told_at_us: None,
            outcome: Outcome {
                sources: count,
                verdict: Verdict::default(),
                told: 0,
                sent: 0,
            },
            stage,
            script,
            random,
            bounds,
            lies,
            began_us,
            studio,
        };
        for (peer, ears, narrow) in viewers {
            world.viewers.push((peer, ears));
            world.narrow.push(narrow);
            world.listen(world.viewers.len() - 1);
        }
        world
    }

    /// A viewer listens, to all but its own source and some others.
    fn listen(&mut self, viewer: usize) {
        let narrow = self.narrow.get(viewer) == Some(&true);
        let count = self.script.sources.len();
        let excluded: Vec<_> = (0..self.random.below(5))
            .map(|_| self.random.below(count as u64) as usize)
            .collect();
        let mut deaf_to: Vec<_> = self
            .script
            .sources
            .iter()
            .map(|one| narrow && one.codec == Codec::MultiOpus)
            .collect();
        for source in excluded.iter().copied().chain(self.lies.exclude) {
            if let Some(deaf) = deaf_to.get_mut(source) {
                *deaf = true;
            }
        }
        let Some((peer, ears)) = self.viewers.get_mut(viewer) else {
            return;
        };
        ears.listens(deaf_to);
        let listen = Command::Listen {
            transport: peer.id,
            group: GROUP,
            mids: POOL.map(mid).collect(),
            excluded: excluded.iter().map(|source| SourceKey(*source as u64 + 1)).collect(),
        };
        self.stage.command(listen);
        self.hear();
    }

    fn play(&mut self) {
        let length_us = self.script.length_us;
        let mut at_us = 0;
        while at_us < length_us {
            self.come_and_go(at_us);
            for source in 0..self.script.sources.len() {
                // Everybody's packets at a time of their own within 20 ms.
                if (at_us + source as u64 * 7_000) % PACKET_US < TICK_US {
                    self.say(source, at_us);
                }
            }
            if self.random.below(3_000_000) < TICK_US {
                let viewer = self.random.below(self.viewers.len() as u64) as usize;
                self.listen(viewer);
            }
            at_us += TICK_US;
            self.arrive(self.began_us + at_us);
            if at_us % LOOK_US == 0 {
                self.look();
            }
        }
    }

    fn come_and_go(&mut self, at_us: u64) {
        for number in 0..self.script.sources.len() {
            let Some(source) = self.script.sources.get(number) else {
                continue;
            };
            let (there, guest) = (source.is_there(at_us), source.guest);
            let known = self.tracks.get(number).copied().flatten();
            match (there, known) {
                (true, None) => self.come(number, guest),
                (false, Some((track, _))) => self.go(number, guest, track),
                (true, Some(_)) | (false, None) => {}
            }
        }
    }

    fn come(&mut self, number: usize, guest: bool) {
        let mut track = TrackId(number as u64 + 1);
        if guest {
            track = TrackId(u64::from(self.next_guest) * 1000);
            let codec = self
                .script
                .sources
                .get(number)
                .map_or(Codec::Opus, |source| source.codec);
            let mut peer = Peer::publisher(self.next_guest, &[Line { track, codec }]);
            self.next_guest += 1;
            peer.connect(&mut self.stage);
            self.guests.insert(number, peer);
        }
        if let Some(known) = self.tracks.get_mut(number) {
            *known = Some((track, self.stage.now.0));
        }
        self.owners.insert(track, number);
        self.stage.command(Command::AddVoice {
            group: GROUP,
            track,
            source: SourceKey(number as u64 + 1),
        });
        self.hear();
    }

    fn go(&mut self, number: usize, guest: bool, track: TrackId) {
        if let Some(known) = self.tracks.get_mut(number) {
            *known = None;
        }
        let command = match self.guests.remove(&number).filter(|_| guest) {
            Some(peer) => Command::CloseTransport { transport: peer.id },
            None => Command::RemoveVoice { track },
        };
        self.stage.command(command);
        self.hear();
    }

    /// The next packet of a source, if it sends one now.
    fn say(&mut self, number: usize, at_us: u64) {
        let (Some(source), Some(seq)) = (self.script.sources.get(number), self.seqs.get_mut(number)) else {
            return;
        };
        let Some(level) = spoken(source, at_us, &mut self.random) else {
            return;
        };
        *seq += 1;
        let peer = if source.guest {
            self.guests.get_mut(&number)
        } else {
            Some(&mut self.studio)
        };
        let Some(peer) = peer else { return };
        self.outcome.sent += 1;
        let line = if source.guest { 0 } else { number };
        let level = source.levels.then_some(level);
        let packet = peer.sound(line, *seq, self.began_us + at_us, level);
        if self.random.chance(self.script.loss) {
            for (_, ears) in &mut self.viewers {
                ears.lost(number);
            }
            return;
        }
        self.order += 1;
        let arrives_us = self.began_us + at_us + self.random.below(JITTER_US);
        let from = peer.address;
        self.on_the_way.push(Reverse((arrives_us, self.order, from, packet)));
    }

    /// Everything happens that is due up to then.
    fn arrive(&mut self, until_us: u64) {
        while let Some(Reverse((at_us, ..))) = self.on_the_way.peek()
            && *at_us <= until_us
        {
            let Some(Reverse((at_us, _, from, mut packet))) = self.on_the_way.pop() else {
                break;
            };
            self.pass(at_us);
            self.stage.datagram(from, &mut packet);
            self.hear();
        }
        self.pass(until_us);
    }

    fn pass(&mut self, until_us: u64) {
        while let Some(next) = self.stage.shard.next_timeout().filter(|next| next.0 <= until_us) {
            self.stage.pass(next.max(self.stage.now));
            self.hear();
        }
        self.stage.pass(Time(until_us.max(self.stage.now.0)));
    }

    /// Everybody takes in what was told and sent.
    fn hear(&mut self) {
        let now_us = self.stage.now.0;
        for event in self.stage.take_events() {
            match event {
                Event::SlotVoice { transport, mid, track } => {
                    self.order += 1;
                    if self.lies.forget.is_some_and(|one| self.order.is_multiple_of(one)) {
                        continue;
                    }
                    let slot = POOL.into_iter().position(|place| super::peer::mid(place) == mid);
                    let ears = self.viewers.iter_mut().find(|(peer, _)| peer.id == transport);
                    if let (Some((_, ears)), Some(slot)) = (ears, slot) {
                        ears.told(now_us, slot, track);
                    }
                }
                Event::Speakers { .. } => {
                    self.outcome.told += 1;
                    let told_us = self.bounds.told.as_micros() as u64;
                    if self.told_at_us.is_some_and(|at| now_us - at < told_us) {
                        self.wrong(format!("{} ms: who speaks is told again", now_us / 1000));
                    }
                    self.told_at_us = Some(now_us);
                }
                Event::Rejected { code, .. } => self.wrong(format!("refused: {code:?}")),
                Event::TransportClosed { transport, .. } if transport.0 < u64::from(GUEST) => {
                    self.wrong(format!("{transport:?} ended"));
                }
                Event::TransportConnected { .. }
                | Event::TransportStalled { .. }
                | Event::TransportResumed { .. }
                | Event::TransportClosed { .. }
                | Event::TrackStarted { .. }
                | Event::SlotBound { .. }
                | Event::TrackLayers(_)
                | Event::SlotLayer { .. }
                | Event::Inspected { .. }
                | Event::Stats(_) => {}
            }
        }
        for (address, bytes) in self.stage.take_all() {
            let viewer = self.viewers.iter_mut().find(|(peer, _)| peer.address == address);
            let Some((peer, ears)) = viewer.filter(|_| classify(&bytes) == Some(Class::Rtp)) else {
                continue;
            };
            let Some((ssrc, sound)) = peer.open(&bytes) else {
                continue;
            };
            let slot = peer
                .slot_of(ssrc)
                .and_then(|place| POOL.into_iter().position(|one| one == place));
            let owner = self.owners.get(&sound.track).copied();
            let is_there = |source: &usize| {
                let known = self.tracks.get(*source).copied().flatten();
                known.is_some_and(|(track, _)| track == sound.track)
            };
            ears.packet(now_us, slot.unwrap_or(usize::MAX), sound, owner.filter(is_there));
        }
    }

    fn wrong(&mut self, what: String) {
        self.outcome.verdict.wrong.push(what);
    }

    fn look(&mut self) {
        let look = Look {
            now_us: self.stage.now.0,
            script: &self.script,
            began_us: self.began_us,
            tracks: &self.tracks,
        };
        for (_, ears) in &mut self.viewers {
            ears.look(&look);
        }
    }
}

/// The level of the packet that a source sends now, and whether it says that it is voice. `None`: it sends nothing.
fn spoken(source: &Source, at_us: u64, random: &mut Random) -> Option<(u8, bool)> {
    if let Some((one, true)) = source.saying(at_us) {
        let varies = Script::VARIES;
        let level = one.level - varies + random.below(2 * u64::from(varies) + 1) as u8;
        return Some((level, source.marks));
    }
    let packet = at_us / PACKET_US;
    if source.clicks.binary_search(&(packet * PACKET_US)).is_ok() && source.saying(at_us).is_none() {
        return Some((10, source.marks));
    }
    if source.dtx || !source.levels {
        return packet.is_multiple_of(DTX).then_some((127, false));
    }
    Some((80 + random.below(48) as u8, false))
}
