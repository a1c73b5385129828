//! What holds whatever happens: commands in any order, sensible or not, choices of layers among them, between packets that are lost, repeated,
//! late or garbage, lines of any width and jumps of time, and pools of voices. Long, because each kind of step stands beside what it does.

mod common;

use std::collections::{HashMap, HashSet};

use common::archive::{Archive, Flow};
use common::ears::{Ears, Voices};
use common::judge::{Counts, Judge};
use common::peer::{MID, OPUS, Peer, VP8};
use common::studio::Studio;
use common::witness::Witness;
use common::{Bench, mid, ms};
use proptest::prelude::*;
use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{Command, Event, ExtensionKind, ExtensionSpec, Kind, SlotSpec};
use rostra_sfu::ids::{GroupId, Mid, SourceKey, Ssrc, TrackId, TransportId};
use rostra_sfu::rtp::header::RtpHeader;
use rostra_sfu::time::Time;
use rostra_sfu::transport::classify::{Class, classify};
use rostra_sim::random::Random;

/// Clients at a time.
const PLACES: usize = 4;
/// Slots for sound. Only the first one is bound by orders, too.
const EARS: [&str; 3] = ["2", "left", "right"];
/// Header extension id.
const LEVEL: u8 = 9;
/// In front of what is said.
const SAID: [u8; 4] = *b"said";

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
        choice: LayerChoice,
    },
    /// Other layers of what a slot was bound to last.
    Choose {
        viewer: usize,
        slot: u8,
        choice: LayerChoice,
    },
    /// The line to a viewer carries this much.
    Estimate {
        viewer: usize,
        kbps: u64,
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
    /// The sound of somebody is a voice; also of another group or source than it is already.
    Voice {
        place: usize,
        group: u64,
        source: u64,
    },
    /// It is one no longer.
    Hush {
        place: usize,
    },
    /// Slots by their bits, the last of which is a picture's; sources to be left out, likewise.
    Listen {
        viewer: usize,
        group: u64,
        slots: u8,
        excluded: u8,
    },
    /// Sound at a level.
    Speak {
        source: usize,
        packets: u8,
        level: u8,
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
        8 => (place.clone(), 0..6u8, place.clone(), 0..7u8, choice())
            .prop_map(|(viewer, slot, source, track, choice)| Step::Bind { viewer, slot, source, track, choice }),
        6 => (place.clone(), 0..2u8, choice()).prop_map(|(viewer, slot, choice)| Step::Choose { viewer, slot, choice }),
        2 => (place.clone(), prop_oneof![Just(60), Just(250), Just(1_000), Just(20_000)])
            .prop_map(|(viewer, kbps)| Step::Estimate { viewer, kbps }),
        2 => (place.clone(), 0..5u8).prop_map(|(viewer, slot)| Step::Unbind { viewer, slot }),
        12 => (place.clone(), 1..6u8, any::<u8>())
            .prop_map(|(source, pictures, lost)| Step::Media { source, pictures, lost }),
        4 => (place.clone(), 0..2u64, 0..3u64).prop_map(|(place, group, source)| Step::Voice { place, group, source }),
        1 => place.clone().prop_map(|place| Step::Hush { place }),
        4 => (place.clone(), 0..2u64, prop_oneof![6 => 1..8u8, 1 => Just(0), 1 => 8..16u8], prop_oneof![Just(0), 0..8u8])
            .prop_map(|(viewer, group, slots, excluded)| Step::Listen { viewer, group, slots, excluded }),
        10 => (place.clone(), 1..30u8, prop_oneof![3 => 15..40u8, 1 => Just(127)])
            .prop_map(|(source, packets, level)| Step::Speak { source, packets, level }),
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

/// Any layers, sensible or not.
fn choice() -> impl Strategy<Value = LayerChoice> {
    let layer = || prop_oneof![3 => Just(None), 2 => (0..4u8).prop_map(Some)];
    prop_oneof![
        1 => Just(LayerChoice::default()),
        4 => (layer(), layer(), layer(), layer(), layer()).prop_map(
            |(encoding, spatial, temporal, max_spatial, max_temporal)| LayerChoice {
                encoding,
                spatial,
                temporal,
                max_spatial,
                max_temporal,
                ..LayerChoice::default()
            }
        ),
    ]
}

struct Client {
    peer: Peer,
    studio: Studio,
    eyes: Option<(Witness, Judge)>,
    slots: HashMap<Mid, Ssrc>,
    /// What each slot was bound to last.
    bound: HashMap<Mid, TrackId>,
    ears: Ears,
}

/// The next packet of somebody's sound, which says whose it is.
fn sound(peer: &mut Peer, now: Time, level: Option<u8>) -> Vec<u8> {
    let index = peer.audio_index;
    peer.audio_index += 1;
    let mut plain = vec![0x90, OPUS];
    plain.extend((index as u16).to_be_bytes());
    plain.extend(((now.0 * 48 / 1000) as u32).to_be_bytes());
    plain.extend(peer.audio_ssrc().0.to_be_bytes());
    plain.extend([0xbe, 0xde, 0, 1, MID << 4, b'a']);
    plain.extend(level.map_or([0, 0], |level| [LEVEL << 4, 0x80 | level]));
    let header = plain.len();
    plain.extend(SAID);
    plain.extend(peer.number.to_be_bytes());
    plain.extend([index as u8; 40]);
    peer.seal(&plain, header, index)
}

/// The track of a packet of sound.
fn speaker(header: &RtpHeader, packet: &[u8]) -> Option<TrackId> {
    let payload = packet.get(header.payload(packet).ok()?)?;
    let number = payload.strip_prefix(&SAID)?.first_chunk::<2>()?;
    Some(TrackId(u64::from(u16::from_be_bytes(*number)) * 10 + 1))
}

struct World {
    bench: Bench,
    clients: [Option<Client>; PLACES],
    number: u16,
    accepted: Vec<TransportId>,
    log: Vec<(std::net::SocketAddr, Vec<u8>)>,
    random: Random,
    archive: Archive,
    counts: Counts,
    /// Events that were looked at, and when.
    events: usize,
    looked: u64,
    voices: Voices,
    /// Events that the ears have heard of.
    told: usize,
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
            archive: Archive::default(),
            counts: Counts::default(),
            events: 0,
            looked: 0,
            voices: Voices::new(),
            told: 0,
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
        let studio = Studio::new(&mut peer);
        peer.negotiate(ExtensionSpec {
            id: LEVEL,
            kind: ExtensionKind::AudioLevel,
        });
        for (name, place) in EARS[1..].iter().zip(4..) {
            let mut slot = peer.spec.slots[2].clone();
            let ssrc = u32::from(self.number) * 1000 + 10 * place;
            (slot.mid, slot.ssrc, slot.rtx_ssrc) = (mid(name), Ssrc(ssrc), Ssrc(ssrc + 1));
            peer.spec.slots.push(slot);
        }
        self.accepted.push(peer.id);
        let slots = peer.spec.slots.iter().map(|slot| (slot.mid, slot.ssrc)).collect();
        let mut eyes = None;
        if connects {
            peer.connect(&mut self.bench);
            let map = peer.extensions();
            let mut judge = Judge::new(map, map.has(ExtensionKind::DependencyDescriptor));
            for slot in &peer.spec.slots[..2] {
                judge.slot(slot.ssrc, slot.rtx_ssrc);
            }
            eyes = peer.keys.as_ref().map(|keys| (Witness::new(keys), judge));
        } else {
            peer.open(&mut self.bench);
        }
        self.clients[place] = Some(Client {
            peer,
            studio,
            eyes,
            slots,
            bound: HashMap::new(),
            ears: Ears::default(),
        });
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
            self.deliver(from, &datagram);
            if fate > 220 {
                self.deliver(from, &datagram);
            }
            if fate > 180 && self.log.len() < 500 {
                self.log.push((from, datagram));
            }
        }
        for datagram in late {
            self.deliver(from, &datagram);
        }
    }

    fn deliver(&mut self, from: std::net::SocketAddr, datagram: &[u8]) {
        self.archive.hear(self.bench.now, datagram);
        self.bench.raw(from, datagram);
    }

    /// What was told of voices since the last time.
    fn tell(&mut self) {
        for event in &self.bench.events[self.told..] {
            if let Event::TransportClosed { transport, .. } = event {
                self.voices.retain(|track, _| track.0 / 10 != transport.0);
            }
            if let Event::SlotVoice { transport, mid, track } = event
                && let Some(client) = self.clients.iter_mut().flatten().find(|one| one.peer.id == *transport)
            {
                client.ears.told(&self.voices, *mid, *track);
            }
        }
        self.told = self.bench.events.len();
    }

    /// Everybody hears what was sent to it, but for what gets lost on the way. The witness hears all.
    fn hear(&mut self) {
        for place in 0..PLACES {
            self.tell();
            let Some(client) = &mut self.clients[place] else {
                continue;
            };
            let address = client.peer.address;
            let mut answers = Vec::new();
            for datagram in self.bench.take(address) {
                if let Some((witness, judge)) = &mut client.eyes
                    && classify(&datagram) == Some(Class::Rtp)
                {
                    let (header, seq, packet) = witness.see(&datagram);
                    let said = packet.as_deref().and_then(|packet| speaker(&header, packet));
                    let slot = client.slots.iter().find(|(_, ssrc)| **ssrc == header.ssrc);
                    if let (Some(track), Some((mid, _))) = (said, slot) {
                        let pooled = client.ears.packet(&self.voices, *mid, track);
                        assert!(
                            pooled || client.bound.contains_key(mid),
                            "{mid}: {track:?} in an empty slot"
                        );
                        self.counts.voices += usize::from(pooled);
                    }
                    judge.see(self.bench.now, &mut self.archive, header, seq, packet.as_deref());
                }
                if self.random.chance(0.95) {
                    answers.extend(client.peer.listen(self.bench.now, &datagram));
                }
            }
            client.ears.looked();
            answers.extend(client.studio.obey(&mut client.peer, &mut self.archive));
            if self.bench.closed(client.peer.id).is_some() {
                self.leave(place);
            }
            self.send(address, answers, 0);
        }
        self.tell();
        let now = self.archive.moment();
        let between = (std::mem::replace(&mut self.looked, now), now);
        for event in &self.bench.events[self.events..] {
            if let Event::SlotLayer {
                transport,
                mid,
                layer: None,
            } = event
                && let Some(client) = self.clients.iter_mut().flatten().find(|one| one.peer.id == *transport)
                && let Some((_, judge)) = &mut client.eyes
            {
                judge.emptied(self.bench.now, between, client.slots[mid]);
            }
        }
        self.events = self.bench.events.len();
    }

    fn leave(&mut self, place: usize) {
        if let Some(Client {
            eyes: Some((_, mut judge)),
            ..
        }) = self.clients[place].take()
        {
            judge.finish(self.bench.now, &self.archive);
            self.counts += judge.counts;
        }
    }

    /// Bind a slot, and tell whoever judges if that was taken.
    fn bind(&mut self, transport: TransportId, slot: u8, track: TrackId, choice: LayerChoice) {
        let mid = mid(&slot.to_string());
        let code = self.bench.refusal(Command::BindSlot {
            transport,
            mid,
            track,
            choice,
            priority: Priority::default(),
        });
        let moment = self.archive.moment();
        if code.is_none()
            && let Some(client) = self.clients.iter_mut().flatten().find(|one| one.peer.id == transport)
        {
            client.bound.insert(mid, track);
            client.ears.leaves(mid);
            if let Some((_, judge)) = &mut client.eyes {
                judge.chose(moment, client.slots[&mid], (track.0 / 10) as u16, choice);
            }
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
                let (transport, mid) = (client.peer.id, slot.mid);
                if self.bench.refusal(Command::AddSlot { transport, slot }).is_none()
                    && let Some(client) = &mut self.clients[place]
                {
                    client.slots.insert(mid, Ssrc(base));
                    if let Some((_, judge)) = &mut client.eyes {
                        judge.slot(Ssrc(base), Ssrc(base + 1));
                    }
                }
            }
            Step::Bind {
                viewer,
                slot,
                source,
                track,
                choice,
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
                self.bind(transport, slot, TrackId(u64::from(number) * 10 + track), choice);
            }
            Step::Choose { viewer, slot, choice } => {
                let Some(client) = &self.clients[viewer] else { return };
                if let Some(track) = client.bound.get(&mid(&slot.to_string())) {
                    self.bind(client.peer.id, slot, *track, choice);
                }
            }
            Step::Estimate { viewer, kbps } => {
                let Some((bench, client)) = self.connected(viewer) else {
                    return;
                };
                let ssrcs = [0, 1].map(|slot| client.peer.slot_ssrc(slot));
                if let Some((_, judge)) = &mut client.eyes {
                    judge.is_narrow |= kbps < 10_000;
                }
                let remb = client.peer.feedback(|writer| {
                    writer.remb(Ssrc(1), kbps * 1000, &ssrcs);
                });
                bench.raw(client.peer.address, &remb);
            }
            Step::Unbind { viewer, slot } => {
                if let Some(client) = &self.clients[viewer] {
                    let transport = client.peer.id;
                    let mid = mid(&slot.to_string());
                    self.bench.command(Command::UnbindSlot { transport, mid });
                    let moment = self.archive.moment();
                    if let Some(client) = &mut self.clients[viewer] {
                        client.ears.leaves(mid);
                    }
                    if let Some(client) = &mut self.clients[viewer]
                        && let (Some((_, judge)), Some(ssrc)) = (&mut client.eyes, client.slots.get(&mid))
                    {
                        judge.emptied(self.bench.now, (moment, moment), *ssrc);
                    }
                }
            }
            Step::Media { source, pictures, lost } => {
                for _ in 0..pictures {
                    let Some(client) = self.clients[source].as_mut().filter(|client| client.eyes.is_some()) else {
                        return;
                    };
                    let (now, address) = (self.bench.now, client.peer.address);
                    let mut datagrams = client.studio.frame(&mut client.peer, now, &mut self.archive);
                    datagrams.push(sound(&mut client.peer, now, None));
                    self.send(address, datagrams, lost);
                    self.bench.pass(ms(20));
                    self.hear();
                }
            }
            Step::Voice { place, group, source } => {
                let Some(client) = &self.clients[place] else { return };
                let track = client.peer.audio_track();
                let (group, source) = (GroupId(1 + group), SourceKey(1 + source));
                let code = self.bench.refusal(Command::AddVoice { group, track, source });
                let known = self.voices.get(&track).copied().flatten();
                let is_same = known.is_none_or(|known| known == (group, source));
                assert_eq!(code.is_none(), is_same, "{track:?} is {known:?}: {code:?}");
                self.voices.insert(track, known.or(Some((group, source))));
            }
            Step::Hush { place } => {
                let Some(client) = &self.clients[place] else { return };
                let track = client.peer.audio_track();
                self.bench.command(Command::RemoveVoice { track });
                self.voices.insert(track, None);
            }
            Step::Listen {
                viewer,
                group,
                slots,
                excluded,
            } => {
                let transport = match &self.clients[viewer] {
                    Some(client) => client.peer.id,
                    None => TransportId(u64::from(self.number / 2)),
                };
                let chosen = |bits: u8| (0..4).filter(move |bit| bits >> bit & 1 == 1);
                let names = [EARS[0], EARS[1], EARS[2], "0"];
                let mids: Vec<_> = chosen(slots).map(|bit| mid(names[bit])).collect();
                let excluded: Vec<_> = chosen(excluded).map(|bit| SourceKey(1 + bit as u64)).collect();
                let group = GroupId(1 + group);
                let code = self.bench.refusal(Command::Listen {
                    transport,
                    group,
                    mids: mids.clone(),
                    excluded: excluded.clone(),
                });
                // A number of somebody who is gone may be that of somebody else who is there.
                let mut clients = self.clients.iter_mut().flatten();
                if let Some(client) = clients.find(|one| one.peer.id == transport) {
                    assert_eq!(code.is_some(), slots >= 8, "{code:?}");
                    if code.is_none() {
                        for mid in &mids {
                            client.bound.remove(mid);
                        }
                        client.ears.listens(group, mids, excluded);
                    }
                }
            }
            Step::Speak { source, packets, level } => {
                for _ in 0..packets {
                    let Some((bench, client)) = self.connected(source) else {
                        return;
                    };
                    let (now, address) = (bench.now, client.peer.address);
                    let datagram = sound(&mut client.peer, now, Some(level));
                    self.send(address, vec![datagram], 0);
                    self.hear();
                    self.bench.pass(ms(20));
                    self.hear();
                }
            }
            Step::Restart { source, jump } => {
                if let Some((_, client)) = self.connected(source) {
                    // SRTP follows jumps of less than half the range (RFC 3711 §3.3.1).
                    let by = match jump % 4 {
                        0 | 1 => jump % 600,
                        2 => 1_500 + jump % 1_400,
                        _ => 3_100 + jump % 29_000,
                    };
                    client.studio.jump(u64::from(by));
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
                let mut polluted = None;
                let mut random = Random::new(seed);
                let mut plain: Vec<_> = (0..12 + random.below(60)).map(|_| random.word() as u8).collect();
                let sealed = if rtcp {
                    plain[0] = 0x80 | plain[0] & 0x3f;
                    plain[1] = 200 + plain[1] % 8;
                    plain[2..4].copy_from_slice(&((seed % 12) as u16).to_be_bytes());
                    client.peer.seal_rtcp(&plain)
                } else {
                    plain[0] = 0x80;
                    let beside = (seed % 16) as u32;
                    // Most of it says that it is of no codec, or whoever sends garbage is soon the picture.
                    plain[1] = if beside < 4 { VP8 } else { 120 } | plain[1] & 0x81;
                    plain[8..12].copy_from_slice(&(client.peer.video_ssrc().0 + beside).to_be_bytes());
                    let index = client.studio.skip();
                    plain[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                    // It may well be a picture.
                    polluted = (beside < 4).then_some(client.peer.number);
                    client.peer.seal(&plain, 12, index)
                };
                bench.raw(client.peer.address, &sealed);
                for encoding in 0..3 {
                    if let Some(client) = polluted {
                        self.archive.pollute(Flow { client, encoding });
                    }
                }
            }
            Step::Replay { seed } => {
                let mut random = Random::new(seed);
                for _ in 0..20 {
                    let place = random.below(self.log.len() as u64) as usize;
                    if let Some((from, datagram)) = self.log.get(place).cloned() {
                        self.deliver(from, &datagram);
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

/// The whole of a case. Panics where an invariant does not hold; returns what the judges of all viewers had to do.
fn play(steps: &[Step]) -> Counts {
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
    world.counts
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
        choice: LayerChoice::default(),
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
    assert!(play(&steps).packets > 300);
}

#[test]
fn the_random_steps_do_play_voices_and_leave_some_out() {
    let listen = |slots, excluded| Step::Listen {
        viewer: 0,
        group: 0,
        slots,
        excluded,
    };
    let mut steps = Vec::new();
    for place in 0..PLACES {
        steps.push(Step::Open { place, connects: true });
        steps.push(Step::Voice {
            place,
            group: 0,
            source: place as u64 % 3,
        });
    }
    for round in 0..6 {
        steps.push(listen([3, 7, 1][round % 3], [0, 2, 4, 1, 0, 0][round]));
        for source in 1..PLACES {
            steps.push(Step::Speak {
                source,
                packets: 29,
                level: 20 + source as u8,
            });
        }
        if round >= 4 {
            steps.push(Step::Hush { place: round - 3 });
        }
    }
    let counts = play(&steps);
    assert!(counts.voices > 200, "{counts:?}");
}

#[test]
fn the_random_steps_do_choose_layers_and_lose_packets() {
    let mut counts = Counts::default();
    for source in 0..PLACES {
        let viewer = (source + 1) % PLACES;
        let open = |place| Step::Open { place, connects: true };
        let media = |lost| Step::Media {
            source,
            pictures: 5,
            lost,
        };
        let mut steps = vec![open(2), open(3)];
        for round in 0..4 {
            let slot = round % 2;
            let choose = |encoding, max_spatial, max_temporal| Step::Choose {
                viewer,
                slot,
                choice: LayerChoice {
                    encoding,
                    max_spatial,
                    max_temporal,
                    ..LayerChoice::default()
                },
            };
            let nack = Step::Nack {
                viewer,
                slot: usize::from(slot),
                back: 20,
                count: 20,
            };
            steps.push(Step::Bind {
                viewer,
                slot,
                source,
                track: 2,
                choice: LayerChoice::default(),
            });
            steps.extend([
                media(0),
                media(0),
                media(0),
                choose(None, Some(0), None),
                media(0),
                media(60),
            ]);
            steps.extend([choose(Some(0), None, Some(1)), media(0), media(60), nack]);
            steps.extend([
                choose(Some(2), Some(1), Some(0)),
                media(0),
                media(60),
                choose(None, None, None),
            ]);
            steps.extend([media(0), Step::Restart { source, jump: 40 }, media(60)]);
        }
        counts += play(&steps);
    }
    assert!(counts.packets > 2_000 && counts.limited > 200, "{counts:?}");
    assert!(
        counts.left_out > 100 && counts.switches > 4 && counts.lost > 100,
        "{counts:?}"
    );
    assert!(counts.padding > 20 && counts.again > 20, "{counts:?}");
}
