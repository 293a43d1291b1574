"""Figures of the activation: accounts by state, for classes or schools, and first activations by week.

Each account has one state (`standing.group`). It counts in each class with a child of the person, and once in a school.
One statement counts a few schools; for all guardians of an académie (`by_week_of_all`), it counts one day.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School
from idp.clock import now, start_of_day, today
from idp.db import db
from idp.families import standing
from idp.families.standing import Group
from idp.letters import class_lists
from idp.statements import index_only

_FIRST_MONTH = 9
_WEEK = timedelta(days=7)
_SCHOOLS_AT_ONCE = 20


STATES = (
    Group.ACTIVE, Group.UNCONFIRMED, Group.BLOCKED, Group.RELETTER, Group.LETTER, Group.EXPIRED, Group.NO_LETTER,
    Group.DISPUTED,
)  # fmt: skip
"""The states of the accounts that count, in the order in which pages show them. A closed account does not count."""


@dataclass(frozen=True)
class Row:
    """The accounts of a class or a school, by state, in the order of `STATES`; `closed` is the number of the others."""

    key: str
    name: str
    counts: list[int] = field(default_factory=list)
    closed: int = 0

    @property
    def accounts(self) -> int:
        """The number of accounts."""
        return sum(self.counts)

    @property
    def activated(self) -> int:
        """The number of accounts with a confirmed email and a password, also one that has to be changed."""
        return self._of(Group.ACTIVE) + self._of(Group.BLOCKED)

    @property
    def waiting(self) -> int:
        """The number of accounts with a password whose email is still to confirm."""
        return self._of(Group.UNCONFIRMED)

    def _of(self, state: Group) -> int:
        return self.counts[STATES.index(state)]


def by_class(school_id: uuid.UUID) -> tuple[list[Row], Row]:
    """Return the figures of the classes of a school, also those without accounts, and of the whole school.

    An account with children in two classes counts in both, and once in the whole school.
    """
    order = Guardianship.rank, Child.id
    nth = func.row_number().over(partition_by=Guardianship.account_id, order_by=order)
    in_class = func.row_number().over(partition_by=(Guardianship.account_id, Child.class_name), order_by=order)
    of_school = _ties(
        School.id == school_id, Child.class_name.label("name"), nth.label("nth"), in_class.label("in_class")
    ).subquery()
    stated = _stated(select(of_school).where(of_school.c.in_class == 1)).subquery()
    once = func.sum(case((stated.c.nth == 1, 1), else_=0))
    counted = select(stated.c.name, stated.c.state, func.count(), once).group_by(stated.c.name, stated.c.state)
    by_name = {name: Counter[str]() for name in class_lists.classes(school_id)}
    whole = Counter[str]()
    for name, state, count, first in db.session.execute(counted):
        by_name.setdefault(name, Counter())[state] += count
        whole[state] += first
    return [_row(name, name, counts) for name, counts in by_name.items()], _row("", "", whole)


def by_school(schools: ColumnElement[bool]) -> list[Row]:
    """Return the figures of the schools that a condition selects, by name: one statement for each twenty schools.

    All pupils of an académie in one statement would take longer than the statement timeout of the database.
    """
    keys = db.session.scalars(select(School.id).where(schools).order_by(School.id)).all()
    rows: list[Row] = []
    for start in range(0, len(keys), _SCHOOLS_AT_ONCE):
        some = School.id.in_(keys[start : start + _SCHOOLS_AT_ONCE])
        with index_only():
            rows += _counted(_ties(some, School.uai.label("key"), School.name.label("name")).distinct())
    return sorted(rows, key=lambda row: (row.name, row.key))


def _ties(schools: ColumnElement[bool], *columns: ColumnElement[Any]) -> Select[Any]:
    return (
        select(*columns, Guardianship.account_id)
        .select_from(School)
        .join(Child, Child.school_id == School.id)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(schools, directory.counts_in_class(now()))
    )


def _counted(of_schools: Select[Any]) -> list[Row]:
    """Return the rows of one statement: it has `key`, `name` and `account_id`, each account once for a key."""
    stated = _stated(of_schools).subquery()
    columns = stated.c.key, stated.c.name, stated.c.state
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for key, name, state, count in db.session.execute(select(*columns, func.count()).group_by(*columns)):
        counts.setdefault((key, name), {})[state] = count
    return [_row(key, name, numbers) for (key, name), numbers in counts.items()]


def _stated(counted_ties: Select[Any]) -> Select[Any]:
    of_key = counted_ties.subquery()
    return select(of_key, standing.group().label("state")).join(Account, Account.id == of_key.c.account_id)


def _row(key: str, name: str, counts: Mapping[str, int]) -> Row:
    return Row(key, name, [counts.get(state.value, 0) for state in STATES], counts.get(Group.CLOSED.value, 0))


Week = tuple[date, int]
"""A Monday, and the accounts that were activated for the first time in the week that it begins, in Paris."""


def by_week(schools: ColumnElement[bool]) -> list[Week]:
    """Return the first activations of each week of the school year, for the families of the schools of a condition.

    An account that a new letter closed counts in the week of its first activation, before and after it is used again.
    """
    mondays = _mondays(today())
    first = func.coalesce(Account.first_activated_at, Account.activated_at)
    number = case(*((first < start_of_day(monday + _WEEK), i) for i, monday in enumerate(mondays)), else_=-1)
    of_schools = _ties(schools).distinct().subquery()
    weeks = (
        select(number.label("week"))
        .join(of_schools, of_schools.c.account_id == Account.id)
        .where(_first_activated(start_of_day(_first_day(mondays)), start_of_day(mondays[-1] + _WEEK)))
        .subquery()
    )
    counts: dict[int, int] = dict(db.session.execute(select(weeks.c.week, func.count()).group_by(weeks.c.week)).all())
    return [(monday, counts.get(i, 0)) for i, monday in enumerate(mondays)]


def by_week_of_all(groups: Select[uuid.UUID, str]) -> tuple[list[Week], dict[uuid.UUID, list[Week]]]:
    """Return the first activations of each week of the school year, of all guardians and of the families of each group.

    One statement counts a day: all guardians of an académie in one would take longer than the statement timeout.

    Args:
        groups: selects the key of each group of schools with the UAI of each of its schools.
    """
    last = today()
    mondays = _mondays(last)
    everybody, by_group = Counter[date](), defaultdict[uuid.UUID, Counter[date]](Counter)
    day = _first_day(mondays)
    while day <= last:
        monday = day - timedelta(days=day.weekday())
        activated = _first_activated(start_of_day(day), start_of_day(day := day + timedelta(days=1)))
        everybody[monday] += db.session.scalar(select(func.count()).select_from(Account).where(activated)) or 0
        for key, count in db.session.execute(_of_groups(groups, activated)):
            by_group[key][monday] += count
    weeks = {key: [(monday, counts[monday]) for monday in mondays] for key, counts in by_group.items()}
    return [(monday, everybody[monday]) for monday in mondays], weeks


def _of_groups(groups: Select[uuid.UUID, str], activated: ColumnElement[bool]) -> Select[uuid.UUID, int]:
    group, uai = groups.subquery().c
    return (
        select(group, func.count(Account.id.distinct()))
        .select_from(Account)
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .join(School, School.id == Child.school_id)
        .join(group.table, uai == School.uai)
        .where(activated, directory.counts_in_class(now()))
        .group_by(group)
    )


def _first_activated(start: datetime, end: datetime) -> ColumnElement[bool]:
    """Return the condition of the accounts whose first activation was in a period. Both columns have an index."""
    before_letter = and_(Account.first_activated_at >= start, Account.first_activated_at < end)
    only_one = and_(Account.first_activated_at.is_(None), Account.activated_at >= start, Account.activated_at < end)
    return or_(before_letter, only_one)


def _mondays(today: date) -> Sequence[date]:
    start = date(today.year if today.month >= _FIRST_MONTH else today.year - 1, _FIRST_MONTH, 1)
    monday = start - timedelta(days=start.weekday())
    return [monday + _WEEK * i for i in range((today - monday).days // 7 + 1)]


def _first_day(mondays: Sequence[date]) -> date:
    return next(day for day in (mondays[0] + timedelta(days=i) for i in range(7)) if (day.month, day.day) == (9, 1))
