"""Budgets that one process counts in its own memory, for requests that must cost the database nothing.

Every worker process counts for itself: what one subject may do in all is the budget times the number of processes that
its requests reach. The memory is bounded; a flood of subjects that fills it takes room from those who came once.
"""

import threading
from datetime import datetime, timedelta

from idp.clock import now
from idp.services import services
from idp.throttle.limits import Budget, Window, for_site, network_of, site_of

MOST_SUBJECTS = 20_000
"""How many counters a process keeps, and how many marks: about 3 MiB each."""
MARKED_FOR = timedelta(hours=1)


class Counts:
    """The counters of one process: for each the tries so far, and when its window ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, tuple[int, datetime]] = {}

    def take(self, wanted: list[tuple[int, Window]], moment: datetime) -> int:
        """Count one try in each of `wanted`, or in none; return the seconds until there is room, 0 when it counted."""
        with self._lock:
            found = [(key, rule, self._live(key, rule, moment)) for key, rule in wanted]
            full = [ends for _, rule, (count, ends) in found if count >= rule.tries]
            if full:
                return max(1, round((max(full) - moment).total_seconds()))
            if len(self._counts) + len(found) > MOST_SUBJECTS:
                self._make_room(moment)
            for key, _, (count, ends) in found:
                self._counts[key] = (count + 1, ends)
        return 0

    def _live(self, key: int, rule: Window, moment: datetime) -> tuple[int, datetime]:
        count, ends = self._counts.get(key, (0, moment))
        # a window that ends later than a fresh one would was begun before the clock was set back
        return (count, ends) if moment < ends <= moment + rule.span else (0, moment + rule.span)

    def _make_room(self, moment: datetime) -> None:
        """Drop the windows that are over and the subjects that came once; drop all when that is not half of them."""
        kept = {key: (count, ends) for key, (count, ends) in self._counts.items() if ends > moment and count > 1}
        self._counts = kept if len(kept) <= MOST_SUBJECTS // 2 else {}

    def __len__(self) -> int:
        return len(self._counts)


class Marks:
    """What one process was told of subjects, for an hour."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[int, datetime] = {}

    def add(self, key: int, moment: datetime) -> None:
        """Mark a subject, from now on; the oldest mark gives way when there are too many."""
        with self._lock:
            self._ends.pop(key, None)
            if len(self._ends) >= MOST_SUBJECTS:
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
    """Count one request in each budget, or in none; return the seconds to wait, 0 when it may go on.

    Args:
        demands: a line of `limits.py`, and its subject: an IP, or a cookie, of which only a hash stays in memory.
    """
    wanted = [pair for budget, subject in demands for pair in _windows(budget, subject)]
    return services().local_counts.take(wanted, now())


def _windows(budget: Budget, subject: str) -> list[tuple[int, Window]]:
    """Return the counters of a demand. Python's own hash of text is keyed by a secret of the process."""
    own = network_of(subject) if budget.by_network else subject
    found = [(hash((budget.name, own, rule.span)), rule) for rule in budget.windows]
    site = site_of(subject) if budget.by_network else None
    if site:
        wider = [(rule, for_site(rule)) for rule in budget.windows]
        found += [(hash((budget.name, site, rule.span)), wide) for rule, wide in wider if isinstance(wide, Window)]
    return found
