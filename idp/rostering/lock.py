"""Allows one import at a time on all nodes; a second one is refused (Z-07).

PostgreSQL uses an advisory lock of a transaction on a separate connection, SQLite a lock on a file beside the database.
Both are released when the process ends, also after a kill. A lock of a session would be lost behind a pooler.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from idp.db import db
from idp.pool import POSTGRESQL_PATIENCE

_KEY = 0x5C01A117E
"""The key of the advisory lock; the product has no other one."""


class ImportRunningError(Exception):
    """Say that another import is running."""


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of the imports.

    Raises:
        ImportRunningError: Another process holds the lock.
    """
    if db.engine.dialect.name == "sqlite":
        with _alone_with_file(Path(str(db.engine.url.database)).resolve()):
            yield
        return
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


@contextmanager
def _alone_with_file(database: Path) -> Iterator[None]:
    lock = _lock_file(database)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ImportRunningError from error
        yield
    finally:
        os.close(lock)


def _lock_file(database: Path) -> int:
    """Open the file of the lock, which the user of the database owns, even if root is the first to import.

    That user may write to the folder: root follows no link there, waits for no pipe, and gives no existing file away.

    Raises:
        OSError: The file is a link, or cannot be opened.
    """
    path, careful = database.with_name(f"{database.name}.import-lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        lock = os.open(path, careful | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, careful)
    owner = database.stat()
    with suppress(PermissionError):  # neither root nor that user
        os.fchown(lock, owner.st_uid, owner.st_gid)
    return lock
