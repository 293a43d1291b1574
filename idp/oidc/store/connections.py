"""Driver connections for the store, from a pool of SQLAlchemy.

`Connection.execute` of SQLAlchemy would double the time that a statement takes, so the store uses the driver itself.
"""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
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

    @contextmanager
    def lend(self) -> Iterator[PoolProxiedConnection]:
        """Lend a connection.

        Discard a broken connection and all idle ones, so that the next request reconnects.

        Raises:
            OperationalError: SQLAlchemy's: the database is unreachable, or locked for too long.
        """
        release_connection()
        connection = None
        try:
            connection = self._engine.raw_connection()
            yield connection
        except self._unavailable as error:
            if connection is not None and self._is_broken(error):
                connection.invalidate(error)
                self._engine.dispose()
            raise OperationalError(None, None, error) from error
        finally:
            if connection is not None:
                connection.close()

    def _is_broken(self, error: Exception) -> bool:
        """Return whether the connection to the server is lost; a timeout does not break it."""
        is_timeout = getattr(error, "sqlstate", None) in _TIMEOUTS
        return self._engine.dialect.name == "postgresql" and not is_timeout

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    def leave_to_parent(self) -> None:
        """Forget the connections of the parent process in a forked one, without a word to the server."""
        self._engine.dispose(close=False)


def _leave_to_parent(connections: weakref.ref[Connections]) -> None:
    if known := connections():
        known.leave_to_parent()
