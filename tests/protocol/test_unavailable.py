"""An unavailable or locked database: a 503 with Retry-After, and no data is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp import pool
from idp.accounts.models import Account
from idp.config import Settings
from idp.db import db
from tests import applications
from tests.builders import PASSWORD
from tests.pages import heading, sign_in
from tests.protocol.flow import code_for, tokens_for
from tests.relying_party import Attempt, RelyingParty

_MILLISECONDS = 200


@contextmanager
def short_lock_waits() -> Iterator[None]:
    """Let new connections wait 0.2 seconds for a lock, instead of 2."""
    settings = pool.POSTGRESQL_SETTINGS.replace("lock_timeout=2s", f"lock_timeout={_MILLISECONDS}ms")
    assert settings != pool.POSTGRESQL_SETTINGS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "POSTGRESQL_SETTINGS", settings)
        yield


@contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Hold a lock that blocks all writers of codes and tokens."""
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE authorization_code, token IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


@pytest.fixture
def impatient(database_url: str) -> Iterator[None]:
    applications.disconnect(database_url)
    with short_lock_waits():
        yield
    applications.disconnect(database_url)


@pytest.mark.row("W-07")
@pytest.mark.own_app
@pytest.mark.usefixtures("impatient")
def test_a_locked_database_is_a_503_and_the_code_stays_valid(
    browser: FlaskClient, ent: RelyingParty, session: Account, database_url: str, attempt: Attempt
) -> None:
    # RFC 9110, 15.6.4.
    code = code_for(browser, ent, attempt)
    db.session.remove()
    with locked(database_url):
        response = ent.exchange(browser, code, attempt)
        assert (response.status_code, response.get_json()) == (503, {"error": "temporarily_unavailable"})
        assert response.headers["Retry-After"] == "5"
        page = browser.get(ent.url(Attempt()))
        assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    ent.tokens(browser, code, attempt)


def end_connections(database_url: str) -> None:
    """End all other connections of the database, and wait until they are gone: PostgreSQL ends them a moment later."""
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(f"SELECT pg_terminate_backend(pid, 5000) {others}")


@pytest.mark.row("W-07")
def test_connections_that_a_restart_broke_cost_no_answer(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account, settings: Settings
) -> None:
    # RFC 9110, 15.6.4. The first request after a restart of the database succeeds, and the first sign-in.
    username = session.username
    tokens_for(browser, ent)
    db.session.remove()
    for _ in range(2):
        end_connections(settings.database_url)
        assert browser.get(ent.url(Attempt())).status_code == 303
        end_connections(settings.database_url)
        assert heading(sign_in(app.test_client(), "/connexion", username, PASSWORD)) == "Gérer mon compte"
