"""How many people may leave a school by the files of its secretary: the only home of this limit.

What left by the imports of the last days counts with what a file would remove. These are the imports of the secretary,
the direction, the académie's engineer and its command. Otherwise ten files, each of which removes a little, would
remove everybody, also if an import of somebody else came between them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import exists, func, select

from idp.accounts.models import Account, Child, Guardianship, School
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.desk.staff.models import Role
from idp.rostering.imports import ImportResult
from idp.rostering.reconcile import mistakes
from idp.rostering.reconcile.told import difference

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
        name: of whom it is, `students` or `guardians`.
        leaving: how many would have left in the window.
        present: of how many.
        percent: the limit.
    """

    name: str
    leaving: int
    present: int
    percent: float


class _Limit(NamedTuple):
    """How many percent of some people may leave, how many always may, and the function that counts those who left."""

    percent: float
    always: int
    left: Callable[[str, datetime], int]


def numbers(result: ImportResult) -> dict[str, tuple[int, int]]:
    """Return how many pupils and guardians leave by an import, and how many are there before it."""
    pupils, accounts = result.counts["students"], result.accounts
    present = accounts["total"] - accounts["created"] + accounts["disabled"]
    return {
        "students": (pupils.left, difference.enrolled(result.staging)),
        "guardians": (accounts["disabled"], present),
    }


def too_many(settings: Settings, role: Role, uai: str, numbers: Mapping[str, Sequence[int]]) -> bool:
    """Return whether more people would have left in the window than the role may let go; see `exceeded`."""
    return role is Role.SECRETARY and bool(exceeded(settings, uai, numbers))


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
    }
    counted = (_counted(name, limit, uai, since, *numbers[name]) for name, limit in limits.items() if numbers[name][0])
    return [
        row
        for row in counted
        if row.leaving > limits[row.name].always and row.leaving * _PERCENT > row.percent * row.present
    ]


def _counted(name: str, limit: _Limit, uai: str, since: datetime, leaving: int, present: int) -> Exceeded:
    before = limit.left(uai, since)
    return Exceeded(name, leaving + before, present + before, limit.percent)


def _pupils_left(uai: str, since: datetime) -> int:
    """Return how many pupils with a guardian left; with a pupil who had left before the first file, nobody goes."""
    has_guardian = exists().where(Guardianship.child_id == Child.id)
    left = select(func.count()).select_from(Child).join(School, School.id == Child.school_id)
    return db.session.scalar(left.where(School.uai == uai, Child.left_at > since, has_guardian)) or 0


def _guardians_left(uai: str, since: datetime) -> int:
    left = select(func.count(Account.id.distinct())).select_from(Child).join(School, School.id == Child.school_id)
    of_children = left.join(Guardianship, Guardianship.child_id == Child.id)
    of_accounts = of_children.join(Account, Account.id == Guardianship.account_id)
    return db.session.scalar(of_accounts.where(School.uai == uai, Account.left_at > since)) or 0
