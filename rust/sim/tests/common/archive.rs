//! All that was ever published, by the names that its packets carry in their payload: whatever a viewer gets can be compared with what it
//! was made of, and with what of it the server heard, when and in which order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use rostra_sfu::ring::VIDEO_PACKETS;
use rostra_sfu::time::Time;

/// At the start of what payload descriptors leave.
const MAGIC: [u8; 4] = *b"what";
/// Magic, client, encoding, index.
const STAMP: usize = 4 + 2 + 1 + 8;
/// What is silent for this long may have been taken for gone.
const SILENCE: Duration = Duration::from_millis(1_400);

/// One encoding of one client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Flow {
    pub client: u16,
    pub encoding: u8,
}

/// A packet that was published, wherever it turns up: its flow, and its index there.
pub type Name = (Flow, u64);

#[derive(Clone)]
pub struct Source {
    pub picture: u32,
    /// Of the only encoding of its track.
    pub is_alone: bool,
    /// Spatial and temporal.
    pub layer: (u8, u8),
    /// First packet of its picture.
    pub begins: bool,
    /// A decoder can start with it.
    pub starts: bool,
    pub payload_type: u8,
    pub timestamp: u32,
    pub marker: bool,
    /// Bytes of its payload descriptor, which may be rewritten.
    pub head: usize,
    pub payload: Vec<u8>,
    pub dependency: Option<Vec<u8>>,
    /// When the server heard it, and which place that has among all that happened.
    pub heard: Option<(Time, u64)>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (spatial, temporal) = self.layer;
        let told = [
            (self.begins, " begins"),
            (self.starts, " starts"),
            (self.marker, " marker"),
        ];
        write!(
            f,
            "{} S{spatial}T{temporal} of picture {}",
            self.payload_type, self.picture
        )?;
        told.iter()
            .filter(|(so, _)| *so)
            .try_for_each(|(_, what)| f.write_str(what))?;
        write!(f, " heard {:?}", self.heard)
    }
}

/// A first packet of a picture that the server heard in order: there it may show less or more.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    /// Among all that happened.
    pub moment: u64,
    pub at: Time,
}

/// Since when something flows, and when it was heard last.
#[derive(Clone, Copy, Debug)]
struct Alive {
    since: Time,
    last: Time,
}

/// What the server has heard of a flow's numbers. A jump of more than that is a restart or a stray, which the next packet decides; until then
/// nothing is kept (RFC 3550 §A.1).
const MAX_DROPOUT: u64 = 3000;

#[derive(Default)]
struct Numbers {
    newest: u64,
    probation: Option<u64>,
    /// Where it went on beyond all that the ring held: nothing from before is of use.
    jumps: Vec<(u64, Time)>,
}

impl Numbers {
    /// Whether a packet is kept, and whether it is the newest.
    fn hear(&mut self, now: Time, index: u64, again: bool) -> (bool, bool) {
        let newer = index > self.newest;
        let near = self.newest == 0 || index <= self.newest + MAX_DROPOUT;
        if newer && !near && (again || self.probation != Some(index)) {
            if !again {
                self.probation = Some(index + 1);
            }
            return (false, false);
        }
        if !again {
            self.probation = None;
        }
        if self.newest > 0 && index > self.newest + VIDEO_PACKETS as u64 {
            self.jumps.push((self.newest + 1, now));
        }
        self.newest = self.newest.max(index);
        (true, newer)
    }
}

#[derive(Default)]
pub struct Archive {
    sources: BTreeMap<Name, Source>,
    /// As sealed by the publisher, and whether it is a retransmission.
    wires: HashMap<Vec<u8>, (Name, bool)>,
    numbers: HashMap<Flow, Numbers>,
    begins: BTreeMap<Name, Begin>,
    layers: HashMap<(Flow, (u8, u8)), Alive>,
    /// Somebody sent garbage in their name, and it may have been taken for media.
    polluted: HashSet<Flow>,
    moment: u64,
}

/// Behind a payload descriptor: who it is, and bytes that follow from that.
pub fn body(name: Name, len: usize) -> Vec<u8> {
    let (flow, index) = name;
    let mut body = [
        &MAGIC[..],
        &flow.client.to_be_bytes(),
        &[flow.encoding],
        &index.to_be_bytes(),
    ]
    .concat();
    let filler = (index as u8).wrapping_mul(31).wrapping_add(flow.encoding);
    body.resize(STAMP + len, filler);
    body
}

impl Archive {
    /// Something happened: its place among all that does.
    pub fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub fn publish(&mut self, name: Name, source: Source) {
        self.sources.insert(name, source);
    }

    /// A datagram that carries a packet, perhaps again.
    pub fn seal(&mut self, name: Name, datagram: Vec<u8>, again: bool) {
        self.wires.insert(datagram, (name, again));
    }

    pub fn pollute(&mut self, flow: Flow) {
        self.polluted.insert(flow);
    }

    pub fn is_polluted(&self, flow: Flow) -> bool {
        self.polluted.contains(&flow)
    }

    /// The server hears a datagram.
    pub fn hear(&mut self, now: Time, datagram: &[u8]) {
        // The same datagram again is a replay, which is not read.
        let Some((name, again)) = self.wires.remove(datagram) else {
            return;
        };
        let moment = self.moment();
        let (flow, index) = name;
        let Some(source) = self.sources.get_mut(&name).filter(|source| source.heard.is_none()) else {
            return;
        };
        let (kept, newest) = self.numbers.entry(flow).or_default().hear(now, index, again);
        if !kept {
            return;
        }
        source.heard = Some((now, moment));
        let (layer, begins) = (source.layer, source.begins);
        let source = &self.sources[&name];
        if self.is_readable(name, source) {
            let alive = self
                .layers
                .entry((flow, layer))
                .or_insert(Alive { since: now, last: now });
            if now.since(alive.last) > SILENCE {
                alive.since = now;
            }
            alive.last = now;
        }
        if newest && begins {
            self.begins.insert(name, Begin { moment, at: now });
        }
    }

    /// How often its flow had jumped before a packet.
    pub fn line(&self, (flow, index): Name) -> usize {
        let numbers = self.numbers.get(&flow);
        numbers.map_or(0, |numbers| numbers.jumps.partition_point(|jump| jump.0 <= index))
    }

    pub fn get(&self, name: Name) -> &Source {
        &self.sources[&name]
    }

    /// The packet that this payload was made of, if it says so.
    pub fn find(&self, payload: &[u8]) -> Option<(Name, &Source)> {
        let at = payload.windows(4).take(16).position(|bytes| bytes == MAGIC)?;
        let stamp = payload.get(at + 4..at + STAMP)?;
        let flow = Flow {
            client: u16::from_be_bytes([stamp[0], stamp[1]]),
            encoding: stamp[2],
        };
        let name = (flow, u64::from_be_bytes(stamp[3..].try_into().ok()?));
        Some((name, self.sources.get(&name)?))
    }

    /// Can the server tell its layer? Of AV1 only when a start of its line was heard before: dependency descriptors need the structure that comes
    /// with one.
    pub fn is_readable(&self, name: Name, source: &Source) -> bool {
        if source.dependency.is_none() {
            return true;
        }
        let Some((_, moment)) = source.heard else { return false };
        let line = self.line(name);
        self.sources
            .range((name.0, 0)..=(name.0, u64::MAX))
            .any(|(other, start)| {
                let heard = start.heard.is_some_and(|(_, heard)| heard <= moment);
                heard && start.starts && self.line(*other) == line
            })
    }

    /// Since when a layer flows without a pause.
    pub fn since(&self, now: Time, flow: Flow, layer: (u8, u8)) -> Option<Time> {
        let alive = self.layers.get(&(flow, layer))?;
        (now.since(alive.last) <= SILENCE).then_some(alive.since)
    }

    /// The last picture that began in order, up to a packet.
    pub fn begin(&self, (flow, index): Name) -> Option<Begin> {
        let (_, begin) = self.begins.range((flow, 0)..=(flow, index)).next_back()?;
        Some(*begin)
    }

    /// How many numbers its line has behind a packet.
    pub fn rest(&self, (flow, index): Name) -> u64 {
        let line = self.line((flow, index));
        let mut behind = self.sources.range((flow, index)..=(flow, u64::MAX));
        let last = behind.rfind(|(name, _)| self.line(**name) == line);
        last.map_or(0, |(name, _)| name.1 - index)
    }

    /// Did its flow jump behind it, before this time?
    pub fn has_jumped(&self, (flow, index): Name, before: Time) -> bool {
        let jumps = self.numbers.get(&flow).map(|numbers| &numbers.jumps);
        jumps.is_some_and(|jumps| jumps.iter().any(|(first, at)| *first > index && *at <= before))
    }

    /// Numbers between two packets of a flow that the server never heard, jumps included, and packets between them that it heard.
    pub fn between(&self, flow: Flow, from: u64, to: u64) -> (u64, Vec<Name>) {
        let inner = self.sources.range((flow, from + 1)..(flow, to));
        let heard: Vec<_> = inner
            .filter(|(_, source)| source.heard.is_some())
            .map(|(name, _)| *name)
            .collect();
        (to - from - 1 - heard.len() as u64, heard)
    }
}
