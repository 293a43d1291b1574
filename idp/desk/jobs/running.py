"""Does the jobs, in `idp worker`: the handler of the outbox messages of the kind `desk.job`.

After a kill, the lease of the message ends (`idp.outbox.leases`), another worker claims the message, and the job runs
again: each kind of job says how it continues. A job ends at its next step
if its person asks for that, or loses the role meanwhile.
"""

import uuid
from collections.abc import Iterator
from datetime import timedelta

import structlog
from sqlalchemy import Connection, func, select, update

from idp.audit import log
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.jobs import asking
from idp.desk.jobs.kinds import KINDS, Kind
from idp.desk.jobs.models import Job, State
from idp.desk.jobs.work import BusyError, Finished, RefusedError, Running, StoppedError, store_end
from idp.logging import frames
from idp.metrics.catalogue import JOBS, JOBS_AGE
from idp.metrics.instruments import Sample, Subject
from idp.outbox import leases
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome, PostponedError, TemporaryDeliveryError

_WAIT = timedelta(seconds=20)
_MOST_FAULTS = 3
"""A job that fails by an error of the program or of the database is tried this often."""
_MOST_BEGINNINGS = 5
"""A job that still runs when its message is claimed once more has killed its workers, and is not begun again."""

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
    """Do a job that has begun, and store its end."""
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
        _wait(job)
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
    messages = select(OutboxMessage.payload).where(
        OutboxMessage.finished_at.is_(None), OutboxMessage.kind == asking.JOB
    )
    expected = {payload["job"] for payload in db.session.scalars(messages)}
    for job in jobs:
        if str(job.id) not in expected and unit_of_work()(_mark_running)(job.id) is not None:
            log_lines.error("desk.job_abandoned", job=str(job.id), work=job.kind)
            with log.acting_for(_origin(job)):
                _end(job, State.FAILED, Finished(), settings, refusal="fault")


@unit_of_work()
def _begin(key: uuid.UUID) -> tuple[Job, Kind, bool] | None:
    """Mark that a job runs; return it, its kind and whether it ran already, or None if it is over.

    Raises:
        TemporaryDeliveryError: this version has no such kind, and a newer worker may have it; the job waits.
    """
    former = db.session.execute(select(Job.kind, Job.state).where(Job.id == key)).one_or_none()
    if former is None or former.state.is_over:
        return None
    kind = KINDS.get(former.kind)
    if kind is None:
        raise TemporaryDeliveryError("this version has no such job")
    job = _mark_running(key)
    return (job, kind, former.state is State.RUNNING) if job else None


def _mark_running(key: uuid.UUID) -> Job | None:
    """Mark in the caller's transaction that a job runs, and return it; None if it is over."""
    return db.session.scalar(
        update(Job)
        .where(Job.id == key, Job.state.in_([State.WAITING, State.RUNNING]))
        .values(state=State.RUNNING, started_at=now())
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    )


def _wait(job: Job) -> None:
    with unit_of_work():
        db.session.execute(
            update(Job)
            .where(Job.id == job.id, Job.state == State.RUNNING)
            .values(state=State.WAITING)
            .execution_options(synchronize_session=False)
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
    """Store the end of a job and record what it did, unless it is over."""
    kind = KINDS.get(job.kind)
    keeps_uploads = state is State.DONE and kind is not None and kind.keeps_uploads
    with unit_of_work():
        stored = store_end(job.id, state, finished, settings=settings, refusal=refusal, keeps_uploads=keeps_uploads)
        if stored and kind is not None and kind.record is not None:
            over = select(Job).where(Job.id == job.id).execution_options(populate_existing=True)
            kind.record(db.session.scalars(over).one())


def _read_open_jobs(connection: Connection, _settings: Settings) -> Iterator[Sample]:
    """Yield the numbers of jobs that are not over, by their states, and the age of the oldest."""
    is_open = Job.finished_at.is_(None)
    states = select(Job.kind, Job.state, func.count(), func.min(Job.created_at)).where(is_open)
    rows = connection.execute(states.group_by(Job.kind, Job.state)).all()
    for kind, state, count, _ in rows:
        yield JOBS, (kind, state.value), count
    oldest = min((since for *_, since in rows), default=None)
    yield JOBS_AGE, (), (now() - oldest).total_seconds() if oldest else 0.0


OPEN_JOBS = Subject(_read_open_jobs)
"""What the database tells the metrics of jobs."""
