"""Session descriptions as text (RFC 8866, docs/protocol/sdp.md): a parser for what strangers send, and a writer.

The parser reads each line once, refuses what breaks a cap as soon as it sees it, and raises nothing but ``SdpError``.
Attributes that it does not know are ignored (RFC 8866 §5.13); a known attribute that is malformed is an error,
because guessing at credentials, payload types or extension ids makes media fail later, without a reason. Reader and
writer share a long file because the two sides of each attribute change together.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from rostra.model.description import (
    Candidate,
    Direction,
    Extmap,
    Fingerprint,
    Fmtp,
    Group,
    IceCredentials,
    MediaDescription,
    Msid,
    Origin,
    Parameters,
    Rid,
    RidDirection,
    RtcpFeedback,
    Rtpmap,
    SessionDescription,
    Setup,
    Simulcast,
    SimulcastStream,
    SsrcAttribute,
    SsrcGroup,
)
from rostra.model.media import Mid

MAX_TEXT: Final = 256 * 1024
"""Characters of a description. Chromium with 30 m-lines stays below 100 000."""
MAX_LINE: Final = 8192
"""Characters of a line: 256 mids of 16 characters in one group fit."""
MAX_MEDIA: Final = 256
MAX_GROUPS: Final = 16
MAX_FORMATS: Final = 128
MAX_FMTPS: Final = 256
MAX_FEEDBACK: Final = 1024
MAX_EXTMAPS: Final = 255
MAX_SSRC_LINES: Final = 256
MAX_SSRC_GROUPS: Final = 32
MAX_RIDS: Final = 32
MAX_CANDIDATES: Final = 256
MAX_FINGERPRINTS: Final = 32
MAX_MSIDS: Final = 32

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)")
_DIGITS = re.compile(r"[0-9]{1,20}")
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")  # RFC 8866 §9
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_MID = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,16}")
_RID = re.compile(r"[0-9A-Za-z_\-]{1,16}")
_UFRAG = re.compile(r"[0-9A-Za-z+/\-_=#]{4,256}")
_PWD = re.compile(r"[0-9A-Za-z+/\-_=#]{22,256}")
_HEX_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*")
_DIRECTION_NAMES: Final = frozenset(direction.value for direction in Direction)
_RID_DIRECTION_NAMES: Final = frozenset(direction.value for direction in RidDirection)
_DIGEST_BYTES: Final = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64, "md5": 16, "md2": 16}


class SdpError(ValueError):
    """The text is not a description that we read. ``code`` is stable, ``message`` is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def parse(text: str) -> SessionDescription:
    """Read a description. Lines may end with CRLF or LF; empty lines are skipped.

    Raises:
        SdpError: the text breaks a cap or the grammar of an attribute that we use.
    """
    if len(text) > MAX_TEXT:
        raise SdpError("too_large", f"the description has {len(text)} characters, {MAX_TEXT} are allowed")
    if _CONTROL.search(text):
        raise SdpError("control_character", "the description contains a control character")
    session = _Session()
    section: _Section | None = None
    first = True
    for line in _lines(text):
        if len(line) > MAX_LINE:
            raise SdpError("line_too_long", f"a line has {len(line)} characters, {MAX_LINE} are allowed")
        key, value = line[:2], line[2:]
        if first:
            if line.rstrip(" ") != "v=0":
                raise SdpError("bad_version", "the description does not start with v=0")
            first = False
        elif key == "a=":
            name, _, argument = value.partition(":")
            argument = argument.strip(" \t")
            if section is None:
                if (on_session := _ON_SESSION.get(name.rstrip(" "))) is not None:
                    on_session(session, argument)
            elif (on_media := _ON_MEDIA.get(name.rstrip(" "))) is not None:
                on_media(section, argument)
        elif key == "m=":
            if len(session.media) == MAX_MEDIA:
                raise SdpError("too_many_media", f"more than {MAX_MEDIA} m-lines")
            section = _m_line(value)
            session.media.append(section)
        elif key == "o=" and section is None:
            session.origin = _origin(value)
        elif key == "s=" and section is None:
            session.name = value.strip(" \t") or "-"
        elif len(key) != 2 or key[1] != "=" or not "a" <= key[0] <= "z":
            raise SdpError("bad_line", f"a line is not of the form <letter>=<value>: {_quote(line)}")
    return session.build()


def write(description: SessionDescription) -> str:
    """The description as text, with CRLF.

    Raises:
        SdpError: a value contains a control character, so that it would read back as something else.
    """
    lines = list(_session_lines(description))
    text = "\r\n".join(lines) + "\r\n"
    if _CONTROL.search(text) or text.count("\n") != len(lines):
        raise SdpError("control_character", "a value of the description contains a control character")
    return text


def _lines(text: str) -> Iterator[str]:
    """Split at LF only: ``str.splitlines`` would also split at characters that are data in SDP."""
    for line in text.split("\n"):
        line = line.removesuffix("\r")
        if line and not line.isspace():
            yield line


def _quote(text: str) -> str:
    """Part of the offender for a message: never long, never anything but printable ASCII."""
    return ascii(text[:40])


@dataclass(slots=True)
class _Section:
    """A media section while it is read."""

    kind: str
    protocol: str
    formats: tuple[str, ...]
    port: int
    mid: Mid | None = None
    direction: Direction | None = None
    ufrag: str | None = None
    pwd: str | None = None
    ice_options: tuple[str, ...] = ()
    fingerprints: list[Fingerprint] = field(default_factory=list)
    setup: Setup | None = None
    candidates: list[Candidate] = field(default_factory=list)
    end_of_candidates: bool = False
    bundle_only: bool = False
    rtcp_mux: bool = False
    rtcp_mux_only: bool = False
    rtcp_rsize: bool = False
    extmap_allow_mixed: bool = False
    msid: list[Msid] = field(default_factory=list)
    rtpmaps: dict[int, Rtpmap] = field(default_factory=dict)
    fmtps: list[Fmtp] = field(default_factory=list)
    feedback: list[RtcpFeedback] = field(default_factory=list)
    extmaps: dict[int, Extmap] = field(default_factory=dict)
    ssrcs: list[SsrcAttribute] = field(default_factory=list)
    ssrc_groups: list[SsrcGroup] = field(default_factory=list)
    rids: dict[str, Rid] = field(default_factory=dict)
    simulcast: Simulcast | None = None
    sctp_port: int | None = None
    candidate_lines: int = 0

    def build(self, session: "_Session") -> MediaDescription:
        """The finished section, with what it inherits from the session level."""
        extmaps = self.extmaps
        if session.extmaps:
            used = {extmap.uri for extmap in extmaps.values()}
            inherited = {i: e for i, e in session.extmaps.items() if i not in extmaps and e.uri not in used}
            extmaps = inherited | extmaps
        return MediaDescription(
            kind=self.kind,
            protocol=self.protocol,
            formats=self.formats,
            port=self.port,
            mid=self.mid,
            direction=self.direction or session.direction or Direction.SENDRECV,
            ice=_credentials(self.ufrag, self.pwd),
            ice_options=self.ice_options,
            fingerprints=tuple(self.fingerprints),
            setup=self.setup,
            candidates=tuple(self.candidates),
            end_of_candidates=self.end_of_candidates,
            bundle_only=self.bundle_only,
            rtcp_mux=self.rtcp_mux,
            rtcp_mux_only=self.rtcp_mux_only,
            rtcp_rsize=self.rtcp_rsize,
            extmap_allow_mixed=self.extmap_allow_mixed,
            msid=tuple(self.msid),
            rtpmaps=tuple(self.rtpmaps.values()),
            fmtps=tuple(self.fmtps),
            feedback=tuple(self.feedback),
            extmaps=tuple(extmaps.values()),
            ssrcs=tuple(self.ssrcs),
            ssrc_groups=tuple(self.ssrc_groups),
            rids=tuple(self.rids.values()),
            simulcast=self.simulcast,
            sctp_port=self.sctp_port,
        )


@dataclass(slots=True)
class _Session:
    """The session level while it is read."""

    origin: Origin | None = None
    name: str = "-"
    groups: list[Group] = field(default_factory=list)
    extmap_allow_mixed: bool = False
    msid_semantic: tuple[str, ...] = ()
    ice_lite: bool = False
    ufrag: str | None = None
    pwd: str | None = None
    ice_options: tuple[str, ...] = ()
    fingerprints: list[Fingerprint] = field(default_factory=list)
    setup: Setup | None = None
    direction: Direction | None = None
    extmaps: dict[int, Extmap] = field(default_factory=dict)
    media: list[_Section] = field(default_factory=list)

    def build(self) -> SessionDescription:
        """The finished description."""
        if self.origin is None:
            raise SdpError("missing_origin", "the description has no o= line")
        seen: set[Mid] = set()
        for section in self.media:
            if section.mid is not None and section.mid in seen:
                raise SdpError("duplicate_mid", f"two m-lines have the mid {_quote(section.mid)}")
            if section.mid is not None:
                seen.add(section.mid)
        return SessionDescription(
            origin=self.origin,
            name=self.name,
            groups=tuple(self.groups),
            extmap_allow_mixed=self.extmap_allow_mixed,
            msid_semantic=self.msid_semantic,
            ice_lite=self.ice_lite,
            ice=_credentials(self.ufrag, self.pwd),
            ice_options=self.ice_options,
            fingerprints=tuple(self.fingerprints),
            setup=self.setup,
            media=tuple(section.build(self) for section in self.media),
        )


# --- Values -----------------------------------------------------------------------------------------------------


def _number(text: str, least: int, most: int, code: str, what: str) -> int:
    """A decimal number. ``int`` alone would take signs, underscores, blanks and the digits of other scripts."""
    if not _DIGITS.fullmatch(text) or not least <= (number := int(text)) <= most:
        raise SdpError(code, f"{what} is not a number from {least} to {most}: {_quote(text)}")
    return number


def _match(pattern: re.Pattern[str], text: str, code: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise SdpError(code, f"{what} is malformed: {_quote(text)}")
    return text


def _cap(length: int, most: int, code: str, what: str) -> None:
    if length >= most:
        raise SdpError(code, f"more than {most} {what}")


def _credentials(ufrag: str | None, pwd: str | None) -> IceCredentials | None:
    return IceCredentials(ufrag, pwd) if ufrag is not None and pwd is not None else None


def _origin(value: str) -> Origin:
    parts = value.split()
    if len(parts) != 6 or parts[3] != "IN" or parts[4] not in ("IP4", "IP6"):
        raise SdpError("bad_origin", f"the o= line is malformed: {_quote(value)}")
    for part in (parts[0], parts[5]):
        _match(_VISIBLE, part, "bad_origin", "the o= line")
    session_id, version = (_number(part, 0, 2**64 - 1, "bad_origin", "a number of the o= line") for part in parts[1:3])
    return Origin(parts[0], session_id, version, parts[4], parts[5])


def _m_line(value: str) -> _Section:
    parts = value.split()
    if len(parts) < 4:
        raise SdpError("bad_media", f"an m-line has fewer than four fields: {_quote(value)}")
    kind, port, protocol, *formats = parts
    _match(_TOKEN, kind, "bad_media", "the kind of an m-line")
    for part in protocol.split("/"):
        _match(_TOKEN, part, "bad_media", "the protocol of an m-line")
    if len(formats) > MAX_FORMATS:
        raise SdpError("too_many_formats", f"an m-line has more than {MAX_FORMATS} formats")
    for name in formats:
        if "RTP/" in protocol:
            _number(name, 0, 127, "bad_payload_type", "a payload type")
        else:
            _match(_TOKEN, name, "bad_media", "a format of an m-line")
    if "RTP/" in protocol:
        formats = [str(int(name)) for name in formats]
    if len(set(formats)) != len(formats):
        raise SdpError("duplicate_payload_type", "an m-line names a format twice")
    number = _number(port.partition("/")[0], 0, 65535, "bad_media", "the port of an m-line")
    return _Section(kind, protocol, tuple(formats), number)


def _parameters(text: str) -> Parameters:
    """``a=1; b;c=2``: blanks after a semicolon and empty entries are tolerated, real clients write both."""
    found: list[tuple[str, str | None]] = []
    for entry in text.split(";"):
        name, equals, value = (part.strip(" \t") for part in entry.strip(" \t").partition("="))
        if name or value:
            found.append((name, value if equals else None))
    return tuple(found)


def _payload_type(text: str) -> int:
    return _number(text, 0, 127, "bad_payload_type", "a payload type")


# --- Attributes -------------------------------------------------------------------------------------------------


def _on_group(session: _Session, value: str) -> None:
    _cap(len(session.groups), MAX_GROUPS, "too_many_groups", "groups")
    semantics, *mids = value.split() or [""]
    _match(_TOKEN, semantics, "bad_group", "the semantics of a group")
    if len(mids) > MAX_MEDIA:
        raise SdpError("too_many_media", f"a group names more than {MAX_MEDIA} m-lines")
    session.groups.append(Group(semantics, tuple(Mid(_match(_MID, mid, "bad_mid", "a mid")) for mid in mids)))


def _on_msid_semantic(session: _Session, value: str) -> None:
    session.msid_semantic = tuple(part for part in value.split()[:MAX_MSIDS] if _VISIBLE.fullmatch(part))


def _on_ice_lite(session: _Session, _value: str) -> None:
    session.ice_lite = True


def _on_ufrag(level: _Session | _Section, value: str) -> None:
    level.ufrag = _match(_UFRAG, value, "bad_ice", "the ICE user name fragment")


def _on_pwd(level: _Session | _Section, value: str) -> None:
    if not _PWD.fullmatch(value):
        raise SdpError("bad_ice", "the ICE password is malformed")
    level.pwd = value


def _on_ice_options(level: _Session | _Section, value: str) -> None:
    level.ice_options = tuple(part for part in value.split()[:16] if _VISIBLE.fullmatch(part))


def _on_fingerprint(level: _Session | _Section, value: str) -> None:
    _cap(len(level.fingerprints), MAX_FINGERPRINTS, "too_many_fingerprints", "fingerprints")
    name, _, digest = value.partition(" ")
    name, digest = name.lower(), digest.strip()
    _match(_TOKEN, name, "bad_fingerprint", "the hash function of a fingerprint")
    _match(_HEX_PAIRS, digest, "bad_fingerprint", "a fingerprint")
    octets = bytes.fromhex(digest.replace(":", ""))
    if len(octets) > 64 or len(octets) != _DIGEST_BYTES.get(name, len(octets)):
        raise SdpError("bad_fingerprint", f"a fingerprint of {name} has {len(octets)} bytes")
    level.fingerprints.append(Fingerprint(name, octets))


def _on_setup(level: _Session | _Section, value: str) -> None:
    try:
        level.setup = Setup(value)
    except ValueError:
        raise SdpError("bad_setup", f"an unknown a=setup: {_quote(value)}") from None


def _on_direction(direction: Direction) -> Callable[[_Session | _Section, str], None]:
    def set_direction(level: _Session | _Section, _value: str) -> None:
        level.direction = direction

    return set_direction


def _on_allow_mixed(level: _Session | _Section, _value: str) -> None:
    level.extmap_allow_mixed = True


def _on_extmap(level: _Session | _Section, value: str) -> None:
    _cap(len(level.extmaps), MAX_EXTMAPS, "too_many_extensions", "header extensions")
    first, uri, *rest = [*value.split(None, 2), "", ""][:3]
    number, slash, direction = first.partition("/")
    ident = _number(number, 1, 255, "bad_extension", "the id of a header extension")
    if slash and direction not in _DIRECTION_NAMES:
        raise SdpError("bad_extension", f"an unknown direction of a header extension: {_quote(direction)}")
    _match(_VISIBLE, uri, "bad_extension", "the URI of a header extension")
    attributes = rest[0].strip(" \t") if rest else ""
    extmap = Extmap(ident, uri, Direction(direction) if slash else None, attributes or None)
    if level.extmaps.get(ident, extmap) != extmap:
        raise SdpError("duplicate_extension", f"two header extensions have the id {ident}")
    level.extmaps[ident] = extmap


def _on_mid(section: _Section, value: str) -> None:
    section.mid = Mid(_match(_MID, value, "bad_mid", "a mid (1 to 16 characters)"))


def _on_candidate(section: _Section, value: str) -> None:
    """Candidates are counted and kept, never contacted. One that makes no sense to us is no reason to refuse."""
    _cap(section.candidate_lines, MAX_CANDIDATES, "too_many_candidates", "candidates")
    section.candidate_lines += 1
    parts = value.split()
    if len(parts) < 8 or len(parts) % 2 or parts[6] != "typ" or not all(_VISIBLE.fullmatch(part) for part in parts):
        return
    numbers = (parts[1], parts[3], parts[5])
    if not all(_DIGITS.fullmatch(number) for number in numbers):
        return
    component, priority, port = (int(number) for number in numbers)
    if not (1 <= component <= 256 and priority < 2**32 and port <= 65535):
        return
    extensions = tuple(zip(parts[8::2], parts[9::2], strict=True))
    section.candidates.append(
        Candidate(parts[0], component, parts[2].lower(), priority, parts[4], port, parts[7], extensions)
    )


def _on_flag(name: str) -> Callable[[_Section, str], None]:
    def set_flag(section: _Section, _value: str) -> None:
        setattr(section, name, True)

    return set_flag


def _on_msid(section: _Section, value: str) -> None:
    _cap(len(section.msid), MAX_MSIDS, "too_many_msids", "stream ids in one m-line")
    parts = value.split()
    if not parts or not all(_VISIBLE.fullmatch(part) for part in parts[:2]):
        raise SdpError("bad_msid", f"a=msid is malformed: {_quote(value)}")
    section.msid.append(Msid(parts[0], parts[1] if len(parts) > 1 else None))


def _on_rtpmap(section: _Section, value: str) -> None:
    first, _, rest = value.partition(" ")
    name, *numbers = rest.strip(" \t").split("/")
    if not 1 <= len(numbers) <= 2:
        raise SdpError("bad_rtpmap", f"a=rtpmap is malformed: {_quote(value)}")
    _match(_TOKEN, name, "bad_rtpmap", "the name of an encoding")
    payload_type = _payload_type(first)
    if payload_type in section.rtpmaps:
        raise SdpError("duplicate_payload_type", f"payload type {payload_type} has two a=rtpmap lines")
    clock_hz = _number(numbers[0], 1, 10**7, "bad_rtpmap", "a clock rate")
    channels = _number(numbers[1], 1, 255, "bad_rtpmap", "a number of channels") if len(numbers) == 2 else None
    section.rtpmaps[payload_type] = Rtpmap(payload_type, name, clock_hz, channels)


def _on_fmtp(section: _Section, value: str) -> None:
    if "RTP/" not in section.protocol:
        return
    _cap(len(section.fmtps), MAX_FMTPS, "too_many_fmtps", "a=fmtp lines in one m-line")
    first, _, rest = value.partition(" ")
    section.fmtps.append(Fmtp(_payload_type(first), _parameters(rest)))


def _on_rtcp_fb(section: _Section, value: str) -> None:
    _cap(len(section.feedback), MAX_FEEDBACK, "too_many_feedbacks", "a=rtcp-fb lines in one m-line")
    first, name, *rest = [*value.split(None, 2), "", ""][:3]
    _match(_TOKEN, name, "bad_feedback", "a feedback message")
    parameter = rest[0].strip(" \t") if rest else ""
    section.feedback.append(RtcpFeedback(None if first == "*" else _payload_type(first), name, parameter or None))


def _ssrc(text: str) -> int:
    return _number(text, 0, 2**32 - 1, "bad_ssrc", "an SSRC")


def _on_ssrc(section: _Section, value: str) -> None:
    _cap(len(section.ssrcs), MAX_SSRC_LINES, "too_many_ssrcs", "a=ssrc lines in one m-line")
    first, _, rest = value.partition(" ")
    name, colon, argument = rest.strip(" \t").partition(":")
    ssrc = _ssrc(first)
    if name:
        _match(_TOKEN, name, "bad_ssrc", "an attribute of an SSRC")
        section.ssrcs.append(SsrcAttribute(ssrc, name, argument.strip(" \t") if colon else None))


def _on_ssrc_group(section: _Section, value: str) -> None:
    _cap(len(section.ssrc_groups), MAX_SSRC_GROUPS, "too_many_ssrcs", "a=ssrc-group lines in one m-line")
    semantics, *ssrcs = value.split() or [""]
    _match(_TOKEN, semantics, "bad_ssrc", "the semantics of an SSRC group")
    if len(ssrcs) > MAX_RIDS:
        raise SdpError("too_many_ssrcs", f"an SSRC group has more than {MAX_RIDS} members")
    section.ssrc_groups.append(SsrcGroup(semantics, tuple(_ssrc(ssrc) for ssrc in ssrcs)))


def _on_rid(section: _Section, value: str) -> None:
    _cap(len(section.rids), MAX_RIDS, "too_many_rids", "rids in one m-line")
    ident, direction, *rest = [*value.split(None, 2), "", ""][:3]
    _match(_RID, ident, "bad_rid", "a rid (1 to 16 characters)")
    if direction not in _RID_DIRECTION_NAMES:
        raise SdpError("bad_rid", f"a rid without direction: {_quote(value)}")
    if ident in section.rids:
        raise SdpError("duplicate_rid", f"two rids are named {_quote(ident)}")
    formats: tuple[int, ...] = ()
    restrictions: list[tuple[str, str | None]] = []
    for name, argument in _parameters(rest[0] if rest else ""):
        if name == "pt" and argument is not None:
            formats = tuple(_payload_type(number) for number in argument.split(","))
        else:
            restrictions.append((name, argument))
    section.rids[ident] = Rid(ident, RidDirection(direction), formats, tuple(restrictions))


def _on_simulcast(section: _Section, value: str) -> None:
    parts = value.split()
    if len(parts) not in (2, 4) or len(set(parts[::2])) != len(parts) // 2 or not set(parts[::2]) <= {"send", "recv"}:
        raise SdpError("bad_simulcast", f"a=simulcast is malformed: {_quote(value)}")
    lists = {name: _simulcast_streams(streams) for name, streams in zip(parts[::2], parts[1::2], strict=True)}
    section.simulcast = Simulcast(lists.get("send", ()), lists.get("recv", ()))


def _simulcast_streams(text: str) -> tuple[tuple[SimulcastStream, ...], ...]:
    streams = text.split(";")
    if text.count(",") + len(streams) > MAX_RIDS:
        raise SdpError("too_many_rids", f"a=simulcast names more than {MAX_RIDS} rids")
    return tuple(
        tuple(
            SimulcastStream(_match(_RID, rid.removeprefix("~"), "bad_simulcast", "a rid"), rid.startswith("~"))
            for rid in stream.split(",")
        )
        for stream in streams
    )


def _on_sctp_port(section: _Section, value: str) -> None:
    section.sctp_port = _number(value, 0, 65535, "bad_media", "the SCTP port")


_DIRECTIONS = {direction.value: _on_direction(direction) for direction in Direction}
_ON_SESSION: Final[dict[str, Callable[[_Session, str], None]]] = {
    **_DIRECTIONS,
    "group": _on_group,
    "msid-semantic": _on_msid_semantic,
    "ice-lite": _on_ice_lite,
    "ice-ufrag": _on_ufrag,
    "ice-pwd": _on_pwd,
    "ice-options": _on_ice_options,
    "fingerprint": _on_fingerprint,
    "setup": _on_setup,
    "extmap-allow-mixed": _on_allow_mixed,
    "extmap": _on_extmap,
}
_ON_MEDIA: Final[dict[str, Callable[[_Section, str], None]]] = {
    **_DIRECTIONS,
    "ice-ufrag": _on_ufrag,
    "ice-pwd": _on_pwd,
    "ice-options": _on_ice_options,
    "fingerprint": _on_fingerprint,
    "setup": _on_setup,
    "extmap-allow-mixed": _on_allow_mixed,
    "extmap": _on_extmap,
    "mid": _on_mid,
    "candidate": _on_candidate,
    "end-of-candidates": _on_flag("end_of_candidates"),
    "bundle-only": _on_flag("bundle_only"),
    "rtcp-mux": _on_flag("rtcp_mux"),
    "rtcp-mux-only": _on_flag("rtcp_mux_only"),
    "rtcp-rsize": _on_flag("rtcp_rsize"),
    "msid": _on_msid,
    "rtpmap": _on_rtpmap,
    "fmtp": _on_fmtp,
    "rtcp-fb": _on_rtcp_fb,
    "ssrc": _on_ssrc,
    "ssrc-group": _on_ssrc_group,
    "rid": _on_rid,
    "simulcast": _on_simulcast,
    "sctp-port": _on_sctp_port,
}


# --- Writing ----------------------------------------------------------------------------------------------------


def _session_lines(d: SessionDescription) -> Iterator[str]:
    o = d.origin
    yield "v=0"
    yield f"o={o.username} {o.session_id} {o.version} IN {o.network} {o.address}"
    yield f"s={d.name}"
    yield "t=0 0"
    for group in d.groups:
        yield " ".join((f"a=group:{group.semantics}", *group.mids))
    if d.extmap_allow_mixed:
        yield "a=extmap-allow-mixed"
    if d.msid_semantic:
        yield "a=msid-semantic: " + " ".join(d.msid_semantic)
    if d.ice_lite:
        yield "a=ice-lite"
    yield from _transport_lines(d)
    for media in d.media:
        yield from _media_lines(media)


def _transport_lines(level: SessionDescription | MediaDescription) -> Iterator[str]:
    if level.ice is not None:
        yield f"a=ice-ufrag:{level.ice.ufrag}"
        yield f"a=ice-pwd:{level.ice.pwd}"
    if level.ice_options:
        yield "a=ice-options:" + " ".join(level.ice_options)
    for fingerprint in level.fingerprints:
        yield f"a=fingerprint:{fingerprint.hash} {fingerprint.digest.hex(':').upper()}"
    if level.setup is not None:
        yield f"a=setup:{level.setup}"


def _media_lines(m: MediaDescription) -> Iterator[str]:
    """One section. The ``c=`` line is a placeholder: ICE says where media goes (RFC 8839 §4.2.1.1)."""
    yield " ".join((f"m={m.kind} {m.port} {m.protocol}", *m.formats))
    yield "c=IN IP4 0.0.0.0"
    yield from map(candidate_line, m.candidates)
    if m.end_of_candidates:
        yield "a=end-of-candidates"
    yield from _transport_lines(m)
    if m.mid is not None:
        yield f"a=mid:{m.mid}"
    if m.bundle_only:
        yield "a=bundle-only"
    if m.extmap_allow_mixed:
        yield "a=extmap-allow-mixed"
    for e in m.extmaps:
        direction = f"/{e.direction}" if e.direction else ""
        yield f"a=extmap:{e.id}{direction} {e.uri}" + (f" {e.attributes}" if e.attributes else "")
    yield f"a={m.direction}"
    for msid in m.msid:
        yield f"a=msid:{msid.stream}" + (f" {msid.track}" if msid.track else "")
    if m.rtcp_mux:
        yield "a=rtcp-mux"
    if m.rtcp_mux_only:
        yield "a=rtcp-mux-only"
    if m.rtcp_rsize:
        yield "a=rtcp-rsize"
    if m.sctp_port is not None:
        yield f"a=sctp-port:{m.sctp_port}"
    for r in m.rtpmaps:
        yield f"a=rtpmap:{r.payload_type} {r.name}/{r.clock_hz}" + (f"/{r.channels}" if r.channels else "")
    for f in m.feedback:
        target = "*" if f.payload_type is None else f.payload_type
        yield f"a=rtcp-fb:{target} {f.type}" + (f" {f.parameter}" if f.parameter else "")
    for fmtp in m.fmtps:
        yield f"a=fmtp:{fmtp.payload_type} {_written(fmtp.parameters)}"
    for rid in m.rids:
        formats = (("pt", ",".join(map(str, rid.formats))),) if rid.formats else ()
        restrictions = _written((*formats, *rid.restrictions))
        yield f"a=rid:{rid.id} {rid.direction}" + (f" {restrictions}" if restrictions else "")
    if m.simulcast is not None and (m.simulcast.send or m.simulcast.recv):
        lists = (("send", m.simulcast.send), ("recv", m.simulcast.recv))
        yield "a=simulcast:" + " ".join(f"{name} {_alternatives(streams)}" for name, streams in lists if streams)
    for ssrc_group in m.ssrc_groups:
        yield " ".join((f"a=ssrc-group:{ssrc_group.semantics}", *map(str, ssrc_group.ssrcs)))
    for s in m.ssrcs:
        yield f"a=ssrc:{s.ssrc} {s.attribute}" + (f":{s.value}" if s.value is not None else "")


def candidate_line(c: Candidate) -> str:
    """A candidate as a line of its own, which fragments have too."""
    base = f"a=candidate:{c.foundation} {c.component} {c.transport} {c.priority} {c.address} {c.port} typ {c.type}"
    return " ".join((base, *(f"{name} {value}" for name, value in c.extensions)))


def _written(parameters: Parameters) -> str:
    return ";".join(name if value is None else f"{name}={value}" for name, value in parameters)


def _alternatives(streams: tuple[tuple[SimulcastStream, ...], ...]) -> str:
    return ";".join(",".join(f"{'~' * s.paused}{s.rid}" for s in stream) for stream in streams)
