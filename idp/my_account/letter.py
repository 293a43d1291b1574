"""The rules of « Ajouter un autre courrier »: a family whose schools use two files gets two letters and one account."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update

from idp.accounts import authentication, directory, disputes, notices, school_notices
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.models import Account, Child, Guardianship, RosterAlias, School, SchoolNotice
from idp.accounts.notices import Notice
from idp.accounts.passwords.hasher import Hasher, fold_username
from idp.accounts.same_person import add_former_names, former_names_of, names_of, same_person
from idp.accounts.school_notices import Kind
from idp.accounts.suspensions import waiting
from idp.accounts.suspensions.models import Suspension
from idp.audit import log
from idp.audit.events import LetterLinkDoubted, LetterLinked
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.sessions import liveness
from idp.sessions.models import Session

_BY, _ADDED = "parent", "the letter was added"


@dataclass(frozen=True)
class Linked:
    """The letter's children were moved to this account; the letter is void."""


@dataclass(frozen=True)
class Doubted:
    """The secret was right, but the names differ: nothing changed, and the schools were told."""


Outcome = Linked | Doubted | Refused | Throttled


def link(settings: Settings, hasher: Hasher, attempt: Attempt, session: Session) -> Outcome:
    """Verify a letter's identifier and provisional password, and move its children to the account of `session`.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    session_id, account_id = session.id, session.account_id
    outcome: Outcome = authentication.verify_secret(
        settings, hasher, attempt, lambda verified: _admit(verified, account_id, session_id)
    )
    return Linked() if isinstance(outcome, Refused) and is_linked(account_id, attempt.username) else outcome


def is_linked(account_id: uuid.UUID, username: str) -> bool:
    """Return whether the letter of `username` was already added to this account: a second click sees that result."""
    folded = fold_username(username)
    other = directory.find_by_username(folded) if folded else None
    return other is not None and other.merged_into_id == account_id


def doubtful_schools(account_id: uuid.UUID) -> list[School]:
    """Return the schools that have not yet decided about a letter of this person."""
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
def _admit(verified: VerifiedSecret, account_id: uuid.UUID, session_id: uuid.UUID) -> Linked | Doubted | None:
    """Decide in one transaction, by the present state of both accounts; rows are locked in one order."""
    locked = {key: directory.get_for_change(key) for key in sorted({account_id, verified.account_id})}
    mine, other = locked[account_id], locked[verified.account_id]
    if mine is None or not _is_signed_in(mine, session_id) or other is None or not verified.still_holds(other):
        return None
    if same_person(mine, other):
        _merge(mine, other)
        return Linked()
    _doubt(mine, other)
    return Doubted()


def _is_signed_in(account: Account, session_id: uuid.UUID) -> bool:
    """Return whether the session is still alive after the letter's password was hashed."""
    alive = (
        select(Session.id)
        .join(Account, Account.id == Session.account_id)
        .where(Session.id == session_id, Account.id == account.id, liveness.holding(now()))
    )
    return db.session.scalar(alive) is not None


def _merge(mine: Account, other: Account) -> None:
    moment = now()
    uais = [school.uai for school in directory.schools(other)]
    moved = _move_children(mine.id, other.id)
    add_former_names(mine.id, [names_of(other), *former_names_of(other.id)])
    _move_waits(mine.id, other.id, moved, moment)
    _move_roster_key(mine.id, other)
    if other.contested_at is not None:
        disputes.end_contest(other)
    other.provisional_hash = other.provisional_expires_at = None
    other.merged_into_id, other.disabled_at = mine.id, moment
    other.credentials_changed()
    mine.updated_at = moment
    school_notices.settle(other.id, by=_BY, sentence=_ADDED, kinds=(Kind.LETTER_DOUBT,))
    log.record(LetterLinked(account_id=mine.id, other=str(other.id), uais=uais))
    notices.tell(Notice.LETTER_LINKED, mine.id)


def _move_roster_key(mine: uuid.UUID, other: Account) -> None:
    """Make the school files' keys of the other account lead to this one, so that no import creates a second account."""
    db.session.execute(
        update(RosterAlias)
        .where(RosterAlias.account_id == other.id)
        .values(account_id=mine)
        .execution_options(synchronize_session=False)
    )
    if other.roster_key is not None:
        db.session.add(RosterAlias(roster_key=other.roster_key, account_id=mine))
        other.roster_key = None


def _move_children(mine: uuid.UUID, other: uuid.UUID) -> Sequence[uuid.UUID]:
    """Move the children behind those of this account, except those that it already has, and those in dispute.

    Return the moved children.

    A tie that the school excluded or suspended moves too, and such a tie of this account is not replaced: merging
    accounts reopens no tie that a school closed.
    """
    known = select(Guardianship.child_id).where(Guardianship.account_id == mine)
    theirs = select(Guardianship.child_id).where(Guardianship.account_id == other, Guardianship.is_unended)
    db.session.execute(  # a tie of this account that has ended is replaced by one that holds
        delete(Guardianship)
        .where(
            Guardianship.account_id == mine,
            ~Guardianship.is_unended,
            ~Guardianship.is_excluded,
            ~Guardianship.has_open_dispute,
            ~Guardianship.where_suspended(now()),
            Guardianship.child_id.in_(theirs),
        )
        .execution_options(synchronize_session=False)
    )
    last = db.session.scalar(select(func.max(Guardianship.rank)).where(Guardianship.account_id == mine))
    moved = db.session.scalars(
        select(Guardianship.child_id)
        .where(
            Guardianship.account_id == other,
            ~Guardianship.has_open_dispute,
            or_(Guardianship.is_unended, Guardianship.is_excluded),
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
    db.session.execute(
        update(Suspension)
        .where(Suspension.account_id == other, Suspension.child_id.in_(moved))
        .values(account_id=mine)
        .execution_options(synchronize_session=False)
    )
    return moved


def _move_waits(mine: uuid.UUID, other: uuid.UUID, moved: Sequence[uuid.UUID], moment: datetime) -> None:
    """Have the head decide about this account instead of the other one, if a moved tie waits for that.

    A tie that did not move waits no more: this account has its own tie to the pupil.
    """
    waiting.end_all(other, by=_BY, reason=_ADDED, moment=moment)
    school_notices.settle_waits(other, by=_BY, sentence=_ADDED)
    rows = db.session.execute(
        select(Child.school_id, Child.id)
        .join(Suspension, Suspension.child_id == Child.id)
        .where(Suspension.account_id == mine, Child.id.in_(moved), Suspension.where_waiting(moment))
        .order_by(Child.id)
    )
    children: dict[uuid.UUID, list[uuid.UUID]] = {}
    for school_id, child_id in rows:
        children.setdefault(school_id, []).append(child_id)
    school_notices.add(Kind.GUARDIAN_WAITS, mine, children)


def _doubt(mine: Account, other: Account) -> None:
    """Tell the letter's schools, once: the same letter tried again is the same question."""
    schools = [school.id for school in directory.schools(other)]
    school_notices.add(Kind.LETTER_DOUBT, other.id, schools, other_account_id=mine.id)
    log.record(LetterLinkDoubted(account_id=mine.id, other=str(other.id)))
