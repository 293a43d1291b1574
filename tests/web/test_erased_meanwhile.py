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
from tests.activation.steps import activate
from tests.builders import PASSWORD, Build
from tests.charter.tokens import accept, acceptances, token_of
from tests.pages import form_token, heading, sign_in, submit
from tests.relying_party import Attempt

pytestmark = pytest.mark.row("K-10")

EraseBeforeWrite = Callable[[uuid.UUID], None]


@pytest.fixture
def erase_before_write(app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch) -> EraseBeforeWrite:
    """Erase an account, as another process would, right before the next unit of work begins."""
    release = idp.db.release_connection

    def erase(account_id: uuid.UUID) -> None:
        with app.app_context():
            erasure.erase(account_id, "demande")
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


def test_person_erased_before_the_charter_is_accepted_has_to_sign_in(
    browser: FlaskClient, build: Build, erase_before_write: EraseBeforeWrite
) -> None:
    ent, account = build.ent(charter="provider"), build.active()
    key = account.id
    build.publish(ent, "1")
    page = sign_in(browser, ent.url(Attempt()), account.username, PASSWORD)
    erase_before_write(key)
    assert heading(submit(browser, page, accepte="y", version="1")) == "Connexion"
    assert acceptances() == []
    assert db.session.get(Account, key) is None


def test_access_token_of_a_person_erased_before_the_acceptance_is_invalid(
    browser: FlaskClient, build: Build, erase_before_write: EraseBeforeWrite
) -> None:
    ent, account = build.ent(charter="ent"), build.active()
    build.publish(ent, "1")
    token = token_of(browser, ent, account)["access_token"]
    erase_before_write(account.id)
    refused = accept(browser, token, "1")
    assert (refused.status_code, refused.get_json()["error"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    assert acceptances() == []


def test_interaction_of_a_person_erased_before_the_link_is_sent_again_is_lost(
    browser: FlaskClient, build: Build, erase_before_write: EraseBeforeWrite
) -> None:
    account = build.never_activated()
    key = account.id
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, account)
        clock.shift(timedelta(seconds=61))
        erase_before_write(key)
        place, data = waiting.request.full_path, {"csrf_token": form_token(waiting)}
        assert browser.post(place, data=data).status_code == 400
        assert db.session.get(Account, key) is None
        assert browser.post(place, data=data).status_code == 400
