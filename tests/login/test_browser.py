"""I-12, I-13, I-14 and I-17: a sign-in belongs to one browser, one person and one place."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.sessions.models import Session
from tests.activation.steps import activate, read_state
from tests.builders import PASSWORD, Build
from tests.pages import follow, form_token, heading, sign_in
from tests.relying_party import Attempt, RelyingParty

_HOST = "connexion.exemple.test"


def _cookie(browser: FlaskClient, name: str = "__Host-ss") -> str:
    cookie = browser.get_cookie(name, domain=_HOST)
    assert cookie is not None
    return cookie.value


@pytest.mark.row("I-12", "I-17")
def test_a_sign_in_draws_a_new_session_and_a_new_form_token(browser: FlaskClient, build: Build) -> None:
    planted = "A" * 43
    browser.set_cookie("__Host-ss", planted, domain=_HOST, secure=True)
    before = form_token(browser.get("/connexion"))
    account = build.active()
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert heading(page) == "Gérer mon compte"
    first = _cookie(browser)
    assert first != planted
    assert browser.post("/profil", data={"csrf_token": before, "profil": "parent"}).status_code == 400
    sign_in(browser, "/connexion", account.username, PASSWORD)
    assert _cookie(browser) != first
    for dead in (planted, first):
        browser.set_cookie("__Host-ss", dead, domain=_HOST, secure=True)
        assert heading(follow(browser, browser.get("/mon-compte"))) == "Connexion"
    sessions = db.session.scalars(select(Session)).all()
    assert sorted(session.ended_at is None for session in sessions) == [False, True]


@pytest.mark.row("I-13")
@pytest.mark.parametrize("place", ["/connexion", "/profil"])
def test_a_form_of_another_site_is_refused(app: Flask, build: Build, place: str) -> None:
    attacker, own = build.active(), form_token(app.test_client().get("/connexion"))
    data = {"identifiant": attacker.username, "mot-de-passe": PASSWORD, "profil": "parent"}
    for token in ({}, {"csrf_token": ""}, {"csrf_token": own}, {"csrf_token": "é\x00"}):
        victim = app.test_client()
        victim.get(place)
        headers = {"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"}
        answer = victim.post(place, data={**data, **token}, headers=headers)
        assert answer.status_code == 400
        assert victim.get_cookie("__Host-ss", domain=_HOST) is None
    assert db.session.scalars(select(Session)).all() == []


@pytest.mark.row("I-14")
@pytest.mark.parametrize(
    "target", ["https://evil.test", "//evil.test", "/\\evil.test", "/%09/evil.test", "javascript:alert(1)"]
)
def test_target_url_of_a_request_is_ignored_after_sign_in(app: Flask, target: str, parent: Account) -> None:
    for name in ("next", "url", "redirect_uri", "continue", "retour"):
        browser = app.test_client()
        page = browser.get("/connexion", query_string={name: target})
        data = {"csrf_token": form_token(page), "identifiant": parent.username, "mot-de-passe": PASSWORD, name: target}
        answer = browser.post("/connexion", query_string={name: target}, data=data)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/mon-compte")


@pytest.mark.row("I-14")
def test_a_forged_continuation_leads_nowhere(browser: FlaskClient, parent: Account) -> None:
    token = form_token(browser.get("/connexion"))
    data = {"csrf_token": token, "identifiant": parent.username, "mot-de-passe": PASSWORD}
    answer = browser.post("/connexion", query_string={"demande": "https://evil.test"}, data=data)
    assert (answer.status_code, heading(answer)) == (400, "Reprenons depuis l’ENT")


@pytest.mark.row("I-17")
def test_a_second_person_on_the_same_browser_gets_no_data_of_the_first(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    first, second = build.active(), build.active(given_name="Paul", family_name="MARTIN", email="paul@exemple.fr")
    attempt = Attempt()
    code = ent.answer(sign_in(browser, ent.url(attempt), first.username, PASSWORD))["code"]
    subject = ent.tokens(browser, code, attempt)["claims"]["sub"]
    left_open = Attempt()
    tab = follow(browser, browser.get(ent.url(left_open, prompt="login")))
    assert heading(tab) == "Connexion"
    sign_in(browser, "/connexion", second.username, PASSWORD)
    attempt = Attempt()
    code = ent.answer(follow(browser, browser.get(tab.request.full_path)))["code"]
    of_tab = ent.tokens(browser, code, left_open)
    claims = ent.tokens(browser, ent.answer(browser.get(ent.url(attempt)))["code"], attempt)
    assert of_tab["claims"]["sub"] == claims["claims"]["sub"] != subject, "the session decides, not who opened the tab"
    info = ent.userinfo(browser, claims["access_token"]).get_json()
    assert (info["given_name"], info["email"]) == ("Paul", "paul@exemple.fr")
    account_page = browser.get("/mon-compte").text
    assert "MARTIN" in account_page
    assert "LEROY-VANDEPUTTE" not in account_page


@pytest.mark.row("I-17")
def test_an_activation_left_open_never_acts_on_the_next_persons_account(browser: FlaskClient, build: Build) -> None:
    first, second = build.never_activated(), build.active(email=None, pending_email="paul@exemple.fr")
    waiting = activate(browser, first, mail="noemie@exemple.fr")
    page = sign_in(browser, "/connexion", second.username, PASSWORD)
    assert "paul@exemple.fr" in page.text
    before = read_state(second.id)
    tab = browser.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
    assert heading(tab) == "Reprenons depuis l’ENT"
    assert "exemple.fr" not in tab.text
    assert read_state(second.id) == before
    assert "paul@exemple.fr" in follow(browser, browser.get("/mon-compte")).text


@pytest.mark.row("I-17")
def test_a_letter_ends_the_session_that_the_browser_came_with(browser: FlaskClient, build: Build) -> None:
    signed_in, letter = build.active(), build.never_activated()
    sign_in(browser, "/connexion", signed_in.username, PASSWORD)
    assert heading(browser.get("/mon-compte")) == "Gérer mon compte"
    waiting = activate(browser, letter, mail="noemie@exemple.fr")
    assert "noemie@exemple.fr" in waiting.text
    assert browser.get("/mon-compte").status_code == 303
