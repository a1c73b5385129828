"""The seam to the media plane as values: orders that it takes, facts that it tells (docs/seam.md).

Every class here has a twin in ``rust/sfu/src/command.rs``; the two change together.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

TransportId = NewType("TransportId", int)
"""One peer connection, 1 … 2**63-1. Minted by the hub, never reused while the process lives."""

TrackId = NewType("TrackId", int)
"""One published track (one receiving m-line), 1 … 2**63-1. Minted by the hub, never reused."""

Mid = NewType("Mid", str)
"""The m-line id of SDP, 1 to 16 bytes of ASCII."""


class Kind(StrEnum):
    """Audio or video, spelled as in SDP and in signalling."""

    AUDIO = "audio"
    VIDEO = "video"


class Codec(StrEnum):
    """Codecs that the media plane can forward."""

    OPUS = "opus"
    MULTIOPUS = "multiopus"
    VP8 = "vp8"
    VP9 = "vp9"
    H264 = "h264"
    AV1 = "av1"


class DtlsRole(StrEnum):
    """The server's side of the DTLS handshake (RFC 8842)."""

    PASSIVE = "passive"
    ACTIVE = "active"


class ExtensionKind(StrEnum):
    """Header extensions that the media plane knows; the values are their URIs."""

    MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
    RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
    REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
    TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
    ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
    AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
    PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"


class CloseReason(StrEnum):
    """Why a transport ended."""

    CLOSED = "closed"
    PEER_CLOSED = "peer_closed"
    NEVER_CONNECTED = "never_connected"
    CONSENT_LOST = "consent_lost"
    FINGERPRINT_MISMATCH = "fingerprint_mismatch"
    DTLS_FAILED = "dtls_failed"
    BUG = "bug"


class RefusalCode(StrEnum):
    """Why the media plane refused a command."""

    UNKNOWN_TRANSPORT = "unknown_transport"
    UNKNOWN_SLOT = "unknown_slot"
    UNKNOWN_TRACK = "unknown_track"
    DUPLICATE = "duplicate"
    KIND_MISMATCH = "kind_mismatch"
    CODEC_NOT_NEGOTIATED = "codec_not_negotiated"
    TOO_MANY = "too_many"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digest of the peer's certificate (RFC 8122 §5)."""

    hash: str  # "sha-256", "sha-384" or "sha-512"
    digest: bytes


@dataclass(frozen=True, slots=True)
class Extension:
    """A negotiated header extension. Ids are 1–255, one map for the whole bundle (RFC 8843 §9.2)."""

    id: int
    kind: ExtensionKind


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """One payload type of an m-line."""

    payload_type: int
    codec: Codec
    rtx_payload_type: int | None = None
    profile: int = 0  # H264: profile-level-id as a number; VP9: profile-id
    packetization_mode: int = 0  # H264 only


@dataclass(frozen=True, slots=True)
class EncodingSpec:
    """One encoding of a published track, as far as SDP names it."""

    rid: str | None = None
    ssrc: int | None = None
    rtx_ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class ReceiveSpec:
    """A track that the peer publishes. ``encodings`` is never empty and goes from lowest to highest."""

    mid: Mid
    track: TrackId
    kind: Kind
    codecs: tuple[CodecSpec, ...]
    encodings: tuple[EncodingSpec, ...] = (EncodingSpec(),)


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A viewer's m-line. The SSRCs belong to the slot for as long as the transport lives."""

    mid: Mid
    kind: Kind
    ssrc: int
    rtx_ssrc: int
    codecs: tuple[CodecSpec, ...]


@dataclass(frozen=True, slots=True)
class TransportSpec:
    """All that was negotiated for one peer connection. ``local_ufrag`` is unique in the process."""

    local_ufrag: str
    local_pwd: str = field(repr=False)
    remote_ufrag: str
    remote_pwd: str = field(repr=False)
    fingerprints: tuple[Fingerprint, ...]
    dtls_role: DtlsRole
    extensions: tuple[Extension, ...]
    cname: str
    receive: tuple[ReceiveSpec, ...] = ()
    slots: tuple[SlotSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenTransport:
    """Register a peer connection. Packets that authenticate with its credentials bring it to life."""

    transport: TransportId
    spec: TransportSpec


@dataclass(frozen=True, slots=True)
class CloseTransport:
    """End a peer connection. An unknown id is no error: the other side may have been faster."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class AddSlot:
    """Add a slot for a mid that no SDP contained."""

    transport: TransportId
    slot: SlotSpec


@dataclass(frozen=True, slots=True)
class BindSlot:
    """Show ``track`` in the slot. It keeps what it shows until the new track can start; ``SlotBound`` says when."""

    transport: TransportId
    mid: Mid
    track: TrackId


@dataclass(frozen=True, slots=True)
class UnbindSlot:
    """Show nothing in the slot. Idempotent."""

    transport: TransportId
    mid: Mid


Command = OpenTransport | CloseTransport | AddSlot | BindSlot | UnbindSlot


@dataclass(frozen=True, slots=True)
class TransportConnected:
    """ICE, DTLS and the fingerprint are done. ``profile`` is the SRTP protection profile, as IANA spells it."""

    transport: TransportId
    profile: str


@dataclass(frozen=True, slots=True)
class TransportStalled:
    """No authenticated packet for 5 s. The transport still lives."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class TransportResumed:
    """Authenticated packets again after ``TransportStalled``."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class TransportClosed:
    """The transport is gone. Exactly once for each accepted ``OpenTransport``."""

    transport: TransportId
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class TrackStarted:
    """First packet of a track."""

    transport: TransportId
    track: TrackId


@dataclass(frozen=True, slots=True)
class SlotBound:
    """The slot now shows ``track``: its first packet is on the way."""

    transport: TransportId
    mid: Mid
    track: TrackId


@dataclass(frozen=True, slots=True)
class Rejected:
    """A command was refused and changed nothing."""

    transport: TransportId
    mid: Mid | None
    code: RefusalCode


@dataclass(frozen=True, slots=True)
class MediaStats:
    """Counters since the engine started and gauges of now, all from one moment. Latest wins."""

    transports: int = 0
    tracks: int = 0
    slots: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    rtp_in: int = 0
    rtp_out: int = 0
    retransmissions_out: int = 0
    nacks_out: int = 0
    key_frame_requests_out: int = 0
    key_frame_requests_in: int = 0
    switches: int = 0
    oversize_out: int = 0
    receive_overflow: int = 0
    send_full: int = 0
    send_errors: int = 0
    gso_fallbacks: int = 0
    restarts: int = 0
    dropped: tuple[tuple[str, int], ...] = ()  # (reason, packets), every reason of the media plane


Event = (
    TransportConnected
    | TransportStalled
    | TransportResumed
    | TransportClosed
    | TrackStarted
    | SlotBound
    | Rejected
    | MediaStats
)
