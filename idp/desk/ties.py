"""The ties between guardians and pupils that the desk shows, and the accounts that an import replaced.

An import closes an account because the file gives its number or its name to another person. No tie leads to such an
account any more. Its former school may read why it is closed, and does nothing with it.
"""

import enum
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select

from idp.accounts import closings, directory
from idp.accounts.closings import Closing, Kind as ClosingKind
from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db, one_of


class CutOff(enum.Enum):
    """Why a person has access to no pupil in scope although the files name the person, or did."""

    WAITS = enum.auto()
    CLOSED = enum.auto()


def are_shown() -> ColumnElement[bool]:
    """Return the condition of the ties that concern the school, or that the school itself ended.

    The tie of a former guardian is not shown. The statement joins `Guardianship` with `Child`.
    """
    return or_(directory.concerns_its_school(), Guardianship.where_closed_as(ClosingKind.EXCLUDED))


def are_former() -> ColumnElement[bool]:
    """Return the condition of the ties of former guardians: the files no longer name them for the pupil."""
    return ~func.coalesce(are_shown(), false())


def are_kept_out() -> ColumnElement[bool]:
    """Return the condition of the ties of former guardians that a decision closes, also if a file names them again.

    The statement joins `Guardianship` with `Child`.
    """
    decided = exists().where(
        Closing.account_id == Guardianship.account_id,
        Closing.child_id == Guardianship.child_id,
        Closing.where_decided(now()),
    )
    return are_former() & decided.correlate_except(Closing)


def wait_for_head() -> ColumnElement[bool]:
    """Return the condition of the ties of new guardians about whom the head has not decided yet."""
    return closings.only_waits(Guardianship.account_id, Guardianship.child_id, now())


def are_cut_off(of_pupils: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition of `cut_off_among` in SQL, for a statement about `Account`."""
    moment = now()
    ties_of = (
        select(Guardianship.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Guardianship.account_id == Account.id, of_pupils)
        .correlate(Account)
    )
    # decisions that hold are few and read once: the ties of nearly all accounts need no look
    decided = Account.id.in_(select(Closing.account_id).where(Closing.where_holding(moment)))
    is_shut_out = ties_of.where(or_(Guardianship.is_unended, are_kept_out()), Guardianship.where_shut(moment))
    return and_(decided, is_shut_out.exists(), ~ties_of.where(Guardianship.where_holds(moment)).exists())


def cut_off_among(account_ids: Collection[uuid.UUID], of_pupils: ColumnElement[bool]) -> dict[uuid.UUID, CutOff]:
    """Return why accounts have no open tie to certain pupils; those with one, or without a closed tie, are left out.

    One statement runs, however many accounts there are.
    """
    moment = now()
    ties_of: dict[uuid.UUID, list[tuple[bool, bool, bool]]] = {}
    of_accounts = (
        select(
            Guardianship.account_id,
            Guardianship.where_holds(moment),
            wait_for_head(),
            Guardianship.where_shut(moment),
        )
        .join(Child, Child.id == Guardianship.child_id)
        .where(
            one_of(Guardianship.account_id, list(account_ids)),
            or_(Guardianship.is_unended, are_kept_out()),
            of_pupils,
        )
    )
    for account_id, *states in db.session.execute(of_accounts):
        ties_of.setdefault(account_id, []).append((states[0], states[1], states[2]))
    return {account_id: why for account_id, states in ties_of.items() if (why := _why(states)) is not None}


def _why(ties: Iterable[tuple[bool, bool, bool]]) -> CutOff | None:
    """Return why a person has no open tie; each tie says whether it holds, waits for the head, and is closed."""
    known = list(ties)
    if any(holds for holds, _, _ in known) or not any(is_shut for _, _, is_shut in known):
        return None
    return CutOff.WAITS if any(waits for _, waits, _ in known) else CutOff.CLOSED


def are_replaced() -> ColumnElement[bool]:
    """Return the condition of `Standing.REPLACED`, for a statement about `Account`.

    An account with another key continues under it, and an operator may enable one.
    """
    return and_(Account.disabled_at.is_not(None), ~Account.has_left, ~Account.merge.has())


def were_replaced_here(of_notices: ColumnElement[bool], of_pupils: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition of the closed accounts of which a school was told, and that had a pupil who is there.

    Args:
        of_notices: the condition of the notices in scope.
        of_pupils: the condition of the pupils in scope.
    """
    noticed = exists().where(SchoolNotice.account_id == Account.id, _is_told(), of_notices)
    tie = exists().where(Guardianship.account_id == Account.id, Guardianship.child_id == Child.id, of_pupils)
    return and_(are_replaced(), noticed.correlate_except(SchoolNotice), tie.correlate_except(Guardianship, Child))


def successors(
    account_ids: Collection[uuid.UUID], of_notices: ColumnElement[bool]
) -> Mapping[uuid.UUID, Sequence[uuid.UUID | None]]:
    """Return by which accounts an import replaced closed ones; None stands for an account that was removed since."""
    noticed = select(SchoolNotice.account_id, SchoolNotice.other_account_id).distinct()
    of_closed = noticed.join(Account, Account.id == SchoolNotice.account_id).where(Account.id.in_(account_ids))
    by_account: dict[uuid.UUID, list[uuid.UUID | None]] = defaultdict(list)
    for account_id, successor in db.session.execute(of_closed.where(_is_told(), of_notices, are_replaced())):
        by_account[account_id].append(successor)
    return by_account


def _is_told() -> ColumnElement[bool]:
    return SchoolNotice.kind == Kind.PERSON_REPLACED.value
