"""« À décider »: which notices are listed, who settles them, and what each answer does."""

import json
import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from idp.accounts import school_notices
from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.decisions.words import OVER, WORDS, Answer
from idp.desk.staff.models import Role
from idp.families import closing
from idp.families.closing import Decision
from idp.operations.personal_data import rights
from tests import forked
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import closed_as, dispute
from tests.desk.colleagues import Colleagues, post
from tests.pages import heading
from tests.rows import each_row

CHECKED = "vu avec la famille"
READ = (Role.SECRETARY, Role.HEAD, Role.HELPDESK, Role.DPO)
SETTLE = {Role.SECRETARY, Role.HEAD}


def plain(answer: TestResponse) -> str:
    return unescape(answer.get_data(as_text=True)).replace("\u202f", " ").replace("\xa0", " ")


def noticed(
    build: Build, kind: Kind, account: Account, *, uai: str = COLLEGE, other: Account | None = None
) -> SchoolNotice:
    with unit_of_work():
        school_notices.add(kind, account.id, [build.school(uai).id], other_account_id=other.id if other else None)
    return db.session.scalars(
        select(SchoolNotice).where(SchoolNotice.account_id == account.id, SchoolNotice.kind == kind.value)
    ).one()


def disputed(build: Build, *children: Child) -> tuple[Account, SchoolNotice]:
    account = build.never_activated(children=list(children) or None, provisional_hash=None)
    dispute(account.id)
    return account, noticed(build, Kind.NOT_GUARDIAN, account)


def answered(browser: FlaskClient, notice: SchoolNotice, answer: Answer, **fields: str) -> TestResponse:
    return post(browser, f"/signalements/{notice.id}/{answer.value}", **{"sentence": CHECKED} | fields)


def reloaded(notice: SchoolNotice) -> SchoolNotice:
    return db.session.get_one(SchoolNotice, notice.id, populate_existing=True)


def tie_of(account: Account) -> Guardianship:
    return db.session.scalars(select(Guardianship).where(Guardianship.account_id == account.id)).one()


@pytest.mark.parametrize("role", READ)
def test_who_settles_is_offered_the_answers_and_each_role_its_parts(
    colleagues: Colleagues, build: Build, role: Role
) -> None:
    disputed(build)
    browser, closes = colleagues.signed_in(role), role is not Role.DPO
    page = plain(browser.get("/signalements"))
    assert ("Donner raison" in page) is (role in SETTLE)
    assert ("votre réponse." in plain(browser.get("/"))) is (role in SETTLE)
    assert ('href="/suspensions">En cours<' in page) is closes
    other = browser.get("/suspensions")
    assert (heading(other) == "Décisions") is closes
    current = re.findall(r'href="([^"]+)" aria-current="page">([^<]+)<', plain(other).partition("<main")[2])
    assert current == ([("/suspensions", "En cours")] if closes else [])


@pytest.mark.row("K-04")
def test_another_schools_notice_is_not_listed(colleagues: Colleagues, build: Build) -> None:
    noticed(build, Kind.LETTER_GUESSED, build.active(children=[build.child(uai=LYCEE)], given_name="Ysolde"), uai=LYCEE)
    assert "Ysolde" not in plain(colleagues.signed_in().get("/signalements"))
    assert "Ysolde" in plain(colleagues.signed_in(Role.DPO).get("/signalements"))


def test_the_page_of_a_person_of_another_school_is_not_linked(colleagues: Colleagues, build: Build) -> None:
    other = build.active(children=[build.child("Zoé", uai=LYCEE)], given_name="Ysolde")
    account = build.never_activated()
    notice = noticed(build, Kind.LETTER_DOUBT, account, other=other)
    browser = colleagues.signed_in()
    page = plain(browser.get(f"/signalements/{notice.id}"))
    assert f"tapé dans le compte de {other.display_name}" in page, "the school compares the names"
    assert (str(account.id) in page, str(other.id) in page) == (True, False)
    assert "Ysolde" not in plain(browser.get(f"/comptes/{account.id}")), "the page of one guardian names no other"


@pytest.mark.parametrize("answer", list(WORDS[Kind.NOT_GUARDIAN].answers))
def test_a_wrong_child_ends_or_restores_the_tie(colleagues: Colleagues, build: Build, answer: Answer) -> None:
    account, notice = disputed(build)
    browser = colleagues.signed_in()
    page = plain(browser.get(f"/signalements/{notice.id}/{answer.value}"))
    assert f"entre {account.display_name} et Malo LEROY" in page, "the pupil is named"
    result = answered(browser, notice, answer)
    assert result.headers["Location"] == f"/signalements/{notice.id}?fait={answer.value}"
    first = f"Imprimer un courrier pour {account.display_name}" if answer is Answer.REJECT else "Importer le fichier"
    after = plain(browser.get(result.headers["Location"]))
    assert re.findall(r'<a class="btn[^>]*>([^<]+)</a>', after)[0].startswith(first)
    tie = tie_of(account)
    assert closed_as(tie) == (set() if answer is Answer.REJECT else {"excluded"})
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "dispute.settled"))
    assert entry.details["reason"] == reloaded(notice).sentence
    assert entry.details["reason"].endswith(CHECKED)


def test_one_of_two_wrong_children_is_settled_and_the_notice_waits(colleagues: Colleagues, build: Build) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé")
    account, notice = disputed(build, malo, zoe)
    browser = colleagues.signed_in()
    assert "Choisissez l’élève, ou tous." in plain(answered(browser, notice, Answer.RIGHT))
    result = answered(browser, notice, Answer.RIGHT, child=malo.id.hex)
    assert "attend encore votre réponse" in plain(browser.get(result.headers["Location"]))
    answered(browser, notice, Answer.REJECT)
    db.session.expire_all()
    assert {tie.child_id: "excluded" in closed_as(tie) for tie in account.guardianships} == {
        malo.id: True,
        zoe.id: False,
    }
    assert reloaded(notice).settled_at is not None


@pytest.mark.parametrize(("answer", "kept"), [(Answer.RIGHT, "avant@exemple.fr"), (Answer.REJECT, "apres@exemple.fr")])
def test_a_contested_address_is_put_back_or_kept(
    colleagues: Colleagues, build: Build, answer: Answer, kept: str
) -> None:
    account = build.active(email="apres@exemple.fr", contested_at=now(), contested_email="avant@exemple.fr")
    notice = noticed(build, Kind.EMAIL_CONTESTED, account)
    browser = colleagues.signed_in()
    assert browser.get(f"/signalements/{notice.id}/fichier").status_code == 404
    answered(browser, notice, answer)
    assert db.session.get_one(Account, account.id).email == kept


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (kind, answer)
        for kind, words in WORDS.items()
        for answer in words.answers
        if kind not in {Kind.NOT_GUARDIAN, Kind.EMAIL_CONTESTED, Kind.NAME_IN_DOUBT} and answer is not Answer.ONE_PERSON
    ],
)
def test_every_other_notice_is_settled_with_its_sentence(
    colleagues: Colleagues, build: Build, kind: Kind, answer: Answer
) -> None:
    other = build.active(email="gaston@exemple.fr")
    notice = noticed(build, kind, build.active(), other=other)
    browser = colleagues.signed_in(Role.HEAD)
    page = plain(browser.get(f"/signalements/{notice.id}"))
    assert (f'<a href="/comptes/{other.id}">' in page, "gaston@exemple.fr" in page) == (True, False)
    result = answered(browser, notice, answer)
    assert "<h1>Signalement réglé</h1>" in plain(browser.get(result.headers["Location"]))
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "school.notice_settled"))
    assert entry.details["notice"] == str(notice.id)
    assert CHECKED in plain(browser.get("/signalements"))


def test_all_kinds_have_words_and_each_answer_begins_with_its_own() -> None:
    assert set(WORDS) == set(Kind)
    begin = {
        Answer.RIGHT: "Donner raison",
        Answer.REJECT: "Rejeter",
        Answer.FILE: "Corrigé dans le fichier",
        Answer.ADMIT: "C’est une autre personne",
        Answer.KEEP_OUT: "C’est la personne suspendue",
        Answer.ONE_PERSON: "Oui, la même personne",
        Answer.TWO_PEOPLE: "Non, ce sont deux personnes",
    }
    for words in WORDS.values():
        for answer, consequence in words.answers.items():
            assert str(consequence.label).startswith(begin[answer])
    assert str(OVER.label).startswith(begin[Answer.FILE])


@each_row(
    ("stored", "shown"),
    [
        ("new letter: mail perdu", "Nouveau courrier : mail perdu"),
        ("unlocked", "Compte débloqué"),
        ("Vu avec la mère.", "Vu avec la mère."),
    ],
)
def test_a_sentence_of_an_act_is_french(colleagues: Colleagues, build: Build, stored: str, shown: str) -> None:
    account = build.never_activated()
    noticed(build, Kind.LETTER_GUESSED, account)
    with unit_of_work():
        school_notices.settle(account.id, by="letter", sentence=stored)
    assert f">{shown}</td>" in plain(colleagues.signed_in().get("/signalements"))


def test_the_request_for_a_correction_is_read_with_its_notice(colleagues: Colleagues, build: Build) -> None:
    rights.ask_correction(build.active(), "Le nom <b> s’écrit avec deux L.")
    page = colleagues.signed_in().get("/signalements").get_data(as_text=True)
    assert "Une correction est demandée" in page
    assert "Le nom &lt;b&gt; s’écrit avec deux L." in page


@pytest.mark.parametrize("answer", list(WORDS[Kind.LETTER_GUESSED].answers))
def test_a_letter_that_others_may_hold_is_void_at_once(colleagues: Colleagues, build: Build, answer: Answer) -> None:
    account = build.never_activated()
    notice, browser, is_void = noticed(build, Kind.LETTER_GUESSED, account), colleagues.signed_in(), answer == "raison"
    ended = f"Le courrier de {account.display_name} ne marche plus, tout de suite"
    assert (ended in plain(browser.get(f"/signalements/{notice.id}/{answer.value}"))) is is_void
    after = plain(browser.get(answered(browser, notice, answer).headers["Location"]))
    assert (f'href="/comptes/{account.id}/courrier">Imprimer un courrier' in after) is is_void
    db.session.refresh(account)
    assert (account.provisional_hash is None) is is_void


def test_a_name_in_doubt_is_renamed(colleagues: Colleagues, build: Build) -> None:
    account = build.active()
    notice = noticed(build, Kind.NAME_IN_DOUBT, account)
    browser = colleagues.signed_in()
    same = {"given_name": account.given_name, "family_name": account.family_name}
    assert "Le compte porte déjà ce nom." in plain(answered(browser, notice, Answer.RIGHT, **same))
    result = answered(browser, notice, Answer.RIGHT, given_name="Noémie", family_name="VANDEPUTTE")
    assert result.headers["Location"] == f"/signalements/{notice.id}?fait=raison"
    assert db.session.get_one(Account, account.id).family_name == "VANDEPUTTE"
    assert reloaded(notice).settled_at is not None


def test_an_answer_without_a_sentence_changes_nothing(colleagues: Colleagues, build: Build) -> None:
    _, notice = disputed(build)
    answer = answered(colleagues.signed_in(), notice, Answer.RIGHT, sentence=" ")
    assert "Écrivez en une phrase ce que vous avez vérifié." in plain(answer)
    assert reloaded(notice).settled_at is None


def test_who_answers_late_is_told_so(colleagues: Colleagues, build: Build) -> None:
    _, notice = disputed(build)
    slow, quick = colleagues.signed_in(), colleagues.signed_in()
    slow.get(f"/signalements/{notice.id}/rejet")
    answered(quick, notice, Answer.RIGHT)
    late = post(slow, f"/signalements/{notice.id}/rejet", "/signalements", sentence=CHECKED)
    assert late.headers["Location"] == f"/signalements/{notice.id}?fait=tard"
    assert "Un collègue a réglé ce signalement avant vous." in plain(slow.get(late.headers["Location"]))


def test_of_several_people_who_answer_at_once_one_wins(colleagues: Colleagues, build: Build) -> None:
    ties = [disputed(build) for _ in range(3)]
    guessed = [noticed(build, Kind.LETTER_GUESSED, build.never_activated()) for _ in range(3)]
    keys = [str(notice.id) for notice in (*(notice for _, notice in ties), *guessed)]
    db.session.rollback()
    done = forked.run(
        "tests.desk.notice_race",
        timeout=300,
        stdin=json.dumps({"database": build.settings.database_url, "notices": keys}),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    words = {"raison": "Fondé", "rejet": "Rejeté"}
    for key, answers in json.loads(done.stdout).items():
        [winner] = [answer for answer in answers if answer]
        notice = db.session.get_one(SchoolNotice, uuid.UUID(key), populate_existing=True)
        assert notice.sentence.startswith(words[winner])


def test_the_list_is_in_the_journal_and_each_opened_notice_too(colleagues: Colleagues, build: Build) -> None:
    account, notice = disputed(build)
    browser = colleagues.signed_in()
    browser.get("/signalements")
    [listed] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "desk.notices_listed"))
    assert listed.details["count"] == 1
    browser.get(f"/signalements/{notice.id}")
    [read] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "account.read"))
    assert read.account_id == account.id


@pytest.mark.parametrize(("role", "beside"), [(Role.SECRETARY, 5), (Role.HEAD, 0)])
def test_a_tile_counts_the_notices_that_its_person_may_settle(
    colleagues: Colleagues, build: Build, role: Role, beside: int
) -> None:
    school = build.school()
    for kind in Kind:
        noticed(build, kind, build.active(given_name=kind.value))
    called, child = build.active(), build.child("Malo")
    with unit_of_work():
        school_notices.add(Kind.NOT_GUARDIAN, called.id, {school.id: [child.id]}, taken_by=["staff:1"])
    doubted = build.active(children=[child])
    closing.close(build.active(children=[child]).id, Decision(reason=CHECKED, child=child.id, school=school))
    noticed(build, Kind.NAME_IN_DOUBT, doubted)
    browser = colleagues.signed_in(role)
    notices = [row.id for row in db.session.scalars(select(SchoolNotice)) if row.settled_at is None]
    listed = plain(browser.get("/signalements"))
    answerable = [key for key in notices if re.search(rf'href="/signalements/{key}/[\w-]+"', listed)]
    assert len(notices) - len(answerable) == beside
    today = plain(browser.get("/"))
    counts = dict(re.findall(r'<span class="count">(\d+)</span><span><b>(Signalements[^<]*)</b>', today))
    assert counts == {str(len(answerable)): "Signalements"} | (
        {str(beside): "Signalements pour la direction"} if beside else {}
    )


YES, NO = Answer.ONE_PERSON, Answer.TWO_PEOPLE
ADDED = "a été ajouté au compte de"


def doubted(build: Build) -> tuple[Account, Account, SchoolNotice]:
    """Return an account, the account of a letter that was typed into it, and the notice of the collège."""
    mine = build.active(children=[build.child("Léa")])
    other = build.never_activated(children=[build.child("Zoé"), build.child("Lou", uai=LYCEE)])
    schools = [build.school(uai).id for uai in (COLLEGE, LYCEE)]
    with unit_of_work():
        school_notices.add(Kind.LETTER_DOUBT, other.id, schools, other_account_id=mine.id)
    at_college = SchoolNotice.account_id == other.id, SchoolNotice.school_id == schools[0]
    return mine, other, db.session.scalars(select(SchoolNotice).where(*at_college)).one()


def children_of(account: Account) -> list[str]:
    db.session.expire_all()
    return [child.given_name for child in db.session.get_one(Account, account.id).children]


@pytest.mark.row("R-16")
def test_yes_merges_with_a_fresh_proof(colleagues: Colleagues, build: Build) -> None:
    mine, other, notice = doubted(build)
    browser = colleagues.signed_in(proof_age=timedelta(minutes=6))
    assert "Rien n’a été ajouté." in plain(browser.get(f"/signalements/{notice.id}"))
    assert browser.get(f"/signalements/{notice.id}/{YES}").headers["Location"].startswith("/preuve?")
    colleagues.age_proofs(timedelta())
    done = answered(browser, notice, YES)
    assert f"Les élèves de {other.display_name} sont dans le compte de" in plain(browser.get(done.headers["Location"]))
    assert children_of(mine) == ["Léa", "Zoé", "Lou"]
    assert ADDED in plain(colleagues.signed_in(uai=LYCEE).get("/signalements"))


@pytest.mark.row("R-16")
def test_no_adds_nothing_and_leads_to_another_letter(colleagues: Colleagues, build: Build) -> None:
    mine, other, notice = doubted(build)
    browser = colleagues.signed_in()
    after = plain(browser.get(answered(browser, notice, NO).headers["Location"]))
    assert after.count(f"Imprimer un courrier pour {other.display_name}") == 1
    assert (children_of(mine), children_of(other)) == (["Léa"], ["Zoé", "Lou"])
    assert browser.get(f"/signalements/{notice.id}/{NO}").headers["Location"].endswith("fait=tard")


@pytest.mark.row("R-16")
def test_a_month_later_no_is_found_on_the_account_and_needs_a_proof(colleagues: Colleagues, build: Build) -> None:
    mine, other, notice = doubted(build)
    browser, page = colleagues.signed_in(), f"/signalements/{notice.id}"
    answered(browser, notice, YES)
    db.session.execute(update(SchoolNotice).values(settled_at=now() - timedelta(days=31)))
    db.session.commit()
    assert CHECKED not in plain(browser.get("/signalements")), "the list has forgotten it"
    assert f'href="{page}"' in plain(browser.get(f"/comptes/{mine.id}"))
    assert f'href="{page}/{YES}"' not in plain(browser.get(page))
    colleagues.age_proofs()
    assert browser.get(f"{page}/{NO}").headers["Location"].startswith("/preuve?")
    colleagues.age_proofs(timedelta())
    after = plain(browser.get(answered(browser, notice, NO).headers["Location"]))
    assert f'<a class="btn" href="/comptes/{other.id}/courrier">' in after
    assert (children_of(mine), children_of(other)) == (["Léa"], ["Zoé", "Lou"])
    assert page not in plain(browser.get(f"/comptes/{mine.id}"))


@pytest.mark.row("Z-03")
@pytest.mark.parametrize("is_added", [False, True])
def test_of_yes_and_no_at_once_one_wins(colleagues: Colleagues, build: Build, *, is_added: bool) -> None:
    rows = [doubted(build) for _ in range(3)]
    if is_added:
        for _, _, notice in rows:
            answered(colleagues.signed_in(), notice, YES)
    answers = [NO, NO] if is_added else [YES, NO]
    order = {"notices": [str(notice.id) for _, _, notice in rows], "answers": answers}
    db.session.rollback()
    done = forked.run(
        "tests.desk.notice_race", timeout=300, stdin=json.dumps({"database": build.settings.database_url, **order})
    )
    assert done.returncode == 0, done.stderr[-3000:]
    won = json.loads(done.stdout)
    for mine, _, notice in rows:
        [winner] = [answer for answer in won[str(notice.id)] if answer]
        assert children_of(mine) == (["Léa", "Zoé", "Lou"] if winner == YES else ["Léa"])
