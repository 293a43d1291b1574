"""`idp worker`: claims one message at a time, runs its handler, and stores the outcome.

It also stores the periodic jobs.

Delivery is at least once: if a worker ends between the acceptance of a message and the commit of the outcome, the next
worker sends the message again, with the same id. A lease covers one message, and a stop waits for one message only.
"""

import secrets
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from idp.clock import now
from idp.metrics.catalogue import DELIVERIES, DELIVERY_SECONDS, WORKER_BEAT
from idp.outbox import leases, queue
from idp.outbox.queue import TRACE, OutboxMessage
from idp.tracing import Kind, Span

WAITING = "waiting"
DEAD = "dead"
UNCERTAIN = "uncertain"
FIRST_DELAY = timedelta(seconds=30)
MAX_DELAY = timedelta(hours=1)
MAX_RETRY_AFTER = timedelta(days=1)
MAX_ATTEMPTS = 78  # with these delays: seven attempts in the first hour, then one an hour, for three days
MAX_AGE = timedelta(days=3)  # a mail that is older is given up when the mail server is down
PROBE_SECONDS = 10.0  # between two questions whether the mail server can be used

_SETTLE_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_MAX_PAUSE = 30.0
_LONGEST_SILENCE = timedelta(minutes=2)
_ERROR_LENGTH = 500

log = structlog.get_logger()


class Outcome(StrEnum):
    """The outcome of a handler: the message was sent, or dropped because it is obsolete (its link was replaced)."""

    DONE = "sent"
    DROPPED = "dropped"


class TemporaryDeliveryError(Exception):
    """The delivery failed and may be retried. Operators see `reason`, which must have no email and no secret."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class RelayDownError(TemporaryDeliveryError):
    """The mail server cannot be used at all. The attempt does not count, and the mail is due once the server answers.

    Raise it only for what `Worker` can try without a mail (its argument `probe`).
    """


class PostponedError(Exception):
    """The handler has to wait for something that takes a while; the message is tried again after `pause`, uncounted."""

    def __init__(self, reason: str, pause: timedelta) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause = pause


class UncertainDeliveryError(TemporaryDeliveryError):
    """The answer was lost after the whole message was sent, so that the server may have accepted it.

    It is retried once, then `dead`: a server that accepts messages without an answer would otherwise get a copy at each
    attempt for three days.
    """


class PermanentDeliveryError(Exception):
    """The server refuses this message for good. `reason`: see `TemporaryDeliveryError`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Handler = Callable[[OutboxMessage], Outcome]
"""Delivers a message, detached from any session, in an application context of its own. It commits its changes, and has
no open transaction while it waits for another machine."""


class Worker:
    """Delivers messages, in an application context. Several workers may run at once."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        known: Collection[str] | None = None,
        jobs: Mapping[str, timedelta] | None = None,
        probe: Callable[[], bool] | None = None,
        poll: float = 1.0,
        batch: int = 100,
    ) -> None:
        """Create a worker.

        Args:
            handlers: the handler of each kind of message that this worker delivers.
            known: all kinds that this version can deliver, if another worker of this process has some of them.
            jobs: the period of each kind of periodic job.
            probe: returns whether the mail server can be used; it is asked while mails wait for the server.
            poll: seconds between two queries of an empty outbox.
            batch: messages of a run, at most.
        """
        self._handlers = handlers
        self._known = handlers.keys() if known is None else known
        self._jobs = jobs or {}
        self._stored_periods: dict[str, int] = {}
        self._probe = probe
        self._probed_at = -PROBE_SECONDS
        self._poll = poll
        self._batch = batch
        self._looked_at = now()
        self._message: OutboxMessage | None = None

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Deliver the messages that are ready, up to a batch or until `stop` is set; return their number.

        Raises:
            SQLAlchemyError: the database is not available; the current message keeps its lease.
        """
        self._looked_at = now()
        if self._jobs:  # not a lane beside the main worker, which may stand still meanwhile
            WORKER_BEAT.set(self._looked_at.timestamp())
        self._store_jobs()
        if count := leases.note_unknown(self._known):
            log.warning("outbox.no_handler", count=count)
        self._ask_relay()
        handled = 0
        while handled < self._batch and not (stop and stop.is_set()):
            message = leases.claim(self._handlers.keys())
            if message is None:
                break
            self._message = message
            self._handle(message)
            self._message, self._looked_at = None, now()
            handled += 1
        return handled

    def fault(self) -> str:
        """Return why this worker seems to stand still, or an empty text. Another thread asks."""
        message, moment = self._message, now()
        if message is not None:
            is_late = message.leased_until is not None and message.leased_until < moment
            return f"a message of the kind {message.kind} has outlasted its lease" if is_late else ""
        return "has not looked for messages" if self._looked_at < moment - _LONGEST_SILENCE else ""

    def run_forever(self, stop: threading.Event) -> None:
        """Deliver messages until `stop` is set and the current message is done. Wait for a database that is down."""
        pause = 0.0
        while not stop.is_set():
            try:
                handled = self.run_once(stop)
            except SQLAlchemyError as error:
                from idp import database_faults  # noqa: PLC0415 - the worker that runs on needs none

                pause = min(max(self._poll, pause * 2), _MAX_PAUSE)
                cause = database_faults.cause(error)
                log.warning("outbox.database_unavailable", error=type(error).__name__, cause=cause, pause=pause)
                stop.wait(pause)
                continue
            pause = 0.0
            if not handled:
                stop.wait(self._poll)

    def _ask_relay(self) -> None:
        if self._probe is None or time.monotonic() - self._probed_at < PROBE_SECONDS:
            return
        if queue.is_relay_awaited() and self._probe():
            queue.release_waiting()
        self._probed_at = time.monotonic()

    def _store_jobs(self) -> None:
        for kind, period in self._jobs.items():
            number = queue.number_of(period)
            if self._stored_periods.get(kind) != number:
                queue.store_job(kind, number)
                self._stored_periods[kind] = number

    def _handle(self, message: OutboxMessage) -> None:
        handed = dict(message.payload)
        traceparent = str(handed.pop(TRACE, ""))
        message.payload = handed  # the stored payload, which keeps its trace, does not change: the message is detached
        with Span(f"outbox {message.kind}", Kind.CONSUMER, traceparent) as span:
            known = {"trace_id": span.trace_id} if span.trace_id else {}
            with bound_contextvars(**known):
                result = self._deliver(message)
            span.attributes = {"idp.message_id": str(message.id), "idp.outcome": result}
            span.error = result if result in {DEAD, UNCERTAIN} else ""

    def _deliver(self, message: OutboxMessage) -> str:
        with leases.renewed(message):
            values = self._run_handler(message)
            is_settled = _settle(message, values)
        result = values.get("outcome", message.outcome) if is_settled else "lease_lost"
        DELIVERIES.count(message.kind, result)
        write_line = log.error if result == DEAD else log.info
        write_line(
            "outbox.handed_over",
            kind=message.kind,
            id=str(message.id),
            outcome=result,
            attempt=message.attempts,
            error=values["last_error"],
        )
        return str(result)

    def _run_handler(self, message: OutboxMessage) -> dict[str, Any]:
        try:
            with DELIVERY_SECONDS.timed(message.kind), current_app.app_context():
                outcome = Outcome(self._handlers[message.kind](message))
        except PermanentDeliveryError as error:
            return _finished(DEAD, error.reason)
        except TemporaryDeliveryError as error:
            return _after_failure(message, error)
        except PostponedError as error:
            reason = _one_line(error.reason)
            return {"available_at": now() + error.pause, "attempts": message.attempts - 1, "last_error": reason}
        except Exception as error:  # noqa: BLE001 - a fault of one handler must not stop the other messages
            return _after_failure(message, TemporaryDeliveryError(_place_of(error)))
        return {"payload": {}, **_finished(outcome, "")}


def back_off(attempts: int, retry_after: timedelta | None = None) -> timedelta:
    """Return the pause after `attempts` failures: doubled each time, with jitter.

    A longer `retry_after` of the server is followed, up to a day.
    """
    delay = min(FIRST_DELAY * (1 << min(attempts - 1, 20)), MAX_DELAY)
    spread = 0.8 + secrets.randbelow(401) / 1000  # 0.8 to 1.2: messages that failed together are not retried together
    return max(delay * spread, min(retry_after or timedelta(), MAX_RETRY_AFTER))


def _after_failure(message: OutboxMessage, error: TemporaryDeliveryError) -> dict[str, Any]:
    if isinstance(error, RelayDownError) and message.outcome != UNCERTAIN:
        return _waiting_for_relay(message, error)
    uncertain = isinstance(error, UncertainDeliveryError)
    if message.attempts >= MAX_ATTEMPTS or (uncertain and message.outcome == UNCERTAIN):
        return _finished(DEAD, error.reason)
    return {
        "available_at": now() + back_off(message.attempts, error.retry_after),
        "outcome": UNCERTAIN if uncertain or message.outcome == UNCERTAIN else WAITING,
        "last_error": _one_line(error.reason),
    }


def _waiting_for_relay(message: OutboxMessage, error: RelayDownError) -> dict[str, Any]:
    if now() - message.created_at > MAX_AGE:
        return _finished(DEAD, error.reason)
    return {
        "available_at": now() + MAX_DELAY,
        "attempts": message.attempts - 1,
        "outcome": queue.RELAY_DOWN,
        "last_error": _one_line(error.reason),
    }


def _finished(outcome: str, reason: str) -> dict[str, Any]:
    return {"finished_at": now(), "outcome": outcome, "last_error": _one_line(reason)}


def _one_line(reason: str) -> str:
    return "".join(c if c.isprintable() else " " for c in reason)[:_ERROR_LENGTH]


def _place_of(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}"


def _settle(message: OutboxMessage, values: Mapping[str, Any]) -> bool:
    for pause in _SETTLE_PAUSES:
        try:
            return leases.settle(message, **values)
        except SQLAlchemyError:
            time.sleep(pause)
    return leases.settle(message, **values)
