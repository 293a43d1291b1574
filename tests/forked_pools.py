"""The processes that hash and typeset letters, forked instead of spawned.

A spawned interpreter imports the typesetter again for each print, which takes longer than most tests of letters. A
process forked by `tests.forked` has imported it already. Tasks, results and a kill take the same way. Tests of the pool
itself (`tests/letters/test_hashing.py`, `test_typesetting.py`) use the fixture `spawned_pools`; so does what runs in a
process of its own.
"""

import multiprocessing
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from idp.letters import process_pool
from tests import forked


@pytest.fixture(scope="session", autouse=True)
def _pools_are_forked() -> Iterator[None]:
    """Let a pool in the process of the tests fork its processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_pool, "multiprocessing", SimpleNamespace(get_context=lambda _method: forked.context))
        yield


@pytest.fixture
def spawned_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "multiprocessing", multiprocessing)
