"""Accounts and tokens survive, and are found by what they are."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from rostra.model.ids import AccountId
from rostra.model.token import PublishToken, StreamPattern, SubscribeToken
from rostra.store import Store, StoreError, new_token_value

PATTERNS = (StreamPattern("demo"), StreamPattern("show-*"))


async def test_accounts_and_tokens_survive(tmp_path: Path) -> None:
    path = tmp_path / "rostra.db"
    store = await Store.open(path)
    account = await store.add_account()
    publish = PublishToken(account.id, new_token_value(), "one", PATTERNS, False, True, False, 2_000_000_000)
    subscribe = SubscribeToken(account.id, new_token_value(), "two", PATTERNS, False, 2_000_000_000)
    await store.add_publish_token(publish)
    await store.add_subscribe_token(subscribe)
    await store.close()
    store = await Store.open(path)
    assert await store.accounts() == (account,)
    assert await store.account(account.id) == account
    assert await store.publish_token(publish.value) == publish
    assert await store.subscribe_token(subscribe.value) == subscribe
    assert await store.publish_tokens(account.id) == (publish,)
    assert await store.subscribe_tokens(account.id) == (subscribe,)
    await store.close()


async def test_a_token_is_found_as_what_it_is_and_by_its_whole_value(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "rostra.db")
    account = await store.add_account()
    token = PublishToken(account.id, new_token_value(), "", PATTERNS)
    await store.add_publish_token(token)
    assert await store.subscribe_token(token.value) is None
    for value in ("", token.value[:-1], token.value.upper() + "x", "%", "\0", "é"):
        assert await store.publish_token(value) is None
    assert await store.account(AccountId("nobody")) is None
    await store.close()


async def test_an_api_secret_is_found_by_an_index_in_one_query(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "rostra.db")
    accounts = [await store.add_account() for _ in range(3)]
    queries: list[tuple[str, Any]] = []

    @event.listens_for(store._engine.sync_engine, "before_cursor_execute")
    def on_query(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        queries.append((statement, parameters))

    assert await store.account_of_secret(accounts[1].api_secret) == accounts[1]
    ((query, parameters),) = queries
    async with store._engine.connect() as connection:
        steps = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", parameters)).all()
    assert [step.detail.partition(" USING INDEX")[0] for step in steps] == ["SEARCH account"]
    for secret in ("", accounts[1].api_secret[:-1], accounts[1].api_secret + "x", "%", "\0", "é"):
        assert await store.account_of_secret(secret) is None
    await store.close()


async def test_a_file_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        await Store.open(tmp_path / "nowhere" / "rostra.db")


async def test_many_lookups_at_once_take_no_more_descriptors_than_one(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "rostra.db")
    await store.publish_token("unknown")
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert await asyncio.gather(*(store.publish_token("unknown") for _ in range(50))) == [None] * 50
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    await store.close()
