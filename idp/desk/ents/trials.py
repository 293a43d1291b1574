"""Limits the trials of ENTs: each may hold a thread for 20 seconds, and an ENT may name hosts that never answer."""

import math
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from flask_babel import gettext

from idp.throttle import guard, limits

MOST_AT_ONCE = 3
"""The trials that run at once in a process: a small part of its threads."""
_lock = threading.Lock()
_running: set[uuid.UUID] = set()
"""The people whose trial runs in this process."""


class TooManyTrialsError(Exception):
    """No further trial may run now; the text says why, in French."""


@contextmanager
def counted(person: uuid.UUID) -> Iterator[None]:
    """Count the trial of a person, who has one at a time.

    Raises:
        TooManyTrialsError: a trial of the person runs, too many of others do, or the person asked for many in an hour.
        RuntimeError: a unit of work is open.
    """
    with _lock:
        if person in _running or len(_running) >= MOST_AT_ONCE:
            raise TooManyTrialsError(
                gettext("Rien n’a été testé, car un autre test est en cours. Attendez une minute, puis recommencez.")
            )
        _running.add(person)
    try:
        if seconds := guard.take_or_wait((limits.ENT_TRIALS, str(person))):
            most, minutes = limits.ENT_TRIALS.windows[0].tries, math.ceil(seconds / 60)
            text = gettext("Vous avez demandé %(most)s tests en une heure : c’est le maximum. Revenez dans %(n)s min.")
            raise TooManyTrialsError(text % {"most": most, "n": minutes})
        yield
    finally:
        with _lock:
            _running.discard(person)
