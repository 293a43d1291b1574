"""The conditions of what a post asked for: its jobs and their files."""

import uuid

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from idp.clock import now
from idp.desk.access.acting import may, post
from idp.desk.access.rights import Right
from idp.desk.staff.models import StaffRole
from idp.desk.staff.posts import in_force


def in_this_post(role_id: InstrumentedAttribute[uuid.UUID]) -> ColumnElement[bool]:
    """Return the condition that the person asked for a row in the post of now, and that the post has not ended since.

    What a person made as a secretary of a school is not theirs as a head, or in another school.
    """
    return and_(role_id == post().id, exists().where(StaffRole.id == post().id, in_force(now())))


def cancellable(role_id: InstrumentedAttribute[uuid.UUID]) -> ColumnElement[bool]:
    """Return the condition of the rows asked for that the person may cancel: those of the post, or of its team.

    Who manages a team may end a role of it, and the end of a role stops the jobs of its person. The team of a school is
    its staff; elsewhere it is the colleagues in the same role.
    """
    own, chosen = in_this_post(role_id), post()
    if not may(Right.MANAGE_TEAM):
        return own
    if chosen.school:
        team = StaffRole.school_id == chosen.school.id
    else:
        client = StaffRole.client_id == chosen.client.id if chosen.client else StaffRole.client_id.is_(None)
        team = and_(StaffRole.role == chosen.role, client)
    return or_(own, role_id.in_(select(StaffRole.id).where(team)))
