"""E-01 to E-06, G-06, V-11 and S-07 for the link that replaces a confirmed email."""

import re
import uuid
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from idp.accounts.models import Account
from idp.accounts.one_time_links import Purpose
from idp.clock import now
from idp.db import db
from idp.my_account.email import keep_present
from tests.builders import LYCEE, PASSWORD, Build, add_contest
from tests.email_confirmation.post import html_of, link_of, post_office, text_of
from tests.my_account.changes import (
    EMAIL_PAGE,
    NEW,
    OLD,
    change_email,
    enter,
    links,
    path_of,
    read_notices,
    reload_account,
)
from tests.pages import form_token, heading, submit

ASKS = "Confirmez votre adresse mail"
CONFIRMED = "Confirmation de votre adresse mail"
DEAD, CUT = "Ce lien ne marche plus", "Ce lien est incomplet"


def _asked(browser: FlaskClient, build: Build, **more: object) -> tuple[Account, str]:
    account = build.active(**more)  # type: ignore[arg-type]
    enter(browser, account)
    change_email(browser)
    [link] = links(account, Purpose.CHANGE_EMAIL)
    return account, path_of(build.settings, link)


@pytest.mark.row("E-02")
def test_a_used_link_shows_its_result(app: Flask, browser: FlaskClient, build: Build) -> None:
    account, link = _asked(browser, build)
    phone = app.test_client()
    question = phone.get(link)
    for _ in range(2):
        done = submit(phone, question, mot_de_passe=PASSWORD)
        assert heading(done) == CONFIRMED
        assert "Votre nouvelle adresse est confirmée." in done.text
    assert "Cette adresse est déjà confirmée." in phone.get(link).text
    assert read_notices(account) == [("adresse_change", OLD), ("adresse_changee", OLD)]


@pytest.mark.row("E-06", "V-11")
def test_a_stranger_with_the_mail_confirms_nothing_and_reads_nothing_of_the_person(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account, link = _asked(browser, build, children=[build.child(), build.child("Inès", uai=LYCEE)])
    phone = app.test_client()
    question = phone.get(link)
    for text in ("Scolarité Services", "Confirmez seulement si vous l’avez demandé.", "Vous avez demandé à changer"):
        assert text in question.text
    assert "Étapes de l’activation" not in question.text
    refused = [submit(phone, question), submit(phone, question, mot_de_passe="autre marteau nuage")]
    assert [heading(page) for page in refused] == [ASKS, ASKS]
    assert reload_account(account).email == OLD
    for page in (question, *refused):
        assert not any(school in page.text for school in ("Collège des Tilleuls", "Lycée Louise-Weber"))
    for page in (question, *refused, submit(phone, question, mot_de_passe=PASSWORD), phone.get(link)):
        for secret in (account.username, "LEROY", "Noémie", "Malo", "Inès", OLD, NEW):
            assert secret not in page.text
        assert "__Host-ss" not in page.headers.get("Set-Cookie", "")


def test_the_link_of_a_cancelled_change_promises_no_message(app: Flask, browser: FlaskClient, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        account, link = _asked(browser, build)
        keep_present(account.id)
        db.session.rollback()
        before = len(office.deliver())
        clock.shift(timedelta(minutes=2))
        stranger = app.test_client()
        dead = stranger.get(link)
        assert (dead.status_code, heading(dead)) == (410, DEAD)
        assert "la demande a été arrêtée" in dead.text
        response = submit(stranger, dead, renvoyer="1")
        assert "Si la demande est toujours en cours, un message part" in response.text
        assert len(office.deliver()) == before
    for page in (dead, response):
        assert "Rien n’est perdu" not in page.text
        assert NEW not in page.text


@pytest.mark.row("E-04")
def test_a_link_to_an_address_that_was_replaced_sends_a_message_to_the_last_one(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        account, link = _asked(browser, build)
        clock.shift(timedelta(minutes=2))
        change_email(browser, "derniere@exemple.fr")
        clock.shift(timedelta(minutes=2))
        before = len([mail for mail in office.deliver() if mail["To"] == "derniere@exemple.fr"])
        stranger = app.test_client()
        dead = stranger.get(link)
        assert dead.status_code == 410
        response = submit(stranger, dead, renvoyer="1")
        assert "derniere" not in response.text
        mails = [mail for mail in office.deliver() if mail["To"] == "derniere@exemple.fr"]
        assert len(mails) == before + 1
        assert heading(submit(stranger, stranger.get(link_of(mails[-1])), mot_de_passe=PASSWORD)) == CONFIRMED
    assert reload_account(account).email == "derniere@exemple.fr"


@pytest.mark.row("E-04")
def test_a_change_of_password_revokes_links_and_their_renewal(app: Flask, browser: FlaskClient, build: Build) -> None:
    # Also if only the generation changed, because the link may belong to a person with the former password.
    with time_machine.travel(now(), tick=False) as clock:
        account, link = _asked(browser, build)
        db.session.execute(update(Account).where(Account.id == account.id).values(generation=2))
        db.session.commit()
        clock.shift(timedelta(minutes=2))
        phone = app.test_client()
        dead = phone.get(link)
        assert dead.status_code == 410
        assert submit(phone, dead, renvoyer="1").status_code == 200
        assert len(links(account, Purpose.CHANGE_EMAIL)) == 1
    assert reload_account(account).email == OLD


@pytest.mark.row("E-05")
def test_contested_account_confirms_no_address(app: Flask, browser: FlaskClient, build: Build) -> None:
    account, link = _asked(browser, build)
    add_contest(account.id, now(), "avant@exemple.fr")
    phone = app.test_client()
    assert heading(submit(phone, phone.get(link), mot_de_passe=PASSWORD)) != CONFIRMED
    assert reload_account(account).email == OLD


def _set(account_id: uuid.UUID, **values: object) -> None:
    db.session.execute(update(Account).where(Account.id == account_id).values(**values))
    db.session.commit()


@pytest.mark.row("S-07")
def test_the_mails_state_their_purpose_and_their_links_work(app: Flask, browser: FlaskClient, build: Build) -> None:
    with post_office(app) as office:
        account, _ = _asked(browser, build)
        mails = {mail["To"]: mail for mail in office.deliver()}
        new, old = mails[NEW], mails[OLD]
        assert new["Subject"] == "Confirmez votre nouvelle adresse mail"
        for part in (text_of(new), html_of(new)):
            assert "Noémie L." in part
            assert "Collège des Tilleuls" in part
            assert "Confirmez seulement si vous l’avez demandé." in part
            assert "24 heures" in part
            for secret in (account.username, "LEROY", "Malo", OLD):
                assert secret not in part
        assert old["Subject"] == "Votre adresse mail va changer"
        text = text_of(old)
        assert account.username in text
        assert "72 heures" in text
        assert NEW not in text
        [alarm] = re.findall(r"https://connexion\.exemple\.test(/adresse/contestation/\S{43})\s", text)
        assert heading(app.test_client().get(alarm)) == "Ce n’était pas vous ?"
        phone = app.test_client()
        assert heading(submit(phone, phone.get(link_of(new)), mot_de_passe=PASSWORD)) == CONFIRMED
        last = office.deliver()[-1]
    assert (last["To"], last["Subject"]) == (OLD, "Votre adresse mail a changé")
    assert "/adresse/contestation/" in text_of(last)


@pytest.mark.row("S-07")
def test_a_mail_of_a_cancelled_change_is_not_sent(app: Flask, browser: FlaskClient, build: Build) -> None:
    _asked(browser, build)
    submit(browser, browser.get(EMAIL_PAGE), garder="1")
    with post_office(app) as office:
        assert [mail["To"] for mail in office.deliver()] == [OLD]


@pytest.mark.row("S-07")
def test_a_late_notice_carries_no_expired_link(app: Flask, browser: FlaskClient, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        _asked(browser, build)
        clock.shift(timedelta(hours=72))
        with post_office(app) as office:
            [notice] = [mail for mail in office.deliver() if mail["To"] == OLD]
    assert "/adresse/contestation/" not in text_of(notice)
    assert "Ce n’était pas moi" not in html_of(notice)


@pytest.mark.row("E-10")
def test_the_page_of_a_first_address_is_not_that_of_a_change(browser: FlaskClient, build: Build) -> None:
    _asked(browser, build)
    answer = browser.get("/adresse/confirmation")
    assert heading(answer) == CONFIRMED
    data = {"csrf_token": form_token(browser.get(EMAIL_PAGE)), "mail": "voleur@exemple.fr"}
    browser.post("/adresse/modifier", data=data)
    browser.post("/adresse/confirmation", data=data)
    assert "voleur" not in browser.get(EMAIL_PAGE).text, "no other address without the password"
