"""Concurrent changes of one password, and a change that gets no hash thread or loses its session."""

import uuid
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.accounts.passwords.hasher import HasherBusyError
from idp.clock import now
from idp.db import db
from idp.services import services_of
from idp.sessions.models import Session
from tests.activation.race import HOST
from tests.builders import PASSWORD, Build
from tests.my_account.changes import (
    ACCOUNT,
    CHOSEN,
    PASSWORD_PAGE,
    at_once,
    change_password,
    cookie,
    enter,
    form,
    is_password,
    journal,
    read_notices,
    reload_account,
)
from tests.pages import follow, form_token, heading, submit


@pytest.mark.row("Z-03")
def test_the_second_of_two_clicks_sees_the_result_of_the_first(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    enter(browser, parent)
    page = browser.get(PASSWORD_PAGE)
    data = {"csrf_token": form_token(page), "actuel": PASSWORD, "nouveau": CHOSEN, "confirmation": CHOSEN}
    impatient = app.test_client()
    for name in ("__Host-ss", "__Host-tx", "__Host-dv"):
        impatient.set_cookie(name, cookie(browser, name), domain=HOST, secure=True)
    assert browser.post(PASSWORD_PAGE, data=data).headers["Location"] == "/mon-compte?fait=mot-de-passe"
    second = impatient.post(PASSWORD_PAGE, data=data)
    assert second.headers["Location"] == "/mon-compte?fait=mot-de-passe"
    assert heading(follow(impatient, second)) == ACCOUNT
    assert len(journal(parent, "password.changed")) == 1


@pytest.mark.row("Z-03")
def test_the_former_cookie_is_refused_without_the_new_password(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    enter(browser, parent)
    thief = app.test_client()
    page = browser.get(PASSWORD_PAGE)
    for name in ("__Host-ss", "__Host-tx"):
        thief.set_cookie(name, cookie(browser, name), domain=HOST, secure=True)
    change_password(browser)
    data = {"csrf_token": form_token(page), "actuel": PASSWORD, "confirmation": "x"}
    for guess in ("", PASSWORD, "un autre, pris au hasard"):
        assert thief.post(PASSWORD_PAGE, data={**data, "nouveau": guess}).headers["Location"] == "/connexion"
    assert thief.get("/mon-compte").headers["Location"] == "/connexion"
    assert heading(browser.get("/mon-compte")) == ACCOUNT


@pytest.mark.row("Z-03")
def test_concurrent_changes_succeed_once_and_keep_one_browser_signed_in(
    app: Flask, build: Build, parent: Account
) -> None:
    forms: list[dict[str, Any]] = []
    for n in range(6):
        browser = enter(app.test_client(), parent)
        chosen = f"orage brique hamster {n} violon"
        page = browser.get(PASSWORD_PAGE)
        forms.append(form(browser, page, actuel=PASSWORD, nouveau=chosen, confirmation=chosen))
    answers = at_once(build.settings, forms)
    assert all(answer["status"] in {200, 303, 429} for answer in answers)
    assert [a["location"] for a in answers].count("/mon-compte?fait=mot-de-passe") == 1
    row = reload_account(parent)
    assert row.generation == 2
    assert sum(is_password(build, row.password_hash, order["data"]["nouveau"]) for order in forms) == 1
    alive = db.session.scalars(select(Session.id).where(Session.account_id == parent.id, Session.ended_at.is_(None)))
    assert len(alive.all()) == 1
    assert read_notices(parent) == [("mot_de_passe_change", "")]


@pytest.mark.row("W-03")
def test_busy_hasher_changes_nothing_and_refunds_the_try(
    app: Flask, browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False):
        enter(browser, parent)

        def no_turn(_password: str, _lane: str) -> str:
            raise HasherBusyError

        with monkeypatch.context() as crowded:
            crowded.setattr(services_of(app).hasher, "hash", no_turn)
            page = browser.get(PASSWORD_PAGE)
            for _ in range(8):
                answer = submit(browser, page, actuel=PASSWORD, nouveau=CHOSEN, confirmation=CHOSEN)
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert is_password(build, reload_account(parent).password_hash, PASSWORD)
        assert heading(change_password(browser)) == ACCOUNT


@pytest.mark.row("M-07")
def test_a_session_that_is_ended_while_the_hash_is_computed_changes_nothing(
    app: Flask, browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch, parent: Account
) -> None:
    enter(browser, parent)
    hasher = services_of(app).hasher
    verify, key = hasher.verify, parent.id

    def put_out_meanwhile(password_hash: str | None, password: str, lane: Any) -> bool:
        _end_sessions(key)
        return verify(password_hash, password, lane)

    monkeypatch.setattr(hasher, "verify", put_out_meanwhile)
    assert heading(change_password(browser)) == "Connexion"
    assert is_password(build, reload_account(parent).password_hash, PASSWORD)
    assert read_notices(parent) == []


def _end_sessions(account_id: uuid.UUID) -> None:
    with db.engine.begin() as connection:
        connection.execute(
            Session.__table__.update().where(Session.account_id == account_id).values(ended_at=now())  # type: ignore[attr-defined]
        )
