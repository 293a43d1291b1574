"""« Confirmez que c’est vous »: rows I-09, I-12, I-14, M-01."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build
from tests.my_account.steps import HOST, REFUSED, enter, is_in, journal, text_of, wait_out
from tests.pages import cookie_value, form_token, heading, submit
from tests.rows import each_row

PAGE = "/mon-compte/verification"
TITLE = "Confirmez que c’est vous"


def test_the_session_gets_a_new_cookie_and_the_former_cookie_is_refused(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        former, [before] = cookie_value(browser), db.session.scalars(select(Session)).all()
        sid, since, until = before.sid, before.created_at, before.expires_at
        wait_out(clock)
        page = browser.get(f"{PAGE}?suite=courrier")
        token = form_token(page)
        after = submit(browser, page, mot_de_passe=PASSWORD)
        assert heading(after) == "Ajouter un autre courrier"
        assert cookie_value(browser) != former
        assert form_token(after) != token
        thief = app.test_client()
        thief.set_cookie("__Host-ss", former, domain=HOST, secure=True)
        assert not is_in(thief)
        [row] = db.session.scalars(select(Session).where(Session.ended_at.is_(None)))
        assert (row.sid, row.created_at, row.expires_at, row.auth_time) == (sid, since, until, now())
    [event] = journal("reauthenticated", parent)
    assert event.details == {"sid": sid}
    assert db.session.scalars(select(OutboxMessage)).all() == [], "no ENT is told: the session goes on"


def test_a_wrong_password_is_reported_beside_its_field_and_never_written_back(
    browser: FlaskClient, parent: Account
) -> None:
    enter(browser, parent)
    former = cookie_value(browser)
    page = submit(browser, browser.get(PAGE), mot_de_passe="mauvais mot de passe")
    assert heading(page) == TITLE
    assert text_of(page).count(REFUSED) == 2  # in the summary and beside the field
    assert "mauvais mot de passe" not in page.text
    assert cookie_value(browser) == former
    [event] = [entry for entry in journal("sign_in", parent) if entry.result == "refused"]
    assert event.details["door"] == "reauthentication"


@pytest.fixture
def signed_in(browser: FlaskClient, build: Build) -> FlaskClient:
    enter(browser, build.active())
    return browser


@pytest.mark.row("I-14")
@each_row(
    ("suite", "path"),
    [
        ("connexions", "/mon-compte/sessions?fait=verifie"),
        ("courrier", "/mon-compte/courrier"),
        ("", "/mon-compte"),
        ("https://evil.test", "/mon-compte"),
        ("//evil.test", "/mon-compte"),
        ("/\\evil.test", "/mon-compte"),
        ("/%09/evil.test", "/mon-compte"),
        ("javascript:alert(1)", "/mon-compte"),
        ("connexions\r\nLocation: https://evil.test", "/mon-compte"),
        ("/logout", "/mon-compte"),
        ("oidc.logout", "/mon-compte"),
        ("x" * 5000, "/mon-compte"),
    ],
)
def test_the_next_page_is_one_of_a_fixed_list(signed_in: FlaskClient, suite: str, path: str) -> None:
    page = signed_in.get(PAGE, query_string={"suite": suite})
    assert "evil" not in page.text
    data = {"csrf_token": form_token(page), "mot-de-passe": PASSWORD, "suite": "https://evil.test"}
    answer = signed_in.post(PAGE, query_string={"suite": suite}, data=data)
    assert (answer.status_code, answer.headers["Location"]) == (303, path)


def test_a_second_click_sees_the_result_of_the_first(app: Flask, browser: FlaskClient, parent: Account) -> None:
    enter(browser, parent)
    data = {"csrf_token": form_token(browser.get(f"{PAGE}?suite=connexions")), "mot-de-passe": PASSWORD}
    second = app.test_client()  # the same browser, which lost the first response
    for name in ("__Host-ss", "__Host-tx"):
        second.set_cookie(name, cookie_value(browser, name), domain=HOST, secure=True)
    answers = [client.post(f"{PAGE}?suite=connexions", data=data) for client in (browser, second)]
    assert {answer.headers["Location"] for answer in answers} == {"/mon-compte/sessions?fait=verifie"}
    assert is_in(second)
    assert not is_in(browser), "one session, one cookie"


def test_a_former_cookie_without_the_password_is_refused_without_details(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        thief = app.test_client()
        thief.set_cookie("__Host-ss", cookie_value(browser), domain=HOST, secure=True)
        page = thief.get(PAGE)
        submit(browser, browser.get(PAGE), mot_de_passe=PASSWORD)
        for typed, seconds in (("faux", 0), ("", 0), (PASSWORD, 61)):
            clock.shift(timedelta(seconds=seconds))
            answer = thief.post(PAGE, data={"csrf_token": form_token(page), "mot-de-passe": typed})
            assert (answer.status_code, answer.headers["Location"]) == (303, "/connexion")
            assert parent.username not in answer.text
            assert not is_in(thief)


def test_a_blocked_password_is_refused(browser: FlaskClient, parent: Account) -> None:
    enter(browser, parent)
    page = browser.get(PAGE)
    db.session.get_one(Account, parent.id).password_state = PasswordState.BLOCKED
    db.session.commit()
    assert REFUSED in text_of(submit(browser, page, mot_de_passe=PASSWORD))


def test_the_window_is_as_long_as_the_setting(browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        clock.shift(timedelta(minutes=5))
        assert heading(browser.get("/mon-compte/courrier")) == "Ajouter un autre courrier"
        clock.shift(timedelta(seconds=1))
        answer = browser.get("/mon-compte/courrier")
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{PAGE}?suite=courrier")
