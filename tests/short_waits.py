"""Shorter waits for a lock, so that a test of a locked database takes no longer than its requests."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from idp import pool

_MILLISECONDS = 200


@contextmanager
def short_lock_waits() -> Iterator[None]:
    """Let new connections wait 0.2 seconds for a lock, instead of 5 on SQLite and 2 on PostgreSQL."""
    settings = pool.POSTGRESQL_SETTINGS.replace("lock_timeout=2s", f"lock_timeout={_MILLISECONDS}ms")
    assert settings != pool.POSTGRESQL_SETTINGS
    event.listen(Engine, "connect", _wait_shortly)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "POSTGRESQL_SETTINGS", settings)
        yield
    event.remove(Engine, "connect", _wait_shortly)


def _wait_shortly(connection: Any, _entry: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout={_MILLISECONDS}")
