"""Counts on SQLite, which has no server: the application runs in this process, with a trace on each connection."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from bench.counting.cost import Cost, kind_of
from bench.driver.transport import InProcess, Transport
from idp.app import create_app
from idp.clients import registry
from idp.config import Settings
from idp.db import db
from idp.services import services_of


class SqliteCounter:
    """Counts executed statements, and the transactions that had changed something when they were committed."""

    def __init__(self) -> None:
        self._total = Cost()

    def attach(self, connection: Any) -> None:
        """Trace the statements of a connection."""
        changes = [0]

        def trace(statement: str) -> None:
            kind = kind_of(statement)
            commits = 0
            if kind == "control":
                if statement.lstrip().upper().startswith("COMMIT"):
                    commits = int(connection.total_changes > changes[0])
                changes[0] = connection.total_changes
            self._total += Cost(commits=commits, **{kind: 1})

        if not isinstance(connection, sqlite3.Connection):
            raise TypeError(f"{type(connection)} is not a connection to SQLite")
        connection.set_trace_callback(trace)

    def so_far(self) -> Cost:
        """See `bench.counting.cost.Counter`."""
        return self._total


@contextmanager
def application(settings: Settings) -> Iterator[tuple[Transport, SqliteCounter]]:
    """Yield the application in this process, and the counter of all its connections."""
    registry.forget()
    counter = SqliteCounter()

    def attach(connection: Any, _record: Any) -> None:
        counter.attach(connection)

    event.listen(Engine, "connect", attach)
    app = create_app(settings.model_copy(update={"log_level": "WARNING"}))  # no line about each request
    try:
        yield InProcess(app), counter
    finally:
        event.remove(Engine, "connect", attach)
        with app.app_context():
            db.engine.dispose()
        services_of(app).close()
