"""The checked files of a secretary that wait for the direction: which, until when, and who is told.

A secretary may not import files by which many people leave; the direction may. Most such files are a mistake, so the
secretary removes the check or sends it, and nobody is told before. A sent check stays where it is until the direction
imports or declines it, another file of the same person replaces it, or its lifetime is over.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, String, cast, func, select
from sqlalchemy.orm import aliased

from idp.accounts.models import School
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.jobs import files
from idp.desk.jobs.kinds import CHECK, IMPORT
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.school_files import importing, names
from idp.desk.staff import mails, posts
from idp.desk.staff.models import Role, StaffRole
from idp.outbox import queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome


@dataclass(frozen=True)
class Waiting:
    """A check that waits for the direction, until its files are removed."""

    check: Job
    until: datetime


def of_school(settings: Settings, school_id: uuid.UUID) -> list[Waiting]:
    """Return the checks of a school that wait for its direction, the oldest first."""
    return _waiting_checks(settings, Job.school_id == school_id)


def until(settings: Settings, check: Job) -> datetime | None:
    """Return until when a check waits for the direction; None if it does not."""
    return next((waiting.until for waiting in _waiting_checks(settings, Job.id == check.id)), None)


def is_unsent(settings: Settings, check: Job) -> bool:
    """Return whether a check would wait for the direction if its author sent it."""
    return any(waiting.check.id == check.id for waiting in _for_the_head(settings, Job.id == check.id, ~_is_sent()))


@unit_of_work()
def send(settings: Settings, check_id: uuid.UUID, sentence: str) -> bool:
    """Let a check wait for the direction, and enqueue the mails; return whether it was not sent before."""
    check = db.session.get_one(Job, check_id, with_for_update=True, populate_existing=True)
    if not is_unsent(settings, check):
        return False
    check.result = {**check.result, names.SENT: sentence}
    db.session.flush()
    for recipient in heads(check.school_id, check.staff_id):
        queue.enqueue(names.WAITS, {"job": str(check.id), "recipient": str(recipient)})
    return True


@unit_of_work()
def withdraw(check_id: uuid.UUID) -> None:
    """Remove the files of a check that its author takes for a mistake."""
    files.empty((JobFile.job_id == check_id) & ~is_being_imported())


def _is_sent() -> ColumnElement[bool]:
    sentence: ColumnElement[str] = Job.result[names.SENT].as_string()
    return sentence.is_not(None)


def _waiting_checks(settings: Settings, condition: ColumnElement[bool]) -> list[Waiting]:
    return _for_the_head(settings, condition, _is_sent())


def _for_the_head(settings: Settings, *conditions: ColumnElement[bool]) -> list[Waiting]:
    rows = db.session.execute(
        select(Job, func.min(JobFile.expires_at))
        .join(JobFile, JobFile.job_id == Job.id)
        .where(
            *conditions,
            Job.kind == CHECK.name,
            Job.state == State.DONE,
            Job.created_at > now() - files.UPLOAD_LIFETIME,
            JobFile.is_upload,
            JobFile.expires_at > now(),
            func.length(JobFile.content) > 0,
            ~is_being_imported(),
        )
        .group_by(Job.id)
        .order_by(Job.created_at)
    )
    return [Waiting(row[0], row[1]) for row in rows if _is_for_the_head(settings, row[0])]


def _is_for_the_head(settings: Settings, check: Job) -> bool:
    """Return whether the direction may import what a secretary checked and may not import."""
    role = Role(check.parameters["role"])
    head = access.spec(role).hands_files_to
    if head is None or not importing.exceeded_limit(settings, check, role):
        return False
    return not importing.exceeded_limit(settings, check, head)


def is_being_imported() -> ColumnElement[bool]:
    """Return the condition of the files of a check whose import is not over."""
    busy = aliased(Job)
    return (
        select(busy.id)
        .where(
            busy.kind == IMPORT.name,
            busy.finished_at.is_(None),
            busy.parameters["check"].as_string() == cast(JobFile.job_id, String),
        )
        .correlate(JobFile)
        .exists()
    )


def is_imported(check_id: uuid.UUID) -> bool:
    """Return whether the files of a check have been imported."""
    done = select(Job.id).where(
        Job.kind == IMPORT.name, Job.state == State.DONE, Job.parameters["check"].as_string() == str(check_id)
    )
    return db.session.scalar(done.limit(1)) is not None


def heads(school_id: uuid.UUID | None, but: uuid.UUID) -> Sequence[uuid.UUID]:
    """Return the people of a school's direction, without one person."""
    return posts.holders(access.heads(), StaffRole.school_id == school_id, StaffRole.staff_id != but)


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about a check that waits for the direction (outbox handler).

    Drop it if the check waits no longer, or if the recipient's role at the school has ended.
    """
    recipient = mails.find_recipient(message.payload["recipient"])
    check = db.session.get(Job, uuid.UUID(message.payload["job"]), populate_existing=True)
    if recipient is None or check is None:
        return Outcome.DROPPED
    end, school = until(settings, check), db.session.get(School, check.school_id)
    if end is None or school is None or recipient.id not in heads(school.id, check.staff_id):
        return Outcome.DROPPED
    return mails.send(
        message,
        settings,
        "bureau_fichier",
        recipient,
        link=mails.page_url(settings, f"/fichiers/{check.id}"),
        colleague=mails.find_name(str(check.staff_id)),
        school=school.name,
        until=end,
    )
