"""A mailbox shared by two parents: what each can do to the other's account, and the operator's setting."""

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, update

from idp.accounts.closings import Merge
from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.clock import now
from idp.config import Settings
from idp.db import db
from tests.builders import PASSWORD, Build
from tests.databases import settings_for
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.my_account.changes import change_email, enter, links, path_of
from tests.pages import form_token, heading, sign_in, submit
from tests.recovery.steps import DONE, answers, ask_password, choose, enters, link_of
from tests.statements.heard import heard

pytestmark = pytest.mark.row("G-14")

_MAILBOX = "famille@exemple.fr"
_NO_LINK = "Votre nouveau mot de passe : pas de lien par mail"


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    return settings_for(database_url, shared_mailbox=getattr(request, "param", "known-device"))


@pytest.fixture
def parents(build: Build) -> tuple[Account, Account]:
    malo = build.child()
    return (
        build.active(email=_MAILBOX, children=[malo]),
        build.active(email=_MAILBOX.title(), given_name="Yann", children=[malo]),
    )


def test_a_shared_mailbox_gives_no_link_to_an_unknown_device(app: Flask, parents: tuple[Account, Account]) -> None:
    mother, father = parents
    his_device = app.test_client()
    sign_in(his_device, "/connexion", father.username, PASSWORD)
    ask_password(his_device, mother.username)
    with post_office(app) as office:
        [mail] = office.deliver()
    assert mail["Subject"] == _NO_LINK
    for text in (text_of(mail), html_of(mail)):
        assert mother.username in text
        assert "Collège des Tilleuls" in text
        assert "/mot-de-passe/lien/" not in text
    assert answers() == ["by_letter"]
    assert enters(app, mother, PASSWORD)


def test_a_shared_mailbox_gives_a_link_to_the_accounts_own_device(app: Flask, parents: tuple[Account, Account]) -> None:
    mother, _ = parents
    her_device = app.test_client()
    sign_in(her_device, "/connexion", mother.username, PASSWORD)
    ask_password(her_device, mother.username)
    with post_office(app) as office:
        [mail] = office.deliver()
        assert heading(choose(app.test_client(), link_of(mail))) == DONE
    assert answers() == ["link"]


def test_a_device_that_did_not_prove_the_present_password_is_unknown(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account]
) -> None:
    mother, _ = parents
    sign_in(browser, "/connexion", mother.username, PASSWORD)
    row = db.session.get_one(Account, mother.id)
    row.password_changed_at = now() + timedelta(days=365)
    db.session.commit()
    ask_password(browser, mother.username)
    with post_office(app) as office:
        assert [mail["Subject"] for mail in office.deliver()] == [_NO_LINK]


def test_a_mailbox_of_one_account_gives_its_link_to_any_device(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account]
) -> None:
    mother, father = parents
    row = db.session.get_one(Account, father.id)
    row.email, row.disabled_at, row.merge = None, now(), Merge(into_id=mother.id)
    db.session.commit()
    ask_password(browser, mother.username)
    with post_office(app) as office:
        assert link_of(office.deliver()[0])


def _confirm_another(app: Flask, build: Build, account: Account, email: str) -> None:
    browser, phone = enter(app.test_client(), account), app.test_client()
    change_email(browser, email)
    link = links(account, Purpose.CHANGE_EMAIL)[-1]
    done = submit(phone, phone.get(path_of(build.settings, link)), mot_de_passe=PASSWORD)
    assert "Votre nouvelle adresse est confirmée." in done.text


def test_account_that_changed_its_address_still_counts_as_a_reader(
    app: Flask, browser: FlaskClient, build: Build, parents: tuple[Account, Account]
) -> None:
    mother, father = parents
    _confirm_another(app, build, father, "yann@exemple.fr")
    db.session.execute(delete(OneTimeLink))  # as a purge does after some days
    db.session.commit()
    with post_office(app) as office:
        ask_password(browser, mother.username)
        assert office.deliver()[-1]["Subject"] == _NO_LINK
    assert answers() == ["by_letter"]


def test_confirming_an_unshared_mailbox_allows_a_link_again(
    app: Flask, browser: FlaskClient, build: Build, parents: tuple[Account, Account]
) -> None:
    mother, father = parents
    _confirm_another(app, build, father, "yann@exemple.fr")
    _confirm_another(app, build, mother, "noemie@exemple.fr")
    ask_password(browser, mother.username)
    with post_office(app) as office:
        assert link_of(office.deliver()[-1])
    assert answers() == ["link"]


@pytest.mark.parametrize("change", [{"email": None}, {"disabled_at": now()}], ids=["new letter", "disabled"])
def test_a_reader_with_a_new_letter_or_a_disabled_account_still_counts(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account], change: dict[str, object]
) -> None:
    mother, father = parents
    db.session.execute(update(Account).where(Account.id == father.id).values(change))
    db.session.commit()
    ask_password(browser, mother.username)
    with post_office(app) as office:
        assert [mail["Subject"] for mail in office.deliver()] == [_NO_LINK]


def test_the_page_and_its_statements_do_not_depend_on_the_mailbox(
    app: Flask, browser: FlaskClient, build: Build, parents: tuple[Account, Account]
) -> None:
    alone, seen = build.active(email="seule@exemple.fr"), []
    for number, username in enumerate((parents[0].username, alone.username, "x.personne")):
        asker = app.test_client()
        asker.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        form_token(asker.get("/mot-de-passe-oublie"))
        with heard() as run:
            page = ask_password(asker, username)
        seen.append((page.status_code, page.text, [text.split()[0] for text in run]))
    assert seen[0] == seen[1] == seen[2]
    assert "Le message n’a pas de lien si l’adresse sert à plusieurs comptes" in seen[0][1]


def test_a_blocked_password_of_a_shared_mailbox_is_renewed_by_letter_from_an_unknown_device(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account]
) -> None:
    mother, _ = parents
    db.session.get_one(Account, mother.id).password_state = PasswordState.BLOCKED
    db.session.commit()
    page = sign_in(browser, "/connexion", mother.username, PASSWORD)
    assert heading(page) == "Choisissez un nouveau mot de passe"
    assert "Nous n’envoyons pas de lien par mail" in page.text
    assert "Un lien part maintenant" not in page.text
    with post_office(app) as office:
        [mail] = office.deliver()
    assert mail["Subject"] == _NO_LINK


@pytest.mark.parametrize("settings", ["allow"], indirect=True)
def test_allowed_sharing_gives_a_link_on_any_device(
    app: Flask, browser: FlaskClient, parents: tuple[Account, Account], settings: Settings
) -> None:
    page = ask_password(browser, parents[0].username)
    assert "un lien part maintenant" in page.text
    with post_office(app) as office:
        assert link_of(office.deliver()[0])
