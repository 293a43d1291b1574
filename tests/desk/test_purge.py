"""What the purge removes of the desk, and what it keeps."""

from datetime import timedelta

from flask import Flask

from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.desk import purge
from idp.desk.jobs import asking
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.staff.models import Role, StaffAccount, StaffCredential, StaffRole, StaffSession
from idp.desk.statistics.models import StoredFigures
from idp.outbox import queue
from tests.builders import Build
from tests.desk.colleagues import Colleagues


def purged(build: Build) -> dict[str, int]:
    done = purge.purge(build.settings, now())
    db.session.expire_all()
    return {name: count for name, count in done.items() if count}


def test_a_session_is_removed_a_week_after_its_end(desk: Flask, build: Build, colleagues: Colleagues) -> None:
    staff = colleagues.person()
    colleagues.grant(staff, Role.HEAD)
    _, old = colleagues.session(staff)
    _, recent = colleagues.session(staff)
    old.ended_at, recent.ended_at = now() - timedelta(days=8), now() - timedelta(days=6)
    db.session.commit()
    assert purged(build) == {"staff_sessions": 1}
    assert db.session.query(StaffSession).one().id == recent.id


def test_a_job_is_removed_with_its_files_after_sixty_days(desk: Flask, build: Build, colleagues: Colleagues) -> None:
    staff = colleagues.person()
    role = colleagues.grant(staff, Role.HEAD)
    for days in (59, 61):
        job = Job(
            kind="trial", staff_id=staff.id, role_id=role.id, state=State.DONE, finished_at=now() - timedelta(days=days)
        )
        db.session.add(job)
        db.session.flush()
        db.session.add(JobFile(job_id=job.id, name="x", media_type="x/y", content=b"", expires_at=now()))
    db.session.commit()
    assert purged(build) == {"desk_jobs": 1}
    assert (db.session.query(Job).count(), db.session.query(JobFile).count()) == (1, 1)


def test_a_job_whose_message_is_finished_is_ended_and_leaves_its_lane(
    desk: Flask, build: Build, colleagues: Colleagues
) -> None:
    staff = colleagues.person()
    role = colleagues.grant(staff, Role.HEAD)
    for lane, finished_at in (("dead", now()), ("waits", None)):
        job = Job(kind="trial", staff_id=staff.id, role_id=role.id, state=State.RUNNING, lane=lane)
        db.session.add(job)
        db.session.flush()
        message = queue.enqueue(asking.JOB, {"job": str(job.id)})
        message.finished_at = finished_at
    db.session.commit()
    purged(build)
    states = {job.lane: (job.state, job.refusal) for job in db.session.query(Job)}
    assert states == {"dead": (State.FAILED, "fault"), "waits": (State.RUNNING, "")}
    assert [asking.in_lane(lane) is None for lane in ("dead", "waits")] == [True, False]


def test_figures_of_a_worker_that_stands_still_are_removed_after_a_week(desk: Flask, build: Build) -> None:
    for days in (6, 8):
        db.session.add(StoredFigures(scope=f"x{days}", counted_at=now() - timedelta(days=days), tables={}))
    db.session.commit()
    assert purged(build) == {"desk_figures": 1}
    assert db.session.query(StoredFigures).one().scope == "x6"


def test_a_person_who_left_is_removed_with_the_end_of_the_journal(
    desk: Flask, build: Build, colleagues: Colleagues
) -> None:
    for days in (364, 366):
        staff = colleagues.person()
        colleagues.grant(staff, Role.SECRETARY)
        staff.disabled_at = now() - timedelta(days=days)
    stays = colleagues.person()
    colleagues.grant(stays, Role.SECRETARY)
    assert purged(build) == {"staff_removed": 1}
    assert (db.session.query(StaffAccount).count(), db.session.query(StaffRole).count()) == (2, 2)
    assert db.session.query(StaffCredential).count() == 0


def test_a_person_whose_last_role_ended_is_removed_a_year_later(
    desk: Flask, build: Build, colleagues: Colleagues
) -> None:
    for days, ended in ((364, None), (366, None), (-100, 366), (-100, 364)):
        staff = colleagues.person()
        role = colleagues.grant(staff, Role.SECRETARY)
        staff.created_at = now() - timedelta(days=800)
        role.valid_until = now() - timedelta(days=days)
        role.ended_at = now() - timedelta(days=ended) if ended else None
        former = colleagues.grant(staff, Role.HEAD)
        former.valid_until = now() - timedelta(days=700)
    colleagues.person()  # was invited a moment ago
    db.session.commit()
    assert purged(build) == {"staff_removed": 2}
    assert (db.session.query(StaffAccount).count(), db.session.query(StaffRole).count()) == (3, 4)


def test_a_refused_ent_is_removed_with_the_end_of_the_journal(
    desk: Flask, build: Build, colleagues: Colleagues
) -> None:
    build.school()
    for days in (364, 366):
        ent = build.ent(f"Estuaire {days}", f"e{days}.test")
        build.publish(ent, "1")
        role = colleagues.grant(colleagues.person(), Role.ENT_OPERATOR, client_id=ent.client_id)
        role.ended_at = now() - timedelta(days=days)
        client = db.session.query(Client).filter_by(client_id=ent.client_id).one()
        client.declined_at, client.uais = now() - timedelta(days=days), []
        db.session.commit()
    build.ent("Passerelle")
    assert purged(build) == {"ents_refused": 1}
    assert {client.name for client in db.session.query(Client)} == {"Estuaire 364", "Passerelle"}
    assert db.session.query(StaffRole).count() == 1
