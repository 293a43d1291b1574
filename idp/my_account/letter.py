"""The rules of « Ajouter un autre courrier »: children in schools of two files, two letters, one account in the end."""

import uuid
from dataclasses import dataclass

from sqlalchemy import delete, func, or_, select, update

from idp.accounts import authentication, directory, disputes, notices, school_notices
from idp.accounts.authentication import Attempt, Proven, Refused, Throttled
from idp.accounts.models import Account, Guardianship, RosterAlias, School, SchoolNotice
from idp.accounts.notices import Notice
from idp.accounts.passwords.hasher import Hasher, fold_username
from idp.accounts.same_person import same_person
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import LetterLinkDoubted, LetterLinked
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.sessions import liveness
from idp.sessions.models import Session


@dataclass(frozen=True)
class Linked:
    """The letter's children are this account's from now on; the letter opens nothing any more."""


@dataclass(frozen=True)
class Doubted:
    """The secret was right, the names are not: nothing changed, and the schools were told."""


Outcome = Linked | Doubted | Refused | Throttled


def link(settings: Settings, hasher: Hasher, attempt: Attempt, session: Session) -> Outcome:
    """Try a letter's identifier and provisional password, and give its children to the account of `session`.

    Raises:
        Busy: the hash could not be computed in time; nothing was decided.
    """
    session_id, account_id = session.id, session.account_id
    outcome: Outcome = authentication.prove(
        settings, hasher, attempt, lambda proven: _admit(proven, account_id, session_id)
    )
    return Linked() if isinstance(outcome, Refused) and is_linked(account_id, attempt.username) else outcome


def is_linked(account_id: uuid.UUID, username: str) -> bool:
    """Return if the letter of `username` was added to this account before: a second click sees what the first did."""
    folded = fold_username(username)
    other = directory.find_by_username(folded) if folded else None
    return other is not None and other.merged_into_id == account_id


def doubtful_schools(account_id: uuid.UUID) -> list[School]:
    """Return the schools that have not yet decided about a letter of this account's person."""
    statement = (
        select(School)
        .join(SchoolNotice, SchoolNotice.school_id == School.id)
        .where(
            SchoolNotice.other_account_id == account_id,
            SchoolNotice.kind == Kind.LETTER_DOUBT.value,
            SchoolNotice.settled_at.is_(None),
        )
        .order_by(School.name)
    )
    return list(db.session.scalars(statement).unique())


@unit_of_work()
def _admit(proven: Proven, account_id: uuid.UUID, session_id: uuid.UUID) -> Linked | Doubted | None:
    """Decide in one transaction, on both accounts as they are now; rows are locked in one order, whoever asks."""
    locked = {key: directory.get_for_change(key) for key in sorted({account_id, proven.account_id})}
    mine, other = locked[account_id], locked[proven.account_id]
    if mine is None or not _is_signed_in(mine, session_id) or other is None or not proven.still_holds(other):
        return None
    if same_person(mine, other):
        _merge(mine, other)
        return Linked()
    _doubt(mine, other)
    return Doubted()


def _is_signed_in(account: Account, session_id: uuid.UUID) -> bool:
    """Return whether the session was neither ended nor outdated while the letter's password was hashed."""
    alive = (
        select(Session.id)
        .join(Account, Account.id == Session.account_id)
        .where(Session.id == session_id, Account.id == account.id, liveness.holding())
    )
    return db.session.scalar(alive) is not None


def _merge(mine: Account, other: Account) -> None:
    moment = now()
    uais = [school.uai for school in directory.schools(other)]
    _move_children(mine.id, other.id)
    _answer_to_its_keys(mine.id, other)
    if other.contested_at is not None:
        disputes.end_contest(other)
    other.provisional_hash = other.provisional_expires_at = None
    other.merged_into_id, other.disabled_at = mine.id, moment
    other.credentials_changed()
    mine.updated_at = moment
    school_notices.settle(other.id, by="parent", sentence="the letter was added", kinds=(Kind.LETTER_DOUBT,))
    log.record(LetterLinked(account_id=mine.id, other=str(other.id), uais=uais))
    notices.tell(Notice.LETTER_LINKED, mine.id)


def _answer_to_its_keys(mine: uuid.UUID, other: Account) -> None:
    """Have the school's files find this account under the other's keys from now on: no second account is opened."""
    db.session.execute(
        update(RosterAlias)
        .where(RosterAlias.account_id == other.id)
        .values(account_id=mine)
        .execution_options(synchronize_session=False)
    )
    if other.roster_key is not None:
        db.session.add(RosterAlias(roster_key=other.roster_key, account_id=mine))
        other.roster_key = None


def _move_children(mine: uuid.UUID, other: uuid.UUID) -> None:
    """Move the children, after those that are there. One that is known stays as it is, one in dispute stays behind.

    A tie that the school excluded moves too, and is not replaced: to merge accounts opens no child again.
    """
    known = select(Guardianship.child_id).where(Guardianship.account_id == mine)
    theirs = select(Guardianship.child_id).where(Guardianship.account_id == other, Guardianship.ended_at.is_(None))
    db.session.execute(  # a tie of mine that had ended makes room for the one that holds
        delete(Guardianship)
        .where(
            Guardianship.account_id == mine,
            Guardianship.ended_at.is_not(None),
            Guardianship.excluded_at.is_(None),
            Guardianship.disputed_at.is_(None),
            Guardianship.child_id.in_(theirs),
        )
        .execution_options(synchronize_session=False)
    )
    last = db.session.scalar(select(func.max(Guardianship.rank)).where(Guardianship.account_id == mine))
    moved = db.session.scalars(
        select(Guardianship.child_id)
        .where(
            Guardianship.account_id == other,
            Guardianship.disputed_at.is_(None),
            or_(Guardianship.ended_at.is_(None), Guardianship.excluded_at.is_not(None)),
            Guardianship.child_id.not_in(known),
        )
        .order_by(Guardianship.rank)
    ).all()
    for rank, child_id in enumerate(moved, start=0 if last is None else last + 1):
        db.session.execute(
            update(Guardianship)
            .where(Guardianship.account_id == other, Guardianship.child_id == child_id)
            .values(account_id=mine, rank=rank)
            .execution_options(synchronize_session=False)
        )


def _doubt(mine: Account, other: Account) -> None:
    """Have the letter's schools look, once: the same letter tried again is the same question."""
    schools = [school.id for school in directory.schools(other)]
    school_notices.add(Kind.LETTER_DOUBT, other.id, schools, other_account_id=mine.id)
    log.record(LetterLinkDoubted(account_id=mine.id, other=str(other.id)))
