"""A session description (RFC 8866) as values: what SDP says, without its text.

``protocol/sdp.py`` turns text into these values and back; ``negotiation.py`` turns an offer into an answer. Only what
WebRTC needs is kept: attributes that no class here names are dropped when a description is read (RFC 8866 §5.13).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from rostra.model.media import Fingerprint, Mid

__all__ = [
    "Candidate",
    "Direction",
    "Extmap",
    "Fingerprint",
    "Fmtp",
    "Group",
    "IceCredentials",
    "MediaDescription",
    "Msid",
    "Origin",
    "Parameters",
    "Rid",
    "RidDirection",
    "RtcpFeedback",
    "Rtpmap",
    "SessionDescription",
    "Setup",
    "Simulcast",
    "SimulcastStream",
    "SsrcAttribute",
    "SsrcGroup",
]

Parameters = tuple[tuple[str, str | None], ...]
"""``name=value`` pairs in order; ``None`` where there is no ``=``, as in ``0-16`` of telephone-event."""


class Direction(StrEnum):
    """Who sends, seen from the side that wrote the description (RFC 8866 §6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Whether the side that wrote the description sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether the side that wrote the description receives."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> "Direction":
        """The same agreement, seen from the other side."""
        match self:
            case Direction.SENDONLY:
                return Direction.RECVONLY
            case Direction.RECVONLY:
                return Direction.SENDONLY
            case Direction.SENDRECV | Direction.INACTIVE:
                return self


class Setup(StrEnum):
    """Who opens the DTLS association (RFC 4145 §4)."""

    ACTPASS = "actpass"
    ACTIVE = "active"
    PASSIVE = "passive"
    HOLDCONN = "holdconn"


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``o=`` line. ``network`` is ``IP4`` or ``IP6``."""

    username: str
    session_id: int
    version: int
    network: str = "IP4"
    address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Group:
    """m-lines that belong together (RFC 5888); ``BUNDLE`` for one transport (RFC 8843)."""

    semantics: str
    mids: tuple[Mid, ...]


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """User name fragment and password (RFC 8839 §5.4)."""

    ufrag: str
    pwd: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One transport address (RFC 8839 §5.1). Those of a peer are never contacted: it finds us, not we it."""

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    type: str
    extensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rtpmap:
    """What a payload type carries (RFC 8866 §6.6)."""

    payload_type: int
    name: str
    clock_hz: int
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class Fmtp:
    """Parameters of a payload type (RFC 8866 §6.15)."""

    payload_type: int
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class RtcpFeedback:
    """A feedback message that the writer understands (RFC 4585 §4.2). No payload type: all of the m-line."""

    payload_type: int | None
    type: str
    parameter: str | None = None


@dataclass(frozen=True, slots=True)
class Extmap:
    """A header extension (RFC 8285 §5). ``id`` is 1–255; no direction means that of the m-line."""

    id: int
    uri: str
    direction: Direction | None = None
    attributes: str | None = None


@dataclass(frozen=True, slots=True)
class Msid:
    """The stream and track of an m-line (RFC 8830)."""

    stream: str
    track: str | None = None


@dataclass(frozen=True, slots=True)
class SsrcAttribute:
    """``a=ssrc`` (RFC 5576 §4.1)."""

    ssrc: int
    attribute: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class SsrcGroup:
    """``a=ssrc-group`` (RFC 5576 §4.2): ``FID`` is media and its retransmissions, ``SIM`` is simulcast."""

    semantics: str
    ssrcs: tuple[int, ...]


class RidDirection(StrEnum):
    """Seen from the side that wrote the description (RFC 8851 §10)."""

    SEND = "send"
    RECV = "recv"


@dataclass(frozen=True, slots=True)
class Rid:
    """One RTP stream of an m-line (RFC 8851). ``restrictions`` are ``max-width`` and its like."""

    id: str
    direction: RidDirection
    formats: tuple[int, ...] = ()
    restrictions: Parameters = ()


@dataclass(frozen=True, slots=True)
class SimulcastStream:
    """A rid inside ``a=simulcast``."""

    rid: str
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Simulcast:
    """``a=simulcast`` (RFC 8853 §5.1): streams in order, each with its alternatives, the preferred one first."""

    send: tuple[tuple[SimulcastStream, ...], ...] = ()
    recv: tuple[tuple[SimulcastStream, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One m-line with its attributes. ``formats`` are payload types as text for RTP, else names."""

    kind: str
    protocol: str
    formats: tuple[str, ...]
    port: int = 9
    mid: Mid | None = None
    direction: Direction = Direction.SENDRECV
    ice: IceCredentials | None = None
    ice_options: tuple[str, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: Setup | None = None
    candidates: tuple[Candidate, ...] = ()
    end_of_candidates: bool = False
    bundle_only: bool = False
    rtcp_mux: bool = False
    rtcp_mux_only: bool = False
    rtcp_rsize: bool = False
    extmap_allow_mixed: bool = False
    msid: tuple[Msid, ...] = ()
    rtpmaps: tuple[Rtpmap, ...] = ()
    fmtps: tuple[Fmtp, ...] = ()
    feedback: tuple[RtcpFeedback, ...] = ()
    extmaps: tuple[Extmap, ...] = ()
    ssrcs: tuple[SsrcAttribute, ...] = ()
    ssrc_groups: tuple[SsrcGroup, ...] = ()
    rids: tuple[Rid, ...] = ()
    simulcast: Simulcast | None = None
    sctp_port: int | None = None

    @property
    def is_rejected(self) -> bool:
        """Port 0 means "not used", except that a bundled m-line without its own port says so too (RFC 8843 §6)."""
        return self.port == 0 and not self.bundle_only


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """An offer or an answer.

    Directions and header extensions of the session level are found in every m-line that has none of its own;
    the other attributes stay where they were written.
    """

    origin: Origin
    name: str = "-"
    groups: tuple[Group, ...] = ()
    extmap_allow_mixed: bool = False
    msid_semantic: tuple[str, ...] = ()
    ice_lite: bool = False
    ice: IceCredentials | None = None
    ice_options: tuple[str, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: Setup | None = None
    media: tuple[MediaDescription, ...] = ()
