"""An account that an operator erases during a request of its person: the person is signed out, and no page fails."""

import contextvars
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

import idp.db
from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.operations.personal_data import erasure
from tests.builders import PASSWORD, Build
from tests.pages import sign_in

pytestmark = [pytest.mark.both_databases, pytest.mark.row("K-10")]

EraseBeforeWrite = Callable[[uuid.UUID], None]


@pytest.fixture
def erase_before_write(app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch) -> EraseBeforeWrite:
    """Erase an account, as another process would, right before the next unit of work begins."""
    release = idp.db.release_connection

    def erase(account_id: uuid.UUID) -> None:
        with app.app_context():
            erasure.erase(build.settings, account_id, "demande")
            db.session.remove()

    def prepare(account_id: uuid.UUID) -> None:
        def release_and_erase() -> None:
            release()
            monkeypatch.setattr(idp.db, "release_connection", release)
            contextvars.Context().run(erase, account_id)

        monkeypatch.setattr(idp.db, "release_connection", release_and_erase)

    return prepare


def test_session_that_an_erasure_removes_before_it_is_touched_is_none(
    browser: FlaskClient, build: Build, erase_before_write: EraseBeforeWrite
) -> None:
    account = build.active()
    key = account.id
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", account.username, PASSWORD)
        clock.shift(timedelta(minutes=20))
        erase_before_write(key)
        answer = browser.get("/mon-compte")
    assert (answer.status_code, answer.headers.get("Location")) == (303, "/connexion")
    assert db.session.get(Account, key) is None
