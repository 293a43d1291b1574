"""The database, PostgreSQL: one typed base for all models, and the unit of work.

- A read on `db.session` outside a unit of work is a statement of its own (autocommit): no transaction stays open.
- A write belongs to `unit_of_work()` and is refused outside: one transaction.
- Whatever takes time (a hash, a mail, an HTTP request) or uses a connection of its own (rate limits, token store) calls
  `release_connection()` first.
"""

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar, cast

from flask import has_app_context
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    DateTime,
    Dialect,
    Engine,
    Index,
    MetaData,
    Select,
    any_,
    event,
    inspect,
    literal,
    text,
    types,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, InstanceState, Mapped, mapped_column

from idp import pool, waiting
from idp.folding import fold
from idp.personal import COPY, KEY

POOL_OVERFLOW = 2
"""Connections that the sessions' pool of a process opens above its size; the statements' pool opens none."""
_PAUSES = (0.1, 0.5, 2.0)
_TWIN = "idp_autocommit_twin"
_T = TypeVar("_T")


class UtcDateTime(types.TypeDecorator[datetime]):
    """An instant. Aware and in UTC in Python; `timestamptz` in the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return the instant as the driver stores it; refuse a time without zone, which is ambiguous."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return the instant in UTC."""
        return None if value is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The base of all models; constraint names are fixed, so that migrations can name them."""

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
    """Return the options of a partial index."""
    return {"postgresql_where": text(condition)}


class UnitSession(Session):
    """A session that reads in autocommit mode, and writes in a unit of work only.

    https://docs.sqlalchemy.org/en/20/orm/persistence_techniques.html#custom-vertical-partitioning
    """

    is_writing = False  # whether a unit of work is open

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


def one_of(column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of `values`, in a form that uses the column's index."""
    matching: ColumnElement[bool] = column == any_(literal(list(values), postgresql.ARRAY(column.type)))
    return matching


def refuse_unwritten_changes() -> None:
    """Check that the session of a request has no changes that nothing will write.

    Raises:
        RuntimeError: it has. At the end of the request it would be too late for an error page.
    """
    if db.session.registry.has() and _session().unwritten():
        db.session.close()


def _named(mapper: Any | None, clause: Any | None) -> str:
    if clause is not None:
        return " ".join(str(clause).split())
    return f"flush of {mapper.class_.__name__}" if mapper is not None else "connection()"


def _only_reads(clause: Any) -> bool:
    return isinstance(clause, (Select, CompoundSelect)) and getattr(clause, "_for_update_arg", None) is None


def _in_autocommit(engine: Engine) -> Engine:
    """Return the twin of `engine` in autocommit mode, which has the same pool. A session asks for it by identity."""
    kept = vars(engine)
    if _TWIN not in kept:
        kept.setdefault(_TWIN, engine.execution_options(isolation_level="AUTOCOMMIT"))
    return cast("Engine", kept[_TWIN])


db = SQLAlchemy(metadata=Base.metadata, session_options={"expire_on_commit": False, "class_": UnitSession})


upsert = postgresql.insert  # an INSERT that takes ON CONFLICT


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Run the block, or the decorated function, as one transaction on `db.session`.

    Commit at the end; roll back on an exception. What was read before and decides what is written must be read again
    here, under a lock.

    Raises:
        RuntimeError: a unit of work is open already.
    """
    release_connection()
    session = _session()
    session.is_writing = True
    try:
        session.connection()
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

    Raises:
        sqlalchemy.exc.OperationalError: the database is still busy, or cannot be used.
    """
    for pause in (*_PAUSES, None):
        try:
            return step()
        except OperationalError:
            if pause is None:
                raise
            time.sleep(pause)
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
    """Run the block as `unit_of_work` does, with `seconds` for each statement.

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


def engine_options(*, pool_size: int, pooler: bool = False) -> dict[str, Any]:
    """Return SQLAlchemy's engine options, with time limits. See `pool.connect_args` for `pooler`."""
    return {
        "connect_args": pool.connect_args(pooler=pooler),
        "hide_parameters": True,
        "pool_size": pool_size,
        "max_overflow": POOL_OVERFLOW,
        "pool_timeout": 5,
        "pool_events": pool.listeners("sessions", pool_size + POOL_OVERFLOW),
    }


_WORD = re.compile(r"[^\W_]+")
_ORDINAL = re.compile(r"^(\d)i?eme")
_LONGEST_FIELD = 200


class Searched:
    """A table whose rows are found by the folded words of some columns: without accents, apostrophes and hyphens.

    A field of several words is also there as one word: « D'ALMEIDA » gives `d almeida dalmeida`, which all spellings
    find. The words are stored as a `tsvector`, whose index finds a word or the beginning of a word at once. A bulk
    statement sets `search_text` by `text_of`.
    """

    searched_fields: ClassVar[tuple[str, ...]]

    search_text: Mapped[str] = mapped_column(TSVECTOR(), default="", info=COPY)

    @classmethod
    def text_of(cls, columns: Mapping[str, Any]) -> str:
        """Return the value of `search_text` for a row with these columns."""
        return _search_text(*(columns[name] or "" for name in cls.searched_fields))


def words_index(name: str) -> Index:
    """Return the index of the words of `search_text`."""
    return Index(name, "search_text", postgresql_using="gin")


def searched_words(typed: str) -> list[str]:
    """Return the folded words of a text, « 6ème » as `6e`. The length that is read is limited."""
    return [_ORDINAL.sub(r"\1e", word) for word in _WORD.findall(fold(typed[:_LONGEST_FIELD]))]


def _search_text(*fields: str) -> str:
    seen: dict[str, None] = {}
    for field in fields:
        parts = searched_words(field)
        seen.update(dict.fromkeys(parts))
        if len(parts) > 1:
            seen["".join(parts)] = None
    return " ".join(seen)


@event.listens_for(Searched, "before_insert", propagate=True)
@event.listens_for(Searched, "before_update", propagate=True)
def _keep_text(_mapper: Any, _connection: Any, row: Searched) -> None:
    state: InstanceState[Any] = inspect(row)
    if not state.persistent or any(state.attrs[name].history.has_changes() for name in row.searched_fields):
        row.search_text = _search_text(*(getattr(row, name) or "" for name in row.searched_fields))
