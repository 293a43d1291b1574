"""« Suspendre l’accès »: who suspends what, until when, and what ends with it."""

import uuid
from datetime import timedelta
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from idp.accounts.closings import Closing
from idp.accounts.models import Account
from idp.accounts.notices import NOTICE
from idp.audit.models import AuditEntry
from idp.clock import PARIS, end_of_day, now, today
from idp.db import db
from idp.desk.staff.models import Role
from idp.families import closing
from idp.families.closing import Decision
from idp.outbox.queue import OutboxMessage
from idp.sessions.models import Session
from idp.web.i18n import day
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.pages import heading

WHY = "le juge a décidé"


def path_of(account: Account) -> str:
    return f"/comptes/{account.id}/suspension"


def text_of(browser: FlaskClient, path: str) -> str:
    return plain(browser.get(path))


def plain(answer: TestResponse) -> str:
    return unescape(answer.get_data(as_text=True)).replace("\u202f", " ").replace("\xa0", " ")


def rows() -> list[Closing]:
    return list(db.session.scalars(select(Closing).order_by(Closing.begun_at)))


def session_of(account: Account) -> None:
    moment = now()
    db.session.add(
        Session(
            digest=uuid.uuid4().bytes * 2,
            sid=uuid.uuid4().hex,
            account_id=account.id,
            generation=account.generation,
            auth_time=moment,
            amr=["pwd"],
            last_seen_at=moment,
            expires_at=moment + timedelta(hours=1),
        )
    )
    db.session.commit()


@pytest.mark.parametrize("role", list(Role))
def test_only_the_head_reopens(colleagues: Colleagues, build: Build, role: Role) -> None:
    account, ent = build.active(), build.ent()
    row = closing.close(account.id, Decision(reason=WHY, school=build.school()))
    path = f"{path_of(account)}/{row.id}/reouverture"
    browser = colleagues.signed_in(role, client_id=ent.client_id if role is Role.ENT_OPERATOR else "")
    if role is not Role.HEAD:
        assert browser.get(path).status_code == 404
        assert post(browser, path, "/", reason="réglé").status_code == 404
        assert db.session.get_one(Account, account.id).is_shut_at(now())
        return
    assert heading(browser.get(path)) == "Rouvrir l’accès"
    answer = post(browser, path, reason="réglé")
    assert answer.headers["Location"] == f"/comptes/{account.id}?fait=rouvert"
    assert "C’est rouvert" in text_of(browser, answer.headers["Location"])
    assert not db.session.get_one(Account, account.id).is_shut_at(now())
    mails = db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == NOTICE))
    assert {mail["notice"] for mail in mails} == {"compte_suspendu", "compte_rouvert"}
    past = text_of(browser, path_of(account)).partition("Suspensions passées")[2]
    assert "par la direction (Sylvie Marchand)" in past


def test_a_suspended_account_says_first_and_afterwards_what_ends(colleagues: Colleagues, build: Build) -> None:
    account = build.active()
    session_of(account)
    staff = colleagues.person()
    colleagues.grant(staff, Role.SECRETARY)
    browser, _ = colleagues.session(staff)
    assert "Un appareil connecté est déconnecté tout de suite." in text_of(browser, path_of(account))
    answer = post(browser, path_of(account), scope="compte", reason=WHY, reference="RG 26/1", end="ouverte")
    done = text_of(browser, answer.headers["Location"])
    assert "<h1>Accès suspendu</h1>" in done
    assert "Un appareil est déconnecté, ici et dans les ENT." in done
    assert not db.session.scalar(select(func.count()).where(Session.ended_at.is_(None)))
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "account.closed"))
    assert (entry.staff_id, entry.school_id) == (staff.id, build.school().id)
    assert (entry.details["reason"], entry.details["reference"]) == (WHY, "RG 26/1")
    assert entry.details["desk"]["role"] == "secretary"
    [mail] = db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == NOTICE))
    assert mail["notice"] == "compte_suspendu"
    assert WHY not in str(mail)


def test_the_last_day_counts_until_midnight_in_paris(colleagues: Colleagues, build: Build) -> None:
    account = build.active()
    browser = colleagues.signed_in()
    day = (now().astimezone(PARIS) + timedelta(days=2)).date()
    answer = post(browser, path_of(account), scope="compte", reason=WHY, end="jour", until=f"{day:%d/%m/%Y}")
    assert answer.status_code == 303, plain(answer)
    [row] = rows()
    assert row.until is not None
    local = row.until.astimezone(PARIS)
    assert (local.date(), local.hour) == (day + timedelta(days=1), 0)
    account = db.session.get_one(Account, account.id)
    assert (account.is_shut_at(row.until - timedelta(seconds=1)), account.is_shut_at(row.until)) == (True, False)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"reason": " ", "end": "ouverte"}, "Écrivez le motif en quelques mots."),
        ({"scope": ""}, "Choisissez ce que vous suspendez."),
        ({"end": ""}, "Choisissez quand la suspension finit."),
        ({"end": "ouverte", "until": "2026-12-31"}, "Vous avez choisi « Sans date de fin »"),
        ({"end": "jour", "until": "demain"}, "Écrivez le dernier jour de la suspension."),
        ({"end": "jour", "until": "2020-01-01"}, "Ce jour est passé."),
        ({"end": "jour", "until": "9999-12-31"}, "Ce jour est trop loin."),
    ],
)
def test_a_form_with_a_fault_says_so_and_loses_nothing(
    colleagues: Colleagues, build: Build, fields: dict[str, str], sentence: str
) -> None:
    account = build.active(children=[build.child(), build.child("Zoé")])
    browser = colleagues.signed_in()
    filled = {"scope": "compte", "reason": WHY, "reference": "RG 26/1", "end": "ouverte"} | fields
    answer = post(browser, path_of(account), **filled)
    page = plain(answer)
    assert answer.status_code == 200
    assert sentence in page
    assert 'value="RG 26/1"' in page
    assert not rows()


def test_one_tie_ends_for_the_child_alone_and_a_mail_tells_the_person(colleagues: Colleagues, build: Build) -> None:
    build.ent("Passerelle", backchannel_logout_uri="https://ent.test/bc")
    build.ent("Horizon", "horizon.test")
    malo = build.child("Malo")
    account = build.active(children=[malo])
    session_of(account)
    browser = colleagues.signed_in()
    assert "cet ENT se ferme pour la personne : Horizon, Passerelle" in text_of(browser, path_of(account))
    answer = post(browser, path_of(account), scope=malo.id.hex, reason=WHY, end="ouverte")
    page = text_of(browser, answer.headers["Location"])
    assert "nous demandons à l’ENT de la déconnecter (Passerelle)" in page
    assert "Sans déconnexion à distance : Horizon." in page
    account = db.session.get_one(Account, account.id)
    assert account.children == []
    assert not account.is_shut_at(now())
    [mail] = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == NOTICE)).all()
    assert mail.payload["notice"] == "acces_ferme"


def test_the_help_desk_suspends_a_whole_account_for_a_day(colleagues: Colleagues, build: Build) -> None:
    malo = build.child("Malo")
    account = build.active(children=[malo])
    browser = colleagues.signed_in(Role.HELPDESK)
    assert "Malo" not in text_of(browser, path_of(account))
    assert post(browser, path_of(account), scope=malo.id.hex, reason=WHY, end="ouverte").status_code == 404
    for _ in range(2):
        assert post(browser, path_of(account), scope="compte", reason=WHY, end="ouverte").status_code == 303
    [row] = rows()
    page = text_of(browser, path_of(account))
    assert "ne le suspend pas deux fois" in page
    assert 'name="reason"' not in page
    other = post(browser, path_of(account), scope="compte", reason="un autre motif")
    assert "C’est à l’établissement de décider" in plain(other)
    assert [known.reason for known in rows()] == [WHY]
    assert row.until is not None
    assert row.until - row.begun_at <= timedelta(hours=24)
    assert row.school_id is None


@pytest.mark.row("K-15")
@pytest.mark.parametrize("is_reopened", [False, True])
def test_the_help_desk_does_not_string_days_together(
    colleagues: Colleagues, build: Build, *, is_reopened: bool
) -> None:
    account, browser = build.active(), colleagues.signed_in(Role.HELPDESK)
    post(browser, path_of(account), scope="compte", reason=WHY)
    [row] = rows()
    if is_reopened:
        closing.reopen(row.id, "la famille est venue")
    for hours, refused in ((24, True), (7 * 24 - 1, True), (7 * 24, False)):
        row.begun_at, row.until = now() - timedelta(hours=hours), now() - timedelta(hours=hours - 24)
        db.session.commit()
        page = text_of(browser, path_of(account))
        assert ("ne le suspend pas deux fois en 7 jours" in page, 'name="reason"' in page) == (refused, not refused)
        answer = post(browser, path_of(account), scope="compte", reason=WHY)
        assert ("C’est à l’établissement de décider" in plain(answer)) is refused
    assert len(rows()) == 2
    assert colleagues.signed_in(Role.HEAD).get(path_of(account)).status_code == 200, "the school sees and decides"


@pytest.mark.row("K-15")
def test_the_help_desk_suspends_ten_accounts_an_hour_and_each_post_is_an_opened_account(
    colleagues: Colleagues, build: Build
) -> None:
    family = [build.child()]  # one reason is enough
    people = [build.active(email=f"p{number}@exemple.fr", children=family) for number in range(12)]
    browser = colleagues.signed_in(Role.HELPDESK)
    refused = post(browser, path_of(people[0]), "/", scope="compte", reason="")
    assert "Écrivez le motif" in plain(refused)
    for person in people[:10]:
        assert post(browser, path_of(person), "/", scope="compte", reason=WHY).status_code == 303
        if person is people[0]:
            post(browser, path_of(person), "/", scope="compte", reason=WHY)  # a second click is not counted
    assert "Vous avez atteint le maximum de comptes suspendus : 10 par heure et 30 par jour" in plain(
        post(browser, path_of(people[10]), "/", scope="compte", reason=WHY)
    )
    post(browser, f"/comptes/{people[11].id}/debloquer", "/")
    assert len(rows()) == 10
    read = select(AuditEntry.account_id).where(AuditEntry.kind == "account.read")
    assert set(db.session.scalars(read)) == {person.id for person in people}
    other = colleagues.signed_in(Role.HELPDESK)
    assert post(other, path_of(people[10]), "/", scope="compte", reason=WHY).status_code == 303


def test_no_reason_of_another_school_is_read(colleagues: Colleagues, build: Build) -> None:
    account = build.active(children=[build.child(), build.child("Zoé", uai=LYCEE)])
    row = closing.close(account.id, Decision(reason=WHY, school=build.school(LYCEE)))
    head = colleagues.signed_in(Role.HEAD, uai=COLLEGE)
    page = text_of(head, path_of(account))
    assert "L’accès est suspendu. Votre établissement ne peut pas le rouvrir." in page
    assert WHY not in page
    assert "Louise-Weber" not in page
    assert head.get(f"{path_of(account)}/{row.id}").status_code == 404
    assert post(head, f"{path_of(account)}/{row.id}/reouverture", "/", reason="réglé").status_code == 404
    assert WHY not in text_of(colleagues.signed_in(Role.HELPDESK), path_of(account))


@pytest.mark.parametrize("of_tie", [False, True])
def test_a_second_decision_says_what_it_changes_and_shortens_nothing(
    colleagues: Colleagues, build: Build, *, of_tie: bool
) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé", uai=LYCEE)
    account = build.active(children=[malo, zoe])
    scope, month = malo.id.hex if of_tie else "compte", end_of_day(today() + timedelta(days=30))
    other = closing.close(account.id, Decision(reason="ailleurs", school=build.school(LYCEE), until=month))
    head, secretary = colleagues.signed_in(Role.HEAD), colleagues.signed_in()
    path, filled = path_of(account), {"scope": scope, "reason": WHY, "end": "jour"}
    first = post(head, path, **filled, until=f"{today() + timedelta(days=9)}")
    form = text_of(secretary, path)
    replaces = "la remplace, avec son motif, si elle finit le même jour ou plus tard. Une plus courte est refusée"
    assert (replaces in form, replaces in text_of(head, path)) == (False, True)
    assert form.count("Elle reste, quoi que vous décidiez ici") == 2
    assert f"Motif : {WHY}" in form
    assert "ailleurs" not in form
    assert ("Tout le compte est déjà suspendu" in form) is not of_tie
    assert f"Le {'lien' if of_tie else 'compte'} est déjà suspendu : rien de plus ne se ferme." in form
    shorter = post(secretary, path, **filled, until=f"{today() + timedelta(days=1)}")
    assert "Seule la direction peut le rouvrir." in plain(shorter)
    assert "<title>Erreur" in shorter.get_data(as_text=True)
    state = db.session.get_one(Account, account.id)
    assert state.announced_end == month, "a shorter decision of a school leaves another's longer one"
    longer = post(secretary, path, **filled, until=f"{today() + timedelta(days=10)}")
    done = text_of(secretary, longer.headers["Location"])
    assert "Cette décision remplace celle du" not in done, "only the head ends a decision of the head"
    assert "par la direction (Sylvie Marchand)" in done
    assert "rien de plus ne s’est fermé" in done
    assert "Ce qui a fini" not in done
    assert "L’accès est suspendu. Votre établissement ne peut pas le rouvrir." in done, "it holds as well, and longer"
    if not of_tie:
        assert f"l’accès est suspendu, jusqu’au {day(today() + timedelta(days=30))}" in done
    assert [row.holds_at(now()) for row in rows()] == [True, True, True]
    last = post(head, path, **filled, until=f"{today() + timedelta(days=11)}")
    assert "Cette décision remplace celle du" in text_of(head, last.headers["Location"])
    assert [row.holds_at(now()) for row in rows()] == [True, False, False, True]
    over = text_of(secretary, first.headers["Location"])
    assert "<h1>Suspension finie</h1>" in over
    assert "Si la personne appelle" not in over
    assert db.session.get_one(Closing, other.id).ended_at is None


def test_a_secretary_takes_no_decision_of_the_head_over_and_hides_no_document(
    colleagues: Colleagues, build: Build
) -> None:
    account = build.active()
    head, secretary, path = colleagues.signed_in(Role.HEAD), colleagues.signed_in(), path_of(account)
    filled = {"scope": "compte", "end": "ouverte"}
    post(head, path, **filled, reason="Jugement", reference="RG 26/123")
    for reason, reference in (("au téléphone", ""), ("au téléphone", ""), ("erreur", "autre papier"), ("la suite", "")):
        assert post(secretary, path, **filled, reason=reason, reference=reference).status_code == 303
    held = [(row.reason, row.reference) for row in rows() if row.holds_at(now())]
    assert held == [("Jugement", "RG 26/123"), ("la suite", "autre papier")], (
        "one of the secretaries' own decisions holds"
    )
    assert [row.reference for row in rows()] == ["RG 26/123", "RG 26/123", "autre papier", "autre papier"]
    [former] = db.session.scalars(
        select(AuditEntry.details).where(AuditEntry.kind == "account.closed").order_by(AuditEntry.id).offset(1).limit(1)
    )
    assert former["former"] == [str(rows()[0].id)]


def test_a_second_reopening_is_told_that_the_first_one_won(colleagues: Colleagues, build: Build) -> None:
    account = build.active()
    row = closing.close(account.id, Decision(reason=WHY, school=build.school()))
    head = colleagues.signed_in(Role.HEAD)
    path = f"{path_of(account)}/{row.id}/reouverture"
    closing.reopen(row.id, "réglé")
    answer = post(head, path, path_of(account), reason="réglé")
    assert "Cette suspension était déjà finie" in plain(answer)
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "account.reopened"))
    assert entry.details["closing"] == str(row.id)
