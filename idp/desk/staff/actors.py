"""The person of the desk as an actor: `desk ROLE ID`, or `desk ID` without a role. Rows and the journal keep it."""

import uuid
from collections.abc import Iterable

from sqlalchemy import select

from idp.db import db
from idp.desk.staff.models import Role, StaffAccount


def actor(staff_id: uuid.UUID, role: Role | None = None) -> str:
    """Return a person as an actor."""
    return f"desk {role.value} {staff_id}" if role else f"desk {staff_id}"


def role(actor: str) -> Role | None:
    """Return the role in which the person of an actor acted, or None if the actor names none."""
    desk, _, rest = actor.partition(" ")
    value = rest.partition(" ")[0]
    return next((role for role in Role if role.value == value), None) if desk == "desk" else None


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


def names(actors: Iterable[str]) -> dict[str, str]:
    """Return the names of the people of all actors of a list, as `name` does; others have no place in it."""
    keys = {actor: key for actor in set(actors) if (key := staff_id(actor))}
    named = select(StaffAccount.id, StaffAccount.name).where(StaffAccount.id.in_(keys.values()))
    known = {row.id: row.name for row in db.session.execute(named)} if keys else {}
    return {actor: known.get(key, "") for actor, key in keys.items()}
