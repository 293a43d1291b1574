"""Asks for jobs, shows them, cancels them."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, true, update
from sqlalchemy.exc import IntegrityError

from idp.audit import log
from idp.audit.desk_events import JobAsked, JobCancelled
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.jobs import files
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.kinds import KINDS, Kind
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.staff.models import StaffAccount
from idp.outbox import queue

JOB = "desk.job"
"""The kind of outbox message that has the worker do a job; its payload names the row."""
_SHOWN = 50


def start(settings: Settings, kind: Kind, parameters: Mapping[str, Any], *, uploads: Sequence[NewFile] = ()) -> Job:
    """Ask for a job, in a transaction of its own; see `store`."""
    with unit_of_work():
        return store(settings, kind, parameters, uploads=uploads)


def store(settings: Settings, kind: Kind, parameters: Mapping[str, Any], *, uploads: Sequence[NewFile] = ()) -> Job:
    """Ask for a job, in the caller's transaction.

    Args:
        settings: for the secret key, under which uploads are encrypted.
        kind: the kind of job.
        parameters: what to do; ids and choices, never a secret.
        uploads: the files that it needs.
    """
    job = _new(kind, parameters)
    _store(job)
    for upload in uploads:
        files.store(settings, job.id, upload, is_upload=True)
    return job


def start_alone(kind: Kind, parameters: Mapping[str, Any], lane: str) -> Job | None:
    """Ask for a job, and return the one of this lane that is not over: of two requests at once, one wins.

    Return None if the other job has ended meanwhile.
    """
    job = _new(kind, parameters)
    job.lane = lane
    try:
        with unit_of_work():
            _store(job)
    except IntegrityError:  # the unique index of the lanes
        return in_lane(lane)
    return job


def in_lane(lane: str) -> Job | None:
    """Return the job of a lane that is not over, or None."""
    return db.session.scalar(select(Job).where(Job.lane == lane, Job.finished_at.is_(None)))


def _store(job: Job) -> None:
    """Store a job and the message that has the worker do it, in the caller's transaction."""
    db.session.add(job)
    db.session.flush()
    queue.enqueue(JOB, {"job": str(job.id)})
    log.record(JobAsked(job=str(job.id), work=job.kind))


def _new(kind: Kind, parameters: Mapping[str, Any]) -> Job:
    """Return a job that the person asks for, which is not stored yet."""
    person, post, origin = access.person(), access.post(), log.current_origin()
    return Job(
        id=uuid.uuid4(),
        kind=kind.name,
        staff_id=person.staff.id,
        role_id=post.id,
        school_id=post.school.id if post.school else None,
        parameters=dict(parameters),
        origin={
            "ip": origin.ip,
            "request_id": origin.request_id,
            "actor": origin.actor,
            "details": dict(origin.desk.details) if origin.desk else {},
        },
    )


def done_at_once(kind: Kind, parameters: Mapping[str, Any], result: Mapping[str, Any]) -> Job:
    """Store a job that the request itself did, in the caller's transaction; the caller adds its files."""
    job = _new(kind, parameters)
    job.state, job.result = State.DONE, dict(result)
    job.started_at = job.finished_at = now()
    db.session.add(job)
    db.session.flush()
    return job


def in_scope() -> ColumnElement[bool]:
    """Return the condition of the jobs that the person may see: those of the school, or those of the post elsewhere."""
    if not access.may(access.Right.READ_JOBS):
        return access.in_this_post(Job.role_id)
    school = access.post().school
    return Job.school_id == school.id if school else true()


def is_own(job: Job) -> bool:
    """Return whether the person asked for a job in the post that they act in now."""
    return job.role_id == access.post().id


def may_cancel(job: Job) -> bool:
    """Return whether the person may cancel a job; see `access.cancellable`."""
    return db.session.scalar(select(Job.id).where(Job.id == job.id, access.cancellable(Job.role_id))) is not None


def get(key: uuid.UUID) -> tuple[Job, Kind]:
    """Return a job in scope and its kind; refuse the page otherwise."""
    job = db.session.scalar(select(Job).where(Job.id == key, in_scope()))
    kind = KINDS.get(job.kind) if job else None
    if job is None or kind is None or not access.may(kind.right):
        access.refuse(str(key))
    return job, kind


def recent(*kinds: Kind) -> list[Job]:
    """Return the last jobs of some kinds in scope, newest first."""
    names = [kind.name for kind in kinds]
    statement = select(Job).where(in_scope(), Job.kind.in_(names)).order_by(Job.created_at.desc()).limit(_SHOWN)
    return list(db.session.scalars(statement))


def authors(jobs: Collection[Job]) -> dict[uuid.UUID, str]:
    """Return the names of the people who asked for jobs, by their ids."""
    statement = select(StaffAccount.id, StaffAccount.name).where(StaffAccount.id.in_({job.staff_id for job in jobs}))
    return {row.id: row.name for row in db.session.execute(statement)}


def cancel(job: Job) -> bool:
    """Cancel a job that waits, or ask one that runs to stop at its next step; the caller asked `may_cancel`.

    Returns:
        False, without a change, if the job is over, has begun to write, or is asked to stop already.
    """
    this = Job.id == job.id, ~Job.is_final
    with unit_of_work():
        waiting = db.session.scalar(
            update(Job)
            .where(*this, Job.state == State.WAITING)
            .values(state=State.CANCELLED, cancel_asked_at=now(), finished_at=now())
            .returning(Job.id)
            .execution_options(synchronize_session=False)
        )
        running = waiting or db.session.scalar(
            update(Job)
            .where(*this, Job.state == State.RUNNING, Job.cancel_asked_at.is_(None))
            .values(cancel_asked_at=now())
            .returning(Job.id)
            .execution_options(synchronize_session=False)
        )
        if waiting:
            files.empty(JobFile.job_id == job.id)
        if running:
            log.record(JobCancelled(job=str(job.id), work=job.kind))
    return running is not None
