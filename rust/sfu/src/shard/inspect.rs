//! What may be known of the inside of a shard: how a transport does, and what tests check.

use super::ShardCore;
use super::binding::subscriber;
use super::transport::{Milestones, WebRtc};
use crate::command::Kind;
use crate::ids::TransportId;
use crate::report::{SlotReport, TransportReport};
use crate::time::Time;

impl ShardCore {
    /// How a transport does.
    pub(super) fn report(&self, now: Time, id: TransportId) -> Option<TransportReport> {
        let transport = self.transports.get(*self.by_id.get(&id)? as usize)?.as_deref()?;
        let since = |at: Option<Time>| at.map(|at| at.micros_since(transport.opened));
        let Milestones {
            connected,
            packet,
            key_frame,
            bound,
        } = transport.milestones;
        let (sender, wishes) = (&transport.sender, &transport.wishes);
        let slots = wishes.iter().filter_map(|wish| {
            Some(SlotReport {
                mid: sender.mid(wish.slot)?,
                track: wish.id,
                shown: wish.told,
                waiting: self.waiting(transport, wish),
            })
        });
        let tracks = transport.tracks.iter().filter_map(|key| {
            let track = self.tracks.get(*key).filter(|track| track.kind == Kind::Video)?;
            Some(track.report(now))
        });
        let (rtt, fraction_lost) = if transport.tracks.is_empty() {
            (sender.bandwidth().round_trip(), sender.feedback().fraction_lost)
        } else {
            (transport.receiver.round_trip(), transport.receiver.fraction_lost())
        };
        Some(TransportReport {
            age_us: now.micros_since(transport.opened),
            ice_us: since(transport.webrtc().and_then(|peer| peer.handshaking)),
            dtls_us: since(connected),
            first_packet_us: since(packet),
            first_key_frame_us: since(key_frame),
            first_bound_us: since(bound),
            estimate_bps: sender.estimate_bps(),
            sent_bps: sender.sent_bps(now),
            wanted_bps: sender.bandwidth().wanted_bps(),
            fraction_lost,
            rtt_us: rtt.map_or(0, |rtt| rtt.as_micros() as u64),
            tracks: tracks.collect(),
            slots: slots.collect(),
        })
    }

    /// Entries of all tables. What a closed transport leaves behind shows here.
    #[doc(hidden)]
    pub fn footprint(&self) -> usize {
        self.by_id.len()
            + self.by_ufrag.len()
            + self.by_path.len()
            + self.tracks.len()
            + self.voices.footprint()
            + self.transports.iter().flatten().count()
    }

    /// Invariants that do not hold, in words: whatever a slot shows or stages lives and is subscribed to, nothing else is, and no table
    /// leads to a transport that is gone. Takes time in proportion to everything there is.
    #[doc(hidden)]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut bound = 0;
        for (index, transport) in (0..).zip(&self.transports) {
            let Some(transport) = transport else { continue };
            for (slot, key) in transport.sender.bound() {
                bound += 1;
                let wanted = subscriber(key, index, slot);
                match self.tracks.get(key.into()) {
                    None => problems.push(format!("{:?} slot {slot}: {key:?} is dead", transport.id)),
                    Some(track) if !track.subscribers.contains(&wanted) => {
                        problems.push(format!("{:?} slot {slot}: not subscribed to {key:?}", transport.id));
                    }
                    Some(_) => {}
                }
            }
            let is_lost = |peer: &WebRtc| {
                peer.ice
                    .local_ufrags()
                    .any(|ufrag| self.by_ufrag.get(ufrag) != Some(&index))
            };
            if self.by_id.get(&transport.id) != Some(&index) || transport.webrtc().is_some_and(is_lost) {
                problems.push(format!("{:?} is not found by its names", transport.id));
            }
        }
        let live = self.transports.iter().flatten();
        let tracks = live.flat_map(|transport| transport.tracks.iter().filter_map(|key| self.tracks.get(*key)));
        let subscribed: usize = tracks.map(|track| track.subscribers.len()).sum();
        if subscribed != bound {
            problems.push(format!("{subscribed} subscriptions for {bound} bindings"));
        }
        let leads = self
            .by_id
            .values()
            .chain(self.by_ufrag.values())
            .chain(self.by_path.values());
        for index in leads {
            if self.transports.get(*index as usize).and_then(Option::as_ref).is_none() {
                problems.push(format!("a table leads to place {index}, where nobody is"));
            }
        }
        self.voice_problems(&mut problems);
        problems
    }
}
