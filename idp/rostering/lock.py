"""Allows one import at a time on all nodes; a second one is refused (Z-07).

It is an advisory lock of a transaction on a separate connection, which is released when the process ends, also after a
kill. A lock of a session would be lost behind a pooler.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from idp.db import db
from idp.pool import POSTGRESQL_PATIENCE

_KEY = 0x5C01A117E  # the key of the advisory lock; the product has no other one


class ImportRunningError(Exception):
    """Say that another import is running."""


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of the imports.

    Raises:
        ImportRunningError: Another process holds the lock.
    """
    engine = create_engine(db.engine.url, poolclass=NullPool, connect_args=dict(POSTGRESQL_PATIENCE))
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _KEY}):
            raise ImportRunningError
        try:
            yield
        finally:
            # release the lock: the server notices a closed connection a moment later
            with suppress(DBAPIError):
                connection.rollback()
