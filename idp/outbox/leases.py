"""Who holds which message: each function is one short transaction, never open while a message is handed over.

A lease that runs out is the sign of a dead worker, and its message is taken again. What a worker writes about a message
is therefore bound to its lease: one that comes back too late changes nothing.
"""

import uuid
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from idp.clock import now
from idp.db import db
from idp.outbox.models import OutboxMessage

LEASE = timedelta(minutes=5)
"""Longer than any hand-over can last (`idp.mail.smtp` gives up before), or a second worker would send the same mail."""

NO_HANDLER = "this version has no handler for this kind"


def claim(kinds: Collection[str]) -> OutboxMessage | None:
    """Take the message of one of `kinds` that has been ready for the longest time, for the length of `LEASE`.

    Returns:
        The message, detached from any session and with this attempt counted; None when nothing is ready.
    """
    moment = now()
    # The inner query stands in a CTE because PostgreSQL never runs a locking CTE twice; a plain `IN (SELECT …)` it
    # may, and then takes more rows than one. On SQLite, which has no FOR UPDATE, the transaction is the write lock.
    ready = (
        select(OutboxMessage.id)
        .where(
            OutboxMessage.finished_at.is_(None),
            OutboxMessage.available_at <= moment,
            or_(OutboxMessage.lease.is_(None), OutboxMessage.leased_until < moment),
            OutboxMessage.kind.in_(kinds),
        )
        .order_by(OutboxMessage.available_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .cte("ready")
    )
    taken = (
        update(OutboxMessage)
        .where(OutboxMessage.id.in_(select(ready.c.id)))
        .values(lease=uuid.uuid4(), leased_until=moment + LEASE, attempts=OutboxMessage.attempts + 1)
        .returning(OutboxMessage)
        .execution_options(synchronize_session=False)
    )
    with Session(db.engine, expire_on_commit=False) as session, session.begin():
        return session.scalars(taken).one_or_none()


def settle(message: OutboxMessage, **values: Any) -> bool:
    """Give a claimed message back with `values` (columns of the table) written, if its lease is still this worker's.

    Returns:
        Whether it was: False means that the lease ran out and another worker has taken the message since.
    """
    given_back = (
        update(OutboxMessage)
        .where(OutboxMessage.id == message.id, OutboxMessage.lease == message.lease)
        .values(lease=None, leased_until=None, **values)
        .returning(OutboxMessage.id)
        .execution_options(synchronize_session=False)
    )
    with Session(db.engine) as session, session.begin():
        return session.scalar(given_back) is not None


def note_unknown(kinds: Collection[str]) -> int:
    """Write on each waiting message of another kind than `kinds` why it stays: a newer worker may know it.

    Returns:
        How many were noted now for the first time.
    """
    noted = (
        update(OutboxMessage)
        .where(
            OutboxMessage.finished_at.is_(None),
            OutboxMessage.available_at <= now(),
            OutboxMessage.kind.not_in(kinds),
            OutboxMessage.last_error == "",
        )
        .values(last_error=NO_HANDLER)
        .returning(OutboxMessage.id)
        .execution_options(synchronize_session=False)
    )
    with Session(db.engine) as session, session.begin():
        return len(session.scalars(noted).all())
