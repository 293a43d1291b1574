"""A confirmed change of email that is then disputed: no mailbox recovers the account, and the school decides."""

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts import notices as mails
from idp.accounts.models import Account, RemovalWarning
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db
from idp.families.disputes import Outcome
from idp.families.refusals import Code
from tests.activation.steps import fill_in
from tests.builders import COLLEGE, PASSWORD, Build
from tests.closed import contest, former_email
from tests.commands.accounts import living, reload_account
from tests.commands.conftest import Events, Run
from tests.commands.disputes import CLOSED, alarms, apply_change, contested, notices, tried
from tests.commands.families import pages, secret_on
from tests.commands.remains import DAY, purged
from tests.email_confirmation.post import post_office, text_of
from tests.my_account.changes import CHOSEN, NEW, OLD, change_email, enter, links, path_of
from tests.pages import follow, heading, sign_in, submit
from tests.protocol.flow import OFFLINE, tokens_for
from tests.recovery.steps import DONE, answers, ask_password, ask_username, choose, link_of
from tests.settlements import CONFIRM, REASON, REJECT, refused, settle

pytestmark = pytest.mark.row("E-11")

CONTESTED = "Le compte est fermé"


def test_a_contested_account_is_never_recovered_by_mail(app: Flask, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock, post_office(app) as office:
        account = contested(app, build)
        old = len(office.deliver())
        replies = [ask_password(app.test_client(), account.username), ask_username(app.test_client(), OLD)]
        for page in replies:
            assert "compte ouvert" in page.text
            assert "Compte fermé après un signalement" in page.text
        for days in (0, 4, 100):
            clock.shift(timedelta(days=days))
            thief = app.test_client()
            ask_password(thief, account.username)
            for email in (OLD, NEW):
                ask_username(app.test_client(), email)
            assert heading(sign_in(thief, "/connexion", account.username, PASSWORD)) == CLOSED
            assert office.deliver()[old:] == []
            clock.shift(timedelta(hours=1))
        assert set(answers()) == {"disputed"}
        assert links(account, Purpose.RESET_PASSWORD) == []


def test_a_contest_revokes_every_session_and_token(app: Flask, build: Build) -> None:
    ent = build.ent(scopes=OFFLINE)
    account = build.active()
    intruder = enter(app.test_client(), account)
    issued = tokens_for(intruder, ent, scope=OFFLINE)
    change_email(intruder)
    apply_change(app, build, account)
    reset = app.test_client()
    with post_office(app) as office:
        ask_password(reset, account.username)
        [sent] = [mail for mail in office.deliver() if mail["Subject"] == "Choisissez un nouveau mot de passe"]
        former = app.test_client()
        submit(former, former.get(alarms(build, account)[0]))
        assert reset.get(link_of(sent)).status_code == 410
    assert ent.userinfo(intruder, issued["access_token"]).status_code == 401
    assert ent.refresh(intruder, issued["refresh_token"]).status_code == 400
    assert heading(follow(intruder, intruder.get("/mon-compte"))) == "Connexion"
    assert living(account) == 0


def test_a_known_browser_does_not_open_a_contested_account(app: Flask, build: Build) -> None:
    account = build.active()
    intruder = enter(app.test_client(), account)
    change_email(intruder)
    apply_change(app, build, account)
    former = app.test_client()
    submit(former, former.get(alarms(build, account)[0]))
    page = sign_in(intruder, "/connexion", account.username, PASSWORD)
    assert heading(page) == CLOSED
    assert "Collège des Tilleuls" in page.text


def test_the_page_of_a_link_names_no_school_and_the_page_after_the_password_does(app: Flask, build: Build) -> None:
    build.school().phone = "03 53 01 40 40"
    db.session.commit()
    account = contested(app, build)
    page = app.test_client().get(alarms(build, account)[-1])
    assert heading(page) == CONTESTED
    assert "Dites-le au secrétariat de l’établissement de votre enfant." in page.text
    assert 'href="tel:+33353011212"' in page.text, "the help line"
    assert not any(word in page.text for word in ("Tilleuls", "53 01 40 40", "+33353014040"))
    inside = sign_in(app.test_client(), "/connexion", account.username, PASSWORD)
    assert 'href="tel:+33353014040"' in inside.text
    assert "il décide, ou vous donne un nouveau courrier" in inside.text
    assert "sera prévenu" not in page.text, "nobody reads the notices of a school without a mail address at once"
    build.school().email = "secretariat@exemple.fr"
    db.session.commit()
    assert "L’établissement sera prévenu par mail" in app.test_client().get(alarms(build, account)[-1]).text


def test_the_confirmation_link_of_a_contested_email_reveals_nothing(app: Flask, build: Build) -> None:
    account = contested(app, build)
    [confirmed] = [link for link in links(account, Purpose.CHANGE_EMAIL) if link.used_at is not None]
    page = app.test_client().get(path_of(build.settings, confirmed))
    assert heading(page) == "Ce lien ne marche plus"


@pytest.mark.parametrize("command", ["unlock", "enable", "block"])
def test_other_acts_do_not_open_a_contested_account(act: Run, app: Flask, build: Build, command: str) -> None:
    account = contested(app, build)
    tried(build, account, command)
    assert former_email(account.id) == OLD
    assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == CLOSED
    shown = act("account", "show", account.username).out
    assert "address contested" in shown
    assert OLD not in shown


@pytest.mark.parametrize(("outcome", "keeps", "drops"), [(CONFIRM, OLD, NEW), (REJECT, NEW, OLD)])
def test_the_email_kept_by_the_school_recovers_the_account(
    app: Flask, build: Build, events: Events, outcome: Outcome, keeps: str, drops: str
) -> None:
    account = contested(app, build)
    with post_office(app) as office:
        old = len(office.deliver())
        settle(build.settings, account, outcome)
        mails = {str(mail["To"]): mail for mail in office.deliver()[old:]}
        assert mails[keeps]["Subject"] == "L’établissement a gardé cette adresse mail"
        assert mails[drops]["Subject"] == "L’établissement a écarté cette adresse mail"
        for secret in (account.username, "Tilleuls"):
            assert secret not in text_of(mails[drops]), (
                "the mailbox that is dropped does not learn where the children are"
            )
        after = reload_account(account)
        assert (after.email, contest(after.id), former_email(after.id)) == (keeps, None, None)
        parent = app.test_client()
        assert (
            heading(sign_in(parent, "/connexion", account.username, PASSWORD)) == "Choisissez un nouveau mot de passe"
        )
        mail = office.deliver()[-1]
        assert mail["To"] == keeps
        assert heading(choose(parent, link_of(mail), CHOSEN)) == DONE
    assert heading(sign_in(parent, "/connexion", account.username, CHOSEN)) == "Gérer mon compte"
    assert notices(account) == [(COLLEGE, "email_contested", [], True, REASON)]
    [event] = events("dispute.settled")
    assert (event.details["reason"], event.details["before"]) == (REASON, "contested")
    assert "exemple.fr" in event.details["after"]
    with refused(Code.SETTLED):
        settle(build.settings, account, outcome, kind=Kind.EMAIL_CONTESTED)


def test_the_other_mailbox_cannot_contest_after_the_decision(app: Flask, build: Build) -> None:
    account = contested(app, build)
    settle(build.settings, account, REJECT)
    former = app.test_client()
    for alarm in alarms(build, account):
        page = former.get(alarm)
        assert heading(page) in {"Ce lien ne marche plus", "Ce lien a déjà servi"}
        assert "est gardée" not in page.text
    assert contest(account.id) is None


def test_a_third_email_leaves_no_former_email_to_confirm(app: Flask, build: Build) -> None:
    account = build.active()
    with time_machine.travel(now(), tick=False) as clock:
        intruder = enter(app.test_client(), account)
        for email in (NEW, "troisieme@exemple.fr"):
            change_email(intruder, email)
            apply_change(app, build, account)
            clock.shift(timedelta(minutes=2))
        owners, _, intruders, _ = alarms(build, account)
        for alarm in (intruders, owners):
            mailbox = app.test_client()
            assert heading(submit(mailbox, mailbox.get(alarm))) == CONTESTED
    with refused(Code.NO_FORMER_EMAIL):
        settle(build.settings, account, CONFIRM)
    assert contest(account.id) is not None


def test_the_use_of_a_new_letter_settles_a_contested_email(
    act: Run, app: Flask, build: Build, tmp_path: Path, events: Events
) -> None:
    build.ent()
    account, out = contested(app, build), tmp_path / "lettre.pdf"
    with post_office(app) as office:
        old = len(office.deliver())
        answer = act("letters", "print", "--username", account.username, "--reason", REASON, "--out", str(out))
        assert answer.code == 0, answer.err
        assert sorted(str(mail["To"]) for mail in office.deliver()[old:]) == [NEW, OLD], (
            "K-05: whoever claims it is told"
        )
    assert contest(account.id) is not None, "a letter that was printed has not served"
    assert [notice[3] for notice in notices(account)] == [False]
    with refused(Code.NEW_LETTER):
        settle(build.settings, account, CONFIRM)
    parent = app.test_client()
    page = sign_in(parent, "/connexion", account.username, secret_on(pages(out)[0]))
    assert heading(fill_in(parent, page, mail="parent@exemple.fr")) == "Consultez votre messagerie"
    after = reload_account(account)
    assert (contest(after.id), former_email(after.id), after.email) == (None, None, None)
    assert notices(account) == [(COLLEGE, "email_contested", [], True, "a new letter was used")]
    assert [event.details["outcome"] for event in events("dispute.settled")] == ["letter"]


def test_a_contested_account_is_neither_warned_nor_removed(act: Run, app: Flask, build: Build) -> None:
    account = contested(app, build, activated_at=now() - 800 * DAY, last_sign_in_at=now() - 700 * DAY)
    row = db.session.get_one(Account, account.id)
    row.last_sign_in_at = now() - 700 * DAY
    db.session.commit()
    assert "accounts_warned" not in purged(act)
    row = db.session.get_one(Account, account.id)
    row.removal_warning = RemovalWarning(warned_at=now() - 60 * DAY)
    db.session.commit()
    assert "accounts_removed" not in purged(act)
    assert former_email(account.id) == OLD


def test_a_mailbox_that_is_contested_gets_no_notice_of_the_account(app: Flask, build: Build) -> None:
    account = contested(app, build)
    with post_office(app) as office:
        old = len(office.deliver())
        mails.tell(Notice.MANY_TRIES, account.id)
        mails.tell(Notice.INACTIVE, account.id)
        db.session.commit()
        assert office.deliver()[old:] == []


def test_an_unconfirmed_change_is_stopped_without_a_contest(app: Flask, build: Build) -> None:
    account = build.active()
    change_email(enter(app.test_client(), account))
    owner = app.test_client()
    assert heading(submit(owner, owner.get(alarms(build, account)[0]))) == "Le changement est arrêté"
    with post_office(app) as office:
        old = len(office.deliver())
        ask_password(owner, account.username)
        [mail] = [
            message for message in office.deliver()[old:] if message["Subject"] == "Choisissez un nouveau mot de passe"
        ]
    assert mail["To"] == OLD
    assert heading(choose(owner, link_of(mail), CHOSEN)) == DONE


def test_a_new_letter_that_joins_another_account_settles_the_contest(
    act: Run, app: Flask, browser: FlaskClient, build: Build, tmp_path: Path
) -> None:
    build.ent()
    account, out = contested(app, build), tmp_path / "lettre.pdf"
    mine = build.active(email="parent@exemple.fr", children=[tie.child for tie in account.guardianships])
    printing = ("letters", "print", "--username", account.username, "--reason", REASON, "--out", str(out))
    assert act(*printing).code == 0
    enter(browser, mine)
    secret = secret_on(pages(out)[0])
    submit(browser, browser.get("/mon-compte/courrier"), identifiant=account.username, mot_de_passe=secret)
    after = reload_account(account)
    assert (after.merge and after.merge.into_id, contest(after.id)) == (mine.id, None)
    assert reload_account(mine).email == "parent@exemple.fr"
