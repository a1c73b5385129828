//! Datagrams in.

use super::binding::Switched;
use super::transport::{Phase, STALL, Transport, WebRtc};
use super::{Datagram, ShardCore};
use crate::command::{CloseReason, Event};
use crate::encoding::Encodings;
use crate::outbox::Path;
use crate::reason::DropReason;
use crate::receive::Track;
use crate::rtp::header::RtpHeader;
use crate::rtp::rtcp;
use crate::time::Time;
use crate::transport::classify::{Class, classify};
use crate::transport::{dtls, stun};

impl ShardCore {
    pub(super) fn receive(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), DropReason> {
        let path = Path {
            local: datagram.to,
            remote: datagram.from,
            via: datagram.via,
        };
        match classify(datagram.bytes).ok_or(DropReason::NotClassified)? {
            Class::Stun => self.receive_stun(now, path, datagram.bytes),
            Class::Dtls => self.receive_dtls(now, path, datagram.bytes),
            Class::Rtp => self.receive_rtp(now, path, datagram.bytes),
            Class::Rtcp => self.receive_rtcp(now, path, datagram.bytes),
        }
    }

    fn receive_stun(&mut self, now: Time, path: Path, bytes: &[u8]) -> Result<(), DropReason> {
        let message = stun::parse(bytes)?;
        if !message.is_request() {
            return Err(DropReason::StunUnexpected);
        }
        let ufrag = message.local_ufrag().ok_or(DropReason::StunMalformed)?;
        let index = *self.by_ufrag.get(ufrag).ok_or(DropReason::StunUnknownUser)?;
        if self.is_in_use(now, path, index) {
            return Err(DropReason::AddressNotValidated);
        }
        self.serving = Some(index);
        let transport = self
            .transports
            .get_mut(index as usize)
            .and_then(Option::as_deref_mut)
            .and_then(Transport::webrtc_mut)
            .ok_or(DropReason::StunUnknownUser)?;
        let mut reply = [0; 128];
        let checked = transport.ice.request(now, path, &message, &mut reply)?;
        if let Some(reply) = reply.get(..checked.reply_len) {
            self.control.push(path, reply);
        }
        if let Some(retired) = checked.retired {
            self.by_ufrag.remove(&retired);
        }
        if !transport.ice.is_valid(&path) {
            return Ok(());
        }
        let mut started = false;
        if let Phase::Waiting = transport.phase {
            let mut dtls = dtls::new(&self.dtls, transport.dtls_role, transport.fingerprints.clone(), now);
            // The client's first flight waits for a clock tick.
            if dtls.timeout(now).is_ok() {
                transport.phase = Phase::Handshaking(dtls);
                transport.handshaking = Some(now);
                started = true;
            }
        }
        self.lead(path, index);
        if checked.parted {
            self.part(index);
        }
        self.authenticated(now, index);
        if started {
            // In the active role the hello leaves now, and is repeated when nobody answers.
            self.pump_dtls(now, index);
        }
        self.mark_dirty(index);
        Ok(())
    }

    /// Does another transport that lives have its media on this path? A lite agent cannot tell whether somebody who authenticates in its
    /// own name really is where it says; it must not take the address of others by saying so. An address is free when its owner moves
    /// away or falls silent.
    fn is_in_use(&self, now: Time, path: Path, by: u32) -> bool {
        let owner = self.by_path.get(&path).filter(|owner| **owner != by);
        owner
            .and_then(|owner| self.transports.get(*owner as usize)?.as_ref())
            .is_some_and(|owner| {
                let heard = owner.last_authenticated.is_some_and(|at| now.since(at) < STALL);
                heard && owner.webrtc().and_then(|peer| peer.ice.media_path()) == Some(path)
            })
    }

    fn receive_dtls(&mut self, now: Time, path: Path, bytes: &[u8]) -> Result<(), DropReason> {
        let (index, transport) = self.validated(path)?;
        let dtls = transport.phase.dtls().ok_or(DropReason::DtlsUnexpected)?;
        let result = dtls.packet(now, bytes);
        match result {
            Ok(()) => self.pump_dtls(now, index),
            Err(error) => self.dtls_failed(index, &error),
        }
        Ok(())
    }

    fn receive_rtp(&mut self, now: Time, path: Path, bytes: &mut [u8]) -> Result<(), DropReason> {
        let header = RtpHeader::parse(bytes)?;
        let Some(&index) = self.by_path.get(&path) else {
            return Err(DropReason::AddressNotValidated);
        };
        self.serving = Some(index);
        let transport = self
            .transports
            .get_mut(index as usize)
            .and_then(Option::as_deref_mut)
            .and_then(Transport::webrtc_mut)
            .filter(|transport| transport.ice.is_valid(&path))
            .ok_or(DropReason::AddressNotValidated)?;
        let Phase::Connected { srtp_in, .. } = &mut transport.phase else {
            return Err(DropReason::NoKeys);
        };
        let len = srtp_in.open_rtp(bytes, header.header_len)?;
        let packet = bytes.get_mut(..len).ok_or(DropReason::RtpMalformed)?;
        self.take_rtp(now, index, packet, &header)
    }

    /// A plain packet of the publisher at `index`, who is who it says.
    pub(super) fn take_rtp(
        &mut self,
        now: Time,
        index: u32,
        packet: &mut [u8],
        header: &RtpHeader,
    ) -> Result<(), DropReason> {
        let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) else {
            return Ok(());
        };
        let received = transport.receiver.rtp(now, &mut self.tracks, packet, header);
        let id = transport.id;
        if let Ok(received) = &received {
            transport.milestones.packet.get_or_insert(now);
            if received.starts {
                transport.milestones.key_frame.get_or_insert(now);
            }
        }
        self.authenticated(now, index);
        self.arm(now, index);
        let received = received?;
        self.stats.rtp_in += 1;
        let key = received.key;
        let Some(track) = self.tracks.get(key.into()) else {
            return Ok(());
        };
        if received.first_of_track {
            self.events.push(Event::TrackStarted {
                transport: id,
                track: track.id,
            });
        }
        if let Some(voice) = track.voice {
            self.hear(now, key.into(), voice, received.seq);
        }
        let (Some(track), Some(view)) = (self.tracks.get(key.into()), self.tracks.encoding(key)) else {
            return Ok(());
        };
        let mut awaited = false;
        self.scratch.switched_at = now;
        for subscriber in track.subscribers.iter().filter(|one| one.encoding == key.encoding) {
            let Some(viewer) = self
                .transports
                .get_mut(subscriber.transport as usize)
                .and_then(Option::as_deref_mut)
            else {
                continue;
            };
            if !viewer.is_connected() {
                continue;
            }
            // A bug in the work for a viewer is that viewer's, not the publisher's.
            self.serving = Some(subscriber.transport);
            #[cfg(feature = "faults")]
            assert_ne!(
                self.fault,
                Some(super::Fault::Forward(viewer.id)),
                "a fault that a test asked for"
            );
            let before = super::binding::Bound {
                showing: viewer.sender.showing(subscriber.slot),
                staged: viewer.sender.staged(subscriber.slot),
            };
            match viewer.sender.forward(now, subscriber.slot, key, &view, received.seq) {
                Ok(forwarded) => {
                    viewer.milestones.packet.get_or_insert(now);
                    if !viewer.dirty {
                        viewer.dirty = true;
                        self.dirty.push_back(subscriber.transport);
                    }
                    if forwarded.switched.is_some() || forwarded.limit_changed {
                        self.scratch.switched.push(Switched {
                            index: subscriber.transport,
                            slot: subscriber.slot,
                            before,
                        });
                    }
                }
                Err(reason) => {
                    // Whoever waits for a key frame asks with every packet that passes by: the arbiter makes one request of all, and one
                    // that was lost for good is repeated.
                    awaited |= reason == DropReason::AwaitingKeyFrame;
                    self.stats.dropped.add(reason);
                }
            }
        }
        self.scratch.switched.reverse();
        while let Some(one) = self.scratch.switched.pop() {
            self.finish_switch(now, one);
        }
        self.serving = Some(index);
        if awaited {
            self.request_key_frame(now, key);
        }
        if self.tracks.get(key.into()).is_some_and(Track::has_layers_changed) {
            self.layers_news(now, index, key.into());
        }
        Ok(())
    }

    /// What follows when a slot shows something else than before.
    pub(super) fn finish_switch(&mut self, now: Time, one: Switched) {
        self.serving = Some(one.index);
        self.reconcile(one.index, one.slot, one.before);
        self.tell_layer(now, one.index, one.slot);
        self.tell_voice(now, one.index, one.slot);
    }

    fn receive_rtcp(&mut self, now: Time, path: Path, bytes: &mut [u8]) -> Result<(), DropReason> {
        let (index, transport) = self.validated(path)?;
        let Phase::Connected { srtp_in, .. } = &mut transport.phase else {
            return Err(DropReason::NoKeys);
        };
        let len = srtp_in.open_rtcp(bytes)?;
        let compound = bytes.get(..len).ok_or(DropReason::RtcpMalformed)?;
        self.take_rtcp(now, index, compound)
    }

    /// A plain compound of the peer at `index`, who is who it says.
    pub(super) fn take_rtcp(&mut self, now: Time, index: u32, compound: &[u8]) -> Result<(), DropReason> {
        self.authenticated(now, index);
        let mut wanted = std::mem::take(&mut self.scratch.requests);
        wanted.clear();
        let result = self.feedback(now, index, compound, &mut wanted);
        for key in wanted.drain(..) {
            self.request_key_frame(now, key);
        }
        self.scratch.requests = wanted;
        self.line_changed(now, index);
        self.mark_dirty(index);
        result
    }

    fn feedback(
        &mut self,
        now: Time,
        index: u32,
        compound: &[u8],
        wanted: &mut Vec<crate::encoding::EncodingKey>,
    ) -> Result<(), DropReason> {
        let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) else {
            return Ok(());
        };
        for packet in rtcp::packets(compound) {
            let packet = packet?;
            transport.receiver.rtcp(now, &mut self.tracks, &packet);
            if let Err(reason) = transport.sender.rtcp(now, &packet, &self.tracks, wanted) {
                self.stats.dropped.add(reason);
            }
        }
        Ok(())
    }

    /// The transport that an ICE-validated path leads to.
    fn validated(&mut self, path: Path) -> Result<(u32, &mut WebRtc), DropReason> {
        let index = *self.by_path.get(&path).ok_or(DropReason::AddressNotValidated)?;
        self.serving = Some(index);
        self.transports
            .get_mut(index as usize)
            .and_then(Option::as_deref_mut)
            .and_then(Transport::webrtc_mut)
            .filter(|transport| transport.ice.is_valid(&path))
            .map(|transport| (index, transport))
            .ok_or(DropReason::AddressNotValidated)
    }

    /// The peer has proved that it is there.
    pub(super) fn authenticated(&mut self, now: Time, index: u32) {
        let Some(transport) = self.transport(index) else {
            return;
        };
        transport.last_authenticated = Some(now);
        if transport.stalled {
            transport.stalled = false;
            let transport = transport.id;
            self.events.push(Event::TransportResumed { transport });
            self.arm(now, index);
        }
    }

    pub(super) fn dtls_failed(&mut self, index: u32, error: &dtls::DtlsError) {
        let reason = match error {
            dtls::DtlsError::FingerprintMismatch => CloseReason::FingerprintMismatch,
            dtls::DtlsError::Failed(_) => CloseReason::DtlsFailed,
        };
        self.remove(index, reason);
    }
}
