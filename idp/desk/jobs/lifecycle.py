"""Jobs are asked for, listed and cancelled; `idp worker` does them, as outbox messages of the kind `desk.job`.

After a kill, the lease of the message ends (`idp.outbox.leases`), another worker claims the message, and the job runs
again: each kind of job says how it continues. A job ends at its next step if its person asks for that, or loses the
role meanwhile.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, func, select, true, update
from sqlalchemy.exc import IntegrityError

from idp.audit import log
from idp.audit.desk_events import JobAsked, JobCancelled
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.jobs import files
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.kinds import KINDS, BusyError, Finished, Kind, RefusedError, Running, StoppedError, store_end
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.staff.models import StaffAccount
from idp.logging import frames
from idp.metrics.catalogue import JOBS, JOBS_AGE
from idp.metrics.instruments import Sample, Subject
from idp.outbox import leases, queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome, PostponedError, TemporaryDeliveryError

JOB = "desk.job"
_SHOWN = 50


def start(settings: Settings, kind: Kind, parameters: Mapping[str, Any], *, uploads: Sequence[NewFile] = ()) -> Job:
    """Ask for a job, in a transaction of its own; see `store`."""
    with unit_of_work():
        return store(settings, kind, parameters, uploads=uploads)


def store(settings: Settings, kind: Kind, parameters: Mapping[str, Any], *, uploads: Sequence[NewFile] = ()) -> Job:
    """Ask for a job, in the caller's transaction; its parameters are ids and choices, never a secret."""
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
    db.session.add(job)
    db.session.flush()
    queue.enqueue(JOB, {"job": str(job.id)})
    log.record(JobAsked(job=str(job.id), work=job.kind))


def _new(kind: Kind, parameters: Mapping[str, Any]) -> Job:
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


_WAIT = timedelta(seconds=20)
_MOST_FAULTS = 3  # a job that fails by an error of the program or of the database is tried this often
# A job that still runs when its message is claimed once more has killed its workers, and is not begun again.
_MOST_BEGINNINGS = 5

log_lines = structlog.get_logger()


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Do a job (outbox handler); drop the message of a job that is over."""
    begun = _begin(uuid.UUID(message.payload["job"]))
    if begun is None:
        return Outcome.DROPPED
    job, kind, was_running = begun
    with log.acting_for(_origin(job)):
        if was_running and message.attempts > _MOST_BEGINNINGS:
            log_lines.error("desk.job_killed_its_worker", job=str(job.id), work=job.kind, attempts=message.attempts)
            _end(job, State.FAILED, Finished(), settings, refusal="fault")
        else:
            _run(job, kind, message, settings)
    return Outcome.DONE


def _run(job: Job, kind: Kind, message: OutboxMessage, settings: Settings) -> None:
    running = Running(job, settings, leases.lease_lost())
    try:
        if not running.is_final:  # what a killed run had begun to write is finished, also without its person
            running.check()
        finished = kind.run(running)
    except StoppedError as stopped:
        if stopped.state is not State.RUNNING:
            _end(job, stopped.state, Finished(), settings, refusal=stopped.code)
    except RefusedError as refused:
        _end(job, State.FAILED, Finished(), settings, refusal=refused.code)
    except BusyError as busy:
        waits = update(Job).where(Job.id == job.id, Job.state == State.RUNNING).values(state=State.WAITING)
        with unit_of_work():
            db.session.execute(waits.execution_options(synchronize_session=False))
        raise PostponedError("waits for another job", _WAIT) from busy
    except Exception as fault:
        if message.attempts < _MOST_FAULTS:
            raise
        log_lines.error("desk.job_failed", job=str(job.id), work=job.kind, where=frames(fault))  # noqa: TRY400 - the text may have names
        _end(job, State.FAILED, Finished(), settings, refusal="fault")
    else:
        _end(job, State.DONE, finished, settings)


def end_abandoned(settings: Settings) -> None:
    """End the jobs that are not over and whose message is finished or gone.

    Such a job would never be done, and would keep its lane from others for ever.
    """
    # The jobs are read first: a job and its message are stored at once, and a job is over before its message is.
    jobs = db.session.scalars(select(Job).where(Job.finished_at.is_(None))).all()
    messages = select(OutboxMessage.payload).where(OutboxMessage.finished_at.is_(None), OutboxMessage.kind == JOB)
    expected = {payload["job"] for payload in db.session.scalars(messages)}
    for job in jobs:
        if str(job.id) not in expected and unit_of_work()(_mark_running)(job.id) is not None:
            log_lines.error("desk.job_abandoned", job=str(job.id), work=job.kind)
            with log.acting_for(_origin(job)):
                _end(job, State.FAILED, Finished(), settings, refusal="fault")


@unit_of_work()
def _begin(key: uuid.UUID) -> tuple[Job, Kind, bool] | None:
    """Mark that a job runs; return it, its kind and whether it ran already, or None if it is over."""
    former = db.session.execute(select(Job.kind, Job.state).where(Job.id == key)).one_or_none()
    if former is None or former.state.is_over:
        return None
    kind = KINDS.get(former.kind)
    if kind is None:
        raise TemporaryDeliveryError("this version has no such job")
    job = _mark_running(key)
    return (job, kind, former.state is State.RUNNING) if job else None


def _mark_running(key: uuid.UUID) -> Job | None:
    return db.session.scalar(
        update(Job)
        .where(Job.id == key, Job.state.in_([State.WAITING, State.RUNNING]))
        .values(state=State.RUNNING, started_at=now())
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    )


def _origin(job: Job) -> log.Origin:
    origin = job.origin
    return log.Origin(
        ip=origin.get("ip", ""),
        request_id=origin.get("request_id", ""),
        actor=origin.get("actor", ""),
        desk=log.Desk(job.staff_id, job.school_id, {**origin.get("details", {}), "job": str(job.id)}),
    )


def _end(job: Job, state: State, finished: Finished, settings: Settings, *, refusal: str = "") -> None:
    kind = KINDS.get(job.kind)
    keeps_uploads = state is State.DONE and kind is not None and kind.keeps_uploads
    with unit_of_work():
        stored = store_end(job.id, state, finished, settings=settings, refusal=refusal, keeps_uploads=keeps_uploads)
        if stored and kind is not None and kind.record is not None:
            over = select(Job).where(Job.id == job.id).execution_options(populate_existing=True)
            kind.record(db.session.scalars(over).one())


def _read_open_jobs(connection: Connection, _settings: Settings) -> Iterator[Sample]:
    is_open = Job.finished_at.is_(None)
    states = select(Job.kind, Job.state, func.count(), func.min(Job.created_at)).where(is_open)
    rows = connection.execute(states.group_by(Job.kind, Job.state)).all()
    for kind, state, count, _ in rows:
        yield JOBS, (kind, state.value), count
    oldest = min((since for *_, since in rows), default=None)
    yield JOBS_AGE, (), (now() - oldest).total_seconds() if oldest else 0.0


OPEN_JOBS = Subject(_read_open_jobs)
