"""V-06 and I-15: which passwords and emails an activation accepts; a refused form keeps its values."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher
from idp.activation import service
from idp.activation.service import KeptPassword
from idp.clock import now
from idp.db import db
from tests.activation.steps import ACTIVATION, CHOSEN, EMAIL, SENT, fill_in, open_activation, read_state
from tests.builders import PROVISIONAL, Build
from tests.my_account.changes import errors
from tests.pages import heading, sign_in, submit
from tests.rows import each_row


@pytest.mark.row("V-06")
@each_row(
    ("password", "reason"),
    [
        (PROVISIONAL, "C’est le mot de passe provisoire du courrier."),
        (PROVISIONAL.lower().replace("-", " "), "C’est le mot de passe provisoire du courrier."),
        ("girafe {username} wagon", "Ce mot de passe contient votre identifiant."),
        ("girafe wagon vandepútte", "Ce mot de passe contient votre nom ou votre prénom."),
        ("girafe wagon MALO brique", "Ce mot de passe contient le prénom de votre enfant."),
        ("girafe wagon tilleuls", "Ce mot de passe contient le nom de l’établissement."),
        ("", "Ce champ est vide. Choisissez un mot de passe de 12 caractères au moins."),
        ("girafe", "Il faut 12 caractères au moins."),
    ],
)
def test_a_password_that_others_could_guess_is_refused_with_its_reason(
    browser: FlaskClient, build: Build, password: str, reason: str
) -> None:
    account = build.never_activated()
    page = fill_in(browser, open_activation(browser, account), password.format(username=account.username))
    assert heading(page) == ACTIVATION
    [error] = errors(page)
    assert error.startswith(reason), error
    text = page.get_data(as_text=True)
    assert text.count(reason) == 2, "in the summary and beside the field"
    assert "<title>Erreur" in text
    assert not read_state(account.id).active


@pytest.mark.row("V-06")
def test_a_refused_form_keeps_the_address_and_never_writes_a_password_back(
    browser: FlaskClient, newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    page = submit(browser, page, nouveau=CHOSEN, confirmation="autre chose", mail=EMAIL)
    [error] = errors(page)
    assert error.startswith("Les deux mots de passe ne sont pas les mêmes.")
    text = page.get_data(as_text=True)
    assert f'value="{EMAIL}"' in text
    assert CHOSEN not in text
    assert heading(fill_in(browser, page)) == SENT


@pytest.mark.row("V-06")
@pytest.mark.parametrize(
    ("mail", "reason"),
    [
        ("", "Tapez une adresse mail."),
        ("noemie", "Il manque une partie de l’adresse."),
        ("a@exemple.fr\r\nBcc: b@exemple.fr", "Cette adresse n’est pas écrite comme une adresse mail."),
    ],
)
def test_an_invalid_address_is_refused_with_its_reason(
    browser: FlaskClient, mail: str, reason: str, newcomer: Account
) -> None:
    page = fill_in(browser, open_activation(browser, newcomer), mail=mail)
    [error] = errors(page)
    assert error.startswith(reason), error
    assert not read_state(newcomer.id).active


@pytest.mark.row("V-06")
def test_a_browser_with_a_script_types_the_password_once(browser: FlaskClient, newcomer: Account) -> None:
    page = open_activation(browser, newcomer)
    main = page.text.partition("<main")[2].partition("</main>")[0]
    before, _, second = main.partition("<noscript>")
    assert 'name="confirmation"' not in before
    assert 'name="confirmation"' in second.partition("</noscript>")[0]
    assert main.index('id="nouveau-rules"') < main.index('id="nouveau"')
    assert 'aria-describedby="nouveau-rules"' in main
    unequal = submit(browser, page, nouveau=CHOSEN, confirmation="", mail=EMAIL)
    assert errors(unequal)[0].startswith("Les deux mots de passe ne sont pas les mêmes.")
    assert heading(submit(browser, page, nouveau=CHOSEN, mail=EMAIL)) == SENT
    assert heading(sign_in(browser, "/connexion", newcomer.username, CHOSEN)) == SENT


@pytest.mark.row("V-24")
def test_a_wrong_address_keeps_the_password_in_this_activation_alone(
    app: Flask, browser: FlaskClient, newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    kept = submit(browser, page, nouveau=CHOSEN, mail="noemie")
    stored = db.session.scalars(select(KeptPassword.password_hash)).one()
    for shown in (kept, browser.get(page.request.full_path)):
        assert "Votre mot de passe est gardé." in shown.text
        assert CHOSEN not in shown.text
        assert stored not in shown.text
    assert len(errors(kept)) == 1
    stranger = app.test_client()
    other = submit(stranger, open_activation(stranger, newcomer), mail=EMAIL)
    assert errors(other)[0].startswith("Ce champ est vide. Choisissez un mot de passe")
    assert heading(submit(browser, kept, mail=EMAIL)) == SENT
    assert read_state(newcomer.id).password == stored
    assert db.session.scalar(select(func.count()).select_from(KeptPassword)) == 0
    assert heading(sign_in(browser, "/connexion", newcomer.username, CHOSEN)) == SENT


@pytest.mark.row("V-24")
def test_a_kept_password_is_replaced_and_expires_with_the_activation(browser: FlaskClient, build: Build) -> None:
    account, other = build.never_activated(), "marteau nuage girafe wagon"
    with time_machine.travel(now(), tick=False) as clock:
        page = submit(browser, open_activation(browser, account), nouveau=CHOSEN, mail="noemie")
        short = submit(browser, page, nouveau="court", mail=EMAIL)
        assert "Votre mot de passe est gardé." in short.text
        assert '<details class="more" open>' in short.text
        page = submit(browser, page, nouveau=other, mail="rien")
        stored = db.session.scalars(select(KeptPassword.password_hash)).one()
        settings = build.settings
        assert service.kept_password(db.session.scalars(select(KeptPassword.digest)).one()) == stored
        clock.shift(timedelta(minutes=30))
        assert service.kept_password(db.session.scalars(select(KeptPassword.digest)).one()) is None
    assert Hasher(settings).verify(stored, other, "activation")


@pytest.mark.row("I-15")
@pytest.mark.parametrize(
    "password",
    [
        "orage brique hamster violon" + " 🦒" * 50,
        "  orage   brique hamster ",
        "orage-brique-hamster-violon".ljust(128, "~"),
        "nul\x00au milieu, girafe",
    ],
    ids=["127 with emoji", "spaces", "128", "NUL"],
)
def test_any_long_text_is_a_password_and_is_kept_as_it_was_typed(
    browser: FlaskClient, password: str, newcomer: Account
) -> None:
    assert heading(fill_in(browser, open_activation(browser, newcomer), password)) == SENT
    for wrong in (password[:-1], password.strip(" ") if password.startswith(" ") else password + " "):
        page = sign_in(browser, "/connexion", newcomer.username, wrong)
        assert "Vous n’êtes pas connecté" in page.get_data(as_text=True)
    assert heading(sign_in(browser, "/connexion", newcomer.username, password)) == SENT


@pytest.mark.row("I-15")
def test_four_hundred_thousand_accents_are_refused_at_once(
    browser: FlaskClient, normalised: list[int], newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    normalised.clear()
    marks = "a" + "\u0301\u0323" * 200_000
    assert submit(browser, page, nouveau=marks, confirmation=marks, mail=EMAIL).status_code == 413
    assert normalised == []
    marks = "a" + "\u0301\u0323" * 2_500
    assert errors(submit(browser, page, nouveau=marks, confirmation=marks, mail=EMAIL))[0].startswith(
        "Ce mot de passe dépasse 128 caractères."
    )
    assert max(normalised, default=0) <= 128
    assert not read_state(newcomer.id).active
