"""Counts, for each school and class, from the printed letter to the confirmed email.

Each account has one state (`standing.group`), as at the desk: it counts in each class with a child of the person, and
once in the whole school. The database counts, a few schools at a time.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, case, cast, func, or_, select
from sqlalchemy.orm import aliased

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.clock import now
from idp.db import db
from idp.families import standing
from idp.families.standing import Group
from idp.letters.recipients import PrintError, class_order
from idp.statements import index_only

_SCHOOLS_AT_ONCE = 20
FAMILY = 2  # accounts that may share a mailbox without being reported: two parents
_UNCONFIRMED = (Group.UNCONFIRMED, Group.RELETTER)
_ACTIVE = (Group.ACTIVE, Group.BLOCKED, *_UNCONFIRMED)


@dataclass(frozen=True)
class ClassStatus:
    """The counts of a class, or of a whole school.

    Attributes:
        class_name: the class; empty for pupils without a class, and for the whole school.
        accounts: accounts that are neither disabled nor closed: the sum of the states.
        printed: accounts with a letter, valid or not.
        activated: accounts with a password that no dispute closes.
        waiting: activated accounts whose email is not confirmed.
        without_mail: activated accounts without any email.
        expired: accounts whose letter expired before it was used, or was replaced.
        never_printed: accounts that were never active, without a letter that is valid or has expired.
        disputed: accounts that a dispute closes, about a tie or the address.
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


@dataclass(frozen=True)
class SchoolStatus:
    """The counts of a school.

    Attributes:
        whole: the counts of all classes, in which each account counts once.
        classes: its classes with accounts, sorted.
        notices_open: notices that the school has not settled.
        shared_mailboxes: confirmed mailboxes of its families with more than two accounts, in any school.
    """

    uai: str
    name: str
    whole: ClassStatus
    classes: list[ClassStatus]
    notices_open: int
    shared_mailboxes: int


# The names of the counts, in the order of the columns of `_counted`.
_COUNTS = [field.name for field in fields(ClassStatus)][3:]


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


def _statuses(schools: Sequence[Any]) -> list[SchoolStatus]:
    keys = [entry.id for entry in schools]
    with index_only():
        rows = db.session.execute(_counted(keys)).all()
    notices, mailboxes = _by_school(_open_notices(keys)), _by_school(_shared_mailboxes(keys))
    return [
        SchoolStatus(
            entry.uai,
            entry.name,
            *_of_school(entry, [row for row in rows if row.school_id == entry.id]),
            notices.get(entry.id, 0),
            mailboxes.get(entry.id, 0),
        )
        for entry in schools
    ]


def _of_school(school: Any, rows: Sequence[Any]) -> tuple[ClassStatus, list[ClassStatus]]:
    size = len(_COUNTS)
    classes = [ClassStatus(school.uai, school.name, *row[1 : 2 + size]) for row in rows]
    whole = [sum(row[i] for row in rows) for i in range(2 + size, 2 + 2 * size)]
    return (
        ClassStatus(school.uai, school.name, "", *whole),
        sorted(classes, key=lambda row: class_order(row.class_name)),
    )


def _by_school(counts: Select[uuid.UUID, int]) -> dict[uuid.UUID, int]:
    return dict(db.session.execute(counts).all())


def _open_notices(schools: Sequence[uuid.UUID]) -> Select[uuid.UUID, int]:
    return (
        select(SchoolNotice.school_id, func.count())
        .where(SchoolNotice.school_id.in_(schools), SchoolNotice.settled_at.is_(None))
        .group_by(SchoolNotice.school_id)
    )


def _shared_mailboxes(schools: Sequence[uuid.UUID]) -> Select[uuid.UUID, int]:
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
        .having(func.count() > FAMILY)
        .subquery()
    )
    return select(shared.c.school_id, func.count()).group_by(shared.c.school_id)


def _counted(schools: Sequence[uuid.UUID]) -> Select[*tuple[Any, ...]]:
    """Return the query that counts the accounts of `schools`, by class.

    It has the school, the class, the counts of the class, and the same of accounts that no earlier class has counted.
    """
    stated = _stated(schools).subquery()
    state = stated.c.state
    closed = and_(_is(state, Group.DISPUTED), stated.c.has_letter)
    conditions: list[ColumnElement[bool]] = [
        state.is_not(None),
        or_(~_is(state, Group.NO_LETTER, Group.DISPUTED), closed),
        _is(state, *_ACTIVE),
        and_(_is(state, *_UNCONFIRMED), stated.c.has_address),
        and_(_is(state, *_UNCONFIRMED), ~stated.c.has_address),
        _is(state, Group.EXPIRED),
        _is(state, Group.NO_LETTER),
        _is(state, Group.DISPUTED),
    ]
    of_class = [_count(condition).label(name) for name, condition in zip(_COUNTS, conditions, strict=True)]
    once = [_count(and_(condition, stated.c.nth == 1)) for condition in conditions]
    key = stated.c.school_id, stated.c.class_name
    return select(*key, *of_class, *once).group_by(*key)


def _stated(schools: Sequence[uuid.UUID]) -> Select[*tuple[Any, ...]]:
    """Return the query of the accounts of `schools`, once for each class, with their state; closed ones are not in it.

    `nth` is 1 once in a school. `has_letter` is whether there is or was a letter.
    """
    moment, order = now(), (Guardianship.rank, Child.id)
    of_school = Child.school_id, Guardianship.account_id
    nth = func.row_number().over(partition_by=of_school, order_by=order)
    in_class = func.row_number().over(partition_by=(*of_school, Child.class_name), order_by=order)
    ties = (
        select(*of_school, Child.class_name, nth.label("nth"), in_class.label("in_class"))
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(Child.school_id.in_(schools), directory.counts_in_class(moment))
        .subquery()
    )
    has_letter = or_(
        Account.activated_at.is_not(None), Account.has_been_active, Account.provisional_expires_at.is_not(None)
    )
    return (
        select(
            ties.c.school_id,
            ties.c.class_name,
            ties.c.nth,
            standing.group().label("state"),
            has_letter.label("has_letter"),
            Account.pending_email.is_not(None).label("has_address"),
        )
        .join(Account, Account.id == ties.c.account_id)
        .where(ties.c.in_class == 1, Account.where_enabled(moment))
    )


def _is(state: ColumnElement[str], *groups: Group) -> ColumnElement[bool]:
    return state.in_([group.value for group in groups])


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return cast(func.sum(case((condition, 1), else_=0)), Integer)
