"""The seam to the media plane as values: orders that it takes, facts that it tells (docs/seam.md).

Every class here has a twin in ``rust/sfu/src/command.rs``; the two change together: one file here as there, which
makes it long.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

TransportId = NewType("TransportId", int)
"""One peer connection, 1 … 2**63-1. Minted by the hub, never reused while the process lives."""

TrackId = NewType("TrackId", int)
"""One published track (one receiving m-line), 1 … 2**63-1. Minted by the hub, never reused."""

GroupId = NewType("GroupId", int)
"""The voices of one stream, 1 … 2**63-1. Minted by the hub, never reused."""

SourceKey = NewType("SourceKey", int)
"""One source of a group, 1 … 2**63-1: all tracks that it ever has share it. Minted by the hub, never reused."""

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
    DEPENDENCY_DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
    ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
    VIDEO_LAYERS_ALLOCATION = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"


class Priority(StrEnum):
    """Whose picture is made better first when not all can be, and turned off last: main, promoted, then the rest."""

    NORMAL = "normal"
    PROMOTED = "promoted"
    MAIN = "main"


class Strategy(StrEnum):
    """How a viewer's estimate begins and how eagerly its pictures improve."""

    QUALITY = "quality"
    BANDWIDTH = "bandwidth"
    PERFORMANCE = "performance"


class Waiting(StrEnum):
    """Why a slot that has a track shows nothing."""

    TRANSPORT = "transport"
    PACKETS = "packets"
    KEY_FRAME = "key_frame"
    BANDWIDTH = "bandwidth"


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
    BUG = "bug"


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
class LayerChoice:
    """Which layer of a track a slot is to show; nothing said: the server chooses.

    ``encoding`` (place among the encodings of the track, lowest first), ``spatial`` and ``temporal`` are exact: the
    server does not adapt that dimension. What nothing meets is met by the next lower layer, and kept for when it can
    be met. Sizes are pixels.
    """

    encoding: int | None = None
    spatial: int | None = None
    temporal: int | None = None
    max_spatial: int | None = None
    max_temporal: int | None = None
    max_width: int | None = None
    max_height: int | None = None


@dataclass(frozen=True, slots=True)
class BandwidthSpec:
    """A viewer's share of bandwidth. ``initial_bps`` 0: the server's default. The main picture may exceed the cap."""

    initial_bps: int = 0
    max_bps: int = 12_000_000
    strategy: Strategy = Strategy.BANDWIDTH
    smooth: bool = False


@dataclass(frozen=True, slots=True)
class PlayoutDelay:
    """Bounds of the viewer's jitter buffers, milliseconds, at most 40 950."""

    min_ms: int
    max_ms: int


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
    bandwidth: BandwidthSpec = BandwidthSpec()
    playout_delay: PlayoutDelay | None = None


@dataclass(frozen=True, slots=True)
class OpenTransport:
    """Register a peer connection. Packets that authenticate with its credentials bring it to life."""

    transport: TransportId
    spec: TransportSpec


@dataclass(frozen=True, slots=True)
class LocalFeedSpec:
    """What a process beside the server feeds in. SSRCs are named for every encoding: nothing else tells them apart.

    Retransmissions do not exist here, so no codec and no encoding names any. ``extensions`` are those of the packets.
    """

    cname: str
    receive: tuple[ReceiveSpec, ...]
    extensions: tuple[Extension, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenLocalFeed:
    """A feed of another process of this machine: plain RTP and RTCP in frames of docs/seam.md.

    ``descriptor`` is one end of an AF_UNIX SOCK_SEQPACKET pair. The engine duplicates it before ``submit`` returns; the
    caller closes its own. The feed ends when the other end is closed (``peer_closed``), or with ``CloseTransport``.
    """

    transport: TransportId
    spec: LocalFeedSpec
    descriptor: int


@dataclass(frozen=True, slots=True)
class CloseTransport:
    """End a peer connection or a local feed. An unknown id is no error: the other side may have been faster."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class AddSlot:
    """Add a slot for a mid that no SDP contained."""

    transport: TransportId
    slot: SlotSpec


@dataclass(frozen=True, slots=True)
class BindSlot:
    """Show ``track`` in the slot. It keeps what it shows until the new track can start; ``SlotBound`` says when.

    The same track again changes the choice of layer and the priority.
    """

    transport: TransportId
    mid: Mid
    track: TrackId
    choice: LayerChoice = LayerChoice()
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class UnbindSlot:
    """Show nothing in the slot. Idempotent."""

    transport: TransportId
    mid: Mid


@dataclass(frozen=True, slots=True)
class RestartIce:
    """New credentials for a transport (RFC 8445 §9). What authenticates with the old ones still counts until the first
    check with the new; then they are forgotten. DTLS and SRTP go on. Fragments and passwords have 1 to 256 bytes.
    """

    transport: TransportId
    local_ufrag: str
    local_pwd: str = field(repr=False)
    remote_ufrag: str
    remote_pwd: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inspect:
    """Tell how a transport does; ``Inspected`` is the answer, whether the transport exists or not."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class AddVoice:
    """Make an audio track a candidate of a group. It leaves with its track. The same again: no change.

    A refusal names no transport.
    """

    group: GroupId
    track: TrackId
    source: SourceKey


@dataclass(frozen=True, slots=True)
class RemoveVoice:
    """The track is no candidate any more. Idempotent; unknown tracks are no error."""

    track: TrackId


@dataclass(frozen=True, slots=True)
class Listen:
    """Fill these audio slots of a viewer with whoever speaks in the group, but for the excluded sources.

    Again: replaces what it said before; slots that stay keep what they play, as long as it is not excluded. A slot that
    leaves the pool is emptied. Without mids it ends. ``BindSlot`` and ``UnbindSlot`` of a slot in a pool take it out of
    the pool first. A refusal names the slot that it is about.
    """

    transport: TransportId
    group: GroupId
    mids: tuple[Mid, ...]
    excluded: frozenset[SourceKey] = frozenset()


Command = (
    OpenTransport
    | OpenLocalFeed
    | CloseTransport
    | AddSlot
    | BindSlot
    | UnbindSlot
    | AddVoice
    | RemoveVoice
    | Listen
    | RestartIce
    | Inspect
)


@dataclass(frozen=True, slots=True)
class TransportConnected:
    """ICE, DTLS and the fingerprint are done. ``profile`` is the SRTP protection profile, as IANA spells it.

    A local feed is connected at once; its profile is ``local``.
    """

    transport: TransportId
    profile: str


@dataclass(frozen=True, slots=True)
class TransportStalled:
    """No authenticated packet, or frame of a local feed, for 5 s. The transport still lives."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class TransportResumed:
    """Authenticated packets again after ``TransportStalled``."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class TransportClosed:
    """The transport is gone. Exactly once for each accepted ``OpenTransport`` and ``OpenLocalFeed``."""

    transport: TransportId
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class TrackStarted:
    """First packet of a track."""

    transport: TransportId
    track: TrackId


@dataclass(frozen=True, slots=True)
class SlotBound:
    """The slot now shows ``track``: its first packet is on the way. Slots that ``Listen`` fills tell ``SlotVoice``."""

    transport: TransportId
    mid: Mid
    track: TrackId


@dataclass(frozen=True, slots=True)
class Rejected:
    """A command was refused and changed nothing. ``transport`` is ``None`` where the command names none."""

    transport: TransportId | None
    mid: Mid | None
    code: RefusalCode


@dataclass(frozen=True, slots=True)
class LayerReport:
    """A layer with all below it. ``bitrate_bps`` is media payload over the last second; sizes 0: not known."""

    spatial: int
    temporal: int
    bitrate_bps: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """What the publisher means to send of an encoding at its best (video-layers-allocation). 0: not told."""

    bps: int = 0
    width: int = 0
    height: int = 0
    fps: int = 0


@dataclass(frozen=True, slots=True)
class EncodingReport:
    """One encoding as it flows. Sizes 0: not known. ``layers`` is empty where there is but one.

    ``reordered``: those of the ``fps`` pictures that are shown before one that came earlier, as B-frames are.
    """

    active: bool = False
    codec: Codec | None = None
    bitrate_bps: int = 0
    total_bps: int = 0
    width: int = 0
    height: int = 0
    fps: int = 0
    target: Target = Target()
    packets: int = 0
    bytes: int = 0
    layers: tuple[LayerReport, ...] = ()
    reordered: int = 0


@dataclass(frozen=True, slots=True)
class TrackLayers:
    """The encodings of a video track, lowest first: once a second and when they change. Latest wins."""

    track: TrackId
    encodings: tuple[EncodingReport, ...]


@dataclass(frozen=True, slots=True)
class ShownLayer:
    """What a slot forwards. Layers 255: all, or there is but one."""

    encoding: int
    spatial: int = 255
    temporal: int = 255


@dataclass(frozen=True, slots=True)
class SlotLayer:
    """The layer of a video slot changed. ``None``: the line does not carry it, or nothing is shown. Latest wins."""

    transport: TransportId
    mid: Mid
    layer: ShownLayer | None


@dataclass(frozen=True, slots=True)
class SlotVoice:
    """A slot that ``Listen`` fills now plays this track; ``None``: nobody. Latest wins.

    Told with the first packet, so what is told is what is sent.
    """

    transport: TransportId
    mid: Mid
    track: TrackId | None


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody who speaks. ``level`` is 0 (loudest) … 127, -dBov."""

    track: TrackId
    level: int


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who speaks in a group, loudest first, at most 5 times a second and only when it changed. Latest wins.

    Empty: nobody does. At most 32.
    """

    group: GroupId
    speakers: tuple[Speaker, ...]


@dataclass(frozen=True, slots=True)
class SlotReport:
    """One video slot that has a track, and why it does not show what it is to show."""

    mid: Mid
    track: TrackId
    shown: ShownLayer | None
    waiting: Waiting | None


@dataclass(frozen=True, slots=True)
class TransportReport:
    """One transport from its offer to its first picture, and its line. Times are microseconds since ``OpenTransport``.

    ``first_packet_us`` and ``first_key_frame_us`` are from the publisher, or to the viewer. ``fraction_lost`` is in
    1/256; ``rtt_us`` 0: not known. ``via``: what carries the media now, ``udp`` or ``tcp``; ``None``: nothing yet, or
    its connection has ended.
    """

    age_us: int
    ice_us: int | None = None
    dtls_us: int | None = None
    first_packet_us: int | None = None
    first_key_frame_us: int | None = None
    first_bound_us: int | None = None
    estimate_bps: int = 0
    sent_bps: int = 0
    wanted_bps: int = 0
    fraction_lost: int = 0
    rtt_us: int = 0
    tracks: tuple[TrackLayers, ...] = ()
    slots: tuple[SlotReport, ...] = ()
    via: str | None = None


@dataclass(frozen=True, slots=True)
class Inspected:
    """The answer to ``Inspect``; ``None``: there is no such transport."""

    transport: TransportId
    report: TransportReport | None


@dataclass(frozen=True, slots=True)
class MediaStats:
    """Counters since the engine started and gauges of now, all from one moment. Latest wins."""

    transports: int = 0
    tracks: int = 0
    slots: int = 0
    connections: int = 0
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
    | TrackLayers
    | SlotLayer
    | SlotVoice
    | Speakers
    | Inspected
    | MediaStats
)
