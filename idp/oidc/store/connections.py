"""Driver connections for the store, from a pool of SQLAlchemy.

`Connection.execute` of SQLAlchemy would double the time that a statement takes, so the store uses the driver itself.
"""

import os
import weakref
from functools import partial
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import OperationalError

from idp.db import release_connection

_TIMEOUTS = frozenset({"57014", "55P03"})
"""SQLSTATE of a statement or a lock that took too long: the connection can be used again."""


class Connections:
    """Lends autocommitted connections."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        driver: Any = engine.dialect.dbapi
        self._unavailable: tuple[type[Exception], ...] = (
            driver.OperationalError,
            driver.InterfaceError,
            driver.InternalError,  # a server that became read-only after a failover
        )
        if engine.dialect.name == "postgresql" and hasattr(os, "register_at_fork"):
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
        finally:
            connection.close()

    def _is_broken(self, error: BaseException) -> bool:
        """Return whether the connection to the server is lost; a timeout does not break it."""
        is_timeout = getattr(error, "sqlstate", None) in _TIMEOUTS
        return self._engine.dialect.name == "postgresql" and not is_timeout

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
