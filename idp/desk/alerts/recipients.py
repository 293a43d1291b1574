"""Chooses the recipients of an alert: the heads of the school and the engineers, without the person who acted."""

import uuid
from collections.abc import Sequence

from sqlalchemy import and_, or_, true

from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffRole


def of_alert(staff_id: uuid.UUID | None, school_id: uuid.UUID | None) -> Sequence[uuid.UUID]:
    """Return the people to tell of an act of a person, or of a school."""
    roles = StaffRole.role == Role.ENGINEER
    if school_id is not None:
        roles = or_(roles, and_(StaffRole.role == Role.HEAD, StaffRole.school_id == school_id))
    return posts.holders(roles, true() if staff_id is None else StaffRole.staff_id != staff_id)
