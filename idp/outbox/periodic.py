"""Periodic jobs: one message of the outbox for each period, stored by the first worker, so that each job runs once.

A job that fails is retried like any message. No second job of its kind is stored while it waits.
"""

import uuid
from datetime import timedelta

from sqlalchemy import exists, literal, select
from sqlalchemy.orm import Session

from idp.clock import now
from idp.db import db, upsert
from idp.outbox.queue import OutboxMessage

_NAMES = uuid.UUID("b6f3f6a2-5c6f-4a2e-9d52-7a4f3c1f0d11")
"""The namespace of the message ids, which are made from kind and period: two workers would store the same row."""


def number_of(period: timedelta) -> int:
    """Return the number of the current period, counted from the epoch."""
    return int(now().timestamp() // period.total_seconds())


def store_job(kind: str, number: int) -> bool:
    """Store the job of one period; return False if it exists, or if an earlier job still waits."""
    moment = now()
    values = {
        OutboxMessage.id: uuid.uuid5(_NAMES, f"{kind} {number}"),
        OutboxMessage.kind: kind,
        OutboxMessage.payload: {},
        OutboxMessage.created_at: moment,
        OutboxMessage.available_at: moment,
        OutboxMessage.attempts: 0,
        OutboxMessage.outcome: "waiting",
        OutboxMessage.last_error: "",
    }
    waits = exists().where(OutboxMessage.kind == kind, OutboxMessage.finished_at.is_(None))
    row = select(*(literal(value, column.type) for column, value in values.items())).where(~waits)
    statement = (
        upsert(OutboxMessage)
        .from_select([column.key for column in values], row)
        .on_conflict_do_nothing()
        .returning(OutboxMessage.id)
    )
    with Session(db.engine) as session, session.begin():
        return session.scalar(statement) is not None
