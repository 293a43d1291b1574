"""The ties between guardians and pupils that the desk shows, and those by which it counts accounts."""

import enum

from sqlalchemy import ColumnElement, and_, or_, select

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship
from idp.accounts.suspensions import waiting
from idp.clock import now
from idp.db import db


class CutOff(enum.Enum):
    """Why a person has access to no pupil in scope although the files name the person."""

    WAITS = enum.auto()
    SUSPENDED = enum.auto()


def are_shown() -> ColumnElement[bool]:
    """Return the condition of the ties that concern the school, or that the school itself ended.

    The tie of a former guardian is not shown. The statement joins `Guardianship` with `Child`.
    """
    return or_(directory.concerns_its_school(), Guardianship.is_excluded)


def are_counted() -> ColumnElement[bool]:
    """Return the condition of the ties by which an account counts in a class: unended, and suspended by nobody.

    Pupils who left do not count. The statement joins `Guardianship` with `Child`.
    """
    return and_(or_(Guardianship.where_holds(now()), Guardianship.is_disputed), Child.left_at.is_(None))


def wait_for_head() -> ColumnElement[bool]:
    """Return the condition of the ties of new guardians about whom the head has not decided yet."""
    return waiting.only_waits(Guardianship.account_id, Guardianship.child_id, now())


def cut_off(account: Account, of_pupils: ColumnElement[bool]) -> CutOff | None:
    """Return why an account has no open tie to certain pupils; None if it has one, or if no tie is suspended."""
    moment = now()
    rows = db.session.execute(
        select(Guardianship.where_holds(moment), wait_for_head(), Guardianship.where_suspended(moment))
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == account.id, Guardianship.is_unended, of_pupils)
    ).all()
    if any(holds for holds, _, _ in rows) or not any(is_suspended for _, _, is_suspended in rows):
        return None
    return CutOff.WAITS if any(waits for _, waits, _ in rows) else CutOff.SUSPENDED
