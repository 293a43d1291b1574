"""Cheap argon2id parameters for tests: a real hash takes longer than most tests.

`tests/__init__.py` sets them, so they apply in every process that imports the tests, also in those of `tests.forked`.
The installed command (`idp serve` by its path) uses the real parameters. Tests of the hash itself use the fixture
`real_hashes`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from idp.accounts.passwords import hasher

_REAL = {"_MEMORY_KIB": hasher._MEMORY_KIB, "_ITERATIONS": hasher._ITERATIONS}
_CHEAP = {"_MEMORY_KIB": 8, "_ITERATIONS": 1}


def use() -> None:
    for name, value in _CHEAP.items():
        setattr(hasher, name, value)


@contextmanager
def real() -> Iterator[None]:
    """Use the real parameters for hashers that are created in the block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _REAL.items():
            patch.setattr(hasher, name, value)
        yield


@pytest.fixture
def real_hashes() -> Iterator[None]:
    """Use the real parameters. Name this fixture before the application, which creates its hasher."""
    with real():
        yield
