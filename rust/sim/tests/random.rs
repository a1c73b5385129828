//! What holds whatever happens: commands in any order, sensible or not, between packets that are lost, repeated, late or garbage, and jumps
//! of time.

mod common;

use std::collections::HashSet;

use common::peer::{Peer, VP8};
use common::witness::Witness;
use common::{Bench, mid, ms};
use proptest::prelude::*;
use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{Command, Event, Kind, SlotSpec};
use rostra_sfu::ids::{Ssrc, TrackId, TransportId};
use rostra_sfu::transport::classify::{Class, classify};
use rostra_sim::random::Random;

/// Clients at a time.
const PLACES: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A client comes, shakes hands, or stops before.
    Open {
        place: usize,
        connects: bool,
    },
    /// The id, the ufrag or a track of somebody who is there.
    OpenAgain {
        place: usize,
        what: u8,
    },
    Close {
        place: usize,
    },
    /// Some that exist already.
    AddSlot {
        place: usize,
        number: u8,
    },
    /// Also of slots and tracks that do not exist, and of the wrong kind.
    Bind {
        viewer: usize,
        slot: u8,
        source: usize,
        track: u8,
    },
    Unbind {
        viewer: usize,
        slot: u8,
    },
    /// Pictures and sound of somebody.
    Media {
        source: usize,
        pictures: u8,
        lost: u8,
    },
    /// The publisher's numbers jump.
    Restart {
        source: usize,
        jump: u16,
    },
    Nack {
        viewer: usize,
        slot: usize,
        back: u16,
        count: u16,
    },
    Pli {
        viewer: usize,
        slot: usize,
    },
    /// Anything at all behind good keys.
    Garbage {
        place: usize,
        seed: u64,
        rtcp: bool,
    },
    /// Datagrams that were sent before.
    Replay {
        seed: u64,
    },
    /// A check, from another port.
    Move {
        place: usize,
        port: u16,
        nominate: bool,
    },
    Pass {
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let place = 0..PLACES;
    prop_oneof![
        3 => (place.clone(), prop::bool::weighted(0.9)).prop_map(|(place, connects)| Step::Open { place, connects }),
        1 => (place.clone(), 0..3u8).prop_map(|(place, what)| Step::OpenAgain { place, what }),
        1 => place.clone().prop_map(|place| Step::Close { place }),
        1 => (place.clone(), 0..6u8).prop_map(|(place, number)| Step::AddSlot { place, number }),
        8 => (place.clone(), 0..6u8, place.clone(), 0..7u8)
            .prop_map(|(viewer, slot, source, track)| Step::Bind { viewer, slot, source, track }),
        2 => (place.clone(), 0..5u8).prop_map(|(viewer, slot)| Step::Unbind { viewer, slot }),
        12 => (place.clone(), 1..6u8, any::<u8>())
            .prop_map(|(source, pictures, lost)| Step::Media { source, pictures, lost }),
        1 => (place.clone(), any::<u16>()).prop_map(|(source, jump)| Step::Restart { source, jump }),
        3 => (place.clone(), 0..3usize, 0..300u16, 1..200u16)
            .prop_map(|(viewer, slot, back, count)| Step::Nack { viewer, slot, back, count }),
        2 => (place.clone(), 0..3usize).prop_map(|(viewer, slot)| Step::Pli { viewer, slot }),
        1 => (place.clone(), any::<u64>(), any::<bool>())
            .prop_map(|(place, seed, rtcp)| Step::Garbage { place, seed, rtcp }),
        1 => any::<u64>().prop_map(|seed| Step::Replay { seed }),
        1 => (place, 0..4u16, any::<bool>()).prop_map(|(place, port, nominate)| Step::Move { place, port, nominate }),
        4 => prop_oneof![Just(0), 1..60u64, Just(700), Just(5_500)].prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Pass { millis: 31_000 }),
    ]
}

struct Client {
    peer: Peer,
    witness: Option<Witness>,
}

struct World {
    bench: Bench,
    clients: [Option<Client>; PLACES],
    number: u16,
    accepted: Vec<TransportId>,
    log: Vec<(std::net::SocketAddr, Vec<u8>)>,
    random: Random,
    packets: usize,
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
            clients: [const { None }; PLACES],
            number: 0,
            accepted: Vec::new(),
            log: Vec::new(),
            random: Random::new(1),
            packets: 0,
        }
    }

    fn connected(&mut self, place: usize) -> Option<(&mut Bench, &mut Client)> {
        let client = self.clients[place]
            .as_mut()
            .filter(|client| client.peer.keys.is_some())?;
        Some((&mut self.bench, client))
    }

    fn open(&mut self, place: usize, connects: bool) {
        if self.clients[place].is_some() {
            return;
        }
        self.number += 1;
        let mut peer = Peer::new(self.number);
        self.accepted.push(peer.id);
        let mut witness = None;
        if connects {
            peer.connect(&mut self.bench);
            witness = peer.keys.as_ref().map(Witness::new);
        } else {
            peer.open(&mut self.bench);
        }
        self.clients[place] = Some(Client { peer, witness });
    }

    /// `lost` of 256 datagrams get lost, some more come twice or late.
    fn send(&mut self, from: std::net::SocketAddr, datagrams: Vec<Vec<u8>>, lost: u8) {
        let mut late = Vec::new();
        for datagram in datagrams {
            let fate = self.random.below(256) as u8;
            if fate < lost / 4 {
                continue;
            }
            if fate > 240 {
                late.push(datagram);
                continue;
            }
            self.bench.raw(from, &datagram);
            if fate > 220 {
                self.bench.raw(from, &datagram);
            }
            if fate > 180 && self.log.len() < 500 {
                self.log.push((from, datagram));
            }
        }
        for datagram in late {
            self.bench.raw(from, &datagram);
        }
    }

    /// Everybody hears what was sent to it, but for what gets lost on the way. The witness hears all.
    fn hear(&mut self) {
        for place in 0..PLACES {
            let Some(client) = &mut self.clients[place] else {
                continue;
            };
            let address = client.peer.address;
            let mut answers = Vec::new();
            for datagram in self.bench.take(address) {
                if let Some(witness) = &mut client.witness
                    && classify(&datagram) == Some(Class::Rtp)
                {
                    witness.see(&datagram);
                    self.packets += 1;
                }
                if self.random.chance(0.95) {
                    answers.extend(client.peer.listen(self.bench.now, &datagram));
                }
            }
            if self.bench.closed(client.peer.id).is_some() {
                self.clients[place] = None;
            }
            self.send(address, answers, 0);
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Open { place, connects } => self.open(place, connects),
            Step::OpenAgain { place, what } => {
                let Some(client) = &self.clients[place] else { return };
                let mut again = Peer::new(60_000);
                match what {
                    0 => again.id = client.peer.id,
                    1 => again.spec.local_ufrag.clone_from(&client.peer.spec.local_ufrag),
                    _ => again.spec.receive[0].track = client.peer.video_track(),
                }
                let (transport, spec) = (again.id, Box::new(again.spec));
                let code = self.bench.refusal(Command::OpenTransport { transport, spec });
                assert!(code.is_some(), "its name is taken");
            }
            Step::Close { place } => {
                if let Some(client) = &self.clients[place] {
                    let transport = client.peer.id;
                    self.bench.command(Command::CloseTransport { transport });
                }
            }
            Step::AddSlot { place, number } => {
                let Some(client) = &self.clients[place] else { return };
                let base = client.peer.slot_ssrc(0).0 + 100 + 2 * u32::from(number);
                let slot = SlotSpec {
                    mid: mid(&number.to_string()),
                    kind: Kind::Video,
                    ssrc: Ssrc(base),
                    rtx_ssrc: Ssrc(base + 1),
                    codecs: client.peer.spec.slots[0].codecs.clone(),
                };
                let transport = client.peer.id;
                self.bench.command(Command::AddSlot { transport, slot });
            }
            Step::Bind {
                viewer,
                slot,
                source,
                track,
            } => {
                // A source that is gone leaves its number, which is then a track that ended.
                let number = match &self.clients[source] {
                    Some(client) => client.peer.number,
                    None => self.number / 2,
                };
                let (slot, track) = match track {
                    0 => (2, 1),
                    1 => (slot, 9),
                    _ => (slot, 2),
                };
                let transport = match &self.clients[viewer] {
                    Some(client) => client.peer.id,
                    None => TransportId(u64::from(self.number / 2)),
                };
                self.bench.command(Command::BindSlot {
                    transport,
                    mid: mid(&slot.to_string()),
                    track: TrackId(u64::from(number) * 10 + track),
                    choice: LayerChoice::default(),
                    priority: Priority::default(),
                });
            }
            Step::Unbind { viewer, slot } => {
                if let Some(client) = &self.clients[viewer] {
                    let transport = client.peer.id;
                    let mid = mid(&slot.to_string());
                    self.bench.command(Command::UnbindSlot { transport, mid });
                }
            }
            Step::Media { source, pictures, lost } => {
                for _ in 0..pictures {
                    let Some((bench, client)) = self.connected(source) else {
                        return;
                    };
                    let address = client.peer.address;
                    let mut datagrams = client.peer.frame(bench.now);
                    datagrams.push(client.peer.sound(bench.now));
                    self.send(address, datagrams, lost);
                    self.bench.pass(ms(20));
                    self.hear();
                }
            }
            Step::Restart { source, jump } => {
                if let Some((_, client)) = self.connected(source) {
                    // SRTP follows jumps of less than half the range (RFC 3711 §3.3.1).
                    client.peer.video_index += u64::from(jump) / 2;
                }
            }
            Step::Nack {
                viewer,
                slot,
                back,
                count,
            } => {
                let Some((bench, client)) = self.connected(viewer) else {
                    return;
                };
                let ssrc = client.peer.slot_ssrc(slot);
                let newest = client
                    .peer
                    .rtp
                    .iter()
                    .rfind(|packet| packet[8..12] == ssrc.0.to_be_bytes())
                    .map_or(0, |packet| u16::from_be_bytes([packet[2], packet[3]]));
                let seqs: Vec<_> = (0..count).map(|n| newest.wrapping_sub(back).wrapping_add(n)).collect();
                let nack = client.peer.feedback(|writer| {
                    writer.nack(Ssrc(1), ssrc, &seqs);
                });
                bench.raw(client.peer.address, &nack);
            }
            Step::Pli { viewer, slot } => {
                let Some((bench, client)) = self.connected(viewer) else {
                    return;
                };
                let ssrc = client.peer.slot_ssrc(slot);
                let pli = client.peer.feedback(|writer| {
                    writer.pli(Ssrc(1), ssrc);
                });
                bench.raw(client.peer.address, &pli);
            }
            Step::Garbage { place, seed, rtcp } => {
                let Some((bench, client)) = self.connected(place) else {
                    return;
                };
                let mut random = Random::new(seed);
                let mut plain: Vec<_> = (0..12 + random.below(60)).map(|_| random.word() as u8).collect();
                let sealed = if rtcp {
                    plain[0] = 0x80 | plain[0] & 0x3f;
                    plain[1] = 200 + plain[1] % 8;
                    plain[2..4].copy_from_slice(&((seed % 12) as u16).to_be_bytes());
                    client.peer.seal_rtcp(&plain)
                } else {
                    plain[0] = 0x80;
                    plain[1] = VP8 | plain[1] & 0x81;
                    plain[8..12].copy_from_slice(&(client.peer.video_ssrc().0 + (seed % 3) as u32).to_be_bytes());
                    client.peer.video_index += 1;
                    let index = client.peer.video_index - 1;
                    plain[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                    client.peer.seal(&plain, 12, index)
                };
                bench.raw(client.peer.address, &sealed);
            }
            Step::Replay { seed } => {
                let mut random = Random::new(seed);
                for _ in 0..20 {
                    if let Some((from, datagram)) = self.log.get(random.below(self.log.len() as u64) as usize) {
                        self.bench.raw(*from, datagram);
                    }
                }
            }
            Step::Move { place, port, nominate } => {
                let Some(client) = &mut self.clients[place] else { return };
                let mut address = client.peer.address;
                address.set_port(40_000 + port);
                let check = client.peer.check(nominate);
                self.bench.raw(address, &check);
                if nominate {
                    // What was on its way to the old address is lost, as it is in networks, but for the witness.
                    self.hear();
                    if let Some(client) = &mut self.clients[place] {
                        client.peer.address = address;
                    }
                }
            }
            Step::Pass { millis } => self.bench.pass(ms(millis)),
        }
    }
}

fn check(world: &mut World) {
    world.hear();
    let problems = world.bench.shard.problems();
    assert!(problems.is_empty(), "{problems:?}");
}

/// The whole of a case. Panics where an invariant does not hold; returns how many packets the witnesses saw.
fn play(steps: &[Step]) -> usize {
    let mut world = World::new();
    for place in 0..2 {
        world.open(place, true);
    }
    for step in steps {
        world.run(step);
        check(&mut world);
    }
    // Half of them are told to go, the others fall silent.
    for place in 0..PLACES / 2 {
        world.run(&Step::Close { place });
    }
    check(&mut world);
    world.bench.pass(ms(31_000));
    check(&mut world);
    let mut refused = HashSet::new();
    for event in &world.bench.events {
        if let Event::Rejected {
            transport: Some(transport),
            mid: None,
            ..
        } = event
        {
            refused.insert(*transport);
        }
    }
    for id in &world.accepted {
        assert!(world.bench.closed(*id).is_some(), "{id:?} never ended");
    }
    let ended = world
        .bench
        .events
        .iter()
        .filter(|event| matches!(event, Event::TransportClosed { .. }))
        .count();
    assert_eq!(ended, world.accepted.len(), "one end for each beginning");
    assert!(refused.iter().all(|id| id.0 == 60_000 || world.accepted.contains(id)));
    assert_eq!(world.bench.shard.footprint(), 0, "nothing is left of them");
    world.packets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_whatever_is_ordered_and_whatever_comes(steps in prop::collection::vec(step(), 20..150)) {
        play(&steps);
    }
}

#[test]
fn the_random_steps_do_move_pictures() {
    let bind = |slot, source| Step::Bind {
        viewer: 1,
        slot,
        source,
        track: 2,
    };
    let media = |source| Step::Media {
        source,
        pictures: 5,
        lost: 40,
    };
    let mut steps = vec![bind(0, 0), bind(1, 1)];
    for _ in 0..10 {
        steps.extend([media(0), media(1), bind(0, 1), media(0), media(1), bind(0, 0)]);
    }
    assert!(play(&steps) > 300);
}
