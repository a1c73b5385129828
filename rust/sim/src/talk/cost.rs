//! What voices cost a shard: packets that nobody hears, packets that everybody hears, rankings, and memory of those who listen.

use std::time::Duration;

use rostra_sfu::choice::{LayerChoice, Priority};
use rostra_sfu::command::{Codec, Command};
use rostra_sfu::ids::{GroupId, SourceKey, TrackId};
use rostra_sfu::outbox::{Outbox, Via};
use rostra_sfu::shard::Datagram;
use rostra_sfu::time::Time;

use super::peer::{Line, Peer, mid};
use super::stage::{SERVER, Stage};
use crate::counting::{allocations, cpu_time, heap_bytes};

const STUDIO: u32 = 1;
const LISTENER: u32 = 10;
const PACKET: Duration = Duration::from_millis(20);
const LOUD: (u8, bool) = (25, true);
const SILENT: (u8, bool) = (127, false);

/// What a while of conversation cost. Nanoseconds of processor time inside the shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Of each packet of a source that nobody hears: the median of many rounds.
    pub unheard_ns: f64,
    /// Of each packet to a listener, sealed and handed out.
    pub forwarded_ns: f64,
    /// Of the timers of one second, rankings and decisions among them.
    pub timers_ns: f64,
    /// Packets that nobody heard, warming up included.
    pub unheard: u64,
    /// Packets to listeners.
    pub forwarded: u64,
    /// Times that a slot began to play somebody.
    pub switches: u64,
    /// Allocations for packets in and out, the last second.
    pub allocations: u64,
}

/// Sources of one conversation, and listeners with so many slots.
pub struct Hall {
    stage: Stage,
    studio: Peer,
    outbox: Outbox,
    sources: usize,
    slots: usize,
    seq: u64,
    unheard: u64,
    /// Bytes on the heap that listening took for each listener, after its slots had shown something.
    pub listener_bytes: f64,
}

impl std::fmt::Debug for Hall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hall({} sources)", self.sources)
    }
}

impl Hall {
    /// Everybody is connected. `pooled`: slots are filled with who speaks; else the first voices are bound to them for good.
    pub fn new(sources: usize, listeners: u32, slots: usize, pooled: bool) -> Self {
        let mut stage = Stage::new(1);
        let lines: Vec<_> = (1..=sources as u64)
            .map(|number| Line {
                track: TrackId(number),
                codec: Codec::Opus,
            })
            .collect();
        let mut studio = Peer::publisher(STUDIO, &lines);
        studio.connect(&mut stage);
        for line in &lines {
            stage.command(Command::AddVoice {
                group: GroupId(1),
                track: line.track,
                source: SourceKey(line.track.0),
            });
        }
        let mut hall = Self {
            stage,
            studio,
            outbox: Outbox::default(),
            sources,
            slots,
            seq: 1000,
            unheard: 0,
            listener_bytes: 0.0,
        };
        let ids: Vec<_> = (0..listeners)
            .map(|number| {
                let mut peer = Peer::viewer(LISTENER + number, slots, &[Codec::Opus]);
                peer.connect(&mut hall.stage);
                for slot in 0..slots {
                    hall.stage.command(Command::BindSlot {
                        transport: peer.id,
                        mid: mid(slot),
                        track: TrackId(slot as u64 + 1),
                        choice: LayerChoice::default(),
                        priority: Priority::default(),
                    });
                }
                peer.id
            })
            .collect();
        hall.talk(Duration::from_millis(500), &mut Cost::default(), |_, source| {
            source < slots
        });
        let before = heap_bytes();
        for (number, transport) in (0..).zip(ids).filter(|_| pooled) {
            hall.stage.shard.command(
                hall.stage.now,
                Command::Listen {
                    transport,
                    group: GroupId(1),
                    mids: (0..slots).map(mid).collect(),
                    // Its own voice, as far as there are so many.
                    excluded: vec![SourceKey(1000 + number)],
                },
            );
        }
        hall.listener_bytes = (heap_bytes() - before) as f64 / f64::from(listeners.max(1));
        hall
    }

    /// The same three speak, everybody else sends silence in full.
    pub fn steady(&mut self, seconds: u64) -> Cost {
        let slots = self.slots;
        self.measure(seconds, |_, source| source < slots)
    }

    /// Somebody else begins in each half second, and speaks for one and a half.
    pub fn turns(&mut self, seconds: u64) -> Cost {
        let sources = self.sources as u64;
        self.measure(seconds, |at_ms, source| {
            let turn = at_ms / 500;
            (0..3).any(|back| (turn + back) * 7 % sources == source as u64)
        })
    }

    fn measure(&mut self, seconds: u64, speaks: impl Fn(u64, usize) -> bool) -> Cost {
        self.talk(Duration::from_secs(1), &mut Cost::default(), &speaks);
        let before = self.stage.shard.stats().switches;
        let mut slices: Vec<_> = (0..seconds)
            .map(|_| {
                let mut cost = Cost::default();
                self.talk(Duration::from_secs(1), &mut cost, &speaks);
                cost
            })
            .collect();
        let median = |slices: &mut Vec<Cost>, of: fn(&Cost) -> f64| {
            slices.sort_by(|one, two| of(one).total_cmp(&of(two)));
            slices.get(slices.len() / 2).map_or(0.0, of)
        };
        let last = slices.last().copied().unwrap_or_default();
        Cost {
            unheard_ns: median(&mut slices, |cost| cost.unheard_ns),
            forwarded_ns: median(&mut slices, |cost| cost.forwarded_ns),
            timers_ns: median(&mut slices, |cost| cost.timers_ns),
            unheard: self.unheard,
            forwarded: slices.iter().map(|cost| cost.forwarded).sum(),
            switches: self.stage.shard.stats().switches - before,
            allocations: last.allocations,
        }
    }

    fn talk(&mut self, time: Duration, cost: &mut Cost, speaks: impl Fn(u64, usize) -> bool) {
        let rounds = (time.as_micros() / PACKET.as_micros()) as u32;
        let (mut unheard, mut heard, mut timers) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut unheard_packets = 0_u64;
        let rtp_out = self.stage.shard.stats().rtp_out;
        for _ in 0..rounds {
            self.seq += 1;
            let now = self.stage.now;
            let mut silent = Vec::new();
            let mut loud = Vec::new();
            for source in 0..self.sources {
                let is_loud = speaks(now.0 / 1000, source);
                let level = if is_loud { LOUD } else { SILENT };
                let packet = self.studio.sound(source, self.seq, now.0, Some(level));
                if is_loud {
                    loud.push(packet)
                } else {
                    silent.push(packet)
                }
            }
            // Silent voices that still have a slot are heard, so nobody's packets count as unheard whom anybody hears.
            let out = self.stage.shard.stats().rtp_out;
            let allocated = allocations();
            let took = self.receive_unheard(&mut silent);
            if self.stage.shard.stats().rtp_out == out {
                unheard += took;
                unheard_packets += silent.len() as u64;
                self.unheard += silent.len() as u64;
            }
            heard += self.receive(&mut loud);
            cost.allocations += allocations() - allocated;
            timers += self.pass(now + PACKET);
        }
        self.stage.shard.take_events();
        cost.forwarded = self.stage.shard.stats().rtp_out - rtp_out;
        cost.unheard_ns = unheard.as_nanos() as f64 / unheard_packets.max(1) as f64;
        cost.forwarded_ns = heard.as_nanos() as f64 / cost.forwarded.max(1) as f64;
        cost.timers_ns = timers.as_nanos() as f64 / time.as_secs_f64();
    }

    /// A name that callgrind's table keeps.
    #[inline(never)]
    fn receive_unheard(&mut self, packets: &mut [Vec<u8>]) -> Duration {
        self.receive(packets)
    }

    fn receive(&mut self, packets: &mut [Vec<u8>]) -> Duration {
        let (now, from) = (self.stage.now, self.studio.address);
        let began = cpu_time();
        for bytes in packets {
            let (to, bytes) = (SERVER.into(), bytes.as_mut_slice());
            self.stage.shard.datagram(
                now,
                Datagram {
                    from,
                    to,
                    via: Via::Udp,
                    bytes,
                },
            );
        }
        self.transmit(now);
        cpu_time() - began
    }

    fn transmit(&mut self, now: Time) {
        loop {
            self.outbox.clear();
            if !self.stage.shard.transmit(now, &mut self.outbox) {
                return;
            }
        }
    }

    fn pass(&mut self, until: Time) -> Duration {
        let began = cpu_time();
        while let Some(next) = self.stage.shard.next_timeout().filter(|next| *next <= until) {
            let now = next.max(self.stage.now);
            self.stage.now = now;
            self.stage.shard.timeout(now);
            self.transmit(now);
        }
        self.stage.now = until;
        cpu_time() - began
    }
}
