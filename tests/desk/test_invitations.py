"""Invitations to the desk: once, for 24 hours, replaced by a younger one; a reset ends what was before at its use."""

import re
import uuid
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.audit.models import AuditEntry
from idp.clock import last_day, now
from idp.db import db
from idp.desk.staff.models import CredentialKind, Role, StaffAccount, StaffCredential, StaffInvitation, StaffRole
from idp.desk.staff.posts import Grant
from idp.desk.team import invitations
from idp.desk.team.mails import NEW_CREDENTIAL
from idp.outbox.queue import OutboxMessage
from idp.services import services
from tests.authenticator import Authenticator, options
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk import authenticator
from tests.desk.colleagues import Colleagues, is_in, post
from tests.desk.conftest import DeskBrowser
from tests.desk.test_alerts import text_of
from tests.desk.test_codes import enrol as enrol_code
from tests.desk.test_team import PERSON, invited, roles_of, text
from tests.pages import form_token, heading
from tests.racing import Racer, race

GONE = "Ce lien ne marche plus"


def is_gone(browser: FlaskClient, link: str) -> bool:
    token = form_token(browser.get("/connexion"))
    page = browser.get(link)
    answers = [
        browser.post(path, data={"csrf_token": token, "passkey": "{}"})
        for path in (link, f"{link}/defi", f"{link}/code")
    ]
    statuses = {answer.status_code for answer in (page, *answers)}
    assert statuses in ({410}, {200})
    return statuses == {410} and heading(page) == GONE


def staff_of(link: str) -> StaffAccount:
    return invitations.person_of(link.rpartition("/")[2])


def credentials(staff: StaffAccount) -> dict[str, int]:
    rows = db.session.execute(
        select(StaffCredential.kind, func.count())
        .where(StaffCredential.staff_id == staff.id)
        .group_by(StaffCredential.kind)
    )
    return {kind.value: count for kind, count in rows}


def test_an_unknown_link_is_gone(visitor: FlaskClient) -> None:
    for token in ("x", "A" * 43, "%00", "é" * 43, "A" * 3000):
        page = visitor.get(f"/invitation/{token}")
        assert page.status_code == 410
        assert heading(page) == GONE


def test_a_link_is_shown_with_what_it_gives(visitor: FlaskClient, colleagues: Colleagues) -> None:
    link = colleagues.invited("Sylvie Marchand")
    page = visitor.get(link).get_data(as_text=True)
    for words in ("Bonjour Sylvie Marchand.", "Secrétariat, Collège des Tilleuls", staff_of(link).email):
        assert words in page
    assert not is_gone(visitor, link)


def test_the_mail_says_for_which_role_and_what_the_desk_is(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    colleagues.invited("Sylvie Marchand")
    sent: list[str] = []
    monkeypatch.setattr("idp.desk.team.mails.deliver", lambda mail, _to: sent.append(text_of(mail)))
    invitations.hand_over(db.session.query(OutboxMessage).one(), services().settings)
    [mail] = sent
    assert "Une invitation au bureau vous attend : Secrétariat, Collège des Tilleuls." in mail.replace("\u00a0", " ")


def enrol_at_once(racer: Racer) -> tuple[int, bool]:
    """Enrol by the link of the order, with a passkey that is ready; return the status, and whether it signs in."""
    with racer.app.app_context():
        browser, link = DeskBrowser(racer.app), racer.order
        form = {"passkey": Authenticator().create(options(browser, f"{link}/defi", link))}
        form["csrf_token"] = form_token(browser.get(link))
        racer.wait_for_others()
        status = browser.post(link, data=form).status_code
        return status, is_in(browser)


@pytest.mark.parametrize("is_reset", [False, True])
def test_one_of_several_browsers_at_once_enrols(desk: Flask, colleagues: Colleagues, *, is_reset: bool) -> None:
    """A link that gives a lost access back opens the account of a person who has enrolled: nothing else refuses it."""
    lost = colleagues.person()
    colleagues.grant(lost, Role.SECRETARY)
    link = colleagues.reset(lost) if is_reset else colleagues.invited()
    staff = staff_of(link)
    answers = race(enrol_at_once, colleagues.build.settings.database_url, link, at_desk=True)
    assert sorted(answers) == [[200, True], *[[410, False]] * 3]
    assert credentials(staff) == {"passkey": 1}


def test_a_link_is_valid_for_a_day(visitor: FlaskClient, colleagues: Colleagues) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        link = colleagues.invited()
        clock.shift(timedelta(hours=24) - timedelta(seconds=1))
        assert not is_gone(visitor, link)
        clock.shift(timedelta(seconds=1))
        assert is_gone(visitor, link)


def test_a_younger_link_replaces_the_older(visitor: FlaskClient, colleagues: Colleagues) -> None:
    older = colleagues.invited(email="sylvie@bureau.test")
    younger = colleagues.invited(email="Sylvie@Bureau.test")
    assert is_gone(visitor, older)
    assert not is_gone(visitor, younger)


def test_a_person_who_has_enrolled_gets_no_link(colleagues: Colleagues, build: object) -> None:
    _, staff = colleagues.enrolled(Authenticator())
    settings, school = colleagues.build.settings, colleagues.build.school()
    person, invitation = invitations.invite(settings, staff.email, "Autre Nom", Grant(Role.HEAD, [school]))
    assert invitation is None
    assert (person.id, person.name) == (staff.id, staff.name)


def test_a_role_is_granted_again_and_never_shortened(colleagues: Colleagues) -> None:
    staff = colleagues.person()
    role, settings = colleagues.grant(staff, Role.HEAD, days=90), colleagues.build.settings
    end = role.valid_until
    for days, expected in ((10, end), (100, now() + timedelta(days=100))):
        grant = Grant(Role.HEAD, [colleagues.build.school()], until=now() + timedelta(days=days))
        invitations.invite(settings, staff.email, staff.name, grant)
        db.session.expire_all()
        [row] = db.session.scalars(select(StaffRole).where(StaffRole.staff_id == staff.id))
        assert abs(row.valid_until - expected) < timedelta(minutes=1)
        entry = db.session.scalars(
            select(AuditEntry).where(AuditEntry.kind == "staff.role_granted").order_by(AuditEntry.id.desc()).limit(1)
        ).one()
        assert entry.details["until"] == last_day(row.valid_until).isoformat()


def test_a_link_of_before_an_enrolment_adds_nothing(visitor: FlaskClient, colleagues: Colleagues) -> None:
    link = colleagues.invited()
    staff_of(link).enrolled_at = now()
    db.session.commit()
    assert is_gone(visitor, link)


def test_the_end_of_an_account_ends_its_link(visitor: FlaskClient, colleagues: Colleagues) -> None:
    link = colleagues.invited()
    assert invitations.disable(staff_of(link).id)
    assert is_gone(visitor, link)


def test_a_reset_ends_what_was_before_at_its_use_and_not_before(desk: Flask, colleagues: Colleagues) -> None:
    former = Authenticator()
    browser, staff = colleagues.enrolled(former)
    link = colleagues.reset(staff)
    assert browser.get("/").status_code == 200
    assert authenticator.sign_in(desk.test_client(), former).status_code == 303
    assert credentials(staff) == {"passkey": 1}
    key = Authenticator()
    assert heading(authenticator.enrol(desk.test_client(), link, key)) == "Votre accès est prêt"
    assert browser.get("/").headers["Location"] == "/connexion"
    assert credentials(staff) == {"passkey": 1}
    assert authenticator.sign_in(desk.test_client(), former).status_code == 200
    assert authenticator.sign_in(desk.test_client(), key).status_code == 303
    assert is_gone(desk.test_client(), link)


def test_a_reset_by_a_passkey_ends_the_password(desk: Flask, colleagues: Colleagues) -> None:
    link = colleagues.invited()
    staff = staff_of(link)
    with time_machine.travel(now(), tick=False):
        enrol_code(desk.test_client(), link)
    authenticator.enrol(desk.test_client(), colleagues.reset(staff), Authenticator())
    assert staff.password_hash is None
    assert CredentialKind.TOTP.value not in credentials(staff)


def test_a_person_who_came_back_has_nothing_of_before(desk: Flask, colleagues: Colleagues) -> None:
    former = Authenticator()
    browser, staff = colleagues.enrolled(former, Role.HEAD)
    invitations.disable(staff.id)
    link = colleagues.invited("Sylvie Marchand-Roy", email=staff.email)
    assert authenticator.sign_in(desk.test_client(), former).status_code == 200
    assert browser.get("/").status_code == 303
    assert credentials(staff) == {}
    key = Authenticator()
    browser = desk.test_client()
    authenticator.enrol(browser, link, key)
    page = browser.get("/").get_data(as_text=True)
    assert ("Secrétariat" in page, "Direction" in page) == (True, False)


def test_an_enrolment_takes_the_browser_from_whom_was_there(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    authenticator.enrol(browser, colleagues.invited("Ahmed Roux"), Authenticator())
    page = browser.get("/").get_data(as_text=True)
    assert ("Ahmed Roux" in page, "Sylvie Marchand" in page) == (True, False)


def test_the_token_is_in_no_table(colleagues: Colleagues) -> None:
    token = colleagues.invited().rpartition("/")[2]
    row = db.session.scalars(select(StaffInvitation)).one()
    message = db.session.scalars(select(OutboxMessage)).one()
    assert token not in f"{vars(row)} {message.payload}"
    assert message.payload == {"invitation": str(row.id)}


def test_the_journal_tells_who_was_invited_and_enrolled(colleagues: Colleagues) -> None:
    _, staff = colleagues.enrolled(Authenticator())
    colleagues.reset(staff)
    entries = db.session.scalars(
        select(AuditEntry).where(AuditEntry.kind.in_(["staff.invited", "staff.enrolled"])).order_by(AuditEntry.id)
    ).all()
    assert [(entry.kind, entry.details.get("reset"), uuid.UUID(entry.details["staff"])) for entry in entries] == [
        ("staff.invited", False, staff.id),
        ("staff.enrolled", None, staff.id),
        ("staff.invited", True, staff.id),
    ]


def test_who_has_the_role_already_gets_no_mail(colleagues: Colleagues) -> None:
    browser, person = colleagues.signed_in(Role.HEAD), {"nom": "Inès Nouvelle", "mail": "ines@college.test"}
    post(browser, "/equipe/inviter", role="secretary", **person)
    count = db.session.query(OutboxMessage).count()
    again = post(browser, "/equipe/inviter", role="secretary", **person)
    assert "Cette personne a déjà cet accès. Aucun mail n’est parti." in again.get_data(as_text=True)
    assert db.session.query(OutboxMessage).count() == count
    assert post(browser, "/equipe/inviter", role="head", **person).status_code == 303, "another role is news"


@pytest.mark.parametrize("account", ["none", "invited", "enrolled"])
def test_an_invitation_does_not_tell_whether_the_mailbox_has_an_account(
    colleagues: Colleagues, build: Build, account: str
) -> None:
    if account != "none":
        colleagues.invited("Nom d’ailleurs", email=PERSON["mail"])
    staff = invited()
    if staff and account == "enrolled":
        staff.enrolled_at = staff.last_sign_in_at = now() - timedelta(days=1)
        db.session.commit()
    browser = colleagues.signed_in(Role.HEAD, uai=LYCEE)
    answer = post(browser, "/equipe/inviter", role="secretary", **PERSON)
    assert answer.headers["Location"] == "/equipe?fait=invite"
    page = text(browser.get("/equipe?fait=invite"))
    row = page.partition(PERSON["mail"])[2].partition("</tr>")[0]
    assert ("invité" in row, "jamais" in row) == (True, True)
    assert not any(name in page for name in ("Nom d’ailleurs", PERSON["nom"]))
    staff = invited()
    assert staff
    key = next(role.id for role in roles_of(staff) if role.school_id == build.school(LYCEE).id)
    before = db.session.query(OutboxMessage).count()
    again = text(browser.get(f"/equipe/{key}/acces"))
    sentences = re.findall(r"<li>([^<]+)</li>", again.partition("<main")[2])
    assert [re.split(r"\.|\s:", sentence)[0] for sentence in sentences] == [
        "Un mail part à nouveau",
        "Si la personne n’a jamais utilisé le bureau",
        "Si elle l’utilise déjà ailleurs",
    ], "both cases, for every mailbox"
    assert post(browser, f"/equipe/{key}/acces").headers["Location"] == "/equipe?fait=renvoye"
    assert db.session.query(OutboxMessage).count() == before + 1
    message = db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.created_at.desc()).limit(1)).one()
    assert set(message.payload) == ({"staff"} if account == "enrolled" else {"invitation"}), "a link, or none"
    assert db.session.query(StaffInvitation).filter_by(is_reset=True).count() == 0
    staff.enrolled_at = staff.last_sign_in_at = now()
    db.session.commit()
    assert staff.name in text(browser.get("/equipe"))


def test_who_is_unseen_is_searched_sorted_journalled_and_told_by_the_mail_address(
    colleagues: Colleagues, build: Build
) -> None:
    build.school()
    elsewhere = colleagues.person("Zénobie Quatrefages")
    elsewhere.email = elsewhere.mailbox = PERSON["mail"]
    elsewhere.enrolled_at = elsewhere.last_sign_in_at = now() - timedelta(days=1)
    db.session.commit()
    colleagues.grant(elsewhere, Role.HEAD, uai=COLLEGE)
    browser = colleagues.signed_in(Role.HEAD, uai=LYCEE)
    post(browser, "/equipe/inviter", role="secretary", **PERSON)
    assert PERSON["mail"] in text(browser.get("/equipe?q=ines"))
    assert PERSON["mail"] not in text(browser.get("/equipe?q=Quatre"))
    page = browser.get("/journal")
    assert PERSON["mail"] in text(page)
    assert "Invitation au bureau" in text(page), "the entry that an unknown mailbox has"
    export = browser.post("/journal/export", data={"csrf_token": form_token(page), "format": "csv"})
    assert "Quatrefages" not in text(page) + text(export)
    db.session.add(StaffCredential(staff_id=elsewhere.id, kind=CredentialKind.TOTP, secret=b"encrypted"))
    db.session.commit()
    at_work, _ = colleagues.session(elsewhere)
    assert post(at_work, "/ma-securite/codes-de-secours", "/etablissements").status_code == 200
    mails = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == NEW_CREDENTIAL)).all()
    assert {mail.payload["recipient"] for mail in mails} == {str(elsewhere.id)}
