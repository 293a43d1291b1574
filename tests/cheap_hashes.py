"""Cheap parameters of argon2id for test processes: a real hash takes longer than most tests.

`tests/__init__.py` sets them, so that they hold in every process that runs code of the tests, and in all that
`tests.forked` starts. The installed command (`idp serve` by its path) hashes as in production. Tests of the hash itself
take the fixture `real_hashes`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from idp.accounts.passwords import hasher

_REAL = {"_MEMORY_KIB": hasher._MEMORY_KIB, "_ITERATIONS": hasher._ITERATIONS}
_CHEAP = {"_MEMORY_KIB": 8, "_ITERATIONS": 1}


def use() -> None:
    """Hash cheaply in this process from now on."""
    for name, value in _CHEAP.items():
        setattr(hasher, name, value)


@contextmanager
def real() -> Iterator[None]:
    """Make hashers meanwhile that hash as in production."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _REAL.items():
            patch.setattr(hasher, name, value)
        yield


@pytest.fixture
def real_hashes() -> Iterator[None]:
    """Have the application of this test hash as in production; asked for before the application."""
    with real():
        yield
