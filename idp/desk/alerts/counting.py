"""Counts unusual acts: how many families a person of the desk opened within an hour, and who closed many accesses."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CTE, Float, and_, case, cast, extract, func, literal, null, or_, select, union_all

from idp.audit.data_events import AccessClosed
from idp.audit.desk_events import PupilRead
from idp.audit.events import AccountChanged, AccountRead, GuardianshipDisputed
from idp.audit.models import OK, AuditEntry
from idp.audit.registry_events import AccountImported
from idp.db import db
from idp.desk.access import ROLES

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


_ROLE = AuditEntry.details["desk"]["role"].as_string()


@dataclass(frozen=True)
class Busy:
    """A person who closed many accesses: their number, and the schools, None for the académie."""

    staff_id: uuid.UUID
    count: int
    schools: Sequence[uuid.UUID | None]


def many(start: datetime, end: datetime) -> Iterator[Busy]:
    """Yield the people who closed many accesses from `start` until `end`, in all schools; see `Closings.alert`."""
    alerts = {role.value: row.closings.alert for role, row in ROLES.items() if row.closings}
    calls = and_(
        AuditEntry.where_kind(GuardianshipDisputed.kind), AuditEntry.details["by_telephone"].as_boolean().is_(True)
    )
    replaced = and_(AuditEntry.where_kind(AccountChanged.kind), AuditEntry.details["change"].as_string() == "replaced")
    ended = and_(AuditEntry.where_kind(AccountImported.kind), AuditEntry.details["change"].as_string() == "tie_ended")
    # a subquery: PostgreSQL must see the role as one expression, whose parameters would differ in GROUP BY
    rows = (
        select(AuditEntry.staff_id, _ROLE.label("role"), AuditEntry.school_id)
        .where(
            AuditEntry.staff_id.is_not(None),
            AuditEntry.at >= start,
            AuditEntry.at < end,
            _ROLE.in_(list(alerts)),
            or_(AuditEntry.where_kind(AccessClosed.kind), calls, replaced, ended),
        )
        .subquery()
    )
    counts: dict[tuple[uuid.UUID, str], dict[uuid.UUID | None, int]] = {}
    group = rows.c.staff_id, rows.c.role, rows.c.school_id
    for staff_id, role, school_id, count in db.session.execute(select(*group, func.count()).group_by(*group)):
        counts.setdefault((staff_id, role), {})[school_id] = count
    for (staff_id, role), of_person in counts.items():
        if (total := sum(of_person.values())) >= alerts[role]:
            yield Busy(staff_id, total, list(of_person))
