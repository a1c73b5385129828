"""Accounts and tokens in a database: SQLite by default."""

import asyncio
import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import Final, Literal, Self

from sqlalchemy import URL, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from rostra.model.ids import AccountId
from rostra.model.token import Account, PublishToken, StreamPattern, SubscribeToken
from rostra.store.migrate import StoreError, upgrade
from rostra.store.tables import AccountRow, TokenRow

ACCOUNT_ID_LENGTH: Final = 6
"""Characters of an account id, as in the examples of the protocol."""
_ALPHABET: Final = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"

_Action = Literal["publish", "subscribe"]


class Store:
    """Every method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._transaction = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    async def open(cls, path: Path) -> Self:
        """The SQLite file, in this program's schema. If there is none, it is made, readable for its owner alone.

        Raises:
            StoreError: it cannot be read or written, it is corrupt, or a newer Rostra wrote it.
        """
        try:
            path.touch(mode=0o600, exist_ok=True)  # noqa: ASYNC240 — once, before anybody is served
        except OSError as error:
            raise StoreError(f"cannot use the database {path}: {error.strerror}") from error
        await asyncio.to_thread(upgrade, path)
        url = URL.create("sqlite+aiosqlite", database=str(path))
        # SQLite serves one at a time anyway; more connections would be threads and descriptors that come and stay.
        return cls(create_async_engine(url, pool_size=1, max_overflow=0))

    async def close(self) -> None:
        """Let go of the file. Idempotent."""
        await self._engine.dispose()

    async def accounts(self) -> tuple[Account, ...]:
        """All accounts."""
        async with self._transaction() as rows:
            return tuple(Account(AccountId(row.id), row.api_secret) for row in await rows.scalars(select(AccountRow)))

    async def account(self, account: AccountId) -> Account | None:
        """One account."""
        async with self._transaction() as rows:
            row = await rows.get(AccountRow, account)
        return None if row is None else Account(AccountId(row.id), row.api_secret)

    async def account_of_secret(self, secret: str) -> Account | None:
        """The account with this API secret, found by the digest in one query."""
        query = select(AccountRow).where(AccountRow.api_secret_digest == _digest(secret))
        async with self._transaction() as rows:
            row = await rows.scalar(query)
        if row is None or not hmac.compare_digest(row.api_secret.encode(), secret.encode()):
            return None
        return Account(AccountId(row.id), row.api_secret)

    async def add_account(self) -> Account:
        """A new account with an id and secret of its own."""
        identity = "".join(secrets.choice(_ALPHABET) for _ in range(ACCOUNT_ID_LENGTH))
        account = Account(AccountId(identity), secrets.token_hex(32))
        async with self._transaction.begin() as rows:
            digest = _digest(account.api_secret)
            rows.add(AccountRow(id=account.id, api_secret=account.api_secret, api_secret_digest=digest))
        return account

    async def add_publish_token(self, token: PublishToken) -> None:
        """Keep a token."""
        row = _row("publish", token)
        row.multisource = token.multisource
        row.subscribe_requires_auth = token.subscribe_requires_auth
        async with self._transaction.begin() as rows:
            rows.add(row)

    async def add_subscribe_token(self, token: SubscribeToken) -> None:
        """Keep a token."""
        async with self._transaction.begin() as rows:
            rows.add(_row("subscribe", token))

    async def publish_token(self, value: str) -> PublishToken | None:
        """The publish token of this value."""
        row = await self._find("publish", value)
        return None if row is None else _publish_token(row)

    async def subscribe_token(self, value: str) -> SubscribeToken | None:
        """The subscribe token of this value."""
        row = await self._find("subscribe", value)
        return None if row is None else _subscribe_token(row)

    async def publish_tokens(self, account: AccountId) -> tuple[PublishToken, ...]:
        """All publish tokens of the account."""
        return tuple(_publish_token(row) for row in await self._of("publish", account))

    async def subscribe_tokens(self, account: AccountId) -> tuple[SubscribeToken, ...]:
        """All subscribe tokens of the account."""
        return tuple(_subscribe_token(row) for row in await self._of("subscribe", account))

    async def _find(self, action: _Action, value: str) -> TokenRow | None:
        async with self._transaction() as rows:
            row = await rows.get(TokenRow, _digest(value))
        if row is None or row.action != action or not hmac.compare_digest(row.value.encode(), value.encode()):
            return None
        return row

    async def _of(self, action: _Action, account: AccountId) -> list[TokenRow]:
        query = select(TokenRow).where(TokenRow.action == action, TokenRow.account == account).order_by(TokenRow.digest)
        async with self._transaction() as rows:
            return list(await rows.scalars(query))


def new_token_value() -> str:
    """64 hex digits, as the protocol's clients know tokens."""
    return secrets.token_hex(32)


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _row(action: _Action, token: PublishToken | SubscribeToken) -> TokenRow:
    return TokenRow(
        digest=_digest(token.value),
        action=action,
        account=token.account,
        value=token.value,
        label=token.label,
        streams=json.dumps([pattern.text for pattern in token.streams]),
        is_active=token.is_active,
        expires_at=token.expires_at,
    )


def _patterns(row: TokenRow) -> tuple[StreamPattern, ...]:
    return tuple(StreamPattern(text) for text in json.loads(row.streams))


def _publish_token(row: TokenRow) -> PublishToken:
    return PublishToken(
        AccountId(row.account),
        row.value,
        row.label,
        _patterns(row),
        multisource=row.multisource,
        subscribe_requires_auth=row.subscribe_requires_auth,
        is_active=row.is_active,
        expires_at=row.expires_at,
    )


def _subscribe_token(row: TokenRow) -> SubscribeToken:
    return SubscribeToken(
        AccountId(row.account),
        row.value,
        row.label,
        _patterns(row),
        is_active=row.is_active,
        expires_at=row.expires_at,
    )
