"""S-06, S-07 and the mailbox's share: a request waits in the outbox, its mail is sent again, its mailbox is full."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.accounts.notices import RESET_REQUESTED
from idp.clock import now
from idp.db import db
from tests.activation.steps import activate, newest_code
from tests.builders import Build, add_contest
from tests.email_confirmation.post import PostOffice, post_office, text_of
from tests.pages import heading, submit
from tests.recovery.steps import (
    DEAD,
    DONE,
    FORM,
    answers,
    ask_password,
    choose,
    from_ip,
    link_of,
    outbox,
)


def _outcomes() -> list[str]:
    return [message.outcome for message in outbox(RESET_REQUESTED)]


def _lose(office: PostOffice) -> None:
    """Let the server take the mails and hang up before it says so."""
    office.mailbox.at_data = "drop"
    office.deliver()
    office.mailbox.at_data = "250 OK"


def _refuse(office: PostOffice) -> None:
    office.mailbox.at_rcpt = "451 later"
    office.deliver()
    office.mailbox.at_rcpt = "250 OK"


@pytest.mark.row("S-06")
def test_the_same_mail_sent_again_carries_the_same_link_and_counts_once(
    app: Flask, browser: FlaskClient, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        ask_password(browser, parent.username)
        _lose(office)
        clock.shift(timedelta(seconds=59))
        first, second = office.deliver()
        assert (first["Message-ID"], link_of(first)) == (second["Message-ID"], link_of(second))
        assert answers() == ["link"]
        assert _outcomes() == ["sent"]
        clock.shift(timedelta(seconds=2))
        ask_password(browser, parent.username)
        assert len(office.deliver()) == 3, "the mail that was sent again took no second slot of the account"


@pytest.mark.row("S-07")
@pytest.mark.parametrize(("waited", "minutes"), [(14, 16), (16, 30), (180, 30), (23 * 60, 30)])
def test_a_link_that_waited_is_sent_with_time_left(
    app: Flask, browser: FlaskClient, waited: int, minutes: int, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        ask_password(browser, parent.username)
        _refuse(office)
        clock.shift(timedelta(minutes=waited))
        [mail] = office.deliver()
        assert f"Le lien est valable {minutes} minutes" in text_of(mail)
        clock.shift(timedelta(minutes=minutes, seconds=-1))
        assert heading(browser.get(link_of(mail))) == FORM
        clock.shift(timedelta(seconds=1))
        assert heading(browser.get(link_of(mail))) == DEAD


@pytest.mark.row("S-07")
@pytest.mark.parametrize("tried", [False, True])
def test_a_request_expires_after_a_day(app: Flask, browser: FlaskClient, parent: Account, *, tried: bool) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        ask_password(browser, parent.username)
        if tried:
            _refuse(office)
        clock.shift(timedelta(hours=24, seconds=1))
        assert office.deliver() == []
    assert _outcomes() == ["dropped"]
    assert answers() == (["link"] if tried else ["late"])


@pytest.mark.row("S-07")
def test_a_link_that_was_used_meanwhile_is_not_sent_again(app: Flask, browser: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        ask_password(browser, parent.username)
        _lose(office)
        [mail] = office.mailbox.mails()
        assert heading(choose(browser, link_of(mail))) == DONE
        clock.shift(timedelta(minutes=5))
        subjects = [str(mail["Subject"]) for mail in office.deliver()]
    assert subjects == ["Choisissez un nouveau mot de passe", "Votre mot de passe a changé"]
    assert _outcomes() == ["dropped"]


@pytest.mark.row("S-07")
@pytest.mark.parametrize("change", ["disabled_at", "contested", "email"])
def test_mail_is_not_sent_again_after_a_change_of_the_account(
    app: Flask, browser: FlaskClient, change: str, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        ask_password(browser, parent.username)
        _refuse(office)
        if change == "contested":
            add_contest(parent.id, now())
        else:
            value = "autre@exemple.fr" if change == "email" else now() + timedelta(days=3)
            setattr(db.session.get_one(Account, parent.id), change, value)
            db.session.commit()
        clock.shift(timedelta(minutes=5))
        assert office.deliver() == []
    assert _outcomes() == ["dropped"]


def test_a_stranger_ends_no_code_and_takes_no_message_of_an_activation(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    waiting = activate(browser, newcomer)
    code = newest_code(build.settings, newcomer.id)
    ask_password(app.test_client(), newcomer.username)
    with post_office(app) as office:
        assert [str(mail["Subject"])[:6] for mail in office.deliver()] == [code]
    assert answers() == ["unconfirmed"]
    assert "C’est activé" in submit(browser, waiting, code=code).text


@pytest.mark.row("S-07")
def test_reminder_is_not_sent_after_the_activation(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.never_activated(school_email="ecole@exemple.fr")
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        ask_password(browser, account.username)
        _refuse(office)
        row = db.session.get_one(Account, account.id)
        row.activated_at, row.email = now(), "noemie@exemple.fr"
        db.session.commit()
        clock.shift(timedelta(minutes=5))
        assert office.deliver() == []


def test_two_parents_who_share_a_mailbox_and_forget_at_once_both_get_their_link(app: Flask, build: Build) -> None:
    parents = [build.active(email="famille@exemple.fr"), build.active(email="Famille@exemple.fr")]
    with post_office(app) as office:
        for number, parent in enumerate(parents):
            ask_password(from_ip(app, f"203.0.113.{number}"), parent.username)
        mails = office.deliver()
        assert answers() == ["link", "link"]
        browser = app.test_client()
        for mail in mails:
            assert heading(choose(browser, link_of(mail))) == DONE
    usernames = [parent.username for parent in parents for mail in mails if parent.username in text_of(mail)]
    assert sorted(usernames) == sorted(parent.username for parent in parents)
