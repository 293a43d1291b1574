"""Jobs of the desk: progress, results, files that are handed out once."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import time_machine
from flask import Flask

from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.access import Right
from idp.desk.jobs import files, kinds, lifecycle
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.kinds import BusyError, Finished, Kind, Running
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.staff.models import Role, StaffRole
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Worker
from idp.services import services
from tests.builders import COLLEGE, LYCEE
from tests.desk.colleagues import Colleagues, post
from tests.desk.trial_jobs import CONTENT, ask, do_all, state
from tests.pages import form_token
from tests.rows import each_row


@pytest.mark.row("K-24")
def test_a_job_is_done_and_its_file_is_handed_out_once(desk: Flask, colleagues: Colleagues, work: object) -> None:
    browser = colleagues.signed_in()
    key = ask(desk, browser)
    assert "Actualiser" in browser.get(f"/travaux/{key}").get_data(as_text=True), "the way without a script"
    do_all()
    assert "3 lettres" in browser.get(f"/travaux/{key}").get_data(as_text=True)
    [file] = db.session.query(JobFile).all()
    assert CONTENT not in file.content
    answer = post(browser, f"/travaux/{key}/fichiers/{file.id}", f"/travaux/{key}")
    assert answer.data == CONTENT
    assert answer.headers["Content-Disposition"] == "attachment; filename=lettres.pdf"
    again = post(browser, f"/travaux/{key}/fichiers/{file.id}", "/etablissements")
    assert again.headers["Location"] == f"/travaux/{key}"
    db.session.expire_all()
    assert db.session.query(JobFile).one().content == b""


@pytest.mark.row("K-24")
def test_a_browser_takes_a_file_from_a_page_and_the_pages_then_say_so(
    desk: Flask, colleagues: Colleagues, work: object
) -> None:
    browser, colleague = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    key = ask(desk, browser)
    do_all()
    path = f"/travaux/{key}/fichiers/{db.session.query(JobFile).one().id}"
    fields = {"csrf_token": form_token(browser.get(f"/travaux/{key}"))}
    led = browser.post(path, data=fields, headers={"Accept": "text/html,*/*;q=0.8"})
    ticket = led.headers["Location"].removeprefix(f"{path}?billet=")
    page = browser.get(led.headers["Location"]).get_data(as_text=True)
    assert f'<meta http-equiv="refresh" content="0; url={path}/contenu?billet={ticket}">' in page
    with time_machine.travel(now() + timedelta(minutes=2, seconds=2)):
        assert browser.get(led.headers["Location"]).headers["Location"] == f"/travaux/{key}"
    for url in (f"{path}/contenu", f"{path}/contenu?billet=x{ticket}"):
        assert browser.get(url).headers["Location"] == f"/travaux/{key}"
    assert colleague.get(f"{path}/contenu?billet={ticket}").headers["Location"] == f"/travaux/{key}"
    assert browser.head(f"{path}/contenu?billet={ticket}").status_code == 303
    assert "Prendre le fichier" in browser.get(f"/travaux/{key}").get_data(as_text=True)
    assert browser.get(f"{path}/contenu?billet={ticket}").data == CONTENT
    for url in (led.headers["Location"], f"{path}/contenu?billet={ticket}"):
        assert browser.get(url).headers["Location"] == f"/travaux/{key}"
        assert "Il n’est plus ici" in browser.get(f"/travaux/{key}").get_data(as_text=True)


@pytest.mark.row("K-24")
def test_a_file_is_for_the_person_who_asked(desk: Flask, colleagues: Colleagues, work: object) -> None:
    browser, colleague = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    key = ask(desk, browser)
    do_all()
    [file] = db.session.query(JobFile).all()
    assert "Prendre le fichier" not in colleague.get(f"/travaux/{key}").get_data(as_text=True)
    assert post(colleague, f"/travaux/{key}/fichiers/{file.id}", "/etablissements").status_code == 303
    assert post(browser, f"/travaux/{key}/fichiers/{file.id}", f"/travaux/{key}").data == CONTENT


@pytest.mark.row("K-24")
def test_a_file_is_for_the_post_that_asked(
    desk: Flask, colleagues: Colleagues, work: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff = colleagues.person()
    former = colleagues.grant(staff, Role.SECRETARY).id
    browser = colleagues.session(staff)[0]
    key = ask(desk, browser)
    do_all()
    path = f"/travaux/{key}/fichiers/{db.session.query(JobFile).one().id}"

    def set_end(role: uuid.UUID, moment: datetime | None) -> None:
        with unit_of_work():
            db.session.query(StaffRole).filter_by(id=role).update({"ended_at": moment})

    def end_meanwhile(key: uuid.UUID) -> tuple[Job, Kind]:
        row = get_job(key)
        set_end(former, now())
        return row

    get_job = lifecycle.get
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "get", end_meanwhile)
        assert post(browser, path, "/etablissements").status_code == 303
    for role, uai, status in ((Role.HEAD, COLLEGE, 303), (Role.SECRETARY, COLLEGE, 303), (Role.SECRETARY, LYCEE, 404)):
        other, again = colleagues.grant(staff, role, uai=uai).id, colleagues.session(staff)[0]
        assert "Prendre le fichier" not in again.get(f"/travaux/{key}").get_data(as_text=True)
        assert post(again, path, "/etablissements").status_code == status
        set_end(other, now())
    set_end(former, None)
    assert post(colleagues.session(staff)[0], path, f"/travaux/{key}").data == CONTENT


def test_a_file_is_gone_after_a_quarter_of_an_hour(desk: Flask, colleagues: Colleagues, work: object) -> None:
    browser = colleagues.signed_in()
    key = ask(desk, browser)
    do_all()
    file = db.session.query(JobFile).one()
    assert file.expires_at - file.created_at <= timedelta(minutes=15, seconds=1)
    file.expires_at = now() - timedelta(seconds=1)
    db.session.commit()
    assert "personne ne l’a pris" in browser.get(f"/travaux/{key}").get_data(as_text=True)
    assert post(browser, f"/travaux/{key}/fichiers/{file.id}", "/etablissements").status_code == 303
    [message] = db.session.query(OutboxMessage).filter_by(kind=files.EXPIRY).all()
    message.available_at = now()
    db.session.commit()
    Worker({files.EXPIRY: services().outbox_handlers[files.EXPIRY]}).run_once()
    db.session.expire_all()
    assert db.session.query(JobFile).one().content == b""


def test_an_upload_is_encrypted_and_goes_with_the_end_of_its_job(
    desk: Flask, colleagues: Colleagues, work: list[Callable[[Running], Finished]]
) -> None:
    seen: list[NewFile] = []

    def read(job: Running) -> Finished:
        seen.extend(files.uploads(job.settings, job.id))
        return Finished()

    work.append(read)
    key = ask(desk, colleagues.signed_in(), NewFile("eleves.xml", "text/xml", b"<ELEVES/>"))
    assert b"ELEVES" not in db.session.query(JobFile).one().content
    do_all()
    assert seen == [NewFile("eleves.xml", "text/xml", b"<ELEVES/>")]
    assert (state(key), db.session.query(JobFile).one().content) == (State.DONE, b"")


def test_a_file_that_cannot_be_opened_is_not_taken(desk: Flask, colleagues: Colleagues, work: object) -> None:
    browser = colleagues.signed_in()
    key = ask(desk, browser)
    do_all()
    file = db.session.query(JobFile).one()
    file.content = b"encrypted under a key that is gone"
    db.session.commit()
    assert post(browser, f"/travaux/{key}/fichiers/{file.id}", f"/travaux/{key}").status_code == 303
    db.session.expire_all()
    assert (file.content, file.taken_at) == (b"", None)
    assert "personne ne l’a pris" in browser.get(f"/travaux/{key}").get_data(as_text=True)
    assert db.session.query(AuditEntry).filter_by(kind="desk.file_taken").count() == 0


@pytest.mark.row("K-24")
def test_a_file_is_taken_by_its_own_job_only(desk: Flask, colleagues: Colleagues, work: object) -> None:
    browser = colleagues.signed_in()
    first, second = ask(desk, browser), ask(desk, browser)
    do_all()
    file = db.session.query(JobFile).filter_by(job_id=first).one()
    assert post(browser, f"/travaux/{second}/fichiers/{file.id}", "/etablissements").status_code == 303
    assert post(browser, f"/travaux/{first}/fichiers/{file.id}", f"/travaux/{first}").data == CONTENT


@each_row(("role", "cancels"), [(Role.HEAD, True), (Role.SECRETARY, False), (Role.ENGINEER, False)])
def test_who_manages_the_team_cancels_a_job_and_a_colleague_does_not(
    desk: Flask, colleagues: Colleagues, work: object, *, role: Role, cancels: bool
) -> None:
    kind = kinds.KINDS["trial"]
    kinds.KINDS["trial"] = replace(kind, right=Right.IMPORT_FILES, cancel_hint="Vous pouvez annuler.")
    key, other = ask(desk, colleagues.signed_in()), colleagues.signed_in(role)
    page = other.get(f"/travaux/{key}").get_data(as_text=True)
    assert ("/annuler" in page) is ("Vous pouvez annuler." in page) is cancels
    answer = post(other, f"/travaux/{key}/annuler", "/etablissements")
    assert (answer.status_code, state(key)) == ((303, State.CANCELLED) if cancels else (404, State.WAITING))


def test_a_job_that_runs_stops_at_its_next_step(
    desk: Flask, colleagues: Colleagues, work: list[Callable[[Running], Finished]]
) -> None:
    browser, steps = colleagues.signed_in(), []
    key = ask(desk, browser)

    def run(job: Running) -> Finished:
        job.tick(1, 3)
        steps.append(1)
        lifecycle.cancel(db.session.get_one(Job, key))
        job.check()
        steps.append(2)
        return Finished()

    work.append(run)
    do_all()
    assert (state(key), steps) == (State.CANCELLED, [1])
    assert (db.session.get_one(Job, key).done, db.session.get_one(Job, key).total) == (1, 3)


@pytest.mark.row("K-21")
def test_a_job_ends_with_the_role_of_its_person(desk: Flask, colleagues: Colleagues, work: object) -> None:
    key = ask(desk, colleagues.signed_in())
    db.session.query(StaffRole).one().valid_until = now() - timedelta(seconds=1)
    db.session.commit()
    do_all()
    assert (state(key), db.session.get_one(Job, key).refusal) == (State.FAILED, "role_ended")
    assert db.session.query(JobFile).count() == 0


def test_a_worker_that_lost_its_lease_stores_nothing(
    desk: Flask, colleagues: Colleagues, work: list[Callable[[Running], Finished]]
) -> None:
    def lose(job: Running) -> Finished:
        job.lease_lost.set()
        job.check()
        return Finished({"letters": 1})

    work.append(lose)
    key = ask(desk, colleagues.signed_in())
    do_all()
    assert (state(key), db.session.get_one(Job, key).result) == (State.RUNNING, {})


def test_the_journal_names_the_person_also_for_what_the_worker_does(
    desk: Flask, colleagues: Colleagues, work: object
) -> None:
    key = ask(desk, colleagues.signed_in())
    do_all()
    rows = db.session.execute(
        db.text("SELECT kind, staff_id, school_id, details FROM audit WHERE kind LIKE 'desk.job%' ORDER BY id")
    ).all()
    assert [row.kind for row in rows] == ["desk.job_asked", "desk.job_finished"]
    assert rows[0].staff_id == rows[1].staff_id is not None
    assert rows[0].school_id == rows[1].school_id is not None
    details = rows[1].details
    assert (details["job"], details["outcome"], details["desk"]["role"]) == (str(key), "done", "secretary")


def test_a_job_that_has_to_wait_is_tried_again_soon_and_loses_no_try(
    desk: Flask, colleagues: Colleagues, work: list[Callable[[Running], Finished]]
) -> None:
    def wait(_job: Running) -> Finished:
        raise BusyError

    work.append(wait)
    key = ask(desk, colleagues.signed_in())
    for _ in range(5):
        do_all()
        message = db.session.query(OutboxMessage).filter_by(kind=lifecycle.JOB).one()
        assert (state(key), message.attempts) == (State.WAITING, 0)
        assert message.available_at - now() <= timedelta(seconds=20)
        message.available_at = now()
        db.session.commit()
    work.pop()
    do_all()
    assert state(key) is State.DONE


def test_a_job_with_a_fault_is_tried_three_times_and_keeps_what_it_did(
    desk: Flask, colleagues: Colleagues, work: list[Callable[[Running], Finished]]
) -> None:
    tries = []

    def fail(job: Running) -> Finished:
        tries.append(1)
        job.begin_writing({"letters": 2})
        raise ZeroDivisionError

    work.append(fail)
    key = ask(desk, colleagues.signed_in())
    for _ in range(4):
        do_all()
        message = db.session.query(OutboxMessage).filter_by(kind=lifecycle.JOB).one()
        message.available_at = now()
        db.session.commit()
    assert len(tries) == 3
    assert (state(key), db.session.get_one(Job, key).refusal) == (State.FAILED, "fault")
    assert db.session.get_one(Job, key).result == {"letters": 2}


def test_a_job_that_has_begun_to_write_is_not_cancelled(
    desk: Flask, colleagues: Colleagues, work: list[Callable[[Running], Finished]]
) -> None:
    def begin(job: Running) -> Finished:
        job.begin_writing({"letters": 1})
        raise ZeroDivisionError

    work.append(begin)
    browser = colleagues.signed_in()
    key = ask(desk, browser)
    assert "Annuler</button>" in browser.get(f"/travaux/{key}").get_data(as_text=True)
    do_all()
    post(browser, f"/travaux/{key}/annuler", "/etablissements")
    page = browser.get(f"/travaux/{key}").get_data(as_text=True)
    assert "le travail va à son terme et ne s’annule plus" in page
    assert "Annuler</button>" not in page
    assert (state(key), db.session.get_one(Job, key).cancel_asked_at) == (State.RUNNING, None)
    assert db.session.query(AuditEntry).filter_by(kind="desk.job_cancelled").count() == 0


def test_a_job_that_was_cancelled_does_not_begin_to_write(
    desk: Flask, colleagues: Colleagues, work: list[Callable[[Running], Finished]], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ask(desk, colleagues.signed_in())
    monkeypatch.setattr(Running, "check", lambda _: None)  # the cancellation comes after it

    def begin(job: Running) -> Finished:
        assert lifecycle.cancel(db.session.get_one(Job, key))
        monkeypatch.undo()
        job.begin_writing({"letters": 1})
        return Finished()

    work.append(begin)
    do_all()
    job = db.session.get_one(Job, key)
    assert (job.state, job.is_final, job.result) == (State.CANCELLED, False, {})


def test_a_job_that_kills_its_workers_is_ended(
    desk: Flask, colleagues: Colleagues, work: list[Callable[[Running], Finished]]
) -> None:
    key = ask(desk, colleagues.signed_in())
    message = db.session.query(OutboxMessage).filter_by(kind=lifecycle.JOB).one()
    db.session.get_one(Job, key).state, message.attempts = State.RUNNING, 5
    db.session.commit()
    do_all()
    assert (state(key), db.session.get_one(Job, key).refusal) == (State.FAILED, "fault")
    assert db.session.query(JobFile).count() == 0


def test_a_job_of_a_newer_version_waits(desk: Flask, colleagues: Colleagues, work: object) -> None:
    key = ask(desk, colleagues.signed_in())
    kind = kinds.KINDS.pop("trial")
    do_all()
    assert state(key) is State.WAITING
    kinds.KINDS["trial"] = kind
