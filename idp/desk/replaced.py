"""Accounts that an import closed because the file gives their number or their name to another person.

No tie leads to such an account any more. Its former school may read why it is closed, and does nothing with it.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, and_, exists, select

from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.db import db


def are_closed() -> ColumnElement[bool]:
    """Return the condition of the accounts that are closed and without a key, for a statement about `Account`.

    With a notice about their replacement, an import closed them. An account with another key continues under it, and
    an operator may enable one.
    """
    is_disabled = and_(Account.disabled_at.is_not(None), Account.left_at.is_(None))
    return and_(is_disabled, Account.roster_key.is_(None), Account.merged_into_id.is_(None))


def were_here(of_notices: ColumnElement[bool], of_pupils: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition of the closed accounts of which a school was told, and that had a pupil who is there.

    Args:
        of_notices: the condition of the notices in scope.
        of_pupils: the condition of the pupils in scope.
    """
    noticed = exists().where(SchoolNotice.account_id == Account.id, _is_told(), of_notices)
    tie = exists().where(Guardianship.account_id == Account.id, Guardianship.child_id == Child.id, of_pupils)
    return and_(are_closed(), noticed.correlate_except(SchoolNotice), tie.correlate_except(Guardianship, Child))


def successors(
    account_ids: Collection[uuid.UUID], of_notices: ColumnElement[bool]
) -> Mapping[uuid.UUID, Sequence[uuid.UUID | None]]:
    """Return by which accounts an import replaced closed ones; None stands for an account that was removed since."""
    noticed = select(SchoolNotice.account_id, SchoolNotice.other_account_id).distinct()
    of_closed = noticed.join(Account, Account.id == SchoolNotice.account_id).where(Account.id.in_(account_ids))
    by_account: dict[uuid.UUID, list[uuid.UUID | None]] = defaultdict(list)
    for account_id, successor in db.session.execute(of_closed.where(_is_told(), of_notices, are_closed())):
        by_account[account_id].append(successor)
    return by_account


def _is_told() -> ColumnElement[bool]:
    return SchoolNotice.kind == Kind.PERSON_REPLACED.value
