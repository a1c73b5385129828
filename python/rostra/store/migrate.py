"""Brings a database file to the schema of this program, with the revisions in ``migrations/versions``."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

LOCK_TIMEOUT_S: Final = 30.0
"""How long another program may hold the database, as one that upgrades it does."""
_SCRIPTS: Final = Path(__file__).parent / "migrations"
_FIRST: Final = "0001"
_BEFORE_MIGRATIONS: Final = frozenset({"schema_version", "account", "token"})
"""The tables of a file that was written before there were migrations."""
_alembic: Final = threading.Lock()
"""Alembic keeps the revision at work in a global variable."""
_CORRUPT: Final = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT"})


class StoreError(Exception):
    """The database cannot be used. The text is for people."""

    code = "store_unusable"


def upgrade(path: Path) -> None:
    """Check the SQLite file and apply the revisions that it lacks, all or none, while no other program writes to it.

    Raises:
        StoreError: it cannot be read or written, it is corrupt, another program's, or of a newer Rostra.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)), poolclass=NullPool, connect_args={"timeout": LOCK_TIMEOUT_S}
    )
    _begin_immediately(engine)
    with _alembic, _naming(path), engine.begin() as connection:
        if connection.scalar(text("PRAGMA quick_check(1)")) != "ok":
            raise StoreError(_corrupt(path, "its check fails"))
        _upgrade(connection, path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn failures of the database into a text with its path and the next step.

    Raises:
        StoreError: there was one.
    """
    try:
        yield
    except DBAPIError as error:
        cause = str(error.orig)
        name = error.orig.sqlite_errorname if isinstance(error.orig, sqlite3.Error) else ""
        if any(name.startswith(kind) for kind in _CORRUPT):
            raise StoreError(_corrupt(path, cause)) from error
        if name.startswith("SQLITE_BUSY"):
            raise StoreError(f"cannot use the database {path}: another program uses it; stop that first") from error
        raise StoreError(f"cannot use the database {path}: {cause}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"cannot use the database {path}: {str(error).splitlines()[0]}") from error


def _corrupt(path: Path, cause: str) -> str:
    return (
        f"the database {path} is corrupt ({cause}): put a backup of the file in its place, "
        "or move it away and start again with a new account and new tokens"
    )


def _begin_immediately(engine: Engine) -> None:
    """Python's sqlite3 would begin a transaction late, and none for a change of tables."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _upgrade(connection: Connection, path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        if _is_of_before_migrations(connection, path):
            command.stamp(config, _FIRST)
    elif not _is_known(scripts, current):
        raise _newer(path, current)
    command.upgrade(config, "head")


def _is_of_before_migrations(connection: Connection, path: Path) -> bool:
    """Whether the file has the tables of the first revision although no revision is noted in it."""
    tables = set(inspect(connection).get_table_names())
    if "schema_version" in tables:
        version = connection.scalar(text("SELECT max(version) FROM schema_version"))
        if version is not None and version != 1:
            raise _newer(path, version)
    if not tables:
        return False
    if not tables >= _BEFORE_MIGRATIONS:
        raise StoreError(f"the database {path} is not Rostra's: move it away, or choose another folder with --data")
    return True


def _is_known(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        return scripts.get_revision(revision) is not None
    except CommandError:
        return False


def _newer(path: Path, schema: object) -> StoreError:
    return StoreError(
        f"the database {path} was written by a newer Rostra (schema {schema}), and is left as it is: "
        "use that version, or another folder with --data"
    )
