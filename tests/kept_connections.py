"""Connections that the product opens outside its pools, kept from test to test.

Each command asks for the check value of the secret key, and each import takes its lock, on a connection of its own. A
command of a test sends the same statements, but to open the connection starts a process of the server each time, which
takes longer than many commands. Only the process of the tests keeps them: a process that forks (`tests.forked`) must
not share a connection with its children. Tests of the lock and of the check themselves use the fixture
`new_connections`.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine, QueuePool, create_engine

from idp import secret_check
from idp.rostering import lock

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
