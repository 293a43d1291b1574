"""The files of jobs: stored encrypted, handed out once to the post that asked, emptied after their lifetime."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, case, exists, select, update
from sqlalchemy.orm import defer

from idp import opaque
from idp.audit import log
from idp.audit.desk_events import JobFileTaken
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.jobs.models import Job, JobFile
from idp.outbox import queue
from idp.outbox.worker import Outcome

LIFETIME = timedelta(minutes=15)  # how long a file that a job made waits for its person
UPLOAD_LIFETIME = timedelta(hours=24)
"""How long an upload waits for the end of its work, and a file for the pages of its slice."""
EXPIRY = "desk.file_expiry"
"""The kind of outbox message that empties a file at the end of its lifetime; its payload names the row."""
_PURPOSE = "desk file"


@dataclass(frozen=True)
class NewFile:
    """A file to store: its name, its media type and its content in clear."""

    name: str
    media_type: str
    content: bytes


def store(
    settings: Settings, job_id: uuid.UUID, file: NewFile, *, is_upload: bool = False, is_for_pages: bool = False
) -> JobFile:
    """Store a file encrypted, in the caller's transaction, and have it emptied when its lifetime is over."""
    key, lifetime = uuid.uuid4(), UPLOAD_LIFETIME if is_upload or is_for_pages else LIFETIME
    row = JobFile(
        id=key,
        job_id=job_id,
        is_upload=is_upload,
        is_for_pages=is_for_pages,
        name=file.name,
        media_type=file.media_type,
        content=opaque.encrypt(settings.secrets, _PURPOSE, file.content, str(key)),
        expires_at=now() + lifetime,
    )
    db.session.add(row)
    queue.enqueue(EXPIRY, {"file": str(key)}, delay=lifetime)
    return row


def uploads(settings: Settings, job_id: uuid.UUID) -> list[NewFile]:
    """Return the files that were uploaded for a job, in clear; those that have expired are missing.

    Raises:
        UndecryptableError: the secret key was replaced meanwhile.
    """
    return _all(settings, (JobFile.job_id == job_id) & JobFile.is_upload)


def for_pages(settings: Settings, job_id: uuid.UUID, name: str) -> NewFile | None:
    """Return the file of this name that a job made for the pages of its slice, in clear; None if it is removed."""
    chosen = (JobFile.job_id == job_id) & JobFile.is_for_pages & (JobFile.name == name)
    try:
        return next(iter(_all(settings, chosen)), None)
    except opaque.UndecryptableError:  # the secret key was replaced meanwhile: the job is asked for again
        return None


def _all(settings: Settings, condition: ColumnElement[bool]) -> list[NewFile]:
    rows = db.session.scalars(
        select(JobFile).where(condition, JobFile.expires_at > now()).order_by(JobFile.created_at, JobFile.name)
    )
    return [NewFile(row.name, row.media_type, _decrypted(settings, row.id, row.content)) for row in rows if row.content]


def made(job_id: uuid.UUID) -> list[JobFile]:
    """Return the files that a job made to be handed out, without their content."""
    return made_by([job_id]).get(job_id, [])


def made_by(job_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[JobFile]]:
    """Return the files that jobs made to be handed out, without their content, by job."""
    rows = db.session.scalars(
        select(JobFile)
        .where(JobFile.job_id.in_(job_ids), ~JobFile.is_upload, ~JobFile.is_for_pages)
        .order_by(JobFile.created_at, JobFile.name)
        .options(defer(JobFile.content))
    )
    grouped: dict[uuid.UUID, list[JobFile]] = {}
    for row in rows:
        grouped.setdefault(row.job_id, []).append(row)
    return grouped


def take(settings: Settings, job_id: uuid.UUID, file_id: uuid.UUID) -> NewFile | None:
    """Return a file of a job of this post, once; None if it is taken or expired, or another post asked for it.

    A file that cannot be opened expires at once: nobody has taken it. The caller has checked that the job is in scope.
    """
    try:
        return _take(settings, job_id, file_id)
    except opaque.UndecryptableError:  # the secret key was replaced meanwhile: the job is asked for again
        with unit_of_work():
            empty((JobFile.id == file_id) & JobFile.taken_at.is_(None))
        return None


@unit_of_work()
def _take(settings: Settings, job_id: uuid.UUID, file_id: uuid.UUID) -> NewFile | None:
    row = db.session.execute(
        update(JobFile)
        .where(
            JobFile.id == file_id,
            JobFile.job_id == job_id,
            ~JobFile.is_upload,
            ~JobFile.is_for_pages,
            JobFile.taken_at.is_(None),
            JobFile.expires_at > now(),
            exists().where(Job.id == JobFile.job_id, access.in_this_post(Job.role_id)),
        )
        .values(taken_at=now())
        .returning(JobFile.name, JobFile.media_type, JobFile.content)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        return None
    content = _decrypted(settings, file_id, row.content)
    empty(JobFile.id == file_id)
    work = db.session.scalars(select(Job.kind).where(Job.id == job_id)).one()
    log.record(JobFileTaken(job=str(job_id), work=work, file=row.name))
    return NewFile(row.name, row.media_type, content)


def empty(condition: ColumnElement[bool]) -> None:
    """Remove the content of files, in the caller's transaction: they are over, and are not offered any more."""
    over = case((JobFile.expires_at > now(), now()), else_=JobFile.expires_at)
    statement = update(JobFile).where(condition).values(content=b"", expires_at=over)
    db.session.execute(statement.execution_options(synchronize_session=False))


def hand_over(message: queue.OutboxMessage) -> Outcome:
    """Empty a file whose lifetime is over (outbox handler)."""
    with unit_of_work():
        empty((JobFile.id == uuid.UUID(message.payload["file"])) & (JobFile.expires_at <= now()))
    return Outcome.DONE


def _decrypted(settings: Settings, file_id: uuid.UUID, content: bytes) -> bytes:
    return opaque.decrypt(settings.secrets, _PURPOSE, content, str(file_id))
