"""`/readyz` as a load balancer sees it."""

from urllib.parse import unquote

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from idp.app import create_app
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import rotation
from tests.applications import lent
from tests.databases import ISSUER, settings_for
from tests.waiting import wait_for


def status(browser: FlaskClient) -> tuple[int, str]:
    answer = browser.get("/readyz", base_url=ISSUER)
    return answer.status_code, answer.get_json()["status"]


def act(statement: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.row("W-07", "K-09")
def test_readyz_is_ok_with_database_and_key(browser: FlaskClient) -> None:
    assert status(browser) == (200, "ok")
    assert browser.get("/readyz").headers["Cache-Control"] == "no-store"


@pytest.mark.row("W-07")
def test_readyz_has_one_spelling(browser: FlaskClient) -> None:
    """A proxy that compares paths literally keeps it from strangers."""
    for path in ("//readyz", "///readyz", "/readyz/", "/%72eadyz", "/read%79z"):
        asked = {"PATH_INFO": unquote(path), "RAW_URI": path}
        assert browser.get("/", environ_overrides=asked).status_code == 404, path
    assert browser.get("/readyz?x=/%72eadyz").status_code == 200


@pytest.mark.row("W-07")
def test_healthz_needs_no_database(browser: FlaskClient) -> None:
    act("DROP TABLE alembic_version")
    act("ALTER TABLE signing_key RENAME TO gone")
    answer = browser.get("/healthz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})
    assert "Set-Cookie" not in answer.headers


def test_readyz_fails_until_migrations_are_applied(browser: FlaskClient) -> None:
    act("ALTER TABLE alembic_version RENAME TO kept")
    assert status(browser) == (503, "migrations"), "none"
    act("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    for revision in ("0000", "another"):
        act(f"INSERT INTO alembic_version VALUES ('{revision}')")  # noqa: S608 - of this test
        assert status(browser) == (503, "migrations"), revision
        act("DELETE FROM alembic_version")
    act("DROP TABLE alembic_version")
    act("ALTER TABLE kept RENAME TO alembic_version")
    assert status(browser) == (200, "ok")


def test_a_node_stays_ready_on_the_tables_of_a_newer_release(browser: FlaskClient) -> None:
    act("UPDATE alembic_version SET version_num = '9999'")
    assert status(browser) == (200, "ok")


def test_readyz_needs_a_signing_key(browser: FlaskClient, settings: Settings) -> None:
    act("DELETE FROM signing_key")
    assert status(browser) == (503, "signing key")
    rotation.rotate(settings)
    assert status(browser) == (200, "ok")


def test_readyz_ignores_a_future_key(browser: FlaskClient, settings: Settings) -> None:
    rotation.rotate(settings)
    act("DELETE FROM signing_key WHERE active_from <= created_at")
    assert status(browser) == (503, "signing key")


def test_readyz_fails_when_the_secret_key_cannot_decrypt_the_signing_key(database_url: str) -> None:
    other = settings_for(database_url, secret_key="another secret key, of more than 32 bytes: 9876543210")
    with lent(other, own=True) as app:
        assert status(app.test_client()) == (503, "signing key")


@pytest.mark.row("W-07", "K-09")
def test_readyz_fails_without_a_database_and_reveals_no_detail() -> None:
    app = create_app(settings_for("postgresql://idp:dbp4ssword@127.0.0.1:1/idp"))
    answer = app.test_client().get("/readyz", base_url=ISSUER)
    assert (answer.status_code, answer.get_json()) == (503, {"status": "database"})


@pytest.mark.row("W-07")
def test_readyz_recovers_when_the_server_returns(database_url: str) -> None:
    """The server ends the connections that the pool holds, as when it restarts."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with lent(settings_for(database_url), own=True) as app:
        assert status(app.test_client()) == (200, "ok")
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute(f"SELECT pg_terminate_backend(pid) {others}")
            wait_for(lambda: other.execute(f"SELECT count(*) {others}").fetchone() == (0,))
        assert status(app.test_client()) == (200, "ok")


def test_readyz_ignores_a_long_write(app: Flask, browser: FlaskClient) -> None:
    assert status(browser) == (200, "ok")
    with db.engine.begin() as connection:
        connection.execute(text("LOCK TABLE signing_key IN EXCLUSIVE MODE"))
        assert status(browser) == (200, "ok")
