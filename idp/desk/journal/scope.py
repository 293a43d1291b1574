"""The part of `idp.desk.access` about the journal: which entries each role may read."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, false, or_, select, true

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.desk import access
from idp.desk.staff.models import Role

TECHNICAL = (
    "charter.published",
    "client.changed",
    "client.changed_itself",
    "client.invited",
    "desk.alert",
    "desk.figures_exported",
    "desk.passwords_forced",
    "failures.alarm",
    "journal.exported",
    "key.changed",
    "password.list_loaded",
    "proxy.ignored",
    "roster.imported",
    "school.changed",
    "settings.changed",
    "staff.credential",
    "staff.disabled",
    "staff.enrolled",
    "staff.invited",
    "staff.proved",
    "staff.role_ended",
    "staff.role_granted",
    "staff.sign_in",
    "staff.sign_out",
)
"""The kinds of events that an engineer reads: none of them is about a family."""


def condition() -> ColumnElement[bool]:
    """Return the condition of the entries in scope, for the page and the export.

    A secretary and the help desk read their own acts, a secretary those of the school in use. A head reads the acts
    for the school, the own ones, and those of the académie on accounts of the school. An ENT operator reads the events
    of the own ENT, and an engineer the technical ones: both without those of families.
    """
    return or_(*parts())


def parts() -> Sequence[ColumnElement[bool]]:
    """Return the same as conditions of which one holds: each of them is read in the order of an index."""
    chosen = access.post()
    own = AuditEntry.staff_id == access.person().staff.id
    no_school, no_account = AuditEntry.school_id.is_(None), AuditEntry.account_id.is_(None)
    here = AuditEntry.school_id == chosen.school.id if chosen.school else false()
    match chosen.role:
        case Role.SECRETARY:
            return [and_(own, or_(here, no_school))]
        case Role.HEAD:
            ours = AuditEntry.account_id.in_(select(Account.id).where(access.accounts()))
            return [here, and_(own, no_school), and_(AuditEntry.staff_id.is_not(None), no_school, ours)]
        case Role.ENT_OPERATOR:
            return [and_(AuditEntry.client_id == chosen.client.id, no_account) if chosen.client else false()]
        case Role.HELPDESK:
            return [own]
        case Role.ENGINEER:
            return [and_(no_account, AuditEntry.where_kind(kind)) for kind in TECHNICAL]
    return [true()]
