//! Orders of the control plane.

use std::collections::HashSet;

use super::allocation::Wishes;
use super::binding::subscriber;
use super::transport::{Carrier, Milestones, Phase, Received, Transport, WebRtc};
use super::{MAX_TRANSPORTS, ShardCore};
use crate::command::{
    CloseReason, CodecSpec, Command, Event, Kind, MAX_CODECS, MAX_FINGERPRINTS, MAX_MEDIA, ReceiveSpec, RefusalCode,
    SlotSpec, TransportSpec,
};
use crate::ids::{Mid, TransportId};
use crate::receive::Receiver;
use crate::rtp::ext::ExtensionMap;
use crate::send::Sender;
use crate::send::allocator::Allocator;
use crate::time::Time;
use crate::transport::ice::IceLite;

impl ShardCore {
    pub(super) fn obey(&mut self, now: Time, command: Command) {
        let (transport, mid, result) = match command {
            Command::OpenTransport { transport, spec } => (Some(transport), None, self.open(now, transport, *spec)),
            Command::OpenLocalFeed { transport, spec } => {
                (Some(transport), None, self.open_feed(now, transport, *spec))
            }
            Command::CloseTransport { transport } => {
                if let Some(&index) = self.by_id.get(&transport) {
                    self.serving = Some(index);
                    self.close(now, index);
                }
                (Some(transport), None, Ok(()))
            }
            Command::AddSlot { transport, slot } => {
                let added = self.add_slot(transport, &slot);
                (Some(transport), Some(slot.mid), added)
            }
            Command::BindSlot {
                transport,
                mid,
                track,
                choice,
                priority,
            } => {
                let bound = self.bind(now, transport, mid, track, choice, priority);
                (Some(transport), Some(mid), bound)
            }
            Command::UnbindSlot { transport, mid } => {
                let unbound = self.unbind(transport, mid, now);
                (Some(transport), Some(mid), unbound)
            }
            Command::AddVoice { group, track, source } => (None, None, self.add_voice(group, track, source)),
            Command::RemoveVoice { track } => {
                self.remove_voice(track);
                (None, None, Ok(()))
            }
            Command::Listen {
                transport,
                group,
                mids,
                excluded,
            } => match self.listen(now, transport, group, &mids, excluded) {
                Ok(()) => (Some(transport), None, Ok(())),
                Err((mid, code)) => (Some(transport), mid, Err(code)),
            },
            Command::RestartIce {
                transport,
                local_ufrag,
                local_pwd,
                remote_ufrag,
                remote_pwd,
            } => {
                let credentials = [&local_ufrag, &local_pwd, &remote_ufrag, &remote_pwd];
                (Some(transport), None, self.restart_ice(transport, credentials))
            }
            Command::Inspect { transport } => {
                let report = self.report(now, transport).map(Box::new);
                self.events.push(Event::Inspected { transport, report });
                (Some(transport), None, Ok(()))
            }
        };
        if let Err(code) = result {
            self.events.push(Event::Rejected { transport, mid, code });
        }
    }

    fn open(&mut self, now: Time, id: TransportId, spec: TransportSpec) -> Result<(), RefusalCode> {
        validate(&spec)?;
        if self.by_ufrag.contains_key(&spec.local_ufrag) {
            return Err(RefusalCode::Duplicate);
        }
        self.has_room_for(id, &spec.receive)?;
        let map = ExtensionMap::new(&spec.extensions);
        let our_ssrc = self.random_ssrc();
        let tracks: Vec<_> = spec.receive.iter().map(|media| self.tracks.insert(id, media)).collect();
        #[cfg(feature = "faults")]
        assert_ne!(
            self.fault,
            Some(super::Fault::Open(id)),
            "a fault that a test asked for"
        );
        let mut sender =
            Sender::new(&spec.slots, map, spec.cname, self.unix_at_base_us).with_bandwidth(now, &spec.bandwidth);
        sender.set_playout_delay(spec.playout_delay);
        let transport = Transport {
            id,
            carrier: Carrier::WebRtc(WebRtc {
                ice: IceLite::new(&spec.local_ufrag, &spec.local_pwd, &spec.remote_ufrag),
                dtls_role: spec.dtls_role,
                fingerprints: spec.fingerprints,
                phase: Phase::Waiting,
                dtls_timeout: None,
                paths: Vec::new(),
                handshaking: None,
            }),
            receiver: Receiver::new(&spec.receive, tracks.clone(), map, our_ssrc),
            sender,
            wishes: Wishes::default(),
            pool: None,
            allocator: Allocator::new(&spec.bandwidth),
            layers_due: None,
            layers_told: None,
            tracks,
            received: Received::new(&spec.receive),
            opened: now,
            last_authenticated: None,
            milestones: Milestones::default(),
            stalled: false,
            dirty: false,
            armed: None,
        };
        let index = self.settle(now, transport);
        self.by_ufrag.insert(spec.local_ufrag, index);
        Ok(())
    }

    /// Is there room for one more transport, with these tracks?
    pub(super) fn has_room_for(&self, id: TransportId, receive: &[ReceiveSpec]) -> Result<(), RefusalCode> {
        if self.by_id.contains_key(&id) || receive.iter().any(|media| self.tracks.by_id(media.track).is_some()) {
            return Err(RefusalCode::Duplicate);
        }
        if self.by_id.len() >= MAX_TRANSPORTS {
            return Err(RefusalCode::TooMany);
        }
        Ok(())
    }

    /// Where a new transport is kept from now on.
    pub(super) fn settle(&mut self, now: Time, transport: Transport) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.transports.push(None);
            (self.transports.len() - 1) as u32
        });
        self.by_id.insert(transport.id, index);
        if let Some(place) = self.transports.get_mut(index as usize) {
            *place = Some(Box::new(transport));
        }
        self.arm(now, index);
        index
    }

    /// Credentials as in a spec: our fragment and password, theirs.
    fn restart_ice(&mut self, id: TransportId, credentials: [&String; 4]) -> Result<(), RefusalCode> {
        validate_credentials(credentials)?;
        let [local_ufrag, local_pwd, remote_ufrag, _] = credentials;
        let index = *self.by_id.get(&id).ok_or(RefusalCode::UnknownTransport)?;
        self.serving = Some(index);
        if self.by_ufrag.contains_key(local_ufrag) {
            return Err(RefusalCode::Duplicate);
        }
        let transport = self.transport(index).ok_or(RefusalCode::UnknownTransport)?;
        let peer = transport.webrtc_mut().ok_or(RefusalCode::Invalid)?;
        if let Some(unused) = peer.ice.restart(local_ufrag, local_pwd, remote_ufrag) {
            self.by_ufrag.remove(&unused);
        }
        self.by_ufrag.insert(local_ufrag.clone(), index);
        Ok(())
    }

    fn add_slot(&mut self, id: TransportId, slot: &SlotSpec) -> Result<(), RefusalCode> {
        validate_codecs(slot.kind, &slot.codecs)?;
        let index = *self.by_id.get(&id).ok_or(RefusalCode::UnknownTransport)?;
        self.serving = Some(index);
        let transport = self.transport(index).ok_or(RefusalCode::UnknownTransport)?;
        if let Carrier::Local(_) = transport.carrier {
            return Err(RefusalCode::Invalid);
        }
        if transport.sender.slots() + transport.tracks.len() >= MAX_MEDIA {
            return Err(RefusalCode::TooMany);
        }
        let received = &transport.received;
        if received.mids.contains(&slot.mid)
            || [slot.ssrc, slot.rtx_ssrc]
                .iter()
                .any(|ssrc| received.ssrcs.contains(ssrc))
        {
            return Err(RefusalCode::Duplicate);
        }
        transport.sender.add_slot(slot).map(|_| ())
    }

    /// Say goodbye by close_notify, then forget.
    fn close(&mut self, now: Time, index: u32) {
        if let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut)
            && let Some(transport) = transport.webrtc_mut()
            && let Some(path) = transport.ice.media_path()
            && let Some(dtls) = transport.phase.dtls()
        {
            dtls.close(now);
            self.control.take_dtls(path, dtls.as_mut());
        }
        self.remove(index, CloseReason::Closed);
    }

    /// Forget a transport: its tracks leave every slot that shows them.
    pub(super) fn remove(&mut self, index: u32, reason: CloseReason) {
        let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        self.by_id.remove(&transport.id);
        if let Some(peer) = transport.webrtc() {
            for ufrag in peer.ice.local_ufrags() {
                self.by_ufrag.remove(ufrag);
            }
            for path in &peer.paths {
                if self.by_path.get(path) == Some(&index) {
                    self.abandon(path);
                }
            }
        }
        for (slot, key) in transport.sender.bound() {
            self.tracks.unsubscribe(key, subscriber(key, index, slot));
        }
        for key in &transport.tracks {
            self.end_track(*key);
        }
        if let Some(pool) = &transport.pool {
            self.stop_listening(pool);
        }
        self.free.push(index);
        self.events.push(Event::TransportClosed {
            transport: transport.id,
            reason,
        });
    }

    pub(super) fn slot(&self, id: TransportId, mid: Mid) -> Result<(u32, u16), RefusalCode> {
        let index = *self.by_id.get(&id).ok_or(RefusalCode::UnknownTransport)?;
        let transport = self
            .transports
            .get(index as usize)
            .and_then(Option::as_deref)
            .ok_or(RefusalCode::UnknownTransport)?;
        let slot = transport.sender.slot(mid).ok_or(RefusalCode::UnknownSlot)?;
        Ok((index, slot))
    }

    pub(super) fn transport(&mut self, index: u32) -> Option<&mut Transport> {
        self.transports.get_mut(index as usize).and_then(Option::as_deref_mut)
    }
}

fn validate(spec: &TransportSpec) -> Result<(), RefusalCode> {
    validate_credentials([&spec.local_ufrag, &spec.local_pwd, &spec.remote_ufrag, &spec.remote_pwd])?;
    if spec.fingerprints.is_empty()
        || spec.cname.is_empty()
        || spec.cname.len() > 255
        || spec.extensions.iter().any(|extension| extension.id == 0)
    {
        return Err(RefusalCode::Invalid);
    }
    if spec.fingerprints.len() > MAX_FINGERPRINTS {
        return Err(RefusalCode::TooMany);
    }
    validate_media(&spec.receive, &spec.slots)
}

pub(super) fn validate_media(receive: &[ReceiveSpec], slots: &[SlotSpec]) -> Result<(), RefusalCode> {
    if receive.len() + slots.len() > MAX_MEDIA {
        return Err(RefusalCode::TooMany);
    }
    let mut mids = HashSet::new();
    let mut tracks = HashSet::new();
    let mut ssrcs = HashSet::new();
    for media in receive {
        validate_codecs(media.kind, &media.codecs)?;
        if media.encodings.is_empty() || media.encodings.len() > 8 {
            return Err(RefusalCode::Invalid);
        }
        let known = media
            .encodings
            .iter()
            .flat_map(|encoding| [encoding.ssrc, encoding.rtx_ssrc]);
        if !mids.insert(media.mid) || !tracks.insert(media.track) || !known.flatten().all(|ssrc| ssrcs.insert(ssrc)) {
            return Err(RefusalCode::Duplicate);
        }
    }
    for slot in slots {
        validate_codecs(slot.kind, &slot.codecs)?;
        if !mids.insert(slot.mid) || !ssrcs.insert(slot.ssrc) || !ssrcs.insert(slot.rtx_ssrc) {
            return Err(RefusalCode::Duplicate);
        }
    }
    Ok(())
}

fn validate_credentials(credentials: [&String; 4]) -> Result<(), RefusalCode> {
    if credentials.iter().any(|text| text.is_empty() || text.len() > 256) {
        return Err(RefusalCode::Invalid);
    }
    Ok(())
}

fn validate_codecs(kind: Kind, codecs: &[CodecSpec]) -> Result<(), RefusalCode> {
    if codecs.len() > MAX_CODECS {
        return Err(RefusalCode::TooMany);
    }
    if codecs.iter().any(|spec| spec.codec.kind() != kind) {
        return Err(RefusalCode::KindMismatch);
    }
    let out_of_range = |payload_type: u8| payload_type > 127;
    if codecs
        .iter()
        .any(|spec| out_of_range(spec.payload_type) || spec.rtx_payload_type.is_some_and(out_of_range))
    {
        return Err(RefusalCode::Invalid);
    }
    Ok(())
}
