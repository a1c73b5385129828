"""What the URL of a WHIP or WHEP request says beside its path (docs/protocol/whip.md, docs/protocol/whep.md).

Every parameter that is known is honoured or refused by name; unknown ones are ignored.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rostra.model.ids import MAX_NAME, SourceId, StreamName, is_name
from rostra.model.media import Codec, Kind
from rostra.model.payloads import VIDEO_CODECS
from rostra.protocol.director import ValidationFailed

_INT32: Final = re.compile(r"-?[0-9]{1,10}")
_REFUSED: Final = {
    "record": "This server does not record",
    "intraOnlyForwarding": "This server forwards all frames",
    "enableUTCInsertion": "Is for RTMP only: what a WebRTC client sends is not changed",
    "seiKeyFrameOnly": "Is for RTMP only: what a WebRTC client sends is not changed",
}
"""Switches that cannot be turned on, and why."""
_ALREADY: Final = ("noRecord", "noRestream")
"""Switches for what is so anyway."""


@dataclass(frozen=True, slots=True)
class PublishWish:
    """Parameters of WHIP. ``codec`` ``None``: the server chooses. ``without``: kinds of media to leave out."""

    codec: Codec | None = None
    source: SourceId | None = None
    priority: int | None = None
    without: frozenset[Kind] = frozenset()


@dataclass(frozen=True, slots=True)
class ViewWish:
    """Parameters of WHEP. ``source`` ``None``: whatever is the stream's own."""

    source: SourceId | None = None


def publish_wish(name: StreamName, query: Iterable[tuple[str, str]]) -> PublishWish:
    """Read the parameters of a publisher of the stream ``name``.

    Raises:
        ValidationFailed: with a text for each parameter that cannot be.
    """
    errors: dict[str, list[str]] = {}
    given = _given(query, errors)
    wish = PublishWish(
        codec=_codec(given, errors),
        source=_source(given, errors),
        priority=_priority(given, errors),
        without=_without(given, errors),
    )
    if given.get("streamName", name) != name:
        errors["streamName"] = ["Is another one in the path"]
    if "simulcastId" in given:
        errors["simulcastId"] = ["Groups of feeds are not available on this server; simulcast by RID is"]
    for key, reason in _REFUSED.items():
        if _switch(given, key, errors):
            errors[key] = [reason]
    for key in _ALREADY:
        _switch(given, key, errors)
    if given.get("extraLatency", "0") not in ("", "0"):
        errors["extraLatency"] = ["Is for RTMP only"]
    if given.get("videoTargetBitrate", ""):
        errors["videoTargetBitrate"] = ["Orders the feeds of a simulcastId, which is not available on this server"]
    if errors:
        raise ValidationFailed(errors)
    return wish


def view_wish(query: Iterable[tuple[str, str]]) -> ViewWish:
    """Read the parameters of a viewer.

    Raises:
        ValidationFailed: with a text for each parameter that cannot be.
    """
    errors: dict[str, list[str]] = {}
    wish = ViewWish(_source(_given(query, errors), errors))
    if errors:
        raise ValidationFailed(errors)
    return wish


def _given(query: Iterable[tuple[str, str]], errors: dict[str, list[str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for key, value in query:
        if given.setdefault(key, value) != value and key in _KNOWN:
            errors[key] = ["Is there twice, with different values"]
    return given


def _codec(given: dict[str, str], errors: dict[str, list[str]]) -> Codec | None:
    text = given.get("codec", "").lower()
    codec = next((codec for codec in VIDEO_CODECS if codec.value == text), None)
    if text and codec is None:
        errors["codec"] = [f"Is not one of {', '.join(sorted(VIDEO_CODECS))}"]
    return codec


def _source(given: dict[str, str], errors: dict[str, list[str]]) -> SourceId | None:
    text = given.get("sourceId", "")
    if text and not is_name(text):
        errors["sourceId"] = [f"Has to have 1 to {MAX_NAME} printable characters"]
    return SourceId(text) if text else None


def _priority(given: dict[str, str], errors: dict[str, list[str]]) -> int | None:
    text = given.get("priority", "")
    if not text:
        return None
    if not _INT32.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        errors["priority"] = ["Is not a number of 32 bits"]
        return None
    return int(text)


def _without(given: dict[str, str], errors: dict[str, list[str]]) -> frozenset[Kind]:
    without = set()
    if _switch(given, "audioOnly", errors):
        without.add(Kind.VIDEO)
    if _switch(given, "videoOnly", errors) | _switch(given, "noAudio", errors):
        without.add(Kind.AUDIO)
    if len(without) == len(Kind):
        errors["audioOnly"] = ["Leaves nothing together with videoOnly or noAudio"]
    return frozenset(without)


def _switch(given: dict[str, str], key: str, errors: dict[str, list[str]]) -> bool:
    """A boolean; the name alone turns it on."""
    value = given.get(key, "0").lower()
    if value in ("0", "false"):
        return False
    if value not in ("", "1", "true"):
        errors[key] = ["Is not true or false"]
    return True


_KNOWN: Final = frozenset(
    {
        *("auth", "codec", "sourceId", "priority", "audioOnly", "videoOnly", "noAudio", "streamName", "simulcastId"),
        *("extraLatency", "videoTargetBitrate"),
        *_REFUSED,
        *_ALREADY,
    }
)
