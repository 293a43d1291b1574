"""Leases of messages: each function is one short transaction, which is over before a handler runs.

When a lease expires, its worker is taken for dead and the message is claimed again. A worker can only settle a message
while it has the lease. PostgreSQL measures leases by its own clock: those of two nodes may differ by more than a lease.
So statements compare `leased_until` (`is_free`), and Python never compares a value that it read.

While a handler runs, its lease is renewed. After a kill, the lease ends within `LEASE`, and another worker claims the
message.
"""

import threading
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from flask import current_app
from sqlalchemy import ColumnElement, DateTime, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage

LEASE = timedelta(seconds=30)
"""How long the message of a killed worker waits. A worker renews the lease while its handler runs."""

NO_HANDLER = "this version has no handler for this kind"


def claim(kinds: Collection[str]) -> OutboxMessage | None:
    """Claim the message of `kinds` that has been ready for the longest time.

    Returns:
        The message, detached from any session, with this attempt counted; None if no message is ready. Its
        `leased_until` is by the clock of this machine, since `Worker.fault` compares it with that clock.
    """
    moment = now()
    # PostgreSQL may run a plain `IN (SELECT …)` twice, and claim more than one row; it runs a locking CTE once.
    ready = (
        select(OutboxMessage.id)
        .where(
            OutboxMessage.finished_at.is_(None),
            OutboxMessage.available_at <= moment,
            is_free(),
            OutboxMessage.kind.in_(kinds),
        )
        .order_by(OutboxMessage.available_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .cte("ready")
    )
    statement = (
        update(OutboxMessage)
        .where(OutboxMessage.id.in_(select(ready.c.id)))
        .values(lease=uuid.uuid4(), leased_until=clock() + LEASE, attempts=OutboxMessage.attempts + 1)
        .returning(OutboxMessage)
        .execution_options(synchronize_session=False)
    )
    with Session(db.engine, expire_on_commit=False) as session, session.begin():
        message = session.scalars(statement).one_or_none()
    if message is not None:
        message.leased_until = now() + LEASE
    return message


def is_free() -> ColumnElement[bool]:
    """Return the expression for whether no worker has the lease of a message."""
    return or_(OutboxMessage.lease.is_(None), OutboxMessage.leased_until < clock())


def extend(message: OutboxMessage) -> bool:
    """Let the lease of a claimed message end in `LEASE` from now; see `_write`."""
    is_held = _write(message, leased_until=clock() + LEASE)
    if is_held:
        message.leased_until = now() + LEASE  # as in `claim`
    return is_held


def settle(message: OutboxMessage, **values: Any) -> bool:
    """Write `values` (columns of the table) to a claimed message and end its lease; see `_write`."""
    return _write(message, lease=None, leased_until=None, **values)


def _write(message: OutboxMessage, **values: Any) -> bool:
    """Write to a claimed message.

    Return False, without a change, if the lease expired and another worker claimed the message.
    """
    statement = (
        update(OutboxMessage)
        .where(OutboxMessage.id == message.id, OutboxMessage.lease == message.lease)
        .values(**values)
        .returning(OutboxMessage.id)
        .execution_options(synchronize_session=False)
    )
    with Session(db.engine) as session, session.begin():
        return session.scalar(statement) is not None


def note_unknown(kinds: Collection[str]) -> int:
    """Set `last_error` of each waiting message whose kind is not in `kinds`; a newer worker may have its handler.

    Returns:
        The number of messages that had no error before.
    """
    statement = (
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
        return len(session.scalars(statement).all())


def clock() -> Any:
    """Return the time of the database server."""
    return func.clock_timestamp(type_=DateTime(timezone=True))


BEAT_SECONDS = 8.0  # a third of the lease at most, so that one lost beat changes nothing

log = structlog.get_logger()


@dataclass
class _Delivery:
    lease_lost: threading.Event = field(default_factory=threading.Event)
    afterwards: list[Callable[[], object]] = field(default_factory=list)


_current: ContextVar[_Delivery | None] = ContextVar("delivery", default=None)


@contextmanager
def renewed(message: OutboxMessage) -> Iterator[None]:
    """Renew the lease of a claimed message during the block, then call the functions given to `after_settling`."""
    app, over, held = current_app._get_current_object(), threading.Event(), _Delivery()  # type: ignore[attr-defined] # noqa: SLF001 - for the thread

    def beat() -> None:
        with app.app_context():
            while not over.wait(BEAT_SECONDS):
                if not _renew(message):
                    held.lease_lost.set()
                    return

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    token = _current.set(held)
    try:
        yield
    finally:
        _current.reset(token)
        over.set()
        thread.join()
        for act in held.afterwards:
            _do(act)


def lease_lost() -> threading.Event:
    """Return the event that is set when another worker has claimed the message that this thread delivers."""
    held = _current.get()
    return held.lease_lost if held else threading.Event()


def after_settling(act: Callable[[], object]) -> None:
    """Call `act` when the outcome of the message that this thread delivers is stored; without a message, at once."""
    held = _current.get()
    if held:
        held.afterwards.append(act)
    else:
        act()


def _renew(message: OutboxMessage) -> bool:
    """Return whether this worker still has the lease. If the database does not answer, the next beat tries again."""
    try:
        return extend(message)
    except SQLAlchemyError:
        return True


def _do(act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - the message is settled, whatever happens here
        log.warning("outbox.not_done_afterwards", error=type(error).__name__)
