"""How many people and ties may leave a school by the files of its secretary: the only home of this limit (`policy`).

A guardian whose key a file gives to another person leaves too, because the account closes. What left by the imports of
the last days counts with what a file would remove. These are the imports of the secretary, the direction, the
académie's engineer and its command. Otherwise ten files, each of which removes a little, would remove everybody, also
if an import of somebody else came between them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func, or_, select

from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.desk import ties
from idp.rostering.imports import ImportResult
from idp.rostering.reconcile import counts, mistakes

WINDOW = timedelta(days=7)
"""How long people who left count."""
_PERCENT = 100
_MOST_PUPILS = 5
"""Percent of the school's pupils."""
_ONE_PUPIL = 1
"""One pupil may leave the smallest school in the window, with both parents."""


class Exceeded(NamedTuple):
    """A limit of the secretary that files exceed.

    Attributes:
        name: of whom or what it is, `students`, `guardians` or `ties`.
        leaving: how many would have left in the window.
        present: of how many.
        percent: the limit.
    """

    name: str
    leaving: int
    present: int
    percent: float


class _Limit(NamedTuple):
    """How many percent of something may leave, how much always may, and the function that counts what left."""

    percent: float
    always: int
    left: Callable[[str, datetime], int]


def numbers(result: ImportResult) -> dict[str, tuple[int, int]]:
    """Return how many pupils and guardians leave by an import, and how many are there before it.

    The same of the ties between a guardian and a pupil who both stay.
    """
    pupils, accounts = result.counts["students"], result.accounts
    present = accounts["total"] - accounts["created"] + accounts["disabled"]
    return {
        "students": (pupils.left, counts.enrolled(result.staging)),
        "guardians": (accounts["disabled"], present),
        "ties": mistakes.ties_of_staying(result.staging),
    }


def exceeded(settings: Settings, uai: str, numbers: Mapping[str, Sequence[int]]) -> list[Exceeded]:
    """Return the limits of the secretary, who alone has some, that the people who leave would exceed.

    Args:
        settings: for how many guardians one import may remove without a question.
        uai: the school.
        numbers: as the function `numbers` returns them.
    """
    since = now() - WINDOW
    limits = {
        "students": _Limit(_MOST_PUPILS, _ONE_PUPIL, _pupils_left),
        "guardians": _Limit(settings.roster_leaving_percent, mistakes.BOTH_PARENTS, _guardians_left),
        "ties": _Limit(settings.roster_leaving_percent, mistakes.BOTH_PARENTS, _ties_ended),
    }
    counted = (
        _counted(name, limit, uai, since, *numbers[name])
        for name, limit in limits.items()
        if numbers.get(name, (0,))[0]
    )
    return [
        row
        for row in counted
        if row.leaving > limits[row.name].always and row.leaving * _PERCENT > row.percent * row.present
    ]


def _counted(name: str, limit: _Limit, uai: str, since: datetime, leaving: int, present: int) -> Exceeded:
    before = limit.left(uai, since)
    return Exceeded(name, leaving + before, present + before, limit.percent)


def _count(counted: ColumnElement[int], uai: str, *conditions: ColumnElement[bool]) -> int:
    """Return how many pupils, accounts or ties of a school there are for some conditions."""
    of_ties = select(counted).select_from(Guardianship)
    of_accounts = of_ties.join(Account, Account.id == Guardianship.account_id)
    of_schools = of_accounts.join(Child, Child.id == Guardianship.child_id).join(School, School.id == Child.school_id)
    return db.session.scalar(of_schools.where(School.uai == uai, *conditions)) or 0


def _pupils_left(uai: str, since: datetime) -> int:
    """Return how many pupils with a guardian left; with a pupil who had left before the first file, nobody goes."""
    return _count(func.count(Child.id.distinct()), uai, Child.left_at > since)


def _guardians_left(uai: str, since: datetime) -> int:
    """Return how many accounts of the school closed: the last child left, or another person got the key.

    The notice to the school is the trace of the latter.
    """
    closed = select(func.count(Account.id.distinct())).select_from(SchoolNotice)
    of_schools = closed.join(School, School.id == SchoolNotice.school_id)
    of_accounts = of_schools.join(Account, Account.id == SchoolNotice.account_id)
    notice = SchoolNotice.kind == Kind.PERSON_REPLACED.value, SchoolNotice.created_at > since
    of_keys = of_accounts.where(School.uai == uai, *notice, ties.are_replaced(), Account.disabled_at > since)
    return _count(func.count(Account.id.distinct()), uai, Account.left_at > since) + (db.session.scalar(of_keys) or 0)


def _ties_ended(uai: str, since: datetime) -> int:
    """Return how many ties ended between a guardian and a pupil who both stay."""
    stays = and_(Child.left_at.is_(None), or_(Account.disabled_at.is_(None), Account.disabled_at <= since))
    return _count(func.count(), uai, Guardianship.ended_at > since, stays)
