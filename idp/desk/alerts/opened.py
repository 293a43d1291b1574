"""Counts in the database how many different accounts and pupils a person of the desk opened within an hour."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CTE, Float, case, cast, extract, func, literal, null, or_, select, union_all

from idp.audit.desk_events import PupilRead
from idp.audit.events import AccountRead
from idp.audit.models import OK, AuditEntry
from idp.db import db

HOUR = timedelta(hours=1)
_SECONDS = int(HOUR.total_seconds())


@dataclass(frozen=True)
class Crossing:
    """The moment of a day at which a person had opened more than so many accounts and pupils within an hour."""

    staff_id: uuid.UUID
    at: datetime
    count: int
    school_id: uuid.UUID | None


def more_than(most: int, since: datetime, until: datetime, midnight: datetime) -> Iterator[Crossing]:
    """Yield the first crossing of each person in each hour, before and after midnight.

    A statement reads two hours: each hour with the one before it, so that its length does not grow with the time.
    """
    while since < until:
        yield from _crossings(most, since, since + 2 * HOUR, midnight)
        since += HOUR


def _crossings(most: int, since: datetime, until: datetime, midnight: datetime) -> Iterator[Crossing]:
    """Yield the first crossing of each person before and after midnight, by one statement.

    A subject counts from its first opening until an hour after the last one that follows within an hour of another.
    The running sum of these beginnings and ends is the number of different subjects of the hour that ends.
    """
    ticks = _ticks(_openings(since, until))
    running = func.sum(ticks.c.step).over(
        partition_by=ticks.c.staff_id, order_by=(ticks.c.second, ticks.c.step, ticks.c.id), rows=(None, 0)
    )
    counted = select(ticks, running.label("count")).subquery()
    day = case((counted.c.at < midnight, 0), else_=1)
    nth = func.row_number().over(partition_by=(counted.c.staff_id, day), order_by=(counted.c.second, counted.c.id))
    columns = [counted.c.staff_id, counted.c.at, counted.c.count, counted.c.school_id]
    crossed = select(*columns, nth.label("nth")).where(counted.c.step == 1, counted.c.count > most).subquery()
    first = select(*(crossed.c[column.name] for column in columns)).where(crossed.c.nth == 1)
    return (Crossing(*row) for row in db.session.execute(first).all())


def _openings(since: datetime, until: datetime) -> CTE:
    """Return the openings, each with the times of the same person's opening of the same subject before and after."""
    at, child = AuditEntry.at, AuditEntry.details["child"].as_string()
    subject = AuditEntry.staff_id, AuditEntry.account_id, case((AuditEntry.account_id.is_(None), child))
    same: dict[str, Any] = {"partition_by": subject, "order_by": (at, AuditEntry.id)}
    times = {"second": at, "before": func.lag(at).over(**same), "after": func.lead(at).over(**same)}
    return (
        select(
            AuditEntry.id,
            AuditEntry.staff_id,
            at,
            AuditEntry.school_id,
            *(cast(extract("epoch", time), Float).label(name) for name, time in times.items()),
        )
        .where(
            AuditEntry.where_kind(AccountRead.kind, PupilRead.kind),
            AuditEntry.staff_id.is_not(None),
            AuditEntry.result == OK,
            at > since,
            at <= until,
        )
        .cte("openings")
    )


def _ticks(openings: CTE) -> CTE:
    """Return the beginnings (+1) and the ends (-1) of subjects."""
    row = openings.c
    begins = or_(row.before.is_(None), row.before <= row.second - _SECONDS)
    ends = or_(row.after.is_(None), row.after >= row.second + _SECONDS)
    return union_all(
        select(row.id, row.staff_id, row.at, row.school_id, row.second, literal(1).label("step")).where(begins),
        select(row.id, row.staff_id, row.at, null(), row.second + _SECONDS, literal(-1)).where(ends),
    ).cte("ticks")
