"""The files of a secretary that the direction declined: the reason, and how the secretary learns of it.

A mail and a tile of « Aujourd’hui » say so. The tile stays until the next file: the secretary checks other ones, or
anybody imports some for the school. The mail is not sent to who has read the reason.
"""

import uuid

from sqlalchemy import select

from idp.accounts.models import School
from idp.audit import log
from idp.audit.desk_events import FilesDeclined
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.jobs import asking, files
from idp.desk.jobs.kinds import CHECK, IMPORT
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.school_files import names, waiting
from idp.desk.staff import mails, posts
from idp.desk.staff.models import StaffRole
from idp.outbox import queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome


@unit_of_work()
def decline(settings: Settings, check_id: uuid.UUID, reason: str) -> bool:
    """Remove the files of a check that waits for the direction, keep why, and enqueue the mail to its author.

    Return whether the check still waited.
    """
    check = _locked(check_id)
    if waiting.until(settings, check) is None:
        return False
    check.result = {**check.result, names.DECLINED: reason}
    files.empty((JobFile.job_id == check.id) & ~waiting.is_being_imported())
    log.record(FilesDeclined(job=str(check.id), reason=reason))
    queue.enqueue(names.DECLINED_MAIL, {"job": str(check.id), "recipient": str(check.staff_id)})
    return True


def _locked(check_id: uuid.UUID) -> Job:
    locked = select(Job).where(Job.id == check_id).with_for_update().execution_options(populate_existing=True)
    return db.session.scalars(locked).one()


def last() -> Job | None:
    """Return the last check of the person if the direction declined its files and no other file followed."""
    own = (Job.kind == CHECK.name) & (Job.staff_id == access.person().staff.id)
    imported = (Job.kind == IMPORT.name) & (Job.state == State.DONE)
    files_of_school = select(Job).where(own | imported, asking.in_scope())
    newest = db.session.scalar(files_of_school.order_by(Job.created_at.desc(), Job.id).limit(1))
    return newest if newest is not None and newest.result.get(names.DECLINED) else None


def note_reading(check: Job) -> None:
    """Note that the person reads why the direction declined the person's own files."""
    if check.staff_id != access.person().staff.id or not _is_unread(check):
        return
    with unit_of_work():
        row = _locked(check.id)
        row.result = {**row.result, names.READ: True}


def _is_unread(check: Job) -> bool:
    return bool(check.result.get(names.DECLINED)) and not check.result.get(names.READ)


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about declined files (outbox handler); it leaves out the reason, which may name a family.

    Drop it if the person has read the reason or has left the school.
    """
    recipient = mails.find_recipient(message.payload["recipient"])
    check = db.session.get(Job, uuid.UUID(message.payload["job"]), populate_existing=True)
    if recipient is None or check is None or not _is_unread(check):
        return Outcome.DROPPED
    school = db.session.get(School, check.school_id)
    author = StaffRole.staff_id == recipient.id, access.held(lambda row: row.hands_files_to is not None)
    if school is None or not posts.holders(*author, StaffRole.school_id == school.id):
        return Outcome.DROPPED
    link = mails.page_url(settings, f"/fichiers/{check.id}")
    return mails.send(message, settings, "bureau_fichier_refuse", recipient, link=link, school=school.name)
