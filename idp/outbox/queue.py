"""The table of the outbox; outgoing messages are stored in the caller's transaction.

A periodic job is one message for each period, stored by the first worker, so that each job runs once. A job that fails
is retried like any message. No second job of its kind is stored while it waits.

Mails that wait because the mail server could not be used are due again as soon as it can be. A mail that the server
refuses for its recipient waits for its own back-off.
"""

import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Index, String, and_, case, exists, literal, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from idp import tracing
from idp.chained import NewRow
from idp.clock import now
from idp.db import Base, UuidKey, db, only, upsert
from idp.personal import left_out, shown

TRACE = "traceparent"  # the member of a payload that names the trace of the request which caused the message


class OutboxMessage(UuidKey, Base):
    """A message that is delivered at least once. Its payload has ids, no secret, and is emptied after the delivery."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_waiting", "finished_at", "available_at"),
        Index("ix_outbox_dead", "finished_at", **only("outcome = 'dead'")),
    )

    kind: Mapped[str] = mapped_column(String(60), info=shown("Genre"))
    payload: Mapped[dict[str, Any]] = mapped_column(info=left_out("keys of rows that stand in their own parts"))
    created_at: Mapped[datetime] = mapped_column(default=now, info=shown("Demandé le"))
    available_at: Mapped[datetime] = mapped_column(default=now, info=shown("Prochain essai"))
    attempts: Mapped[int] = mapped_column(default=0, info=left_out("how the message is handed over"))
    lease: Mapped[uuid.UUID | None] = mapped_column(info=left_out("how the message is handed over"))
    leased_until: Mapped[datetime | None] = mapped_column(info=left_out("how the message is handed over"))
    finished_at: Mapped[datetime | None] = mapped_column(info=left_out("empty: the message waits"))
    outcome: Mapped[str] = mapped_column(String(20), default="waiting", info=left_out("how the message is handed over"))
    last_error: Mapped[str] = mapped_column(
        String(500), default="", info=left_out("what a mail server or an ENT answered")
    )


def enqueue(kind: str, payload: Mapping[str, Any], *, delay: timedelta = timedelta()) -> OutboxMessage:
    """Add a message to `db.session`, so that it is committed or rolled back with the change that it reports.

    Args:
        kind: the name under which `idp.app` registered the handler, for example `mail.confirmation`.
        payload: JSON for the handler: ids, never a secret.
        delay: time before the first attempt.

    Returns:
        The message. Its id is set, since the Message-ID of a mail is made from it.
    """
    values = message_of(kind, payload, delay=delay).values
    message = OutboxMessage(**values)
    db.session.add(message)
    return message


def message_of(kind: str, payload: Mapping[str, Any], *, delay: timedelta = timedelta()) -> NewRow:
    """Return a message, for a statement that inserts it together with the change; see `enqueue`."""
    moment, kept = now(), dict(payload)
    if traceparent := tracing.current():
        kept[TRACE] = traceparent  # the worker's lines have the id of the trace
    values = {"id": uuid.uuid4(), "kind": kind, "payload": kept, "created_at": moment}
    return NewRow(OutboxMessage, values | {"available_at": moment + delay})


# The namespace of the message ids, which are made from kind and period: two workers would store the same row.
_NAMES = uuid.UUID("b6f3f6a2-5c6f-4a2e-9d52-7a4f3c1f0d11")


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


RELAY_DOWN = "relay_down"  # the outcome of a mail that waits for the server
_RELEASE_SECONDS = 5.0
_last_release = 0.0


def note_relay_success() -> None:
    """Make the mails that wait for the server due, because it has just accepted one; at most every five seconds."""
    global _last_release  # noqa: PLW0603 - of this process
    if time.monotonic() - _last_release > _RELEASE_SECONDS:
        _last_release = time.monotonic()
        release_waiting()


def is_relay_awaited() -> bool:
    """Return whether a mail waits for the server."""
    with Session(db.engine) as session:
        return bool(session.scalar(select(exists().where(_waiting(now())))))


def release_waiting() -> None:
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
        (OutboxMessage.outcome == RELAY_DOWN, OutboxMessage.created_at),
        (OutboxMessage.available_at <= moment, OutboxMessage.available_at),
    )


def _waiting(moment: datetime) -> ColumnElement[bool]:
    return and_(
        OutboxMessage.finished_at.is_(None), OutboxMessage.available_at > moment, OutboxMessage.outcome == RELAY_DOWN
    )
