"""A suspended account signs in nowhere, a suspended tie gives an ENT no child."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.closings import Closing
from idp.accounts.models import Account, Guardianship
from idp.accounts.notices import NOTICE
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families import closing
from idp.families.closing import Decision
from idp.families.refusals import Code
from idp.oidc.logout.back_channel import LOGOUT
from idp.operations.purge import unused_accounts
from idp.sessions.ending import SESSIONS_ENDED
from tests.builders import COLLEGE, LYCEE, PASSWORD, PROVISIONAL, Build
from tests.commands.accounts import waiting
from tests.commands.conftest import Events, Run
from tests.email_confirmation.post import post_office, text_of as mail_text
from tests.pages import follow, heading, sign_in
from tests.protocol.flow import OFFLINE, refused, tokens_for
from tests.recovery.steps import ask_password, ask_username
from tests.relying_party import Attempt
from tests.rows import each_row
from tests.settlements import refused as refused_act
from tests.waiting_guardians import wait

WHY = "jugement du 3 novembre"
CLOSED = "Ce compte est fermé pour le moment"


def row_of(account: Account) -> Closing:
    return db.session.scalars(select(Closing).where(Closing.account_id == account.id)).one()


@pytest.mark.row("K-25")
def test_a_suspended_account_signs_in_nowhere_and_its_tokens_end_for_ever(
    act: Run, app: Flask, build: Build, browser: FlaskClient, events: Events
) -> None:
    ent = build.ent(scopes=OFFLINE)
    account = build.active()
    sign_in(browser, "/connexion", account.username, PASSWORD)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    row = closing.close(account.id, Decision(reason=WHY, reference="RG 26/1", school=build.school()))
    assert (row.until, row.sessions_ended) == (None, 1)
    assert waiting(SESSIONS_ENDED)
    assert follow(browser, browser.get("/mon-compte")).request.path == "/connexion"
    stranger = app.test_client()
    refusal = sign_in(stranger, "/connexion", account.username, PASSWORD)
    assert heading(refusal) == CLOSED
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401
    refused(ent.refresh(browser, tokens["refresh_token"]), "invalid_grant")
    [event] = events("account.closed")
    assert event.account_id == account.id
    assert event.details["reason"] == WHY
    assert (event.details["uai"], event.details["sessions"], event.details["child"]) == (COLLEGE, 1, "")

    assert act("account", "reopen", account.username, "--school", COLLEGE, "--reason", "réglé").code == 0
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401
    assert heading(sign_in(stranger, "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
    [event] = events("account.reopened")
    assert event.details["reason"] == "réglé"
    again = act("account", "reopen", account.username, "--reason", "réglé")
    assert "nothing of" in again.err


@pytest.mark.row("K-37")
def test_the_right_password_of_a_suspended_account_says_since_when_and_whom_to_ask(
    app: Flask, build: Build, events: Events
) -> None:
    college, lycee = build.school(), build.school(LYCEE)
    college.phone = lycee.phone = "03 53 01 40 40"
    db.session.commit()
    account, other = build.active(), build.active(email="autre@exemple.fr")
    own, elsewhere, academy = build.active(), build.active(), build.active()
    for person, school in ((account, college), (own, college), (elsewhere, lycee), (academy, None)):
        closing.close(person.id, Decision(reason=WHY, school=school))
    wrongs = [
        sign_in(app.test_client(), "/connexion", person.username, "un autre mot de passe")
        for person in (account, other)
    ]
    assert [heading(page) for page in wrongs] == ["Connexion", "Connexion"]
    assert [event.details["reason"] for event in events("sign_in")] == ["wrong", "wrong"]
    texts = {}
    for person in (own, elsewhere, academy):
        page = sign_in(app.test_client(), "/connexion", person.username, PASSWORD)
        assert heading(page) == CLOSED
        texts[person.id] = page.text
        assert WHY not in page.text
        assert "Votre compte est suspendu depuis le" in page.text
    assert "Collège des Tilleuls" in texts[own.id]
    assert 'href="tel:+33353014040"' in texts[own.id]
    assert lycee.name not in texts[elsewhere.id], "the person has no child there"
    assert "Demandez à la direction" in texts[elsewhere.id]
    assert "l’assistance de l’académie" in texts[academy.id]
    assert [event.details["answer"] for event in events("recovery.password")] == ["closed"] * 3


@pytest.mark.row("K-37")
def test_recovery_of_a_suspended_account_says_it_to_the_mailbox_alone(app: Flask, build: Build) -> None:
    account, unknown = build.active(), "n.leroy9999"
    closing.close(account.id, Decision(reason=WHY, school=build.school()))
    with post_office(app) as post:
        before = len(post.deliver())
        pages = [ask_password(app.test_client(), username) for username in (account.username, unknown)]
        ask_username(app.test_client(), account.email or "")
        answer, listed = sorted(post.deliver()[before:], key=lambda mail: str(mail["Subject"]))
    assert len({heading(page) for page in pages}) == 1
    assert answer["Subject"] == "Votre compte est suspendu"
    assert "Collège des Tilleuls" in mail_text(answer)
    assert account.username in mail_text(listed)
    assert "Ce compte est suspendu" in " ".join(mail_text(listed).split())


@pytest.mark.row("K-37")
def test_the_person_of_a_suspended_tie_learns_it_by_mail_and_on_both_pages(
    app: Flask, build: Build, browser: FlaskClient
) -> None:
    ent = build.ent()
    malo = build.child("Malo")
    account, other = build.active(children=[malo]), build.active(email="pere@exemple.fr", children=[malo])
    sign_in(browser, "/connexion", account.username, PASSWORD)
    closing.close(account.id, Decision(reason=WHY, child=malo.id, school=build.school()))
    with post_office(app) as post:
        [mail] = post.deliver()
    assert (mail["To"], mail["Subject"]) == (account.email, "Votre accès à un élève est fermé")
    for secret in ("Malo", WHY):
        assert secret not in mail_text(mail), "other people may read the mailbox"
    mine = browser.get("/mon-compte").text
    refusal = follow(browser, browser.get(ent.url(Attempt())))
    assert heading(refusal) == "Votre accès à cet élève est fermé"
    for page in (mine, refusal.text):
        assert "Votre accès à cet élève est fermé depuis le" in page
        assert "Demandez à la direction" in page
        assert WHY not in page
    sign_in(parent := app.test_client(), "/connexion", other.username, PASSWORD)
    assert "fermé" not in parent.get("/mon-compte").text


@pytest.mark.row("K-37")
def test_a_tie_that_waits_for_the_head_names_no_pupil(build: Build, browser: FlaskClient) -> None:
    malo = build.child("Malo")
    account = build.active(children=[malo])
    wait(account, malo.id)
    sign_in(browser, "/connexion", account.username, PASSWORD)
    assert "Malo" not in browser.get("/mon-compte").text


def test_a_suspension_ends_by_itself_at_its_instant(app: Flask, build: Build) -> None:
    account = build.active()
    until = now() + timedelta(hours=2)
    closing.close(account.id, Decision(reason=WHY, until=until))
    with time_machine.travel(until - timedelta(seconds=1), tick=False):
        assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == CLOSED
    with time_machine.travel(until, tick=False):
        assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == "Gérer mon compte"


def test_the_mail_promises_no_return_while_a_tie_stays_suspended(app: Flask, build: Build) -> None:
    until = now() + timedelta(days=2)
    for days in (0, 1, 3):
        account = build.active(email=f"p{days}@exemple.fr")
        if days:
            child, end = account.guardianships[0].child_id, now() + timedelta(days=days)
            closing.close(account.id, Decision(reason=WHY, child=child, until=end))
        closing.close(account.id, Decision(reason=WHY, until=until))
    with post_office(app) as post:
        mails = {mail["To"]: " ".join(mail_text(mail).split()) for mail in post.deliver()}
    assert len([text for text in mails.values() if "La suspension finit le" in text]) == 3, mails
    promised = [to for to, text in mails.items() if "Ensuite, vous vous connecterez" in text]
    assert sorted(promised) == ["p0@exemple.fr", "p1@exemple.fr"]


@each_row(("year", "code"), [(9999, Code.END_TOO_FAR), (1, Code.END_IN_THE_PAST)])
def test_an_end_out_of_reach_is_refused(build: Build, year: int, code: Code) -> None:
    account = build.active()
    with refused_act(code):
        closing.close(account.id, Decision(reason=WHY, until=datetime(year, 12, 31, tzinfo=UTC)))
    assert closing.holding(account.id, None) == []


def test_a_letter_opens_no_suspended_account_and_none_is_printed(act: Run, app: Flask, build: Build) -> None:
    build.ent()
    account = build.never_activated()
    closing.close(account.id, Decision(reason=WHY))
    assert heading(sign_in(app.test_client(), "/connexion", account.username, PROVISIONAL)) == CLOSED
    answer = act("letters", "print", "--username", account.username, "--out", "courriers.pdf")
    assert answer.code == 1
    assert "is closed: its letter could not be used" in answer.err


def test_a_person_whose_tie_is_suspended_gets_no_bulk_letter(act: Run, build: Build) -> None:
    build.ent()
    account = build.never_activated()
    [tie] = account.guardianships
    closing.close(account.id, Decision(reason=WHY, child=tie.child_id))
    answer = act("letters", "print", "--school", COLLEGE, "--renew", "--out", "courriers.pdf")
    assert f"{account.username} is closed" in answer.err


@pytest.mark.row("K-25")
def test_a_suspended_tie_leaves_the_claims_and_the_ent_keeps_the_other_child(
    act: Run, build: Build, browser: FlaskClient, events: Events
) -> None:
    ent = build.ent(scopes=OFFLINE)
    malo, zoe = build.child("Malo"), build.child("Zoé")
    account = build.active(children=[malo, zoe])
    sign_in(browser, "/connexion", account.username, PASSWORD)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    closing.close(account.id, Decision(reason=WHY, child=malo.id))
    claims = ent.userinfo(browser, tokens["access_token"]).get_json()
    assert [child["given_name"] for child in claims["children"]] == ["Zoé"]
    renewed = ent.refresh(browser, tokens["refresh_token"])
    assert renewed.status_code == 200
    claims = ent.userinfo(browser, renewed.get_json()["access_token"]).get_json()
    assert [child["given_name"] for child in claims["children"]] == ["Zoé"], "also with what the ENT renews"
    assert str(malo.id) not in renewed.text
    assert "Malo" not in renewed.text
    page = browser.get("/mon-compte").get_data(as_text=True)
    assert "Votre accès à cet élève est fermé depuis le" in page.partition("Malo")[2]
    [event] = events("account.closed")
    assert event.details["child"] == str(malo.id)
    assert [mail["notice"] for mail in waiting(NOTICE)] == ["acces_ferme"]


@pytest.mark.row("K-25")
def test_a_person_whose_last_tie_is_suspended_is_out_of_that_ent_alone(
    act: Run, build: Build, browser: FlaskClient
) -> None:
    college = build.ent(scopes=OFFLINE, backchannel_logout_uri="https://ent.test/bc")
    lycee = build.ent("Horizon", "horizon.test", uais=[LYCEE], scopes=OFFLINE)
    malo, zoe = build.child("Malo"), build.child("Zoé", uai=LYCEE)
    account = build.active(children=[malo, zoe])
    sign_in(browser, "/connexion", account.username, PASSWORD)
    here, there = tokens_for(browser, college, scope=OFFLINE), tokens_for(browser, lycee, scope=OFFLINE)
    until = now() + timedelta(days=3)
    closing.close(account.id, Decision(reason=WHY, child=malo.id, school=build.school(COLLEGE), until=until))
    db.session.expire_all()
    assert waiting(LOGOUT)
    assert college.userinfo(browser, here["access_token"]).status_code == 401
    refused(college.refresh(browser, here["refresh_token"]), "invalid_grant")
    assert lycee.userinfo(browser, there["access_token"]).get_json()["uai"] == [LYCEE]
    with time_machine.travel(until, tick=False):
        assert [child.given_name for child in account.children] == ["Malo", "Zoé"]
    assert [child.given_name for child in account.children] == ["Zoé"]


def test_a_school_suspends_ties_of_its_own_pupils_only(build: Build) -> None:
    zoe = build.child("Zoé", uai=LYCEE)
    account = build.active(children=[build.child(), zoe])
    with refused_act(Code.NO_SUCH_TIE):
        closing.close(account.id, Decision(reason=WHY, child=zoe.id, school=build.school(COLLEGE)))
    assert not db.session.scalars(select(Closing)).all()


def test_a_second_click_is_one_suspension_and_a_longer_one_takes_its_place(build: Build) -> None:
    account, school = build.active(), build.school()
    day = now() + timedelta(days=1)
    first = closing.close(account.id, Decision(reason=WHY, until=day, school=school))
    assert closing.close(account.id, Decision(reason=WHY, until=day, school=school)).id == first.id
    longer = closing.close(account.id, Decision(reason=WHY, school=school))
    db.session.expire_all()
    assert (first.ended_by, longer.ended_at) == ("replaced", None)
    assert account.announced_end is None
    with refused_act(Code.CLOSED_LONGER):
        closing.close(account.id, Decision(reason=WHY, until=day, school=school))


def test_reopening_one_of_two_suspensions_leaves_the_other(build: Build) -> None:
    account, school = build.active(), build.school()
    of_school = closing.close(account.id, Decision(reason=WHY, school=school))
    of_academy = closing.close_for_a_day(account.id, WHY, "")
    assert closing.close_for_a_day(account.id, WHY, "").id == of_academy.id
    closing.reopen(of_school.id, "réglé")
    db.session.expire_all()
    assert account.is_shut_at(now())
    assert account.announced_end == of_academy.until
    closing.reopen(of_academy.id, "réglé")
    db.session.expire_all()
    assert not account.is_shut_at(now())
    with refused_act(Code.CLOSING_OVER):
        closing.reopen(of_academy.id, "réglé")


def test_no_purge_removes_a_suspension_and_an_erasure_keeps_it(act: Run, build: Build) -> None:
    moment = now()
    account = build.active(activated_at=moment - timedelta(days=5000), email=None)
    [tie] = account.guardianships
    until, child_id = moment + timedelta(days=2), tie.child_id
    closing.close(account.id, Decision(reason=WHY, child=child_id, until=until))
    with unit_of_work():
        db.session.get_one(Guardianship, (account.id, child_id)).ended_at = moment - timedelta(days=4000)
    with unit_of_work():
        assert unused_accounts.remove_ended_links(moment) == 0
        assert not unused_accounts.remove(account.id, unused_accounts.removable(build.settings, moment))
    answer = act("account", "erase", account.username, "--yes", "--reason", "demande")
    assert "the closed access to 1 child: any new guardian of such a child waits" in answer.out
    assert "the school's file names the person" not in answer.out, "no file named the person"
    [row] = db.session.scalars(select(Closing))
    assert not db.session.scalar(select(Closing.account_id)), "nothing says whose it was"
    assert (row.child_id, row.until, row.reason) == (child_id, until, "")


def test_an_erasure_keeps_nothing_of_a_guardian_who_only_waited(act: Run, build: Build) -> None:
    account = build.active()
    wait(account)
    assert act("account", "erase", account.username, "--yes", "--reason", "demande").code == 0
    assert db.session.query(Closing).count() == 0


def test_a_suspended_account_without_a_child_is_not_erased(act: Run, build: Build) -> None:
    account = build.active(children=[])
    closing.close_for_a_day(account.id, WHY, "")
    answer = act("account", "erase", account.username, "--yes", "--reason", "demande")
    assert (answer.code, "nothing can be kept of the closing" in answer.err) == (1, True)
