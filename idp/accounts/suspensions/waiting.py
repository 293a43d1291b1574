"""Finds and moves the ties of new guardians that wait for the head of the school."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import InstrumentedAttribute

from idp.accounts.suspensions.models import Suspension
from idp.db import db

_Key = InstrumentedAttribute[uuid.UUID]


def of_account(account_id: uuid.UUID, school_id: uuid.UUID, moment: datetime) -> Sequence[Suspension]:
    """Return the rows that keep a new guardian from pupils of a school until its head has decided."""
    rows = select(Suspension).where(
        Suspension.account_id == account_id, Suspension.school_id == school_id, Suspension.where_waiting(moment)
    )
    return db.session.scalars(rows.execution_options(populate_existing=True)).all()


def only_waits(account: _Key, child: _Key, moment: datetime) -> ColumnElement[bool]:
    """Return the condition that a tie waits for the head and no decision suspends it, for a statement about ties."""
    same = Suspension.account_id == account, Suspension.child_id == child
    waits = exists().where(*same, Suspension.where_waiting(moment)).correlate_except(Suspension)
    return waits & ~exists().where(*same, Suspension.where_decided(moment)).correlate_except(Suspension)


def end_all(account_id: uuid.UUID, *, by: str, reason: str, moment: datetime) -> Sequence[uuid.UUID | None]:
    """End the rows that wait of an account, in the caller's transaction, which removes the ties; return the pupils."""
    ended = (
        update(Suspension)
        .where(Suspension.account_id == account_id, Suspension.where_waiting(moment))
        .values(ended_at=moment, ended_by=by, end_reason=reason)
        .returning(Suspension.child_id)
    )
    return db.session.scalars(ended.execution_options(synchronize_session=False)).all()
