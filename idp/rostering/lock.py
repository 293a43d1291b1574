"""One import at a time, over all nodes: the second is refused, and a lock dies with the process that held it (Z-07).

On PostgreSQL an advisory lock of a connection of its own; on SQLite a lock on a file beside the database, which the
system takes back when the process ends.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from idp.db import POSTGRESQL_PATIENCE, db

_KEY = 0x5C01A117E
"""The number of the lock among those of the database; nothing else takes one."""


class Busy(Exception):  # noqa: N818 - a state, not a mistake
    """Another import is going on."""


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of the imports.

    Raises:
        Busy: another process holds it.
    """
    if db.engine.dialect.name == "sqlite":
        with _alone_with_file(Path(str(db.engine.url.database)).resolve()):
            yield
        return
    engine = create_engine(
        db.engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=dict(POSTGRESQL_PATIENCE)
    )
    with engine.connect() as connection:
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY}):
            raise Busy
        try:
            yield  # the lock ends with the connection, however that ends
        finally:
            # said, since the server ends a connection a moment after it was closed: the next import need not wait
            with suppress(DBAPIError):
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _KEY})


@contextmanager
def _alone_with_file(database: Path) -> Iterator[None]:
    with database.with_name(f"{database.name}.import-lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Busy from error
        yield
