"""The checked files of a secretary that wait for the direction: which, until when, who is told, and what was decided.

A secretary may not import files by which many people leave; the direction may. Most such files are a mistake, so the
secretary removes the check or sends it, and nobody is told before. A sent check stays where it is until the direction
imports or declines it, another file of the same person replaces it, or its lifetime is over.

A mail and a tile of « Aujourd’hui » tell the secretary that the direction declined files. The tile stays until the next
file: the secretary checks other ones, or anybody imports some for the school.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, String, cast, func, select
from sqlalchemy.orm import aliased

from idp.accounts.models import School
from idp.audit import log
from idp.audit.desk_events import FilesDeclined
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.jobs import files, lifecycle
from idp.desk.jobs.kinds import CHECK, IMPORT
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.school_files import DECLINED_MAIL, WAITS, policy
from idp.desk.school_files.policy import Decision
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffRole
from idp.desk.team import mails
from idp.outbox import queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome

SENT = "sent"
"""The key of a check's result under which the sentence is kept with which the secretary sent it to the direction."""
DECLINED = "declined"
"""The key of a check's result under which the direction's reason is kept, if it did not import the files."""


@dataclass(frozen=True)
class Waiting:
    """A check that waits for the direction, until its files are removed."""

    check: Job
    until: datetime


def of_school(settings: Settings) -> list[Waiting]:
    """Return the checks of the school in use that wait for its direction, the oldest first; none for the académie."""
    school = access.post().school
    return _for_the_head(settings, Job.school_id == school.id, _is_sent()) if school else []


def until(settings: Settings, check: Job) -> datetime | None:
    """Return until when a check waits for the direction; None if it does not."""
    return next((waiting.until for waiting in _for_the_head(settings, Job.id == check.id, _is_sent())), None)


def is_unsent(settings: Settings, check: Job) -> bool:
    """Return whether a check would wait for the direction if its author sent it."""
    return bool(_for_the_head(settings, Job.id == check.id, ~_is_sent()))


@unit_of_work()
def send(settings: Settings, check_id: uuid.UUID, sentence: str) -> bool:
    """Let a check wait for the direction, and enqueue the mails; return whether it was not sent before."""
    check = db.session.get_one(Job, check_id, with_for_update=True, populate_existing=True)
    if not is_unsent(settings, check):
        return False
    check.result = {**check.result, SENT: sentence}
    db.session.flush()
    for recipient in heads(check.school_id, check.staff_id):
        queue.enqueue(WAITS, {"job": str(check.id), "recipient": str(recipient)})
    return True


@unit_of_work()
def withdraw(check_id: uuid.UUID) -> None:
    """Remove the files of a check that its author takes for a mistake."""
    files.empty((JobFile.job_id == check_id) & ~is_being_imported())


def _is_sent() -> ColumnElement[bool]:
    sentence: ColumnElement[str] = Job.result[SENT].as_string()
    return sentence.is_not(None)


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
    verdicts = ((policy.of_author(settings, row[0]), Waiting(row[0], row[1])) for row in rows)
    return [item for verdict, item in verdicts if verdict.decision is Decision.HAND_OVER]


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


@unit_of_work()
def decline(settings: Settings, check_id: uuid.UUID, reason: str) -> bool:
    """Remove the files of a check that waits for the direction, keep why, and enqueue the mail to its author.

    Return whether the check still waited.
    """
    check = db.session.get_one(Job, check_id, with_for_update=True, populate_existing=True)
    if until(settings, check) is None:
        return False
    check.result = {**check.result, DECLINED: reason}
    files.empty((JobFile.job_id == check.id) & ~is_being_imported())
    log.record(FilesDeclined(job=str(check.id), reason=reason))
    queue.enqueue(DECLINED_MAIL, {"job": str(check.id), "recipient": str(check.staff_id)})
    return True


def last_declined() -> Job | None:
    """Return the last check of the person if the direction declined its files and no other file followed."""
    own = (Job.kind == CHECK.name) & (Job.staff_id == access.person().staff.id)
    imported = (Job.kind == IMPORT.name) & (Job.state == State.DONE)
    files_of_school = select(Job).where(own | imported, lifecycle.in_scope())
    newest = db.session.scalar(files_of_school.order_by(Job.created_at.desc(), Job.id).limit(1))
    return newest if newest is not None and newest.result.get(DECLINED) else None


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about a check that waits for the direction (outbox handler).

    Drop it if the check waits no longer, or if the recipient's role at the school has ended.
    """
    recipient, check, school = _mailed(message)
    end = until(settings, check) if check else None
    if not (recipient and check and school and end) or recipient.id not in heads(school.id, check.staff_id):
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


def hand_over_refusal(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about declined files (outbox handler); it leaves out the reason, which may name a family.

    Drop it if the person has left the school.
    """
    recipient, check, school = _mailed(message)
    if not (recipient and check and school):
        return Outcome.DROPPED
    author = StaffRole.staff_id == recipient.id, StaffRole.role == Role(check.parameters["role"])
    if not posts.holders(*author, StaffRole.school_id == school.id):
        return Outcome.DROPPED
    link = mails.page_url(settings, f"/fichiers/{check.id}")
    return mails.send(message, settings, "bureau_fichier_refuse", recipient, link=link, school=school.name)


def _mailed(message: OutboxMessage) -> tuple[StaffAccount | None, Job | None, School | None]:
    """Return the recipient of a mail, the check that it is about and the school, as far as they exist."""
    check = db.session.get(Job, uuid.UUID(message.payload["job"]), populate_existing=True)
    school = db.session.get(School, check.school_id) if check and check.school_id else None
    return mails.find_recipient(message.payload["recipient"]), check, school
