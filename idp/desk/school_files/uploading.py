"""Takes the forms of files: asks for a check of uploads, and for the import of checked files, and takes decisions."""

import math
import uuid
from dataclasses import replace

from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from idp.accounts.models import School
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.fields import ReasonField, WordField
from idp.desk.jobs import files, lifecycle
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.kinds import CHECK, IMPORT, RefusedError
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.kept_forms import DeskForm
from idp.desk.school_files import history, policy, waiting, work
from idp.desk.school_files.policy import Verdict
from idp.desk.staff.models import StaffAccount
from idp.throttle import guard, limits
from idp.throttle.guard import Wait
from idp.uai import normalised_uai, uai_fault
from idp.web.http import Request

FIELD = "fichiers"
_MOST_FILES = 10
_MOST_CHECKS = 3
"""Checks of one person that may wait or run at once."""
_LONGEST_NAME = 120


class AcceptanceForm(DeskForm):
    """The word that accepts files that look like a mistake."""

    word = WordField("IMPORTER", label=_l("Si c’est juste, tapez IMPORTER"), name="mot")


class DeclineForm(DeskForm):
    """Why the direction does not import files that wait for it."""

    motif = ReasonField(_l("Motif"), missing=_l("Écrivez le motif en quelques mots : le secrétariat le lit."))


class SendingForm(DeskForm):
    """What a secretary says to the direction about files that only the direction may import."""

    phrase = ReasonField(
        _l("Votre phrase pour la direction"), missing=_l("Écrivez en quelques mots pourquoi tant de personnes partent.")
    )


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
    """Return a file's name without folders, as it can be shown."""
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

    Args:
        settings: for the secret key, and for what waits for the direction.
        chosen: the files.
        uai: the school of the files, if it is known.
        replaces: whether the person agrees that files that wait for the direction go too.

    Raises:
        UploadError: the person has several checks that are not over, asked for many in an hour, or did not agree.
        RuntimeError: a unit of work is open.
    """
    counted = limits.FILE_CHECKS, str(access.person().staff.id)
    if isinstance(verdict := guard.take(*counted), Wait):
        raise UploadError(
            gettext(
                "Vous avez demandé %(most)s vérifications en une heure : c’est le maximum. Corrigez votre fichier, et "
                "revenez dans %(n)s min.",
                most=limits.FILE_CHECKS.windows[0].tries,
                n=math.ceil(verdict.seconds / 60),
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
        if not replaces and any(item.check.staff_id == staff_id for item in waiting.of_school(settings)):
            raise ReplacingError(
                gettext(
                    "Un fichier attend la direction : cochez « Remplacer », puis choisissez de nouveau votre fichier."
                )
            )
        files.empty(JobFile.job_id.in_(own.where(Job.finished_at.is_not(None))) & ~waiting.is_being_imported())
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


def recent() -> list[Job]:
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
        if row.kind != CHECK.name or row.state is not State.DONE or row.id in readable or waiting.DECLINED in row.result
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
