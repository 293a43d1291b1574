"""End leases, which PostgreSQL measures by its own clock."""

from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from idp.db import db
from idp.outbox.queue import OutboxMessage


def end_leases() -> None:
    """Let the leases of all messages be over, as if their workers had been killed long ago."""
    with Session(db.engine) as session, session.begin():
        session.execute(
            update(OutboxMessage)
            .where(OutboxMessage.lease.is_not(None))
            .values(leased_until=datetime(2020, 1, 1, tzinfo=UTC))
        )
