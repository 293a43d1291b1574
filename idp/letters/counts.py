"""Counts, for each school and class, from the printed letter to the confirmed email.

An account counts once in a school, under the class of its first child there. A disputed tie counts under the class of
its child. An account that a dispute at another school closes counts as disputed under its class here: its letter has
not expired, but no new one can be printed. The database counts, a few schools at a time.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, case, cast, exists, func, literal, or_, select, union_all
from sqlalchemy.orm import aliased

from idp.accounts import disputes
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.clock import now
from idp.db import db
from idp.letters.recipients import PrintError, class_order

_SCHOOLS_AT_ONCE = 50
_FAMILY = 2
"""Accounts that may share a mailbox without being reported: two parents."""


@dataclass(frozen=True)
class ClassStatus:
    """The counts of a class.

    Attributes:
        uai: the school.
        school: its name.
        class_name: the class.
        accounts: accounts that are not disabled.
        printed: accounts with a letter, valid or not.
        activated: printed accounts with a password.
        waiting: activated accounts whose email is not confirmed.
        without_mail: activated accounts without any email.
        expired: accounts whose letter expired or was replaced before it was used.
        never_printed: accounts without any letter.
        disputed: open disputed ties of pupils of the class, and accounts that a dispute at another school closes.
        closed: printed accounts, not activated, that a dispute closes.
    """

    uai: str
    school: str
    class_name: str
    accounts: int
    printed: int
    activated: int
    waiting: int
    without_mail: int
    expired: int
    never_printed: int
    disputed: int = 0
    closed: int = 0

    @property
    def in_hand(self) -> int:
        """The accounts with a valid letter."""
        return self.printed - self.activated - self.expired - self.closed


@dataclass(frozen=True)
class SchoolStatus:
    """The counts of a school.

    Attributes:
        uai: the school.
        name: its name.
        classes: its classes with accounts or disputed ties, sorted.
        notices_open: notices that the school has not settled.
        shared_mailboxes: confirmed mailboxes of its families with more than two accounts, in any school.
    """

    uai: str
    name: str
    classes: list[ClassStatus]
    notices_open: int
    shared_mailboxes: int

    @property
    def disputed(self) -> int:
        """The sum of `ClassStatus.disputed`."""
        return sum(row.disputed for row in self.classes)


_COUNTS = [field.name for field in fields(ClassStatus)][3:]
"""The names of the counts, in the order of the columns of `by_class`."""


def school_statuses(uai: str | None = None) -> Iterator[SchoolStatus]:
    """Yield the counts of one school, or of all, sorted by UAI.

    Raises:
        PrintError: the school is unknown.
    """
    if uai is not None and db.session.scalar(select(School.id).where(School.uai == uai)) is None:
        raise PrintError(f"no school {uai}")
    after = ""
    while True:
        schools = select(School.id, School.uai, School.name).order_by(School.uai).limit(_SCHOOLS_AT_ONCE)
        schools = schools.where(School.uai == uai) if uai is not None else schools.where(School.uai > after)
        batch = db.session.execute(schools).all()
        yield from _statuses(batch) if batch else []
        if uai is not None or len(batch) < _SCHOOLS_AT_ONCE:
            return
        after = batch[-1].uai


def class_statuses(schools: Sequence[uuid.UUID]) -> list[ClassStatus]:
    """Return the counts of the classes of `schools`, sorted by UAI and class. One statement reads them."""
    rows = [ClassStatus(*row) for row in db.session.execute(by_class(schools))]
    return sorted(rows, key=lambda row: (row.uai, class_order(row.class_name)))


def _statuses(schools: Sequence[Any]) -> list[SchoolStatus]:
    keys = [entry.id for entry in schools]
    rows = class_statuses(keys)
    notices, mailboxes = _by_school(_open_notices(keys)), _by_school(_shared_mailboxes(keys))
    return [
        SchoolStatus(
            entry.uai,
            entry.name,
            [row for row in rows if row.uai == entry.uai],
            notices.get(entry.id, 0),
            mailboxes.get(entry.id, 0),
        )
        for entry in schools
    ]


def _by_school(counts: Select[uuid.UUID, int]) -> dict[uuid.UUID, int]:
    return dict(db.session.execute(counts).all())


def by_class(schools: Sequence[uuid.UUID]) -> Select[*tuple[Any, ...]]:
    """Return the query that counts the accounts and the disputed ties of `schools`, by class."""
    parts = union_all(_counted(schools), _disputed(schools)).subquery()
    key = (School.uai, School.name, parts.c.class_name)
    counts = (cast(func.sum(parts.c[name]), Integer) for name in _COUNTS)
    here = and_(School.id == parts.c.school_id, School.id.in_(schools))  # the union hides which schools it has
    return select(*key, *counts).join(School, here).group_by(*key)


def _disputed(schools: Sequence[uuid.UUID]) -> Select[*tuple[Any, ...]]:
    """Return the query that counts the disputed ties of `schools`, by class, in the columns of `_counted`."""
    counts = ((func.count() if name == "disputed" else literal(0, Integer)).label(name) for name in _COUNTS)
    columns: list[Any] = [Child.school_id, Child.class_name, *counts]
    return (
        select(*columns)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(Child.school_id.in_(schools), Guardianship.is_disputed)
        .group_by(Child.school_id, Child.class_name)
    )


def _open_notices(schools: Sequence[uuid.UUID]) -> Select[uuid.UUID, int]:
    """Return the query that counts the open notices of `schools`."""
    return (
        select(SchoolNotice.school_id, func.count())
        .where(SchoolNotice.school_id.in_(schools), SchoolNotice.settled_at.is_(None))
        .group_by(SchoolNotice.school_id)
    )


def _shared_mailboxes(schools: Sequence[uuid.UUID]) -> Select[uuid.UUID, int]:
    """Return the query that counts the mailboxes of families of `schools` with more than two accounts."""
    moment = now()
    used = (
        select(Child.school_id, Account.mailbox)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .join(Account, Account.id == Guardianship.account_id)
        .where(
            Child.school_id.in_(schools),
            Guardianship.where_holds(moment),
            Account.mailbox.is_not(None),
            Account.where_enabled(moment),
        )
        .distinct()
        .subquery()
    )
    served = aliased(Account)
    shared = (
        select(used.c.school_id, used.c.mailbox)
        .join(served, and_(served.mailbox == used.c.mailbox, served.disabled_at.is_(None)))
        .group_by(used.c.school_id, used.c.mailbox)
        .having(func.count() > _FAMILY)
        .subquery()
    )
    return select(shared.c.school_id, func.count()).group_by(shared.c.school_id)


def _counted(schools: Sequence[uuid.UUID]) -> Select[*tuple[Any, ...]]:
    """Return the query that counts the accounts of `schools`, by class."""
    moment = now()
    nth = func.row_number().over(
        partition_by=(Child.school_id, Guardianship.account_id), order_by=(Guardianship.rank, Child.id)
    )
    links = (
        select(Child.school_id, Child.class_name, Guardianship.account_id, nth.label("nth"))
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(Child.school_id.in_(schools), Guardianship.where_holds(moment))
        .subquery()
    )
    active, no_letter = Account.activated_at.is_not(None), Account.provisional_hash.is_(None)
    never = and_(~active, no_letter, Account.provisional_expires_at.is_(None), Account.generation == 0)
    closed = disputes.has_disputed_tie()
    over = and_(~active, ~never, ~closed, or_(no_letter, Account.provisional_expires_at <= moment))
    no_mail = and_(active, Account.email.is_(None))
    counts = (
        func.count(),
        _count(~never),
        _count(active),
        _count(and_(no_mail, Account.pending_email.is_not(None))),
        _count(and_(no_mail, Account.pending_email.is_(None))),
        _count(over),
        _count(never),
        _count(and_(closed, ~_is_disputed_in(links.c.school_id))),
        _count(and_(~active, ~never, closed)),
    )
    return (
        select(
            links.c.school_id,
            links.c.class_name,
            *(count.label(name) for name, count in zip(_COUNTS, counts, strict=True)),
        )
        .select_from(links)
        .join(Account, Account.id == links.c.account_id)
        .where(links.c.nth == 1, Account.where_enabled(moment))
        .group_by(links.c.school_id, links.c.class_name)
    )


def _is_disputed_in(school_id: ColumnElement[uuid.UUID]) -> ColumnElement[bool]:
    """Return the condition that selects accounts with a disputed tie in this school."""
    ours = select(Child.id).where(Child.id == Guardianship.child_id, Child.school_id == school_id)
    return (
        exists()
        .where(
            Guardianship.account_id == Account.id,
            Guardianship.is_disputed,
            ours.correlate_except(Child).exists(),
        )
        .correlate_except(Guardianship)
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
