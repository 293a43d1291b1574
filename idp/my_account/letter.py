"""The rules of « Ajouter un autre courrier »: a family whose schools use two files gets two letters and one account."""

import uuid
from dataclasses import dataclass

from sqlalchemy import select

from idp.accounts import authentication, directory, school_notices
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.merging import moving
from idp.accounts.merging.agreement import surely_one_person
from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.passwords.hasher import Hasher, fold_username
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import LetterLinkDoubted
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.sessions import liveness
from idp.sessions.models import Session


@dataclass(frozen=True)
class Linked:
    """The letter's children were moved to this account; the letter is void."""


@dataclass(frozen=True)
class Doubted:
    """The secret was right, but the two may be namesakes: nothing changed, and the schools decide."""


Outcome = Linked | Doubted | Refused | Throttled


def link(settings: Settings, hasher: Hasher, attempt: Attempt, session: Session) -> Outcome:
    """Verify a letter's identifier and provisional password, and move its children to the account of `session`.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    session_id, account_id = session.id, session.account_id
    outcome: Outcome = authentication.verify_secret(
        settings, hasher, attempt, lambda verified: _admit(settings, verified, account_id, session_id)
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
            school_notices.is_open([Kind.LETTER_DOUBT]),
            ~school_notices.is_added(),
        )
        .order_by(School.name)
    )
    return list(db.session.scalars(statement).unique())


@unit_of_work()
def _admit(
    settings: Settings, verified: VerifiedSecret, account_id: uuid.UUID, session_id: uuid.UUID
) -> Linked | Doubted | None:
    """Decide in one transaction, by the present state of both accounts; rows are locked in one order."""
    locked = {key: directory.get_for_change(key) for key in sorted({account_id, verified.account_id})}
    mine, other = locked[account_id], locked[verified.account_id]
    if mine is None or not _is_signed_in(mine, session_id) or other is None or not verified.still_holds(other):
        return None
    if surely_one_person(mine, other) and not school_notices.were_told_apart(mine.id, other.id):
        moving.merge(settings, mine, other)
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


def _doubt(mine: Account, other: Account) -> None:
    """Tell the letter's schools, once: the same letter tried again is the same question."""
    schools = [school.id for school in directory.schools_of_ties(other)]
    school_notices.add(Kind.LETTER_DOUBT, other.id, schools, other_account_id=mine.id)
    log.record(LetterLinkDoubted(account_id=mine.id, other=str(other.id)))
