"""The database: one typed base for all models, and the rules of each engine.

SQLite is embedded (demonstration, one school); PostgreSQL is production. Both run the same code. Every transaction of
SQLite takes its write lock at the start: by default two read-then-write transactions both succeed, and one is lost.
"""

import os
import sqlite3
import stat
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Dialect, Engine, MetaData, Table, event, types
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

logger = structlog.get_logger()

POSTGRESQL_SETTINGS = (
    "-c statement_timeout=5s -c lock_timeout=2s -c idle_in_transaction_session_timeout=10s -c timezone=UTC"
)


POSTGRESQL_PATIENCE = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""How long a connection waits for a server that has vanished (libpq; seconds, the last in milliseconds)."""


_OWNER_ALONE = 0o600
_creation = threading.Lock()
"""Held while a file is made: no thread may have it open when its first descriptor is closed."""
_SWITCH_SECONDS = 5.0
_PAUSES = (0.1, 0.5, 2.0)
_LONGEST_BREATH = 0.1
_T = TypeVar("_T")


class UtcDateTime(types.TypeDecorator[datetime]):
    """An instant. Aware and in UTC in Python; `timestamptz` in PostgreSQL, sortable text in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without zone: it would be read as another instant elsewhere."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back the instant in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Base(DeclarativeBase):
    """What every table is made from; constraint names are fixed, so that migrations can name them on both engines."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own name and kind of attribute
        datetime: UtcDateTime(),
        dict[str, Any]: types.JSON(),
        list[str]: types.JSON(),
        bytes: types.LargeBinary(),
        uuid.UUID: types.Uuid(),
    }


class UuidKey:
    """A primary key that says nothing about its row's age or number."""

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)


db = SQLAlchemy(metadata=Base.metadata, session_options={"expire_on_commit": False})


def upsert(table: Table | type[Base], dialect: str | None = None) -> postgresql.Insert:
    """Return an INSERT that takes ON CONFLICT, for the database in use or for the named `dialect`.

    The INSERT of SQLite is another class with the same methods; both are typed as PostgreSQL's.
    """
    name = dialect or db.engine.dialect.name
    return postgresql.insert(table) if name == "postgresql" else cast("postgresql.Insert", sqlite.insert(table))


def end_read() -> None:
    """End the transaction of what was only read, keeping the objects: on SQLite a reader holds the write lock.

    Called between reading and whatever takes time or writes by another connection (a hash, a slot, the hot statements).
    """
    if db.session.registry.has() and db.session().in_transaction():
        db.session.commit()


def committed(step: Callable[[], _T]) -> _T:
    """Run `step` and commit it, once more from the start when another transaction stood in its way.

    On SQLite whoever writes keeps all others waiting, and they only look again from time to time: batches that follow
    each other without a gap would never let them in. So the door stays open about as long as it was shut.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be used, or is busy still after four tries.
    """
    for pause in (*_PAUSES, None):
        started = time.monotonic()
        try:
            result = step()
            db.session.commit()
        except OperationalError:
            db.session.rollback()
            if pause is None:
                raise
            time.sleep(pause)
        else:
            if db.engine.dialect.name == "sqlite":
                time.sleep(min(_LONGEST_BREATH, time.monotonic() - started))
            return result
    raise AssertionError("the last try returns or raises")


def engine_options(url: str, *, pool_size: int) -> dict[str, Any]:
    """Return SQLAlchemy's engine options for `url`: time limits on PostgreSQL, patience on SQLite."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 5.0}, "hide_parameters": True}
    return {
        "connect_args": {"options": POSTGRESQL_SETTINGS, **POSTGRESQL_PATIENCE},
        "hide_parameters": True,
        "pool_size": pool_size,
        "max_overflow": 2,
        "pool_timeout": 5,
        "pool_pre_ping": True,
    }


@event.listens_for(Engine, "do_connect")
def _make_private(dialect: Dialect, _entry: Any, arguments: list[Any], _options: dict[str, Any]) -> None:
    """Make a SQLite file for its owner alone before SQLite makes it for everybody.

    SQLite gives the files beside it (`-wal`, `-shm`) the mode of the first. An engine's class is asked, so that every
    engine of the process obeys, that of the migrations too.

    A file that exists is never opened here: closing any descriptor of a database drops all locks that the process
    holds on it, and the database breaks (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    path = str(arguments[0]) if dialect.name == "sqlite" and arguments else ""
    if not path or path == ":memory:" or path.startswith("file:"):
        return
    with _creation, suppress(OSError):  # it is there already, or SQLite says what is wrong with the path
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ALONE))


def _close_to_others(cursor: sqlite3.Cursor) -> None:
    """Take the mode of an open database's files back to its owner's, and log it. SQLite has read it: it is a database.

    The mode is changed by path: a descriptor must not be closed here.
    """
    _, _, path = cursor.execute("PRAGMA database_list").fetchone()
    for name in (path, f"{path}-wal", f"{path}-shm") if path else ():
        try:
            mode = stat.S_IMODE(os.stat(name).st_mode)  # noqa: PTH116 - of every new connection
            if mode & ~_OWNER_ALONE:
                Path(name).chmod(mode & _OWNER_ALONE)
                logger.warning("a database file was open to others of this machine, and is closed now", mode=oct(mode))
        except FileNotFoundError:
            continue
        except OSError:
            logger.warning("a database file is open to others of this machine, and is not ours to close")


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Set SQLite up for a service: several readers, no transaction lost at a power cut, foreign keys, our own BEGIN."""
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.isolation_level = None
    cursor = connection.cursor()
    _write_ahead(cursor)
    _close_to_others(cursor)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Switch the file to WAL. When two processes open a new file at once, SQLite refuses one instead of waiting."""
    until = time.monotonic() + _SWITCH_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


@event.listens_for(Engine, "begin")
def _begin_immediate(connection: Connection) -> None:
    """Take SQLite's write lock at the start: a transaction that reads first and writes later must not be overtaken."""
    options = connection.get_execution_options()
    if connection.dialect.name == "sqlite" and options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
