"""Has the data of a person corrected (GDPR article 16), or erases them and names the data that must stay (article 17).

The data come from the schools' files, so that only a school can correct them for good: each school of the person gets a
notice with the note, which the journal stores too.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.orm import aliased

from idp.accounts import directory, school_notices
from idp.accounts.closings import Kind as ClosingKind
from idp.accounts.models import Account, Guardianship, School, SchoolNotice
from idp.audit import log
from idp.audit.data_events import AccountErased, RectificationAsked
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, retry_unit_of_work, unit_of_work
from idp.families.refusals import Code, RefusedError
from idp.oidc.logout import back_channel
from idp.operations.personal_data import export
from idp.operations.personal_data.export import Person
from idp.operations.purge import unused_accounts
from idp.rostering.models import ImportIssue
from idp.sessions import liveness
from idp.sessions.models import Session
from idp.throttle import guard


@dataclass(frozen=True)
class Kept:
    """Data that stay: the name in the journal, and how many there are, if counted."""

    name: str
    count: int = 0


@dataclass(frozen=True)
class Removed:
    """A school's notice that named the person.

    Attributes:
        kind: its kind.
        uai: its school.
        usernames: the accounts that it named.
        answer: the school's sentence, or None if it was open.
        is_gone: whether it is removed; if not, it does not name the person any more.
    """

    kind: str
    uai: str
    usernames: list[str]
    answer: str | None
    is_gone: bool


@dataclass(frozen=True)
class Erased:
    """The result of an erasure.

    Attributes:
        accounts: the number of removed accounts.
        sign_outs: the number of sign-outs that the ENTs are told of.
        kept: the data that stay.
        notices: the schools' notices that named the person.
    """

    accounts: int
    sign_outs: int
    kept: list[Kept]
    notices: list[Removed]


def erase(account_id: uuid.UUID, reason: str) -> Erased:
    """Remove an account, and those that were merged into it, in one transaction with their journal entries.

    No mail is sent, since its message would have to keep the address. Answer the person in writing.

    If the database erased the person but its answer to COMMIT was lost, the retry finds no account: the result is then
    that of the attempt before.

    Raises:
        RefusedError: the account must stay; nothing was done.
    """
    attempts: list[tuple[Erased, str]] = []

    def attempt() -> tuple[Erased, str]:
        try:
            attempts.append(_erase(account_id, reason))
        except RefusedError as refused:
            if refused.code is not Code.GONE or not attempts or not _is_recorded(account_id, reason):
                raise
        return attempts[-1]

    erased, username = retry_unit_of_work(attempt)
    db.session.expunge_all()
    guard.clear_account(username)
    return erased


def preview(account: Account) -> list[Kept]:
    """Return the data that would stay if the account was erased now.

    Raises:
        RefusedError: the account must stay.
    """
    person = export.person_of(account)
    _check_main(account)
    _check_disputes(person, account.username)
    _check_notices(person, account.username)
    alive = select(func.count()).select_from(Session).where(Session.account_id.in_(person.accounts), liveness.unended())
    return list(_kept(person, db.session.scalar(alive) or 0))


def _check_main(account: Account) -> None:
    if account.merge is not None:
        raise RefusedError(Code.ERASE_OTHER, name=account.username, other=account.merge.into.username)


def _is_recorded(account_id: uuid.UUID, reason: str) -> bool:
    of_account = select(AuditEntry).where(AuditEntry.account_id == account_id, AuditEntry.kind == AccountErased.kind)
    entry = db.session.scalar(of_account)
    return entry is not None and (entry.actor, entry.details["reason"]) == (log.current_origin().actor, reason)


def _erase(account_id: uuid.UUID, reason: str) -> tuple[Erased, str]:
    accounts = _locked(account_id)
    account = accounts[account_id]
    _check_main(account)
    person, username = export.person_of(account), account.username
    _check_disputes(person, username)
    _check_notices(person, username)
    keys = [*sorted(person.accounts - {account_id}), account_id]
    sign_outs = sum(back_channel.announce_removal(key) for key in keys)
    kept, notices = list(_kept(person, sign_outs)), list(_notices(person))
    for key in keys:
        event = AccountErased(account_id=key, reason=reason, kept=[item.name for item in kept])
        unused_accounts.erase(accounts[key], event)
    of_person = ImportIssue.key.in_(person.roster_keys)
    db.session.execute(delete(ImportIssue).where(of_person).execution_options(synchronize_session=False))
    return Erased(len(person.accounts), sign_outs, kept, notices), username


def _locked(account_id: uuid.UUID) -> dict[uuid.UUID, Account]:
    """Return the accounts of a person by their ids, with their rows locked.

    The rows are locked in the order of their ids, as everywhere, to avoid deadlocks. A concurrent request may have
    merged another account, so the accounts are read again under the locks.

    Raises:
        RefusedError: the account was removed, or the merged ones changed meanwhile.
    """
    locked = {key: directory.get_for_change(key) for key in sorted(export.accounts_of(account_id))}
    accounts = {key: account for key, account in locked.items() if account is not None}
    if account_id not in accounts:
        raise RefusedError(Code.GONE)
    if accounts.keys() != export.accounts_of(account_id):
        raise RefusedError(Code.MERGED_ACCOUNTS_CHANGED, name=accounts[account_id].username)
    return accounts


def _check_disputes(person: Person, username: str) -> None:
    """Refuse to erase the record of a school's decision, or the account of a person in dispute.

    A school's decision that the person is not the guardian of a child is stored in the tie. Without it, the next import
    would give the child back to the person. A closing stays with the pupil (`unused_accounts.erase`).

    Raises:
        RefusedError: a tie or the address is in dispute, the school excluded the person from a tie, or the account is
            closed and has no tie.
    """
    ties = Guardianship.account_id.in_(person.accounts)
    of_person = Account.id.in_(person.accounts)
    if db.session.scalar(select(exists().where(of_person, Account.has_disputed_tie | Account.has_contested_email))):
        raise RefusedError(Code.IN_DISPUTE, name=username)
    closed = exists().where(of_person, Account.where_shut(now()))
    if db.session.scalar(select(closed)) and not unused_accounts.closed_pupils(person.accounts):
        raise RefusedError(Code.CLOSED_WITHOUT_CHILD, name=username)
    if db.session.scalar(select(exists().where(ties, Guardianship.where_closed_as(ClosingKind.EXCLUDED)))):
        raise RefusedError(Code.EXCLUDED, name=username)


def _check_notices(person: Person, username: str) -> None:
    waits = SchoolNotice.account_id.in_(person.accounts) & school_notices.is_open(school_notices.PROMISED)
    if db.session.scalar(select(exists().where(waits))):
        raise RefusedError(Code.PROMISED_NOTICE, name=username)


def _notices(person: Person) -> Iterator[Removed]:
    """Yield the schools' notices that name the person: the school may have to act on them."""
    other = aliased(Account)
    mine = SchoolNotice.account_id.in_(person.accounts)
    rows = db.session.execute(
        select(SchoolNotice, School.uai, Account.username, other.username, mine)
        .join(School, School.id == SchoolNotice.school_id)
        .join(Account, Account.id == SchoolNotice.account_id)
        .outerjoin(other, other.id == SchoolNotice.other_account_id)
        .where(or_(mine, SchoolNotice.other_account_id.in_(person.accounts)))
        .order_by(SchoolNotice.created_at, SchoolNotice.id)
    )
    for notice, uai, username, second, is_gone in rows:
        answer = None if notice.settled_at is None else notice.sentence
        yield Removed(notice.kind, uai, [name for name in (username, second) if name], answer, is_gone)


def _kept(person: Person, sign_outs: int) -> Iterator[Kept]:
    """Yield the data that stay; `sign_outs` is the number of sign-outs that the ENTs are told of."""
    events = select(func.count()).select_from(AuditEntry).where(AuditEntry.account_id.in_(person.accounts))
    yield Kept("journal", db.session.scalar(events) or 0)
    if person.children:
        yield Kept("pupils")
    closed = len(unused_accounts.closed_pupils(person.accounts))
    if closed:
        yield Kept("closing", closed)
    if person.roster_keys:
        yield Kept("school_file_refused" if closed else "school_file")
    yield Kept("ents", sign_outs)
    yield Kept("copies")


LONGEST = 500


@unit_of_work()
def ask_correction(account: Account, note: str) -> list[School]:
    """Write the note into the notices of the person's schools, and into the journal; return the schools.

    A second note is added to an open notice, as far as there is room.

    Raises:
        RefusedError: no school knows the person any more.
    """
    locked = directory.get_for_change(account.id)
    schools = directory.schools_of_ties(locked) if locked is not None else []
    if not schools:
        raise RefusedError(Code.NO_SCHOOL)
    school_notices.add(school_notices.Kind.RECTIFICATION, account.id, [school.id for school in schools])
    db.session.flush()
    mine = SchoolNotice.account_id == account.id
    for notice in db.session.query(SchoolNotice).where(
        mine, school_notices.is_open([school_notices.Kind.RECTIFICATION])
    ):
        notice.note = f"{notice.note} / {note}"[-LONGEST:] if notice.note else note[:LONGEST]
    log.record(RectificationAsked(account_id=account.id, note=note, uais=[school.uai for school in schools]))
    return schools
