"""Entries of the journal for tests of the desk."""

import uuid
from typing import Any

from idp.audit import log
from idp.audit.kinds import Event
from idp.db import unit_of_work
from idp.desk.staff.models import StaffAccount


def write(event: Event, staff: StaffAccount | None = None, school_id: uuid.UUID | None = None, **details: Any) -> None:
    """Record an event as a person of the desk, or as a command without `staff`."""
    desk = log.Desk(staff.id, school_id, details) if staff else None
    actor = f"desk {details.get('role', '')} {staff.id}" if staff else "uid 0 (root)"
    with log.acting_for(log.Origin(ip="203.0.113.9", request_id="ABCD-EFGH", actor=actor, desk=desk)), unit_of_work():
        log.record(event)
