"""Finds those who acted by their name: people of the desk, and the users of the server who ran commands."""

import uuid
from collections.abc import Sequence

from sqlalchemy import CTE, ColumnElement, and_, func, or_, select, true

from idp.audit.models import AuditEntry
from idp.db import db
from idp.desk import access
from idp.desk.staff.models import StaffAccount, StaffRole

MOST = 40
"""The most people, and the most users, whose acts one page brings together: each of them is looked up for itself."""


class TooManyError(Exception):
    """More than `MOST` people have such a name."""


def named(name: str) -> list[ColumnElement[bool]]:
    """Return the condition of the acts of each person with a part of the name, and of each user of that beginning.

    Raises:
        TooManyError: there are more than `MOST`.
    """
    people, users = _people(name), _users(name)
    if max(len(people), len(users)) > MOST:
        raise TooManyError
    by_people = [AuditEntry.staff_id == key for key in people]
    return [*by_people, *(and_(AuditEntry.where_by_command(), AuditEntry.actor == user) for user in users)]


def _people(name: str) -> Sequence[uuid.UUID]:
    """Return the people of the desk; for a post at a school, those who had a role there or in the académie."""
    known: ColumnElement[bool] = true()
    if school := access.post().school:
        in_academy = and_(StaffRole.school_id.is_(None), StaffRole.client_id.is_(None))
        with_role = select(StaffRole.staff_id).where(or_(StaffRole.school_id == school.id, in_academy))
        known = StaffAccount.id.in_(with_role)
    matching = select(StaffAccount.id).where(StaffAccount.name.icontains(name, autoescape=True), known)
    return db.session.scalars(matching.limit(MOST + 1)).all()


def _users(name: str) -> Sequence[str]:
    every = _every_user()
    matching = select(every.c.actor).where(every.c.actor.istartswith(name, autoescape=True))
    return db.session.scalars(matching.limit(MOST + 1)).all()


def _every_user() -> CTE:
    """Return the few different users of commands, each of them by one step into the index."""
    first = select(func.min(AuditEntry.actor).label("actor")).where(AuditEntry.where_by_command())
    users = first.cte("users", recursive=True)
    following = select(func.min(AuditEntry.actor)).where(
        AuditEntry.where_by_command(), AuditEntry.actor > users.c.actor
    )
    return users.union_all(select(following.scalar_subquery()).where(users.c.actor.is_not(None)))
