"""The part of `idp.desk.access` about the staff: which roles each role may grant, renew and end, and where."""

from sqlalchemy import ColumnElement, and_, false

from idp.desk import access
from idp.desk.staff.models import Role, StaffRole
from idp.desk.staff.posts import AT_A_SCHOOL, AT_AN_ENT

GRANTS: dict[Role, frozenset[Role]] = {
    Role.HEAD: AT_A_SCHOOL,
    Role.ENT_OPERATOR: AT_AN_ENT,
    Role.HELPDESK: frozenset({Role.HELPDESK}),
    Role.ENGINEER: frozenset(Role),
}
"""The roles that each role may grant and end, within its scope."""


def staff_roles() -> ColumnElement[bool]:
    """Return the condition of the roles of colleagues in scope: those that the person may grant and end.

    A head manages the staff of the school, an operator those of the ENT, the help desk its own; the engineer all.
    """
    chosen = access.post()
    managed = StaffRole.role.in_(GRANTS.get(chosen.role, frozenset()))
    if chosen.role is Role.HEAD:
        return and_(managed, StaffRole.school_id == chosen.school.id) if chosen.school else false()
    if chosen.role in AT_AN_ENT:
        return and_(managed, StaffRole.client_id == chosen.client.id) if chosen.client else false()
    return managed
