"""A correct password in the list of stolen passwords: no sign-in; only a mail or a letter gives a new one."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.accounts.notices import RESET_REQUESTED
from idp.accounts.passwords.breached import BreachedPasswords
from idp.config import Settings
from idp.db import db
from idp.operations.password_commands import build as build_filter
from idp.sessions.models import Session
from tests.activation.steps import ACTIVATION, fill_in, open_activation
from tests.builders import PASSWORD, Build
from tests.databases import settings_for
from tests.email_confirmation.post import post_office, text_of
from tests.my_account.changes import change_password
from tests.my_account.passkeys import owner, stored
from tests.pages import follow, heading, sign_in
from tests.recovery.steps import (
    CHOSEN,
    DONE,
    FORM,
    choose,
    enters,
    journal,
    link_of,
    outbox,
    read_account_row,
)
from tests.relying_party import RelyingParty
from tests.services import changed_services
from tests.statements.lending import heard

pytestmark = pytest.mark.row("I-20")

_RENEW = "Choisissez un nouveau mot de passe"
_LISTED = "liste de mots de passe volés"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with a filter that contains the password of every built account."""
    source, target = tmp_path / "list.txt", tmp_path / "breached.bloom"
    source.write_text(f"{PASSWORD}\n{_OTHER}\n", encoding="utf-8")
    build_filter(source, target, shortest=12, tell=lambda _label: lambda _read: None)
    return settings_for(database_url, breached_passwords=target)


_OTHER = "cerise tracteur lampe bocal"


@contextmanager
def _unlisted(app: Flask) -> Iterator[None]:
    with changed_services(app, breached=BreachedPasswords(None)):
        yield


def _living(account_id: uuid.UUID) -> int:
    rows = db.session.scalars(select(Session.id).where(Session.account_id == account_id, Session.ended_at.is_(None)))
    return len(rows.all())


@pytest.mark.row("I-23")
def test_a_breached_password_opens_no_session_and_ends_former_sessions(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account, thief = build.active(), app.test_client()
    with _unlisted(app):
        sign_in(thief, "/connexion", account.username, PASSWORD)
        owner(app, account)
        assert _living(account.id) == 2
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert (page.status_code, heading(page)) == (200, _RENEW)
    assert _LISTED in page.text
    assert 'name="nouveau"' not in page.text, "whoever has the list must not choose the new one"
    assert _living(account.id) == 0
    assert heading(follow(thief, thief.get("/mon-compte"))) == "Connexion"
    row = read_account_row(account)
    assert row["password_state"] is PasswordState.BREACHED
    assert row["updated_at"] == account.updated_at, "nothing that an ENT is told has changed"
    assert len(journal("password.breached")) == 1
    assert stored(account) == [], "who has the list may have added a passkey"
    with post_office(app) as office:
        assert any("toutes les clés d’accès du compte" in text_of(mail) for mail in office.deliver())


def test_the_new_password_is_chosen_with_the_link_of_the_confirmed_mailbox_alone(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    with post_office(app) as office:
        [mail] = office.deliver()
    assert mail["To"] == "noemie.leroy@exemple.fr"
    assert _LISTED in text_of(mail)
    link = link_of(mail)
    again = choose(browser, link, _OTHER)
    assert heading(again) == FORM
    assert _LISTED in again.text, "another one of the list is refused at its choice"
    assert heading(choose(browser, link, CHOSEN)) == DONE
    assert enters(app, parent, CHOSEN)
    row = read_account_row(parent)
    assert row["password_state"] is PasswordState.USABLE


def test_a_person_without_a_confirmed_address_is_led_to_a_letter(browser: FlaskClient, build: Build) -> None:
    page = sign_in(browser, "/connexion", build.active(email=None).username, PASSWORD)
    assert _LISTED in page.text
    assert "Demandez un nouveau courrier au secrétariat de l’établissement" in page.text
    assert "Un lien part" not in page.text
    assert outbox(RESET_REQUESTED) == []


def test_a_blocked_and_listed_password_shows_the_reason(browser: FlaskClient, build: Build) -> None:
    account = build.active(password_state=PasswordState.BLOCKED)
    assert _LISTED in sign_in(browser, "/connexion", account.username, PASSWORD).text
    assert read_account_row(account)["password_state"] is PasswordState.BREACHED


def test_a_wrong_password_of_the_list_is_refused_like_any_other(app: Flask, build: Build) -> None:
    account = build.active(password=CHOSEN)
    texts, seen = set(), []
    for number, (username, typed) in enumerate(
        ((account.username, PASSWORD), (account.username, "faux faux faux"), ("x.personne", PASSWORD))
    ):
        visitor = app.test_client()
        visitor.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        with heard() as run:
            page = sign_in(visitor, "/connexion", username, typed)
        texts.add(page.text.split("name=", 1)[0].replace(username, ""))
        seen.append(len(run))
        assert _LISTED not in page.text
        assert "Vous n’êtes pas connecté" in page.text
    assert len(texts) == 1
    assert read_account_row(account)["password_state"] is PasswordState.USABLE
    assert enters(app, account, CHOSEN)


def test_a_list_adds_no_statement_to_a_sign_in(app: Flask, build: Build) -> None:
    account, counts = build.active(password=CHOSEN), []
    enters(app, account, CHOSEN)  # the first request fills caches
    for listed in (True, False):
        visitor = app.test_client()
        if listed:
            with heard() as run:
                sign_in(visitor, "/connexion", account.username, CHOSEN)
        else:
            with _unlisted(app), heard() as run:
                sign_in(visitor, "/connexion", account.username, CHOSEN)
        counts.append([text.split()[0] for text in run])
    assert counts[0] == counts[1]


def test_a_listed_password_is_refused_at_the_activation_and_at_a_change(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    page = fill_in(browser, open_activation(browser, build.never_activated()), _OTHER)
    assert heading(page) == ACTIVATION
    assert _LISTED in page.text
    account, other = build.active(password=CHOSEN), app.test_client()
    sign_in(other, "/connexion", account.username, CHOSEN)
    page = change_password(other, current=CHOSEN, new=_OTHER)
    assert heading(page) == "Changer mon mot de passe"
    assert _LISTED in page.text
    assert enters(app, account, CHOSEN)


def test_a_stolen_list_does_not_close_a_letter(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    account = build.never_activated(secret=PASSWORD.upper())
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD.upper())) == ACTIVATION
    assert db.session.get_one(Account, account.id).password_state is PasswordState.USABLE


def test_a_filter_that_is_damaged_lets_people_in(app: Flask, browser: FlaskClient, build: Build) -> None:
    path: Path = build.settings.breached_passwords or Path()
    path.write_bytes(b"damaged")
    account = build.active()
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
