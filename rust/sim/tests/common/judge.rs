//! What a viewer may get of layers, judged by every packet that leaves for it, lost later or not: each is what was published but for its ids,
//! none is above what was chosen, and every number that is missing stands for something that the server never heard.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rostra_sfu::choice::LayerChoice;
use rostra_sfu::ids::Ssrc;
use rostra_sfu::rtp::ext::ExtensionMap;
use rostra_sfu::rtp::header::RtpHeader;
use rostra_sfu::time::Time;

use super::archive::{Archive, Flow, Name, Source};
use super::peer::VP8;
use super::studio::{AV1, VP9};

/// Within this time of the beginning of a layer the server may not know of it, and so lets it pass: news are told every 50 ms, and take effect
/// with the next picture.
const NEWS: Duration = Duration::from_millis(200);
/// What was heard this long before the end may wait for the pacer still.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// A packet that left.
#[derive(Debug)]
struct Sent {
    /// `None`: padding, what nobody published, or what came too late to be read.
    name: Option<Name>,
    /// Empty for padding.
    payload: Option<Vec<u8>>,
    header: RtpHeader,
    dependency: Option<Vec<u8>>,
    moment: u64,
}

impl Sent {
    fn unknown(header: RtpHeader, moment: u64) -> Self {
        Self {
            name: None,
            payload: None,
            header,
            dependency: None,
            moment,
        }
    }
}

/// A choice and when it was made.
#[derive(Clone, Copy, Debug)]
struct Wish {
    moment: u64,
    client: u16,
    choice: LayerChoice,
    /// An encoding that is not above the chosen one was shown since.
    met: bool,
}

#[derive(Debug, Default)]
struct Slot {
    sent: BTreeMap<u64, Sent>,
    wishes: Vec<Wish>,
    /// The flow of the last packet, and since when.
    run: Option<(Flow, u64, Time)>,
    /// When it was emptied, between two moments: what waited then is not sent, whatever numbers it had.
    breaks: Vec<(u64, u64, Time)>,
}

/// How often each rule had something to say.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    pub packets: usize,
    /// Packets that came while a layer above the choice flowed.
    pub limited: usize,
    /// Neighbours of different encodings.
    pub switches: usize,
    /// Neighbours of one encoding between which the server left packets out.
    pub left_out: usize,
    /// Numbers that stand for loss.
    pub lost: usize,
    pub padding: usize,
    pub again: usize,
    /// Packets of voices, in slots of pools.
    pub voices: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.limited += other.limited;
        self.switches += other.switches;
        self.left_out += other.left_out;
        self.lost += other.lost;
        self.padding += other.padding;
        self.again += other.again;
        self.voices += other.voices;
    }
}

/// Of one viewer.
pub struct Judge {
    map: ExtensionMap,
    /// It negotiated dependency descriptors.
    described: bool,
    slots: HashMap<Ssrc, Slot>,
    rtx: HashMap<Ssrc, Ssrc>,
    /// Its line may overflow: then what waits makes room for a switch.
    pub is_narrow: bool,
    pub counts: Counts,
}

/// The highest layer of each dimension that a choice lets pass. The lowest one always flows here.
fn most(choice: &LayerChoice) -> (u8, u8) {
    let least = |exact: Option<u8>, most: Option<u8>| exact.unwrap_or(u8::MAX).min(most.unwrap_or(u8::MAX));
    (
        least(choice.spatial, choice.max_spatial),
        least(choice.temporal, choice.max_temporal),
    )
}

impl Judge {
    pub fn new(map: ExtensionMap, described: bool) -> Self {
        Self {
            map,
            described,
            slots: HashMap::new(),
            rtx: HashMap::new(),
            is_narrow: false,
            counts: Counts::default(),
        }
    }

    /// A video slot that it has.
    pub fn slot(&mut self, ssrc: Ssrc, rtx: Ssrc) {
        self.slots.entry(ssrc).or_default();
        self.rtx.insert(rtx, ssrc);
    }

    /// A choice was made for a slot, and taken.
    pub fn chose(&mut self, moment: u64, slot: Ssrc, client: u16, choice: LayerChoice) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.wishes.push(Wish {
                moment,
                client,
                choice,
                met: false,
            });
        }
    }

    /// A slot was emptied between two moments.
    pub fn emptied(&mut self, now: Time, between: (u64, u64), slot: Ssrc) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.breaks.push((between.0, between.1, now));
        }
    }

    /// A packet left. One without plaintext came too late to be read.
    ///
    /// # Panics
    /// When it may not.
    pub fn see(&mut self, now: Time, archive: &mut Archive, header: RtpHeader, seq: u64, packet: Option<&[u8]>) {
        let moment = archive.moment();
        let Some(packet) = packet else {
            if let Some(slot) = self.slots.get_mut(&header.ssrc) {
                slot.sent.insert(seq, Sent::unknown(header, moment));
            }
            return;
        };
        let payload = packet[header.payload(packet).expect("the server pads well")].to_vec();
        let dependency = self.map.read(packet, &header).dependency.of(packet).map(<[u8]>::to_vec);
        if let Some(slot) = self.rtx.get(&header.ssrc).and_then(|ssrc| self.slots.get(ssrc)) {
            if payload.is_empty() {
                // A probe while no picture is shown.
                self.counts.padding += 1;
                return;
            }
            self.counts.again += 1;
            let number = u16::from_be_bytes([payload[0], payload[1]]);
            let original = slot.sent.iter().rev().find(|(seq, _)| **seq as u16 == number);
            let (_, original) = original.expect("what is sent again was sent");
            let Some(before) = &original.payload else { return };
            assert_eq!(payload[2..], *before, "{number} again is not what it was");
            let same = |header: &RtpHeader| (header.timestamp, header.marker);
            assert_eq!(same(&header), same(&original.header), "{number} again");
            return;
        }
        let Some(slot) = self.slots.get_mut(&header.ssrc) else {
            return;
        };
        self.counts.packets += 1;
        let found = archive.find(&payload);
        let name = found.map(|(name, _)| name);
        if let Some((name, source)) = found {
            assert_is_rewritten(&payload, source);
            let readable = archive.is_readable(name, source);
            if self.described && (readable || dependency.is_some()) {
                assert_is_described(dependency.as_deref(), source);
            }
            let limitable = readable && (self.described || source.payload_type != AV1);
            if limitable && !archive.is_polluted(name.0) {
                self.counts.limited += usize::from(slot.assert_is_chosen(now, moment, archive, name, source));
            }
        } else {
            self.counts.padding += usize::from(payload.is_empty());
        }
        let sent = Sent {
            name,
            payload: Some(payload),
            header,
            dependency,
            moment,
        };
        slot.sent.insert(seq, sent);
    }

    /// Nothing more comes: look at what lies between the packets.
    ///
    /// # Panics
    /// When a number is missing that stands for nothing, or neighbours do not fit.
    pub fn finish(&mut self, now: Time, archive: &Archive) {
        for slot in self.slots.values() {
            let media: Vec<_> = slot
                .sent
                .iter()
                .filter_map(|(seq, sent)| Some((*seq, sent, sent.name?)))
                .collect();
            for pair in media.windows(2) {
                let [(a_seq, a, a_name), (b_seq, b, b_name)] = pair else {
                    continue;
                };
                if [a_name, b_name].iter().any(|name| archive.is_polluted(name.0)) {
                    continue;
                }
                let padding = slot.sent.range(a_seq + 1..*b_seq).count() as u64;
                let missing = b_seq - a_seq - 1 - padding;
                let pair = Pair {
                    a: (*a_name, a),
                    b: (*b_name, b),
                    numbers: (*a_seq, *b_seq),
                    missing,
                    padding,
                };
                pair.judge(now, slot, archive, self.is_narrow, &mut self.counts);
            }
        }
    }
}

/// Two packets of a slot with no other media between them.
struct Pair<'a> {
    a: (Name, &'a Sent),
    b: (Name, &'a Sent),
    numbers: (u64, u64),
    /// Numbers between them under which nothing left.
    missing: u64,
    /// … and under which padding left.
    padding: u64,
}

impl Pair<'_> {
    fn judge(&self, now: Time, slot: &Slot, archive: &Archive, is_narrow: bool, counts: &mut Counts) {
        let ((a_flow, a_index), a) = self.a;
        let ((b_flow, b_index), b) = self.b;
        let (from, to) = (archive.get(self.a.0), archive.get(self.b.0));
        let what = format!("{:?}: {from:?} … {to:?}, {} missing", self.numbers, self.missing);
        let step = b.header.timestamp.wrapping_sub(a.header.timestamp) as i32;
        assert!(step >= 0, "time goes back: {what}");
        let (first, last) = (a.moment.min(b.moment), a.moment.max(b.moment));
        if slot.breaks.iter().any(|(from, to, _)| *from <= last && first <= *to) {
            return;
        }
        let line = archive.line(self.a.0);
        let same = a_flow == b_flow && line == archive.line(self.b.0);
        if !same {
            counts.switches += 1;
            assert!(to.starts, "what is new begins in the middle: {what}");
            // A picture that was cut must read as loss.
            let cut = u64::from(!a.header.marker);
            // What waits is lost when the ring is emptied, and when a line that overflows is relieved.
            let most = if is_narrow || archive.has_jumped(self.a.0, now) {
                1 + archive.rest(self.a.0)
            } else {
                cut.max(u64::from(self.padding > 0))
            };
            let least = if self.padding > 0 { 0 } else { cut };
            assert!((least..=most).contains(&self.missing), "a switch takes {cut}: {what}");
            return;
        }
        assert!(b_index > a_index, "out of order: {what}");
        let (unheard, heard) = archive.between(a_flow, a_index, b_index);
        // What comes late is sent late, unless the slot has gone elsewhere by then. What waits while the flow jumps is lost with the ring.
        let late = heard.iter().filter(|name| {
            let (at, moment) = archive.get(**name).heard.expect("it was");
            now.since(at) < UNDER_WAY
                || archive.has_jumped(**name, at + UNDER_WAY)
                || slot.has_left((a_flow, line), self.numbers.1, last.min(moment), (at, moment), archive)
        });
        assert!(
            (unheard..=unheard + late.count() as u64).contains(&self.missing),
            "{unheard} were never heard of {a_index}..{b_index}, {:?} were: {what}",
            heard
                .iter()
                .map(|name| (name.1, archive.get(*name)))
                .collect::<Vec<_>>()
        );
        counts.lost += self.missing as usize;
        counts.left_out += usize::from(!heard.is_empty());
        let readable = [(self.a.0, from), (self.b.0, to)];
        let readable = readable.iter().all(|(name, source)| archive.is_readable(*name, source));
        if self.missing + self.padding > 0 || !readable {
            return;
        }
        let same_picture = from.picture == to.picture;
        assert_eq!(a.header.marker, !same_picture, "where a picture ends: {what}");
        assert_eq!(same_picture, step == 0, "time of pictures: {what}");
        if let (Some(a_id), Some(b_id)) = (picture_id(a), picture_id(b)) {
            let gap = b_id.wrapping_sub(a_id) & 0x7fff;
            let expected = match to.payload_type {
                // Counted without those that were left out.
                VP8 => u32::from(!same_picture),
                _ => to.picture - from.picture,
            };
            assert_eq!(u32::from(gap), expected, "picture ids: {what}");
        }
        if let (Some(a), Some(b)) = (frame_shift(a, from), frame_shift(b, to)) {
            assert_eq!(a, b, "frame numbers keep their distances: {what}");
        }
    }
}

impl Slot {
    /// Is a packet that was heard late not sent any more, because the slot is emptied while that waits, or shows something else than its line by
    /// then? `seq` is a number behind it.
    fn has_left(&self, line: (Flow, usize), seq: u64, first: u64, heard: (Time, u64), archive: &Archive) -> bool {
        let (at, moment) = heard;
        let emptied = |(_, to, when): &(u64, u64, Time)| *to >= first && *when <= at + UNDER_WAY;
        self.breaks.iter().any(emptied)
            || self.sent.range(seq + 1..).any(|(_, sent)| {
                sent.name.is_some_and(|name| {
                    let source = archive.get(name);
                    let queued = source.heard.is_some_and(|(_, queued)| queued <= moment);
                    (name.0, archive.line(name)) != line && (queued || sent.moment <= moment)
                })
            })
    }

    /// Whether the choice had something to say.
    fn assert_is_chosen(&mut self, now: Time, moment: u64, archive: &Archive, name: Name, source: &Source) -> bool {
        let (flow, _) = name;
        // Less is shown from the first picture on that begins after the choice.
        let Some(begin) = archive.begin(name) else { return false };
        let wishes: Vec<_> = self.wishes.iter().filter(|wish| wish.client == flow.client).collect();
        let in_force = wishes
            .partition_point(|wish| wish.moment < begin.moment)
            .saturating_sub(1);
        let allowed = wishes[in_force..]
            .iter()
            .map(|wish| most(&wish.choice))
            .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
            .expect("somebody wanted it");
        if self.run.is_none_or(|(shown, _, _)| shown != flow) {
            self.run = Some((flow, moment, now));
        }
        let (spatial, temporal) = source.layer;
        let since = archive.since(now, flow, source.layer);
        let known = |at: Time| since.is_some_and(|since| at.since(since) >= NEWS);
        // What something else is to follow goes on as it was until that can begin.
        let ordered = wishes[in_force].moment;
        let mut later = self.wishes.iter().filter(|wish| wish.moment > ordered);
        let stays = later.all(|wish| wish.client == flow.client)
            && (source.is_alone
                || wishes[in_force].choice.encoding == Some(flow.encoding)
                || self.run.is_some_and(|(_, began, at)| began > ordered && known(at)));
        let ruled = stays && known(begin.at);
        assert!(
            !ruled || spatial <= allowed.0 && temporal <= allowed.1,
            "{name:?} of layer {:?}, of which {allowed:?} is the highest, in a picture that began at {begin:?}: {:?}",
            source.layer,
            wishes
        );
        let limits = allowed.0 < 2 || allowed.1 < 2;
        let newest = self.wishes.iter_mut().rfind(|wish| wish.client == flow.client);
        if let Some(wish) = newest
            && let Some(wanted) = wish.choice.encoding
        {
            let steady = (0..=wanted).all(|encoding| {
                let flow = Flow { encoding, ..flow };
                archive
                    .since(now, flow, (0, 0))
                    .is_some_and(|since| begin.at.since(since) >= NEWS)
            });
            assert!(
                !wish.met || !steady || flow.encoding <= wanted || begin.moment < wish.moment,
                "{name:?} where at most encoding {wanted} was wanted"
            );
            wish.met |= flow.encoding <= wanted;
        }
        limits && ruled
    }
}

/// Only ids of the descriptor may differ.
fn assert_is_rewritten(payload: &[u8], source: &Source) {
    let ids: &[usize] = match source.payload_type {
        VP8 => &[2, 3, 4],
        VP9 => &[1, 2, 4],
        _ => &[],
    };
    assert_eq!(payload.len(), source.payload.len());
    for (at, (new, old)) in payload.iter().zip(&source.payload).enumerate() {
        assert!(new == old || ids.contains(&at), "byte {at} of {source:?}");
    }
}

/// The descriptor is there and speaks of the same packet of a frame.
fn assert_is_described(dependency: Option<&[u8]>, source: &Source) {
    let ends = |bytes: &[u8]| bytes[0] & 0xc0;
    assert_eq!(
        dependency.map(ends),
        source.dependency.as_deref().map(ends),
        "{source:?}"
    );
}

fn picture_id(sent: &Sent) -> Option<u16> {
    let at = match sent.header.payload_type {
        VP8 => 2,
        VP9 => 1,
        _ => return None,
    };
    let payload = sent.payload.as_deref()?;
    Some(u16::from_be_bytes([payload[at], payload[at + 1]]))
}

/// What was added to the frame number of a dependency descriptor.
fn frame_shift(sent: &Sent, source: &Source) -> Option<u16> {
    let number = |bytes: &[u8]| u16::from_be_bytes([bytes[1], bytes[2]]);
    let new = number(sent.dependency.as_deref()?);
    Some(new.wrapping_sub(number(source.dependency.as_deref()?)))
}
