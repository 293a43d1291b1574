"""Connections for hot requests and statements on them, and a listener that hears each statement of the application."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

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


Hear = Callable[[str], object]


def hear(patch: pytest.MonkeyPatch, callback: Hear) -> Callable[..., None]:
    """Call `callback` with the text of each statement before it runs; return the listener, to be removed by `event`.

    The statements of SQLAlchemy's cursors pass its event, the prepared ones (`idp.statements`) do not.
    """
    fetch = Statement.fetch_row

    def fetch_row(self: Statement, connection: Any, values: Any) -> Any:
        callback(self.text)
        return fetch(self, connection, values)

    def listener(_connection: Any, _cursor: Any, text: str, *_more: Any) -> None:
        callback(text)

    patch.setattr(Statement, "fetch_row", fetch_row)
    event.listen(Engine, "before_cursor_execute", listener)
    return listener


@contextmanager
def heard() -> Iterator[list[str]]:
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        listener = hear(patch, lambda text: seen.append(" ".join(text.split())))
        try:
            yield seen
        finally:
            event.remove(Engine, "before_cursor_execute", listener)
