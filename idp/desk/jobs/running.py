"""Does the jobs, in `idp worker`: the handler of the outbox messages of the kind `desk.job`.

While a job runs, a thread prolongs the lease of its message. After a kill, the lease ends within a minute, another
worker claims the message, and the job runs again: each kind of job says how it continues. A job ends at its next step
if its person asks for that, or loses the role meanwhile.
"""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from flask import current_app
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from idp.audit import log
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.jobs import kinds
from idp.desk.jobs.models import Job, State
from idp.desk.jobs.work import BusyError, Finished, RefusedError, Running, StoppedError, store_end
from idp.logging import frames
from idp.outbox import leases
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Outcome, PostponedError, TemporaryDeliveryError

LEASE = timedelta(minutes=1)
_BEAT_SECONDS = 15.0
_WAIT = timedelta(seconds=20)
_MOST_FAULTS = 3
"""A job that fails by an error of the program or of the database is tried this often."""

log_lines = structlog.get_logger()


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Do a job (outbox handler); drop the message of a job that is over."""
    job = _begin(uuid.UUID(message.payload["job"]))
    if job is None:
        return Outcome.DROPPED
    kind = kinds.find(job.kind)
    if kind is None:
        raise TemporaryDeliveryError("this version has no such job")  # a newer worker may have it
    running = Running(job, settings)
    with log.acting_for(_origin(job)), _prolonged(message, running):
        try:
            running.check_begun()
            finished = kind.run(running)
        except StoppedError as stopped:
            if stopped.state is not State.RUNNING:
                _end(job, stopped.state, settings, refusal=stopped.code)
        except RefusedError as refused:
            _end(job, State.FAILED, settings, refusal=refused.code)
        except BusyError as busy:
            _wait(job)
            raise PostponedError("waits for another job", _WAIT) from busy
        except Exception as fault:
            if message.attempts < _MOST_FAULTS:
                raise
            log_lines.error("desk.job_failed", job=str(job.id), work=job.kind, where=frames(fault))  # noqa: TRY400 - the text may have names
            _end(job, State.FAILED, settings, refusal="fault")
        else:
            with unit_of_work():
                store_end(job.id, State.DONE, finished, settings=settings, keeps_uploads=kind.keeps_uploads)
    return Outcome.DONE


def _begin(key: uuid.UUID) -> Job | None:
    with unit_of_work():
        return db.session.scalar(
            update(Job)
            .where(Job.id == key, Job.state.in_([State.WAITING, State.RUNNING]))
            .values(state=State.RUNNING, started_at=now())
            .returning(Job)
            .execution_options(synchronize_session=False, populate_existing=True)
        )


def _wait(job: Job) -> None:
    """Let a job wait again."""
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


@contextmanager
def _prolonged(message: OutboxMessage, running: Running) -> Iterator[None]:
    """Prolong the lease of the message while the block runs."""
    app, over = current_app._get_current_object(), threading.Event()  # type: ignore[attr-defined] # noqa: SLF001 - for the thread

    def beat() -> None:
        with app.app_context():
            while not over.wait(_BEAT_SECONDS):
                if not _extend(message):
                    running.lease_lost.set()
                    return

    if not _extend(message):
        running.lease_lost.set()
    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _extend(message: OutboxMessage) -> bool:
    """Return whether this worker still has the lease. If the database does not answer, the next beat tries again."""
    try:
        return leases.extend(message, LEASE)
    except SQLAlchemyError:
        return True


def _end(job: Job, state: State, settings: Settings, *, refusal: str) -> None:
    """Store that a job ended without a result, unless it is over."""
    with unit_of_work():
        store_end(job.id, state, Finished(), settings=settings, refusal=refusal)
