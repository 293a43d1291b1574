"""Chooses the recipients of an alert: the heads of the school and the engineers, without the person who acted."""

import uuid
from collections.abc import Sequence

from sqlalchemy import and_, or_, select

from idp.clock import now
from idp.db import db
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffRole


def of_alert(staff_id: uuid.UUID | None, school_id: uuid.UUID | None) -> Sequence[uuid.UUID]:
    """Return the people to tell of an act of a person, or of a school."""
    heads = and_(StaffRole.role == Role.HEAD, StaffRole.school_id == school_id) if school_id else None
    engineers = StaffRole.role == Role.ENGINEER
    statement = (
        select(StaffRole.staff_id)
        .join(StaffAccount, StaffAccount.id == StaffRole.staff_id)
        .where(
            engineers if heads is None else or_(heads, engineers),
            StaffAccount.disabled_at.is_(None),
            posts.in_force(now()),
        )
        .distinct()
        .order_by(StaffRole.staff_id)
    )
    if staff_id is not None:
        statement = statement.where(StaffRole.staff_id != staff_id)
    return db.session.scalars(statement).all()
