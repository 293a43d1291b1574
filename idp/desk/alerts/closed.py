"""Finds in the journal the people who closed many accesses."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select

from idp.audit.data_events import AccessSuspended
from idp.audit.events import AccountChanged, GuardianshipDisputed
from idp.audit.models import AuditEntry
from idp.audit.registry_events import AccountImported
from idp.db import db
from idp.desk.access import ROLES

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
            or_(AuditEntry.where_kind(AccessSuspended.kind), calls, replaced, ended),
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
