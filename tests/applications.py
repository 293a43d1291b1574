"""Applications for tests: one for a process and a database, since making one takes longer than most tests.

What a test changes on the application is put back afterwards, and the services that its views ask for are made anew for
each test: no rate limit, key, cache or registration is remembered from the test before. A test that must have an
application which nobody has used (to add a route, say) has the marker `own_app`.

A test may write outside a unit of work, if it commits: its builders are short. The product may not, in tests either: a
request or a command has a context of its own.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from flask import Flask
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import Engine, event
from sqlalchemy.orm import SessionTransaction

from idp import app as wiring, logging as log_lines, precompressed
from idp.app import connect, create_app
from idp.clients import registry
from idp.config import Settings
from idp.db import UnitSession, db
from idp.oidc.keys import material
from idp.operations.checks import settings as settings_check
from idp.services import services_of
from idp.statements import Connections, open_connections

SHARED = "TEST_SHARED_FOLDER"
"""The variable that names the folder which all processes of one run share."""
_MOST = 4
_CHANGED = ("config", "extensions", "view_functions", "jinja_options")
_CHANGED_LISTS = ("before_request_funcs", "after_request_funcs", "teardown_request_funcs")

# the template's signing key is the same for all tests, and to check an RSA key takes 20 ms
material.import_key = lru_cache(maxsize=32)(material.import_key)
# and so is its secret key, which each command checks at its start
settings_check.key_weakness = lru_cache(maxsize=64)(settings_check.key_weakness)

_connections: dict[tuple[str, int], Connections] = {}
"""By database and size of the pool: the connections for hot requests that stay open from test to test."""


def prepare() -> None:
    """Make the folder that all processes of one run share; not pytest's own, which other runs tidy away.

    Compress the static files as they are now: `make setup` may have compressed older ones.
    """
    os.environ[SHARED] = mkdtemp(prefix="idp-tests-")
    precompressed.write()


def _open_connections(settings: Settings) -> Connections:
    """Return the connections to a database; they stay open where `lent` keeps the application too."""
    key = settings.database_url, settings.database_pool
    if key not in _connections:
        _connections[key] = open_connections(settings)
    return _connections[key]


wiring.open_connections = _open_connections  # type: ignore[attr-defined]

_is_test: ContextVar[bool] = ContextVar("is_test", default=False)
_is_test.set(True)
_refuse_write = UnitSession.refuse_write


def _write_of_test(session: UnitSession, statement: str) -> None:
    """Let the code of a test write until it commits; refuse a write of the product."""
    if not _is_test.get():
        _refuse_write(session, statement)
    session.is_writing = True


@event.listens_for(UnitSession, "after_transaction_end")
def _end_writing(session: UnitSession, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.is_writing = False


UnitSession.refuse_write = _write_of_test  # type: ignore[method-assign,assignment]

_inherited: dict[str, Flask] = {}
_of_commands: "OrderedDict[str, Flask]" = OrderedDict()
_applications: "OrderedDict[str, tuple[Flask, Callable[[], None]]]" = OrderedDict()


def make(settings: Settings, create: Callable[[Settings], Flask] = create_app) -> Flask:
    """Return a new application; its templates are compiled once for all processes of the run."""
    app = create(settings)
    if folder := os.environ.get(SHARED):
        app.jinja_env.bytecode_cache = FileSystemBytecodeCache(str(Path(folder)))
    return app


def inherited(settings: Settings) -> Flask:
    """Return the application that a process made before it forked, or made now; it has opened no connection by then."""
    key = repr(settings)
    if key not in _inherited:
        _inherited[key] = make(settings)
    return _inherited[key]


def for_command(settings: Settings) -> Flask:
    """Return the application for a run of `idp` in this process, in place of `create_app`.

    Settings and services are of this run. Routes, templates and compiled statements are those of the run before, and so
    are connections to PostgreSQL: to open one and to read the catalogue again takes longer than most commands.
    """
    key = repr(settings)
    if key not in _of_commands:
        while len(_of_commands) >= _MOST:
            _close(_of_commands.popitem(last=False)[1])
        _of_commands[key] = app = make(settings)
        with app.app_context():
            db.engine.dispose = lambda close=True: None  # type: ignore[method-assign]  # noqa: ARG005
        return app
    _of_commands.move_to_end(key)
    registry.forget()
    log_lines.configure(settings.log_level)
    connect(_of_commands[key], settings)
    return _of_commands[key]


@contextmanager
def lent(settings: Settings, *, own: bool = False, create: Callable[[Settings], Flask] = create_app) -> Iterator[Flask]:
    """Yield an application for one test, inside its context; a new one if `own`."""
    registry.forget()
    key = f"{create.__name__} {settings!r}"
    shared = not own
    if shared and key in _applications:
        app, put_back = _applications[key]
        _applications.move_to_end(key)
        log_lines.configure(settings.log_level)
        connect(app, settings, form_lifetime=services_of(app).form_lifetime)
    else:
        app = make(settings, create)
        put_back = _restoring(app)
        if shared:
            _applications[key] = app, put_back
            while len(_applications) > _MOST:
                _close(_applications.popitem(last=False)[1][0])
    with app.app_context():
        yield app
        db.session.remove()
        if not shared:
            db.engine.dispose()
            services_of(app).close()
    put_back()


def disconnect(database_url: str) -> None:
    """Close the connections to a database that is replaced by a new one of its name."""
    for pool in [pool for pool in _connections if pool[0] == database_url]:
        _connections.pop(pool).close()
    for app in (*(app for app, _ in _applications.values()), *_of_commands.values()):
        if app.config["SQLALCHEMY_DATABASE_URI"] == database_url:
            _close(app)


def disconnect_commands() -> None:
    """Close the connections that commands keep, so that the next command opens new ones."""
    for app in _of_commands.values():
        _close(app)


def _close(app: Flask) -> None:
    with app.app_context():
        Engine.dispose(db.engine)


def _restoring(app: Flask) -> Callable[[], None]:
    """Return what puts the application back as it is now."""
    kept: dict[str, Any] = {name: dict(getattr(app, name)) for name in _CHANGED}
    lists = {name: {scope: list(some) for scope, some in getattr(app, name).items()} for name in _CHANGED_LISTS}
    wsgi_app, client_class = app.wsgi_app, app.test_client_class
    names, filters, loader = dict(app.jinja_env.globals), dict(app.jinja_env.filters), app.jinja_env.loader

    def put_back() -> None:
        for name, values in kept.items():
            current = getattr(app, name)
            current.clear()
            current.update(values)
        for name, scopes in lists.items():
            current = getattr(app, name)
            current.clear()
            current.update({scope: copy(some) for scope, some in scopes.items()})
        app.wsgi_app = wsgi_app  # type: ignore[method-assign]
        app.test_client_class = client_class
        for current, values in ((app.jinja_env.globals, names), (app.jinja_env.filters, filters)):
            current.clear()
            current.update(values)
        app.jinja_env.loader = loader

    return put_back
