"""`idp worker`: takes one message at a time, hands it over, and writes down what became of it.

It also begins the periodic jobs (`idp.outbox.periodic`), which are messages to itself.

At least once: a worker that dies between the hand-over and the mark leaves a message that the next one sends again,
with the same id. One at a time, so that a lease covers exactly one hand-over and a stop waits for one message only.
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

from idp.clock import now
from idp.outbox import claims, periodic
from idp.outbox.models import OutboxMessage

DEAD = "dead"
UNCERTAIN = "uncertain"
FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(hours=1)
LONGEST_WISH = timedelta(days=1)
MAX_ATTEMPTS = 78
"""With the delays above: seven attempts in the first hour, then one an hour, for three days in all."""

_MARK_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_LONGEST_OUTAGE = 30.0
_ERROR_LENGTH = 500

log = structlog.get_logger()


class Outcome(StrEnum):
    """What a handler did: handed the message over, or found that nobody needs it any more (its link was replaced)."""

    DONE = "sent"
    DROPPED = "dropped"


class TemporaryFailure(Exception):  # noqa: N818 - the word of RFC 5321
    """Not now: try again later. `reason` is shown to operators and must hold no address and no secret."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class UncertainFailure(TemporaryFailure):
    """The other side may have taken the message before the answer was lost.

    It is tried once more. A second loss ends it, as `dead`: whoever takes messages without saying so would otherwise
    get a copy at each attempt for three days.
    """


class PermanentFailure(Exception):  # noqa: N818 - the word of RFC 5321
    """Never: the other side refuses this message for good. `reason` as for `TemporaryFailure`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Handler = Callable[[OutboxMessage], Outcome]
"""Gets a message that belongs to no session, in an application context of its own. It commits what it writes, and holds
no transaction open while it talks to another machine: on SQLite even one that only reads stops every writer."""


class Worker:
    """Hands messages over to `handlers`, by kind. It runs inside an application context; several may run at once."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        known: Collection[str] | None = None,
        jobs: Mapping[str, timedelta] | None = None,
        poll: float = 1.0,
        batch: int = 100,
    ) -> None:
        """Keep what it works with.

        Args:
            handlers: who hands over which kind of message.
            known: all kinds that this version hands over, when another worker beside this one has some of them.
            jobs: the kinds that are put in once a period, and how long that is.
            poll: seconds between two looks at an empty outbox.
            batch: most messages of a run.
        """
        self._handlers = handlers
        self._known = handlers.keys() if known is None else known
        self._jobs = jobs or {}
        self._put_in: dict[str, int] = {}
        self._poll = poll
        self._batch = batch

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Hand over what is ready, up to a batch, or until `stop` is set; return how many messages were handled.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database cannot be used; the message in hand keeps its lease.
        """
        self._begin_periods()
        if count := claims.note_unknown(self._known):
            log.warning("outbox.no_handler", count=count)
        handled = 0
        while handled < self._batch and not (stop and stop.is_set()):
            message = claims.claim(self._handlers.keys())
            if message is None:
                break
            self._handle(message)
            handled += 1
        return handled

    def run_forever(self, stop: threading.Event) -> None:
        """Work until `stop` is set, the message in hand finished first. A database that is away is waited for."""
        outage = 0.0
        while not stop.is_set():
            try:
                handled = self.run_once(stop)
            except SQLAlchemyError as error:
                outage = min(max(self._poll, outage * 2), _LONGEST_OUTAGE)
                log.warning("outbox.database_unavailable", error=type(error).__name__, pause=outage)
                stop.wait(outage)
                continue
            outage = 0.0
            if not handled:
                stop.wait(self._poll)

    def _begin_periods(self) -> None:
        """Put in the jobs whose period began since the last look."""
        for kind, period in self._jobs.items():
            number = periodic.number_of(period)
            if self._put_in.get(kind) != number:
                periodic.put_in(kind, number)
                self._put_in[kind] = number

    def _handle(self, message: OutboxMessage) -> None:
        try:
            with current_app.app_context():
                outcome = Outcome(self._handlers[message.kind](message))
        except PermanentFailure as failure:
            values = _ended(DEAD, failure.reason)
        except TemporaryFailure as failure:
            values = _put_off(message, failure)
        except Exception as error:  # noqa: BLE001 - whatever a handler does, the other messages must leave
            values = _put_off(message, TemporaryFailure(_where(error)))
        else:
            values = {"payload": {}, **_ended(outcome, "")}
        kept = _mark(message, values)
        result = values.get("outcome", message.outcome) if kept else "lease_lost"
        tell = log.error if result == DEAD else log.info
        tell(
            "outbox.handed_over",
            kind=message.kind,
            id=str(message.id),
            outcome=result,
            attempt=message.attempts,
            error=values["last_error"],
        )


def back_off(attempts: int, wish: timedelta | None = None) -> timedelta:
    """Return the pause after `attempts` failures: doubled each time, with some chance in it.

    A `wish` of the other side for a longer pause is followed, up to a day.
    """
    delay = min(FIRST_DELAY * (1 << min(attempts - 1, 20)), LONGEST_DELAY)
    spread = 0.8 + secrets.randbelow(401) / 1000  # 0.8 to 1.2: what failed together does not come back together
    return max(delay * spread, min(wish or timedelta(), LONGEST_WISH))


def _put_off(message: OutboxMessage, failure: TemporaryFailure) -> dict[str, Any]:
    uncertain = isinstance(failure, UncertainFailure)
    if message.attempts >= MAX_ATTEMPTS or (uncertain and message.outcome == UNCERTAIN):
        return _ended(DEAD, failure.reason)
    return {
        "available_at": now() + back_off(message.attempts, failure.retry_after),
        "outcome": UNCERTAIN if uncertain else message.outcome,
        "last_error": _one_line(failure.reason),
    }


def _ended(outcome: str, reason: str) -> dict[str, Any]:
    return {"finished_at": now(), "outcome": outcome, "last_error": _one_line(reason)}


def _one_line(reason: str) -> str:
    return "".join(c if c.isprintable() else " " for c in reason)[:_ERROR_LENGTH]


def _where(error: Exception) -> str:
    """Name an unforeseen error and its place, without its text: that may hold what no log should."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}"


def _mark(message: OutboxMessage, values: Mapping[str, Any]) -> bool:
    """Write down what became of `message`, with patience: what is not marked is sent again."""
    for pause in _MARK_PAUSES:
        try:
            return claims.settle(message, **values)
        except SQLAlchemyError:
            time.sleep(pause)
    return claims.settle(message, **values)
