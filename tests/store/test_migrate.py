"""A database of an older program is upgraded, once and whole; what cannot be used is named, with the next step."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from rostra.model.ids import AccountId
from rostra.model.token import Account, PublishToken, StreamPattern, SubscribeToken
from rostra.store import Store, StoreError, migrate
from rostra.store.tables import Base

OLD = (Path(__file__).parent / "data" / "schema-1.sql").read_text()
FIRST, SECOND = Account(AccountId("fBQvc7"), "a" * 64), Account(AccountId("HiRWFM"), "b" * 64)


def written(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)
    return path


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())


async def failure(path: Path) -> str:
    with pytest.raises(StoreError) as error:
        await Store.open(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


async def test_a_database_of_before_migrations_keeps_accounts_and_tokens(tmp_path: Path) -> None:
    path = written(tmp_path / "rostra.db", OLD)
    for _ in range(2):
        store = await Store.open(path)
        assert set(await store.accounts()) == {FIRST, SECOND}
        for account in (FIRST, SECOND):
            assert await store.account_of_secret(account.api_secret) == account
        publish = PublishToken(FIRST.id, "p" * 64, "dev", (StreamPattern("*"),))
        patterns = (StreamPattern("demo"), StreamPattern("show-*"))
        subscribe = SubscribeToken(FIRST.id, "s" * 64, "dev", patterns, True, 2_000_000_000)
        assert await store.publish_tokens(FIRST.id) == (publish,)
        assert await store.subscribe_tokens(FIRST.id) == (subscribe,)
        await store.close()
    store = await Store.open(path)
    new = await store.add_account()
    assert await store.account_of_secret(new.api_secret) == new
    await store.close()


@pytest.mark.parametrize("script", ["", OLD])
async def test_revisions_lead_to_the_tables_of_the_program(tmp_path: Path, script: str) -> None:
    path = written(tmp_path / "rostra.db", script)
    await (await Store.open(path)).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


async def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    twice = OLD.replace("b" * 64, "a" * 64)  # which the unique index refuses, after the column was added
    path = written(tmp_path / "rostra.db", twice)
    before = content(path)
    await failure(path)
    assert content(path) == before


async def test_two_programs_that_start_at_once_upgrade_once(tmp_path: Path) -> None:
    path = written(tmp_path / "rostra.db", OLD)
    code = "import sys; from pathlib import Path; from rostra.store.migrate import upgrade; upgrade(Path(sys.argv[1]))"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(path), stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = await asyncio.gather(*(process.communicate() for process in processes))
    assert [(process.returncode, err) for process, (_, err) in zip(processes, ends, strict=True)] == [(0, b"")] * 4
    assert len([line for line in content(path) if 'INSERT INTO "account"' in line]) == 2


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE schema_version (version INTEGER PRIMARY KEY); INSERT INTO schema_version VALUES (1000);",
        "CREATE TABLE alembic_version (version_num VARCHAR(32)); INSERT INTO alembic_version VALUES ('1000');",
    ],
)
async def test_a_newer_database_is_refused_and_let_go(tmp_path: Path, script: str) -> None:
    path = written(tmp_path / "rostra.db", script)
    before, threads = content(path), set(threading.enumerate())
    text = await failure(path)
    assert "newer Rostra (schema 1000)" in text
    assert "use that version, or another folder with --data" in text
    assert content(path) == before
    left = [thread for thread in threading.enumerate() if thread not in threads and "asyncio" not in thread.name]
    assert left == []


async def test_an_older_program_refuses_a_database_that_was_upgraded(tmp_path: Path) -> None:
    """Programs without migrations compare the one row of this table with 1."""
    path = written(tmp_path / "rostra.db", OLD)
    await (await Store.open(path)).close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT version FROM schema_version").fetchall() == [(2,)]


async def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "rostra.db", "CREATE TABLE account (name TEXT);")
    assert "is not Rostra's: move it away" in await failure(path)


@pytest.mark.parametrize("where", [0, 100])
async def test_a_corrupt_database_is_named_with_what_to_do(tmp_path: Path, where: int) -> None:
    path = tmp_path / "rostra.db"
    await (await Store.open(path)).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:where] + b"no database " * 1000)
    text = await failure(path)
    assert "is corrupt" in text
    assert "put a backup of the file in its place, or move it away" in text
    assert "sqlite3." not in text


async def test_a_database_that_another_program_holds_is_waited_for_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_S", 0.01)
    path = written(tmp_path / "rostra.db", OLD)
    with closing(sqlite3.connect(path)) as database:
        database.execute("BEGIN IMMEDIATE")
        assert "another program uses it" in await failure(path)
