"""Shorter waits for a lock, so that a test of a locked database takes no longer than its requests."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from idp import pool

_MILLISECONDS = 200


@contextmanager
def short_lock_waits() -> Iterator[None]:
    """Let new connections wait 0.2 seconds for a lock, instead of 2."""
    settings = pool.POSTGRESQL_SETTINGS.replace("lock_timeout=2s", f"lock_timeout={_MILLISECONDS}ms")
    assert settings != pool.POSTGRESQL_SETTINGS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "POSTGRESQL_SETTINGS", settings)
        yield
