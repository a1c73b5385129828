//! The seam: what the control plane tells a shard, and the facts that it hears back (docs/seam.md).
//!
//! Values only. Anything that crosses this file is owned by the receiver afterwards.

use crate::choice::{BandwidthSpec, LayerChoice, PlayoutDelay, Priority};
use crate::ids::{GroupId, Mid, Rid, SourceKey, Ssrc, TrackId, TransportId};
use crate::report::{ShownLayer, Speaker, TrackLayers, TransportReport};
use crate::stats::Stats;

/// Most m-lines (receiving ones and slots together) of one transport.
pub const MAX_MEDIA: usize = 512;
/// Most codecs of one m-line.
pub const MAX_CODECS: usize = 32;
/// Most fingerprints of one offer that are looked at.
pub const MAX_FINGERPRINTS: usize = 16;

/// An order of the control plane. A refused one yields [`Event::Rejected`] and changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Register a peer connection. Packets that authenticate with its credentials bring it to life.
    OpenTransport {
        /// The new transport.
        transport: TransportId,
        /// Everything negotiated, immutable.
        spec: Box<TransportSpec>,
    },
    /// Take in what a process beside the server feeds, in frames ([`crate::transport::frame`]). Whoever owns the shard brings them.
    OpenLocalFeed {
        /// The new transport.
        transport: TransportId,
        /// What is fed, immutable.
        spec: Box<LocalFeedSpec>,
    },
    /// End a peer connection or a local feed: DTLS close_notify, then nothing more. Unknown ids are no error (the other side may have been faster).
    CloseTransport {
        /// The transport to end.
        transport: TransportId,
    },
    /// Add a slot for a mid that no SDP contained.
    AddSlot {
        /// The viewer.
        transport: TransportId,
        /// The new slot.
        slot: SlotSpec,
    },
    /// Show `track` in the slot `mid`. The slot keeps what it shows until the new track can start. The same track again changes the
    /// choice of layer and the priority.
    BindSlot {
        /// The viewer.
        transport: TransportId,
        /// The slot.
        mid: Mid,
        /// The track to show.
        track: TrackId,
        /// Which of its layers.
        choice: LayerChoice,
        /// How much it matters.
        priority: Priority,
    },
    /// Show nothing in the slot. Idempotent.
    UnbindSlot {
        /// The viewer.
        transport: TransportId,
        /// The slot.
        mid: Mid,
    },
    /// Make an audio track a candidate of a group. It leaves with its track. The same again changes nothing.
    AddVoice {
        /// The group, which begins with its first voice or listener.
        group: GroupId,
        /// The candidate. In one group at most.
        track: TrackId,
        /// Whose voice it is.
        source: SourceKey,
    },
    /// The track is no candidate any more. Idempotent; an unknown track is no error.
    RemoveVoice {
        /// The track.
        track: TrackId,
    },
    /// Fill these audio slots of a viewer with whoever speaks in the group. Again: replaces what it said before; slots that stay keep what they
    /// play, as long as it is not excluded. A slot that leaves is emptied. Without mids it ends. `BindSlot` and `UnbindSlot` of one of the
    /// slots take it out first.
    Listen {
        /// The viewer.
        transport: TransportId,
        /// Whose voices.
        group: GroupId,
        /// The slots.
        mids: Vec<Mid>,
        /// Who is never played.
        excluded: Vec<SourceKey>,
    },
    /// New credentials for a transport (RFC 8445 §9). What authenticates with the old ones still counts until the first check with the new;
    /// then they are forgotten. DTLS and SRTP go on.
    RestartIce {
        /// The transport.
        transport: TransportId,
        /// Our new fragment, unique in the process.
        local_ufrag: String,
        /// Our new password.
        local_pwd: String,
        /// The peer's new fragment.
        remote_ufrag: String,
        /// The peer's new password.
        remote_pwd: String,
    },
    /// Tell how a transport does; `Inspected` is the answer, whether the transport exists or not.
    Inspect {
        /// The transport.
        transport: TransportId,
    },
}

/// A fact from the media plane. Lifecycle events are never dropped; `Stats`, `TrackLayers`, `SlotLayer`, `SlotVoice` and `Speakers` are
/// latest-wins.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// ICE, DTLS and the fingerprint are done; keys are in use. Of a local feed: at once.
    TransportConnected {
        /// The transport.
        transport: TransportId,
        /// What DTLS-SRTP chose. `None`: a local feed, which is not encrypted.
        profile: Option<SrtpProfile>,
    },
    /// No authenticated packet, or frame of a local feed, for 5 s. The transport still lives.
    TransportStalled {
        /// The transport.
        transport: TransportId,
    },
    /// Authenticated packets again after `TransportStalled`.
    TransportResumed {
        /// The transport.
        transport: TransportId,
    },
    /// The transport is gone. Sent exactly once for each accepted `OpenTransport` and `OpenLocalFeed`.
    TransportClosed {
        /// The transport.
        transport: TransportId,
        /// Why.
        reason: CloseReason,
    },
    /// First packet of a track.
    TrackStarted {
        /// The publisher.
        transport: TransportId,
        /// The track.
        track: TrackId,
    },
    /// The slot now shows `track`: its first packet is on the way. Slots that `Listen` fills tell `SlotVoice` instead.
    SlotBound {
        /// The viewer.
        transport: TransportId,
        /// The slot.
        mid: Mid,
        /// What it shows.
        track: TrackId,
    },
    /// A command was refused and changed nothing.
    Rejected {
        /// The transport that the command named, if any.
        transport: Option<TransportId>,
        /// The slot that the command named, if any.
        mid: Option<Mid>,
        /// Why.
        code: RefusalCode,
    },
    /// The encodings of a video track, once a second and when they change.
    TrackLayers(Box<TrackLayers>),
    /// The layer that a video slot shows changed. `None`: the viewer's line does not carry it, or it shows nothing.
    SlotLayer {
        /// The viewer.
        transport: TransportId,
        /// The slot.
        mid: Mid,
        /// What is forwarded.
        layer: Option<ShownLayer>,
    },
    /// A slot that `Listen` fills now plays this track: its first packet is on the way. `None`: nobody.
    SlotVoice {
        /// The viewer.
        transport: TransportId,
        /// The slot.
        mid: Mid,
        /// Who is played.
        track: Option<TrackId>,
    },
    /// Who speaks in a group, loudest first, at most 5 times a second and only when it changed. Empty: nobody does.
    Speakers {
        /// The group.
        group: GroupId,
        /// At most [`crate::voices::MAX_SPEAKERS`].
        speakers: Vec<Speaker>,
    },
    /// The answer to `Inspect`; `None`: there is no such transport.
    Inspected {
        /// The transport.
        transport: TransportId,
        /// How it does.
        report: Option<Box<TransportReport>>,
    },
    /// Totals of the shard, once a second.
    Stats(Box<Stats>),
}

/// Why a transport ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// `CloseTransport`.
    Closed,
    /// The peer sent a DTLS close_notify, or the process that fed hung up.
    PeerClosed,
    /// Nobody authenticated within 30 s of `OpenTransport`.
    NeverConnected,
    /// 30 s without an authenticated packet (RFC 7675), or frame of a local feed.
    ConsentLost,
    /// The peer's certificate has none of the fingerprints of its SDP.
    FingerprintMismatch,
    /// The DTLS handshake failed.
    DtlsFailed,
    /// An invariant of ours broke while serving this transport.
    Bug,
}

impl CloseReason {
    /// Stable text for logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::PeerClosed => "peer_closed",
            Self::NeverConnected => "never_connected",
            Self::ConsentLost => "consent_lost",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::DtlsFailed => "dtls_failed",
            Self::Bug => "bug",
        }
    }
}

/// Why a command was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RefusalCode {
    /// No such transport (any more).
    UnknownTransport,
    /// No slot of that mid.
    UnknownSlot,
    /// No such track (any more).
    UnknownTrack,
    /// The id, mid, ssrc or ufrag is taken.
    Duplicate,
    /// Audio cannot be shown in a video slot, nor video in an audio slot.
    KindMismatch,
    /// The viewer negotiated no payload type for the track's codec.
    CodecNotNegotiated,
    /// More m-lines, codecs or transports than the caps allow.
    TooMany,
    /// A value is outside its range (payload type, extension id, empty credentials).
    Invalid,
    /// An invariant of ours broke while the order was obeyed.
    Bug,
}

impl Command {
    /// The transport that the order names.
    pub fn transport(&self) -> Option<TransportId> {
        match self {
            Self::OpenTransport { transport, .. }
            | Self::OpenLocalFeed { transport, .. }
            | Self::CloseTransport { transport }
            | Self::AddSlot { transport, .. }
            | Self::BindSlot { transport, .. }
            | Self::UnbindSlot { transport, .. }
            | Self::Listen { transport, .. }
            | Self::RestartIce { transport, .. }
            | Self::Inspect { transport } => Some(*transport),
            Self::AddVoice { .. } | Self::RemoveVoice { .. } => None,
        }
    }
}

impl RefusalCode {
    /// Stable text, the `code` of `Rejected` on the Python side.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownTransport => "unknown_transport",
            Self::UnknownSlot => "unknown_slot",
            Self::UnknownTrack => "unknown_track",
            Self::Duplicate => "duplicate",
            Self::KindMismatch => "kind_mismatch",
            Self::CodecNotNegotiated => "codec_not_negotiated",
            Self::TooMany => "too_many",
            Self::Invalid => "invalid",
            Self::Bug => "bug",
        }
    }
}

/// All that was negotiated for one peer connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportSpec {
    /// Ours; the first half of the USERNAME of the peer's checks. Unique in the process.
    pub local_ufrag: String,
    /// Ours; the key of MESSAGE-INTEGRITY of the peer's checks.
    pub local_pwd: String,
    /// The peer's; the second half of USERNAME.
    pub remote_ufrag: String,
    /// The peer's.
    pub remote_pwd: String,
    /// Fingerprints of the peer's SDP, strong hashes only; one that matches is enough.
    pub fingerprints: Vec<Fingerprint>,
    /// Our role in the handshake.
    pub dtls_role: DtlsRole,
    /// One map for all m-lines (RFC 8843 §9.2 makes ids consistent across a bundle).
    pub extensions: Vec<ExtensionSpec>,
    /// CNAME of everything that we send on this transport.
    pub cname: String,
    /// What the peer publishes.
    pub receive: Vec<ReceiveSpec>,
    /// What the peer watches.
    pub slots: Vec<SlotSpec>,
    /// The viewer's share of bandwidth.
    pub bandwidth: BandwidthSpec,
    /// What the viewer's jitter buffers are told, where the extension was negotiated.
    pub playout_delay: Option<PlayoutDelay>,
}

/// What a process beside the server feeds in. Every encoding names its SSRC, as nothing else tells them apart, and no retransmissions: they do
/// not exist here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFeedSpec {
    /// CNAME of what is fed.
    pub cname: String,
    /// The tracks; frames name them by their place.
    pub receive: Vec<ReceiveSpec>,
    /// Header extensions of the packets. Those that only serve an estimate of the line are not looked at.
    pub extensions: Vec<ExtensionSpec>,
}

/// Certificate digest of the peer (RFC 8122 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash function.
    pub hash: Hash,
    /// The digest, as long as the function says.
    pub digest: Vec<u8>,
}

/// Hash functions accepted in fingerprints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hash {
    /// sha-256
    Sha256,
    /// sha-384
    Sha384,
    /// sha-512
    Sha512,
}

/// Our side of the DTLS handshake (RFC 8842).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DtlsRole {
    /// We are the server: the choice of cipher is ours.
    Passive,
    /// We are the client; towards an ICE-validated address only.
    Active,
}

/// What DTLS-SRTP chose (RFC 5764, RFC 7714).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SrtpProfile {
    /// SRTP_AES128_CM_HMAC_SHA1_80
    Aes128CmSha1_80,
    /// SRTP_AEAD_AES_128_GCM
    AeadAes128Gcm,
    /// SRTP_AEAD_AES_256_GCM
    AeadAes256Gcm,
}

/// A negotiated header extension.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExtensionSpec {
    /// 1–255; above 14 forces two-byte headers (RFC 8285 §4.3) on packets that carry it.
    pub id: u8,
    /// What it means.
    pub kind: ExtensionKind,
}

/// Header extensions that the media plane knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExtensionKind {
    /// urn:ietf:params:rtp-hdrext:sdes:mid
    Mid,
    /// urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
    Rid,
    /// urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
    RepairedRid,
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01
    TransportCc,
    /// abs-send-time
    AbsSendTime,
    /// urn:ietf:params:rtp-hdrext:ssrc-audio-level (RFC 6464)
    AudioLevel,
    /// playout-delay
    PlayoutDelay,
    /// Dependency descriptor of AV1 and others (AV1 RTP payload format 1.0, appendix A).
    DependencyDescriptor,
    /// abs-capture-time
    AbsCaptureTime,
    /// video-layers-allocation00
    VideoLayersAllocation,
}

/// Audio or video.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// m=audio
    Audio,
    /// m=video
    Video,
}

/// Codecs that the media plane can forward.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Codec {
    /// RFC 7587
    Opus,
    /// Opus with more than two channels, as Chromium sends it.
    MultiOpus,
    /// RFC 7741
    Vp8,
    /// RFC 9628
    Vp9,
    /// RFC 6184
    H264,
    /// AV1 RTP payload format 1.0
    Av1,
}

impl Codec {
    /// The kind of m-line that carries it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Opus | Self::MultiOpus => Kind::Audio,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => Kind::Video,
        }
    }

    /// RTP clock rate, Hz.
    pub fn clock_hz(self) -> u32 {
        match self.kind() {
            Kind::Audio => 48_000,
            Kind::Video => 90_000,
        }
    }
}

/// One payload type of an m-line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CodecSpec {
    /// 0–127.
    pub payload_type: u8,
    /// What it carries.
    pub codec: Codec,
    /// Payload type of its retransmissions (RFC 4588); `None`: no retransmission.
    pub rtx_payload_type: Option<u8>,
    /// H264: profile_idc ‖ constraint flags ‖ level of profile-level-id (RFC 6184 §8.1). VP9: profile-id. Else 0.
    pub profile: u32,
    /// H264 packetization-mode; else 0.
    pub packetization_mode: u8,
}

/// A track that the peer publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveSpec {
    /// Its m-line.
    pub mid: Mid,
    /// The id by which commands and events name it.
    pub track: TrackId,
    /// Audio or video.
    pub kind: Kind,
    /// Accepted payload types.
    pub codecs: Vec<CodecSpec>,
    /// Encodings, lowest first; one without rid and ssrc when SDP says nothing. Never empty.
    pub encodings: Vec<EncodingSpec>,
}

/// One encoding of a track, as far as SDP names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EncodingSpec {
    /// RTP stream id of simulcast.
    pub rid: Option<Rid>,
    /// Signalled SSRC.
    pub ssrc: Option<Ssrc>,
    /// Signalled SSRC of its retransmissions.
    pub rtx_ssrc: Option<Ssrc>,
}

/// A viewer's m-line. SSRCs belong to the slot for as long as the transport lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSpec {
    /// Its m-line.
    pub mid: Mid,
    /// Audio or video.
    pub kind: Kind,
    /// Of the media.
    pub ssrc: Ssrc,
    /// Of retransmissions.
    pub rtx_ssrc: Ssrc,
    /// Payload types that the viewer accepts.
    pub codecs: Vec<CodecSpec>,
}
