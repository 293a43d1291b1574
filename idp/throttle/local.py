"""Budgets that each process counts in memory, for requests that must not use the database.

A subject may use its budget once in each process that its requests reach. The memory is bounded: when it is full, the
subjects with one try are dropped.
"""

import threading
from datetime import datetime, timedelta

from idp.clock import now
from idp.metrics.catalogue import LIMITED
from idp.services import services
from idp.throttle.limits import Budget, Window, for_site, network_of, site_of

MAX_SUBJECTS = 20_000  # counters of a process, and marks of a process, at most: about 3 MiB each
MARKED_FOR = timedelta(hours=1)


class Counts:
    """The counters of one process: the tries so far and the end of the window, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, tuple[int, datetime]] = {}

    def take(self, counters: list[tuple[int, Window]], moment: datetime) -> int:
        """Count one try in each counter, or in none; return 0, or the seconds until there is room."""
        with self._lock:
            states = [(key, rule, self._live(key, rule, moment)) for key, rule in counters]
            full = [ends for _, rule, (count, ends) in states if count >= rule.tries]
            if full:
                return max(1, round((max(full) - moment).total_seconds()))
            if len(self._counts) + len(states) > MAX_SUBJECTS:
                self._make_room(moment)
            for key, _, (count, ends) in states:
                self._counts[key] = (count + 1, ends)
        return 0

    def _live(self, key: int, rule: Window, moment: datetime) -> tuple[int, datetime]:
        count, ends = self._counts.get(key, (0, moment))
        # if the clock was set back, a stored window may end later than a new one would
        return (count, ends) if moment < ends <= moment + rule.span else (0, moment + rule.span)

    def _make_room(self, moment: datetime) -> None:
        """Drop expired windows and subjects with one try; drop all if more than half would stay."""
        kept = {key: (count, ends) for key, (count, ends) in self._counts.items() if ends > moment and count > 1}
        self._counts = kept if len(kept) <= MAX_SUBJECTS // 2 else {}

    def __len__(self) -> int:
        return len(self._counts)


class Marks:
    """Subjects that are marked in one process for an hour."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[int, datetime] = {}

    def add(self, key: int, moment: datetime) -> None:
        """Mark a subject; drop the oldest mark if there are too many."""
        with self._lock:
            self._ends.pop(key, None)
            if len(self._ends) >= MAX_SUBJECTS:
                del self._ends[next(iter(self._ends))]
            self._ends[key] = moment + MARKED_FOR

    def holds(self, key: int, moment: datetime) -> bool:
        """Return whether a subject is marked."""
        return moment < self._ends.get(key, moment) <= moment + MARKED_FOR


def mark(kind: str, subject: str) -> None:
    """Mark a subject in this process for an hour."""
    services().local_marks.add(hash((kind, subject)), now())


def is_marked(kind: str, subject: str) -> bool:
    """Return whether this process marked a subject within the last hour."""
    return services().local_marks.holds(hash((kind, subject)), now())


def take(*demands: tuple[Budget, str]) -> int:
    """Count one request in each budget, or in none; return 0, or the seconds to wait.

    Args:
        demands: budgets of `limits.py` with their subjects (an IP, a cookie); only a hash of a subject is kept.
    """
    counters = [pair for budget, subject in demands for pair in _windows(budget, subject)]
    seconds = services().local_counts.take(counters, now())
    if seconds:
        LIMITED.count(demands[0][0].name)
    return seconds


def _windows(budget: Budget, subject: str) -> list[tuple[int, Window]]:
    """Return the counters of a demand; `hash` of a text is keyed with a random value of the process."""
    own = network_of(subject) if budget.by_network else subject
    states = [(hash((budget.name, own, rule.span)), rule) for rule in budget.windows]
    site = site_of(subject) if budget.by_network else None
    if site:
        wider = [(rule, for_site(rule)) for rule in budget.windows]
        states += [(hash((budget.name, site, rule.span)), wide) for rule, wide in wider if isinstance(wide, Window)]
    return states
