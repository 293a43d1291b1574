"""The rows in the scope of a post, as conditions and by their id: families, schools, ENTs, the journal, the own jobs.

A row outside the scope and a missing row are refused in the same way.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import TypeVar, assert_never

from sqlalchemy import ColumnElement, Select, and_, exists, false, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute

from idp.accounts import directory
from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.audit.models import AuditEntry
from idp.clients import audience
from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.desk import ties
from idp.desk.access.gate import may, own_spec, person, post, refuse
from idp.desk.access.roles import TECHNICAL, Journal, Right, Scope
from idp.desk.staff.models import StaffRole
from idp.desk.staff.posts import in_force

_Entity = TypeVar("_Entity")


def bounded(
    school: Callable[[School], ColumnElement[bool]], ent: Callable[[Client], ColumnElement[bool]]
) -> ColumnElement[bool]:
    """Return the condition of the rows of the post's school or ENT; the académie has all rows."""
    chosen, of_role = post(), own_spec().scope
    match of_role:
        case Scope.SCHOOL:
            return school(chosen.school) if chosen.school else false()
        case Scope.ENT:
            return ent(chosen.client) if chosen.client else false()
        case Scope.ACADEMY:
            return true()
        case Scope.NOTHING:
            return false()
    assert_never(of_role)


def schools() -> ColumnElement[bool]:
    """Return the condition of the schools in scope."""
    return bounded(lambda school: School.id == school.id, lambda client: audience.served_by(client.id))


def children() -> ColumnElement[bool]:
    """Return the condition of the pupils in scope. `Child` need not be joined with `School`."""
    return bounded(
        lambda school: Child.school_id == school.id, lambda _: Child.school_id.in_(select(School.id).where(schools()))
    )


def accounts() -> ColumnElement[bool]:
    """Return the condition of the guardians' accounts in scope: those that concern a school in scope."""
    of_account = Guardianship.account_id == Account.id, Guardianship.child_id == Child.id
    concerned = exists().where(*of_account, ties.are_shown(), children())
    return bounded(lambda _: concerned, lambda _: concerned)


def replaced_accounts() -> ColumnElement[bool]:
    """Return the condition of the accounts that an import of a school in scope replaced by another one.

    The school reads why they are closed. They are in no list and open to no act: those take `accounts`.
    """
    return ties.were_replaced_here(notices(), children())


def decisions() -> ColumnElement[bool]:
    """Return the condition of the closings in scope, for a statement that joins `Closing` with `Account`.

    For a school: those that its head may reopen, also if the account is in scope no more, and the académie's.
    """
    of_academy = and_(Closing.school_id.is_(None), Closing.child_id.is_(None))
    return bounded(
        lambda school: or_(directory.reopened_by_heads_of(school.id), and_(of_academy, accounts())),
        lambda _: accounts(),
    )


def notices() -> ColumnElement[bool]:
    """Return the condition of the notices to schools in scope."""
    return SchoolNotice.school_id.in_(select(School.id).where(schools()))


def clients() -> ColumnElement[bool]:
    """Return the condition of the ENTs in scope: that of the post, those that serve its school, or all."""
    return bounded(audience.serving, lambda client: Client.id == client.id)


def journal() -> ColumnElement[bool]:
    """Return the condition of the journal's entries in scope, for the page and the export; see `Journal`."""
    return or_(false(), *journal_parts())


def journal_parts() -> Sequence[ColumnElement[bool]]:
    """Return the same as conditions of which one holds: each of them is read in the order of an index."""
    chosen, read = post(), own_spec().journal
    own = AuditEntry.staff_id == person().staff.id
    no_school, no_account = AuditEntry.school_id.is_(None), AuditEntry.account_id.is_(None)
    here = AuditEntry.school_id == chosen.school.id if chosen.school else false()
    match read:
        case Journal.NOTHING:
            return []
        case Journal.OWN:
            return [and_(own, bounded(lambda _: or_(here, no_school), lambda _: true()))]
        case Journal.SCHOOL:
            ours = AuditEntry.account_id.in_(select(Account.id).where(accounts()))
            return [here, and_(own, no_school), and_(AuditEntry.staff_id.is_not(None), no_school, ours)]
        case Journal.ENT:
            return [and_(AuditEntry.client_id == chosen.client.id, no_account) if chosen.client else false()]
        case Journal.TECHNICAL:
            return [and_(no_account, AuditEntry.where_kind(kind)) for kind in TECHNICAL]
        case Journal.ALL:
            return [true()]
    assert_never(read)


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
        team = and_(StaffRole.role == chosen.role, StaffRole.client_id == (chosen.client and chosen.client.id))
    return or_(own, role_id.in_(select(StaffRole.id).where(team)))


def own_school() -> School:
    """Return the school of the post, for a view that only roles at a school may call."""
    chosen = post().school
    if chosen is None:
        refuse()
    return chosen


def child(key: uuid.UUID) -> Child:
    """Return a pupil in scope; refuse the page otherwise."""
    return _row(select(Child).where(Child.id == key, children()), key)


def account(key: uuid.UUID) -> Account:
    """Return a guardian's account in scope; refuse the page otherwise."""
    return _row(select(Account).where(Account.id == key, accounts()), key)


def account_to_read(key: uuid.UUID) -> Account:
    """Return a guardian's account whose page the post may read; refuse the page otherwise.

    That is an account in scope, or one that an import of the own school replaced by another one.
    """
    row = db.session.scalar(select(Account).where(Account.id == key, accounts()))
    return row or _row(select(Account).where(Account.id == key, replaced_accounts()), key)


def decision(account_key: uuid.UUID, key: uuid.UUID) -> Closing:
    """Return a decision in scope that closes an account or a tie of it; refuse the page otherwise.

    About a guardian who waits the head decides in « Décisions ».
    """
    of_account = select(Closing).join(Account, Account.id == Closing.account_id)
    chosen = Closing.id == key, Closing.account_id == account_key, Closing.is_decision
    return _row(of_account.where(*chosen, decisions()), key)


def school(key: uuid.UUID) -> School:
    """Return a school in scope; refuse the page otherwise."""
    return _row(select(School).where(School.id == key, schools()), key)


def client(key: uuid.UUID) -> Client:
    """Return an ENT in scope; refuse the page otherwise."""
    return _row(select(Client).where(Client.id == key, clients()), key)


def notice(key: uuid.UUID) -> SchoolNotice:
    """Return a notice in scope; refuse the page otherwise."""
    return _row(select(SchoolNotice).where(SchoolNotice.id == key, notices()), key)


def _row(statement: Select[_Entity], key: uuid.UUID) -> _Entity:
    row = db.session.scalar(statement)
    if row is None:
        refuse(str(key))
    return row
