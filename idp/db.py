"""The database: one typed base for all models, the rules of each engine, and the unit of work.

SQLite is embedded (demonstration, one school); PostgreSQL is production. Both run the same code:

- A read on `db.session` outside a unit of work is a statement of its own (autocommit): no transaction stays open, and
  SQLite takes no write lock.
- A write belongs to `unit_of_work()` and is refused outside: one transaction, that takes SQLite's write lock when it
  begins. A transaction of SQLite that reads first and writes later would fail as soon as another one wrote in between
  (SQLITE_BUSY_SNAPSHOT), and no timeout waits for that.
- Whatever takes time (a hash, a mail, an HTTP request) or uses a connection of its own (rate limits, token store) calls
  `release_connection()` first.
"""

import os
import sqlite3
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog
from flask import has_app_context
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import CompoundSelect, DateTime, Dialect, Engine, MetaData, Select, Table, event, text, types
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from idp import pool, waiting
from idp.personal import KEY

logger = structlog.get_logger()

_OWNER_ALONE = 0o600
_creation = threading.Lock()
"""Held while a file is created: no other thread may have it open when the first descriptor is closed."""
POOL_OVERFLOW = 2
"""Connections that the sessions' pool of a process opens above its size; the statements' pool opens none."""
_SWITCH_SECONDS = 5.0
_PAUSES = (0.1, 0.5, 2.0)
_LONGEST_YIELD = 0.1
_READS = "idp_reads"
"""The execution option of a connection to SQLite that begins no transaction."""
_TWIN = "idp_autocommit_twin"
_T = TypeVar("_T")


class UtcDateTime(types.TypeDecorator[datetime]):
    """An instant. Aware and in UTC in Python; `timestamptz` in PostgreSQL, sortable text in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant as the driver stores it; refuse a time without zone, which is ambiguous."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The base of all models; constraint names are fixed, so that migrations can name them on both engines."""

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
    """A random primary key: it tells neither the age of the row nor the number of rows."""

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4, info=KEY)


def only(condition: str) -> dict[str, Any]:
    """Return the options of a partial index, on both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


class UnitSession(Session):
    """A session that reads in autocommit mode, and writes in a unit of work only.

    https://docs.sqlalchemy.org/en/20/orm/persistence_techniques.html#custom-vertical-partitioning
    """

    is_writing = False
    """Whether a unit of work is open."""

    def get_bind(
        self,
        mapper: Any | None = None,
        clause: Any | None = None,
        bind: Engine | Connection | None = None,
        **kwargs: Any,
    ) -> Engine | Connection:
        """Return the engine: in a unit of work as it is, outside in autocommit mode.

        Raises:
            RuntimeError: outside a unit of work, for a statement that is not a SELECT or locks rows: nothing would
                commit what it writes, and autocommit would end its lock at once.
        """
        waiting.refuse()
        engine = super().get_bind(mapper, clause, bind, **kwargs)
        if not self.is_writing and (self._flushing or not _only_reads(clause)):
            self.refuse_write(_named(mapper, clause))
        return engine if self.is_writing or isinstance(engine, Connection) else _in_autocommit(engine)

    def unwritten(self) -> list[str]:
        """Return the classes of the objects that were changed, added or deleted outside a unit of work."""
        if self.is_writing:
            return []
        return sorted({type(row).__name__ for row in (*self.new, *self.dirty, *self.deleted)})

    def close(self) -> None:
        """Close the session.

        Raises:
            RuntimeError: objects were changed outside a unit of work, and no statement has written the changes.
        """
        try:
            if changed := self.unwritten():
                self.refuse_write(f"changes of {', '.join(changed)}")
        finally:
            super().close()

    def refuse_write(self, statement: str) -> None:
        """Raise RuntimeError for a write outside a unit of work, which would be rolled back."""
        raise RuntimeError(f"outside unit_of_work(), where nothing commits it: {statement}")


def refuse_unwritten_changes() -> None:
    """Check that the session of a request has no changes that nothing will write.

    Raises:
        RuntimeError: it has. At the end of the request it would be too late for an error page.
    """
    if db.session.registry.has() and _session().unwritten():
        db.session.close()


def _named(mapper: Any | None, clause: Any | None) -> str:
    """Return a statement for an error message: its SQL without values, or the class whose changes are flushed."""
    if clause is not None:
        return " ".join(str(clause).split())
    return f"flush of {mapper.class_.__name__}" if mapper is not None else "connection()"


def _only_reads(clause: Any) -> bool:
    return isinstance(clause, (Select, CompoundSelect)) and getattr(clause, "_for_update_arg", None) is None


def _in_autocommit(engine: Engine) -> Engine:
    """Return the twin of `engine` in autocommit mode, which has the same pool. A session asks for it by identity."""
    kept = vars(engine)
    if _TWIN not in kept:
        # The driver of SQLite is in autocommit mode already (`_prepare_sqlite`).
        options = {_READS: True} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
        kept.setdefault(_TWIN, engine.execution_options(**options))
    return cast("Engine", kept[_TWIN])


db = SQLAlchemy(metadata=Base.metadata, session_options={"expire_on_commit": False, "class_": UnitSession})


def upsert(table: Table | type[Base], dialect: str | None = None) -> postgresql.Insert:
    """Return an INSERT that takes ON CONFLICT, for the database in use or for the named `dialect`.

    The INSERT of SQLite is another class with the same methods; both are typed as PostgreSQL's.
    """
    name = dialect or db.engine.dialect.name
    return postgresql.insert(table) if name == "postgresql" else cast("postgresql.Insert", sqlite.insert(table))


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Run the block, or the decorated function, as one transaction on `db.session`.

    Commit at the end; roll back on an exception. What was read before and decides what is written must be read again
    here, under a lock.

    Raises:
        RuntimeError: a unit of work is open already.
        sqlalchemy.exc.OperationalError: on SQLite, another transaction held the write lock for 5 seconds.
    """
    release_connection()
    session = _session()
    session.is_writing = True
    try:
        session.connection()  # BEGIN IMMEDIATE on SQLite
        yield
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.is_writing = False


def retry_unit_of_work(step: Callable[[], _T]) -> _T:
    """Run `step` as a unit of work, up to four times when the database is busy; return its result. See `retry`."""
    return retry(unit_of_work()(step))


def retry(step: Callable[[], _T]) -> _T:
    """Run `step`, which opens its own transaction, up to four times when the database is busy; return its result.

    On SQLite, sleep afterwards about as long as the write lock was held: a transaction that waits for the lock polls
    it, and batches without a gap would starve it.

    Raises:
        sqlalchemy.exc.OperationalError: the database is still busy, or cannot be used.
    """
    for pause in (*_PAUSES, None):
        started = time.monotonic()
        try:
            result = step()
        except OperationalError:
            if pause is None:
                raise
            time.sleep(pause)
        else:
            if db.engine.dialect.name == "sqlite":
                time.sleep(min(_LONGEST_YIELD, time.monotonic() - started))
            return result
    raise AssertionError("the last try returns or raises")


def release_connection() -> None:
    """Return the connection of `db.session` to the pool; objects that were read stay usable.

    Called by what takes time or uses a connection of its own, never by its callers.

    Raises:
        RuntimeError: a unit of work is open: its transaction would stay open meanwhile.
    """
    waiting.refuse()
    if not has_app_context() or not db.session.registry.has():
        return
    session = _session()
    if session.is_writing or session.unwritten():
        raise RuntimeError("a unit of work is open, or changes wait for one: end it before this call")
    if session.in_transaction():
        try:
            session.commit()
        except SQLAlchemyError:  # the connection was lost: there is nothing to commit
            session.rollback()


@contextmanager
def patient_unit_of_work(seconds: int) -> Iterator[None]:
    """Run the block as `unit_of_work` does, with `seconds` for each statement; PostgreSQL only.

    For what takes long and locks nothing that a person waits for.
    """
    with unit_of_work():
        connection: Any = db.session.connection().connection.driver_connection
        db.session.execute(text(f"SET LOCAL statement_timeout = '{seconds}s'"))
        connection.patience = seconds + pool.ANSWER_SECONDS
        try:
            yield
        finally:
            connection.patience = pool.ANSWER_SECONDS


@contextmanager
def autocommitted() -> Iterator[Connection]:
    """Lend a connection on which each statement is a transaction of its own, without BEGIN and COMMIT.

    Raises:
        RuntimeError: a unit of work is open.
    """
    release_connection()
    with _in_autocommit(db.engine).connect() as connection:
        yield connection


def _session() -> UnitSession:
    return cast("UnitSession", db.session())


def engine_options(url: str, *, pool_size: int, pooler: bool = False) -> dict[str, Any]:
    """Return SQLAlchemy's engine options for `url`: time limits on PostgreSQL, a wait for the lock on SQLite.

    See `pool.connect_args` for `pooler`.
    """
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 5.0}, "hide_parameters": True}
    return {
        "connect_args": pool.connect_args(pooler=pooler),
        "hide_parameters": True,
        "pool_size": pool_size,
        "max_overflow": POOL_OVERFLOW,
        "pool_timeout": 5,
        "pool_events": pool.listeners("sessions", pool_size + POOL_OVERFLOW),
    }


@event.listens_for(Engine, "do_connect")
def _make_private(dialect: Dialect, _entry: Any, arguments: list[Any], _options: dict[str, Any]) -> None:
    """Create a SQLite file with mode 0600, before SQLite creates it with the mode of the umask.

    SQLite gives `-wal` and `-shm` the mode of the database file. The listener is on the class, so that it applies to
    every engine of the process, that of the migrations too.

    A file that exists is never opened here: closing any descriptor of a database drops all locks that the process holds
    on the database, and corrupts it (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    path = str(arguments[0]) if dialect.name == "sqlite" and arguments else ""
    if not path or path == ":memory:" or path.startswith("file:"):
        return
    with _creation, suppress(OSError):  # it exists, or SQLite reports what is wrong with the path
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ALONE))


def _close_to_others(cursor: sqlite3.Cursor) -> None:
    """Take the rights of group and others from the files of an open database, and log that.

    The mode is changed by path: a descriptor must not be closed here (see `_make_private`).
    """
    _, _, path = cursor.execute("PRAGMA database_list").fetchone()
    for name in (path, f"{path}-wal", f"{path}-shm") if path else ():
        try:
            mode = stat.S_IMODE(os.stat(name).st_mode)  # noqa: PTH116 - of every new connection
            if mode & ~_OWNER_ALONE:
                Path(name).chmod(mode & _OWNER_ALONE)
                logger.warning(
                    "other users of this machine could open a database file; its mode was changed", mode=oct(mode)
                )
        except FileNotFoundError:
            continue
        except OSError:
            logger.warning("other users of this machine can open a database file, and its mode cannot be changed")


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Prepare a connection to SQLite: write-ahead log, durable commits, foreign keys, no BEGIN by the driver."""
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
    """Switch the file to WAL; retry, since SQLite does not wait when two processes open a new file at once."""
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
    """Take SQLite's write lock when a transaction begins; begin none for reads."""
    options = connection.get_execution_options()
    reads = options.get(_READS) or options.get("isolation_level") == "AUTOCOMMIT"
    if connection.dialect.name == "sqlite" and not reads:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
