"""B-05 and B-06: the life of a session by the server's clock, and its cookie."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build
from tests.pages import follow, heading, sign_in
from tests.relying_party import Attempt, RelyingParty

_HOST = "connexion.exemple.test"
_OPEN, _CLOSED = "Gérer mon compte", "Connexion"


def _shown(browser: FlaskClient) -> str:
    return heading(follow(browser, browser.get("/mon-compte")))


def _value(browser: FlaskClient) -> str:
    cookie = browser.get_cookie("__Host-ss", domain=_HOST)
    assert cookie is not None
    return cookie.value


@pytest.mark.row("B-05")
def test_an_hour_without_a_request_ends_a_session(browser: FlaskClient, ent: RelyingParty, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", parent.username, PASSWORD)
        clock.shift(timedelta(minutes=60) - timedelta(seconds=1))
        assert _shown(browser) == _OPEN
        clock.shift(timedelta(minutes=60))
        assert _shown(browser) == _CLOSED
        assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "login_required"


@pytest.mark.row("B-05")
def test_a_session_ends_after_twelve_hours_of_use(browser: FlaskClient, ent: RelyingParty, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", parent.username, PASSWORD)
        for _ in range(12 * 60 // 45 - 1):
            clock.shift(timedelta(minutes=45))
            assert _shown(browser) == _OPEN
        clock.shift(timedelta(minutes=45) - timedelta(seconds=1))
        assert "code" in ent.answer(browser.get(ent.url(Attempt(), prompt="none")))
        clock.shift(timedelta(seconds=1))
        assert _shown(browser) == _CLOSED
        assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "login_required"


@pytest.mark.row("B-05")
def test_clocks_that_go_back_do_not_extend_a_session(browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", parent.username, PASSWORD)
        clock.shift(timedelta(hours=13))
        answer = browser.get("/mon-compte", headers={"Date": "Tue, 01 Jan 2019 00:00:00 GMT"})
        assert heading(follow(browser, answer)) == _CLOSED
        sign_in(browser, "/connexion", parent.username, PASSWORD)
        clock.shift(timedelta(hours=-1))
        assert _shown(browser) == _OPEN, "a clock that is put right signs nobody out"
        [session] = db.session.scalars(select(Session).where(Session.ended_at.is_(None), Session.expires_at > now()))
        assert session.expires_at - now() <= timedelta(hours=13)


@pytest.mark.row("B-06")
def test_a_cookie_with_one_character_changed_is_refused(browser: FlaskClient, build: Build) -> None:
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    value = _value(browser)
    for place in range(len(value)):
        other = "B" if value[place] == "A" else "A"
        browser.set_cookie("__Host-ss", value[:place] + other + value[place + 1 :], domain=_HOST, secure=True)
        answer = browser.get("/mon-compte")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/connexion")
    browser.set_cookie("__Host-ss", value, domain=_HOST, secure=True)
    assert _shown(browser) == _OPEN


@pytest.mark.row("B-06")
def test_garbage_in_any_cookie_is_anonymous_and_causes_no_error(app: Flask, build: Build) -> None:
    browser = app.test_client()
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    value = _value(browser)
    garbage = [
        "",
        "x" * 4_096,
        "\xff" * 43,
        '"' + value,
        value + ";" + "x" * 43,
        value[:-1],
        "é" * 43,
        "%00" * 14 + "x",
    ]
    for text in garbage:
        for name in ("__Host-ss", "__Host-tx", "__Host-profil", "lang"):
            stranger = app.test_client(use_cookies=False)
            answer = stranger.get("/mon-compte", headers={"Cookie": f"{name}={text}"})
            assert answer.status_code in {200, 303}
            if answer.status_code == 200:
                assert name == "__Host-ss", "only the session's own value opens"
                assert value in text
            page = stranger.get("/connexion?compte=autre", headers={"Cookie": f"{name}={text}"})
            assert (page.status_code, heading(page)) == (200, _CLOSED)


@pytest.mark.row("B-06")
def test_a_planted_second_cookie_gains_nothing(app: Flask, build: Build) -> None:
    browser = app.test_client()
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    value, stranger = _value(browser), app.test_client(use_cookies=False)
    for pair in ((value, "A" * 43), ("A" * 43, value), (value, value)):
        answer = stranger.get("/mon-compte", headers={"Cookie": "; ".join(f"__Host-ss={cookie}" for cookie in pair)})
        assert answer.status_code in {200, 303}
        assert answer.status_code == 303 or "LEROY-VANDEPUTTE" in answer.text
