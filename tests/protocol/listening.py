"""Records the SQL statements of the application, on every connection of every pool."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event, make_url
from sqlalchemy.engine import Engine

from idp.db import db
from idp.services import services_of
from idp.statements import Statement
from tests import applications, databases
from tests.waiting import wait_for


class Seen(list[tuple[str, Any]]):
    def work(self) -> list[str]:
        """Return the statements without BEGIN, COMMIT, ROLLBACK and connection set-up."""
        framing = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "SET ", "SHOW ")
        return [text for text, _ in self if not text.lstrip().upper().startswith(framing)]


@contextmanager
def listening(app: Flask) -> Iterator[Seen]:
    """Record all statements of connections of any SQLAlchemy pool until the end of the block."""
    seen, heard = Seen(), set[int]()
    fetch = Statement.fetch_row

    def fetch_row(self: Statement, connection: Any, values: Any) -> Any:
        seen.append((_for_a_cursor(self), values))
        return fetch(self, connection, values)

    execute, executemany = psycopg.Cursor.execute, psycopg.Cursor.executemany

    def executing(cursor: Any, query: Any, params: Any = None, **kwargs: Any) -> Any:
        if id(cursor.connection) in heard:
            seen.append((str(query), params))
        return execute(cursor, query, params, **kwargs)

    def executing_many(cursor: Any, query: Any, params_seq: Any, **kwargs: Any) -> Any:
        every = list(params_seq)
        if id(cursor.connection) in heard:
            seen.append((str(query), every[0]))
        return executemany(cursor, query, every, **kwargs)

    def connected(connection: Any, _record: object) -> None:
        heard.add(id(connection))

    fresh_connections(app)
    event.listen(Engine, "connect", connected)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Statement, "fetch_row", fetch_row)
            patch.setattr(psycopg.Cursor, "execute", executing)
            patch.setattr(psycopg.Cursor, "executemany", executing_many)
            yield seen
    finally:
        event.remove(Engine, "connect", connected)
        fresh_connections(app)


def fresh_connections(app: Flask) -> None:
    db.session.remove()
    db.engine.dispose()
    services_of(app).close()
    applications.disconnect_commands()


def close_and_count(app: Flask, database_url: str) -> None:
    """End all connections, also those that other applications keep, and wait until the server has their counts.

    A connection reports them when its server process ends. The wait is on another database, where it is not counted.
    """
    fresh_connections(app)
    databases.disconnect(database_url)
    url = make_url(database_url)
    others = "FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
    with psycopg.connect(url.set(database="postgres").render_as_string(hide_password=False)) as connection:
        connection.autocommit = True
        connection.execute(f"SELECT pg_terminate_backend(pid) {others}", [url.database])
        wait_for(lambda: not connection.execute(f"SELECT 1 {others}", [url.database]).fetchone())


def _for_a_cursor(statement: Statement) -> str:
    """Return a prepared statement as a cursor of psycopg takes it, with the types of its parameters."""
    types = [psycopg.adapters.types[oid].name for oid in statement.types]
    numbered = statement.numbered.decode().replace("%", "%%")
    names = list(dict.fromkeys(re.findall(r"(?<!:):(\w+)", statement.text)))
    return re.sub(r"\$(\d+)", lambda match: f"%({names[int(match[1]) - 1]})s::{types[int(match[1]) - 1]}", numbered)
