"""I-01 and I-07 to I-17: all refusals are the same, and a sign-in belongs to one browser, one person and one place."""

import unicodedata
from datetime import timedelta

import pytest
import time_machine
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.sessions.models import Session
from tests.activation.steps import activate, read_state, without_token
from tests.builders import PASSWORD, Build
from tests.pages import cookie_value, follow, form_token, heading, sign_in
from tests.relying_party import Attempt, RelyingParty

_FAILED = "Vous n’êtes pas connecté"


def _shape(page: TestResponse, username: str) -> tuple[int, list[tuple[str, str]], list[str], str]:
    """Return all parts of a response that can be compared, without the typed username."""
    cookies = [cookie.partition("=")[0] for cookie in page.headers.getlist("Set-Cookie")]
    headers = [(name, value) for name, value in page.headers if name not in {"Set-Cookie", "Content-Length", "Date"}]
    return page.status_code, headers, cookies, without_token(page).replace(username, "")


@pytest.mark.row("I-01")
def test_every_account_that_is_not_opened_gets_the_same_answer(app: Flask, build: Build) -> None:
    active, disabled, letter = build.active(), build.active(disabled_at=now()), build.never_activated()
    expired = build.never_activated(provisional_expires_at=now() - timedelta(seconds=1))
    burnt = build.never_activated(provisional_hash=None, provisional_expires_at=None)
    tries = [(account.username, "une phrase fausse") for account in (active, letter, expired, burnt)]
    tries += [(disabled.username, PASSWORD), ("x.inconnu7777", PASSWORD), ("x@exemple.fr", PASSWORD)]
    shapes = []
    for n, (username, password) in enumerate(tries):
        browser = app.test_client()
        browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
        page = sign_in(browser, "/connexion", username, password)
        assert _FAILED in page.text
        assert "compte fermé\u00a0: allez au secrétariat" in page.text
        text = _shape(page, username)
        shapes.append((*text[:3], text[3].replace(' value=""', "")))
    assert all(shape == shapes[0] for shape in shapes)


@pytest.mark.row("I-07")
def test_all_spellings_of_an_identifier_share_one_counter(app: Flask, parent: Account) -> None:
    name, number = parent.username.split(".")[1][:5], parent.username[-4:]
    spellings = [
        f"n.{name}{number}",
        f"N.{name.upper()}{number}",
        f"  n . {name} - {number}  ",
        unicodedata.normalize("NFKC", f"n.{name}{number}").translate({ord("n"): "ｎ", ord("l"): "ｌ"}),
        f"n.{name}{number}\x00",
    ]
    with time_machine.travel(now(), tick=False) as clock:
        for n, spelling in enumerate(spellings):
            browser = app.test_client()
            browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
            assert sign_in(browser, "/connexion", spelling, "une phrase fausse").status_code == 200
        for spelling in spellings:
            assert sign_in(app.test_client(), "/connexion", spelling, PASSWORD).status_code == 429
        clock.shift(timedelta(seconds=5))
        assert heading(sign_in(app.test_client(), "/connexion", spellings[3], PASSWORD)) == "Gérer mon compte"


@pytest.mark.parametrize(
    ("typed", "missing"),
    [
        (("", ""), ["Tapez votre identifiant.", "Tapez votre mot de passe."]),
        (("", PASSWORD), ["Tapez votre identifiant."]),
        (("n.leroy4821", ""), ["Tapez votre mot de passe."]),
    ],
)
def test_an_empty_field_is_named_and_no_try_is_counted(
    browser: FlaskClient, typed: tuple[str, str], missing: list[str]
) -> None:
    for _ in range(10):
        page = sign_in(browser, "/connexion", *typed)
        assert (page.status_code, heading(page)) == (200, "Connexion")
    assert _FAILED not in page.text
    for sentence in ("Tapez votre identifiant.", "Tapez votre mot de passe."):
        assert page.text.count(f"<span>{sentence}</span>") == (sentence in missing)
    assert page.text.count('aria-invalid="true"') == len(missing)
    assert ("Un point à reprendre" in page.text) == (len(missing) == 1)
    assert "<title>Erreur" in page.text
    assert db.session.scalar(select(func.count()).where(AuditEntry.kind == "sign_in")) == 0


@pytest.mark.row("I-07")
def test_an_address_is_no_identifier(browser: FlaskClient, build: Build) -> None:
    account = build.active(email="noemie.leroy@exemple.fr")
    assert account.email
    assert _FAILED in sign_in(browser, "/connexion", account.email, PASSWORD).text


@pytest.mark.row("I-15")
@pytest.mark.parametrize("password", ["x" * 60_000, "x" * 1_000_000, "\u0301\u0323" * 200_000])
def test_too_long_credentials_are_refused_before_they_are_normalised(
    browser: FlaskClient, normalised: list[int], password: str, parent: Account
) -> None:
    normalised.clear()
    for fields in ({"username": parent.username, "password": password}, {"username": password, "password": PASSWORD}):
        page = sign_in(browser, "/connexion", **fields)
        assert page.status_code == 413 or _FAILED in page.text
    assert max(normalised, default=0) <= 128


@pytest.mark.row("I-15")
def test_composed_and_decomposed_accents_both_sign_in(app: Flask, build: Build) -> None:
    account = build.active(password=unicodedata.normalize("NFC", PASSWORD))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        page = sign_in(app.test_client(), "/connexion", account.username, unicodedata.normalize(form, PASSWORD))
        assert heading(page) == "Gérer mon compte"


@pytest.mark.row("I-16")
def test_a_hash_of_older_parameters_is_replaced_at_a_right_password_only(
    real_hashes: None, browser: FlaskClient, build: Build
) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    account = build.active(password_hash=weak)
    sign_in(browser, "/connexion", account.username, "une phrase fausse")
    assert _hash_of(account) == weak
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
    assert _hash_of(account).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    browser.delete_cookie("__Host-ss", domain="connexion.exemple.test")
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"


def _hash_of(account: Account) -> str:
    db.session.rollback()
    return db.session.get_one(Account, account.id, populate_existing=True).password_hash or ""


_HOST = "connexion.exemple.test"


@pytest.mark.row("I-12", "I-17")
def test_a_sign_in_draws_a_new_session_and_a_new_form_token(browser: FlaskClient, build: Build) -> None:
    planted = "A" * 43
    browser.set_cookie("__Host-ss", planted, domain=_HOST, secure=True)
    before = form_token(browser.get("/connexion"))
    account = build.active()
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
    first = cookie_value(browser)
    assert first != planted
    assert browser.post("/profil", data={"csrf_token": before, "profil": "parent"}).status_code == 400
    sign_in(browser, "/connexion", account.username, PASSWORD)
    assert cookie_value(browser) != first
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
        assert victim.post(place, data={**data, **token}, headers=headers).status_code == 400
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
    assert "paul@exemple.fr" in sign_in(browser, "/connexion", second.username, PASSWORD).text
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
    assert "noemie@exemple.fr" in activate(browser, letter, mail="noemie@exemple.fr").text
    assert browser.get("/mon-compte").status_code == 303
