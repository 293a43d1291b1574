"""New guardians of a pupil with a suspension: they wait for the head, and no page says that they are suspended."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.closings import Closing, Wait
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.decisions.words import WORDS, Answer
from idp.desk.staff.models import Role
from idp.families import admission, closing
from idp.families.closing import Decision
from idp.letters import recipients
from idp.letters.recipients import Skip
from idp.my_account import connections
from idp.web import i18n
from tests.builders import Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import families, imported, row, sheet
from tests.desk.test_notices import answered, plain, reloaded
from tests.desk.test_suspension import text_of
from tests.pages import hidden
from tests.rows import each_row
from tests.waiting_guardians import wait

WHY = "le juge a décidé"
OPENED = "Un nouveau compte : son courrier s’imprime, sauf si la direction vérifie d’abord qui c’est."


def main_of(page: str) -> str:
    """Return the main part of a page, without the ids of its links and its times."""
    own = r"[0-9a-f]{8}-[0-9a-f-]{27}|nonce-\S+|value=\"[^\"]{40,}\"|\d{1,2}\s?h\s?\d\d"
    return re.sub(own, "", page.partition("<main")[2])


@pytest.mark.row("R-14")
@each_row(("end", "admitted"), [(None, False), (timedelta(days=1), True)])
def test_a_judgement_about_a_guardian_who_waits_is_a_decision(
    build: Build, end: timedelta | None, *, admitted: bool
) -> None:
    account = build.active()
    [tie], until = account.guardianships, now() + end if end else None
    wait(account)
    school = db.session.scalars(select(School)).one()
    judged = Decision(reason=WHY, reference="RG 26/1", child=tie.child_id, school=school, until=until)
    row = closing.close(account.id, judged)
    assert (row.reason, row.reference, row.awaits_head) == (WHY, "RG 26/1", False)
    assert closing.close(account.id, judged).id == row.id, "a double click"
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account.id)).one()
    assert (notice.settled_at is None) is admitted, "at the end of the suspension the head still decides"
    if admitted:
        admission.admit(notice.id, "vu avec la mère")
    tie = db.session.get_one(Guardianship, (account.id, tie.child_id), populate_existing=True)
    assert tie.is_shut_at(now()), "an answer about the names leaves the judgement"
    assert tie.announced_end == until
    other = closing.close(account.id, replace(judged, reference="RG 26/2"))
    assert other.id != row.id


@pytest.mark.row("R-14")
@each_row(("role", "answers"), [(Role.SECRETARY, False), (Role.HEAD, True)])
def test_a_decision_of_a_secretary_is_no_answer_in_the_heads_place(
    colleagues: Colleagues, build: Build, role: Role, *, answers: bool
) -> None:
    account = build.active()
    [tie] = account.guardianships
    wait(account)
    judged = {"scope": tie.child_id.hex, "reason": WHY, "end": "ouverte"}
    assert post(colleagues.signed_in(role), f"/comptes/{account.id}/suspension", **judged).status_code == 303
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account.id)).one()
    assert (notice.settled_at is not None) is answers
    waits = select(Closing).where(Closing.account_id == account.id, Closing.where_waiting(now()))
    assert (db.session.scalars(waits).all() == []) is answers


def test_a_guardian_who_waits_is_no_suspended_person_on_any_page(colleagues: Colleagues, build: Build) -> None:
    malo = build.child("Malo")
    account = build.never_activated(children=[malo], provisional_hash=None, given_name="Ysolde")
    wait(account)
    browser = colleagues.signed_in(Role.HEAD)
    family, own = text_of(browser, f"/familles/{malo.id}"), text_of(browser, f"/comptes/{account.id}")
    for page in (family, own, text_of(browser, "/recherche?q=leroy")):
        assert "Attend la direction" in page
        assert "Lien suspendu" not in page
        assert "a suspendu" not in page
        assert "/courrier" not in page
    assert "Ne dites rien de cet élève" in family
    assert "La direction décide dans « Décisions »." in family
    letter = text_of(browser, f"/comptes/{account.id}/courrier")
    assert "Cette personne attend la direction" in letter
    assert "n’a plus d’enfant" not in letter
    listed = text_of(browser, "/suspensions")
    assert "Aucun compte et aucun lien n’est suspendu" in listed
    assert "Suspendu en ce moment" not in text_of(browser, f"/comptes/{account.id}/suspension")
    [row] = db.session.scalars(select(Closing))
    assert browser.get(f"/comptes/{account.id}/suspension/{row.id}/reouverture").status_code == 404
    chosen, skipped = recipients.in_school(build.school(), None, renew=False)
    assert (chosen, [person.skip for person in skipped]) == ([], [Skip.WAITS])
    events = db.session.scalars(select(AuditEntry.kind).where(AuditEntry.account_id == account.id)).all()
    assert "guardianship.waits" in events
    assert not {"account.closed", "account.reopened"}.intersection(events), "« Mes connexions » names these"
    assert "guardianship.waits" not in connections.KINDS_OF_OTHERS


def test_the_result_of_an_import_counts_who_waits_as_every_new_guardian(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    imported(browser, sheet(*families(3)))
    child = db.session.scalars(select(Child).where(Child.family_name == "FAMILLE1")).one()
    suspended = db.session.scalars(select(Account).where(Account.family_name == "FAMILLE1")).one()
    closing.close(suspended.id, Decision(reason=WHY, child=child.id, school=child.school))
    added, another = (
        row(number, family=name, given="Paul", civility="M.", child="1001;FAMILLE1;Léa;6A")
        for number, name in ((9, "AUTRE"), (8, "TIERS"))
    )
    arrives = row(50, family="DUPONT", given="Julie", child="1050;DUPONT;Zoé;6A")
    several = "2 nouveaux comptes : leurs courriers s’impriment, sauf si"
    for files, sentence in (
        (sheet(*families(3), added), OPENED),
        (sheet(*families(3), added, another, arrives), several),
    ):
        done = imported(browser, files)
        assert done.result["counts"]["waiting"] == {"people": 1, "accounts": 1}
        past = text_of(browser, f"/fichiers/imports/{done.result['batch']}")
        page = text_of(browser, f"/travaux/{done.id}")
        assert sentence in page
        assert "Imprimer les courriers" in page
        assert 'href="/signalements">Voir les signalements<' in page, "the head answers"
        for shown in (page, past):
            assert not [word for word in ("attend", "AUTRE") if word in shown.partition("<main")[2]]


@pytest.mark.row("R-14")
def test_a_secretary_reads_the_same_of_everybody_who_waits(colleagues: Colleagues, build: Build) -> None:
    malo, names = build.child("Malo"), {"given_name": "Gaston", "family_name": "MARCHAND", "civility": "M."}
    closing.close(build.active(children=[malo], **names).id, Decision(reason=WHY, child=malo.id))
    secretary, head, pages = colleagues.signed_in(), colleagues.signed_in(Role.HEAD), set()
    for why in Wait:
        account = build.never_activated(children=[malo], **names)
        wait(account, why=why)
        [notice] = db.session.scalars(select(SchoolNotice.id).where(SchoolNotice.account_id == account.id))
        page = main_of(text_of(secretary, f"/signalements/{notice}"))
        assert not [word for word in ("suspen", "À comparer", WHY) if word in page]
        pages.add(page.replace(account.id.hex, ""))
        assert ("À comparer" in text_of(head, f"/signalements/{notice}")) is (why is not Wait.RETURNED)
    assert len(pages) == 1
    assert "À comparer" not in text_of(secretary, "/signalements")


def test_the_head_sees_whom_to_compare_and_the_document(colleagues: Colleagues, build: Build) -> None:
    malo, zoe, school = build.child("Malo"), build.child("Zoé"), build.school()
    names = {"given_name": "Gaston", "family_name": "MARCHAND", "civility": "M."}
    father = build.active(children=[malo], **names)
    closing.close(father.id, Decision(reason=WHY, reference="RG 26/1", child=malo.id, school=school))
    added = build.never_activated(children=[malo], given_name="Ysolde", family_name="AUTRE", civility="Mme")
    alike = build.never_activated(children=[zoe], **names)
    wait(added)
    wait(alike, why=Wait.RECOGNISED)
    later = Decision(reason=WHY, reference="mot de la mère", child=malo.id, school=school)
    closing.close(father.id, later, may_end=lambda _row: False)
    browser = colleagues.signed_in(Role.HEAD)
    listed = text_of(browser, "/signalements")
    compared = (
        f'<a href="/comptes/{father.id}">M. Gaston MARCHAND</a><br>Motif : « {WHY} »<br>Document : RG 26/1'
        f"<br>Suspension du {i18n.day(now())}, par l’équipe du service"
    )
    assert (listed.count("À comparer avec"), listed.count(compared)) == (2, 2)
    sentences = {added.id: "ajoute Mme Ysolde AUTRE aux responsables. En", alike.id: "C’est le nom d’une personne"}
    for notice in db.session.scalars(select(SchoolNotice)).all():
        page = text_of(browser, f"/signalements/{notice.id}")
        assert [key for key, sentence in sentences.items() if sentence in page] == [notice.account_id]
        assert compared in page
        assert f'<a href="/comptes/{father.id}">' in text_of(browser, f"/signalements/{notice.id}/refus")
        helped = text_of(colleagues.signed_in(Role.HELPDESK), f"/signalements/{notice.id}")
        assert not [word for word in ("RG 26/1", WHY, "Closing du") if word in helped]
    for key in db.session.scalars(select(Closing.id).where(~Closing.awaits_head)).all():
        closing.reopen(key, "réglé")
    assert "une personne dont la suspension est finie" in text_of(browser, f"/signalements/{notice.id}")
    with unit_of_work():
        for child in (malo, zoe):
            db.session.add(Closing(child_id=child.id, reason="", begun_by=""))
    for notice in db.session.scalars(select(SchoolNotice)).all():
        assert "une personne effacée depuis" in text_of(browser, f"/signalements/{notice.id}")


@pytest.mark.row("R-14")
@each_row("is_erased", [False, True])
def test_only_the_head_renames_a_guardian_of_a_pupil_with_a_suspension(
    colleagues: Colleagues, build: Build, *, is_erased: bool
) -> None:
    malo, school = build.child("Malo"), build.school()
    account, free = build.active(children=[malo]), build.active()
    if is_erased:
        with unit_of_work():
            db.session.add(Closing(child_id=malo.id, reason="", begun_by=""))
    else:
        closing.close(build.active(children=[malo]).id, Decision(reason=WHY, child=malo.id, school=school))
    with unit_of_work():
        for row in (account, free):
            school_notices.add(Kind.NAME_IN_DOUBT, row.id, [school.id])
    of = {n.account_id: n.id for n in db.session.scalars(select(SchoolNotice)) if n.settled_at is None}
    names = {"sentence": "vu au dossier", "given_name": "Jean", "family_name": "MARCHAND"}
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    assert "Seule la direction répond" in text_of(secretary, f"/signalements/{of[account.id]}")
    assert post(secretary, f"/signalements/{of[account.id]}/raison", "/", **names).status_code == 404
    assert post(secretary, f"/signalements/{of[free.id]}/raison", **names).status_code == 303
    stale = colleagues.signed_in(Role.HEAD, proof_age=timedelta(minutes=11))
    assert stale.get(f"/signalements/{of[account.id]}/raison").headers["Location"].startswith("/preuve?")
    assert post(head, f"/signalements/{of[account.id]}/raison", **names).status_code == 303
    assert db.session.get_one(Account, account.id, populate_existing=True).family_name == "MARCHAND"


def test_a_person_whose_only_tie_is_suspended_is_offered_no_letter(colleagues: Colleagues, build: Build) -> None:
    malo = build.child("Malo")
    account = build.never_activated(children=[malo], provisional_hash=None)
    closing.close(account.id, Decision(reason=WHY, child=malo.id, school=build.school()))
    browser = colleagues.signed_in()
    for path in (f"/familles/{malo.id}", f"/comptes/{account.id}"):
        page = text_of(browser, path)
        assert "Il vous faut un courrier" not in page
        assert "/courrier" not in page
        assert "Demandez à la direction" in page
    letter = text_of(browser, f"/comptes/{account.id}/courrier")
    assert "Le lien de cette personne avec l’élève est suspendu" in letter


@pytest.mark.parametrize("answer", [Answer.RIGHT, Answer.REJECT])
def test_only_the_head_answers_about_a_guardian_added_beside_an_active_one(
    colleagues: Colleagues, build: Build, answer: Answer
) -> None:
    account = build.active(children=[build.child("Malo"), build.child("Zoé")], given_name="Gaston")
    malo = next(tie.child for tie in account.guardianships if tie.child.given_name == "Malo")
    with unit_of_work():
        school_notices.add(Kind.GUARDIAN_ADDED, account.id, {build.school().id: [malo.id]})
    [notice] = db.session.scalars(select(SchoolNotice))
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    assert "Responsable ajouté à côté d’un autre" in plain(secretary.get("/signalements"))
    assert secretary.get(f"/signalements/{notice.id}/{answer.value}").status_code == 404
    assert answered(head, notice, answer).status_code == 303
    assert reloaded(notice).settled_at is not None
    shut = {tie.child.given_name for tie in account.guardianships if tie.is_shut_at(now())}
    assert shut == ({"Malo"} if answer is Answer.REJECT else set())


@pytest.mark.row("R-14")
@pytest.mark.parametrize("answer", list(WORDS[Kind.GUARDIAN_WAITS].answers))
def test_an_answer_is_about_the_pupils_that_the_head_has_read(
    colleagues: Colleagues, build: Build, answer: Answer
) -> None:
    """A file adds another pupil to the notice while its page is open."""
    account = build.active(children=[build.child("Malo"), build.child("Zoé")])
    [first, second] = [tie.child_id for tie in account.guardianships]
    wait(account, first)
    [notice] = db.session.scalars(select(SchoolNotice))
    head, path = colleagues.signed_in(Role.HEAD), f"/signalements/{notice.id}/{answer.value}"
    old = hidden(head.get(path))
    wait(account, second)
    for seen in (old["seen"], ""):
        page = head.post(path, data={**old, "seen": seen, "sentence": WHY})
        assert (page.status_code, "D’autres élèves sont concernés" in page.get_data(as_text=True)) == (200, True)
    db.session.expire_all()
    waiting = db.session.scalars(select(Closing).where(Closing.where_waiting(now()))).all()
    assert {row.child_id for row in waiting} == {first, second}, "nothing is decided"
    answered = head.post(path, data={**hidden(page), "sentence": WHY})
    assert answered.headers["Location"].endswith(f"?fait={answer.value}")


@pytest.mark.row("R-14")
@pytest.mark.parametrize("answer", list(WORDS[Kind.GUARDIAN_WAITS].answers))
def test_only_the_head_decides_about_a_guardian_who_waits(colleagues: Colleagues, build: Build, answer: Answer) -> None:
    account = build.active(children=[build.child("Malo"), build.child("Zoé")])
    wait(account)
    [notice] = db.session.scalars(select(SchoolNotice))
    is_settled = select(SchoolNotice.settled_at.is_not(None))
    page = f"/signalements/{notice.id}/{answer.value}"
    label = str(WORDS[Kind.GUARDIAN_WAITS].answers[answer].label).partition(" :")[0]
    secretary = colleagues.signed_in()
    listed = text_of(secretary, "/signalements")
    assert "La direction seule répond à : 1." in listed
    assert label not in listed
    assert secretary.get(page).status_code == 404
    assert post(secretary, page, "/", sentence=WHY).status_code == 404
    stale = colleagues.signed_in(Role.HEAD, proof_age=timedelta(minutes=11))
    assert stale.get(page).headers["Location"].startswith("/preuve?")
    assert not db.session.scalars(is_settled).one()
    head = colleagues.signed_in(Role.HEAD)
    assert label in text_of(head, "/signalements")
    assert post(head, page, sentence=WHY).headers["Location"].endswith(f"?fait={answer.value}")
    assert db.session.scalars(is_settled).one()
    db.session.expire_all()
    names = [child.given_name for child in db.session.get_one(Account, account.id).children]
    assert names == (["Malo", "Zoé"] if answer is Answer.ADMIT else [])
    holding = db.session.scalars(select(Closing).where(Closing.ended_at.is_(None))).all()
    assert [(row.awaits_head, WHY in row.reason) for row in holding] == (
        [] if answer is Answer.ADMIT else [(False, True)] * 2
    ), "the answer of the head is a decision"
