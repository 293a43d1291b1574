"""I-01, I-07 and I-15: all refusals are the same, all spellings share one limit, long input is refused quickly."""

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
from tests.activation.steps import without_token
from tests.builders import PASSWORD, Build
from tests.pages import heading, sign_in

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
