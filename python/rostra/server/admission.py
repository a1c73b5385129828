"""Who may publish and who may watch, by what they show: the same rules for the director and for every other door."""

import secrets

from rostra.model.ids import AccountId, ServerId, StreamKey, StreamName
from rostra.model.refused import Unauthorized
from rostra.model.token import PublishGrant, SubscribeGrant, check, check_same_account, is_public_while_offline
from rostra.server.context import Context


class Offline(Exception):  # noqa: N818 — a reply, not an error
    """There is nothing to watch. ``message`` says whether there could be."""

    def __init__(self, message: str, stream: StreamKey) -> None:
        super().__init__(message)
        self.message = message
        self.stream = stream


async def admit_publisher(context: Context, value: str | None, name: StreamName) -> PublishGrant:
    """What somebody with this token may do in a stream of this name.

    Raises:
        Unauthorized: no token.
        InvalidToken: not a good one.
        NameNotCovered: one for other names.
    """
    if value is None:
        raise Unauthorized("Unauthorized")
    token = check(await context.store.publish_token(value), name, now_s=context.clock())
    return PublishGrant(StreamKey(token.account, name), _server(), token.multisource, token.subscribe_requires_auth)


async def admit_viewer(
    context: Context, value: str | None, account: AccountId | None, name: StreamName
) -> SubscribeGrant:
    """What somebody with this token, or with none, may watch. ``account``: the one that was named.

    Raises:
        Unauthorized: the stream needs a token, or the token is of another account.
        InvalidToken: not a good one.
        NameNotCovered: one for other names.
        Offline: nobody publishes, and waiting is not allowed.
    """
    if value is None:
        key = await _public(context, StreamKey(account or AccountId(""), name))
    else:
        token = check(await context.store.subscribe_token(value), name, now_s=context.clock())
        check_same_account(token.account, account)
        key = StreamKey(token.account, name)
    is_waiting_allowed = context.config.signalling.allow_offline_subscribe
    if not is_waiting_allowed and not context.hub.stream(key).is_published:
        raise Offline("stream not being published", key)
    return SubscribeGrant(key, _server(), is_anonymous=value is None)


async def _public(context: Context, key: StreamKey) -> StreamKey:
    """The stream, if it is for everybody."""
    if await context.store.account(key.account) is None:
        raise Offline("stream not found", key)
    stream = context.hub.stream(key)
    is_public = stream.is_public
    if not stream.is_published and context.config.signalling.allow_offline_subscribe:
        tokens = await context.store.publish_tokens(key.account)
        is_public = is_public and is_public_while_offline(tokens, key.name, now_s=context.clock())
    if not is_public:
        raise Unauthorized("Unauthorized")
    return key


def _server() -> ServerId:
    return ServerId(secrets.token_hex(16))
