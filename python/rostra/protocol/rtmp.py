"""What an encoder's URL says (docs/protocol/rtmp.md): stream, token and parameters, from wherever encoders put them."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from rostra.model.ids import is_name

APP: Final = "v2/pub"
MAX_TEXT: Final = 4096
"""Characters of application, URL or key. A key with a token and all parameters has some three hundred."""
MAX_TOKEN: Final = 256
"""Characters of a token, which has 64. It goes on in one message to the server, whose size is limited."""
_MAX_PARAMETERS: Final = 64
_TRUE: Final = frozenset({"", "1", "true", "yes", "on"})
_PRIORITIES: Final = range(-(2**31), 2**31)


class BadTarget(ValueError):  # noqa: N818 — what the encoder is told
    """The URL names nothing that can be published. The text says why, for people."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an encoder wants to publish, and how (millicast §7.3). ``token`` is empty where none was given."""

    stream: str
    token: str
    source: str | None = None
    priority: int | None = None
    wants_audio: bool = True
    wants_video: bool = True
    key_frames_only: bool = False
    utc: bool = False
    sei_key_frames_only: bool = False


def parse_target(app: str, tc_url: str, name: str) -> Target:
    """The target of ``connect`` and ``publish``. A parameter of the name wins over one of the app.

    Raises:
        BadTarget: another application, no stream, or a parameter that cannot be.
    """
    if max(len(app), len(tc_url), len(name)) > MAX_TEXT:
        raise BadTarget("The address is too long")
    path, app_query = _split(app.strip())
    key, key_query = _split(name.strip())  # people copy keys with a blank or a line's end
    parameters = {**_parameters(_query_of(tc_url)), **_parameters(app_query), **_parameters(key_query)}
    parts = [part for part in path.split("/") if part]
    if parts[:2] != APP.split("/") or len(parts) > 3:
        raise BadTarget(
            f"The application is not {APP}: the address has to be rtmp://HOST:PORT/{APP} and the key STREAM?token=…"
        )
    in_key, in_app = unquote(key).strip("/ "), unquote(parts[2]).strip() if len(parts) == 3 else ""
    if in_key and in_app and in_key != in_app:
        raise BadTarget(f"The address names the stream {in_app!r}, the key names {in_key!r}: leave one of them out")
    stream = in_key or in_app or parameters.get("streamName", "")
    if not is_name(stream):
        raise BadTarget("The stream's name has to have 1 to 128 printable characters: the key has to be STREAM?token=…")
    source = parameters.get("sourceId") or None
    if source is not None and not is_name(source):
        raise BadTarget("sourceId has to have 1 to 128 printable characters")
    if "simulcastId" in parameters:
        raise BadTarget("simulcastId is not available: send one encoding, or simulcast by WHIP")
    no_audio = _flag(parameters, "videoOnly") or _flag(parameters, "noAudio")
    no_video = _flag(parameters, "audioOnly")
    if no_audio and no_video:
        raise BadTarget("audioOnly and videoOnly leave nothing")
    return Target(
        stream,
        _token(parameters),
        source,
        _priority(parameters.get("priority")),
        not no_audio,
        not no_video,
        _flag(parameters, "intraOnlyForwarding"),
        _flag(parameters, "enableUTCInsertion"),
        _flag(parameters, "seiKeyFrameOnly"),
    )


def _split(text: str) -> tuple[str, str]:
    path, _, query = text.partition("?")
    return path, query


def _query_of(url: str) -> str:
    try:
        return urlsplit(url).query
    except ValueError:
        return ""


def _parameters(query: str) -> dict[str, str]:
    # A `?` behind the first one is an encoder that appended a query to one that was there.
    text = query.replace("?", "&")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS))
    except ValueError:
        raise BadTarget("The address has too many parameters") from None


def _flag(parameters: dict[str, str], name: str) -> bool:
    return name in parameters and parameters[name].lower() in _TRUE


def _priority(text: str | None) -> int | None:
    if not text:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 12 and int(text) in _PRIORITIES):
        raise BadTarget("priority has to be a number of 32 bits")
    return int(text)


def _token(parameters: dict[str, str]) -> str:
    """``token`` in hex, or ``t``: the same 32 bytes in base64url, for encoders whose key is short."""
    token, short = parameters.get("token", ""), parameters.get("t", "")
    if token and short:
        raise BadTarget("token and t cannot be given together")
    if short:
        try:
            token = base64.b64decode(short + "=" * (-len(short) % 4), altchars=b"-_", validate=True).hex()
        except (binascii.Error, ValueError):
            raise BadTarget("t has to be the token in base64url") from None
    if len(token) > MAX_TOKEN or not (token.isascii() and token.isprintable()):
        raise BadTarget("The token is none: it has 64 hexadecimal digits")
    return token
