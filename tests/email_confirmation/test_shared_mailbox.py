"""An email of another account: messages and refusals are shown only to readers of that mailbox."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts import one_time_links
from idp.accounts.closings import Merge
from idp.accounts.models import Account
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.clock import now
from idp.config import Settings
from idp.db import db
from tests.activation.steps import CHOSEN, activate, fill_in, newest_link, open_activation, read_state
from tests.builders import PASSWORD, Build
from tests.databases import settings_for
from tests.my_account.changes import at_once, form
from tests.pages import form_token, heading, sign_in, submit

_MAILBOX = "famille@exemple.fr"
_TOLD = "Cette adresse sert aussi à un autre compte de parent."
_REFUSED = "Cette adresse sert déjà"
_CONFIRMED = "Confirmation de votre adresse mail"


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    return settings_for(database_url, shared_mailbox=getattr(request, "param", "allow"))


@pytest.mark.parametrize(
    ("settings", "hint", "meaning"),
    [
        ("allow", "chacun pourra alors choisir un nouveau mot de passe", "peut choisir un nouveau mot de passe pour"),
        ("known-device", "utilisez un appareil où vous vous êtes déjà connecté", "ou demandez un courrier"),
    ],
    indirect=["settings"],
)
def test_meaning_of_sharing_is_shown_to_readers_of_the_mailbox_alone(
    app: Flask, browser: FlaskClient, build: Build, hint: str, meaning: str
) -> None:
    build.active(email=_MAILBOX)
    texts: list[list[str]] = []
    for email in ("Famille@exemple.fr", "seule@exemple.fr"):
        account, visitor = build.never_activated(), app.test_client()
        page = open_activation(visitor, account)
        assert hint in page.text, "the same for everybody"
        waiting = fill_in(visitor, page, mail=email)
        correction = visitor.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
        assert hint in correction.text
        assert not any(_TOLD in text for text in (page.text, waiting.text, correction.text)), "no mailbox is proved yet"
        question = browser.get(newest_link(build.settings, account.id))
        texts.append([question.text, submit(browser, question, mot_de_passe=CHOSEN).text])
        assert read_state(account.id).email == email
    for shared, alone in zip(*texts, strict=True):
        assert _TOLD not in alone
        assert _TOLD in shared
        assert meaning in shared
        assert "que vous êtes seul" not in shared
    assert "ne confirmez pas ici" in texts[0][0]
    assert "connectez-vous avec votre identifiant" in texts[0][0], "and how to give another address"


def test_the_page_of_a_change_names_the_form_for_another_address(browser: FlaskClient, build: Build) -> None:
    build.active(email=_MAILBOX)
    sign_in(browser, "/connexion", build.active(email="mienne@exemple.fr").username, PASSWORD)
    submit(browser, browser.get("/mon-compte/adresse"), actuel=PASSWORD, mail=_MAILBOX)
    row = db.session.scalars(select(OneTimeLink).where(OneTimeLink.purpose == Purpose.CHANGE_EMAIL.value)).one()
    page = browser.get(f"/adresse/lien/{one_time_links.token(build.settings, row)}")
    assert _TOLD in page.text
    text = page.text.replace("\u00a0", " ").replace("\u202f", " ")
    assert "« Gérer mon compte », puis « Changer mon adresse mail »" in text


def test_a_disabled_account_or_a_merged_one_is_not_served(browser: FlaskClient, build: Build) -> None:
    kept_one = build.active(email="autre@exemple.fr")
    build.active(email=_MAILBOX, disabled_at=now())
    build.never_activated(disabled_at=now(), merge=Merge(into_id=kept_one.id))
    account = build.never_activated()
    activate(browser, account, mail=_MAILBOX)
    assert _TOLD not in browser.get(newest_link(build.settings, account.id)).text


@pytest.mark.row("E-07")
@pytest.mark.parametrize("settings", ["refuse"], indirect=True)
def test_a_mailbox_serves_one_account_where_sharing_is_refused(
    app: Flask, browser: FlaskClient, build: Build, settings: Settings
) -> None:
    first = build.active(email=_MAILBOX)
    account = build.never_activated()
    page = open_activation(browser, account)
    assert "Une adresse ne sert que pour un compte" in page.text
    waiting = fill_in(browser, page, mail="Famille@exemple.fr")
    assert heading(waiting) == "Consultez votre messagerie", "nothing is told before the mailbox is proved"
    link, phone = newest_link(build.settings, account.id), app.test_client()
    forged = phone.post(link, data={"csrf_token": form_token(phone.get("/connexion"))})
    for answer in (forged, phone.get(link)):
        assert (answer.status_code, heading(answer)) == (200, _REFUSED)
        assert "Modifier l’adresse mail" in answer.text, "how to go on"
        assert first.username not in answer.text
    after = read_state(account.id)
    assert (after.email, after.pending) == (None, "Famille@exemple.fr")
    correction = browser.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
    submit(browser, correction, mail="seule@exemple.fr", mot_de_passe=CHOSEN)
    assert heading(submit(phone, phone.get(newest_link(build.settings, account.id)), mot_de_passe=CHOSEN)) == _CONFIRMED


@pytest.mark.row("E-07")
@pytest.mark.parametrize("settings", ["refuse"], indirect=True)
def test_a_change_to_a_mailbox_that_serves_another_account_keeps_the_present_address(
    browser: FlaskClient, build: Build, settings: Settings
) -> None:
    build.active(email=_MAILBOX)
    account = build.active(email="mienne@exemple.fr")
    sign_in(browser, "/connexion", account.username, PASSWORD)
    page = browser.get("/mon-compte/adresse")
    assert "Une adresse ne sert que pour un compte" in page.text
    submit(browser, page, actuel=PASSWORD, mail=_MAILBOX)
    row = db.session.scalars(select(OneTimeLink).where(OneTimeLink.purpose == Purpose.CHANGE_EMAIL.value)).one()
    answer = browser.get(f"/adresse/lien/{one_time_links.token(settings, row)}")
    assert heading(answer) == _REFUSED
    assert "Votre compte garde son adresse actuelle." in answer.text
    assert read_state(account.id).email == "mienne@exemple.fr"


@pytest.mark.row("E-07")
@pytest.mark.parametrize("settings", ["refuse"], indirect=True)
def test_concurrent_confirmations_of_one_mailbox_succeed_once(app: Flask, build: Build, settings: Settings) -> None:
    forms: list[dict[str, Any]] = []
    accounts = [build.never_activated() for _ in range(4)]
    for account in accounts:
        browser = app.test_client()
        activate(browser, account, mail=_MAILBOX)
        forms.append(form(browser, browser.get(newest_link(build.settings, account.id))))
    at_once(settings, forms, shared_mailbox="refuse")
    served = db.session.scalars(select(Account.username).where(Account.mailbox == _MAILBOX)).all()
    assert len(served) == 1, served
