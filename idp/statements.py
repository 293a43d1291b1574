"""Prepared statements of hot requests, run by psycopg's wrapper of libpq (`psycopg.pq`) on connections of their own.

`Connection.execute` of SQLAlchemy would double the time that a statement takes, so they use the driver itself.

A psycopg cursor parses the statement and chooses the types of the parameters at each execution, and wakes for each step
of the protocol. That takes longer than the exchange with the server. Here the types are known from the annotations of
the request, each connection prepares a statement once, and psycopg converts the values, in binary format.

A wait ends as that of a cursor does: by the time limits of the server, of libpq, and of ours (`idp.pool`).
"""

import itertools
import os
import re
import uuid
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from types import NoneType
from typing import Any, get_args

import psycopg
from psycopg import generators
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult
from sqlalchemy import Engine, PoolProxiedConnection, create_engine, func, make_url, select
from sqlalchemy.exc import DBAPIError, OperationalError

from idp import pool
from idp.config import Settings
from idp.db import db, release_connection, unit_of_work

_PLACEHOLDER = re.compile(r"(?<!:):(\w+)")
_TYPES = {
    bool: "bool",
    bytes: "bytea",
    datetime: "timestamptz",
    int: "int4",
    str: "text",
    uuid.UUID: "uuid",
}
# The server lost the statement (DISCARD, a pooler), or a migration changed the types of its result.
_UNUSABLE = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.FeatureNotSupported)
_numbers = itertools.count()


class Statement:
    """A statement that returns one row or none.

    Args:
        text: The statement with placeholders `:name`.
        types: The type of each parameter, as its annotation in the request, or by its name in PostgreSQL.
    """

    def __init__(self, text: str, types: Mapping[str, Any]) -> None:
        names = list(dict.fromkeys(_PLACEHOLDER.findall(text)))
        self.text = text
        self.numbered = _PLACEHOLDER.sub(lambda match: f"${names.index(match[1]) + 1}", text).encode()
        self.types = [psycopg.adapters.types[_name_of(types[name])].oid for name in names]
        self._names = names

    def fetch_row(self, connection: PoolProxiedConnection, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Return the row, or None. A statement that the server cannot use any more is prepared again, once.

        Args:
            connection: An autocommitted connection.
            values: The parameters by name; others are ignored.

        Raises:
            psycopg.Error: The server refused the statement, or the connection is lost.
        """
        ordered = [values[name] for name in self._names]
        prepared: _Prepared = connection.info.get(self) or self._prepare(connection)
        try:
            return prepared.fetch_row(ordered)
        except _UNUSABLE:  # nothing was executed
            return self._prepare(connection).fetch_row(ordered)

    def _prepare(self, connection: PoolProxiedConnection) -> "_Prepared":
        driver_connection: Any = connection.driver_connection
        prepared = connection.info[self] = _Prepared(driver_connection, self)
        return prepared


class _Prepared:
    """A statement on one connection. Its name is new, because the server may still have the one before it.

    Behind a pooler, the next server does not have it: the text is sent each time.
    """

    def __init__(self, connection: psycopg.Connection, statement: Statement) -> None:
        self._connection, self._pgconn, self._statement = connection, connection.pgconn, statement
        self._transformer = Transformer(connection)
        self._transformer.set_dumper_types(statement.types, Format.BINARY)
        self._name = b"statement_%d" % next(_numbers) if pool.may_prepare(connection) else b""
        if not self._name:
            return
        self._pgconn.send_prepare(self._name, statement.numbered, statement.types)
        result = self._result()
        if result.status != ExecStatus.COMMAND_OK:
            raise _error(result)

    def fetch_row(self, values: list[Any]) -> tuple[Any, ...] | None:
        transformer = self._transformer
        parameters: Any = transformer.dump_sequence(values, ())
        if self._name:
            self._pgconn.send_query_prepared(self._name, parameters, transformer.formats, Format.BINARY)
        else:
            statement = self._statement
            self._pgconn.send_query_params(
                statement.numbered, parameters, statement.types, transformer.formats, Format.BINARY
            )
        result = self._result()
        if result.status != ExecStatus.TUPLES_OK:
            raise _error(result)
        if not result.ntuples:
            return None
        transformer.set_pgresult(result)
        row: tuple[Any, ...] = transformer.load_row(0, tuple)
        return row

    def _result(self) -> PGresult:
        results: list[PGresult] = self._connection.wait(generators.execute(self._pgconn))
        return results[-1]


def _name_of(annotation: Any) -> str:
    """Return the name in PostgreSQL of an annotation `type` or `type | None`; a name is returned as it is."""
    plain = next((part for part in get_args(annotation) if part is not NoneType), annotation)
    return plain if isinstance(plain, str) else _TYPES[plain]


def _error(result: PGresult) -> psycopg.Error:
    """Return the error of a result. An error without SQLSTATE is not the server's: the connection is lost."""
    error = psycopg.errors.error_from_result(result)
    return error if error.sqlstate else psycopg.OperationalError(str(error))


# The errors of a database that cannot be used; the last is that of a server that became read-only after a failover.
_UNAVAILABLE = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
# SQLSTATE of errors after which the connection can be used again: a statement or a lock took too long, a deadlock.
_UNBROKEN = frozenset({"57014", "55P03", "40P01"})
# Each statement reads few rows by key, whatever its parameters are. Without statistics, the planner would scan whole
# indexes to merge or hash them. A plan that was made while a table was almost empty would scan that table, although it
# grows by thousands of rows a minute. Through a pooler, a statement is planned for its values each time.
_PLANS_BY_KEY = (
    "-c enable_seqscan=off -c enable_mergejoin=off -c enable_hashjoin=off -c plan_cache_mode=force_generic_plan"
)


def open_connections(settings: Settings) -> "Connections":
    """Return autocommitted connections to the database of `settings`; the first is opened when it is needed."""
    engine = create_engine(
        make_url(settings.database_url).set(drivername="postgresql+psycopg"),
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_recycle=300,
        hide_parameters=True,
        pool_timeout=5,
        pool_events=pool.listeners("statements", settings.database_pool),
        pool_use_lifo=True,  # the connection used last is in the caches of both processors
        pool_reset_on_return=None,
        connect_args={"autocommit": True, **pool.connect_args(pooler=settings.database_pooler, more=_PLANS_BY_KEY)},
    )
    return Connections(engine)


class Connections:
    """Lends autocommitted connections."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        os.register_at_fork(after_in_child=partial(_leave_to_parent, weakref.ref(engine)))

    def lend(self) -> "Loan":
        """Lend a connection for the length of a `with`."""
        return Loan(self._engine)

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()


class Loan:
    """A connection that is lent for the length of a `with`. A generator would cost each request 5 µs more.

    Raises:
        sqlalchemy.exc.OperationalError: the database is unreachable, read-only, or locked for too long. A connection
            that broke is discarded with all idle ones, so that the next request reconnects.
        sqlalchemy.exc.TimeoutError: no connection became free in time.
        sqlalchemy.exc.DBAPIError: another error of the driver, by its class: an integrity error, a data error…
    """

    __slots__ = ("_connection", "_engine")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> PoolProxiedConnection:
        release_connection()
        try:
            self._connection = self._engine.raw_connection()
        except _UNAVAILABLE as error:
            raise OperationalError(None, None, error) from error
        return self._connection

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            if isinstance(error, _UNAVAILABLE):
                if getattr(error, "sqlstate", None) not in _UNBROKEN:  # the connection to the server is lost
                    self._connection.invalidate(error)
                    self._engine.dispose()
                raise OperationalError(None, None, error) from error
            if isinstance(error, psycopg.Error):
                raise DBAPIError.instance(None, None, error, psycopg.Error) from error
        finally:
            self._connection.close()


def _leave_to_parent(engine: weakref.ref[Engine]) -> None:
    if known := engine():
        known.dispose(close=False)  # without a word to the server


@contextmanager
def index_only() -> Iterator[None]:
    """Make PostgreSQL prefer indexes in the block, which is a transaction.

    It reads a whole table where it overestimates the rows of a statement, or the cost of finding them one by one.
    """
    with unit_of_work():  # the setting ends with the transaction
        db.session.execute(select(func.set_config("enable_seqscan", "off", True)))
        yield
