"""W-02: strangers ask for a new password of an account, from any number of networks, and its owner still chooses one.

At any moment the account's mailbox gets a new mail, or has one whose link works.
"""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask

from idp.accounts.models import Account
from idp.clock import now
from idp.families import acts
from tests.builders import PASSWORD as KNOWN, PROVISIONAL, Build
from tests.email_confirmation.post import PostOffice, post_office, text_of
from tests.pages import heading, sign_in, submit
from tests.recovery.steps import (
    CHOSEN,
    DEAD,
    DONE,
    FORM,
    LOOK,
    OTHER,
    WAIT,
    answers,
    ask_password,
    choose,
    flood,
    from_ip,
    link_of,
    read_account_row,
)

_MAILBOX = "famille@exemple.fr"


def _pass_the_pauses(app: Flask, clock: time_machine.Traveller, office: PostOffice, username: str) -> None:
    """Let strangers cause mails until the pause between two of them is the longest."""
    for number, minutes in enumerate((0, 1, 1, 5, 10, 20, 30)):
        clock.shift(timedelta(minutes=minutes))
        ask_password(from_ip(app, f"2001:db8:aa:{number}::1"), username)
        office.deliver()


@pytest.mark.row("W-02", "G-13")
@pytest.mark.parametrize("requests", [15, 30])
def test_the_owner_on_a_new_device_gets_a_link_after_a_flood(app: Flask, parent: Account, requests: int) -> None:
    with time_machine.travel(now(), tick=False), post_office(app) as office:
        flood(app, parent.username, requests)
        device = from_ip(app, "203.0.113.1")
        page = ask_password(device, parent.username)
        assert heading(page) == LOOK
        assert "un lien part maintenant, ou il est déjà parti il y a peu." in page.text
        [mail] = office.deliver()
        assert heading(choose(device, link_of(mail))) == DONE
    assert sorted(answers()) == ["capped", "link"], "the journal has the first refusal of an hour"


@pytest.mark.row("W-02", "G-13", "F-04")
def test_a_day_of_requests_sends_few_mails_and_the_newest_link_works_at_any_moment(app: Flask, parent: Account) -> None:
    before = read_account_row(parent)
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        for number in range(24 * 60 // 9):
            assert heading(ask_password(from_ip(app, f"2001:db8:{number:x}::1"), parent.username)) == LOOK
            newest = office.deliver()[-1]
            assert heading(app.test_client().get(link_of(newest))) == FORM, number
            clock.shift(timedelta(minutes=9))
        mails = office.deliver()
    assert 20 < len(mails) <= 30
    assert {minutes for mail in mails for minutes in ("30", "60") if f"valable {minutes} minutes" in text_of(mail)} == {
        "30",
        "60",
    }
    assert read_account_row(parent) == before
    assert heading(sign_in(app.test_client(), "/connexion", parent.username, KNOWN)) == "Gérer mon compte"


@pytest.mark.row("W-02", "G-05")
def test_the_request_of_a_stranger_ends_no_link_and_a_new_password_ends_all(app: Flask, parent: Account) -> None:
    device = from_ip(app, "203.0.113.1")
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        ask_password(device, parent.username)
        [own] = office.deliver()
        page = device.get(link_of(own))
        clock.shift(timedelta(minutes=1))
        flood(app, parent.username, 2)
        [_, other] = office.deliver()
        assert heading(device.get(link_of(other))) == FORM
        assert heading(submit(device, page, nouveau=CHOSEN, confirmation=CHOSEN)) == DONE
        answer = device.get(link_of(other))
        assert (answer.status_code, heading(answer)) == (410, DEAD)
        assert "ou votre compte a changé depuis." in answer.text


@pytest.mark.row("W-02")
def test_a_stranger_in_the_owners_network_holds_a_new_device_up_for_a_minute(app: Flask, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        for _ in range(12):
            assert heading(ask_password(from_ip(app, "203.0.113.1"), parent.username)) == LOOK
            stopped = ask_password(from_ip(app, "203.0.113.1"), parent.username)
            assert (stopped.status_code, heading(stopped)) == (429, WAIT)
            assert stopped.headers["Retry-After"] == "60"
            newest = office.deliver()[-1]
            assert heading(app.test_client().get(link_of(newest))) == FORM
            clock.shift(timedelta(minutes=1))


@pytest.mark.row("W-02")
def test_a_known_browser_has_its_own_mails(app: Flask, parent: Account) -> None:
    phone = from_ip(app, "203.0.113.1")
    sign_in(phone, "/connexion", parent.username, KNOWN)
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        clock.shift(timedelta(minutes=1))
        flood(app, parent.username)
        ask_password(from_ip(app, "203.0.113.1"), parent.username)
        assert len(office.deliver()) == 1
        assert heading(ask_password(phone, parent.username)) == LOOK
        assert len(office.deliver()) == 2


@pytest.mark.row("W-02")
def test_a_letter_opens_its_activation_after_a_flood(app: Flask, newcomer: Account) -> None:
    flood(app, newcomer.username)
    assert heading(sign_in(app.test_client(), "/connexion", newcomer.username, PROVISIONAL)) == "Activez votre compte"


@pytest.mark.row("W-02")
def test_requests_for_one_parent_hold_up_no_mail_of_another_at_the_same_mailbox(app: Flask, build: Build) -> None:
    mother, father = (build.active(email=_MAILBOX, given_name=name) for name in ("Noémie", "Yann"))
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        _pass_the_pauses(app, clock, office, mother.username)
        clock.shift(timedelta(minutes=31))
        ask_password(from_ip(app, "203.0.113.1"), father.username)
        newest = office.deliver()[-1]
        assert father.username in text_of(newest)
        assert heading(choose(app.test_client(), link_of(newest))) == DONE


@pytest.mark.row("W-02")
def test_an_owner_who_used_the_link_gets_another_one_in_the_same_pause(app: Flask, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        _pass_the_pauses(app, clock, office, parent.username)
        assert heading(choose(app.test_client(), link_of(office.deliver()[-1]))) == DONE
        clock.shift(timedelta(minutes=2))
        ask_password(from_ip(app, "203.0.113.1"), parent.username)
        newest = office.deliver()[-1]
        assert heading(choose(app.test_client(), link_of(newest), OTHER)) == DONE


@pytest.mark.row("W-02")
def test_unlocking_an_account_sends_the_next_mail_at_once(app: Flask, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        _pass_the_pauses(app, clock, office, parent.username)
        clock.shift(timedelta(minutes=2))
        ask_password(from_ip(app, "203.0.113.1"), parent.username)
        before = len(office.deliver())
        acts.unlock(parent.id)
        ask_password(from_ip(app, "203.0.113.2"), parent.username)
        assert len(office.deliver()) == before + 1
