//! One transport as the shard keeps it.

use std::time::Duration;

use super::allocation::Wishes;
use super::local::Link;
use crate::command::{DtlsRole, Fingerprint, ReceiveSpec};
use crate::ids::{Mid, Ssrc, TransportId};
use crate::outbox::Path;
use crate::receive::{Membership, Receiver, TrackKey};
use crate::send::allocator::Allocator;
use crate::send::{Sender, SlotIndex};
use crate::time::Time;
use crate::transport::dtls::Dtls;
use crate::transport::ice::IceLite;
use crate::transport::srtp::{SrtpIn, SrtpOut};
use crate::voices::Pool;

/// A transport ends this long after its last authenticated packet (RFC 7675 §5.1).
pub(super) const CONSENT: Duration = Duration::from_secs(30);
/// A transport ends this long after its offer when ICE has authenticated nobody: such a place costs its owner one request.
pub(super) const UNCHECKED: Duration = Duration::from_secs(10);
/// A feed counts as silent, and another may take over, this long after its last authenticated packet.
pub(super) const STALL: Duration = Duration::from_secs(5);

/// How far the peer has come.
pub(super) enum Phase {
    /// Nobody has authenticated yet: no handshake state exists.
    Waiting,
    /// ICE has validated an address.
    Handshaking(Box<dyn Dtls>),
    /// Keys are in use. DTLS stays for close_notify and late retransmissions of the handshake.
    Connected {
        /// The handshake's state.
        dtls: Box<dyn Dtls>,
        /// From the peer.
        srtp_in: Box<SrtpIn>,
        /// To the peer.
        srtp_out: Box<SrtpOut>,
    },
}

impl Phase {
    pub fn dtls(&mut self) -> Option<&mut Box<dyn Dtls>> {
        match self {
            Self::Waiting => None,
            Self::Handshaking(dtls) | Self::Connected { dtls, .. } => Some(dtls),
        }
    }

    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}

/// Mids and signalled SSRCs of receiving m-lines.
pub(super) struct Received {
    pub mids: Vec<Mid>,
    pub ssrcs: Vec<Ssrc>,
}

impl Received {
    pub fn new(specs: &[ReceiveSpec]) -> Self {
        let encodings = specs.iter().flat_map(|spec| &spec.encodings);
        Self {
            mids: specs.iter().map(|spec| spec.mid).collect(),
            ssrcs: encodings
                .flat_map(|encoding| [encoding.ssrc, encoding.rtx_ssrc])
                .flatten()
                .collect(),
        }
    }
}

/// When a transport got how far. "Why is there no picture?" is answered from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Milestones {
    /// Keys were in use.
    pub connected: Option<Time>,
    /// The first media packet from the publisher, or to the viewer.
    pub packet: Option<Time>,
    /// The first key frame, likewise.
    pub key_frame: Option<Time>,
    /// The first slot that showed a picture.
    pub bound: Option<Time>,
}

/// What a peer connection has below RTP.
pub(super) struct WebRtc {
    pub ice: IceLite,
    pub dtls_role: DtlsRole,
    pub fingerprints: Vec<Fingerprint>,
    pub phase: Phase,
    pub dtls_timeout: Option<Time>,
    /// Addresses that lead here in `by_path`.
    pub paths: Vec<Path>,
    /// When ICE validated the first address.
    pub handshaking: Option<Time>,
}

/// How packets come from the other side, and how what it is told goes there.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are peer connections")]
pub(super) enum Carrier {
    /// Datagrams of a peer connection.
    WebRtc(WebRtc),
    /// Frames of a process beside the server.
    Local(Link),
}

pub(super) struct Transport {
    pub id: TransportId,
    pub carrier: Carrier,
    pub tracks: Vec<TrackKey>,
    /// Names that its receiving m-lines took: no slot may have them.
    pub received: Received,
    pub receiver: Receiver,
    pub sender: Sender,
    pub wishes: Wishes,
    /// Slots that are filled with whoever speaks.
    pub pool: Option<Box<Pool>>,
    pub allocator: Allocator,
    /// When to tell next what flows of its pictures.
    pub layers_due: Option<Time>,
    /// When it was told last.
    pub layers_told: Option<Time>,
    pub opened: Time,
    /// Or the last frame of a local feed.
    pub last_authenticated: Option<Time>,
    pub milestones: Milestones,
    pub stalled: bool,
    /// Waiting in the queue of `transmit`.
    pub dirty: bool,
    /// The time at which the heap wakes it.
    pub armed: Option<Time>,
}

impl Transport {
    /// Its half of ICE, DTLS and SRTP, if it is a peer connection.
    pub fn webrtc(&self) -> Option<&WebRtc> {
        match &self.carrier {
            Carrier::WebRtc(peer) => Some(peer),
            Carrier::Local(_) => None,
        }
    }

    /// The same, to change.
    pub fn webrtc_mut(&mut self) -> Option<&mut WebRtc> {
        match &mut self.carrier {
            Carrier::WebRtc(peer) => Some(peer),
            Carrier::Local(_) => None,
        }
    }

    /// May media come and go?
    pub fn is_connected(&self) -> bool {
        self.webrtc().is_none_or(|peer| peer.phase.is_connected())
    }

    /// From when on silence counts. Checks keep a transport that has keys; one that has none gets its time for the handshake once.
    pub fn alive(&self) -> Time {
        let since = match &self.carrier {
            Carrier::WebRtc(peer) if !peer.phase.is_connected() => peer.handshaking,
            Carrier::WebRtc(_) | Carrier::Local(_) => self.last_authenticated,
        };
        since.unwrap_or(self.opened)
    }

    /// When silence ends it.
    pub fn expires(&self) -> Time {
        let is_unchecked = self.webrtc().is_some_and(|peer| peer.handshaking.is_none());
        self.alive() + if is_unchecked { UNCHECKED } else { CONSENT }
    }

    /// Is the slot filled with whoever speaks?
    pub fn is_in_pool(&self, slot: SlotIndex) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.has(slot))
    }

    /// Does such a slot play this voice, or await it?
    pub fn plays(&self, slot: SlotIndex, voice: Membership) -> bool {
        let pool = self.pool.as_ref().filter(|pool| pool.group == voice.group);
        pool.and_then(|pool| pool.place(slot)).is_some_and(|place| {
            place.voice == Some(voice.seat) || place.plays.is_some_and(|(seat, _)| seat == voice.seat)
        })
    }

    /// When something is to be done at the latest.
    pub fn next_timeout(&self) -> Time {
        let liveness = if self.is_connected() && !self.stalled {
            self.alive() + STALL
        } else {
            self.expires()
        };
        // Nothing can leave: what would like to waits for the next check.
        let pathless = |peer: &&WebRtc| peer.handshaking.is_some() && peer.ice.media_path().is_none();
        if let Some(peer) = self.webrtc().filter(pathless) {
            return peer.dtls_timeout.map_or(liveness, |at| at.min(liveness));
        }
        [
            self.webrtc().and_then(|peer| peer.dtls_timeout),
            self.receiver.next_timeout(),
            self.sender.next_timeout(),
            self.wishes.due,
            self.layers_due,
        ]
        .into_iter()
        .flatten()
        .fold(liveness, Time::min)
    }
}
