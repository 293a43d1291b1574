"""The counters of rate limits: in the database, and in the memory of each process.

The writes of counters in the database are steps of a chain. The bind parameters of a step end with the counter's place
in the order of the counters (`in_order`).

Requests that must not use the database are counted in memory: a subject may use its budget once in each process that
its requests reach. The memory is bounded: when it is full, the subjects with one try are dropped.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Select,
    String,
    and_,
    bindparam,
    case,
    delete,
    exists,
    literal_column as sql,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningInsert, UpdateBase

from idp.chained import Chain, Gates, Step
from idp.clock import now
from idp.db import Base, UtcDateTime, upsert
from idp.metrics.catalogue import LIMITED
from idp.personal import left_out
from idp.services import services
from idp.throttle.limits import Backoff, Budget, Limit, Window, for_site, network_of, site_of


class ThrottleCounter(Base):
    """A counter of one limit for one subject; `key` is its keyed digest, so that no row names a person."""

    __tablename__ = "throttle"
    __table_args__ = ({"info": left_out("counters under keyed digests, which name nobody")},)

    limit: Mapped[str] = mapped_column(String(40), primary_key=True)
    key: Mapped[bytes] = mapped_column(primary_key=True)
    count: Mapped[int]
    since: Mapped[datetime]
    open_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


# The `open_at` of an open counter. It is before any try: a try that waited for the row has an earlier moment than the
# try that wrote the row last.
_OPEN = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Counter:
    """The counter of one window of a budget, or of a back-off, for one subject: the row of `name` and `key`.

    Several subjects may share one, so that the success of one does not clear it.
    """

    name: str
    key: bytes
    limit: Limit
    rule: Window | Backoff
    shared: bool = False


def in_order(counters: Iterable[Counter]) -> list[Counter]:
    """Sort the counters: all transactions lock rows in this order, to avoid deadlocks."""
    return sorted(counters, key=lambda counter: (counter.name, counter.key))


def is_any(counters: Iterable[Counter]) -> ColumnElement[bool]:
    """Return the condition that selects the rows of `counters`."""
    return or_(
        *(and_(ThrottleCounter.limit == counter.name, ThrottleCounter.key == counter.key) for counter in counters)
    )


def forgets(counter: Counter) -> bool:
    """Return whether a success deletes the counter; the other counters lose the one try."""
    return isinstance(counter.rule, Backoff) and not counter.shared


@lru_cache(maxsize=128)
def taking(
    rules: tuple[Window | Backoff, ...], answer: int, lookup: Select[Any] | None = None, only_if: str = ""
) -> Chain:
    """Return the chain that counts one try in each counter, or in none while one of them is closed.

    A concurrent try waits for the row lock, then sees the new count.

    Args:
        rules: the rules of the counters, in their order.
        answer: the place of the counter whose new count the chain returns.
        lookup: as for `Chain`.
        only_if: as for `Chain`.
    """
    closed = exists().where(or_(*map(_at, range(len(rules)))), ThrottleCounter.open_at > _instant("moment"))
    steps = [Step(_take(0), partial(_taken, rules[0], 0, ~closed), required=True)]
    steps += [Step(_take(n), partial(_taken, rule, n, true()), required=True) for n, rule in enumerate(rules) if n]
    return Chain(steps, answer=_take(answer), lookup=lookup, only_if=only_if)


def values_to_take(counters: Sequence[Counter], moment: datetime) -> dict[str, Any]:
    """Return the values of the bind parameters of `taking` for a try at `moment`."""
    values = values_to_settle(counters) | {"moment": moment}
    for place, counter in enumerate(counters):
        rule = counter.rule
        if isinstance(rule, Backoff):
            values[f"first_end_{place}"] = moment + rule.quiet
            values |= {f"pause_{index}_{place}": moment + step for index, step in enumerate(rule.steps)}
        else:
            values[f"first_end_{place}"] = moment + rule.span
        values[f"first_opening_{place}"] = _first_opening(rule, moment)
    return values


def settling(deletes: Sequence[bool]) -> list[Step]:
    """Return the steps that settle a try: delete a counter, or decrement and open it; see `forgets`."""
    return [Step(f"settle_{place}", partial(_settled, deleted, place)) for place, deleted in enumerate(deletes)]


def values_to_settle(counters: Sequence[Counter]) -> dict[str, Any]:
    """Return the values of the bind parameters of `settling`."""
    values: dict[str, Any] = {"open": _OPEN}
    for place, counter in enumerate(counters):
        values |= {f"limit_{place}": counter.name, f"key_{place}": counter.key}
    return values


def _take(place: int) -> str:
    return f"take_{place}"


def _taken(rule: Window | Backoff, place: int, when: ColumnElement[bool], gates: Gates) -> ReturningInsert[Any]:
    moment, first_end = _instant("moment"), _instant(f"first_end_{place}")
    is_fresh, one_more = ThrottleCounter.expires_at <= moment, ThrottleCounter.count + sql("1")
    # A window keeps its end; a back-off ends after a time without a try.
    ends = case((is_fresh, first_end), else_=ThrottleCounter.expires_at) if isinstance(rule, Window) else first_end
    first_opening = _instant(f"first_opening_{place}")
    row: dict[Any, ColumnElement[Any]] = {
        ThrottleCounter.limit: bindparam(f"limit_{place}", type_=String()),
        ThrottleCounter.key: bindparam(f"key_{place}", type_=LargeBinary()),
        ThrottleCounter.count: sql("1"),
        ThrottleCounter.since: moment,
        ThrottleCounter.open_at: first_opening,
        ThrottleCounter.expires_at: first_end,
    }
    return (
        upsert(ThrottleCounter)
        .from_select(list(row), select(*row.values()).where(when, *gates))
        .on_conflict_do_update(
            index_elements=[ThrottleCounter.limit, ThrottleCounter.key],
            set_={
                "count": case((is_fresh, sql("1")), else_=one_more),
                "since": case((is_fresh, moment), else_=ThrottleCounter.since),
                "open_at": case((is_fresh, first_opening), else_=_opening(rule, place, one_more)),
                "expires_at": ends,
            },
            where=ThrottleCounter.open_at <= moment,
        )
        .returning(ThrottleCounter.count)
    )


def _settled(deleted: bool, place: int, gates: Gates) -> UpdateBase:  # noqa: FBT001 - a partial of `settling`
    """Delete the counter, or decrement and open it, since it is then below its limit.

    A back-off opens too. All its pauses but the first are longer than the longest wait for a hash, so that at most the
    first pause, of a later try of somebody else, is lost.
    """
    if deleted:
        return delete(ThrottleCounter).where(_at(place), *gates).returning(ThrottleCounter.count)
    opened = update(ThrottleCounter).values(count=ThrottleCounter.count - sql("1"), open_at=_instant("open"))
    return opened.where(_at(place), ThrottleCounter.count > sql("0"), *gates).returning(ThrottleCounter.count)


def _at(place: int) -> ColumnElement[bool]:
    return and_(ThrottleCounter.limit == bindparam(f"limit_{place}"), ThrottleCounter.key == bindparam(f"key_{place}"))


def _instant(name: str) -> ColumnElement[datetime]:
    return bindparam(name, type_=UtcDateTime())


def _first_opening(rule: Window | Backoff, moment: datetime) -> datetime:
    if isinstance(rule, Backoff):
        return _OPEN if rule.free > 1 else moment + rule.steps[0]
    return _OPEN if rule.tries > 1 else moment + rule.span


def _opening(rule: Window | Backoff, place: int, count: ColumnElement[int]) -> ColumnElement[datetime]:
    if isinstance(rule, Window):
        return case((count >= _number(rule.tries), ThrottleCounter.expires_at), else_=_instant("open"))
    last = len(rule.steps) - 1
    pauses = [(count == _number(rule.free + index), _instant(f"pause_{index}_{place}")) for index in range(last)]
    return case((count < _number(rule.free), _instant("open")), *pauses, else_=_instant(f"pause_{last}_{place}"))


def _number(value: int) -> ColumnElement[int]:
    """Return a number of a rule as text of the statement, so that it needs no parameter."""
    return sql(str(value))


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


def mark_in_memory(kind: str, subject: str) -> None:
    """Mark a subject in this process for an hour."""
    services().local_marks.add(hash((kind, subject)), now())


def is_marked_in_memory(kind: str, subject: str) -> bool:
    """Return whether this process marked a subject within the last hour."""
    return services().local_marks.holds(hash((kind, subject)), now())


def take_in_memory(*demands: tuple[Budget, str]) -> int:
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
