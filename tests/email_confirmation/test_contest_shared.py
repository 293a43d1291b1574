"""E-12: the alarm of a mailbox that is, or was, another account's too."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from tests.builders import COLLEGE, PASSWORD, Build
from tests.email_confirmation.alarms import CLOSED, alarms, confirm, stop, told_schools
from tests.email_confirmation.post import post_office, text_of
from tests.my_account.changes import ACCOUNT, NEW, OLD, change_email, enter, reload_account
from tests.pages import follow, heading, sign_in
from tests.recovery.steps import ask_password, ask_username
from tests.settlements import CONFIRM, REJECT, settle


@pytest.mark.row("E-12")
def test_an_own_second_account_with_the_mailbox_leaves_a_thief_no_password(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account, _ = build.active(), build.active()
    with post_office(app):
        enter(browser, account)
        change_email(browser)
        confirm(app, build, account)
        stop(app, alarms(build, account)[-1], CLOSED)
    assert reload_account(account).password_blocked_at is not None


@pytest.mark.row("E-12")
@pytest.mark.parametrize("is_former", [False, True])
def test_an_alarm_of_a_shared_mailbox_leaves_the_password_and_closes_the_rest(
    app: Flask, browser: FlaskClient, build: Build, *, is_former: bool
) -> None:
    account, other = build.active(), build.active(given_name="Karim")
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        enter(browser, account)
        change_email(browser)
        confirm(app, build, account)
        if is_former:
            db.session.get_one(Account, other.id).email = "karim@exemple.fr"
            db.session.commit()
        before = len(office.deliver())
        clock.shift(timedelta(hours=1))
        alarm = alarms(build, account)[-1]
        assert "le mot de passe marche encore" in app.test_client().get(alarm).text
        stop(app, alarm, "Le changement est signalé")
        row = reload_account(account)
        assert (row.email, row.contested_email, row.password_blocked_at) == (NEW, OLD, None)
        assert heading(follow(browser, browser.get("/mon-compte"))) == "Connexion", "sessions end"
        assert told_schools(account) == [(COLLEGE, "email_contested")]
        [mail] = office.deliver()[before:]
        assert (mail["To"], mail["Subject"]) == (NEW, "Votre changement d’adresse mail est contesté")
        enter(browser, account)
        assert "L’adresse ne peut plus changer" in browser.get("/mon-compte/adresse").text
        ask_password(app.test_client(), account.username)
        ask_username(app.test_client(), NEW)
        assert len(office.deliver()) == before + 1, "no mail recovers the account"
        settle(build.settings, account, REJECT)
        [kept, _] = sorted(office.deliver()[before + 1 :], key=lambda mail: mail["To"] != NEW)
        assert "Connectez-vous comme avant." in text_of(kept)
        assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == ACCOUNT


@pytest.mark.row("E-12")
def test_a_shared_mailbox_that_is_right_ends_the_password(app: Flask, browser: FlaskClient, build: Build) -> None:
    account, _ = build.active(), build.active(given_name="Karim")
    enter(browser, account)
    change_email(browser)
    confirm(app, build, account)
    stop(app, alarms(build, account)[-1], "Le changement est signalé")
    settle(build.settings, account, CONFIRM)
    row = reload_account(account)
    assert (row.email, row.contested_at) == (OLD, None)
    assert row.password_blocked_at is not None
