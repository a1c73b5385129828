"""The short-lived token that opens a signalling socket (docs/protocol/director.md).

HS256 and nothing else, with a key that lives as long as the process: the server is the only one to issue and to read
them. Clients decode the claims without being able to check them.
"""

from typing import Annotated, Final, Literal

import jwt
import msgspec

from rostra.model.ids import AccountId, ServerId, StreamKey, StreamName
from rostra.model.refused import InvalidToken
from rostra.model.token import Grant, PublishGrant, SubscribeGrant

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "rostra"
_AUDIENCE: Final = "rostra-signalling"
MAX_TOKEN: Final = 4096
"""Characters. Ours have about 700."""


class _Custom(msgspec.Struct, rename="camel"):
    subscribe_requires_auth: bool = False
    multisource: bool = False
    anonymous: bool = False


class _Millicast(msgspec.Struct, rename="camel"):
    type: Literal["Publish", "Subscribe"]
    stream_account_id: str
    stream_name: str
    server_id: str
    record: bool = False
    allowed_ip_addresses: list[str] = []
    allowed_countries: list[str] = []
    denied_countries: list[str] = []
    custom_data: _Custom = msgspec.field(default_factory=_Custom)


class _Claims(msgspec.Struct):
    nbf: int
    iat: int
    exp: int
    iss: Annotated[str, msgspec.Meta(pattern=f"^{_ISSUER}$")]
    aud: Annotated[str, msgspec.Meta(pattern=f"^{_AUDIENCE}$")]
    millicast: _Millicast


def issue(grant: Grant, key: bytes, *, now_s: float, lifetime_s: int) -> str:
    """A token for one socket of one stream. It has to last until the socket is open, camera prompts included."""
    match grant:
        case PublishGrant():
            kind: Literal["Publish", "Subscribe"] = "Publish"
            custom = _Custom(grant.subscribe_requires_auth, grant.multisource)
        case SubscribeGrant():
            kind, custom = "Subscribe", _Custom(anonymous=grant.is_anonymous)
    now = int(now_s)
    stream = grant.stream
    millicast = _Millicast(kind, stream.account, stream.name, grant.server, custom_data=custom)
    claims = _Claims(now, now, now + lifetime_s, _ISSUER, _AUDIENCE, millicast)
    return jwt.encode(msgspec.to_builtins(claims), key, algorithm=_ALGORITHM)


def verify(token: str, key: bytes, *, now_s: float, grace_s: float) -> Grant:
    """What the token grants. ``grace_s``: for how long an expired one is still good.

    Raises:
        InvalidToken: another key or algorithm, expired, not yet valid, or not one of ours.
    """
    if len(token) > MAX_TOKEN:
        raise InvalidToken("Unauthorized: Invalid token")
    try:
        # Times are checked below, against the caller's clock.
        payload = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
        )
        claims = msgspec.convert(payload, _Claims)
    except (jwt.PyJWTError, msgspec.ValidationError) as error:
        raise InvalidToken("Unauthorized: Invalid token") from error
    if now_s < claims.nbf or now_s >= claims.exp + grace_s:
        raise InvalidToken("Unauthorized: Invalid token")
    its = claims.millicast
    stream = StreamKey(AccountId(its.stream_account_id), StreamName(its.stream_name))
    server = ServerId(its.server_id)
    if its.type == "Publish":
        return PublishGrant(stream, server, its.custom_data.multisource, its.custom_data.subscribe_requires_auth)
    return SubscribeGrant(stream, server, its.custom_data.anonymous)
