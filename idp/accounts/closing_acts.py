"""Writes and ends rows of `Closing`, in the transaction of an act that has locked the account."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select, true, tuple_, update

from idp.accounts.closings import STATES, ClosableAccount, ClosableTie, Closing, Kind
from idp.audit import log
from idp.clock import now
from idp.db import db


def waits_of(account_id: uuid.UUID, school_id: uuid.UUID, moment: datetime) -> Sequence[Closing]:
    """Return the rows that keep a new guardian from pupils of a school until its head has decided."""
    rows = select(Closing).where(
        Closing.account_id == account_id, Closing.school_id == school_id, Closing.where_waiting(moment)
    )
    return db.session.scalars(rows.execution_options(populate_existing=True)).all()


def end(
    account_id: uuid.UUID,
    kinds: Collection[str],
    *,
    by: str,
    reason: str,
    children: Collection[uuid.UUID] | None = None,
) -> Sequence[uuid.UUID | None]:
    """End the open rows of some kinds of an account, in the caller's transaction, which locked it; return the pupils.

    `children` are the only pupils that are meant. The former address of a contest is forgotten.
    """
    ended = (
        update(Closing)
        .where(
            Closing.account_id == account_id,
            Closing.ended_at.is_(None),
            Closing.kind.in_(kinds),
            true() if children is None else Closing.child_id.in_(children),
        )
        .values(ended_at=now(), ended_by=by[:80], end_reason=reason[:500], email=None)
        .returning(Closing.child_id)
    )
    pupils = db.session.scalars(ended.execution_options(synchronize_session=False)).all()
    refresh(account_id)
    return pupils


def close_ties(ties: Collection[tuple[uuid.UUID, uuid.UUID, uuid.UUID | None]], kind: str, reason: str = "") -> None:
    """Close ties (account, child, school) in the caller's transaction; one that is closed as `kind` stays so."""
    chosen = tuple_(Closing.account_id, Closing.child_id).in_(
        [(account_id, child_id) for account_id, child_id, _ in ties]
    )
    rows = select(Closing.account_id, Closing.child_id).where(chosen, Closing.ended_at.is_(None), Closing.kind == kind)
    known, by = {tuple(row) for row in db.session.execute(rows)}, log.current_origin().actor[:80]
    for account_id, child_id, school_id in ties:
        if (account_id, child_id) not in known:
            row = Closing(account_id=account_id, child_id=child_id, school_id=school_id, kind=kind, reason=reason[:500])
            row.begun_by = by
            db.session.add(row)
    db.session.flush()
    for account_id in {account_id for account_id, _, _ in ties}:
        refresh(account_id)


def contest_of(account_id: uuid.UUID) -> Closing | None:
    """Return the open contest of an account's address, or None."""
    return contests_of([account_id]).get(account_id)


def contests_of(accounts: Collection[uuid.UUID]) -> dict[uuid.UUID, Closing]:
    """Return the open contests of accounts' addresses, by the account."""
    is_open = Closing.account_id.in_(accounts), Closing.kind == Kind.CONTESTED.value, Closing.ended_at.is_(None)
    return {row.account_id: row for row in db.session.scalars(select(Closing).where(*is_open))}


def contest(account_id: uuid.UUID, former: str) -> None:
    """Contest an account's address, which replaced `former`, in the caller's transaction, which locked the account.

    If another former address claims the account already, none can be confirmed any more: the school could confuse them.
    """
    row = contest_of(account_id)
    if row is None:
        by = log.current_origin().actor[:80]
        db.session.add(Closing(account_id=account_id, kind=Kind.CONTESTED.value, email=former, reason="", begun_by=by))
    elif row.email != former:
        row.email = None
    db.session.flush()
    refresh(account_id)


def refresh(account_id: uuid.UUID) -> None:
    """Have the account and its ties read again what closes them, in the transaction that changed it."""
    for row in db.session.identity_map.values():
        if isinstance(row, ClosableAccount) and row.id == account_id:
            db.session.expire(row, STATES)
        elif isinstance(row, ClosableTie) and row.account_id == account_id:
            db.session.expire(row, ["shut_until", "closed_until", "closings"])
