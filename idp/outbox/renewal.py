"""Renewal of the lease of a claimed message while its handler runs, however long that is.

After a kill, the lease ends within `leases.LEASE`, and another worker claims the message.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import structlog
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from idp.outbox import leases
from idp.outbox.models import OutboxMessage

BEAT_SECONDS = 8.0
"""A third of the lease at most, so that one lost beat changes nothing."""

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
        return leases.extend(message)
    except SQLAlchemyError:
        return True


def _do(act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - the message is settled, whatever happens here
        log.warning("outbox.not_done_afterwards", error=type(error).__name__)
