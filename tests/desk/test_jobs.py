"""Jobs of the desk: progress, results, files that are handed out once."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import time_machine
from flask import Flask

from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.jobs import asking, files
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.kinds import Kind
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.jobs.work import Finished, Running
from idp.desk.staff.models import Role, StaffRole
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Worker
from idp.services import services
from tests.builders import COLLEGE, LYCEE
from tests.desk.colleagues import Colleagues, post
from tests.desk.trial_jobs import CONTENT, ask, do_all, state
from tests.pages import form_token, heading


@pytest.mark.row("K-24")
def test_a_job_is_done_and_its_file_is_handed_out_once(desk: Flask, colleagues: Colleagues, work: object) -> None:
    browser = colleagues.signed_in()
    key = ask(desk, browser)
    waiting = browser.get(f"/travaux/{key}").get_data(as_text=True)
    assert "En attente" in waiting
    assert "Actualiser" in waiting, "the way without a script"
    assert all(part in waiting for part in ('role="status" data-news="state"', "data-follow=", 'data-news="progress"'))
    do_all()
    page = browser.get(f"/travaux/{key}")
    assert heading(page) == "Impression"
    assert "3 lettres" in page.get_data(as_text=True)
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
        again = browser.get(f"/travaux/{key}").get_data(as_text=True)
        assert "par Sylvie Marchand" in again
        assert "Il n’est plus ici" in again
        assert "Prendre le fichier" not in again


@pytest.mark.row("K-24")
def test_a_file_is_for_the_person_who_asked(desk: Flask, colleagues: Colleagues, work: object) -> None:
    browser, colleague = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    key = ask(desk, browser)
    do_all()
    [file] = db.session.query(JobFile).all()
    assert "Prendre le fichier" not in colleague.get(f"/travaux/{key}").get_data(as_text=True)
    assert post(colleague, f"/travaux/{key}/fichiers/{file.id}", "/etablissements").status_code == 303
    stranger = colleagues.signed_in(Role.HEAD, uai=LYCEE)
    assert stranger.get(f"/travaux/{key}").status_code == 404
    assert post(stranger, f"/travaux/{key}/fichiers/{file.id}", "/etablissements").status_code == 404
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

    get_job = asking.get
    with monkeypatch.context() as patch:
        patch.setattr(asking, "get", end_meanwhile)
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
