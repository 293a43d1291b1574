"""The conditions of the rows in the scope of a post: schools, pupils, accounts, notices, ENTs and the journal."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, false, or_, select, true

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.suspensions.models import Suspension
from idp.audit.models import AuditEntry
from idp.clients import audience
from idp.clients.models import Client
from idp.desk import replaced, ties
from idp.desk.access.acting import person, post
from idp.desk.access.rights import TECHNICAL
from idp.desk.staff.models import Role
from idp.desk.staff.posts import AT_A_SCHOOL, AT_AN_ENT


def schools() -> ColumnElement[bool]:
    """Return the condition of the schools in scope."""
    chosen = post()
    if chosen.role in AT_A_SCHOOL:
        return School.id == chosen.school.id if chosen.school else false()
    if chosen.role in AT_AN_ENT:
        return audience.served_by(chosen.client.id) if chosen.client else false()
    return true()


def children() -> ColumnElement[bool]:
    """Return the condition of the pupils in scope. `Child` need not be joined with `School`."""
    chosen = post()
    if chosen.role in AT_A_SCHOOL and chosen.school:
        return Child.school_id == chosen.school.id
    if chosen.role in AT_AN_ENT:
        return Child.school_id.in_(select(School.id).where(schools()))
    return true() if chosen.role not in AT_A_SCHOOL else false()


def accounts() -> ColumnElement[bool]:
    """Return the condition of the guardians' accounts in scope: those that concern a school in scope."""
    if post().role not in AT_A_SCHOOL | AT_AN_ENT:
        return true()
    concerned = ties.are_shown()
    return exists().where(
        Guardianship.account_id == Account.id, Guardianship.child_id == Child.id, concerned, children()
    )


def replaced_accounts() -> ColumnElement[bool]:
    """Return the condition of the accounts that an import of a school in scope replaced by another one.

    The school reads why they are closed. They are in no list and open to no act: those take `accounts`.
    """
    return replaced.were_here(notices(), children())


def decisions() -> ColumnElement[bool]:
    """Return the condition of the suspensions in scope, for a statement that joins `Suspension` with `Account`.

    For a school: those that its head may reopen, also if the account is in scope no more, and the académie's.
    """
    school = post().school
    if school is None:
        return accounts()
    of_academy = and_(Suspension.school_id.is_(None), Suspension.child_id.is_(None))
    return or_(directory.reopened_by_heads_of(school.id), and_(of_academy, accounts()))


def notices() -> ColumnElement[bool]:
    """Return the condition of the notices to schools in scope."""
    return SchoolNotice.school_id.in_(select(School.id).where(schools()))


def clients() -> ColumnElement[bool]:
    """Return the condition of the ENTs in scope: that of the post, those that serve its school, or all."""
    chosen = post()
    if chosen.role in AT_AN_ENT:
        return Client.id == chosen.client.id if chosen.client else false()
    if chosen.role in AT_A_SCHOOL:
        return audience.serving(chosen.school)
    return true()


def journal() -> ColumnElement[bool]:
    """Return the condition of the journal's entries in scope, for the page and the export.

    A secretary and the help desk read their own acts, a secretary those of the school in use. A head reads the acts
    for the school, the own ones, and those of the académie on accounts of the school. An ENT operator reads the events
    of the own ENT, and an engineer the technical ones: both without those of families.
    """
    return or_(*journal_parts())


def journal_parts() -> Sequence[ColumnElement[bool]]:
    """Return the same as conditions of which one holds: each of them is read in the order of an index."""
    chosen = post()
    own = AuditEntry.staff_id == person().staff.id
    no_school, no_account = AuditEntry.school_id.is_(None), AuditEntry.account_id.is_(None)
    here = AuditEntry.school_id == chosen.school.id if chosen.school else false()
    match chosen.role:
        case Role.SECRETARY:
            return [and_(own, or_(here, no_school))]
        case Role.HEAD:
            ours = AuditEntry.account_id.in_(select(Account.id).where(accounts()))
            return [here, and_(own, no_school), and_(AuditEntry.staff_id.is_not(None), no_school, ours)]
        case Role.ENT_OPERATOR:
            return [and_(AuditEntry.client_id == chosen.client.id, no_account) if chosen.client else false()]
        case Role.HELPDESK:
            return [own]
        case Role.ENGINEER:
            return [and_(no_account, AuditEntry.where_kind(kind)) for kind in TECHNICAL]
    return [true()]
