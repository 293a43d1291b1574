"""E-05 and E-12: « Ce n’était pas moi » stops a change or closes the account, and gives no access."""

from datetime import timedelta

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
from idp.outbox.queue import OutboxMessage
from idp.sessions.ending import SESSIONS_ENDED
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.closed import contest, former_email
from tests.email_confirmation.alarms import ASKS, CLOSED, DONE, alarms, confirm, stop, told_schools
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.my_account.changes import (
    ACCOUNT,
    CHOSEN,
    NEW,
    OLD,
    at_once,
    change_email,
    change_password,
    enter,
    form,
    journal,
    links,
    path_of,
    read_notices,
    reload_account,
)
from tests.pages import follow, form_token, heading, sign_in
from tests.recovery.steps import ask_password, ask_username
from tests.settlements import CONFIRM, REJECT, settle

DEAD = "Ce lien ne marche plus"
CUT = "Ce lien est incomplet"


@pytest.mark.row("E-05")
def test_the_alarm_stops_a_change_that_waits(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active(children=[build.child(), build.child("Inès", uai=LYCEE)])
    intruder, owner = enter(browser, account), enter(app.test_client(), account)
    change_email(intruder)
    [change], [alarm] = links(account, Purpose.CHANGE_EMAIL), alarms(build, account)
    assert "/mot-de-passe-oublie" in stop(app, alarm)
    row = reload_account(account)
    assert (row.email, row.pending_email, contest(row.id)) == (OLD, None, None)
    assert row.has_blocked_password
    assert not one_time_links.is_alive(change)
    for client in (intruder, owner):
        assert heading(follow(client, client.get("/mon-compte"))) == "Connexion"
    assert heading(sign_in(intruder, "/connexion", account.username, PASSWORD)) == "Choisissez un nouveau mot de passe"
    assert told_schools(account) == [(COLLEGE, "email_change_stopped"), (LYCEE, "email_change_stopped")]
    assert journal(account, "email.change_contested") == [{"applied": False, "uais": [COLLEGE, LYCEE]}]
    assert [entry["by"] for entry in journal(account, "sessions.ended")] == ["contested"]
    assert len(db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == SESSIONS_ENDED)).all()) == 1
    assert read_notices(account) == [("adresse_change", OLD), ("changement_arrete", "")]


@pytest.mark.row("E-05", "E-11")
def test_an_applied_change_that_is_contested_closes_the_account(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        change_email(browser)
        confirm(app, build, parent)
        reset = one_time_links.issue(
            build.settings, Purpose.RESET_PASSWORD, parent, email=NEW, lifetime=timedelta(minutes=30)
        )
        db.session.commit()
        clock.shift(timedelta(hours=1))
        _, second = alarms(build, parent)
        question = app.test_client().get(second)
        assert "l’établissement décide quelle adresse est la bonne" in question.text
        page = stop(app, second, CLOSED)
        assert "l’établissement de votre enfant" in page
        assert "Tilleuls" not in page
        row = reload_account(parent)
        assert (row.email, row.mailbox, row.pending_email) == (NEW, NEW, None)
        assert former_email(row.id) == OLD
        assert row.has_blocked_password
        assert not one_time_links.is_alive(reset)
        assert heading(follow(browser, browser.get("/mon-compte"))) == "Connexion"
        assert journal(parent, "email.change_contested") == [{"applied": True, "uais": [COLLEGE]}]
        assert sorted(read_notices(parent)[2:]) == [("adresse_contestee", NEW), ("adresse_contestee", OLD)]


@pytest.mark.row("E-05", "E-11")
def test_both_mailboxes_get_instructions_and_no_link(app: Flask, browser: FlaskClient, build: Build) -> None:
    build.school().phone = "03 53 01 40 40"
    db.session.commit()
    account = build.active()
    enter(browser, account)
    change_email(browser)
    confirm(app, build, account)
    with post_office(app) as office:
        before = len(office.deliver())
        stop(app, alarms(build, account)[0], CLOSED)
        mails = office.deliver()[before:]
    closed = [mail for mail in mails if mail["Subject"] == "Votre compte est fermé pour le moment"]
    assert sorted(mail["To"] for mail in closed) == [NEW, OLD]
    for mail in closed:
        assert account.username in text_of(mail)
        assert "Dites-le au secrétariat de l’établissement de votre enfant." in text_of(mail)
        assert "http" not in text_of(mail)
        for text in (text_of(mail), html_of(mail)):
            assert "Tilleuls" not in text, "the former mailbox does not learn where the children are"
            assert "03 53 01 40 40" not in text


@pytest.mark.row("E-05")
def test_the_owners_alarm_and_an_intruders_one_leave_three_addresses_to_the_school(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    # After two changes the intruder's first email must not count as the owner's.
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        change_email(browser)
        confirm(app, build, parent)
        clock.shift(timedelta(minutes=2))
        change_email(browser, "troisieme@exemple.fr")
        confirm(app, build, parent)
        own, _, intruders, _ = alarms(build, parent)
        clock.shift(timedelta(minutes=2))
        stop(app, intruders, CLOSED)
        assert former_email(parent.id) == NEW
        clock.shift(timedelta(minutes=2))
        stop(app, own, CLOSED)
    row = reload_account(parent)
    assert (row.email, former_email(row.id)) == ("troisieme@exemple.fr", None)
    assert contest(row.id) is not None


@pytest.mark.row("E-01")
def test_opening_the_alarm_does_not_stop_the_change(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    enter(browser, parent)
    change_email(browser)
    [alarm] = alarms(build, parent)
    scanner = app.test_client()
    for _ in range(10):
        page = scanner.get(alarm)
        assert heading(page) == ASKS
    assert (scanner.head(alarm).status_code, scanner.post(alarm).status_code) == (200, 400)
    for secret in (parent.username, "LEROY", "Noémie", "Malo", OLD, NEW, "Tilleuls", "http"):
        assert secret not in page.text
    assert reload_account(parent).pending_email == NEW
    assert heading(browser.get("/mon-compte")) == ACCOUNT


@pytest.mark.row("E-02")
def test_the_second_click_sees_the_result_of_the_first(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    enter(browser, parent)
    change_email(browser)
    [alarm] = alarms(build, parent)
    owner = app.test_client()
    data = {"csrf_token": form_token(owner.get(alarm))}
    for _ in range(3):
        answer = owner.post(alarm, data=data)
        assert (answer.status_code, answer.headers["Location"]) == (303, alarm)
    assert heading(owner.get(alarm)) == DONE
    assert (reload_account(parent).generation, len(told_schools(parent))) == (2, 1)


@pytest.mark.row("Z-03")
def test_concurrent_clicks_act_once_and_all_see_the_result(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    enter(browser, parent)
    change_email(browser)
    confirm(app, build, parent)
    first, second = alarms(build, parent)
    forms = []
    for alarm in (first, first, second, second):
        owner = app.test_client()
        forms.append(form(owner, owner.get(alarm)))
    assert sorted(answer["status"] for answer in at_once(build.settings, forms)) == [303, 303, 410, 410]
    row = reload_account(parent)
    assert (row.email, former_email(row.id), row.generation) == (NEW, OLD, 2)
    assert len(told_schools(parent)) == 1
    assert len(journal(parent, "email.change_contested")) == 1


@pytest.mark.row("Z-03")
def test_concurrent_alarm_and_confirmation_leave_the_account_consistent(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    accounts, forms = [], []
    for number in range(3):
        account = build.active(email=f"mere{number}@exemple.fr")
        enter(browser, account)
        change_email(browser, f"voleur{number}@exemple.fr")
        [change], [alarm] = links(account, Purpose.CHANGE_EMAIL), alarms(build, account)
        for path in (path_of(build.settings, change), alarm):
            phone = app.test_client()
            forms.append(form(phone, phone.get(path)))
        accounts.append(account)
    answers = at_once(build.settings, forms)
    assert [a["text"] for a in answers if a["status"] not in {200, 303, 410}] == []
    for number, account in enumerate(accounts):
        row = reload_account(account)
        former, new = f"mere{number}@exemple.fr", f"voleur{number}@exemple.fr"
        contested = contest(row.id) is not None
        assert (row.email, former_email(row.id)) == ((new, former) if contested else (former, None))
        assert row.pending_email is None
        assert row.has_blocked_password


@pytest.mark.row("E-05")
def test_the_alarm_stays_valid_after_the_intruders_change_of_password(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    enter(browser, parent)
    change_email(browser)
    confirm(app, build, parent)
    assert heading(change_password(browser)) == ACCOUNT
    stop(app, alarms(build, parent)[0], CLOSED)
    assert former_email(parent.id) == OLD
    assert heading(sign_in(browser, "/connexion", parent.username, CHOSEN)) == "Ce compte est fermé pour le moment"


@pytest.mark.row("E-05")
def test_an_intruders_alarm_does_not_disable_the_owners_alarm(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    # The intruder's confirmed email gets an alarm at the next change too, and must gain nothing.
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        change_email(browser)
        confirm(app, build, parent)
        clock.shift(timedelta(minutes=2))
        change_email(browser, "troisieme@exemple.fr")
        own, _, intruders = alarms(build, parent)
        clock.shift(timedelta(minutes=2))
        stop(app, intruders)
        assert reload_account(parent).email == NEW
        clock.shift(timedelta(minutes=2))
        stop(app, own, CLOSED)
        assert (reload_account(parent).email, former_email(parent.id)) == (NEW, OLD)
        assert app.test_client().get(alarms(build, parent)[1]).status_code == 410


@pytest.mark.row("E-05")
def test_the_owners_alarm_disables_the_younger_alarms(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        change_email(browser)
        confirm(app, build, parent)
        clock.shift(timedelta(minutes=2))
        change_email(browser, "troisieme@exemple.fr")
        own, _, intruders = alarms(build, parent)
        stop(app, own, CLOSED)
        dead = app.test_client().get(intruders)
        assert (dead.status_code, heading(dead)) == (410, DEAD)
    assert former_email(parent.id) == OLD


@pytest.mark.row("E-03")
def test_an_alarm_expires_after_72_hours(app: Flask, browser: FlaskClient, build: Build, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, parent)
        change_email(browser)
        [alarm] = alarms(build, parent)
        owner = app.test_client()
        question = owner.get(alarm)
        clock.shift(timedelta(hours=72) - timedelta(seconds=1))
        assert heading(owner.get(alarm)) == ASKS
        clock.shift(timedelta(seconds=1))
        for page in (owner.get(alarm), owner.post(alarm, data={"csrf_token": form_token(question)})):
            assert page.status_code in {400, 410}
        assert heading(owner.get(alarm)) == DEAD
    assert reload_account(parent).pending_email == NEW


@pytest.mark.row("E-03")
@pytest.mark.parametrize("damage", ["one_less", "upper", "random", "change"])
def test_a_damaged_alarm_is_refused(
    app: Flask, browser: FlaskClient, build: Build, damage: str, parent: Account
) -> None:
    enter(browser, parent)
    change_email(browser)
    [alarm] = alarms(build, parent)
    [change] = links(parent, Purpose.CHANGE_EMAIL)
    head, _, token = alarm.rpartition("/")
    broken = {
        "one_less": token[:-1],
        "upper": token.upper(),
        "random": "A" * 43,
        "change": path_of(build.settings, change).rpartition("/")[2],
    }[damage]
    owner = app.test_client()
    data = {"csrf_token": form_token(owner.get("/connexion"))}
    for page in (owner.get(f"{head}/{broken}"), owner.post(f"{head}/{broken}", data=data)):
        assert (page.status_code, heading(page)) == (410, CUT if damage == "one_less" else DEAD)
    assert reload_account(parent).pending_email == NEW
    assert not reload_account(parent).has_blocked_password


@pytest.mark.row("E-03")
def test_guesses_at_alarms_are_rate_limited(app: Flask) -> None:
    thief = app.test_client()
    for n in range(30):
        assert thief.get(f"/adresse/contestation/{n:043}").status_code == 410
    assert thief.get("/adresse/contestation/" + "B" * 43).status_code == 429


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
    assert reload_account(account).has_blocked_password


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
        assert (row.email, former_email(row.id), row.has_blocked_password) == (NEW, OLD, False)
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
    assert (row.email, contest(row.id)) == (OLD, None)
    assert row.has_blocked_password
