"""E-04, E-05, E-10 and M-01 while a new email is pending: resend the message, correct or cancel the change."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import Purpose
from idp.clock import now
from tests.builders import PASSWORD, Build
from tests.my_account.changes import (
    ACCOUNT,
    EMAIL_PAGE,
    EMAIL_TITLE,
    NEW,
    OLD,
    WAITING,
    WRONG,
    change_email,
    enter,
    errors,
    journal,
    links,
    path_of,
    read_emails,
    read_notices,
)
from tests.pages import form_token, heading, sign_in, submit


@pytest.mark.row("E-05")
def test_keeping_the_former_address_revokes_the_link_but_not_the_alarm(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    enter(browser, parent)
    waiting = change_email(browser)
    response = submit(browser, waiting, garder="1")
    assert heading(response) == ACCOUNT
    assert "Vous gardez votre adresse mail actuelle." in response.text
    assert read_emails(parent) == (OLD, None)
    assert len(journal(parent, "email.change_cancelled")) == 1
    [change], [alarm] = links(parent, Purpose.CHANGE_EMAIL), links(parent, Purpose.CONTEST_EMAIL)
    assert (one_time_links.is_alive(change), one_time_links.is_alive(alarm)) == (False, True)
    phone = app.test_client()
    dead = phone.get(path_of(build.settings, change))
    submit(phone, dead, renvoyer="1")
    assert len(links(parent, Purpose.CHANGE_EMAIL)) == 1
    again = submit(browser, waiting, garder="1")
    assert heading(again) == EMAIL_TITLE, "a second click finds the form"
    assert len(journal(parent, "email.change_cancelled")) == 1


@pytest.mark.row("E-10")
def test_the_message_is_sent_again_after_a_minute_and_only_the_last_link_works(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        waiting = change_email(browser)
        assert "Vous pourrez renvoyer le message dans 60&nbsp;s." in waiting.text
        clock.shift(timedelta(seconds=59))
        early = submit(browser, waiting, renvoyer="1")
        assert (early.status_code, early.headers["Retry-After"]) == (429, "1")
        assert "Le message n’est pas reparti." in early.text
        assert heading(early) == EMAIL_TITLE
        clock.shift(timedelta(seconds=1))
        sent = submit(browser, waiting, renvoyer="1")
        assert (sent.status_code, sent.request.full_path) == (200, f"{EMAIL_PAGE}?fait=renvoi")
        assert "Un nouveau message est parti à" in sent.text
        first, second = links(parent, Purpose.CHANGE_EMAIL)
        phone = app.test_client()
        assert phone.get(path_of(build.settings, first)).status_code == 410
        assert phone.get(path_of(build.settings, second)).status_code == 200
    assert read_notices(parent) == [("adresse_change", OLD)], "the former mailbox is told once"


@pytest.mark.row("E-10")
def test_a_change_to_the_same_mailbox_waits_and_keeps_what_was_typed(browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False):
        enter(browser, parent)
        submit(browser, change_email(browser), garder="1")
        early = change_email(browser, NEW.upper())
        assert (early.status_code, early.headers["Retry-After"]) == (429, "60")
        assert errors(early) == ["Un message vient de partir. Vous pourrez enregistrer cette adresse dans 60 secondes."]
        assert f'value="{NEW.upper()}"' in early.text
        assert read_emails(parent) == (OLD, None)
        # the pause applies to one mailbox only
        assert WAITING in change_email(browser, "encore@exemple.fr").text


@pytest.mark.row("E-10")
def test_a_slip_in_the_password_uses_no_message_up(browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False):
        enter(browser, parent)
        assert errors(change_email(browser, current="faux")) == [WRONG]
        assert WAITING in change_email(browser).text
    assert read_emails(parent) == (OLD, NEW)


@pytest.mark.row("M-01")
def test_a_session_alone_neither_keeps_the_former_address_nor_corrects_the_first(
    browser: FlaskClient, app: Flask, build: Build
) -> None:
    confirmed, waiting = build.active(), build.active(email=None, pending_email="attend@exemple.fr")
    other = app.test_client()
    with time_machine.travel(now(), tick=False) as clock:
        change_email(enter(browser, confirmed))
        sign_in(other, "/connexion", waiting.username, PASSWORD)
        clock.shift(timedelta(minutes=6))
        data = {"csrf_token": form_token(browser.get(EMAIL_PAGE)), "garder": "1"}
        assert browser.post(EMAIL_PAGE, data=data).headers["Location"] == "/mon-compte/verification?suite=adresse"
        assert read_emails(confirmed) == (OLD, NEW)
        form = {"csrf_token": form_token(other.get("/adresse/confirmation")), "mail": "voleur@exemple.fr"}
        for typed in ({}, {"mot-de-passe": "faux"}):
            page = other.post("/adresse/modifier", data={**form, **typed})
            assert heading(page) == "Modifiez votre adresse mail"
        assert read_emails(waiting) == (None, "attend@exemple.fr")
