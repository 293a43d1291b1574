"""Blocks the passwords of a school, or of everybody: the right password then leads to a mail, and to a new one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, select, update

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, School
from idp.audit import log
from idp.audit.events import AccountChanged
from idp.db import db, retry_unit_of_work
from idp.families.acts import OPERATOR
from idp.operations.batches import account_ranges
from idp.passkeys import keys
from idp.sessions import liveness, manager
from idp.sessions.models import Session


@dataclass
class Blocked:
    """The result of blocking passwords.

    Attributes:
        blocked: the passwords that are refused from now on.
        sessions_ended: the sessions that ended with them.
        without_address: the accounts without a confirmed address: they need a new letter.
        untouched: the accounts that were never activated, or blocked already.
    """

    blocked: int = 0
    sessions_ended: int = 0
    without_address: int = 0
    untouched: int = 0

    def __add__(self, other: "Blocked") -> "Blocked":
        """Return the sum of two results."""
        return Blocked(
            self.blocked + other.blocked,
            self.sessions_ended + other.sessions_ended,
            self.without_address + other.without_address,
            self.untouched + other.untouched,
        )


def block(school: School | None, note: Callable[[Blocked], None]) -> Iterator[Blocked]:
    """Block the passwords of a school's accounts, or of all (None); yield after each committed batch.

    The right password then opens no session: its owner gets a mail that leads to a new one. Passkeys are removed: who
    knew the password may have added one. An interrupted run is continued by the next one.

    Args:
        school: whose passwords are blocked.
        note: is called with the numbers of each batch in its transaction, again if the transaction is tried again.
    """
    for some in account_ranges(school):
        yield retry_unit_of_work(partial(_block, some, note))


def _block(some: ColumnElement[bool], note: Callable[[Blocked], None]) -> Blocked:
    """Block one batch in the caller's transaction; rows are locked in one order, to avoid deadlocks."""
    rows = db.session.execute(
        select(Account.id, Account.email, Account.activated_at, Account.password_state)
        .where(some)
        .order_by(Account.id)
        .with_for_update()
    ).all()
    active = [row for row in rows if row.activated_at is not None and row.password_state is PasswordState.USABLE]
    ids = [row.id for row in active]
    db.session.execute(
        update(Account)
        .where(Account.id.in_(ids))
        .values(
            password_state=PasswordState.BLOCKED,
            generation=Account.next_generation(),
            updated_at=Account.updated_at,
        )
        .execution_options(synchronize_session=False)
    )
    signed_in = select(Session.account_id).where(Session.account_id.in_(ids), liveness.unended()).distinct()
    ended = sum(manager.end_all(key, by=OPERATOR) for key in db.session.scalars(signed_in).all())
    for holder in keys.holders(ids):
        keys.remove_all(holder, by="renewal")
    for account_id in ids:
        log.record(AccountChanged(account_id=account_id, change="password_blocked"))
    blocked = Blocked(len(ids), ended, sum(row.email is None for row in active), len(rows) - len(active))
    note(blocked)
    return blocked
