"""What makes the suite fast: connections that stay open, pools that fork, and few collections of garbage."""

import gc
import multiprocessing
from collections import OrderedDict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import URL, Engine, QueuePool, create_engine

from idp import secret_check
from idp.letters import process_pool
from idp.rostering import lock
from tests import forked

_YOUNGEST = 5_000
"""New objects between two collections, instead of 700: tests make many, most of which are gone without the collector.

The other generations keep Python's thresholds, so that what a test left open is still found during the tests after it.
"""


def pytest_collection_finish() -> None:
    """Keep the modules and the tests out of all later collections: they stay until the end of the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNGEST)


@pytest.fixture(scope="session", autouse=True)
def _pools_are_forked() -> Iterator[None]:
    """Let a pool in the process of the tests fork its processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_pool, "multiprocessing", SimpleNamespace(get_context=lambda _method: forked.context))
        yield


@pytest.fixture
def spawned_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "multiprocessing", multiprocessing)


_MODULES = (secret_check, lock)
_MOST = 4
_engines: "OrderedDict[str, Engine]" = OrderedDict()


def _engine(url: URL, **arguments: Any) -> Engine:
    """Return `create_engine(…)`: the one of the last time, whose connections stay open.

    A connection that the server ended, since the test's database was replaced, is opened again.
    """
    key = f"{url.render_as_string(hide_password=False)} {arguments['connect_args']}"
    if key not in _engines:
        while len(_engines) >= _MOST:
            _engines.popitem(last=False)[1].dispose()
        _engines[key] = create_engine(url, **{**arguments, "poolclass": QueuePool, "pool_pre_ping": True})
    _engines.move_to_end(key)
    return _engines[key]


@pytest.fixture(scope="session", autouse=True)
def _connections_are_kept() -> Iterator[None]:
    """Keep the connections of the check of the secret key, and of the lock of the imports."""
    with pytest.MonkeyPatch.context() as patch:
        for module in _MODULES:
            patch.setattr(module, "create_engine", _engine)
        yield
    while _engines:
        _engines.popitem()[1].dispose()


@pytest.fixture
def new_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the product open and close these connections as in production."""
    for module in _MODULES:
        monkeypatch.setattr(module, "create_engine", create_engine)
