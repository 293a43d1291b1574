"""What was imported before, at the desk and by the command, for the schools in scope."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from flask_babel import gettext
from sqlalchemy import ColumnElement, String, cast, func, select, true

from idp import spreadsheet
from idp.accounts.models import Account, Child
from idp.db import db
from idp.desk import access
from idp.desk.school_files import words
from idp.desk.staff.models import StaffAccount
from idp.desk.staff.posts import AT_A_SCHOOL
from idp.rostering.models import ImportBatch, ImportIssue
from idp.rostering.reconcile import difference

SHOWN = 200
"""How many problems the page shows; the CSV has all."""
_SHOWN_IMPORTS = 30
_HEADER = ("fichier", "ligne", "gravité", "clé", "problème")
_IS_PROBLEM = ImportIssue.code.not_in(difference.TOLD_BY_NAME)
"""The condition of the issues that somebody has to look at; others say who leaves."""
_SEVERITIES = {"error": "erreur", "warning": "à vérifier"}


@dataclass(frozen=True)
class Past:
    """A former import.

    Attributes:
        batch: the import.
        who: the name of the person of the desk; empty for the académie's command.
        is_own: whether the files spoke for the school in use alone, so that its counts and problems may be shown.
        problems: how many problems it had.
        place: for the académie, the school or how many there are; empty for a school.
    """

    batch: ImportBatch
    who: str
    is_own: bool
    problems: int
    place: str = ""


def recent() -> list[Past]:
    """Return the last imports that speak for a school in scope, newest first."""
    statement = select(ImportBatch).where(_in_scope()).order_by(ImportBatch.started_at.desc()).limit(_SHOWN_IMPORTS)
    return _past(db.session.scalars(statement).all())


def get(key: uuid.UUID) -> Past:
    """Return an import whose problems may be read; refuse the page otherwise."""
    batch = db.session.scalar(select(ImportBatch).where(ImportBatch.id == key, _in_scope()))
    past = _past([batch])[0] if batch else None
    if past is None or not past.is_own:
        access.refuse(str(key))
    return past


def last() -> Past | None:
    """Return the last import of files for the school alone, or the last one of all for an engineer."""
    return next((past for past in recent() if past.is_own), None)


def problem_count(key: uuid.UUID) -> int:
    """Return how many problems an import had; 0 if it is not known any more."""
    counted = select(func.count()).select_from(ImportIssue).where(ImportIssue.batch_id == key, _IS_PROBLEM)
    return db.session.scalar(counted) or 0


def issues(batch: ImportBatch, limit: int | None = None) -> Sequence[ImportIssue]:
    """Return the problems of an import, errors first."""
    statement = (
        select(ImportIssue)
        .where(ImportIssue.batch_id == batch.id, _IS_PROBLEM)
        .order_by(ImportIssue.severity, ImportIssue.id)
        .limit(limit)
    )
    return db.session.scalars(statement).all()


def names(keys: Iterable[str]) -> dict[str, str]:
    """Return the names of the people of the school in use who have these keys in the files; none for the académie."""
    if _own_uai() is None:
        return {}
    asked = set(keys)
    pupils = select(Child.roster_key, Child.family_name, Child.given_name).where(
        Child.roster_key.in_(asked), access.children()
    )
    guardians = select(Account.roster_key, Account.family_name, Account.given_name).where(
        Account.roster_key.in_(asked), access.accounts()
    )
    rows = [*db.session.execute(pupils), *db.session.execute(guardians)]
    return {row[0]: f"{row[1]} {row[2]}".strip() for row in rows}


def sheet(batch: ImportBatch) -> Iterator[bytes]:
    """Yield all problems of an import as CSV."""
    rows = (
        (issue.file, str(issue.line), _SEVERITIES[issue.severity], issue.key, words.without_commands(issue.message))
        for issue in issues(batch)
    )
    return spreadsheet.rows_to_csv(_HEADER, rows)


def _in_scope() -> ColumnElement[bool]:
    """Return the condition of the imports that speak for the school in use, or of all for an engineer."""
    uai = _own_uai()
    return true() if uai is None else cast(ImportBatch.schools, String).contains(f'"{uai}"', autoescape=True)


def _own_uai() -> str | None:
    post = access.post()
    if post.role not in AT_A_SCHOOL:
        return None
    return post.school.uai if post.school else ""


def _past(batches: Sequence[ImportBatch]) -> list[Past]:
    ids = [batch.id for batch in batches]
    counted = (
        select(ImportIssue.batch_id, func.count())
        .where(ImportIssue.batch_id.in_(ids), _IS_PROBLEM)
        .group_by(ImportIssue.batch_id)
    )
    problems = {row[0]: row[1] for row in db.session.execute(counted)}
    people = {batch.id: _person(batch.actor) for batch in batches}
    named = select(StaffAccount.id, StaffAccount.name).where(StaffAccount.id.in_(filter(None, people.values())))
    staff: dict[uuid.UUID | None, str] = {row[0]: row[1] for row in db.session.execute(named)}
    uai = _own_uai()
    return [
        Past(
            batch,
            staff.get(people[batch.id], ""),
            uai is None or batch.schools == [uai],
            problems.get(batch.id, 0),
            _place(batch.schools) if uai is None else "",
        )
        for batch in batches
    ]


def _place(schools: Sequence[str]) -> str:
    if len(schools) == 1:
        return schools[0]
    return str(gettext("%(n)s établissements", n=len(schools)))


def _person(actor: str) -> uuid.UUID | None:
    """Return the person of an actor of the desk (`desk ROLE UUID`)."""
    desk, _, rest = actor.partition(" ")
    try:
        return uuid.UUID(rest.rpartition(" ")[2]) if desk == "desk" else None
    except ValueError:
        return None
