"""Connections for hot requests, and statements on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from idp.config import Settings
from idp.statements import Connections, Statement, open_connections


@contextmanager
def connections_of(settings: Settings) -> Iterator[Connections]:
    connections = open_connections(settings)
    yield connections
    connections.close()


def row_of(connections: Connections, statement: Statement, **values: Any) -> tuple[Any, ...] | None:
    with connections.lend() as connection:
        return statement.fetch_row(connection, values)


def execute(connections: Connections, command: str) -> Any:
    """Run a command by the cursor of the connection that is lent next; return the first value."""
    with connections.lend() as connection:
        cursor = connection.cursor()
        cursor.execute(command)
        return next(iter(cursor.fetchone() or ())) if cursor.description else None
