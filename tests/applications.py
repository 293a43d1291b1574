"""Applications for tests: one for a process and a database, since making one takes longer than most tests.

What a test changes on the application is put back afterwards, and the services that its views ask for are made anew for
each test: no rate limit, key, cache or registration is remembered from the test before. A test that must have an
application which nobody has used (to add a route, say) has the marker `own_app`.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask
from jinja2 import FileSystemBytecodeCache

from idp import logging as log_lines
from idp.app import connect, create_app
from idp.clients import registry
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import material
from idp.services import services_of

SHARED = "TEST_SHARED_FOLDER"
"""The variable that names the folder which all processes of one run share."""
_MOST = 4
_CHANGED = ("config", "extensions", "view_functions", "jinja_options")
_CHANGED_LISTS = ("before_request_funcs", "after_request_funcs", "teardown_request_funcs")

# the template's signing key is the same for all tests, and to check an RSA key takes 20 ms
material.import_key = lru_cache(maxsize=32)(material.import_key)

_inherited: dict[str, Flask] = {}
_applications: "OrderedDict[str, tuple[Flask, Callable[[], None]]]" = OrderedDict()


def make(settings: Settings) -> Flask:
    """Return a new application; its templates are compiled once for all processes of the run."""
    app = create_app(settings)
    if folder := os.environ.get(SHARED):
        app.jinja_env.bytecode_cache = FileSystemBytecodeCache(str(Path(folder)))
    return app


def inherited(settings: Settings) -> Flask:
    """Return the application that a process made before it forked, or made now; it has opened no connection by then."""
    key = repr(settings)
    if key not in _inherited:
        _inherited[key] = make(settings)
    return _inherited[key]


@contextmanager
def lent(settings: Settings, *, own: bool = False) -> Iterator[Flask]:
    """Yield an application for one test, inside its context; a new one if `own`."""
    registry.forget()
    key = repr(settings)
    shared = not own and settings.database_url.startswith("postgresql")  # a SQLite file is another for each test
    if shared and key in _applications:
        app, put_back = _applications[key]
        _applications.move_to_end(key)
        log_lines.configure(settings.log_level)
        connect(app, settings)
    else:
        app = make(settings)
        put_back = _restoring(app)
        if shared:
            _applications[key] = app, put_back
            while len(_applications) > _MOST:
                _applications.popitem(last=False)
    with app.app_context():
        yield app
        db.session.remove()
        # a connection that stays inserts where it did before: rows that no test orders would come in another order
        db.engine.dispose()
        services_of(app).close()
    put_back()


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
