"""S-07 and the mail itself: from the outbox, through the worker, to a real SMTP server, and back by its link."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts import emails, one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import OneTimeLink
from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage
from tests.activation.steps import CHOSEN, EMAIL, activate, read_state
from tests.builders import Build
from tests.email_confirmation.post import html_of, link_of, post_office, text_of
from tests.pages import heading, submit

_CONFIRMED = "Confirmation de votre adresse mail"


def _outcomes() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(OutboxMessage.outcome).order_by(OutboxMessage.created_at)))


def test_the_mail_states_its_purpose_and_its_link_works(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    activate(browser, newcomer)
    with post_office(app) as office:
        [mail] = office.deliver()
        assert mail["To"] == EMAIL
    assert mail["From"].addresses[0].addr_spec == "ne-pas-repondre@exemple.fr"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = text_of(mail), html_of(mail)
    assert "Bonjour Noémie L.," in text
    code = one_time_links.code(build.settings, db.session.scalars(select(OneTimeLink)).one())
    assert mail["Subject"] == f"{code} – Activez votre compte"
    assert text.partition("\r\n")[0] == f"Votre code\xa0: {code}"
    for part in (text, html):
        assert newcomer.username not in part, "the address may be a stranger's"
        assert f"{code}" in part
        assert "24 heures" in part.replace("\xa0", " ")
        assert "ne demande jamais votre mot de passe" in part
        assert "Malo" not in part
        assert "<img" not in part
    assert html.count("<a href=") == 2, "the button, and the address in full"
    page = app.test_client().get(link_of(mail))
    assert heading(page) == "Confirmez votre adresse mail"
    assert heading(submit(browser, browser.get(link_of(mail)))) == _CONFIRMED
    assert read_state(newcomer.id).email == EMAIL


def test_a_reminder_says_that_the_school_reminds_and_what_to_do_now(app: Flask, build: Build) -> None:
    account = build.active(email=None, email_confirmed_at=None, pending_email=EMAIL)
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        emails.remind(build.settings, account.id)
        clock.shift(timedelta(hours=24))
        [mail] = office.deliver()
    assert _outcomes() == ["dropped", "sent"], "the link was over: another one was sent"
    assert mail["Subject"].endswith(" – Rappel : activez votre compte")
    for part in (text_of(mail), html_of(mail)):
        assert "L’établissement vous le rappelle" in part
        assert account.username not in part
        assert "la page vous demande ce code" in part
        assert "si vous l’avez demandé" not in part
        assert "la page où vous avez choisi" not in part


@pytest.mark.row("S-07")
def test_a_link_that_expired_in_the_outbox_is_issued_again(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        activate(browser, newcomer)
        clock.shift(timedelta(hours=24))
        [mail] = office.deliver()
        assert _outcomes() == ["dropped", "sent"]
        assert heading(submit(browser, browser.get(link_of(mail)), mot_de_passe=CHOSEN)) == _CONFIRMED
    assert read_state(newcomer.id).links == 2


@pytest.mark.row("S-07")
def test_a_link_that_was_replaced_in_the_outbox_is_dropped(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        waiting = activate(browser, newcomer, mail="premiere@exemple.fr")
        clock.shift(timedelta(seconds=61))
        page = browser.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
        submit(browser, page, mail="deuxieme@exemple.fr", mot_de_passe=CHOSEN)
        [mail] = [mail for mail in office.deliver() if mail["To"] == "deuxieme@exemple.fr"]
        assert _outcomes() == ["dropped", "sent", "sent"], "the second tells the first address"
        assert heading(submit(browser, browser.get(link_of(mail)))) == _CONFIRMED


@pytest.mark.row("S-07")
def test_mail_for_a_disabled_account_is_not_sent(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    activate(browser, newcomer)
    db.session.get_one(Account, newcomer.id).disabled_at = now()
    db.session.commit()
    with post_office(app) as office:
        assert office.deliver() == []
    assert _outcomes() == ["dropped"]


@pytest.mark.row("S-07")
def test_an_expired_link_is_replaced_at_the_same_address(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        activate(browser, newcomer)
        [first] = office.deliver()
        clock.shift(timedelta(hours=25))
        stranger = app.test_client()
        dead = stranger.get(link_of(first))
        assert heading(dead) == "Ce lien ne marche plus"
        response = submit(stranger, dead, renvoyer="1")
        assert heading(response) == "Regardez votre messagerie"
        assert EMAIL not in response.text
        submit(stranger, dead, renvoyer="1")  # no second mail within a minute
        _, second = office.deliver()
        assert second["To"] == EMAIL
        assert heading(submit(stranger, stranger.get(link_of(second)), mot_de_passe=CHOSEN)) == _CONFIRMED
    assert read_state(newcomer.id).links == 2


@pytest.mark.row("S-07")
def test_the_same_mail_sent_again_carries_the_same_link(app: Flask, browser: FlaskClient, newcomer: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        activate(browser, newcomer)
        office.mailbox.at_data = "drop"  # the server accepts the mail and disconnects before its reply
        office.deliver()
        office.mailbox.at_data = "250 OK"
        clock.shift(timedelta(hours=1))
        first, second = office.deliver()
    assert first["Message-ID"] == second["Message-ID"]
    assert link_of(first) == link_of(second)
