"""The rate limits of both recovery forms, counted before anything is read or written for the request."""

from typing import Literal

from idp.audit import log
from idp.audit.credential_events import RecoveryThrottled
from idp.db import unit_of_work
from idp.throttle import guard, limits


def take_slots(form: Literal["username", "password"], *demands: tuple[limits.Limit, str]) -> int:
    """Count one request of `form` in each limit; return the seconds to wait, 0 if the request may continue.

    A refused request leaves one journal entry for each counter and hour, so that a flood fills neither the journal nor
    the disk.

    Raises:
        RuntimeError: a unit of work is open.
    """
    if seconds := guard.cached_wait(*demands):
        return seconds
    verdict = guard.take_all(*demands)
    if isinstance(verdict, guard.Granted):
        return 0
    if guard.is_first_refusal(verdict):
        with unit_of_work():
            log.record(RecoveryThrottled(form=form))
    return verdict.seconds
