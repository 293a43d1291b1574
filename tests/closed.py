"""Accounts and ties that are closed, without the act that closes them."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from idp.accounts.closings import Closing, Kind
from idp.accounts.models import Child, Guardianship
from idp.clock import now
from idp.db import db


def suspend(
    account: uuid.UUID, child: uuid.UUID | None = None, *, until: datetime | None = None, since: datetime | None = None
) -> None:
    row = Closing(account_id=account, child_id=child, reason="jugement", begun_by="test", until=until)
    row.begun_at = since or row.begun_at
    db.session.add(row)
    db.session.commit()
    db.session.expire_all()


def dispute(*accounts: uuid.UUID, children: Any = (), since: datetime | None = None) -> None:
    """Dispute the ties of some accounts to some children, by default all ties of all accounts."""
    _close(Kind.DISPUTED, accounts, children, since)


def exclude(*accounts: uuid.UUID, children: Any = (), since: datetime | None = None) -> None:
    """End ties as a school does that confirms a dispute."""
    ended = update(Guardianship).where(*_chosen(accounts, children)).values(ended_at=since or now())
    db.session.execute(ended)
    _close(Kind.EXCLUDED, accounts, children, since)


def dispute_tie(*ties: Guardianship) -> None:
    for tie in ties:
        dispute(tie.account_id, children=[tie.child_id])


def exclude_tie(*ties: Guardianship, since: datetime | None = None) -> None:
    for tie in ties:
        exclude(tie.account_id, children=[tie.child_id], since=since)


def settle_dispute(*accounts: uuid.UUID, children: Any = ()) -> None:
    """End the disputes about ties of accounts, as a school does that rejects them."""
    rows = update(Closing).where(
        Closing.kind == Kind.DISPUTED.value, *([Closing.account_id.in_(accounts)] * bool(accounts))
    )
    chosen = rows.where(*([Closing.child_id.in_(children)] * bool(children)))
    db.session.execute(chosen.values(ended_at=now()))
    db.session.commit()
    db.session.expire_all()


def contest(account: uuid.UUID) -> Closing | None:
    """Return the open contest of an account's address, or None."""
    is_open = Closing.account_id == account, Closing.kind == Kind.CONTESTED.value, Closing.ended_at.is_(None)
    return db.session.scalar(select(Closing).where(*is_open).execution_options(populate_existing=True))


def former_email(account: uuid.UUID) -> str | None:
    """Return the address before a contested change, if an open contest has one."""
    row = contest(account)
    return row.email if row else None


def closed_as(tie: Guardianship) -> set[str]:
    """Return the kinds of the open rows about a tie, also of one that has ended."""
    rows = select(Closing.kind).where(Closing.account_id == tie.account_id, Closing.child_id == tie.child_id)
    return set(db.session.scalars(rows.where(Closing.ended_at.is_(None))))


def _chosen(accounts: Any, children: Any, table: Any = Guardianship) -> list[Any]:
    of_accounts = [table.account_id.in_(accounts)] if accounts else []
    return [*of_accounts, *([table.child_id.in_(children)] if children else [])]


def _close(kind: Kind, accounts: Any, children: Any, since: datetime | None) -> None:
    ties = select(Guardianship.account_id, Guardianship.child_id, Child.school_id).join(Child)
    db.session.flush()
    for account_id, child_id, school_id in db.session.execute(ties.where(*_chosen(accounts, children))).all():
        row = Closing(account_id=account_id, child_id=child_id, school_id=school_id, kind=kind.value, reason="")
        row.begun_by, row.begun_at = "test", since or now()
        db.session.add(row)
    db.session.commit()
    db.session.expire_all()
