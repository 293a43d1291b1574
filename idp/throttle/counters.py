"""The statements on a row of the table of counters; the same SQL on both databases."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, or_, update
from sqlalchemy.sql.dml import ReturningInsert

from idp.db import UtcDateTime, upsert
from idp.throttle.limits import Backoff, Limit, Window
from idp.throttle.models import ThrottleCounter as Row

_OPEN = datetime(1970, 1, 1, tzinfo=UTC)
"""The `open_at` of an open counter. It is before any try: a try that waited for the row has an earlier moment than the
try that wrote the row last."""


@dataclass(frozen=True)
class Counter:
    """The counter of one window of a budget, or of a back-off, for one subject.

    Attributes:
        name: with `key`, the primary key of the row.
        shared: whether several subjects share the counter, so that the success of one does not clear it.
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
    return or_(*(_is(counter) for counter in counters))


def take_one(connection: Connection, counter: Counter, moment: datetime) -> int | None:
    """Count one try at `moment` and return the new count, or None, without counting, while the counter is closed.

    It is one statement: a concurrent try waits for the row lock, then sees the new count.
    """
    rule = counter.rule
    values: dict[str, Any] = {"row_limit": counter.name, "row_key": counter.key, "moment": moment, "open": _OPEN}
    if isinstance(rule, Backoff):
        values["first_end"] = moment + rule.quiet
        values |= {f"pause_{index}": moment + step for index, step in enumerate(rule.steps)}
    else:
        values["first_end"] = moment + rule.span
    values["first_opening"] = _first_opening(rule, moment)
    count: int | None = connection.scalar(_take_statement(connection.dialect.name, rule), values)
    return count


@lru_cache(maxsize=128)
def _take_statement(dialect: str, rule: Window | Backoff) -> ReturningInsert[Any]:
    """Return the statement of a rule, with bind parameters for its moments; a sign-in runs four of them."""
    fresh = Row.expires_at <= _instant("moment")
    count = case((fresh, 1), else_=Row.count + 1)
    # A window keeps its end; a back-off ends after a time without a try.
    ends: ColumnElement[datetime] = _instant("first_end")
    if isinstance(rule, Window):
        ends = case((fresh, ends), else_=Row.expires_at)
    return (
        upsert(Row, dialect)
        .values(
            limit=bindparam("row_limit"),
            key=bindparam("row_key"),
            count=1,
            since=_instant("moment"),
            open_at=_instant("first_opening"),
            expires_at=_instant("first_end"),
        )
        .on_conflict_do_update(
            index_elements=[Row.limit, Row.key],
            set_={
                "count": count,
                "since": case((fresh, _instant("moment")), else_=Row.since),
                "open_at": _opening(rule, count, ends),
                "expires_at": ends,
            },
            where=Row.open_at <= _instant("moment"),
        )
        .returning(Row.count)
    )


def uncount_one(connection: Connection, counter: Counter) -> None:
    """Decrement the counter and open it, since it is then below its limit.

    A back-off opens too. All its pauses but the first are longer than the longest wait for a hash, so that at most the
    first pause, of a later try of somebody else, is lost.
    """
    connection.execute(
        update(Row).where(_is(counter), Row.count > 0).values(count=Row.count - 1, open_at=_OPEN),
    )


def _is(counter: Counter) -> ColumnElement[bool]:
    return and_(Row.limit == counter.name, Row.key == counter.key)


def _instant(name: str) -> ColumnElement[datetime]:
    return bindparam(name, type_=UtcDateTime())


def _first_opening(rule: Window | Backoff, moment: datetime) -> datetime:
    if isinstance(rule, Backoff):
        return _OPEN if rule.free > 1 else moment + rule.steps[0]
    return _OPEN if rule.tries > 1 else moment + rule.span


def _opening(
    rule: Window | Backoff, count: ColumnElement[int], ends: ColumnElement[datetime]
) -> ColumnElement[datetime]:
    """Return when the next try is granted, after `count` tries."""
    if isinstance(rule, Window):
        return case((count >= rule.tries, ends), else_=_instant("open"))
    last = len(rule.steps) - 1
    pauses = [(count == rule.free + index, _instant(f"pause_{index}")) for index in range(last)]
    return case((count < rule.free, _instant("open")), *pauses, else_=_instant(f"pause_{last}"))
