"""M-01, M-04 to M-06, E-05, E-07 and I-09 for the address: who may change it, and what is told to whom."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import Purpose
from idp.clock import now
from idp.db import db
from idp.email_confirmation import contest
from idp.services import services_of
from idp.sessions.models import Session
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
    reload_account,
)
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.protocol.nodes import node
from tests.rows import each_row


@pytest.mark.row("M-01")
@pytest.mark.parametrize("current", ["", "faux, complètement", PASSWORD + " "])
def test_the_present_password_is_asked_for_however_long_ago_the_sign_in_was(
    browser: FlaskClient, current: str, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        clock.shift(timedelta(minutes=20))
        page = change_email(browser, current=current)
        assert heading(page) == EMAIL_TITLE
        assert errors(page) == [WRONG if current else "Tapez votre mot de passe actuel."]
        assert f'value="{NEW}"' in page.text, "what was typed is not lost"
        assert (read_emails(parent), read_notices(parent)) == ((OLD, None), [])


@pytest.mark.row("E-05")
def test_former_address_stays_and_is_notified_until_the_new_address_is_confirmed(
    browser: FlaskClient, parent: Account
) -> None:
    enter(browser, parent)
    page = change_email(browser)
    assert page.request.path == EMAIL_PAGE
    assert WAITING in page.text
    assert page.text.index(NEW) < page.text.index(OLD)
    assert (read_emails(parent), read_notices(parent)) == ((OLD, NEW), [("adresse_change", OLD)])
    [alarm], [change] = links(parent, Purpose.CONTEST_EMAIL), links(parent, Purpose.CHANGE_EMAIL)
    assert (alarm.email, alarm.expires_at - alarm.created_at) == (OLD, timedelta(hours=72))
    assert (change.email, change.expires_at - change.created_at) == (NEW, timedelta(hours=24))
    assert journal(parent, "email.change_asked") == [{"mail_domain": "exemple.fr"}]


@pytest.mark.row("E-05")
def test_former_address_is_notified_again_after_the_confirmation(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    enter(browser, parent)
    change_email(browser)
    [change] = links(parent, Purpose.CHANGE_EMAIL)
    phone = app.test_client()
    done = submit(phone, phone.get(path_of(build.settings, change)), mot_de_passe=PASSWORD)
    assert "Votre nouvelle adresse est confirmée." in done.text
    assert (read_emails(parent), reload_account(parent).mailbox) == ((NEW, None), NEW)
    assert read_notices(parent) == [("adresse_change", OLD), ("adresse_changee", OLD)]
    assert [link.email for link in links(parent, Purpose.CONTEST_EMAIL)] == [OLD, OLD]
    assert heading(follow(browser, browser.get("/mon-compte"))) == ACCOUNT, "the session goes on"
    assert NEW in browser.get("/mon-compte").text
    assert heading(follow(phone, phone.get("/mon-compte"))) == "Connexion", "the link signs nobody in"


@pytest.mark.row("M-06")
@each_row(
    ("typed", "reason"),
    [
        ("", "Tapez une adresse mail."),
        ("a@exemple.fr\r\nBcc: b@exemple.fr", "Cette adresse n’est pas écrite comme une adresse mail."),
        ("Noemie.Leroy@EXEMPLE.fr", "C’est déjà l’adresse de votre compte. Donnez-en une autre."),
        (f"  {OLD} ", "C’est déjà l’adresse de votre compte. Donnez-en une autre."),
    ],
)
def test_an_address_is_refused_with_its_reason(browser: FlaskClient, typed: str, reason: str, parent: Account) -> None:
    enter(browser, parent)
    [error] = errors(change_email(browser, typed))
    assert error.startswith(reason), error
    assert read_emails(parent) == (OLD, None)
    assert not [entry for entry in journal(parent, "sign_in") if "reason" in entry], "no try is counted for it"


@pytest.mark.row("M-06")
@pytest.mark.parametrize(
    ("typed", "email", "key"),
    [
        ("N.Leroy@EXEMPLE.fr", "N.Leroy@exemple.fr", "n.leroy@exemple.fr"),
        ("nom@exemplé.fr", "nom@xn--exempl-gva.fr", "nom@xn--exempl-gva.fr"),
        ("nom@\u0435\u0445emple.fr", "nom@xn--emple-ywe6i.fr", "nom@xn--emple-ywe6i.fr"),
    ],
    ids=["upper case", "IDN", "homoglyph"],
)
def test_an_address_is_kept_as_typed_with_a_folded_key(
    browser: FlaskClient, build: Build, typed: str, email: str, key: str, parent: Account
) -> None:
    enter(browser, parent)
    change_email(browser, typed)
    [link] = links(parent, Purpose.CHANGE_EMAIL)
    submit(browser, browser.get(path_of(build.settings, link)))
    assert (reload_account(parent).email, reload_account(parent).mailbox) == (email, key)


def test_an_account_without_any_address_gives_its_first_one(build: Build, database_url: str) -> None:
    account = build.active(email=None)
    with node(database_url, mail_required=False) as app, app.app_context():
        browser = enter(app.test_client(), account)
        assert "Votre compte n’a pas encore d’adresse mail." in browser.get(EMAIL_PAGE).text
        assert heading(change_email(browser)) == "Consultez votre messagerie"
        assert read_notices(account) == [], "nobody to tell"
        [link] = links(account, Purpose.CONFIRM_EMAIL)
        assert "Votre compte a été validé." in submit(browser, browser.get(path_of(build.settings, link))).text
        assert read_emails(account) == (NEW, None)
        assert links(account, Purpose.CONTEST_EMAIL) == []
        db.session.remove()


@pytest.mark.row("E-05")
def test_session_ended_during_the_password_check_changes_nothing(
    app: Flask, browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch, parent: Account
) -> None:
    # The owner's « Ce n’était pas moi » arrives between the hash and the change.
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        change_email(browser)
        clock.shift(timedelta(seconds=61))
        [alarm] = links(parent, Purpose.CONTEST_EMAIL)
        value = str(one_time_links.token(build.settings, alarm))
        hasher = services_of(app).hasher
        verify = hasher.verify

        def stopped_meanwhile(password_hash: str | None, password: str, lane: Any) -> bool:
            contest.stop(build.settings, value)
            return bool(verify(password_hash, password, lane))

        page = browser.get(f"{EMAIL_PAGE}?autre=1")
        monkeypatch.setattr(hasher, "verify", stopped_meanwhile)
        answer = submit(browser, page, actuel=PASSWORD, mail="voleur@exemple.fr")
    assert heading(answer) == "Connexion"
    assert read_emails(parent) == (OLD, None)
    assert db.session.scalars(select(Session.id).where(Session.ended_at.is_(None))).all() == []


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
    submit(phone, phone.get(path_of(build.settings, change)), renvoyer="1")
    assert len(links(parent, Purpose.CHANGE_EMAIL)) == 1
    assert heading(submit(browser, waiting, garder="1")) == EMAIL_TITLE, "a second click finds the form"
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
