"""Hears each statement of the application, on whatever way it goes to the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from idp.statements import Statement

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
