//! Datagrams out: replies first, then each transport that has something to say, in turn.

use std::collections::VecDeque;
use std::time::Duration;

use super::ShardCore;
use super::transport::{Carrier, Phase, STALL, Transport};
use crate::command::{CloseReason, Event};
use crate::outbox::{Outbox, Path};
use crate::reason::DropReason;
use crate::rtp::rtcp::RtcpWriter;
use crate::time::Time;
use crate::transport::dtls::{Dtls, DtlsOutput};
use crate::transport::srtp::{SrtpIn, SrtpOut};

/// Replies that wait at most. A flood of checks beyond this loses replies, which ICE repeats.
const MAX_CONTROL: usize = 1024;
/// No transport is served more often than this by timers: what is due at once is due in this round, and a module that says "now" for ever
/// must not keep the shard from everybody else.
const SOONEST: Duration = Duration::from_micros(100);
/// Largest datagram of our own making (DTLS flights, RTCP compounds).
const MAX_OWN: usize = 1500;

/// STUN replies and DTLS flights on their way out: they leave before media and are never paced.
#[derive(Default)]
pub(super) struct Control {
    queue: VecDeque<(Path, Vec<u8>)>,
    /// Replies that found no room since they were last counted.
    refused: u32,
    spare: Vec<Vec<u8>>,
}

impl Control {
    pub fn push(&mut self, path: Path, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.queue.len() >= MAX_CONTROL {
            self.refused += 1;
            return;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        self.queue.push_back((path, buffer));
    }

    /// What DTLS still wants to send, as when it says goodbye.
    pub fn take_dtls(&mut self, path: Path, dtls: &mut dyn Dtls) {
        let mut buffer = [0; MAX_OWN];
        for _ in 0..16 {
            match dtls.poll(&mut buffer) {
                DtlsOutput::Packet(bytes) => {
                    let bytes = bytes.to_vec();
                    self.push(path, &bytes);
                }
                DtlsOutput::Connected(_) => {}
                DtlsOutput::PeerClosed | DtlsOutput::Timeout(_) | DtlsOutput::Idle => break,
            }
        }
    }

    /// `true` when some did not fit.
    fn fill(&mut self, out: &mut Outbox) -> bool {
        while let Some((path, bytes)) = self.queue.front() {
            if !out.push(*path, bytes) {
                return true;
            }
            if let Some((_, buffer)) = self.queue.pop_front() {
                self.spare.push(buffer);
            }
        }
        false
    }
}

impl ShardCore {
    pub(super) fn fill(&mut self, now: Time, out: &mut Outbox) -> bool {
        let (datagrams, bytes) = out.total();
        let more = self.fill_all(now, out);
        let (datagrams_after, bytes_after) = out.total();
        self.stats.packets_out += (datagrams_after - datagrams) as u64;
        self.stats.bytes_out += (bytes_after - bytes) as u64;
        more
    }

    fn fill_all(&mut self, now: Time, out: &mut Outbox) -> bool {
        for _ in 0..std::mem::take(&mut self.control.refused) {
            self.stats.dropped.add(DropReason::RateLimited);
        }
        if self.control.fill(out) {
            return true;
        }
        // One round: a transport that becomes dirty again meanwhile waits for the next call.
        for _ in 0..self.dirty.len() {
            let Some(index) = self.dirty.pop_front() else {
                return false;
            };
            self.serving = Some(index);
            if self.flush(now, index, out) {
                self.dirty.push_front(index);
                return true;
            }
            if let Some(transport) = self.transport(index) {
                transport.dirty = false;
            }
            self.arm(now, index);
        }
        self.serving = None;
        false
    }

    /// `true` when the outbox is full.
    fn flush(&mut self, now: Time, index: u32, out: &mut Outbox) -> bool {
        let Some(transport) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut) else {
            return false;
        };
        let Carrier::WebRtc(peer) = &mut transport.carrier else {
            self.flush_local(now, index);
            return false;
        };
        let Some(path) = peer.ice.media_path() else {
            return false;
        };
        let Phase::Connected { srtp_out, .. } = &mut peer.phase else {
            return false;
        };
        let (nacks, requests) = (transport.receiver.nacks_out, transport.receiver.key_frame_requests_out);
        loop {
            if !out.has_room(MAX_OWN) {
                return true;
            }
            let room = out.spare();
            let overhead = srtp_out.rtcp_overhead();
            let limit = room.len().min(crate::outbox::SAFE_PAYLOAD).saturating_sub(overhead);
            let Some(plain) = room.get_mut(..limit) else {
                return true;
            };
            let mut writer = RtcpWriter::new(plain);
            let polled = transport.receiver.poll_rtcp(now, &mut self.tracks, &mut writer);
            let len = writer.len();
            if len > 0
                && let Some(sealed) = srtp_out.seal_rtcp(out.spare(), len)
            {
                out.commit(path, sealed);
            }
            if !polled.more {
                break;
            }
        }
        self.stats.nacks_out += transport.receiver.nacks_out - nacks;
        self.stats.key_frame_requests_out += transport.receiver.key_frame_requests_out - requests;
        transport
            .sender
            .flush(now, &self.tracks, srtp_out, path, out, &mut self.stats)
    }

    /// Take out of DTLS what it has: packets, keys, the end.
    pub(super) fn pump_dtls(&mut self, now: Time, index: u32) {
        let mut buffer = [0; MAX_OWN];
        loop {
            let Some(Transport {
                id,
                milestones,
                carrier: Carrier::WebRtc(peer),
                ..
            }) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut)
            else {
                return;
            };
            let path = peer.ice.media_path();
            let Some(dtls) = peer.phase.dtls() else {
                return;
            };
            match dtls.poll(&mut buffer) {
                DtlsOutput::Packet(bytes) => {
                    if let Some(path) = path {
                        self.control.push(path, bytes);
                    }
                }
                DtlsOutput::Timeout(at) => {
                    peer.dtls_timeout = Some(at);
                    break;
                }
                DtlsOutput::Idle => {
                    peer.dtls_timeout = None;
                    break;
                }
                DtlsOutput::PeerClosed => {
                    self.remove(index, CloseReason::PeerClosed);
                    return;
                }
                DtlsOutput::Connected(keys) => {
                    let srtp_in = Box::new(SrtpIn::new(keys.profile, &keys.inbound));
                    let srtp_out = Box::new(SrtpOut::new(keys.profile, &keys.outbound));
                    let phase = std::mem::replace(&mut peer.phase, Phase::Waiting);
                    peer.phase = match phase {
                        Phase::Handshaking(dtls) => Phase::Connected {
                            dtls,
                            srtp_in,
                            srtp_out,
                        },
                        other => other,
                    };
                    milestones.connected = Some(now);
                    self.events.push(Event::TransportConnected {
                        transport: *id,
                        profile: Some(keys.profile),
                    });
                    self.start_slots(now, index);
                }
            }
        }
        self.arm(now, index);
    }

    /// Timers of one transport.
    pub(super) fn serve(&mut self, now: Time, index: u32) {
        self.serving = Some(index);
        let Some(transport) = self.transport(index) else {
            return;
        };
        transport.armed = None;
        let alive = transport.alive();
        if now >= transport.expires() {
            let reason = if transport.is_connected() {
                CloseReason::ConsentLost
            } else {
                CloseReason::NeverConnected
            };
            self.remove(index, reason);
            return;
        }
        if transport.is_connected() && !transport.stalled && now.since(alive) >= STALL {
            transport.stalled = true;
            let transport = transport.id;
            self.events.push(Event::TransportStalled { transport });
        }
        self.serve_dtls(now, index);
        let is_due = |due: Option<Time>| due.is_some_and(|due| due <= now);
        if self
            .transport(index)
            .is_some_and(|transport| is_due(transport.layers_due))
        {
            self.tell_layers(now, index);
        }
        if self
            .transport(index)
            .is_some_and(|transport| is_due(transport.wishes.due))
        {
            self.allocate(now, index);
        }
        self.mark_dirty(index);
        self.arm(now, index);
    }

    fn serve_dtls(&mut self, now: Time, index: u32) {
        let Some(transport) = self.transport(index).and_then(Transport::webrtc_mut) else {
            return;
        };
        if transport.dtls_timeout.is_some_and(|at| at <= now) {
            transport.dtls_timeout = None;
            let result = transport.phase.dtls().map_or(Ok(()), |dtls| dtls.timeout(now));
            match result {
                Ok(()) => self.pump_dtls(now, index),
                Err(error) => self.dtls_failed(index, &error),
            }
        }
    }

    pub(super) fn mark_dirty(&mut self, index: u32) {
        if let Some(transport) = self.transport(index)
            && !transport.dirty
        {
            transport.dirty = true;
            self.dirty.push_back(index);
        }
    }

    /// Wake the transport when it next has something to do. An earlier wake-up that is armed already is good enough: it arms
    /// the next one.
    pub(super) fn arm(&mut self, now: Time, index: u32) {
        let Some(transport) = self.transport(index) else {
            return;
        };
        let at = transport.next_timeout().max(now + SOONEST);
        if transport.armed.is_none_or(|armed| at < armed) {
            transport.armed = Some(at);
            self.timers.arm(at, index);
            if self.timers.is_crowded(self.by_id.len()) {
                let armed = self.transports.iter().enumerate().filter_map(|(index, transport)| {
                    let transport = transport.as_deref()?;
                    Some((transport.armed?, index as u32))
                });
                self.timers.rebuild(armed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::outbox::Via;

    #[test]
    fn replies_beyond_the_queue_are_refused_and_counted() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let path = Path {
            local: address,
            remote: address,
            via: Via::Udp,
        };
        let mut control = Control::default();
        for _ in 0..MAX_CONTROL + 3 {
            control.push(path, b"reply");
        }
        assert_eq!((control.queue.len(), control.refused), (MAX_CONTROL, 3));
        let mut out = Outbox::default();
        while control.fill(&mut out) {
            out.clear();
        }
        assert!(control.queue.is_empty());
    }
}
