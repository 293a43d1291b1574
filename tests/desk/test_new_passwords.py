"""A school's families choose new passwords."""

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import update

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.classes import board
from idp.desk.jobs import asking
from idp.desk.jobs.models import Job, State
from idp.desk.jobs.work import Running
from idp.desk.staff.models import Role
from idp.families.standing import Group
from idp.letters import class_lists
from idp.operations import batches, blocked_passwords
from idp.outbox.queue import OutboxMessage
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import do_all, key_of, shown

PATH = "/etablissement/mots-de-passe"


def blocked(account: Account) -> bool:
    db.session.expire_all()
    return db.session.get_one(Account, account.id).password_blocked_at is not None


def test_the_word_blocks_the_passwords_of_the_own_school_only(build: Build, colleagues: Colleagues) -> None:
    ours = build.active()
    theirs = build.active(children=[build.child(uai=LYCEE)], email="l@exemple.fr")
    browser = colleagues.signed_in(Role.HEAD)
    assert "Comptes avec un mot de passe choisi : 1." in shown(browser.get(PATH))
    assert "Tapez le mot BLOQUER" in post(browser, PATH, word="oui", uai=COLLEGE).get_data(as_text=True)
    assert not blocked(ours)
    assert post(browser, PATH, word="BLOQUER", uai=LYCEE).status_code == 404
    assert db.session.query(Job).count() == 0, "a form that names another school asks for nothing"
    job = key_of(post(browser, PATH, word="bloquer", uai=COLLEGE))
    assert not blocked(ours), "the request itself blocks nothing"
    do_all()
    assert blocked(ours)
    assert not blocked(theirs)
    assert "Familles qui choisiront un nouveau mot de passe : 1." in shown(browser.get(f"/travaux/{job}"))
    entry = db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").one()
    assert (entry.details["uai"], entry.details["count"]) == (COLLEGE, 1)


def test_an_engineer_names_the_school(build: Build, colleagues: Colleagues) -> None:
    account = build.active()
    browser = colleagues.signed_in(Role.ENGINEER)
    assert "De quel établissement" in browser.get(PATH).get_data(as_text=True)
    for wrong in ("xx", "%00", "0590001%00"):
        assert "Aucun établissement" in browser.get(f"{PATH}?uai={wrong}").get_data(as_text=True)
    assert post(browser, PATH, word="BLOQUER", uai="\x00").headers["Location"] == PATH
    page = f"{PATH}?uai={COLLEGE.lower()}"
    before = shown(browser.get(page))
    assert "Collège des Tilleuls" in before
    job = key_of(post(browser, PATH, page, word="BLOQUER", uai=COLLEGE))
    do_all()
    assert blocked(account)
    after = shown(browser.get(f"/travaux/{job}"))
    for sentence in (
        "nouveau courrier : moins de 10",
        "Familles qui choisiront un nouveau mot de passe : moins de 10.",
    ):
        assert sentence in before + after
    for text in (before, after, shown(browser.get(page))):
        assert not re.search(r"(?<!moins de )\b(0|1|10)\b( ici|\.<| sur )", text), (
            "no exact number of a school's families"
        )
    assert "Comptes avec un mot de passe choisi : moins de 10." in shown(browser.get(page)), "also when nobody is left"
    row = db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").one()
    assert row.details["count"] == 1
    journal = shown(browser.get("/journal"))
    assert "ouveaux mots de passe demandés" in journal
    assert "nombre : 1" not in journal
    exported = json.loads(post(browser, "/journal/export", "/journal", format="json").get_data())["entries"]
    assert [entry["details"].get("count") for entry in exported if entry["kind"] == row.kind] == [None]


def test_the_page_says_how_many_need_a_letter(build: Build, colleagues: Colleagues) -> None:
    build.active()
    build.active(email=None)
    page = shown(colleagues.signed_in(Role.HEAD).get(PATH))
    assert "Comptes avec un mot de passe choisi : 2." in page
    assert "a besoin d’un nouveau courrier : 1 ici." in page


@pytest.mark.row("K-14")
def test_two_people_ask_for_one_job(build: Build, colleagues: Colleagues) -> None:
    build.active()
    first, second = colleagues.signed_in(Role.HEAD), colleagues.signed_in(Role.HEAD)
    job = key_of(post(first, PATH, word="BLOQUER"))
    assert key_of(post(first, PATH, word="BLOQUER")) == job, "a second click"
    assert "Quelqu’un d’autre l’a déjà demandé" in shown(post(second, PATH, word="BLOQUER"))
    assert post(second, f"/travaux/{job}/annuler", PATH).status_code == 303
    do_all()
    assert db.session.get_one(Job, job).state is State.CANCELLED
    assert db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").count() == 0


def test_a_job_that_was_interrupted_blocks_the_rest_and_counts_all(
    build: Build, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [build.active(email=f"p{number}@exemple.fr") for number in range(3)]
    staff = colleagues.person()
    role = colleagues.grant(staff, Role.HEAD)
    job = key_of(post(colleagues.session(staff)[0], PATH, word="BLOQUER"))
    monkeypatch.setattr(batches, "ROWS", 1)
    monkeypatch.setattr(Running, "progress", fail)
    do_all()
    monkeypatch.undo()
    assert [blocked(person) for person in people].count(True) == 1
    assert db.session.get_one(Job, job).result["blocked"] == 1, "the batch and its number are one transaction"
    role.ended_at = now()
    db.session.execute(update(OutboxMessage).where(OutboxMessage.kind == asking.JOB).values(available_at=now()))
    db.session.commit()
    do_all()
    assert all(blocked(person) for person in people), "what has begun is finished, also without its person"
    assert db.session.get_one(Job, job).result["blocked"] == 3
    entry = db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").one()
    assert entry.details["count"] == 3


def fail(*_: object) -> None:
    raise RuntimeError("the worker is gone")


def test_a_job_that_failed_says_and_records_what_it_blocked(
    build: Build, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.active()
    browser = colleagues.signed_in(Role.HEAD)
    job = key_of(post(browser, PATH, word="BLOQUER"))
    with monkeypatch.context() as before:
        before.setattr(blocked_passwords, "block", fail)
        do_all()
    assert db.session.get_one(Job, job).is_final, "nobody cancels it from the first batch on"
    monkeypatch.setattr(Running, "progress", fail)
    update_message = update(OutboxMessage).where(OutboxMessage.kind == asking.JOB)
    db.session.execute(update_message.values(available_at=now(), attempts=2))
    db.session.commit()
    do_all()
    page = shown(browser.get(f"/travaux/{job}"))
    assert "Le travail s’est arrêté." in page
    assert "Familles qui choisiront un nouveau mot de passe : 1." in page
    entry = db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").one()
    assert entry.details["count"] == 1


def test_a_fresh_proof_comes_first(colleagues: Colleagues) -> None:
    browser = colleagues.signed_in(Role.HEAD, proof_age=timedelta(minutes=11))
    assert "/preuve" in browser.get(PATH).headers["Location"]


def test_a_blocked_password_without_a_confirmed_address_needs_a_letter(colleagues: Colleagues, build: Build) -> None:
    account = build.active(email=None, pending_email="a@exemple.fr", password_blocked_at=now())
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}"
    page = shown(browser.get(path)).partition("<main")[2]
    assert "Il vous faut un nouveau courrier" in page
    assert "Nouveau courrier</a>" in page
    for false in ("vous recevez un mail", "Renvoyer le message", "par l’équipe du service"):
        assert false not in page
    assert "Aucun message à renvoyer" in shown(post(browser, f"{path}/renvoyer", path))
    assert db.session.query(OutboxMessage).count() == 0
    assert class_lists.waiting(build.school(), None) == []
    assert [row.missing for row in class_lists.remaining(build.school(), None)] == [class_lists.Missing.LETTER]
    states = board.of_school(build.school()).whole.cells
    counted = {cell.state: cell.count for cell in states if cell.count}
    assert counted == {Group.RELETTER: 1}, "the board says what the account's page says"
    listed = shown(browser.get("/recherche", query_string={"etat": Group.RELETTER.value}))
    assert account.display_name in listed
