"""The person of the desk as an actor: `desk ROLE ID`, or `desk ID` without a role. Rows and the journal keep it."""

import uuid

from idp.db import db
from idp.desk.staff.models import Role, StaffAccount


def actor(staff_id: uuid.UUID, role: Role | None = None) -> str:
    """Return a person as an actor."""
    return f"desk {role.value} {staff_id}" if role else f"desk {staff_id}"


def staff_id(actor: str) -> uuid.UUID | None:
    """Return the person of an actor, or None if the actor is not of the desk."""
    desk, _, rest = actor.partition(" ")
    try:
        return uuid.UUID(rest.rpartition(" ")[2]) if desk == "desk" else None
    except ValueError:
        return None


def name(actor: str) -> str | None:
    """Return the name of the person of an actor, None if the actor is not of the desk, "" for a removed person."""
    key = staff_id(actor)
    if key is None:
        return None
    staff = db.session.get(StaffAccount, key)
    return staff.name if staff else ""
