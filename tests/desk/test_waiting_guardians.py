"""New guardians of a pupil with a suspension: they wait for the head, and no page says that they are suspended."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.accounts.suspensions import kept
from idp.accounts.suspensions.models import Suspension, Wait
from idp.accounts.suspensions.traces import Traces
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.jobs.models import Job
from idp.desk.notices.words import Answer
from idp.desk.staff.models import Role
from idp.families import admission, suspension
from idp.families.suspension import Decision
from idp.letters import recipients
from idp.letters.recipients import Skip
from idp.my_account import connections
from idp.rostering.models import ImportIssue
from idp.rostering.write import waits
from idp.web import i18n
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import checked, families, imported, row, sheet
from tests.desk.test_notices import answered, plain, reloaded
from tests.desk.test_suspension import text_of
from tests.rows import each_row
from tests.waiting_guardians import wait

WHY = "le juge a décidé"
OPENED = "Un nouveau compte : son courrier s’imprime, sauf si la direction vérifie d’abord qui c’est."


def main_of(page: str) -> str:
    """Return the main part of a page, without the ids of its links and its times."""
    own = r"[0-9a-f]{8}-[0-9a-f-]{27}|nonce-\S+|value=\"[^\"]{40,}\"|\d\d ?h ?\d\d"
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
    row = suspension.suspend(account.id, judged)
    assert (row.reason, row.reference, row.awaits_head) == (WHY, "RG 26/1", False)
    assert suspension.suspend(account.id, judged).id == row.id, "a double click"
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account.id)).one()
    assert (notice.settled_at is None) is admitted, "at the end of the suspension the head still decides"
    if admitted:
        admission.admit(notice.id, "vu avec la mère")
    tie = db.session.get_one(Guardianship, (account.id, tie.child_id), populate_existing=True)
    assert tie.suspended_at is not None, "an answer about the names leaves the judgement"
    assert tie.suspended_until == until
    other = suspension.suspend(account.id, replace(judged, reference="RG 26/2"))
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
    waits = select(Suspension).where(Suspension.account_id == account.id, Suspension.where_waiting(now()))
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
    assert "La direction décide dans « Signalements »." in family
    letter = text_of(browser, f"/comptes/{account.id}/courrier")
    assert "Cette personne attend la direction" in letter
    assert "n’a plus d’enfant" not in letter
    listed = text_of(browser, "/suspensions")
    assert "Aucun compte et aucun lien n’est suspendu" in listed
    assert "Suspendu en ce moment" not in text_of(browser, f"/comptes/{account.id}/suspension")
    [row] = db.session.scalars(select(Suspension))
    assert browser.get(f"/comptes/{account.id}/suspension/{row.id}/reouverture").status_code == 404
    chosen, skipped = recipients.in_school(build.school(), None, renew=False)
    assert (chosen, [person.skip for person in skipped]) == ([], [Skip.WAITS])
    events = db.session.scalars(select(AuditEntry.kind).where(AuditEntry.account_id == account.id)).all()
    assert "guardianship.waits" in events
    assert not {"account.suspended", "account.reopened"}.intersection(events), "« Mes connexions » names these"
    assert "guardianship.waits" not in connections.KINDS_OF_OTHERS


def test_the_result_of_an_import_counts_who_waits_as_every_new_guardian(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    imported(browser, sheet(*families(3)))
    child = db.session.scalars(select(Child).where(Child.family_name == "FAMILLE1")).one()
    suspended = db.session.scalars(select(Account).where(Account.family_name == "FAMILLE1")).one()
    suspension.suspend(suspended.id, Decision(reason=WHY, child=child.id, school=child.school))
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


def test_the_head_checks_a_person_and_reads_nothing_of_another_school(colleagues: Colleagues, build: Build) -> None:
    names = {"given_name": "Gaston", "family_name": "MARCHAND", "civility": "M."}
    father = build.active(children=[build.child("Malo", uai=LYCEE)], **names)
    suspension.suspend(father.id, Decision(reason=WHY, reference="RG 26/1", school=build.school(LYCEE)))
    wait(build.never_activated(children=[build.child("Malo")], **names), why=Wait.CHECK)
    notice = db.session.scalars(select(SchoolNotice)).one()
    browser = colleagues.signed_in(Role.HEAD)
    for step in ("", "/autre", "/refus"):
        page = text_of(browser, f"/signalements/{notice.id}{step}").partition("<main")[2]
        assert "nouveau responsable : M. Gaston MARCHAND" in page or step
        assert not [word for word in ("suspen", "À comparer", "RG 26/1", "lycée") if word in page], step


@pytest.mark.row("R-14")
@pytest.mark.parametrize(
    ("is_here", "answer"), [(True, Answer.KEEP_OUT), (True, Answer.ADMIT), (False, Answer.KEEP_OUT)]
)
def test_the_head_compares_the_corrected_name_of_an_activated_account(
    colleagues: Colleagues, build: Build, answer: Answer, *, is_here: bool
) -> None:
    names, malo = {"given_name": "Gaston", "family_name": "MARCHAND", "civility": "M."}, build.child("Malo")
    school = build.school(COLLEGE if is_here else LYCEE)
    other = build.child("Malo", uai=school.uai)
    father = build.active(children=[other], **names)
    suspension.suspend(father.id, Decision(reason=WHY, reference="RG 26/1", child=other.id, school=school))
    account = build.active(children=[malo, build.child("Zoé")], **names)
    with unit_of_work():
        waits.tell_of_names([(account.id, malo.id)])
    [notice] = db.session.scalars(select(SchoolNotice.id))
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    page = text_of(head, f"/signalements/{notice}/{answer.value}")
    own = (f'<a href="/comptes/{father.id}">M. Gaston MARCHAND</a>', f"Motif : « {WHY} »", "Document : RG 26/1")
    assert [line in page for line in own] == [is_here] * 3
    assert ("suspendu" in page.partition("<main")[2].partition("Ce qui va se passer")[0]) is is_here
    for page in (text_of(secretary, "/signalements"), text_of(secretary, f"/signalements/{notice}")):
        assert "Le nom de M. Gaston MARCHAND ou de Malo LEROY a été corrigé. La direction doit le vérifier" in page
        assert "Seule la direction répond" in page
        assert not [word for word in ("suspen", "À comparer", WHY) if word in page.partition("<main")[2]]
    assert post(secretary, f"/signalements/{notice}/{answer.value}", "/", sentence=WHY).status_code == 404
    stale = colleagues.signed_in(Role.HEAD, proof_age=timedelta(minutes=11))
    assert stale.get(f"/signalements/{notice}/{answer.value}").headers["Location"].startswith("/preuve?")
    assert post(head, f"/signalements/{notice}/{answer.value}", sentence=WHY).status_code == 303
    db.session.expire_all()
    open_children = [child.given_name for child in db.session.get_one(Account, account.id).children]
    assert open_children == (["Malo", "Zoé"] if answer is Answer.ADMIT else ["Zoé"])
    assert db.session.get_one(SchoolNotice, notice).settled_at is not None
    late = head.get(f"/signalements/{notice}/{Answer.KEEP_OUT.value}")
    assert late.headers["Location"].endswith("?fait=tard")


@pytest.mark.row("R-14")
def test_a_secretary_reads_the_same_of_everybody_who_waits(colleagues: Colleagues, build: Build) -> None:
    malo, names = build.child("Malo"), {"given_name": "Gaston", "family_name": "MARCHAND", "civility": "M."}
    suspension.suspend(build.active(children=[malo], **names).id, Decision(reason=WHY, child=malo.id))
    secretary, head, pages = colleagues.signed_in(), colleagues.signed_in(Role.HEAD), set()
    for why in Wait:
        account = build.never_activated(children=[malo], **names)
        wait(account, why=why)
        [notice] = db.session.scalars(select(SchoolNotice.id).where(SchoolNotice.account_id == account.id))
        page = main_of(text_of(secretary, f"/signalements/{notice}"))
        assert not [word for word in ("suspen", "À comparer", WHY) if word in page]
        pages.add(page.replace(account.id.hex, ""))
        assert ("À comparer" in text_of(head, f"/signalements/{notice}")) is (why not in {Wait.CHECK, Wait.EXCLUDED})
    assert len(pages) == 1
    assert "À comparer" not in text_of(secretary, "/signalements")


def test_the_head_sees_whom_to_compare_and_the_document(colleagues: Colleagues, build: Build) -> None:
    malo, zoe, school = build.child("Malo"), build.child("Zoé"), build.school()
    names = {"given_name": "Gaston", "family_name": "MARCHAND", "civility": "M."}
    father = build.active(children=[malo], **names)
    suspension.suspend(father.id, Decision(reason=WHY, reference="RG 26/1", child=malo.id, school=school))
    added = build.never_activated(children=[malo], given_name="Ysolde", family_name="AUTRE", civility="Mme")
    alike = build.never_activated(children=[zoe], **names | {"family_name": "MARCHANT"})
    wait(added)
    wait(alike, why=Wait.ALIKE)
    later = Decision(reason=WHY, reference="mot de la mère", child=malo.id, school=school)
    suspension.suspend(father.id, later, may_end=lambda _row: False)
    browser = colleagues.signed_in(Role.HEAD)
    listed = text_of(browser, "/signalements")
    compared = (
        f'<a href="/comptes/{father.id}">M. Gaston MARCHAND</a><br>Motif : « {WHY} »<br>Document : RG 26/1'
        f"<br>Suspension du {i18n.day(now())}, par l’équipe du service"
    )
    assert (listed.count("À comparer avec"), listed.count(compared)) == (2, 2)
    sentences = {added.id: "ajoute Mme Ysolde AUTRE aux responsables. En", alike.id: "Ce nom est presque celui"}
    for notice in db.session.scalars(select(SchoolNotice)).all():
        page = text_of(browser, f"/signalements/{notice.id}")
        assert [key for key, sentence in sentences.items() if sentence in page] == [notice.account_id]
        assert compared in page
        assert f'<a href="/comptes/{father.id}">' in text_of(browser, f"/signalements/{notice.id}/refus")
        helped = text_of(colleagues.signed_in(Role.HELPDESK), f"/signalements/{notice.id}")
        assert not [word for word in ("RG 26/1", WHY, "Suspension du") if word in helped]
    namesake = build.never_activated(children=[zoe], given_name="Ali", family_name="BENALI")
    wait(namesake, why=Wait.RECOGNISED)
    [last] = db.session.scalars(select(SchoolNotice.id).where(SchoolNotice.account_id == namesake.id))
    page = text_of(browser, f"/signalements/{last}")
    assert "C’est le nom d’une personne dont l’accès est suspendu" in page
    assert "une personne dont l’accès est suspendu hors de l’établissement, ou l’était" in page
    for key in db.session.scalars(select(Suspension.id).where(~Suspension.awaits_head)).all():
        suspension.reopen(key, "réglé")
    assert "une personne dont la suspension est finie" in text_of(browser, f"/signalements/{notice.id}")
    erased, left = "une personne effacée depuis", "une personne dont l’accès à un élève, parti depuis, reste suspendu"
    secrets = build.settings.secrets
    with unit_of_work():
        row = kept.keep(secrets, zoe.id, None, Traces.of([]))
    for notice in db.session.scalars(select(SchoolNotice)).all():
        page = text_of(browser, f"/signalements/{notice.id}")
        assert (erased in page, left in page) == (True, False)
    with unit_of_work():  # as a purge does that removes the pupil
        kept.leave_pupil(secrets, db.session.merge(row), COLLEGE, Traces.of([]), now())
    page = text_of(browser, f"/signalements/{last}")
    assert (erased in page, left in page) == (False, True), "a purge kept it: nobody need have been erased"


@pytest.mark.row("R-14")
def test_a_check_does_not_answer_who_is_suspended_in_another_school(colleagues: Colleagues, build: Build) -> None:
    malo = build.child("Malo", family_name="LEROY", uai=LYCEE)
    father = build.active(children=[malo], given_name="Gaston", family_name="MARCHAND", civility="M.")
    suspension.suspend(father.id, Decision(reason=WHY, child=malo.id, school=build.school(LYCEE)))
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    imported(secretary, sheet(*families(3)))

    def files(child: str) -> bytes:
        guessed, more = f"9077;LEROY;{child};6A", f"9078;LEROY;Lou{child};6A"
        who = {"family": "MARCHAND", "given": "Gaston", "civility": "M."}
        return sheet(*families(3), *(row(77, **who, child=pupil) for pupil in (guessed, more)))

    answers = {child: checked(secretary, files(child)) for child in ("Malo", "Zia")}
    pages = {child: main_of(page).replace(child, "X") for child, (_, page) in answers.items()}
    keys = [db.session.get_one(Job, key).result for key, _ in answers.values()]
    assert pages["Malo"] == pages["Zia"], "the pair that is suspended elsewhere, and another one"
    assert keys[0] == keys[1]
    done = imported(secretary, files("Malo"))
    assert done.result["counts"]["waiting"] == {"people": 1, "accounts": 0}
    result = text_of(secretary, f"/travaux/{done.id}").partition("<main")[2]
    counted = re.findall(r"<p>((?:Élèves|Responsables) : [^<]+)</p>", answers["Malo"][1])
    assert re.findall(r"<p>([^<]+)</p>", result) == [*counted, OPENED], "what the check told, no more"
    assert "Signalements" not in result
    assert db.session.scalars(select(ImportIssue.code)).all() == ["repeated_line"], "of the file alone"
    assert "MARCHAND" not in text_of(secretary, f"/travaux/{done.id}").partition("<main")[2]
    assert db.session.scalars(select(Suspension.wait).where(Suspension.wait != "")).all() == [Wait.CHECK]
    [notice] = db.session.scalars(select(SchoolNotice.id).where(SchoolNotice.kind == Kind.GUARDIAN_WAITS))
    assert "nouveau responsable : M. Gaston MARCHAND" in text_of(head, f"/signalements/{notice}")
    exported = post(secretary, "/journal/export", "/journal", format="json").get_data(as_text=True)
    assert "guardianship.waits" in exported
    assert '"wait"' not in exported


@pytest.mark.row("R-14")
@each_row("is_erased", [False, True])
def test_only_the_head_renames_a_guardian_of_a_pupil_with_a_suspension(
    colleagues: Colleagues, build: Build, *, is_erased: bool
) -> None:
    malo, school = build.child("Malo"), build.school()
    account, free = build.active(children=[malo]), build.active()
    if is_erased:
        with unit_of_work():
            kept.keep(build.settings.secrets, malo.id, None, Traces.of([]))
    else:
        suspension.suspend(build.active(children=[malo]).id, Decision(reason=WHY, child=malo.id, school=school))
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


@pytest.mark.row("R-14")
@pytest.mark.parametrize(
    ("uai", "is_active", "family", "waits", "asked"),
    [
        (COLLEGE, False, "MARCHAND", ["recognised", "recognised"], ["guardian_waits"]),
        (LYCEE, False, "MARCHAND", ["check"], ["guardian_waits"]),
        (COLLEGE, True, "MARCHAND", [], ["name_compared"]),
        (COLLEGE, False, "TIERS", [], []),
    ],
)
def test_a_name_that_the_desk_corrects_is_compared_as_one_of_a_file(
    colleagues: Colleagues, build: Build, uai: str, family: str, waits: list[str], asked: list[str], *, is_active: bool
) -> None:
    excluded = build.child("Malo", family_name="LEROY", uai=uai)
    father = build.active(children=[excluded], given_name="Gaston", family_name="MARCHAND", civility="M.")
    suspension.suspend(father.id, Decision(reason=WHY, child=excluded.id, school=build.school(uai)))
    children = [build.child("Malo", family_name="LEROY"), build.child("Zoé", family_name="AUTRE")]
    names = {"given_name": "Paul", "family_name": "MARCHAND", "civility": "M."}
    account = (build.active if is_active else build.never_activated)(children=children, **names)
    with unit_of_work():
        school_notices.add(Kind.NAME_IN_DOUBT, account.id, [build.school().id])
    [doubt] = db.session.scalars(select(SchoolNotice.id))
    answer = {"sentence": "vu avec la famille", "given_name": "Gaston", "family_name": family}
    secretary = colleagues.signed_in()
    result = post(secretary, f"/signalements/{doubt}/raison", **answer)
    done = text_of(secretary, result.headers["Location"])
    assert ("la direction doit d’abord vérifier ce nom : en attendant, cette personne n’a pas accès" in done) is bool(
        waits
    )
    assert db.session.get_one(Account, account.id, populate_existing=True).given_name == "Gaston"
    waiting = db.session.scalars(select(Suspension.wait).where(Suspension.where_waiting(now()))).all()
    assert (waiting, len(account.children)) == (waits, 2 - len(waits))
    notices = db.session.scalars(select(SchoolNotice).where(SchoolNotice.settled_at.is_(None))).all()
    assert [notice.kind for notice in notices] == asked
    for notice in notices:
        assert "Seule la direction répond" in text_of(colleagues.signed_in(), f"/signalements/{notice.id}")
        head = colleagues.signed_in(Role.HEAD)
        assert post(head, f"/signalements/{notice.id}/autre", sentence=WHY).status_code == 303
        db.session.expire_all()
        assert len(account.children) == 2


def test_a_person_whose_only_tie_is_suspended_is_offered_no_letter(colleagues: Colleagues, build: Build) -> None:
    malo = build.child("Malo")
    account = build.never_activated(children=[malo], provisional_hash=None)
    suspension.suspend(account.id, Decision(reason=WHY, child=malo.id, school=build.school()))
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
    shut = {tie.child.given_name for tie in account.guardianships if tie.is_suspended_at(now())}
    assert shut == ({"Malo"} if answer is Answer.REJECT else set())
