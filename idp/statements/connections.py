"""Driver connections for the statements of hot requests, from a pool of SQLAlchemy.

`Connection.execute` of SQLAlchemy would double the time that a statement takes, so they use the driver itself.
"""

import os
import weakref
from functools import partial
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection, create_engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from idp import pool
from idp.config import Settings
from idp.db import release_connection

_UNBROKEN = frozenset({"57014", "55P03", "40P01"})
"""SQLSTATE of errors after which the connection can be used again: a statement or a lock took too long, a deadlock."""
_PLANS_BY_KEY = (
    "-c enable_seqscan=off -c enable_mergejoin=off -c enable_hashjoin=off -c plan_cache_mode=force_generic_plan"
)
"""Each statement reads few rows by key, whatever its parameters are. Without statistics, the planner would scan whole
indexes to merge or hash them. A plan that was made while a table was almost empty would scan that table, although it
grows by thousands of rows a minute. Through a pooler, a statement is planned for its values each time."""


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
        driver: Any = engine.dialect.dbapi
        self._error: type[Exception] = driver.Error
        self._unavailable: tuple[type[Exception], ...] = (
            driver.OperationalError,
            driver.InterfaceError,
            driver.InternalError,  # a server that became read-only after a failover
        )
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_leave_to_parent, weakref.ref(self)))

    def lend(self) -> "Loan":
        """Lend a connection for the length of a `with`."""
        return Loan(self)

    def take(self) -> PoolProxiedConnection:
        """Return a connection of the pool. See `Loan`."""
        release_connection()
        try:
            return self._engine.raw_connection()
        except self._unavailable as error:
            raise OperationalError(None, None, error) from error

    def give_back(self, connection: PoolProxiedConnection, error: BaseException | None) -> None:
        """Return a connection to the pool, or discard it and all idle ones if `error` broke it. See `Loan`."""
        try:
            if isinstance(error, self._unavailable):
                if self._is_broken(error):
                    connection.invalidate(error)
                    self._engine.dispose()
                raise OperationalError(None, None, error) from error
            if isinstance(error, self._error):
                raise DBAPIError.instance(None, None, error, self._error) from error
        finally:
            connection.close()

    def _is_broken(self, error: BaseException) -> bool:
        """Return whether the connection to the server is lost; a timeout does not break it."""
        return getattr(error, "sqlstate", None) not in _UNBROKEN

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    def leave_to_parent(self) -> None:
        """Forget the connections of the parent process in a forked one, without a word to the server."""
        self._engine.dispose(close=False)


class Loan:
    """A connection that is lent for the length of a `with`. A generator would cost each request 5 µs more.

    Raises:
        sqlalchemy.exc.OperationalError: the database is unreachable, read-only, or locked for too long. A connection
            that broke is discarded with all idle ones, so that the next request reconnects.
        sqlalchemy.exc.TimeoutError: no connection became free in time.
        sqlalchemy.exc.DBAPIError: another error of the driver, by its class: an integrity error, a data error…
    """

    __slots__ = ("_connection", "_connections")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def __enter__(self) -> PoolProxiedConnection:
        self._connection = self._connections.take()
        return self._connection

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._connections.give_back(self._connection, error)


def _leave_to_parent(connections: weakref.ref[Connections]) -> None:
    if known := connections():
        known.leave_to_parent()
