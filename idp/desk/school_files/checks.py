"""The checks of uploaded files: asked for, read, imported, or waiting for the direction, which decides.

A secretary may not import files by which many people leave; the direction may. Most such files are a mistake, so the
secretary removes the check or sends it, and nobody is told before. A sent check stays where it is until the direction
imports or declines it, another file of the same person replaces it, or its lifetime is over.

A mail and a tile of « Aujourd’hui » tell the secretary that the direction declined files. The tile stays until the next
file: the secretary checks other ones, or anybody imports some for the school.
"""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from flask_babel import gettext
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
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.kinds import CHECK, IMPORT, RefusedError
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.school_files import DECLINED_MAIL, WAITS, history, policy, work
from idp.desk.school_files.policy import DECLINED, SENT, Decision, Verdict
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffRole
from idp.desk.team import mails
from idp.outbox import queue
from idp.outbox.worker import Outcome
from idp.throttle import guard, limits
from idp.uai import normalised_uai, uai_fault
from idp.web.http import Request
from idp.web.i18n import in_words

FIELD = "fichiers"
_MOST_FILES = 10
_MOST_CHECKS = 3
_LONGEST_NAME = 120


class UploadError(Exception):
    """The form cannot be taken; the message is shown."""


def uploads(request: Request) -> list[NewFile]:
    """Return the files of a form.

    Raises:
        UploadError: there is none, there are too many, or one is empty.
    """
    chosen = [
        NewFile(_name(part.filename or ""), part.mimetype[:80], part.stream.read())
        for part in request.files.getlist(FIELD)
        if part.filename
    ]
    if not chosen:
        raise UploadError(gettext("Choisissez un fichier, ou les deux fichiers ensemble."))
    if len(chosen) > _MOST_FILES:
        raise UploadError(gettext("Donnez %(n)s fichiers au plus, ou une archive ZIP.", n=_MOST_FILES))
    for upload in chosen:
        if not upload.content:
            raise UploadError(gettext("Le fichier %(name)s est vide : exportez-le de nouveau.", name=upload.name))
    return chosen


def _name(filename: str) -> str:
    name = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(char if char.isprintable() else "�" for char in name)[-_LONGEST_NAME:] or "fichier"


def school(request: Request) -> str:
    """Return the UAI of the school of the files: that of the post, or what an engineer typed, if anything.

    Raises:
        UploadError: the typed UAI is none.
    """
    if (own := history.own_uai()) is not None:
        return own
    typed = normalised_uai(request.fields.get("uai", "")[:20])
    if typed and uai_fault(typed):
        raise UploadError(gettext("Cet UAI n’est pas juste : sept chiffres et une lettre, comme 0590001A."))
    return typed


class ReplacingError(UploadError):
    """The files would replace others of this person that wait for the direction; the person was not asked yet."""


def start_check(settings: Settings, chosen: list[NewFile], uai: str, *, replaces: bool = False) -> Job:
    """Ask for the check of files; the files of this person's former checks go.

    `replaces` says that the person agrees that files that wait for the direction go too.

    Raises:
        UploadError: the person has several checks that are not over, asked for many in an hour, or did not agree.
        RuntimeError: a unit of work is open.
    """
    counted = limits.FILE_CHECKS, str(access.person().staff.id)
    if isinstance(verdict := guard.take(*counted), guard.Wait):
        raise UploadError(
            gettext(
                "Vous avez atteint le maximum de vérifications : %(rates)s. Corrigez votre fichier, et revenez dans "
                "%(wait)s.",
                rates=limits.FILE_CHECKS.rates,
                wait=in_words(verdict.seconds),
            )
        )
    try:
        return _store_check(settings, chosen, uai, replaces=replaces)
    except UploadError:
        guard.uncount(*counted)
        raise


def _store_check(settings: Settings, chosen: list[NewFile], uai: str, *, replaces: bool) -> Job:
    staff_id = access.person().staff.id
    own = select(Job.id).where(Job.staff_id == staff_id, Job.kind == CHECK.name, lifecycle.in_scope())
    with unit_of_work():
        # the lock lets the checks of one person be asked for one after the other
        db.session.execute(select(StaffAccount.id).where(StaffAccount.id == staff_id).with_for_update())
        unfinished = select(func.count()).select_from(own.where(Job.finished_at.is_(None)).subquery())
        if db.session.scalars(unfinished).one() >= _MOST_CHECKS:
            raise UploadError(
                gettext("%(n)s vérifications sont déjà en cours : attendez la fin de la première.", n=_MOST_CHECKS)
            )
        if not replaces and any(item.check.staff_id == staff_id for item in waiting_here(settings)):
            raise ReplacingError(
                gettext(
                    "Un fichier attend la direction : cochez « Remplacer », puis choisissez de nouveau votre fichier."
                )
            )
        files.empty(JobFile.job_id.in_(own.where(Job.finished_at.is_not(None))) & ~is_being_imported())
        return lifecycle.store(settings, CHECK, {"school": uai, "role": access.role().value}, uploads=chosen)


def start_import(check: Job) -> Job | None:
    """Ask for the import of checked files; return None if other files of the school are being imported.

    If the import of these files was asked for and is not over, return it.
    """
    role, uai = access.role(), check.parameters["school"]
    started = lifecycle.start_alone(
        IMPORT,
        {
            "check": str(check.id),
            "school": uai,
            "role": role.value,
            "accepted": sorted(policy.accepted(role, check.result["mistakes"])),
            "leaving": {name: numbers[0] for name, numbers in check.result["leaving"].items()},
        },
        f"{IMPORT.name} {uai}",
    )
    return started if started and started.parameters["check"] == str(check.id) else None


def recent_jobs() -> list[Job]:
    """Return the last checks and imports, without the checks whose difference is removed; declined ones stay."""
    own = access.person().staff.id
    rows = [row for row in lifecycle.recent(CHECK, IMPORT) if row.staff_id == own or access.own_spec().is_at_school]
    readable = set(
        db.session.scalars(
            select(JobFile.job_id).where(
                JobFile.job_id.in_([row.id for row in rows]),
                JobFile.is_for_pages,
                JobFile.expires_at > now(),
                func.length(JobFile.content) > 0,
            )
        )
    )
    return [
        row
        for row in rows
        if row.kind != CHECK.name or row.state is not State.DONE or row.id in readable or DECLINED in row.result
    ]


def checked(key: uuid.UUID) -> Job:
    """Return a check whose difference the person may read; refuse the page otherwise.

    The names of a school's families are for that school: a person of the académie reads the own checks alone, and
    only those made in this role.
    """
    check, kind = lifecycle.get(key)
    is_own = check.staff_id == access.person().staff.id and check.parameters.get("role") == access.role().value
    if kind is not CHECK or not (is_own or access.own_spec().is_at_school):
        access.refuse(str(key))
    return db.session.scalars(select(Job).where(Job.id == check.id)).one()


def verdict(settings: Settings, check: Job) -> Verdict:
    """Return what the role in use may do with the files of a check that is done; nothing if they are gone."""
    findings = policy.findings(settings, check)
    try:
        work.uploads(settings, check.id)
    except RefusedError as gone:
        findings = replace(findings, refused=findings.refused or gone.code)
    return policy.decide(access.role(), findings)


def schools(check: Job) -> list[str]:
    """Return the schools that files speak for, as lines: the number, and the name if the school is known here."""
    uais = check.result.get("uais", [])
    known = select(School.uai, School.name).where(School.uai.in_(uais))
    names: dict[str, str] = dict(db.session.execute(known).all())
    lines = [f"{names[uai]} ({uai})" if uai in names else gettext("%(uai)s, inconnu ici", uai=uai) for uai in uais]
    more = check.result["schools"] - len(uais)
    return [*lines, gettext("et %(n)s autres", n=more)] if more > 0 else lines


class Waiting(NamedTuple):
    """A check that waits for the direction, until its files are removed."""

    check: Job
    until: datetime


def waiting_here(settings: Settings) -> list[Waiting]:
    """Return the checks of the school in use that wait for its direction, the oldest first; none for the académie."""
    school = access.post().school
    return _for_the_head(settings, Job.school_id == school.id, _is_sent()) if school else []


def waits_until(settings: Settings, check: Job) -> datetime | None:
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
    waits = (Waiting(row[0], row[1]) for row in rows)
    return [item for item in waits if policy.of_author(settings, item.check).decision is Decision.HAND_OVER]


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
    if waits_until(settings, check) is None:
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


def hand_over(message: queue.OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail about a check that waits for the direction (outbox handler).

    Drop it if the check waits no longer, or if the recipient's role at the school has ended.
    """
    recipient, check, school = _mailed(message)
    end = waits_until(settings, check) if check else None
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


def hand_over_refusal(message: queue.OutboxMessage, settings: Settings) -> Outcome:
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


def _mailed(message: queue.OutboxMessage) -> tuple[StaffAccount | None, Job | None, School | None]:
    check = db.session.get(Job, uuid.UUID(message.payload["job"]), populate_existing=True)
    school = db.session.get(School, check.school_id) if check and check.school_id else None
    return mails.find_recipient(message.payload["recipient"]), check, school
