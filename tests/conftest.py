"""Fixtures that all tests share: a database, the application on it, a relying party, a browser."""

import contextvars
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser as ChromiumBrowser
from sqlalchemy import make_url

from idp.accounts.models import Account
from idp.config import Settings
from idp.db import db
from tests import applications, catalogues, databases
from tests.builders import Build
from tests.canaries import _everything_is_heard, canaries, keep_stored  # noqa: F401 - fixtures of every test
from tests.cheap_hashes import normalised, real_hashes  # noqa: F401 - fixtures
from tests.protocol.served import listener, loopback  # noqa: F401 - fixtures
from tests.relying_party import Attempt, RelyingParty
from tests.shortcuts import (  # noqa: F401 - fixtures, the first of every test, and a hook
    _connections_are_kept,
    _pools_are_forked,
    new_connections,
    pytest_collection_finish,
    spawned_pools,
)
from tests.stories.browser import chromium, pytest_itemcollected  # noqa: F401 - a hook

# Hypothesis' own limits are wall-clock times, which a loaded machine exceeds. CI tries the same examples each time.
_SLOW = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile(
    "untimed", deadline=None, derandomize=bool(os.environ.get("CI")), suppress_health_check=_SLOW
)
hypothesis.settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        catalogues.compile_stale()
        applications.prepare()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that folder; the database server in it stops with the last process that used it."""
    databases.disconnect()
    if not hasattr(config, "workerinput"):
        databases.drop_template(Path(os.environ[applications.SHARED]))
        shutil.rmtree(os.environ[applications.SHARED], ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """A folder that all test processes of one run share."""
    return Path(os.environ[applications.SHARED])


@pytest.fixture
def database_url(shared: Path) -> Iterator[str]:
    with databases.postgresql_copy(shared) as url:
        yield url


@pytest.fixture
def empty(shared: Path) -> Iterator[Settings]:
    server, name = databases.server_url(shared), f"idp_empty_{uuid.uuid4().hex}"
    databases.run_sql(server, "CREATE DATABASE {} TEMPLATE template0", name)
    try:
        url = make_url(server).set(drivername="postgresql", database=name)
        yield databases.settings_for(url.render_as_string(hide_password=False))
    finally:
        databases.run_sql(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    """Production settings on that database; those of development where `loopback` serves them without TLS."""
    if "loopback" not in request.fixturenames:
        return databases.settings_for(database_url)
    port = request.getfixturevalue("listener").getsockname()[1]
    return databases.settings_for(database_url, issuer=f"http://127.0.0.1:{port}", env="development")


@pytest.fixture
def app(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Flask]:
    with applications.lent(settings, own="own_app" in request.keywords) as app:
        app.test_client_class = Browser
        yield app
        db.session.remove()
        keep_stored(app)


class Browser(FlaskClient):
    """A browser that reaches the service by its public address, over TLS."""

    def open(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        kwargs.setdefault("base_url", databases.ISSUER)
        db.session.rollback()  # what the test holds open must not wait for what the request writes
        # a fresh context: the request gets its own application context and database session, as in a server
        response = contextvars.Context().run(super().open, *args, **kwargs)  # type: ignore[arg-type]
        db.session.expire_all()
        return response


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def browser_process() -> Iterator[ChromiumBrowser]:
    """Chromium, for the tests of one file: a second Playwright beside the first would not start.

    It ends with them, since no test after it could run an event loop of its own.
    """
    with chromium() as browser:
        yield browser


@pytest.fixture
def build(app: Flask, settings: Settings) -> Build:
    return Build(settings)


@pytest.fixture
def parent(build: Build) -> Account:
    return build.active()


@pytest.fixture
def newcomer(build: Build) -> Account:
    """A parent with a letter, who never signed in."""
    return build.never_activated()


@pytest.fixture
def attempt() -> Attempt:
    return Attempt()


@pytest.fixture
def ent(build: Build) -> RelyingParty:
    """A registered ENT that serves the collège and plays the relying party with its own code."""
    return build.ent()
