"""The cost of passwords in tests: cheap argon2id parameters, since a real hash takes longer than most tests.

`tests/__init__.py` sets them, so they apply in every process that imports the tests, also in those of `tests.forked`.
The installed command (`idp serve` by its path) uses the real parameters. Tests of the hash itself use the fixture
`real_hashes`.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

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


@pytest.fixture
def normalised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of every text that Unicode normalisation was given: a very long run of marks takes it minutes."""
    lengths: list[int] = []
    normalize = unicodedata.normalize

    def note(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
        lengths.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", note)
    return lengths
