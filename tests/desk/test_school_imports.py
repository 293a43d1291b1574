"""The import of checked files: who may, what stops it, kills, history."""

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from idp.accounts.models import Account, Child, Guardianship, School
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.jobs import lifecycle
from idp.desk.jobs.kinds import Running
from idp.desk.jobs.models import Job, State
from idp.desk.staff.models import Role
from idp.outbox.queue import OutboxMessage
from idp.rostering import lock
from idp.rostering.models import ImportBatch
from tests import forked
from tests.builders import COLLEGE, LYCEE
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import checked, families, imported, key_of, names, row, send, sheet, shown
from tests.desk.trial_jobs import do_all


def leave(browser: FlaskClient, *left: int) -> str:
    """Check files without some of forty families; return why they are refused, empty if they were imported."""
    rows = [line for number, line in enumerate(families(40), 1) if number not in left]
    key, page = checked(browser, sheet(*rows), remplacer="oui")
    if "Importer</button>" not in page:
        assert post(browser, f"/fichiers/{key}/importer", "/fichiers").status_code == 200, "nothing is asked for"
        assert db.session.query(Job).filter(Job.finished_at.is_(None)).count() == 0
        return page
    post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}", mot="IMPORTER")
    do_all()
    return ""


@pytest.mark.row("K-13")
def test_leavers_of_several_imports_count_together(desk: Flask, colleagues: Colleagues) -> None:
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(40)))
    assert not leave(secretary, 1)
    assert not leave(secretary, 1, 2)
    assert "Trop d’élèves ou de responsables partiraient" in leave(secretary, 1, 2, 3)
    assert not leave(secretary, 2)
    assert not leave(secretary, 2, 3), "who came back does not count"
    assert not leave(head, 2, 3, 4), "the head has no limit"
    assert "Trop d’élèves ou de responsables partiraient" in leave(secretary, 2, 3, 4, 5), (
        "what the head removed counts"
    )
    for column in (Child.left_at, Account.disabled_at):
        long_ago = {column.key: now() - timedelta(days=8)}
        db.session.execute(update(column.class_).where(column.is_not(None)).values(long_ago))
    db.session.commit()
    assert not leave(secretary, 2, 3, 4, 5), "a week later"


@pytest.mark.row("K-13")
def test_one_pupil_may_leave_a_small_school_in_a_week_with_both_parents(desk: Flask, colleagues: Colleagues) -> None:
    secretary = colleagues.signed_in()
    fathers = [row(50 + n, given="Paul", civility="M.", child=f"{1000 + n};FAMILLE{n};Léa;6A") for n in range(1, 8)]
    rows = [*families(7), *fathers]
    imported(colleagues.signed_in(Role.HEAD), sheet(*rows))
    remaining = sheet(*rows[1:7], *rows[8:])
    assert imported(secretary, remaining).state is State.DONE
    assert db.session.query(Account).filter(Account.disabled_at.is_not(None)).count() == 2
    _, page = checked(secretary, sheet(*rows[2:7], *rows[9:]))
    assert "Trop d’élèves ou de responsables partiraient" in page


@pytest.mark.row("K-13")
def test_guardians_who_lose_their_last_child_count_together(desk: Flask, colleagues: Colleagues) -> None:
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    rows = families(40)
    imported(head, sheet(*rows))
    for number in (2, 3, 4):  # the pupil stays, with another guardian
        rows[number - 1] = row(1, child=f"{1000 + number};FAMILLE{number};Léa;6A")
        key, page = checked(secretary, sheet(*rows))
        assert "départs 0, inchangés 39" in page
        post(secretary, f"/fichiers/{key}/importer", f"/fichiers/{key}")
        do_all()
    assert "Trop d’élèves ou de responsables partiraient" in page
    assert db.session.query(Account).filter(Account.disabled_at.is_(None)).count() == 38


@pytest.mark.row("K-13")
def test_accounts_whose_key_goes_to_another_person_count_together(desk: Flask, colleagues: Colleagues) -> None:
    secretary = colleagues.signed_in()
    rows = families(40)
    imported(colleagues.signed_in(Role.HEAD), sheet(*rows))
    db.session.execute(update(Account).values(activated_at=now(), generation=1))
    db.session.commit()
    for number in (1, 2, 3):
        child, home = f"{1000 + number};FAMILLE{number};Léa;6A", "3 quai B;75001;Paris"
        rows[number - 1] = row(number, family=f"ZED{number}", given="Igor", civility="M.", home=home, child=child)
        key, page = checked(secretary, sheet(*rows))
        post(secretary, f"/fichiers/{key}/importer", f"/fichiers/{key}")
        do_all()
    assert "3 responsables sur 42 partiraient, avec les départs des 7 derniers jours" in page
    assert db.session.query(Account).filter(Account.disabled_at.is_not(None)).count() == 2
    replaced = [row for row in db.session.query(AuditEntry).filter_by(kind="account.changed") if row.staff_id]
    assert [(row.details["change"], row.details["desk"]["role"]) for row in replaced] == [("replaced", "secretary")] * 2


@pytest.mark.row("K-13")
def test_ties_that_several_imports_end_count_together(desk: Flask, colleagues: Colleagues) -> None:
    secretary = colleagues.signed_in()
    sisters, brothers = families(40), [row(n, child=f"{3000 + n};FAMILLE{n};Tom;5B") for n in range(1, 41)]
    imported(colleagues.signed_in(Role.HEAD), sheet(*sisters, *brothers))
    for number in (1, 3, 5):
        for ended in (number, number + 1):
            sisters[ended - 1] = sisters[ended - 1].replace(f";1;{COLLEGE}", f";0;{COLLEGE}")
        key, page = checked(secretary, sheet(*sisters, *brothers))
        post(secretary, f"/fichiers/{key}/importer", f"/fichiers/{key}")
        do_all()
    assert "6 liens sur 80 entre un responsable et un élève qui restent prendraient fin" in page
    assert db.session.query(Guardianship).filter(Guardianship.ended_at.is_not(None)).count() == 4
    changes = [entry.details["change"] for entry in db.session.query(AuditEntry).filter_by(kind="roster.account")]
    assert (changes.count("tie_ended"), changes.count("child_ended")) == (4, 0), "the alert counts those that stay"


@pytest.mark.row("K-14")
def test_one_import_of_a_school_is_asked_for_at_a_time(desk: Flask, colleagues: Colleagues) -> None:
    first, second = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    key, other = checked(first, sheet(*families(3)))[0], checked(second, sheet(*families(4)))[0]
    started = key_of(post(first, f"/fichiers/{key}/importer", f"/fichiers/{key}"))
    assert key_of(post(first, f"/fichiers/{key}/importer", f"/fichiers/{key}")) == started, "a second click"
    refused = post(second, f"/fichiers/{other}/importer", f"/fichiers/{other}")
    assert "D’autres fichiers de cet établissement sont en cours d’import" in shown(refused)
    assert db.session.query(Job).filter_by(kind="import").count() == 1
    do_all()
    assert (len(names()), db.session.query(ImportBatch).count()) == (3, 1)
    post(second, f"/fichiers/{other}/importer", f"/fichiers/{other}")
    do_all()
    assert len(names()) == 4, "the lane is free"


@pytest.mark.row("K-14")
def test_the_database_keeps_a_second_import_out_that_no_request_saw(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    key, _ = checked(browser, sheet(*families(3)))
    job = db.session.get_one(Job, key_of(post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}")))
    twin = Job(kind=job.kind, staff_id=job.staff_id, role_id=job.role_id, school_id=job.school_id, lane=job.lane)
    db.session.add(twin)
    with pytest.raises(IntegrityError):
        db.session.commit()
    db.session.rollback()


@pytest.mark.row("K-34")
@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HEAD])
def test_an_import_needs_a_fresh_proof_before_the_page_opens(desk: Flask, colleagues: Colleagues, role: Role) -> None:
    browser = colleagues.signed_in(role)
    key, _ = checked(browser, sheet(*families(3)))
    colleagues.age_proofs()
    assert browser.get(f"/fichiers/{key}").headers["Location"].startswith("/preuve")
    assert "/preuve" in post(browser, f"/fichiers/{key}/importer", "/etablissements").headers["Location"]
    assert db.session.query(Job).filter_by(kind="import").count() == 0


def test_files_that_the_secretary_may_not_import_are_read_without_a_proof(desk: Flask, colleagues: Colleagues) -> None:
    imported(colleagues.signed_in(), sheet(*families(40)))
    page = checked(colleagues.signed_in(proof_age=timedelta(minutes=6)), sheet(*families(15)))[1]
    assert ("Partent" in page, "Importer</button>" in page) == (True, False)


def test_files_that_look_like_a_mistake_need_a_typed_word_of_the_head(desk: Flask, colleagues: Colleagues) -> None:
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    imported(secretary, sheet(*families(40)))
    key, page = checked(head, sheet(*families(15)))
    assert "Beaucoup de comptes se fermeraient d’un coup : 25 sur 40 ; limite : 5 %." in page
    again = post(head, f"/fichiers/{key}/importer", f"/fichiers/{key}", mot="oui")
    assert "Tapez le mot IMPORTER pour confirmer." in shown(again)
    colleagues.age_proofs()
    assert "/preuve" in post(head, f"/fichiers/{key}/importer", "/etablissements", mot="IMPORTER").headers["Location"]
    colleagues.age_proofs(timedelta())
    assert 'value="IMPORTER"' in shown(head.get(f"/fichiers/{key}")), "the word was kept"
    done = key_of(post(head, f"/fichiers/{key}/importer", f"/fichiers/{key}", mot=" IMPORTER "))
    accepted = db.session.get_one(Job, done).parameters["accepted"]
    assert accepted == ["emptied", "many_accounts", "many_ties"], "and no other source"
    do_all()
    assert db.session.get_one(Job, done).state is State.DONE
    assert db.session.query(Child).filter(Child.left_at.is_(None)).count() == 15


def test_an_import_stops_if_more_would_leave_than_was_shown(desk: Flask, colleagues: Colleagues) -> None:
    head, other = colleagues.signed_in(Role.HEAD), colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(40)))
    key, _ = checked(head, sheet(*families(39)))
    imported(other, sheet(*families(41)))
    done = key_of(post(head, f"/fichiers/{key}/importer", f"/fichiers/{key}"))
    do_all()
    job = db.session.get_one(Job, done)
    assert (job.state, job.refusal) == (State.FAILED, "changed_since")
    assert db.session.query(Child).filter(Child.left_at.is_(None)).count() == 41


def test_an_import_names_the_mistake_that_files_look_like_since_their_check(
    desk: Flask, colleagues: Colleagues
) -> None:
    head = colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(3)))
    key, _ = checked(head, sheet(*families(4)))
    db.session.execute(update(School).values(source="siecle"))
    db.session.commit()
    done = key_of(post(head, f"/fichiers/{key}/importer", f"/fichiers/{key}"))
    do_all()
    assert db.session.get_one(Job, done).refusal == "other_source"
    page = shown(head.get(f"/travaux/{done}"))
    assert "recevait des fichiers d’un autre logiciel" in page
    db.session.execute(update(Job).where(Job.id == done).values(is_final=True))
    db.session.commit()
    begun = shown(head.get(f"/travaux/{done}"))
    assert ("n’a pas pu reprendre" in begun, "Rien n’a été importé" in begun) == (True, False)


def test_an_import_waits_for_another_one(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    key, _ = checked(browser, sheet(*families(3)))
    done = key_of(post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}"))
    with lock.alone():
        do_all()
    assert db.session.get_one(Job, done).state is State.WAITING
    db.session.execute(update(OutboxMessage).where(OutboxMessage.kind == lifecycle.JOB).values(available_at=now()))
    db.session.commit()
    do_all()
    assert (db.session.get_one(Job, done).state, len(names())) == (State.DONE, 3)


def test_an_import_that_has_begun_to_write_is_finished(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = colleagues.signed_in()
    key, _ = checked(browser, sheet(*families(3)))
    done = key_of(post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}"))
    begin, cancelled = Running.begin_writing, []

    def begin_and_cancel(running: Running, result: dict[str, object]) -> None:
        begin(running, result)
        cancelled.append(lifecycle.cancel(db.session.get_one(Job, done)))

    monkeypatch.setattr(Running, "begin_writing", begin_and_cancel)
    do_all()
    assert cancelled == [False]
    assert (db.session.get_one(Job, done).state, len(names())) == (State.DONE, 3)


@pytest.mark.row("Z-10")
@pytest.mark.parametrize("commit", [4, 7, 10, 13])
def test_an_import_whose_worker_was_killed_ends_with_the_same_result(
    desk: Flask, colleagues: Colleagues, database_url: str, commit: int
) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    imported(browser, sheet(*families(10)))
    key, _ = checked(browser, sheet(*families(9), *(row(number) for number in range(20, 30))))
    done = key_of(post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}", mot="IMPORTER"))
    db.session.remove()
    killed = forked.run("tests.desk.killed_import", database_url, str(commit))
    assert killed.returncode == -9, killed.stderr
    assert db.session.get_one(Job, done).state is State.RUNNING
    db.session.execute(update(OutboxMessage).values(leased_until=now() - timedelta(seconds=1)))
    db.session.commit()
    do_all()
    job = db.session.get_one(Job, done)
    assert (job.state, job.refusal) == (State.DONE, "")
    counts = job.result["counts"]["students"]
    assert (counts["created"], counts["left"]) == (10, 1)
    here = {child.family_name for child in db.session.scalars(select(Child).where(Child.left_at.is_(None)))}
    assert here == {f"FAMILLE{number}" for number in (*range(1, 10), *range(20, 30))}
    assert db.session.query(Account).filter(Account.disabled_at.is_(None)).count() == 19


def test_the_engineer_imports_for_the_academy(desk: Flask, colleagues: Colleagues) -> None:
    engineer = colleagues.signed_in(Role.ENGINEER)
    wrong = send(engineer, sheet(row(1)), uai="0599001Z").get_data(as_text=True)
    assert "Cet UAI n’est pas juste" in wrong
    done = imported(engineer, sheet(*families(3), row(4, uai=LYCEE)))
    assert (done.state, len(names())) == (State.DONE, 4)
    head = colleagues.signed_in(Role.HEAD)
    batch = db.session.scalars(select(ImportBatch)).one()
    assert head.get(f"/fichiers/imports/{batch.id}").status_code == 404
    assert engineer.get(f"/fichiers/imports/{batch.id}").status_code == 200
