"""Accounts, tokens and what they allow. Secrets are compared by whoever looks a token up, not here."""

from dataclasses import dataclass, field
from typing import TypeVar

from rostra.model.ids import AccountId, ServerId, StreamKey, StreamName
from rostra.model.refused import InvalidToken, NameNotCovered, Unauthorized


@dataclass(frozen=True, slots=True)
class Account:
    """Owner of tokens and streams. ``api_secret`` is for the management API."""

    id: AccountId
    api_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamPattern:
    """Stream names that a token covers: ``*`` stands for any run of characters, everything else for itself."""

    text: str

    def covers(self, name: StreamName) -> bool:
        """Whether the name matches. Takes time linear in both lengths for each ``*``: no pattern can stall us."""
        head, *rest = self.text.split("*")
        if not rest:
            return name == head
        *middle, tail = rest
        if not name.startswith(head) or not name.endswith(tail) or len(name) < len(head) + len(tail):
            return False
        position, end = len(head), len(name) - len(tail)
        for part in middle:
            found = name.find(part, position, end)
            if found < 0:
                return False
            position = found + len(part)
        return True


@dataclass(frozen=True, slots=True)
class PublishToken:
    """Lets its holder publish. ``expires_at`` is in seconds since 1970, ``None`` for never."""

    account: AccountId
    value: str = field(repr=False)
    label: str
    streams: tuple[StreamPattern, ...]
    multisource: bool = True
    subscribe_requires_auth: bool = False
    is_active: bool = True
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class SubscribeToken:
    """Lets its holder watch."""

    account: AccountId
    value: str = field(repr=False)
    label: str
    streams: tuple[StreamPattern, ...]
    is_active: bool = True
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class PublishGrant:
    """What a signalling token says about a publisher."""

    stream: StreamKey
    server: ServerId
    multisource: bool
    subscribe_requires_auth: bool


@dataclass(frozen=True, slots=True)
class SubscribeGrant:
    """What a signalling token says about a viewer. ``is_anonymous``: the director was shown no token for it."""

    stream: StreamKey
    server: ServerId
    is_anonymous: bool = False


Grant = PublishGrant | SubscribeGrant


AnyToken = TypeVar("AnyToken", PublishToken, SubscribeToken)


def check(token: AnyToken | None, name: StreamName, *, now_s: float) -> AnyToken:
    """The token, when it is good for a stream of this name.

    Raises:
        InvalidToken: unknown, switched off or expired.
        NameNotCovered: good for other streams only.
    """
    if token is None or not token.is_active or (token.expires_at is not None and token.expires_at <= now_s):
        raise InvalidToken("Unauthorized: Invalid token")
    if not any(pattern.covers(name) for pattern in token.streams):
        raise NameNotCovered("StreamName is not valid for token")
    return token


def check_same_account(account: AccountId, named: AccountId | None) -> None:
    """A request may repeat the account of its token, and nothing else.

    Raises:
        Unauthorized: it names another account.
    """
    if named is not None and named != account:
        raise Unauthorized("Unauthorized")


def is_public_while_offline(tokens: tuple[PublishToken, ...], name: StreamName, *, now_s: float) -> bool:
    """Whether anybody may wait for the stream without a token.

    Nobody knows which token will publish it, so that all that could have to allow it.
    """
    good = [token for token in tokens if token.is_active and (token.expires_at is None or token.expires_at > now_s)]
    covering = [token for token in good if any(pattern.covers(name) for pattern in token.streams)]
    return bool(covering) and not any(token.subscribe_requires_auth for token in covering)
