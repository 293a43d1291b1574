"""Mails that wait because the mail server could not be used: they are due again as soon as it can be.

A mail that the server refuses for its recipient waits for its own back-off.
"""

import time
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, exists, select, update
from sqlalchemy.orm import Session

from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage

DOWN = "relay_down"
_RELEASE_SECONDS = 5.0
_last_release = 0.0


def note_success() -> None:
    """Make the mails that wait for the server due, because it has just accepted one; at most every five seconds."""
    global _last_release  # noqa: PLW0603 - of this process
    if time.monotonic() - _last_release > _RELEASE_SECONDS:
        _last_release = time.monotonic()
        release()


def is_awaited() -> bool:
    """Return whether a mail waits for the server."""
    with Session(db.engine) as session:
        return bool(session.scalar(select(exists().where(_waiting(now())))))


def release() -> None:
    """Make the mails that wait for the server due."""
    moment = now()
    statement = update(OutboxMessage).where(_waiting(moment)).values(available_at=moment)
    with Session(db.engine) as session, session.begin():
        session.execute(statement.execution_options(synchronize_session=False))


def ready_since(moment: datetime) -> ColumnElement[datetime]:
    """Return the expression for the time since which a message could have been delivered; NULL before its time.

    A mail that waits for the server has been ready since it was made, although it is not due before the server answers.
    """
    return case(
        (OutboxMessage.outcome == DOWN, OutboxMessage.created_at),
        (OutboxMessage.available_at <= moment, OutboxMessage.available_at),
    )


def _waiting(moment: datetime) -> ColumnElement[bool]:
    return and_(OutboxMessage.finished_at.is_(None), OutboxMessage.available_at > moment, OutboxMessage.outcome == DOWN)
