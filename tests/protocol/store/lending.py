"""The connections of a store of its own, and statements on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from idp.config import Settings
from idp.oidc.store import choice
from idp.oidc.store.connections import Connections
from idp.oidc.store.postgresql import PostgresqlStore
from idp.oidc.store.prepared import Statement


@contextmanager
def connections_of(settings: Settings) -> Iterator[Connections]:
    """Yield the connections of a new store on PostgreSQL; close the idle ones at the end."""
    store = choice.open_store(settings)
    assert isinstance(store, PostgresqlStore)
    yield store._connections
    store.close()


def row_of(connections: Connections, statement: Statement, **values: Any) -> tuple[Any, ...] | None:
    """Run the statement on a connection of the pool."""
    with connections.lend() as connection:
        return statement.fetch_row(connection, values)


def execute(connections: Connections, command: str) -> Any:
    """Run a command by the cursor of the connection that is lent next; return the first value."""
    with connections.lend() as connection:
        cursor = connection.cursor()
        cursor.execute(command)
        return next(iter(cursor.fetchone() or ())) if cursor.description else None
